"""Scripted fates: which segments a link drops, holds, duplicates or corrupts, told by what they are.

    FIN from h2, first                the first segment with FIN that comes from h2
    RST, all                          every reset
    ACK of FIN, 2 times               the first two segments that acknowledge a FIN
    FIN from h1 for 300ms             for `hold`: how long
    only ACK on c1 without data, 3rd  an acknowledgment of the connection c1 and nothing else
    segment containing 'GET /', once

    fate   = what {clause} ["," which]
    what   = "segment" | "ACK of" ("FIN" | "SYN") | ["only"] CTL {"+" CTL}
    clause = "from" HOST | "to" HOST | "on" CONNECTION | "with data" | "without data" | "containing" 'TEXT' | "for" TIME
    which  = "first" | "second" | "3rd" ... | "once" | "2 times" ... | "all"

Control bits must all be set; "only" allows none besides, PSH excepted. Without `which` it is all. A link counts the
segments that it is offered, both directions together, whatever becomes of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, NoReturn

from tcpclose import units
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.segment import ACK, FIN, PSH, SYN, format_ctl, parse_ctl, seq_add, seq_diff

Action = Literal["drop", "hold", "duplicate", "corrupt"]

_CONTROL_BITS = 0xFF  # above them stand the reserved ones
_ORDINALS = {"first": 1, "second": 2, "third": 3}
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_ORDINAL = re.compile(r"([1-9]\d*)(st|nd|rd|th)")
_COUNT = re.compile(r"[1-9]\d*")
_TOKEN = re.compile(r"\s*('(?:[^'\\]|\\.)*'|,|[^\s,']+|')")


class FateError(ValueError):
    """A fate that cannot be read; the message is for people."""


class Order(NamedTuple):
    """What is to be done to one segment, by which rule; `hold` in microseconds."""

    action: Action
    rule: str
    hold: int = 0


@dataclass(frozen=True)
class Parties:
    """Who is who: the hosts by their addresses, the connections by their pairs of sockets."""

    hosts: Mapping[str, str] = field(default_factory=dict)
    connections: Mapping[frozenset[Endpoint], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fate:
    """One rule; `str` gives the text that `read_fate` reads. Names that are empty restrict nothing.

    `ctl` are control bits that must be set, `ack_of` those of the other direction that must be acknowledged (FIN or
    SYN). It strikes the segments so described from number `first` to number `last`, None for no end.
    """

    action: Action
    ctl: int = 0
    only: bool = False
    ack_of: int = 0
    source: str = ""
    target: str = ""
    connection: str = ""
    data: bool | None = None
    containing: str = ""
    hold: int = 0
    first: int = 1
    last: int | None = None

    def describes(self, datagram: Datagram, parties: Parties, acknowledged: int) -> bool:
        """The segment is as the rule says; `acknowledged` are the control bits whose octet it acknowledges."""
        src, dst, segment = datagram
        return (
            segment.ctl & self.ctl == self.ctl
            and not (self.only and segment.ctl & _CONTROL_BITS & ~(self.ctl | PSH))
            and acknowledged & self.ack_of == self.ack_of
            and self.source in ("", parties.hosts.get(src.address))
            and self.target in ("", parties.hosts.get(dst.address))
            and self.connection in ("", parties.connections.get(frozenset((src, dst))))
            and self.data in (None, bool(segment.data))
            and self.containing.encode() in segment.data
        )

    def strikes(self, number: int) -> bool:
        """It is meant for the segment that is number so-and-so of those described."""
        return self.first <= number and (self.last is None or number <= self.last)

    def __str__(self) -> str:
        what = "+".join(format_ctl(self.ctl).split(",")) or "segment"
        words = [f"ACK of {format_ctl(self.ack_of)}" if self.ack_of else f"{'only ' if self.only else ''}{what}"]
        named = (("from", self.source), ("to", self.target), ("on", self.connection))
        words += [f"{word} {name}" for word, name in named if name]
        if self.data is not None:
            words.append("with data" if self.data else "without data")
        if self.containing:
            words.append(f"containing {_quote(self.containing)}")
        if self.hold:
            words.append(f"for {units.write_duration(self.hold)}")
        return f"{' '.join(words)}, {_write_which(self.first, self.last)}"


class FateBook:
    """The fates of one link, and what it remembers of the segments that it was offered, in both directions."""

    def __init__(self, fates: Iterable[Fate], parties: Parties) -> None:
        self._rules = [(fate, str(fate)) for fate in fates]
        self._parties = parties
        self._counts = [0] * len(self._rules)
        #: By direction, the sequence number behind the SYN and the FIN.
        self._ends: dict[tuple[Endpoint, Endpoint], dict[int, int]] = {}

    def judge(self, datagram: Datagram) -> list[Order]:
        """The link is offered a segment: what is to be done to it."""
        acknowledged = self._acknowledged(datagram)
        self._remember(datagram)
        orders = []
        for place, (fate, rule) in enumerate(self._rules):
            if fate.describes(datagram, self._parties, acknowledged):
                self._counts[place] += 1
                if fate.strikes(self._counts[place]):
                    orders.append(Order(fate.action, rule, fate.hold))
        return orders

    def _acknowledged(self, datagram: Datagram) -> int:
        src, dst, segment = datagram
        if not segment.ctl & ACK:
            return 0
        ends = self._ends.get((dst, src), {})
        return sum(bit for bit, end in ends.items() if seq_diff(segment.ack, end) >= 0)

    def _remember(self, datagram: Datagram) -> None:
        src, dst, segment = datagram
        if segment.ctl & SYN:  # a new incarnation may begin
            self._ends[src, dst] = {SYN: seq_add(segment.seq, 1)}
        if segment.ctl & FIN:
            self._ends.setdefault((src, dst), {})[FIN] = segment.end


# ---- The text form


def read_fate(text: str, action: Action) -> Fate:
    """Read one rule. Raises `FateError`, which says where, what was expected and what was found."""
    return _Reader(text, action).read()


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _write_which(first: int, last: int | None) -> str:
    if last is None:
        return "all"
    if first == last:
        words = {number: word for word, number in _ORDINALS.items()}
        return words.get(first) or f"{first}{_suffix(first)}"
    return f"{last} times"


def _suffix(number: int) -> str:
    teen = number // 10 % 10 == 1
    return "th" if teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


class _Reader:
    """Reads word by word from the left."""

    def __init__(self, text: str, action: Action) -> None:
        found = list(_TOKEN.finditer(text))
        self._words = [(match.start(1) + 1, match[1]) for match in found]
        self._end = len(text) + 1
        self._fate = Fate(action)
        self._clauses: dict[str, Callable[[], dict[str, object]]] = {
            "from": lambda: {"source": self._name("a host")},
            "to": lambda: {"target": self._name("a host")},
            "on": lambda: {"connection": self._name("a connection")},
            "with": lambda: {"data": self._data(True)},
            "without": lambda: {"data": self._data(False)},
            "containing": lambda: {"containing": self._text()},
            "for": lambda: {"hold": self._duration()},
        }

    def read(self) -> Fate:
        self._set(self._what())
        said: set[str] = set()
        while self._words and self._words[0][1] != ",":
            word = self._words[0][1]
            if word not in self._clauses:
                self._fail(f'{", ".join(self._clauses)} or ", " and which of them')
            if (kind := word.removesuffix("out")) in said:
                self._fail(f"`{kind}` only once")
            said.add(kind)
            self._take()
            self._set(self._clauses[word]())
        if self._words:
            self._take()
            first, last = self._which()
            self._set({"first": first, "last": last})
        if self._words:
            self._fail("the end")
        if (self._fate.action == "hold") != bool(self._fate.hold):
            self._fail('"for" and how long, such as 300ms' if self._fate.action == "hold" else "`for` with `hold` only")
        return self._fate

    def _set(self, fields: Mapping[str, object]) -> None:
        self._fate = replace(self._fate, **fields)  # type: ignore[arg-type]  # each clause knows its own

    def _take(self) -> str:
        return self._words.pop(0)[1] if self._words else ""

    def _fail(self, expected: str) -> NoReturn:
        column, found = self._words[0] if self._words else (self._end, "")
        raise FateError(f"column {column}: expected {expected}, not {found or 'the end'}")

    def _next(self) -> str:
        return self._words[0][1] if self._words else ""

    def _what(self) -> dict[str, object]:
        if self._next() == "segment":
            self._take()
            return {}
        if self._next() == "ACK" and len(self._words) > 1 and self._words[1][1] == "of":
            self._words = self._words[2:]
            if self._next() not in ("FIN", "SYN"):
                self._fail("FIN or SYN")
            return {"ack_of": parse_ctl(self._take())}
        only = self._next() == "only"
        if only:
            self._take()
        try:
            ctl = parse_ctl(self._next().replace("+", ","))
        except ValueError:
            ctl = 0
        if not ctl:
            self._fail('control bits such as FIN or SYN+ACK, "ACK of FIN" or "segment"')
        self._take()
        return {"ctl": ctl, "only": only}

    def _name(self, what: str) -> str:
        if not _NAME.fullmatch(self._next()):
            self._fail(f"the name of {what}")
        return self._take()

    def _data(self, value: bool) -> bool:
        if self._next() != "data":
            self._fail("data")
        self._take()
        return value

    def _text(self) -> str:
        word = self._next()
        if len(word) < 3 or word[0] != "'":
            self._fail("a text in single quotes")
        return re.sub(r"\\(.)", r"\1", self._take()[1:-1], flags=re.DOTALL)

    def _duration(self) -> int:
        try:
            duration = units.read_duration(self._next())
        except ValueError:
            duration = 0
        if not duration:
            self._fail("a duration such as 300ms")
        self._take()
        return duration

    def _which(self) -> tuple[int, int | None]:
        word = self._next()
        ordinal = _ORDINAL.fullmatch(word)
        if word in _ORDINALS or (ordinal and ordinal[2] == _suffix(int(ordinal[1]))):
            number = _ORDINALS.get(word) or int(word[:-2])
            self._take()
            return number, number
        if word in ("all", "once"):
            self._take()
            return (1, None) if word == "all" else (1, 1)
        if _COUNT.fullmatch(word) and len(self._words) > 1 and self._words[1][1] == "times":
            self._words = self._words[2:]
            return 1, int(word)
        self._fail('"first", "second", "3rd" ..., "once", "2 times" ... or "all"')
