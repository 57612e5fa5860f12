"""What a sweep counts with says the same as a dict, however small its tables are."""

from __future__ import annotations

import numpy as np
import pytest

from tcpclose.verify.arrays import Column, Index, Remembered, Table, distinct
from tcpclose.verify.explore import Bound
from tcpclose.verify.sweep import Seen, Sweep


@pytest.fixture
def random():
    return np.random.default_rng(1)


def test_an_index_numbers_rows_as_a_dict_does(random):
    index, known = Index(), {}
    for _ in range(60):
        ends, flying = random.integers(0, 30, 500), random.integers(0, 6, (500, 3)).astype(np.int16)
        flying = np.sort(flying, axis=1)
        numbers, new = index.of(ends, flying)
        rows = [(end, *row) for end, row in zip(ends.tolist(), flying.tolist(), strict=True)]
        assert [numbers[at] for at in new] == list(range(len(known), len(known) + len(new)))
        known |= {rows[at]: numbers[at] for at in new}
        assert numbers.tolist() == [known[row] for row in rows]
    assert len(known) > 1 << 10  # it has grown


def test_two_halves_with_one_key_are_not_taken_for_one():
    swept = Sweep(Bound(octets=0))
    for halves in swept.halves:
        halves._index._random[:] = 1
    with pytest.raises(RuntimeError, match="the same key"):
        swept.run()


@pytest.mark.parametrize("whole", [False, True])
def test_what_was_forgotten_is_found_again(random, whole):
    asked = []

    def find(a, b):
        asked.append((a, b))
        return a * 1000 + b

    remembered = Remembered(find, whole, slots=8)
    for _ in range(20):
        a, b = random.integers(0, 50, (2, 40))
        assert remembered.of(a, b).tolist() == (a * 1000 + b).tolist()
    once = len(asked)
    remembered.of(a[:1], b[:1])
    remembered.of(a[:1], b[:1])
    assert len(asked) <= once + 1


def test_a_row_of_a_table_is_found_once():
    asked = []

    def find(keys):
        asked.extend(keys.tolist())
        index = np.repeat(np.arange(len(keys)), keys % 3)[::-1]  # in no order
        return index, keys[index] + 100, keys[index] + 200

    table = Table(find)
    for keys in ([7, 5, 5, 6], [5, 2000, 7]):
        index, to, sent = table.of(np.array(keys))
        assert index.tolist() == [at for at, key in enumerate(keys) for _ in range(key % 3)]
        assert to.tolist() == [keys[at] + 100 for at in index]
        assert sent.tolist() == [keys[at] + 200 for at in index]
    assert sorted(asked) == [5, 6, 7, 2000]


def test_a_column_grows_and_says_when_a_number_is_too_large():
    column = Column(np.int8, 2)
    column.extend(np.full((3000, 2), 5))
    column.widen(4)
    column.extend(np.full((3000, 3), 6))
    assert len(column) == 6000
    assert column.all[[2999, 3000]].tolist() == [[5, 5, 0, 0], [6, 6, 6, 0]]
    with pytest.raises(OverflowError, match="no place for 128"):
        column.extend(np.array([[128, 0]]))


def test_a_world_is_new_once(random):
    seen, known = Seen(), set()
    for _ in range(50):
        worlds = distinct([random.integers(0, 2000, 100)])
        assert seen.add(worlds).tolist() == sorted(set(worlds.tolist()) - known)
        known |= set(worlds.tolist())
    assert not len(seen.new(np.array(sorted(known))))
