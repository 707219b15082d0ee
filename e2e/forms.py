"""A running deployment seen from outside, whatever it runs in: one process, nine, one container or
nine (spec/e2e.md section 8). A test that takes a `Form` runs in every one of them.

The form of a run is named by SKYWIRE_E2E_FORM:

    process              every service in one process, data in memory
    nine-processes       a process per service from the same file, data in memory
    nine-processes-redis      the same, data in a Redis
    nine-processes-snapshot   the same, data in memory with an SQLite snapshot
    container            every service in one container
    nine-containers      a container per service, data in a Redis

"Nine" is what everybody calls them; with the config-bootstrapper they are ten.

Addresses are text, "host:port", as they are dialled from where the tests run. A label is the name of
a block: dmsgd dmsgs tpd sd ar rf sn tps stun conf. What a form cannot do raises unittest.SkipTest
with the reason, which the summary lists.
"""

import contextlib
import ctypes
import http.client
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

import skywire_process
from entries import Key
from skywire_process import (
    KEYS,
    PATIENCE,
    Deployment,
    Redis,
    Scenario,
    SnapshotFile,
    block,
    dial,
    dmsg_server,
    free_address,
    free_port,
    get,
    nine,
    post,
    program,
    request,
    sums,
    wait_for,
)

# With replicas there are also the labels tpd2, sd2 and rf2, which share a Redis, a key and a name with
# those without the 2, and dmsgs2, a dmsg-server of its own with a session to dmsgs.
LABELS = ("dmsgd", "dmsgs", "tpd", "sd", "ar", "rf", "sn", "tps", "stun", "conf")
# Only where a test names it: the network-visualizer, which makes itself a key.
VISUALIZER = "viz"
# Those with an HTTP listener.
WITH_ADDRESS = ("dmsgd", "dmsgs", "tpd", "sd", "ar", "rf", "tps", "conf")
# Those that keep what they are told, and the number of their database. The route-finder reads the
# database of the transport-discovery.
DATABASES = {"dmsgd": 0, "tpd": 1, "rf": 1, "ar": 2, "sd": 3}

# The second dmsg-server's key pair.
SECOND_SERVER = (
    "4a2c1c9b8e7d6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a",
    Key("4a2c1c9b8e7d6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a").public,
)
# Preloaded into a service it steps its wall clock: clock_step.cpp.
CLOCK = "skywire_clock_step.so"
SMALL_DISK = 8 << 20
# Where data lies that has to outlive processes, and nothing more: a disk that others use, too, takes
# long to say that it has something. None: below /tmp.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def all_blocks(**changes):
    """The nine, a config-bootstrapper and a network-visualizer."""
    blocks = nine(**changes)
    dmsg = {"discovery": f"http://{blocks[0]['addr']}", "sessions_count": 1}
    conf = {"addr": free_address(), "mode": "dual", "dmsg": dmsg, "testing": True}
    viz = {"addr": free_address(), "dmsg": dmsg}
    return [
        *blocks,
        block("config-bootstrapper", "conf", **{**conf, **changes.get("conf", {})}),
        block("network-visualizer", VISUALIZER, **{**viz, **changes.get(VISUALIZER, {})}),
    ]


def chosen():
    """The name of the form of this run."""
    return os.environ.get("SKYWIRE_E2E_FORM", "process")


def chosen_class():
    """What is known of it before there is one."""
    name = chosen()
    if name in PROCESS_FORMS:
        return PROCESS_FORMS[name]
    import container_forms

    return container_forms.FORMS[name]


def fill(folder):
    """To the last byte; the file that holds them."""
    ballast = folder / "ballast"
    with open(ballast, "ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass
    return ballast


def mount_small(folder):
    """A file system of SMALL_DISK; None, or why not."""
    line = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK},mode=700", "tmpfs", str(folder)]
    done = subprocess.run(line, capture_output=True, check=False)
    return None if done.returncode == 0 else f"{' '.join(line)}: {done.stderr.decode().strip()}"


def make_clock(file):
    """What clock_step.cpp reads, with no step."""
    file.write_bytes(struct.pack("=q", 0))
    file.chmod(0o644)


def step_clock(file, seconds):
    """In place: services have it mapped."""
    with open(file, "r+b", buffering=0) as clock:
        clock.write(struct.pack("=q", seconds))


class Form:
    """One deployment. A subclass says in what it runs; only what stands here is used by tests."""

    # As in SKYWIRE_E2E_FORM.
    name = ""
    # Every service has a process of its own.
    apart = False
    # What was answered 200 outlives a kill -9 of any service.
    durable = False
    # What has ended unasked is started again by somebody else than the test.
    restarts = False
    # There is a Redis, where the data lies; the network between any two services can be cut.
    has_redis = False
    has_links = False
    # A handle with stop(), start(), empty() (between the two: the data set is forgotten), pause(),
    # resume() and kill(); None where there is none.
    redis = None
    # The deployment file for commands that run beside the test, with the addresses they dial.
    file = None
    # Its content.
    config = None

    def __init__(self, test):
        self.test = test

    # life

    def up(
        self, *, clocks=(), small_disks=(), only=LABELS, replicas=(), clients=False, shared=False,
        **changes,
    ):  # fmt: skip
        """Starts an empty deployment and waits until every service is ready; returns self.
        `shared`: it need be neither empty nor started for this test, which looks at nothing but what
        it has made with keys of its own. Where starting takes long it gets one that others have had
        and left well, with at least these services.
        `changes`: keys for the block of a label, tpd={"entry_timeout": "10m"}.
        `clocks`: labels for which clock_step is going to be called.
        `small_disks`: labels ("redis" too) for which fill_disk is going to be called.
        `only`: the labels to start; the others are left out of the file too.
        `replicas`: of "tpd", "sd", "rf" and "dmsgs", which there are two of.
        `clients`: those of docker-compose.e2e.yml beside it."""
        raise NotImplementedError

    def down(self):
        """Ends everything at once and leaves nothing behind. May be called twice, and after a
        failed `up`."""
        raise NotImplementedError

    def leave(self):
        """The test is over: the same, but what runs well may go on for one that shares it."""
        self.down()

    def stop(self):
        """An orderly end of everything; the highest exit code."""
        self.terminate()
        return self.wait_exit()

    def terminate(self, label=None):
        """SIGTERM, and nothing starts it again, for the process that holds the label; for all
        without one. Returns at once."""
        raise NotImplementedError

    def wait_exit(self, label=None):
        """Its exit code after `terminate`, negative for a signal; without a label the highest, or
        the lowest where one is negative."""
        raise NotImplementedError

    def start(self, label):
        """Starts what `terminate` has ended. Returns at once."""
        raise NotImplementedError

    def kill(self, label, number=signal.SIGKILL):
        """The process that holds the label gets a signal that ends it, and is started again by
        whoever does that in this form. Returns at once: `wait_running` waits."""
        raise NotImplementedError

    def pause(self, label):
        """SIGSTOP."""
        raise NotImplementedError

    def resume(self, label):
        """SIGCONT."""
        raise NotImplementedError

    def restart(self, label, stop=signal.SIGTERM):
        """Ends the process that holds the label by this signal, starts it again, and waits until
        it is ready."""
        if stop == signal.SIGTERM:
            self.terminate(label)
            self.wait_exit(label)
            self.start(label)
        else:
            self.kill(label, stop)
        self.wait_running(label)

    def wait_running(self, label):
        """Until its process is there and the service is ready."""
        raise NotImplementedError

    def settled(self):
        """All that the test has done to it is over, and it is as well as before: others may share it."""

    def run_in_client(self, name, *words):
        """A command in the container of a client ("client-a"): exit code and output."""
        raise unittest.SkipTest(f"{self.name}: no clients in containers beside it")

    # faults

    def cut(self, label, hard=False, of=None):
        """No packets between this service and all others, or this other one ("redis" too):
        silently, or as an interface that is gone; to the one other, as a peer that refuses."""
        raise unittest.SkipTest(f"{self.name}: the services share one loopback interface")

    def mend(self, label):
        """Of all that `cut` has cut off it."""
        raise unittest.SkipTest(f"{self.name}: the services share one loopback interface")

    def clock_step(self, label, seconds):
        """From now on its wall clock is so far off; the monotonic one stays."""
        raise unittest.SkipTest(f"{self.name}: no clock of its own for {label}")

    def fill_disk(self, label):
        """Not a byte is left where it keeps its data."""
        raise unittest.SkipTest(f"{self.name}: no disk of its own for {label}")

    def free_disk(self, label):
        raise unittest.SkipTest(f"{self.name}: no disk of its own for {label}")

    def wait_kept(self, label, look):
        """Until what was acknowledged outlives a kill -9: a snapshot is up to a second behind, `look`
        says of a SnapshotFile whether it has it. With a Redis it does at once."""

    def wait_in_snapshot(self, folder, label, look):
        """`wait_kept` where the snapshot lies in this folder."""
        file = folder / f"{label}.sqlite"
        self.wait_for(f"what {label} was told on disk", lambda: look(SnapshotFile(file)))

    # looking

    def address(self, label):
        """Where it speaks HTTP; None for those that do not."""
        raise NotImplementedError

    def udp_address(self, label):
        """Of ar: where sudph is bound. Of stun: its first address and port."""
        raise NotImplementedError

    def dmsg_address(self, label="dmsgs"):
        """Where the dmsg-server takes sessions."""
        raise NotImplementedError

    def ask(self, label, path, *, method="GET", **more):
        """The admin listener of the process that holds the label."""
        raise NotImplementedError

    def logs(self, label):
        """What the process that holds the label has said, all starts together."""
        raise NotImplementedError

    def outputs(self):
        """Everything any of its processes said, where Scenario does not know that already: it is
        searched for secrets."""
        return []

    def alive(self):
        """Raises AssertionError when a process has ended that should run; called while waiting."""

    def explain(self):
        """For a failed test: timeline, logs and health tree of every service."""
        raise NotImplementedError

    def addresses(self, label):
        """What the name of the service stands for: two addresses where there is a replica."""
        return [self.address(label)]

    def listens(self, label):
        """Whether it takes connections where it speaks HTTP."""
        try:
            dial(self.address(label)).close()
        except OSError:
            return False
        return True

    # The rest follows from the above.

    def block(self, label):
        return next(each for each in self.config["services"] if each["name"] == label)

    def block_labels(self):
        return [each["name"] for each in self.config["services"]]

    def get(self, label, path, **more):
        return get(self.address(label), path, **more)

    def post(self, label, path, body=b"", **more):
        return post(self.address(label), path, body, **more)

    def request(self, label, method, path, body=None, headers=None, **more):
        return request(self.address(label), method, path, body, headers, **more)

    def try_ask(self, label, path, **more):
        """None while nobody listens."""
        try:
            return self.ask(label, path, **more)
        except (OSError, http.client.HTTPException):
            return None

    def service(self, label):
        return self.ask(label, f"/services/{label}").json

    def command(self, label, name):
        """An operator's: restart, stop, start."""
        path = f"/services/{label}/{name}"
        return self.ask(label, path, method="POST", timeout=PATIENCE)

    def timeline(self, label, after=0):
        """Of the process that holds the label; in a form of one process that of all."""
        return self.ask(label, f"/timeline?after={after}").json

    def last_event(self, label):
        events = self.timeline(label)
        return events[-1]["number"] if events else 0

    def wait_event(self, label, event, detail="", after=0):
        """The first such event of this label."""

        def look():
            for each in self.timeline(label, after):
                if (each["label"], each["event"]) == (label, event) and detail in each["detail"]:
                    return each
            return None

        return self.wait_for(f"event {label} {event} {detail}", look)

    def metric(self, label, name, *words):
        """Sum of the series of this name whose labels hold all words, in the process that holds the
        label."""
        return self.metrics(label, name, *words)[0]

    def metrics(self, label, name, *words):
        """The same, and the sum of all series of this name, both of one moment."""
        return sums(self.ask(label, "/metrics").text, name, words)

    def lines(self, label, *words):
        """The log lines that hold all words."""
        return [line for line in self.logs(label).splitlines() if all(w in line for w in words)]

    def wait_for(self, what, look, patience=PATIENCE):
        """As skywire_process.wait_for; ends early when a process has ended that should run."""

        def guarded():
            found = look()
            if not found:
                self.alive()
            return found

        return wait_for(what, guarded, patience)

    def disc(self):
        """Options for commands that are to be on its dmsg network."""
        return ["--disc", f"http://{self.address('dmsgd')}"]

    def health(self, *options):
        """What `svc health` says: exit code 0 is green, the output the table."""
        return self.test.run_cli("svc", "health", "--config", self.file, *options)


# processes ---------------------------------------------------------------------------------------


class Processes(Form):
    """One or several `svc run` of one file on this machine."""

    def __init__(self, test):
        super().__init__(test)
        # By label; one process may hold several.
        self.processes = {}
        self._ending = set()
        self._mounts = []
        self._clocks = {}
        self._ballast = {}

    # What a subclass says.

    def _groups(self):
        """The labels of each process; None: all in one."""
        raise NotImplementedError

    def _stored(self, only):
        """Keys of the blocks that say where data goes."""
        return {}

    # life

    def up(
        self, *, clocks=(), small_disks=(), only=LABELS, replicas=(), clients=False, shared=False,
        **changes,
    ):  # fmt: skip
        # It takes no time here: each has its own.
        del shared
        if clients:
            raise unittest.SkipTest(f"{self.name}: no clients in containers beside it")
        self._place = self.test.subfolder("deployment")
        for label in clocks:
            self._prepare_clock(label)
        for label in small_disks:
            self._prepare_disk(label)
        merged = {label: dict(keys) for label, keys in self._stored(only).items()}
        for label, keys in changes.items():
            merged.setdefault(label, {}).update(keys)
        self.config = {
            "services": [each for each in all_blocks(**merged) if each["name"] in only],
            "supervisor": {"state_dir": str(self._place / "state")},
        }
        self.file = self._place / "deployment.json"
        self._add_replicas(replicas)
        for labels in self._groups():
            self._prepare(labels)
        for process in self._each():
            process.start()
        for label in self.processes:
            self.wait_running(label)
        return self

    def _add_replicas(self, labels):
        if labels:
            raise unittest.SkipTest(f"{self.name}: no store that replicas could share")

    def _prepare(self, labels):
        folder = self._place if labels is None else self.test.subfolder(f"deployment/{labels[0]}")
        options = ["--admin", f"unix:{folder / 'admin.sock'}"]
        if labels is not None:
            options += ["--only", ",".join(labels)]
        environment = {}
        for label in labels or self.block_labels():
            if label in self._clocks:
                environment |= self._clock_environment(label)
        process = Deployment(
            folder,
            self.config,
            binary=program(),
            options=options,
            environment=environment,
            file_name=self.file,
        )
        self.test.adopt(process, self.config)
        for label in labels or self.block_labels():
            self.processes[label] = process

    def _each(self):
        return list({id(each): each for each in self.processes.values()}.values())

    def _of(self, label):
        return self._each() if label is None else [self.processes[label]]

    def down(self):
        for process in self._each():
            if process.process is not None:
                process.kill()
        if self.redis is not None:
            self.redis.kill()
        for mount in self._mounts:
            subprocess.run(["umount", "-l", str(mount)], check=False, capture_output=True)
        self._mounts = []

    def terminate(self, label=None):
        for process in self._of(label):
            self._ending.add(id(process))
            if process.running:
                process.terminate()

    def wait_exit(self, label=None):
        codes = [process.wait_exit() for process in self._of(label)]
        return min(codes) if min(codes) < 0 else max(codes)

    def start(self, label):
        process = self.processes[label]
        process.start()
        self._ending.discard(id(process))

    def kill(self, label, number=signal.SIGKILL):
        process = self.processes[label]
        self._ending.add(id(process))
        process.signal(number)
        process.wait_exit()
        self.start(label)

    def pause(self, label):
        self.processes[label].signal(signal.SIGSTOP)

    def resume(self, label):
        self.processes[label].signal(signal.SIGCONT)

    def wait_running(self, label):
        def look():
            answer = self.try_ask(label, f"/services/{label}")
            return answer is not None and answer.json["state"] == "ready"

        self.wait_for(f"{label} to be ready", look)

    # faults

    def _prepare_clock(self, label):
        if skywire_process.SANITIZED:
            raise unittest.SkipTest("a sanitizer's run-time wants to be the first library")
        self._clocks[label] = self._place / f"clock.{label}"
        make_clock(self._clocks[label])

    def _clock_environment(self, label):
        return {"LD_PRELOAD": program(CLOCK), "SKYWIRE_CLOCK_STEP": str(self._clocks[label])}

    def clock_step(self, label, seconds):
        if label not in self._clocks:
            return super().clock_step(label, seconds)
        step_clock(self._clocks[label], seconds)
        return None

    def _disk(self, label):
        return self._place / ("disk.redis" if label == "redis" else "state")

    def _prepare_disk(self, label):
        """A small file system that only this thread and its children see."""
        if os.geteuid() != 0:
            raise unittest.SkipTest("a disk of its own needs root (mount)")
        libc = ctypes.CDLL(None, use_errno=True)
        CLONE_NEWNS = 0x00020000
        if libc.unshare(CLONE_NEWNS) != 0:
            raise unittest.SkipTest(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
        place = self._disk(label)
        if place in self._mounts:
            return
        place.mkdir(exist_ok=True)
        private = ["mount", "--make-rprivate", "/"]
        done = subprocess.run(private, capture_output=True, check=False)
        why = done.stderr.decode().strip() if done.returncode != 0 else mount_small(place)
        if why:
            raise unittest.SkipTest(why)
        self._mounts.append(place)

    def fill_disk(self, label):
        place = self._disk(label)
        if place not in self._mounts:
            return super().fill_disk(label)
        self._ballast[label] = fill(place)
        return None

    def free_disk(self, label):
        if label not in self._ballast:
            return super().free_disk(label)
        self._ballast.pop(label).unlink()
        if label == "redis" and self.redis.process.poll() is not None:
            # It gives up where it cannot keep what it has answered for.
            self.redis.start()
        return None

    # looking

    def address(self, label):
        found = self.block(label)
        return found.get("addr") or found.get("health_endpoint_address")

    def udp_address(self, label):
        found = self.block(label)
        if label == "stun":
            return f"{found['primary_ip']}:{found['port']}"
        return found["udp_addr"]

    def dmsg_address(self, label="dmsgs"):
        return self.block(label)["public_address"]

    def ask(self, label, path, *, method="GET", **more):
        return request(self.processes[label].admin, method, path, **more)

    def logs(self, label):
        process = self.processes[label]
        return "".join(
            (process.folder / f"stderr.{start}").read_text(errors="replace")
            for start in range(1, process.starts + 1)
        )

    def alive(self):
        for process in self._each():
            if not process.running and id(process) not in self._ending:
                code = process.process.returncode if process.process else None
                raise AssertionError(f"a process ended with {code}\n{process.err}")

    def explain(self):
        return "\n".join(process.describe() for process in self._each())


class OneProcess(Processes):
    name = "process"

    def _groups(self):
        return [None]


class NineProcesses(Processes):
    name = "nine-processes"
    apart = True

    def _groups(self):
        return [[label] for label in self.block_labels()]


class NineProcessesRedis(NineProcesses):
    name = "nine-processes-redis"
    durable = True
    has_redis = True

    def __init__(self, test):
        super().__init__(test)
        # Blocks of other files, by the label they have here.
        self._replicas = {}

    def _add_replicas(self, labels):
        """A replica is the same block at another address, so it stands in a file of its own."""
        for label in labels:
            if label == "dmsgs":
                self._add_dmsg_server()
                continue
            block_ = {**self.block(label), "addr": free_address()}
            config = {"services": [block_], "supervisor": self.config["supervisor"]}
            name = f"{label}2"
            folder = self.test.subfolder(f"deployment/{name}")
            process = Deployment(
                folder,
                config,
                binary=program(),
                options=["--admin", f"unix:{folder / 'admin.sock'}", "--only", label],
            )
            self.test.adopt(process, config)
            self._replicas[name] = block_
            self.processes[name] = process

    def _add_dmsg_server(self):
        first = self.block("dmsgs")
        secret, public = SECOND_SERVER
        second = dmsg_server(self.block("dmsgd")["addr"], "dmsgs2", secret_key=secret)
        for one, other, key in ((first, second, public), (second, first, KEYS["dmsgs"][1])):
            one["peers"] = [{"public_key": key, "address": other["public_address"]}]
        self.config["services"].append(second)

    def block(self, label):
        return self._replicas.get(label) or super().block(label)

    def addresses(self, label):
        return [self.address(each) for each in (label, f"{label}2") if each in self.processes]

    def ask(self, label, path, **more):
        # In its own file a replica has the name of the first.
        own = label.removesuffix("2") if label in self._replicas else label
        path = path.replace(f"/services/{label}", f"/services/{own}")
        return super().ask(label, path, **more)

    def _stored(self, only):
        if not Redis.installed:
            raise unittest.SkipTest("redis-server is not installed")
        folder = self._disk("redis")
        if folder not in self._mounts and MEMORY:
            memory = tempfile.TemporaryDirectory(prefix="skywire-e2e-", dir=MEMORY)
            self.test.addCleanup(memory.cleanup)
            folder = pathlib.Path(memory.name)
        folder.mkdir(exist_ok=True)
        self.redis = Redis(folder)
        return {
            label: {"redis": self.redis.url(number)}
            for label, number in DATABASES.items()
            if label in only
        }


class NineProcessesSnapshot(NineProcesses):
    name = "nine-processes-snapshot"
    durable = True

    def _stored(self, only):
        stored = {label: {"testing": False} for label in DATABASES if label != "rf"}
        # Outside of a test deployment a dmsg-server may not be listed with a loopback address; a
        # name is not looked into.
        port = free_port("127.0.0.1")
        stored["dmsgs"] = {
            "local_address": f"127.0.0.1:{port}",
            "public_address": f"localhost:{port}",
        }
        return {label: keys for label, keys in stored.items() if label in only}

    def wait_kept(self, label, look):
        self.wait_in_snapshot(self._disk(label), label, look)


PROCESS_FORMS = {
    form.name: form
    for form in (OneProcess, NineProcesses, NineProcessesRedis, NineProcessesSnapshot)
}


class FormScenario(Scenario):
    """A test of a deployment in whatever form the run has."""

    def setUp(self):
        super().setUp()
        self._forms = []

    def up(self, **options):
        """A deployment that is ready, the discovery's dmsg side too, which cannot wait for a server
        of another process: until it has a session and has written its entry. It ends with the test.
        Options: Form.up."""
        form = chosen_class()(self)
        self._forms.append(form)
        form.up(**options)
        if {"dmsgd", "dmsgs"} <= set(form.block_labels()):
            form.wait_for(
                "the discovery on dmsg",
                lambda: "dmsg" in form.service("dmsgd")["milestones"]
                and form.get("dmsgd", "/health").json.get("dmsg_servers"),
            )
        return form

    def doCleanups(self):
        if self.has_failed():
            for form in self._forms:
                print(f"--- form {form.name}\n{form.explain()}", file=sys.stderr, flush=True)
        said = [text for form in self._forms for text in form.outputs()]
        for form in self._forms:
            form.leave()
        for secret in self.secrets:
            if any(secret in text for text in said):
                raise AssertionError("a secret was printed")
        return super().doCleanups()
