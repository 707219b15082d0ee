"""Benchmarks of CXO feeds."""

import json
import re
import subprocess
import time
from pathlib import Path

from deployment import cpu_seconds, rss_mib
from measure import BUILD, RUNS, ours, printed, show

ROUND_TRIP_MS = 25
SUBSCRIBERS = 1000
# Of these, so many read nothing, and so many are whole copies.
DEAF = 10
COPIES = 10
RESIDENT = "  resident, kB"


def cxo():
    tree()
    sync()
    changes()


def tree():
    """What a feed of 100,000 leaves of 49 bytes costs its publisher."""
    names = {"change_us": "one changed value, published, us",
             "sign_us": "  of it the signature, us",
             "change_objects": "  new objects",
             "change_sharded_us": "the same in 256 directories, us",
             "change_sharded_objects": "  new objects in 256 directories",
             "insert_front_ms": "an insertion in front, ms",
             "insert_front_objects": "  new objects in front",
             "build_ms": "all 100,000 at once, ms",
             "leaf_heap_bytes": "heap for each leaf, bytes",
             "leaf_object_bytes": "  of it the objects' bytes",
             "difference_us": "difference of two versions, us",
             "walk_ms": "all leaves read, ms"}
    runs = []
    for _ in range(RUNS):
        figures = printed("bench_cxo_tree")
        runs.append({title: figures[name] for name, title in names.items()})
    show("CXO feed of 100,000 leaves in one directory, CPU of one thread", runs,
         {names["change_us"]: "< 50", names["change_objects"]: "7"})


def sync():
    """From the dial to a whole copy of 10,000 leaves, plain TCP, both nodes on this machine."""
    runs = []
    for _ in range(RUNS):
        near, far, sharded = (ours("bench_cxo_path", "sync", *arguments) for arguments in
                              ((0,), (ROUND_TRIP_MS,), (ROUND_TRIP_MS, 10_000, 256)))
        runs.append({f"round trip {ROUND_TRIP_MS} ms, ms": far["sync_ms"],
                     "  the bare round trip, ms": far["round_trip_ms"],
                     "  rounds of requests": far["rounds"],
                     "  publisher CPU, ms": far["publisher_cpu_ms"],
                     "  subscriber CPU, ms": far["subscriber_cpu_ms"],
                     "the same in 256 directories, ms": sharded["sync_ms"],
                     "  rounds in 256 directories": sharded["rounds"],
                     "no way between them, ms": near["sync_ms"]})
    show("CXO: first sync of 10,000 leaves in one directory", runs,
         {f"round trip {ROUND_TRIP_MS} ms, ms": "< 1000"})


def changes():
    """From a put to the subscriber's event, 10,000 leaves; then with a publisher's usual pace."""
    for round_trip in (0, ROUND_TRIP_MS):
        runs = []
        for _ in range(RUNS):
            small = ours("bench_cxo_path", "change", round_trip)
            large = ours("bench_cxo_path", "change", round_trip, 40, 200_000, 200)
            runs.append({"p50 ms": small["p50_ms"], "p99 ms": small["p99_ms"],
                         "max ms": small["max_ms"],
                         "  until it is published, p50 ms": small["gathered_p50_ms"],
                         "  the bare round trip, ms": small["round_trip_ms"],
                         "leaf of 200,000 bytes, p50 ms": large["p50_ms"],
                         "leaf of 200,000 bytes, max ms": large["max_ms"]})
        goal = f"<= {round_trip / 2 + 5}"
        show(f"CXO: a change seen by a subscriber, round trip {round_trip} ms, nothing gathered",
             runs, {"p50 ms": goal, "p99 ms": goal})
    runs = []
    for _ in range(RUNS):
        figures = ours("bench_cxo_path", "paced", ROUND_TRIP_MS)
        runs.append({"gathering, p50 ms": figures["gathered_p50_ms"],
                     "gathering, p99 ms": figures["gathered_p99_ms"],
                     "way, p50 ms": figures["way_p50_ms"], "way, p99 ms": figures["way_p99_ms"]})
    show(f"CXO: the same at the usual pace, five changes a second at random times, round trip "
         f"{ROUND_TRIP_MS} ms", runs)


class Party:
    """One side of bench_cxo_crowd: it takes a command a line and answers each."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([BUILD / "bench_cxo_crowd", *map(str, arguments)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("bench_cxo_crowd has ended")
        return json.loads(line)

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        return self.answer()

    @property
    def pid(self):
        return self.process.pid

    def rss_kb(self):
        return rss_mib(self.pid) * 1024 * 1.024

    def rss_kb_most(self):
        """The same at the worst time so far."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) * 1.024

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        if self.process.wait(60) != 0:
            raise RuntimeError("bench_cxo_crowd failed")


def cxo_crowd():
    """Memory and CPU of a publisher with 1,000 subscribers of one feed."""
    memory, following = [], []
    for _ in range(min(RUNS, 3)):
        memory.append(crowd_memory())
        following.append(crowd_following())
    show(f"CXO publisher, {SUBSCRIBERS:,} subscribers of one feed: {COPIES} copies, {DEAF} that read "
         "nothing, the rest read all; a Root for each change, one after another", memory,
         {"kB each": "<= 64", "grown from 1,000 to 10,000, %": "<= 5"})
    show(f"CXO: {SUBSCRIBERS:,} copies of one feed follow a change a second, usual pace", following,
         {RESIDENT: "<= 64"})


def crowd_memory():
    with Party("publish", 1) as publisher:
        where = publisher.first["address"], publisher.first["key"]
        publisher.ask("change", 1000, 0)
        alone = publisher.rss_kb()
        with (Party("read", *where, SUBSCRIBERS - DEAF - COPIES) as readers,
              Party("deaf", *where, DEAF) as deaf, Party("follow", *where, COPIES) as copies):
            for party in (readers, deaf, copies):
                party.ask("begin")
            publisher.ask("wait", SUBSCRIBERS)
            time.sleep(5)
            before = publisher.ask("change", 1000, 0)
            thousand = publisher.rss_kb()
            began, spent = time.monotonic(), cpu_seconds(publisher.pid)
            after = publisher.ask("change", 9000, 0)
            took, spent = time.monotonic() - began, cpu_seconds(publisher.pid) - spent
            ten_thousand = publisher.rss_kb()
            copies.ask("reach", after["seq"])
            if readers.ask("state")["lost"]:
                raise RuntimeError("subscribers that read were hung up on")
            roots = after["versions"] - before["versions"]
            coalesced = after["coalesced"] - before["coalesced"]
            return {"kB each": (ten_thousand - alone) / SUBSCRIBERS,
                    "without subscribers, MB": alone / 1e3,
                    "after 1,000 changes, MB": thousand / 1e3,
                    "after 10,000 changes, MB": ten_thousand / 1e3,
                    "grown from 1,000 to 10,000, %": (ten_thousand / thousand - 1) * 100,
                    "  of the heap in use, %": (after["heap"] / before["heap"] - 1) * 100,
                    "Roots of the last 9,000 changes": roots,
                    "  a second": roots / took,
                    "  CPU us, each subscriber's": spent / roots / SUBSCRIBERS * 1e6,
                    "  replaced by newer ones, %": 100 * coalesced / roots / SUBSCRIBERS,
                    "  hung up on, took nothing": after["stalled"]}


def crowd_following():
    with Party("publish", 200) as publisher:
        where = publisher.first["address"], publisher.first["key"]
        with Party("follow", *where, SUBSCRIBERS) as copies:
            bare = copies.rss_kb()
            copies.ask("begin")
            publisher.ask("wait", SUBSCRIBERS)
            time.sleep(5)
            before = cpu_seconds(publisher.pid)
            time.sleep(15)
            idle = (cpu_seconds(publisher.pid) - before) / 15
            before, began = cpu_seconds(publisher.pid), time.monotonic()
            state = publisher.ask("change", 30, 1_000_000)
            busy = (cpu_seconds(publisher.pid) - before) / (time.monotonic() - began)
            heap = copies.ask("reach", state["seq"])["heap"]
            return {"publisher CPU, % of a core": busy * 100,
                    "  without changes": idle * 100,
                    "  a change, ms": (busy - idle) * 1e3,
                    "a copy, kB of heap": heap / 1e3 / SUBSCRIBERS,
                    RESIDENT: (copies.rss_kb() - bare) / SUBSCRIBERS,
                    "  at most, 32 syncs at a time": (copies.rss_kb_most() - bare) / SUBSCRIBERS}
