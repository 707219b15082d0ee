"""The dmsg network of a whole deployment, in any form: D01, D02, D12, D17, D18 and clients between two
servers."""

import socket
import struct
import time
import unittest

from clients import SERVER, DmsgClients
from entries import Key
from forms import FormScenario
from skywire_process import KEYS
from test_stun import attributes, packet

# The services that are clients of the dmsg-server themselves.
OWN_CLIENTS = ("dmsgd", "tpd", "sd", "ar", "rf", "sn", "tps", "conf")


class Network(DmsgClients, FormScenario):
    def wait_sessions(self, deployment, count):
        """So many beside the services' own."""
        deployment.wait_for(
            f"{count} sessions",
            lambda: self.sessions(deployment) == len(OWN_CLIENTS) + count,
        )


class Entries(Network):
    def test_d01_the_server_is_listed_with_its_key_and_address(self):
        deployment = self.up(shared=True)
        most = deployment.block("dmsgs").get("max_sessions", 2048)
        for path in ("available_servers", "all_servers"):
            (entry,) = deployment.get("dmsgd", f"/dmsg-discovery/{path}").json
            self.assertEqual(entry["static"], SERVER)
            self.assertEqual(entry["server"]["address"], deployment.dmsg_address())
            self.assertEqual(entry["version"], "0.0.1")
        self.assertListening(deployment.dmsg_address())
        free = most - len(OWN_CLIENTS)
        deployment.wait_for(
            "the services' sessions to count",
            lambda: self.entry(deployment, SERVER)["server"]["availableSessions"] == free,
        )
        listed = self.run_cli("dmsg", "disc", "servers", *deployment.disc())
        self.assertEqual(listed.code, 0, listed)
        self.assertRegex(listed.out, rf"{SERVER} +{deployment.dmsg_address()} +{free}")

    def test_d02_a_client_says_through_which_server_it_is_reached(self):
        deployment = self.up(shared=True)
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
        shown = self.run_cli("dmsg", "disc", "entry", key.public, *deployment.disc())
        self.assertRegex(shown.out, rf"(?m)^reached by +{SERVER}$")

        # Killed, it leaves its entry; the next post goes on from there.
        client.kill()
        self.assertEqual(self.entry(deployment, key.public)["sequence"], 0)
        client = self.serve(deployment, key)
        second = self.entry(deployment, key.public)
        self.assertEqual(second["sequence"], 1)
        self.assertGreater(second["timestamp"], first["timestamp"])
        self.assertEqual(self.send(deployment, key.public).code, 0)
        # An orderly end takes it away.
        self.assertEqual(client.stop(), 0)
        self.assertIsNone(self.entry(deployment, key.public))


class Start(Network):
    def test_d18_a_cold_start_needs_no_restart(self):
        # That no pause of a second is taken is shown on a held clock: services/deployment_test.cpp.
        deployment = self.up()
        for label in deployment.block_labels():
            events = [
                each["event"] for each in deployment.timeline(label) if each["label"] == label
            ]
            self.assertEqual(events.count("ready"), 1, (label, events))
            for bad in ("failed", "restarting", "degraded", "gave-up"):
                self.assertNotIn(bad, events, label)
            service = deployment.service(label)
            self.assertEqual((service["state"], service["restarts"]), ("ready", 0), label)
        green = deployment.health()
        self.assertEqual(green.code, 0, green)
        if deployment.apart:
            return
        milestones = [
            f"{each['label']} {each['detail']}"
            for each in deployment.timeline("dmsgd")
            if each["event"] == "milestone"
        ]
        order = ["dmsgd http", "dmsgs registered", "dmsgd dmsg"]
        places = [milestones.index(each) for each in order]
        self.assertEqual(places, sorted(places), milestones)
        # In one process nothing was tried in vain, so nothing was waited for.
        for name in (
            "dmsg_server_registrations_total",
            "dmsg_client_session_dials_total",
            "dmsg_client_entry_writes_total",
        ):
            # At one moment: they go on, the server's entry follows its sessions.
            done, all_ = deployment.metrics("dmsgd", name, 'outcome="ok"')
            self.assertGreaterEqual(done, 1, name)
            self.assertEqual(all_, done, name)
        for label in deployment.block_labels():
            self.assertFalse(deployment.lines(label, "WARN"), deployment.logs(label))


class Restart(Network):
    def test_d17_clients_come_back_to_a_server_that_was_restarted(self):
        deployment = self.up(shared=True)
        started = {label: self.starts(deployment, label) for label in deployment.block_labels()}
        keys = [Key(seed=f"client {index} of D17") for index in range(3)]
        clients = [self.serve(deployment, key) for key in keys]
        self.wait_sessions(deployment, 3)
        before = {key.public: self.entry(deployment, key.public) for key in keys}
        since = time.time_ns()
        self.assertEqual(deployment.command("dmsgs", "restart").status, 200)
        for key in keys:
            entry = self.wait_delegated(deployment, key.public, since)
            self.assertGreater(entry["sequence"], before[key.public]["sequence"])
        self.wait_sessions(deployment, 3)
        for label in ("dmsgd", "tpd", "sd", "ar", "rf", "tps"):
            deployment.wait_for(
                f"the session of {label}",
                lambda label=label: deployment.get(label, "/health").json.get("dmsg_servers")
                == [SERVER],
            )
        self.wait_all_delegated(deployment)
        for key in keys:
            done = self.send(deployment, key.public)
            self.assertEqual(done.code, 0, done)
        # Nobody but the server was restarted.
        for label, before in started.items():
            restarts = self.starts(deployment, label) - before
            self.assertEqual(restarts, 1 if label == "dmsgs" else 0, label)
        for client in clients:
            self.assertEqual(client.stop(), 0, client)
        deployment.settled()

    def starts(self, deployment, label):
        events = deployment.timeline(label)
        return sum((each["label"], each["event"]) == (label, "ready") for each in events)


class Stun(Network):
    def ask(self, peer, asked, change=None):
        """The answer's attributes and where it came from."""
        question = packet(change=change)
        peer.sendto(question, asked)
        answer, sent_from = peer.recvfrom(2048)
        self.assertEqual(answer[:2] + answer[4:20], b"\x01\x01" + question[4:20])
        return dict(attributes(answer)), sent_from

    def test_d12_the_mapped_address_and_answers_from_the_other_socket(self):
        deployment = self.up(only=("stun",), shared=True)
        host, port = deployment.udp_address("stun").split(":")
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(peer.close)
        peer.settimeout(10)
        # As a packet to it leaves from here.
        peer.connect((host, int(port)))
        own = peer.getsockname()
        peer.close()
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(peer.close)
        peer.bind(own)
        peer.settimeout(10)
        asked = (host, int(port))
        found, sent_from = self.ask(peer, asked)
        self.assertEqual(sent_from, asked)
        _, family, seen_port, seen_ip = struct.unpack(">BBH4s", found[0x0001])
        self.assertEqual((family, socket.inet_ntoa(seen_ip), seen_port), (1, *own))
        _, _, other_port, other_ip = struct.unpack(">BBH4s", found[0x802C])
        other = (socket.inet_ntoa(other_ip), other_port)
        self.assertNotIn(asked[0], other)
        self.assertNotEqual(other[1], asked[1])
        for change, wanted in ((2, (host, other[1])), (4, (other[0], asked[1])), (6, other)):
            _, sent_from = self.ask(peer, asked, change)
            self.assertEqual(sent_from, wanted)


class WithClients(Network):
    """The clients that `make e2e-run` starts, from one another and from the test's own machine."""

    # Published test keys: spec/e2e.md section 3, visors a and b.
    CLIENTS = {
        "client-a": "024ec47420176680816e0406250e7156465e4531f5b26057c9f6297bb0303558c7",
        "client-b": "0348c941c5015a05c455ff238af2e57fb8f914c399aab604e9abb5b32b91a4c1fe",
    }

    def test_clients_in_containers_reach_one_another(self):
        deployment = self.up(clients=True)
        for key in self.CLIENTS.values():
            deployment.wait_for("its entry", lambda key=key: self.entry(deployment, key))
        disc = ("--disc", "http://dmsg-discovery:9090")
        # What runs in a container has a key of its own, beside that of its client.
        for here, there in (("client-a", "client-b"), ("client-b", "client-a")):
            for line in (
                ("dmsg", "ping", "--count", "3", "--interval", "1ms", KEYS["tpd"][1]),
                ("dmsg", "iperf", "--echo", "--bytes", "1000000", self.CLIENTS[there]),
                ("dmsg", "iperf", "--echo", "--bytes", "1000", self.CLIENTS[here]),
            ):
                code, out = deployment.run_in_client(here, *line, *disc)
                self.assertEqual(code, 0, (here, line, out))
        for key in self.CLIENTS.values():
            done = self.send(deployment, key, "--echo")
            self.assertEqual(done.code, 0, done)
        listed = self.run_cli("cli", "dmsgd", "clients", "--config", deployment.file)
        self.assertLessEqual(set(self.CLIENTS.values()), set(listed.out.split()), listed)


if __name__ == "__main__":
    unittest.main()
