"""Numbers of a run, and statements about it, in words.

seq of h1.c1 sends FIN          a number of a segment: seq, ack, wnd, or len, its octets of text
count of h1.c1 sends RST        how often a moment comes
segments sent by h1.c1          octets sent by h1.c1, octets received by h2.c1, retransmissions by h1.c1
time from MOMENT to MOMENT      in microseconds; written as a duration

MOMENT                          it comes
never MOMENT                    it does not
MOMENT before MOMENT            both come, in this order
QUANTITY = QUANTITY             also < and >; one of them may be a number or a duration
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from tcpclose import units
from tcpclose.teaching.moments import Moment, Passed, Story, read_moment
from tcpclose.trace.events import SegmentEvent, Text

_FIELD = re.compile(r"(seq|ack|wnd|len) of (.+)")
_COUNT = re.compile(r"count of (.+)")
_BY = re.compile(r"(segments sent|octets sent|octets received|retransmissions) by ([\w-]+)\.([\w-]+)")
_TIME = re.compile(r"time from (.+?) to (.+)")
_COMPARED = re.compile(r"(.+?) *([=<>]) *(.+)")
_BEFORE = re.compile(r"(.+) before (.+)")

_COMPARE: dict[str, Callable[[int, int], bool]] = {"=": operator.eq, "<": operator.lt, ">": operator.gt}


class NotInRun(Exception):
    """A question asks for what does not happen in its run; the message is for people."""


def when(moment: Moment, story: Story) -> int:
    """The time of a moment. Raises `NotInRun`."""
    time = moment.time(story)
    if time is None:
        raise NotInRun(f"{moment}: this does not happen in the run")
    return time


@dataclass(frozen=True)
class Field:
    """A number of a segment."""

    name: str
    moment: Moment

    def of(self, story: Story) -> int:
        """The number, absolute."""
        return int(getattr(self._segment(story), self.name))

    def relative(self, story: Story) -> int | None:
        """Of a sequence or acknowledgment number, what it is when counted from the SYN."""
        segment = self._segment(story)
        flight = next((flight for event, flight in story.passed if event is segment), None)
        return None if flight is None else {"seq": flight.seq, "ack": flight.ack}.get(self.name)

    def _segment(self, story: Story) -> SegmentEvent:
        event = self.moment.event(story)
        if not isinstance(event, SegmentEvent):
            raise NotInRun(f"{self.moment}: this does not happen in the run")
        return event


@dataclass(frozen=True)
class Count:
    """How often a moment comes."""

    moment: Moment

    def of(self, story: Story) -> int:
        """The number."""
        return self.moment.count(story)


@dataclass(frozen=True)
class Sum:
    """What an end has sent, received or repeated in all."""

    what: str
    host: str
    connection: str

    def of(self, story: Story) -> int:
        """The number."""
        if self.what.startswith("octets"):
            texts = [t for t in story.trace.of(Text) if (t.host, t.connection) == (self.host, self.connection)]
            return sum(text.sent if self.what == "octets sent" else text.received for text in texts)
        sent = [
            flight
            for flight in story.flights
            if flight.sent and not flight.copy and (flight.source, flight.connection) == (self.host, self.connection)
        ]
        return sum(1 for flight in sent if flight.retransmission or self.what == "segments sent")


@dataclass(frozen=True)
class Span:
    """The time between two moments, in microseconds."""

    start: Moment
    end: Moment

    def of(self, story: Story) -> int:
        """Never negative: it does not matter which is said first."""
        return abs(when(self.end, story) - when(self.start, story))


@dataclass(frozen=True)
class Plain:
    """A number that is said."""

    value: int

    def of(self, story: Story) -> int:
        """Itself."""
        return self.value


Quantity = Field | Count | Sum | Span | Plain


def read_quantity(text: object) -> Quantity:
    """Read the text form. Raises `ValueError` that says what was expected."""
    words = text.strip() if isinstance(text, str) else ""
    if match := _FIELD.fullmatch(words):
        moment = read_moment(match[2])
        if not isinstance(moment.what, Passed):
            raise ValueError(f"{moment} is no segment: say who sends or gets it")
        return Field(match[1], moment)
    if match := _COUNT.fullmatch(words):
        return Count(read_moment(match[1]))
    if match := _BY.fullmatch(words):
        return Sum(*match.groups())
    if match := _TIME.fullmatch(words):
        return Span(read_moment(match[1]), read_moment(match[2]))
    raise ValueError(
        'expected "seq of MOMENT" (or ack, wnd, len), "count of MOMENT", "time from MOMENT to MOMENT", '
        '"segments sent by HOST.CONNECTION", or "octets sent", "octets received", "retransmissions"'
    )


@dataclass(frozen=True)
class Statement:
    """Something that is true of a run, or not. `str` gives the text that `read_statement` reads."""

    text: str
    holds: Callable[[Story], bool]

    def __str__(self) -> str:
        return self.text


def read_statement(text: object) -> Statement:
    """Read the text form. Raises `ValueError` that says what was expected."""
    if not isinstance(text, str):
        raise ValueError('expected a statement, such as "h1.c1 in CLOSING" or "never h2.c1 sends RST"')
    return Statement(text, _read_holds(text.strip()))


def _read_holds(words: str) -> Callable[[Story], bool]:
    if match := _COMPARED.fullmatch(words):
        left, compare, right = _read_side(match[1]), _COMPARE[match[2]], _read_side(match[3])
        return lambda story: compare(left.of(story), right.of(story))
    if match := _BEFORE.fullmatch(words):
        first, second = read_moment(match[1]), read_moment(match[2])
        return lambda story: _in_order(first.time(story), second.time(story))
    never = words.startswith("never ")
    moment = read_moment(words.removeprefix("never "))
    return lambda story: (moment.time(story) is None) == never


def _read_side(words: str) -> Quantity:
    if words.isdecimal():
        return Plain(int(words))
    if words[:1].isdecimal():
        return Plain(units.read_duration(words))
    return read_quantity(words)


def _in_order(first: int | None, second: int | None) -> bool:
    return first is not None and second is not None and first < second
