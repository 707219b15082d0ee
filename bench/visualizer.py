"""How fast the network-visualizer's page draws: 3,000 visors and 9,000 transports, in a Chromium
without a window and without a GPU, 1280 x 800. Both cores are shared with the service and the driver."""

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from deployment import ROOT, ask, cpu_seconds, free_port
from measure import RUNS, SKYWIRE, show

sys.path.append(str(ROOT / "e2e"))
import chromium  # noqa: E402

VISORS = 3_000
TRANSPORTS = 9_000
SERVERS = 20
MOVES = 120
TYPES = ("stcpr", "stcpr", "sudph", "dmsg")
COUNT_FRAMES = """
    window.frames_ = [];
    (function count(now) { window.frames_?.push(now); if (window.frames_) requestAnimationFrame(count); })
        (performance.now());
"""
FIRST = "performance.getEntriesByName('first-picture')[0]?.startTime"


def network():
    """What the discoveries would list, always the same: each visor with two servers, transports that
    some have many of."""
    dice = random.Random(1)
    keys = ["02" + dice.randbytes(32).hex() for _ in range(SERVERS + VISORS)]
    servers, visors = keys[:SERVERS], keys[SERVERS:]
    clients = {server: [] for server in servers}
    for visor in visors:
        for server in dice.sample(servers, 2):
            clients[server].append(visor)
    transports = [
        {"t_id": str(uuid.UUID(bytes=dice.randbytes(16))),
         "edges": [dice.choice(visors), visors[int(dice.random() ** 2 * VISORS)]],
         "type": dice.choice(TYPES), "label": "automatic"}
        for _ in range(TRANSPORTS)]
    services = [{"address": f"{visor}:44", "type": "vpn", "version": "v1.3.29"}
                for visor in visors[::5]]
    return visors, {
        "/dmsg-discovery/servers/clients": clients,
        "/dmsg-discovery/all_servers": [],
        "/api/services?type=vpn": services,
        "/api/services?type=visor": [],
        "/api/services?type=skysocks": [],
        "/all-transports": transports,
    }


class Lists:
    """Serves those."""

    def __init__(self, content):
        bodies = {path: json.dumps(value).encode() for path, value in content.items()}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                body = bodies[self.path]
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Service:
    """The service alone, of these lists."""

    def __init__(self, url):
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="skywire-bench-")
        block = {"type": "network-visualizer", "addr": f"127.0.0.1:{self.port}", "refresh": "1h",
                 "service_discovery": url, "dmsg_discovery": url, "transport_discovery": url}
        file = Path(self.folder.name) / "deployment.json"
        admin = f"unix:{self.folder.name}/admin.sock"
        file.write_text(json.dumps({"services": [block], "supervisor": {"admin_addr": admin}}))
        self.process = subprocess.Popen([SKYWIRE, "svc", "run", "--config", file],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while '"healthy"' not in (ask(self.port, "/api/health") or ""):
            if time.monotonic() > deadline:
                raise RuntimeError("the visualizer has no lists")
            time.sleep(0.02)

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.folder.cleanup()


def gesture(page, act):
    """Frames a second while `act` is called MOVES times, the longest, and CPU for each."""
    cpu = page.cpu_seconds()
    page.value(COUNT_FRAMES)
    begun = time.monotonic()
    for move in range(MOVES):
        act(move)
    seconds = time.monotonic() - begun
    times = page.value("(times => { window.frames_ = null; return times; })(window.frames_)")
    gaps = [b - a for a, b in zip(times, times[1:])]
    return len(gaps) / seconds, max(gaps), (page.cpu_seconds() - cpu) * 1e3 / len(gaps)


def one_page(port, key):
    with chromium.Chromium() as page:
        page.send("Page.navigate", url=f"http://127.0.0.1:{port}/")
        figures = {"first picture, s": page.wait(FIRST) / 1e3}
        # The worker has pulled together what belongs together.
        page.wait("document.body.dataset.layout == 'done'")
        page.mouse("mousePressed", 640, 400, button="left", clickCount=1)
        pan = gesture(page, lambda i: page.mouse(
            "mouseMoved", 640 + i % 60 * 5, 400 + i % 30 * 4, button="left", buttons=1))
        page.mouse("mouseReleased", 640, 400, button="left")
        half = MOVES // 2
        zoom = gesture(page, lambda i: page.mouse(
            "mouseWheel", 640, 400, deltaX=0, deltaY=-25 if i < half else 25))
        for name, (rate, longest, cpu) in (("panning", pan), ("zooming", zoom)):
            figures |= {f"{name}, frames/s": rate, f"{name}, longest frame, ms": longest,
                        f"{name}, CPU ms/frame": cpu}
        begun = time.monotonic()
        page.type_text("#query", key)
        page.wait(f"document.getElementById('details').textContent.includes('{key}')")
        figures["search, ms"] = (time.monotonic() - begun) * 1e3
        if page.complaints:
            raise RuntimeError(page.complaints)
        return figures


def visualizer():
    if chromium.program() is None:
        sys.exit("chromium is missing: make setup")
    visors, content = network()
    lists = Lists(content)
    service = Service(lists.url)
    try:
        before = cpu_seconds(service.process.pid)
        runs = [one_page(service.port, visors[i * 7]) for i in range(RUNS)]
        spent = (cpu_seconds(service.process.pid) - before) / RUNS
        for run in runs:
            run["the service's CPU for one page, ms"] = spent * 1e3
    finally:
        service.close()
        lists.close()
    show(f"network-visualizer, {VISORS:,} visors, {TRANSPORTS:,} transports, Chromium without a GPU",
         runs, {"first picture, s": "< 3", "panning, frames/s": ">= 20", "zooming, frames/s": ">= 20"})


if __name__ == "__main__":
    visualizer()
