"""Marking a sheet: points for each question, and what is wrong, without telling what is right."""

from __future__ import annotations

from dataclasses import dataclass

from tcpclose.scenario.errors import guess
from tcpclose.teaching.asking import Asked, Part
from tcpclose.teaching.labs import Lab
from tcpclose.teaching.sheets import Sheet, SheetError
from tcpclose.teaching.variation import normal_id

#: Characters of an answer that a program reads.
_LONGEST = 200


@dataclass(frozen=True)
class Mark:
    """What a question has brought. `given` is what was written; `by_hand`: its points are the instructor's to give."""

    id: str
    points: int
    score: float
    by_hand: bool
    given: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """All of it."""
        return not self.by_hand and self.score == self.points

    @property
    def name(self) -> str:
        """The question's."""
        return self.id

    @property
    def rfc(self) -> str:
        """Questions say it beforehand, or not at all."""
        return ""

    @property
    def cell(self) -> str | float:
        """Of what is marked by hand, what was written."""
        return " ".join(self.given.values()) if self.by_hand else self.score


@dataclass(frozen=True)
class Marked:
    """A sheet that was marked. `remarks` name what stands in it and means nothing."""

    lab: str
    student: str
    marks: tuple[Mark, ...]
    remarks: tuple[str, ...] = ()

    @property
    def about(self) -> dict[str, str]:
        """What of, and whose."""
        return {"lab": self.lab, "student": self.student}

    @property
    def items(self) -> tuple[Mark, ...]:
        """What the points are for."""
        return self.marks

    @property
    def score(self) -> float:
        """What was reached."""
        return round(sum(mark.score for mark in self.marks), 2)

    @property
    def points(self) -> int:
        """What could be reached, without what is marked by hand."""
        return sum(mark.points for mark in self.marks if not mark.by_hand)

    @property
    def by_hand(self) -> int:
        """Points that the instructor has to give."""
        return sum(mark.points for mark in self.marks if mark.by_hand)


def mark_sheet(lab: Lab, sheet: Sheet, student: str = "") -> Marked:
    """Mark a sheet of `student`, by default of the student that it names.

    Raises `SheetError` for one of another lab or student, and `ScenarioError` as `Lab.asked` does.
    """
    if sheet.lab and sheet.lab != lab.name:
        raise SheetError(f"this is a sheet of lab {sheet.lab}, not of {lab.name}")
    if student and sheet.student and normal_id(student) != normal_id(sheet.student):
        raise SheetError(f"this is the sheet of student {sheet.student}, not of {student}")
    who = sheet.student or student
    questions = lab.asked(who)
    known = [asked.question.id for asked in questions]
    remarks = [
        f"there is no question {key}; {guess(key, known, 'questions')}" for key in sheet.answers if key not in known
    ]
    marks = []
    for asked in questions:
        given = sheet.answers.get(asked.question.id, {})
        marks.append(mark_question(asked, given))
        if len(asked.parts) > 1:
            keys = [part.key for part in asked.parts]
            extra = [key for key in given if key not in ("", *keys)]
            remarks += [f"{asked.question.id} has no blank {key}" for key in extra]
    return Marked(lab.name, who, tuple(marks), tuple(remarks))


def mark_question(asked: Asked, given: dict[str, str]) -> Mark:
    """Each part counts alike."""
    question, notes, right, empty = asked.question, [], 0, 0
    for part in asked.parts:
        text = given.get(part.key, "")
        verdict = _judge(part, text, question.by_hand)
        right += verdict is None
        empty += not text
        if verdict and text:
            notes.append(f"{f'{part.key} ({part.label}): ' if part.key else ''}{verdict}")
    if empty == len(asked.parts):
        notes.append("no answer")
    elif empty:
        notes.append(f"{empty} of {len(asked.parts)} are empty")
    score = 0.0 if question.by_hand else round(question.points * right / len(asked.parts), 2)
    return Mark(question.id, question.points, score, question.by_hand, given, tuple(notes))


def _judge(part: Part, text: str, by_hand: bool) -> str | None:
    """What is wrong, None when nothing is."""
    if not text:
        return "no answer"
    if len(text) > _LONGEST and not by_hand:
        return "this is too long for an answer"
    verdict = part.answer.judge(text)
    return None if verdict.right else verdict.note
