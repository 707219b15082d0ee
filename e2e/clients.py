"""What plays the clients of a deployment: visors as far as they are signed requests, and dmsg clients
as processes."""

import hashlib
import json
import uuid

from entries import Key
from skywire_process import KEYS, request

DISCOVERY = KEYS["dmsgd"][1]
SERVER = KEYS["dmsgs"][1]
# A visor of the open network, as a trusted proxy tells of it.
PUBLIC = {"X-Real-IP": "203.0.113.9"}


def transport(a, b, kind="stcp"):
    """Its entry: the edges in order, the id that follows from them."""
    edges = sorted([a, b])
    bytes_ = bytes(16) + bytes.fromhex(edges[0]) + bytes.fromhex(edges[1]) + kind.encode()
    digest = bytearray(hashlib.sha256(bytes_).digest()[:16])
    digest[6] &= 0x0F
    digest[8] = (digest[8] & 0x3F) | 0x80
    return {
        "t_id": str(uuid.UUID(bytes=bytes(digest))),
        "edges": edges,
        "type": kind,
        "label": "user",
    }


class Visor:
    """A key that signs requests, and its nonces, counted as a visor of 2024 counts them. Its
    deployment is a Form, or whatever else has `get` and `request`."""

    def __init__(self, deployment, seed):
        self.deployment = deployment
        self.key = Key(seed=seed)
        self.public = self.key.public
        self.nonces = {}

    def ask(self, label, method, path, body=None, headers=None):
        text = "" if body is None else body if isinstance(body, str) else json.dumps(body)
        if label not in self.nonces:
            answer = self.deployment.get(label, f"/security/nonces/{self.public}")
            if answer.status != 200:
                return answer
            self.nonces[label] = answer.json["next_nonce"]
        nonce = self.nonces[label]
        signed = {
            "SW-Public": self.public,
            "SW-Nonce": str(nonce),
            "SW-Sig": self.key.sign(f"{text}{nonce}"),
            **(headers or {}),
        }
        answer = self.deployment.request(label, method, path, text or None, signed)
        if answer.status == 200:
            self.nonces[label] += 1
        return answer

    def register(self, *entries):
        """As a visor of 2024 does: signed entries, here without the signatures of the edges."""
        unsigned = ["0" * 130, "0" * 130]
        body = [{"entry": each, "signatures": unsigned} for each in entries]
        return self.ask("tpd", "POST", "/transports/", body)


class Labels:
    """A Deployment as Visor wants it."""

    def __init__(self, deployment):
        self.deployment = deployment

    def get(self, label, path, **more):
        return self.deployment.get(label, path, **more)

    def request(self, label, method, path, body=None, headers=None):
        return request(self.deployment.address(label), method, path, body, headers)


class DmsgClients:
    """For a Scenario. Clients are `iperf --serve` processes, which keep a session and an entry and
    answer whoever dials them; a deployment is a Form or a Deployment."""

    def disc(self, deployment):
        return ["--disc", f"http://{deployment.address('dmsgd')}"]

    def serve(self, deployment, key, **more):
        """A client of this key that serves; it is on dmsg."""
        path = self.folder / f"{key.public}.key"
        if not path.exists():
            path.write_text(f"{key.secret:064x}\n")
            path.chmod(0o600)
            self.secrets.add(f"{key.secret:064x}")
        client = self.start_cli(
            "dmsg", "iperf", "--serve", "--keyfile", path, *self.disc(deployment), **more
        )
        client.wait_said(f"serving {key.public}:5201")
        return client

    def entry(self, deployment, key):
        """None where there is none."""
        answer = deployment.get("dmsgd", f"/dmsg-discovery/entry/{key}")
        return answer.json if answer.status == 200 else None

    def send(self, deployment, public, *options):
        """Some bytes to the serving client of that public key; what the command came to."""
        return self.run_cli(
            "dmsg", "iperf", "-n", "100000", *options, *self.disc(deployment), public
        )

    def sessions(self, deployment):
        return deployment.get("dmsgs", "/health").json["dmsg_server"]["client_sessions"]

    def wait_delegated(self, deployment, key, since):
        """Waits for an entry, written after this time, that names the server; the entry."""

        def look():
            entry = self.entry(deployment, key)
            if entry is None or entry["timestamp"] <= since:
                return None
            return entry if entry["client"]["delegated_servers"] == [SERVER] else None

        return deployment.wait_for("the new entry", look)

    def wait_all_delegated(self, deployment):
        """Waits until every client's entry, the discovery's own too, names servers that are
        there."""
        servers = deployment.get("dmsgd", "/dmsg-discovery/all_servers").json
        for server in servers:
            self.assertListening(server["server"]["address"])
        there = {each["static"] for each in servers}

        def look():
            keys = deployment.get("dmsgd", "/dmsg-discovery/entries").json
            found = [self.entry(deployment, key) for key in keys]
            named = [each["client"]["delegated_servers"] for each in found if each is not None]
            return named and all(each and set(each) <= there for each in named)

        deployment.wait_for("no entry without a live server", look)
