"""A real redis-server that is not there, goes away and comes back. S17, S18, and what a Go service
that shares the database finds in it."""

import itertools
import json
import re
import threading
import time
import unittest

from entries import Key, client, server
from skywire_process import PATIENCE, Scenario, discovery, post, stun, wait_for

ENTRY = "/dmsg-discovery/entry/"
UNAVAILABLE = '{"message":"something unexpected happened","code":503}'


class Absent(Scenario):
    def test_s17_others_come_up_and_it_recovers_by_itself(self):
        redis = self.redis(start=False)
        deployment = self.prepare(discovery(redis=redis.url()), discovery("other"), stun())
        deployment.start().wait_admin()
        deployment.wait_event("other", "ready")
        deployment.wait_event("stun", "ready")
        waiting = deployment.wait_for(
            "the cause",
            lambda: (found := deployment.service("dmsgd"))["reason"].startswith("redis") and found,
        )
        self.assertEqual(waiting["state"], "starting")
        self.assertTrue(waiting["reason"].startswith("redis unreachable: "), waiting)
        self.assertIn(redis.address, waiting["root_cause"])
        self.assertRegex(waiting["root_cause"], r" since \d{4}-\d\d-\d\dT")
        self.assertNotListening(deployment.address("dmsgd"))
        self.assertEqual(deployment.get("other", "/health").status, 200)
        self.assertEqual(deployment.ask("/livez").status, 200)
        ready = deployment.ask("/readyz")
        self.assertEqual(ready.status, 503)
        self.assertIn("redis", ready.text)
        status = self.run_cli("svc", "status", "--config", deployment.file)
        self.assertEqual(status.code, 1)
        self.assertIn("redis", status.out)
        redis.start()
        deployment.wait_ready()
        self.assertEqual(deployment.service("dmsgd")["restarts"], 0)
        self.assertFalse([e for e in deployment.timeline() if e["event"] == "failed"])
        self.assertEqual(deployment.get("dmsgd", "/health").status, 200)
        self.assertEqual(deployment.stop(), 0)

    def test_s17_waiting_is_ended_by_a_signal(self):
        redis = self.redis(start=False)
        deployment = self.prepare(discovery(redis=redis.url()))
        deployment.start().wait_admin()
        deployment.wait_event("dmsgd", "waiting")
        self.assertEqual(deployment.stop(), 0)

    def test_a_wrong_password_is_named_and_no_password_is_printed(self):
        redis = self.redis(password="correct-horse-battery")
        self.secrets |= {"correct-horse-battery", "wrong-horse-battery"}
        url = redis.url().replace("redis://", "redis://:wrong-horse-battery@")
        deployment = self.prepare(discovery(redis=url))
        deployment.start().wait_admin()
        deployment.wait_for(
            "the cause",
            lambda: re.search("(?i)password|auth", deployment.service("dmsgd")["root_cause"]),
        )
        self.assertEqual(deployment.service("dmsgd")["state"], "starting")
        for path in ("/health", "/graph", "/timeline", "/logs/dmsgd", "/metrics"):
            self.assertNotIn("wrong-horse-battery", deployment.ask(path).text)
        self.assertEqual(deployment.stop(), 0)

    def test_the_password_comes_from_the_environment(self):
        redis = self.redis(password="correct-horse-battery")
        self.secrets.add("correct-horse-battery")
        deployment = self.prepare(
            discovery(redis=redis.url()), environment={"REDIS_PASSWORD": "correct-horse-battery"}
        )
        deployment.start().wait_ready()
        self.assertEqual(deployment.post("dmsgd", ENTRY, client(Key())).status, 200)
        self.assertEqual(deployment.stop(), 0)

    def test_a_unix_socket_with_a_database(self):
        redis = self.redis()
        deployment = self.boot(discovery(redis=f"unix://{redis.folder / 'socket'}?db=5"))
        key = Key()
        self.assertEqual(deployment.post("dmsgd", ENTRY, client(key)).status, 200)
        self.assertEqual(redis.command(f"EXISTS {key.public}"), ":0")
        with self.subTest("in database 5"):
            self.assertIn(deployment.get("dmsgd", ENTRY + key.public).status, (200,))
        self.assertEqual(deployment.stop(), 0)


class GoesAway(Scenario):
    def acknowledged(self, deployment, count, seed):
        """Posts so many entries; the keys of those that were acknowledged."""
        keys = []
        for index in range(count):
            key = Key(seed=f"{seed} {index}")
            if deployment.post("dmsgd", ENTRY, client(key)).status == 200:
                keys.append(key)
        return keys

    def wait_answers(self, deployment, key):
        """Health looks once a second: the data routes know sooner."""
        deployment.wait_for(
            "recovery", lambda: deployment.get("dmsgd", ENTRY + key.public).status == 200
        )

    def check_there(self, deployment, keys):
        for key in keys:
            answer = deployment.get("dmsgd", ENTRY + key.public)
            self.assertEqual(answer.status, 200, answer)

    def test_s18_degraded_with_cause_then_recovered(self):
        redis = self.redis()
        deployment = self.boot(discovery(redis=redis.url()), discovery("other"), stun())
        keys = self.acknowledged(deployment, 5, "before")
        self.assertEqual(len(keys), 5)
        gone_at = time.time()
        redis.stop()

        answer = deployment.wait_for(
            "the first refusal",
            lambda: (got := deployment.get("dmsgd", ENTRY + keys[0].public)).status != 200 and got,
        )
        for path in (ENTRY + keys[0].public, "/dmsg-discovery/entries",
                     "/dmsg-discovery/visorEntries", "/dmsg-discovery/available_servers",
                     "/dmsg-discovery/all_servers"):  # fmt: skip
            answer = deployment.get("dmsgd", path)
            self.assertEqual((answer.status, answer.text), (503, UNAVAILABLE), path)
            self.assertEqual(answer.headers["Content-Type"], "application/json")
        answer = deployment.post("dmsgd", ENTRY, client(Key()))
        self.assertEqual((answer.status, answer.text), (503, UNAVAILABLE))
        # What needs no data goes on.
        self.assertEqual(deployment.get("dmsgd", "/health").status, 200)
        self.assertEqual(deployment.post("dmsgd", ENTRY, "{").status, 500)
        self.assertEqual(deployment.get("dmsgd", "/nothing").status, 404)

        service = deployment.wait_state("dmsgd", "degraded")
        self.assertIn("redis", service["root_cause"])
        self.assertIn(redis.address, service["root_cause"])
        self.assertRegex(service["root_cause"], r" since \d{4}-\d\d-\d\dT[0-9:.]+Z$")
        (store,) = [each for each in service["checks"] if each["name"] == "store"]
        self.assertEqual(store["status"], "fail")
        since = time.mktime(time.strptime(store["since"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
        self.assertGreaterEqual(since, int(gone_at) - 1)
        self.assertEqual(deployment.ask("/livez").status, 200)
        self.assertEqual(deployment.ask("/readyz").status, 200)
        self.assertEqual(deployment.health()["status"], "degraded")
        self.assertEqual(deployment.service("other")["state"], "ready")
        self.assertEqual(deployment.get("other", "/dmsg-discovery/entries").status, 200)
        self.assertTrue(deployment.lines("WARN", "dmsgd", redis.address))
        metrics = deployment.ask("/metrics").text
        self.assertRegex(metrics, r'outcome="store_unavailable"\} [1-9]')

        redis.start()
        deployment.wait_state("dmsgd", "ready")
        self.assertEqual(deployment.service("dmsgd")["root_cause"], "")
        self.check_there(deployment, keys)
        self.assertEqual(len(self.acknowledged(deployment, 2, "after")), 2)
        self.assertEqual(deployment.stop(), 0)

    def test_s18_in_mid_request(self):
        """A redis that has taken the question and dies without an answer."""
        redis = self.redis()
        deployment = self.boot(discovery(redis=redis.url()))
        keys = self.acknowledged(deployment, 3, "mid")
        redis.pause()
        answers = []
        asking = [
            threading.Thread(
                target=lambda: answers.append(
                    post(deployment.address("dmsgd"), ENTRY, client(Key()), timeout=PATIENCE)
                )
            )
            for _ in range(4)
        ]
        for thread in asking:
            thread.start()
        wait_for(
            "the requests to be under way",
            lambda: 'vm_request_ongoing_count{service="dmsgd"} 4'
            in deployment.ask("/metrics").text,
        )
        self.assertEqual(deployment.get("dmsgd", "/health").status, 200)
        redis.kill()
        for thread in asking:
            thread.join(PATIENCE)
        self.assertEqual([(each.status, each.text) for each in answers], [(503, UNAVAILABLE)] * 4)
        redis.start()
        self.wait_answers(deployment, keys[0])
        self.check_there(deployment, keys)
        self.assertEqual(deployment.stop(), 0)

    def test_s18_nothing_acknowledged_is_lost_under_load(self):
        redis = self.redis()
        deployment = self.boot(discovery(redis=redis.url()))
        acknowledged, refused = [], []
        enough = threading.Event()

        def post_all():
            for index in itertools.count():
                if enough.is_set():
                    break
                key = Key(seed=f"load {index}")
                answer = deployment.post("dmsgd", ENTRY, client(key), timeout=PATIENCE)
                (acknowledged if answer.status == 200 else refused).append((key, answer))

        poster = threading.Thread(target=post_all)
        poster.start()
        self.addCleanup(poster.join, PATIENCE * 2)
        self.addCleanup(enough.set)
        wait_for("the first entries", lambda: len(acknowledged) >= 20)
        redis.kill()
        wait_for("a refusal", lambda: refused)
        redis.start()
        before = len(acknowledged)
        wait_for("entries after that", lambda: len(acknowledged) >= before + 20)
        enough.set()
        poster.join(PATIENCE * 2)
        self.assertFalse(poster.is_alive())
        self.assertEqual({answer.text for _, answer in refused}, {UNAVAILABLE})
        self.wait_answers(deployment, acknowledged[0][0])
        self.check_there(deployment, [key for key, _ in acknowledged])
        self.assertEqual(deployment.stop(), 0)

    def test_shutdown_does_not_wait_for_a_redis_that_hangs(self):
        redis = self.redis()
        deployment = self.boot(discovery(redis=redis.url()))
        redis.pause()
        deployment.terminate()
        self.assertIn(deployment.wait_exit(), (0, 1))


class Layout(Scenario):
    def test_a_service_of_the_network_may_share_the_database(self):
        redis = self.redis()
        deployment = self.boot(discovery(redis=redis.url(), entry_timeout="10m"))
        visor, plain, via = Key(), Key(), Key()
        begun = time.monotonic()
        for entry in (
            client(visor, client_type="visor"),
            client(plain),
            server(via, "192.0.2.7:8081", time.time_ns()),
        ):
            self.assertEqual(deployment.post("dmsgd", ENTRY, entry).status, 200)
        for name, members in (
            ("clients", {visor.public, plain.public}),
            ("visorClients", {visor.public}),
            ("servers", {via.public}),
        ):
            for key in (visor, plain, via):
                wanted = ":1" if key.public in members else ":0"
                self.assertEqual(redis.command(f"SISMEMBER {name} {key.public}"), wanted, name)
        self.assertEqual(redis.command(f"TYPE {plain.public}"), "+string")
        for key, whole in ((plain, 600), (via, 120)):
            left = int(redis.command(f"TTL {key.public}")[1:])
            # Rounded, and less what has gone by.
            at_least = whole - (time.monotonic() - begun) - 1
            self.assertTrue(at_least <= left <= whole, (left, at_least))
        # And the other way: what another program wrote is served.
        other = Key()
        text = client(other)
        quoted = json.dumps(text)
        self.assertEqual(redis.command(f"SET {other.public} {quoted}"), "+OK")
        self.assertEqual(deployment.get("dmsgd", ENTRY + other.public).text, text)
        self.assertEqual(deployment.stop(), 0)


if __name__ == "__main__":
    unittest.main()
