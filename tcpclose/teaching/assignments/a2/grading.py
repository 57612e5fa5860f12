"""A2's grade: figures, scripts, the model checker's paths, drawn ones, and a student's alterations."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from tcpclose.teaching.assignments.a2.cases import Case
from tcpclose.teaching.assignments.a2.comparing import draw, first_difference
from tcpclose.teaching.assignments.a2.emulated import EMULATED, fault
from tcpclose.teaching.assignments.a2.engine import Boxed, boxed
from tcpclose.teaching.assignments.a2.right import Reply, Request
from tcpclose.teaching.assignments.a2.variant import (
    ABRUPT,
    CALLS,
    GRACEFUL,
    NAME,
    STRANGERS,
    Played,
    Variant,
    chosen,
    variant,
)
from tcpclose.teaching.assignments.alterations import DRAWN, Alteration
from tcpclose.teaching.assignments.cell import NoBox
from tcpclose.teaching.assignments.containment import Misbehaved, Raised
from tcpclose.teaching.assignments.grades import Criterion, Grade, How, SubmissionError, claims
from tcpclose.teaching.assignments.handed_in import content

MOST_OCTETS = 1 << 16

ALTERED, FIGURES, SCRIPTS, WALKS, EMULATE = 16, 10, 8, 4, 6
_EXPLORED = {CALLS: 5, GRACEFUL: 9, ABRUPT: 5, STRANGERS: 5}
assert DRAWN * ALTERED + FIGURES + SCRIPTS + WALKS + EMULATE + sum(_EXPLORED.values()) == 100

_RFC = {
    CALLS: "3.10.4, 3.10.5",
    GRACEFUL: "3.6, 3.10.7.4",
    ABRUPT: "3.5.2, 3.10.7.4, 3.10.8",
    STRANGERS: "3.5.2, 3.10.7.1",
}

#: So many cases that went wrong are told of in a criterion.
_TOLD = 3
_NOT_REACHED = "was not reached"
_EARLIER = "goes wrong before it comes to that"
_FIGURE = "\n"  # what begins so is one

_STUDENT = re.compile(rb'^STUDENT = "([^"\n]*)"', re.MULTILINE)

Attempt = tuple[str, Callable[[], str | None]]  # what is tried, and what is wrong with it


def grade(path: Path, student: str, how: How) -> Grade:
    """Grade a submission. What is public are the figures and scripts, which students have.

    Raises `SubmissionError` for a file that is none, or when this machine cannot contain it.
    """
    program = _source(path)
    found = _STUDENT.search(program)
    said = found[1].decode() if found else ""
    student = student or said
    if not student.strip():
        raise SubmissionError('whose variant is it? Write STUDENT = "ID" in the file, or give --student ID')
    alterations = chosen(student)
    grader = _Grader(variant(alterations))
    try:
        with boxed(program, how.uncontained) as engine:
            grader.engine = engine
            criteria = grader.criteria(how)
    except NoBox as error:
        raise SubmissionError(f"{error}; `tcpclose doctor` says what is missing to run foreign code") from None
    except Misbehaved as error:
        grader.over = error
        criteria = grader.criteria(how)
    remarks = (_reason(grader.over),) if grader.over else ()
    return Grade(NAME, student, tuple(criteria), (*remarks, *claims(said, student)))


def _source(path: Path) -> bytes:
    program = content(path, MOST_OCTETS)
    try:
        zero = program.decode().find("\0")
    except UnicodeDecodeError as error:
        raise SubmissionError(f"{path}: is no Python source: octet {error.start} is not UTF-8; save it so") from None
    if zero >= 0:
        raise SubmissionError(f"{path}: is no Python source but a binary file; hand in the program that you wrote")
    return program


def _reason(error: Misbehaved) -> str:
    """With the file's name as its author knows it."""
    return error.reason.replace("submission.py", "release.py").replace("module 'submission'", "release.py")


def _rounded(score: float, points: int) -> float:
    """To a tenth; who has made a mistake has not all of them."""
    return float(points) if score == points else min(round(score, 1), points - 0.1)


class _Grader:
    """Tries one thing after the other. Once the submission has misbehaved, what is left counts as wrong."""

    engine: Boxed

    def __init__(self, what: Variant) -> None:
        self.variant = what
        self.over: Misbehaved | None = None

    def criteria(self, how: How) -> list[Criterion]:
        """All criteria, or those that are public."""
        found = [
            self._criterion("figures", FIGURES, "3.5, 3.6", self._cases(self.variant.figures)),
            self._criterion("scripts with exact times", SCRIPTS, "3.4.2, 3.10.8", self._cases(self.variant.scripts)),
        ]
        if how.emulate:
            found.append(self._criterion("on emulated hosts", EMULATE, "3.6, 3.5.2", self._emulated()))
        if how.public:
            return found
        for topic, points in _EXPLORED.items():
            played = [one for one in self.variant.explored if one.topic == topic]
            found.append(self._criterion(topic, points, _RFC[topic], self._explored(played)))
        found.append(self._criterion("long paths, drawn", WALKS, "3.10", self._walks()))
        return found + [self._altered(one) for one in self.variant.alterations]

    def _altered(self, one: Alteration) -> Criterion:
        played = [played for played in self.variant.explored if one.name in played.altered]
        return self._criterion(one.name, ALTERED, one.sections, self._explored(played))

    def _criterion(self, name: str, points: int, rfc: str, attempts: Iterable[Attempt]) -> Criterion:
        """What attempts are about has the same share of the points, and each attempt the same share of that."""
        results = [(what, self._try(attempt)) for what, attempt in attempts]
        tried, failed = Counter(what for what, _ in results), Counter(what for what, fault in results if fault)
        score = points * (1 - sum(failed[what] / tried[what] for what in failed) / len(tried))
        told = {what: fault for what, fault in reversed(results) if fault and fault not in (_NOT_REACHED, _EARLIER)}
        seen = [f"{what}:{'' if told[what].startswith(_FIGURE) else ' '}{told[what]}" for what in tried if what in told]
        seen = seen[:_TOLD]
        unseen = failed.total() - len(seen)
        rest = f"and {unseen} more of {len(results)}" if seen else f"{unseen} of {len(results)}, none of them told"
        notes = (*seen, rest) if unseen else tuple(seen)
        return Criterion(name, points, _rounded(score, points), rfc, notes)

    def _try(self, attempt: Callable[[], str | None]) -> str | None:
        if self.over:
            return _NOT_REACHED
        try:
            return attempt()
        except Raised as error:
            return _reason(error)
        except Misbehaved as error:
            self.over = error
            return _reason(error)

    def _cases(self, cases: Sequence[Case]) -> list[Attempt]:
        return [(case.name, partial(self._play, case)) for case in cases]

    def _play(self, case: Case) -> str | None:
        return case.play(self.variant.table, self.engine.answer)

    def _emulated(self) -> list[Attempt]:
        return [(case.name, partial(fault, case, self.variant.table, self.engine.answer)) for case in EMULATED]

    def _explored(self, played: Sequence[Played]) -> list[Attempt]:
        """The shortest path that goes wrong is told first."""
        ordered = sorted(played, key=lambda one: len(one.path))
        return [(one.what, partial(self._fault, one.path, one.right)) for one in ordered]

    def _walks(self) -> list[Attempt]:
        walks = enumerate(self.variant.walks, 1)
        return [(f"path {number}", partial(self._twice, *walk)) for number, walk in walks]

    def _twice(self, path: Sequence[Request], right: list[Reply]) -> str | None:
        fault = self._fault(path, right, whole=True)
        if fault is None and first_difference(self.engine.play(path), right):
            return "answers otherwise when the same happens a second time"
        return fault

    def _fault(self, path: Sequence[Request], right: list[Reply], whole: bool = False) -> str | None:
        replies = self.engine.play(path)
        found = first_difference(replies, right)
        if found is None:
            return None
        index, words = found
        if index < len(path) - 1 and not whole:
            return _EARLIER  # a shorter path shows it
        return _FIGURE + draw(path[: index + 1], replies[: index + 1], words)
