"""Numbers that a stranger must not guess: initial sequence numbers (RFC 6528) and timestamp offsets (RFC 7323, 5.4).

Pure functions: the secret, up to 64 octets that never leave the host, and the time come from outside.
"""

from __future__ import annotations

from hashlib import blake2b

from tcpclose.protocol.datagram import Endpoint
from tcpclose.protocol.segment import MODULUS

_TICK = 4  # microseconds: M of RFC 6528, so that numbers of one pair of sockets grow from connection to connection


def initial_sequence_number(secret: bytes, local: Endpoint, remote: Endpoint, now: int) -> int:
    """ISN = M + F(pair, secret) (RFC 6528, 3), at the time `now` in microseconds."""
    return (now // _TICK + _hash(secret, b"isn", local, remote)) % MODULUS


def timestamp_offset(secret: bytes, local: Endpoint, remote: Endpoint) -> int:
    """Where the clock of a pair's timestamps starts: it does not tell for how long the host has been up."""
    return _hash(secret, b"timestamps", local, remote)


def _hash(secret: bytes, purpose: bytes, local: Endpoint, remote: Endpoint) -> int:
    pair = f"{local} {remote}".encode()
    return int.from_bytes(blake2b(pair, digest_size=4, key=secret, person=purpose).digest(), "big")
