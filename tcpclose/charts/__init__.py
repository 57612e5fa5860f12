"""Figures of runs. Each is drawn by a module of its own, which is loaded when it is needed: matplotlib takes a while.

draw_ladder(trace, Path("ladder.svg"))        the segments between the hosts, and their states
draw("sequence", trace, Path("seq.png"))      any chart of one run, by its name in CHARTS
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tcpclose.trace.events import Trace

#: The charts of one run, and what each shows. "machine" is a picture for each connection, the others one of all.
CHARTS: Final = {
    "ladder": "segments as arrows between the hosts, with their states",
    "machine": "the way of each end through the state machine, for each connection",
    "states": "the time in each state",
    "sequence": "sequence numbers over time, retransmissions and their backoff",
}


def draw(name: str, trace: Trace, path: Path, connection: str | None = None) -> None:
    """Draw one of CHARTS into a PNG or SVG file, of one connection where one is named (ladder and machine).

    Raises `ValueError` for a connection that is not in the trace, or a file that is neither, and `OSError`.
    """
    if name == "ladder":
        draw_ladder(trace, path, None if connection is None else [connection])
    elif name == "machine":
        import_module("tcpclose.charts.paths").draw_paths(trace, path, connection)
    else:
        getattr(import_module(f"tcpclose.charts.{name}"), f"draw_{name}")(trace, path)


def draw_ladder(trace: Trace, path: Path, connections: Sequence[str] | None = None) -> None:
    """Draw one ladder panel for each connection of the run, or of those named, into a PNG or SVG file.

    Raises `ValueError` for a connection that is not in the trace, or a file that is neither.
    """
    from tcpclose.charts import ladder

    ladder.draw_ladder(trace, path, connections)


def draw_states(trace: Trace, path: Path) -> None:
    """Draw the time in each state into a PNG or SVG file. Raises `ValueError` for another suffix."""
    from tcpclose.charts import states

    states.draw_states(trace, path)
