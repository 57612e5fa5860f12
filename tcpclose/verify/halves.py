"""One half of a world, an end and the segments in flight to it, and all that can happen to it by itself. By number.

Halves are fewer than worlds, which are their pairs. So the ways on from a half are found once and put into tables;
from worlds one goes on by looking up millions at a time (`sweep.py`). There are still millions of halves, but few
ends and few segments. So only what happens between an end and a segment is asked one by one, and remembered; what
becomes of halves is put together from that, in arrays.

A half is *canonical*. What is in flight to an end is a multiset, for any order is possible; it has each segment in the
form of `Ends.canonical`; and nothing is in flight to an end that is CLOSED: it has arrived, and has been answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tcpclose.protocol.fsm import State
from tcpclose.verify.arrays import Column, Index, Numbers, Remembered, Table
from tcpclose.verify.ends import Ends, Step

Sent = tuple[int, ...]
Ways = tuple[Numbers, Numbers]  # the halves they lead to, and the numbers of what is sent
Flying = NDArray[np.int16]  # in each row the segments in flight, each number plus one, from the largest; then zeros

#: An end that is CLOSED has come farther than any that is not.
_CLOSED_RANK = 1 << 10

_SENT_BITS = 16  # of a key or a value that has a number of what is sent as well
_SENT = (1 << _SENT_BITS) - 1


class Sents:
    """What was sent at once, by number; nothing is 0."""

    def __init__(self) -> None:
        self._all: list[Sent] = [()]
        self._numbers: dict[Sent, int] = {(): 0}
        self._rows = Column(np.int16, 1)
        self._joined = Remembered(lambda a, b: self.number(self._all[a] + self._all[b]))

    def number(self, sent: Sent) -> int:
        """The number of these segments, in whatever order."""
        sent = tuple(sorted(sent))
        number = self._numbers.setdefault(sent, len(self._all))
        if number == len(self._all):
            assert number < 1 << _SENT_BITS, "too many different things are sent"
            self._all.append(sent)
        return number

    def join(self, some: Numbers, more: Numbers) -> Numbers:
        """Both together."""
        joined = some.copy()
        which = np.flatnonzero(more)
        joined[which] = self._joined.of(some[which], more[which])
        return joined

    def flying(self, numbers: Numbers) -> Flying:
        """The segments themselves."""
        new = self._all[len(self._rows) :]
        longest = max(map(len, new), default=0)
        if longest > self._rows.width:
            self._rows.widen(longest)
        if new:
            rows = [[*(segment + 1 for segment in sent), *[0] * (longest - len(sent))] for sent in new]
            self._rows.extend(np.array(rows, np.int16))
        return self._rows.all[numbers]


class Halves:
    """All halves of one side that were met, and their ways on. `losses`: in how small a half a segment may be lost."""

    def __init__(self, ends: Ends, sents: Sents, losses: int) -> None:
        self.ends = ends
        self.sents = sents
        self.losses = losses
        self.end, self.count, self.stage = Column(np.int32), Column(np.int8), Column(np.int16)
        self.ranks: list[int] = []  # of a stage; no way on leads to a lower rank, and to the same only within a stage
        self.fair, self.due = Table(self._fair), Table(self._due)
        self.copied, self.lost = Table(self._copied), Table(self._lost)
        self.wrong: str | None = None
        self._flying = Column(np.int16, 8)
        self._index = Index()
        self._stages: dict[tuple[int, bool, bool] | None, int] = {}
        self._facts = [Column(np.int16), Column(np.int8)]  # of ends: the stage, and whether it is CLOSED
        self._calls = Table(self._by_end(lambda end: [step for _, step in ends.calls(end)]))
        self._expiries = Table(self._by_end(self._expire))
        self._arrivals = Remembered(lambda end, segment: self._packed(ends.arrive(end, segment - 1)))
        self._forms = Remembered(self._form)
        self._added = Remembered(self._add, whole=True, slots=1 << 22)

    # Halves, from what they are

    def number(self, end: Numbers, flying: Flying) -> Numbers:
        """The numbers of halves."""
        assert len(self.ends.segments) < np.iinfo(np.int16).max, "too many different segments"
        flying = -np.sort(-flying, axis=1)
        width = max(8, int(np.count_nonzero(flying, axis=1).max(initial=0)))
        flying = np.pad(flying, ((0, 0), (0, max(0, width - flying.shape[1]))))[:, :width]
        if width > self._flying.width:
            self._flying.widen(width)
        numbers, new = self._index.of(end, flying)
        if len(new):
            stage, _ = self._of_ends(end[new])
            self.end.extend(end[new])
            self.count.extend(np.count_nonzero(flying[new], axis=1))
            self.stage.extend(stage)
            self._flying.extend(flying[new])
        stored = self._flying.all[numbers, :width]
        if (self.end.all[numbers] != end).any() or (stored != flying).any():
            raise RuntimeError("two halves have the same key: change the seed in Index")
        return numbers

    def start(self, step: Step, flying: Sent) -> Ways:
        """The half when an end has taken this step and these are in flight to it."""
        return self._after(np.array([self._packed(step)]), self.sents.flying(np.array([self.sents.number(flying)])))

    def _of_ends(self, ends: Numbers) -> tuple[Any, Any]:
        """The stages of ends, and which are CLOSED."""
        stage, closed = self._facts
        for end in range(len(stage), len(self.ends)):
            stage.extend(np.array([self._stage(end)]))
            closed.extend(np.array([self.ends.facts[end].state is State.CLOSED]))
        return stage.all[ends], closed.all[ends] != 0

    def _stage(self, end: int) -> int:
        """What the user has done. That is never undone, so worlds can be explored in stages."""
        user = self.ends.user(end)
        given = user.spent + len(user.given)
        closed = self.ends.facts[end].state is State.CLOSED
        number = self._stages.setdefault(None if closed else (given, user.closed, user.aborted), len(self.ranks))
        if number == len(self.ranks):
            self.ranks.append(_CLOSED_RANK if closed else given + user.closed + user.aborted)
        return number

    # The ways on, for tables: for each way the index of its row, the half it leads to, and what is sent

    def _fair(self, halves: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        index, step = self._calls.of(self.end.all[halves])[:2]
        which, heard, rest = self._heard(halves)
        flying = np.concatenate([self._flying.all[halves[index]], rest])
        return np.concatenate([index, which]), *self._after(np.concatenate([step, heard]), flying)

    def _copied(self, halves: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        index, step, _ = self._heard(halves)
        return index, *self._after(step, self._flying.all[halves[index]])

    def _due(self, halves: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        index, step = self._expiries.of(self.end.all[halves])[:2]
        return index, *self._after(step, self._flying.all[halves[index]])

    def _lost(self, halves: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        which = np.flatnonzero(self.count.all[halves] <= self.losses)
        index, _, rest = self._heard(halves[which])
        index = which[index]
        return index, self.number(self.end.all[halves[index]].astype(np.int64), rest), np.zeros(len(index), np.int64)

    def _heard(self, halves: Numbers) -> tuple[Numbers, Numbers, Flying]:
        """One of the segments in flight arrives: what the ends do, and what remains in flight."""
        flying = self._flying.all[halves]
        before = np.pad(flying, ((0, 0), (1, 0)))[:, :-1]
        index, at = np.nonzero((flying != 0) & (flying != before))  # of segments that are alike, one
        step = self._arrivals.of(self.end.all[halves[index]], flying[index, at])
        rest = flying[index]
        rest[np.arange(len(index)), at] = 0
        return index, step, rest

    def _after(self, step: Numbers, flying: Flying) -> Ways:
        """The ways on when ends have taken a step, and these remain in flight to them."""
        return self._settle(step >> _SENT_BITS, step & _SENT, flying)

    def _settle(self, end: Numbers, sent: Numbers, flying: Flying) -> Ways:
        _, closed = self._of_ends(end)
        index, at = np.nonzero(flying)
        forms = self._forms.of(end[index], flying[index, at])
        answers = np.where(closed[index], forms, 0)
        flying[index, at] = np.where(closed[index], 0, forms)
        for column in np.unique(at[answers > 0]).tolist():
            some = np.flatnonzero((at == column) & (answers > 0))
            sent[index[some]] = self.sents.join(sent[index[some]], answers[some])
        return self.number(end, flying), sent

    def add(self, halves: Numbers, sents: Numbers) -> Ways:
        """What these halves become when segments are sent to them, and what a CLOSED end answers at once."""
        values = self._added.of(halves, sents)
        return values >> _SENT_BITS, values & _SENT

    def _add(self, halves: Numbers, sents: Numbers) -> Numbers:
        flying = np.concatenate([self._flying.all[halves], self.sents.flying(sents)], axis=1)
        to, answers = self._settle(self.end.all[halves].astype(np.int64), np.zeros(len(halves), np.int64), flying)
        return to << _SENT_BITS | answers

    # What an end does, one by one

    def _packed(self, step: Step) -> int:
        self.wrong = self.wrong or step.wrong
        return step.end << _SENT_BITS | self.sents.number(step.sent)

    def _form(self, end: int, segment: int) -> int:
        """What a segment is in flight to an end, or what a CLOSED one answers at once."""
        if self.ends.facts[end].state is State.CLOSED:
            return self._packed(self.ends.arrive(end, segment - 1)) & _SENT
        form = self.ends.canonical(end, segment - 1)
        return 0 if form is None else form + 1

    def _expire(self, end: int) -> list[Step]:
        facts = self.ends.facts[end]
        due = facts.due == 0 and not facts.state.lingers
        return [self.ends.expire(end, 0)] if due else []

    def _by_end(self, steps: Callable[[int], list[Step]]) -> Callable[[Numbers], tuple[Numbers, Numbers, Numbers]]:
        """The ways of a table of ends: in place of a half each has a step, packed."""

        def find(ends: Numbers) -> tuple[Numbers, Numbers, Numbers]:
            ways = [(index, self._packed(step)) for index, end in enumerate(ends.tolist()) for step in steps(end)]
            index, packed = np.array(ways, np.int64).reshape(-1, 2).T
            return index, packed, np.zeros(len(index), np.int64)

        return find
