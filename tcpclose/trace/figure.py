"""The two-column figures of RFC 9293, 3.5 and 3.6, read and printed. `playing` plays them, `drawing` draws them.

        TCP Peer A                                           TCP Peer B
    1.  ESTABLISHED                                          ESTABLISHED
    2.  (Close)
        FIN-WAIT-1  --> <SEQ=100><ACK=300><CTL=FIN,ACK>  --> CLOSE-WAIT

States stand after the arrow's arrival. `...` at one end of an arrow means in flight: the segment was sent, or
arrives, alone; one that arrives and was never sent is an old duplicate, and is marked (duplicate) while others are
in flight. `XXX` means lost. Users act by (Open) (Listen) (Send n) (Receive n) (Close) (Release) (Abort), where
(Release) gives up both directions; (Reboot) forgets all; a timer expires by its name: (RTO) (User timeout) (2 MSL)
(Keepalive) (FIN-WAIT-2 timeout) (Delayed ACK) (Override timeout). Other parentheses are comments, as in the RFC. An
OPEN that a SYN implies, or a SEND that <DATA=n> implies, need not be written. Exactly these segments may be sent,
and nothing after the last line. PSH counts only where the figure writes it.

Lines before the header are prose, but for settings of both peers, `with keepalive = true`, in TOML.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

from tcpclose.protocol.fsm import State
from tcpclose.protocol.segment import Segment, format_segment, parse_segment

#: What acts, as `_words` writes it where capitals alone would not do; all are read in any case.
_WRITTEN = {
    "rto": "RTO",
    "2 msl": "2 MSL",
    "fin-wait-2 timeout": "FIN-WAIT-2 timeout",
    "delayed ack": "Delayed ACK",
}
_CALL = re.compile(
    r"\((open|listen|send \d+|receive(?: \d+)?|close|release|abort|reboot"
    r"|rto|user timeout|2 msl|keepalive|fin-wait-2 timeout|delayed ack|override timeout)\)",
    re.IGNORECASE,
)
_SETTING = re.compile(r"\s*with (\w+ = .+)")
_DUPLICATE = "(duplicate)"
_SEGMENT_LINE = re.compile(
    r"(?P<left>.*?)\s*(?P<la>-->|<--|\.\.\.|XXX)\s+(?P<seg><\S+>)\s*(?P<ra>-->|<--|\.\.\.|XXX)(?P<right>.*)"
)
_WORD = re.compile(r"\([^)]*\)|[A-Z][A-Z0-9-]+")

#: (left arrow, right arrow) -> (sender, the sender is shown sending, it is shown arriving)
_ARROWS = {
    ("-->", "-->"): ("A", True, True),
    ("-->", "..."): ("A", True, False),
    ("-->", "XXX"): ("A", True, False),
    ("...", "-->"): ("A", False, True),
    ("<--", "<--"): ("B", True, True),
    ("...", "<--"): ("B", True, False),
    ("XXX", "<--"): ("B", True, False),
    ("<--", "..."): ("B", False, True),
}


class FigureError(Exception):
    """The figure cannot be read, or the stacks did not do what it says: line number and what was seen."""


@dataclass(frozen=True)
class Arrow:
    """One segment of a figure."""

    sender: str
    segment: Segment
    sent: bool
    arrives: bool
    lost: bool
    duplicate: bool


@dataclass
class Line:
    """One line: what each peer is told to do, comments, the segment if there is one, the states afterwards."""

    number: int = field(compare=False)
    calls: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    arrow: Arrow | None = None
    states: list[tuple[str, State]] = field(default_factory=list)


def parse_figure(text: str) -> list[Line]:
    """Read a figure. Raises `FigureError` naming the line. Lines before the header `TCP Peer A` are prose."""
    lines: list[Line] = []
    middle = None
    for number, raw in enumerate(text.splitlines(), 1):
        if middle is None:
            if "TCP Peer A" in raw and "TCP Peer B" in raw:
                middle = raw.index("TCP Peer B") - 8
        elif raw.strip():
            lines.append(_parse_line(number, raw, middle))
    if middle is None:
        raise FigureError("no header line `TCP Peer A ... TCP Peer B`")
    return lines


def parse_settings(text: str) -> dict[str, Any]:
    """What the lines `with name = value` before the header say. Raises `FigureError` if they cannot be read."""
    prose = text.partition("TCP Peer A")[0]
    settings = [match[1] for match in map(_SETTING.fullmatch, prose.splitlines()) if match]
    try:
        return tomllib.loads("\n".join(settings))
    except tomllib.TOMLDecodeError as error:
        raise FigureError(f"with {'; with '.join(settings)}: {error}") from None


def _parse_line(number: int, raw: str, middle: int) -> Line:
    line = Line(number)
    body = re.sub(r"^\s*\d+\.", lambda m: " " * len(m[0]), raw)
    match = _SEGMENT_LINE.fullmatch(body)
    if match:
        line.arrow = _parse_arrow(number, match)
        words = [("A", w[0]) for w in _WORD.finditer(match["left"])] + [
            ("B", w[0]) for w in _WORD.finditer(match["right"])
        ]
    else:
        words = [("A" if w.start() < middle else "B", w[0]) for w in _WORD.finditer(body)]
    for peer, word in words:
        if call := _CALL.fullmatch(word):
            line.calls.append((peer, call[1].lower()))
        elif word.startswith("("):
            line.notes += [(peer, word[1:-1])] if word != _DUPLICATE else []
        else:
            if word not in {s.value for s in State}:
                raise FigureError(f"line {number}: {word!r} is no state")
            line.states.append((peer, State(word)))
    return line


def _parse_arrow(number: int, match: re.Match[str]) -> Arrow:
    arrows = (match["la"], match["ra"])
    if arrows not in _ARROWS:
        raise FigureError(f"line {number}: {arrows[0]} with {arrows[1]} says nothing")
    sender, sent, arrives = _ARROWS[arrows]
    try:
        segment = parse_segment(match["seg"])
    except ValueError as error:
        raise FigureError(f"line {number}: {error}") from None
    segment.wnd = 65535
    return Arrow(sender, segment, sent, arrives, "XXX" in arrows, _DUPLICATE in match["left"] + match["right"])


def format_figure(lines: list[Line]) -> str:
    """Write a figure: `parse_figure` reads it back as the same lines. What follows from a call shares its number."""
    sides = [[_words(line, peer) for peer in "AB"] for line in lines]
    segments = [format_segment(line.arrow.segment) if line.arrow else "" for line in lines]
    left = max([11, *(len(a) for a, _ in sides)])
    middle = max([36, *map(len, segments)])
    rows = [f"    {'TCP Peer A':{left}}     {'':{middle}}     TCP Peer B", ""]
    number, goes_on = 0, False
    for line, (a, b), segment in zip(lines, sides, segments, strict=True):
        number += not goes_on
        la, ra = _drawn(line.arrow) if line.arrow else ("", "")
        first = "" if goes_on else f"{number}."
        rows.append(f"{first:3} {a:{left}} {la:3} {segment:{middle}} {ra:3} {b}".rstrip())
        goes_on = bool(line.calls) and not line.arrow and not line.states
    return "\n".join(rows) + "\n"


def _words(line: Line, peer: str) -> str:
    words = [f"({_WRITTEN.get(call, call.capitalize())})" for who, call in line.calls if who == peer]
    words += [f"({note})" for who, note in line.notes if who == peer]
    if line.arrow and line.arrow.duplicate and line.arrow.sender == peer:
        words.append(_DUPLICATE)
    return " ".join([*words, *(str(state) for who, state in line.states if who == peer)])


def _drawn(arrow: Arrow) -> tuple[str, str]:
    """The two ends of an arrow as they are written, left and right."""
    head = "-->" if arrow.sender == "A" else "<--"
    sender = head if arrow.sent else "..."
    hearer = "XXX" if arrow.lost else head if arrow.arrives else "..."
    return (sender, hearer) if arrow.sender == "A" else (hearer, sender)


def play_figure(text: str, config: TcpConfig | None = None) -> FigurePlayer:
    """Play a figure against two stacks with `config`. Raises `FigureError` at the first line that does not hold."""
    player = FigurePlayer(parse_figure(text), config or TcpConfig())
    player.play()
    return player


class FigurePlayer:
    """Two stacks, the segments between them, and a clock that moves only when a figure says so."""

    def __init__(self, lines: list[Line], config: TcpConfig) -> None:
        self.lines = lines
        self.config = config
        self.now = 0
        self.queued: dict[str, list[Segment]] = {"A": [], "B": []}
        self.in_flight: dict[str, list[Segment]] = {"A": [], "B": []}
        self.iss: dict[str, list[int]] = {"A": [], "B": []}
        self.stacks = {peer: self._new_stack(peer) for peer in "AB"}

    def play(self) -> None:
        self._set_up()
        for line in self.lines:
            try:
                self._play_line(line)
            except TcpError as error:
                raise FigureError(f"line {line.number}: the TCP answers {error}") from None
        for peer in "AB":
            if self.queued[peer]:
                raise FigureError(f"peer {peer} also sent {format_segment(self.queued[peer][0])}")

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
                self.stacks[peer].listen(_SOCKETS[peer].port)
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
        self.stacks["B"].listen(_SOCKETS["B"].port)
        self.stacks["A"].open(self._pair("A"), self.now)
        for peer in "ABA":
            self._collect(peer)
            self._arrive(peer, self.queued[peer].pop(0))
        self.stacks["B"].listening.clear()

    def _next_number(self, peer: str) -> int:
        """Where `peer` stands when the figure starts: its first SEQ, or what the other acknowledges first."""
        for line in self.lines:
            arrow = line.arrow
            if arrow and arrow.sender == peer and not arrow.segment.ctl & SYN:
                return arrow.segment.seq
            if arrow and arrow.sender != peer and arrow.segment.ctl & ACK:
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
        segment: Segment | None = None
        if arrow.sent:
            segment = self._take_sent(number, arrow)
            if not arrow.arrives and not arrow.lost:
                self.in_flight[arrow.sender].append(segment)
        else:
            segment = self._take_in_flight(number, arrow)
        if arrow.arrives:
            self._arrive(arrow.sender, segment)

    def _take_sent(self, number: int, arrow: Arrow) -> Segment:
        peer, expected = arrow.sender, arrow.segment
        self._imply_call(peer, expected)
        if not self.queued[peer]:
            raise FigureError(f"line {number}: peer {peer} sent nothing, not {format_segment(expected)}")
        segment = self.queued[peer].pop(0)
        if not _matches(expected, segment):
            raise FigureError(
                f"line {number}: peer {peer} sent {format_segment(segment)}, not {format_segment(expected)}"
            )
        return segment

    def _take_in_flight(self, number: int, arrow: Arrow) -> Segment:
        waiting = self.in_flight[arrow.sender]
        for index, segment in enumerate(waiting):
            if _matches(arrow.segment, segment):
                return waiting.pop(index)
        if waiting and not arrow.duplicate:
            raise FigureError(
                f"line {number}: in flight is {format_segment(waiting[0])}, not {format_segment(arrow.segment)}"
            )
        return arrow.segment

    def _imply_call(self, peer: str, expected: Segment) -> None:
        if self.queued[peer]:
            return
        if expected.ctl == SYN and self.state(peer) is State.CLOSED:
            self.stacks[peer].open(self._pair(peer), self.now)
        elif expected.data:
            self.stacks[peer].send(self._pair(peer), expected.data, self.now)
        self._collect(peer)

    def _arrive(self, sender: str, segment: Segment) -> None:
        receiver = _OTHER[sender]
        self.stacks[receiver].segment_arrives(Datagram(_SOCKETS[sender], _SOCKETS[receiver], segment), self.now)
        self._collect(receiver)

    def _call(self, peer: str, call: str, line: Line) -> None:
        stack, pair = self.stacks[peer], self._pair(peer)
        if call.startswith("send"):
            stack.send(pair, bytes(int(call.split()[1])), self.now)
        elif call in ("close", "abort") and self.state(peer) is State.LISTEN:
            stack.listening.clear()  # 3.10.4 and 3.10.5: in LISTEN there is only the TCB to delete
        else:
            calls: dict[str, Callable[[], None]] = {
                "open": lambda: stack.open(pair, self.now),
                "listen": lambda: stack.listen(pair.local.port),
                "close": lambda: stack.close(pair, self.now),
                "release": lambda: stack.release(pair, self.now),
                "abort": lambda: stack.abort(pair, self.now),
                "reboot": lambda: self.stacks.update({peer: self._new_stack(peer)}),
                "rto": lambda: self._expire(peer, stack.connections[pair].sender.rto_at, line),
                "user timeout": lambda: self._expire(peer, stack.connections[pair].sender.user_at, line),
                "2 msl": lambda: self._expire(peer, stack.time_wait.due(pair), line),
            }
            calls[call]()
        self._collect(peer)

    def _expire(self, peer: str, at: int | None, line: Line) -> None:
        if at is None:
            raise FigureError(f"line {line.number}: peer {peer} has no such timer running")
        self.now = max(self.now, at)
        self.stacks[peer].timeout(self.now)

    def _collect(self, peer: str) -> None:
        if any(isinstance(news.what, Row) and news.what.cause for news in self.stacks[peer].news()):
            self.stacks[peer].listening.clear()  # in a figure a passive OPEN is for one connection, as in 3.10.1
        self.queued[peer] += [datagram.segment for datagram in self.stacks[peer].datagrams_to_send()]

    def _new_stack(self, peer: str) -> Stack:
        return Stack(self.config, b"secret", lambda pair: self._draw_iss(self.iss[peer]))

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
