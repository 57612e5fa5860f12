"""Time in each state: one bar for each end of each connection, time to the right.

States that pass too fast for the scale, and the fast ones are the interesting ones, are shown a second time above
their bar, in order, as cells of one size. The coordinates are inches, to the right and downwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from tcpclose.charts import style
from tcpclose.charts.story import natural
from tcpclose.charts.style import BOLD, SLOPED
from tcpclose.protocol.fsm import Cause, State
from tcpclose.trace.events import End, Trace
from tcpclose.trace.flights import connections
from tcpclose.trace.spans import Interval, Outage, intervals, outages

#: Bars in one picture; a run with more ends shows the first ones and says so.
BARS = 48
#: Inches: width of the time scale, height of a bar, from bar to bar, more between groups and for a heading, around all.
SCALE, BAR, ROW, GROUP, HEADING, MARGIN = 7.6, 0.17, 0.36, 0.12, 0.2, 0.25
#: An interval narrower than this is shown as a cell, too; side of a cell, and how far it stands above its bar.
SHORT, CELL, LIFT = 0.09, 0.085, 0.05
#: Font sizes in points.
_NAME, _WORD, _TICK = 7.5, 6.2, 6.5


@dataclass(frozen=True, slots=True)
class Line:
    """One bar: the states of one end, and of what it ended. Lines of one `group` stand together, under its heading."""

    name: str
    group: str
    states: list[Interval]
    told: list[End]
    heading: str = ""
    #: What to say where there are no states.
    lack: str = ""


def draw_states(trace: Trace, path: Path) -> None:
    """Draw the time in each state into a PNG or SVG file. Raises `ValueError` for another suffix."""
    style.save(states_figure(trace), path)


def states_figure(trace: Trace) -> Figure:
    """The figure that `draw_states` writes. Bars carry the id "h1.c1"."""
    place = {name: number for number, name in enumerate(connections(trace))}
    ends = sorted(ends_of(trace).items(), key=lambda item: (place[item[0][1]], natural(item[0][0])))
    lines = [Line(f"{host}.{name}", name, states, told) for (host, name), (states, told) in ends]
    return bars_figure(lines, outages(trace))


def ends_of(trace: Trace) -> dict[tuple[str, str], tuple[list[Interval], list[End]]]:
    """Each end by (host, connection): its states, and why it ended, a crash too, of which nobody could tell."""
    told: dict[tuple[str, str], list[End]] = defaultdict(list)
    for end in trace.of(End):
        told[end.host, end.connection].append(end)
    found = intervals(trace)
    for (host, name), states in found.items():
        crashes = [interval.end for interval in states if interval.crashed]
        told[host, name] += [End(t=t, host=host, connection=name, cause="crashed") for t in crashes]
    return {end: (states, told[end]) for end, states in found.items()}


def bars_figure(lines: Sequence[Line], faults: Sequence[Outage], note: str = "") -> Figure:
    """Bars below each other, as many as one picture holds; `note` is said below the scale."""
    with style.applied():
        if not any(line.states for line in lines):
            return style.message("No end of a connection changed its state in this run.")
        return _Bars(lines[:BARS], faults, len(lines) - BARS, note).figure()


class _Bars:
    def __init__(self, lines: Sequence[Line], faults: Sequence[Outage], missing: int, note: str) -> None:
        self.lines, self.note = lines, note
        lives = [line.states for line in lines if line.states]
        self.start = min(states[0].start for states in lives)
        self.stop = max(max(_lifetime(states) for states in lives), self.start + 1)
        self.faults = [f for f in faults if f.start <= self.stop and (f.end is None or f.end >= self.start)]
        self.missing = missing
        self.left = max(style.measure(line.name, _NAME) for line in lines) + 0.12
        reach = [self.x(end.t) + 0.12 + _wide(end.cause) for line in lines for end in line.told]
        reach += [self.x(fault.start) + 0.1 + _wide(fault.name) for fault in self.faults]
        self.width = max([self.left + SCALE, *reach]) + 0.1
        self.fault_rows = self._fault_rows()
        self.top = 0.1 + 0.16 * (max(self.fault_rows, default=-1) + 1)
        self.rows = list(self._rows())

    def x(self, t: int) -> float:
        """Where a time stands."""
        return self.left + SCALE * (min(max(t, self.start), self.stop) - self.start) / (self.stop - self.start)

    def short(self, interval: Interval) -> bool:
        """Too short to be seen on the scale."""
        return self.x(interval.end) - self.x(interval.start) < SHORT

    def _fault_rows(self) -> list[int]:
        """The names of faults stand above the bars, in as many lines as keep them apart."""
        free: list[float] = []
        rows = []
        for fault in self.faults:
            at = self.x(fault.start)
            row = next((row for row, edge in enumerate(free) if edge < at), len(free))
            free[row : row + 1] = [at + _wide(fault.name) + 0.1]
            rows.append(row)
        return rows

    def _rows(self) -> Iterator[float]:
        """The top of each bar."""
        y, last = self.top + CELL + LIFT, None
        for line in self.lines:
            if line.group != last:
                y += (GROUP if last is not None else 0.0) + (HEADING if line.heading else 0.0)
            last = line.group
            yield y
            y += ROW

    def figure(self) -> Figure:
        bottom = self.rows[-1] + BAR + 0.08
        handles = self._legend()
        per_row = max(1, int(self.width / 1.2))
        lines = -(-len(handles) // per_row)
        height = bottom + 0.5 + 0.19 * lines + (0.2 if self.missing > 0 else 0)
        wide, tall = self.width + 2 * MARGIN, height + 2 * MARGIN
        figure = Figure(figsize=(wide, tall))
        axes = figure.add_axes((MARGIN / wide, MARGIN / tall, self.width / wide, height / tall))
        axes.set_xlim(0, self.width)
        axes.set_ylim(height, 0)
        axes.set_axis_off()
        self._draw_scale(axes, bottom)
        for fault, row in zip(self.faults, self.fault_rows, strict=True):
            self._draw_fault(axes, fault, 0.08 + 0.16 * row, bottom)
        last = None
        for line, y in zip(self.lines, self.rows, strict=True):
            if line.heading and line.group != last:
                at = y - LIFT - CELL - 0.13
                axes.text(0, at, line.heading, va="center", fontsize=_NAME + 0.5, **BOLD)
            last = line.group
            self._draw_end(axes, line, y)
        below = (0.5, 1 - (bottom + 0.42) / height)
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=below, ncols=per_row, fontsize=7)
        if self.missing > 0:
            more = f"{self.missing} more ends are not shown."
            axes.text(self.width / 2, height, more, ha="center", va="bottom", color=style.FAINT)
        return figure

    def _draw_scale(self, axes: Axes, bottom: float) -> None:
        unit, name = (1_000_000, "s") if self.stop - self.start >= 2_000_000 else (1_000, "ms")
        axes.add_artist(Line2D([self.left, self.left + SCALE], [bottom] * 2, color=style.FAINT, linewidth=0.6))
        for value in MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10]).tick_values(self.start / unit, self.stop / unit):
            if not self.start <= value * unit <= self.stop:
                continue
            x = self.x(round(value * unit))
            axes.add_artist(Line2D([x, x], [self.top, bottom + 0.04], color=style.FAINT, linewidth=0.25, zorder=0.6))
            axes.text(x, bottom + 0.12, f"{value:g}", ha="center", va="center", fontsize=_TICK)
        note = f"{name} since the start of the run"
        if any(self.short(interval) for line in self.lines for interval in _living(line)):
            note += "; states too short for this scale stand above their bar, in order"
        note += f"; {self.note}" if self.note and self.faults else ""
        axes.text(self.left + SCALE / 2, bottom + 0.28, note, ha="center", va="center", fontsize=_TICK)

    def _draw_fault(self, axes: Axes, fault: Outage, y: float, bottom: float) -> None:
        start, end = self.x(fault.start), self.x(self.stop if fault.end is None else fault.end)
        axes.add_patch(Rectangle((start, y - 0.06), end - start, bottom - y + 0.06, color=style.FAULT, lw=0, zorder=0))
        for x in (start, end):
            axes.add_artist(Line2D([x, x], [y - 0.06, bottom], color=style.PURPLE, linewidth=0.8, zorder=0.7))
        axes.text(start + 0.05, y, fault.name, va="center", fontsize=_WORD, **BOLD)

    def _draw_end(self, axes: Axes, line: Line, y: float) -> None:
        axes.text(self.left - 0.12, y + BAR / 2, line.name, ha="right", va="center", fontsize=_NAME)
        if not line.states:
            axes.text(self.left + 0.05, y + BAR / 2, line.lack, va="center", fontsize=_WORD, **SLOPED)
            return
        living = _living(line)
        for interval in living:
            self._draw_interval(axes, interval, y, line.name)
        self._draw_cells(axes, living, y)
        for end in line.told:
            self._draw_cause(axes, end, next((i.start for i in living if i.start > end.t), None), y)
        last = line.states[-1]
        if last.state != State.CLOSED.value and not last.crashed:
            axes.add_artist(Line2D([self.x(last.end) + 0.05], [y + BAR / 2], marker=">", markersize=4, color=style.INK))

    def _draw_interval(self, axes: Axes, interval: Interval, y: float, name: str) -> None:
        start, end = self.x(interval.start), self.x(interval.end)
        bar = Rectangle((start, y), end - start, BAR, facecolor=style.colour(interval.state), gid=name, zorder=2)
        bar.set(edgecolor=style.INK, linewidth=0.3)
        axes.add_patch(bar)
        if style.measure(interval.state, _WORD, **BOLD) + 0.06 < end - start:
            ink = style.on(style.colour(interval.state))
            middle = (start + end) / 2
            axes.text(middle, y + BAR / 2, interval.state, ha="center", va="center", fontsize=_WORD, color=ink, **BOLD)

    def _draw_cells(self, axes: Axes, living: list[Interval], y: float) -> None:
        """Runs of short states as strips of cells; a strip that would cover the one before stands beside it."""
        edge = 0.0
        for short, run in groupby(living, key=self.short):
            if not short:
                continue
            strip = list(run)
            middle = (self.x(strip[0].start) + self.x(strip[-1].end)) / 2
            left = max(middle - CELL * len(strip) / 2, edge)
            for number, interval in enumerate(strip):
                cell = Rectangle((left + number * CELL, y - LIFT - CELL), CELL, CELL, zorder=3)
                cell.set(facecolor=style.colour(interval.state), edgecolor=style.INK, linewidth=0.3)
                axes.add_patch(cell)
            edge = left + CELL * len(strip) + 0.05
            stem = Line2D([left + CELL * len(strip) / 2, middle], [y - LIFT, y])
            stem.set(color=style.INK, linewidth=0.5, zorder=3)
            axes.add_artist(stem)

    def _draw_cause(self, axes: Axes, end: End, again: int | None, y: float) -> None:
        """A mark where the end ended, and why, if there is room before it lives again."""
        x = self.x(end.t) + 0.05
        look = _GRACEFUL if end.cause == Cause.GRACEFUL.value else _ABRUPT
        axes.add_artist(Line2D([x], [y + BAR / 2], linestyle="none", zorder=3, **look))
        if again is None or self.x(again) > x + 0.1 + _wide(end.cause):
            axes.text(
                x + 0.07, y + BAR / 2, end.cause, va="center", fontsize=_WORD, path_effects=[style.HALO], **SLOPED
            )

    def _legend(self) -> list[Artist]:
        seen = {interval.state for line in self.lines for interval in line.states} - {State.CLOSED.value}
        handles: list[Artist] = [
            Patch(facecolor=colour, edgecolor=style.INK, linewidth=0.3, label=state)
            for state, colour in style.STATE_COLOURS.items()
            if state in seen
        ]
        causes = {end.cause for line in self.lines for end in line.told}
        if Cause.GRACEFUL.value in causes:
            handles.append(Line2D([], [], linestyle="none", label="graceful", **_GRACEFUL))
        if causes - {Cause.GRACEFUL.value}:
            handles.append(Line2D([], [], linestyle="none", label="abrupt", **_ABRUPT))
        if self.faults:
            handles.append(Patch(facecolor=style.FAULT, edgecolor=style.PURPLE, linewidth=0.8, label="fault"))
        return handles


_GRACEFUL: dict[str, Any] = {"marker": "o", "markersize": 3.5, "color": style.INK}
_ABRUPT: dict[str, Any] = {"marker": "x", "markersize": 4, "markeredgewidth": 1.3, "color": style.RESET}


def _living(line: Line) -> list[Interval]:
    return [interval for interval in line.states if interval.state != State.CLOSED.value]


def _lifetime(states: list[Interval]) -> int:
    """When the last thing worth seeing of an end is over."""
    return states[-1].start if states[-1].state == State.CLOSED.value else states[-1].end


def _wide(text: str) -> float:
    return style.measure(text, _WORD, **BOLD)
