"""Start, shutdown, signals, exit codes. S07, S09 to S12."""

import json
import os
import pathlib
import signal
import threading
import unittest

from skywire_process import (
    PATIENCE,
    SANITIZED,
    SOURCE,
    Scenario,
    dial,
    discovery,
    free_address,
    get,
    listens,
    read_to_end,
    stun,
    tester,
    wait_for,
)


class Start(Scenario):
    def test_s07_everything_becomes_ready_in_graph_order(self):
        blocks = [
            # File order is not dependency order.
            tester("last", depends_on=["left", "right"]),
            tester("left", depends_on=["root"], start_delay="150ms"),
            tester("right", depends_on=["root"], start_delay="150ms"),
            discovery("root"),
            stun(),
        ]
        deployment = self.boot(*blocks, faults=True)
        health = deployment.health()
        self.assertEqual({each["state"] for each in health["services"]}, {"ready"})
        self.assertEqual((health["status"], health["ready"]), ("ready", True))
        names = [f"{each['label']} {each['event']}" for each in deployment.timeline()]

        def before(*order):
            places = [names.index(each) for each in order]
            self.assertEqual(places, sorted(places), (order, names))

        before("root starting", "root ready", "left starting", "left ready", "last starting")
        before("right starting", "right ready", "last starting", "last ready")
        # The two branches overlap, and so do the two that wait for nothing.
        before("left starting", "right ready")
        before("right starting", "left ready")
        before("stun starting", "left starting")
        self.assertEqual(deployment.stop(), 0)

    def test_s07_the_graph_command_shows_the_same_order(self):
        blocks = [tester("b", depends_on=["a:listening"]), tester("a")]
        deployment = self.boot(*blocks, faults=True)
        for options in ([], ["--live"]):
            done = self.run_cli(
                "svc", "graph", "--config", deployment.file, "--format", "json", *options,
                faults=True,
            )  # fmt: skip
            self.assertEqual(done.code, 0, done)
            graph = json.loads(done.out)
            (edge,) = graph["edges"]
            self.assertEqual(
                (edge["upstream"], edge["milestone"], edge["dependent"]), ("a", "listening", "b")
            )
            states = {each["label"]: each.get("state") for each in graph["services"]}
            state = "ready" if options else None
            self.assertEqual(states, {"a": state, "b": state})

    def test_readiness_is_503_with_the_cause_until_then(self):
        deployment = self.prepare(
            tester("slow", never_ready=True), tester("behind", depends_on=["slow"]), faults=True
        )
        deployment.start().wait_admin()
        deployment.wait_event("behind", "waiting")
        answer = deployment.ask("/readyz")
        self.assertEqual(answer.status, 503)
        self.assertIn("behind", answer.text)
        self.assertIn("slow", answer.text)
        self.assertEqual(deployment.ask("/health").status, 503)
        self.assertEqual(deployment.ask("/livez").status, 200)
        status = self.run_cli("svc", "status", "--config", deployment.file, faults=True)
        self.assertEqual(status.code, 1)
        self.assertIn("starting", status.out)
        self.assertEqual(deployment.stop(), 0)

    def test_only_runs_the_chosen_blocks(self):
        blocks = [discovery("one"), discovery("two"), stun()]
        deployment = self.prepare(*blocks, options=["--only", "two,stun"])
        deployment.start().wait_ready()
        labels = [each["label"] for each in deployment.health()["services"]]
        self.assertEqual(labels, ["two", "stun"])
        self.assertEqual(deployment.get("two", "/health").status, 200)
        self.assertNotListening(deployment.address("one"))
        self.assertEqual(deployment.stop(), 0)

    def test_only_turns_an_edge_into_a_check_of_the_other_process(self):
        """Two processes of one file, found by the file and their labels."""
        runtime = self.subfolder("runtime")
        environment = {"XDG_RUNTIME_DIR": str(runtime)}
        blocks = [discovery("up"), tester("down", depends_on=["up"])]
        config = {"services": blocks}
        second = self.prepare_file(
            config, faults=True, options=["--only", "down"], environment=environment
        )
        second.start()
        options = ["--config", second.file, "--only", "down"]

        def status():
            done = self.run_cli(
                "svc", "status", "--json", *options, faults=True, environment=environment
            )
            return json.loads(done.out)["services"][0] if done.out else None

        service = wait_for(
            "the cause", lambda: (found := status()) and "up at" in found["reason"] and found
        )
        self.assertEqual(service["state"], "starting")
        self.assertIn(blocks[0]["addr"], service["root_cause"])
        first = self.prepare_file(
            config, faults=True, options=["--only", "up"], environment=environment, folder="a"
        )
        # Same file, another folder for what it prints.
        first.folder = self.subfolder("b")
        first.start()
        wait_for("readiness", lambda: (found := status()) and found["state"] == "ready")
        both = self.run_cli(
            "svc", "status", "--config", second.file, faults=True, environment=environment
        )
        self.assertEqual(both.code, 0, both)
        self.assertRegex(both.out, r"(?m)^up .*ready")
        self.assertRegex(both.out, r"(?m)^down .*ready")
        sockets = list(runtime.rglob("*.sock*"))
        self.assertEqual(len(sockets), 2, sockets)
        for path in sockets:
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(first.stop(), 0)
        self.assertEqual(second.stop(), 0)

    def test_a_hundred_blocks_in_a_chain(self):
        blocks = [{"type": "noop", "name": "n0"}]
        for index in range(1, 100):
            blocks.append({"type": "noop", "name": f"n{index}", "depends_on": [f"n{index - 1}"]})
        deployment = self.boot(*reversed(blocks))
        self.assertEqual(len(deployment.health()["services"]), 100)
        self.assertEqual(self.run_cli("svc", "status", "--config", deployment.file).code, 0)
        self.assertEqual(deployment.stop(), 0)

    def test_a_process_is_found_by_its_file_however_the_path_is_written(self):
        environment = {"XDG_RUNTIME_DIR": str(self.subfolder("runtime"))}
        deployment = self.prepare_file(
            {"services": [discovery()]}, environment=environment, folder="a"
        )
        deployment.arguments[4] = "deployment.json"  # it runs in that folder
        deployment.start()
        line = deployment.wait_for("its address", lambda: deployment.lines("admin.listening"))
        deployment.admin = line[0].rpartition("address=")[2]
        deployment.wait_ready()
        for path in (deployment.file, "a/deployment.json", "./a/../a//deployment.json"):
            done = self.run_cli("svc", "status", "--config", path, environment=environment)
            self.assertEqual(done.code, 0, done)
        self.assertEqual(deployment.stop(), 0)
        done = self.run_cli("svc", "status", "--config", deployment.file, environment=environment)
        self.assertEqual(done.code, 1)
        self.assertIn("no process runs", done.err)

    def test_one_process_per_file(self):
        deployment = self.boot({"type": "noop", "name": "n"})
        again = self.prepare_file(deployment.config, folder="b")
        again.start()
        self.assertEqual(again.wait_exit(), 1)
        self.assertIn(deployment.admin.removeprefix("unix:"), again.err)
        self.assertEqual(deployment.ask("/livez").status, 200)
        self.assertEqual(deployment.stop(), 0)

    def test_a_second_start_of_a_file_says_that_it_runs(self):
        environment = {"XDG_RUNTIME_DIR": str(self.subfolder("runtime"))}
        config = {"services": [{"type": "noop", "name": "n"}]}
        first = self.prepare_file(config, environment=environment)
        first.start()
        line = ["svc", "status", "--config", first.file]
        wait_for("readiness", lambda: self.run_cli(*line, environment=environment).code == 0)
        again = self.prepare_file(config, environment=environment, folder="a")
        # Same file, another folder for what it prints.
        again.folder = self.subfolder("b")
        again.start()
        self.assertEqual(again.wait_exit(), 1)
        self.assertIn(f"{first.file} runs already; ", again.err)
        self.assertIn(f"held by process {first.process.pid}, ", again.err)
        self.assertEqual(self.run_cli(*line, environment=environment).code, 0)
        self.assertEqual(first.stop(), 0)

    def test_the_socket_of_a_killed_process_is_no_hindrance(self):
        deployment = self.boot({"type": "noop", "name": "n"})
        deployment.kill()
        self.assertTrue(pathlib.Path(deployment.admin.removeprefix("unix:")).exists())
        deployment.start().wait_ready()
        self.assertEqual(deployment.stop(), 0)
        self.assertFalse(pathlib.Path(deployment.admin.removeprefix("unix:")).exists())


class Held:
    """A request that a tester answers when it is let go."""

    def __init__(self, deployment, label, file):
        self._file = file
        self.answers = []
        path = f"/slow?until={file}"
        self._thread = threading.Thread(
            target=lambda: self.answers.append(deployment.get(label, path, timeout=PATIENCE)),
            daemon=True,
        )
        self._thread.start()
        deployment.wait_event(label, "slow-request", "begun")

    def let_go(self):
        """What it is answered."""
        self._file.touch()
        self._thread.join(PATIENCE)
        return self.answers


class Shutdown(Scenario):
    def hold(self, deployment, label):
        return Held(deployment, label, self.folder / f"{label}-goes-on")

    def test_s09_sigterm_stops_in_reverse_order(self):
        deployment = self.boot(
            discovery("root"),
            stun(),
            tester("middle", depends_on=["root"]),
            # Has a request under way until the timeline has been read.
            tester("bottom", drain_timeout="10m"),
            tester("top", depends_on=["middle", "stun", "bottom"]),
            supervisor={"shutdown_timeout": "20m"}, faults=True,
        )  # fmt: skip
        addresses = [deployment.address(label) for label in ("root", "middle", "top")]
        follower = deployment.follow()
        held = self.hold(deployment, "bottom")
        deployment.terminate()
        follower.wait_read("root stopped", "stun stopped", "bottom draining")
        held.let_go()
        self.assertEqual(deployment.wait_exit(), 0)
        follower.check_order(self, "- shutdown SIGTERM", "top draining", "top stopping",
                             "top stopped", "middle draining", "middle stopped", "root draining",
                             "root stopped")  # fmt: skip
        follower.check_order(self, "- not-ready", "top draining")
        follower.check_order(self, "top stopped", "stun stopping", "stun stopped")
        follower.check_order(self, "top stopped", "bottom draining")
        for address in addresses:
            self.assertNotListening(address)
        self.assertTrue(deployment.lines("process.stopped", "exit_code=0"))
        self.assertFalse(deployment.lines("ERROR"))

    def test_sigint_is_an_orderly_end_too(self):
        deployment = self.boot(discovery(), stun())
        deployment.signal(signal.SIGINT)
        self.assertEqual(deployment.wait_exit(), 0)
        self.assertTrue(deployment.lines("SIGINT"))

    def test_a_signal_during_the_start_ends_it_in_order(self):
        deployment = self.prepare(
            tester("never", never_ready=True), tester("behind", depends_on=["never"]),
            discovery(), faults=True,
        )  # fmt: skip
        deployment.start().wait_admin()
        deployment.wait_event("never", "starting")
        self.assertEqual(deployment.stop(), 0)

    def test_logs_that_nobody_takes_do_not_end_it(self):
        """A full disk behind standard error, a reader of it that is gone, and SIGPIPE itself."""
        reader, writer = os.pipe()
        os.close(reader)
        for name, sink in (("gone", writer), ("full", os.open("/dev/full", os.O_WRONLY))):
            with self.subTest(sink=name):
                deployment = self.prepare(discovery(), folder=name)
                deployment.start(err=sink).wait_ready()
                os.close(sink)
                deployment.signal(signal.SIGPIPE)
                self.assertEqual(deployment.command("dmsgd", "restart").status, 200)
                self.assertIn("service.ready", deployment.ask("/logs/supervisor").text)
                self.assertEqual(deployment.stop(), 0)

    def test_s10_a_request_under_way_ends_within_the_drain(self):
        deployment = self.boot(
            # Ends last, with a request of its own until the timeline has been read.
            tester("below", drain_timeout="10m"),
            tester("slow", depends_on=["below"], drain_timeout="10m"),
            supervisor={"shutdown_timeout": "20m"}, faults=True,
        )  # fmt: skip
        address = deployment.address("slow")
        follower = deployment.follow()
        below, held = (self.hold(deployment, label) for label in ("below", "slow"))
        deployment.terminate()
        deployment.wait_event("slow", "draining")
        # Not ready any more, while what is under way goes on and nobody new is let in.
        self.assertEqual(deployment.ask("/readyz").status, 503)
        self.assertEqual(deployment.ask("/livez").status, 200)
        self.assertFalse(held.answers)
        # It is told on the service's own loop, behind that word.
        deployment.wait_for("its listener to close", lambda: not listens(address))
        self.assertEqual(deployment.get("below", "/health").status, 200)
        for each in (held, below):
            self.assertEqual([(got.status, got.text) for got in each.let_go()], [(200, "slow\n")])
            if each is held:
                follower.wait_read("slow stopped", "below draining")
        self.assertEqual(deployment.wait_exit(), 0)
        follower.check_order(self, "- not-ready", "slow draining", "slow slow-request answered",
                             "slow stopped", "below draining")  # fmt: skip

    def test_s10_a_request_that_takes_too_long_is_cut_off(self):
        deployment = self.boot(tester("slow", drain_timeout="200ms"), faults=True)
        with dial(deployment.address("slow"), PATIENCE) as peer:
            peer.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            deployment.wait_event("slow", "slow-request", "begun")
            deployment.terminate()
            self.assertNotIn(b"200", read_to_end(peer))
        self.assertEqual(deployment.wait_exit(), 0)

    def test_s10_an_idle_connection_does_not_hold_it_up(self):
        deployment = self.boot(discovery())
        with dial(deployment.address("dmsgd"), PATIENCE) as idle, dial(deployment.admin) as admin:
            idle.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"200 OK", idle.recv(65536))
            admin.sendall(b"GET /lived")
            self.assertEqual(deployment.stop(), 0)
            self.assertEqual(read_to_end(idle), b"")

    def check_unstopped(self, deployment, label):
        self.assertTrue(deployment.lines("ERROR", "unstopped", label), deployment.err)

    def test_s11_a_service_that_ignores_its_stop_is_named(self):
        deployment = self.boot(
            tester("good"),
            tester("stuck", depends_on=["good"], ignore_stop=True, stop_timeout="300ms"),
            supervisor={"shutdown_timeout": "10s"}, faults=True,
        )  # fmt: skip
        self.assertEqual(deployment.stop(), 1)
        self.check_unstopped(deployment, "stuck")
        self.assertFalse(deployment.lines("ERROR", "unstopped", "good"))
        self.assertTrue(deployment.lines("process.stopped", "exit_code=1"))

    def test_s11_shutdown_timeout_bounds_the_whole(self):
        deployment = self.boot(
            tester("a", ignore_stop=True, stop_timeout="10m"),
            tester("b", depends_on=["a"], drain_delay="10m", drain_timeout="10m"),
            supervisor={"shutdown_timeout": "500ms"}, faults=True,
        )  # fmt: skip
        deployment.terminate()
        self.assertEqual(deployment.wait_exit(20), 1)
        self.check_unstopped(deployment, "a")

    def hang(self, deployment, *labels):
        """Each blocks its event loop for good; returns when the loops run nothing else any more."""
        for label in labels:
            peer = dial(deployment.address(label))
            self.addCleanup(peer.close)
            peer.sendall(b"POST /hang HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        for label in labels:
            deployment.wait_for(
                f"the loop of {label} to hang",
                lambda of=label: deployment.lines("test.hanging", f"[{of}]"),
            )

    @unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "needs two event loops")
    def test_s11_even_one_that_blocks_its_event_loop(self):
        # The first block is not on the loop of the supervisor.
        deployment = self.boot(
            tester("hung", stop_timeout="300ms", drain_timeout="300ms"), tester("good"),
            supervisor={"shutdown_timeout": "2s"}, faults=True,
        )  # fmt: skip
        self.hang(deployment, "hung")
        service = deployment.wait_state("hung", "degraded")
        self.assertIn("event-loop", service["reason"])
        self.assertEqual(deployment.get("good", "/health").status, 200)
        self.assertEqual(deployment.stop(), 1)
        self.check_unstopped(deployment, "hung")

    def test_s11_even_where_every_event_loop_is_blocked(self):
        labels = [f"hung{i}" for i in range(len(os.sched_getaffinity(0)))]
        deployment = self.boot(
            *[tester(label) for label in labels],
            supervisor={"shutdown_timeout": "500ms"}, faults=True,
        )  # fmt: skip
        self.hang(deployment, *labels)
        deployment.terminate()
        self.assertEqual(deployment.wait_exit(10), 1)
        for label in labels:
            self.assertTrue(deployment.lines(label), deployment.err)

    def test_s12_a_second_signal_forces_the_exit_and_names_what_ran(self):
        for first, second in (
            (signal.SIGTERM, signal.SIGTERM),
            (signal.SIGINT, signal.SIGTERM),
        ):
            with self.subTest(second=second.name):
                deployment = self.boot(
                    tester("done"),
                    tester("draining", depends_on=["done"], drain_delay="10m",
                           drain_timeout="10m"),
                    supervisor={"shutdown_timeout": "20m"}, faults=True,
                )  # fmt: skip
                deployment.signal(first)
                deployment.wait_event("draining", "draining")
                self.assertEqual(self.signal_until_it_ends(deployment, second), 1)
                last = deployment.err.splitlines()[-1]
                self.assertIn("second signal", last)
                self.assertIn("draining", last)
                self.assertIn("done", last)

    def test_s12_also_while_every_event_loop_is_blocked(self):
        labels = [f"hung{i}" for i in range(len(os.sched_getaffinity(0)))]
        deployment = self.boot(
            *[tester(label) for label in labels],
            supervisor={"shutdown_timeout": "20m"}, faults=True,
        )  # fmt: skip
        self.hang(deployment, *labels)
        deployment.terminate()
        deployment.wait_for(
            "the first signal to be taken", lambda: self.pending_signals(deployment) == 0
        )
        self.assertEqual(self.signal_until_it_ends(deployment, signal.SIGTERM), 1)
        self.assertIn("second signal", deployment.err)

    def test_s12_two_signals_at_once_are_one_request(self):
        """As of a wrapper that signals both the process and its group. They differ, since two of a kind
        become one while it stands still, which it does so that both are there before it looks."""
        deployment = self.boot(tester("slow", drain_delay="300ms"), faults=True)
        deployment.signal(signal.SIGSTOP)
        deployment.terminate()
        deployment.signal(signal.SIGINT)
        deployment.signal(signal.SIGCONT)
        self.assertEqual(deployment.wait_exit(10), 0)

    def test_a_closed_terminal_is_an_orderly_stop(self):
        deployment = self.boot(tester("a"), faults=True)
        deployment.signal(signal.SIGHUP)
        self.assertEqual(deployment.wait_exit(10), 0)

    @staticmethod
    def signal_until_it_ends(deployment, number):
        """An impatient operator: a repeat within 0.2 s of the first one does not count."""
        for _ in range(200):
            deployment.signal(number)
            try:
                return deployment.wait_exit(0.05)
            except AssertionError:
                continue
        raise AssertionError("the process outlives 200 signals")

    @staticmethod
    def pending_signals(deployment):
        for line in pathlib.Path(f"/proc/{deployment.pid}/status").read_text().splitlines():
            if line.startswith("ShdPnd:"):
                return int(line.split()[1], 16)
        raise AssertionError("no ShdPnd in /proc")

    def test_a_crash_is_seen_as_one(self):
        deployment = self.boot(tester("a"), faults=True)
        with dial(deployment.address("a")) as peer:
            peer.sendall(b"POST /crash HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            # A sanitizer's handler reports it and exits.
            # The address and the thread sanitizer end it themselves.
            codes = (1, 66) if SANITIZED else (-signal.SIGSEGV,)
            self.assertIn(deployment.wait_exit(), codes)


class Addresses(Scenario):
    def test_the_built_in_file_boots_where_its_ports_are_free(self):
        config = json.loads((SOURCE / "configs" / "deployment.json").read_text())
        self._remember_secrets(config)
        services = config["services"]
        keys = ("addr", "health_endpoint_address")
        wanted = [each[key] for each in services for key in keys if key in each]
        taken = [each["local_address"] for each in services if "local_address" in each]
        for address in wanted + taken:
            try:
                dial(address, 1).close()
            except OSError:
                continue
            self.skipTest(f"{address} is taken on this machine")
        deployment = self.prepare_file(None, environment={"XDG_RUNTIME_DIR": str(self.folder)})
        admin = self.folder / "admin.sock"
        deployment.arguments = [
            deployment.binary, "svc", "run", "--config", "default", "--admin", f"unix:{admin}",
        ]  # fmt: skip
        deployment.admin = f"unix:{admin}"
        deployment.start().wait_ready()
        for address in wanted:
            self.assertEqual(get(address, "/health").status, 200)
        for address in taken:
            self.assertListening(address)
        self.assertEqual(deployment.stop(), 0)

    def test_admin_on_the_command_line_wins(self):
        other = free_address()
        deployment = self.prepare({"type": "noop", "name": "n"}, options=["--admin", other])
        deployment.start().wait_ready()
        self.assertEqual(deployment.admin, other)
        self.assertFalse((deployment.folder / "admin.sock").exists())
        self.assertEqual(deployment.stop(), 0)


if __name__ == "__main__":
    unittest.main()
