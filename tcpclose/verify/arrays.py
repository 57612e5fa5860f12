"""Arrays that grow, tables and memories over them: what a sweep counts with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


class Column:
    """An array that grows; with a width, its rows are arrays."""

    def __init__(self, dtype: type[np.signedinteger[Any]], width: int = 0) -> None:
        self._array = np.zeros((1 << 10, width) if width else 1 << 10, dtype)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    @property
    def width(self) -> int:
        """How long a row is."""
        return int(self._array.shape[1])

    def widen(self, width: int) -> None:
        """Longer rows, filled up with zeros."""
        self._array = np.pad(self._array, ((0, 0), (0, width - self.width)))

    def extend(self, values: NDArray[Any]) -> None:
        """More of them."""
        if values.max(initial=0) > np.iinfo(self._array.dtype).max:
            raise OverflowError(f"a column of {self._array.dtype} has no place for {values.max()}")
        used = self._used + len(values)
        if used > len(self._array):
            longer = np.zeros((max(used, len(self._array) * 3 // 2), *self._array.shape[1:]), self._array.dtype)
            longer[: self._used] = self.all
            self._array = longer
        if values.ndim > 1 and values.shape[1] < self.width:
            self._array[self._used : used, : values.shape[1]] = values
        else:
            self._array[self._used : used] = values
        self._used = used

    @property
    def all(self) -> NDArray[Any]:
        """The array, to be read and changed; until it is longer."""
        return self._array[: self._used]


class Table:
    """The ways of one kind, row by row. A row is found when it is asked for, and kept.

    `find` is given keys, and for each way it returns the index of its key, where it leads to, and what is sent.
    """

    def __init__(self, find: Callable[[Numbers], tuple[Numbers, Numbers, Numbers]]) -> None:
        self._find = find
        self._first, self._count = Column(np.int64), Column(np.int16)  # of a key; -1: not asked for yet
        self._to, self._sent = Column(np.int32), Column(np.int32)

    def of(self, keys: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """All ways of these keys: for each the index of its key, where it leads to, and what is sent."""
        more = int(keys.max(initial=-1)) + 1 - len(self._count)
        if more > 0:
            self._first.extend(np.zeros(more, np.int64))
            self._count.extend(np.full(more, -1, np.int16))
        missing = distinct([keys[self._count.all[keys] < 0]])
        if len(missing):
            self._enter(missing)
        count = self._count.all[keys].astype(np.int64)
        index = np.repeat(np.arange(len(keys)), count)
        at = np.arange(len(index)) + (self._first.all[keys] - np.cumsum(count) + count)[index]
        return index, self._to.all[at].astype(np.int64), self._sent.all[at].astype(np.int64)

    def _enter(self, keys: Numbers) -> None:
        index, to, sent = self._find(keys)
        order = np.argsort(index, kind="stable")
        count = np.bincount(index, minlength=len(keys))
        self._count.all[keys] = count
        self._first.all[keys] = len(self._to) + np.cumsum(count) - count
        self._to.extend(to[order])
        self._sent.extend(sent[order])


class Remembered:
    """A function of two numbers, for arrays of them. What was asked lately is remembered.

    Each key has one slot, and the last that came there has it. `find` is asked for the others: one by one, or for
    arrays if it is `whole`.
    """

    def __init__(self, find: Callable[[Any, Any], Any], whole: bool = False, slots: int = 1 << 20) -> None:
        self._find, self._whole = find, whole
        self._keys, self._values = np.full(slots, -1, np.int64), np.zeros(slots, np.int64)

    def of(self, a: NDArray[Any], b: NDArray[Any]) -> Numbers:
        """The values for these pairs; `b` has 16 bits."""
        keys = a.astype(np.int64) << 16 | b
        slots = (keys * 0x1E3779B97F4A7C15 >> 40) & (len(self._keys) - 1)
        values: Numbers = self._values[slots]
        unknown = np.flatnonzero(self._keys[slots] != keys)
        if len(unknown):
            asked = distinct([keys[unknown]])
            first, second = asked >> 16, asked & (1 << 16) - 1
            if self._whole:
                found = self._find(first, second)
            else:
                found = np.array([self._find(a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True)])
            values[unknown] = found[np.searchsorted(asked, keys[unknown])]
            self._keys[slots[unknown]] = keys[unknown]
            self._values[slots[unknown]] = values[unknown]
        return values


class Index:
    """Numbers for rows, by keys of 64 bits: an open hash table. Whoever asks compares the rows themselves."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(9293).integers(1, 1 << 63, (2, 1 << 16), np.int64)
        self._random[1, 0] = 0
        self._keys, self._numbers = np.zeros(1 << 12, np.int64), np.zeros(1 << 12, np.int32)
        self._used = 0

    def of(self, first: Numbers, rest: NDArray[np.int16]) -> tuple[Numbers, Numbers]:
        """The numbers of rows, and where the new ones are, in the order of their numbers; 0 in `rest` is nothing."""
        keys = self._random[0][first] + self._random[1][rest].sum(axis=1)
        keys[keys == 0] = 1
        numbers = self._look_up(keys)
        missing = np.flatnonzero(numbers < 0)
        if not len(missing):
            return numbers, missing
        asked, new = np.unique(keys[missing], return_index=True)
        given = np.arange(self._used, self._used + len(asked))
        numbers[missing] = given[np.searchsorted(asked, keys[missing])]
        self._used += len(asked)
        self._insert(asked, given)
        return numbers, missing[new]

    def _slots(self, keys: Numbers) -> Numbers:
        return (keys >> 20) & (len(self._keys) - 1)

    def _look_up(self, keys: Numbers) -> Numbers:
        numbers, left, slots = np.full(len(keys), -1), np.arange(len(keys)), self._slots(keys)
        while len(left):
            there = self._keys[slots]
            same = there == keys[left]
            numbers[left[same]] = self._numbers[slots[same]]
            on = (there != 0) & ~same
            left, slots = left[on], (slots[on] + 1) & (len(self._keys) - 1)
        return numbers

    def _insert(self, keys: Numbers, numbers: Numbers) -> None:
        if self._used * 2 > len(self._keys):
            old = np.flatnonzero(self._keys)
            keys = np.concatenate([self._keys[old], keys])
            numbers = np.concatenate([self._numbers[old], numbers])
            size = len(self._keys)
            while self._used * 2 > size:
                size *= 2
            self._keys, self._numbers = np.zeros(size, np.int64), np.zeros(size, np.int32)
        slots = self._slots(keys)
        while len(keys):
            free = np.flatnonzero(self._keys[slots] == 0)
            self._keys[slots[free]] = keys[free]  # of two in one slot, the last stays
            mine = self._keys[slots] == keys
            self._numbers[slots[mine]] = numbers[mine]
            keys, numbers, slots = keys[~mine], numbers[~mine], (slots[~mine] + 1) & (len(self._keys) - 1)


def distinct(numbers: list[Numbers]) -> Numbers:
    """All of these, sorted and each once. (For millions, `numpy.unique` takes ten times as long.)"""
    if not numbers:
        return np.zeros(0, np.int64)
    joined = np.sort(np.concatenate(numbers))
    return joined[np.flatnonzero(np.diff(joined, prepend=-1))]
