"""ICMPv6's error messages (RFC 4443), in the words of ICMP: a TCP knows only those (RFC 9293, 3.9.2.2)."""

from __future__ import annotations

from struct import Struct

from ..protocol.addresses import NARROWEST
from .ipv4 import Ip
from .ipv6 import HEADER, ICMPV6, encode_ipv6, quoted_ipv6
from .octets import checksum, word_sum

#: type, code, checksum, and what the type has to say: the MTU of the next hop, or nothing that matters here
_HEADER = Struct("!BBHI")
_TOO_BIG = 2

#: ICMP's type and code of each ICMPv6 error. Those that come first for an ICMP error are what it is written as.
_MEANINGS = {
    (1, 0): (3, 0),  # no route to destination: net unreachable
    (1, 3): (3, 1),  # address unreachable: host unreachable
    (4, 1): (3, 2),  # unrecognized next header: protocol unreachable
    (1, 4): (3, 3),  # port unreachable
    (2, 0): (3, 4),  # packet too big: fragmentation needed
    (1, 1): (3, 13),  # administratively prohibited
    (3, 0): (11, 0),  # hop limit exceeded: time to live exceeded
    (3, 1): (11, 1),  # reassembly time exceeded
    (4, 0): (12, 0),  # erroneous header field: parameter problem
    (1, 2): (3, 0),  # beyond scope of source address
    (1, 5): (3, 13),  # source address failed policy
    (1, 6): (3, 13),  # reject route
    (4, 2): (12, 0),  # unrecognized option
}
_WRITTEN = {meaning: said for said, meaning in reversed(_MEANINGS.items())}


def read_error(message: bytes) -> tuple[int, int, int, Ip | None] | None:
    """ICMP's type and code of an error, the next hop's MTU, the packet that it is about; None when it is no error.

    `message` has 8 octets at least. Raises `Malformed` for a quote that cannot be.
    """
    type_, code, _, parameter = _HEADER.unpack_from(message)
    meaning = _MEANINGS.get((type_, 0 if type_ == _TOO_BIG else code))
    if meaning is None:
        return None
    return *meaning, parameter if type_ == _TOO_BIG else 0, quoted_ipv6(message[_HEADER.size :])


def write_error(type_: int, code: int, reporter: bytes, about: bytes, mtu: int) -> bytes:
    """The packet of an ICMP error, from the address `reporter` to the sender of the packet `about`.

    It quotes as much as fits into what every link carries (RFC 4443, 3.1). Raises `ValueError` for an error that
    ICMPv6 cannot say.
    """
    if (type_, code) not in _WRITTEN:
        raise ValueError(f"ICMPv6 has no word for ICMP type {type_} code {code}")
    message = _HEADER.pack(*_WRITTEN[type_, code], 0, mtu) + about[: error_size(len(about)) - HEADER - _HEADER.size]
    source = about[8:24]
    sum_ = checksum(word_sum(reporter + source) + ICMPV6 + len(message) + word_sum(message))
    return encode_ipv6(reporter, source, ICMPV6, message[:2] + sum_.to_bytes(2) + message[4:], 64)


def error_size(about: int) -> int:
    """The octets of the packet of an error about a packet of `about` octets."""
    return min(HEADER + _HEADER.size + about, NARROWEST[6])
