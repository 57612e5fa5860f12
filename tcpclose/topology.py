"""Topologies: Mininet's `Topo` objects read into plain data, which the simulator and the testbed share.

A `Topo` is a description only, so nothing of Mininet runs here. Mininet swallows options that it does not know, or
warns and goes on; here each of them is an error before anything starts.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import signature
from ipaddress import IPv4Interface, IPv4Network, IPv6Network, ip_interface
from pathlib import Path
from typing import Any, Literal

from tcpclose.addressing import EMBEDDED, embed, embed_route
from tcpclose.forwarding import Forwarder, Refusal, Route
from tcpclose.links import Fate, LinkSettings, direction
from tcpclose.middlebox import Middlebox, MiddleboxSettings
from tcpclose.protocol.addresses import NARROWEST, is_ipv6
from tcpclose.scenario import Scenario
from tcpclose.scenario.faults import Forgetting, Narrowing

TOPOLOGIES = Path(__file__).resolve().parent.parent / "topologies"

_SUBNET = IPv4Interface("10.0.0.0/8")  # Mininet's: hosts get 10.0.0.1, 10.0.0.2 ... in natural order of their names
_LONGEST_INTERFACE = 15  # IFNAMSIZ - 1
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")  # no "-": link names are made with it
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
_WAY = re.compile(r"via (\S+)(?: metric (\d+))?")
_DELAY = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s)")
_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000}


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
        """The same network with the IPv6 addresses that stand for its own (`addressing.py`).

        Raises `TopologyError` for a link that cannot carry IPv6.
        """
        for link in self.links.values():
            for settings in link.both:
                _check_mtu(f"link {link.name}", settings.mtu)
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
    settings = _settings(link.name, replace, link.settings, **fields)
    differing = {}
    for node, its_own in (to or {}).items():
        if node not in link.ends:
            raise TopologyError(f"link {link.name} does not lead to {node}; its ends are {' and '.join(link.ends)}")
        differing[node] = _settings(f"{link.name} to {node}", replace, settings, **its_own)
    return replace(link, settings=settings, to=differing, fates=fates)


def load_network(scenario: Scenario, source: str = "scenario") -> Network:
    """The network of a scenario: its topology, with what it says of links, checked against what it names.

    `source` names the scenario in messages. Raises `TopologyError` or `ScenarioError`.
    """
    try:
        network = load_topology(scenario.topology, scenario.topology_args)
        scenario.check_against(network.names(), source)
        for connection in scenario.connection.values():
            network.path(connection.client, connection.server)
            network.path(connection.server, connection.client)
        boxes = {name: MiddleboxSettings(**fields) for name, fields in scenario.middlebox_settings().items()}
        network = replace(network.override(scenario.link_settings()), middleboxes=boxes)
        _check_faults(scenario, network)
        return network.in_ipv6() if scenario.ip_version == 6 else network
    except TopologyError as error:
        raise TopologyError(f"{source}: {error}") from None


def _check_mtu(where: str, mtu: int) -> None:
    if mtu < NARROWEST[6]:
        raise TopologyError(f"{where}: mtu = {mtu}, but IPv6 needs {NARROWEST[6]} octets at least (RFC 8200, 5)")


def _check_faults(scenario: Scenario, network: Network) -> None:
    for number, step in enumerate(scenario.step, 1):
        match step.fault:
            case Narrowing(link=link, mtu=mtu):
                if scenario.ip_version == 6:
                    _check_mtu(f"step {number}: link {link}", mtu)
                for end in network.links[link].ends:
                    if end not in network.routers:
                        raise TopologyError(f"step {number}: link {link} must join two routers, {end} is none")
            case Forgetting(middlebox=name):
                if name not in network.middleboxes:
                    raise TopologyError(
                        f"step {number}: {name} has nothing to forget; give it a table [middlebox.{name}]"
                    )


def load_topology(name: str, args: Mapping[str, Any] | None = None, folder: Path | None = None) -> Network:
    """Read a topology by name: "two_hosts" for `topologies/two_hosts.py`, or "path/file.py:name" relative to `folder`.

    `args` are the parameters of the Topo class. Raises `TopologyError` when there is no such topology, when it cannot
    be made of these parameters, or when it asks for what a run could not honour.
    """
    make = _topo_class(name, folder or Path())
    try:
        topo = make(**(args or {}))
    except Exception as error:  # somebody else's code: whatever goes wrong there is told as the topology's fault
        raise TopologyError(
            f"topology {name} cannot be made of {dict(args or {})}: {error}; its parameters are {_parameters(make)}"
        ) from error
    return read_topo(topo)


def _parameters(make: Callable[..., Any]) -> str:
    """The names of the parameters that `args` may hold: those of a Topo's `build`, or of a function that makes one."""
    return ", ".join(name for name in signature(getattr(make, "build", make)).parameters if name != "self") or "none"


def _topo_class(name: str, folder: Path) -> Callable[..., Any]:
    file, _, key = name.rpartition(":")
    path = folder / file if file else TOPOLOGIES / f"{name}.py"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in TOPOLOGIES.glob("*.py")))
        raise TopologyError(f"there is no topology {name} ({path}); there are {known}, or give path/file.py:name")
    spec = importlib.util.spec_from_file_location(f"topologies.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise TopologyError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise TopologyError(f"{path} cannot be read: {error}") from error
    topos: dict[str, Callable[..., Any]] = getattr(module, "topos", {})
    if key not in topos:
        raise TopologyError(f"{path} has no topology {key}; its `topos` names {', '.join(topos) or 'none'}")
    return topos[key]


def read_topo(topo: Any) -> Network:
    """Read a Mininet `Topo` object. Raises `TopologyError` as `load_topology` does."""
    links = _read_links(topo)
    addresses = _read_addresses(topo)
    switches = tuple(topo.switches())
    for switch in switches:
        _refuse_unknown(f"switch {switch}", topo.nodeInfo(switch), {"isSwitch"}, topo.sopts)
    hosts: dict[str, Interface] = {}
    routers: dict[str, Router] = {}
    for number, node in enumerate(topo.hosts(), 1):
        if topo.nodeInfo(node).get("cls"):
            routers[node] = _read_router(topo, node, links, addresses)
        else:
            hosts[node] = _read_host(topo, node, number, links)
    network = Network(hosts, switches, links, routers)
    _check_names(network)
    if spare := addresses.keys() - {place.name for router in routers.values() for place in router.interfaces}:
        raise TopologyError(f"interface {min(spare)} is none of a router, so its address cannot be given with the link")
    _check_tree(network)
    _check_addresses(network)
    return replace(network, routes={node: _read_routes(topo, node, network) for node in (*hosts, *routers)})


def _refuse_unknown(what: str, options: Mapping[str, Any], known: set[str], defaults: Mapping[str, Any]) -> None:
    """Raise for options that nobody would honour, and for defaults that Mininet drops beside a node's or link's own."""
    for option in options:
        if option not in known:
            raise TopologyError(
                f"{what}: option {option!r} cannot be honoured; honoured are {', '.join(sorted(known))}"
            )
    for option in defaults:
        if option not in options:
            raise TopologyError(
                f"{what} has options of its own, so Mininet drops the topology's default {option!r}: repeat it there"
            )


#: What says where a link ends; `params` are for the interface there.
_ENDS = ("node1", "node2", "port1", "port2", "params1", "params2")


def _read_links(topo: Any) -> dict[str, LinkPlan]:
    links: dict[str, LinkPlan] = {}
    for first, second, info in topo.links(withInfo=True):
        name = f"{first}-{second}"
        options = {key: value for key, value in info.items() if key not in _ENDS}
        made_by = _maker(name, options.pop("cls", None))
        _refuse_unknown(f"link {name}", options, set(_LINK_OPTIONS), topo.lopts)
        if name in links or f"{second}-{first}" in links:
            raise TopologyError(f"there are two links between {first} and {second}")
        fields = {
            _LINK_OPTIONS[key][0]: _option(name, key, value) for key, value in options.items() if value is not None
        }
        ports = (info["port1"], info["port2"])
        links[name] = LinkPlan(name, (first, second), ports, _settings(name, LinkSettings, **fields), made_by=made_by)
    return links


def _maker(link: str, cls: Any) -> Literal["relay", "TCLink"]:
    """Who makes a link of this class. It is known by its name: Mininet is not imported here."""
    makers: dict[str, Literal["relay", "TCLink"]] = {"Link": "relay", "TCLink": "TCLink"}
    name = "Link" if cls is None else getattr(cls, "__name__", str(cls))
    if name not in makers:
        raise TopologyError(f"link {link}: class {name} cannot be honoured; honoured are {', '.join(makers)}")
    return makers[name]


def _read_addresses(topo: Any) -> dict[str, str]:
    """What links say of the addresses of their ends, by the names of interfaces."""
    addresses = {}
    for *_, info in topo.links(withInfo=True):
        for side in "12":
            params = info.get(f"params{side}") or {}
            name = f"{info[f'node{side}']}-eth{info[f'port{side}']}"
            _refuse_unknown(f"params{side} of interface {name}", params, {"ip"}, {})
            if "ip" in params:
                addresses[name] = params["ip"]
    return addresses


def _delay(value: Any) -> int:
    match = _DELAY.fullmatch(str(value))
    if not match:
        raise ValueError("a number with its unit (us, ms, s)")
    return round(float(match[1]) * _UNITS[match[2]])


#: Mininet's words for what a link does: the field of `LinkSettings` that each sets, and how it is read.
_LINK_OPTIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "delay": ("delay", _delay),
    "bw": ("rate", lambda value: round(float(value) * 1_000_000)),
    "jitter": ("jitter", _delay),
    "loss": ("loss", lambda value: float(value) / 100),
    "max_queue_size": ("queue", int),
}


def _option(link: str, option: str, value: Any) -> Any:
    try:
        return _LINK_OPTIONS[option][1](value)
    except (TypeError, ValueError) as error:
        raise TopologyError(f"link {link}: {option}={value!r} cannot be read: {error}") from None


def _settings(link: str, make: Callable[..., LinkSettings], *args: Any, **fields: Any) -> LinkSettings:
    try:
        return make(*args, **fields)
    except (TypeError, ValueError) as error:
        raise TopologyError(f"link {link}: {error}") from None


def _read_host(topo: Any, host: str, number: int, links: Mapping[str, LinkPlan]) -> Interface:
    options = topo.nodeInfo(host)
    _refuse_unknown(f"host {host}", options, {"ip", "mac", "defaultRoute"}, topo.hopts)
    attached = [link for link in links.values() if host in link.ends]
    if len(attached) != 1:
        raise TopologyError(f"host {host} has {len(attached)} interfaces; a host has one, a router has several")
    link = attached[0]
    given = options.get("ip") or f"{_SUBNET.ip + number}"
    address = _address(f"host {host}", given if "/" in given else f"{given}/{_SUBNET.network.prefixlen}")
    mac = (options.get("mac") or f"{number:012x}").lower()
    mac = mac if ":" in mac else ":".join(re.findall("..", mac))
    if not _MAC.fullmatch(mac):
        raise TopologyError(f"host {host}: {mac!r} is not the MAC address of a host")
    name = link.interfaces[link.ends.index(host)]
    return Interface(name, str(address.ip), address.network.prefixlen, mac, link.name)


def _address(what: str, text: Any) -> IPv4Interface:
    try:
        return IPv4Interface(text)
    except ValueError as error:
        raise TopologyError(f"{what}: {error}") from None


def _read_router(topo: Any, router: str, links: Mapping[str, LinkPlan], addresses: Mapping[str, str]) -> Router:
    """A class named Router, whatever its file, forwards and sets up `routes`; what other classes do nobody knows."""
    options = topo.nodeInfo(router)
    name = options["cls"].__name__
    if name != "Router":
        raise TopologyError(f"node {router} is a {name}, which cannot be honoured; a class of one's own is a Router")
    _refuse_unknown(f"router {router}", options, {"cls", "ip", "defaultRoute", "routes", "outside"}, topo.hopts)
    if options.get("ip", "") is not None:
        raise TopologyError(f"router {router}: ip=None is expected: links give the addresses, params1={{'ip': ...}}")
    places = []
    for number, link in enumerate(links.values()):
        if router in link.ends:
            side = link.ends.index(router)
            name = link.interfaces[side]
            if name not in addresses:
                raise TopologyError(f"router {router}: link {link.name} gives {name} no address (params{side + 1})")
            address = _address(f"interface {name}", addresses[name])
            mac = port_mac(number, side)
            places.append(Interface(name, str(address.ip), address.network.prefixlen, mac, link.name))
    outside = options.get("outside") or ""
    if outside not in ("", *(place.name for place in places)):
        raise TopologyError(f"router {router} has no interface {outside} that could be its outside")
    return Router(tuple(places), outside)


def port_mac(link: int, side: int) -> str:
    """The MAC address of a switch or router at the `side` (0 or 1) of the link with this number in the topology."""
    return f"02:00:00:{link >> 8:02x}:{link & 255:02x}:{side + 1:02x}"


def _read_routes(topo: Any, node: str, network: Network) -> tuple[Route, ...]:
    options = topo.nodeInfo(node)
    given = list(options.get("routes") or ())
    if way := options.get("defaultRoute"):
        given.append(("0.0.0.0/0", way))
    own = [Route(str(place.subnet), place.name) for place in network.interfaces(node)]
    return tuple(own + [_read_route(node, str(prefix), str(way), network) for prefix, way in given])


def _read_route(node: str, prefix: str, way: str, network: Network) -> Route:
    what = f"{node}: the route to {prefix} {way!r}"
    match = _WAY.fullmatch(way)
    if match is None:
        raise TopologyError(f'{what} cannot be read: "via ADDRESS" or "via ADDRESS metric NUMBER"')
    try:
        subnet = IPv4Network(prefix)
    except ValueError as error:
        raise TopologyError(f"{what}: {error}") from None
    owner, entry = network.owners.get(match[1], ("", None))
    for place in network.interfaces(node):
        if owner in network.routers and entry is not None and entry.name in network.reach(place):
            return Route(str(subnet), place.name, match[1], int(match[2] or 0))
    raise TopologyError(f"{what} leads to no router next to {node}")


def _check_names(network: Network) -> None:
    for node in (*network.hosts, *network.switches, *network.routers):
        if not _NODE_NAME.fullmatch(node):
            raise TopologyError(f"{node!r} cannot be a node's name: letters, digits and underscores only")
    for name in (name for link in network.links.values() for name in link.interfaces):
        if len(name) > _LONGEST_INTERFACE:
            raise TopologyError(f"interface {name} has a longer name than Linux allows ({_LONGEST_INTERFACE})")


def _check_addresses(network: Network) -> None:
    if not network.hosts:
        raise TopologyError("a network needs hosts")
    places = {place.name: place for node in (*network.hosts, *network.routers) for place in network.interfaces(node)}
    owners: dict[str, str] = {}
    compared: set[str] = set()
    for place in places.values():
        if place.name not in compared:
            neighbours = network.reach(place)
            compared.update(neighbours)
            for other in (places[name] for name in neighbours):
                if other.subnet != place.subnet:
                    raise TopologyError(
                        f"node {_owner(other)} is outside {place.subnet}, and no router would lead there"
                    )
        for address in (place.address, place.mac):
            if earlier := owners.get(address):
                raise TopologyError(f"nodes {earlier} and {_owner(place)} both have the address {address}")
            owners[address] = _owner(place)


def _owner(place: Interface) -> str:
    return place.name.rpartition("-")[0]


def _check_tree(network: Network) -> None:
    """Switches without spanning tree flood a loop for ever. A router has an end of its own at each link."""
    reached = {node: {node} for node in (*network.hosts, *network.switches)}
    for link in network.links.values():
        first, second = (reached.get(end) or {end} for end in link.ends)
        if first is second:
            raise TopologyError(f"link {link.name} closes a loop of switches")
        first |= second
        for node in second & reached.keys():
            reached[node] = first
