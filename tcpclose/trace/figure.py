"""The two-column figures of RFC 9293, 3.5 and 3.6, read and printed. `playing` plays them, `drawing` draws them.

        TCP Peer A                                           TCP Peer B
    1.  ESTABLISHED                                          ESTABLISHED
    2.  (Close)
        FIN-WAIT-1  --> <SEQ=100><ACK=300><CTL=FIN,ACK>  --> CLOSE-WAIT

States stand after the arrow's arrival. `...` at one end of an arrow means in flight: the segment was sent, or
arrives, alone; one that arrives and was never sent is an old duplicate, and is marked (duplicate) while others are
in flight. `XXX` means lost. Users act by (Open) (Listen) (Send n) (Receive n) (Close) (Release) (Abort), where
(Release) gives up both directions; (Reboot) forgets all; a timer expires by its name: (RTO) (User timeout) (2 MSL)
(Keepalive) (FIN-WAIT-2 timeout) (Delayed ACK) (Override timeout) (Loss probe). Other parentheses are comments, as in
the RFC. An OPEN that a SYN implies, or a SEND that <DATA=n> implies, need not be written. Exactly these segments may be
sent, and nothing after the last line. PSH counts only where the figure writes it.

Lines before the header are prose, but for settings of both peers, `with keepalive = true`, in TOML.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tcpclose.protocol.fsm import State
from tcpclose.protocol.segment import Segment, format_segment, parse_segment

#: What acts, as `call_word` writes it where capitals alone would not do; all are read in any case.
_WRITTEN = {
    "rto": "RTO",
    "2 msl": "2 MSL",
    "fin-wait-2 timeout": "FIN-WAIT-2 timeout",
    "delayed ack": "Delayed ACK",
}
_CALL = re.compile(
    r"\((open|listen|send \d+|receive(?: \d+)?|close|release|abort|reboot"
    r"|rto|user timeout|2 msl|keepalive|fin-wait-2 timeout|delayed ack|override timeout|loss probe)\)",
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


#: Writes one field of a line: "state", "seq", "ack" or "ctl", and its text.
Writer = Callable[[Line, str, str], str]

_SHOWN = re.compile(r"(SEQ|ACK|CTL)=([^>]*)")


def format_figure(lines: list[Line], write: Writer = lambda line, field, text: text) -> str:
    """Write a figure: `parse_figure` reads it back as the same lines.

    `write` is asked for each field, line by line and from left to right; a handout may have blanks there.
    """
    cells = [(_words(line, "A", write), _segment(line, write), _words(line, "B", write)) for line in lines]
    left = max([11, *(len(a) for a, _, _ in cells)])
    middle = max([36, *(len(segment) for _, segment, _ in cells)])
    rows = [f"    {'TCP Peer A':{left}}     {'':{middle}}     TCP Peer B", ""]
    last = 0
    for number, line, (a, segment, b) in zip(numbers(lines), lines, cells, strict=True):
        la, ra = _drawn(line.arrow) if line.arrow else ("", "")
        first = "" if number == last else f"{number}."
        rows.append(f"{first:3} {a:{left}} {la:3} {segment:{middle}} {ra:3} {b}".rstrip())
        last = number
    return "\n".join(rows) + "\n"


def numbers(lines: list[Line]) -> Iterator[int]:
    """The numbers that lines have when they are written: what follows from a call shares the call's."""
    number, goes_on = 0, False
    for line in lines:
        number += not goes_on
        yield number
        goes_on = bool(line.calls) and not line.arrow and not line.states


def call_word(call: str) -> str:
    """A call or timer as a figure writes it: "(Close)", "(RTO)"."""
    return f"({_WRITTEN.get(call, call.capitalize())})"


def _words(line: Line, peer: str, write: Writer) -> str:
    words = [call_word(call) for who, call in line.calls if who == peer]
    words += [f"({note})" for who, note in line.notes if who == peer]
    if line.arrow and line.arrow.duplicate and line.arrow.sender == peer:
        words.append(_DUPLICATE)
    return " ".join([*words, *(write(line, "state", str(state)) for who, state in line.states if who == peer)])


def _segment(line: Line, write: Writer) -> str:
    if line.arrow is None:
        return ""
    text = format_segment(line.arrow.segment)
    return _SHOWN.sub(lambda field: f"{field[1]}={write(line, field[1].lower(), field[2])}", text)


def _drawn(arrow: Arrow) -> tuple[str, str]:
    """The two ends of an arrow as they are written, left and right."""
    head = "-->" if arrow.sender == "A" else "<--"
    sender = head if arrow.sent else "..."
    hearer = "XXX" if arrow.lost else head if arrow.arrives else "..."
    return (sender, hearer) if arrow.sender == "A" else (hearer, sender)
