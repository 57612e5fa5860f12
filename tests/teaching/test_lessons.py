"""Every lab's questions make sense, for every student, and its handout says what an empty sheet scores."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tcpclose.teaching.labs import labs
from tcpclose.teaching.marking import mark_sheet
from tcpclose.teaching.sheets import read_sheet, right, write_sheet

LABS = list(labs())
STUDENTS = st.text(max_size=20).filter(str.isprintable)


def of_each(function):
    return pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)(function)


@of_each
def test_an_empty_sheet_scores_what_the_handout_says(lab):
    marked = mark_sheet(lab, read_sheet(write_sheet(lab)))
    (said,) = re.findall(r"An empty sheet scores (\d+) of (\d+) points", " ".join(lab.handout.split()))
    assert said == (f"{marked.score:g}", str(marked.points))


@of_each
@settings(max_examples=20)
@given(STUDENTS)
@example("")
def test_computed_answers_score_all_and_an_empty_sheet_nothing(lab, student):
    """So no question makes no sense: two right options, or moments at once, would be errors."""
    full = mark_sheet(lab, read_sheet(write_sheet(lab, student, right)))
    assert [mark.id for mark in full.marks if not mark.right and not mark.by_hand] == []
    assert full.score == full.points > 0
    assert full.remarks == ()
    empty = mark_sheet(lab, read_sheet(write_sheet(lab, student)))
    assert (empty.score, empty.points) == (0, full.points)


@of_each
def test_answers_do_not_depend_on_what_another_world_would_draw(lab):
    """Such as an initial sequence number that the scenario leaves open: on Mininet it is another one."""
    rights = [
        {(asked.question.id, part.key): part.answer.right for asked in lab.asked("s", seed) for part in asked.parts}
        for seed in (["seed=1"], ["seed=2"])
    ]
    assert rights[0] == rights[1]


@of_each
def test_students_have_runs_of_their_own(lab):
    assert len({lab.overrides(f"student {number}") for number in range(50)}) > 40
