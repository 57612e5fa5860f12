"""A connection as one tuple that can be hashed, compared, and turned into a connection again.

The tuple is *canonical*: two connections with the same tuple behave alike for ever, so a world needs to be explored
once only. That holds because everything a connection knows is in it, with these exceptions, each harmless:

* Times are kept relative to now. The engine only adds to `now` and compares with it, so it cannot tell 3 o'clock
  from 4 o'clock; a test runs the same history at two times and compares.
* `srtt`, `rttvar` and `timed` only serve to compute `rto`, which `CONFIG` (in `ends.py`) holds constant.
* `cwnd` never falls below one full segment, and all text and both FINs of the bound are less than that: the
  smaller of the two windows is always wide enough, whatever `cwnd` and `ssthresh` are.
* `snd_wl1` and `snd_wl2` tell which window is the newest. `CONFIG` has all segments but the SYN offer the same one.
* `retransmissions` ends nothing, as `CONFIG` leaves `r2` and `syn_r2` at 0.
* Segments and news have been taken out, so these lists are empty.
* `counters` are written and never read by the engine; `scheduled` and `held` belong to a Stack, and there is none.
* `table` is the same for all connections that a Freezer turns, and none of them changes it.

Sequence numbers need nothing: the initial ones are fixed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import astuple
from operator import attrgetter
from typing import Any

from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.connection import Connection
from tcpclose.protocol.fsm import TABLE, State, Table
from tcpclose.protocol.segment import Segment

Frozen = tuple[Any, ...]

#: Times inside tuples, by name of the field: where in the tuple. Fields whose names end in `_at` are times as well.
_TIME_WITHIN = {"challenges": 0}

#: Fields that are left out.
_LEFT_OUT = {"counters", "scheduled", "held", "table"}

#: Fields that hold a Segment, or None.
_SEGMENTS = {"_peer"}

#: Fields that are held at one value, for the reasons given above.
_HELD: dict[str, Callable[[Any], Any]] = {
    "srtt": lambda value: None,
    "rttvar": lambda value: 0,
    "timed": lambda value: None,
    "cwnd": lambda value: value and 1 << 20,
    "snd_wl1": lambda value: 0,
    "snd_wl2": lambda value: 0,
    "retransmissions": lambda value: 0,
    "ssthresh": lambda value: 1 << 30,
    "duplicate_acks": lambda value: min(value, 4),
}

_PLAIN = (int, str, bytes, tuple, type(None))
_FREEZE: dict[type, Callable[[Any], Any]] = {
    bytearray: bytes,
    list: tuple,
    deque: tuple,
    set: frozenset,
    dict: lambda value: tuple(value.items()),
}


class Freezer:
    """Turns connections of one TCP into tuples and back. Raises `TypeError` for a field it cannot make canonical."""

    def __init__(self, config: TcpConfig, iss: int, table: Table = TABLE) -> None:
        self.config = config
        self.iss = iss
        self.table = table
        self._paths: list[Callable[[Connection], object]] = []  # from a connection to each of its objects
        self._fields: list[list[str]] = []  # and their fields
        self._names: list[str] = []
        self._types: list[type] = []
        template = self.new()
        self._enter(template, "", {id(config)})
        self._changed = [(index, _FREEZE[kind]) for index, kind in enumerate(self._types) if kind in _FREEZE] + [
            (index, _HELD[name]) for index, name in enumerate(self._names) if name in _HELD
        ]
        self._rebuilt = [(index, kind) for index, kind in enumerate(self._types) if kind in _FREEZE]
        self._segments = [index for index, name in enumerate(self._names) if name in _SEGMENTS]
        self._times = [index for index, name in enumerate(self._names) if name.endswith("_at")]
        self._times_within = [
            (index, _TIME_WITHIN[name]) for index, name in enumerate(self._names) if name in _TIME_WITHIN
        ]

    def new(self) -> Connection:
        """A connection of which nobody has made use."""
        return Connection(self.config, self.iss, table=self.table)

    def _enter(self, thing: object, path: str, known: set[int]) -> None:
        """Note the fields of an object of the engine, then those of the objects that belong to it."""
        known.add(id(thing))
        values = {name: getattr(thing, name) for name in _fields(thing)}
        parts = {name: value for name, value in values.items() if type(value).__module__.startswith("tcpclose.")}
        parts = {name: value for name, value in parts.items() if not hasattr(value, "value")}  # enumerations are plain
        plain = [name for name in values if name not in parts]
        for name in plain:
            if not isinstance(values[name], (*_PLAIN, *_FREEZE)) and not hasattr(values[name], "value"):
                raise TypeError(f"no canonical form for {type(thing).__name__}.{name}: {values[name]!r}")
        self._paths.append(attrgetter(path) if path else lambda connection: connection)
        self._fields.append(plain)
        self._names += plain
        self._types += [type(values[name]) for name in plain]
        for name, part in parts.items():
            if id(part) not in known:
                self._enter(part, f"{path}.{name}".lstrip("."), known)

    def _objects(self, connection: Connection) -> list[object]:
        return [path(connection) for path in self._paths]

    def freeze(self, connection: Connection, now: int) -> Frozen:
        """The tuple of a connection whose segments and news have been taken out."""
        if connection.state is State.CLOSED:
            ended, connection = connection, self.new()
            connection.cause = ended.cause
        values: list[Any] = []
        for part, names in zip(self._objects(connection), self._fields, strict=True):
            values += [getattr(part, name) for name in names]
        for index, change in self._changed:
            values[index] = change(values[index])
        for index in self._segments:
            values[index] = values[index] and astuple(values[index])
        return self._shifted(values, now)

    def _shifted(self, values: list[Any], by: int) -> Frozen:
        for index in self._times:
            if values[index] is not None:
                values[index] -= by
        for index, within in self._times_within:
            value = list(values[index])
            value[within] -= by
            values[index] = tuple(value) if value[within] > 0 else (0,) * len(value)  # an interval that is over
        return tuple(values)

    def thaw(self, frozen: Frozen) -> Connection:
        """A connection as it was frozen; for it, it is now 0."""
        values = list(frozen)
        for index, kind in self._rebuilt:
            values[index] = kind(values[index])
        for index in self._segments:
            values[index] = values[index] and Segment(*values[index])
        connection = self.new()
        left = iter(values)
        for part, names in zip(self._objects(connection), self._fields, strict=True):
            for name in names:
                setattr(part, name, next(left))
        return connection

    def later(self, frozen: Frozen, microseconds: int) -> Frozen:
        """The same connection when time has passed and nothing has happened."""
        return self._shifted(list(frozen), microseconds)


def _fields(thing: object) -> list[str]:
    slots = [name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
    return [name for name in (*slots, *getattr(thing, "__dict__", ())) if name not in _LEFT_OUT]
