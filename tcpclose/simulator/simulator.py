"""A scenario in virtual time: `simulate(scenario)` gives its trace, the same octets for the same seed.

Hosts, lines and the timeline are the very classes that the testbed uses; only the clock and the wire are
made up. At one instant frames arrive first, then timers expire, then the scenario's steps are taken.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tcpclose.host import MakesStack, call_event, name_of, parties
from tcpclose.host.faults import OFF, Faults
from tcpclose.host.forging import Forger
from tcpclose.links import Deed, FateBook, Line, Order, link_random
from tcpclose.network.forwarding import Packet, Route
from tcpclose.protocol.datagram import Datagram
from tcpclose.protocol.stack import Pair, Stack
from tcpclose.scenario import Fault, Scenario, ScenarioError, Step
from tcpclose.scenario.faults import Cut, HostFault, NetworkFault, Silent, Speaking
from tcpclose.simulator.fabric import Fabric, Way
from tcpclose.simulator.frailhost import FrailHost, SimulatedHands
from tcpclose.timeline import Timeline
from tcpclose.topology import Interface, Network
from tcpclose.trace.events import Disturbed, Event, FaultTaken, Lost, Trace, segment_fields
from tcpclose.wire import EN10MB, PcapWriter, damage


class _Frame(NamedTuple):
    """A packet on its way to the next host or router; `hop` counts the lines behind it."""

    packet: Packet
    way: Way
    octets: int
    hop: int = 0

    @classmethod
    def of(cls, packet: Packet, way: Way) -> _Frame:
        """A new one, as long as on a wire."""
        return cls(packet, way, len(way.header) + packet.octets)

    def damaged(self, place: float) -> _Frame:
        """The same, with one more bit of its segment flipped."""
        packet = self.packet
        return self._replace(packet=packet._replace(damages=(*packet.damages, place)))


_Host = FrailHost[_Frame]
_Party = Line[_Frame] | _Host | Timeline
_Entry = tuple[int, int, int]  # time, how often it has gone round at that time, rank of the party


class _Agenda:
    """Whose turn it is. At one instant it goes round: lines first, then hosts, then the timeline, then lines again.

    A party is asked for its next time only after something has happened to it, which `stir` says. So an event costs
    the logarithm of the number of parties.
    """

    def __init__(self, lines: Iterable[Line[_Frame]], hosts: Iterable[_Host], timeline: Timeline) -> None:
        self._next_times: dict[_Party, Callable[[], int | None]] = {line: line.next_due for line in lines}
        self._next_times |= {host: host.next_timeout for host in hosts}
        self._next_times[timeline] = timeline.next_time
        self._parties = list(self._next_times)
        self._ranks = {party: rank for rank, party in enumerate(self._parties)}
        self._entries: dict[int, _Entry] = {}  # what each is noted for, by rank
        self._queue: list[_Entry] = []  # a heap; what has been replaced in `_entries` may still stand in it
        self._last: _Entry = (-1, 0, 0)
        self._stirred = set(self._parties)
        self.stir = self._stirred.add

    def take(self) -> tuple[int, _Party] | None:
        """The earliest time, and who is to act; None when nobody will do anything any more."""
        for party in self._stirred:
            self._note(self._ranks[party], self._next_times[party]())
        self._stirred.clear()
        while self._queue:
            self._last = time, _, rank = heapq.heappop(self._queue)
            if self._entries.get(rank) == self._last:
                del self._entries[rank]
                return time, self._parties[rank]
        return None

    def _note(self, rank: int, time: int | None) -> None:
        noted = self._entries.get(rank)
        if time is None:
            self._entries.pop(rank, None)
        elif noted is None or noted[0] != time:
            now, turn, last = self._last
            entry = self._entries[rank] = time, 0 if time > now else turn + (rank <= last), rank
            heapq.heappush(self._queue, entry)


def simulate(
    scenario: Scenario,
    network: Network,
    captures: Path | None = None,
    watch: Callable[[Event], None] | None = None,
    stacks: Mapping[str, MakesStack] | None = None,
) -> Trace:
    """Run `scenario` on `network` in virtual time.

    With `captures`, one pcap for each interface of a host or router is written into that folder. `watch` is called
    with each event as it happens. `stacks` make the TCPs of hosts that shall not have ours. Raises `ScenarioError` as
    `check_simulable` does.
    """
    check_simulable(scenario)
    return _Simulation(scenario, network, captures, watch, stacks or {}).run()


def check_simulable(scenario: Scenario) -> None:
    """Raise `ScenarioError` for what only an operating system can do."""
    for name, host in scenario.host.items():
        if host.stack == "linux":
            raise ScenarioError(
                [f'host.{name}.stack = "linux": the simulator has no Linux kernel; use --world mininet']
            )


class _Simulation:
    def __init__(
        self,
        scenario: Scenario,
        network: Network,
        captures: Path | None,
        watch: Callable[[Event], None] | None,
        stacks: Mapping[str, MakesStack],
    ) -> None:
        self.scenario = scenario
        self.network = network
        self.timeline = Timeline(scenario)
        self.watch = watch
        self.now = 0
        self.events: list[Event] = []
        self.hosts: dict[str, _Host] = {
            name: FrailHost(scenario, name, network.addresses(name), make=stacks.get(name, Stack))
            for name in network.hosts
        }
        self.names = {network.hosts[name].address: host.names for name, host in self.hosts.items()}
        self.lines: dict[tuple[str, str], Line[_Frame]] = {
            (link.name, way): Line(settings, link_random(scenario.seed, link.name, way), _Frame.damaged)
            for link in network.links.values()
            for way, settings in zip(link.directions, link.both, strict=True)
        }
        self.links = {line: link for (link, _), line in self.lines.items()}
        self.agenda = _Agenda(self.lines.values(), self.hosts.values(), self.timeline)
        known = parties(scenario, network.own_addresses)
        self.fates = {link.name: FateBook(link.fates, known) for link in network.links.values() if link.fates}
        self.fabric = Fabric(network)
        self.forger = Forger(scenario, network.own_addresses)
        self.curious = self.forger.curious
        self.hands = SimulatedHands(self.hosts, self.lines, lambda: self.now)
        self.faults = Faults(self.hands, self.forger, self.timeline, lambda event: self._note([event]))
        self.captures = self._open_captures(captures)

    def run(self) -> Trace:
        while (turn := self.agenda.take()) is not None and turn[0] <= self.scenario.duration:
            self.now, party = turn
            self.agenda.stir(party)
            match party:
                case Line():
                    for frame in party.due(self.now):
                        if reason := party.loss_on_arrival:
                            self._note_deed(frame.packet, self.links[party], Deed(reason))
                        else:
                            self._forward(frame)
                case FrailHost():
                    party.timeout(self.now)
                    self._flush(party)
                case Timeline():
                    for step in party.due(self.now):
                        self._take(step)
        self.now = self.scenario.duration  # as in the other world, whenever the last thing happened
        for host in self.hosts.values():
            if host.life != "off":
                self._note(host.texts(self.now))
        for capture in self.captures.values():
            capture.close()
        return Trace(self.events)

    # Steps

    def _take(self, step: Step) -> None:
        if step.fault:
            self._strike(step.fault)
        else:
            self._perform(self.hosts[step.host], step)

    def _perform(self, host: _Host, step: Step) -> None:
        if host.life == "paused":
            host.called.append(step)
        elif host.life == "off":
            self._note([call_event(step, self.now, None, OFF)])
        else:
            host.perform(step, self.now)
            self._flush(host)

    def _strike(self, fault: Fault) -> None:
        """A fault takes effect at once."""
        if isinstance(fault, HostFault):
            self.faults.strike(fault, self.now)
            self.agenda.stir(self.timeline)  # it may come up again later
            self._catch_up(self.hosts[fault.host])
            return
        if isinstance(fault, NetworkFault):
            for link, carrier in self.fabric.strike(fault).items():
                self._set_up(link, carrier)
        match fault:
            case Cut(link=link):
                self._set_up(link, fault.kind == "link_up")
            case Silent(host=name, way=muted):
                self._silence(name, muted)
            case Speaking(host=name):
                self._silence(name, None)
        self._note([FaultTaken(t=self.now, fault=fault.kind, target=fault.target, detail=fault.detail)])

    def _set_up(self, link: str, up: bool) -> None:
        """Both directions of a link. When it is cut, what is on its way is lost."""
        for line in (self.lines[link, way] for way in self.network.links[link].directions):
            if up:
                line.restore()
            else:
                for frame in line.cut():
                    self._note_deed(frame.packet, link, Deed("down"))
            self.agenda.stir(line)

    def _silence(self, host: str, muted: str | None) -> None:
        for (_, way), line in self.lines.items():
            speaker, _, hearer = way.partition(">")
            line.silence(muted, host == speaker, host == hearer)
            self.agenda.stir(line)

    def _catch_up(self, host: _Host) -> None:
        """After a fault: let out what was held and what it brought on, and handle what has waited."""
        self._flush(host)
        while host.life == "on" and host.arrived:
            frame = host.arrived.popleft()
            self._receive(host, frame.way, frame.packet)
        at = host.next_timeout()
        if at is not None and at <= self.now:
            host.timeout(self.now)
            self._flush(host)
        while host.life == "on" and host.called:
            self._perform(host, host.called.popleft())
        for source, forged in self.hands.take_forged():
            self._originate(source, Packet(forged.datagram, forged.ident, forged=forged.packet))

    # Frames

    def _flush(self, host: _Host) -> None:
        """What a host did becomes known, then what it sends leaves: a fault that strikes in between comes first."""
        self._note(host.events())
        due = self.timeline.due(self.now)
        for step in due:
            if step.fault:
                self._strike(step.fault)
        frames = host.datagrams_to_send(self.now)
        self._note(host.events())
        layout = host.stack.config.option_layout
        for ident, datagram in frames:
            self._originate(host.name, Packet(datagram, ident, layout=layout))
        self.agenda.stir(host)
        for step in due:
            if not step.fault:
                self._take(step)

    def _originate(self, node: str, packet: Packet) -> None:
        route = self.fabric.forwarders[node].lookup(packet.destination)
        if isinstance(route, Route):
            self._send(route, packet)

    def _send(self, route: Route, packet: Packet) -> None:
        """A packet leaves a host or router by its interface there; for an address that nobody has it goes nowhere."""
        way = self.fabric.way(route, packet.destination)
        if way is None or way.hops[0][0] in self.fabric.carriers.dead:
            return
        self._capture(route.interface, way, packet)
        passed, answer = self.fabric.inspect(route.interface, packet, True, self.now)
        if passed is None:
            self._note_deed(packet, way.hops[0][0], Deed("middlebox"))
        else:
            self._forward(_Frame.of(passed, way))
        if answer is not None:
            self._take_in(self.fabric.places[route.interface], way, answer)

    def _forward(self, frame: _Frame) -> None:
        """A frame goes on to its next line; behind the last one is the host or router that it is for."""
        packet, way, octets, hop = frame
        if hop == len(way.hops):
            self._arrive(packet, way)
            return
        link, _ = way.hops[hop]
        if link in self.fabric.carriers.dead:
            return
        line = self.lines[way.hops[hop]]
        datagram, fates = packet.content, self.fates.get(link)
        orders: tuple[Order, ...] = ()
        if fates is not None and isinstance(datagram, Datagram) and not packet.damages:
            orders = tuple(fates.judge(datagram))
        for deed in line.offer(_Frame(packet, way, octets, hop + 1), octets, self.now, orders):
            self._note_deed(packet, link, deed)
        self.agenda.stir(line)

    def _arrive(self, packet: Packet, way: Way) -> None:
        """Behind the last line is a host, which the packet is for, or a router, with a middlebox before it or not."""
        passed, answer = self.fabric.inspect(way.entry.name, packet, False, self.now)
        if passed is None:
            self._note_deed(packet, way.entry.link, Deed("middlebox"))
        else:
            self._take_in(way.entry, way, passed)
        if answer is not None:
            self._answer(way, answer)

    def _take_in(self, place: Interface, way: Way, packet: Packet) -> None:
        self._capture(place.name, way, packet)
        node = self.fabric.node(place)
        if node in self.hosts:
            self._hand_in(self.hosts[node], way, packet)
        elif packet.destination not in self.fabric.forwarders[node].addresses:
            sent = self.fabric.forwarders[node].forward(packet, self.now)
            if sent is not None:
                self._send(*sent)

    def _answer(self, way: Way, answer: Packet) -> None:
        """A middlebox answers what came from outside, and does not look into that itself."""
        route = self.fabric.forwarders[self.fabric.node(way.entry)].lookup(answer.destination)
        back = self.fabric.way(route, answer.destination) if isinstance(route, Route) else None
        if back is not None:
            self._forward(_Frame.of(answer, back))

    def _hand_in(self, host: _Host, way: Way, packet: Packet) -> None:
        if host.life == "paused":
            host.arrived.append(_Frame.of(packet, way))
        else:
            self._receive(host, way, packet)

    def _receive(self, host: _Host, way: Way, packet: Packet) -> None:
        if not isinstance(packet.content, Datagram):
            error = packet.content.error
            host.icmp_arrives(Pair(error.local, error.remote), error.seq, error.type, error.code, self.now, error.mtu)
        elif packet.forged or packet.damages:
            host.packet_arrives(_octets(way, packet)[len(way.header) :], self.now)
        else:
            host.segment_arrives(packet.content, packet.ident, self.now)
        self._flush(host)

    # The record

    def _note(self, events: Iterable[Event]) -> None:
        for event in events:
            self.events.append(event)
            if self.timeline.observe(event):
                self.agenda.stir(self.timeline)
            if self.curious:
                self.forger.observe(event)
            if self.watch is not None:
                self.watch(event)

    def _note_deed(self, packet: Packet, link: str, deed: Deed) -> None:
        """Only of whole segments, as in the testbed: what became of the others has been told."""
        datagram, valid = packet.read()
        if datagram is not None and valid:
            fields = segment_fields(datagram, name_of(datagram, self.names), packet.ident)
            kind = Lost if deed.loses else Disturbed
            self._note([kind(t=self.now, link=link, reason=deed.what, rule=deed.rule, **fields)])

    def _open_captures(self, folder: Path | None) -> dict[str, PcapWriter]:
        if folder is None:
            return {}
        return {name: PcapWriter(folder / f"{name}.pcap", EN10MB) for name in self.fabric.places}

    def _capture(self, interface: str, way: Way, packet: Packet) -> None:
        if interface in self.captures:
            self.captures[interface].write(self.now * 1000, _octets(way, packet))


def _octets(way: Way, packet: Packet) -> bytes:
    """The frame as a wire has it."""
    octets = way.header + packet.encode()
    for place in packet.damages:
        octets = damage(octets, place)
    return octets
