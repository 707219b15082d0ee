"""The deployment in containers, by the compose files and images of docker/: everything in one, and a
container for each service with a Redis.

A Docker engine must run and the images must be there: `make e2e-test` sees to both. The tests are on
the same machine and are root, so that they reach the containers' addresses, the admin sockets within
(through /proc/PID/root) and their network namespaces. One deployment at a time: addresses are fixed.
"""

import atexit
import concurrent.futures
import contextlib
import glob
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from forms import (
    CLOCK,
    LABELS,
    MEMORY,
    SECOND_SERVER,
    VISUALIZER,
    Form,
    fill,
    make_clock,
    mount_small,
    step_clock,
)
from skywire_process import PATIENCE, SOURCE, program, request, wait_for

sys.path.insert(0, str(SOURCE / "docker"))
import containers  # noqa: E402

# Operations of the engine at one time.
PARALLEL = 6
# How often it is asked whether something has ended, seconds.
LOOK = 0.25
# Of the users in the images.
USER = 65532
REDIS_USER = 65533
# In the folder of a deployment: what its containers read, and what they have beside the compose file.
FILE = "deployment.json"
OVERRIDE = "override.json"
# Where run.py has a folder for what one file of tests leaves to the next, and what is said of it there.
HANDED_ON = os.environ.get("SKYWIRE_E2E_HANDED_ON")
HANDED_ON = pathlib.Path(HANDED_ON) if HANDED_ON else None
KEPT = "kept.json"
# This machine, as the containers see it.
GATEWAY = "174.0.0.1"

# Label, compose service, address in the network `intra`.
NINE = {
    "dmsgd": ("dmsg-discovery", "174.0.0.4"),
    "dmsgs": ("dmsg-server", "174.0.0.5"),
    "tpd": ("transport-discovery", "174.0.0.2"),
    "sd": ("service-discovery", "174.0.0.9"),
    "ar": ("address-resolver", "174.0.0.8"),
    "rf": ("route-finder", "174.0.0.3"),
    "sn": ("setup-node", "174.0.0.6"),
    "tps": ("transport-setup", "174.0.0.16"),
    "stun": ("stun-server", "174.0.0.17"),
    "conf": ("config-bootstrapper", "174.0.0.18"),
    VISUALIZER: ("network-visualizer", "174.0.0.19"),
}
# With replicas these too. The block that tpd2, sd2 and rf2 run is that of the first.
PLACES = {
    **NINE,
    "dmsgs2": ("dmsg-server-2", "174.0.0.45"),
    "tpd2": ("transport-discovery-2", "174.0.0.42"),
    "sd2": ("service-discovery-2", "174.0.0.49"),
    "rf2": ("route-finder-2", "174.0.0.43"),
}
BLOCK_OF = {"tpd2": "tpd", "sd2": "sd", "rf2": "rf"}


class _Redis:
    """What a test may do to the Redis of a deployment."""

    def __init__(self, form):
        self._form = form

    def stop(self):
        self._form.act("redis", "stop", t=10)

    def start(self):
        self._form.act("redis", "start")

    def empty(self):
        """Forgets the data set; Redis is stopped."""
        empty(self._form.redis_data)

    def pause(self):
        self._form.pause("redis")

    def resume(self):
        self._form.resume("redis")

    def kill(self):
        self._form.kill("redis")


def empty(folder):
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


class _Kept:
    """Containers of a test that is over, for the next one: as they run where that takes them so, else
    killed and started again where it wants the same ones. Files of tests that run one after the other
    hand them on by a file in HANDED_ON."""

    now = None

    def __init__(self, engine, said):
        self.form = said["form"]
        self.services = said["services"]
        self.labels = said["labels"]
        self.clients = said["clients"]
        self.place = pathlib.Path(said["place"])
        self.file = self.place / FILE
        # None once they are killed.
        self.config = said["config"]
        self.project = _project(engine, self.form, self.place)

    def said(self):
        names = ("form", "services", "labels", "clients", "config")
        return {"place": str(self.place), **{name: getattr(self, name) for name in names}}

    @classmethod
    def keep(cls, form):
        cls.now = cls(form.engine, form.said())
        if form._disturbed or form.test.has_failed():
            cls.now.kill()

    @classmethod
    def hand_on(cls):
        if cls.now is not None and HANDED_ON:
            (HANDED_ON / KEPT).write_text(json.dumps(cls.now.said()))
            cls.now = None

    @classmethod
    def take_over(cls, engine):
        """Where they have not been removed meanwhile."""
        if not HANDED_ON or not (HANDED_ON / KEPT).exists():
            return
        found = cls(engine, json.loads((HANDED_ON / KEPT).read_text()))
        (HANDED_ON / KEPT).unlink()
        if found.services == sorted(found.project.containers()):
            cls.now = found

    def kill(self):
        def kill(service):
            name = self.project.container(service)
            with contextlib.suppress(containers.Trouble):
                self.project.engine.ask("POST", f"/containers/{name}/kill")

        if self.config is None:
            return
        with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(kill, self.project.containers()))
        self.config = None

    @classmethod
    def take_running(cls, form):
        """With at least the services that this form wants, which read the same of their file."""
        found = cls.now
        if found is None or found.config is None or found.form != form.form:
            return None
        # Clients count among the sessions that tests count.
        if found.clients != form._clients or not set(form._services()) <= set(found.services):
            return None
        if not all(each in found.config["services"] for each in form.config["services"]):
            return None
        cls.now = None
        return found

    @classmethod
    def take(cls, form):
        found = cls.now
        if found is None or (found.form, found.services) != (form.form, form._services()):
            return None
        cls.now = None
        found.kill()
        return found

    @classmethod
    def remove(cls):
        if cls.now is not None:
            with contextlib.suppress(containers.Trouble):
                cls.now.project.down(networks=False)
            shutil.rmtree(cls.now.place, ignore_errors=True)
            cls.now = None


class _Alone:
    """Whether this process is the one whose turn it is; until its end, for it keeps containers."""

    turn = None
    refused = None

    @classmethod
    def begin(cls):
        # Who waited in vain once does not wait again for every test.
        if cls.refused is not None:
            raise AssertionError(cls.refused)
        if cls.turn is None:
            cls.turn = contextlib.ExitStack()
            try:
                # So that nobody ends it, who has had it too.
                engine = cls.turn.enter_context(containers.using_engine())
                cls.turn.enter_context(containers.alone())
                _Kept.take_over(engine)
            except containers.Trouble as trouble:
                cls.refused = str(trouble)
                raise AssertionError(cls.refused) from None

    @classmethod
    def end(cls):
        _Kept.hand_on()
        _Kept.remove()
        if cls.turn is not None:
            cls.turn.close()


atexit.register(_Alone.end)


def remove_handed_on():
    """What the last file of tests has left."""
    if HANDED_ON and (HANDED_ON / KEPT).exists():
        with contextlib.suppress(AssertionError):
            _Alone.begin()
            _Kept.remove()


def _project(engine, form, place):
    files, _, _ = containers.FORMS[form]
    return containers.Project(
        engine,
        containers.TEST_PROJECT,
        [*(containers.HERE / file for file in files), place / OVERRIDE],
        {"SKYWIRE_CONFIG": place / FILE},
    )


class Containers(Form):
    """Containers of one compose project."""

    restarts = True
    # Of containers.FORMS.
    form = ""

    def __init__(self, test):
        super().__init__(test)
        self.engine = containers.find_engine()
        if self.engine is None:
            raise AssertionError(
                "no Docker engine answers: docker/containers.py with COMMAND runs one around it"
            )
        self.project = None
        self._place = None
        self._plain = False
        self._since = "0"
        self._mounts = []
        # What `cut` took from a label: its networks; and what it put in its way.
        self._unplugged = {}
        self._rules = {}
        self._ballast = {}
        self._clocks = {}
        # Main processes, as last known; when `alive` has looked.
        self._pids = {}
        self._looked = 0.0
        # Restarts that the test has caused, by compose service.
        self._starts = {}
        self._ended = set()
        # All containers are there; somebody has done something to them.
        self._there = False
        self._disturbed = False
        self.labels = []
        self._clients = []

    # What a subclass says.

    def service_of(self, label):
        """The compose service that runs the label."""
        raise NotImplementedError

    def ip_of(self, label):
        raise NotImplementedError

    def disks(self):
        """Labels with a disk of their own: compose service, folder in it, its owner."""
        raise NotImplementedError

    # life

    def up(
        self, *, clocks=(), small_disks=(), only=LABELS, replicas=(), clients=False, shared=False,
        **changes,
    ):  # fmt: skip
        if clients and self.form != "one":
            raise unittest.SkipTest(f"{self.name}: no clients in containers beside it")
        self._clients = ["client-a", "client-b"] if clients else []
        _Alone.begin()
        self._choose(only, replicas)
        self._make_config(changes)
        # Most tests want the same containers, and differ in the file that these read.
        self._plain = not clocks and not small_disks
        self._since = f"{time.time():.9f}"
        if shared and self._plain and (running := _Kept.take_running(self)):
            self._adopt(running)
            self.labels, self._clients = running.labels, running.clients
            self.file, self.config = running.file, running.config
        elif self._plain and (ended := _Kept.take(self)):
            self._adopt(ended)
            self._write_config()
            self._start_again()
        else:
            _Kept.remove()
            self._place = pathlib.Path(
                tempfile.mkdtemp(prefix="skywire-e2e-", dir=HANDED_ON or MEMORY)
            )
            self._write_config()
            self._create(clocks, small_disks)
        self._there = True
        self._starts = {
            service: self.project.inspect(service)["RestartCount"]
            for service in self.project.containers()
        }
        for label in self.labels:
            self.wait_running(label)
        return self

    def _choose(self, only, replicas):
        """What is going to run."""
        self.labels = [label for label in (*LABELS, VISUALIZER) if label in only]

    def _adopt(self, kept):
        self.project = kept.project
        self._place = kept.place

    def _create(self, clocks, small_disks):
        self._place.chmod(0o755)
        override = {"version": "3.9", "services": {}}
        for label in clocks:
            self._prepare_clock(label, override["services"])
        for label in self.disks():
            self._prepare_disk(label, label in small_disks, override["services"])
        (self._place / OVERRIDE).write_text(json.dumps(override))
        self.project = _project(self.engine, self.form, self._place)
        try:
            self.project.up(*self._services())
        except containers.Trouble as trouble:
            raise AssertionError(str(trouble)) from None
        self._ask_neighbours_once()

    def _start_again(self):
        """The containers of the test before, which have ended, with nothing of what they knew."""
        for place in self._place.glob("disk.*"):
            empty(place)
        with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
            names = [self.project.container(service) for service in self._services()]
            list(pool.map(lambda name: self.engine.ask("POST", f"/containers/{name}/start"), names))

    def _ask_neighbours_once(self):
        """That nobody has an address is known after a twentieth of a second, not after three."""
        for network in self.project.networks():
            folder = pathlib.Path(f"/proc/sys/net/ipv4/neigh/br-{network['Id'][:12]}")
            for name, value in (("mcast_solicit", "1"), ("retrans_time_ms", "50")):
                (folder / name).write_text(value)

    def _services(self):
        """What compose is to start."""
        return sorted({*map(self.service_of, self.labels), *self._clients})

    def said(self):
        """As _Kept takes it."""
        return {
            "form": self.form,
            "services": self._services(),
            "labels": self.labels,
            "clients": self._clients,
            "place": str(self._place),
            "config": self.config,
        }

    def _make_config(self, changes):
        """The file of this form, as the containers and the commands beside the test read it: both
        can dial an address, the names are the containers' alone."""
        _, name, _ = containers.FORMS[self.form]
        blocks = json.loads((SOURCE / "configs" / name).read_text())["services"]
        blocks = [each for each in blocks if each["name"] in self.labels]
        for each in blocks:
            label = each["name"]
            if label == "dmsgs2":
                each["secret_key"], each["public_key"] = SECOND_SERVER
            for peer in each.get("peers", []):
                if peer["address"] == f"{self.ip_of('dmsgs2')}:8080":
                    peer["public_key"] = SECOND_SERVER[1]
            if "health_addr" in each:
                port = each["health_addr"].rsplit(":", 1)[1]
                each["health_addr"] = f"{self.ip_of(label)}:{port}"
            if "mode" in each:
                # The test may say that it speaks for somebody else, as a reverse proxy would.
                each["trusted_proxies"] = ["127.0.0.0/8", "::1", GATEWAY]
            each.update(changes.get(label, {}))
        self.config = {"services": blocks}
        self.test._remember_secrets(self.config)

    def _write_config(self):
        self.file = self._place / FILE
        self.file.write_text(json.dumps(self.config, indent=4))
        self.file.chmod(0o644)

    def down(self):
        self._disturbed = True
        self.leave()

    def leave(self):
        if self.project is not None:
            if self._there and self._plain and not self._unplugged:
                _Kept.keep(self)
            else:
                self.project.down(networks=False)
            self.project = None
        for mount in self._mounts:
            subprocess.run(["umount", "-l", str(mount)], check=False, capture_output=True)
        if self._place is not None and not (_Kept.now and _Kept.now.place == self._place):
            shutil.rmtree(self._place, ignore_errors=True)
        self._mounts = []
        self._place = None

    def command(self, label, name):
        self._disturbed = True
        return super().command(label, name)

    def settled(self):
        self._disturbed = False

    def act(self, label, action, **query):
        """An operation of the engine on the container of a label."""
        self._disturbed = True
        name = self.project.container(self.service_of(label))
        return self.engine.ask("POST", f"/containers/{name}/{action}", **query)

    def _all(self, label):
        services = self.project.containers() if label is None else [self.service_of(label)]
        return [service for service in services if service != "redis" or label == "redis"]

    def terminate(self, label=None):
        # The engine does not start again what it was told to signal.
        self._disturbed = True
        for service in self._all(label):
            self._ended.add(service)
            name = self.project.container(service)
            with contextlib.suppress(containers.Trouble):
                self.engine.ask("POST", f"/containers/{name}/kill", signal="SIGTERM")

    def wait_exit(self, label=None):
        codes = []
        for service in self._all(label):
            name = self.project.container(service)
            code = self.engine.ask("POST", f"/containers/{name}/wait", timeout=PATIENCE)[
                "StatusCode"
            ]
            codes.append(128 - code if code > 128 else code)
        return min(codes) if min(codes) < 0 else max(codes)

    def start(self, label):
        self._ended.discard(self.service_of(label))
        self.act(label, "start")

    def _pid(self, label):
        """Of the container's main process; None while there is none."""
        return self.project.inspect(self.service_of(label))["State"]["Pid"] or None

    def kill(self, label, number=signal.SIGKILL):
        self._disturbed = True
        service = self.service_of(label)
        before = self.project.inspect(service)["State"]
        if not before["Pid"]:
            raise AssertionError(f"{label} does not run")
        self._starts[service] = self._starts.get(service, 0) + 1
        # Not by the engine, which would take it for an end that is meant.
        os.kill(before["Pid"], number)

        def gone():
            state = self.project.inspect(service)["State"]
            return not state["Running"] or state["StartedAt"] != before["StartedAt"]

        wait_for(f"the end of {label}", gone)

    def pause(self, label):
        self._disturbed = True
        os.kill(self._pid(label), signal.SIGSTOP)

    def resume(self, label):
        os.kill(self._pid(label), signal.SIGCONT)

    def wait_running(self, label):
        def look():
            answer = self.try_ask(label, f"/services/{label}")
            if answer is None or answer.json["state"] != "ready":
                return False
            # The discovery is ready when it serves HTTP, and on dmsg a little later.
            return label != "dmsgd" or "dmsg" in answer.json["milestones"]

        self.wait_for(f"{label} to be ready", look)

    def run_in_client(self, name, *words):
        done = self.engine.run(
            containers.docker(), "exec", self.project.container(name), "skywire", *words,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    # faults

    def _prepare_clock(self, label, services):
        service_name = self.service_of(label)
        file = self._place / f"clock.{service_name}"
        self._clocks[label] = file
        if file.exists():
            return
        make_clock(file)
        service = services.setdefault(service_name, {})
        service["environment"] = {"LD_PRELOAD": "/clock/step.so", "SKYWIRE_CLOCK_STEP": "/clock/step"}
        service.setdefault("volumes", []).extend(
            [f"{program(CLOCK)}:/clock/step.so:ro", f"{file}:/clock/step:ro"]
        )

    def clock_step(self, label, seconds):
        if label not in self._clocks:
            return super().clock_step(label, seconds)
        step_clock(self._clocks[label], seconds)
        return None

    def _prepare_disk(self, label, small, services):
        """The data in a folder of the test's: a small file system where the test fills it."""
        service, target, owner = self.disks()[label]
        place = self._place / f"disk.{service}"
        if not place.exists():
            place.mkdir(mode=0o700)
            services.setdefault(service, {}).setdefault("volumes", []).append(f"{place}:{target}")
        if small and place not in self._mounts:
            if why := mount_small(place):
                raise AssertionError(why)
            self._mounts.append(place)
        os.chown(place, owner, owner)

    def _disk(self, label):
        """None where the label has none that is small."""
        if label not in self.disks():
            return None
        place = self._place / f"disk.{self.disks()[label][0]}"
        return place if place in self._mounts else None

    def fill_disk(self, label):
        place = self._disk(label)
        if place is None:
            return super().fill_disk(label)
        self._ballast[label] = fill(place)
        return None

    def free_disk(self, label):
        if label not in self._ballast:
            return super().free_disk(label)
        self._ballast.pop(label).unlink()
        return None

    # looking

    def block(self, label):
        return super().block(BLOCK_OF.get(label, label))

    def address(self, label):
        found = self.block(label)
        text = found.get("addr") or found.get("health_endpoint_address")
        return f"{self.ip_of(label)}:{text.rsplit(':', 1)[1]}" if text else None

    def listens(self, label):
        # With the last container its network goes too: nothing says any more that nobody is there.
        return self._pid(label) is not None and super().listens(label)

    def udp_address(self, label):
        found = self.block(label)
        if label == "stun":
            return f"{found['primary_ip']}:{found['port']}"
        return f"{self.ip_of(label)}:{found['udp_addr'].rsplit(':', 1)[1]}"

    def dmsg_address(self, label="dmsgs"):
        return self.block(label)["public_address"]

    def ask(self, label, path, *, method="GET", **more):
        path = path.replace(f"/services/{label}", f"/services/{BLOCK_OF.get(label, label)}")
        return request(f"unix:{self._admin(label)}", method, path, **more)

    def _admin(self, label):
        """Its admin socket. The engine is asked only where the process is another one: while it starts
        containers it has enough to do."""
        service = self.service_of(label)
        for known in (True, False):
            if not known:
                self._pids[service] = self._pid(label)
            pid = self._pids.get(service)
            # Its name is a hash of the file and the labels; there is one in a container.
            if pid and (found := glob.glob(f"/proc/{pid}/root/run/skywire/*.sock")):
                return found[0]
        raise ConnectionRefusedError(f"{label} has no admin socket")

    def logs(self, label):
        return self._logs(self.service_of(label))

    def outputs(self):
        if self.project is None:
            return []
        return [self._logs(service) for service in self.project.containers()]

    def _logs(self, service):
        return self.project.logs(service, since=self._since)

    def alive(self):
        # A question for each container: not at every turn of who waits.
        if time.monotonic() < self._looked + LOOK:
            return
        self._looked = time.monotonic()
        for service in self.project.containers():
            if service in self._ended:
                continue
            found = self.project.inspect(service)
            state = found["State"]
            if state["Status"] == "exited":
                raise AssertionError(
                    f"the container of {service} ended with {state['ExitCode']}\n"
                    + containers.tail(self._logs(service), 40)
                )
            if found["RestartCount"] > self._starts.get(service, 0):
                raise AssertionError(
                    f"the container of {service} was started again, which nobody asked for\n"
                    + containers.tail(self._logs(service), 40)
                )

    def explain(self):
        if self.project is None:
            return "it is not up"
        parts = []
        for service, state in sorted(self.project.containers().items()):
            parts.append(f"--- container {service}: {state['Status']}")
            label = self.label_of(service)
            for path in ("/health", "/timeline"):
                answer = self.try_ask(label, path, timeout=2.0) if label else None
                if answer is not None:
                    parts.append(f"--- {path}\n{answer.text[-20000:]}")
            parts.append(f"--- logs\n{self._logs(service)[-20000:]}")
        return "\n".join(parts)

    def label_of(self, service):
        """A label that this compose service runs, if it runs any."""
        for label in PLACES:
            with contextlib.suppress(KeyError):
                if self.service_of(label) == service:
                    return label
        return None


class OneContainer(Containers):
    name = "container"
    form = "one"
    durable = True

    def service_of(self, label):
        if label not in (*LABELS, VISUALIZER):
            raise KeyError(label)
        return "deployment-services"

    def _choose(self, only, replicas):
        if replicas:
            raise unittest.SkipTest(f"{self.name}: there is one of everything")
        super()._choose(only, replicas)

    def ip_of(self, label):
        return "174.0.0.17"

    def wait_kept(self, label, look):
        self.wait_in_snapshot(self._place / "disk.deployment-services", label, look)

    def disks(self):
        return dict.fromkeys(LABELS, ("deployment-services", "/var/lib/skywire", USER))


class NineContainers(Containers):
    name = "nine-containers"
    form = "nine"
    apart = True
    durable = True
    has_redis = True
    has_links = True

    def __init__(self, test):
        super().__init__(test)
        self.redis = _Redis(self)

    @property
    def redis_data(self):
        return self._place / "disk.redis"

    def _choose(self, only, replicas):
        super()._choose(only, replicas)
        self.labels += [f"{label}2" for label in replicas]
        self.form = "replicas" if replicas else "nine"

    def _services(self):
        return sorted(["redis", *super()._services()])

    def addresses(self, label):
        return [self.address(each) for each in (label, f"{label}2") if each in self.labels]

    def service_of(self, label):
        return "redis" if label == "redis" else PLACES[label][0]

    def ip_of(self, label):
        return "174.0.0.250" if label == "redis" else PLACES[label][1]

    def disks(self):
        return {"redis": ("redis", "/data", REDIS_USER)}

    def _disk(self, label):
        # Theirs is the one of Redis.
        return super()._disk("redis" if label in ("dmsgd", "tpd", "rf", "ar", "sd") else label)

    def cut(self, label, hard=False, of=None):
        self._disturbed = True
        if hard and of is None:
            self._disconnect(label)
            return
        # Everything but loopback: the container's own resolver stays reachable.
        others = [None] if of is None else self._ips(of)
        refuse = ["REJECT", "--reject-with", "tcp-reset"] if hard else ["DROP"]
        for other in others:
            for chain in ("INPUT", "OUTPUT"):
                if of is None:
                    option = ["!", "-i" if chain == "INPUT" else "-o", "lo"]
                else:
                    option = ["-p", "tcp", "-s" if chain == "INPUT" else "-d", other]
                rule = [chain, *option, "-j", *refuse]
                self._iptables(label, "-I", rule)
                self._rules.setdefault(label, []).append(rule)

    def _ips(self, label):
        networks = self.project.inspect(self.service_of(label))["NetworkSettings"]["Networks"]
        return [network["IPAddress"] for network in networks.values()]

    def mend(self, label):
        for rule in self._rules.pop(label, ()):
            self._iptables(label, "-D", rule)
        networks = self._unplugged.pop(label, {})
        for name, settings in networks.items():
            self.engine.ask(
                "POST",
                f"/networks/{name}/connect",
                {
                    "Container": self.project.container(self.service_of(label)),
                    "EndpointConfig": {
                        "IPAMConfig": settings["IPAMConfig"],
                        "Aliases": settings["Aliases"],
                    },
                },
            )

    def _iptables(self, label, action, rule):
        done = subprocess.run(
            ["nsenter", "--target", str(self._pid(label)), "--net", "iptables", action, *rule],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise AssertionError(f"iptables in the container of {label}: {done.stderr.strip()}")

    def _disconnect(self, label):
        service = self.service_of(label)
        networks = self.project.inspect(service)["NetworkSettings"]["Networks"]
        self._unplugged[label] = networks
        for name in networks:
            self.engine.ask(
                "POST",
                f"/networks/{name}/disconnect",
                {"Container": self.project.container(service), "Force": True},
            )

FORMS = {form.name: form for form in (OneContainer, NineContainers)}
