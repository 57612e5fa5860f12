"""What `mark` and `grade` share: how results are printed, and the files that courses want of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated

import typer

from tcpclose.cli.common import fail, print_table

if TYPE_CHECKING:
    from tcpclose.teaching.results import Graded, Result, Share

Gradescope = Annotated[Path | None, typer.Option(metavar="FILE", help="Write Gradescope's results.json, of one only.")]
Inginious = Annotated[Path | None, typer.Option(metavar="FILE", help="Write INGInious's feedback, of one only.")]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write one line for each.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def write_exports(
    graded: Sequence[Graded], gradescope: Path | None, inginious: Path | None, table: Path | None
) -> None:
    from tcpclose.teaching import exports

    if gradescope:
        write(gradescope, lambda: json.dumps(exports.gradescope(graded[0]), indent=2) + "\n")
    if inginious:
        write(inginious, lambda: json.dumps(exports.inginious(graded[0]), indent=2) + "\n")
    if table:
        write(table, lambda: exports.as_csv(graded))


def write(file: Path, text: Callable[[], str]) -> None:
    from tcpclose.runs import write_whole

    try:
        write_whole(file, text())
    except OSError as error:
        fail(f"{file}: {error.strerror}", 2)


def print_result(result: Result) -> None:
    from rich.text import Text

    from tcpclose.teaching.results import right
    from tcpclose.teaching.sheets import cited
    from tcpclose.terminal.console import console

    terminal = console()
    for item in result.items:
        points = "by hand" if item.by_hand else f"{item.score:g} of {item.points}"
        style = "cyan" if item.by_hand else "green" if right(item) else "yellow"
        read = f"  {cited(item.rfc)}" if item.rfc else ""
        terminal.print(Text.assemble((f"{points:>12}  ", style), item.name, (read, "dim")), soft_wrap=True)
        for note in item.notes:
            terminal.print(indent(note, " " * 14), soft_wrap=True)
    for remark in result.remarks:
        terminal.print(remark, style="yellow", soft_wrap=True)
    apart = f", and {result.by_hand} that your instructor gives" if result.by_hand else ""
    terminal.print(f"{result.score:g} of {result.points} points{apart}", style="bold")


def print_shares(column: str, shares: Iterable[Share]) -> None:
    """Which part of its points each question or criterion has brought, and how many had it."""
    rows = [(one.name, f"{one.reached:.0%}", str(one.submissions)) for one in shares]
    print_table((column, "reached", "submissions"), rows)
