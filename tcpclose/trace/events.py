"""What a run leaves behind: events, and the file they are kept in.

A trace is a list of events in the order of their time, the same for every world. On disk it is JSON
lines, one event each, times in microseconds from the start of the run.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from operator import attrgetter
from pathlib import Path
from textwrap import shorten
from typing import Any, ClassVar, TypeVar, get_type_hints

from tcpclose.aside import aside
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.fsm import Row, State
from tcpclose.protocol.interface import Notice
from tcpclose.protocol.segment import format_ctl, parse_ctl

E = TypeVar("E", bound="Event")

#: The event of a change to a state that the packets seen do not lead to.
DISAGREEMENT = "disagreement"


@dataclass(slots=True, kw_only=True)
class Event:
    """What all events have: when, in microseconds from the start of the run.

    Nobody changes an event. It is not declared frozen, since that would make making one three times as dear.
    """

    kind: ClassVar[str] = ""
    t: int


@dataclass(slots=True, kw_only=True)
class Call(Event):
    """The user of a host made a call (3.9.1): `port` for listen, `octets` for SEND and RECEIVE, `error` a refusal."""

    kind: ClassVar[str] = "call"
    host: str
    connection: str | None = None
    call: str
    port: int | None = None
    octets: int | None = None
    error: str | None = None


@dataclass(slots=True, kw_only=True)
class Change(Event):
    """A row of the machine's table fired. `old` and `new` are equal for a row that keeps the state.

    `source` is empty when the machine itself says so. Of a kernel's TCP it is inferred, and `source` says from what:
    "packets", "call", "sock_diag", or two of them. The event is DISAGREEMENT where these contradict each other.
    """

    kind: ClassVar[str] = "state"
    host: str
    connection: str
    old: str
    new: str
    event: str
    rfc: str = ""
    source: str = ""


@dataclass(slots=True, kw_only=True)
class Expired(Event):
    """A timer expired and sent something: `timer` is rto, loss probe, override timeout, delayed ack or keepalive.

    The timers of the machine are told by the rows that they fire (`Change`), and a kernel does not tell its own.
    """

    kind: ClassVar[str] = "timer"
    host: str
    connection: str
    timer: str


@dataclass(slots=True, kw_only=True)
class SegmentEvent(Event):
    """A segment seen somewhere. Numbers are absolute, `len` counts text only. `id` is the IPv4 identification; IPv6 has
    none, and it is 0.

    `connection` is None for a segment that belongs to none. `wnd` is as in the header; `wscale` is the shift that a SYN
    offers (RFC 7323), None without that option.
    """

    connection: str | None = None
    id: int
    src: str
    dst: str
    seq: int
    ack: int
    ctl: str = ""
    len: int
    wnd: int
    wscale: int | None = None


@dataclass(slots=True, kw_only=True)
class Sent(SegmentEvent):
    """A host put a segment on the wire."""

    kind: ClassVar[str] = "send"
    host: str


@dataclass(slots=True, kw_only=True)
class Received(SegmentEvent):
    """A segment arrived at a host."""

    kind: ClassVar[str] = "receive"
    host: str


@dataclass(slots=True, kw_only=True)
class Lost(SegmentEvent):
    """A link lost a segment: `reason` is down, silent, off, mtu, loss, burst, queue, or fate by a scenario's `rule`.

    Or a middlebox at its end did not pass it on: "middlebox".
    """

    kind: ClassVar[str] = "lost"
    link: str
    reason: str
    rule: str = ""


@dataclass(slots=True, kw_only=True)
class Disturbed(SegmentEvent):
    """A link did not lose a segment, but: `reason` is duplicate, corrupt, reorder, or hold; `rule` as in `Lost`.

    A corrupt segment goes on, and its receiver drops it.
    """

    kind: ClassVar[str] = "disturbed"
    link: str
    reason: str
    rule: str = ""


@dataclass(slots=True, kw_only=True)
class Dropped(Event):
    """A host threw a packet away unread: `reason` says why (a bad checksum, a header that cannot be)."""

    kind: ClassVar[str] = "drop"
    host: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Variables(Event):
    """The variables of a TCB (3.3.1) after a segment or a call has changed them; a kernel does not tell its own.

    Numbers are absolute, windows are octets. None is what has no meaning yet, or is not kept in TIME-WAIT.
    """

    kind: ClassVar[str] = "tcb"
    host: str
    connection: str
    snd_una: int
    snd_nxt: int
    snd_wnd: int | None = None
    rcv_nxt: int | None = None
    rcv_wnd: int | None = None


@dataclass(slots=True, kw_only=True)
class Told(Event):
    """The TCP told its user something (3.9.1): CONNECTED, TEXT, EOF, ERROR ..."""

    kind: ClassVar[str] = "signal"
    host: str
    connection: str
    signal: str
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class End(Event):
    """One end of a connection is CLOSED, with the reason and the section of the RFC that says so."""

    kind: ClassVar[str] = "end"
    host: str
    connection: str
    cause: str
    rfc: str = ""


@dataclass(slots=True, kw_only=True)
class Text(Event):
    """At the end of the run: the text that one user gave its TCP and got from it, octets and SHA-256 of each.

    Where a host is switched off, its users end with it, and this is told then.
    """

    kind: ClassVar[str] = "text"
    host: str
    connection: str
    sent: int
    sent_sha256: str
    received: int
    received_sha256: str


@dataclass(slots=True, kw_only=True)
class FaultTaken(Event):
    """A fault took effect (not: was ordered). `connection` is the only one that it concerns, if it is one."""

    kind: ClassVar[str] = "fault"
    fault: str
    target: str
    detail: str = ""
    connection: str | None = None


_KINDS: dict[str, type[Event]] = {
    cls.kind: cls
    for cls in (Call, Change, Expired, Sent, Received, Lost, Disturbed, Dropped, Variables, Told, End, Text, FaultTaken)
}
#: What stands behind `t` and `kind` in the file, in this order.
_FIELDS = {kind: tuple(field.name for field in fields(cls) if field.name != "t") for kind, cls in _KINDS.items()}

_TYPES = {kind: get_type_hints(cls) for kind, cls in _KINDS.items()}

_NUMBER = range(2**32)
_STATE = [state.value for state in State]
#: Field -> the values that it can have, where its type says too little.
_VALUES: dict[str, Collection[Any]] = {
    "t": range(2**63),
    "seq": _NUMBER,
    "ack": _NUMBER,
    "len": range(2**16),
    "old": _STATE,
    "new": _STATE,
    "signal": [notice.value for notice in Notice],
}

_NOT_AN_EVENT = "not an event of a trace"
#: Octets of a line. None of ours has so many, and a file without any line may never end.
_LONGEST = 1 << 16

#: Two sockets stand in the trace again and again.
_text = lru_cache(maxsize=4096)(str)
_socket = lru_cache(maxsize=4096)(Endpoint.parse)
_bits = lru_cache(parse_ctl)


def segment_fields(datagram: Datagram, connection: str | None, ident: int) -> dict[str, Any]:
    """The fields of a `SegmentEvent`."""
    segment = datagram.segment
    return {
        "connection": connection,
        "id": ident,
        "src": _text(datagram.src),
        "dst": _text(datagram.dst),
        "seq": segment.seq,
        "ack": segment.ack,
        "ctl": format_ctl(segment.ctl),
        "len": len(segment.data),
        "wnd": segment.wnd,
        "wscale": segment.wscale,
    }


def row_events(row: Row, now: int, host: str, connection: str) -> list[Event]:
    """That a row of the machine fired, and that the connection ended by it."""
    events: list[Event] = []
    if row.state is not row.next or row.do:
        old, new = row.state.value, row.next.value
        event, rfc = row.event.name, row.rfc
        events.append(Change(t=now, host=host, connection=connection, old=old, new=new, event=event, rfc=rfc))
    if row.cause is not None:
        events.append(End(t=now, host=host, connection=connection, cause=row.cause.value, rfc=row.rfc))
    return events


def to_json(event: Event) -> str:
    """One line of `trace.jsonl`, without the line break. Fields that are None or empty are left out."""
    record: dict[str, Any] = {"t": event.t, "kind": event.kind}
    for name in _FIELDS[event.kind]:
        value = getattr(event, name)
        if value is not None and value != "":
            record[name] = value
    return json.dumps(record)


def from_json(line: str) -> Event:
    """The inverse of `to_json`. Raises `ValueError` when the line is not an event."""
    try:
        record = json.loads(line)
        kind = record.pop("kind", None)
        event = _KINDS[kind](**record)
        for name, value in record.items():
            if not isinstance(value, expected := _TYPES[kind][name]):
                raise ValueError(f"{name}: expected {getattr(expected, '__name__', expected)}, not {value!r}")
            if name in _VALUES and value not in _VALUES[name]:
                raise ValueError(f"{name}: expected one of {_VALUES[name]}, not {value!r}")
            if value == "":
                raise ValueError(f"{name}: expected a word, not {value!r}")
        _check(event)
        return event
    except KeyError:
        raise _no_event(line, f"kind: expected {', '.join(_KINDS)}, not {kind!r}") from None
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise _no_event(line, error) from None


def _check(event: Event) -> None:
    """Raise `ValueError` for what is no number, socket or control bit, although it is text."""
    match event:
        case SegmentEvent():
            _socket(event.src), _socket(event.dst), _bits(event.ctl)
        case Told(signal=Notice.TEXT.value) if not event.detail.isdecimal():
            raise ValueError(f"detail: expected how many octets have come, not {event.detail!r}")


def _no_event(line: str, why: object) -> ValueError:
    return ValueError(f"{_NOT_AN_EVENT}, which is a JSON object: {shorten(line, 120)!r} ({why})")


class Trace:
    """The events of one run, in order of time.

    `zero` is what the clock of the captures showed when the run began, in microseconds: a packet's time is `zero` plus
    the `t` of its event. It is kept in `run.json`; in virtual time both begin at 0.
    """

    def __init__(self, events: Iterable[Event] = (), zero: int = 0) -> None:
        self.zero = zero
        self.events = sorted(events, key=attrgetter("t"))

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def of(self, cls: type[E]) -> list[E]:
        """The events of one kind, `trace.of(Sent)`."""
        return [event for event in self.events if isinstance(event, cls)]

    def save(self, path: Path) -> None:
        """Write `trace.jsonl`; the file appears whole or not at all."""
        with aside(path) as unfinished:
            unfinished.write_text("".join(to_json(event) + "\n" for event in self.events), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Trace:
        """Read `trace.jsonl`. Raises `ValueError` naming file and line where it is damaged."""
        events = []
        with path.open("rb") as lines:
            for number, line in enumerate(iter(partial(lines.readline, _LONGEST), b""), 1):
                try:
                    events.append(from_json(line.decode()))
                except UnicodeDecodeError:
                    raise ValueError(f"{path}:{number}: {_NOT_AN_EVENT}, which is UTF-8: {line[:40]!r}") from None
                except ValueError as error:
                    raise ValueError(f"{path}:{number}: {error}") from None
        return cls(events)
