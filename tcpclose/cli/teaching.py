"""Commands for students and instructors: labs, their questions, and the marks of answers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tcpclose.cli.common import app, complain, fail, print_json, print_table, with_bar
from tcpclose.cli.results import AsJson, Csv, Gradescope, Inginious, print_result, print_shares, write_exports

if TYPE_CHECKING:
    from tcpclose.teaching.labs import Lab
    from tcpclose.teaching.results import Graded

Name = Annotated[str, typer.Argument(metavar="LAB", help="Its name, or as much of its beginning as is enough.")]
Student = Annotated[str, typer.Option("--student", metavar="ID", help="Whose numbers, delays and variants.")]


@app.command()
def labs(student: Student = "") -> None:
    """List the labs: how long they take, and how far you are."""
    from tcpclose.teaching import labs as known

    rows = []
    with _problems_told():
        for lab in known.labs():
            total = sum(question.points for question in lab.questions.question if not question.by_hand)
            minutes = f"{lab.minutes} min" if lab.minutes else ""
            rows.append((lab.name, minutes, f"{total} points", _tried(lab, student), lab.title))
    print_table(("lab", "time", "score", "tried", "title"), rows)


def _tried(lab: Lab, student: str) -> str:
    from tcpclose.teaching.progress import ProgressError, attempts

    ids = {question.id for question in lab.questions.question}
    try:
        return f"{len(ids & attempts(lab.name, student).keys())} of {len(ids)}"
    except ProgressError as error:
        complain(error)
        return "damaged"


@app.command()
def lab(name: Name) -> None:
    """Show the handout of a lab."""
    from rich.markdown import Markdown

    from tcpclose.teaching.labs import find_lab
    from tcpclose.terminal.console import console

    with _problems_told():
        console().print(Markdown(find_lab(name).handout))


@app.command()
def reference() -> None:
    """Make results/reference anew: what every lab gives in the simulator."""
    from tcpclose import reference as kept
    from tcpclose.runs import write_whole

    with _problems_told():
        for name, path in kept.scenarios():
            typer.echo(name)
            kept.make(path, kept.REFERENCE / name)
        write_whole(kept.GALLERY, kept.gallery())


@app.command()
def quiz(name: Name, student: Student = "") -> None:
    """Ask a lab's questions one after the other, with hints; what you have answered is kept."""
    from tcpclose.teaching.labs import find_lab
    from tcpclose.teaching.quiz import Quiz
    from tcpclose.teaching.sheets import WIDTH

    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # a terminal of another encoding spoils an answer, not the quiz
    with _problems_told():
        try:
            width = min(WIDTH, shutil.get_terminal_size((WIDTH, 0)).columns)
            Quiz(find_lab(name), student, typer.echo, input, width=width).run()
        except KeyboardInterrupt:
            fail("interrupted; what was answered is kept", 130)


@app.command()
def sheet(
    name: Name,
    student: Student = "",
    mine: Annotated[bool, typer.Option("--quiz", help="With what was answered in the quiz.")] = False,
    answers: Annotated[bool, typer.Option("--answers", help="With the right answers, for instructors.")] = False,
) -> None:
    """Print an answer sheet, to be filled in: `sheet 01 > answers.toml`."""
    from tcpclose.teaching.labs import find_lab
    from tcpclose.teaching.progress import attempts
    from tcpclose.teaching.sheets import blank, filled, right, write_sheet

    if mine and answers:
        fail("--quiz and --answers exclude each other", 2)
    with _problems_told():
        chosen = find_lab(name)
        given = {key: attempt.given for key, attempt in attempts(chosen.name, student).items()} if mine else {}
        typer.echo(write_sheet(chosen, student, right if answers else filled(given) if mine else blank), nl=False)


@app.command()
def mark(
    name: Name,
    answers: Annotated[Path | None, typer.Argument(metavar="[ANSWERS]", help="A sheet that was filled in.")] = None,
    student: Student = "",
    folder: Annotated[
        Path | None, typer.Option("--class", metavar="DIR", help="All sheets, *.toml, of this folder and below.")
    ] = None,
    gradescope: Gradescope = None,
    inginious: Inginious = None,
    table: Csv = None,
    as_json: AsJson = False,
) -> None:
    """Mark an answer sheet, or a class: points for each question, and what is wrong."""
    from tcpclose.teaching import exports
    from tcpclose.teaching.grading import grade_file
    from tcpclose.teaching.labs import find_lab

    if (answers is None) == (folder is None):
        fail("mark needs either one sheet or --class DIR", 2)
    if folder is not None and (student or gradescope or inginious):
        fail("--student, --gradescope and --inginious are for one sheet; each sheet of a class names its student", 2)
    with _problems_told():
        lab = find_lab(name)
        lab.asked(student)  # what is wrong with the lab is no sheet's fault
    graded = [grade_file(lab, answers, student=student)] if answers else _grade_class(lab, folder or Path())
    write_exports(graded, gradescope, inginious, table)
    if as_json:
        records = [exports.as_record(one) for one in graded]
        print_json(records[0] if answers else {"lab": lab.name, "sheets": records})
    elif folder is not None:
        _print_class(graded)
    elif graded[0].result:
        print_result(graded[0].result)
    problems = [one.problem for one in graded if one.problem]
    if answers and problems:
        fail(problems[0], 2)
    raise typer.Exit(1 if problems else 0)


def _grade_class(lab: Lab, folder: Path) -> list[Graded]:
    from tcpclose.teaching.grading import find_sheets, grade

    with _problems_told():
        paths = find_sheets(folder)
        return list(with_bar(grade(lab, folder, paths), len(paths), "mark"))


@contextmanager
def _problems_told() -> Iterator[None]:
    """What is wrong with a lab, a sheet or the file of one's progress is said, with status 2."""
    from tcpclose.scenario import ScenarioError
    from tcpclose.teaching.progress import ProgressError
    from tcpclose.teaching.sheets import SheetError
    from tcpclose.topology import TopologyError

    try:
        yield
    except (ProgressError, ScenarioError, SheetError, TopologyError) as error:
        fail(error, 2)


def _print_class(graded: Sequence[Graded]) -> None:
    from tcpclose.teaching.results import doubles, shares

    print_shares("question", shares(graded))
    marked = [one.result for one in graded if one.result]
    if marked:
        mean = sum(one.score for one in marked) / len(marked)
        typer.echo(f"{len(marked)} sheets marked, {mean:.1f} of {marked[0].points} points on average")
    for one in graded:
        if one.problem:
            typer.echo(f"not marked: {one.problem}")
    for double in doubles(graded):
        typer.echo(double)
