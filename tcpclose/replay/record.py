"""What the page is given to play: a run as plain lists and dictionaries, ready for JSON.

Everything comes from the readings of the trace that the charts draw too, so page and charts agree. Numbers of
sequence are relative, as in `Flight`. An event keeps its place in the trace: what happens at one time happens in order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tcpclose.charts.story import EXPIRED, NO_CONNECTION, names, natural, subtitle, title
from tcpclose.protocol.fsm import TABLE, Row, State
from tcpclose.protocol.fsm import Event as Post
from tcpclose.protocol.segment import seq_add
from tcpclose.replay.arrangement import arrow_of
from tcpclose.trace.events import (
    DISAGREEMENT,
    Call,
    Change,
    Disturbed,
    Dropped,
    End,
    Event,
    Expired,
    FaultTaken,
    Lost,
    Received,
    Sent,
    Text,
    Told,
    Trace,
    Variables,
)
from tcpclose.trace.figure import call_word
from tcpclose.trace.flights import Flight
from tcpclose.trace.readings import Readings
from tcpclose.trace.spans import CRASH, outages

#: Connections in one page, and segments of all of them together: what a browser draws at ease.
CONNECTIONS, SEGMENTS = 200, 6_000
#: However many connections there are, each may show so many segments.
LEAST = 60

_POSTS = {post.name: post for post in Post}


def connections_of(trace: Trace) -> tuple[list[dict[str, Any]], int]:
    """One record for each connection of the trace, and how many connections there was no room for."""
    told = names(trace)
    shown = told[:CONNECTIONS]
    teller = _Teller(trace, max(LEAST, SEGMENTS // max(len(shown), 1)))
    return [teller.record(name) for name in shown], len(told) - len(shown)


def outages_of(trace: Trace) -> list[dict[str, Any]]:
    """The faults of the run, with their names for people."""
    return [
        {
            "name": fault.name,
            "kind": fault.fault,
            "target": fault.target,
            "connection": fault.connection,
            "start": fault.start,
            "end": fault.end,
        }
        for fault in outages(trace)
    ]


class _Teller:
    """The readings of a trace, and its events by connection; `most` segments of each are shown."""

    def __init__(self, trace: Trace, most: int) -> None:
        self.most = most
        self.readings = Readings(trace)
        self.place = self.readings.place
        self.events: dict[str | None, list[Event]] = defaultdict(list)
        self.common: list[FaultTaken | Dropped] = []  # faults and drops are of no connection, or of all
        for event in trace:
            if isinstance(event, FaultTaken | Dropped):
                self.common.append(event)
            elif not isinstance(event, Text):  # totals
                self.events[getattr(event, "connection", None)].append(event)

    def record(self, name: str | None) -> dict[str, Any]:
        """All that the page knows of one connection."""
        readings = self.readings
        flown, passed, release = readings.flights[name], readings.intervals[name], readings.release(name)
        kept, hidden = _shorten(flown, self.most)
        people = {host for flight in flown for host in (flight.source, flight.target)} | passed.keys()
        people |= {event.host for event in self.events[name] if name and isinstance(event, Call)}
        hosts = sorted(people, key=natural)
        endpoints = readings.endpoints(name)
        events = [*self.events[name], *readings.listens(name), *self._common_to(name, people)]
        events.sort(key=lambda event: self.place[id(event)])
        tells = {event.host for event in events if isinstance(event, Variables)}
        return {
            "name": name or NO_CONNECTION,
            "loose": name is None,
            "title": title(name, release),
            "subtitle": subtitle(release),
            "hosts": [
                {
                    "name": host,
                    "endpoint": endpoints.get(host, ""),
                    "before": readings.before(name, host),
                    "end": release is not None and host in passed,
                    "tcb": host in tells,
                }
                for host in hosts
            ],
            "flights": [_flight(flight) for flight in kept],
            "events": list(self._told(name, events, kept, hidden)),
        }

    def _common_to(self, name: str | None, people: set[str]) -> Iterator[FaultTaken | Dropped]:
        """Faults and drops while the connection lasted; while an end is open it lasts."""
        own, lives = self.events[name], self.readings.releases[name]
        lasts = bool(lives) and lives[-1].open
        for event in self.common if own else ():
            within = own[0].t <= event.t and (lasts or event.t <= own[-1].t)
            ours = event.connection in (None, name) if isinstance(event, FaultTaken) else event.host in people
            if within and ours:
                yield event

    def _told(
        self, name: str | None, events: Iterable[Event], kept: Sequence[Flight], hidden: Sequence[Flight]
    ) -> Iterator[dict[str, Any]]:
        """The events that the page plays. Between the first and the last `hidden` flight that is turns only."""
        seen = {id(event): number for number, flight in enumerate(kept) for event in _events_of(flight)}
        places = [self.place[id(event)] for flight in hidden for event in _events_of(flight)]
        begin, finish = (min(places), max(places)) if places else (0, -1)
        numbers = _Bases(self.readings.flights[name], self.place)
        announced = False
        for event in events:
            within = begin <= self.place[id(event)] <= finish
            if within and not announced:
                announced = True
                yield {"t": event.t, "k": "gap", "text": f"{len(hidden)} segments are left out of this page"}
            if within and id(event) not in seen and not isinstance(event, Change | End | FaultTaken):
                continue
            if timer := _timer(event):
                yield {"t": event.t, **timer}
            told = self._one(name, event, seen.get(id(event)), numbers)
            if told:
                yield {"t": event.t, **told}

    def _one(self, name: str | None, event: Event, flight: int | None, numbers: _Bases) -> dict[str, Any] | None:
        """One event; `flight` is the number of the segment that it is about."""
        match event:
            case Sent() | Received() if flight is not None:
                return {"k": event.kind, "h": event.host, "f": flight}
            case Lost() | Disturbed() if flight is not None:
                return {"k": "lost", "f": flight}
            case Change():
                return {"k": "state", "h": event.host, "old": event.old, "new": event.new, "row": _row(event)}
            case Variables():
                return {"k": "tcb", "h": event.host, "v": numbers.relative(event, self.place[id(event)])}
            case Call():
                return {"k": "call", "h": event.host, "text": _call(event), "refused": event.error or ""}
            case Told():
                return {"k": "signal", "h": event.host, "signal": event.signal, "detail": event.detail}
            case End():
                return {"k": "end", "h": event.host, "cause": event.cause, "rfc": event.rfc}
            case Disturbed():
                text = f"{event.reason} on link {event.link}" + (f" by {event.rule}" if event.rule else "")
                return {"k": "odd", "text": text}
            case Dropped():
                return {"k": "drop", "h": event.host, "text": f"{event.host} dropped a packet: {event.reason}"}
            case FaultTaken():
                told = {"k": "fault", "text": " ".join(filter(None, (event.fault, event.target, event.detail)))}
                passed = self.readings.intervals[name].get(event.target, ())
                crashed = any(interval.crashed and interval.end == event.t for interval in passed)
                return told | ({"h": event.target, "new": CRASH} if crashed else {})
        return None


def _timer(event: Event) -> dict[str, Any] | None:
    """A timer that expired: one of the machine fires a row, the others send something."""
    match event:
        case Change() if event.event in EXPIRED:
            return {"k": "timer", "h": event.host, "text": EXPIRED[event.event]}
        case Expired():
            return {"k": "timer", "h": event.host, "text": call_word(event.timer)}
    return None


def _events_of(flight: Flight) -> list[Event]:
    """A copy that a link made has no sending of its own."""
    sent = None if flight.copy else flight.sent
    return [event for event in (sent, flight.arrived, flight.lost) if event]


def _shorten(flown: list[Flight], most: int) -> tuple[list[Flight], list[Flight]]:
    """The flights to show, and those to leave out: the middle goes, since a release is at the end."""
    if len(flown) <= most:
        return flown, []
    first, last = most // 3, len(flown) - (most - most // 3)
    return flown[:first] + flown[last:], flown[first:last]


def _flight(flight: Flight) -> dict[str, Any]:
    segment = flight.segment
    told: dict[str, Any] = {
        "from": flight.source,
        "to": flight.target,
        "ctl": segment.ctl,
        "seq": flight.seq,
        "ack": flight.ack,
        "len": segment.len,
        "wnd": segment.wnd,
        "id": segment.id,
        "src": segment.src,
        "dst": segment.dst,
        "rawseq": segment.seq,
        "rawack": segment.ack,
        "rows": [row for change in flight.fired if (row := _row(change))],
    }
    if flight.lost:
        told["lost"] = {"link": flight.lost.link, "reason": flight.lost.reason, "rule": flight.lost.rule}
    marks = {
        "vanished": flight.vanished,
        "retransmission": flight.retransmission,
        "copy": flight.copy,
        "forged": flight.forged,
        "unsent": flight.unsent,
    }
    return told | {name: True for name, holds in marks.items() if holds}


def _row(change: Change) -> dict[str, Any]:
    """The row of the table that fired; where none did, the way in which the change is known."""
    post = _POSTS.get(change.event)
    row = TABLE[State(change.old)].get(post) if post and change.rfc else None
    told: dict[str, Any] = {"old": change.old, "new": change.new, "source": change.source}
    if row is None:
        doubt = change.event == DISAGREEMENT
        words = "the kernel says so, its packets do not" if doubt else change.event.lower().replace("_", " ")
        return told | {"event": words, "rfc": change.rfc, "do": []}
    return told | _table_row(row)


def _table_row(row: Row) -> dict[str, Any]:
    return {
        "event": row.event.value,
        "rfc": row.rfc,
        "do": [do.value for do in row.do],
        "cause": row.cause.value if row.cause else "",
        "arrow": arrow_of(row),
    }


def _call(call: Call) -> str:
    words = [call.call.upper() if call.call in ("open", "send", "receive", "close", "abort") else call.call]
    words += [str(call.octets)] if call.octets is not None else []
    words += [f"port {call.port}"] if call.port else []
    return " ".join(words)


class _Bases:
    """From which number each host's sequence numbers count, at each place of the trace: a new SYN begins anew."""

    def __init__(self, flown: Iterable[Flight], place: dict[int, int]) -> None:
        self._bases: dict[str, list[tuple[int, int, int]]] = defaultdict(list)  # place, time, first number
        hosts: Counter[str] = Counter()
        for flight in flown:
            hosts.update((flight.source, flight.target))
            if not flight.forged:
                first = flight.segment
                self._bases[flight.source].append((place[id(first)], first.t, seq_add(first.seq, -flight.seq)))
        for bases in self._bases.values():
            bases.sort()
        self._ends = [host for host, _ in hosts.most_common(2)]

    def relative(self, event: Variables, place: int) -> list[int | None]:
        """SND.UNA, SND.NXT, SND.WND, RCV.NXT, RCV.WND; None where a number is not known."""
        own = self._base(event.host, place, event.t)
        peer = next((self._base(host, place, -1) for host in self._ends if host != event.host), None)
        return [
            None if own is None else seq_add(event.snd_una, -own),
            None if own is None else seq_add(event.snd_nxt, -own),
            event.snd_wnd,
            None if peer is None or event.rcv_nxt is None else seq_add(event.rcv_nxt, -peer),
            event.rcv_wnd,
        ]

    def _base(self, host: str, place: int, now: int) -> int | None:
        """A TCB is made in the moment before its SYN leaves, so what leaves `now` counts already."""
        bases = self._bases.get(host, [])
        index = bisect_left(bases, (place, 0, 0))
        if index < len(bases) and (bases[index][1] == now or index == 0):
            return bases[index][2]
        return bases[index - 1][2] if index else None
