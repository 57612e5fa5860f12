"""A scenario in virtual time: `simulate(scenario)` gives its trace, the same octets for the same seed.

Hosts, lines and the timeline are the very classes that the testbed uses; only the clock and the wire are
made up. At one instant frames arrive first, then timers expire, then the scenario's steps are taken.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tcpclose.host import Host, segment_fields
from tcpclose.links import Line, link_random
from tcpclose.protocol.datagram import Datagram
from tcpclose.protocol.options import options_length
from tcpclose.protocol.stack import Pair
from tcpclose.scenario import Fault, Scenario, ScenarioError, Step
from tcpclose.scenario.faults import Cut
from tcpclose.timeline import Timeline
from tcpclose.topology import Network
from tcpclose.trace.events import Event, FaultTaken, Lost, Trace
from tcpclose.wire import EN10MB, PcapWriter, encode_tcp, ethernet_header

_HEADERS = 14 + 20 + 20  # octets of Ethernet, IPv4 and TCP in front of the text


class _Frame(NamedTuple):
    """A datagram on its way: `ident` is its IPv4 identification, `hops` the lines still ahead."""

    datagram: Datagram
    ident: int
    hops: tuple[tuple[str, str], ...]

    @property
    def octets(self) -> int:
        segment = self.datagram.segment
        return _HEADERS + options_length(segment) + len(segment.data)


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
            (link.name, way): Line(link.settings, link_random(scenario.seed, link.name, way))
            for link in network.links.values()
            for way in link.directions
        }
        self.path = cache(lambda src, dst: tuple(network.path(src, dst)))
        self.captures = self._open_captures(captures)

    def run(self) -> Trace:
        while (now := self._next_time()) is not None and now <= self.scenario.duration:
            self.now = now
            self._deliver()
            for host in self.hosts.values():
                at = host.next_timeout()
                if at is not None and at <= now:
                    host.timeout(now)
                    self._flush(host)
            self._take_steps(self.timeline.due(now))
        for host in self.hosts.values():
            self._note(*host.texts(self.now))
        for capture in self.captures.values():
            capture.close()
        return Trace(self.events)

    def _next_time(self) -> int | None:
        times = [self.timeline.next_time()]
        times += [line.next_due() for line in self.lines.values()]
        times += [host.next_timeout() for host in self.hosts.values()]
        return min((at for at in times if at is not None), default=None)

    # Steps

    def _take_steps(self, steps: list[Step]) -> None:
        for step in steps:
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
                        self._note_lost(frame, link, "down")
                case "link_up":
                    line.restore()
                case "silent" | "speaking":
                    line.silent = fault.kind == "silent"
        self._note(FaultTaken(t=self.now, fault=fault.kind, target=fault.target))

    def _lines_of(self, fault: Fault) -> list[tuple[tuple[str, str], Line[_Frame]]]:
        """Both directions of a link; for a host, the direction in which it speaks."""
        if isinstance(fault, Cut):
            return [(key, line) for key, line in self.lines.items() if key[0] == fault.link]
        return [(key, line) for key, line in self.lines.items() if key[1].startswith(f"{fault.target}>")]

    # Frames

    def _flush(self, host: Host) -> None:
        """What a host did becomes known, then what it sends leaves: a fault that strikes in between comes first."""
        self._note(*host.events())
        due = self.timeline.due(self.now)
        self._take_steps([step for step in due if step.fault])
        frames = list(host.datagrams_to_send(self.now))
        self._note(*host.events())
        for ident, datagram in frames:
            self._capture(host.name, datagram, ident)
            destination = self.owners.get(datagram.dst.address)
            if destination is not None:
                self._forward(_Frame(datagram, ident, self.path(host.name, destination)))
        self._take_steps([step for step in due if not step.fault])

    def _forward(self, frame: _Frame) -> None:
        hop = frame.hops[0]
        reason = self.lines[hop].offer(frame._replace(hops=frame.hops[1:]), frame.octets, self.now)
        if reason is not None:
            self._note_lost(frame, hop[0], reason)

    def _deliver(self) -> None:
        for line in self.lines.values():
            for frame in line.due(self.now):
                if frame.hops:
                    self._forward(frame)
                else:
                    self._arrive(frame)

    def _arrive(self, frame: _Frame) -> None:
        host = self.hosts[self.owners[frame.datagram.dst.address]]
        self._capture(host.name, frame.datagram, frame.ident)
        host.segment_arrives(frame.datagram, frame.ident, self.now)
        self._flush(host)

    # The record

    def _note(self, *events: Event) -> None:
        for event in events:
            self.events.append(event)
            self.timeline.observe(event)
            if self.watch is not None:
                self.watch(event)

    def _note_lost(self, frame: _Frame, link: str, reason: str) -> None:
        datagram = frame.datagram
        name = self.hosts[self.owners[datagram.src.address]].names.of(Pair(datagram.src, datagram.dst))
        fields = segment_fields(datagram, name, frame.ident)
        self._note(Lost(t=self.now, link=link, reason=reason, **fields))

    def _open_captures(self, folder: Path | None) -> dict[str, PcapWriter]:
        if folder is None:
            return {}
        return {
            name: PcapWriter(folder / f"{interface.name}.pcap", EN10MB)
            for name, interface in self.network.hosts.items()
        }

    def _capture(self, host: str, datagram: Datagram, ident: int) -> None:
        if host not in self.captures:
            return
        macs = {interface.address: interface.mac for interface in self.network.hosts.values()}
        header = ethernet_header(macs[datagram.dst.address], macs[datagram.src.address])
        layout = self.hosts[self.owners[datagram.src.address]].stack.config.option_layout
        self.captures[host].write(self.now * 1000, header + encode_tcp(datagram, ident, layout=layout))
