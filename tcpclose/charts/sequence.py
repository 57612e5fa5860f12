"""Time and sequence numbers: what each direction sent, sent again and lost, what was acknowledged, the window.

The intervals between retransmissions stand beside what their timer was to be: twice the interval before. The
coordinates of a panel are inches, to the right and downwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from tcpclose.charts import style
from tcpclose.charts.placing import Board, Box, Point
from tcpclose.charts.progress import Direction, Interval, directions
from tcpclose.charts.story import duration
from tcpclose.charts.style import BOLD
from tcpclose.charts.timescale import Timescale
from tcpclose.trace.events import Trace
from tcpclose.trace.flights import Flight
from tcpclose.trace.spans import Outage, outages

#: Panels in one picture; a run with more directions shows the first ones and says so.
PANELS = 8
#: Inches: the plot, numbers and an edge beside it, room above for title and faults, below for times; around.
WIDTH, HEIGHT, NUMBERS, EDGE, HEAD, FOOT, MARGIN = 7.4, 2.5, 0.72, 0.2, 0.62, 0.5, 0.3
#: The least height of a segment; marks closer together than this are one.
LEAST, FINE = 0.045, 0.004
#: Font sizes in points.
_TITLE, _WORD, _TICK = 10.5, 6.5, 6.5

_SENT: dict[str, Any] = {"color": style.INK, "linewidth": 1.4}
_AGAIN: dict[str, Any] = {"color": style.ORANGE, "linewidth": 2.4}
_LOST: dict[str, Any] = {"marker": "x", "markersize": 4.5, "markeredgewidth": 1.1, "color": style.INK}
#: Hollow, so that the cross of one that was lost is seen.
_MARKS: dict[str, dict[str, Any]] = {
    "SYN": {"marker": "^", "markersize": 6, "color": style.INK, "markerfacecolor": style.PAPER},
    "FIN": {"marker": "s", "markersize": 6, "color": style.CLOSE, "markerfacecolor": style.PAPER},
    "RST": {"marker": "D", "markersize": 5.5, "color": style.RESET, "markerfacecolor": style.PAPER},
}
_HEARD: dict[str, Any] = {"color": style.GREEN, "linewidth": 1.0}
_WINDOW: dict[str, Any] = {"color": style.SKY, "linewidth": 1.0, "linestyle": (0, (4, 1.5))}
_DUE: dict[str, Any] = {"marker": "d", "markersize": 5.5, "color": style.INK, "markerfacecolor": style.PAPER}


def draw_sequence(trace: Trace, path: Path) -> None:
    """Draw the sequence numbers over time into a PNG or SVG file. Raises `ValueError` for another suffix."""
    style.save(sequence_figure(trace), path)


def sequence_figure(trace: Trace) -> Figure:
    """The figure that `draw_sequence` writes. Intervals carry the id "c1-h1-interval-1"."""
    ways = directions(trace)
    with style.applied():
        if not ways:
            return style.message("No segment of this run has sequence numbers of a connection to draw.")
        faults = outages(trace)
        panels = [_Panel(way, faults) for way in ways[:PANELS]]
        more = f"{len(ways) - PANELS} more directions are not shown." if len(ways) > PANELS else ""
        return _page(panels, more)


class _Panel:
    """One direction. Numbers grow upwards, so they are counted from the plot's lower edge."""

    height = HEAD + HEIGHT + FOOT

    def __init__(self, way: Direction, faults: Sequence[Outage]) -> None:
        self.way = way
        whole = [(interval.start, interval.end) for interval in way.intervals]
        last = max(way.times)
        due = [interval.doubled for interval in way.intervals if interval.doubled and interval.doubled <= last]
        self.x = Timescale([*way.times, *due], NUMBERS, WIDTH, whole)
        ours = [fault for fault in faults if fault.connection in (None, way.connection)]
        self.faults = [f for f in ours if f.start <= last and (f.end is None or f.end >= self.x.start)]
        self.top = way.top * 1.15
        self.base = HEAD + HEIGHT

    def y(self, number: float) -> float:
        """Where a relative sequence number stands."""
        return self.base - HEIGHT * min(max(number, 0), self.top) / self.top

    def draw(self, axes: Axes) -> None:
        """All of it, into axes that are inches."""
        axes.set_xlim(0, NUMBERS + WIDTH + EDGE)
        axes.set_ylim(self.height, 0)
        axes.set_axis_off()
        self.board = Board()
        self._draw_frame(axes)
        self._draw_faults(axes)
        self._draw_heard(axes)
        self._draw_sent(axes)
        self._draw_intervals(axes)

    def _draw_frame(self, axes: Axes) -> None:
        way = self.way
        axes.text(0, 0.1, f"{way.connection}: {way.source} → {way.target}", va="center", fontsize=_TITLE, **BOLD)
        axes.text(0, 0.3, self._window(), va="center", fontsize=_WORD + 0.5, color=style.FAINT)
        for value in MaxNLocator(nbins=6, integer=True).tick_values(0, self.top):
            if 0 <= value <= self.top:
                y = self.y(value)
                line = Line2D([NUMBERS, NUMBERS + WIDTH], [y, y], color=style.FAINT, linewidth=0.25, zorder=0.6)
                axes.add_artist(line)
                text = f"{value:,.0f}".replace(",", "\u2009")
                axes.text(NUMBERS - 0.08, y, text, ha="right", va="center", fontsize=_TICK)
        for x, text in _apart(self.x.ticks()):
            axes.add_artist(Line2D([x, x], [self.base, self.base + 0.05], color=style.FAINT, linewidth=0.6))
            axes.text(x, self.base + 0.13, text, ha="center", va="center", fontsize=_TICK)
        axes.add_artist(Line2D([NUMBERS, NUMBERS + WIDTH], [self.base] * 2, color=style.FAINT, linewidth=0.6))
        note = f"{self.x.unit[1]} since the start of the run; sequence numbers count from the ISS"
        axes.text(NUMBERS + WIDTH / 2, self.base + 0.3, note, ha="center", va="center", fontsize=_TICK)
        for fold in self.x.silences:
            self._draw_fold(axes, (fold.left + fold.right) / 2, duration(fold.end - fold.start))

    def _draw_fold(self, axes: Axes, x: float, words: str) -> None:
        axes.add_patch(Rectangle((x - 0.035, self.base - 0.06), 0.07, 0.12, color=style.PAPER, lw=0, zorder=2))
        for dx in (-0.035, 0.035):
            line = Line2D([x + dx - 0.03, x + dx + 0.03], [self.base + 0.07, self.base - 0.07])
            line.set(color=style.INK, linewidth=0.9, zorder=3)
            axes.add_artist(line)
        box = Box(x, self.base - 0.15, style.measure(words, _WORD) + 0.04, 0.11)
        if self.board.best([box]):
            axes.text(box.x, box.y, words, ha="center", va="center", fontsize=_WORD, color=style.FAINT)

    def _window(self) -> str:
        """What the receiver offered, in words: most windows reach far above the picture."""
        offers = [known.edge - known.ack for known in self.way.heard]
        if not offers:
            return "nothing was heard from the receiver"
        least, most = min(offers), max(offers)
        octets = f"{least} to {most}" if least < most else f"{most}"
        return f"{self.way.target} offers a window of {octets} octets"

    def _draw_faults(self, axes: Axes) -> None:
        for fault in self.faults:
            start = self.x(fault.start)
            end = self.x(self.x.stop if fault.end is None else fault.end)
            top = HEAD - 0.16
            axes.add_patch(Rectangle((start, top), end - start, self.base - top, color=style.FAULT, lw=0, zorder=0))
            for x in (start, end):
                axes.add_artist(Line2D([x, x], [top, self.base], color=style.PURPLE, linewidth=0.8, zorder=0.7))
            width = style.measure(fault.name, _WORD, **BOLD) + 0.08
            right = NUMBERS + WIDTH
            places = (start + width / 2 + 0.03, min(end, right) - width / 2 - 0.03, start - width / 2 - 0.03)
            inside = (
                Box(x, top + 0.07, width, 0.12) for x in places if NUMBERS <= x - width / 2 < x + width / 2 <= right
            )
            if box := self.board.best(inside):
                axes.text(box.x, box.y, fault.name, ha="center", va="center", fontsize=_WORD, zorder=5, **BOLD)

    def _draw_heard(self, axes: Axes) -> None:
        """Steps: what was acknowledged, and the edge of the window where it is low enough to be in the picture."""
        heard = self.way.heard
        if not heard:
            return
        ends = [*(self.x(known.t) for known in heard[1:]), NUMBERS + WIDTH]
        steps = [(self.x(known.t), end, known) for known, end in zip(heard, ends, strict=True)]
        for number, look in ((0, _HEARD), (1, _WINDOW)):
            values = [(known.ack, known.edge)[number] for _, _, known in steps]
            points = [
                (x, self.y(value) if value <= self.top else float("nan"))
                for (start, end, _), value in zip(steps, values, strict=True)
                for x in (start, end)
            ]
            thin = list(_thinned(points))
            self.board.lines += pairwise(thin[:400])
            axes.add_artist(Line2D([x for x, _ in thin], [y for _, y in thin], zorder=1, **look))

    def _draw_sent(self, axes: Axes) -> None:
        for again, look in ((False, _SENT), (True, _AGAIN)):
            found = (self._bar(flight) for flight in self.way.sent if flight.retransmission is again)
            rounded = ((round(x / FINE) * FINE, low, high) for x, low, high in found)
            bars = [((x, low), (x, high)) for x, low, high in dict.fromkeys(rounded)]
            axes.add_collection(LineCollection(bars, zorder=2.5 if again else 2, **look), autolim=False)
        for name, look in _MARKS.items():
            self._draw_marks(axes, (f for f in self.way.sent if name in f.controls), look)
        self._draw_marks(axes, (f for f in self.way.sent if f.missing), _LOST)

    def _bar(self, flight: Flight) -> tuple[float, float, float]:
        y = self.y(flight.seq)
        return self.x(flight.start), y, min(self.y(flight.seq + flight.segment.len), y - LEAST)

    def _draw_marks(self, axes: Axes, flights: Iterable[Flight], look: dict[str, Any]) -> None:
        points = [(x, (y0 + y1) / 2) for x, y0, y1 in map(self._bar, flights)]
        points = list(dict.fromkeys((round(x, 2), round(y, 2)) for x, y in points))
        if points:
            line = Line2D([x for x, _ in points], [y for _, y in points], linestyle="none", zorder=3, **look)
            axes.add_artist(line)

    def _draw_intervals(self, axes: Axes) -> None:
        """From one transmission to the next, with its length, and where the timer was to expire."""
        way, last = self.way, NUMBERS + WIDTH
        marks = [self._bar(flight) for flight in way.sent]
        self.board.lines += [((x, y0), (x, y1)) for x, y0, y1 in marks[:400]]
        for number, interval in enumerate(_worth(way.intervals)):
            y = self.y(interval.seq) - 0.08  # the acknowledged numbers end below
            start, end = self.x(interval.start), self.x(interval.end)
            arrow = FancyArrowPatch((start, y), (end, y), shrinkA=1, shrinkB=1, mutation_scale=6)
            arrow.set_arrowstyle("<|-|>,head_length=0.45,head_width=0.18")
            arrow.set(
                color=style.FAINT, linewidth=0.7, zorder=2.2, gid=f"{way.connection}-{way.source}-interval-{number}"
            )
            axes.add_patch(arrow)
            due = interval.doubled
            if due is not None and due <= self.x.stop:
                axes.add_artist(Line2D([self.x(due)], [y], linestyle="none", zorder=2.8, markeredgewidth=0.8, **_DUE))
            self._draw_length(axes, interval, (start + end) / 2, y, last)

    def _draw_length(self, axes: Axes, interval: Interval, x: float, y: float, last: float) -> None:
        words = duration(interval.length)
        if interval.before:
            words += f" ({interval.length / interval.before:.1f} \u00d7)"
        width = style.measure(words, _WORD) + 0.06
        rows = [y + side * (0.09 + 0.12 * step) for step in range(6) for side in (-1, 1)]
        inside = [row for row in rows if HEAD + 0.02 < row < self.base - 0.06]
        x = min(max(x, NUMBERS + width / 2 + 0.04), last - width / 2)
        if box := self.board.best(Box(x, row, width, 0.11) for row in inside):
            text = axes.text(box.x, box.y, words, ha="center", va="center", fontsize=_WORD, zorder=5)
            text.set_path_effects([style.HALO])


def _worth(intervals: Sequence[Interval]) -> list[Interval]:
    """Of intervals that run side by side, those of the lowest number; of many, the longest."""
    alone: list[Interval] = []
    for interval in sorted(intervals, key=lambda i: (i.start, i.seq)):
        if not any(other.start < interval.end and interval.start < other.end for other in alone[-3:]):
            alone.append(interval)
    longest = sorted(alone, key=lambda i: -i.length)[:40]
    return sorted(longest, key=lambda i: i.start)


def _apart(ticks: Iterable[tuple[float, str]]) -> Iterator[tuple[float, str]]:
    """The ticks whose numbers do not touch the one before."""
    edge = 0.0
    for x, text in ticks:
        half = style.measure(text, _TICK) / 2 + 0.04
        if x - half >= edge:
            edge = x + half
            yield x, text


def _thinned(points: Sequence[Point]) -> Iterator[Point]:
    """Without what cannot be seen: of points closer than `FINE`, the first and the last."""
    last: Point | None = None
    for number, point in enumerate(points):
        following = points[number + 1] if number + 1 < len(points) else None
        near = last is not None and following is not None and following[0] - last[0] < FINE
        if not near:
            last = point
            yield point


def _page(panels: list[_Panel], more: str) -> Figure:
    handles = _legend(panels)
    per_row = 4
    foot = 0.2 * -(-len(handles) // per_row) + 0.15 + (0.25 if more else 0)
    width = NUMBERS + WIDTH + EDGE + 2 * MARGIN
    height = sum(panel.height for panel in panels) + foot + 2 * MARGIN
    figure = Figure(figsize=(width, height))
    y = height - MARGIN
    for panel in panels:
        y -= panel.height
        panel.draw(
            figure.add_axes((MARGIN / width, y / height, (NUMBERS + WIDTH + EDGE) / width, panel.height / height))
        )
    at = (0.5, (MARGIN + (0.25 if more else 0)) / height)
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=at, ncols=per_row, fontsize=7)
    if more:
        figure.text(0.5, MARGIN / height, more, ha="center", va="bottom", color=style.FAINT)
    return figure


def _legend(panels: list[_Panel]) -> list[Artist]:
    """What occurs in these panels."""
    sent = [flight for panel in panels for flight in panel.way.sent]
    intervals = [interval for panel in panels for interval in panel.way.intervals]
    kinds: list[tuple[str, bool, dict[str, Any]]] = [
        ("sent", True, _SENT),
        ("sent again", any(flight.retransmission for flight in sent), _AGAIN),
        ("lost", any(flight.missing for flight in sent), {"linestyle": "none", **_LOST}),
        *(
            (name, any(name in f.controls for f in sent), {"linestyle": "none", **look})
            for name, look in _MARKS.items()
        ),
        ("acknowledged", any(panel.way.heard for panel in panels), _HEARD),
        ("edge of the window", any(k.edge <= panel.top for panel in panels for k in panel.way.heard), _WINDOW),
        ("between two timeouts", bool(intervals), {"color": style.FAINT, "linewidth": 0.7}),
        ("twice the interval before (RFC 6298)", any(i.doubled for i in intervals), {"linestyle": "none", **_DUE}),
    ]
    handles: list[Artist] = [Line2D([], [], label=name, **look) for name, occurs, look in kinds if occurs]
    if any(panel.faults for panel in panels):
        handles.append(Patch(facecolor=style.FAULT, edgecolor=style.PURPLE, linewidth=0.8, label="fault"))
    return handles
