"""A quiz: the questions of a lab one after the other, one try at a time, with hints.

What somebody types comes from `hear`, and what is answered goes to `say`: a terminal, or a test.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

from tcpclose.teaching.asking import Asked, Part
from tcpclose.teaching.labs import Lab
from tcpclose.teaching.marking import Mark, mark_question
from tcpclose.teaching.progress import PROGRESS, Attempt, attempts, keep
from tcpclose.teaching.sheets import WIDTH, cited, points, told, yours

Say = Callable[[str], None]
Hear = Callable[[str], str]


class _Left(Exception):
    """Whoever is asked has had enough."""


class Quiz:
    """Raises `ScenarioError` as `Lab.asked` does, and `ProgressError`."""

    def __init__(
        self, lab: Lab, student: str, say: Say, hear: Hear, place: Path = PROGRESS, *, width: int = WIDTH
    ) -> None:
        self.lab, self.student, self.place, self.width = lab, student, place, width
        self.say, self.hear = say, hear
        self.asked = lab.asked(student)
        self.attempts = attempts(lab.name, student, place)

    def run(self) -> None:
        """Ask what is not answered yet, until it is or somebody leaves. Progress is kept after each line."""
        marks = self.marks()
        left = [asked for asked, mark in zip(self.asked, marks, strict=True) if not _done(mark)]
        said = f", {len(marks) - len(left)} done" if len(left) < len(marks) else ""
        self._tell(f"{self.lab.name}: {self.lab.title}. {len(marks)} questions{said}.")
        for line in yours(self.lab, self.student):
            self.say(line)
        if left:
            self._tell("An empty line goes on, ? gives a hint, q leaves. What is answered is kept.")
        try:
            for asked in left:
                self._ask(asked)
        except (_Left, EOFError):
            self.say("")
        self._tell(self.summary())

    def _tell(self, words: str) -> None:
        self.say(textwrap.fill(words, self.width))

    def marks(self) -> list[Mark]:
        """As a sheet with what has been answered would be marked."""
        return [mark_question(asked, self._attempt(asked).given) for asked in self.asked]

    def summary(self) -> str:
        """How far it is."""
        marks = [mark for mark in self.marks() if not mark.by_hand]
        right = sum(mark.right for mark in marks)
        score, most = sum(mark.score for mark in marks), sum(mark.points for mark in marks)
        others = sum(mark.points for mark in self.marks() if mark.by_hand)
        given = f", and {others} that your instructor gives" if others else ""
        return f"{right} of {len(marks)} questions are right: {score:g} of {most} points{given}."

    def _attempt(self, asked: Asked) -> Attempt:
        return self.attempts.get(asked.question.id, Attempt())

    def _ask(self, asked: Asked) -> None:
        question = asked.question
        section = f", {cited(question.section)}" if question.section else ""
        self.say(f"\n{question.id} ({points(question.points)}{section})")
        for line in told(asked, self.width):
            self.say(line)
        shown = 0
        for part in asked.parts:
            if not self._right(part, self._attempt(asked).given.get(part.key, "")):
                shown, goes_on = self._ask_part(asked, part, shown)
                if not goes_on:
                    return

    def _ask_part(self, asked: Asked, part: Part, shown: int) -> tuple[int, bool]:
        """How many hints have been shown, and whether the next part is to be asked."""
        prompt = f"{part.key} ({part.label})> " if part.key else "> "
        while True:
            text = self.hear(prompt).strip()
            if text in ("q", "quit", "exit"):
                raise _Left
            if not text:
                return shown, False
            if text == "?":
                shown = self._hint(asked, shown)
                continue
            self._keep(asked, part.key, text)
            verdict = part.answer.judge(text)
            if verdict.right or asked.question.by_hand:
                self.say(verdict.note or "right")
                return shown, True
            self.say(verdict.note)

    def _hint(self, asked: Asked, shown: int) -> int:
        if shown == len(asked.hints):
            self.say("there are no more hints" if asked.hints else "there is no hint")
            return shown
        self._tell(asked.hints[shown])
        attempt = self._attempt(asked)
        self._save(asked, attempt.model_copy(update={"hints": max(attempt.hints, shown + 1)}))
        return shown + 1

    def _keep(self, asked: Asked, key: str, text: str) -> None:
        attempt = self._attempt(asked)
        given = {**attempt.given, key: text}
        self._save(asked, attempt.model_copy(update={"given": given, "tries": attempt.tries + 1}))

    def _save(self, asked: Asked, attempt: Attempt) -> None:
        self.attempts = {**self.attempts, asked.question.id: attempt}
        keep(self.lab.name, self.student, self.attempts, self.place)

    def _right(self, part: Part, text: str) -> bool:
        return bool(text) and part.answer.judge(text).right


def _done(mark: Mark) -> bool:
    """Nothing is left to say about it."""
    return mark.right or (mark.by_hand and any(mark.given.values()))
