"""What a TCP asks of the IP below it (3.9.2): whether an address can be a peer's, and the way to it."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Literal

from tcpclose.protocol.options import mss_of_mtu

#: The longest packet of IP: a way that imposes nothing.
LONGEST_PACKET = 65535
#: What a peer that announces no MSS must be taken to accept (3.7.1, MUST-15).
IPV4_MSS, IPV6_MSS = 536, 1220
#: No link of IP is narrower (RFC 791, 3.1; RFC 8200, 5); who tells of less lies.
NARROWEST = {4: 68, 6: 1280}

_THIS_NETWORK = IPv4Network("0.0.0.0/8")  # "this host on this network" (RFC 1122, 3.2.1.3): not for a connection


@lru_cache(maxsize=256)
def individual(address: str) -> bool:
    """Can this be one end of a connection? Not broadcast, multicast, unspecified or reserved ones (3.9.2.3)."""
    known = ip_address(address)
    if known.is_multicast or known.is_unspecified:
        return False
    return not isinstance(known, IPv4Address) or not (known.is_reserved or known in _THIS_NETWORK)


def is_ipv6(address: str) -> bool:
    """Of which IP an address is: 6, or else 4."""
    return ":" in address


def largest_text(mtu: int, address: str) -> int:
    """The MSS to announce on a way to `address` that carries packets of `mtu` octets (3.7.1)."""
    version: Literal[4, 6] = 6 if is_ipv6(address) else 4
    return mss_of_mtu(max(mtu, NARROWEST[version]), version)


def default_mss(address: str) -> int:
    """The MSS of a peer that announced none."""
    return IPV6_MSS if is_ipv6(address) else IPV4_MSS
