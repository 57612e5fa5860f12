"""Other endpoints in packets that are on their way, as address translation writes them.

Checksums are brought up to date with what has changed (RFC 1624), so that a wrong one stays wrong.
"""

from __future__ import annotations

from ..protocol.datagram import Endpoint
from .ip import address_octets, addresses_at, is_version_6, upper
from .octets import checksum, word_sum

_TTL, _HOP_LIMIT = 8, 7  # octets of the headers of IPv4 and IPv6
_IP_SUM, _TCP_SUM, _ICMP_SUM = 10, 16, 2
_QUOTE = 8  # octets of ICMP's header, before the packet that it quotes


def translate(packet: bytes, src: Endpoint, dst: Endpoint) -> bytes:
    """The IP packet of a TCP segment with other endpoints, of the same version of IP."""
    octets = bytearray(packet)
    _, start = upper(octets)
    at = addresses_at(octets)
    before = word_sum(octets[at]) + word_sum(octets[start : start + 4])
    _write_endpoints(octets, 0, src, dst)
    after = word_sum(octets[at]) + word_sum(octets[start : start + 4])
    _mend(octets, start + _TCP_SUM, before, after)
    return bytes(octets)


def translate_error(packet: bytes, reporter: str, destination: str, src: Endpoint, dst: Endpoint) -> bytes:
    """The IP packet of an ICMP error from and to other addresses, about a segment with other endpoints."""
    octets = bytearray(packet)
    _, start = upper(octets)
    at = addresses_at(octets)
    covered = at if is_version_6(octets) else slice(0)  # ICMPv6 has a pseudo header (RFC 4443, 2.3)
    before = word_sum(octets[covered]) + word_sum(octets[start:])
    _write_addresses(octets, 0, reporter, destination)
    _write_endpoints(octets, start + _QUOTE, src, dst)
    _mend(octets, start + _ICMP_SUM, before, word_sum(octets[covered]) + word_sum(octets[start:]))
    return bytes(octets)


def with_ttl(packet: bytes, ttl: int) -> bytes:
    """The IP packet with another time to live."""
    octets = bytearray(packet)
    if is_version_6(octets):
        octets[_HOP_LIMIT] = ttl
        return bytes(octets)
    before = word_sum(octets[_TTL : _TTL + 2])
    octets[_TTL] = ttl
    _mend(octets, _IP_SUM, before, word_sum(octets[_TTL : _TTL + 2]))
    return bytes(octets)


def _write_endpoints(octets: bytearray, at: int, src: Endpoint, dst: Endpoint) -> None:
    _write_addresses(octets, at, src.address, dst.address)
    ports = at + upper(octets[at:])[1]
    octets[ports : ports + 4] = src.port.to_bytes(2) + dst.port.to_bytes(2)


def _write_addresses(octets: bytearray, at: int, source: str, destination: str) -> None:
    """Of the packet, or quoted packet, that begins at `at`."""
    place = addresses_at(octets[at : at + 1])
    addresses = slice(at + place.start, at + place.stop)
    before = word_sum(octets[addresses])
    octets[addresses] = address_octets(source) + address_octets(destination)
    if not is_version_6(octets[at : at + 1]):
        _mend(octets, at + _IP_SUM, before, word_sum(octets[addresses]))


def _mend(octets: bytearray, at: int, before: int, after: int) -> None:
    """The checksum at `at` covers words whose sum was `before` and is `after`."""
    old = int.from_bytes(octets[at : at + 2])
    octets[at : at + 2] = checksum(after - before - old).to_bytes(2)
