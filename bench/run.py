#!/usr/bin/env python3
"""Benchmarks of the release build: `make bench`.

run.py BUILD_DIR [--runs N] [--seconds S] [--only GROUP,...]

GROUP is process, loops, discovery, noise, routes, finder, transports, services, registered, mux, cxo,
cxo_crowd, visualizer or dmsg; all of them without --only, one after another: what is running, and
the load of the machine when it began, stands on a line of its own. Each figure is the median and the
range of N runs (default 5) on this machine, with the load generator beside the server.
CPU of a server is its own user and system time from /proc, divided by what it did: it hardly depends
on what else the machine does. Where issue or design name a goal, it stands behind the figure.
"""

import json
import os
import platform
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import discoveries
import feeds
import visualizer
from deployment import ALL, ROOT, Deployment, ask, cpu_seconds, free_port, rss_mib
from measure import BUILD, RUNS, SECONDS, SKYWIRE, option, ours, printed, show, wrk

POSTS = 60_000


IDLE_SECONDS = 12
GIGABYTES = 4
DMSG = ("dmsg-discovery", "dmsg-server")
PLAIN = ("dmsg-discovery", "stun-server")


class Redis:
    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="skywire-bench-redis-")
        self.port = free_port()
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--dir", self.folder.name], stdout=subprocess.DEVNULL)
        while ask(self.port, "/") is None:
            time.sleep(0.01)
        return f"redis://127.0.0.1:{self.port}/0"

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.folder.cleanup()


def post_script(folder):
    """A wrk script that posts each of POSTS signed entries once, then the answers are updates
    refused as such, which the figures must not hold: so it stops sending."""
    bodies = Path(folder) / "entries.txt"
    with open(bodies, "wb") as out:
        subprocess.run([BUILD / "bench_entries", str(POSTS)], check=True, stdout=out)
    script = Path(folder) / "post.lua"
    script.write_text(f"""
local bodies = {{}}
for line in io.lines("{bodies}") do bodies[#bodies + 1] = line end
local i = 0
function request()
  i = i + 1
  if i > #bodies then wrk.thread:stop() end
  return wrk.format("POST", "/dmsg-discovery/entry/", nil, bodies[i] or bodies[1])
end
""")
    first = json.loads(open(bodies).readline())
    return script, first["static"], open(bodies).readline().strip()


def post(server, body):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as link:
        link.sendall((f"POST /dmsg-discovery/entry/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
        answer = b""
        while chunk := link.recv(65536):
            answer += chunk
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(answer.decode())


def process():
    for title, types, goals in (
            ("dmsg-discovery and stun-server", PLAIN, {}),
            ("all blocks of configs/deployment.json", ALL,
             {"exec to ready, ms": "< 100", "SIGTERM to exit, ms": "< 100",
              f"resident memory after {IDLE_SECONDS} s idle, MB": "< 30"})):
        runs = []
        for _ in range(RUNS + 1):
            with Deployment(SKYWIRE, types=types) as server:
                figures = {"exec to ready, ms": server.ready * 1e3,
                           "resident memory when ready, MB": rss_mib(server.pid) * 1.048576}
                time.sleep(IDLE_SECONDS)
                figures[f"resident memory after {IDLE_SECONDS} s idle, MB"] = (
                    rss_mib(server.pid) * 1.048576)
            if server.code != 0:
                raise RuntimeError(f"exit code {server.code}")
            figures["SIGTERM to exit, ms"] = server.stopped * 1e3
            runs.append(figures)
        # The first one reads the program from disk.
        show(f"Whole process, memory store: {title}", runs[1:], goals)


def discovery():
    with tempfile.TemporaryDirectory(prefix="skywire-bench-") as folder:
        script, key, body = post_script(folder)
        discovery_with("memory store", None, script, key, body)
        with Redis() as redis:
            discovery_with("Redis", redis, script, key, body)


def discovery_with(title, redis, script, key, body):
    gets, posts = [], []
    for _ in range(RUNS):
        with Deployment(SKYWIRE, redis, PLAIN) as server:
            posts.append(wrk(server, "/", script))
        if redis:
            flush(redis)
        with Deployment(SKYWIRE, redis, PLAIN) as server:
            post(server, body)
            gets.append(wrk(server, f"/dmsg-discovery/entry/{key}"))
        if redis:
            flush(redis)
    show(f"dmsg-discovery, {title}: GET entry, 64 connections", gets)
    show(f"dmsg-discovery, {title}: POST new client entry, 64 connections", posts)


def flush(redis):
    port = int(redis.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(b"FLUSHALL\r\n")
        if not link.recv(64).startswith(b"+OK"):
            raise RuntimeError("FLUSHALL failed")


def loops():
    runs = []
    for _ in range(RUNS):
        figures = ours("bench_loops")
        runs.append({"post and resume, ns": figures["post_ns"],
                     "  of it CPU, ns": figures["post_cpu_ns"],
                     "other loop and back, ns": figures["wake_round_trip_ns"],
                     "  of it CPU of both, ns": figures["wake_round_trip_cpu_ns"]})
    show("Event loops", runs)


def noise():
    """Handshakes of both sides in one thread; seal and open of stream data."""
    names = {"handshake_xk": "handshake XK, both sides, us", "handshake_kk": "handshake KK, us",
             "handshake_xx": "handshake XX, us", "seal_4070": "seal a full frame, GB/s",
             "open_4070": "open a full frame, GB/s"}
    runs = []
    for _ in range(RUNS):
        figures = printed("bench_noise")
        runs.append({title: figures[name] for name, title in names.items()})
    show("Noise, CPU of one thread", runs,
         {names["handshake_xk"]: "<= 400", names["handshake_kk"]: "<= 400"})


def mux():
    """The multiplexer alone, one thread each for sender, relay and receiver."""
    runs = []
    for _ in range(RUNS):
        bare, relay, smux = (ours("bench_mux", *arguments) for arguments in
                             (("bare", 2), ("relay", 2, 8), ("relay", 2, 8, "smux")))
        runs.append({"bare TCP relay, CPU s/GB": bare["relay_cpu_s_per_gb"],
                     "yamux relay, CPU s/GB": relay["relay_cpu_s_per_gb"],
                     "yamux relay, MB/s": relay["mb_per_s"],
                     "smux relay, CPU s/GB": smux["relay_cpu_s_per_gb"],
                     "smux relay, MB/s": smux["mb_per_s"]})
    show("Relay of the multiplexer alone, plain bytes", runs)


def dmsg():
    relayed, dials, made, idle, stalled, registered = [], [], [], [], [], []
    for _ in range(RUNS):
        with Deployment(SKYWIRE, types=DMSG) as server:
            before = cpu_seconds(server.pid)
            figures = ours("bench_dmsg", "transfer", server.dmsg_server, GIGABYTES, 8)
            spent = cpu_seconds(server.pid) - before
            relayed.append({"server CPU s/GB": spent / (figures["bytes"] / 1e9),
                            "sender to receiver, MB/s": figures["mb_per_s"],
                            "sender CPU s/GB": figures["sender_s_per_gb"],
                            "receiver CPU s/GB": figures["receiver_s_per_gb"]})
            figures = ours("bench_dmsg", "dial", server.discovery, 2000)
            dials.append({"p50 ms": figures["p50_ms"], "p99 ms": figures["p99_ms"]})
            before = cpu_seconds(server.pid)
            figures = ours("bench_dmsg", "sessions", server.dmsg_server, 4000)
            spent = cpu_seconds(server.pid) - before
            made.append({"server CPU ms/session": spent / figures["sessions"] * 1e3,
                         "sessions/s": figures["sessions_per_s"]})
            stalled.append(stall(server))
            figures = ours("bench_dmsg", "register", server.discovery, 1000)
            registered.append({"p50 ms": figures["p50_ms"], "p99 ms": figures["p99_ms"]})
        idle.append(idle_sessions())
    show(f"dmsg-server: {GIGABYTES} GB over 8 streams, end-to-end encrypted", relayed,
         {"server CPU s/GB": "<= 0.6", "sender to receiver, MB/s": ">= 700"})
    show("dmsg: stream set-up through the server, cached entry", dials, {"p50 ms": "<= 1"})
    show("dmsg-server: session made, pinged, closed", made, {"server CPU ms/session": "<= 0.5"})
    show("dmsg-server: idle sessions", idle, {"kB/session": "<= 8"})
    show("dmsg-server: 1,000 streams of one sender and one receiver", stalled)
    show("dmsg: 1,000 clients start at once, until session and entry", registered)


def idle_sessions():
    """Growth of resident memory once each session has had its first pings, per session."""
    count = 10_000
    with Deployment(SKYWIRE, types=DMSG) as server:
        allowed = min(count, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1000)
        before = rss_mib(server.pid)
        load = subprocess.Popen([BUILD / "bench_dmsg", "idle", server.dmsg_server, str(allowed)],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        held = json.loads(load.stdout.readline())["sessions"]
        time.sleep(IDLE_SECONDS)
        grown = rss_mib(server.pid) - before
        before = cpu_seconds(server.pid)
        time.sleep(IDLE_SECONDS)
        spent = cpu_seconds(server.pid) - before
        load.stdin.close()
        if load.wait(60) != 0:
            raise RuntimeError("the idle sessions did not last")
    return {"sessions": held, "kB/session": grown * 1024 * 1.024 / held,
            "server CPU, % of a core": spent / IDLE_SECONDS * 100}


def stall(server):
    """What the others get where one of them is not read, and where all are."""
    all_read, one_not = (ours("bench_dmsg", "stall", server.dmsg_server, 1000, SECONDS, stopped)
                         for stopped in (0, 1))
    return {"all read, MB/s": all_read["mb_per_s"], "one not read, MB/s": one_not["mb_per_s"]}


GROUPS = {group.__name__: group for group in (
    process, loops, noise, discoveries.routes, discoveries.finder, discoveries.transports,
    discoveries.services, discoveries.registered, mux, feeds.cxo, feeds.cxo_crowd,
    visualizer.visualizer, dmsg, discovery)}


def chosen():
    """The groups that were asked for, in their usual order."""
    if odd := [word for word in sys.argv[1:] if word.startswith("-")
               and word not in ("--runs", "--seconds", "--only")]:
        sys.exit(f"not understood: {' '.join(odd)}")
    names = option("--only", ",".join(GROUPS)).split(",")
    if unknown := [name for name in names if name not in GROUPS]:
        sys.exit(f"no such group: {', '.join(map(repr, unknown))}; there are {', '.join(GROUPS)}")
    return [name for name in GROUPS if name in names]


def main():
    names = chosen()
    if {"discovery", "finder", "services"} & set(names):
        for tool in ("wrk", "redis-server"):
            if not shutil.which(tool):
                sys.exit(f"{tool} is missing: make setup")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"],
                            capture_output=True, text=True).stdout.strip()
    # Flushed: figures of a group come when all its runs are over, minutes later, and until then
    # this is all that a pipe has to show.
    print(f"{os.cpu_count()} x {model.group(1) if model else platform.machine()}, "
          f"{platform.release()}, commit {commit}, {time.strftime('%Y-%m-%d', time.gmtime())}")
    print(f"median and range of {RUNS} runs", flush=True)
    for name in names:
        load = os.getloadavg()[0]
        print(f"\n[{time.strftime('%H:%M:%S', time.gmtime())}] {name}, load {load:.1f}", flush=True)
        GROUPS[name]()


if __name__ == "__main__":
    main()
