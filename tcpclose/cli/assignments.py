"""Commands for assignments: a student's folder, and the grades of what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tcpclose.cli.common import app, fail, print_json

if TYPE_CHECKING:
    from tcpclose.teaching.assignments.grades import Assignment, Grade

assignment = typer.Typer(help="What students are given of an assignment.", no_args_is_help=True)
app.add_typer(assignment, name="assignment")


Name = Annotated[str, typer.Argument(metavar="ASSIGNMENT", help="a1: the release half of the state table.")]


@assignment.command()
def export(
    name: Name,
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="A folder; it is made.")],
    student: Annotated[str, typer.Option("--student", metavar="ID", help="Whose variant.")],
) -> None:
    """Write a student's handout and template."""
    from tcpclose.teaching.assignments import catalogue

    found = _find(name)
    if not student.strip():
        fail("--student needs an ID, as s123", 2)
    try:
        for path in catalogue.export(found, student, folder):
            typer.echo(path)
    except FileExistsError as error:
        fail(error, 2)
    except OSError as error:
        fail(f"{folder}: {error.strerror}", 2)


@app.command()
def grade(
    name: Name,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="What was handed in.")],
    student: Annotated[str, typer.Option("--student", metavar="ID", help="Whose variant, whatever a file says.")] = "",
    public: Annotated[bool, typer.Option("--public", help="Only what the student's changes do not touch.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Grade what was handed in for an assignment: points for each criterion, and what was seen."""
    from tcpclose.teaching.assignments.grades import SubmissionError

    found = _find(name)
    records: list[dict[str, Any]] = []
    for file in files:
        try:
            graded = found.grade(file, student, public)
        except SubmissionError as error:
            if len(files) == 1:
                fail(error, 2)
            records.append({"file": str(file), "problem": str(error)})
            continue
        records.append(_record(file, graded))
    if as_json:
        print_json({"assignment": name, "submissions": records})
    else:
        for record in records:
            _print(record)
    raise typer.Exit(1 if any("problem" in record for record in records) else 0)


def _find(name: str) -> Assignment:
    from tcpclose.teaching.assignments import catalogue

    try:
        return catalogue.find(name)
    except KeyError:
        fail(f"there is no assignment {name!r}; expected {', '.join(catalogue.TITLES)}", 2)


def _record(file: Path, grade: Grade) -> dict[str, Any]:
    from dataclasses import asdict

    return {"file": str(file), "score": grade.score, "points": grade.points} | asdict(grade)


def _print(record: dict[str, Any]) -> None:
    if "problem" in record:
        typer.echo(f"not graded: {record['problem']}")
        return
    typer.echo(f"{record['file']}, variant of {record['student']}")
    for one in record["criteria"]:
        typer.echo(f"{one['score']:>6g} of {one['points']:<3} {one['name']} (RFC 9293, {one['rfc']})")
        for note in one["notes"]:
            typer.echo(f"{'':14}{note}")
    for remark in record["remarks"]:
        typer.echo(remark)
    typer.echo(f"{record['score']:g} of {record['points']} points")
