"""From the trace of a run to a two-column figure of the RFC (see `figure`): `format_figure(draw(trace))`.

A figure knows no clock, only what comes before what. Events of one peer keep their order, and a segment arrives after
it was sent; otherwise the drawing is free, and draws a segment as one arrow wherever the receiver does nothing
between its departure and its arrival. Played, the figure gives the same trace again.

How late an answer comes says nothing of a timer: its host may have been busy. Our TCP tells of its timers; a kernel
does not, so of its own only those are named that a segment shows: what is repeated for no reason, and a probe.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from tcpclose.protocol.fsm import Event as Happens
from tcpclose.protocol.fsm import State
from tcpclose.protocol.segment import ACK, PSH, RST, SYN, Segment, parse_ctl, seq_add
from tcpclose.trace.events import Call, Change, Event, Expired, FaultTaken, Received, SegmentEvent, Sent, Trace
from tcpclose.trace.figure import Arrow, Line
from tcpclose.trace.flights import MOMENT, Flight, connections, flights, telling
from tcpclose.trace.spans import Outage

#: Where the numbers of A and of B start, as in the RFC's figures.
_ISS = {"A": 100, "B": 300}
_OTHER = {"A": "B", "B": "A"}

#: The events of the machine that are timers, and how a figure calls them.
_TIMERS = {
    Happens.TIME_WAIT_TIMEOUT.name: "2 msl",
    Happens.USER_TIMEOUT.name: "user timeout",
    Happens.RETRANSMISSION_LIMIT.name: "rto",
    Happens.KEEPALIVE_TIMEOUT.name: "keepalive",
    Happens.FIN_WAIT_2_TIMEOUT.name: "fin-wait-2 timeout",
}


def draw(
    trace: Trace,
    connection: str | None = None,
    peers: tuple[str, str] | None = None,
    since: int = 0,
    absolute: bool = False,
) -> list[Line]:
    """One connection of a trace, by default the first, as a figure from the time `since` on.

    `peers` are the hosts A and B, by default who opens and the other. Sequence numbers start at 100 and 300 unless
    `absolute`. Raises `ValueError` if there is no such connection, or if it has not two ends.
    """
    known = connections(trace)
    name = connection if connection is not None else next(iter(known), None)
    if name is None or name not in known:
        raise ValueError(f"no connection {connection or ''} in the trace; there are: {', '.join(known) or 'none'}")
    flown = [flight for flight in flights(trace) if flight.connection == name]
    hosts = peers or _peers(trace, name, flown)
    part = {flight.source for flight in flown} | {flight.target for flight in flown if flight.arrived}
    if others := part.difference(hosts):
        raise ValueError(f"a figure has two peers, and {', '.join(sorted(others))} takes part in {name} too")
    figure = _Figure({host: peer for peer, host in zip("AB", hosts, strict=True)}, flown, absolute)
    steps = _Steps(trace, name, figure.names, flown)
    figure.states.update(steps.before())
    for step in steps.read():
        figure.add(step, drawn=step.at >= since)
    return figure.finish()


def _peers(trace: Trace, connection: str, flown: list[Flight]) -> tuple[str, str]:
    """Who opens, or else who sends first, and the other."""
    opens = [call.host for call in trace.of(Call) if call.connection == connection and call.call == "open"]
    hosts = list(dict.fromkeys([*opens, *(host for flight in flown for host in (flight.source, flight.target))]))
    if len(hosts) != 2:
        raise ValueError(f"connection {connection} has not two ends but {len(hosts)}: {', '.join(hosts)}")
    return hosts[0], hosts[1]


@dataclass(slots=True)
class _Step:
    """What one peer does or meets: a call (or timer), a note, or a segment that it sends or that arrives."""

    at: int
    peer: str
    kind: str
    word: str = ""
    flight: Flight | None = None
    #: Where it leads, if it changes the state.
    state: State | None = None
    #: A fault of the network, and of neither peer.
    elsewhere: bool = False


class _Steps:
    """The events of a trace, as far as they concern one connection, as steps of its two peers in order of time."""

    def __init__(self, trace: Trace, connection: str, names: dict[str, str], flown: list[Flight]) -> None:
        self.trace = trace
        self.connection = connection
        self.names = names
        self.flights: dict[int, Flight] = {}
        for flight in flown:
            for event in (flight.sent, flight.arrived, flight.lost):
                if event is not None:
                    self.flights.setdefault(id(event), flight)  # a copy made on the way shares what was sent
        self.ports = {address for flight in flown for address in (flight.segment.src, flight.segment.dst)}
        self.steps: list[_Step] = []
        self.last: dict[str, _Step] = {}  # what each peer did last, but for segments that it sent
        self.stirred = {"A": -MOMENT, "B": -MOMENT}
        self.telling = telling(trace)
        self.windows = {"A": 1, "B": 1}  # what each peer was offered last
        self.acked = {"A": 0, "B": 0}  # the highest ACK that each peer has heard
        self.ends = {"A": 0, "B": 0}  # behind the last number that each peer has used
        # From which number on what each peer met last is a reason to send something again; None: it is none.
        self.may_repeat: dict[str, int | None] = {"A": None, "B": None}

    def before(self) -> dict[str, State]:
        """Where the peers are when the trace begins, as their first rows tell; a LISTEN may be told by its call."""
        listening = {call.host for call in self.trace.of(Call) if call.call == "listen"}
        found: dict[str, State] = {}
        for change in self.trace.of(Change):
            if change.connection == self.connection and change.host in self.names.keys() - listening:
                found.setdefault(self.names[change.host], State(change.old))
        return found

    def read(self) -> list[_Step]:
        for event in self.trace:
            match event:
                case Call() if event.host in self.names and self._is_ours(event):
                    self._stir(event, event.host, "note" if event.error else "call", _call_word(event))
                case Change() if event.connection == self.connection and event.host in self.names:
                    self._change(event)
                case Expired() if event.connection == self.connection and event.host in self.names:
                    self._stir(event, event.host, "call", event.timer)
                case FaultTaken() if event.connection in (None, self.connection):
                    self._fault(event)
                case Sent() if id(event) in self.flights:
                    self._sent(event, self.flights[id(event)])
                case SegmentEvent() if id(event) in self.flights:
                    self._seen(event, self.flights[id(event)])
        last = {event.host: event.new for event in self.trace.of(Change) if event.connection == self.connection}
        over = set(last.values()) == {State.CLOSED.value}
        while over and self.steps[-1].elsewhere:
            self.steps.pop()
        return self.steps

    def _is_ours(self, call: Call) -> bool:
        if call.connection is not None:
            return call.connection == self.connection
        return any(port.endswith(f":{call.port}") for port in self.ports)

    def _stir(self, event: Event, host: str, kind: str, word: str = "", flight: Flight | None = None) -> _Step:
        step = _Step(event.t, self.names[host], kind, word, flight)
        self.steps.append(step)
        self.last[step.peer] = step
        self.stirred[step.peer] = event.t
        self.may_repeat[step.peer] = None
        return step

    def _change(self, change: Change) -> None:
        """A timer of the machine; else it follows from what the peer met last; else nobody told us why."""
        peer = self.names[change.host]
        if change.event in _TIMERS:
            self._stir(change, change.host, "call", _TIMERS[change.event])
        elif peer not in self.last or change.t - self.stirred[peer] > MOMENT:
            self._stir(change, change.host, "note", f"{change.event}: {change.new}" if change.event else change.new)
        self.last[peer].state = State(change.new)

    def _fault(self, fault: FaultTaken) -> None:
        if fault.target in self.names and fault.fault == "reboot":
            self._stir(fault, fault.target, "call", "reboot").state = State.CLOSED
            return
        outage = Outage(fault.fault, fault.target, fault.t, None)
        if fault.target in self.names:  # what follows may be its doing, as a RST is when room is taken away
            self._stir(fault, fault.target, "note", outage.name)
        else:
            self.steps.append(_Step(fault.t, next(iter(self.names.values())), "note", outage.name, elsewhere=True))

    def _sent(self, event: Sent, flight: Flight) -> None:
        peer = self.names[flight.source]
        if flight.source not in self.telling and (timer := self._timer(flight, peer)):
            self._stir(event, flight.source, "call", timer)
            # What follows in the same burst may be repeated, too; the same once more is another timer's.
            self.may_repeat[peer] = flight.seq + 1
        self.steps.append(_Step(event.t, peer, "send", flight=flight))
        if "RST" not in flight.controls:
            occupied = event.len + len({"SYN", "FIN"} & flight.controls)
            self.ends[peer] = max(self.ends[peer], flight.seq + occupied)

    def _timer(self, flight: Flight, peer: str) -> str | None:
        """The one that must have sent a segment. A probe repeats the last number, and nothing of what had it."""
        if flight.retransmission:
            start = self.may_repeat[peer]
            return "rto" if start is None or flight.seq < start else None
        if flight.segment.len or parse_ctl(flight.segment.ctl) != ACK or flight.seq != self.ends[peer] - 1:
            return None
        return "keepalive" if self.windows[peer] else "rto"

    def _seen(self, event: SegmentEvent, flight: Flight) -> None:
        """Elsewhere than at its sender."""
        if not isinstance(event, Received):
            return
        peer, ack = self.names[flight.target], flight.ack or 0
        self._stir(event, flight.target, "arrive", flight=flight)
        self.windows[peer] = event.wnd
        # Progress, or a duplicate acknowledgment (RFC 5681), or the other SYN of a simultaneous open.
        progress = ack > self.acked[peer] > 0
        empty = not event.len and not {"SYN", "FIN"} & flight.controls
        reason = progress or empty or ("SYN" in flight.controls and flight.changes)
        self.may_repeat[peer] = 0 if reason else None
        self.acked[peer] = max(ack, self.acked[peer])


def _call_word(call: Call) -> str:
    word = f"{call.call} {call.octets}" if call.octets is not None else call.call
    return f"{word}: {call.error}" if call.error else word


class _Figure:
    """Lines of a figure, one step after the other."""

    def __init__(self, names: dict[str, str], flown: list[Flight], absolute: bool) -> None:
        self.names = names
        self.shift = {"A": 0, "B": 0} if absolute else _shifts(names, flown)
        self.lines: list[Line] = []
        self.states = {"A": State.CLOSED, "B": State.CLOSED}
        self.steps: list[_Step] = []
        self.ahead: dict[str, deque[_Step]] = {"A": deque(), "B": deque()}
        self.departed: set[int] = set()  # segments that are on their way
        self.callers: set[str] = set()  # whose calls stand in the last lines, and no states after them

    def add(self, step: _Step, drawn: bool) -> None:
        """Take a step. What is not drawn only shows where the figure begins, and so does a first LISTEN."""
        listens = step.kind == "call" and step.word == "listen"
        if drawn and (self.steps or not listens):
            self.steps.append(step)
            self.ahead[step.peer].append(step)
        else:
            self._enter(step)
            if step.flight is not None:
                self._in_flight(step.flight, step.kind == "send")

    def finish(self) -> list[Line]:
        self._add_states()
        for step in self.steps:
            queue = self.ahead[step.peer]
            if not queue or queue[0] is not step:
                continue  # drawn before, with the segment's departure
            queue.popleft()
            if step.flight is not None:
                self._segment(step, step.flight)
            elif not self._is_implied(step):
                self._word(step)
            else:
                self._enter(step)
        if self.callers:
            self._add_states()
        for number, line in enumerate(self.lines, 1):
            line.number = number
        return self.lines

    def _enter(self, step: _Step) -> None:
        """The peer's state after a step. In LISTEN there is no connection that could tell of it."""
        state = step.state
        if state is None and step.kind == "call":
            if step.word == "listen":
                state = State.LISTEN
            elif step.word in ("close", "abort") and self.states[step.peer] is State.LISTEN:
                state = State.CLOSED
        self.states[step.peer] = state or self.states[step.peer]

    def _is_implied(self, step: _Step) -> bool:
        """The segment that follows says it: an OPEN by its SYN, a SEND by its text."""
        following = next(iter(self.ahead[step.peer]), None)
        if step.kind != "call" or following is None or following.kind != "send" or following.flight is None:
            return False
        segment = following.flight.segment
        if step.word == "open":
            return parse_ctl(segment.ctl) == SYN and self.states[step.peer] is State.CLOSED
        return step.word == f"send {segment.len}" and segment.len > 0

    def _word(self, step: _Step) -> None:
        """A call shares the line of the other peer's, if both are about to send."""
        others = self.callers - {step.peer}
        alone = not all(self.ahead[peer] and self.ahead[peer][0].kind == "send" for peer in others)
        if step.kind == "note":
            self.lines.append(Line(0, notes=[(step.peer, step.word)]))
        elif others and alone:
            self._add_states()
        if step.kind == "call":
            if others and not alone and all(peer != step.peer for peer, _ in self.lines[-1].calls):
                self.lines[-1].calls = sorted([*self.lines[-1].calls, (step.peer, step.word)])
            else:
                self.lines.append(Line(0, calls=[(step.peer, step.word)]))
        self._enter(step)
        if step.kind == "call" or step.state is not None:
            self.callers.add(step.peer)

    def _segment(self, step: _Step, flight: Flight) -> None:
        if self.callers and (step.kind != "send" or step.peer not in self.callers):
            self._add_states()
        self.callers.clear()
        peer = self.names[flight.source]
        sent = step.kind == "send"
        duplicate = not sent and id(flight.sent) not in self.departed
        arrives = not sent
        self._in_flight(flight, sent)
        if sent:
            queue = self.ahead[_OTHER[peer]]
            if queue and queue[0].kind == "arrive" and queue[0].flight is flight:
                step, arrives = queue.popleft(), True
                self._in_flight(flight, False)
        self._enter(step)
        lost = sent and not arrives and flight.missing
        arrow = Arrow(peer, self._numbered(flight, peer), sent, arrives, lost, duplicate)
        shown = [(who, state) for who, state in self.states.items() if not (duplicate and who == peer)]
        self.lines.append(Line(0, arrow=arrow, states=shown))

    def _in_flight(self, flight: Flight, departs: bool) -> None:
        """Keep what is on its way. What arrives and is not was made on the way, or by nobody."""
        if departs:
            self.departed.add(id(flight.sent))
        else:
            self.departed.discard(id(flight.sent))

    def _add_states(self) -> None:
        self.lines.append(Line(0, states=list(self.states.items())))
        self.callers.clear()

    def _numbered(self, flight: Flight, peer: str) -> Segment:
        """As figures have it: no PSH, and numbers from where they shall start."""
        event = flight.segment
        ctl = parse_ctl(event.ctl) & ~PSH
        bare = ctl == RST | ACK and event.seq == 0  # 3.10.7.1: the number of a RST that has none to go by
        seq = event.seq if bare else seq_add(event.seq, self.shift[peer])
        ack = seq_add(event.ack, self.shift[_OTHER[peer]]) if ctl & ACK else 0
        return Segment(seq, ack, ctl, 65535, bytes(event.len))


def _shifts(names: dict[str, str], flown: list[Flight]) -> dict[str, int]:
    """What is to be added to the numbers of each peer."""
    first = {"A": 0, "B": 0}
    for peer in "AB":
        first[peer] = next(_beginnings(peer, names, flown), _ISS[peer])
    return {peer: _ISS[peer] - number for peer, number in first.items()}


def _beginnings(peer: str, names: dict[str, str], flown: list[Flight]) -> Iterator[int]:
    """Candidates for the ISS of a peer, the best first: its SYN, its first segment, what the other acknowledges."""
    for wanted in (SYN, ACK):
        for flight in flown:
            ctl = parse_ctl(flight.segment.ctl)
            if names[flight.source] == peer and ctl & wanted and not ctl & RST:
                yield seq_add(flight.segment.seq, 0 if ctl & SYN else -1)
    for flight in flown:
        if names[flight.source] != peer and parse_ctl(flight.segment.ctl) & ACK:
            yield seq_add(flight.segment.ack, -1)
