"""Every known bug is noticed by some test, and without a bug all of those tests pass."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mutants import MUTANTS
from mutants.judges import Hangs, judges, limited

TESTS = Path(__file__).parent

Judge = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    """A function from the name of a mutant to its verdict, given by a process that judges them one by one."""
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"}
    command = [sys.executable, "-m", "mutants"]
    with subprocess.Popen(
        command, cwd=TESTS, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as court:
        assert court.stdin
        assert court.stdout

        def ask(name: str) -> dict[str, Any]:
            print(name, file=court.stdin, flush=True)
            verdict: dict[str, Any] = json.loads(court.stdout.readline())
            return verdict

        yield ask
        court.stdin.close()


@pytest.mark.slow
def test_without_a_bug_nobody_complains(judge: Judge) -> None:
    assert len(list(judges())) > 1000
    verdict = judge("")
    assert verdict["killer"] is None, verdict["error"]


def go_on_for_ever() -> None:
    with contextlib.suppress(Hangs):
        while True:
            pass
    while True:
        pass


def test_a_judge_that_hangs_is_stopped_even_if_the_first_call_to_stop_is_lost() -> None:
    with pytest.raises(Hangs), limited(0.05):
        go_on_for_ever()


def test_bugs_are_told_apart_and_explained() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 80
    assert all(mutant.why for mutant in MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
@pytest.mark.slow
def test_a_bug_is_noticed(mutant, judge: Judge) -> None:
    verdict = judge(mutant.name)
    assert verdict["restored"], "the bug is still there"
    assert verdict["killer"] is not None, f"nobody notices: {mutant.why}"
    print(f"{mutant.name}: noticed by {verdict['killer']}: {verdict['error']}")
