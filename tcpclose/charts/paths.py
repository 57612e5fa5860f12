"""The way that each end of a connection took through the state machine, its steps numbered in the machine's picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tcpclose.charts import machine, style
from tcpclose.charts.placing import Board, Box, Point
from tcpclose.charts.story import names, natural, subtitle
from tcpclose.charts.style import BOLD
from tcpclose.protocol.fsm import Event, State
from tcpclose.trace.events import Change, Trace
from tcpclose.trace.flights import connections
from tcpclose.trace.releases import releases

#: Each end's mark, as far as two go: a full circle and an empty square, which print in black and white.
_MARKS: tuple[dict[str, Any], ...] = (
    {"boxstyle": "circle,pad=0.22", "facecolor": style.INK, "edgecolor": style.INK},
    {"boxstyle": "square,pad=0.26", "facecolor": style.PAPER, "edgecolor": style.INK},
)
_INKS = (style.PAPER, style.INK)
#: Steps beyond which an end's further ones are not numbered.
STEPS = 99
_NUMBER, _NAME = 6.4, 7.5
#: Arrows that nobody took.
_IDLE = "#B0B0B0"
_TAKEN: dict[str, Any] = {"linewidth": 1.8, "linestyle": "solid"}
_OTHER: dict[str, Any] = {"linewidth": 0.8, "linestyle": "solid"}

#: A step's place in the picture: an arrow of the machine, or a dot of its table.
Step = tuple[str, str] | tuple[State, Event]


def draw_paths(trace: Trace, path: Path, connection: str | None = None) -> None:
    """Draw one connection's ways, by default the first's, into a PNG or SVG file.

    Raises `ValueError` for a connection that is not in the trace, or a file that is neither.
    """
    style.save(paths_figure(trace, connection), path)


def paths_figure(trace: Trace, connection: str | None = None) -> Figure:
    """The figure that `draw_paths` writes. Numbers carry the id "step h1 3"."""
    known = names(trace, [connection] if connection is not None else connections(trace)[:1])
    with style.applied():
        if not known or not any(change.connection == known[0] for change in trace.of(Change)):
            return style.message("No end of a connection changed its state in this run.")
        return _Picture(trace, str(known[0])).figure


def steps(trace: Trace, connection: str) -> dict[str, list[tuple[Change, Step | None]]]:
    """Each end's changes, in order, with their places; None for one that the table does not know."""
    found: dict[str, list[tuple[Change, Step | None]]] = defaultdict(list)
    arrows, endings = machine.arrows(), {(row.state.value, row.event.name): row for row in machine.endings()}
    for change in trace.of(Change):
        if change.connection != connection or (change.old == change.new and (change.old, change.new) not in arrows):
            continue
        if change.old == change.new and change.event != Event.FIN.name:
            continue
        row = endings.get((change.old, change.event))
        following = machine.END if (change.old, machine.END) in arrows else change.new
        arrow = (change.old, following if change.new == State.CLOSED.value else change.new)
        place: Step | None = (row.state, row.event) if row else arrow if arrow in arrows else None
        found[change.host].append((change, place))
    return dict(sorted(found.items(), key=lambda item: natural(item[0])))


class _Picture:
    """The machine, with what was not taken in grey, and the numbers."""

    def __init__(self, trace: Trace, connection: str) -> None:
        lives = [release for release in releases(trace) if release.connection == connection]
        self.board = Board()
        self.figure, axes = machine.blank()
        taken = steps(trace, connection)
        on_way = {place for ways in taken.values() for _, place in ways}
        for (state, following), rows in machine.arrows().items():
            passed = (state, following) in on_way
            look, ink = (_TAKEN, style.INK) if passed else (_OTHER, _IDLE)
            self.board.boxes += machine.draw_arrow(axes, state, following, rows, look, ink)
        machine.draw_states(axes)
        machine.draw_table(axes)
        self.board.boxes += [Box(*at, machine.WIDE, machine.TALL) for at in machine.PLACES.values()]
        self.board.boxes += [Box(*machine.cell(row.state, row.event), 0.1, 0.1) for row in machine.endings()]
        axes.text(0, 0.1, connection, va="center", fontsize=10.5, gid="title", **BOLD)
        begun = subtitle(lives[0] if lives else None)
        axes.text(0, 0.3, begun, va="center", fontsize=7, gid="subtitle", color=style.FAINT)
        for number, (host, ways) in enumerate(list(taken.items())[: len(_MARKS)]):
            self._draw_name(axes, number, host, ways, ", then ".join(release.outcome(host) for release in lives))
            self._draw_numbers(axes, number, host, ways)

    def _draw_name(
        self, axes: Axes, number: int, host: str, ways: Sequence[tuple[Change, Step | None]], outcome: str
    ) -> None:
        y = 0.55 + 0.2 * number
        marker: dict[str, Any] = {"marker": "os"[number], "markersize": 8, "color": style.INK}
        marker["markerfacecolor"] = _MARKS[number]["facecolor"]
        axes.add_artist(Line2D([0.08], [y], linestyle="none", **marker))
        unknown = [f"{change.old} to {change.new}" for change, place in ways if place is None]
        words = f"{host}: {outcome}" + (f"; not in the table: {', '.join(unknown[:2])}" if unknown else "")
        axes.text(0.22, y, words, va="center", fontsize=_NAME, gid=f"end {host}")

    def _draw_numbers(self, axes: Axes, number: int, host: str, ways: Sequence[tuple[Change, Step | None]]) -> None:
        """All numbers of one place stand in one mark."""
        marks: dict[Step, list[int]] = defaultdict(list)
        for step, (_, place) in enumerate(ways, 1):
            if place is not None and step <= STEPS:
                marks[place].append(step)
        for place, numbers in marks.items():
            text = ",".join(map(str, numbers)) if len(numbers) < 4 else f"{numbers[0]} … {numbers[-1]}"
            wide = max(style.measure(text, _NUMBER, **BOLD) + 0.12, 0.2)
            tall = wide if number == 0 else 0.2  # a circle is as high as it is wide
            if isinstance(place[0], State):
                tall = machine.LINE  # nothing stands above or below
            box = self.board.best(Box(*at, wide, tall) for at in _places(place))
            if box is None:
                continue
            words = axes.text(box.x, box.y, text, ha="center", va="center_baseline", fontsize=_NUMBER, **BOLD)
            words.set(color=_INKS[number], zorder=6, gid=f"step {host} {text}")
            words.set_bbox({"linewidth": 0.8, **_MARKS[number]})


def _places(place: Step) -> Iterator[Point]:
    """On an arrow, its middle first; beside a dot."""
    if isinstance(place[0], State):
        x, y = machine.cell(place[0], Event(place[1]))
        yield from ((x + side * far, y) for far in (0.17, 0.34) for side in (1, -1))
        return
    points = machine.ARROWS[str(place[0]), str(place[1])].points
    lengths = [((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5 for (x0, y0), (x1, y1) in pairwise(points)]
    for part in (0.5 + side * step / 40 for step in range(17) for side in (1, -1)):
        way = part * sum(lengths)
        for ((x0, y0), (x1, y1)), length in zip(pairwise(points), lengths, strict=True):
            if way <= length:
                yield x0 + (x1 - x0) * way / length, y0 + (y1 - y0) * way / length
                break
            way -= length
