"""`tcpclose show`: a run printed, as tables and ladders or as figures in the form of the RFC's."""

from __future__ import annotations

from tcpclose.terminal.console import console
from tcpclose.terminal.ladder import ladders
from tcpclose.terminal.tables import release_table
from tcpclose.trace.drawing import draw
from tcpclose.trace.events import Trace
from tcpclose.trace.figure import format_figure
from tcpclose.trace.flights import connections


def print_ladders(trace: Trace, connection: str | None = None) -> None:
    """How each connection was released, then the ladders. Raises `ValueError` for one that is not in the trace."""
    terminal = console()
    plain = not terminal.encoding.lower().startswith("utf")
    lines = list(ladders(trace, terminal.width, None if connection is None else [connection], plain))
    if not lines:
        terminal.print("This run has no connections and no segments.")
        return
    if connection is None and connections(trace):
        terminal.print(release_table(trace))
    for line in lines:
        terminal.print(line, soft_wrap=True)


def print_figures(trace: Trace, connection: str | None = None) -> None:
    """Figures that `draw` makes, one below the other. Raises `ValueError` for a connection that gives none."""
    terminal = console()
    known = connections(trace)
    if not known:
        raise ValueError("this run has no connections, so there is no figure of one")
    for name in known if connection is None else [connection]:
        figure = _figure(trace, name, alone=connection is not None or len(known) == 1)
        terminal.print(f"{name}\n\n{figure}", soft_wrap=True)


def _figure(trace: Trace, name: str, alone: bool) -> str:
    """Of several, one that gives none says so in its place."""
    try:
        return format_figure(draw(trace, name))
    except ValueError as error:
        if alone:
            raise
        return f"    {error}\n"
