"""A lab: its folder in `labs/`, and all that it asks of a student."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from tcpclose.runs import LABS, find_scenario
from tcpclose.scenario import Scenario, ScenarioError
from tcpclose.simulator import simulate
from tcpclose.teaching.asking import Asked, Run, ask
from tcpclose.teaching.quantities import NotInRun
from tcpclose.teaching.questions import Questions
from tcpclose.teaching.variation import draw
from tcpclose.topology import load_network

_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
_MINUTES = re.compile(r"^(\d+) minutes", re.MULTILINE)


@dataclass(frozen=True)
class Lab:
    """`labs/NAME/`: README.md is its handout, with scenario.toml and questions.toml beside it."""

    folder: Path

    @property
    def name(self) -> str:
        """Its folder's."""
        return self.folder.name

    @cached_property
    def handout(self) -> str:
        """The text of README.md, Markdown."""
        return (self.folder / "README.md").read_text(encoding="utf-8")

    @property
    def title(self) -> str:
        """The handout's, without the number."""
        match = _TITLE.search(self.handout)
        return match[1].partition(": ")[2] or match[1] if match else self.name

    @property
    def minutes(self) -> int:
        """How long it takes, as the handout says; 0 when it says nothing."""
        match = _MINUTES.search(self.handout)
        return int(match[1]) if match else 0

    @cached_property
    def questions(self) -> Questions:
        """What it asks. Raises `ScenarioError`."""
        return Questions.load(self.folder / "questions.toml")

    def overrides(self, student: str) -> tuple[str, ...]:
        """What of the scenario is otherwise for a student. Raises `ScenarioError`."""
        if len(student) > 64 or not student.isprintable():
            problem = f"{student!r} is no student's ID: expected at most 64 characters that can be printed"
            raise ScenarioError([problem], self.name)
        return draw(self.name, student, self.questions.vary)

    def asked(self, student: str = "", overrides: Sequence[str] = ()) -> list[Asked]:
        """All questions, as that student sees them. Raises `ScenarioError`."""
        path, same = self.folder / "scenario.toml", (*self.overrides(student), *overrides)
        try:
            return [
                ask(question, self.name, student, _run(path, (*same, *question.set)))
                for question in self.questions.question
            ]
        except NotInRun as error:
            raise ScenarioError([str(error)], str(self.folder / "questions.toml")) from None


@lru_cache(maxsize=64)
def _run(path: Path, overrides: tuple[str, ...]) -> Run:
    """The reference run, in virtual time."""
    scenario = Scenario.load(path, overrides)
    return Run(scenario, simulate(scenario, load_network(scenario, str(path))))


def labs() -> Iterator[Lab]:
    """All of them, by number; a scenario that asks nothing is none."""
    return (Lab(path.parent) for path in sorted(LABS.glob("[0-9]*/questions.toml")))


def find_lab(name: str) -> Lab:
    """A lab as `find_scenario` finds it. Raises `ScenarioError`, also when its scenario asks nothing."""
    lab = Lab(find_scenario(name).resolve().parent)
    if not (lab.folder / "questions.toml").is_file():
        raise ScenarioError(
            [f"it asks no questions; the labs that do are {', '.join(one.name for one in labs())}"], name
        )
    return lab
