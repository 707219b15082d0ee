"""Clients that go on asking while something happens to a deployment: a thread per kind of operation,
each a few times a second, and what every operation came to. For a rate that does not depend on the
answers: open_load.py."""

import collections
import http.client
import itertools
import json
import socket
import subprocess
import threading
import time

import entries
from clients import PUBLIC, Visor, transport
from skywire_process import KEYS, get, program

TYPES = ("stcp", "sudph", "stcpr", "dmsg")
VISORS = 12
# What an operation may take: little, so that it is noticed that nobody answers.
TIMEOUT = 1.5
# A dial is a process of its own: more often it would be those that keep the machine busy, seconds.
DIAL_PAUSE = 0.2


def outcome_of(error):
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, (ConnectionError, http.client.HTTPException)):
        return "broken off"
    if isinstance(error, TimeoutError):
        return "no answer"
    return type(error).__name__


class Said:
    """What Answer is, of an answer that ended with its connection."""

    def __init__(self, data):
        head, _, self.body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 "):
            raise http.client.RemoteDisconnected("no answer before the end")
        self.status = int(head[9:12])

    @property
    def json(self):
        return json.loads(self.body)


def ask(address, method, path, body, headers, timeout):
    """As skywire_process.request, for a quarter of its time: enough of HTTP for short answers."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {address}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    content = (body or "").encode()
    if content:
        lines.append(f"Content-Length: {len(content)}")
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout) as peer:
        peer.sendall("\r\n".join([*lines, "", ""]).encode() + content)
        chunks = []
        while chunk := peer.recv(65536):
            chunks.append(chunk)
    return Said(b"".join(chunks))


class Names:
    """What names stand for, as a client's resolver hands it out: label -> addresses. Each call goes
    to the next of them, and once more to the one after where the connection is refused."""

    def __init__(self, addresses, timeout):
        self._addresses = addresses
        self._timeout = timeout
        self._turn = collections.Counter()

    def in_turn(self, label):
        """All of them, another one first each time."""
        addresses = self._addresses[label]
        self._turn[label] += 1
        first = self._turn[label] % len(addresses)
        return addresses[first:] + addresses[:first]

    def request(self, label, method, path, body=None, headers=None):
        first, *others = self.in_turn(label)
        try:
            return ask(first, method, path, body, headers, self._timeout)
        except ConnectionRefusedError:
            if not others:
                raise
            return ask(others[0], method, path, body, headers, self._timeout)

    def get(self, label, path):
        return self.request(label, "GET", path)


class Load:
    """`start`, `stop`; then what was acknowledged, and what went wrong since `mark`."""

    def __init__(self, addresses, seed, *, pause=0.05):
        """`addresses`: as Names, those of dmsgd, tpd, sd, ar and rf. `pause`: from the beginning of
        an operation to the next of its kind, seconds."""
        self.names = Names(addresses, TIMEOUT)
        self._pause = pause
        self._visors = [Visor(self.names, f"{seed} {index}") for index in range(VISORS)]
        self._readers = {label: Visor(self.names, f"{seed} reads {label}") for label in ("tpd", "ar")}
        # Kind of operation -> [(begun, ended, outcome)]
        self.outcomes = collections.defaultdict(list)
        # What a 200 or 201 was answered for: ids, keys of visors with vpn, with an address, and with
        # an entry in the discovery, those with the time it was written at.
        self.transports, self.offers, self.addresses, self.entries = {}, set(), set(), {}
        self._kinds = {
            "tpd write": self._write_transport,
            "tpd read": self._read_transport,
            "sd write": self._write_offer,
            "sd read": self._read_offers,
            "ar write": self._write_address,
            "ar read": self._read_address,
            "rf": self._find_route,
            "dmsgd write": self._write_entry,
            "dmsgd read": self._read_servers,
            "dmsg dial": self._dial,
        }
        self._stopped = threading.Event()
        self._threads = []
        self._marked = 0.0

    # operations: each returns an Answer, or raises

    def _visor(self, index):
        return self._visors[index % VISORS]

    def _signed(self, visor, label, *request_):
        """A nonce that is no longer the one: asks for it and tries again, as visors do."""
        try:
            answer = visor.ask(label, *request_)
            if answer.status == 401:
                visor.nonces.pop(label, None)
                answer = visor.ask(label, *request_)
            return answer
        except Exception:
            visor.nonces.pop(label, None)
            raise

    def _write_transport(self, index):
        visor = self._visor(index)
        steps = 1 + index // VISORS % (VISORS // 2)
        kind = TYPES[index // (VISORS * VISORS // 2) % len(TYPES)]
        entry = transport(visor.public, self._visor(index + steps).public, kind)
        body = [{"entry": entry, "signatures": ["0" * 130, "0" * 130]}]
        answer = self._signed(visor, "tpd", "POST", "/transports/", body)
        if answer.status == 201 and entry["t_id"] not in self.transports:
            self.transports[entry["t_id"]] = entry
        return answer

    def _read_transport(self, index):
        known = list(self.transports)
        if not known:
            return self.names.get("tpd", "/health")
        path = f"/transports/id:{known[index % len(known)]}"
        return self._signed(self._readers["tpd"], "tpd", "GET", path)

    def _write_offer(self, index):
        visor = self._visor(index)
        entry = {"address": f"{visor.public}:44", "type": "vpn", "version": "v1.3.29"}
        answer = self._signed(visor, "sd", "POST", "/api/services", entry)
        if answer.status == 200:
            self.offers.add(visor.public)
        return answer

    def _read_offers(self, index):
        return self.names.get("sd", "/api/services?type=vpn")

    def _write_address(self, index):
        visor = self._visor(index)
        body = '{"port":"7777","addresses":["203.0.113.9"]}\n'
        answer = self._signed(visor, "ar", "POST", "/bind/stcpr", body, PUBLIC)
        if answer.status == 200:
            self.addresses.add(visor.public)
        return answer

    def _read_address(self, index):
        known = sorted(self.addresses)
        if not known:
            return self.names.get("ar", "/health")
        path = f"/resolve/stcpr/{known[index % len(known)]}"
        return self._signed(self._readers["ar"], "ar", "GET", path)

    def _find_route(self, index):
        known = list(self.transports.values())
        if len(known) < VISORS:
            return self.names.get("rf", "/health")
        # An old one: it has been heard of.
        a, b = known[index % (len(known) // 2)]["edges"]
        body = {"Edges": [f"{a}:{b}"], "Opts": {"MinHops": 0, "MaxHops": 50}}
        return self.names.request("rf", "POST", "/routes", json.dumps(body))

    def _write_entry(self, index):
        """The one after what the discovery has: one that was not answered may have been taken."""
        visor = self._visor(index)
        there = self.names.get("dmsgd", f"/dmsg-discovery/entry/{visor.public}")
        if there.status not in (200, 404):
            return there
        sequence = there.json["sequence"] + 1 if there.status == 200 else 0
        written = time.time_ns()
        text = entries.client(visor.key, sequence, timestamp=written - sequence)
        answer = self.names.request("dmsgd", "POST", "/dmsg-discovery/entry/", text)
        if answer.status == 200:
            self.entries[visor.public] = written
        return answer

    def _read_servers(self, index):
        return self.names.get("dmsgd", "/dmsg-discovery/available_servers")

    def _dial(self, index):
        """Over dmsg, by a client of its own."""
        disc = f"http://{self.names.in_turn('dmsgd')[0]}"
        url = f"dmsg://{KEYS['sd'][1]}:80/health"
        line = [program(), "dmsg", "curl", "--timeout", "2s", "--disc", disc, url]
        done = subprocess.run(line, capture_output=True, check=False, timeout=60)
        if done.returncode != 0:
            raise ConnectionError(done.stderr.decode())
        return None

    # running

    def start(self):
        for kind, operation in self._kinds.items():
            thread = threading.Thread(target=self._run, args=(kind, operation), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def _run(self, kind, operation):
        index = 0
        while not self._stopped.is_set():
            begun = time.monotonic()
            try:
                answer = operation(index)
                good = answer is None or answer.status in (200, 201)
                outcome = "ok" if good else str(answer.status)
                if kind == "dmsgd read" and good and not answer.json:
                    outcome = "no server"
            except Exception as error:  # noqa: BLE001: whatever it is, it is counted
                outcome = outcome_of(error)
            self.outcomes[kind].append((begun, time.monotonic(), outcome))
            index += 1
            pause = max(self._pause, DIAL_PAUSE) if kind == "dmsg dial" else self._pause
            self._stopped.wait(max(0.0, begun + pause - time.monotonic()))

    def busy(self):
        """Every kind has succeeded since the mark, for each visor."""
        return all(
            sum(
                outcome == "ok" and begun > self._marked
                for begun, _, outcome in self._since_mark(kind)
            )
            >= (1 if kind == "dmsg dial" else VISORS)
            for kind in self._kinds
        )

    def _since_mark(self, kind):
        """What has ended since then, the last first."""
        return itertools.takewhile(
            lambda each: each[1] >= self._marked, reversed(self.outcomes[kind])
        )

    def mark(self):
        """What happens from now on counts in `failures`."""
        self._marked = time.monotonic()

    def stop(self):
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)

    def failures(self):
        """By kind, what went wrong since the mark: {"tpd read": Counter({"refused": 3})}."""
        found = {}
        for kind in self._kinds:
            bad = collections.Counter(
                outcome for _, _, outcome in self._since_mark(kind) if outcome != "ok"
            )
            if bad:
                found[kind] = bad
        return found

    def longest(self, kind):
        """The longest time without a success since the mark, seconds."""
        good = [ended for _, ended, outcome in self._since_mark(kind) if outcome == "ok"]
        moments = [self._marked, *reversed(good), time.monotonic()]
        return max(b - a for a, b in zip(moments, moments[1:]))

    def told(self):
        """One line for a table: what clients saw since the mark, and for how long nothing went."""
        parts = []
        failures = self.failures()
        for kind in self._kinds:
            longest = self.longest(kind)
            if kind not in failures and longest < 1.0:
                continue
            bad = failures.get(kind, collections.Counter({"late": 1}))
            words = " ".join(f"{count} {outcome}" for outcome, count in sorted(bad.items()))
            parts.append(f"{kind} {words} ({longest:.1f} s)")
        return "; ".join(parts) or "nothing"

    # what must be there

    def acknowledged(self):
        return set(self.transports), set(self.offers), set(self.addresses), dict(self.entries)

    def forget(self, lost):
        """What `missing` has said."""
        for each in lost:
            for known in (self.transports, self.entries):
                known.pop(each, None)
            for known in (self.offers, self.addresses):
                known.discard(each)

    def missing(self, acknowledged):
        """Of what was acknowledged, what a new reader does not find: lists of transports, offers,
        addresses, and of entries that are gone or older."""
        transports, offers, addresses, known = acknowledged

        def read(label, path):
            return get(self.names.in_turn(label)[0], path).json or {}

        listed = {each["t_id"] for each in read("tpd", "/all-transports")}
        offered = {each["address"][:66] for each in read("sd", "/api/services?type=vpn")}
        bound = set(read("ar", "/transports").get("stcpr", ()))
        keys = set(read("dmsgd", "/dmsg-discovery/entries"))
        older = [
            key
            for key, written in known.items()
            if key not in keys
            or read("dmsgd", f"/dmsg-discovery/entry/{key}").get("timestamp", 0) < written
        ]
        return [
            *sorted(transports - listed),
            *sorted(offers - offered),
            *sorted(addresses - bound),
            *older,
        ]
