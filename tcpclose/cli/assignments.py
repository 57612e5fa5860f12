"""Commands for assignments: a student's folder, and the grades of what comes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tcpclose.cli.common import app, fail, print_json, print_table, with_bar
from tcpclose.cli.results import AsJson, Csv, Gradescope, Inginious, print_result, print_shares, write, write_exports

if TYPE_CHECKING:
    from tcpclose.teaching.assignments.grades import Assignment, How
    from tcpclose.teaching.assignments.summary import Summary
    from tcpclose.teaching.results import Graded

assignment = typer.Typer(help="What students are given of an assignment.", no_args_is_help=True)
app.add_typer(assignment, name="assignment")

#: In so many words.
_UNCONTAINED = """Run the programs of strangers on this machine with limits on time, memory and output only: they can
read and change your files, use the network, and write their own grades."""

Name = Annotated[str, typer.Argument(metavar="ASSIGNMENT", help="a1, say; `assignment list` tells all.")]


@assignment.command(name="list")
def list_() -> None:
    """List the assignments."""
    from tcpclose.teaching.assignments import catalogue

    found = [catalogue.find(name) for name in catalogue.TITLES]
    print_table(("name", "to hand in", "title"), [(one.name, one.file, one.title) for one in found])


@assignment.command()
def export(
    name: Name,
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="A folder; it is made.")],
    student: Annotated[str, typer.Option("--student", metavar="ID", help="Whose variant.")] = "",
    students: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A folder in OUT for each: an ID on each line of the file.")
    ] = None,
) -> None:
    """Write what a student is given, or each of a class: handout, template and public tests."""
    from tcpclose.teaching.assignments import catalogue
    from tcpclose.teaching.assignments.students import read_students

    found = _find(name)
    if bool(student.strip()) == (students is not None):
        fail("--student needs an ID, as s123; or a class --students FILE", 2)
    with _problems_told(folder):
        if students is None:
            for path in catalogue.export(found, student, folder):
                typer.echo(path)
            return
        ids = [one.id for one in read_students(students)]
        for _ in with_bar(catalogue.export_class(found, ids, folder), len(ids), "export"):
            pass
    typer.echo(f"{len(ids)} folders in {folder}")


@app.command()
def grade(
    name: Name,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE...]", help="What was handed in, or folders that have it.")
    ] = None,
    student: Annotated[str, typer.Option("--student", metavar="ID", help="Whose variant, whatever a file says.")] = "",
    public: Annotated[bool, typer.Option("--public", help="Only what the student's changes do not touch.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--class", metavar="DIR", help="All of it: a folder or file named by each student.")
    ] = None,
    students: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --class: lines ID, or ID,NAME of what that one handed in.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="OUT", help="With --class: where grades go. By default DIR-grades.")
    ] = None,
    mininet: Annotated[bool, typer.Option("--mininet", help="Programs also as the TCP of emulated hosts.")] = False,
    uncontained: Annotated[bool, typer.Option("--uncontained", help=_UNCONTAINED)] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page, of one only.")] = None,
    gradescope: Gradescope = None,
    inginious: Inginious = None,
    table: Csv = None,
    as_json: AsJson = False,
) -> None:
    """Grade what was handed in for an assignment, or a class: points for each criterion, and what was seen."""
    from tcpclose.teaching.assignments.grades import How

    found, how = _find(name), How(public, mininet, uncontained)
    if bool(files) == (folder is not None):
        fail("grade needs either what was handed in or --class DIR", 2)
    _check_means(found, how)
    if folder is not None:
        if student or html or gradescope or inginious:
            fail("--student, --html, --gradescope and --inginious are for one submission, not for a class", 2)
        summary = _grade_class(found, folder, students, out, how)
        graded = summary.graded
    else:
        if students or out:
            fail("--students and --out are for --class DIR", 2)
        graded = _grade_files(found, files or [], student, how)
        if len(graded) > 1 and (html or gradescope or inginious):
            fail("--html, --gradescope and --inginious are for one submission; --class DIR has pages for all", 2)
    write_exports(graded, gradescope, inginious, table)
    if html is not None:
        from tcpclose.teaching.assignments.pages import page

        write(html, lambda: page(_title(found), graded[0]))
    if as_json:
        from tcpclose.teaching.exports import as_record

        print_json({"assignment": name, "submissions": [as_record(one) for one in graded]})
    elif folder is not None:
        _print_class(summary)
    else:
        _print_graded(graded)
    if folder is None and len(graded) == 1 and graded[0].problem:
        fail(graded[0].problem, 2)
    raise typer.Exit(1 if any(one.problem for one in graded) else 0)


def _find(name: str) -> Assignment:
    from tcpclose.teaching.assignments import catalogue

    try:
        return catalogue.find(name)
    except KeyError:
        fail(f"there is no assignment {name!r}; expected {', '.join(catalogue.TITLES)}", 2)


def _check_means(assignment: Assignment, how: How) -> None:
    """Refuse to run foreign code where it cannot be contained, or emulated, before anything of it is run."""
    from tcpclose.teaching.assignments.containment import containment
    from tcpclose.testbed.box import why_no_box

    name = assignment.name
    if not assignment.foreign:
        if how.uncontained or how.emulate:
            fail(f"{name} runs nothing that was handed in: --mininet and --uncontained are for programs", 2)
    elif not how.uncontained and not (here := containment()).works:
        lack = f"{name} runs programs of strangers, and nothing contains them here: {here.found}"
        own = "--uncontained runs them with limits only: enough for your own program, not for anybody else's"
        fail(f"{lack}\nwhat helps: {here.mend}\n{own}", 2)
    if how.emulate and how.uncontained:
        fail("--mininet is for code that is contained: it takes no --uncontained", 2)
    if how.emulate and (reason := why_no_box()):
        fail(f"--mininet: {reason}", 2)


def _title(assignment: Assignment) -> str:
    return f"{assignment.name.upper()}: {assignment.title}"


def _grade_files(assignment: Assignment, files: list[Path], student: str, how: How) -> list[Graded]:
    from tcpclose.teaching.assignments.handed_in import grade_one
    from tcpclose.teaching.results import plain_line

    return [grade_one(assignment, file, plain_line(str(file)), student, how) for file in files]


def _grade_class(assignment: Assignment, folder: Path, students: Path | None, out: Path | None, how: How) -> Summary:
    """The grades are in `out` when this ends, and those that were finished when it does not."""
    from tcpclose.teaching.assignments.classes import grade_class, look_through
    from tcpclose.teaching.assignments.students import read_students
    from tcpclose.teaching.assignments.summary import Summary, write_summary

    place = out or folder.resolve().with_name(f"{folder.resolve().name}-grades")
    if place.resolve().is_relative_to(folder.resolve()):
        fail(f"--out {place}: is in the class's folder, and would be taken for a submission", 2)
    with _problems_told(place):
        classroom = look_through(folder, assignment.file, read_students(students) if students else ())
        found = grade_class(assignment, classroom.entries, place / "grades", how)
        graded = {one.file: one for one in with_bar(found, len(classroom.entries), "grade")}
        ordered = [graded[entry.name] for entry in classroom.entries]
        summary = Summary(_title(assignment), ordered, classroom)
        typer.echo(write_summary(place, summary), err=True)
    return summary


@contextmanager
def _problems_told(place: Path) -> Iterator[None]:
    from tcpclose.teaching.assignments.students import ClassError

    try:
        yield
    except ClassError as error:
        fail(error, 2)
    except OSError as error:  # one of ours has words only
        fail(f"{error.filename or place}: {error.strerror}" if error.strerror else error, 2)


def _print_graded(graded: Sequence[Graded]) -> None:
    for one in graded:
        if one.result:
            typer.echo(f"{one.file}, variant of {one.result.student}")
            print_result(one.result)
        elif len(graded) > 1:
            typer.echo(f"not graded: {one.problem}")


def _print_class(summary: Summary) -> None:
    from tcpclose.teaching.assignments.summary import histogram

    typer.echo("\n".join(histogram(summary.distribution)))
    print_shares("criterion", summary.missed)
    told = "".join(f", {name} {value:g}" for name, value in summary.figures.items())
    typer.echo(f"{len(summary.results)} of {len(summary.graded)} graded{told}")
    for problem in summary.problems:
        typer.echo(f"not graded: {problem}")
    for notice in summary.notices:
        typer.echo(notice)
