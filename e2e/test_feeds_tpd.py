"""The feeds of the transport-discovery: what visors tell of traffic in the list of all transports,
their own lists of transports, and the layouts that readers from before mid-2026 know."""

import json
import unittest

from clients import DmsgClients, Labels, Visor, transport
from feed_visor import FeedVisor, shards, telemetry
from skywire_process import KEYS, Scenario, dmsg_network, keyed

ALL = "transports/all/with-self"
TELEMETRY = 50
LISTS = 69


class TransportDiscovery(Scenario, DmsgClients):
    def boot_tpd(self, **keys):
        network = dmsg_network()
        tpd = keyed("transport-discovery", "tpd", network[0]["addr"], **keys)
        deployment = self.prepare(*network, tpd)
        deployment.start().wait_ready()
        return deployment

    def visor(self, deployment, name):
        return Visor(Labels(deployment), f"{name} of {self.id()}")

    def register(self, deployment):
        """A visor and its transport, just registered."""
        a, b = (self.visor(deployment, name) for name in "ab")
        entry = transport(a.public, b.public, "stcpr")
        self.assertEqual(a.register(entry).status, 201)
        return a, entry

    def publisher(self, deployment, visor, port=TELEMETRY):
        return FeedVisor(self, deployment, visor.key, KEYS["tpd"][1], port)

    def read(self, deployment, feed, *path):
        done = self.run_cli("cli", "cxo", "get", feed, *path, "--config", deployment.file)
        return done.out if done.code == 0 else None

    def leaf(self, deployment, feed, path):
        """None where there is none."""
        text = self.read(deployment, feed, path)
        return None if text is None else json.loads(text)

    def paths(self, deployment, feed):
        lines = (self.read(deployment, feed) or "").splitlines()
        return [line.split()[-1] for line in lines]

    def wait_leaf(self, deployment, feed, path, look):
        """Waits until `look` takes the leaf; the leaf."""

        def found():
            leaf = self.leaf(deployment, feed, path)
            return leaf if leaf is not None and look(leaf) else None

        return deployment.wait_for(f"{path} of {feed}", found)


class Figures(TransportDiscovery):
    def test_what_a_visor_tells_is_in_the_list_of_all_transports(self):
        deployment = self.boot_tpd()
        a, entry = self.register(deployment)
        bare = {name: value for name, value in entry.items() if name != "t_id"}
        only = self.wait_leaf(deployment, "tpd-all-transports", ALL, lambda leaf: leaf)
        self.assertEqual(only, [bare])
        publisher = self.publisher(deployment, a)
        row = telemetry(entry, sent=1000, received=24, throughput=512, latency=2.5)
        publisher.publish(shards(row))

        def told(**figures):
            self.assertEqual(
                self.wait_leaf(
                    deployment,
                    "tpd-all-transports",
                    ALL,
                    lambda leaf: leaf == [{**bare, **figures}],
                ),
                [{**bare, **figures}],
            )

        told(latency_ms=2.5, bandwidth=1024, throughput_bps=512)
        # The list over HTTP is as it was.
        self.assertEqual(deployment.get("tpd", "/all-transports").json, [entry])
        # What it tells later takes the place of what it told; a figure that it does not tell any
        # more is not there.
        publisher.publish(shards(telemetry(entry, sent=1500, received=36, latency=4)))
        told(latency_ms=4, bandwidth=1536)
        publisher.stream.stop()


class Lists(TransportDiscovery):
    def test_a_visors_own_list_registers_and_takes_back(self):
        deployment = self.boot_tpd()
        a, b, c = (self.visor(deployment, name) for name in "abc")
        first, second = (transport(a.public, other.public) for other in (b, c))
        foreign = transport(b.public, c.public)
        publisher = self.publisher(deployment, a, LISTS)

        def listed(*entries):
            wanted = {each["t_id"] for each in entries}

            def look():
                there = deployment.get("tpd", "/all-transports").json or []
                return {each["t_id"] for each in there} == wanted

            deployment.wait_for(f"{len(wanted)} transports", look)

        def tell(*entries):
            publisher.publish({"tp-list": json.dumps({"version": "1", "entries": entries}).encode()})

        # One between others is not its to tell.
        tell(first, second, foreign)
        listed(first, second)
        tell(second)
        listed(second)
        tell()
        listed()
        publisher.stream.stop()


class Layouts(TransportDiscovery):
    def test_an_old_layout_is_one_leaf_for_each_window(self):
        deployment = self.boot_tpd(feed_layout="old", testing=False)
        a, entry = self.register(deployment)
        publisher = self.publisher(deployment, a)
        publisher.publish(shards(telemetry(entry, sent=1000, received=24, latency=2.5)))
        windows = (1, 7, 30)
        metrics = [f"metrics/days/{days}" for days in windows]
        for days, path in zip(windows, metrics):
            asked = f"/metrics?edges=true&days={days}"
            leaf = self.wait_leaf(
                deployment,
                "tpd-metrics",
                path,
                lambda leaf: leaf and leaf == deployment.get("tpd", asked).json,
            )
            self.assertEqual([each["id"] for each in leaf], [entry["t_id"]])
        self.assertEqual(set(self.paths(deployment, "tpd-metrics")), set(metrics))
        publisher.stream.stop()
        # Uptimes follow once a minute, and at once where the service begins.
        self.assertEqual(a.ask("tpd", "GET", "/v4/update?version=v1.3.29").status, 200)
        self.assertEqual(deployment.stop(), 0)
        deployment.start().wait_ready()
        uptimes = [f"uptimes/days/{days}" for days in windows]
        listed = deployment.get("tpd", "/uptimes?v=v3").json
        self.assertEqual([each["pk"] for each in listed], [a.public])
        for path in uptimes:
            leaf = self.wait_leaf(deployment, "tpd-uptime", path, lambda leaf: leaf)
            self.assertEqual(leaf, listed)
        self.assertEqual(set(self.paths(deployment, "tpd-uptime")), set(uptimes))
        # That of all transports knows one layout.
        all_ = self.wait_leaf(deployment, "tpd-all-transports", ALL, lambda leaf: leaf)
        self.assertEqual([each["edges"] for each in all_], [entry["edges"]])

    def test_of_both_layouts_uptimes_have_the_newest(self):
        deployment = self.boot_tpd(feed_layout="both")
        self.assertTrue(deployment.lines("feed.layout", "tpd-uptime", "newest"), deployment.err)

        def there():
            found = self.paths(deployment, "tpd-metrics")
            old = {f"metrics/days/{days}" for days in (1, 7, 30)}
            newest = {path for path in found if path.startswith("metrics/day/")}
            return old | newest == set(found) and len(found) == 4

        deployment.wait_for("both", there)
        self.assertEqual(self.paths(deployment, "tpd-uptime"), [])


if __name__ == "__main__":
    unittest.main()
