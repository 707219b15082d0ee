"""Peers that mean harm: too much, too slow, too many, nonsense. One of them never disturbs the
others."""

import contextlib
import random
import resource
import select
import socket
import time
import unittest

from entries import Key, client
from skywire_process import (
    PATIENCE,
    SANITIZED,
    Scenario,
    dial,
    discovery,
    end_sending,
    free_address,
    get,
    post,
    read_to_end,
    stun,
    wait_for,
)

ENTRY = "/dmsg-discovery/entry/"
# lib/http/server.hpp: connections of one listener.
CONNECTIONS_MAX = 10_000


class Requests(Scenario):
    def setUp(self):
        super().setUp()
        self.metrics_address = free_address()
        self.deployment = self.boot(
            discovery(metrics_addr=self.metrics_address),
            stun(),
            supervisor={"admin_addr": free_address()},
        )
        self.http = self.deployment.address("dmsgd")

    def check_alive(self):
        self.assertEqual(get(self.http, "/health").status, 200)
        self.assertEqual(self.deployment.ask("/livez").status, 200)

    def refused(self):
        """http_refused_total by reason, over all listeners."""
        counts = {}
        for line in self.deployment.ask("/metrics").text.splitlines():
            if line.startswith("http_refused_total{"):
                reason = line.split('reason="')[1].split('"')[0]
                counts[reason] = counts.get(reason, 0) + float(line.rsplit(" ", 1)[1])
        return counts

    def send(self, data, address=None):
        """What comes back, until the server closes."""
        with dial(address or self.http, PATIENCE) as peer:
            with contextlib.suppress(ConnectionError):
                peer.sendall(data)
                end_sending(peer)
            return read_to_end(peer)

    def test_a_body_of_10_mb(self):
        size = 10 << 20
        for path in (ENTRY, "/dmsg-discovery/entries/batch"):
            with dial(self.http, PATIENCE) as peer:
                head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
                peer.sendall(head.encode())
                answer = b""
                # The refusal may come before the body is through.
                with contextlib.suppress(ConnectionError):
                    peer.sendall(bytes(size))
                answer = read_to_end(peer)
                self.assertTrue(
                    answer.startswith(b"HTTP/1.1 413 ") or answer == b"", answer[:200]
                )
        # A client that waits before it sends sees why.
        with dial(self.http, PATIENCE) as peer:
            head = f"POST {ENTRY} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n"
            peer.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
            answer = read_to_end(peer)
        self.assertTrue(answer.startswith(b"HTTP/1.1 413 "), answer[:200])
        self.assertIn(b"Request Entity Too Large", answer)
        # The same without a length.
        chunk = b"%x\r\n%s\r\n" % (1 << 20, bytes(1 << 20))
        with dial(self.http, PATIENCE) as peer:
            peer.sendall(f"POST {ENTRY} HTTP/1.1\r\nHost: x\r\n".encode())
            peer.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                for _ in range(10):
                    peer.sendall(chunk)
            answer = read_to_end(peer)
        self.assertTrue(answer.startswith(b"HTTP/1.1 413 ") or answer == b"", answer[:200])
        self.assertGreaterEqual(sum(self.refused().values()), 4)
        self.check_alive()
        self.check_memory()
        self.assertEqual(self.deployment.stop(), 0)

    def check_memory(self):
        """Nothing was kept of what was too much. A sanitizer's own memory is its own matter."""
        if SANITIZED:
            return
        for line in self.deployment.ask("/metrics").text.splitlines():
            if line.startswith("process_resident_memory_bytes "):
                self.assertLess(float(line.split()[1]), 60 << 20)
                return
        self.fail("no process_resident_memory_bytes")

    def test_a_head_that_never_ends(self):
        for head in (
            b"GET / HTTP/1.1\r\n" + b"X-Header: " + b"a" * 100_000,
            b"GET /" + b"a" * 100_000,
            b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(20_000)),
        ):
            answer = self.send(head)
            self.assertTrue(
                answer == b"" or answer.split(b" ")[1] in (b"431", b"400", b"414"), answer[:100]
            )
        self.check_alive()
        self.assertEqual(self.deployment.stop(), 0)

    def test_slow_loris(self):
        """Clients that send a byte now and then are cut off by the clock, whatever they send."""
        data = b"POST " + ENTRY.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
        starts = [b"", b"G", data[:20], data, data + b"{"]
        peers = [dial(address, PATIENCE) for address in (self.http, self.deployment.admin)
                 for _ in starts]  # fmt: skip
        for peer, start in zip(peers, starts * 2, strict=True):
            self.addCleanup(peer.close)
            peer.sendall(start)
        # The first of each five has sent nothing: an idle connection, which may stay.
        slow = [peer for peer, start in zip(peers, starts * 2, strict=True) if start]
        answers = {peer: b"" for peer in slow}
        deadline = time.monotonic() + PATIENCE
        while slow and time.monotonic() < deadline:
            readable, _, _ = select.select(slow, [], [], 0.1)
            for peer in slow:
                # Something every turn: the clock counts from the first byte.
                with contextlib.suppress(OSError):
                    peer.send(b"a")
            for peer in readable:
                try:
                    got = peer.recv(4096)
                except ConnectionError:
                    got = b""
                answers[peer] += got
                if not got:
                    slow.remove(peer)
            self.assertEqual(get(self.http, "/health").status, 200)
        self.assertFalse(slow, "still connected")
        for answer in answers.values():
            self.assertTrue(answer == b"" or answer.split(b" ")[1] in (b"408", b"400"), answer)
        self.assertTrue(any(b" 408 " in answer for answer in answers.values()), answers)
        self.assertEqual(self.deployment.stop(), 0)

    def test_a_peer_that_asks_and_never_reads(self):
        for index in range(20):
            entry = client(Key(seed=f"slow reader {index}"))
            self.assertEqual(post(self.http, ENTRY, entry).status, 200)
        host, port = self.http.split(":")
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.connect((host, int(port)))
            peer.setblocking(False)
            asked = b"GET /dmsg-discovery/entries HTTP/1.1\r\nHost: x\r\n\r\n" * 1000

            def cut_off():
                # As many questions as it takes.
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    peer.send(asked)
                return self.refused().get("slow_reader")

            wait_for("the server to hang up", cut_off)
        self.check_alive()
        self.check_memory()
        self.assertEqual(self.deployment.stop(), 0)

    def test_nonsense_at_every_listener(self):
        luck = random.Random(20261)
        samples = [
            b"",
            b"\x00",
            b"\r\n\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 18,
            b"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
            b"GET / HTTP/1.1\nHost: x\n\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),  # a TLS hello
            b"PROXY TCP4 999.1.1.1 1.1.1.1 1 1\r\n",
            b"PROXY " + b"x" * 200,
            b"\r\n\r\n\x00\r\nQUIT\n" + b"\xff" * 100,  # PROXY v2, broken
            b"GET /dmsg-discovery/entry/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /dmsg-discovery/entry/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET //////../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
            b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        ] + [luck.randbytes(luck.randrange(1, 4000)) for _ in range(50)]  # fmt: skip
        for address in (self.http, self.metrics_address, self.deployment.admin):
            for sample in samples:
                with self.subTest(address=address, sample=sample[:60]):
                    answer = self.send(sample, address)
                    if answer:
                        self.assertRegex(answer[:13], rb"^HTTP/1\.[01] [2345]\d\d")
                        self.assertNotEqual(answer[9:12], b"500")
                        # A folded line may be taken for the header before it.
                        if b" folded" not in sample:
                            self.assertNotEqual(answer[9:12], b"200")
        block = self.deployment.config["services"][1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for sample in samples:
                for ip in ("127.0.0.1", "127.0.0.2"):
                    for port in (block["port"], block["alt_port"]):
                        peer.sendto(sample[:1400], (ip, port))
        self.check_alive()
        self.assertEqual(self.deployment.service("stun")["state"], "ready")
        self.assertEqual(self.deployment.service("dmsgd")["state"], "ready")
        self.assertIn("malformed", self.refused())
        self.assertEqual(self.deployment.stop(), 0)

    def test_hostile_entries(self):
        key = Key()
        good = client(key)
        for body in (
            "",
            "null",
            "7",
            "[]",
            "[" * 100_000,
            '{"a":' * 50_000,
            good[:-1],
            good.replace('"sequence":0', '"sequence":-1'),
            good.replace('"sequence":0', '"sequence":18446744073709551616'),
            good.replace('"sequence":0', '"sequence":1e400'),
            good.replace('"timestamp":', '"timestamp":9223372036854775808,"x":'),
            good.replace("[]", "7"),
            good.replace("[]", '["' + "f" * 66 + '"]'),
            good.replace('"0.0.1"', '"' + "v" * 500_000 + '"'),
            good.replace('"0.0.1"', '"\ud800"'.encode("utf-8", "surrogatepass").decode("latin-1")),
            '{"version":"\\ud800\\u0000","static":"' + key.public + '"}',
        ):
            with self.subTest(body=body[:60], size=len(body)):
                answer = post(self.http, ENTRY, body.encode("utf-8", "surrogatepass"))
                self.assertIn(answer.status, (401, 413, 422, 500), answer)
                self.assertEqual(answer.json["code"], answer.status)
        for body in ("{", "null", "[" + ",".join(['"zz"'] * 200_000) + "]", '["' + "0" * 66 + '"]'):
            answer = post(self.http, "/dmsg-discovery/entries/batch", body)
            self.assertIn(answer.status, (200, 400, 413), answer)
        self.assertEqual(post(self.http, ENTRY, good).status, 200)
        self.check_alive()
        self.assertEqual(self.deployment.stop(), 0)

    def test_half_closed_and_abandoned(self):
        """Peers that hang up in the middle, with and without a reset."""
        for _ in range(50):
            for address in (self.http, self.deployment.admin):
                peer = dial(address)
                peer.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
                linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                peer.close()
        wait_for("connections to be gone", lambda: self.connections() <= 1)
        self.check_alive()
        self.assertEqual(self.deployment.stop(), 0)

    def connections(self):
        for line in self.deployment.ask("/metrics").text.splitlines():
            if line.startswith('http_connections{service="dmsgd",server="http"}'):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError("no http_connections")

    def test_pipelined_requests_are_answered_in_order(self):
        data = b"".join(
            b"GET /dmsg-discovery/entry/%s HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\n"
            b"Host: x\r\n\r\n" % (b"zz" if i % 2 else b"0" * 66)
            for i in range(50)
        )
        answers = self.send(data + b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        codes = [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]]
        self.assertEqual(codes, [b"404", b"200", b"400", b"200"] * 25 + [b"404"])
        self.assertEqual(self.deployment.stop(), 0)


class ManyConnections(Scenario):
    def test_ten_thousand_idle_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        wanted = CONNECTIONS_MAX + 200
        possible = min(wanted, hard - 200)
        if possible < wanted:
            print(f"hard limit of {hard} descriptors: {possible} connections, not {wanted}")
        deployment = self.boot(discovery(), discovery("other"))
        address = deployment.address("dmsgd")
        host, port = address.split(":")
        peers = []
        self.addCleanup(lambda: [peer.close() for peer in peers])
        first = dial(address)
        self.addCleanup(first.close)
        for index in range(possible):
            peer = socket.socket()
            # Several source addresses: a range of ports for each.
            peer.bind((f"127.0.0.{3 + index % 5}", 0))
            peer.settimeout(PATIENCE)
            try:
                peer.connect((host, int(port)))
            except OSError:
                peer.close()
                break
            peers.append(peer)

        def count(name):
            for line in deployment.ask("/metrics", timeout=PATIENCE).text.splitlines():
                if line.startswith(name) and 'service="dmsgd",server="http"' in line.replace(
                    'server="http",service="dmsgd"', 'service="dmsgd",server="http"'
                ):
                    return float(line.rsplit(" ", 1)[1])
            return 0.0

        expected = min(len(peers) + 1, CONNECTIONS_MAX)
        deployment.wait_for(
            f"{expected} connections", lambda: count("http_connections{") >= expected - 1
        )
        self.assertLessEqual(count("http_connections{"), CONNECTIONS_MAX)
        # Who was there is served, and so are other services and the operator.
        first.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b"200 OK", first.recv(4096))
        self.assertEqual(deployment.get("other", "/health").status, 200)
        self.assertEqual(deployment.ask("/livez").status, 200)
        if possible == wanted:
            # Who comes beyond the limit is let go at once, and counted.
            poll = select.poll()
            closed = 0
            for peer in peers[CONNECTIONS_MAX:]:
                poll.register(peer, select.POLLIN | select.POLLHUP)
                if poll.poll(PATIENCE * 1000):
                    closed += 1
                poll.unregister(peer)
            self.assertGreaterEqual(closed, 190)
            self.assertGreaterEqual(
                self.total(deployment, "http_refused_total", "connection_limit"), 190
            )
        # As soon as some have gone, newcomers are served again.
        for peer in peers[:500]:
            peer.close()

        def served():
            with contextlib.suppress(OSError, ValueError):
                return get(address, "/health", timeout=5).status == 200

        deployment.wait_for("a newcomer to be served", served)
        self.assertEqual(deployment.stop(), 0)

    @staticmethod
    def total(deployment, name, word):
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in deployment.ask("/metrics", timeout=PATIENCE).text.splitlines()
            if line.startswith(name) and word in line
        )

    @unittest.skipIf(SANITIZED, "a sanitizer takes a full table of descriptors for bad memory")
    def test_descriptors_run_out(self):
        """The process's own limit is reached: it waits, and goes on when there are some again."""
        deployment = self.prepare(discovery())
        deployment.arguments = ["prlimit", "--nofile=100:100", *deployment.arguments]
        deployment.start().wait_ready()
        address = deployment.address("dmsgd")
        with contextlib.ExitStack() as stack:
            held = stack.enter_context(dial(address))
            held.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"200 OK", held.recv(4096))
            for _ in range(150):
                with contextlib.suppress(OSError):
                    stack.enter_context(dial(address, 1))
            held.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"200 OK", held.recv(4096))

        def served():
            with contextlib.suppress(OSError):
                return get(address, "/health", timeout=2).status == 200

        deployment.wait_for("service again", served)
        self.assertEqual(deployment.stop(), 0)


if __name__ == "__main__":
    unittest.main()
