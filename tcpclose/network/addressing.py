"""IPv6 addresses for topologies, which speak of IPv4 only: each stands for an IPv4 address, its low 32 bits.

10.0.1.2/24    fd00::a00:102/120
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from tcpclose.network.forwarding import Route

#: The bits before the IPv4 address: those of a network of one's own (RFC 4193).
EMBEDDED = 96
_PREFIX = int(IPv6Address("fd00::"))


def embed(address: str) -> str:
    """The IPv6 address that stands for an IPv4 address."""
    return str(IPv6Address(_PREFIX | int(IPv4Address(address))))


def embed_route(route: Route) -> Route:
    """The route to the IPv6 subnet that stands for an IPv4 subnet; a default route remains one."""
    network = IPv4Network(route.prefix)
    prefix = f"{embed(str(network.network_address))}/{EMBEDDED + network.prefixlen}" if network.prefixlen else "::/0"
    return replace(route, prefix=prefix, via=route.via and embed(route.via))
