"""A dmsg network of discovery and server by themselves, seen from outside: D13, D18, S08, S09, S10
with the dmsg-server in its role. Together with all services: test_network.py."""

import json
import time
import unittest

from clients import DISCOVERY, SERVER, DmsgClients
from entries import Key
from skywire_process import Redis, Scenario, dmsg_network, dmsg_server, listens, stun


class Network(DmsgClients, Scenario):
    def boot_network(self, *more, discovery_keys=None, server_keys=None, **options):
        blocks = dmsg_network(discovery_keys=discovery_keys, server_keys=server_keys)
        return self.boot(*blocks, *more, **options)


class Entries(Network):
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
        # The discovery's own: the server has it once it has read the last of the handshake.
        deployment.wait_for("the discovery's session", lambda: self.sessions(deployment))
        counts = deployment.get("dmsgs", "/health").json["dmsg_server"]
        self.assertEqual((counts["client_sessions"], counts["active_streams"]), (1, 0))
        for label in ("dmsgd", "dmsgs", "stun"):
            self.assertEqual(deployment.service(label)["state"], "ready")
        self.assertEqual(deployment.stop(), 0)

    def test_d18_a_cold_start_needs_no_retry(self):
        deployment = self.boot_network(stun())
        # Said beside the start, which waits for the same.
        deployment.wait_event("dmsgd", "milestone", "dmsg")
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
        for name in (
            "dmsg_server_registrations_total",
            "dmsg_client_session_dials_total",
            "dmsg_client_entry_writes_total",
        ):
            # At one moment: they go on, the server's entry follows its sessions.
            good, all_ = deployment.metrics(name, 'outcome="ok"')
            self.assertGreaterEqual(good, 1, name)
            self.assertEqual(all_, good, name)
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
        self.assertEqual(deployment.stop(), 0)
        places = [
            deployment.err.find(line)
            for line in (
                "shutdown.begun",
                "service.draining service=dmsgs",
                "service.stopped service=dmsgs",
                "service.draining service=dmsgd",
            )
        ]
        self.assertNotIn(-1, places, deployment.err)
        self.assertEqual(places, sorted(places), deployment.err)
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
        self.assertEqual(self.send(deployment, key.public).code, 0)
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
        server = deployment.config["services"][1]["local_address"]
        deployment.wait_for("the server to close to newcomers", lambda: not listens(server))
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
            done = self.send(deployment, key.public)
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
        waiting = server.wait_for(
            "what it waits for", lambda: (found := server.service("dmsgs"))["reason"] and found
        )
        self.assertEqual(waiting["state"], "starting")
        discovery.start()
        self.wait_up(discovery, "dmsgd")
        server.wait_ready()
        key = Key(seed="a client of two processes")
        client = self.serve(discovery, key)
        self.assertEqual(self.send(discovery, key.public, "--json").code, 0)
        # On dmsg it comes once it has seen the server, which no gate makes it wait for.
        discovery.wait_event("dmsgd", "milestone", "dmsg")
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
        self.assertEqual(self.send(discovery, key.public).code, 0)

        self.assertEqual(client.stop(), 0)
        self.assertEqual(server.stop(), 0)
        self.assertIsNone(self.entry(discovery, SERVER))
        self.assertEqual(discovery.stop(), 0)


if __name__ == "__main__":
    unittest.main()
