#!/usr/bin/env python3
"""Makes the files of the container forms out of deployment.json: the same blocks and keys, with the
addresses of spec/e2e.md section 2.

    make.py            writes deployment.e2e.json, deployment.nine.json, deployment.replicas.json
    make.py --check    says which of them is not what it would write; exit code 1
"""

import copy
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE / "deployment.json"

# The ports of the reference's end-to-end deployment, which its visors' files name.
PORTS = {
    "dmsg-discovery": 9090,
    "service-discovery": 9091,
    "route-finder": 9092,
    "address-resolver": 9093,
    "transport-discovery": 9094,
    "config-bootstrapper": 9082,
    "transport-setup": 80,
    # 8080 is the dmsg-server's.
    "network-visualizer": 8083,
}
SERVER_PORT = 8080
SERVER_HEALTH_PORT = 8082
DATABASES = {
    "dmsg-discovery": 0,
    "transport-discovery": 1,
    "route-finder": 1,
    "service-discovery": 2,
    "address-resolver": 3,
}
DISCOVERY = "http://dmsg-discovery:9090"
TRANSPORTS = "http://transport-discovery:9094"
STUN = ("173.0.0.17", "174.0.0.17")
# Those that say where they are.
NINE = {
    "dmsg-server": "174.0.0.5",
    "address-resolver": "174.0.0.8",
    "transport-setup": "174.0.0.16",
}
ONE = dict.fromkeys(NINE, "174.0.0.17")

# The second dmsg-server's, a public test key of the reference too ("visor-s").
SECOND_SERVER = {
    "public_key": "032d25e22934ad7d60b09f1acbc81db06501baaa07137637cad1cfd9bcfcfa2977",
    "secret_key": "e31d7e9cb497d8a39f211a5b012982a3546c7a3bdf50ed65fe6e8442a4297e5b",
}


def in_container(block, ips, redis):
    """The block as it stands in a container: on every interface, found by the name of its type."""
    made = copy.deepcopy(block)
    kind = made["type"]
    made.pop("testing", None)
    if "dmsg" in made:
        made["dmsg"]["discovery"] = DISCOVERY
    if "discovery" in made:
        made["discovery"] = DISCOVERY
    if "transport_discovery" in made:
        made["transport_discovery"] = TRANSPORTS
    if kind in PORTS:
        made["addr"] = f":{PORTS[kind]}"
        made["health_addr"] = f"{kind}:{PORTS[kind]}"
    if kind == "dmsg-server":
        made["local_address"] = f":{SERVER_PORT}"
        made["public_address"] = f"{ips[kind]}:{SERVER_PORT}"
        made["health_endpoint_address"] = f":{SERVER_HEALTH_PORT}"
        made["health_addr"] = f"{kind}:{SERVER_HEALTH_PORT}"
    if kind == "address-resolver":
        made["udp_addr"] = made["addr"]
        made["public_udp_addr"] = f"{ips[kind]}:{PORTS[kind]}"
    if kind == "transport-setup":
        # It does what anybody tells it, so it keeps to one network.
        made["addr"] = f"{ips[kind]}:{PORTS[kind]}"
    if kind == "stun-server":
        made["primary_ip"], made["secondary_ip"] = STUN
    if redis and kind in DATABASES:
        made["redis"] = f"redis://redis:6379/{DATABASES[kind]}"
    return made


def deployment(blocks, ips, redis=False):
    return {"services": [in_container(each, ips, redis) for each in blocks]}


def with_second_server(made, ip):
    """Two dmsg-servers that each reach the other's clients."""
    made = copy.deepcopy(made)
    at = next(i for i, each in enumerate(made["services"]) if each["type"] == "dmsg-server")
    first = made["services"][at]
    second = {**copy.deepcopy(first), **SECOND_SERVER, "name": "dmsgs2"}
    second["public_address"] = f"{ip}:{SERVER_PORT}"
    second["health_addr"] = f"dmsg-server-2:{SERVER_HEALTH_PORT}"
    for one, other in ((first, second), (second, first)):
        # In one file they may not claim the same port of every interface.
        one["local_address"] = one["public_address"]
        one["health_endpoint_address"] = one["public_address"].replace(
            str(SERVER_PORT), str(SERVER_HEALTH_PORT)
        )
        one["peers"] = [{"public_key": other["public_key"], "address": other["public_address"]}]
    made["services"].insert(at + 1, second)
    return made


def files():
    blocks = json.loads(SOURCE.read_text())["services"]
    nine = deployment(blocks, NINE, redis=True)
    return {
        "deployment.e2e.json": deployment(blocks, ONE),
        "deployment.nine.json": nine,
        "deployment.replicas.json": with_second_server(nine, "174.0.0.45"),
    }


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        print(__doc__, file=sys.stderr)
        return 2
    differ = []
    for name, content in files().items():
        path = HERE / name
        text = json.dumps(content, indent=4) + "\n"
        if path.exists() and path.read_text() == text:
            continue
        differ.append(name)
        if not check:
            path.write_text(text)
    if check and differ:
        print(f"not as configs/make.py writes them: {', '.join(differ)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
