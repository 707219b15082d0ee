"""Entries of the dmsg-discovery, signed here: an implementation of secp256k1 that shares nothing
with the one under test. Far too slow and too chatty for real secrets.
"""

import hashlib
import json
import random
import secrets

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def _add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def _powers():
    """For each of 64 digits to base 16: its multiples of G."""
    table, base = [], G
    for _ in range(64):
        row = [None]
        for _ in range(15):
            row.append(_add(row[-1], base))
        table.append(row)
        base = _add(row[-1], base)
    return table


_TABLE = _powers()


def _multiply_base(scalar):
    """scalar times G."""
    result = None
    for row in _TABLE:
        scalar, digit = divmod(scalar, 16)
        result = _add(result, row[digit])
    return result


def _nonce():
    """r, inverse and recovery id of one of few nonces. Who signs twice with one tells the key; these
    keys are no secrets, and a signature costs a hundredth of what a nonce does."""
    if len(_NONCES) < 64:
        nonce = 1 + secrets.randbelow(N - 1)
        x, y = _multiply_base(nonce)
        # That x is not below N does not happen.
        _NONCES.append((x % N, pow(nonce, -1, N), y & 1))
    return random.choice(_NONCES)


_NONCES = []


class Key:
    """A key pair; from a seed for tests that want the same one again."""

    def __init__(self, secret=None, seed=None):
        if seed is not None:
            secret = hashlib.sha256(seed.encode()).hexdigest()
        self.secret = int(secret, 16) if secret else 1 + secrets.randbelow(N - 1)
        x, y = _multiply_base(self.secret)
        self.public = f"{2 + (y & 1):02x}{x:064x}"

    def sign(self, text):
        """130 hex digits: r, s (the lower one), recovery id. Of bytes, too."""
        data = text if isinstance(text, bytes) else text.encode()
        digest = int(hashlib.sha256(data).hexdigest(), 16)
        r, inverse, recovery = _nonce()
        s = inverse * (digest + r * self.secret) % N
        if s > N // 2:
            s, recovery = N - s, recovery ^ 1
        return f"{r:064x}{s:064x}{recovery:02x}"


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def signed(key, entry):
    """The compact JSON of the entry with its signature."""
    return compact({**entry, "signature": key.sign(compact(entry))})


def client(key, sequence=0, servers=(), timestamp=1_700_000_000_000_000_000, **members):
    """A client's entry; the discovery never compares its timestamp with the clock."""
    return signed(
        key,
        {
            "version": "0.0.1",
            "sequence": sequence,
            "timestamp": timestamp + sequence,
            "static": key.public,
            "client": {"delegated_servers": list(servers)},
            **members,
        },
    )


def server(key, address, timestamp, sequence=0, sessions=10):
    return signed(
        key,
        {
            "version": "0.0.1",
            "sequence": sequence,
            "timestamp": timestamp,
            "static": key.public,
            "server": {"address": address, "availableSessions": sessions},
        },
    )
