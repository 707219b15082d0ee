"""stun-server: recorded packets byte for byte, and packets of our own."""

import ipaddress
import json
import os
import socket
import struct
import unittest
import zlib

from skywire_process import VECTORS, Scenario, discovery, stun, wait_for

MAGIC = 0x2112A442
ADDRESSES = {0x0020, 0x0001, 0x0004, 0x802B, 0x0005, 0x802C}


def packet(*, change=None, transaction=None, kind=0x0001, extra=b""):
    attributes = extra
    if change is not None:
        attributes += struct.pack(">HHI", 0x0003, 4, change)
    transaction = transaction or struct.pack(">I", MAGIC) + os.urandom(12)
    return struct.pack(">HH", kind, len(attributes)) + transaction + attributes


def attributes(answer):
    """[(type, value)] in order."""
    found, at = [], 20
    while at < len(answer):
        kind, length = struct.unpack_from(">HH", answer, at)
        found.append((kind, answer[at + 4 : at + 4 + length]))
        at += 4 + (length + 3) // 4 * 4
    return found


def address_value(address, transaction=None):
    port, ip = address[1], int(ipaddress.ip_address(address[0]))
    if transaction is not None:
        port ^= struct.unpack_from(">H", transaction)[0]
        ip ^= struct.unpack_from(">I", transaction)[0]
    return struct.pack(">BBHI", 0, 1, port, ip)


def fingerprint(message):
    return struct.pack(">I", zlib.crc32(message) ^ 0x5354554E)


def answer_to(request, client, sent_from, other):
    """What the server must send, byte for byte."""
    transaction = request[4:20]
    body = b""
    for kind, value in (
        (0x0020, address_value(client, transaction)),
        (0x0001, address_value(client)),
        (0x0004, address_value(sent_from)),
        (0x802B, address_value(sent_from)),
        (0x0005, address_value(other)),
        (0x802C, address_value(other)),
        (0x8022, b"skywire-stun"),
    ):
        body += struct.pack(">HH", kind, len(value)) + value
    message = struct.pack(">HH", 0x0101, len(body) + 8) + transaction + body
    return message + struct.pack(">HH", 0x8028, 4) + fingerprint(message)


class Stun(Scenario):
    def setUp(self):
        super().setUp()
        self.block = stun()
        self.deployment = self.boot(self.block)
        ips = (self.block["primary_ip"], self.block["secondary_ip"])
        ports = (self.block["port"], self.block["alt_port"])
        self.sockets = [(ip, port) for ip in ips for port in ports]

    def other(self, address):
        """The one with the other IP and the other port."""
        return next(
            each for each in self.sockets if each[0] != address[0] and each[1] != address[1]
        )

    def client(self, ip="127.0.0.1"):
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        peer.bind((ip, 0))
        peer.settimeout(10)
        self.addCleanup(peer.close)
        return peer

    def chosen(self, asked, change):
        """The socket that CHANGE-REQUEST picks."""
        ips = (self.block["primary_ip"], self.block["secondary_ip"])
        ports = (self.block["port"], self.block["alt_port"])
        ip, port = ips.index(asked[0]), ports.index(asked[1])
        return ips[ip ^ bool(change & 4)], ports[port ^ bool(change & 2)]

    def test_a_client_gets_its_mapped_address_from_every_socket(self):
        for ip in ("127.0.0.1", "127.0.0.3"):
            peer = self.client(ip)
            for asked in self.sockets:
                for change in (None, 0, 2, 4, 6):
                    with self.subTest(asked=asked, change=change):
                        request = packet(change=change)
                        peer.sendto(request, asked)
                        answer, sent_from = peer.recvfrom(2048)
                        wanted = self.chosen(asked, change or 0)
                        self.assertEqual(sent_from, wanted)
                        self.assertEqual(
                            answer,
                            answer_to(request, peer.getsockname(), wanted, self.other(asked)),
                        )
                        self.assertEqual(len(answer), 116)
        self.assertEqual(self.deployment.stop(), 0)

    def test_recorded_packets_byte_for_byte(self):
        """Only ports differ from the recording: the server's, the client's, and what follows from
        them, that is the fingerprint."""
        document = json.loads((VECTORS / "services" / "stun.json").read_text())
        ports = {13478: self.block["port"], 13479: self.block["alt_port"]}

        def here(text):
            ip, port = text.split(":")
            return ip, ports[int(port)]

        for exchange in document["exchanges"]:
            with self.subTest(request=exchange["request_hex"]):
                request = bytes.fromhex(exchange["request_hex"])
                ip, recorded_port = exchange["client"].split(":")
                peer = self.client(ip)
                peer.sendto(request, here(exchange["received_on"]))
                answer, sent_from = peer.recvfrom(2048)
                self.assertEqual(sent_from, here(exchange["sent_from"]))
                moved = {**ports, int(recorded_port): peer.getsockname()[1]}
                self.assertEqual(answer, self.with_ports(exchange["response_hex"], moved))
        self.assertEqual(self.deployment.stop(), 0)

    def with_ports(self, recorded, ports):
        old = bytes.fromhex(recorded)
        new = bytearray(old)
        self.assertEqual(old[-4:], fingerprint(old[:-8]))
        at = 20
        while at < len(old):
            kind, length = struct.unpack_from(">HH", old, at)
            if kind in ADDRESSES:
                mask = struct.unpack_from(">H", old, 4)[0] if kind == 0x0020 else 0
                port = struct.unpack_from(">H", old, at + 6)[0] ^ mask
                struct.pack_into(">H", new, at + 6, ports[port] ^ mask)
            at += 4 + length
        new[-4:] = fingerprint(bytes(new[:-8]))
        return bytes(new)

    def test_any_transaction_id_and_unknown_attributes(self):
        peer = self.client()
        for transaction in (bytes(16), b"\xff" * 16, b"0123456789abcdef"):
            for extra in (b"", struct.pack(">HH8s", 0x7FFF, 5, b"hello"), bytes(400)):
                request = packet(transaction=transaction, extra=extra)
                peer.sendto(request, self.sockets[0])
                answer = peer.recv(2048)
                self.assertEqual(
                    answer,
                    answer_to(request, peer.getsockname(), self.sockets[0],
                              self.other(self.sockets[0])),
                )  # fmt: skip

    def test_everything_else_is_ignored_and_counted(self):
        peer = self.client()
        good = packet()
        for bad in (
            b"",
            b"x",
            good[:19],
            packet(kind=0x0101),
            packet(kind=0x0011),
            packet(kind=0xFFFF),
            struct.pack(">HH", 1, 8) + good[4:],  # says more than there is
            struct.pack(">HH", 1, 0xFFFF) + good[4:] + bytes(100),
            os.urandom(1400),
            b"GET / HTTP/1.1\r\n\r\n",
        ):
            for asked in self.sockets:
                peer.sendto(bad, asked)
        # Datagrams of one socket stay in order: the first answer is that to the last request.
        for asked in self.sockets:
            peer.sendto(good, asked)
            answer, sent_from = peer.recvfrom(2048)
            self.assertEqual(sent_from, asked)
            self.assertEqual(answer[:20], b"\x01\x01" + b"\x00\x60" + good[4:20])
        lines = [
            line
            for line in self.deployment.ask("/metrics").text.splitlines()
            if "stun" in line and "reason=" in line
        ]
        self.assertTrue(lines)
        self.assertGreater(sum(float(line.rsplit(" ", 1)[1]) for line in lines), 20)

    def test_a_truncated_change_request_is_no_crash(self):
        peer = self.client()
        for length in (0, 1, 3, 4, 5, 0xFFFF):
            peer.sendto(packet(extra=struct.pack(">HH", 3, length)), self.sockets[0])
        peer.sendto(packet(), self.sockets[3])
        wait_for("an answer", lambda: peer.recvfrom(2048)[1] == self.sockets[3])

    def test_its_ports_are_free_again_after_its_end(self):
        self.assertEqual(self.deployment.stop(), 0)
        for address in self.sockets:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind(address)


class BadBlocks(Scenario):
    def test_rules_of_the_block(self):
        for keys, word in (
            ({"secondary_ip": "127.0.0.1"}, "secondary_ip"),
            ({"primary_ip": "nowhere"}, "primary_ip"),
            ({"primary_ip": "::1"}, "primary_ip"),
            ({"alt_port": 3478, "port": 3478}, "alt_port"),
            ({"port": 65536}, "port"),
            ({"port": -1}, "port"),
        ):
            with self.subTest(keys=keys):
                block = {**stun(port=3478, alt_port=3479), **keys}
                path = self.write("d.json", {"services": [block, discovery()]})
                done = self.run_cli("svc", "check", path)
                self.assertEqual(done.code, 1)
                self.assertIn(word, done.out)
                self.assertIn("stun", done.out)


if __name__ == "__main__":
    unittest.main()
