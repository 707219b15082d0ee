"""A dmsg network of discovery, server and clients, seen from outside: D01, D02, D13, D17, D18, and
S08, S09, S10, S15 with the dmsg-server in its role."""

import json
import time
import unittest

from entries import Key
from skywire_process import KEYS, Redis, Scenario, dmsg_network, dmsg_server, stun

DISCOVERY = KEYS["dmsgd"][1]
SERVER = KEYS["dmsgs"][1]

class Network(Scenario):
    """A deployment and clients of it: `iperf --serve` processes, which keep a session and an entry
    and answer whoever dials them."""

    def boot_network(self, *more, discovery_keys=None, server_keys=None, **options):
        blocks = dmsg_network(discovery_keys=discovery_keys, server_keys=server_keys)
        return self.boot(*blocks, *more, **options)

    def disc(self, deployment):
        return ["--disc", f"http://{deployment.address('dmsgd')}"]

    def serve(self, deployment, key, **more):
        """A client of this key that serves; it is on dmsg."""
        path = self.folder / f"{key.public}.key"
        if not path.exists():
            path.write_text(f"{key.secret:064x}\n")
            path.chmod(0o600)
            self.secrets.add(f"{key.secret:064x}")
        client = self.start_cli(
            "dmsg", "iperf", "--serve", "--keyfile", path, *self.disc(deployment), **more
        )
        client.wait_said(f"serving {key.public}:5201")
        return client

    def entry(self, deployment, key):
        """None where there is none."""
        answer = deployment.get("dmsgd", f"/dmsg-discovery/entry/{key}")
        return answer.json if answer.status == 200 else None

    def send(self, deployment, key, *options):
        """Some bytes to a serving client; what the command came to."""
        return self.run_cli(
            "dmsg", "iperf", "-n", "100000", *options, *self.disc(deployment), key.public
        )

    def sessions(self, deployment):
        return deployment.get("dmsgs", "/health").json["dmsg_server"]["client_sessions"]

    def wait_delegated(self, deployment, key, since):
        """Waits for an entry, written after this time, that names the server; the entry."""

        def look():
            entry = self.entry(deployment, key)
            if entry is None or entry["timestamp"] <= since:
                return None
            return entry if entry["client"]["delegated_servers"] == [SERVER] else None

        return deployment.wait_for("the new entry", look)

    def wait_all_delegated(self, deployment):
        """Waits until every client's entry, the discovery's own too, names servers that are
        there."""
        servers = deployment.get("dmsgd", "/dmsg-discovery/all_servers").json
        for server in servers:
            self.assertListening(server["server"]["address"])
        there = {each["static"] for each in servers}

        def look():
            keys = deployment.get("dmsgd", "/dmsg-discovery/entries").json
            named = [self.entry(deployment, key)["client"]["delegated_servers"] for key in keys]
            return named and all(each and set(each) <= there for each in named)

        deployment.wait_for("no entry without a live server", look)


class Entries(Network):
    def test_d01_the_server_is_listed_with_its_key_and_address(self):
        deployment = self.boot_network(server_keys={"max_sessions": 77})
        block = deployment.config["services"][1]
        for path in ("available_servers", "all_servers"):
            (entry,) = deployment.get("dmsgd", f"/dmsg-discovery/{path}").json
            self.assertEqual(entry["static"], SERVER)
            self.assertEqual(entry["server"]["address"], block["public_address"])
            self.assertEqual(entry["version"], "0.0.1")
        deployment.wait_for(
            "the discovery's session to count",
            lambda: self.entry(deployment, SERVER)["server"]["availableSessions"] == 76,
        )
        listed = self.run_cli("dmsg", "disc", "servers", *self.disc(deployment))
        self.assertEqual(listed.code, 0, listed)
        self.assertRegex(listed.out, rf"{SERVER} +{block['public_address']} +76")
        self.assertEqual(deployment.stop(), 0)

    def test_d02_a_client_says_through_which_server_it_is_reached(self):
        deployment = self.boot_network()
        key = Key(seed="a client of D02")
        client = self.serve(deployment, key)
        first = self.entry(deployment, key.public)
        self.assertEqual(
            list(first), ["version", "sequence", "timestamp", "static", "client", "signature"]
        )
        self.assertEqual((first["version"], first["sequence"]), ("0.0.1", 0))
        self.assertEqual(first["client"], {"delegated_servers": [SERVER]})
        self.assertIn(
            key.public, deployment.get("dmsgd", f"/dmsg-discovery/server/{SERVER}/clients").json
        )
        shown = self.run_cli("dmsg", "disc", "entry", key.public, *self.disc(deployment))
        self.assertRegex(shown.out, rf"(?m)^reached by +{SERVER}$")

        # Killed, it leaves its entry; the next post goes on from there.
        client.kill()
        self.assertEqual(self.entry(deployment, key.public)["sequence"], 0)
        client = self.serve(deployment, key)
        second = self.entry(deployment, key.public)
        self.assertEqual(second["sequence"], 1)
        self.assertGreater(second["timestamp"], first["timestamp"])
        self.assertEqual(self.send(deployment, key).code, 0)
        # An orderly end takes it away.
        self.assertEqual(client.stop(), 0)
        self.assertIsNone(self.entry(deployment, key.public))
        self.assertEqual(deployment.stop(), 0)

    def test_d13_a_service_answers_over_dmsg_as_it_does_over_http(self):
        deployment = self.boot_network()
        for url in (f"dmsg://{DISCOVERY}:80/health", f"dmsg://{DISCOVERY}/health"):
            done = self.run_cli("dmsg", "curl", *self.disc(deployment), url)
            self.assertEqual(done.code, 0, done)
            health = json.loads(done.out)
            self.assertEqual(health["service_name"], "dmsg-discovery")
            self.assertEqual(health["dmsg_address"], f"{DISCOVERY}:80")
            self.assertEqual(health["dmsg_servers"], [SERVER])
            self.assertEqual(done.out, deployment.get("dmsgd", "/health").text)
        # Through a server named by hand, the discovery reached over nothing but dmsg.
        server = f"{SERVER}@{deployment.config['services'][1]['public_address']}"
        path = "/dmsg-discovery/available_servers"
        done = self.run_cli("dmsg", "curl", "--server", server, f"dmsg://{DISCOVERY}{path}")
        self.assertEqual(done.code, 0, done)
        self.assertEqual([each["static"] for each in json.loads(done.out)], [SERVER])
        self.assertEqual(deployment.stop(), 0)

    def test_mode_http_is_not_on_dmsg(self):
        deployment = self.boot_network(discovery_keys={"mode": "http"})
        self.assertNotIn("dmsg_address", deployment.get("dmsgd", "/health").json)
        done = self.run_cli(
            "dmsg", "curl", *self.disc(deployment), "--timeout", "5s", f"dmsg://{DISCOVERY}/health"
        )
        self.assertEqual((done.code, done.out), (1, ""), done)
        self.assertEqual(deployment.stop(), 0)


class Health(Network):
    def test_s08_every_service_says_who_it_is(self):
        deployment = self.boot_network(stun())
        discovery = deployment.get("dmsgd", "/health").json
        self.assertEqual(
            list(discovery),
            ["service_name", "build_info", "started_at", "dmsg_address", "dmsg_servers"],
        )
        self.assertEqual(discovery["service_name"], "dmsg-discovery")
        self.assertEqual(discovery["dmsg_address"], f"{DISCOVERY}:80")
        self.assertEqual(discovery["dmsg_servers"], [SERVER])
        answer = deployment.get("dmsgs", "/health")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json["service_name"], "dmsg-server")
        self.assertEqual(answer.json["public_key"], SERVER)
        self.assertEqual(
            answer.json["dmsg_discovery"], f"http://{deployment.address('dmsgd')}"
        )
        counts = answer.json["dmsg_server"]
        # The discovery's own.
        self.assertEqual((counts["client_sessions"], counts["active_streams"]), (1, 0))
        for label in ("dmsgd", "dmsgs", "stun"):
            self.assertEqual(deployment.service(label)["state"], "ready")
        self.assertEqual(deployment.stop(), 0)

    def test_d18_a_cold_start_needs_no_retry(self):
        deployment = self.boot_network(stun())
        events = [f"{each['label']} {each['event']}" for each in deployment.timeline()]
        milestones = [
            f"{each['label']} {each['detail']}" for each in deployment.timeline()
            if each["event"] == "milestone"
        ]  # fmt: skip
        for wanted in ("dmsgd http", "dmsgs registered", "dmsgd dmsg"):
            self.assertIn(wanted, milestones)
        self.assertLess(milestones.index("dmsgd http"), milestones.index("dmsgs registered"))
        self.assertLess(milestones.index("dmsgs registered"), milestones.index("dmsgd dmsg"))
        for each in ("failed", "restarting", "degraded", "gave-up"):
            self.assertFalse([event for event in events if event.endswith(" " + each)], events)
        # Nothing was tried in vain, so nothing was waited for.
        for name, good in (
            ("dmsg_server_registrations_total", "ok"),
            ("dmsg_client_session_dials_total", "ok"),
            ("dmsg_client_entry_writes_total", "ok"),
        ):
            self.assertGreaterEqual(deployment.metric(name, f'outcome="{good}"'), 1, name)
            self.assertEqual(
                deployment.metric(name), deployment.metric(name, f'outcome="{good}"'), name
            )
        self.assertEqual(deployment.metric("dmsg_client_lookups_failed_total"), 0)
        self.assertFalse(deployment.lines("WARN"), deployment.err)
        self.assertEqual(deployment.stop(), 0)


class Shutdown(Network):
    def test_s09_the_servers_entry_goes_before_the_discovery(self):
        if not Redis.installed:
            self.skipTest("redis-server is not installed")
        redis = self.redis()
        deployment = self.boot_network(
            stun(), discovery_keys={"redis": redis.url(), "testing": True}
        )
        key = Key(seed="a client of S09")
        client = self.serve(deployment, key)
        self.assertEqual(redis.command(f"EXISTS {SERVER}"), ":1")
        self.assertEqual(redis.command(f"EXISTS {key.public}"), ":1")
        follower = deployment.follow()
        self.assertEqual(deployment.stop(), 0)
        follower.check_order(
            self, "- not-ready", "dmsgs draining", "dmsgs stopped", "dmsgd draining"
        )
        # What is gone from the store was deleted while the discovery took deletions.
        self.assertEqual(redis.command(f"EXISTS {SERVER}"), ":0")
        self.assertEqual(redis.command(f"SISMEMBER servers {SERVER}"), ":0")
        self.assertEqual(redis.command(f"EXISTS {DISCOVERY}"), ":0")
        self.assertFalse(deployment.lines("not_deleted"), deployment.err)
        self.assertFalse(deployment.lines("ERROR"), deployment.err)
        self.assertTrue(deployment.lines("process.stopped", "exit_code=0"))
        # The client is still there: it comes back when they do.
        self.assertIsNone(client.code)
        before = time.time_ns()
        deployment.start().wait_ready()
        self.wait_delegated(deployment, key.public, before)
        self.assertEqual(self.send(deployment, key).code, 0)
        self.assertEqual(deployment.stop(), 0)

    def test_s10_open_streams_end_within_the_drain(self):
        deployment = self.boot_network(
            server_keys={"drain_timeout": "25s"}, supervisor={"shutdown_timeout": "40s"}
        )
        disc = self.disc(deployment)
        listener = self.start_cli("dmsg", "cat", "--listen", "4000", *disc)
        address = listener.wait_said("listening on ").split()[-1]
        dialer = self.start_cli("dmsg", "cat", *disc, address)
        dialer.write(b"before\n")
        listener.wait_for("the bytes", lambda: listener.raw == b"before\n")
        deployment.terminate()
        deployment.wait_event("dmsgs", "draining")
        self.assertEqual(deployment.ask("/readyz").status, 503)
        # Gone from the discovery, closed to newcomers; those under way go on, both ways.
        deployment.wait_for(
            "the entry to be gone", lambda: self.entry(deployment, SERVER) is None
        )
        self.assertNotListening(deployment.config["services"][1]["local_address"])
        listener.write(b"after\n" * 1000)
        dialer.wait_for("the bytes", lambda: dialer.raw == b"after\n" * 1000)
        dialer.write(b"after, too\n")
        listener.wait_for("the bytes", lambda: listener.raw.endswith(b"after, too\n"))
        self.assertEqual(deployment.service("dmsgs")["state"], "stopping")
        dialer.stop()
        # With the last stream the drain is over.
        self.assertEqual(deployment.wait_exit(), 0)
        self.assertEqual(listener.wait_exit(), 0, listener)
        self.assertFalse(deployment.lines("ERROR"), deployment.err)


class Restarts(Network):
    def test_d17_s15_clients_come_back_to_a_server_that_was_restarted(self):
        deployment = self.boot_network(stun())
        keys = [Key(seed=f"client {index} of D17") for index in range(3)]
        clients = [self.serve(deployment, key) for key in keys]
        deployment.wait_for("all sessions", lambda: self.sessions(deployment) == 4)
        before = {key.public: self.entry(deployment, key.public) for key in keys}
        last = deployment.last_event()
        since = time.time_ns()
        self.assertEqual(deployment.command("dmsgs", "restart").status, 200)
        for key in keys:
            entry = self.wait_delegated(deployment, key.public, since)
            self.assertGreater(entry["sequence"], before[key.public]["sequence"])
        deployment.wait_for("all sessions", lambda: self.sessions(deployment) == 4)
        deployment.wait_for(
            "the discovery's session",
            lambda: deployment.get("dmsgd", "/health").json.get("dmsg_servers") == [SERVER],
        )
        self.wait_all_delegated(deployment)
        for key in keys:
            done = self.send(deployment, key)
            self.assertEqual(done.code, 0, done)
        curl = self.run_cli("dmsg", "curl", *self.disc(deployment), f"dmsg://{DISCOVERY}/health")
        self.assertEqual(curl.code, 0, curl)
        # Nobody but the server was restarted.
        events = deployment.timeline(last)
        self.assertFalse(
            [each for each in events if each["label"] != "dmsgs" and "start" in each["event"]]
        )
        for client in clients:
            self.assertEqual(client.stop(), 0, client)
        self.assertEqual(deployment.stop(), 0)


    def test_clients_move_to_another_server(self):
        blocks = dmsg_network()
        other = Key(seed="the other server")
        blocks.append(
            dmsg_server(blocks[0]["addr"], "other", secret_key=f"{other.secret:064x}")
        )
        deployment = self.boot(*blocks)
        labels = {SERVER: "dmsgs", other.public: "other"}
        keys = [Key(seed=f"client {index} of two servers") for index in range(4)]
        clients = [self.serve(deployment, key) for key in keys]

        def named(key):
            return self.entry(deployment, key.public)["client"]["delegated_servers"]

        (left,) = named(keys[0])
        (stays,) = set(labels) - {left}
        self.assertEqual(deployment.command(labels[left], "stop").status, 200)
        for key in keys:
            deployment.wait_for("the server that is there", lambda key=key: named(key) == [stays])
            done = self.send(deployment, key)
            self.assertEqual(done.code, 0, done)
        listed = deployment.get("dmsgd", "/dmsg-discovery/all_servers").json
        self.assertEqual([each["static"] for each in listed], [stays])
        self.wait_all_delegated(deployment)
        for client in clients:
            self.assertEqual(client.stop(), 0, client)
        self.assertEqual(deployment.stop(), 0)


class TwoProcesses(Network):
    """The same file in two processes: `--only dmsgd`, `--only dmsgs`."""

    def start_two(self):
        config = {"services": dmsg_network()}
        environment = {"XDG_RUNTIME_DIR": str(self.subfolder("runtime"))}
        made = {}
        for label in ("dmsgs", "dmsgd"):
            process = self.prepare_file(
                config, options=["--only", label], environment=environment, folder="a"
            )
            process.folder = self.subfolder(label)
            made[label] = process
        return made["dmsgd"], made["dmsgs"]

    def wait_up(self, process, label):
        """Its admin socket has a name that follows from file and labels: its log says which."""
        line = process.wait_for("its address", lambda: process.lines("admin.listening"))
        process.admin = line[0].rpartition("address=")[2].strip('"')
        process.wait_ready()
        return process

    def test_discovery_and_server_in_processes_of_their_own(self):
        discovery, server = self.start_two()
        # The server first: it waits for the discovery of the other process.
        server.start()
        line = server.wait_for("its address", lambda: server.lines("admin.listening"))
        server.admin = line[0].rpartition("address=")[2].strip('"')
        waiting = server.wait_state("dmsgs", "starting")
        discovery.start()
        self.wait_up(discovery, "dmsgd")
        server.wait_ready()
        self.assertTrue(waiting["reason"], waiting)
        key = Key(seed="a client of two processes")
        client = self.serve(discovery, key)
        self.assertEqual(self.send(discovery, key, "--json").code, 0)
        curl = self.run_cli("dmsg", "curl", *self.disc(discovery), f"dmsg://{DISCOVERY}/health")
        self.assertEqual(curl.code, 0, curl)

        # The server dies without a word. Its clients say so in their entries, and come back.
        since = time.time_ns()
        server.kill()
        discovery.wait_for(
            "the client to be reached by nobody",
            lambda: self.entry(discovery, key.public)["client"]["delegated_servers"] == [],
        )
        self.assertIsNone(client.code)
        server.start()
        entry = self.wait_delegated(discovery, key.public, since)
        self.assertGreaterEqual(entry["sequence"], 2)
        self.wait_all_delegated(discovery)
        self.assertEqual(self.send(discovery, key).code, 0)

        self.assertEqual(client.stop(), 0)
        self.assertEqual(server.stop(), 0)
        self.assertIsNone(self.entry(discovery, SERVER))
        self.assertEqual(discovery.stop(), 0)


if __name__ == "__main__":
    unittest.main()
