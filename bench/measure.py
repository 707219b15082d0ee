"""What the groups of benchmarks share: options of run.py, load generators, and how figures are shown."""

import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

from deployment import ROOT, cpu_seconds


def option(name, default):
    return type(default)(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


RUNS = option("--runs", 5)
SECONDS = option("--seconds", 4)
BUILD = Path(sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-")
             else ROOT / "build" / "release").resolve()
SKYWIRE = BUILD / "skywire"


def wrk(server, path, script=None, connections=64, port=None):
    """One run of wrk on one thread: requests/s, p50 and p99 in ms, server CPU per request in us."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--timeout", "20s", "--latency"]
    if script:
        command += ["-s", script]
    before = cpu_seconds(server.pid)
    out = subprocess.run([*command, f"http://127.0.0.1:{port or server.port}{path}"],
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


def printed(program):
    """The figures that a program prints as lines of name, value, unit."""
    lines = subprocess.run([BUILD / program], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    return {name: float(value) for name, value, _ in (line.split() for line in lines)}
