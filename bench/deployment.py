"""A deployment under measurement: `skywire svc run` in a process of its own, and what /proc and its
admin listener tell of it."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


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


# A load generator is one address with many sessions: what bounds one address is lifted.
LIFTED = {"max_sessions": 100_000, "max_sessions_per_ip": 0, "max_new_sessions_per_ip": 0,
          "max_new_sessions_per_key": 0, "max_handshakes_per_ip": 1024,
          "max_streams_per_session": 10_000}


# The blocks of configs/deployment.json.
ALL = ("dmsg-discovery", "dmsg-server", "transport-discovery", "service-discovery",
       "address-resolver", "route-finder", "setup-node", "transport-setup", "stun-server",
       "config-bootstrapper")


class Deployment:
    """`skywire svc run` with the default file's blocks on free ports, dmsg-server's limits lifted."""

    def __init__(self, skywire, redis=None, types=("dmsg-discovery", "dmsg-server", "stun-server")):
        self.skywire = skywire
        self.folder = tempfile.TemporaryDirectory(prefix="skywire-bench-")
        self.port = free_port()
        self.admin = free_port()
        self.discovery = f"http://127.0.0.1:{self.port}"
        config = json.loads((ROOT / "configs" / "deployment.json").read_text())
        config["services"] = [block for block in config["services"] if block["type"] in types]
        # dmsg-server first: whether there is one decides how the others are placed.
        for block in sorted(config["services"], key=lambda block: block["type"] != "dmsg-server"):
            getattr(self, "place_" + block["type"].replace("-", "_"))(block)
            if redis and block["type"] == "dmsg-discovery":
                block["redis"] = redis
        config["supervisor"] = {"admin_addr": f"127.0.0.1:{self.admin}"}
        self.file = Path(self.folder.name) / "deployment.json"
        self.file.write_text(json.dumps(config))

    def place_dmsg_discovery(self, block):
        block["addr"] = f"127.0.0.1:{self.port}"
        if hasattr(self, "dmsg_server"):
            block["dmsg"]["discovery"] = self.discovery
        else:
            block["mode"] = "http"
            del block["dmsg"]

    def place_dmsg_server(self, block):
        address = f"127.0.0.1:{free_port()}"
        self.dmsg_server = f"{block['public_key']}@{address}"
        block |= LIFTED | {"discovery": self.discovery, "local_address": address,
                           "public_address": address,
                           "health_endpoint_address": f"127.0.0.1:{free_port()}"}

    def place_on_dmsg(self, block):
        if hasattr(self, "dmsg_server"):
            block["dmsg"]["discovery"] = self.discovery
            return
        # Without a key there is no dmsg side that would look for servers.
        for name in ("public_key", "secret_key", "mode", "dmsg"):
            block.pop(name, None)

    def place_transport_discovery(self, block):
        self.tpd_port = free_port()
        block["addr"] = f"127.0.0.1:{self.tpd_port}"
        self.place_on_dmsg(block)

    def place_service_discovery(self, block):
        self.sd_port = free_port()
        block |= {"addr": f"127.0.0.1:{self.sd_port}", "entry_timeout": "1h"}
        self.place_on_dmsg(block)

    def place_route_finder(self, block):
        self.rf_port = free_port()
        block["addr"] = f"127.0.0.1:{self.rf_port}"
        # From the transport-discovery in the same process.
        block.pop("transport_discovery", None)
        self.place_on_dmsg(block)

    def place_address_resolver(self, block):
        address = f"127.0.0.1:{free_port()}"
        block |= {"addr": address, "udp_addr": address, "public_udp_addr": address}
        self.place_on_dmsg(block)

    def place_setup_node(self, block):
        block["transport_discovery"] = f"http://127.0.0.1:{self.tpd_port}"
        self.place_on_dmsg(block)

    def place_transport_setup(self, block):
        block["addr"] = f"127.0.0.1:{free_port()}"
        self.place_on_dmsg(block)

    def place_config_bootstrapper(self, block):
        block["addr"] = f"127.0.0.1:{free_port()}"
        self.place_on_dmsg(block)

    def place_stun_server(self, block):
        block["port"], block["alt_port"] = free_port(), free_port()

    @property
    def pid(self):
        return self.process.pid

    def metrics(self):
        """Series of the admin listener by name with labels."""
        answer = ask(self.admin, "/metrics") or ""
        series = {}
        for line in answer.partition("\r\n\r\n")[2].splitlines():
            name, _, value = line.rpartition(" ")
            if name and not line.startswith("#"):
                series[name] = float(value)
        return series

    def __enter__(self):
        began = time.monotonic()
        self.process = subprocess.Popen([self.skywire, "svc", "run", "--config", self.file],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        # It says itself when it is ready: asking again and again would cost it a core.
        said = []
        for line in self.process.stdout:
            said.append(line)
            if b" process.ready " in line:
                break
        else:
            raise RuntimeError(b"".join(said).decode())
        self.ready = time.monotonic() - began
        self.log = threading.Thread(target=self.process.stdout.read)
        self.log.start()
        return self

    def __exit__(self, *_):
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.code = self.process.wait(20)
        self.stopped = time.monotonic() - began
        self.log.join()
        self.folder.cleanup()
