"""`questions.toml`: what a lab asks, and what of its scenario each student has otherwise.

Nothing here is an answer. A question says what is asked of which moment, and the answer is computed, from the machine's
table or from a run of the scenario in the simulator.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StrictInt, ValidationError, model_validator
from pydantic_core import ErrorDetails

from tcpclose import units
from tcpclose.protocol.fsm import Event, State
from tcpclose.scenario import ScenarioError
from tcpclose.scenario.errors import guess
from tcpclose.scenario.messages import expected, given, keys_at
from tcpclose.scenario.values import Name, Table, between
from tcpclose.teaching.moments import Moment, read_moment
from tcpclose.teaching.quantities import Quantity, Statement, read_quantity, read_statement
from tcpclose.written import read_written, reason

Words = Annotated[str, Field(min_length=1)]


def _read_end(value: Any) -> tuple[str, str]:
    host, dot, connection = str(value).partition(".")
    if not (host and dot and connection):
        raise ValueError('expected an end of a connection, such as "h1.c1"')
    return host, connection


def _read_state(value: Any) -> State:
    names = [state.value for state in State]
    if value not in names:
        raise ValueError(f"there is no such state; {guess(str(value), names, 'states')}")
    return State(value)


def _read_events(value: Any) -> tuple[Event, ...]:
    known = {event.name.replace("_", "-"): event for event in Event}
    names = value if isinstance(value, list) else [value]
    for name in names:
        if name not in known:
            raise ValueError(f"there is no event {name}; {guess(str(name), known, 'events')}")
    return tuple(known[name] for name in names)


def _read_tolerance(value: Any) -> float | int:
    """A share of the answer, or a time in microseconds."""
    if isinstance(value, str) and value.endswith("%"):
        return units.read_share(value)
    return units.read_duration(value)


def _read_who(value: Any) -> str:
    """What an end may do: a moment without its end."""
    if value != CLOSES_FIRST:
        read_moment(f"HOST.CONNECTION {value}")
    return str(value)


#: What `who` may ask besides moments: who began the release, by whatever means.
CLOSES_FIRST = "closes first"

End = Annotated[tuple[str, str], BeforeValidator(_read_end)]
AMoment = Annotated[Moment, BeforeValidator(read_moment)]
AQuantity = Annotated[Quantity, BeforeValidator(read_quantity)]
AStatement = Annotated[Statement, BeforeValidator(read_statement)]
Line = Annotated[StrictInt, between(1, None)]


class Question(Table):
    """What all questions have. `text` and what is offered may hold keys of the scenario: {connection.c1.client_iss}."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    points: Annotated[StrictInt, between(1, None)] = 1
    text: Words
    hints: tuple[Words, ...] = ()
    #: Where RFC 9293, or another RFC that is named, tells it.
    section: str = ""
    #: The run that is asked about is that of the scenario with these overrides.
    set: tuple[str, ...] = ()

    @property
    def by_hand(self) -> bool:
        """A person has to mark it."""
        return False


class Blanks(Question):
    """A figure of the run with blanks to fill: from where the release begins, or the lines with these numbers."""

    kind: Literal["blanks"]
    connection: Name = "c1"
    part: Literal["release", "all"] = "release"
    lines: tuple[Line, Line] | None = None
    blank: Annotated[tuple[Literal["state", "seq", "ack", "ctl"], ...], Field(min_length=1)]


class NextState(Question):
    """Where an event, or one after the other, leads from a state, by the table of the machine."""

    kind: Literal["next-state"]
    state: Annotated[State, BeforeValidator(_read_state)]
    event: Annotated[tuple[Event, ...], BeforeValidator(_read_events)]


class StateAt(Question):
    """In which state an end is at a moment, when all that happens then has happened."""

    kind: Literal["state-at"]
    end: End
    moment: AMoment


class Order(Question):
    """In which order moments come; they are shown shuffled."""

    kind: Literal["order"]
    moments: Annotated[tuple[AMoment, ...], Field(min_length=3, max_length=9)]


class HowLong(Question):
    """The time from one moment to another, answered with its unit."""

    kind: Literal["how-long"]
    start: Annotated[Moment, BeforeValidator(read_moment), Field(alias="from")]
    end: Annotated[Moment, BeforeValidator(read_moment), Field(alias="to")]
    tolerance: Annotated[float | int, BeforeValidator(_read_tolerance)] = 0.1


class Number(Question):
    """A number of the run."""

    kind: Literal["number"]
    of: AQuantity


class Who(Question):
    """Which end does something: "closes first", or a moment without its end, "in TIME-WAIT", "sends RST"."""

    kind: Literal["who"]
    connection: Name = "c1"
    who: Annotated[str, BeforeValidator(_read_who)]


class Why(Question):
    """Why an end ended, to be chosen from so many causes."""

    kind: Literal["why"]
    end: End
    options: Annotated[StrictInt, between(2, 8)] = 4


class Option(Table):
    """`[[question.option]]`: it is right if all its statements are true of the run."""

    text: Words
    true_when: Annotated[
        tuple[AStatement, ...], BeforeValidator(lambda value: value if isinstance(value, list) else [value])
    ]


class Choice(Question):
    """One of several answers, of which one is right in the run."""

    kind: Literal["choice"]
    option: Annotated[tuple[Option, ...], Field(min_length=2, max_length=9)]


class Explain(Question):
    """Free text, kept for the instructor, who has these points to give."""

    kind: Literal["explain"]

    @property
    def by_hand(self) -> bool:
        """A person has to mark it."""
        return True


AnyQuestion = Annotated[
    Blanks | NextState | StateAt | Order | HowLong | Number | Who | Why | Choice | Explain,
    Field(discriminator="kind"),
]


class Range(Table):
    """Whole numbers from one to another, both included."""

    least: StrictInt = Field(alias="from")
    most: StrictInt = Field(alias="to")

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.least >= self.most:
            raise ValueError("expected `from` below `to`")
        return self


Value = str | int | float | bool


class Questions(Table):
    """The whole file. `vary` has a key of the scenario for each thing that is otherwise for each student."""

    vary: dict[str, Range | Annotated[tuple[Value, ...], Field(min_length=2)]] = Field(default_factory=dict)
    question: Annotated[tuple[AnyQuestion, ...], Field(min_length=1)]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file. Raises `ScenarioError`, which says what is wrong with it."""
        try:
            text = read_written(path)
        except (OSError, ValueError) as error:
            raise ScenarioError([f"cannot be read: {reason(error)}"], str(path)) from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, source: str = "questions") -> Self:
        """As `load`, from the text."""
        try:
            data = tomllib.loads(text)
            return cls.model_validate(data)
        except ValidationError as error:
            raise ScenarioError([_explain(d, data) for d in error.errors() if not _follows(d)], source) from None
        except (ValueError, RecursionError) as error:  # what tomllib raises
            raise ScenarioError([f"not TOML: {error}"], source) from None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        ids = [question.id for question in self.question]
        yield from (f"two questions have the id {name}" for name in dict.fromkeys(ids) if ids.count(name) > 1)


def _follows(details: ErrorDetails) -> bool:
    """Of questions that are wrong none is left, which pydantic then finds too few."""
    return details["loc"] == ("question",) and details["type"] == "too_short" and bool(details["input"])


def _explain(details: ErrorDetails, data: dict[str, Any]) -> str:
    """One line for people: which question by its id, which key, what was expected."""
    place, rest, where = list(details["loc"]), list(details["loc"]), ""
    if rest[:1] == ["question"] and len(rest) > 1:
        table = data["question"][int(rest[1])]
        name = table.get("id") if isinstance(table, dict) else None
        where = f"question {int(rest[1]) + 1}" + (f" ({name})" if name else "") + ": "
        rest = rest[3:]  # behind the number stands the kind
    key = ".".join(str(part + 1) if isinstance(part, int) else part for part in rest if "[" not in str(part))
    match details["type"]:
        case "missing":
            return f"{where}{key}: missing"
        case "extra_forbidden":
            return f"{where}{key}: unknown key; {guess(key, keys_at(Questions, place[:-1]), 'known keys')}"
        case "union_tag_invalid":
            tags = details["ctx"]["expected_tags"].replace("'", "").split(", ")
            return f"{where}there is no kind {details['ctx']['tag']}; {guess(details['ctx']['tag'], tags, 'kinds')}"
        case "union_tag_not_found":
            return f"{where}kind: missing"
        case "model_attributes_type":
            return f"{where or f'{key}: '}expected a table"
        case "too_short":
            return f"{where}{key}: expected at least {details['ctx']['min_length']}"
    return f"{where}{key}{given(details)}: {expected(details)}"
