#!/usr/bin/env python3
"""Benchmarks of the release build: `make bench`.

run.py BUILD_DIR [--runs N] [--seconds S] [--only GROUP,...]

GROUP is process, loops, discovery, noise, routes, transports, mux or dmsg; all of them without --only. Each figure is the
median and the range of N runs (default 5) on this machine, with the load generator beside the server.
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
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deployment import ROOT, Deployment, ask, cpu_seconds, free_port, rss_mib

POSTS = 60_000


def option(name, default):
    return type(default)(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


RUNS = option("--runs", 5)
SECONDS = option("--seconds", 4)
BUILD = Path(sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-")
             else ROOT / "build" / "release").resolve()
SKYWIRE = BUILD / "skywire"
ONLY = option("--only", "process,loops,discovery,noise,routes,transports,mux,dmsg").split(",")
IDLE_SECONDS = 12
GIGABYTES = 4
DMSG = ("dmsg-discovery", "dmsg-server")
PLAIN = ("dmsg-discovery", "stun-server")
TRANSPORTS = 50_000
# Eight transports at each edge.
VISORS = 12_500


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


def wrk(server, path, script=None, connections=64):
    """One run of wrk on one thread: requests/s, p50 and p99 in ms, server CPU per request in us."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency"]
    if script:
        command += ["-s", script]
    before = cpu_seconds(server.pid)
    out = subprocess.run([*command, f"http://127.0.0.1:{server.port}{path}"],
                         check=True, capture_output=True, text=True).stdout
    spent = cpu_seconds(server.pid) - before
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if bad and int(bad.group(1)):
        raise RuntimeError(f"{bad.group(1)} refused answers\n{out}")
    unit = {"us": 1e-3, "ms": 1, "s": 1e3}

    def latency(percent):
        value, name = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", out).groups()
        return float(value) * unit[name]

    return {"requests/s": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
            "p50 ms": latency(50), "p99 ms": latency(99),
            "CPU us/request": spent / requests * 1e6}


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


def show(title, runs, goals=None):
    print(f"\n{title}")
    for name in runs[0]:
        values = sorted(run[name] for run in runs)
        goal = f"   goal {goals[name]}" if goals and name in goals else ""
        print(f"  {name:<32} {statistics.median(values):>12,.2f}"
              f"   {values[0]:,.2f} .. {values[-1]:,.2f}{goal}", flush=True)


def ours(program, *arguments):
    """The one line of JSON that a program of this folder prints."""
    done = subprocess.run([BUILD / program, *map(str, arguments)], check=True, capture_output=True,
                          text=True)
    return json.loads(done.stdout)


def post(server, body):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as link:
        link.sendall((f"POST /dmsg-discovery/entry/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
        answer = b""
        while chunk := link.recv(65536):
            answer += chunk
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(answer.decode())


def lifecycle():
    runs = []
    for _ in range(RUNS + 1):
        with Deployment(SKYWIRE, types=PLAIN) as server:
            figures = {"exec to ready, ms": server.ready * 1e3,
                       "resident memory idle, MiB": rss_mib(server.pid)}
        if server.code != 0:
            raise RuntimeError(f"exit code {server.code}")
        figures["SIGTERM to exit, ms"] = server.stopped * 1e3
        runs.append(figures)
    show("Whole process, memory store", runs[1:])


def discovery(title, redis, script, key, body):
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


def printed(program):
    """The figures that a program prints as lines of name, value, unit."""
    lines = subprocess.run([BUILD / program], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    return {name: float(value) for name, value, _ in (line.split() for line in lines)}


def routes():
    """A visor's question to the route-finder, forward and back, from body to body."""
    names = {"answer_200_600_min1_mean": "200 visors, 600 transports, us",
             "answer_200_600_min1_worst": "  costliest pair, us",
             "answer_200_600_min4_mean": "  at least 4 hops, us",
             "answer_5000_50000_min1_mean": "5,000 visors, 50,000 transports, us"}
    runs = []
    for _ in range(RUNS):
        figures = printed("bench_route_finder")
        runs.append({title: figures[name] for name, title in names.items()})
    show("Route-finder, CPU of one answer", runs, {names["answer_200_600_min1_mean"]: "<= 100"})


def transports():
    """A transport-discovery with TRANSPORTS in it; every request is signed before the clock starts."""
    reads, paced, lists, sizes = [], [], [], []
    for _ in range(RUNS):
        with Deployment(SKYWIRE, types=("transport-discovery",)) as server:
            target = f"127.0.0.1:{server.tpd_port}"
            before = rss_mib(server.pid)
            ours("bench_transports", "preload", target, TRANSPORTS, VISORS)
            sizes.append({"kB/transport": (rss_mib(server.pid) - before) * 1024 * 1.024 / TRANSPORTS})
            spent = cpu_seconds(server.pid)
            figures = ours("bench_transports", "edge", target, VISORS, 4 * VISORS)
            spent = cpu_seconds(server.pid) - spent
            # The load generator asks once for each key's nonce.
            reads.append({"requests/s": figures["per_s"], "p99 ms": figures["p99_ms"],
                          "CPU us/request": spent / (figures["requests"] + VISORS) * 1e6})
            figures = ours("bench_transports", "paced", target, VISORS, 1000, SECONDS)
            paced.append({"p50 ms": figures["p50_ms"], "p99 ms": figures["p99_ms"]})
            figures = ours("bench_transports", "list", target, SECONDS)
            lists.append({"GB/s": figures["gb_per_s"], "MB each": figures["mb_each"],
                          "first byte p50 ms": figures["first_byte_p50_ms"],
                          "first byte p99 ms": figures["first_byte_p99_ms"],
                          "write beside it, p50 ms": figures["write_p50_ms"],
                          "write beside it, p99 ms": figures["write_p99_ms"]})
    show(f"transport-discovery: memory with {TRANSPORTS:,} transports", sizes)
    show("transport-discovery: signed reads by edge, 64 connections", reads,
         {"requests/s": ">= 22,000"})
    show("transport-discovery: 1,000 signed reads a second by edge and by id", paced,
         {"p99 ms": "< 5"})
    show("transport-discovery: the whole list, one reader", lists,
         {"GB/s": ">= 1", "first byte p99 ms": "< 5", "write beside it, p99 ms": "< 5"})


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


def main():
    if "discovery" in ONLY:
        for tool in ("wrk", "redis-server"):
            if not shutil.which(tool):
                sys.exit(f"{tool} is missing: make setup")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"],
                            capture_output=True, text=True).stdout.strip()
    print(f"{os.cpu_count()} x {model.group(1) if model else platform.machine()}, "
          f"{platform.release()}, commit {commit}, {time.strftime('%Y-%m-%d', time.gmtime())}")
    print(f"median and range of {RUNS} runs")
    for group in (lifecycle, loops, noise, routes, transports, mux, dmsg):
        if {"lifecycle": "process"}.get(group.__name__, group.__name__) in ONLY:
            group()
    if "discovery" in ONLY:
        with tempfile.TemporaryDirectory(prefix="skywire-bench-") as folder:
            script, key, body = post_script(folder)
            discovery("memory store", None, script, key, body)
            with Redis() as redis:
                discovery("Redis", redis, script, key, body)


if __name__ == "__main__":
    main()
