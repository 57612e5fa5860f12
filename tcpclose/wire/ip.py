"""IP of either version, told by the first octet of a packet or by the look of an address."""

from __future__ import annotations

from socket import AddressFamily

from ..protocol.addresses import is_ipv6
from . import ipv4, ipv6
from .ethernet import ETHERTYPE_IPV4, ETHERTYPE_IPV6
from .ipv4 import DONT_FRAGMENT, ICMP, TCP, Ip, decode_ipv4, encode_ipv4, header_length
from .ipv6 import ICMPV6, decode_ipv6, encode_ipv6, upper_ipv6
from .octets import Malformed, Octets

__all__ = [
    "ICMPS",
    "TCP",
    "Ip",
    "address",
    "address_octets",
    "addresses_at",
    "decode_ip",
    "encode_ip",
    "ethertype",
    "family",
    "header_size",
    "is_version_6",
    "peek",
    "upper",
]

#: The protocol numbers of ICMP and ICMPv6.
ICMPS = (ICMP, ICMPV6)

_V4_HEADER = 20
_V4_ADDRESSES = slice(12, 20)


def is_version_6(octets: Octets) -> bool:
    """A packet of version 6; all others are taken for version 4, and refused as such where they are neither."""
    return len(octets) > 0 and octets[0] >> 4 == 6


def address_octets(text: str) -> bytes:
    """An address's octets, 4 or 16. Raises `OSError` for a text that is no address."""
    return ipv6.address_octets(text) if is_ipv6(text) else ipv4.address_octets(text)


def address(octets: bytes) -> str:
    """The text form of an address's octets."""
    return ipv4.address(octets) if len(octets) == 4 else ipv6.address(octets)


def ethertype(address: str) -> int:
    """What Ethernet calls the packets of an address."""
    return ETHERTYPE_IPV6 if is_ipv6(address) else ETHERTYPE_IPV4


def family(address: str) -> AddressFamily:
    """What sockets call the version of an address."""
    return AddressFamily.AF_INET6 if is_ipv6(address) else AddressFamily.AF_INET


def header_size(address: str) -> int:
    """The octets of the IP header that `encode_ip` makes."""
    return ipv6.HEADER if is_ipv6(address) else _V4_HEADER


def encode_ip(
    source: bytes,
    destination: bytes,
    protocol: int,
    payload: bytes,
    ident: int,
    ttl: int,
    flags: int = DONT_FRAGMENT,
    ecn: int = 0,
) -> bytes:
    """A packet of the version that the addresses are of; identification and flags are of IPv4 only.

    Raises `ValueError` when it is too long.
    """
    if len(source) == 4:
        return encode_ipv4(source, destination, protocol, payload, ident, ttl, flags, ecn)
    return encode_ipv6(source, destination, protocol, payload, ttl, ecn)


def decode_ip(octets: Octets) -> Ip:
    """Read a whole packet. Raises `Malformed`."""
    return decode_ipv6(octets) if is_version_6(octets) else decode_ipv4(octets)


def upper(octets: Octets) -> tuple[int, int]:
    """The protocol above IP, and where its header starts. Raises `Malformed`."""
    if is_version_6(octets):
        return upper_ipv6(octets)
    if len(octets) < _V4_HEADER:
        raise Malformed("truncated")
    return octets[9], header_length(octets[0])


def addresses_at(octets: Octets) -> slice:
    """Where the source and, behind it, the destination stand in a packet."""
    return ipv6.ADDRESSES if is_version_6(octets) else _V4_ADDRESSES


def peek(octets: Octets) -> tuple[int, bytes]:
    """The protocol above IP and the destination of a packet, without any check; (-1, b"") where it has none."""
    try:
        protocol, _ = upper(octets)
    except Malformed:
        return -1, b""
    addresses = octets[addresses_at(octets)]
    return protocol, bytes(addresses[len(addresses) // 2 :])
