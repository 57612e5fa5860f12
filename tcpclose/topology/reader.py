"""Mininet's `Topo` objects read into plans.

A `Topo` is a description only, so nothing of Mininet runs here. Mininet swallows options that it does not know, or
warns and goes on; here each of them is an error before anything starts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network
from typing import Any, Literal

from tcpclose.links import LinkSettings
from tcpclose.network.forwarding import Route
from tcpclose.topology.plan import Interface, LinkPlan, Network, Router, TopologyError, port_mac, settings_of

_SUBNET = IPv4Interface("10.0.0.0/8")  # Mininet's: hosts get 10.0.0.1, 10.0.0.2 ... in natural order of their names
_LONGEST_INTERFACE = 15  # IFNAMSIZ - 1
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")  # no "-": link names are made with it
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
_WAY = re.compile(r"via (\S+)(?: metric (\d+))?")
_DELAY = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s)")
_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000}


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
        links[name] = LinkPlan(name, (first, second), ports, settings_of(name, LinkSettings, **fields), made_by=made_by)
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
