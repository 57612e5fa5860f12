"""Tables: of how the connections of a run were released, of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from tcpclose.comparison import Outcome
from tcpclose.comparison import Table as Comparison
from tcpclose.terminal.console import console
from tcpclose.trace.events import Trace
from tcpclose.trace.releases import releases


def release_table(trace: Trace, title: str = "") -> Table:
    """A row for each connection (how, by whom, in what time), and one for each end of it (cause, states passed)."""
    words = Text(title) if title else None
    table = Table(title=words, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    for column in ("connection\n  end", "how\n  cause", "closed first by, time to release\n  states passed"):
        table.add_column(column, overflow="fold")
    for release in releases(trace):
        by = f"{release.first} ({release.action})" if release.first else "nobody"
        if not release.opened:
            by += ", never open"
        elif release.duration is not None:
            by += f", {release.duration / 1e6:.3f} s"
        again = f" #{release.incarnation}" if release.incarnation > 1 else ""
        table.add_row(f"{release.connection}{again}", release.how or "open", by, style="bold")
        for host in dict.fromkeys([*release.states, *release.causes]):
            table.add_row(f"  {host}", f"  {release.outcome(host)}", " ".join(release.states.get(host, ())))
        table.add_section()
    return table


def print_comparison(outcomes: Sequence[Outcome], tables: Sequence[Comparison], folder: Path) -> None:
    """What each run says, side by side, and what differs."""
    terminal = console()
    for compared in tables:
        table = Table(title=compared.connection, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("", no_wrap=True, min_width=max(len(f"  {row.what}") for row in compared.rows))
        for outcome in outcomes:
            table.add_column(outcome.variant.name, min_width=11)
        host = ""
        for row in compared.rows:
            if row.host != host:
                host = row.host
                table.add_section()
                table.add_row(Text(host, "bold"))
            marked = (Text(cell.text + " !", "bold yellow") if cell.differs else Text(cell.text) for cell in row.cells)
            table.add_row(f"  {row.what}" if host else row.what, *marked)
        terminal.print(table)
    for line in _comparison_notes(outcomes):
        terminal.print(line, soft_wrap=True)
    terminal.print(f"{folder}/", style="bold", soft_wrap=True)


def _comparison_notes(outcomes: Sequence[Outcome]) -> Iterator[str]:
    first = next((outcome.variant.name for outcome in outcomes if outcome.trace is not None), "")
    yield f"Seconds from the start of the run at which a state was entered, - where it was not; ! differs from {first}."
    yield "own is our TCP, linux the kernel's, as CLIENT/SERVER. A run does not wait for the end of Linux's TIME-WAIT."
    left_out = sorted({key for outcome in outcomes for key in outcome.variant.left_out})
    if left_out:
        yield f"Left out where the stack cannot honour it: {', '.join(left_out)}."
    yield from (f"{outcome.variant.name} failed: {outcome.error}" for outcome in outcomes if outcome.error)
