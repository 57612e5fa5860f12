"""A question of a lab, asked of one run: what is shown, and what is right."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from tcpclose.protocol.fsm import IGNORED, TABLE, Cause, State
from tcpclose.scenario import Scenario
from tcpclose.teaching.answers import (
    Answer,
    ChoiceAnswer,
    FreeAnswer,
    NumberAnswer,
    OrderAnswer,
    StateAnswer,
    TimeAnswer,
    WhoAnswer,
    lettered,
)
from tcpclose.teaching.blanks import blank_figure
from tcpclose.teaching.moments import Story, read_moment
from tcpclose.teaching.quantities import Field, NotInRun, when
from tcpclose.teaching.questions import (
    CLOSES_FIRST,
    AnyQuestion,
    Blanks,
    Choice,
    Explain,
    HowLong,
    NextState,
    Number,
    Order,
    StateAt,
    Who,
    Why,
)
from tcpclose.teaching.variation import stream
from tcpclose.trace.events import End, Trace
from tcpclose.trace.flights import MOMENT

_PLACE = re.compile(r"\{([\w.-]+)\}")


class Run:
    """A reference run: the resolved scenario, and the story of its trace."""

    def __init__(self, scenario: Scenario, trace: Trace) -> None:
        self.scenario = scenario
        self.story = Story(trace)

    @cached_property
    def _keys(self) -> dict[str, Any]:
        return self.scenario.tables()

    def fill(self, text: str) -> str:
        """Put in what the scenario says: "{step.3.bytes}". Raises `NotInRun` for a key that it does not have."""
        return _PLACE.sub(lambda match: str(self._look_up(match[1])), text)

    def _look_up(self, key: str) -> Any:
        value: Any = self._keys
        for part in key.split("."):
            try:
                value = value[int(part) - 1] if isinstance(value, list) else value[part]
            except (KeyError, IndexError, TypeError, ValueError):
                raise NotInRun(f"{{{key}}}: the scenario says nothing of it") from None
        return value

    def ends(self, connection: str) -> tuple[str, str]:
        """Client and server. Raises `NotInRun`."""
        found = self.scenario.connection.get(connection)
        if found is None:
            raise NotInRun(f"there is no connection {connection}")
        return found.client, found.server


@dataclass(frozen=True)
class Part:
    """One thing to write: `key` is empty when the question wants only one."""

    key: str
    label: str
    answer: Answer


@dataclass(frozen=True)
class Asked:
    """A question as one student sees it. `shown` stands below the text: a figure, or what there is to choose from."""

    question: AnyQuestion
    text: str
    shown: tuple[str, ...]
    parts: tuple[Part, ...]
    hints: tuple[str, ...]


def ask(question: AnyQuestion, lab: str, student: str, run: Run) -> Asked:
    """Raises `NotInRun`, which names the question, when it makes no sense of this run."""
    try:
        shown, parts = _work_out(question, f"{lab}/{question.id}", student, run)
        hints = tuple(run.fill(hint) for hint in question.hints)
        return Asked(question, run.fill(question.text), tuple(shown), tuple(parts), hints)
    except NotInRun as error:
        raise NotInRun(f"question {question.id}: {error}") from None


def _work_out(question: AnyQuestion, name: str, student: str, run: Run) -> tuple[list[str], list[Part]]:
    match question:
        case Blanks():
            figure, blanks = blank_figure(question, run.story.trace, run.ends(question.connection))
            parts = [Part(str(number), what, answer) for number, (what, answer) in enumerate(blanks, 1)]
            return figure.splitlines(), parts
        case Order():
            return _order(question, name, student, run)
        case Choice():
            return _choice(question, name, student, run)
        case Why():
            return _why(question, name, student, run)
    return [], [Part("", "", _answer(question, run))]


def _answer(question: NextState | StateAt | HowLong | Number | Who | Explain, run: Run) -> Answer:
    match question:
        case NextState():
            return StateAnswer(_next_state(question))
        case StateAt(end=(host, connection)):
            _check_end(run, host, connection)
            time = when(question.moment, run.story)
            return StateAnswer(State(run.story.state(host, connection, time)))
        case HowLong():
            time = when(question.end, run.story) - when(question.start, run.story)
            if time <= 0:
                raise NotInRun(f"{question.end} does not come after {question.start}")
            return TimeAnswer(time, question.tolerance)
        case Number():
            relative = question.of.relative(run.story) if isinstance(question.of, Field) else None
            return NumberAnswer(question.of.of(run.story), relative)
        case Who():
            return _who(question, run)
        case Explain():
            return FreeAnswer()


def _next_state(question: NextState) -> State:
    state, idle = question.state, {(row.state, row.event) for row in IGNORED}
    for event in question.event:
        if (state, event) not in idle:
            state = TABLE[state][event].next
    return state


def _who(question: Who, run: Run) -> WhoAnswer:
    ends = run.ends(question.connection)
    if question.who == CLOSES_FIRST:
        release = run.story.releases.get(question.connection)
        first = release.first if release else None
        if first not in ends:
            raise NotInRun(f"neither end of {question.connection} begins the release")
        return WhoAnswer(ends, frozenset([first]))
    moments = {end: read_moment(f"{end}.{question.connection} {question.who}") for end in ends}
    return WhoAnswer(ends, frozenset(end for end in ends if moments[end].time(run.story) is not None))


def _order(question: Order, name: str, student: str, run: Run) -> tuple[list[str], list[Part]]:
    """The letters are given out by chance, and never already in order."""
    times = {moment: when(moment, run.story) for moment in question.moments}
    inorder = sorted(question.moments, key=times.__getitem__)
    for one, two in pairwise(inorder):
        if times[two] - times[one] <= MOMENT:
            raise NotInRun(f"{one} and {two} happen at the same time")
    shuffled, chance = list(inorder), stream(name, student, "order")
    while shuffled == inorder:
        chance.shuffle(shuffled)
    letters = "".join("abcdefghi"[shuffled.index(moment)] for moment in inorder)
    return lettered([_spoken(str(moment), run) for moment in shuffled]), [Part("", "", OrderAnswer(letters))]


def _spoken(moment: str, run: Run) -> str:
    """Where there is one connection only, its name says nothing."""
    names = list(run.scenario.connection)
    return moment.replace(f".{names[0]} ", " ") if len(names) == 1 else moment


def _choice(question: Choice, name: str, student: str, run: Run) -> tuple[list[str], list[Part]]:
    options = list(question.option)
    stream(name, student, "options").shuffle(options)
    true = [place for place, option in enumerate(options) if all(s.holds(run.story) for s in option.true_when)]
    texts = [run.fill(option.text) for option in options]
    if len(true) != 1 or len(set(texts)) < len(texts):
        raise NotInRun(f"expected one right option, and there are {len(true)}: {[texts[place] for place in true]}")
    return lettered(texts), [Part("", "", ChoiceAnswer(tuple(texts), true[0]))]


def _why(question: Why, name: str, student: str, run: Run) -> tuple[list[str], list[Part]]:
    host, connection = question.end
    _check_end(run, host, connection)
    ends = [end for end in run.story.trace.of(End) if (end.host, end.connection) == question.end]
    if not ends:
        raise NotInRun(f"{host}.{connection} does not end in the run")
    chance = stream(name, student, "causes")
    others = sorted(cause.value for cause in Cause if cause.value != ends[0].cause)
    options = [ends[0].cause, *chance.sample(others, question.options - 1)]
    chance.shuffle(options)
    return lettered(options), [Part("", "", ChoiceAnswer(tuple(options), options.index(ends[0].cause)))]


def _check_end(run: Run, host: str, connection: str) -> None:
    if host not in run.ends(connection):
        raise NotInRun(f"{host} is no end of {connection}")
