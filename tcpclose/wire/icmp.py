"""ICMP's error messages (RFC 792): how the network tells a TCP that a segment did not arrive (RFC 9293, 3.9.2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from ..protocol.datagram import Endpoint
from .ipv4 import ICMP, TCP, address_octets, decode_ipv4, encode_ipv4, header_length, quoted_ipv4
from .octets import Malformed, Octets, checksum, word_sum

UNREACHABLE, SOURCE_QUENCH, TIME_EXCEEDED, PARAMETER_PROBLEM = 3, 4, 11, 12
FRAGMENTATION_NEEDED = 4

#: type, code, checksum, unused, next-hop MTU (RFC 1191)
_HEADER = Struct("!BBHHH")
#: ports and sequence number: the 8 octets of a segment that every error quotes
_QUOTED = Struct("!HHI")


@dataclass(slots=True)
class IcmpError:
    """An error about a segment that `local` sent to `remote`, whose sequence number was `seq`.

    `mtu` is the next hop's, in octets, in a "fragmentation needed" (type 3 code 4; RFC 1191) and 0 otherwise.
    """

    type: int
    code: int
    reporter: str
    local: Endpoint
    remote: Endpoint
    seq: int
    mtu: int


def decode_icmp(octets: Octets) -> IcmpError | None:
    """Read an IPv4 packet that carries an ICMP message; None when that is no error about a TCP segment.

    Raises `Malformed`, and nothing else, whatever the octets.
    """
    ip = decode_ipv4(octets)
    message = ip.payload
    if ip.protocol != ICMP:
        raise Malformed("not ICMP")
    if len(message) < _HEADER.size:
        raise Malformed("truncated")
    if word_sum(message) % 0xFFFF:
        raise Malformed("bad ICMP checksum")
    type_, code, _, _, mtu = _HEADER.unpack_from(message)
    if type_ not in (UNREACHABLE, SOURCE_QUENCH, TIME_EXCEEDED, PARAMETER_PROBLEM):
        return None
    quoted = quoted_ipv4(message[_HEADER.size :])
    if quoted is None or quoted.protocol != TCP:
        return None
    if len(quoted.payload) < _QUOTED.size:
        raise Malformed("truncated")
    src, dst, seq = _QUOTED.unpack_from(quoted.payload)
    if (type_, code) != (UNREACHABLE, FRAGMENTATION_NEEDED):
        mtu = 0
    return IcmpError(type_, code, ip.source, Endpoint(quoted.source, src), Endpoint(quoted.destination, dst), seq, mtu)


def encode_icmp_error(type_: int, code: int, reporter: str, about: bytes, ident: int, mtu: int = 0) -> bytes:
    """The IPv4 packet in which the address `reporter` tells the sender of the IPv4 packet `about` of an error.

    It quotes the packet's header and the 8 octets after it, as RFC 792 asks; `mtu` is for type 3 code 4.
    """
    message = _HEADER.pack(type_, code, 0, 0, mtu) + about[: header_length(about[0]) + _QUOTED.size]
    sum_ = checksum(word_sum(message))
    message = message[:2] + sum_.to_bytes(2, "big") + message[4:]
    return encode_ipv4(address_octets(reporter), about[12:16], ICMP, message, ident, ttl=64, flags=0)
