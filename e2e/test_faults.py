"""What a deployment makes of faults: each service killed in turn, a service that stands still, Redis
gone, emptied, without a byte of disk, links cut, clocks that step. While it happens clients go on
asking. After each, without a hand, `svc health` is green, a probe has dialled over dmsg, registered
and read a transport and resolved an address, and all that was acknowledged before is there. The table
of what clients saw and how long it took is printed at the end.

Only in forms that keep what they are told: what is in one process's memory goes with it."""

import http.client
import json
import time
import unittest

import forms
from clients import PUBLIC, SERVER, DmsgClients, Visor, transport
from entries import Key
from forms import LABELS, FormScenario
from load import Load
from skywire_process import SANITIZED

# What operations show of a service that it does not answer.
ASKED_OF = {
    "dmsgd": "dmsgd read",
    "dmsgs": "dmsg dial",
    "tpd": "tpd write",
    "sd": "sd write",
    "ar": "ar write",
    "rf": "rf",
}
WRITES = ("tpd write", "sd write", "ar write", "dmsgd write")
# (fault, what clients saw, seconds to heal)
TABLE = []


def tearDownModule():
    if not TABLE:
        return
    width = max(len(fault) for fault, _, _ in TABLE)
    print(f"\n{'fault':<{width}}  healed after  clients saw ({forms.chosen()})")
    for fault, seen, healed in TABLE:
        print(f"{fault:<{width}}  {healed:10.1f} s  {seen}")


@unittest.skipIf(SANITIZED, "what a fault costs is shown by the programs as they are delivered")
class Fault(DmsgClients, FormScenario):
    def begin(self, **options):
        """A deployment that keeps what it is told, with clients on it that go on asking."""
        self.deployment = self.up(**options)
        self.peer = Key(seed="who is dialled")
        self.serve(self.deployment, self.peer)
        self.probes = 0
        asked = ("dmsgd", "tpd", "sd", "ar", "rf")
        self.load = Load({label: self.deployment.addresses(label) for label in asked}, "load")
        self.load.start()
        self.addCleanup(self.load.stop)
        self.deployment.wait_for("clients at work", self.load.busy)
        return self.deployment

    def tearDown(self):
        # While there is still somebody to answer; else every last request is waited for.
        if hasattr(self, "load"):
            self.load.stop()
        super().tearDown()

    def probe(self):
        """A client that nobody has seen before; None, or what does not work."""
        self.probes += 1
        a, b = (Visor(self.deployment, f"probe {self.probes} {name}") for name in "ab")
        entry = transport(a.public, b.public)
        bind = '{"port":"7777","addresses":["203.0.113.9"]}\n'
        offer = {"address": f"{a.public}:3", "type": "skysocks", "version": "v1.3.29"}
        try:
            for what, wanted, answer in (
                ("register a transport", 201, lambda: a.register(entry)),
                ("read it", 200, lambda: b.ask("tpd", "GET", f"/transports/id:{entry['t_id']}")),
                ("bind", 200, lambda: a.ask("ar", "POST", "/bind/stcpr", bind, PUBLIC)),
                ("resolve", 200, lambda: b.ask("ar", "GET", f"/resolve/stcpr/{a.public}")),
                ("offer", 200, lambda: a.ask("sd", "POST", "/api/services", offer)),
            ):
                got = answer()
                if got.status != wanted:
                    return f"{what}: {got}"
        except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
            return f"{error!r}"
        dialled = self.send(self.deployment, self.peer.public, "--timeout", "3s")
        return None if dialled.code == 0 else f"dial: {dialled!r}"

    def heals(self, fault, *, lost=False):
        """Counted from the call."""
        begun = time.monotonic()
        self.last = "svc health"

        def look():
            health = self.deployment.health("--timeout", "3s")
            self.last = repr(health) if health.code != 0 else self.probe()
            return self.last is None

        try:
            self.deployment.wait_for(f"{fault}: to be healed", look)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.last}") from None
        healed = time.monotonic() - begun
        if not lost:
            self.assertEqual(self.load.missing(self.before), [], fault)
        # What was going on goes on.
        seen = self.load.told()
        TABLE.append((fault, seen, healed))
        self.load.mark()
        self.deployment.wait_for("clients at work again", self.load.busy)

    def about_to(self):
        self.before = self.load.acknowledged()
        self.load.mark()

    def wait_kept(self):
        transports, offers, addresses, entries = self.before
        for label, words in (("tpd", transports), ("sd", offers), ("ar", addresses)):
            self.deployment.wait_kept(label, lambda snapshot, words=words: snapshot.holds(words))

        def newest(snapshot):
            """Of each the last one that was written, or one that was written since."""
            stored = {key: snapshot.values.get(key.encode(), b"{}") for key in entries}
            return all(
                json.loads(stored[key]).get("timestamp", 0) >= written
                for key, written in entries.items()
            )

        self.deployment.wait_kept("dmsgd", newest)

    def missed(self, *kinds):
        """Clients have been told, or not answered, in all these kinds of operations."""
        self.deployment.wait_for(
            f"{kinds} to fail", lambda: all(kind in self.load.failures() for kind in kinds)
        )

    def red(self, *labels):
        """`svc health` says of all of these that they do not answer."""

        def look():
            asked = ["--timeout", "1s", "--json", "--only", ",".join(labels)]
            rows = json.loads(self.deployment.health(*asked).out)
            return all(row["status"] == "fail" for row in rows)

        self.deployment.wait_for(f"{labels} to be red", look)

    def groups(self, *groups):
        """Labels that are tried together; where all share a process that is the same each time."""
        there = self.deployment.block_labels()
        self.assertEqual(sorted(label for group in groups for label in group), sorted(there))
        return groups if self.deployment.apart else [("tpd",)]


class Processes(Fault):
    def test_killed_each_in_turn_then_stopped(self):
        deployment = self.begin()
        for label in deployment.block_labels() if deployment.apart else ["tpd"]:
            self.about_to()
            self.wait_kept()
            deployment.kill(label)
            self.heals(f"kill -9 {label}")
            # Where a snapshot keeps it, what was acknowledged in the last moment went with it.
            if deployment.redis is None:
                self.load.forget(self.load.missing(self.load.acknowledged()))
        # Together go those of which none needs another to be noticed.
        for labels in self.groups(
            ("dmsgd", "tpd", "ar", "stun", "conf"), ("dmsgs",), ("sd", "rf", "sn", "tps")
        ):
            self.about_to()
            for label in labels:
                deployment.pause(label)
            self.missed(*(ASKED_OF[label] for label in labels if label in ASKED_OF))
            self.red(*labels)
            for label in labels:
                deployment.resume(label)
            self.heals(f"SIGSTOP {' '.join(labels)}")


class Redis(Fault):
    def test_gone_silent_full_and_emptied(self):
        if not forms.chosen_class().has_redis:
            self.skipTest("no Redis")
        deployment = self.begin(small_disks=("redis",))
        redis = deployment.redis
        for fault, begin, end in (
            ("Redis stopped, started", redis.stop, redis.start),
            ("SIGSTOP Redis", redis.pause, redis.resume),
            (
                "disk of Redis full",
                lambda: deployment.fill_disk("redis"),
                lambda: deployment.free_disk("redis"),
            ),
        ):
            self.about_to()
            begin()
            self.missed(*WRITES)
            end()
            self.heals(fault)

        self.about_to()
        redis.kill()
        if not deployment.restarts:
            redis.start()
        self.heals("kill -9 Redis")

        self.about_to()
        redis.stop()
        self.missed(*WRITES)
        redis.empty()
        redis.start()
        self.heals("Redis emptied", lost=True)
        # What is registered again is there again: the load's visors go round; of transports they
        # register others each time.
        deployment.wait_for(
            "what refreshes to be back",
            lambda: not self.load.missing((set(), *self.before[1:3], {})),
        )


class Disk(Fault):
    def store_is_missed(self):
        return any(
            each["name"] == "store" and each["status"] != "pass"
            for each in self.deployment.service("tpd")["checks"]
        )

    def test_no_disk_left_for_snapshots(self):
        if forms.chosen_class().has_redis:
            self.skipTest("nothing on its own disk")
        deployment = self.begin(small_disks=("tpd",))
        self.about_to()
        deployment.fill_disk("tpd")
        deployment.wait_for("its store to be missed", self.store_is_missed)
        # In memory it goes on, for as long as a probe takes.
        self.deployment.wait_for("a probe to go through", lambda: self.probe() is None)
        self.assertTrue(self.store_is_missed())
        self.before = self.load.acknowledged()
        deployment.free_disk("tpd")
        self.heals("disk full")
        self.about_to()
        self.wait_kept()
        deployment.kill("tpd")
        self.heals("kill -9 tpd after that")


class Clock(Fault):
    def test_steps(self):
        deployment = self.begin(clocks=LABELS, dmsgs={"update_interval": "1s"})
        # Together go those that have nothing to do with one another: it is a step against all others.
        for labels in self.groups(
            ("dmsgd", "stun"), ("dmsgs", "conf"), ("tpd", "ar", "tps"), ("sd", "rf", "sn")
        ):
            for step, name in ((3600, "+1 h"), (-3600, "-1 h")):
                renewed = self.renewals()
                self.about_to()
                for label in labels:
                    deployment.clock_step(label, step)
                self.heals(f"clock of {' '.join(labels)} {name}")
                if labels[0] in ("dmsgd", "dmsgs") or not deployment.apart:
                    # Whatever time it was written at, the server's entry is renewed.
                    deployment.wait_for(
                        "the server to renew its entry",
                        lambda was=renewed: self.renewals() > was + 1,
                    )
            for label in labels:
                deployment.clock_step(label, 0)

    def renewals(self):
        entry = self.entry(self.deployment, SERVER)
        return entry["sequence"] if entry is not None else -1


class Link(Fault):
    """Of a service to all others, which its clients notice; and of one to another."""

    def test_silent_then_hard(self):
        if not forms.chosen_class().has_links:
            self.skipTest("the services share one loopback interface")
        deployment = self.begin()
        for hard, name in ((False, "cut silently"), (True, "cut hard")):
            for labels in (("dmsgd", "tpd", "ar"), ("dmsgs",), ("sd",)):
                self.about_to()
                for label in labels:
                    deployment.cut(label, hard=hard)
                self.missed(*(ASKED_OF[label] for label in labels))
                for label in labels:
                    deployment.mend(label)
                self.heals(f"link of {' '.join(labels)} {name}")
            self.between(hard, name)

    def between(self, hard, name):
        """The transport-discovery without its Redis refuses; so does the service-discovery. The
        route-finder goes on with what it knows, without Redis and without transport-discovery."""
        deployment = self.deployment
        self.about_to()
        for label in ("tpd", "sd"):
            deployment.cut(label, of="redis", hard=hard)
        for other in ("redis", "tpd"):
            deployment.cut("rf", of=other, hard=hard)
        self.missed("tpd write", "sd write")
        for label in ("tpd", "sd", "rf"):
            deployment.mend(label)
        self.assertNotIn("rf", self.load.failures())
        self.heals(f"link of tpd sd rf to Redis, rf to tpd {name}")


if __name__ == "__main__":
    unittest.main()
