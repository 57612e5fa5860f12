"""One scenario, run with several stacks and in several worlds: the time in each state, run below run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from tcpclose.charts import style
from tcpclose.charts.states import Line, bars_figure, ends_of
from tcpclose.charts.story import natural
from tcpclose.trace.events import Trace
from tcpclose.trace.flights import connections
from tcpclose.trace.spans import outages


def draw_comparison(runs: Mapping[str, Trace | None], path: Path) -> None:
    """Draw what each end did in each run, by the run's name, into a PNG or SVG file; None stands for a failed run.

    Raises `ValueError` for another suffix.
    """
    style.save(comparison_figure(runs), path)


def comparison_figure(runs: Mapping[str, Trace | None]) -> Figure:
    """The figure that `draw_comparison` writes. The faults are those of the first run that has a trace."""
    told = {name: ends_of(trace) if trace is not None else {} for name, trace in runs.items()}
    traces = [trace for trace in runs.values() if trace is not None]
    order = {name: place for place, name in enumerate(dict.fromkeys(n for trace in traces for n in connections(trace)))}
    ends = sorted({end for of in told.values() for end in of}, key=lambda end: (order[end[1]], natural(end[0])))
    lines = []
    for host, connection in ends:
        for run, of in told.items():
            states, causes = of.get((host, connection), ([], []))
            lack = "the run failed" if runs[run] is None else "was not opened"
            lines.append(Line(run, f"{host}.{connection}", states, causes, f"{connection}: {host}", lack))
    first = next((run for run, trace in runs.items() if trace is not None), "")
    return bars_figure(lines, outages(traces[0]) if traces else [], f"faults as in {first}")
