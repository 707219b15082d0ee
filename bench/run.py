#!/usr/bin/env python3
"""Benchmarks of the release build: `make bench`.

run.py BUILD_DIR [--runs N] [--seconds S]

Each figure is the median and the range of N runs (default 5) on this machine, with the load generator
(wrk) beside the server. CPU per request is the server's own user and system time from /proc, divided
by the requests it answered: it hardly depends on what else the machine does.
"""

import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
POSTS = 60_000


def option(name, default):
    return type(default)(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


RUNS = option("--runs", 5)
SECONDS = option("--seconds", 4)
BUILD = Path(sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-")
             else ROOT / "build" / "release").resolve()
SKYWIRE = BUILD / "skywire"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def ask(port, path):
    """One GET over a fresh connection; None where nobody answers yet."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
            link.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while chunk := link.recv(65536):
                answer += chunk
            return answer.decode()
    except OSError:
        return None


class Server:
    """`skywire svc run` with the default file's blocks on free ports."""

    def __init__(self, redis=None):
        self.folder = tempfile.TemporaryDirectory(prefix="skywire-bench-")
        self.port = free_port()
        self.admin = free_port()
        config = json.loads((ROOT / "configs" / "deployment.json").read_text())
        for block in config["services"]:
            if block["type"] == "dmsg-discovery":
                block["addr"] = f"127.0.0.1:{self.port}"
                block.pop("dmsg", None)
                if redis:
                    block["redis"] = redis
            if block["type"] == "stun-server":
                block["port"], block["alt_port"] = free_port(), free_port()
        config["supervisor"] = {"admin_addr": f"127.0.0.1:{self.admin}"}
        self.file = Path(self.folder.name) / "deployment.json"
        self.file.write_text(json.dumps(config))
        self.log = open(Path(self.folder.name) / "log", "wb")

    def __enter__(self):
        began = time.monotonic()
        self.process = subprocess.Popen([SKYWIRE, "svc", "run", "--config", self.file],
                                        stdout=self.log, stderr=self.log)
        while True:
            answer = ask(self.admin, "/readyz")
            if answer and answer.startswith("HTTP/1.1 200"):
                break
            if self.process.poll() is not None or time.monotonic() - began > 20:
                raise RuntimeError(Path(self.log.name).read_text())
        self.ready = time.monotonic() - began
        return self

    def __exit__(self, *_):
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.code = self.process.wait(20)
        self.stopped = time.monotonic() - began
        self.log.close()
        self.folder.cleanup()


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
    before = cpu_seconds(server.process.pid)
    out = subprocess.run([*command, f"http://127.0.0.1:{server.port}{path}"],
                         check=True, capture_output=True, text=True).stdout
    spent = cpu_seconds(server.process.pid) - before
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


def show(title, runs):
    print(f"\n{title}")
    for name in runs[0]:
        values = sorted(run[name] for run in runs)
        print(f"  {name:<28} {statistics.median(values):>12,.2f}"
              f"   {values[0]:,.2f} .. {values[-1]:,.2f}")


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
        with Server() as server:
            figures = {"exec to ready, ms": server.ready * 1e3,
                       "resident memory idle, MiB": rss_mib(server.process.pid)}
        if server.code != 0:
            raise RuntimeError(f"exit code {server.code}")
        figures["SIGTERM to exit, ms"] = server.stopped * 1e3
        runs.append(figures)
    show("Whole process, memory store", runs[1:])


def discovery(title, redis, script, key, body):
    gets, posts = [], []
    for _ in range(RUNS):
        with Server(redis) as server:
            posts.append(wrk(server, "/", script))
        if redis:
            flush(redis)
        with Server(redis) as server:
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
        figures = json.loads(subprocess.run([BUILD / "bench_loops"], check=True,
                                            capture_output=True, text=True).stdout)
        runs.append({"post and resume, ns": figures["post_ns"],
                     "  of it CPU, ns": figures["post_cpu_ns"],
                     "other loop and back, ns": figures["wake_round_trip_ns"],
                     "  of it CPU of both, ns": figures["wake_round_trip_cpu_ns"]})
    show("Event loops", runs)


def main():
    for tool in ("wrk", "redis-server"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: make setup")
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"],
                            capture_output=True, text=True).stdout.strip()
    print(f"{os.cpu_count()} x {model.group(1) if model else platform.machine()}, "
          f"{platform.release()}, commit {commit}, {time.strftime('%Y-%m-%d', time.gmtime())}")
    print(f"median and range of {RUNS} runs")
    lifecycle()
    loops()
    with tempfile.TemporaryDirectory(prefix="skywire-bench-") as folder:
        script, key, body = post_script(folder)
        discovery("memory store", None, script, key, body)
        with Redis() as redis:
            discovery("Redis", redis, script, key, body)


if __name__ == "__main__":
    main()
