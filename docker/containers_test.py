#!/usr/bin/env python3
"""What containers.py says where it cannot do what it is told, and that nothing is left behind.

All but WithEngine needs no engine and takes some seconds. With an engine that answers
(docker/containers.py with docker/containers_test.py) and the images there that runs too.
"""

import contextlib
import fcntl
import http.server
import io
import json
import os
import pathlib
import shutil
import socket
import socketserver
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse
from unittest import mock

import containers
import engine
import projects
import waiting

HERE = pathlib.Path(__file__).resolve().parent
NAME = "skywire-e2e-refused"


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir="/tmp")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def program(self, name, text):
        """An executable that comes first in PATH."""
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


class WithoutEngine(Folder):
    def setUp(self):
        super().setUp()
        self.run_folder = self.folder / "run"
        # Nothing but these, so that no engine of the machine is found.
        programs = self.folder / "bin"
        programs.mkdir()
        for name in ("setpriv", "sleep", "cat"):
            if found := shutil.which(name):
                (programs / name).symlink_to(found)
        # Where other users can read it, wherever the checkout is.
        for module in ("containers.py", "engine.py", "projects.py", "waiting.py"):
            shutil.copy(HERE / module, self.folder)
        self.environment = {
            "PATH": str(programs),
            "SKYWIRE_ENGINE_RUN": str(self.run_folder),
            "SKYWIRE_DOCKER_SOCKET": str(self.folder / "no.sock"),
            "SKYWIRE_DOCKER_DATA": str(self.folder / "data"),
            "SKYWIRE_E2E_LOCKS": str(self.folder / "locks"),
        }
        (self.folder / "locks").mkdir()
        (self.folder / "locks").chmod(0o777)

    def up(self, *prefix, command=("up", "one"), **environment):
        done = subprocess.run(
            [*prefix, sys.executable, str(self.folder / "containers.py"), *command],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 1, done)
        self.assertNotIn("Traceback", done.stderr)
        self.assertFalse(self.run_folder.exists(), "files of an engine are left")
        return done.stderr

    def test_no_docker(self):
        said = self.up()
        self.assertEqual(self.up(command=["ready"]), said)
        self.assertIn("Docker is not installed", said)
        self.assertIn("tools/setup.sh containers", said)

    @unittest.skipUnless(os.geteuid() == 0, "takes root to give root away")
    def test_no_privilege(self):
        self.program("dockerd", "exit 1")
        self.folder.chmod(0o755)
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        python = subprocess.run(
            [*nobody, sys.executable, "-c", ""], capture_output=True, env=self.environment
        )
        if python.returncode != 0:
            self.skipTest(f"nobody may run {sys.executable}")
        said = self.up(*nobody)
        self.assertIn("root", said)

    @unittest.skipUnless(os.geteuid() == 0, "another message comes first")
    @unittest.skipIf(engine.in_chroot(), "another message comes first")
    def test_an_engine_that_does_not_start(self):
        for words, hint in (
            ("mount: operation not permitted", "--privileged"),
            ("write /x: no space left on device", "no disk left"),
            ("failed to create NAT chain: iptables not found", "iptables"),
        ):
            with self.subTest(words):
                self.program("dockerd", f"echo '{words}' >&2; exit 3")
                said = self.up()
                self.assertIn("ended with 3", said)
                self.assertIn(hint, said)
                self.assertIn(words, said)

    @unittest.skipUnless(os.geteuid() == 0, "another message comes first")
    @unittest.skipIf(engine.in_chroot(), "another message comes first")
    def test_no_disk_left(self):
        data = self.folder / "data"
        data.mkdir()
        line = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(data)]
        if subprocess.run(line, capture_output=True, check=False).returncode != 0:
            self.skipTest("mounts are not allowed here")
        self.addCleanup(subprocess.run, ["umount", str(data)], check=True)
        self.program("dockerd", "exit 3")
        said = self.up()
        self.assertIn(f"no disk left: {data} has 8 MB free", said)
        self.assertIn("SKYWIRE_DOCKER_DATA", said)

    @unittest.skipUnless(os.geteuid() == 0 and engine.in_chroot(), "no chroot")
    def test_a_chroot(self):
        self.program("dockerd", "exit 3")
        self.assertIn("from a chroot", self.up())
        self.assertIn("from a chroot", self.up(command=["ready"]))

    def test_an_engine_that_is_named_and_not_there(self):
        said = self.up(DOCKER_HOST="unix:///nowhere/docker.sock")
        self.assertIn("no Docker engine answers at DOCKER_HOST=unix:///nowhere/docker.sock", said)
        named = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
        self.assertEqual(self.up(command=["ready"], **named), said)
        self.assertIn("one of this machine", self.up(DOCKER_HOST="tcp://192.0.2.1:2375"))


class FakeEngine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers what `answers` has for a path without its version; keeps what was asked."""

    daemon_threads = True

    def __init__(self, path, **answers):
        self.answers = {
            "/version": {"ApiVersion": "1.41", "MinAPIVersion": "1.12"},
            "/networks": [],
            "/containers/json": [],
            "/volumes": {"Volumes": None},
            **answers,
        }
        self.asked = []
        super().__init__(str(path), FakeHandler)


class FakeHandler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        path, _, query = self.path.partition("?")
        self.server.asked.append((self.command, path, dict(urllib.parse.parse_qsl(query))))
        found = self.server.answers.get("/" + path.split("/", 2)[2] if path[:2] == "/v" and
                                        path != "/version" else path)  # fmt: skip
        data = json.dumps({"message": "page not found"} if found is None else found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


class Asking(Folder):
    """What an engine is asked, and what becomes of its answers."""

    def fake(self, **answers):
        server = FakeEngine(self.folder / "docker.sock", **answers)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        return server, engine.Engine(str(self.folder / "docker.sock"))

    def test_the_version_of_the_interface(self):
        for least, most, chosen in (
            ("1.12", "1.41", (1, 41)),
            ("1.24", "1.50", (1, 41)),
            ("1.44", "1.52", (1, 44)),
            ("1.12", "1.40", (1, 40)),
            (None, None, (1, 41)),
            ("x", "1", (1, 41)),
        ):
            self.assertEqual(engine.negotiated(least, most), chosen, (least, most))

    def test_an_engine_that_has_forgotten_old_versions(self):
        version = {"ApiVersion": "1.52", "MinAPIVersion": "1.44"}
        server, found = self.fake(**{"/version": version})
        self.assertEqual(found.ask("GET", "/networks"), [])
        self.assertEqual([path for _, path, _ in server.asked], ["/version", "/v1.44/networks"])
        self.assertEqual(found.environment["DOCKER_API_VERSION"], "1.44")
        self.assertEqual(found.environment["COMPOSE_API_VERSION"], "1.44")

    def test_debians_engine(self):
        server, found = self.fake()
        found.ask("GET", "/networks")
        self.assertEqual(server.asked[-1][1], "/v1.41/networks")
        self.assertEqual(found.environment.get("DOCKER_API_VERSION"),
                         os.environ.get("DOCKER_API_VERSION"))  # fmt: skip

    def test_a_silent_engine(self):
        path = self.folder / "silent.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            with self.assertRaises(engine.Silent) as caught:
                engine.Engine(str(path))._request("GET", "/info", timeout=0.05)
        self.assertIn(f"{path} does not answer GET /info", str(caught.exception))
        self.assertIn("systemctl restart docker", str(caught.exception))
        self.assertFalse(engine.Engine(str(path)).answers())

    def test_the_disk_is_that_of_the_engine(self):
        _, found = self.fake(**{"/info": {"DockerRootDir": str(self.folder)}})
        found.check_disk(1)
        with self.assertRaises(containers.Trouble) as caught:
            found.check_disk(1 << 60)
        self.assertIn(f"no disk left: {self.folder} has", str(caught.exception))

    def test_a_disk_that_cannot_be_seen_from_here(self):
        _, found = self.fake(**{"/info": {"DockerRootDir": str(self.folder / "not here")}})
        found.check_disk(1 << 60)

    def test_containers_are_found_by_their_labels(self):
        names = [{"Names": ["/skywire-e2e-test-stun-server-1"], "Id": "1"}]
        server, found = self.fake(**{"/containers/json": names})
        project = projects.Project(found, "skywire-e2e-test", [])
        self.assertEqual(project.container("stun-server"), "skywire-e2e-test-stun-server-1")
        self.assertEqual(
            json.loads(server.asked[-1][2]["filters"])["label"],
            [
                "com.docker.compose.project=skywire-e2e-test",
                "com.docker.compose.service=stun-server",
            ],
        )
        server.answers["/containers/json"] = []
        with self.assertRaises(containers.Trouble):
            project.container("setup-node")

    def test_only_what_is_ours_is_removed(self):
        def of(name, number):
            return {"Id": number, "Name": number, "Labels": {"com.docker.compose.project": name}}

        ours, theirs = of("skywire-e2e-old", "1"), of("skywire", "2")
        server, found = self.fake(
            **{
                "/containers/json": [ours, theirs],
                "/networks": [theirs],
                "/volumes": {"Volumes": [of("skywire-e2e-data", "3"), of("other", "4")]},
            }
        )
        self.assertEqual(projects.project_names(found), ["skywire-e2e-data", "skywire-e2e-old"])

    def test_images_without_a_name_go(self):
        server, found = self.fake(**{"/images/prune": {}})
        found.prune()
        method, path, query = server.asked[-1]
        self.assertEqual((method, path), ("POST", "/v1.41/images/prune"))
        self.assertEqual(query, {"filters": '{"dangling": ["true"]}'})

    def test_a_compose_that_hangs(self):
        _, found = self.fake()
        child = self.folder / "child"
        self.program("docker-compose", f"echo Creating a\nsleep 1000 & echo $! >{child}\nwait")
        program = [str(self.folder / "bin" / "docker-compose")]
        project = projects.Project(found, "skywire-e2e-test", [])
        with mock.patch.object(projects, "compose", lambda: program):
            with self.assertRaises(containers.Trouble) as caught:
                project.compose("up", seconds=5.0)
        said = str(caught.exception)
        self.assertIn("docker-compose up of skywire-e2e-test hangs", said)
        self.assertIn("Creating a", said)
        pid = child.read_text().strip()
        deadline = time.monotonic() + 30
        while b"sleep" in b"".join(engine._command_line(pid)):
            self.assertLess(time.monotonic(), deadline, "what compose started lives on")

    def test_routes_that_are_nobodys_subnets(self):
        routes = self.folder / "route"
        routes.write_text(
            "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
            "eth0 00000000 0100A8C0 0003 0 0 0 00000000 0 0 0\n"
            "tun0 00000000 0100080A 0003 0 0 0 00000080 0 0 0\n"
            "tun0 00000080 0100080A 0003 0 0 0 00000080 0 0 0\n"
            "tun0 000000A0 0100080A 0003 0 0 0 000000E0 0 0 0\n"
            "eth0 0000000A 00000000 0001 0 0 0 000000FF 0 0 0\n"
        )
        _, found = self.fake()
        with mock.patch.object(projects, "ROUTES", routes):
            self.assertEqual(
                [(str(network), name) for network, name in projects.networks_in_use()],
                [("10.0.0.0/8", "eth0")],
            )
            projects.check_subnets(found, "skywire-e2e-test")
            with open(routes, "a") as file:
                file.write("br0 000700AE 00000000 0001 0 0 0 00FFFFFF 0 0 0\n")
            with self.assertRaises(containers.Trouble) as caught:
                projects.check_subnets(found, "skywire-e2e-test")
        said = str(caught.exception)
        self.assertIn("174.0.0.0/16 is taken by interface br0 with 174.0.7.0/24", said)


class Turns(Folder):
    """Who waits for whom."""

    def setUp(self):
        super().setUp()
        patch = mock.patch.object(waiting, "LOCKS", self.folder)
        patch.start()
        self.addCleanup(patch.stop)

    def wait_in_vain(self, minutes=0.003):
        said = io.StringIO()
        with contextlib.redirect_stderr(said), self.assertRaises(containers.Trouble) as caught:
            with waiting.turn("lock", "the containers", minutes=minutes):
                self.fail("two at a time")
        return said.getvalue(), str(caught.exception)

    def test_who_waits_says_for_whom(self):
        with waiting.turn("lock", "the containers"):
            said, refused = self.wait_in_vain()
        holder = f"process {os.getpid()} ({sys.argv[0]}"
        self.assertIn("waiting for the containers: " + holder, said)
        self.assertEqual(said.count("\n"), 1)
        self.assertIn("minutes for the containers: " + holder, refused)
        with waiting.turn("lock", "the containers", minutes=0):
            pass

    def test_a_holder_that_is_not_known(self):
        with open(self.folder / "lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            said, refused = self.wait_in_vain()
        self.assertIn("a process that did not say its number", said)
        self.assertIn("try again", refused)

    def test_a_lock_that_cannot_be_had(self):
        (self.folder / "lock").symlink_to(self.folder / "elsewhere")
        with self.assertRaises(containers.Trouble) as caught:
            with waiting.turn("lock", "the containers"):
                pass
        self.assertIn(str(self.folder / "lock"), str(caught.exception))
        self.assertFalse((self.folder / "elsewhere").exists())

    def test_an_engine_ends_with_its_last_user(self):
        ours = engine.Engine(str(engine.RUN / "docker.sock"))
        events = []
        there = []
        busy = []

        def start():
            events.append("start")
            there.append(ours)
            return ours

        def stop():
            events.append("stop")
            there.clear()
            return True

        def use():
            return engine.used(lambda _: events.append("tidy"), lambda _: not busy)

        with mock.patch.multiple(
            engine, start_engine=start, stop_engine=stop, find_engine=lambda: (there or [None])[0]
        ):
            with use():
                with use():
                    pass
                self.assertEqual(events, ["start", "tidy"])
            self.assertEqual(events, ["start", "tidy", "stop"])
            # With a deployment in it it stays, and so it does where somebody uses it.
            busy.append(True)
            with use():
                pass
            self.assertEqual(events[3:], ["start", "tidy"])
            with mock.patch.object(engine, "pid_of_ours", lambda: 1):
                with use():
                    self.assertIs(engine.end_of_ours(), False)
                self.assertIs(engine.end_of_ours(), True)
            self.assertEqual(events[5:], ["stop"])

    def test_one_that_does_not_get_started(self):
        def fail(_):
            raise containers.Trouble("no")

        ours = engine.Engine(str(engine.RUN / "docker.sock"))
        stop = mock.Mock()
        with mock.patch.multiple(
            engine, start_engine=lambda: ours, stop_engine=stop, find_engine=lambda: None
        ):
            with self.assertRaises(containers.Trouble):
                with engine.used(fail, lambda _: True):
                    self.fail("used")
        stop.assert_called_once_with()


class Machine(Folder):
    """What is known of the machine from before an engine's first start."""

    def setUp(self):
        super().setUp()
        for name, value in (
            ("RUN", self.folder),
            ("_machine_state", lambda: {"boot": engine._boot(), "mounts": ["now"]}),
        ):
            patch = mock.patch.object(engine, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.file = self.folder / "before.json"

    def remembered(self):
        engine._remember_machine()
        return json.loads(self.file.read_text())["mounts"]

    def test_what_a_crash_left_is_no_state_to_go_back_to(self):
        self.assertEqual(self.remembered(), ["now"])
        self.file.write_text(json.dumps({"boot": engine._boot(), "mounts": ["then"]}))
        self.assertEqual(self.remembered(), ["then"])

    def test_of_another_boot_or_broken(self):
        for text in ('{"boot": "another", "mounts": ["then"]}', '{"mounts": ["then"]}', "{", "[]"):
            with self.subTest(text):
                self.file.write_text(text)
                self.assertEqual(self.remembered(), ["now"])

    def test_a_number_that_is_another_process_by_now(self):
        (self.folder / "dockerd.pid").write_text(str(os.getpid()))
        self.assertIsNone(engine.pid_of_ours())
        self.assertFalse(engine.crashed())
        self.file.write_text("{}")
        self.assertTrue(engine.crashed())

    def test_an_engine_that_takes_its_time_to_end(self):
        """Its file goes first; nothing is tidied up before the process has ended."""
        pid_file = self.folder / "dockerd.pid"
        wait = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
        wait.append(str(pid_file))
        pipe = subprocess.PIPE
        with subprocess.Popen(wait, stdin=pipe, stdout=pipe) as process:
            # Its command line is there a moment after Popen has returned.
            process.stdout.readline()
            pid_file.write_text(str(process.pid))
            self.file.write_text("{}")
            ended = []

            def end(pid, number):
                self.assertEqual((pid, number), (process.pid, engine.signal.SIGTERM))
                pid_file.unlink()
                threading.Timer(0.1, process.stdin.close).start()

            def tidy():
                ended.append(not engine._is_ours(process.pid))

            with mock.patch.object(engine.os, "kill", end):
                with mock.patch.object(engine, "_tidy_after_engine", tidy):
                    self.assertTrue(engine.stop_engine())
            self.assertEqual(ended, [True])

    def test_a_chroot(self):
        with mock.patch.object(engine, "_mounts", lambda: ["/proc", "/sys"]):
            self.assertTrue(engine.in_chroot())
        with mock.patch.object(engine, "_mounts", lambda: ["/", "/proc"]):
            self.assertFalse(engine.in_chroot())

    def test_who_keeps_data_in_a_folder(self):
        wait = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
        wait += ["--data-root", str(self.folder / "a" / "data")]
        pipe = subprocess.PIPE
        with subprocess.Popen(wait, stdin=pipe, stdout=pipe) as process:
            # Its command line is there a moment after Popen has returned.
            process.stdout.readline()
            self.assertEqual(engine.keepers(self.folder / "a"), [process.pid])
            self.assertEqual(engine.keepers(self.folder / "b"), [])
            process.stdin.close()


def answering():
    with contextlib.suppress(containers.Trouble):
        found = containers.find_engine()
        if found is not None and not found.missing_images():
            return found
    return None


@unittest.skipUnless(answering(), "no engine answers, or it has no images")
class WithEngine(Folder):
    """Compose files of one container, or two."""

    def setUp(self):
        super().setUp()
        lock = contextlib.ExitStack()
        self.addCleanup(lock.close)
        lock.enter_context(containers.alone())
        self.engine = answering()

    def project(self, services, networks=None):
        file = self.folder / "compose.json"
        content = {"version": "3.9", "services": services}
        if networks:
            content["networks"] = networks
        file.write_text(json.dumps(content))
        made = containers.Project(self.engine, NAME, [file])
        self.addCleanup(made.down)
        return made

    def left(self):
        """What the engine has of the project."""
        label = json.dumps({"label": [f"com.docker.compose.project={NAME}"]})
        found = self.engine.ask("GET", "/containers/json", all="1", filters=label)
        return found + self.engine.ask("GET", "/networks", filters=label)

    def refused(self, project, *words):
        with self.assertRaises(containers.Trouble) as caught:
            project.up()
        for word in words:
            self.assertIn(word, str(caught.exception))
        self.assertEqual(self.left(), [])

    def test_a_subnet_of_another_network(self):
        other = self.engine.ask(
            "POST",
            "/networks/create",
            {"Name": "taker", "IPAM": {"Config": [{"Subnet": "174.0.7.0/24"}]}},
        )
        self.addCleanup(self.engine.ask, "DELETE", f"/networks/{other['Id']}")
        self.refused(
            self.project({"a": {"image": "skywire:e2e"}}),
            "174.0.0.0/16 is taken by network taker with 174.0.7.0/24",
            "docker network rm taker",
        )

    def test_a_subnet_of_an_interface(self):
        add = ["ip", "link", "add", "taker0", "type", "bridge"]
        if subprocess.run(add, capture_output=True, check=False).returncode != 0:
            self.skipTest("no interface can be made here")
        self.addCleanup(subprocess.run, ["ip", "link", "delete", "taker0"], check=True)
        subprocess.run(["ip", "address", "add", "175.0.9.1/24", "dev", "taker0"], check=True)
        subprocess.run(["ip", "link", "set", "taker0", "up"], check=True)
        self.refused(
            self.project({"a": {"image": "skywire:e2e"}}),
            "175.0.0.0/16 is taken by interface taker0",
            "ip address show taker0",
        )

    def test_networks_that_a_deployment_left(self):
        """Tests keep theirs for the next one; whoever is alone after them finds them in the way."""
        self.engine.ask(
            "POST",
            "/networks/create",
            {
                "Name": "left",
                "IPAM": {"Config": [{"Subnet": "174.0.0.0/16"}]},
                "Labels": {"com.docker.compose.project": containers.TEST_PROJECT},
            },
        )
        self.project({"a": {"image": "skywire:e2e"}}).up()
        names = [each["Name"] for each in self.engine.ask("GET", "/networks")]
        self.assertNotIn("left", names)

    def test_a_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            services = {"a": {"image": "skywire:e2e", "ports": [f"127.0.0.1:{port}:9090"]}}
            self.refused(self.project(services), "a port or an address is taken", str(port))

    def test_an_image_that_is_not_there(self):
        project = self.project({"a": {"image": "skywire-test:never"}})
        with self.assertRaises(containers.Trouble):
            project.up()
        self.assertEqual(self.left(), [])

    def test_the_health_check_of_the_image(self):
        project = self.project({"a": {"image": "skywire:e2e", "user": "65532", "read_only": True,
                                      "tmpfs": ["/run/skywire:mode=0700,uid=65532"]}})  # fmt: skip
        project.up()
        check = project.inspect("a")["Config"]["Healthcheck"]["Test"]
        self.assertEqual(check[0], "CMD")
        line = [containers.docker(), "exec", project.container("a"), *check[1:]]
        deadline = time.monotonic() + 30
        while (done := self.engine.run(*line, check=False, capture_output=True)).returncode != 0:
            self.assertLess(time.monotonic(), deadline, done)
        # The image's own file is the default one.
        blocks = json.loads((containers.ROOT / "configs" / "deployment.json").read_text())
        self.assertEqual(done.stdout.count(b" ok "), len(blocks["services"]), done)
        # Of one that stands still it says so.
        stop = ["/usr/bin/skywire", "svc", "stop", "stun", *check[-2:]]
        self.engine.run(*line[:3], *stop, check=True, capture_output=True)
        done = self.engine.run(*line, check=False, capture_output=True)
        self.assertEqual(done.returncode, 1, done)

    def test_a_container_that_dies_at_once(self):
        config = self.folder / "deployment.json"
        config.write_text('{"services": [{"type": "stun-server"}]}')
        config.chmod(0o644)
        self.folder.chmod(0o755)
        project = self.project(
            {
                "stun": {
                    "image": "skywire:e2e",
                    "restart": "always",
                    "volumes": [f"{config}:/etc/skywire/deployment.json:ro"],
                }
            }
        )
        project.up()
        deadline = time.monotonic() + 30
        with self.assertRaises(containers.Trouble) as caught:
            while time.monotonic() < deadline:
                project.check_alive()
        said = str(caught.exception)
        self.assertIn("the container of stun ended", said)
        self.assertIn("primary_ip", said)
        self.assertIn("skywire svc check", said)
        project.down()
        self.assertEqual(self.left(), [])


if __name__ == "__main__":
    unittest.main()
