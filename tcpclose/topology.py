"""Topologies: Mininet's `Topo` objects read into plain data, which the simulator and the testbed share.

A `Topo` is a description only, so nothing of Mininet runs here. Mininet swallows options that it does not know, or
warns and goes on; here each of them is an error before anything starts.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any, Literal

from tcpclose.links import Fate, LinkSettings, direction
from tcpclose.scenario import Scenario

TOPOLOGIES = Path(__file__).resolve().parent.parent / "topologies"

_SUBNET = IPv4Interface("10.0.0.0/8")  # Mininet's: hosts get 10.0.0.1, 10.0.0.2 ... in natural order of their names
_LONGEST_INTERFACE = 15  # IFNAMSIZ - 1
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")  # no "-": link names are made with it
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
_DELAY = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s)")
_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000}


class TopologyError(ValueError):
    """A topology that cannot be had; the message is for people."""


@dataclass(frozen=True)
class Interface:
    """A host's place on the network: `name` as Mininet gives it ("h1-eth0"), IPv4 `address` and `prefix` length."""

    name: str
    address: str
    prefix: int
    mac: str
    link: str


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
    """Hosts, each with its interface, switches, and the links that join them: one subnet without loops."""

    hosts: dict[str, Interface]
    switches: tuple[str, ...]
    links: dict[str, LinkPlan]

    def path(self, src: str, dst: str) -> list[tuple[str, str]]:
        """The (link, direction) pairs that a frame from host `src` to host `dst` travels.

        Raises `TopologyError` when no path leads there. Searched anew at every call.
        """
        paths: dict[str, list[tuple[str, str]]] = {src: []}
        unvisited = [src]
        while unvisited and dst not in paths:
            node = unvisited.pop()
            for neighbour, hop in self._hops(node):
                if neighbour not in paths:
                    paths[neighbour] = [*paths[node], hop]
                    if neighbour in self.switches:
                        unvisited.append(neighbour)
        if dst not in paths:
            raise TopologyError(f"no path leads from {src} to {dst}")
        return paths[dst]

    def _hops(self, node: str) -> Iterator[tuple[str, tuple[str, str]]]:
        for link in self.links.values():
            first, second = link.ends
            if node == first:
                yield second, (link.name, link.directions[0])
            elif node == second:
                yield first, (link.name, link.directions[1])

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
        scenario.check_against(network.hosts, network.links, source)
        for connection in scenario.connection.values():
            network.path(connection.client, connection.server)
        return network.override(scenario.link_settings())
    except TopologyError as error:
        raise TopologyError(f"{source}: {error}") from None


def load_topology(name: str, args: Mapping[str, Any] | None = None, folder: Path | None = None) -> Network:
    """Read a topology by name: "two_hosts" for `topologies/two_hosts.py`, or "path/file.py:name" relative to `folder`.

    `args` are the parameters of the Topo class. Raises `TopologyError` when there is no such topology, when it cannot
    be made of these parameters, or when it asks for what a run could not honour.
    """
    make = _topo_class(name, folder or Path())
    try:
        topo = make(**(args or {}))
    except Exception as error:  # somebody else's code: whatever goes wrong there is told as the topology's fault
        raise TopologyError(f"topology {name} cannot be made of {dict(args or {})}: {error}") from error
    return read_topo(topo)


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
    switches = tuple(topo.switches())
    for switch in switches:
        _refuse_unknown(f"switch {switch}", topo.nodeInfo(switch), {"isSwitch"}, topo.sopts)
    hosts = {host: _read_host(topo, host, number, links) for number, host in enumerate(topo.hosts(), 1)}
    network = Network(hosts, switches, links)
    _check_names(network)
    _check_addresses(network)
    _check_tree(network)
    return network


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


def _read_links(topo: Any) -> dict[str, LinkPlan]:
    links: dict[str, LinkPlan] = {}
    for first, second, info in topo.links(withInfo=True):
        name = f"{first}-{second}"
        options = {key: value for key, value in info.items() if key not in ("node1", "node2", "port1", "port2")}
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
    _refuse_unknown(f"host {host}", options, {"ip", "mac"}, topo.hopts)
    attached = [link for link in links.values() if host in link.ends]
    if len(attached) != 1:
        raise TopologyError(f"host {host} has {len(attached)} interfaces; for now every host must have exactly one")
    link = attached[0]
    try:
        given = options.get("ip") or f"{_SUBNET.ip + number}"
        address = IPv4Interface(given if "/" in given else f"{given}/{_SUBNET.network.prefixlen}")
    except ValueError as error:
        raise TopologyError(f"host {host}: {error}") from None
    mac = (options.get("mac") or f"{number:012x}").lower()
    mac = mac if ":" in mac else ":".join(re.findall("..", mac))
    if not _MAC.fullmatch(mac):
        raise TopologyError(f"host {host}: {mac!r} is not the MAC address of a host")
    name = link.interfaces[link.ends.index(host)]
    return Interface(name, str(address.ip), address.network.prefixlen, mac, link.name)


def _check_names(network: Network) -> None:
    for node in (*network.hosts, *network.switches):
        if not _NODE_NAME.fullmatch(node):
            raise TopologyError(f"{node!r} cannot be a node's name: letters, digits and underscores only")
    for name in (name for link in network.links.values() for name in link.interfaces):
        if len(name) > _LONGEST_INTERFACE:
            raise TopologyError(f"interface {name} has a longer name than Linux allows ({_LONGEST_INTERFACE})")


def _check_addresses(network: Network) -> None:
    first = next(iter(network.hosts.values()), None)
    if first is None:
        raise TopologyError("a network needs hosts")
    subnet = IPv4Interface(f"{first.address}/{first.prefix}").network
    owners: dict[str, str] = {}
    for host, interface in network.hosts.items():
        if IPv4Address(interface.address) not in subnet or interface.prefix != subnet.prefixlen:
            raise TopologyError(f"host {host} is outside {subnet}, and no router would lead there")
        for address in (interface.address, interface.mac):
            if other := owners.get(address):
                raise TopologyError(f"hosts {other} and {host} both have the address {address}")
            owners[address] = host


def _check_tree(network: Network) -> None:
    """Switches without spanning tree flood a loop for ever."""
    reached = {node: {node} for node in (*network.hosts, *network.switches)}
    for link in network.links.values():
        first, second = (reached[end] for end in link.ends)
        if first is second:
            raise TopologyError(f"link {link.name} closes a loop of switches")
        first |= second
        for node in second:
            reached[node] = first
