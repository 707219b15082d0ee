"""Containers of one compose project on an engine: brought up, looked at, removed without a rest."""

import contextlib
import ipaddress
import json
import pathlib
import shutil
import socket
import struct
import subprocess
import time

from engine import Silent, docker, restart_engine
from waiting import PATIENCE, POLL, Trouble, finish, tail

SUBNETS = ("173.0.0.0/16", "174.0.0.0/16", "175.0.0.0/16")
# Of every project's name, so that what is left of one is known by it.
PREFIX = "skywire-e2e-"
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
# All containers of a deployment on a busy machine take a tenth of it.
COMPOSE_SECONDS = 240.0
ROUTES = pathlib.Path("/proc/net/route")
# A VPN takes the default route's place with two halves of the Internet, or more parts: no subnets.
SHORTEST_PREFIX = 8


def compose():
    """The words that begin a line for compose."""
    for name in ("/usr/bin/docker-compose", "docker-compose"):
        if found := shutil.which(name):
            return [found]
    with contextlib.suppress(OSError, Trouble):
        line = [docker(), "compose"]
        if finish([*line, "version"], seconds=30.0, doing="docker compose version",
                  capture_output=True).returncode == 0:  # fmt: skip
            return line
    raise Trouble("docker-compose is not installed: tools/setup.sh containers")


def networks_in_use():
    """Subnet and owner of every route of this machine, but default ones."""
    found = []
    for line in ROUTES.read_text().splitlines()[1:]:
        name, target, _, _, _, _, _, mask = line.split()[:8]
        address, bits = (struct.pack("<I", int(each, 16)) for each in (target, mask))
        network = ipaddress.ip_network(f"{socket.inet_ntoa(address)}/{socket.inet_ntoa(bits)}")
        if network.prefixlen >= SHORTEST_PREFIX:
            found.append((network, name))
    return found


def check_subnets(engine, project):
    """Raises Trouble naming who has one of the subnets already; this project may."""
    of_bridge = {}
    own = set()
    for network in engine.ask("GET", "/networks"):
        bridge = f"br-{network['Id'][:12]}"
        of_bridge[bridge] = network["Name"]
        if (network["Labels"] or {}).get(PROJECT_LABEL) == project:
            own.add(bridge)
    for text in SUBNETS:
        subnet = ipaddress.ip_network(text)
        for taken, interface in networks_in_use():
            if interface in own or not subnet.overlaps(taken):
                continue
            name = of_bridge.get(interface)
            if name and name.startswith(PREFIX):
                out = "a deployment runs already: make e2e-stop"
            elif name:
                out = f"docker network rm {name}"
            else:
                out = f"ip address show {interface} says what it is; take it down"
            owner = f"network {name}" if name else f"interface {interface}"
            raise Trouble(f"the subnet {text} is taken by {owner} with {taken}; {out}")


def project_names(engine):
    """Of all of ours that have anything on this engine."""
    labelled = {"filters": json.dumps({"label": [PROJECT_LABEL]})}
    found = [
        *engine.ask("GET", "/containers/json", all="1", **labelled),
        *engine.ask("GET", "/networks", **labelled),
        *(engine.ask("GET", "/volumes", **labelled)["Volumes"] or []),
    ]
    names = {each["Labels"][PROJECT_LABEL] for each in found}
    return sorted(name for name in names if name.startswith(PREFIX))


class Project:
    """Containers of one compose file, with overrides."""

    def __init__(self, engine, name, files, variables=None):
        self.engine = engine
        self.name = name
        self.files = files
        self.variables = {key: str(value) for key, value in (variables or {}).items()}
        # By compose service, as `container` found them.
        self._names = {}

    def compose(self, *words, check=True, seconds=COMPOSE_SECONDS):
        line = [*compose(), "--project-name", self.name]
        for file in self.files:
            line += ["--file", str(file)]
        done = finish(
            [*line, *words],
            seconds=seconds,
            doing=f"docker-compose {words[0]} of {self.name}",
            env={**self.engine.environment, **self.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if check and done.returncode != 0:
            raise Trouble(_explained(done.stdout))
        return done

    def up(self, *services):
        """Creates and starts all of it, or these; leaves nothing where that fails. The caller is
        `alone`, so that networks without containers are left from somebody who is done."""
        for name in project_names(self.engine):
            other = Project(self.engine, name, [])
            if name != self.name and not other.containers():
                other.down()
        check_subnets(self.engine, self.name)
        self._names = {}
        try:
            self.compose("up", "--detach", "--no-color", *services)
        except BaseException as first:
            try:
                self.down()
            except Trouble as second:
                raise Trouble(f"{first}\n{second}") from first
            raise

    def down(self, networks=True):
        """Removes what it has, at once. Without `networks` those stay for the next `up`."""
        deadline = time.monotonic() + PATIENCE
        restarted = False
        while left := self._remove(networks):
            stale = all("active endpoints" in why for why in left)
            if stale and not restarted and self.engine.is_ours():
                # Engine 20.10 now and then counts one end of a network too many, for good.
                restart_engine()
                restarted = True
            elif time.monotonic() > deadline or (stale and not self.engine.is_ours()):
                raise Trouble(
                    f"could not be removed: {'; '.join(left)}; restart the engine "
                    "(systemctl restart docker), then make e2e-stop"
                )
            time.sleep(POLL)

    def _labelled(self, *more):
        return json.dumps({"label": [f"{PROJECT_LABEL}={self.name}", *more]})

    def _remove(self, networks):
        """One round; what is left, and why."""
        self._names = {}
        ours = {"filters": self._labelled()}
        # One after the other: removed side by side, containers confuse the engine's networks.
        left = [
            self._remove_one(f"/containers/{each['Id']}", force="1", v="1")
            for each in self.engine.ask("GET", "/containers/json", all="1", **ours)
        ]
        left += [
            self._remove_one(f"/volumes/{each['Name']}")
            for each in self.engine.ask("GET", "/volumes", **ours)["Volumes"] or []
        ]
        if networks:
            left += [self._remove_one(f"/networks/{each['Id']}") for each in self.networks()]
        return [why for why in left if why]

    def _remove_one(self, target, **query):
        """None once it is gone."""
        try:
            self.engine.ask("DELETE", target, **query)
        except Silent:
            raise
        except Trouble as trouble:
            why = str(trouble)
            return None if "no such" in why.lower() or "not found" in why.lower() else why
        return None

    def containers(self):
        """By compose service: what the engine says in its list."""
        found = self.engine.ask("GET", "/containers/json", all="1", filters=self._labelled())
        return {each["Labels"][SERVICE_LABEL]: each for each in found}

    def networks(self):
        return self.engine.ask("GET", "/networks", filters=self._labelled())

    def container(self, service):
        """The name that compose gave it; each of its versions has a way of its own."""
        if service not in self._names:
            found = self.engine.ask(
                "GET", "/containers/json", all="1",
                filters=self._labelled(f"{SERVICE_LABEL}={service}"),
            )  # fmt: skip
            if not found:
                raise Trouble(f"{self.name} has no container of {service}: no such container")
            self._names[service] = found[0]["Names"][0].removeprefix("/")
        return self._names[service]

    def inspect(self, service):
        return self.engine.ask("GET", f"/containers/{self.container(service)}/json")

    def logs(self, service, lines="all", since="0"):
        """`since`: seconds since 1970."""
        found = self.engine.ask(
            "GET", f"/containers/{self.container(service)}/logs",
            stdout="1", stderr="1", tail=lines, since=since,
        )  # fmt: skip
        return b"".join(_parts(found)).decode(errors="replace")

    def check_alive(self):
        """Raises Trouble where a container has ended or is being started again and again."""
        for service in self.containers():
            found = self.inspect(service)
            state = found["State"]
            if state["Running"] and found["RestartCount"] == 0:
                continue
            # Of one that was started again the engine has forgotten the code.
            how = "" if state["Running"] else f" with {state['ExitCode']} {state['Error']}"
            raise Trouble(
                f"the container of {service} ended{how}\n{tail(self.logs(service, '20'))}\n"
                f"its configuration is {self.variables.get('SKYWIRE_CONFIG', 'the one in configs/')}:"
                " skywire svc check FILE"
            )


def _parts(stream):
    """What a container without a terminal said: parts of both its outputs, each behind which of them it
    is, three bytes of nothing and its length."""
    at = 0
    while at + 8 <= len(stream):
        (length,) = struct.unpack_from(">4xI", stream, at)
        yield stream[at + 8 : at + 8 + length]
        at += 8 + length


def _explained(text):
    """What compose said, and the way out where we know one."""
    lowered = text.lower()
    for sign, out in (
        ("port is already allocated", "a port is taken by another container: docker ps names it"),
        ("address already in use", "a port or an address is taken: ss -ltnup names who has it"),
        ("pool overlaps", "a subnet is taken by another network: docker network ls"),
        ("no space left", "no disk left where the engine keeps its data: docker system df"),
        ("no such image", "the images are not there: make e2e-images"),
        ("pull access denied", "the images are not there: make e2e-images"),
        ("operation not permitted", "the engine lacks a privilege: a container it runs in needs "
         "--privileged"),
        ("permission denied", "no privilege: run this as root"),
    ):  # fmt: skip
        if sign in lowered:
            return f"{out}\n{tail(text, 6)}"
    return f"docker-compose failed\n{tail(text, 12)}"
