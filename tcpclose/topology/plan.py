"""The plan of a network: nodes, links, addresses and routes as plain data, which all worlds share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_interface
from typing import Any, Literal

from tcpclose.links import Fate, LinkSettings, direction
from tcpclose.network.addressing import EMBEDDED, embed, embed_route
from tcpclose.network.forwarding import Forwarder, Refusal, Route
from tcpclose.network.middlebox import Middlebox, MiddleboxSettings
from tcpclose.protocol.addresses import NARROWEST, is_ipv6


class TopologyError(ValueError):
    """A topology that cannot be had; the message is for people."""


@dataclass(frozen=True)
class Interface:
    """A node's place on a link: `name` as Mininet gives it ("h1-eth0"), IP `address` and `prefix` length."""

    name: str
    address: str
    prefix: int
    mac: str
    link: str

    @cached_property
    def subnet(self) -> IPv4Network | IPv6Network:
        """The subnet that the interface is in."""
        return ip_interface(f"{self.address}/{self.prefix}").network

    def in_ipv6(self) -> Interface:
        """The same place with the IPv6 address that stands for its own."""
        return replace(self, address=embed(self.address), prefix=EMBEDDED + self.prefix)


@dataclass(frozen=True)
class Router:
    """A node that forwards. It is a middlebox if it has an `outside`: the interface at which it looks into packets."""

    interfaces: tuple[Interface, ...]
    outside: str = ""


#: The (link, direction) pairs that a frame travels.
Hops = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class LinkPlan:
    """A link between two nodes, in the order of the `Topo`, with the port number that each node knows it by.

    `settings` are those of both directions, but for those `to` one of the nodes. `made_by` the relay, or by Mininet's
    TCLink where the topology asks for it.
    """

    name: str
    ends: tuple[str, str]
    ports: tuple[int, int]
    settings: LinkSettings
    to: Mapping[str, LinkSettings] = field(default_factory=dict)
    fates: tuple[Fate, ...] = ()
    made_by: Literal["relay", "TCLink"] = "relay"

    @property
    def interfaces(self) -> tuple[str, str]:
        """The names of both interfaces, ("h1-eth0", "s1-eth1")."""
        return f"{self.ends[0]}-eth{self.ports[0]}", f"{self.ends[1]}-eth{self.ports[1]}"

    @property
    def directions(self) -> tuple[str, str]:
        """The names of both directions, ("h1>s1", "s1>h1")."""
        first, second = self.ends
        return direction(first, second), direction(second, first)

    @property
    def both(self) -> tuple[LinkSettings, LinkSettings]:
        """The settings of both directions, in the order of `directions`."""
        first, second = self.ends
        return self.to.get(second, self.settings), self.to.get(first, self.settings)

    @property
    def longest_way(self) -> int:
        """The microseconds that a frame may take, as far as one can tell."""
        held = sum(fate.hold for fate in self.fates)
        return held + max(settings.longest_way for settings in self.both)


@dataclass(frozen=True)
class Network:
    """Hosts, each with its interface, switches, routers, the links that join them, and the routes of hosts and routers.

    Between routers there may be loops; switches have none. `middleboxes` are the routers that look into packets.
    """

    hosts: dict[str, Interface]
    switches: tuple[str, ...]
    links: dict[str, LinkPlan]
    routers: dict[str, Router] = field(default_factory=dict)
    routes: dict[str, tuple[Route, ...]] = field(default_factory=dict)
    middleboxes: dict[str, MiddleboxSettings] = field(default_factory=dict)

    def interfaces(self, node: str) -> tuple[Interface, ...]:
        """The interfaces of a host or router."""
        return (self.hosts[node],) if node in self.hosts else self.routers[node].interfaces

    @property
    def ip_version(self) -> Literal[4, 6]:
        """Of which IP all addresses are."""
        return 6 if any(is_ipv6(place.address) for place in self.hosts.values()) else 4

    def mtu(self, place: Interface) -> int:
        """The longest packet that leaves by an interface."""
        link = self.links[place.link]
        return link.both[link.interfaces.index(place.name)].mtu

    @cached_property
    def owners(self) -> dict[str, tuple[str, Interface]]:
        """Node and interface by IP address."""
        return {
            interface.address: (node, interface)
            for node in (*self.hosts, *self.routers)
            for interface in self.interfaces(node)
        }

    def forwarder(self, node: str) -> Forwarder:
        """The network layer of a host or router, as the topology has it."""
        places = self.interfaces(node)
        forwarder = Forwarder(self.routes[node], {place.name: place.address for place in places})
        for place in places:
            forwarder.set_mtu(place.name, self.mtu(place))
        return forwarder

    def reach(self, interface: Interface) -> dict[str, Hops]:
        """The ways of frames from an interface: the name of each interface that no router separates from it."""
        first = self.links[interface.link]
        ways: dict[str, Hops] = {}
        todo: list[tuple[LinkPlan, int, Hops]] = [(first, first.interfaces.index(interface.name), ())]
        while todo:
            link, sender, way = todo.pop()
            way = (*way, (link.name, link.directions[sender]))
            node = link.ends[1 - sender]
            if node in self.switches:
                todo += [(other, other.ends.index(node), way) for other in self._links_of[node] if other is not link]
            else:
                ways[link.interfaces[1 - sender]] = way
        return ways

    @cached_property
    def _links_of(self) -> dict[str, list[LinkPlan]]:
        links: dict[str, list[LinkPlan]] = {node: [] for node in (*self.hosts, *self.routers, *self.switches)}
        for link in self.links.values():
            for node in link.ends:
                links[node].append(link)
        return links

    def path(self, src: str, dst: str) -> list[tuple[str, str]]:
        """The (link, direction) pairs that a packet from host `src` to host `dst` travels while nothing is broken.

        Raises `TopologyError` when no path leads there. Searched anew at every call.
        """
        hops: list[tuple[str, str]] = []
        target, node, visited = self.hosts[dst].address, src, {src}
        while node != dst:
            route = self.forwarder(node).lookup(target)
            next_node, way = self._next(node, route, target)
            if not way:
                raise TopologyError(f"no path leads from {src} to {dst}: it ends at {node}")
            if next_node in visited:
                raise TopologyError(f"no path leads from {src} to {dst}: the routes of {node} and {next_node} go round")
            hops += way
            node = next_node
            visited.add(node)
        return hops

    def _next(self, node: str, route: Route | Refusal, target: str) -> tuple[str, Hops]:
        """Whom a route leads to, and how; no hops when to nobody."""
        if isinstance(route, Refusal) or (route.via or target) not in self.owners:
            return node, ()
        next_node, entry = self.owners[route.via or target]
        (exit_,) = (place for place in self.interfaces(node) if place.name == route.interface)
        return next_node, self.reach(exit_).get(entry.name, ())

    def boxes(self) -> dict[str, Middlebox]:
        """A new middlebox for each outside interface at which one looks, by its name."""
        places = {place.name: place for _, place in self.owners.values()}
        outsides = {node: self.routers[node].outside for node in self.middleboxes}
        return {at: Middlebox(self.middleboxes[node], places[at].address) for node, at in outsides.items()}

    @property
    def own_addresses(self) -> dict[str, str]:
        """The addresses of all hosts, by name."""
        return {name: place.address for name, place in self.hosts.items()}

    def addresses(self, host: str) -> dict[str, str]:
        """The addresses of all hosts as `host` knows them: behind a translator, that of the translator."""
        known = self.own_addresses
        for node, settings in self.middleboxes.items():
            outside = next(place for place in self.interfaces(node) if place.name == self.routers[node].outside)
            for other in known if settings.kind == "nat" else ():
                if any(hop[0] == outside.link and hop[1].startswith(f"{node}>") for hop in self._way(other, host)):
                    known[other] = outside.address
        return known

    def _way(self, src: str, dst: str) -> list[tuple[str, str]]:
        try:
            return self.path(src, dst)
        except TopologyError:
            return []

    def in_ipv6(self) -> Network:
        """The same network with the IPv6 addresses that stand for its own (`network/addressing.py`).

        Raises `TopologyError` for a link that cannot carry IPv6.
        """
        for link in self.links.values():
            for settings in link.both:
                check_mtu(f"link {link.name}", settings.mtu)
        return replace(
            self,
            hosts={name: place.in_ipv6() for name, place in self.hosts.items()},
            routers={
                name: replace(router, interfaces=tuple(place.in_ipv6() for place in router.interfaces))
                for name, router in self.routers.items()
            },
            routes={node: tuple(embed_route(route) for route in routes) for node, routes in self.routes.items()},
        )

    def names(self) -> dict[str, Collection[str]]:
        """The names that a scenario may use, by what they are."""
        return {
            "host": self.hosts,
            "link": self.links,
            "router": self.routers,
            "node": [*self.switches, *self.routers],
            "middlebox": [name for name, router in self.routers.items() if router.outside],
        }

    def override(self, settings: Mapping[str, Mapping[str, Any]]) -> Network:
        """The same network with some fields of `LinkSettings` changed on some links.

        Beside these, `to` has what else differs towards a node, and `fates` is that of the plan. Raises
        `TopologyError` for a link that does not exist or settings that cannot be.
        """
        links = dict(self.links)
        for name, fields in settings.items():
            if name not in links:
                raise TopologyError(f"there is no link {name}; the links are {', '.join(links)}")
            links[name] = _override(links[name], **fields)
        return replace(self, links=links)


def _override(
    link: LinkPlan, to: Mapping[str, Any] | None = None, fates: tuple[Fate, ...] = (), **fields: Any
) -> LinkPlan:
    settings = settings_of(link.name, replace, link.settings, **fields)
    differing = {}
    for node, its_own in (to or {}).items():
        if node not in link.ends:
            raise TopologyError(f"link {link.name} does not lead to {node}; its ends are {' and '.join(link.ends)}")
        differing[node] = settings_of(f"{link.name} to {node}", replace, settings, **its_own)
    return replace(link, settings=settings, to=differing, fates=fates)


def check_mtu(where: str, mtu: int) -> None:
    """Raise `TopologyError` when IPv6 cannot use a link with that MTU."""
    if mtu < NARROWEST[6]:
        raise TopologyError(f"{where}: mtu = {mtu}, but IPv6 needs {NARROWEST[6]} octets at least (RFC 8200, 5)")


def settings_of(link: str, make: Callable[..., LinkSettings], *args: Any, **fields: Any) -> LinkSettings:
    """What `make` makes of the arguments. Raises `TopologyError`, which names the link, when they cannot be."""
    try:
        return make(*args, **fields)
    except (TypeError, ValueError) as error:
        raise TopologyError(f"link {link}: {error}") from None


def port_mac(link: int, side: int) -> str:
    """The MAC address of a switch or router at the `side` (0 or 1) of the link with this number in the topology."""
    return f"02:00:00:{link >> 8:02x}:{link & 255:02x}:{side + 1:02x}"
