"""What comes to a dmsg-server's port and does not belong there: garbage, half handshakes, peers that
send a byte now and then, hundreds that say nothing; while clients work undisturbed. And blocks of
dmsg-servers that make no sense."""

import contextlib
import json
import random
import select
import socket
import struct
import time
import unittest

from entries import P, Key
from skywire_process import (
    HOST,
    KEYS,
    PATIENCE,
    Scenario,
    discovery,
    dmsg_network,
    dmsg_server,
    end_sending,
    free_address,
)

SERVER = KEYS["dmsgs"][1]
# Where the hostile come from, so that limits for one address concern them alone.
ELSEWHERE = "127.0.0.2"
# lib/dmsg/admission.hpp: connections of one address whose session has not begun.
HANDSHAKES_PER_IP = 256


def frame(message):
    return struct.pack(">H", len(message)) + message


def point(key):
    return bytes.fromhex(key.public)


class Hostile(Scenario):
    def setUp(self):
        super().setUp()
        self.deployment = self.boot(*dmsg_network())
        self.disc = ["--disc", f"http://{self.deployment.address('dmsgd')}"]
        host, port = self.deployment.config["services"][1]["local_address"].split(":")
        self.target = (host, int(port))
        self.luck = random.Random(20263)
        self.server = self.start_cli("dmsg", "iperf", "--serve", "--echo", *self.disc)
        self.address = self.server.wait_said("serving ").split()[-1]
        self.peers = []
        self.addCleanup(lambda: [peer.close() for peer in self.peers])

    def connect(self):
        peer = socket.socket()
        self.peers.append(peer)
        peer.bind((ELSEWHERE, 0))
        peer.settimeout(PATIENCE)
        peer.connect(self.target)
        return peer

    def start_client(self):
        """Rounds of streams through the server, every byte compared, until `check_client`."""
        self.rounds = self.start_cli(
            "dmsg", "iperf", "--echo", "--json", "-P", "2", "-n", "50000", "-t", "600",
            *self.disc, self.address,
        )  # fmt: skip
        self.wait_rounds(1)

    def wait_rounds(self, count):
        wanted = self.rounds.out.count("\n") + count
        self.rounds.wait_for("rounds", lambda: self.rounds.out.count("\n") >= wanted)

    def check_client(self):
        """It goes on, and nothing ever failed; newcomers are served as well."""
        self.wait_rounds(3)
        self.assertIsNone(self.rounds.code)
        rounds = self.rounds.out.rpartition("\n")[0].splitlines()
        self.assertFalse([line for line in rounds if json.loads(line)["errors"]], rounds)
        done = self.run_cli("dmsg", "ping", "-c", "1", *self.disc, KEYS["dmsgd"][1])
        self.assertEqual(done.code, 0, done)
        # The same two sessions all the time, the discovery's, and nobody was thrown out.
        health = self.deployment.get("dmsgs", "/health").json["dmsg_server"]
        self.assertGreaterEqual(health["client_sessions"], 3)
        self.assertEqual(self.deployment.metric("dmsg_server_sessions_replaced_total"), 0)

    def refused(self, reason=""):
        return self.deployment.metric("dmsg_server_sessions_refused_total", reason)

    def wait_handshakes_over(self):
        self.deployment.wait_for(
            "no handshake to be under way",
            lambda: self.deployment.metric("dmsg_server_handshakes_count") == 0,
        )

    def closed(self, peers, patience=PATIENCE):
        """Reads until the other side has closed each; what each has sent."""
        answers = {peer: b"" for peer in peers}
        left = set(peers)
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            readable, _, _ = select.select(list(left), [], [], 0.1)
            for peer in readable:
                try:
                    got = peer.recv(65536)
                except ConnectionError:
                    got = b""
                answers[peer] += got
                if not got:
                    left.discard(peer)
        self.assertFalse(left, f"{len(left)} are still connected")
        return list(answers.values())

    def stop(self):
        self.rounds.kill()
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(self.deployment.stop(), 0)
        self.assertFalse(self.deployment.lines("ERROR"), self.deployment.err)

    def test_garbage(self):
        self.start_client()
        samples = [
            b"\x00",
            b"\x00\x00",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),  # a TLS hello
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /dmsg HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /dmsg HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
            b"GET /" + b"a" * 100_000,
            b"PROXY TCP4 999.1.1.1 1.1.1.1 1 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.1.1.1 1 1\r\n" + b"PROXY TCP4 1.2.3.4 1.1.1.1 1 1\r\n",
            b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff" + bytes(70_000),
            # Handshake frames that hold no handshake.
            frame(bytes(49)),
            frame(b"\xff" * 49),
            frame(b"\x02" + b"\xff" * 32 + bytes(16)),  # x beyond the field
            frame(b"\x02" + (P - 1).to_bytes(32, "big") + bytes(16)),
            frame(point(Key(seed="e")) + bytes(16)),  # a good point, a wrong tag
            frame(point(Key(seed="e")) + bytes(1200)),  # the same with the hybrid's offer
            b"\xff\xff" + bytes(70_000),
            b"\x10\x00" + bytes(5000),
        ] + [self.luck.randbytes(self.luck.randrange(1, 4000)) for _ in range(60)]  # fmt: skip
        before = self.refused()
        peers = []
        for sample in samples:
            peer = self.connect()
            with contextlib.suppress(ConnectionError):
                peer.sendall(sample)
                end_sending(peer)
            peers.append(peer)
        for sample, answer in zip(samples, self.closed(peers), strict=True):
            # A word of HTTP at most: a refusal, or a WebSocket in which then nothing comes.
            if answer:
                self.assertRegex(answer, rb"^HTTP/1\.1 (4\d\d|101) ", sample)
                self.assertTrue(sample.startswith(b"GET"), sample)
        self.deployment.wait_for(
            "all to be counted", lambda: self.refused() - before >= len(samples)
        )
        self.assertGreater(self.refused('reason="unknown_protocol"'), 0)
        self.check_client()
        self.stop()

    def test_half_handshakes_and_slow_ones_are_cut_off_by_the_clock(self):
        self.start_client()
        first = frame(point(Key(seed="e")) + bytes(16))
        starts = [b"", b"\x00", first[:2], first[:20], first[:-1], b"G", b"GET /dm", b"PROX",
                  b"\r\n\r\n\x00", b"\x04\xd1" + bytes(700)]  # fmt: skip
        peers = [self.connect() for _ in starts * 3]
        for peer, start in zip(peers, starts * 3, strict=True):
            if start:
                peer.sendall(start)
        # A third of them goes on, a byte at a time, never with an end.
        slow = [self.connect() for _ in range(10)]
        data = first[:2] + point(Key(seed="e"))
        sent = {peer: 0 for peer in slow}
        left = set(slow)
        deadline = time.monotonic() + PATIENCE
        while left:
            self.assertLess(time.monotonic(), deadline, f"{len(left)} are still connected")
            readable, _, _ = select.select(list(left), [], [], 0.2)
            for peer in left:
                with contextlib.suppress(OSError):
                    if sent[peer] < len(data):
                        peer.send(data[sent[peer]:][:1])
                        sent[peer] += 1
            for peer in readable:
                try:
                    if peer.recv(4096) == b"":
                        left.discard(peer)
                except ConnectionError:
                    left.discard(peer)
        self.closed(peers)
        self.wait_handshakes_over()
        self.check_client()
        self.stop()

    def test_hundreds_of_connections_that_say_nothing(self):
        self.start_client()
        silent = [self.connect() for _ in range(200)]
        # More of those that have begun than one address may have: the surplus is let go at once.
        started = [self.connect() for _ in range(HANDSHAKES_PER_IP + 50)]
        for peer in started:
            with contextlib.suppress(ConnectionError):
                peer.sendall(b"\x00\x31")
        self.deployment.wait_for(
            "some to be refused", lambda: self.refused('reason="handshakes_of_ip"') >= 50
        )
        # With all of them there: the client goes on, and another one comes and is served.
        self.check_client()
        self.closed(silent + started)
        self.wait_handshakes_over()
        self.check_client()
        self.stop()

    def test_connections_that_are_dropped_again_and_again(self):
        self.start_client()
        linger = struct.pack("ii", 1, 0)
        for _ in range(300):
            peer = self.connect()
            if self.luck.random() < 0.5:
                peer.sendall(b"\x00\x31" + self.luck.randbytes(self.luck.randrange(60)))
            if self.luck.random() < 0.5:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            peer.close()
        self.wait_handshakes_over()
        self.check_client()
        self.stop()


class BadBlocks(Scenario):
    def problems(self, *blocks):
        path = self.write("d.json", {"services": list(blocks)})
        done = self.run_cli("svc", "check", path)
        self.assertEqual(done.code, 1, done)
        found = [line for line in done.out.splitlines() if ": error: " in line]
        self.assertTrue(found, done)
        for line in found:
            self.assertRegex(line, rf"^{path}:\d+:\d+: error: ")
        run = self.run_cli("svc", "run", "--config", path)
        self.assertEqual(run.code, 1, run)
        return found

    def test_what_each_gets(self):
        good = dmsg_server(free_address())
        self._remember_secrets(good)
        taken = good["local_address"]
        for change, words in (
            ({"secret_key": None}, ["secret_key"]),
            ({"secret_key": "zz"}, ["secret_key"]),
            ({"public_key": Key(seed="x").public}, ["is not that of", SERVER]),
            ({"discovery": None}, ["discovery"]),
            ({"discovery": f"dmsg://{SERVER}:80"}, ["discovery"]),
            ({"discovery": "http://"}, ["discovery"]),
            ({"health_endpoint_address": taken}, [taken]),
            ({"ws_address": taken}, [taken]),
            ({"local_address": "nonsense"}, ["local_address"]),
            ({"local_address": f"{HOST}:99999"}, ["local_address"]),
            ({"public_address": "203.0.113.7"}, ["public_address"]),
            ({"public_address": ":8081"}, ["public_address"]),
            ({"public_address_ws": "http://x/dmsg"}, ["no ws or wss URL"]),
            ({"max_sessions": 0}, ["max_sessions"]),
            ({"max_sessions": "many"}, ["max_sessions"]),
            ({"max_handshakes_per_ip": -1}, ["max_handshakes_per_ip"]),
            ({"stream_idle_timeout": "0s"}, ["stream_idle_timeout"]),
            ({"update_interval": "soon"}, ["update_interval"]),
            ({"peers": [{"address": "127.0.0.1:1"}]}, ["public_key"]),
            ({"peers": [{"public_key": SERVER, "address": "127.0.0.1:1"}]}, ["no peer of its own"]),
            ({"config_path": "server.json"}, ["server.json", "No such file"]),
            ({"public_adress": taken}, ["did you mean", "public_address"]),
        ):
            with self.subTest(change=change):
                changed = {**good, **change}
                found = self.problems({k: v for k, v in changed.items() if v is not None})
                for word in words:
                    self.assertIn(word, "\n".join(found))
                self.assertNotIn(KEYS["dmsgs"][0], "\n".join(found))

    def test_two_servers_of_one_key_or_one_port(self):
        first = discovery()
        one = dmsg_server(first["addr"], "one")
        two = dmsg_server(first["addr"], "two")
        self._remember_secrets(one)
        (problem,) = self.problems(first, one, two)
        self.assertIn("one", problem)
        self.assertIn("two", problem)
        self.assertIn(SERVER, problem)
        other = Key(seed="another server")
        two["secret_key"] = f"{other.secret:064x}"
        self._remember_secrets(two)
        two["local_address"] = two["public_address"] = one["local_address"]
        (problem,) = self.problems(first, one, two)
        self.assertIn(one["local_address"], problem)

    def test_a_port_that_is_taken_is_named_with_who_has_it(self):
        with socket.create_server((HOST, 0)) as holder:
            taken = f"{HOST}:{holder.getsockname()[1]}"
            restart = {"min": "10ms", "max": "100ms", "max_in_window": 3}
            first = discovery()
            deployment = self.prepare(
                first, dmsg_server(first["addr"], local_address=taken, restart=restart)
            )
            deployment.start().wait_admin()
            deployment.wait_event("dmsgs", "gave-up")
            reason = deployment.service("dmsgs")["reason"]
            self.assertIn("local_address", reason)
            self.assertIn(taken, reason)
            self.assertIn("held by process", reason)
            # The discovery serves all the same, and lists nobody.
            answer = deployment.get("dmsgd", "/dmsg-discovery/available_servers")
            self.assertEqual(answer.status, 404)
        self.assertEqual(deployment.command("dmsgs", "start").status, 200)
        deployment.wait_ready()
        self.assertEqual(
            len(deployment.get("dmsgd", "/dmsg-discovery/available_servers").json), 1
        )
        self.assertEqual(deployment.stop(), 0)


if __name__ == "__main__":
    unittest.main()
