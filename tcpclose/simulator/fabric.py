"""The network between the hosts of the simulator: routers, middleboxes, carriers, and what befalls them.

What it decides is pure (`network/`); what carries frames is in `links/`. This joins them.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from tcpclose.network.forwarding import Complaint, Forwarder, Packet, Refusal, Route
from tcpclose.protocol.datagram import Datagram
from tcpclose.scenario.faults import Carrier, Forgetting, Narrowing, NetworkFault, Power, Return, Withdrawal
from tcpclose.topology import Hops, Interface, Network
from tcpclose.topology.carriers import Carriers
from tcpclose.wire import ethernet_header
from tcpclose.wire.ip import ethertype
from tcpclose.wire.translate import translate


class Way(NamedTuple):
    """How a frame gets from an interface to the next host or router: its header, the lines ahead, where they end."""

    header: bytes
    hops: Hops
    entry: Interface


class Fabric:
    """The state of a network. What is offered to links without carrier vanishes, and nobody knows."""

    def __init__(self, network: Network) -> None:
        self._network = network
        nodes = (*network.hosts, *network.routers)
        self.forwarders: dict[str, Forwarder] = {node: network.forwarder(node) for node in nodes}
        self.places = {place.name: place for node in nodes for place in network.interfaces(node)}
        self.carriers = Carriers(network.links.values())
        self._boxes = network.boxes()
        self.way = cache(self._way)

    def node(self, interface: Interface) -> str:
        """Whose interface it is."""
        return self._network.owners[interface.address][0]

    def _way(self, route: Route, destination: str) -> Way | None:
        """None for an address that nobody has."""
        target = route.via or destination
        if target not in self._network.owners:
            return None
        exit_ = self.places[route.interface]
        _, entry = self._network.owners[target]
        hops = self._network.reach(exit_).get(entry.name)
        return Way(ethernet_header(entry.mac, exit_.mac, ethertype(destination)), hops, entry) if hops else None

    def inspect(self, interface: str, packet: Packet, outward: bool, now: int) -> tuple[Packet | None, Packet | None]:
        """What a middlebox with its outside there lets through, and what it answers; elsewhere all passes."""
        box = self._boxes.get(interface)
        if box is None:
            return packet, None
        if isinstance(packet.content, Complaint):
            error = box.inspect_error(packet.content.error, outward, now)
            return packet._replace(content=packet.content._replace(error=error)) if error else None, None
        datagram, valid = packet.read()
        if datagram is None:  # damage on the way is the receiver's to find out
            return packet, None
        onward, answer = box.inspect(datagram, outward, now, valid)
        passed = packet._replace(content=Datagram(*onward, packet.content.segment)) if onward else None
        if passed and onward and packet.forged:
            passed = passed._replace(forged=translate(packet.forged, *onward))
        return passed, Packet(answer, 0) if answer else None

    def strike(self, fault: NetworkFault) -> dict[str, bool]:
        """A fault takes effect. Returns the links whose carrier is lost by it, or back: whether they have one now."""
        match fault:
            case Carrier():
                return self._change_carriers(fault)
            case Power(node=node):
                self._forget(node)
                return self._change_carriers(fault)
            case Withdrawal(router=router, to=host, code=code):
                self.forwarders[router].refuse(self._network.hosts[host].address, Refusal[code.upper()])
            case Return(router=router, to=host):
                self.forwarders[router].accept(self._network.hosts[host].address)
            case Narrowing(link=link, mtu=mtu):
                for name in self._network.links[link].interfaces:
                    self.forwarders[self.node(self.places[name])].set_mtu(name, mtu)
            case Forgetting(middlebox=node):
                self._forget(node)
        return {}

    def _forget(self, node: str) -> None:
        if node in self._network.middleboxes:
            self._boxes[self._network.routers[node].outside].forget()

    def _change_carriers(self, fault: Carrier | Power) -> dict[str, bool]:
        changed = self.carriers.strike(fault)
        for router in self._network.routers:  # hosts, as Linux's, go on sending into a dead link
            for place in self._network.interfaces(router):
                if place.link in changed:
                    self.forwarders[router].set_carrier(place.name, changed[place.link])
        return changed
