"""A visor that publishes to a service: as much of CXO (protocol 3) and of its leaves as that takes,
written for the tests and sharing nothing with the program under test. Its dmsg stream is a
`skywire dmsg cat`; it answers when it is asked to `serve`."""

import hashlib
import json
import struct
import time
import uuid

from skywire_process import VECTORS

SYN, OK, ERR, SUB, ROOT, RQ_OBJECT, OBJECT, RQ_PREVIEW = 3, 5, 6, 7, 11, 12, 13, 14
NODE_SCHEMA = bytes.fromhex("d797975daa4a6dd6604ccbd1d0bd01fcaf258618f31f8570e9c42b335a10a6c9")
DEGREE = 16
TYPES = ("", "stcpr", "sudph", "stcp", "dmsg", "squicr", "webrtc", "swtr", "swsr")


def _sized(data):
    return struct.pack("<I", len(data)) + data


def telemetry(entry, *, sent=0, received=0, throughput=0.0, latency=0.0, sampled=None):
    """A row about a transport: counters, bytes a second, milliseconds, Unix seconds."""
    return struct.pack(
        "<16sQQffffIB",
        uuid.UUID(entry["t_id"]).bytes,
        sent,
        received,
        throughput,
        latency,
        latency,
        latency,
        int(time.time()) if sampled is None else sampled,
        TYPES.index(entry["type"]),
    )


def shards(*rows):
    """The leaves `transports/telemetry/XX` of these rows."""
    leaves = {}
    for number in range(16):
        own = sorted(row for row in rows if row[0] >> 4 == number)
        if own:
            path = f"transports/telemetry/{number:02x}"
            leaves[path] = struct.pack("<BBH", 2, number, len(own)) + b"".join(own)
    return leaves


class FeedVisor:
    """Connects to `port` of the service with the key `service`. `test` is a Scenario with
    DmsgClients."""

    def __init__(self, test, deployment, key, service, port):
        self.key = key
        self.public = bytes.fromhex(key.public)
        registry = json.loads((VECTORS / "cxo" / "registry_treestore.json").read_text())
        self.registry = bytes.fromhex(registry["registry_encoded"])
        self.objects = {}
        # Of the objects that nobody can have yet, those that were not asked for.
        self.unread = set()
        self.subscribed = False
        self.root = None
        self.roots = 0
        self.previous = bytes(32)
        self.sent = 0
        self.read = 0
        path = test.folder / f"{key.public}.key"
        if not path.exists():
            path.write_text(f"{key.secret:064x}\n")
            path.chmod(0o600)
            test.secrets.add(f"{key.secret:064x}")
        self.stream = test.start_cli(
            "dmsg", "cat", "--keyfile", path, *test.disc(deployment), f"{service}:{port}"
        )
        self._send(SYN, struct.pack("<H", 3) + self.public)

    def publish(self, leaves):
        """All there is in the feed from now on; waits until the service has read it."""
        before = set(self.objects)
        self.objects = {}
        # It is always the same: who knows it does not ask for it.
        known = {self._keep(self.registry)}
        top = self._directory({path.split("/")[0] for path in leaves}, "", leaves)
        encoded = b"".join((
            struct.pack("<I", 1) + top + NODE_SCHEMA,
            _sized(b""),
            hashlib.sha256(self.registry).digest(),
            self.public,
            struct.pack("<QQq", 1, self.roots, time.time_ns()),
            self.previous,
        ))
        self.previous = hashlib.sha256(encoded).digest()
        signature = bytes.fromhex(self.key.sign(encoded))
        head = self.public + struct.pack("<QQ", 1, self.roots)
        self.root = head + _sized(encoded) + signature
        self.roots += 1
        self.unread = set(self.objects) - before - known
        if self.subscribed:
            self._send(ROOT, self.root)

        def read():
            self.serve()
            return not self.unread

        self.stream.wait_for("its feed to be read", read)

    def serve(self):
        """Answers what was asked so far."""
        raw = self.stream.raw
        while len(raw) >= self.read + 4:
            (size,) = struct.unpack_from(">I", raw, self.read)
            if len(raw) < self.read + 4 + size:
                return
            body = raw[self.read + 4 : self.read + 4 + size]
            self.read += 4 + size
            number, _, kind = struct.unpack_from("<IIB", body)
            self._answer(number, kind, body[9:])

    def _answer(self, number, kind, body):
        if kind == SUB and body == self.public:
            self.subscribed = True
            self._send(OK, b"", number)
            if self.root is not None:
                self._send(ROOT, self.root)
        elif kind == RQ_OBJECT and body in self.objects:
            self.unread.discard(body)
            self._send(OBJECT, _sized(self.objects[body]), number)
        elif kind in (SUB, RQ_OBJECT, RQ_PREVIEW):
            self._send(ERR, _sized(b"no such feed"), number)

    def _send(self, kind, body, answer_to=0):
        self.sent += 1
        frame = struct.pack("<IIB", self.sent, answer_to, kind) + body
        self.stream.write(struct.pack(">I", len(frame)) + frame)

    def _keep(self, data):
        digest = hashlib.sha256(data).digest()
        self.objects[digest] = data
        return digest

    def _directory(self, names, prefix, leaves):
        """Keeps the directory's objects; the hash of its node."""
        assert 0 < len(names) <= DEGREE
        entries = []
        for name in sorted(names):
            path = prefix + name
            leaf = leaves.get(path)
            if leaf is None:
                below = path + "/"
                inner = {
                    each[len(below) :].split("/")[0] for each in leaves if each.startswith(below)
                }
                sub = self._directory(inner, below, leaves)
                entry = _sized(name.encode()) + sub + _sized(b"")
            else:
                entry = _sized(name.encode()) + bytes(32) + _sized(leaf)
            entries.append(self._keep(entry))
        count = len(entries)
        refs = struct.pack("<IIII", 0, DEGREE, count, count) + b"".join(entries)
        return self._keep(self._keep(refs))
