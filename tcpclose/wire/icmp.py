"""ICMP's error messages (RFC 792): how the network tells a TCP that a segment did not arrive (RFC 9293, 3.9.2.2).

Those of ICMPv6 are written and read in the same words (`icmpv6.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from ..protocol.addresses import is_ipv6
from ..protocol.datagram import Endpoint
from . import icmpv6
from .ip import TCP, Ip, address_octets, decode_ip, encode_ip, is_version_6
from .ipv4 import ICMP, header_length, quoted_ipv4
from .ipv6 import ICMPV6
from .octets import Malformed, Octets, checksum, word_sum

UNREACHABLE, SOURCE_QUENCH, TIME_EXCEEDED, PARAMETER_PROBLEM = 3, 4, 11, 12
FRAGMENTATION_NEEDED = 4

#: type, code, checksum, unused, next-hop MTU (RFC 1191)
_HEADER = Struct("!BBHHH")
#: ports and sequence number: the 8 octets of a segment that every error quotes
_QUOTED = Struct("!HHI")
_ERROR_SIZE = 20 + _HEADER.size + 20 + _QUOTED.size


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
    """Read an IP packet that carries an ICMP message; None when that is no error about a TCP segment.

    Raises `Malformed`, and nothing else, whatever the octets.
    """
    ip = decode_ip(octets)
    message = bytes(ip.payload)
    version_6 = is_version_6(octets)
    if ip.protocol != (ICMPV6 if version_6 else ICMP):
        raise Malformed("not ICMP")
    if len(message) < _HEADER.size:
        raise Malformed("truncated")
    if (word_sum(message) + (ip.pseudo if version_6 else 0)) % 0xFFFF:
        raise Malformed("bad ICMP checksum")
    error = icmpv6.read_error(message) if version_6 else _read_error(message)
    if error is None:
        return None
    type_, code, mtu, quoted = error
    if quoted is None or quoted.protocol != TCP:
        return None
    if len(quoted.payload) < _QUOTED.size:
        raise Malformed("truncated")
    src, dst, seq = _QUOTED.unpack_from(quoted.payload)
    return IcmpError(type_, code, ip.source, Endpoint(quoted.source, src), Endpoint(quoted.destination, dst), seq, mtu)


def _read_error(message: bytes) -> tuple[int, int, int, Ip | None] | None:
    """Type and code, the next hop's MTU, the packet that the error is about; None when it is no error."""
    type_, code, _, _, mtu = _HEADER.unpack_from(message)
    if type_ not in (UNREACHABLE, SOURCE_QUENCH, TIME_EXCEEDED, PARAMETER_PROBLEM):
        return None
    if (type_, code) != (UNREACHABLE, FRAGMENTATION_NEEDED):
        mtu = 0
    return type_, code, mtu, quoted_ipv4(message[_HEADER.size :])


def encode_icmp_error(type_: int, code: int, reporter: str, about: bytes, ident: int, mtu: int = 0) -> bytes:
    """The IP packet in which the address `reporter` tells the sender of the packet `about` of an error.

    In IPv4 it quotes the packet's header and the 8 octets after it, as RFC 792 asks; `mtu` is for type 3 code 4.
    Raises `ValueError` for an error that ICMPv6 cannot say about an IPv6 packet.
    """
    if is_version_6(about):
        return icmpv6.write_error(type_, code, address_octets(reporter), about, mtu)
    message = _HEADER.pack(type_, code, 0, 0, mtu) + about[: header_length(about[0]) + _QUOTED.size]
    sum_ = checksum(word_sum(message))
    message = message[:2] + sum_.to_bytes(2, "big") + message[4:]
    return encode_ip(address_octets(reporter), about[12:16], ICMP, message, ident, ttl=64, flags=0)


def error_size(reporter: str, about: int) -> int:
    """The octets of the packet that `encode_icmp_error` makes about one of `about` octets without IP options."""
    return icmpv6.error_size(about) if is_ipv6(reporter) else _ERROR_SIZE
