"""What every assignment is to the commands: files for a student, and a grade for what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tcpclose.teaching.results import plain, plain_line
from tcpclose.teaching.variation import normal_id


class SubmissionError(Exception):
    """Something that cannot be graded, with the reason: it has neither points nor criteria."""


@dataclass(frozen=True)
class Criterion:
    """What was seen of one criterion, and the points for it. `rfc` says where to read."""

    name: str
    points: int
    score: float
    rfc: str
    notes: tuple[str, ...] = ()

    @property
    def met(self) -> bool:
        """Nothing is missing."""
        return self.score >= self.points

    @property
    def by_hand(self) -> bool:
        """Never: criteria are a program's."""
        return False

    @property
    def cell(self) -> float:
        """What a table has of it."""
        return self.score


@dataclass(frozen=True)
class Grade:
    """The criteria of one submission; `remarks` are on what was not understood, and cost nothing by themselves."""

    assignment: str
    student: str
    criteria: tuple[Criterion, ...]
    remarks: tuple[str, ...] = field(default=())

    @property
    def about(self) -> dict[str, str]:
        """What of, and whose."""
        return {"assignment": self.assignment, "student": self.student}

    @property
    def items(self) -> tuple[Criterion, ...]:
        """What the points are for."""
        return self.criteria

    @property
    def by_hand(self) -> int:
        """None: criteria are a program's."""
        return 0

    @property
    def score(self) -> float:
        """Points that it has."""
        return round(sum(one.score for one in self.criteria), 1)

    @property
    def points(self) -> int:
        """Points that it might have."""
        return sum(one.points for one in self.criteria)


def claims(said: str, student: str) -> tuple[str, ...]:
    """A remark on what is graded as the variant of `student`, and says that it is somebody else's."""
    if not said.strip() or normal_id(said) == normal_id(student):
        return ()
    return (f"the file says that it is of {said}; graded is the variant of {student}",)


def tidy(grade: Grade) -> Grade:
    """The same, fit to be shown anywhere: notes quote what students wrote."""
    criteria = tuple(replace(one, notes=tuple(map(plain, one.notes))) for one in grade.criteria)
    student, remarks = plain_line(grade.student), tuple(map(plain, grade.remarks))
    return replace(grade, student=student, criteria=criteria, remarks=remarks)


@dataclass(frozen=True)
class How:
    """What is graded, and by which means: all of it and none, unless said otherwise.

    `public`: only what students may see beforehand. `emulate`: also on emulated hosts, which takes a while.
    `uncontained`: foreign code has limits, but no walls around it.
    """

    public: bool = False
    emulate: bool = False
    uncontained: bool = False


#: As instructors grade.
USUAL = How()


@dataclass(frozen=True)
class Assignment:
    """`files(student)` are what a student is given, by name; none of them may say the solution.

    `grade(path, student, how)` grades what was handed in: `student` is "" where the submission may say whose it is.
    Raises `SubmissionError`; the same submission has the same grade twice. `foreign`: what was handed in is run.
    """

    name: str
    title: str
    file: str
    files: Callable[[str], Mapping[str, str]]
    grade: Callable[[Path, str, How], Grade]
    foreign: bool = False
