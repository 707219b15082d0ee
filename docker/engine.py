"""A Docker engine: the one that answers, or one that this starts with everything of its own and
ends without a trace. What cannot be done is a Trouble: a sentence with the way out.
"""

import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

from waiting import (
    PATIENCE,
    POLL,
    Trouble,
    end_group,
    finish,
    lock_file,
    tail,
    try_lock,
    turn,
)

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
# Of the engine that this starts. Short: it holds unix sockets.
RUN = pathlib.Path(os.environ.get("SKYWIRE_ENGINE_RUN", "/run/skywire-engine"))
DATA = pathlib.Path(os.environ.get("SKYWIRE_DOCKER_DATA", ROOT / "build" / "docker" / "data"))
SYSTEM_SOCKET = os.environ.get("SKYWIRE_DOCKER_SOCKET", "/run/docker.sock")
DISK_NEEDED = 1500 << 20

IMAGES = ("skywire:e2e", "skywire-redis:e2e")
# The version of the engine's interface that this is written for: Debian 12's engine.
API = (1, 41)


class Silent(Trouble):
    """The engine does not answer."""


# the engine --------------------------------------------------------------------------------------


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Engine:
    """A Docker engine that answers."""

    def __init__(self, path):
        self.path = path
        self._api = None

    @property
    def environment(self):
        found = {
            **os.environ,
            "DOCKER_HOST": f"unix://{self.path}",
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_IGNORE_ORPHANS": "1",
            "COMPOSE_HTTP_TIMEOUT": "120",
        }
        if self.api > API:
            # Clients of Debian 12 ask for less than this engine still takes.
            version = "{}.{}".format(*self.api)
            found.update(DOCKER_API_VERSION=version, COMPOSE_API_VERSION=version)
        return found

    @property
    def api(self):
        """The version to speak: API, or the nearest that the engine takes."""
        if self._api is None:
            found = self._request("GET", "/version")
            self._api = negotiated(found.get("MinAPIVersion"), found.get("ApiVersion"))
        return self._api

    def ask(self, method, target, body=None, timeout=60.0, **query):
        """The answer's JSON, or its bytes; Trouble with the engine's words from status 400 on."""
        if query:
            target += "?" + urllib.parse.urlencode(query)
        return self._request(method, "/v{}.{}".format(*self.api) + target, body, timeout)

    def _request(self, method, target, body=None, timeout=60.0):
        connection = _UnixConnection(self.path, timeout)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            text = None if body is None else json.dumps(body)
            connection.request(method, target, body=text, headers=headers)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            what = f"{method} {target.partition('?')[0]}: {str(error) or type(error).__name__}"
            how = "make e2e-stop" if self.is_ours() else "systemctl restart docker"
            raise Silent(
                f"the Docker engine at {self.path} does not answer {what}; restart it ({how})"
            ) from None
        finally:
            connection.close()
        if answer.status >= 400:
            with contextlib.suppress(ValueError, KeyError):
                raise Trouble(json.loads(data)["message"])
            raise Trouble(f"{method} {target}: {answer.status} {data[:200]!r}")
        if answer.headers.get("Content-Type", "").startswith("application/json") and data:
            return json.loads(data)
        return data

    def answers(self):
        try:
            self._request("GET", "/_ping", timeout=5.0)
        except Trouble:
            return False
        return True

    def is_ours(self):
        return self.path == str(RUN / "docker.sock")

    def run(self, *line, seconds=120.0, **more):
        """subprocess.run of a command that talks to this engine."""
        doing = " ".join(pathlib.Path(str(each)).name for each in line[:3])
        return finish(line, seconds=seconds, doing=doing, env=self.environment, **more)

    def missing_images(self):
        missing = []
        for image in IMAGES:
            try:
                self.ask("GET", f"/images/{image}/json")
            except Silent:
                raise
            except Trouble:
                missing.append(image)
        return missing

    def check_disk(self, needed=DISK_NEEDED):
        """Where this engine keeps its images, if that can be seen from here."""
        if self.is_ours():
            check_disk(DATA, needed, "SKYWIRE_DOCKER_DATA")
            return
        place = pathlib.Path(self.ask("GET", "/info").get("DockerRootDir") or "/nowhere")
        with contextlib.suppress(OSError):
            check_disk(place, needed)

    def prune(self):
        """Removes what no name leads to any more: images that newer ones have replaced."""
        self.ask(
            "POST", "/images/prune", timeout=300.0, filters=json.dumps({"dangling": ["true"]})
        )


def negotiated(least, most):
    """API, or the nearest version between these two ("1.44")."""

    def parsed(text):
        major, _, minor = (text or "").partition(".")
        return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else API

    return min(max(API, parsed(least)), max(parsed(least), parsed(most)))


def docker():
    """Debian's client, which fits Debian's engine; else what there is."""
    return "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"


def find_engine():
    """One that answers, or None."""
    host = os.environ.get("DOCKER_HOST", "")
    if host and not host.startswith("unix://"):
        raise Trouble(
            f"DOCKER_HOST={host}: the tests enter the containers' namespaces, so the engine must be "
            "one of this machine, at a unix socket"
        )
    named = host.removeprefix("unix://")
    if not named and RUN.is_dir() and not os.access(RUN, os.X_OK):
        raise Trouble(f"no privilege for the engine of {RUN}: run this as root")
    paths = [named] if named else [str(RUN / "docker.sock"), SYSTEM_SOCKET]
    for path in paths:
        if os.path.exists(path) and Engine(path).answers():
            return Engine(path)
    for path in paths:
        if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):
            raise Trouble(
                f"no privilege for {path}: run this as root, or as a member of group docker"
            )
    if named:
        raise Trouble(
            f"no Docker engine answers at DOCKER_HOST={host}: start it, unset it, or be who may reach it"
        )
    return None


# one of our own ----------------------------------------------------------------------------------


def _command_line(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return []


def _command_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def pid_of_ours():
    """The process that `start_engine` left, if it is still that one."""
    try:
        pid = int((RUN / "dockerd.pid").read_text())
    except (OSError, ValueError):
        return None
    return pid if _is_ours(pid) else None


def _is_ours(pid):
    """Whether this process runs (one that has ended and was not waited for does not) and is of ours."""
    return str(RUN / "dockerd.pid").encode() in _command_line(pid)


def keepers(folder):
    """Processes that keep an engine's data below this folder."""
    found = []
    for pid in _processes():
        words = [os.fsdecode(word) for word in _command_line(pid)]
        for option, value in zip(words, words[1:]):
            if option == "--data-root" and pathlib.Path(value).resolve().is_relative_to(folder):
                found.append(pid)
    return found


def check_disk(place, needed=DISK_NEEDED, variable=None):
    free = shutil.disk_usage(place).free
    if free < needed:
        other = f", or name another folder with {variable}" if variable else ""
        raise Trouble(
            f"no disk left: {place} has {free >> 20} MB free, the images need {needed >> 20}; "
            f"make room{other}"
        )


def in_chroot():
    """As far as that can be seen: the root is not that of the mounts, or not that of process 1."""
    if "/" not in _mounts():
        return True
    with contextlib.suppress(OSError):
        same = os.path.samefile("/proc/1/ns/mnt", "/proc/self/ns/mnt")
        return same and not os.path.samefile("/proc/1/root", "/")
    return False


def check_startable():
    """Raises Trouble where no engine can be started, as far as that can be seen before; the program."""
    dockerd = shutil.which("dockerd")
    if dockerd is None:
        raise Trouble("Docker is not installed: tools/setup.sh containers (as root)")
    if os.geteuid() != 0:
        raise Trouble(
            "no Docker engine runs, and starting one takes root: run this as root, or start the "
            "engine (systemctl start docker)"
        )
    if not os.path.exists("/proc/self/cmdline"):
        raise Trouble("/proc is not mounted here: mount -t proc proc /proc")
    if in_chroot():
        raise Trouble(
            "an engine cannot enter its containers from a chroot: make the folder the root of a mount "
            "namespace (unshare --mount, mount --bind FOLDER FOLDER, pivot_root)"
        )
    if (pid := pid_of_ours()) is not None:
        raise Trouble(f"the engine of ours (process {pid}) runs and does not answer: make e2e-stop")
    return dockerd


def start_engine():
    """Starts an engine with sockets, state and data of its own."""
    dockerd = check_startable()
    DATA.mkdir(parents=True, exist_ok=True)
    check_disk(DATA, variable="SKYWIRE_DOCKER_DATA")
    RUN.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remember_machine()
    # Numbers that an engine left which was killed: they may be those of others by now.
    for file in (RUN / "dockerd.pid", RUN / "exec" / "containerd" / "containerd.pid"):
        file.unlink(missing_ok=True)
    log = RUN / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [
                dockerd, "--data-root", str(DATA), "--exec-root", str(RUN / "exec"),
                "--pidfile", str(RUN / "dockerd.pid"), "--host", f"unix://{RUN / 'docker.sock'}",
            ],  # fmt: skip
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    engine = Engine(str(RUN / "docker.sock"))
    deadline = time.monotonic() + PATIENCE
    try:
        while not engine.answers():
            ended = process.poll()
            if ended is None and time.monotonic() < deadline:
                time.sleep(POLL)
                continue
            text = log.read_text(errors="replace")
            why = f"is silent after {PATIENCE:.0f} s" if ended is None else f"ended with {ended}"
            said = "\n".join(line for line in text.splitlines() if "level=info" not in line)
            raise Trouble(f"the Docker engine {why}{_engine_hint(text)}\n{tail(said, 8)}")
    except BaseException:
        end_group(process, PATIENCE)
        _tidy_after_engine()
        raise
    return engine


def _engine_hint(text):
    lowered = text.lower()
    for sign, hint in (
        ("no space left", ": no disk left; make room, or name a folder with SKYWIRE_DOCKER_DATA"),
        ("operation not permitted", ": it lacks a privilege; a container that it is to run in needs "
         "--privileged"),
        ("permission denied", ": it lacks a privilege; run this as root"),
        ("iptables", ": it could not set up iptables; apt-get install iptables, as root"),
        ("cgroup", ": it wants the control groups; mount --rbind the host's /sys here"),
    ):  # fmt: skip
        if sign in lowered:
            return hint
    return ""


def stop_engine():
    """Ends the engine that `start_engine` started; says whether there was one."""
    pid = pid_of_ours()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        # Not by its file: that goes some time before the process does.
        while _is_ours(pid):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                deadline += PATIENCE
            time.sleep(POLL)
    # Of an engine of ours this is there from its start on; the folder alone may be anybody's.
    there = crashed()
    if there:
        _tidy_after_engine()
    return there


def crashed():
    """Whether there is anything of an engine of ours, which does not run any more."""
    return pid_of_ours() is None and (RUN / "before.json").exists()


def restart_engine():
    """The one of ours, with its containers and networks as they were."""
    with gate():
        before = (RUN / "before.json").read_text()
        stop_engine()
        RUN.mkdir(mode=0o700, parents=True, exist_ok=True)
        (RUN / "before.json").write_text(before)
        start_engine()


def _output(*line):
    """Of one of the system's programs; nothing where it is not there or hangs."""
    try:
        return finish(line, seconds=30.0, doing=line[0], capture_output=True, text=True).stdout
    except (OSError, Trouble):
        return ""


# What an engine makes in the machine's own network, and does not always take back.
MADE = re.compile(r"(?<![\w-])(docker0|br-[0-9a-f]{12}|DOCKER(-[A-Z0-9]+)*)(?![\w-])")
FORWARDING = pathlib.Path("/proc/sys/net/ipv4/ip_forward")
BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id")


def _mounts():
    return [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]


def _interfaces():
    """Of this network; /sys may show another."""
    return [name for _, name in socket.if_nameindex()]


def _boot():
    with contextlib.suppress(OSError):
        return BOOT.read_text().strip()
    return ""


def _machine_state():
    return {
        "boot": _boot(),
        "mounts": _mounts(),
        "interfaces": _interfaces(),
        "rules": {table: _output("iptables", "-t", table, "-S") for table in ("filter", "nat")},
        "forwarding": FORWARDING.read_text(),
    }


def _machine_before():
    """What the machine was like before the engine's first start since it booted; None where that is
    not known."""
    with contextlib.suppress(OSError, ValueError):
        before = json.loads((RUN / "before.json").read_text())
        if isinstance(before, dict) and before.get("boot") == _boot():
            return before
    return None


def _remember_machine():
    """After a crash what was written before it holds: by now the machine has what the engine left."""
    if _machine_before() is None:
        part = RUN / "before.json.part"
        part.write_text(json.dumps(_machine_state()))
        part.rename(RUN / "before.json")


def _end_orphans():
    """Containers, and who watches over them, of an engine that was killed."""
    watchers = {
        pid
        for pid in _processes()
        if _command_of(pid).startswith("containerd")
        and any(word.startswith(f"{RUN}/".encode()) for word in _command_line(pid))
    }
    for pid in _processes():
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = pathlib.Path(f"/proc/{pid}/stat").read_text()
            parent = int(status.rpartition(")")[2].split()[1])
            if pid in watchers or parent in watchers:
                os.kill(pid, signal.SIGKILL)


def _another_engine_runs():
    """One that shares this network, with bridges and rules of its own."""
    for pid in _processes():
        if _command_of(pid) == "dockerd" and not _is_ours(pid):
            with contextlib.suppress(OSError):
                if os.path.samefile(f"/proc/{pid}/ns/net", "/proc/self/ns/net"):
                    return True
    return False


def _tidy_after_engine():
    """Processes, mounts, bridges, iptables rules, files; what was there before stays."""
    _end_orphans()
    before = _machine_before()
    if before is not None:
        for place in reversed(_mounts()):
            ours = place.startswith((f"{RUN}/", f"{DATA}/")) or place == str(DATA)
            if ours and place not in before["mounts"]:
                _output("umount", "-l", place)
        if not _another_engine_runs():
            for name in set(_interfaces()) - set(before["interfaces"]):
                if MADE.fullmatch(name):
                    _output("ip", "link", "delete", name)
            for table, rules in before["rules"].items():
                _restore_rules(table, rules.splitlines())
            with contextlib.suppress(OSError):
                FORWARDING.write_text(before["forwarding"])
    shutil.rmtree(RUN, ignore_errors=True)


def _restore_rules(table, before):
    now = _output("iptables", "-t", table, "-S").splitlines()
    new = [rule.split() for rule in now if rule not in before and MADE.search(rule)]
    chains = [words[1] for words in new if words[0] == "-N"]
    for words in new:
        if words[0] == "-A" and words[1] not in chains:
            _output("iptables", "-t", table, "-D", *words[1:])
    for action in ("-F", "-X"):
        for chain in chains:
            _output("iptables", "-t", table, action, chain)
    for rule in before:
        if rule.startswith("-P FORWARD"):
            _output("iptables", "-t", table, *rule.split())


_in_gate = False


@contextlib.contextmanager
def gate():
    """One at a time starts or ends an engine. This process may already be the one."""
    global _in_gate
    if _in_gate:
        yield
        return
    with turn("skywire-engine", "the start and end of engines"):
        _in_gate = True
        try:
            yield
        finally:
            _in_gate = False


@contextlib.contextmanager
def used(started, is_idle):
    """An engine, and where none answers one of ours, with `started(engine)` done first. One of ours
    ends with the last that uses it, unless something is to go on in it: `is_idle(engine)`."""
    with lock_file("skywire-engine-users") as file:
        with gate():
            fcntl.flock(file, fcntl.LOCK_SH)
            engine = find_engine()
            try:
                if engine is None:
                    engine = start_engine()
                    started(engine)
            except BaseException:
                if engine is not None:
                    stop_engine()
                raise
        try:
            yield engine
        finally:
            with gate():
                if engine.is_ours() and not _others(file) and _idle(engine, is_idle):
                    stop_engine()


def _others(file):
    """Whether anybody else uses the engine; file is that of `used`."""
    return not try_lock(file)


def _idle(engine, is_idle):
    with contextlib.suppress(Silent):
        return is_idle(engine)
    return True


def end_of_ours():
    """Ends the engine of ours where nobody uses it; whether it did, or None where there is none."""
    with lock_file("skywire-engine-users") as file, gate():
        if pid_of_ours() is None and not crashed():
            return None
        return not _others(file) and stop_engine()
