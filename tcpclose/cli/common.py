"""What all commands share: the program itself, how it prints tables, and how it says what is wrong."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from typing import Annotated, Any, NoReturn, TextIO, TypeVar

import typer
from typer.core import TyperGroup

from tcpclose.command import COMMAND


def _nowhere() -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


class _Program(TyperGroup):
    """All commands, by the name that the user typed. What is wrong with the output ends any of them in one way."""

    def main(self, *args: Any, **more: Any) -> Any:
        sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()  # the caller may have closed them
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal of another encoding spoils a letter, not the command
        try:
            try:
                return super().main(*args, **{"prog_name": COMMAND, **more})
            finally:
                sys.stdout.flush()
        except OSError as error:
            # What is still in the buffer goes nowhere, or Python would try again at its end.
            with _nowhere() as nowhere:
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
            if error.errno == errno.EPIPE:  # who reads us has seen enough, as `head` does
                sys.exit(1)
            complain(f"{error.filename or 'output'}: {error.strerror}")
            sys.exit(2)


app = typer.Typer(
    cls=_Program,
    help="A network lab about one thing: how TCP connections end.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

#: For the commands that read what a run has left.
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's folder, its name in results/runs, or the file of a trace.")
]

_T = TypeVar("_T")


def complain(about: object) -> None:
    """Say what is wrong, on standard error."""
    typer.echo(f"tcpclose: {about}", err=True)


def fail(error: object, status: int) -> NoReturn:
    complain(error)
    raise typer.Exit(status)


def print_json(record: dict[str, Any]) -> None:
    typer.echo(json.dumps(record, indent=2))


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    from rich import box
    from rich.table import Table

    from tcpclose.terminal.console import console

    table = Table(*columns, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = True  # names are there to be copied
    for row in rows:
        table.add_row(*row)
    for column in table.columns:
        # short words stay whole, however narrow the terminal
        words = (len(word) for cell in column.cells for word in str(cell).split())
        column.min_width = min(8, max(words, default=0))
    console(highlight=True).print(table)


def with_bar(items: Iterable[_T], total: int, title: str) -> Iterator[_T]:
    """A progress bar on a terminal; nothing elsewhere."""
    from rich.progress import track

    from tcpclose.terminal.console import console

    yield from track(items, title, total, console=console(stderr=True), transient=True, disable=not sys.stderr.isatty())
