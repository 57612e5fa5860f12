"""The IPv4 header (RFC 791)."""

from __future__ import annotations

from socket import AF_INET, inet_ntop, inet_pton
from struct import Struct
from typing import NamedTuple

from .octets import Malformed, Octets, checksum, word_sum

TCP, ICMP = 6, 1

DONT_FRAGMENT = 0x4000
_MORE_FRAGMENTS = 0x2000
_OFFSET = 0x1FFF

#: version and IHL, type of service, total length, identification, flags and offset, TTL, protocol, checksum, addresses
_HEADER = Struct("!BBHHHBBH4s4s")


class Ip(NamedTuple):
    """What upper layers need of an IP packet. `pseudo` is the pseudo header's part of their checksum."""

    source: str
    destination: str
    protocol: int
    ident: int
    ttl: int
    pseudo: int
    payload: Octets
    ecn: int = 0


def encode_ipv4(
    source: bytes, destination: bytes, protocol: int, payload: bytes, ident: int, ttl: int, flags: int, ecn: int = 0
) -> bytes:
    """An IPv4 packet without options, addresses as their 4 octets. Raises `ValueError` when it passes 65535 octets."""
    length = _HEADER.size + len(payload)
    if length > 0xFFFF:
        raise ValueError(f"an IPv4 packet holds at most 65535 octets, not {length}")
    header = _HEADER.pack(0x45, ecn, length, ident, flags, ttl, protocol, 0, source, destination)
    sum_ = checksum(word_sum(header))
    return b"%b%b%b%b" % (header[:10], sum_.to_bytes(2, "big"), header[12:], payload)


def decode_ipv4(octets: Octets) -> Ip:
    """Read a whole packet; octets after its total length (Ethernet's padding) are left out. Raises `Malformed`."""
    if len(octets) < _HEADER.size:
        raise Malformed("truncated")
    version, tos, length, ident, flags, ttl, protocol, _, source, destination = _HEADER.unpack_from(octets)
    start = header_length(version)
    if len(octets) < start:
        raise Malformed("truncated")
    if word_sum(octets[:start]) % 0xFFFF:
        raise Malformed("bad IP checksum")
    if length < start:
        raise Malformed("total length")
    if len(octets) < length:
        raise Malformed("truncated")
    if flags & (_MORE_FRAGMENTS | _OFFSET):
        raise Malformed("fragment")
    pseudo = word_sum(octets[12:20]) + protocol + length - start
    return Ip(address(source), address(destination), protocol, ident, ttl, pseudo, octets[start:length], tos & 3)


def quoted_ipv4(octets: Octets) -> Ip | None:
    """Read the packet an ICMP error is about, of which only the first octets are there. None for a later fragment.

    Routers on the way may have changed the header without its checksum, so that is not looked at; `pseudo` is 0.
    """
    if len(octets) < _HEADER.size:
        raise Malformed("truncated")
    version, _, _, ident, flags, ttl, protocol, _, source, destination = _HEADER.unpack_from(octets)
    payload = octets[header_length(version) :]
    return None if flags & _OFFSET else Ip(address(source), address(destination), protocol, ident, ttl, 0, payload)


def header_length(first: int) -> int:
    """The octets of a header that starts with the octet `first`. Raises `Malformed`."""
    if first >> 4 != 4:
        raise Malformed("not IPv4")
    if first & 15 < 5:
        raise Malformed("IP header length")
    return (first & 15) * 4


def address(octets: bytes) -> str:
    """The text form of an address's octets."""
    return inet_ntop(AF_INET, octets)


def address_octets(text: str) -> bytes:
    """The inverse of `address`. Raises `OSError` for a text that is no IPv4 address."""
    return inet_pton(AF_INET, text)
