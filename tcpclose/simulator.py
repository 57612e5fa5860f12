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

from tcpclose.host import Host, parties
from tcpclose.links import Deed, FateBook, Line, link_random
from tcpclose.protocol.datagram import Datagram
from tcpclose.protocol.options import options_length
from tcpclose.protocol.stack import Pair
from tcpclose.scenario import Fault, Scenario, ScenarioError, Step
from tcpclose.scenario.faults import Cut
from tcpclose.timeline import Timeline
from tcpclose.topology import Network
from tcpclose.trace.events import Disturbed, Dropped, Event, FaultTaken, Lost, Trace, segment_fields
from tcpclose.wire import (
    EN10MB,
    Malformed,
    PcapWriter,
    damage,
    decode_ethernet,
    decode_tcp,
    encode_tcp,
    ethernet_header,
)

_HEADERS = 14 + 20 + 20  # octets of Ethernet, IPv4 and TCP in front of the text


class _Frame(NamedTuple):
    """A datagram on its way: `ident` is its IPv4 identification, `hops` the lines still ahead, by their links.

    `damages` are the places, from 0 to 1, where links have flipped a bit.
    """

    datagram: Datagram
    ident: int
    octets: int
    hops: tuple[tuple[str, Line[_Frame]], ...]
    damages: tuple[float, ...] = ()

    @classmethod
    def of(cls, datagram: Datagram, ident: int, hops: tuple[tuple[str, Line[_Frame]], ...]) -> _Frame:
        """A new one, as long as on a wire."""
        return cls(datagram, ident, _HEADERS + options_length(datagram.segment) + len(datagram.segment.data), hops)

    def damaged(self, place: float) -> _Frame:
        """The same, with one more bit flipped."""
        return self._replace(damages=(*self.damages, place))


_Party = Line[_Frame] | Host | Timeline
_Entry = tuple[int, int, int]  # time, how often it has gone round at that time, rank of the party


class _Agenda:
    """Whose turn it is. At one instant it goes round: lines first, then hosts, then the timeline, then lines again.

    A party is asked for its next time only after something has happened to it, which `stir` says. So an event costs
    the logarithm of the number of parties.
    """

    def __init__(self, lines: Iterable[Line[_Frame]], hosts: Iterable[Host], timeline: Timeline) -> None:
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
        self.hosts = {name: Host(scenario, name, addresses) for name in network.hosts}
        self.lines: dict[tuple[str, str], Line[_Frame]] = {
            (link.name, way): Line(settings, link_random(scenario.seed, link.name, way), _Frame.damaged)
            for link in network.links.values()
            for way, settings in zip(link.directions, link.both, strict=True)
        }
        self.agenda = _Agenda(self.lines.values(), self.hosts.values(), self.timeline)
        known = parties(scenario, addresses)
        self.fates = {link.name: FateBook(link.fates, known) for link in network.links.values() if link.fates}
        self.path = cache(lambda src, dst: tuple((link, self.lines[link, way]) for link, way in network.path(src, dst)))
        self.captures = self._open_captures(captures)

    def run(self) -> Trace:
        while (turn := self.agenda.take()) is not None and turn[0] <= self.scenario.duration:
            self.now, party = turn
            self.agenda.stir(party)
            match party:
                case Line():
                    for frame in party.due(self.now):
                        self._forward(frame)
                case Host():
                    party.timeout(self.now)
                    self._flush(party)
                case Timeline():
                    for step in party.due(self.now):
                        self._take(step)
        for host in self.hosts.values():
            self._note(host.texts(self.now))
        for capture in self.captures.values():
            capture.close()
        return Trace(self.events)

    # Steps

    def _take(self, step: Step) -> None:
        if step.fault:
            self._strike(step.fault)
        else:
            host = self.hosts[step.host]
            host.perform(step, self.now)
            self._flush(host)

    def _strike(self, fault: Fault) -> None:
        """A fault takes effect at once. A cut link loses what is on its way in both directions."""
        for (link, _), line in self._lines_of(fault):
            match fault.kind:
                case "link_down":
                    for frame in line.cut():
                        self._note_deed(frame, link, Deed("down"))
                case "link_up":
                    line.restore()
                case "silent" | "speaking":
                    line.silent = fault.kind == "silent"
            self.agenda.stir(line)
        self._note([FaultTaken(t=self.now, fault=fault.kind, target=fault.target)])

    def _lines_of(self, fault: Fault) -> list[tuple[tuple[str, str], Line[_Frame]]]:
        """Both directions of a link; for a host, the direction in which it speaks."""
        if isinstance(fault, Cut):
            return [(key, line) for key, line in self.lines.items() if key[0] == fault.link]
        return [(key, line) for key, line in self.lines.items() if key[1].startswith(f"{fault.target}>")]

    # Frames

    def _flush(self, host: Host) -> None:
        """What a host did becomes known, then what it sends leaves: a fault that strikes in between comes first."""
        self._note(host.events())
        due = self.timeline.due(self.now)
        for step in due:
            if step.fault:
                self._strike(step.fault)
        frames = host.datagrams_to_send(self.now)
        self._note(host.events())
        for ident, datagram in frames:
            destination = self.owners.get(datagram.dst.address)
            hops = () if destination is None else self.path(host.name, destination)
            frame = _Frame.of(datagram, ident, hops)
            self._capture(host.name, frame)
            if hops:
                self._forward(frame)
        self.agenda.stir(host)
        for step in due:
            if not step.fault:
                self._take(step)

    def _forward(self, frame: _Frame) -> None:
        """A frame goes on to its next line; behind the last one is the host that it is for."""
        datagram, ident, octets, hops, damages = frame
        if not hops:
            self._arrive(frame)
            return
        link, line = hops[0]
        fates = self.fates.get(link)
        orders = fates.judge(datagram) if fates and not damages else ()
        for deed in line.offer(_Frame(datagram, ident, octets, hops[1:], damages), octets, self.now, orders):
            self._note_deed(frame, link, deed)
        self.agenda.stir(line)

    def _arrive(self, frame: _Frame) -> None:
        host = self.hosts[self.owners[frame.datagram.dst.address]]
        self._capture(host.name, frame)
        if frame.damages:
            self._drop(host, frame)
            return
        host.segment_arrives(frame.datagram, frame.ident, self.now)
        self._flush(host)

    def _drop(self, host: Host, frame: _Frame) -> None:
        """A damaged segment is read as from a wire, which says what is wrong with it."""
        try:
            decode_tcp(decode_ethernet(self._octets(frame)).payload)
        except Malformed as error:
            self._note([Dropped(t=self.now, host=host.name, reason=error.reason)])

    # The record

    def _note(self, events: Iterable[Event]) -> None:
        for event in events:
            self.events.append(event)
            if self.timeline.observe(event):
                self.agenda.stir(self.timeline)
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
        datagram = frame.datagram
        macs = {interface.address: interface.mac for interface in self.network.hosts.values()}
        header = ethernet_header(macs[datagram.dst.address], macs[datagram.src.address])
        layout = self.hosts[self.owners[datagram.src.address]].stack.config.option_layout
        octets = header + encode_tcp(datagram, frame.ident, layout=layout)
        for place in frame.damages:
            octets = damage(octets, place)
        return octets
