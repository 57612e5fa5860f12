"""Moments of a run, in words: what the scenario's `when` may say, and more that a trace can tell.

    h1.c1 in TIME-WAIT              a condition of a scenario's `when`: `in`, `sees`, `received`
    h1.c1 sends FIN                 a segment leaves that end; what segment is said as in a link's fates:
    h2.c1 gets only ACK             FIN, FIN+ACK, only ACK, ACK of FIN, segment, with data, without data
    h1.c1 calls close               its user calls, and is not refused
    link_down h1-s1                 a fault strikes; what it strikes need not be said
    7500ms                          a time from the start of the run

` #2` behind it means the second time. A state counts when it is entered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

from tcpclose import units
from tcpclose.links import Fate, FateBook, Parties, read_fate
from tcpclose.protocol.connection import Notice
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.segment import Segment, parse_ctl
from tcpclose.scenario import Condition, read_condition
from tcpclose.scenario.errors import guess
from tcpclose.scenario.faults import AnyFault
from tcpclose.scenario.steps import CALLS
from tcpclose.timeline import sights
from tcpclose.trace.events import Call, Change, Event, FaultTaken, Received, SegmentEvent, Sent, Told, Trace
from tcpclose.trace.flights import Flight, flights
from tcpclose.trace.releases import Release, first_releases

_END = re.compile(r"([\w-]+)\.([\w-]+) +(sends|gets|calls) +(\S.*)")
_NUMBER = re.compile(r"(.*\S) +#([1-9]\d*)")
_FAULTS = tuple(
    kind for model in get_args(get_args(AnyFault)[0]) for kind in get_args(model.model_fields["kind"].annotation)
)
_FAULT = re.compile(rf"({'|'.join(_FAULTS)})(?: +(\S.*))?")


class Story:
    """A trace, and what is read from it, once."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    @cached_property
    def flights(self) -> list[Flight]:
        """Every segment's way."""
        return flights(self.trace)

    @cached_property
    def releases(self) -> dict[str, Release]:
        """How each connection ended, by its name."""
        return first_releases(self.trace)

    @cached_property
    def iss(self) -> dict[tuple[str, str], int]:
        """The number of the first SYN of each end, by host and connection."""
        found: dict[tuple[str, str], int] = {}
        for flight in self.flights:
            if flight.connection and "SYN" in flight.controls and not flight.forged:
                found.setdefault((flight.source, flight.connection), flight.segment.seq)
        return found

    @cached_property
    def passed(self) -> list[tuple[SegmentEvent, Flight]]:
        """Every departure and arrival of a segment, in order of time."""
        seen = {id(event): flight for flight in self.flights for event in (flight.sent, flight.arrived) if event}
        return [(e, seen[id(e)]) for e in self.trace if isinstance(e, Sent | Received) and id(e) in seen]

    def state(self, host: str, connection: str, time: int) -> str:
        """The state of an end at a time, when all that happens then has happened."""
        changes = [c for c in self.trace.of(Change) if (c.host, c.connection) == (host, connection)]
        before = [change.new for change in changes if change.t <= time]
        return before[-1] if before else changes[0].old if changes else "CLOSED"


@dataclass(frozen=True)
class Seen:
    """A condition of the scenario's `when`."""

    condition: Condition

    def find(self, story: Story) -> Iterator[Event]:
        """The events at which it is met."""
        wanted = self.condition
        if wanted.verb == "received":
            yield from self._sated(story)
            return
        sight = (wanted.host, wanted.connection, wanted.verb, wanted.value)
        for event in story.trace:
            if sight in sights(event):
                yield event

    def _sated(self, story: Story) -> Iterator[Event]:
        received, wanted = 0, (self.condition.host, self.condition.connection, Notice.TEXT.value)
        for event in story.trace.of(Told):
            if (event.host, event.connection, event.signal) == wanted:
                before, received = received, received + int(event.detail)
                if before < int(self.condition.value) <= received:
                    yield event


@dataclass(frozen=True)
class Passed:
    """A segment leaves an end, or arrives there."""

    host: str
    connection: str
    kind: type[Sent] | type[Received]
    fate: Fate

    def find(self, story: Story) -> Iterator[Event]:
        """The segments, as the trace has them."""
        book = FateBook([self.fate], Parties())
        for event, flight in story.passed:
            if isinstance(event, self.kind):
                described = book.judge(_datagram(event))
                if described and (event.host, flight.connection) == (self.host, self.connection):
                    yield event


@dataclass(frozen=True)
class Called:
    """The user of an end makes a call."""

    host: str
    connection: str
    call: str

    def find(self, story: Story) -> Iterator[Event]:
        """The calls that were not refused."""
        wanted = (self.host, self.connection, self.call, None)
        for event in story.trace.of(Call):
            if (event.host, event.connection, event.call, event.error) == wanted:
                yield event


@dataclass(frozen=True)
class Struck:
    """A fault takes effect."""

    fault: str
    target: str

    def find(self, story: Story) -> Iterator[Event]:
        """Its events."""
        for event in story.trace.of(FaultTaken):
            if event.fault == self.fault and self.target in ("", event.target):
                yield event


@dataclass(frozen=True)
class Clock:
    """A time from the start of the run."""

    time: int

    def find(self, story: Story) -> Iterator[Event]:
        """The time itself, whether anything happens then or not."""
        yield Event(t=self.time)


@dataclass(frozen=True)
class Moment:
    """Something that happens in a run, for the `number`th time. `str` gives the text that `read_moment` reads."""

    text: str
    what: Seen | Passed | Called | Struck | Clock
    number: int = 1

    def event(self, story: Story) -> Event | None:
        """The event that it is, None when it does not happen."""
        return next((event for place, event in enumerate(self.what.find(story), 1) if place == self.number), None)

    def time(self, story: Story) -> int | None:
        """When it happens, None when it does not."""
        event = self.event(story)
        return None if event is None else event.t

    def count(self, story: Story) -> int:
        """How often it happens."""
        return sum(1 for _ in self.what.find(story))

    def __str__(self) -> str:
        return self.text


def read_moment(text: object) -> Moment:
    """Read the text form. Raises `ValueError` that says what was expected."""
    if not isinstance(text, str):
        raise ValueError('expected a moment, such as "h1.c1 in TIME-WAIT" or "h2.c1 gets FIN"')
    words, number = text.strip(), 1
    if match := _NUMBER.fullmatch(words):
        words, number = match[1], int(match[2])
    return Moment(text.strip(), _read(words), number)


def _read(words: str) -> Seen | Passed | Called | Struck | Clock:
    if match := _END.fullmatch(words):
        host, connection, verb, what = match.groups()
        if verb == "calls":
            if what not in CALLS:
                raise ValueError(f"there is no call {what}; {guess(what, CALLS, 'calls')}")
            return Called(host, connection, what)
        return Passed(host, connection, Sent if verb == "sends" else Received, _read_segment(what))
    if match := _FAULT.fullmatch(words):
        return Struck(match[1], match[2] or "")
    if words[:1].isdecimal():
        return Clock(units.read_duration(words))
    return Seen(read_condition(words))


def _read_segment(what: str) -> Fate:
    fate = read_fate(what, "drop")
    if fate.source or fate.target or fate.connection or fate.containing or (fate.first, fate.last) != (1, None):
        raise ValueError(f"{what}: of a segment, say its control bits, `with data` or `without data`")
    return fate


def _datagram(event: SegmentEvent) -> Datagram:
    """The segment of an event, its text being zeros."""
    segment = Segment(event.seq, event.ack, parse_ctl(event.ctl), event.wnd, bytes(event.len))
    return Datagram(Endpoint(event.src, 0), Endpoint(event.dst, 0), segment)
