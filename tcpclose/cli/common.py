"""What all commands share: the program itself, how it prints tables, and how it says what is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn, TypeVar

import typer

app = typer.Typer(
    help="A network lab about one thing: how TCP connections end.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_T = TypeVar("_T")


def fail(error: object, status: int) -> NoReturn:
    typer.echo(f"tcpclose: {error}", err=True)
    raise typer.Exit(status)


def print_json(record: dict[str, Any]) -> None:
    typer.echo(json.dumps(record, indent=2))


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = True  # names are there to be copied
    for row in rows:
        table.add_row(*map(escape, row))
    for column in table.columns:
        # short words stay whole, however narrow the terminal
        column.min_width = min(8, max(len(word) for cell in column.cells for word in [*str(cell).split(), ""]))
    Console().print(table)


def with_bar(items: Iterable[_T], total: int, title: str) -> Iterator[_T]:
    """A progress bar on a terminal; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import track

    yield from track(items, title, total, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
