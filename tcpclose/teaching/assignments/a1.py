"""Assignment A1: the release half of the state table, in a student's variant, to be filled in as rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import tomli_w

from tcpclose.protocol.fsm import TABLE, Cause, Event
from tcpclose.runs import LABS
from tcpclose.teaching.assignments.alterations import DRAWN, Alteration, Pair, combine, drawn, told
from tcpclose.teaching.assignments.catalogue import TITLES
from tcpclose.teaching.assignments.grades import Assignment, Criterion, Grade, How, SubmissionError, claims
from tcpclose.teaching.assignments.rules import ASKED, ORDERS, Comparison, Submission, read

NAME = "a1"
HOME = LABS / "assignments/a1-state-table"

#: Points of each alteration; the rest of the table has what is left of 100.
ALTERED = 20

#: The criteria that all students share: what each has points for. All other events are in the last one.
_RELEASE = (Event.FIN, Event.ACK_OF_FIN, Event.FIN_SENT, Event.FIN_WAIT_2_TIMEOUT, Event.TIME_WAIT_TIMEOUT)
_SHARED: tuple[tuple[str, int, tuple[Event, ...]], ...] = (
    ("the user's calls", 10, (Event.CLOSE, Event.ABORT)),
    ("the graceful release", 20, _RELEASE),
    ("RST, timeout and ICMP", 10, (Event.RST, Event.USER_TIMEOUT, Event.UNREACHABLE)),
)
assert DRAWN * ALTERED + sum(points for _, points, _ in _SHARED) == 100


def grade(submission: Submission, student: str = "", public: bool = False) -> Grade:
    """Grade the variant of `student`, or of who the file says. `public`: only what no alteration touches."""
    student = student or submission.student
    if not student.strip():
        raise SubmissionError('whose variant is it? Write student = "ID" at the top, or give --student ID')
    chosen = drawn(NAME, student)
    faults = Comparison(combine(*chosen), submission).faults
    altered = {pair for alteration in chosen for pair in alteration.pairs}
    criteria = [
        _criterion(name, points, faults, {pair for pair in faults if pair[1] in events} - altered)
        for name, points, events in _SHARED
    ]
    if not public:
        criteria += [_altered(one, faults) for one in chosen]
    return Grade(NAME, student, tuple(criteria), (*submission.remarks, *claims(submission.student, student)))


def _criterion(name: str, points: int, faults: dict[Pair, str | None], pairs: set[Pair]) -> Criterion:
    """Each pair that can occur has the same share of the points."""
    ordered = [pair for pair in ASKED if pair in pairs]
    wrong = [pair for pair in ordered if faults[pair]]
    score = round(points * (1 - len(wrong) / len(ordered)), 1)
    notes = tuple(f"{state}, {event}: {faults[state, event]}" for state, event in wrong)
    sections = {TABLE[state][event].rfc if event in TABLE[state] else "3.10.4" for state, event in wrong or ordered}
    return Criterion(name, points, score, ", ".join(sorted(sections)), notes)


def _altered(one: Alteration, faults: dict[Pair, str | None]) -> Criterion:
    """It counts as far as the states that it touches are right otherwise: "no effect" is too easily said of all."""
    criterion = _criterion(one.name, ALTERED, faults, one.pairs & faults.keys())
    states = {state for state, _ in one.pairs}
    others = [fault for pair, fault in faults.items() if pair[0] in states and pair not in one.pairs]
    fit = others.count(None)
    if criterion.score and fit < len(others):
        note = f"counts {fit}/{len(others)}: so many of the other events in the states that it touches are right"
        criterion = replace(criterion, notes=(*criterion.notes, note))
    return replace(criterion, score=round(criterion.score * fit / len(others), 1))


# What a student is given


def handout(student: str) -> str:
    """README.md of the assignment, with the student's alterations and the words of the table."""
    words = "\n".join(f'* `"{do.name}"`: {do}' for do in ORDERS)
    causes = ", ".join(f'`"{cause}"`' for cause in Cause)
    text = (HOME / "README.md").read_text("utf-8")
    for name, value in {
        "student": student,
        "alterations": told(drawn(NAME, student)),
        "orders": words,
        "causes": causes,
    }.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def template(student: str) -> str:
    """A row for each pair that is asked for, with blanks."""
    head = f"{tomli_w.dumps({'student': student})}\n# Fill in next, do and cause; README.md says how.\n"
    blanks = 'next = ""\ndo = []\ncause = ""\n'
    return head + "".join(f'\n[[row]]\nstate = "{state}"\nevent = "{event}"\n{blanks}' for state, event in ASKED)


def _files(student: str) -> dict[str, str]:
    return {"README.md": handout(student), "a1.toml": template(student)}


def _grade(path: Path, student: str, how: How) -> Grade:
    return grade(read(path), student, how.public)


ASSIGNMENT = Assignment(NAME, TITLES[NAME], "a1.toml", _files, _grade)
