"""The network layer: where a host or router sends a packet next, and what a router says that cannot send it on.

Pure. Decisions are those of Linux, so that the simulator's routers and the testbed's, which are kernels, agree: the
longest prefix, then the lowest metric; routes into a link without carrier are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from tcpclose.protocol.addresses import LONGEST_PACKET, is_ipv6
from tcpclose.protocol.datagram import Datagram
from tcpclose.protocol.options import Layout, options_length
from tcpclose.wire.icmp import (
    FRAGMENTATION_NEEDED,
    TIME_EXCEEDED,
    UNREACHABLE,
    IcmpError,
    encode_icmp_error,
    error_size,
)
from tcpclose.wire.ip import header_size
from tcpclose.wire.octets import Malformed
from tcpclose.wire.tcp import decode_tcp, encode_tcp
from tcpclose.wire.translate import with_ttl

_TCP_HEADER = 20


@dataclass(frozen=True)
class Route:
    """To `prefix` ("10.0.2.0/24") through an interface, to the router at `via` or, when that is "", on the link."""

    prefix: str
    interface: str
    via: str = ""
    metric: int = 0


class Refusal(Enum):
    """There is no way on. The value is the code of the ICMP "destination unreachable" (RFC 1812, 5.2.7.1)."""

    NET = 0
    HOST = 1
    ADMIN = 13
    SILENT = None


class Complaint(NamedTuple):
    """The ICMP error of a router, and the packet that it is about."""

    error: IcmpError
    about: Packet


class Packet(NamedTuple):
    """An IP packet on its way. `layout` is that of its sender's TCP options.

    `damages` are the places in its segment, from 0 to 1, where links have flipped a bit. One that is `forged` has its
    octets, which may be wrong in ways that `content` cannot show.
    """

    content: Datagram | Complaint
    ident: int
    ttl: int = 64
    layout: Layout = "linux"
    damages: tuple[float, ...] = ()
    forged: bytes = b""

    @property
    def source(self) -> str:
        """The address that it claims to be from."""
        content = self.content
        return content.src.address if isinstance(content, Datagram) else content.error.reporter

    @property
    def destination(self) -> str:
        """The address that it is for."""
        content = self.content
        return content.dst.address if isinstance(content, Datagram) else content.error.local.address

    @property
    def octets(self) -> int:
        """The length with its IP header."""
        if self.forged:
            return len(self.forged)
        if isinstance(self.content, Complaint):
            return error_size(self.source, self.content.about.octets)
        segment = self.content.segment
        return header_size(self.source) + _TCP_HEADER + options_length(segment) + len(segment.data)

    def read(self) -> tuple[Datagram | None, bool]:
        """What somebody on the way makes of a segment, and if its header is right; nothing of one that is damaged."""
        if not isinstance(self.content, Datagram) or self.damages:
            return None, False
        if not self.forged:
            return self.content, True
        try:
            return decode_tcp(self.forged).datagram, True
        except Malformed as error:
            return error.datagram, False

    def encode(self) -> bytes:
        """The octets on the wire."""
        if self.forged:
            return with_ttl(self.forged, self.ttl)
        if isinstance(self.content, Datagram):
            return encode_tcp(self.content, self.ident, self.ttl, self.layout)
        error, about = self.content
        return encode_icmp_error(error.type, error.code, error.reporter, about.encode(), self.ident, error.mtu)


class Credit:
    """How many errors a router still tells one sender of, now that no route leads on (RFC 1812, 4.3.2.8).

    As Linux has it: five at once (`ip_error`), or six of ICMPv6 (`icmpv6_xrlim_allow`), then one a second.
    """

    _COST = 1_000_000

    def __init__(self, sender: str, now: int) -> None:
        self._most = (6 if is_ipv6(sender) else 5) * self._COST
        self._saved, self._since = self._most, now

    def spend(self, now: int) -> bool:
        """One more error is due. False when it is not sent."""
        self._saved = min(self._saved + now - self._since, self._most)
        self._since = now
        allowed = self._saved >= self._COST
        self._saved -= self._COST if allowed else 0
        return allowed


class Forwarder:
    """The network layer of one node. `addresses` are its own, by the names of its interfaces."""

    def __init__(self, routes: Iterable[Route], addresses: Mapping[str, str]) -> None:
        # The most specific first, then the cheapest: the first that fits is the one.
        ranked = sorted(routes, key=lambda route: (-ip_network(route.prefix).prefixlen, route.metric))
        self._routes = [(ip_network(route.prefix), route) for route in ranked]
        self.addresses = frozenset(addresses.values())
        self._by_interface = addresses
        self._refused: dict[str, Refusal] = {}
        self._mtus: dict[str, int] = {}
        self._dead: set[str] = set()
        self._known: dict[str, Route | Refusal] = {}
        self._credits: dict[str, Credit] = {}
        self._ident = 0

    # Faults

    def refuse(self, destination: str, why: Refusal) -> None:
        """From now on no route leads to the address `destination`."""
        self._refused[destination] = why
        self._known.clear()

    def accept(self, destination: str) -> None:
        """Take `refuse` back."""
        self._refused.pop(destination, None)
        self._known.clear()

    def set_carrier(self, interface: str, up: bool) -> None:
        """The link at an interface loses its carrier, or has it again."""
        (self._dead.discard if up else self._dead.add)(interface)
        self._known.clear()

    def set_mtu(self, interface: str, mtu: int) -> None:
        """No longer packet leaves through this interface; as long as nobody says so, any does."""
        self._mtus[interface] = mtu

    # Packets

    def lookup(self, destination: str) -> Route | Refusal:
        """The way to an address, as things are now."""
        if destination not in self._known:
            self._known[destination] = self._look_up(destination)
        return self._known[destination]

    def _look_up(self, destination: str) -> Route | Refusal:
        if why := self._refused.get(destination):
            return why
        address = ip_address(destination)
        for network, route in self._routes:
            if address in network and route.interface not in self._dead:
                return route
        return Refusal.NET

    def forward(self, packet: Packet, now: int) -> tuple[Route, Packet] | None:
        """What becomes of somebody else's packet: it goes on, or an error goes back, each by a route; or nothing."""
        route = self.lookup(packet.destination)
        if isinstance(route, Refusal):
            told = self._tells(route, packet.source, now)
            return self._complain(packet, UNREACHABLE, route.value or 0) if told else None
        if packet.ttl <= 1:
            return self._complain(packet, TIME_EXCEEDED, 0)
        mtu = self._mtus.get(route.interface, LONGEST_PACKET)
        if packet.octets > mtu:  # every segment has DF set (RFC 1191, 3)
            return self._complain(packet, UNREACHABLE, FRAGMENTATION_NEEDED, mtu)
        return route, packet._replace(ttl=packet.ttl - 1)

    def _tells(self, why: Refusal, sender: str, now: int) -> bool:
        return why.value is not None and self._credits.setdefault(sender, Credit(sender, now)).spend(now)

    def _complain(self, packet: Packet, type_: int, code: int, mtu: int = 0) -> tuple[Route, Packet] | None:
        """No error is sent about an error (RFC 1812, 4.3.2.7), nor when no route leads back."""
        back = self.lookup(packet.source)
        if isinstance(packet.content, Complaint) or isinstance(back, Refusal):
            return None
        src, dst, segment = packet.content
        error = IcmpError(type_, code, self._by_interface[back.interface], src, dst, segment.seq, mtu)
        self._ident = self._ident % 0xFFFF + 1
        return back, Packet(Complaint(error, packet), self._ident)
