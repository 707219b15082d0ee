"""Feeds, in any form: D14, C09, C10. Whoever subscribes gets what there is and then every change; a
publisher that is killed and comes back is followed without any action."""

import json
import os
import signal
import socket
import unittest

from clients import DmsgClients, Labels, Visor, transport
from entries import Key
from forms import FormScenario
from skywire_process import KEYS, Scenario, dmsg_network, free_address, keyed

SERVICES = "services/vpn/all"
TRANSPORTS = ("transports/all/with-self", "transports/all/without-self")
SERVER = KEYS["dmsgs"][1]
CLIENTS = f"clients-by-server/{SERVER}"


def says(entry):
    """An entry but for what changes with every renewal, which is not published."""
    return {
        name: value
        for name, value in entry.items()
        if name not in ("sequence", "timestamp", "signature")
    }


class Watch:
    """A `cli cxo watch` that goes on."""

    def __init__(self, test, deployment, feed, *more):
        self.test = test
        self.command = test.start_cli(
            "cli", "cxo", "watch", feed, *more, "--json", "--config", deployment.file
        )

    def events(self):
        whole = self.command.out.rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def state(self):
        """The leaves as this subscriber knows them; None before the snapshot."""
        events = self.events()
        if not events:
            return None
        assert events[0]["event"] == "snapshot", events[0]
        leaves = {}
        for event in events:
            if event["event"] == "put":
                # Told of once for each change, and never without one.
                assert leaves.get(event["path"]) != event["value"], event
                leaves[event["path"]] = event["value"]
            elif event["event"] == "gone":
                del leaves[event["path"]]
        return leaves

    def wait_for(self, what, look):
        """`look` gets the leaves."""

        def guarded():
            leaves = self.state()
            return leaves is not None and look(leaves)

        return self.command.wait_for(what, guarded)

    def wait_snapshot(self):
        self.wait_for("the snapshot", lambda leaves: True)
        return self

    def stop(self):
        self.test.assertEqual(self.command.stop(signal.SIGINT), 0, self.command)


class Feeds(FormScenario, DmsgClients):
    def watch(self, deployment, feed, *more):
        return Watch(self, deployment, feed, *more).wait_snapshot()

    def offer(self, visor, port=44):
        entry = {"address": f"{visor.public}:{port}", "type": "vpn", "version": "v1.3.29"}
        answer = visor.ask("sd", "POST", "/api/services", entry)
        self.assertEqual(answer.status, 200, answer)

    def cxo(self, deployment, *words):
        return self.run_cli("cli", "cxo", *words, "--config", deployment.file)

    def visors(self, deployment):
        """Two that nobody has seen before."""
        return [Visor(deployment, f"visor {name} of {self.id()}") for name in "ab"]

    def offered(self, leaves, *visors):
        """By which of these visors."""
        there = {each["address"][:66] for each in leaves.get(SERVICES, [])}
        return {each.public for each in visors} & there


class Live(Feeds):
    def test_d14_services(self):
        deployment = self.up(shared=True)
        a, b = self.visors(deployment)
        watch = self.watch(deployment, "sd-services")
        self.offer(a)
        watch.wait_for("the first", lambda leaves: self.offered(leaves, a, b) == {a.public})
        # Again, as it was.
        self.offer(a)
        self.offer(b)
        watch.wait_for("both", lambda leaves: len(self.offered(leaves, a, b)) == 2)
        http = ("sd", "/api/services?type=vpn")
        watch.wait_for(
            "what HTTP says", lambda leaves: leaves[SERVICES] == deployment.get(*http).json
        )
        listed = watch.state()[SERVICES]
        # Whoever comes later has the same.
        later = self.watch(deployment, "sd-services", "services/vpn")
        self.assertEqual(later.state()[SERVICES], listed)
        got = self.cxo(deployment, "get", "sd-services", SERVICES)
        self.assertEqual((got.code, json.loads(got.out)), (0, listed), got)
        self.assertRegex(got.err, r"^from dmsg://[0-9a-f]{66}:53, version \d+, [0-9.]+ s old\n$")
        gone = a.ask("sd", "DELETE", f"/api/services/{a.public}?type=vpn")
        self.assertEqual(gone.status, 200)
        for each in (watch, later):
            each.wait_for("one of them", lambda leaves: self.offered(leaves, a, b) == {b.public})
            each.stop()

    def test_d14_clients_by_server(self):
        deployment = self.up(shared=True)
        watch = self.watch(deployment, "dmsgd-clients-by-server")
        key = Key(seed=f"a client of {self.id()}")
        client = self.serve(deployment, key)

        def named(leaves):
            return next((e for e in leaves.get(CLIENTS, []) if e["static"] == key.public), None)

        entry = watch.wait_for("the client", named) and named(watch.state())
        self.assertEqual(entry["client"]["delegated_servers"], [SERVER])
        self.assertEqual(says(entry), says(self.entry(deployment, key.public)))
        server = watch.state()[f"clients-by-server/servers/{SERVER}"]
        self.assertEqual(server["static"], SERVER)
        self.assertEqual(server["server"]["address"], deployment.dmsg_address())
        client.stop()
        watch.wait_for("the client to be gone", lambda leaves: named(leaves) is None)
        watch.stop()

    def test_d14_transports(self):
        deployment = self.up(shared=True)
        a, b = self.visors(deployment)
        entry = transport(a.public, b.public)

        def own(leaves):
            """What each of the two leaves says of this transport."""
            return [
                [each for each in leaves[path] if each["edges"] == entry["edges"]]
                for path in TRANSPORTS
            ]

        watch = self.watch(deployment, "tpd-all-transports")
        self.assertEqual(own(watch.state()), [[], []])
        self.assertEqual(a.register(entry).status, 201)
        watch.wait_for("the transport", lambda leaves: all(own(leaves)))
        listed = deployment.get("tpd", "/all-transports").json
        (listed,) = [each for each in listed if each["t_id"] == entry["t_id"]]
        del listed["t_id"]
        self.assertEqual(own(watch.state()), [[listed], [listed]])
        self.assertEqual(a.ask("tpd", "DELETE", f"/transports/id:{entry['t_id']}").status, 200)
        watch.wait_for("none", lambda leaves: not any(own(leaves)))
        watch.stop()

    def test_a_killed_publisher_is_followed_when_it_is_back(self):
        deployment = self.up(shared=True)
        a, b = self.visors(deployment)
        self.offer(a)
        watch = self.watch(deployment, "sd-services")
        watch.wait_for("the first", lambda leaves: self.offered(leaves, a, b) == {a.public})
        deployment.restart("sd", signal.SIGKILL)
        # One whose nonces cannot have been forgotten.
        self.offer(b)
        watch.wait_for("the second", lambda leaves: b.public in self.offered(leaves, b))
        deployment.wait_for(
            "the same in both",
            lambda: watch.state()[SERVICES] == deployment.get("sd", "/api/services?type=vpn").json,
        )
        watch.stop()
        deployment.settled()

    def test_all_feeds_answer(self):
        deployment = self.up(shared=True)
        done = self.cxo(deployment, "feeds")
        self.assertEqual((done.code, done.err), (0, ""), done)
        rows = {line.split()[0]: line.split() for line in done.out.splitlines()[1:]}
        expected = {
            "sd-services": ("sd", 53),
            "dmsgd-clients-by-server": ("dmsgd", 54),
            "tpd-all-transports": ("tpd", 55),
            "tpd-uptime": ("tpd", 52),
            "tpd-metrics": ("tpd", 51),
            "ar-bindings": ("ar", 56),
        }
        self.assertEqual(set(rows), set(expected))
        for name, (label, port) in expected.items():
            self.assertEqual(rows[name][1:3], [label, f"{KEYS[label][1]}:{port}"])
            self.assertEqual(rows[name][-1], "live")
        stat = self.cxo(deployment, "stat", "ar-bindings")
        shown = dict(line.split(None, 1) for line in stat.out.splitlines())
        self.assertEqual(stat.code, 0, stat)
        self.assertEqual((shown["feed"], shown["leaves"]), (KEYS["ar"][1], "256"))
        # By its key alone.
        named = self.run_cli("cli", "cxo", "get", f"{KEYS['ar'][1]}:56", "0/0", *deployment.disc())
        self.assertEqual((named.code, named.out), (0, "{}\n"), named)
        # As it is published: a version byte, then gzip.
        raw = self.cxo(deployment, "get", "ar-bindings", "0/0", "--raw")
        self.assertEqual((raw.code, raw.out[:2]), (0, "\x01\x1f"), raw)
        listed = self.cxo(deployment, "get", "ar-bindings", "f")
        self.assertEqual(listed.code, 0, listed)
        self.assertEqual(
            [line.split()[1] for line in listed.out.splitlines()],
            [f"f/{digit:x}" for digit in range(16)],
        )
        missing = self.cxo(deployment, "get", "ar-bindings", "f/g")
        self.assertEqual((missing.code, missing.out), (1, ""), missing)
        self.assertIn('nothing at "f/g"', missing.err)

    def test_c09_a_subscriber_has_all_of_it_or_fails(self):
        deployment = self.up()
        # A feed that is known to be empty is all of it.
        empty = self.cxo(deployment, "get", "sd-services")
        self.assertEqual((empty.code, empty.out), (0, ""), empty)
        self.assertEqual(deployment.command("sd", "stop").status, 200)
        for words in (
            ("get", "sd-services"),
            ("stat", "sd-services"),
            ("watch", "sd-services"),
        ):
            done = self.cxo(deployment, *words, "--timeout", "500ms")
            self.assertEqual((done.code, done.out), (1, ""), done)
            self.assertEqual(len(done.err.splitlines()), 1, done)

        def others():
            done = self.cxo(deployment, "feeds", "--timeout", "3s")
            states = {line.split()[0]: line.split()[-1] for line in done.out.splitlines()[1:]}
            self.assertNotEqual(states.get("sd-services"), "live", done)
            return done.code == 0 and states["tpd-uptime"] == "live"

        deployment.wait_for("the others to answer all the same", others)
        nobody = self.cxo(deployment, "get", "sd-service")
        self.assertEqual((nobody.code, nobody.out), (2, ""), nobody)

    def test_services_by_feed_else_over_http(self):
        deployment = self.up(shared=True)
        a, _ = self.visors(deployment)
        watch = self.watch(deployment, "sd-services")
        self.offer(a)
        watch.wait_for("the offer", lambda leaves: self.offered(leaves, a))
        sd = ("cli", "sd", "vpn", "--config", deployment.file)

        def read():
            done = self.run_cli(*sd)
            self.assertEqual(done.code, 0, done)
            return None if done.err.startswith("over HTTP") else done

        # Where the feed is late, the command takes the list over HTTP and names that as the reason.
        by_feed = deployment.wait_for("the list by its feed", read)
        self.assertIn(f"{a.public}:44", by_feed.out)
        self.assertRegex(by_feed.err, r"^from dmsg://[0-9a-f]{66}:53, version \d+, [0-9.]+ s old\n$")
        by_http = self.run_cli(*sd, "--http")
        self.assertEqual((by_http.code, by_http.err), (0, "over HTTP, just now\n"), by_http)
        self.assertEqual(by_http.out, by_feed.out)
        self.assertEqual(
            json.loads(self.run_cli(*sd, "--json").out),
            json.loads(self.run_cli(*sd, "--json", "--http").out),
        )
        watch.stop()
        # Without a way to the feed.
        self.assertEqual(deployment.command("dmsgs", "stop").status, 200)
        fallen = self.run_cli(*sd, "--timeout", "3s")
        self.assertEqual((fallen.code, fallen.out), (0, by_http.out), fallen)
        self.assertRegex(fallen.err, r"^over HTTP, just now \(the feed: .+\)\n$")
        # Nor to any other.
        none = self.cxo(deployment, "feeds", "--timeout", "2s")
        self.assertEqual(none.code, 1, none)


class OwnProcesses(Scenario):
    """What needs blocks of its own."""

    def boot_sd(self, **keys):
        network = dmsg_network()
        at = network[0]["addr"]
        deployment = self.prepare(
            *network,
            keyed("service-discovery", "sd", at, **keys),
            keyed("transport-discovery", "tpd", at, enable_cxo=False),
        )
        deployment.start().wait_ready()
        return deployment

    def get(self, deployment, *words):
        return self.run_cli("cli", "cxo", "get", "sd-services", *words, "--config", deployment.file)

    def offer(self, deployment, name):
        visor = Visor(Labels(deployment), name)
        entry = {"address": f"{visor.public}:44", "type": "vpn", "version": "v1.3.29"}
        self.assertEqual(visor.ask("sd", "POST", "/api/services", entry).status, 200)
        return visor

    def wait_listed(self, deployment, *visors, options=()):
        wanted = {each.public for each in visors}

        def look():
            done = self.get(deployment, SERVICES, *options)
            if done.code != 0:
                return None
            return {each["address"][:66] for each in json.loads(done.out)} == wanted

        deployment.wait_for("the feed to be as the store", look)

    def test_c10_a_damaged_store_is_rebuilt_and_the_feed_with_it(self):
        deployment = self.boot_sd(testing=False)
        lost = self.offer(deployment, "visor lost")
        self.wait_listed(deployment, lost)
        self.assertEqual(deployment.stop(), 0)
        (file,) = (deployment.folder / "state").glob("sd.sqlite")
        file.write_bytes(os.urandom(file.stat().st_size))
        deployment.start().wait_ready()
        self.assertTrue(deployment.lines("corrupt"), deployment.err)
        empty = self.get(deployment)
        self.assertEqual((empty.code, empty.out), (0, ""), empty)
        found = self.offer(deployment, "visor found")
        self.wait_listed(deployment, found)
        self.assertEqual(deployment.service("sd")["restarts"], 0)

    def test_over_plain_tcp(self):
        address = free_address()
        deployment = self.boot_sd(cxo_tcp_addr=address)
        visor = self.offer(deployment, "visor of a reader on TCP")
        self.wait_listed(deployment, visor, options=("--tcp", address))

    def test_of_an_older_layout_the_list_comes_over_http(self):
        deployment = self.boot_sd(feed_layout="old")
        visor = self.offer(deployment, "visor in an older layout")
        path = f"services/vpn/{visor.public}/entry"

        def there():
            done = self.get(deployment, path)
            return done.code == 0 and json.loads(done.out)["address"] == f"{visor.public}:44"

        deployment.wait_for("the record's leaf", there)

        def over_http():
            listed = self.run_cli("cli", "sd", "vpn", "--config", deployment.file)
            self.assertEqual(listed.code, 0, listed)
            self.assertIn(f"{visor.public}:44", listed.out)
            self.assertIn("over HTTP, just now (the feed: ", listed.err)
            return "(the feed: it has another layout)" in listed.err

        # As above: where the feed is late, another reason is named.
        deployment.wait_for("the feed to be read", over_http)

    def test_a_feed_that_is_off(self):
        deployment = self.boot_sd()
        done = self.run_cli("cli", "cxo", "get", "tpd-uptime", "--config", deployment.file)
        self.assertEqual((done.code, done.out), (1, ""), done)
        self.assertIn("tpd-uptime", done.err)

    def test_a_feed_that_cannot_listen_degrades_and_no_more(self):
        address = free_address()
        deployment = self.boot_sd(cxo_tcp_addr=address, addr=free_address())
        self.assertEqual(deployment.stop(), 0)
        host, port = address.rsplit(":", 1)
        with socket.create_server((host, int(port))):
            deployment.start()
            deployment.wait_admin()
            deployment.wait_state("sd", "degraded")
            self.assertEqual(deployment.get("sd", "/health").status, 200)
            visor = self.offer(deployment, "visor of a degraded service")
            self.wait_listed(deployment, visor)


if __name__ == "__main__":
    unittest.main()
