#!/usr/bin/env python3
"""A deployment under load for long, and whether it grows: `make soak`.

soak.py BUILD_DIR [--seconds N] [--log FILE] [--load COMMAND]... [--clients N] [--workers N]

Starts `skywire svc run` with dmsg-discovery and dmsg-server, and bench_soak beside it for N seconds
(default 1800, or the environment's SOAK_SECONDS). COMMANDs run meanwhile through the shell and find
the deployment in their environment: SOAK_DISCOVERY (a URL), SOAK_SERVER (KEY@HOST:PORT) and
SOAK_SECONDS; they are ended with the load, and one that fails before fails the soak.

Every ten seconds (every N/30 in a short run) it notes the server process's resident memory,
descriptors and coroutines from its own /metrics. Load comes and goes within seconds, and so do these
figures; what is held against each other is therefore
  start: the highest sample of the second minute (load and caches have come to rest), and
  end: the median of the last minute;
a figure whose end is above its start has grown, without any tolerance. Runs below three minutes take
the second and the last third instead. A quarter of a minute after the load is gone, sessions and
streams of clients must be gone too, and descriptors and coroutines be back at what they were before it.

Exit code 1 where a figure has grown, something was left behind, the load or a COMMAND failed.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from deployment import ROOT, Deployment, cpu_seconds, rss_mib

SETTLE_SECONDS = 20
FIGURES = {"memory, MiB": "process_resident_memory_bytes", "descriptors": "process_open_fds",
           "coroutines": "process_coroutines"}
CLIENTS = "dmsg_server_clients_count"
STREAMS = "dmsg_server_vm_active_streams_count"


class Out:
    """Every line to the terminal and to a file."""

    def __init__(self, path):
        self.file = open(path, "a", buffering=1) if path else None

    def __call__(self, text=""):
        print(text, flush=True)
        if self.file:
            print(text, file=self.file)


def total(series, name):
    """The sum of all series of that name, whatever their labels."""
    return sum(value for key, value in series.items() if key.partition("{")[0] == name)


def sample(server):
    series = server.metrics()
    taken = {title: total(series, name) for title, name in FIGURES.items()}
    taken["memory, MiB"] /= 1024 * 1024
    return taken, total(series, CLIENTS), total(series, STREAMS)


class Load:
    """A command beside the server, in a process group of its own so that it can be ended whole."""

    def __init__(self, command, environment, **options):
        self.name = command if isinstance(command, str) else Path(command[0]).name
        self.process = subprocess.Popen(command, env=environment, start_new_session=True, **options)

    def failed(self):
        return self.process.poll() not in (None, 0)

    def end(self):
        if self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def watch(server, loads, seconds, out):
    """Samples (seconds since the start, figures) until the first load, ours, has ended."""
    every = min(10.0, seconds / 30)
    began, samples, bad = time.monotonic(), [], []
    out(f"{'s':>6} {'memory, MiB':>12} {'descriptors':>12} {'coroutines':>11} {'sessions':>9} "
        f"{'streams':>8} {'CPU s':>8} {'load, MiB':>10}")
    while loads[0].process.poll() is None:
        time.sleep(max(0.0, began + every * (len(samples) + 1) - time.monotonic()))
        if server.process.poll() is not None:
            bad.append(f"the server ended with {server.process.returncode}")
            break
        for load in loads:
            if load.failed() and load.name not in bad:
                out(f"failed with {load.process.returncode}: {load.name}")
                bad.append(load.name)
        if loads[0].process.poll() is not None:
            break
        taken, clients, streams = sample(server)
        samples.append((time.monotonic() - began, taken))
        out(f"{samples[-1][0]:6.0f} {taken['memory, MiB']:12.2f} {taken['descriptors']:12.0f} "
            f"{taken['coroutines']:11.0f} {clients:9.0f} {streams:8.0f} "
            f"{cpu_seconds(server.pid):8.1f} {rss_mib(loads[0].process.pid):10.1f}")
        if samples[-1][0] > seconds + 120:
            bad.append("the load does not end")
            break
    return samples, bad


def judge(samples, seconds, out):
    """The titles of the figures that have grown."""
    unit = min(60.0, seconds / 3)
    start = [taken for at, taken in samples if unit < at <= 2 * unit]
    end = [taken for at, taken in samples if at > seconds - unit]
    if not start or not end:
        return ["too few samples"]
    grown = []
    out(f"\nhighest from {unit:.0f} to {2 * unit:.0f} s, median of the last {unit:.0f} s")
    for title in FIGURES:
        first = max(taken[title] for taken in start)
        last = statistics.median(taken[title] for taken in end)
        verdict = "grown" if last > first else "flat"
        out(f"  {title:<12} {first:12.2f} {last:12.2f}  {verdict}")
        if last > first:
            grown.append(f"{title} has grown")
    return grown


def left_behind(server, before, out):
    """What is still there some time after all load has gone."""
    time.sleep(SETTLE_SECONDS)
    after, clients, streams = sample(server)
    out(f"\n{SETTLE_SECONDS} s after the load: {clients:.0f} sessions, {streams:.0f} streams, "
        f"{after['descriptors']:.0f} descriptors (before: {before[0]['descriptors']:.0f}), "
        f"{after['coroutines']:.0f} coroutines ({before[0]['coroutines']:.0f}), "
        f"{after['memory, MiB']:.1f} MiB ({before[0]['memory, MiB']:.1f})")
    left = []
    if clients > before[1]:
        left.append("sessions left behind")
    if streams > before[2]:
        left.append("streams left behind")
    for title in ("descriptors", "coroutines"):
        if after[title] > before[0][title]:
            left.append(f"{title} left behind")
    return left


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", nargs="?", default=ROOT / "build" / "release", type=Path)
    parser.add_argument("--seconds", type=int, default=int(os.environ.get("SOAK_SECONDS", 1800)))
    parser.add_argument("--log", help="a file to which everything printed is appended")
    parser.add_argument("--load", action="append", default=[], metavar="COMMAND")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--workers", type=int, default=24)
    chosen = parser.parse_args()
    build, out = chosen.build.resolve(), Out(chosen.log)

    with Deployment(build / "skywire", types=("dmsg-discovery", "dmsg-server")) as server:
        out(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} server {server.pid}, "
            f"{server.discovery}, {server.dmsg_server}, {chosen.seconds} s")
        # The discovery's own session with the server belongs to the state before the load.
        time.sleep(5)
        before = sample(server)
        environment = os.environ | {"SOAK_DISCOVERY": server.discovery,
                                    "SOAK_SERVER": server.dmsg_server,
                                    "SOAK_SECONDS": str(chosen.seconds)}
        counts = server.folder.name + "/soak"
        with open(counts, "wb") as written:
            loads = [Load([build / "bench_soak", server.discovery, str(chosen.seconds),
                           str(chosen.clients), str(chosen.workers)], environment, stdout=written)]
            loads += [Load(command, environment, shell=True) for command in chosen.load]
            try:
                samples, bad = watch(server, loads, chosen.seconds, out)
            finally:
                for load in loads:
                    load.end()
        lines = Path(counts).read_text().splitlines()
        out(f"\nload: {lines[-1] if lines else 'nothing'}")
        if loads[0].failed() and loads[0].name not in bad:
            bad.append(loads[0].name)
        bad += judge(samples, chosen.seconds, out)
        if server.process.poll() is None:
            bad += left_behind(server, before, out)
    if server.code != 0:
        bad.append(f"the server's exit code is {server.code}")
    out("FAILED: " + ", ".join(bad) if bad else "passed")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
