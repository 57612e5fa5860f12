"""What a ladder tells of one connection: its arrows, the notes beside its lifelines, its faults. No drawing here.

A story stays short enough to read: `condense` leaves out runs of plain data, or more when that is not enough.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tcpclose.charts.condense import Arrow, Elision, condense
from tcpclose.protocol.fsm import Event, State
from tcpclose.trace.events import Call, End, Received, SegmentEvent, Trace
from tcpclose.trace.flights import Flight, connections, flights
from tcpclose.trace.readings import Readings
from tcpclose.trace.releases import Release
from tcpclose.trace.spans import CRASH, Interval, Outage

#: Notes beside the lifelines of one panel, beyond which the earliest are left out.
NOTES = 80

NO_CONNECTION = "segments of no connection"

#: How a release began; and how an attempt to open ended, in which there was no first and no second.
_DONE = {
    "close": "closed first",
    "abort": "aborted",
    "timeout": "timed out first",
    "crash": "crashed",
    "FIN": "sent the first FIN",
    "RST": "sent a RST",
}
_GIVEN_UP = _DONE | {"close": "closed", "timeout": "timed out", "FIN": "sent a FIN"}

#: In the words of the RFC's figures, the events of the table that no segment and no call made.
EXPIRED = {
    Event.TIME_WAIT_TIMEOUT.name: "(2 MSL)",
    Event.USER_TIMEOUT.name: "(User timeout)",
    Event.KEEPALIVE_TIMEOUT.name: "(Keepalive timeout)",
    Event.FIN_WAIT_2_TIMEOUT.name: "(FIN-WAIT-2 timeout)",
    Event.LINGER_TIMEOUT.name: "(Linger timeout)",
    Event.UNREACHABLE.name: "(Unreachable)",
}


@dataclass(slots=True, eq=False)
class Note:
    """A word beside a lifeline: a state that begins, a call of the user, the cause of an end."""

    t: int
    host: str
    text: str
    kind: Literal["state", "call", "cause"]
    order: tuple[int, int]
    row: float = 0.0


@dataclass(frozen=True, slots=True)
class Story:
    """All that one panel shows. `order` gives the place of each event in the trace, by identity."""

    connection: str | None
    title: str
    #: Who began the release, by what, and how long it took.
    subtitle: str
    hosts: tuple[str, ...]
    endpoints: dict[str, str]
    #: The state in which each end was before its first change, where that is known.
    before: dict[str, str]
    arrows: list[Arrow]
    elisions: list[Elision]
    notes: list[Note]
    outages: list[Outage]
    order: dict[int, int]
    #: Hosts that keep a trace of what arrives.
    witnesses: frozenset[str]
    #: Earlier notes that had to be left out.
    omitted: int = 0


def names(trace: Trace, wanted: Sequence[str] | None = None) -> list[str | None]:
    """The connections to tell of: those `wanted`, else all, with None at the end for segments of no connection.

    Raises `ValueError` for the name of a connection that the trace does not know.
    """
    known = connections(trace)
    unknown = [name for name in wanted or () if name not in known]
    if unknown:
        raise ValueError(f"no connection {unknown[0]!r} in this trace; there are: {', '.join(known) or 'none'}")
    if wanted is not None:
        return list(wanted)
    return [*known, *([None] if any(flight.connection is None for flight in flights(trace)) else [])]


def stories(trace: Trace, told: Sequence[str | None] | None = None) -> list[Story]:
    """One story for each connection of the trace, or of those `told`; none of one that no host took part in."""
    teller = _Teller(trace)
    every = (teller.story(name) for name in (names(trace) if told is None else told))
    return [story for story in every if story.hosts]


class _Teller:
    """The readings of a trace, and what else a ladder shows."""

    def __init__(self, trace: Trace) -> None:
        self.readings = Readings(trace)
        self.calls: dict[str | None, list[Call]] = defaultdict(list)
        for call in trace.of(Call):
            self.calls[call.connection].append(call)
        self.causes: dict[str | None, dict[tuple[str, int], str]] = defaultdict(dict)  # by host and time of each end
        for end in trace.of(End):
            self.causes[end.connection][end.host, end.t] = end.cause
        self.people: dict[str | None, set[str]] = defaultdict(set)
        for event in trace:
            if not isinstance(event, SegmentEvent) and (person := getattr(event, "host", None)):
                self.people[getattr(event, "connection", None)].add(person)
        self.witnesses = frozenset(event.host for event in trace.of(Received))

    def story(self, name: str | None) -> Story:
        readings, order = self.readings, self.readings.place
        flown, passed, release = readings.flights[name], readings.intervals[name], readings.release(name)
        calls = self.calls[name] if name else []
        breaks = [t for fault in readings.outages(name) for t in (fault.start, fault.end) if t is not None]
        arrows, elisions = condense(flown, breaks)
        hidden = [arrow.flights for arrow in arrows if arrow.fat] + [elision.flights for elision in elisions]
        notes = [*_state_notes(passed, self.causes[name], order), *_call_notes(calls, flown, hidden, order)]
        notes.sort(key=lambda note: (note.t, note.order))
        people = {host for flight in flown for host in (flight.source, flight.target)}
        people |= self.people[name] if name else set()
        hosts = tuple(sorted(people, key=natural))
        return Story(
            connection=name,
            title=title(name, release),
            subtitle=subtitle(release),
            hosts=hosts,
            endpoints=readings.endpoints(name),
            before={host: state for host in hosts if (state := readings.before(name, host))},
            arrows=arrows,
            elisions=elisions,
            notes=notes[-NOTES:],
            outages=_during(
                readings.outages(name), [t for f in flown for t in (f.start, f.finish)] + [note.t for note in notes]
            ),
            order=order,
            witnesses=self.witnesses,
            omitted=max(0, len(notes) - NOTES),
        )


def _during(faults: list[Outage], times: list[int]) -> list[Outage]:
    if not times:
        return []
    first, last = min(times), max(times)
    return [fault for fault in faults if fault.start <= last and (fault.end is None or fault.end >= first)]


def title(name: str | None, release: Release | None) -> str:
    """As "c1 — graceful" or, where the ends differ or one is open, "c4 — h1 user timeout, h2 reset by peer"."""
    if name is None:
        return NO_CONNECTION
    causes = release.causes if release else {}
    if release is None or not causes:  # a capture shows no causes, but that both ends are closed
        return f"{name} — not released" if release is None or release.open else name
    if len(set(causes.values())) == 1 and not release.open:
        cause = next(iter(causes.values()))
        return name if cause == name else f"{name} — {cause}"
    return f"{name} — " + ", ".join(f"{host} {causes[host]}" for host in sorted(causes, key=natural))


def subtitle(release: Release | None) -> str:
    """As "h1 closed first, released in 240 ms", or "never open: h1 timed out"; empty when nothing released it."""
    if release is None or release.first is None or release.action is None:
        return ""
    done = _DONE if release.opened else _GIVEN_UP
    begun = f"{release.first} {done.get(release.action, f'ended it ({release.action})')}"
    if not release.opened:
        return f"never open: {begun}"
    if release.duration is not None:
        begun += f", released in {duration(release.duration)}"
    return begun + (", one end is still open" if release.causes and release.open else "")


def duration(length: int) -> str:
    """A length of time for people, from microseconds."""
    return f"{length / 1_000_000:.2f} s" if length >= 1_000_000 else f"{length / 1000:.0f} ms"


def natural(name: str) -> list[tuple[int, str]]:
    """A sorting key by which h2 comes before h10."""
    return [(int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _state_notes(
    passed: dict[str, list[Interval]], causes: dict[tuple[str, int], str], order: dict[int, int]
) -> Iterator[Note]:
    for host, states in passed.items():
        for interval in states:
            place = order[id(interval.entered)]
            expired = EXPIRED.get(interval.entered.event)
            if expired:
                yield Note(interval.start, host, expired, "call", (place, 0))
            yield Note(interval.start, host, interval.state, "state", (place, 1))
            cause = causes.get((host, interval.entered.t))
            if cause and interval.state == State.CLOSED.value:
                yield Note(interval.start, host, cause, "cause", (place, 2))
            if interval.crashed:
                yield Note(interval.end, host, CRASH, "state", (len(order), 0))


def _call_notes(
    calls: list[Call], flown: list[Flight], hidden: list[tuple[Flight, ...]], order: dict[int, int]
) -> Iterator[Note]:
    """Calls that move something. Equal SENDs in a row, and those whose segments are `hidden`, are counted."""
    runs = [(run[0].start, run[-1].start) for run in hidden]
    starts = sorted(flight.start for flight in flown)
    shown: list[tuple[Call, int]] = []  # with how many it stands for
    for call in calls:
        if call.call not in ("open", "send", "close", "abort"):
            continue
        within = any(first < call.t <= last for first, last in runs)
        if shown and call.call == "send" and _same(shown[-1][0], call):
            first, count = shown[-1]
            if within or bisect_right(starts, first.t) == bisect_right(starts, call.t):
                shown[-1] = first, count + 1
                continue
        if not within or call.call != "send":
            shown.append((call, 1))
    for call, count in shown:
        words = [call.call.capitalize()]
        words += [f"{count} \u00d7"] if count > 1 else []
        words += [str(call.octets)] if call.octets is not None else []
        words += ["refused"] if call.error else []
        yield Note(call.t, call.host, f"({' '.join(words)})", "call", (order[id(call)], 0))


def _same(one: Call, other: Call) -> bool:
    return (one.host, one.call, one.octets, one.error) == (other.host, other.call, other.octets, other.error)
