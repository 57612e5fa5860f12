"""Every known bug is noticed by some test, and without a bug all of those tests pass."""

from __future__ import annotations

import pytest
from mutants import MUTANTS
from mutants.judges import failures, judges

from tcpclose.protocol.fsm import TABLE, TRANSITIONS


def test_without_a_bug_nobody_complains() -> None:
    assert len(list(judges())) > 400
    assert [f"{name}: {error}" for name, error in failures()] == []


def test_bugs_are_told_apart_and_explained() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 25
    assert all(mutant.why for mutant in MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_bug_is_noticed(mutant) -> None:
    with pytest.MonkeyPatch.context() as patch:
        mutant.apply(patch)
        killer = next(failures(), None)
    assert {row for rows in TABLE.values() for row in rows.values()} == set(TRANSITIONS)  # the bug is gone again
    assert killer is not None, f"nobody notices: {mutant.why}"
    print(f"{mutant.name}: noticed by {killer[0]}: {killer[1]!r}")
