"""A scenario in virtual time: `simulate(scenario)` gives its trace, the same octets for the same seed.

Hosts, lines and the timeline are the very classes that the testbed uses; only the clock and the wire are
made up. At one instant frames arrive first, then timers expire, then the scenario's steps are taken.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tcpclose.forging import Forger
from tcpclose.frailhost import FrailHost, SimulatedHands
from tcpclose.host import call_event, parties
from tcpclose.hostfaults import OFF, Faults
from tcpclose.links import Deed, FateBook, Line, link_random
from tcpclose.protocol.datagram import Datagram
from tcpclose.protocol.options import options_length
from tcpclose.protocol.stack import Pair
from tcpclose.scenario import Fault, Scenario, ScenarioError, Step
from tcpclose.scenario.faults import Crash, Cut, Injection, Limit, Pause, Reboot, Silent, Speaking
from tcpclose.timeline import Timeline
from tcpclose.topology import Network
from tcpclose.trace.events import Disturbed, Event, FaultTaken, Lost, Trace, segment_fields
from tcpclose.wire import (
    EN10MB,
    PcapWriter,
    damage,
    encode_tcp,
    ethernet_header,
)

_ETHERNET = 14  # octets
_HEADERS = _ETHERNET + 20 + 20  # octets of Ethernet, IPv4 and TCP in front of the text


class _Frame(NamedTuple):
    """A datagram on its way: `ident` is its IPv4 identification, `hops` the lines still ahead, by their links.

    `source` is the host that sent it; if it has `forged` it, these are the octets. `damages` are the places, from 0 to
    1, where links have flipped a bit.
    """

    datagram: Datagram
    ident: int
    octets: int
    hops: tuple[tuple[str, Line[_Frame]], ...]
    source: str
    forged: bytes = b""
    damages: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        datagram: Datagram,
        ident: int,
        hops: tuple[tuple[str, Line[_Frame]], ...],
        source: str = "",
        forged: bytes = b"",
    ) -> _Frame:
        """A new one, as long as on a wire."""
        segment = datagram.segment
        octets = _ETHERNET + len(forged) if forged else _HEADERS + options_length(segment) + len(segment.data)
        return cls(datagram, ident, octets, hops, source, forged)

    def damaged(self, place: float) -> _Frame:
        """The same, with one more bit flipped."""
        return self._replace(damages=(*self.damages, place))


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
) -> Trace:
    """Run `scenario` on `network` in virtual time.

    With `captures`, one pcap for each host interface is written into that folder. `watch` is called with each event
    as it happens. Raises `ScenarioError` as `check_simulable` does.
    """
    check_simulable(scenario)
    return _Simulation(scenario, network, captures, watch).run()


def check_simulable(scenario: Scenario) -> None:
    """Raise `ScenarioError` for what only an operating system can do."""
    for name, host in scenario.host.items():
        if host.stack == "linux":
            raise ScenarioError(
                [f'host.{name}.stack = "linux": the simulator has no Linux kernel; use --world mininet']
            )


class _Simulation:
    def __init__(
        self, scenario: Scenario, network: Network, captures: Path | None, watch: Callable[[Event], None] | None
    ) -> None:
        self.scenario = scenario
        self.network = network
        self.timeline = Timeline(scenario)
        self.watch = watch
        self.now = 0
        self.events: list[Event] = []
        addresses = {name: interface.address for name, interface in network.hosts.items()}
        self.owners = {address: name for name, address in addresses.items()}
        self.hosts: dict[str, _Host] = {name: FrailHost(scenario, name, addresses) for name in network.hosts}
        self.lines: dict[tuple[str, str], Line[_Frame]] = {
            (link.name, way): Line(settings, link_random(scenario.seed, link.name, way), _Frame.damaged)
            for link in network.links.values()
            for way, settings in zip(link.directions, link.both, strict=True)
        }
        self.links = {line: link for (link, _), line in self.lines.items()}
        self.agenda = _Agenda(self.lines.values(), self.hosts.values(), self.timeline)
        known = parties(scenario, addresses)
        self.fates = {link.name: FateBook(link.fates, known) for link in network.links.values() if link.fates}
        self.path = cache(lambda src, dst: tuple((link, self.lines[link, way]) for link, way in network.path(src, dst)))
        self.forger = Forger(scenario, addresses)
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
                            self._note_deed(frame, self.links[party], Deed(reason))
                        else:
                            self._forward(frame)
                case FrailHost():
                    party.timeout(self.now)
                    self._flush(party)
                case Timeline():
                    for step in party.due(self.now):
                        self._take(step)
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
        """A fault takes effect at once. A cut link loses what is on its way in both directions."""
        if isinstance(fault, Crash | Reboot | Pause | Limit | Injection):
            self.faults.strike(fault, self.now)
            self.agenda.stir(self.timeline)  # it may come up again later
            self._catch_up(self.hosts[fault.host])
            return
        for (link, way), line in self.lines.items():
            speaker, _, hearer = way.partition(">")
            match fault:
                case Cut(kind="link_down", link=name) if name == link:
                    for frame in line.cut():
                        self._note_deed(frame, link, Deed("down"))
                case Cut(link=name) if name == link:
                    line.restore()
                case Silent(host=host, way=muted):
                    line.silence(muted, host == speaker, host == hearer)
                case Speaking(host=host):
                    line.silence(None, host == speaker, host == hearer)
            self.agenda.stir(line)
        self._note([FaultTaken(t=self.now, fault=fault.kind, target=fault.target, detail=fault.detail)])

    def _catch_up(self, host: _Host) -> None:
        """After a fault: let out what was held and what it brought on, and handle what has waited."""
        self._flush(host)
        while host.life == "on" and host.arrived:
            self._receive(host, host.arrived.popleft())
        at = host.next_timeout()
        if at is not None and at <= self.now:
            host.timeout(self.now)
            self._flush(host)
        while host.life == "on" and host.called:
            self._perform(host, host.called.popleft())
        for source, forged in self.hands.take_forged():
            self._send(source, forged.datagram, forged.ident, forged.packet)

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
        for ident, datagram in frames:
            self._send(host.name, datagram, ident)
        self.agenda.stir(host)
        for step in due:
            if not step.fault:
                self._take(step)

    def _send(self, source: str, datagram: Datagram, ident: int, forged: bytes = b"") -> None:
        destination = self.owners.get(datagram.dst.address)
        hops = self.path(source, destination) if destination else ()
        frame = _Frame.of(datagram, ident, hops, source, forged)
        self._capture(source, frame)
        if hops:
            self._forward(frame)

    def _forward(self, frame: _Frame) -> None:
        """A frame goes on to its next line; behind the last one is the host that it is for."""
        datagram, ident, octets, hops, source, forged, damages = frame
        if not hops:
            self._arrive(frame)
            return
        link, line = hops[0]
        fates = self.fates.get(link)
        orders = fates.judge(datagram) if fates and not damages else ()
        rest = _Frame(datagram, ident, octets, hops[1:], source, forged, damages)
        for deed in line.offer(rest, octets, self.now, orders):
            self._note_deed(frame, link, deed)
        self.agenda.stir(line)

    def _arrive(self, frame: _Frame) -> None:
        host = self.hosts[self.owners[frame.datagram.dst.address]]
        self._capture(host.name, frame)
        if host.life == "paused":
            host.arrived.append(frame)
        else:
            self._receive(host, frame)

    def _receive(self, host: _Host, frame: _Frame) -> None:
        if frame.forged or frame.damages:
            host.packet_arrives(self._octets(frame)[_ETHERNET:], self.now)
        else:
            host.segment_arrives(frame.datagram, frame.ident, self.now)
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

    def _note_deed(self, frame: _Frame, link: str, deed: Deed) -> None:
        if frame.damages:
            return  # no whole segment any more: what became of it has been told
        datagram = frame.datagram
        name = self.hosts[self.owners[datagram.src.address]].names.of(Pair(datagram.src, datagram.dst))
        fields = segment_fields(datagram, name, frame.ident)
        kind = Lost if deed.loses else Disturbed
        self._note([kind(t=self.now, link=link, reason=deed.what, rule=deed.rule, **fields)])

    def _open_captures(self, folder: Path | None) -> dict[str, PcapWriter]:
        if folder is None:
            return {}
        return {
            name: PcapWriter(folder / f"{interface.name}.pcap", EN10MB)
            for name, interface in self.network.hosts.items()
        }

    def _capture(self, host: str, frame: _Frame) -> None:
        if host in self.captures:
            self.captures[host].write(self.now * 1000, self._octets(frame))

    def _octets(self, frame: _Frame) -> bytes:
        destination = self.network.hosts[self.owners[frame.datagram.dst.address]]
        header = ethernet_header(destination.mac, self.network.hosts[frame.source].mac)
        layout = self.hosts[frame.source].stack.config.option_layout
        octets = header + (frame.forged or encode_tcp(frame.datagram, frame.ident, layout=layout))
        for place in frame.damages:
            octets = damage(octets, place)
        return octets
