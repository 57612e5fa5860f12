"""Commands for students and instructors: labs, their questions, and the marks of answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tcpclose.cli.common import app, fail, print_json

if TYPE_CHECKING:
    from tcpclose.teaching.marking import Marked

Name = Annotated[str, typer.Argument(metavar="LAB", help="Its name, or as much of its beginning as is enough.")]
Student = Annotated[str, typer.Option("--student", metavar="ID", help="Whose numbers, delays and variants.")]


@app.command()
def sheet(
    lab: Name,
    student: Student = "",
    answers: Annotated[bool, typer.Option("--answers", help="Filled in, for instructors.")] = False,
) -> None:
    """Print a blank answer sheet: `./lab sheet 01 > answers.toml`."""
    from tcpclose.teaching.labs import find_lab
    from tcpclose.teaching.sheets import write_sheet

    with _problems_told():
        typer.echo(write_sheet(find_lab(lab), student, answers), nl=False)


@app.command()
def mark(
    lab: Name,
    answers: Annotated[Path, typer.Argument(metavar="ANSWERS", help="A sheet that was filled in.")],
    student: Student = "",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Mark an answer sheet: points for each question, and what is wrong."""
    from tcpclose.teaching.labs import find_lab
    from tcpclose.teaching.marking import mark_sheet
    from tcpclose.teaching.sheets import load_sheet

    with _problems_told():
        marked = mark_sheet(find_lab(lab), load_sheet(answers), student)
    if as_json:
        print_json(asdict(marked) | {"score": marked.score, "points": marked.points, "by_hand": marked.by_hand})
    else:
        _print_marked(marked)


@contextmanager
def _problems_told() -> Iterator[None]:
    """What is wrong with a lab or a sheet is said, with status 2."""
    from tcpclose.scenario import ScenarioError
    from tcpclose.teaching.sheets import SheetError
    from tcpclose.topology import TopologyError

    try:
        yield
    except (ScenarioError, SheetError, TopologyError) as error:
        fail(error, 2)


def _print_marked(marked: Marked) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for one in marked.marks:
        points = "by hand" if one.by_hand else f"{one.score:g} of {one.points}"
        style = "cyan" if one.by_hand else "green" if one.right else "yellow"
        console.print(Text.assemble((f"{points:>10}  ", style), one.id))
        for note in one.notes:
            console.print(f"{'':12}{note}", markup=False, soft_wrap=True)
    for remark in marked.remarks:
        console.print(remark, style="yellow", markup=False, soft_wrap=True)
    apart = f", and {marked.by_hand} that your instructor gives" if marked.by_hand else ""
    console.print(f"{marked.score:g} of {marked.points} points{apart}", style="bold")
