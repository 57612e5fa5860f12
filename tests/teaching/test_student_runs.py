"""What a student sees on Mininet is what the marks go by."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from tcpclose.cli import app
from tcpclose.scenario import Scenario
from tcpclose.teaching.asking import Run, ask
from tcpclose.teaching.labs import labs
from tcpclose.teaching.marking import mark_question
from tcpclose.teaching.quantities import NotInRun
from tcpclose.testbed.box import why_no_box
from tcpclose.trace.events import Trace

STUDENT = "s1"


@pytest.mark.parametrize("lab", list(labs()), ids=lambda lab: lab.name)
@pytest.mark.testbed
@pytest.mark.slow
def test_answers_read_from_a_run_on_mininet_are_right(lab, tmp_path):
    """Those about the run itself; a question with overrides asks for a run of its own."""
    if reason := why_no_box():
        pytest.skip(reason)
    words = ["run", lab.name, "--student", STUDENT, "--world", "mininet", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    run = Run(Scenario.load(tmp_path / "run" / "scenario.toml"), Trace.load(tmp_path / "run" / "trace.jsonl"))
    wrong = []
    for asked in lab.asked(STUDENT):
        if asked.question.set or asked.question.by_hand:
            continue
        seen = see(asked, lab, run)
        if seen is None:
            continue
        mark = mark_question(asked, {part.key: part.answer.right for part in seen.parts})
        if not mark.right and not nearly(asked, seen):
            wrong.append((mark.id, mark.given, mark.notes))
    assert wrong == []


def see(asked, lab, run):
    """The question, asked of this run; None for a figure in which what crosses on the way is drawn in another order."""
    try:
        seen = ask(asked.question, lab.name, STUDENT, run)
    except NotInRun:
        if asked.question.kind == "blanks":
            return None
        raise
    return None if asked.question.kind == "blanks" and seen.shown != asked.shown else seen


def nearly(asked, seen):
    """A busy machine is late."""
    times = [part.answer.time for question in (asked, seen) for part in question.parts if "time" in vars(part.answer)]
    return len(times) == 2 and abs(times[0] - times[1]) < 100_000
