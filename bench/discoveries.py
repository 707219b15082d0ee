"""Benchmarks of transport-discovery, service-discovery and route-finder."""

import contextlib
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from deployment import Deployment, cpu_seconds, rss_mib
from measure import BUILD, RUNS, SECONDS, SKYWIRE, ours, printed, show, wrk

TRANSPORTS = 50_000
# Eight transports at each edge.
VISORS = 12_500
SERVICES = 5_000
LIST = "/api/services?type=vpn"


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


def finder():
    """The same question over HTTP, to a route-finder beside its transport-discovery."""
    runs = []
    for _ in range(RUNS):
        with Deployment(SKYWIRE, types=("transport-discovery", "route-finder")) as server:
            with questions(f"127.0.0.1:{server.tpd_port}") as script:
                runs.append(wrk(server, "/routes", script, 8, server.rf_port))
    show("route-finder: 200 visors, 600 transports, forward and back, 8 connections", runs,
         {"requests/s": ">= 7,500"})


@contextlib.contextmanager
def questions(discovery):
    """Fills a transport-discovery; a wrk script that asks about what is there now."""
    with tempfile.TemporaryDirectory(prefix="skywire-bench-") as folder:
        asked = Path(folder) / "questions"
        with open(asked, "wb") as out:
            subprocess.run([BUILD / "bench_transports", "graph", discovery, "200", "600"],
                           check=True, stdout=out)
        script = Path(folder) / "ask.lua"
        script.write_text(f"""
local bodies = {{}}
for line in io.lines("{asked}") do bodies[#bodies + 1] = line end
local i = 0
function request()
  i = i % #bodies + 1
  return wrk.format("POST", "/routes", nil, bodies[i])
end
""")
        yield script


def services():
    """The list of one type, from 200 entries and from 5,000."""
    reads, many, sizes, posts = [], [], [], []
    for _ in range(RUNS):
        with Deployment(SKYWIRE, types=("service-discovery",)) as server:
            ours("bench_services", f"127.0.0.1:{server.sd_port}", 200)
            body = body_of(server.sd_port, LIST)
            reads.append(wrk(server, LIST, None, 64, server.sd_port) | {"bytes": len(body)})
        with Deployment(SKYWIRE, types=("service-discovery",)) as server:
            before = rss_mib(server.pid)
            figures = ours("bench_services", f"127.0.0.1:{server.sd_port}", SERVICES)
            posts.append({"p50 ms": figures["p50_ms"], "p99 ms": figures["p99_ms"]})
            sizes.append({"kB/service": (rss_mib(server.pid) - before) * 1048.576 / SERVICES})
            size = len(body_of(server.sd_port, LIST))
            figures = wrk(server, LIST, None, 8, server.sd_port)
            many.append(figures | {"GB/s": figures["requests/s"] * size / 1e9})
    show("service-discovery: the list of one type, 200 entries, 64 connections", reads,
         {"requests/s": ">= 24,500"})
    show(f"service-discovery: memory with {SERVICES:,} services", sizes)
    show("service-discovery: a service registered, one after another", posts)
    show(f"service-discovery: the list of one type, {SERVICES:,} entries, 8 connections", many,
         {"GB/s": ">= 1"})


def body_of(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.read()


def registered():
    """A thousand reads a second from the two discoveries with all that a large network has."""
    runs = []
    for _ in range(RUNS):
        with Deployment(SKYWIRE, types=("transport-discovery", "service-discovery")) as server:
            tpd, sd = f"127.0.0.1:{server.tpd_port}", f"127.0.0.1:{server.sd_port}"
            ours("bench_transports", "preload", tpd, TRANSPORTS, VISORS)
            ours("bench_services", sd, SERVICES)
            spent = cpu_seconds(server.pid)
            figures = ours("bench_transports", "paced", tpd, VISORS, 1000, SECONDS, sd, SERVICES)
            spent = cpu_seconds(server.pid) - spent
            runs.append({"p50 ms": figures["p50_ms"], "p99 ms": figures["p99_ms"],
                         # The load generator asks once for each key's nonce.
                         "CPU us/request": spent / (figures["requests"] + VISORS) * 1e6})
    show(f"{TRANSPORTS:,} transports and {SERVICES:,} services, 1,000 reads a second: by edge and by "
         "id (signed), by key", runs, {"p99 ms": "< 5"})


def transports():
    """A transport-discovery with TRANSPORTS in it; every request is signed before the clock starts."""
    reads, lists, sizes = [], [], []
    for _ in range(RUNS):
        with Deployment(SKYWIRE, types=("transport-discovery",)) as server:
            target = f"127.0.0.1:{server.tpd_port}"
            before = rss_mib(server.pid)
            ours("bench_transports", "preload", target, TRANSPORTS, VISORS)
            sizes.append({"kB/transport": (rss_mib(server.pid) - before) * 1048.576 / TRANSPORTS})
            spent = cpu_seconds(server.pid)
            figures = ours("bench_transports", "edge", target, VISORS, 4 * VISORS)
            spent = cpu_seconds(server.pid) - spent
            # The load generator asks once for each key's nonce.
            reads.append({"requests/s": figures["per_s"], "p99 ms": figures["p99_ms"],
                          "CPU us/request": spent / (figures["requests"] + VISORS) * 1e6})
            figures = ours("bench_transports", "list", target, SECONDS)
            lists.append({"GB/s": figures["gb_per_s"], "MB each": figures["mb_each"],
                          "first byte p50 ms": figures["first_byte_p50_ms"],
                          "first byte p99 ms": figures["first_byte_p99_ms"],
                          "write beside it, p50 ms": figures["write_p50_ms"],
                          "write beside it, p99 ms": figures["write_p99_ms"]})
    show(f"transport-discovery: memory with {TRANSPORTS:,} transports", sizes)
    show("transport-discovery: signed reads by edge, 64 connections", reads,
         {"requests/s": ">= 22,000"})
    show("transport-discovery: the whole list, one reader", lists,
         {"GB/s": ">= 1", "first byte p99 ms": "< 5", "write beside it, p99 ms": "< 5"})
