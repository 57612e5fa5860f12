"""Other endpoints in packets that are on their way, as address translation writes them.

Checksums are brought up to date with what has changed (RFC 1624), so that a wrong one stays wrong.
"""

from __future__ import annotations

from ..protocol.datagram import Endpoint
from .ipv4 import address_octets, header_length
from .octets import checksum, word_sum

_TTL = 8  # the octet of the IPv4 header
_IP_SUM, _TCP_SUM, _ICMP_SUM = 10, 16, 2
_QUOTE = 8  # octets of ICMP's header, before the packet that it quotes


def translate(packet: bytes, src: Endpoint, dst: Endpoint) -> bytes:
    """The IPv4 packet of a TCP segment with other endpoints."""
    octets = bytearray(packet)
    start = header_length(octets[0])
    before = word_sum(octets[12:20]) + word_sum(octets[start : start + 4])
    _write_endpoints(octets, 0, src, dst)
    after = word_sum(octets[12:20]) + word_sum(octets[start : start + 4])
    _mend(octets, start + _TCP_SUM, before, after)
    return bytes(octets)


def translate_error(packet: bytes, reporter: str, destination: str, src: Endpoint, dst: Endpoint) -> bytes:
    """The IPv4 packet of an ICMP error from and to other addresses, about a segment with other endpoints."""
    octets = bytearray(packet)
    start = header_length(octets[0])
    before = word_sum(octets[start:])
    _write_addresses(octets, 0, reporter, destination)
    _write_endpoints(octets, start + _QUOTE, src, dst)
    _mend(octets, start + _ICMP_SUM, before, word_sum(octets[start:]))
    return bytes(octets)


def with_ttl(packet: bytes, ttl: int) -> bytes:
    """The IPv4 packet with another time to live."""
    octets = bytearray(packet)
    before = word_sum(octets[_TTL : _TTL + 2])
    octets[_TTL] = ttl
    _mend(octets, _IP_SUM, before, word_sum(octets[_TTL : _TTL + 2]))
    return bytes(octets)


def _write_endpoints(octets: bytearray, at: int, src: Endpoint, dst: Endpoint) -> None:
    _write_addresses(octets, at, src.address, dst.address)
    ports = at + header_length(octets[at])
    octets[ports : ports + 4] = src.port.to_bytes(2) + dst.port.to_bytes(2)


def _write_addresses(octets: bytearray, at: int, source: str, destination: str) -> None:
    before = word_sum(octets[at + 12 : at + 20])
    octets[at + 12 : at + 20] = address_octets(source) + address_octets(destination)
    _mend(octets, at + _IP_SUM, before, word_sum(octets[at + 12 : at + 20]))


def _mend(octets: bytearray, at: int, before: int, after: int) -> None:
    """The checksum at `at` covers words whose sum was `before` and is `after`."""
    old = int.from_bytes(octets[at : at + 2])
    octets[at : at + 2] = checksum(after - before - old).to_bytes(2)
