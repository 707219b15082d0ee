"""Runs the real `skywire` for a test: deployments, one-shot commands, a Redis of its own.

Everything listens on loopback at ports that were free a moment before, lives in a folder below the
system's temporary one, and dies with the test. Waiting means asking again until a deadline; a
process that has ended meanwhile fails the wait at once. When a test fails, `Scenario` prints what
its processes said: output, timeline, health tree.
"""

import contextlib
import ctypes
import errno
import fcntl
import functools
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parent.parent
VECTORS = SOURCE / "vectors"
DATA = pathlib.Path(__file__).resolve().parent / "data"

# The longest that anything a test waits for may take; on a loaded machine, with sanitizers.
PATIENCE = float(os.environ.get("SKYWIRE_E2E_PATIENCE", "30"))
POLL = 0.005
# The programs are built with a sanitizer: crashes and memory look different.
SANITIZED = bool(os.environ.get("SKYWIRE_E2E_SANITIZED"))

# Parallel test programs keep to addresses of their own: a port free here is free in earnest.
HOST = f"127.0.0.{10 + os.getpid() % 240}"

# Published test keys of the network's own end-to-end deployment (spec/e2e.md section 3).
KEYS = {
    "dmsgd": (
        "b3f6706cb72215d3873ef92cc0c6037a47fe651112b1685017d6347eed0fb714",
        "02857a87410b3709eddb99bc00508cc7cfeb588d5ed87e3ef9d2aac838ad49470a",
    ),
    "dmsgs": (
        "6eddf9399b14f29a60e6a652b321d082f9ed2f0172e02c9d9c1a2a22acf4bee3",
        "035915c609f71d0c7df27df85ec698ceca0cb262590a54f732e3bbd0cc68d89282",
    ),
    "tpd": (
        "85789cd7efcdf35340c8f4cb3e15bccdff57efda49af5bcdddaae57374d25ab8",
        "02a5993cb6792eb18908cb7c6c9c742ef5fbe3dcfcce2862bbc4615a5f35cbed46",
    ),
    "rf": (
        "640905f9fd60d6bf1ee88519f61035765d65319d9f3bac6c5f2fc14ea5cf15ca",
        "02b88fe426b2f6f83f19b151c427c155aae186d734cbd45f12b57ddbd237b49278",
    ),
    "sd": (
        "ccc3ae9993ed03bed80b1f9feb747d7c6ca3342a65c3923191b7527c2c00ef0f",
        "026f96adae04285f8b35eeba23b9aa2be3470ea4bb005118f4e64006afdeea85a7",
    ),
    "ar": (
        "1fa0a7b80438b8d31655b5c69efd57bcf931ac828438ff2925ab36e4abcc426a",
        "02252c40a1ac021dcf6d93f1aae38023e8fd20bb0d35b7d07cba9435a7cb7ef34f",
    ),
    "sn": (
        "8535d62ea3d19c8ce09e77ffe0f173c733e1798b23c84d9b72d2a70888c90a3b",
        "02603d53d49b6575a0b8cee05b70dd23c86e42cd6cba99af769d61a6196ea2bcb1",
    ),
    "tps": (
        "40de503bd8dff2921ae2b070cc3104e5e700c84b481064f877ab0877f9320ace",
        "0277dda8a284d43b4d5ee2a4152771e76131e9437c47be5d8e835aafe02c45a9ae",
    ),
}


def program(name="skywire"):
    """Path of a binary: in $SKYWIRE_BIN_DIR, else in the newest of build/{dev,release}."""
    folder = os.environ.get("SKYWIRE_BIN_DIR")
    if folder:
        path = pathlib.Path(folder).absolute() / name
        if not path.exists():
            raise RuntimeError(f"{path} is not built")
        return str(path)
    built = [SOURCE / "build" / preset / name for preset in ("dev", "release")]
    there = [path for path in built if path.exists()]
    if not there:
        raise RuntimeError(f"{name} is not built; set SKYWIRE_BIN_DIR")
    return str(max(there, key=lambda path: path.stat().st_mtime))


@functools.cache
def _ports_file():
    """Of all test programs of this user: a byte of it for each port, locked by whom it is given to."""
    return open(f"/tmp/skywire-e2e-ports-{os.getuid()}", "ab", buffering=0)


_given_ports = set()


def _claim(port):
    """Keeps other test programs from the port until this one ends: between the look whether it is
    free and its use the system may offer it to them as well. False where one of them has it."""
    try:
        fcntl.lockf(_ports_file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except BlockingIOError:
        return False
    _given_ports.add(port)
    return True


def free_port(host=HOST, also=()):
    """A port that is free for TCP and UDP on `host` and on the hosts in `also`, and that no other
    test program is given."""
    for _ in range(1000):
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            first.bind((host, 0))
            port = first.getsockname()[1]
            if port in _given_ports:
                continue
            try:
                for each in (host, *also):
                    udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    udp.bind((each, port))
            except OSError:
                continue
            if _claim(port):
                return port
    raise RuntimeError(f"no free port on {host}, {also}")


def free_address(host=HOST):
    return f"{host}:{free_port(host)}"


def end_sending(peer):
    """Says that nothing more comes. One whose other end has reset it has no end to shut."""
    try:
        peer.shutdown(socket.SHUT_WR)
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise


def dial(address, timeout=10.0):
    """A connected socket; `address` is "host:port" or "unix:PATH"."""
    if address.startswith("unix:"):
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        target = address[len("unix:"):]
    else:
        peer = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        host, port = address.rsplit(":", 1)
        target = (host, int(port))
    peer.settimeout(timeout)
    try:
        peer.connect(target)
    except BaseException:
        peer.close()
        raise
    return peer


def listens(address):
    try:
        dial(address).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    return True


def read_to_end(peer):
    """What comes until the peer closes (or resets) the connection."""
    chunks = []
    try:
        while chunk := peer.recv(65536):
            chunks.append(chunk)
    except ConnectionResetError:
        pass
    return b"".join(chunks)


class _Connection(http.client.HTTPConnection):
    def __init__(self, address, timeout):
        super().__init__("localhost" if address.startswith("unix:") else address)
        self._address = address
        self._patience = timeout

    def connect(self):
        self.sock = dial(self._address, self._patience)


class Answer:
    """An HTTP answer."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:400]!r}"


def request(address, method, path, body=None, headers=None, timeout=10.0):
    """One request on a connection of its own."""
    connection = _Connection(address, timeout)
    try:
        if isinstance(body, str):
            body = body.encode()
        connection.request(method, path, body=body, headers=headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def get(address, path, **more):
    return request(address, "GET", path, **more)


def post(address, path, body=b"", **more):
    return request(address, "POST", path, body, **more)


def wait_for(what, look, patience=PATIENCE):
    """Calls `look` until it returns something true, which is returned."""
    deadline = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:.0f} s in vain for {what}; last: {found!r}")
        time.sleep(POLL)


def sums(metrics, name, words):
    """Of the series of this name in the text: those whose labels hold all words, and all of them."""
    lines = [line for line in metrics.splitlines() if re.match(rf"{name}[ {{]", line)]
    values = [(line, float(line.rsplit(" ", 1)[1])) for line in lines]
    chosen = sum(value for line, value in values if all(word in line for word in words))
    return chosen, sum(value for _, value in values)


# blocks ------------------------------------------------------------------------------------------


def block(type_name, name, **keys):
    return {"type": type_name, "name": name, **keys}


def discovery(name="dmsgd", **keys):
    """A dmsg-discovery with its store in memory; redis=... or testing=False say otherwise."""
    keys.setdefault("addr", free_address())
    keys.setdefault("testing", True)
    return block("dmsg-discovery", name, **keys)


def dmsg_server(at, name="dmsgs", **keys):
    """A dmsg-server that registers with the discovery at this address."""
    keys.setdefault("secret_key", KEYS["dmsgs"][0])
    keys.setdefault("discovery", f"http://{at}")
    keys.setdefault("local_address", free_address())
    keys.setdefault("public_address", keys["local_address"])
    keys.setdefault("health_endpoint_address", free_address())
    return block("dmsg-server", name, **keys)


def dmsg_network(*, discovery_keys=None, server_keys=None):
    """A discovery that is on dmsg itself, and a server for it."""
    first = discovery(
        **{"secret_key": KEYS["dmsgd"][0], "mode": "dual", **(discovery_keys or {})}
    )
    return [first, dmsg_server(first["addr"], **(server_keys or {}))]


def stun(name="stun", **keys):
    keys.setdefault("primary_ip", "127.0.0.1")
    keys.setdefault("secondary_ip", "127.0.0.2")
    for key in ("port", "alt_port"):
        if key not in keys:
            keys[key] = free_port(keys["primary_ip"], also=[keys["secondary_ip"]])
    return block("stun-server", name, **keys)


def keyed(type_name, name, at, **keys):
    """A service with the key of its name and its store in memory, on dmsg through the discovery at
    this address; redis=... or testing=False say otherwise."""
    keys.setdefault("secret_key", KEYS[name][0])
    keys.setdefault("dmsg", {"discovery": f"http://{at}", "sessions_count": 1})
    if type_name != "setup-node":
        keys.setdefault("addr", free_address())
    if type_name not in ("setup-node", "transport-setup"):
        keys.setdefault("mode", "dual")
        keys.setdefault("testing", True)
    return block(type_name, name, **keys)


def nine(**changes):
    """The nine services, each with what `changes` says for its name: nine(tpd={...})."""

    def more(name, **keys):
        return {**keys, **changes.get(name, {})}

    blocks = dmsg_network(discovery_keys=more("dmsgd"), server_keys=more("dmsgs"))
    at = blocks[0]["addr"]
    tpd = keyed("transport-discovery", "tpd", at, **more("tpd"))
    lists = f"http://{tpd['addr']}"
    udp = free_address()
    return [
        *blocks,
        tpd,
        keyed("service-discovery", "sd", at, **more("sd")),
        keyed("address-resolver", "ar", at, **more("ar", addr=udp, udp_addr=udp, public_udp_addr=udp)),
        keyed("route-finder", "rf", at, **more("rf", transport_discovery=lists)),
        keyed("setup-node", "sn", at, **more("sn", transport_discovery=lists)),
        keyed("transport-setup", "tps", at, **more("tps")),
        stun(**more("stun")),
    ]


def tester(name, **keys):
    """A service that fails as told; only `skywire_faults` knows it. Its control routes are at
    `addr`: framework/harness/test_services.hpp."""
    keys.setdefault("addr", free_address())
    return block("test-service", name, **keys)


# processes ---------------------------------------------------------------------------------------


def without_privilege():
    """What to put before a command so that permissions count for it; empty for who is not root."""
    if os.geteuid() != 0:
        return []
    prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    # The binaries may lie where nobody else may look.
    done = subprocess.run([*prefix, program(), "version"], capture_output=True, check=False)
    if done.returncode != 0:
        raise unittest.SkipTest(f"{program()} cannot be run without privilege")
    return prefix


def _die_with_parent():
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Finished:
    """What a command that has ended left behind."""

    def __init__(self, arguments, code, out, err):
        self.arguments = arguments
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self):
        return f"{' '.join(self.arguments)}: exit code {self.code}\n{self.out}{self.err}"


class Deployment:
    """A running `skywire svc run`."""

    def __init__(self, folder, config, *, binary, options=(), environment=None, file_name=None):
        self.folder = pathlib.Path(folder)
        self.config = config
        self.file = self.folder / (file_name or "deployment.json")
        self.binary = binary
        self.arguments = [binary, "svc", "run", "--config", str(self.file), *options]
        self.environment = {**os.environ, **(environment or {})}
        self.admin = self._admin_address(options)
        self.process = None
        self.starts = 0
        if config is not None:
            text = config if isinstance(config, str) else json.dumps(config, indent=2)
            self.file.write_text(text)

    def _admin_address(self, options):
        if "--admin" in options:
            return options[list(options).index("--admin") + 1]
        if isinstance(self.config, dict):
            return self.config.get("supervisor", {}).get("admin_addr")
        return None

    # life

    def start(self, err=None):
        """`err`: a descriptor for standard error, instead of the file that `err` reads."""
        self.starts += 1
        with (
            open(self.folder / f"stdout.{self.starts}", "wb") as out_file,
            open(self.folder / f"stderr.{self.starts}", "wb") as err_file,
        ):
            self.process = subprocess.Popen(
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=out_file,
                stderr=err_file if err is None else err,
                env=self.environment,
                cwd=self.folder,
                preexec_fn=_die_with_parent,
            )
        return self

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def terminate(self):
        self.signal(signal.SIGTERM)

    def wait_exit(self, patience=PATIENCE):
        """The exit code; negative for a signal."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the process still runs after {patience:.0f} s") from None

    def stop(self):
        """An orderly end; its exit code."""
        self.terminate()
        return self.wait_exit()

    def kill(self):
        if self.running:
            self.process.kill()
        self.process.wait()

    # output

    @property
    def out(self):
        return (self.folder / f"stdout.{self.starts}").read_text(errors="replace")

    @property
    def err(self):
        return (self.folder / f"stderr.{self.starts}").read_text(errors="replace")

    def lines(self, *words):
        """The log lines that hold all words."""
        return [line for line in self.err.splitlines() if all(word in line for word in words)]

    # looking

    def wait_for(self, what, look, patience=PATIENCE):
        """As wait_for, but ends at once when the process has."""

        def guarded():
            ended = not self.running
            found = look()
            if ended and not found:
                raise AssertionError(
                    f"the process ended with {self.process.returncode} before {what}\n{self.err}"
                )
            return found

        return wait_for(what, guarded, patience)

    def ask(self, path, **more):
        return get(self.admin, path, **more)

    def try_ask(self, path, **more):
        """None while nobody listens."""
        try:
            return self.ask(path, **more)
        except (OSError, http.client.HTTPException):
            return None

    def wait_admin(self):
        self.wait_for("the admin listener", lambda: self.try_ask("/livez"))
        return self

    def wait_ready(self):
        def ready():
            answer = self.try_ask("/readyz")
            return answer is not None and answer.status == 200

        self.wait_for("readiness", ready)
        return self

    def health(self):
        return self.ask("/health").json

    def service(self, label):
        return self.ask(f"/services/{label}").json

    def wait_state(self, label, *states):
        def look():
            service = self.service(label)
            return service if service["state"] in states else None

        return self.wait_for(f"{label} to be {' or '.join(states)}", look)

    def timeline(self, after=0):
        return self.ask(f"/timeline?after={after}").json

    def last_event(self):
        events = self.timeline()
        return events[-1]["number"] if events else 0

    def wait_event(self, label, event, detail="", after=0):
        """The first such event whose detail holds the text."""
        return self.wait_for(
            f"event {label} {event} {detail}",
            lambda: next(
                (
                    each
                    for each in self.timeline(after)
                    if each["label"] == label
                    and each["event"] == event
                    and detail in each["detail"]
                ),
                None,
            ),
        )

    def follow(self):
        return Follower(self)

    # asking for changes

    def command(self, label, name, **more):
        return post(self.admin, f"/services/{label}/{name}", timeout=PATIENCE, **more)

    def address(self, label):
        """Where a block of the configuration speaks HTTP."""
        found = next(each for each in self.config["services"] if each["name"] == label)
        return found.get("addr") or found["health_endpoint_address"]

    def metric(self, name, *words):
        """Sum of the series of this name whose labels hold all words."""
        return self.metrics(name, *words)[0]

    def metrics(self, name, *words):
        """The same, and the sum of all series of this name, both of one moment."""
        return sums(self.ask("/metrics").text, name, words)

    def get(self, label, path, **more):
        return get(self.address(label), path, **more)

    def post(self, label, path, body=b"", **more):
        return post(self.address(label), path, body, **more)

    def describe(self):
        """Everything known about it, for a failed test."""
        parts = [f"--- {' '.join(self.arguments)}"]
        if self.process is not None:
            code = self.process.poll()
            parts.append(f"--- {'running' if code is None else f'exit code {code}'}")
        for path, title in (("/health", "health"), ("/timeline", "timeline")):
            answer = self.try_ask(path, timeout=1.0) if self.running and self.admin else None
            if answer is not None:
                parts.append(f"--- {title}\n{_indented(answer, path)}")
        for start in range(1, self.starts + 1):
            for name in ("stdout", "stderr"):
                text = (self.folder / f"{name}.{start}").read_text(errors="replace")
                parts.append(f"--- {name} of start {start}\n{text[-20000:]}")
        return "\n".join(parts)


def _indented(answer, path):
    if path != "/timeline":
        return json.dumps(answer.json, indent=1)
    return "\n".join(
        f"{each['since_start_seconds']:9.4f} {_shown(each)}" for each in answer.json
    )


def _shown(event):
    return f"{event['label'] or '-'} {event['event']} {event['detail']}"


class Running:
    """A command that goes on until its input ends or it is told to. Its input is a pipe; what it
    says is read as it comes."""

    def __init__(self, line, *, cwd, environment=None):
        self.line = line
        self.process = subprocess.Popen(
            line,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            cwd=cwd,
            preexec_fn=_die_with_parent,
        )
        self._said = {"out": bytearray(), "err": bytearray()}
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, name), daemon=True)
            for pipe, name in ((self.process.stdout, "out"), (self.process.stderr, "err"))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe, name):
        while data := pipe.read1(1 << 16):
            self._said[name] += data

    @property
    def raw(self):
        """Standard output so far."""
        return bytes(self._said["out"])

    @property
    def out(self):
        return self.raw.decode(errors="replace")

    @property
    def err(self):
        return bytes(self._said["err"]).decode(errors="replace")

    @property
    def code(self):
        """None while it runs."""
        return self.process.poll()

    def write(self, data):
        """Blocks until the pipe has taken it."""
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end_input(self):
        self.process.stdin.close()

    def wait_for(self, what, look, patience=PATIENCE):
        def guarded():
            ended = self.code is not None
            if ended:
                # All that it has said is to be read first.
                self.wait_exit()
            found = look()
            if ended and not found:
                raise AssertionError(f"it ended before {what}: {self!r}")
            return found

        return wait_for(what, guarded, patience)

    def wait_said(self, text):
        """Waits until it has said this on standard error; the line."""
        self.wait_for(f"the words {text!r}", lambda: text in self.err and self.err.endswith("\n"))
        return next(line for line in self.err.splitlines() if text in line)

    def wait_exit(self, patience=PATIENCE):
        """The exit code, once everything it said is read; negative for a signal."""
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still runs after {patience:.0f} s: {self!r}") from None
        for reader in self._readers:
            reader.join(patience)
        return code

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.wait_exit()

    def kill(self):
        if self.code is None:
            self.process.kill()
        self.wait_exit()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()

    def __repr__(self):
        state = "runs" if self.code is None else f"exit code {self.code}"
        out = self.out if len(self.raw) < 4000 else f"({len(self.raw)} bytes)\n"
        return f"{' '.join(self.line)}: {state}\n{out}{self.err}"


def _place(events, text):
    """Where "label event[ detail]" first stands ("-" for the process itself); None if nowhere."""
    label, event, *detail = text.split(" ", 2)
    for index, each in enumerate(events):
        if (each["label"] or "-") == label and each["event"] == event:
            if not detail or detail[0] in each["detail"]:
                return index
    return None


class Follower:
    """Reads the timeline of a process until its admin listener is gone."""

    def __init__(self, deployment):
        self._deployment = deployment
        self._lock = threading.Lock()
        self._events = []
        self._read()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _read(self):
        after = self._events[-1]["number"] if self._events else 0
        new = self._deployment.timeline(after)
        with self._lock:
            self._events += new

    def _run(self):
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            while True:
                self._read()
                time.sleep(POLL / 5)

    def events(self):
        """All events, once the process is gone."""
        self._thread.join(PATIENCE)
        return self._events

    def wait_read(self, *texts):
        """Waits until it has read all of these, which the process has to outlive."""

        def look():
            with self._lock:
                events = list(self._events)
            return all(_place(events, text) is not None for text in texts)

        self._deployment.wait_for(f"{texts} in the timeline", look)

    def check_order(self, test, *texts):
        events = self.events()
        places = [_place(events, text) for text in texts]
        shown = [_shown(each) for each in events]
        test.assertNotIn(None, places, f"{texts} in {shown}")
        test.assertEqual(places, sorted(places), f"{texts} in {shown}")


class Redis:
    """A redis-server of this test alone. It keeps folder, port and socket over stop and start, and
    every acknowledged change."""

    installed = shutil.which("redis-server") is not None

    def __init__(self, folder, *, password="", start=True):
        self.folder = pathlib.Path(folder) / f"redis-{free_port()}"
        self.folder.mkdir()
        self.port = free_port()
        self.password = password
        self.process = None
        if start:
            self.start()

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    def url(self, database=0):
        return f"redis://{self.address}/{database}"

    def start(self):
        arguments = [
            "redis-server", "--bind", HOST, "--port", str(self.port),
            "--unixsocket", str(self.folder / "socket"), "--dir", str(self.folder),
            "--appendonly", "yes", "--appendfsync", "always", "--save", "",
            "--logfile", str(self.folder / "log"), "--daemonize", "no",
        ]  # fmt: skip
        if self.password:
            arguments += ["--requirepass", self.password]
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent
        )
        wait_for("redis-server", self._answers)

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError("redis-server ended: " + (self.folder / "log").read_text())
        with contextlib.suppress(OSError):
            return self.command("PING") == "+PONG"
        return False

    def command(self, line):
        """The first line of the answer to an inline command."""
        with dial(self.address, 5) as peer:
            reader = peer.makefile("rb")
            if self.password:
                peer.sendall(f"AUTH {self.password}\r\n".encode())
                reader.readline()
            peer.sendall(line.encode() + b"\r\n")
            return reader.readline().decode().strip()

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)

    def empty(self):
        """Between stop and start: the data set is gone."""
        shutil.rmtree(self.folder / "appendonlydir")

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class SnapshotFile:
    """What an SQLite snapshot would still hold after a kill -9 at this moment: what stands in its files
    without the end of its transaction is not there."""

    def __init__(self, file):
        # By their keys; and all there is, to be searched for words.
        self.values = {}
        self.text = b""
        with tempfile.TemporaryDirectory(prefix="skywire-e2e-", dir="/tmp") as folder:
            copy = pathlib.Path(folder) / "copy"
            for suffix in ("", "-wal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(f"{file}{suffix}", f"{copy}{suffix}")
            # Not to be read: not begun, or its parts were rearranged between the two.
            with (
                contextlib.suppress(sqlite3.DatabaseError),
                contextlib.closing(sqlite3.connect(copy)) as database,
            ):
                entries = database.execute("SELECT key, value FROM entries").fetchall()
                members = database.execute("SELECT key, member FROM members").fetchall()
                self.values = dict(entries)
                self.text = b"\n".join(part for row in entries + members for part in row)

    def holds(self, words):
        return all(word.encode() in self.text for word in words)


class Scenario(unittest.TestCase):
    """A test of whole processes. After each, whatever its outcome, no output and no recorded answer
    may hold one of the secrets in its configurations."""

    maxDiff = None

    def setUp(self):
        # Below /tmp whatever TMPDIR says: the path of a unix socket has 107 bytes.
        self._folder = tempfile.TemporaryDirectory(prefix="skywire-e2e-", dir="/tmp")
        self.addCleanup(self._folder.cleanup)
        self.folder = pathlib.Path(self._folder.name)
        self._deployments = []
        self._adopted = []
        self._finished = []
        self._running = []
        self.secrets = set()
        self.addCleanup(self.check_secrets)

    def has_failed(self):
        # Private to unittest, but the only word about failure there is before clean-up; "success"
        # there is false for what is skipped, too.
        result = getattr(getattr(self, "_outcome", None), "result", None)
        told = [*result.failures, *result.errors] if result is not None else []
        return any(getattr(case, "test_case", case) is self for case, _ in told)

    def doCleanups(self):
        if self.has_failed():
            for deployment in self._deployments:
                if deployment in self._adopted:
                    continue
                print(deployment.describe(), file=sys.stderr)
            for finished in self._finished[-3:] + self._running:
                print(f"--- {finished!r}", file=sys.stderr)
        for running in self._running:
            running.kill()
        for deployment in self._deployments:
            if deployment.process is not None:
                deployment.kill()
        return super().doCleanups()

    def check_secrets(self):
        texts = [finished.out + finished.err for finished in self._finished + self._running]
        for deployment in self._deployments:
            for start in range(1, deployment.starts + 1):
                for name in ("stdout", "stderr"):
                    path = deployment.folder / f"{name}.{start}"
                    texts.append(path.read_text(errors="replace"))
        for secret in self.secrets:
            for text in texts:
                if secret in text:
                    at = text.index(secret)
                    self.fail(f"a secret was printed: ...{text[max(0, at - 200):at]}SECRET")

    def _remember_secrets(self, config):
        if isinstance(config, dict):
            for key, value in config.items():
                if key in ("secret_key", "auth_passphrase") and isinstance(value, str) and value:
                    self.secrets.add(value)
                self._remember_secrets(value)
        elif isinstance(config, list):
            for each in config:
                self._remember_secrets(each)

    def subfolder(self, name):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def prepare(
        self, *blocks, supervisor=None, faults=False, options=(), environment=None, folder="a"
    ):
        """A deployment of these blocks that is not started yet."""
        place = self.subfolder(folder)
        settings = {
            "admin_addr": f"unix:{place / 'admin.sock'}",
            "state_dir": str(place / "state"),
            **(supervisor or {}),
        }
        config = {
            "services": list(blocks),
            "supervisor": {key: value for key, value in settings.items() if value is not None},
        }
        return self.prepare_file(
            config, faults=faults, options=options, environment=environment, folder=folder
        )

    def adopt(self, deployment, config):
        """A deployment that somebody else made, who tells about it when the test fails: it is ended
        with the test and its output searched for the secrets of its configuration."""
        self._remember_secrets(config)
        self._deployments.append(deployment)
        self._adopted.append(deployment)

    def prepare_file(self, config, *, faults=False, options=(), environment=None, folder="a"):
        """The same of a whole configuration, or of the text of a file."""
        self._remember_secrets(config)
        deployment = Deployment(
            self.subfolder(folder),
            config,
            binary=program("skywire_faults" if faults else "skywire"),
            options=options,
            environment=environment,
        )
        self._deployments.append(deployment)
        return deployment

    def boot(self, *blocks, **more):
        """A deployment of these blocks, ready."""
        return self.prepare(*blocks, **more).start().wait_ready()

    def redis(self, **more):
        if not Redis.installed:
            self.fail("redis-server is not installed")
        server = Redis(self.folder, **more)
        self.addCleanup(server.kill)
        return server

    def run_cli(
        self, *arguments, faults=False, environment=None, patience=PATIENCE, stdin=None, prefix=()
    ):
        """Runs a command to its end."""
        binary = program("skywire_faults" if faults else "skywire")
        line = [*prefix, binary, *map(str, arguments)]
        done = subprocess.run(
            line,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            cwd=self.folder,
            timeout=patience,
            preexec_fn=_die_with_parent,
        )
        finished = Finished(
            line, done.returncode, done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )  # fmt: skip
        self._finished.append(finished)
        return finished

    def start_cli(self, *arguments, environment=None):
        """Starts a command that goes on."""
        running = Running(
            [program(), *map(str, arguments)], cwd=self.folder, environment=environment
        )
        self._running.append(running)
        return running

    def write(self, name, content):
        path = self.folder / name
        text = content if isinstance(content, (str, bytes)) else json.dumps(content, indent=2)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def assertListening(self, address):
        dial(address).close()

    def assertNotListening(self, address):
        self.assertFalse(listens(address), f"somebody listens on {address}")
