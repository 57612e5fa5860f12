"""Our own scripts say nothing that could as well be otherwise, save for the reasons in `drill_mutants.UNOBSERVABLE`."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from drill_mutants import UNOBSERVABLE, mutants, reason, survives
from test_drill import ALL, SCRIPTS

from tcpclose.drill.parser import parse

SAMPLE = 15  # changes of each script; all of them are some fifteen thousand


def profile_of(path: Path):
    return path.relative_to(SCRIPTS).parts[0]


@pytest.mark.parametrize("path", ALL, ids=[str(path.relative_to(SCRIPTS)) for path in ALL])
def test_a_change_is_noticed_or_has_a_reason(path):
    found = [mutant for mutant in mutants(parse(path.read_text())) if reason(mutant) is None]
    assert len(found) > 5
    some = random.Random(path.name).sample(found, min(SAMPLE, len(found)))
    assert [str(mutant) for mutant in some if survives(mutant, profile_of(path))] == []


@pytest.mark.slow
def test_all_changes_are_noticed_and_all_reasons_needed():
    survivors = [
        mutant for path in ALL for mutant in mutants(parse(path.read_text())) if survives(mutant, profile_of(path))
    ]
    reasons = Counter(map(reason, survivors))
    assert [str(mutant) for mutant in survivors if reason(mutant) is None] == []
    assert set(reasons) == set(UNOBSERVABLE)
