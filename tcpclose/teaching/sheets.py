"""Answer sheets: TOML, with the questions as comments, written blank and read filled in.

    lab = "01-four-way-close"
    student = "s123"

    [answers]
    waits = "h1"
    figure.1 = "FIN-WAIT-1"

Reading forgives what does not matter, a number without quotes, the line `[answers]` lost; and it loses nothing.
"""

from __future__ import annotations

import shlex
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from tcpclose.teaching.asking import Asked, Part
from tcpclose.teaching.labs import Lab
from tcpclose.written import read_written, reason

#: Columns, of a sheet.
WIDTH = 100


class SheetError(Exception):
    """A sheet that cannot be read; the message is for people."""


@dataclass(frozen=True)
class Sheet:
    """What somebody has filled in: by question, and by the key of each part, "" where a question has one only."""

    lab: str = ""
    student: str = ""
    answers: dict[str, dict[str, str]] = field(default_factory=dict)


#: What stands in a sheet behind a part of a question.
Fill = Callable[[Asked, Part], str]


def blank(_asked: Asked, _part: Part) -> str:
    """Nothing."""
    return ""


def right(_asked: Asked, part: Part) -> str:
    """What is right."""
    return part.answer.right


def filled(answers: Mapping[str, Mapping[str, str]]) -> Fill:
    """What somebody has answered, by question and part."""
    return lambda asked, part: answers.get(asked.question.id, {}).get(part.key, "")


def write_sheet(lab: Lab, student: str = "", fill: Fill = blank) -> str:
    """A sheet for a student, blank or filled. Raises `ScenarioError`."""
    paragraphs = [
        f"# Lab {lab.name}: {lab.title}\n"
        "#\n"
        "# Write between the quotes, and leave empty what you do not know. Then:\n"
        f"#     ./lab mark {lab.name} THIS-FILE\n"
        f"{''.join(f'# {line}'.rstrip() + chr(10) for line in yours(lab, student))}"
        f"{tomli_w.dumps({'lab': lab.name, 'student': student})}",
        "[answers]\n",
    ]
    paragraphs += ["\n".join([*_comments(asked), *_lines(asked, fill)]) + "\n" for asked in lab.asked(student)]
    return "\n".join(paragraphs)


def yours(lab: Lab, student: str) -> list[str]:
    """What of the scenario is otherwise for this student, to be shown above the questions."""
    overrides = lab.overrides(student)
    if not overrides:
        return []
    run = f"./lab run {lab.name} --student {shlex.quote(student)}"
    return ["", f"In your run ({run}), unlike in the handout:", *(f"    {line}" for line in overrides)]


def _comments(asked: Asked) -> Iterator[str]:
    question = asked.question
    section = f" ({cited(question.section)})" if question.section else ""
    yield f"# ---- {question.id}: {points(question.points)}{section}"
    yield from (f"# {line}".rstrip() for line in told(asked))


def told(asked: Asked, width: int = WIDTH) -> Iterator[str]:
    """A question's text, what is shown with it, and what is to be written, in lines."""
    for paragraph in (*asked.text.strip().split("\n\n"), *asked.shown, f"Write {forms(asked)}."):
        shown = paragraph in asked.shown
        yield from [f"    {paragraph}".rstrip()] if shown else textwrap.wrap(paragraph, width, break_long_words=False)


def _lines(asked: Asked, fill: Fill) -> Iterator[str]:
    for part in asked.parts:
        key = ".".join(filter(None, (asked.question.id, part.key)))
        value = tomli_w.dumps({"value": fill(asked, part)}).removeprefix("value = ").strip()
        yield f"{key} = {value}" + (f"  # {part.label}" if part.label else "")


def forms(asked: Asked) -> str:
    """What is to be written, each form once, and none that another one only says in more words."""
    every = dict.fromkeys(part.answer.form for part in asked.parts)
    return "; ".join(form for form in every if not any(other.startswith(f"{form} ") for other in every))


def points(number: float) -> str:
    """ "1 point", "2.5 points"."""
    return f"{number:g} point{'' if number == 1 else 's'}"


def cited(section: str) -> str:
    """ "RFC 9293, 3.6", unless it is of another RFC."""
    return section if section.startswith("RFC") else f"RFC 9293, {section}"


# ---- Reading


def load_sheet(path: Path) -> Sheet:
    """Read a file. Raises `SheetError`."""
    try:
        text = read_written(path)
    except (OSError, ValueError) as error:
        raise SheetError(f"{path} cannot be read: {reason(error)}") from None
    return read_sheet(text, str(path))


def read_sheet(text: str, source: str = "sheet") -> Sheet:
    """As `load_sheet`, from the text."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SheetError(f"{source} is not TOML: {error}; answers stand in quotes, one line each") from None
    answers = data.pop("answers", {})
    if not isinstance(answers, dict):
        raise SheetError(f"{source}: `answers` is a table: write [answers]")
    lab, student = (_plain(data.pop(key, "")) for key in ("lab", "student"))
    given = {key: _parts(value) for key, value in {**data, **answers}.items()}
    return Sheet(lab, student, given)


def _parts(value: Any) -> dict[str, str]:
    """By the key of each part; an array has them in order."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return {"": _plain(value)} | {str(number): _plain(inner) for number, inner in enumerate(value, 1)}
    return {"": _plain(value)}


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_plain, value))
    return str(value).strip()
