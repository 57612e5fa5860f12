"""The packetdrill script that one end of a connection in a recorded run amounts to: `drill --from`.

What the host's user did becomes calls, what arrived is injected, what the host sent is expected, and the states that it
ended in are asserted. The trace has the order of all that; the captures have the options of the segments, which the
trace leaves out, and ICMP. All times are absolute, so that each stands for itself.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from tcpclose.drill import settings
from tcpclose.drill.calling import Caller, Unsayable
from tcpclose.drill.dialect import Profile, host_config
from tcpclose.drill.icmp import names_of
from tcpclose.drill.info import state_symbol
from tcpclose.drill.packets import scripted_flags, scripted_options
from tcpclose.drill.printer import print_script
from tcpclose.drill.runner import run_text
from tcpclose.drill.script import Action, Code, Event, Icmp, Option, Packet, Script, Time
from tcpclose.protocol.config import SECOND, TcpConfig
from tcpclose.protocol.datagram import Endpoint
from tcpclose.protocol.fsm import State
from tcpclose.protocol.segment import ACK, URG, Segment, format_ctl, seq_add
from tcpclose.scenario import Scenario
from tcpclose.trace.events import (
    Call,
    Change,
    Dropped,
    End,
    FaultTaken,
    Received,
    SegmentEvent,
    Sent,
    Text,
    Told,
    Trace,
)
from tcpclose.wire import EN10MB, IcmpError, Malformed, decode_ethernet, decode_icmp, decode_tcp, read_pcap

_REAL_TIME = 20_000  # microseconds: what hosts on a busy machine may be late

#: Faults of a host of which it does not learn: packets tell all that comes of them.
_UNNOTICED = frozenset({"silent", "speaking"})


@dataclass(frozen=True)
class Recording:
    """A run that is over: what was ordered, what came of it, and the folder of its captures."""

    scenario: Scenario
    trace: Trace
    folder: Path
    real_time: bool = False

    def script(self, host: str, connection: str | None = None) -> str:
        """The text of the script of `host`'s end of a connection, which may be left out where it had but one.

        Raises `Unsayable`, also where the script would not pass: where the host's TCP was not ours, or its other
        connections had to do with this one.
        """
        name = self._connection(host, connection)
        for fault in self.trace.of(FaultTaken):
            if fault.target == host and fault.fault not in _UNNOTICED:
                raise Unsayable(f"{fault.fault} {host} at {fault.t / SECOND:.3f} s: no script can do that to its host")
        title = self.scenario.title or "A run"
        script = f"// {title}: connection {name} as {host} had it.\n{print_script(_Writer(self, host, name).script())}"
        verdict = run_text(script, f"{host}.{name}")
        if verdict.outcome != "passed":
            raise Unsayable(f"a script of this end would not pass, {verdict.message}")
        return script

    def _connection(self, host: str, wanted: str | None) -> str:
        seen = [event for event in self.trace if isinstance(event, Call | SegmentEvent) and hasattr(event, "host")]
        known = list(dict.fromkeys(e.connection for e in seen if e.host == host and e.connection))
        if not known:
            others = ", ".join(sorted({event.host for event in seen}))
            raise Unsayable(f"{host} took no part in this run; these did: {others or 'none'}")
        if wanted is None and len(known) > 1:
            raise Unsayable(f"{host} had several connections; choose one: --connection {'|'.join(known)}")
        if wanted is not None and wanted not in known:
            raise Unsayable(f"{host} had no connection {wanted}; it had {', '.join(known)}")
        return wanted or known[0]

    def captured(self, host: str) -> Iterator[tuple[int, bytes]]:
        """The IP packets at a host's interfaces, with their times of the trace."""
        for path in sorted(self.folder.glob(f"{host}-*.pcap")):
            try:
                capture = read_pcap(path)
                for time, octets in capture if capture.linktype == EN10MB else ():
                    yield time // 1000 - self.trace.zero, bytes(decode_ethernet(octets).payload)
            except Malformed as error:
                raise Unsayable(f"{path} cannot be read: {error}") from None


Key = tuple[str, str, int, int, int, str, int]


class _Writer:
    """One script being written."""

    def __init__(self, recording: Recording, host: str, connection: str) -> None:
        scenario = recording.scenario
        table = scenario.settings(host)
        self.recording = recording
        self.host, self.connection = host, connection
        linux = table.stack == "linux"
        self.profile: Profile = "linux" if linux else table.profile  # type: ignore[assignment]
        usual, config = host_config(self.profile), table.tcp
        names = table.told if linux else [field.name for field in fields(TcpConfig)]
        self.settings = {name: getattr(config, name) for name in names if getattr(config, name) != getattr(usual, name)}
        self.layout = config.option_layout
        self.trace = [event for event in recording.trace if self._concerns(event)]
        self.segments, self.errors = self._read_captures()
        segments = [event for event in self.trace if isinstance(event, SegmentEvent)]
        self.isn = {
            kind: next((e.seq for e in segments if isinstance(e, kind) and "SYN" in e.ctl), 0)
            for kind in (Sent, Received)
        }
        self.ports = {Endpoint.parse(event.src).port for event in segments if isinstance(event, Sent)}
        self.events: list[Event] = []
        self.caller = Caller(scenario, host, connection, self.profile, self.trace, self._add)
        self.state = State.CLOSED

    def _concerns(self, event: Any) -> bool:
        if getattr(event, "host", None) != self.host or isinstance(event, Text):
            return False
        return getattr(event, "connection", None) in (None, self.connection)

    def _read_captures(self) -> tuple[dict[Key, deque[Segment]], list[tuple[int, IcmpError]]]:
        segments: dict[Key, deque[Segment]] = defaultdict(deque)
        errors: list[tuple[int, IcmpError]] = []
        for at, octets in self.recording.captured(self.host):
            try:
                packet = decode_tcp(octets)
            except Malformed as error:
                if error.reason == "not TCP" and (about := decode_icmp(octets)) is not None:
                    errors.append((at, about))
                continue
            src, dst, segment = packet.datagram
            ctl = format_ctl(segment.ctl)
            key = (str(src), str(dst), packet.ident, segment.seq, segment.ack, ctl, len(segment.data))
            segments[key].append(segment)
        return segments, errors

    def script(self) -> Script:
        options = [("tolerance_usecs", str(_REAL_TIME))] if self.recording.real_time else []
        options += [("ip_version", "ipv6")] if self.recording.scenario.ip_version == 6 else []
        self.caller.take_options(self.settings)
        for at, error in self.errors:
            self._inject_icmp(at, error)
        for event in self.trace:
            self._write(event)
        if self.state.has_peer:
            self._assert_state(self.recording.trace.events[-1].t)
        first = settings.command(self.profile, self.settings)
        return Script(tuple(options), tuple(sorted(self.events, key=lambda event: event.time.at)), first)

    def _add(self, at: int, action: Action, until: int | None = None) -> None:
        self.events.append(Event(Time("absolute", at, until, blocks=until is not None), action))

    def _write(self, event: Any) -> None:
        match event:
            case Call():
                self.caller.called(event)
            case Told(signal="ERROR", detail="no route"):
                raise Unsayable(f"at {event.t / SECOND:.3f} s no route led to the peer: a script has one always")
            case Told():
                self.caller.told(event)
            case Sent() | Received():
                self._add(event.t, self._packet(event))
            case Dropped() if "checksum" not in event.reason:
                raise Unsayable(f"at {event.t / SECOND:.3f} s a packet was dropped: {event.reason}")
            case Change():
                self.state = State(event.new)
            case End():
                self._assert_state(event.t + 1)

    def _packet(self, event: Sent | Received) -> Packet:
        inbound = isinstance(event, Received)
        there = self.segments[event.src, event.dst, event.id, event.seq, event.ack, event.ctl, event.len]
        if not there:
            raise Unsayable(f"the capture of {self.host} lacks a segment of {event.t / SECOND:.3f} s")
        segment = there.popleft()
        if segment.ctl >> 8:
            raise Unsayable(f"at {event.t / SECOND:.3f} s a segment came with reserved bits")
        here, opposite = self.isn[type(event)], self.isn[Sent if inbound else Received]
        return Packet(
            inbound,
            scripted_flags(segment.ctl),
            seq_add(segment.seq, -here),
            len(segment.data),
            ack=seq_add(segment.ack, -opposite) if segment.ctl & ACK else None,
            win=segment.wnd,
            urg=segment.up if segment.ctl & URG else None,
            options=tuple(_moved(option, -opposite) for option in scripted_options(segment, self.layout)),
        )

    def _inject_icmp(self, at: int, error: IcmpError) -> None:
        if error.local.port in self.ports:
            seq = seq_add(error.seq, -self.isn[Sent])
            type, code = names_of(error.type, error.code)
            self._add(at, Icmp(True, type, code, error.mtu or None, (seq, 0)))

    def _assert_state(self, at: int) -> None:
        self._add(at, Code(f" assert tcpi_state == {state_symbol(self.state, self.profile)}, tcpi_state "))


def _moved(option: Option, by: int) -> Option:
    """The edges of blocks in the numbers of the script."""
    if option.kind != "sack":
        return option
    return replace(option, numbers=tuple(seq_add(edge, by) for edge in option.numbers))
