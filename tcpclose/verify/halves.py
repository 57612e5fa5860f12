"""One half of a world, an end and the segments in flight to it, and all that can happen to it by itself. By number.

Halves are much fewer than worlds, which are their pairs. So the ways on from a half are found once, one by one, and
put into tables; from worlds one goes on by looking up millions at a time (`sweep.py`).

A half is *canonical*. What is in flight to an end is a multiset, for any order is possible; it has each segment in the
form of `Ends.canonical`; and nothing is in flight to an end that is CLOSED: it has arrived, and has been answered.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tcpclose.protocol.fsm import State
from tcpclose.verify.ends import Ends, Step

Numbers = NDArray[np.int64]
Sent = tuple[int, ...]
Way = tuple[int, int]  # the half it becomes, and the number of what it sends

#: An end that is CLOSED has come farther than any that is not.
_CLOSED_RANK = 1 << 10

_SLOTS = 1 << 22
_SENT_BITS = 16  # of a key or a value below: the rest is a half


class Column:
    """An array that grows."""

    def __init__(self) -> None:
        self._array = np.zeros(1 << 10, np.int64)
        self._used = 0
        self._more: list[int] = []

    def __len__(self) -> int:
        return self._used + len(self._more)

    def append(self, value: int) -> None:
        """One more."""
        self._more.append(value)

    @property
    def all(self) -> Numbers:
        """The array, to be read and changed; until the next `append`."""
        if self._more:
            used = len(self)
            if used > len(self._array):
                self._array = np.concatenate([self._array, np.zeros(max(len(self._array), used), np.int64)])
            self._array[self._used : used] = self._more
            self._used = used
            self._more.clear()
        return self._array[: self._used]


class Table:
    """The ways of one kind, row by row."""

    def __init__(self) -> None:
        self._first, self._count, self._to, self._sent = Column(), Column(), Column(), Column()

    def append(self, ways: list[Way]) -> None:
        """The next row."""
        self._first.append(len(self._to))
        self._count.append(len(ways))
        for to, sent in ways:
            self._to.append(to)
            self._sent.append(sent)

    def of(self, rows: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """All ways of these rows: for each the index of its row, the half it leads to, and what is sent."""
        count = self._count.all[rows]
        index = np.repeat(np.arange(len(rows)), count)
        at = np.arange(len(index)) + (self._first.all[rows] - np.cumsum(count) + count)[index]
        return index, self._to.all[at], self._sent.all[at]


class Sents:
    """What was sent at once, by number; nothing is 0."""

    def __init__(self) -> None:
        self.all: list[Sent] = [()]
        self._numbers: dict[Sent, int] = {(): 0}

    def number(self, sent: Sent) -> int:
        """The number of these segments, in whatever order."""
        sent = tuple(sorted(sent))
        number = self._numbers.setdefault(sent, len(self.all))
        if number == len(self.all):
            assert number < 1 << _SENT_BITS, "too many different things are sent"
            self.all.append(sent)
        return number


class Halves:
    """All halves of one side that were met, and their ways on."""

    def __init__(self, ends: Ends, sents: Sents) -> None:
        self.ends = ends
        self.sents = sents
        self.what: list[tuple[int, Sent]] = []  # of a half: the end, and what is in flight to it
        self.end, self.count, self.stage = Column(), Column(), Column()  # the same as arrays
        self.ranks: list[int] = []  # of a stage; no way on leads to a lower rank, and to the same only within a stage
        self.fair, self.copied, self.lost, self.due = Table(), Table(), Table(), Table()
        self.wrong: str | None = None
        self._numbers: dict[tuple[int, Sent], int] = {}
        self._stages: dict[tuple[int, bool, bool] | None, int] = {}
        self._row = Column()  # of a half, in the tables; -1: not there yet
        self._rows = 0
        self._keys, self._values = np.full(_SLOTS, -1, np.int64), np.zeros(_SLOTS, np.int64)

    def number(self, end: int, flying: Sent) -> int:
        """The number of a half."""
        known = len(self.what)
        number = self._numbers.setdefault((end, flying), known)
        if number == known:
            self.what.append((end, flying))
            self.end.append(end)
            self.count.append(len(flying))
            self.stage.append(self._stage(end))
            self._row.append(-1)
        return number

    def _stage(self, end: int) -> int:
        """What the user has done. That is never undone, so worlds can be explored in stages."""
        user = self.ends.user(end)
        given = user.spent + len(user.given)
        closed = self.ends.facts[end].state is State.CLOSED
        number = self._stages.setdefault(None if closed else (given, user.closed, user.aborted), len(self.ranks))
        if number == len(self.ranks):
            self.ranks.append(_CLOSED_RANK if closed else given + user.closed + user.aborted)
        return number

    def rows(self, halves: Numbers) -> Numbers:
        """Where these halves are in the tables. Those that are not are entered."""
        rows = self._row.all[halves]
        missing = distinct([halves[rows < 0]])
        if not len(missing):
            return rows
        for half in missing.tolist():
            self._enter(half)
        self._row.all[missing] = np.arange(self._rows, self._rows + len(missing))
        self._rows += len(missing)
        return self._row.all[halves]

    def _enter(self, half: int) -> None:
        end, flying = self.what[half]
        ends, facts = self.ends, self.ends.facts[end]
        fair = [self.after(step, flying) for _, step in ends.calls(end)]
        copied, lost = [], []
        for segment in dict.fromkeys(flying):
            index = flying.index(segment)
            rest = flying[:index] + flying[index + 1 :]
            step = ends.arrive(end, segment)
            fair.append(self.after(step, rest))
            copied.append(self.after(step, flying))
            lost.append((self.number(end, rest), 0))
        due = facts.due == 0 and not facts.state.lingers
        self.fair.append(list(dict.fromkeys(fair)))
        self.copied.append(list(dict.fromkeys(copied)))
        self.lost.append(lost)
        self.due.append([self.after(ends.expire(end, 0), flying)] if due else [])

    def after(self, step: Step, flying: Sent) -> Way:
        """The way on when the end has taken a step, and these remain in flight to it."""
        self.wrong = self.wrong or step.wrong
        if self.ends.facts[step.end].state is State.CLOSED:
            return self.number(step.end, ()), self.sents.number(step.sent + self._answers(step.end, flying))
        return self.number(step.end, self._canonical(step.end, flying)), self.sents.number(step.sent)

    def _canonical(self, end: int, flying: Sent) -> Sent:
        canonical = self.ends.canonical
        return tuple(sorted(to for segment in flying if (to := canonical(end, segment)) is not None))

    def _answers(self, closed: int, flying: Sent) -> Sent:
        steps = [self.ends.arrive(closed, segment) for segment in flying]
        self.wrong = self.wrong or next((step.wrong for step in steps if step.wrong), None)
        return tuple(segment for step in steps for segment in step.sent)

    def add(self, halves: Numbers, sents: Numbers) -> tuple[Numbers, Numbers]:
        """What these halves become when segments are sent to them, and what a CLOSED end answers at once.

        What was asked lately is remembered: each key has one slot, and the last that came there has it.
        """
        keys = halves << _SENT_BITS | sents
        slots = (keys * 0x1E3779B97F4A7C15 >> 40) & (_SLOTS - 1)
        values = self._values[slots]
        unknown = np.flatnonzero(self._keys[slots] != keys)
        if len(unknown):
            asked, back = np.unique(keys[unknown], return_inverse=True)
            found = np.array([self._add(key >> _SENT_BITS, key & (1 << _SENT_BITS) - 1) for key in asked.tolist()])
            values[unknown] = found[back]
            self._keys[slots[unknown]] = keys[unknown]
            self._values[slots[unknown]] = values[unknown]
        return values >> _SENT_BITS, values & (1 << _SENT_BITS) - 1

    def _add(self, half: int, sent: int) -> int:
        end, flying = self.what[half]
        if self.ends.facts[end].state is State.CLOSED:
            return half << _SENT_BITS | self.sents.number(self._answers(end, self.sents.all[sent]))
        return self.number(end, self._canonical(end, flying + self.sents.all[sent])) << _SENT_BITS


def distinct(numbers: list[Numbers]) -> Numbers:
    """All of these, sorted and each once. (For millions, `numpy.unique` takes ten times as long.)"""
    if not numbers:
        return np.zeros(0, np.int64)
    joined = np.sort(np.concatenate(numbers))
    return joined[np.flatnonzero(np.diff(joined, prepend=-1))]
