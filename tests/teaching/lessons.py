"""What the tests of teaching share: the run of a lab, and questions about it."""

from __future__ import annotations

from tcpclose.runs import LABS
from tcpclose.scenario import Scenario
from tcpclose.simulator import simulate
from tcpclose.teaching.asking import Run, ask
from tcpclose.teaching.questions import Questions
from tcpclose.topology import load_network


def run_of(lab, *overrides):
    scenario = Scenario.load(LABS / lab / "scenario.toml", overrides)
    return Run(scenario, simulate(scenario, load_network(scenario)))


def question(kind, text="What?", **keys):
    """One question, as a file would have it; `_from` and `to` as their names."""
    table = {"id": "q", "kind": kind, "text": text, **{key.strip("_"): value for key, value in keys.items()}}
    return Questions.model_validate({"question": [table]}).question[0]


def asked(run, kind, student="", **keys):
    """The question as a student sees it."""
    return ask(question(kind, **keys), "lab", student, run)


def answer(run, kind, **keys):
    """The right answer of a question that has only one part."""
    (part,) = asked(run, kind, **keys).parts
    return part.answer.right
