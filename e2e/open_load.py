"""Clients that ask at a fixed rate, whatever is answered and however late (an open loop): a hundred
operations of each kind in a second, each request on a connection of its own, signed as visors sign.
Runs in a process of its own; `OpenLoad` is its handle. Dials go on beside it: `Dials`.

One thread and epoll: an operation is a generator that yields requests and is sent their answers."""

import collections
import contextlib
import errno
import gc
import heapq
import json
import os
import resource
import select
import socket
import subprocess
import sys
import time

from clients import PUBLIC, transport
from entries import Key, client
from load import Said, outcome_of
from skywire_process import PATIENCE, program

VISORS = 48
# What a client grants an answer.
TIMEOUT = 20.0
# Operations of a kind at one time; beyond, none is begun, and the rate falls short.
UNDER_WAY = 400
# How often those are looked for that take too long.
SWEEP = 0.2
# Nobody is there: as good as refused.
NOBODY = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)


class Actor:
    """A key, and what it knows of its nonces: label -> the next."""

    def __init__(self, seed):
        self.key = Key(seed=seed)
        self.public = self.key.public
        self.nonces = {}


class Kind:
    """Operations of one kind. An actor does one thing at a time, in its turn."""

    def __init__(self, name, operation, actors):
        self.name = name
        self.operation = operation
        self.idle = collections.deque(actors)
        self.waiting = collections.deque()
        self.under_way = 0
        self.number = 0
        self.outcomes = []


class Operation:
    def __init__(self, kind):
        self.kind = kind
        self.begun = time.monotonic()
        self.actor = None
        self.steps = None


class Request:
    """One request of an operation, on its way to the first of `addresses`."""

    def __init__(self, operation, addresses, data):
        self.operation = operation
        self.addresses = addresses
        self.data = data
        self.deadline = time.monotonic() + TIMEOUT
        self.peer = None
        self.sent = 0
        self.received = []


class Engine:
    """`addresses`: label -> those its name stands for, of which each request takes the next."""

    def __init__(self, addresses):
        self._addresses = {
            label: [_split(each) for each in listed] for label, listed in addresses.items()
        }
        self._turn = collections.Counter()
        self._poll = select.epoll()
        self._requests = {}
        self._swept = 0.0

    # operations

    def begin(self, kind):
        if kind.under_way >= UNDER_WAY:
            return
        kind.under_way += 1
        operation = Operation(kind)
        if kind.idle:
            self._go(operation, kind.idle.popleft())
        else:
            kind.waiting.append(operation)

    def _go(self, operation, actor):
        operation.actor = actor
        operation.kind.number += 1
        operation.steps = operation.kind.operation(actor, operation.kind.number)
        self._step(operation, operation.steps.send, None)

    def _step(self, operation, go_on, value):
        try:
            asked = go_on(value)
        except StopIteration as end:
            answer = end.value
            good = answer.status in (200, 201)
            self._finish(operation, "ok" if good else str(answer.status))
        except Exception as error:  # noqa: BLE001: whatever it is, it is counted
            self._finish(operation, _named(error))
        else:
            label, *request = asked
            addresses = self._addresses[label]
            self._turn[label] += 1
            first = self._turn[label] % len(addresses)
            data = _request_bytes(addresses[first], *request)
            self._dial(Request(operation, addresses[first:] + addresses[:first], data))

    def _finish(self, operation, outcome):
        kind = operation.kind
        kind.outcomes.append((operation.begun, time.monotonic(), outcome))
        kind.under_way -= 1
        if kind.waiting:
            self._go(kind.waiting.popleft(), operation.actor)
        else:
            kind.idle.append(operation.actor)

    # requests

    def _dial(self, request):
        peer = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        request.peer = peer
        error = peer.connect_ex(request.addresses[0])
        if error not in (0, errno.EINPROGRESS):
            self._failed(request, OSError(error, os.strerror(error)))
            return
        self._requests[peer.fileno()] = request
        self._poll.register(peer.fileno(), select.EPOLLOUT)

    def _failed(self, request, error):
        """Once more where nobody was there."""
        request.peer.close()
        others = request.addresses[1:]
        if others and request.sent == 0 and getattr(error, "errno", None) in NOBODY:
            request.addresses = others
            self._dial(request)
            return
        self._step(request.operation, request.operation.steps.throw, error)

    def _take(self, number):
        request = self._requests.pop(number)
        self._poll.unregister(number)
        return request

    def _ready(self, number):
        request = self._requests[number]
        try:
            if request.sent < len(request.data):
                error = request.peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error != 0:
                    raise OSError(error, os.strerror(error))
                request.sent += request.peer.send(request.data[request.sent :])
                if request.sent == len(request.data):
                    self._poll.modify(number, select.EPOLLIN)
                return
            chunk = request.peer.recv(1 << 16)
            if chunk:
                request.received.append(chunk)
                return
            answer = Said(b"".join(request.received))
        except BlockingIOError:
            return
        except Exception as error:  # noqa: BLE001: it is the operation's
            self._failed(self._take(number), error)
            return
        self._take(number).peer.close()
        self._step(request.operation, request.operation.steps.send, answer)

    def turn(self, until):
        """Goes on with what goes on; returns at the latest at this time."""
        wait = max(0.0, until - time.monotonic())
        for number, _ in self._poll.poll(wait):
            self._ready(number)
        now = time.monotonic()
        if now >= self._swept + SWEEP:
            self._swept = now
            late = [number for number, each in self._requests.items() if each.deadline < now]
            for number in late:
                request = self._take(number)
                request.sent = request.sent or 1
                self._failed(request, TimeoutError())

    @property
    def busy(self):
        return bool(self._requests)


def _split(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


def _named(error):
    if getattr(error, "errno", None) in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return "unreachable"
    return outcome_of(error)


def _request_bytes(address, method, path, body, headers):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {address[0]}:{address[1]}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    content = body.encode()
    if content:
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode() + content


# what is done ------------------------------------------------------------------------------------


def signed(actor, label, method, path, body="", headers=None):
    """A nonce that is no longer the one: asks for it and tries again, as visors do."""
    for _ in range(2):
        # Not known while the request is under way.
        nonce = actor.nonces.pop(label, None)
        if nonce is None:
            answer = yield label, "GET", f"/security/nonces/{actor.public}", "", {}
            if answer.status != 200:
                return answer
            nonce = answer.json["next_nonce"]
        fields = {
            "SW-Public": actor.public,
            "SW-Nonce": nonce,
            "SW-Sig": actor.key.sign(f"{body}{nonce}"),
            **(headers or {}),
        }
        answer = yield label, method, path, body, fields
        if answer.status != 401:
            # Of what registers transports the nonce stays.
            if answer.status in (200, 201):
                actor.nonces[label] = nonce + (answer.status == 200)
            return answer
    return answer


class World:
    """Visors, each with a transport to the next and to the one after, an offer, an address and an
    entry in the discovery, which they go on telling; and clients that read it all."""

    def __init__(self):
        self.visors = [Actor(f"open load {index}") for index in range(VISORS)]
        self.of = {visor.public: index for index, visor in enumerate(self.visors)}
        # Key -> what its next entry has.
        self.sequences = {}

    def again(self):
        """The same keys, with nonces of their own to keep."""
        return [Actor(f"open load {index}") for index in range(VISORS)]

    def readers(self):
        return [Actor(f"open load reads {index}") for index in range(VISORS)]

    def kinds(self):
        return [
            Kind("tpd write", self.write_transports, self.visors),
            Kind("tpd read", self.read_transport, self.readers()),
            Kind("sd write", self.write_offer, self.again()),
            Kind("sd read", self.read_offers, [None] * UNDER_WAY),
            Kind("ar write", self.write_address, self.again()),
            Kind("ar read", self.read_address, self.readers()),
            Kind("rf", self.find_route, [None] * UNDER_WAY),
            Kind("dmsgd write", self.write_entry, self.again()),
            Kind("dmsgd read", self.read_entry, [None] * UNDER_WAY),
        ]

    def transports_of(self, index):
        here = self.visors[index].public
        return [
            transport(here, self.visors[(index + step) % VISORS].public) for step in (1, 2)
        ]

    def write_transports(self, actor, _):
        entries = self.transports_of(self.of[actor.public])
        body = json.dumps([{"entry": each, "signatures": ["0" * 130] * 2} for each in entries])
        return (yield from signed(actor, "tpd", "POST", "/transports/", body))

    def read_transport(self, actor, number):
        entry = self.transports_of(number % VISORS)[number // VISORS % 2]
        path = f"/transports/id:{entry['t_id']}"
        return (yield from signed(actor, "tpd", "GET", path))

    def write_offer(self, actor, _):
        entry = {"address": f"{actor.public}:44", "type": "vpn", "version": "v1.3.29"}
        return (yield from signed(actor, "sd", "POST", "/api/services", json.dumps(entry)))

    def read_offers(self, *_):
        return (yield "sd", "GET", "/api/services?type=vpn", "", {})

    def write_address(self, actor, _):
        body = '{"port":"7777","addresses":["203.0.113.9"]}\n'
        return (yield from signed(actor, "ar", "POST", "/bind/stcpr", body, PUBLIC))

    def read_address(self, actor, number):
        path = f"/resolve/stcpr/{self.visors[number % VISORS].public}"
        return (yield from signed(actor, "ar", "GET", path))

    def find_route(self, _, number):
        """Two hops away."""
        a, b = (self.visors[(number + step) % VISORS].public for step in (0, 4))
        body = json.dumps({"Edges": [f"{a}:{b}"], "Opts": {"MinHops": 0, "MaxHops": 50}})
        return (yield "rf", "POST", "/routes", body, {})

    def write_entry(self, actor, _):
        """The sequence that is due where it is not known: that of the entry there, plus one."""
        sequence = self.sequences.pop(actor.public, None)
        if sequence is None:
            answer = yield "dmsgd", "GET", f"/dmsg-discovery/entry/{actor.public}", "", {}
            if answer.status not in (200, 404):
                return answer
            sequence = answer.json["sequence"] + 1 if answer.status == 200 else 0
        text = client(actor.key, sequence, timestamp=time.time_ns())
        answer = yield "dmsgd", "POST", "/dmsg-discovery/entry/", text, {}
        if answer.status == 200:
            self.sequences[actor.public] = sequence + 1
        return answer

    def read_entry(self, _, number):
        path = f"/dmsg-discovery/entry/{self.visors[number % VISORS].public}"
        return (yield "dmsgd", "GET", path, "", {})


def prepare(engine, kinds):
    """Until each visor has told everything, and everything that is asked is answered."""
    deadline = time.monotonic() + PATIENCE
    for kind in sorted(kinds, key=lambda each: "write" not in each.name):
        missing = VISORS
        while missing:
            kind.outcomes.clear()
            for _ in range(missing):
                engine.begin(kind)
            while kind.under_way:
                engine.turn(time.monotonic() + SWEEP)
            missing = sum(outcome != "ok" for _, _, outcome in kind.outcomes)
            if missing and time.monotonic() > deadline:
                raise AssertionError(f"{kind.name}: {kind.outcomes[-1][2]}")
        kind.outcomes.clear()


def main():
    """As told, until the input ends; then what became of everything, {kind: [(begun, ended,
    outcome)]}."""
    told = json.loads(sys.argv[1])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    engine = Engine(told["addresses"])
    kinds = World().kinds()
    prepare(engine, kinds)
    gc.collect()
    gc.freeze()
    period = 1.0 / told["rate"]
    begun = time.monotonic()
    due = [(begun + index * period / len(kinds), index) for index in range(len(kinds))]
    heapq.heapify(due)
    print("busy", flush=True)
    ended = select.poll()
    ended.register(sys.stdin, select.POLLIN | select.POLLHUP)
    looked = begun
    while True:
        now = time.monotonic()
        # Who is late goes on with what is under way all the same.
        for _ in kinds:
            at, index = due[0]
            if at > now:
                break
            engine.begin(kinds[index])
            heapq.heapreplace(due, (at + period, index))
        engine.turn(due[0][0])
        if now > looked + SWEEP:
            looked = now
            if ended.poll(0):
                break
    while engine.busy:
        engine.turn(time.monotonic() + SWEEP)
    print(json.dumps({kind.name: kind.outcomes for kind in kinds}))


# handles -----------------------------------------------------------------------------------------


def _first():
    """Ahead of whatever else the machine does, where that may be: it is to ask at its rate."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


class _Process:
    """Says "busy" once it goes, ends with its input, and then says JSON."""

    def __init__(self, line):
        self._line = line
        self._process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=_first
        )

    def wait_busy(self):
        line = self._process.stdout.readline()
        if line != b"busy\n":
            raise AssertionError(f"{self._line[0]} does not go: {line!r}")

    def stop(self):
        out, _ = self._process.communicate(b"", timeout=2 * PATIENCE + TIMEOUT)
        return json.loads(out)

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


class OpenLoad(_Process):
    """`addresses`: label -> those its name stands for, of dmsgd, tpd, sd, ar and rf."""

    def __init__(self, addresses, rate):
        told = json.dumps({"addresses": addresses, "rate": rate})
        super().__init__([sys.executable, __file__, told])


class Dials(_Process):
    """As dial_load.cpp says."""

    def __init__(self, discovery, rate, held):
        line = [program("skywire_dial_load"), f"http://{discovery}", str(rate), str(held)]
        super().__init__(line)


if __name__ == "__main__":
    main()
