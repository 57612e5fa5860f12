"""A figure of the RFC (see `figure`), played against two stacks by `play_figure(text)`; it leaves a trace."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.connection import TcpError
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.fsm import Row, State
from tcpclose.protocol.interface import Timer
from tcpclose.protocol.segment import ACK, PSH, SYN, Segment, format_segment, seq_add
from tcpclose.protocol.stack import Pair, Stack
from tcpclose.trace.events import (
    Call,
    Event,
    Expired,
    FaultTaken,
    Lost,
    Received,
    Sent,
    Trace,
    row_events,
    segment_fields,
)
from tcpclose.trace.figure import Arrow, FigureError, Line, parse_figure, parse_settings

_SOCKETS = {"A": Endpoint("192.0.2.1", 1000), "B": Endpoint("192.0.2.2", 80)}
_OTHER = {"A": "B", "B": "A"}
#: The name of the connection in the trace.
CONNECTION = "c1"


#: Makes the stack of a peer, A or B, of what `Stack` takes.
MakesPeer = Callable[[str, TcpConfig, bytes, Callable[[Pair], int]], Stack]


def _ours(_peer: str, *of: Any) -> Stack:
    return Stack(*of)


def play_figure(text: str, config: TcpConfig | None = None, make: MakesPeer = _ours) -> FigurePlayer:
    """Play a figure against two stacks with `config`, and what the figure says of it; `make` may make other stacks.

    Raises `FigureError` at the first line that does not hold.
    """
    try:
        config = replace(config or TcpConfig(), **parse_settings(text))
    except (TypeError, ValueError) as error:
        raise FigureError(f"a setting of the figure: {error}") from None
    player = FigurePlayer(parse_figure(text), config, make)
    player.play()
    return player


class _Formed(NamedTuple):
    """A segment that a stack has formed, when, and its IPv4 identification; 0 for one that nobody sent."""

    at: int
    segment: Segment
    ident: int


class FigurePlayer:
    """Two stacks, the segments between them, and a clock that moves only when a figure says so."""

    def __init__(self, lines: list[Line], config: TcpConfig, make: MakesPeer = _ours) -> None:
        self.lines = lines
        self.config = config
        self.make = make
        self.now = 0
        self.began = 0  # when the first line was played
        self.events: list[Event] = []
        self.queued: dict[str, deque[_Formed]] = defaultdict(deque)
        self.in_flight: dict[str, list[_Formed]] = {"A": [], "B": []}
        self.idents = {"A": 0, "B": 0}
        self.iss: dict[str, list[int]] = {"A": [], "B": []}
        self.stacks = {peer: self._new_stack(peer) for peer in "AB"}

    @property
    def trace(self) -> Trace:
        """What happened, to draw from `began` on. The peers are the hosts A and B."""
        return Trace(self.events)

    def play(self) -> None:
        self._set_up()
        self.began = self.now = 1
        for line in self.lines:
            try:
                self._play_line(line)
            except TcpError as error:
                raise FigureError(f"line {line.number}: the TCP answers {error}") from None
        for peer in "AB":
            if self.queued[peer]:
                raise FigureError(f"peer {peer} also sent {format_segment(self.queued[peer][0].segment)}")

    def state(self, peer: str) -> State:
        """The state of a peer: its connection's, else LISTEN or CLOSED."""
        stack = self.stacks[peer]
        connection = stack.find(self._pair(peer))
        if connection is not None:
            return connection.state
        return State.LISTEN if stack.listening else State.CLOSED

    # Setting up: the first states are reached by playing to them

    def _set_up(self) -> None:
        first = {peer: self._first_state(peer) for peer in "AB"}
        if State.ESTABLISHED in first.values():
            self._establish()
        for peer, state in first.items():
            if state is State.LISTEN:
                self._call(peer, "listen", Line(0))
            elif state not in (State.CLOSED, State.ESTABLISHED):
                raise FigureError(f"a figure starts in CLOSED, LISTEN or ESTABLISHED, not in {state}")
        for peer in "AB":
            syns = [
                a.segment.seq
                for line in self.lines
                if (a := line.arrow) and a.sender == peer and a.sent and a.segment.ctl & SYN
            ]
            self.iss[peer] = list(dict.fromkeys(syns))

    def _first_state(self, peer: str) -> State:
        for line in self.lines:
            if (peer, "reboot") in line.calls:
                return State.ESTABLISHED
            for who, state in line.states:
                if who == peer:
                    return state
        return State.CLOSED

    def _establish(self) -> None:
        for peer in "AB":
            self.iss[peer] = [seq_add(self._next_number(peer), -1)]
        self._call("B", "listen", Line(0))
        self._call("A", "open", Line(0))
        for peer in "ABA":
            if not self.queued[peer]:
                raise FigureError(f"peer {peer} sends nothing while the connection is opened")
            formed = self.queued[peer].popleft()
            self._note_segment(Sent, peer, formed, formed.at, host=peer)
            self._arrive(peer, formed)
        self.stacks["B"].listening.clear()

    def _next_number(self, peer: str) -> int:
        """Where `peer` stands when the figure starts: its first SEQ, or what the other acknowledges first."""
        for arrow in (line.arrow for line in self.lines):
            if arrow is None or arrow.duplicate:
                continue  # an old duplicate tells where its sender once was
            if arrow.sender == peer and not arrow.segment.ctl & SYN:
                return arrow.segment.seq
            if arrow.sender != peer and arrow.segment.ctl & ACK:
                return arrow.segment.ack
        raise FigureError(f"no segment tells the sequence numbers of peer {peer}")

    # Playing

    def _play_line(self, line: Line) -> None:
        for peer, call in line.calls:
            self._call(peer, call, line)
        if line.arrow is not None:
            self._play_arrow(line.number, line.arrow)
        for peer, state in line.states:
            if self.state(peer) is not state:
                raise FigureError(f"line {line.number}: peer {peer} is in {self.state(peer)}, not in {state}")

    def _play_arrow(self, number: int, arrow: Arrow) -> None:
        peer = arrow.sender
        if arrow.sent:
            formed = self._take_sent(number, arrow)
            self._note_segment(Sent, peer, formed, formed.at, host=peer)
            if arrow.lost:
                self._note_segment(Lost, peer, formed, self.now, link="A-B", reason="loss")
            elif not arrow.arrives:
                self.in_flight[peer].append(formed)
        else:
            formed = self._take_in_flight(number, arrow)
        if arrow.arrives:
            self._arrive(peer, formed)

    def _take_sent(self, number: int, arrow: Arrow) -> _Formed:
        peer, expected = arrow.sender, arrow.segment
        self._imply_call(peer, expected)
        if not self.queued[peer]:
            raise FigureError(f"line {number}: peer {peer} sent nothing, not {format_segment(expected)}")
        formed = self.queued[peer].popleft()
        if not _matches(expected, formed.segment):
            raise FigureError(
                f"line {number}: peer {peer} sent {format_segment(formed.segment)}, not {format_segment(expected)}"
            )
        return formed

    def _take_in_flight(self, number: int, arrow: Arrow) -> _Formed:
        waiting = self.in_flight[arrow.sender]
        for index, formed in enumerate(waiting):
            if _matches(arrow.segment, formed.segment):
                return waiting.pop(index)
        if waiting and not arrow.duplicate:
            first, wanted = format_segment(waiting[0].segment), format_segment(arrow.segment)
            raise FigureError(f"line {number}: in flight is {first}, not {wanted}")
        return _Formed(self.now, arrow.segment, 0)

    def _imply_call(self, peer: str, expected: Segment) -> None:
        if self.queued[peer]:
            return
        if expected.ctl == SYN and self.state(peer) is State.CLOSED:
            self._call(peer, "open", Line(0))
        elif expected.data:
            self._call(peer, f"send {len(expected.data)}", Line(0))

    def _arrive(self, sender: str, formed: _Formed) -> None:
        receiver = _OTHER[sender]
        self._note_segment(Received, sender, formed, self.now, host=receiver)
        self.stacks[receiver].segment_arrives(self._datagram(sender, formed.segment), self.now)
        self._collect(receiver)

    def _call(self, peer: str, call: str, line: Line) -> None:
        stack, pair = self.stacks[peer], self._pair(peer)
        word, _, number = call.partition(" ")
        octets = int(number) if number.isdecimal() else None
        users: dict[str, Callable[[], object]] = {
            "open": lambda: stack.open(pair, self.now),
            "listen": lambda: stack.listen(pair.local.port),
            "send": lambda: stack.send(pair, bytes(octets or 0), self.now),
            "receive": lambda: stack.receive(pair, self.now, octets),
            "close": lambda: stack.close(pair, self.now),
            "release": lambda: stack.release(pair, self.now),
            "abort": lambda: stack.abort(pair, self.now),
        }
        if word in users:
            port = pair.local.port if word == "listen" else None
            name = None if port else CONNECTION
            self.events.append(Call(t=self.now, host=peer, connection=name, call=word, port=port, octets=octets))
        if call in ("close", "abort") and self.state(peer) is State.LISTEN:
            stack.listening.clear()  # 3.10.4 and 3.10.5: in LISTEN there is only the TCB to delete
        elif word in users:
            users[word]()
        elif call == "reboot":
            self.stacks[peer] = self._new_stack(peer)
            self.events.append(FaultTaken(t=self.now, fault=call, target=peer))
        else:
            self._expire(peer, call, line)
        self._collect(peer)

    def _expire(self, peer: str, timer: str, line: Line) -> None:
        stack, pair = self.stacks[peer], self._pair(peer)
        connection = stack.find(pair)
        at: int | None = None
        if connection is not None:
            alive = connection.keepalive
            deadlines = {
                "rto": connection.sender.rto_at,
                "user timeout": connection.sender.user_at,
                "loss probe": connection.sender.probe_at,
                "override timeout": connection.sender.override_at,
                "2 msl": connection.time_wait_at,
                "fin-wait-2 timeout": connection.fin_wait_2_at,
                "keepalive": None if alive is None else alive.at,
                "delayed ack": connection.next_timeout(),  # nothing else is so short
            }
            at = deadlines[timer]
        if at is None:
            raise FigureError(f"line {line.number}: peer {peer} has no such timer running")
        self.now = max(self.now, at)
        stack.timeout(self.now)

    def _collect(self, peer: str) -> None:
        stack = self.stacks[peer]
        for _, what in stack.news():
            if isinstance(what, Timer):
                self.events.append(Expired(t=self.now, host=peer, connection=CONNECTION, timer=what.value))
            if not isinstance(what, Row):
                continue
            self.events += row_events(what, self.now, peer, CONNECTION)
            if what.cause:
                stack.listening.clear()  # in a figure a passive OPEN is for one connection, as in 3.10.1
        for datagram in stack.datagrams_to_send():
            self.idents[peer] += 1
            self.queued[peer].append(_Formed(self.now, datagram.segment, self.idents[peer]))

    def _note_segment(
        self, kind: type[Sent] | type[Received] | type[Lost], sender: str, formed: _Formed, at: int, **where: Any
    ) -> None:
        fields = segment_fields(self._datagram(sender, formed.segment), CONNECTION, formed.ident)
        self.events.append(kind(t=at, **where, **fields))

    @staticmethod
    def _datagram(sender: str, segment: Segment) -> Datagram:
        return Datagram(_SOCKETS[sender], _SOCKETS[_OTHER[sender]], segment)

    def _new_stack(self, peer: str) -> Stack:
        return self.make(peer, self.config, b"figure", lambda pair: self._draw_iss(self.iss[peer]))

    @staticmethod
    def _draw_iss(numbers: list[int]) -> int:
        """The next ISS that the figure shows; the last one serves again, as a TCB that falls back to LISTEN does."""
        return numbers.pop(0) if len(numbers) > 1 else numbers[0] if numbers else 0

    def _pair(self, peer: str) -> Pair:
        return Pair(_SOCKETS[peer], _SOCKETS[_OTHER[peer]])


def _matches(expected: Segment, got: Segment) -> bool:
    blind = 0 if expected.ctl & PSH else PSH
    return (
        expected.seq == got.seq
        and expected.ctl | blind == got.ctl | blind
        and (not expected.ctl & ACK or expected.ack == got.ack)
        and len(expected.data) == len(got.data)
    )
