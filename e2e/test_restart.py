"""What happens when a service fails: restarts, backoff, giving up, ports that are taken. S13 to
S16."""

import os
import re
import socket
import subprocess
import sys
import unittest

from entries import Key, client
from skywire_process import HOST, Scenario, discovery, free_port, stun, tester

QUICK = {"min": "10ms", "max": "100ms"}


class Failures(Scenario):
    def test_s13_a_clean_end_that_nobody_asked_for_is_a_failure(self):
        deployment = self.boot(tester("a", restart=QUICK), tester("b"), faults=True)
        before = deployment.last_event()
        self.assertLess(deployment.post("a", "/exit").status, 300)
        deployment.wait_event("a", "failed", "without being asked", before)
        deployment.wait_event("a", "restarting", after=before)
        deployment.wait_event("a", "ready", after=before)
        service = deployment.service("a")
        self.assertEqual((service["state"], service["restarts"]), ("ready", 1))
        self.assertTrue(deployment.lines("ERROR", "service.failed", "service=a"))
        self.assertEqual(deployment.get("a", "/health").status, 200)
        self.assertFalse([each for each in deployment.timeline(before) if each["label"] == "b"])
        self.assertEqual(deployment.stop(), 0)

    def test_s13_a_second_after_its_start_as_well(self):
        deployment = self.prepare(
            tester("a", exit_after="20ms", exit_error="fuse blown", restart=QUICK), faults=True
        )
        # It goes so quickly that only what it has said is there for certain.
        deployment.start()
        self.assertEqual(deployment.wait_exit(), 1)
        self.assertTrue(deployment.lines("ERROR", "service.failed", "fuse blown"), deployment.err)
        self.assertTrue(deployment.lines("service.restarting", "fuse blown"), deployment.err)

    def test_s14_backoff_grows_with_jitter_then_it_is_given_up(self):
        policy = {"min": "40ms", "max": "10s", "factor": 3, "jitter": 0.2, "max_in_window": 5}
        deployment = self.prepare(
            tester("bad", fail_starts=1000, restart=policy),
            tester("needs-it", depends_on=["bad"]),
            discovery("other"),
            faults=True,
        )
        deployment.start().wait_admin()
        deployment.wait_event("other", "ready")
        deployment.wait_event("bad", "gave-up")
        events = [each for each in deployment.timeline() if each["label"] == "bad"]
        pauses = [
            self.milliseconds(each["detail"]) for each in events if each["event"] == "restarting"
        ]
        self.assertEqual(len(pauses), 4, events)
        for index, pause in enumerate(pauses):
            exact = 40 * 3**index
            self.assertTrue(0.8 * exact <= pause <= 1.2 * exact, pauses)
        # What was announced was waited for.
        starts = [each["since_start_seconds"] for each in events if each["event"] == "starting"]
        for index, pause in enumerate(pauses):
            self.assertGreaterEqual((starts[index + 1] - starts[index]) * 1000, pause * 0.99)
        self.assertNotEqual([round(p / 40 / 3**i, 6) for i, p in enumerate(pauses)], [1.0] * 4)

        self.assertEqual(deployment.service("bad")["state"], "failed")
        self.assertTrue(deployment.lines("ERROR", "service.gave_up", "service=bad"))
        waiting = deployment.service("needs-it")
        self.assertEqual(waiting["state"], "starting")
        self.assertTrue(waiting["root_cause"].startswith("bad: "), waiting)
        self.assertEqual(deployment.get("other", "/health").status, 200)
        self.assertEqual(deployment.ask("/readyz").status, 503)
        self.assertEqual(deployment.stop(), 0)

    @staticmethod
    def milliseconds(detail):
        """"in 41.2ms, attempt 2" """
        text = re.match(r"in ([^,]+),", detail).group(1)
        units = {"h": 3.6e6, "m": 6e4, "s": 1e3, "ms": 1, "us": 1e-3, "µs": 1e-3, "ns": 1e-6}
        parts = re.findall(r"([0-9.]+)(ns|us|µs|ms|h|m|s)", text)
        return sum(float(number) * units[unit] for number, unit in parts)

    def test_s14_dependents_are_stopped_where_the_policy_says_so(self):
        deployment = self.boot(
            tester("a", restart={**QUICK, "max_in_window": 1, "on_give_up": "stop-dependents"}),
            tester("b", depends_on=["a"]),
            tester("c", depends_on=["b"]),
            discovery("other"),
            faults=True,
        )
        deployment.post("a", "/exit?error=broken")
        deployment.wait_state("b", "stopped")
        deployment.wait_state("c", "stopped")
        self.assertNotListening(deployment.address("c"))
        self.assertEqual(deployment.get("other", "/health").status, 200)
        self.assertEqual(deployment.stop(), 0)

    def test_s14_dependents_run_on_degraded_by_default(self):
        deployment = self.boot(
            tester("a", restart={**QUICK, "max_in_window": 1}),
            tester("b", depends_on=["a"]),
            discovery("other"),
            faults=True,
        )
        deployment.post("a", "/exit?error=broken")
        service = deployment.wait_state("b", "degraded")
        self.assertTrue(service["root_cause"].startswith("a: "), service)
        self.assertIn("broken", service["root_cause"])
        self.assertEqual(deployment.get("b", "/health").status, 200)
        self.assertEqual(deployment.stop(), 0)

    def test_a_warning_of_one_that_is_ready_is_seen(self):
        deployment = self.boot(tester("a"), faults=True)

        def status():
            return self.run_cli("svc", "status", "--config", deployment.file, faults=True)

        self.assertNotIn("warning", status().out)
        deployment.post("a", "/report?status=warn&detail=disk%20full")
        deployment.wait_for("the warning", lambda: "warning: test: disk full" in status().out)
        self.assertEqual(deployment.service("a")["state"], "ready")
        self.assertEqual(status().code, 0)
        self.assertEqual(deployment.stop(), 0)

    def test_on_give_up_exit_ends_the_process(self):
        deployment = self.boot(
            tester("a", restart={**QUICK, "max_in_window": 2, "on_give_up": "exit"}),
            discovery("other"),
            faults=True,
        )
        deployment.post("a", "/exit?error=once")
        deployment.wait_state("a", "ready")
        deployment.wait_event("a", "ready", after=deployment.wait_event("a", "failed")["number"])
        deployment.post("a", "/exit?error=twice")
        self.assertEqual(deployment.wait_exit(), 1)
        self.assertTrue(deployment.lines("service.gave_up", "twice"), deployment.err)

    def test_without_another_critical_block_giving_up_ends_the_process(self):
        deployment = self.prepare(
            tester("a", fail_starts=1000, restart={**QUICK, "max_in_window": 2}),
            tester("extra", critical=False),
            faults=True,
        )
        deployment.start()
        self.assertEqual(deployment.wait_exit(), 1)

    def test_an_operators_start_begins_anew(self):
        deployment = self.prepare(
            tester("a", fail_starts=2, restart={**QUICK, "max_in_window": 2}),
            discovery("other"),
            faults=True,
        )
        deployment.start().wait_admin()
        deployment.wait_event("other", "ready")
        deployment.wait_event("a", "gave-up")
        done = self.run_cli("svc", "start", "a", "--config", deployment.file, faults=True)
        self.assertEqual(done.code, 0, done)
        self.assertEqual(deployment.ask("/readyz").status, 200)
        self.assertEqual(deployment.stop(), 0)


class Operator(Scenario):
    def test_s15_restart_takes_along_only_who_declared_it(self):
        deployment = self.boot(
            discovery("a"),
            tester("told", depends_on=["a"]),
            tester("along", depends_on=[{"label": "a", "on_restart": "restart"}]),
            tester("beyond", depends_on=[{"label": "along", "on_restart": "restart"}]),
            tester("ignores", depends_on=[{"label": "a", "on_restart": "ignore"}]),
            tester("other"),
            faults=True,
        )
        before = deployment.last_event()
        done = self.run_cli("svc", "restart", "a", "--config", deployment.file, faults=True)
        self.assertEqual((done.code, done.out), (0, "a ready again\n"), done)
        for label in ("a", "along", "beyond"):
            deployment.wait_event(label, "ready", after=before)
        # It hears of it on a loop of its own, and says so by itself.
        deployment.wait_event("told", "upstream-up", after=before)
        events = deployment.timeline(before)
        stopped = {each["label"] for each in events if each["event"] == "stopped"}
        self.assertEqual(stopped, {"a", "along", "beyond"})
        names = [f"{each['label']} {each['event']}" for each in events]
        order = ["beyond stopped", "along stopped", "a stopped", "a ready", "along starting"]
        self.assertEqual([names.index(each) for each in order],
                         sorted(names.index(each) for each in order), names)  # fmt: skip
        self.assertIn("told upstream-down", names)
        self.assertIn("told upstream-up", names)
        self.assertFalse([name for name in names if name.startswith(("ignores", "other"))])
        deployment.wait_ready()
        self.assertEqual(deployment.stop(), 0)

    def test_s15_data_on_disk_survives_the_restart(self):
        deployment = self.boot(discovery(testing=False))
        key = Key()
        entry = client(key)
        posted = deployment.post("dmsgd", "/dmsg-discovery/entry/", entry)
        self.assertEqual(posted.status, 200, posted)
        done = self.run_cli("svc", "restart", "dmsgd", "--config", deployment.file)
        self.assertEqual(done.code, 0, done)
        answer = deployment.get("dmsgd", f"/dmsg-discovery/entry/{key.public}")
        self.assertEqual((answer.status, answer.text), (200, entry))
        self.assertEqual(deployment.stop(), 0)

    def test_stop_and_start_by_command(self):
        deployment = self.boot(discovery(), stun())
        config = ["--config", deployment.file]
        done = self.run_cli("svc", "stop", "dmsgd", *config)
        self.assertEqual((done.code, done.out), (0, "dmsgd stopped\n"))
        self.assertNotListening(deployment.address("dmsgd"))
        self.assertEqual(deployment.service("dmsgd")["state"], "stopped")
        status = self.run_cli("svc", "status", *config)
        self.assertEqual(status.code, 1)
        self.assertRegex(status.out, r"(?m)^dmsgd .*stopped")
        again = self.run_cli("svc", "stop", "dmsgd", *config)
        self.assertEqual(again.code, 0, again)
        done = self.run_cli("svc", "start", "dmsgd", *config)
        self.assertEqual((done.code, done.out), (0, "dmsgd ready\n"))
        self.assertEqual(deployment.get("dmsgd", "/health").status, 200)
        running = self.run_cli("svc", "start", "dmsgd", *config)
        self.assertEqual(running.code, 1)
        self.assertIn("dmsgd is running", running.err)
        unknown = self.run_cli("svc", "stop", "dmsgdd", *config)
        self.assertEqual(unknown.code, 1)
        self.assertIn('did you mean "dmsgd"?', unknown.err)
        self.assertEqual(deployment.stop(), 0)


class TakenPorts(Scenario):
    """S16: somebody else holds a port."""

    def holder(self, kind, host, port):
        """Another process that holds the port; ends when its standard input does."""
        code = (
            "import socket, sys; s = socket.socket(socket.AF_INET, "
            f"socket.{kind}); s.bind(({host!r}, {port})); "
            f"{'s.listen(); ' if kind == 'SOCK_STREAM' else ''}"
            "print('held', flush=True); sys.stdin.read()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        self.assertEqual(process.stdout.readline(), b"held\n")
        return process

    def check_message(self, text, address, holder):
        for word in (address, "in use", str(holder.pid)):
            self.assertIn(word, text)

    def test_s16_address_and_holder_are_named_and_it_is_retried(self):
        port = free_port()
        holder = self.holder("SOCK_STREAM", HOST, port)
        deployment = self.prepare(
            discovery(addr=f"{HOST}:{port}", restart={**QUICK, "max_in_window": 1000}), stun()
        )
        deployment.start().wait_admin()
        first = deployment.wait_event("dmsgd", "failed")
        self.check_message(first["detail"], f"{HOST}:{port}", holder)
        self.assertTrue(deployment.lines("ERROR", f"{HOST}:{port}", str(holder.pid)))
        deployment.wait_event("dmsgd", "restarting", "attempt 3")
        deployment.wait_state("stun", "ready")
        self.assertEqual(deployment.ask("/readyz").status, 503)
        holder.stdin.close()
        holder.wait()
        deployment.wait_ready()
        self.assertEqual(deployment.get("dmsgd", "/health").status, 200)
        self.assertEqual(deployment.stop(), 0)

    def test_s16_giving_up_with_others_running_is_failed_in_health(self):
        port = free_port()
        holder = self.holder("SOCK_STREAM", HOST, port)
        deployment = self.prepare(
            discovery(addr=f"{HOST}:{port}", restart={**QUICK, "max_in_window": 2}), stun()
        )
        deployment.start().wait_admin()
        deployment.wait_event("dmsgd", "gave-up")
        service = deployment.service("dmsgd")
        self.assertEqual(service["state"], "failed")
        self.check_message(service["root_cause"], f"{HOST}:{port}", holder)
        self.assertEqual(deployment.health()["status"], "failed")
        self.assertTrue(deployment.running)
        self.assertEqual(deployment.stop(), 0)

    def test_s16_exit_code_where_no_other_critical_block_is_left(self):
        with socket.create_server((HOST, 0)) as own:
            address = f"{HOST}:{own.getsockname()[1]}"
            deployment = self.prepare(
                discovery(addr=address, restart={**QUICK, "max_in_window": 2})
            )
            deployment.start()
            self.assertEqual(deployment.wait_exit(), 1)
        self.assertTrue(deployment.lines("ERROR", "service.gave_up", address, str(os.getpid())))

    def test_s16_exit_code_where_the_policy_says_exit(self):
        with socket.create_server((HOST, 0)) as own:
            address = f"{HOST}:{own.getsockname()[1]}"
            deployment = self.prepare(
                discovery(
                    addr=address, restart={**QUICK, "max_in_window": 2, "on_give_up": "exit"}
                ),
                stun(),
            )
            deployment.start()
            self.assertEqual(deployment.wait_exit(), 1)

    def test_s16_udp_as_well(self):
        block = stun(restart={**QUICK, "max_in_window": 2})
        holder = self.holder("SOCK_DGRAM", "127.0.0.2", block["alt_port"])
        deployment = self.prepare(block)
        deployment.start()
        self.assertEqual(deployment.wait_exit(), 1)
        (line,) = deployment.lines("ERROR", "service.gave_up")
        self.check_message(line, f"127.0.0.2:{block['alt_port']}", holder)

    def test_an_address_of_another_machine_is_a_clear_error(self):
        for block, address in (
            (discovery(addr="192.0.2.1:4711"), "192.0.2.1:4711"),
            (discovery(metrics_addr="192.0.2.1:4712"), "192.0.2.1:4712"),
            (stun(secondary_ip="192.0.2.1", port=free_port(), alt_port=free_port()), "192.0.2.1"),
        ):
            with self.subTest(address=address):
                block["restart"] = {**QUICK, "max_in_window": 1}
                deployment = self.prepare(block, folder=f"at-{address.replace(':', '-')}")
                deployment.start()
                self.assertEqual(deployment.wait_exit(), 1)
                self.assertTrue(
                    deployment.lines("ERROR", "service.gave_up", address), deployment.err
                )


if __name__ == "__main__":
    unittest.main()
