"""What a packetdrill script consists of. Times are microseconds; numbers are as written, relative to the SYNs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple


class Place(NamedTuple):
    """Where something stands in a script, both counted from 1."""

    line: int
    column: int


_NOWHERE = Place(1, 1)


# What stands in the arguments and results of calls


@dataclass(frozen=True, slots=True)
class Word:
    """A symbol such as `SOL_SOCKET`."""

    name: str


@dataclass(frozen=True, slots=True)
class Text:
    """A string; the quotes are not part of it."""

    text: str


@dataclass(frozen=True, slots=True)
class Gap:
    """`...`: whatever the runner likes."""


@dataclass(frozen=True, slots=True)
class Either:
    """`A|B`: flags joined bit by bit."""

    parts: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Array:
    """`[a, b]`."""

    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of a structure: `name = value`, `name(size) = value` or a value alone."""

    value: Value
    name: str = ""
    size: Value | None = None


@dataclass(frozen=True, slots=True)
class Struct:
    """`{onoff=1, linger=0}`."""

    entries: tuple[Entry, ...]

    def get(self, *names: str) -> Value | None:
        """The member that has one of these names."""
        return next((entry.value for entry in self.entries if entry.name in names), None)


@dataclass(frozen=True, slots=True)
class Function:
    """`htons(8080)` as an argument."""

    name: str
    arguments: tuple[Value, ...]


Value = int | Word | Text | Gap | Either | Array | Struct | Function


# Actions


@dataclass(frozen=True, slots=True)
class Option:
    """One TCP option. `numbers` of mss, wscale, TS (val, ecr), sack (edges); `text` of those nobody interprets."""

    kind: str
    numbers: tuple[int, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Packet:
    """A TCP segment, injected or expected. `options` is None for `<...>`: any."""

    inbound: bool
    flags: str
    seq: int
    length: int
    ack: int | None = None
    win: int | None = None
    urg: int | None = None
    options: tuple[Option, ...] | None = ()
    ecn: str = ""


@dataclass(frozen=True, slots=True)
class Icmp:
    """An ICMP error about a segment of ours, which it quotes by sequence number and length."""

    inbound: bool
    type: str
    code: str = ""
    mtu: int | None = None
    quoted: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A system call and what it must return. `end` belongs to one that may block, see `Time`."""

    name: str
    arguments: tuple[Value, ...]
    result: Value
    errno: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """Words for a shell, which never gets them."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """What stands between `%{` and `}%`: Python, of which assertions are understood."""

    text: str


Action = Packet | Icmp | Call | Command | Code


@dataclass(frozen=True, slots=True)
class Time:
    """When. `until` is the end of a range `a~b` or, when `blocks`, of a call that may block, `a...b`."""

    form: Literal["absolute", "relative", "any"]
    at: int = 0
    until: int | None = None
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a script."""

    time: Time
    action: Action
    place: Place = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Script:
    """A whole script. `first` and `last` are the commands before and behind all events, empty when there is none."""

    options: tuple[tuple[str, str], ...]
    events: tuple[Event, ...]
    first: str = ""
    last: str = ""
    first_place: Place = field(default=_NOWHERE, compare=False)
    last_place: Place = field(default=_NOWHERE, compare=False)
