"""The IPv6 header and the extension headers behind it (RFC 8200)."""

from __future__ import annotations

from socket import AF_INET6, inet_ntop, inet_pton
from struct import Struct

from .ipv4 import Ip
from .octets import Malformed, Octets, word_sum

HEADER = 40
ICMPV6 = 58

_FRAGMENT = 44
_SKIPPED = (0, 43, 60)  # hop-by-hop options, routing, destination options: each with its length
_LEAST_EXTENSION = 8
_NEXT, ADDRESSES = 6, slice(8, 40)
_VERSION = 6 << 28

#: version, traffic class and flow label; payload length, next header, hop limit, addresses
_HEADER = Struct("!IHBB16s16s")


def encode_ipv6(
    source: bytes, destination: bytes, protocol: int, payload: bytes, hop_limit: int, ecn: int = 0
) -> bytes:
    """An IPv6 packet without extension headers, addresses as their 16 octets.

    The flow label is 0: it would be one for a whole flow (RFC 6437), and tell segments apart no better than ports.
    Raises `ValueError` when the payload passes 65535 octets.
    """
    if len(payload) > 0xFFFF:
        raise ValueError(f"the payload of an IPv6 packet holds at most 65535 octets, not {len(payload)}")
    return _HEADER.pack(_VERSION | ecn << 20, len(payload), protocol, hop_limit, source, destination) + payload


def decode_ipv6(octets: Octets) -> Ip:
    """Read a whole packet; octets behind its length (Ethernet's padding) are left out. Raises `Malformed`.

    There is no identification outside of fragments, so `ident` is 0.
    """
    _check(octets)
    first, length, _, hop_limit, source, destination = _HEADER.unpack_from(octets)
    end = HEADER + length
    if len(octets) < end:
        raise Malformed("truncated")
    octets = octets[:end]
    protocol, start = upper_ipv6(octets)
    pseudo = word_sum(octets[ADDRESSES]) + protocol + end - start
    return Ip(address(source), address(destination), protocol, 0, hop_limit, pseudo, octets[start:], first >> 20 & 3)


def quoted_ipv6(octets: Octets) -> Ip | None:
    """Read the packet an ICMPv6 error is about, of which perhaps not all is there; None for a fragment."""
    _check(octets)
    *_, hop_limit, source, destination = _HEADER.unpack_from(octets)
    try:
        protocol, start = upper_ipv6(octets)
    except Malformed as error:
        if error.reason == "fragment":
            return None
        raise
    return Ip(address(source), address(destination), protocol, 0, hop_limit, 0, octets[start:])


def upper_ipv6(octets: Octets) -> tuple[int, int]:
    """The protocol above IPv6, and where its header starts. Raises `Malformed`."""
    _check(octets)
    protocol, start = octets[_NEXT], HEADER
    while protocol in _SKIPPED:
        if len(octets) < start + _LEAST_EXTENSION:
            raise Malformed("truncated")
        protocol, start = octets[start], start + (octets[start + 1] + 1) * _LEAST_EXTENSION
    if protocol == _FRAGMENT:
        raise Malformed("fragment")
    if len(octets) < start:
        raise Malformed("truncated")
    return protocol, start


def _check(octets: Octets) -> None:
    if len(octets) < HEADER:
        raise Malformed("truncated")
    if octets[0] >> 4 != 6:
        raise Malformed("not IPv6")


def address(octets: bytes) -> str:
    """The text form of an address's octets (RFC 5952)."""
    return inet_ntop(AF_INET6, octets)


def address_octets(text: str) -> bytes:
    """The inverse of `address`. Raises `OSError` for a text that is no IPv6 address."""
    return inet_pton(AF_INET6, text)
