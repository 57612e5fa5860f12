"""One panel of a ladder: where its labels find room, and how it is drawn.

The coordinates are inches, downwards, so text and arrows can be measured before anything is drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import atan2, cos, degrees, hypot, sin
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Rectangle

from tcpclose.charts import style
from tcpclose.charts.condense import Arrow, caption, reason, summary
from tcpclose.charts.placing import Board, Box, Point
from tcpclose.charts.rows import LINE, LOST_AT, NAME, broken, lay_out
from tcpclose.charts.story import Note, Story, duration
from tcpclose.charts.style import BOLD, SLOPED
from tcpclose.protocol.fsm import State
from tcpclose.trace.spans import CRASH

#: Inches: column of times, width of a lifeline, room for title and hosts above the rows.
TIMES, BAR, HEADER = 0.56, 0.09, 0.96
_SIZES = {"label": 7.0, "state": 7.5, "call": 7.0, "cause": 7.0, "time": 6.5, "host": 9.0, "title": 10.5}
#: How often a panel is laid out anew for labels that found no place, each time with so many inches more than the last
#: time, before those that still find none are left out; and how often for labels that an arrow runs through.
TRIES, MORE, PATIENCE = 12, 0.1, 3
#: Where along its arrow a label is tried, the middle first.
_ALONG = tuple(0.5 + sign * step / 50 for step in range(18) for sign in (1, -1))

Piece = tuple[str, dict[str, Any]]


def measure(text: str, kind: str, **font: Any) -> float:
    """The width of a text in inches."""
    return style.measure(text, _SIZES[kind], **font)


def label(arrow: Arrow) -> list[Piece]:
    """What is written along an arrow, in pieces of one font each: control bits, then relative numbers."""
    flight = arrow.flight
    if arrow.fat:
        return [(f"… {summary(arrow.flights)} …", SLOPED)]
    bits, numbers = caption(flight)
    copy = [("copy", SLOPED)] if flight.copy else []
    return [(bits, BOLD), (numbers, {}), *copy]


def label_width(arrow: Arrow) -> float:
    """The length of an arrow's label in inches."""
    pieces = label(arrow)
    return sum(measure(text, "label", **font) for text, font in pieces) + 0.07 * (len(pieces) - 1)


def _ink(arrow: Arrow) -> str:
    bits = arrow.flight.controls
    return style.RESET if "RST" in bits else style.CLOSE if "FIN" in bits else style.INK


def _font(note: Note) -> dict[str, Any]:
    return BOLD if note.kind == "state" else SLOPED


def _head(story: Story, host: str) -> float:
    """The width of what stands above a lifeline."""
    return max(measure(host, "host", **BOLD), measure(story.endpoints.get(host, ""), "time"))


@dataclass(frozen=True, slots=True)
class Widths:
    """Measures that all panels of a picture share, in inches."""

    left: float
    span: float
    right: float
    #: The column of the names of faults, behind the last lifeline's notes.
    faults: float

    @classmethod
    def of(cls, told: Sequence[Story]) -> Widths:
        def side(place: int) -> float:
            words = [
                measure(note.text, note.kind, **_font(note))
                for story in told
                for note in story.notes
                if note.host == story.hosts[place]
            ]
            return max([*words, measure(State.LISTEN.value, "state", **BOLD)]) + 0.14

        arrows = [arrow for story in told for arrow in story.arrows]
        whole = max((label_width(arrow) * 1.5 for arrow in arrows), default=0)
        lost = max((label_width(arrow) / LOST_AT + 0.4 for arrow in arrows if arrow.fate == "lost"), default=0)
        lines = [line for story in told for elision in story.elisions for line in elision.lines]
        between = max((measure(line, "label", **SLOPED) + 0.4 for line in lines), default=0)
        named = [line for story in told for fault in story.outages for line in broken(fault.name)]
        faults = max((measure(line, "call", **BOLD) + 0.2 for line in named), default=0.0)
        head = max(_head(story, host) for story in told for host in story.hosts)
        span = max(min(max(whole, lost, between, 3.0), 5.0), head + 0.2)
        return cls(max(side(0), head / 2), span, max(side(-1), head / 2), faults)

    def wider(self, inches: float) -> Widths:
        """With more between the lifelines."""
        return replace(self, span=self.span + inches)

    def panel(self, story: Story) -> float:
        """The width of a story's panel."""
        whole = TIMES + self.left + self.span * max(len(story.hosts) - 1, 1) + self.right
        return whole + (self.faults if story.outages else 0.0)


class Panel:
    """One story, laid out with as much room as its labels need."""

    def __init__(self, story: Story, widths: Widths) -> None:
        self.story, self.widths = story, widths
        self.name = story.connection or "none"
        first = TIMES + widths.left
        self.x = {host: first + place * widths.span for place, host in enumerate(story.hosts)}
        self.width = widths.panel(story)
        self.labels: dict[Arrow, Box | None] = {}
        room: dict[Arrow, float] = defaultdict(float)
        self._settle(room)
        self._make_way(room)
        self.height = HEADER + self.rows.height

    def _settle(self, room: dict[Arrow, float]) -> None:
        """Lay out until every label has its place, or it has been tried often enough."""
        for attempt in range(1, TRIES + 1):
            self.rows = lay_out(self.story, room)
            self._place()
            cramped = [arrow for arrow, box in self.labels.items() if box is None]
            if not cramped:
                break
            for arrow in cramped:
                room[arrow] += MORE * attempt

    def _make_way(self, room: dict[Arrow, float]) -> None:
        """Then try whether a little more room keeps arrows and labels apart; what did not help is taken back."""
        best, kept = len(self.crossed), dict(room)
        for _ in range(PATIENCE):
            if not self.crossed:
                return
            for arrow in self.crossed:
                room[arrow] += MORE
            self._settle(room)
            if len(self.crossed) < best:
                best, kept = len(self.crossed), dict(room)
        if len(self.crossed) > best:
            self._settle(defaultdict(float, kept))

    @property
    def crossed(self) -> list[Arrow]:
        """Those through whose label another arrow runs."""
        lines = self.board.lines
        return [arrow for arrow, box in self.labels.items() if box and any(box.cut_by(*line) for line in lines)]

    # Geometry

    def ends(self, arrow: Arrow) -> tuple[Point, Point]:
        """Where an arrow starts and where it, or what is drawn of it, ends."""
        flight = arrow.flight
        from_x, to_x = self.x[flight.source], self.x[flight.target]
        towards = 1 if to_x > from_x else -1
        start = (from_x + towards * BAR / 2, arrow.top)
        full = to_x - towards * BAR / 2
        if self._stops(arrow):
            full = start[0] + (full - start[0]) * LOST_AT
        if flight.unsent:  # by a middlebox, where the losses are, and nobody knows how long before
            start = (full + (start[0] - full) * LOST_AT, arrow.bottom - 0.05)
        return start, (full, arrow.bottom)

    def strokes(self, arrow: Arrow) -> list[tuple[Point, Point]]:
        """The lines that are drawn: one, or three for a fat arrow."""
        (x0, y0), (x1, y1) = self.ends(arrow)
        return [((x0, y0 + dy), (x1, y1 + dy)) for dy in ((-0.035, 0.0, 0.035) if arrow.fat else (0.0,))]

    def _stops(self, arrow: Arrow) -> bool:
        """Lost, or still in flight at the end of a trace in which its target would have seen it."""
        return arrow.fate == "lost" or (arrow.fate == "unknown" and arrow.flight.target in self.story.witnesses)

    def _place(self) -> None:
        """Find a place for every label, first where there is least choice; None stands for none."""
        self.board = Board()
        for x in self.x.values():
            self.board.boxes.append(Box(x, self.rows.height / 2, BAR, self.rows.height))
        for fold in self.rows.folds:
            self.board.boxes.append(Box(self.centre, (fold.top + fold.bottom) / 2, 0.9, 0.16))
        for elision in self.story.elisions:
            height = LINE * len(elision.lines)
            self.board.boxes.append(Box(self.centre, elision.row + height / 2, self.widths.span, height))
        arrows = [arrow for arrow in self.story.arrows if arrow.bottom > 0]
        self.board.lines = [stroke for arrow in arrows for stroke in self.strokes(arrow)]
        self.notes = {note: self.board.best(self._beside(note)) for note in [*self._first_states(), *self.story.notes]}
        self.board.boxes += [Box(*self.ends(arrow)[1], 0.12, 0.12) for arrow in arrows if arrow.fate == "lost"]
        self.labels = dict.fromkeys(arrows)
        for arrow in sorted(arrows, key=lambda arrow: arrow.fate == "arrived"):
            self.labels[arrow] = self.board.best(self._candidates(arrow))
        self.reasons = {a: self._reason_box(a) for a in arrows if self._stops(a)}

    @property
    def centre(self) -> float:
        """The middle between the first two lifelines, where silences and omissions are named."""
        return min(self.x.values()) + self.widths.span / 2

    def _first_states(self) -> Iterator[Note]:
        for host, state in self.story.before.items():
            yield Note(0, host, state, "state", (0, 0))

    def _beside(self, note: Note) -> Iterator[Box]:
        """Left of the first lifeline, right of the last; at those between wherever no arrow is in the way."""
        width = measure(note.text, note.kind, **_font(note))
        place = self.story.hosts.index(note.host)
        sides = (-1,) if place == 0 else (1,) if place == len(self.x) - 1 else (1, -1)
        for dy in (0.0,) if len(sides) == 1 else (0.0, 0.07, -0.07):
            for side in sides:
                yield Box(self.x[note.host] + side * (0.1 + width / 2), note.row + dy, width, 0.13)

    def _candidates(self, arrow: Arrow) -> Iterator[Box]:
        """Boxes along the arrow, above the line and then below."""
        (x0, y0), (x1, y1) = self.ends(arrow)
        angle = atan2(y1 - y0, x1 - x0) if x1 > x0 else atan2(y0 - y1, x0 - x1)
        width, height = label_width(arrow), 0.125
        length = hypot(x1 - x0, y1 - y0)
        off = height / 2 + (0.06 if arrow.fat else 0.02)
        for side in (-1, 1):
            for along in _ALONG:
                if min(along, 1 - along) * length < width / 2 + 0.04 and along != 0.5:
                    continue
                x, y = x0 + along * (x1 - x0), y0 + along * (y1 - y0)
                yield Box(x - side * off * sin(angle), y + side * off * cos(angle), width + 0.04, height, angle)

    def _reason_box(self, arrow: Arrow) -> Box | None:
        (x0, _), (x1, y1) = self.ends(arrow)
        width = measure(reason(arrow), "label", **SLOPED)
        towards = 1 if x1 > x0 else -1
        near = x1 + towards * (0.1 + width / 2)
        return self.board.best(Box(near, y1 + dy, width, 0.125) for dy in (0.0, 0.08, -0.08, 0.14, -0.14))

    # Drawing

    def draw(self, axes: Axes) -> None:
        axes.set_xlim(0, self.width)
        axes.set_ylim(self.rows.height, -HEADER)
        axes.set_axis_off()
        self._draw_head(axes)
        self._draw_bands(axes)
        self._draw_lines(axes)
        self._draw_folds(axes)
        self._draw_elisions(axes)
        self._draw_times(axes)
        for note, box in self.notes.items():
            if box:
                self._text(axes, box.x, box.y, note.text, note.kind, ha="center", **_font(note))
        self._crossed = set(self.crossed)
        for number, arrow in enumerate(self.labels):
            self._draw_arrow(axes, arrow, number)

    def _text(self, axes: Axes, x: float, y: float, text: str, kind: str, **how: Any) -> None:
        look: dict[str, Any] = {"va": "center_baseline", "fontsize": _SIZES[kind], "zorder": 5}
        axes.text(x, y, text, **(look | how))

    def _draw_head(self, axes: Axes) -> None:
        self._text(axes, 0, 0.14 - HEADER, self.story.title, "title", **BOLD)
        self._text(axes, 0, 0.31 - HEADER, self.story.subtitle, "call", color=style.FAINT)
        axes.add_artist(Line2D([0, self.width], [0.44 - HEADER] * 2, color=style.FAINT, linewidth=0.6))
        self._text(axes, TIMES - 0.1, -0.3, "ms", "time", ha="right", color=style.FAINT)
        for host, x in self.x.items():
            self._text(axes, x, -0.34, host, "host", ha="center", **BOLD)
            endpoint = self.story.endpoints.get(host, "")
            if endpoint and not endpoint.lstrip("[").startswith(host):
                self._text(axes, x, -0.19, endpoint, "time", ha="center", color=style.FAINT)
        if self.story.omitted:
            text = f"… {self.story.omitted} earlier changes are not shown …"
            self._text(axes, self.centre, -0.04, text, "call", ha="center", color=style.FAINT, **SLOPED)

    def _draw_bands(self, axes: Axes) -> None:
        for band in self.rows.bands:
            bottom = self.rows.height if band.bottom is None else band.bottom
            axes.add_patch(
                Rectangle((TIMES, band.top), self.width - TIMES, bottom - band.top, color=style.FAULT, lw=0, zorder=0)
            )
            for row in (band.top, bottom):
                axes.add_artist(Line2D([TIMES, self.width], [row] * 2, color=style.PURPLE, linewidth=0.8, zorder=0.5))
            for number, line in enumerate(band.lines):
                row = band.top + 0.1 + NAME * number
                self._text(axes, self.width - self.widths.faults + 0.1, row, line, "call", **BOLD)

    def _draw_lines(self, axes: Axes) -> None:
        """Each lifeline, coloured by state; thin where there is no connection."""
        for host, x in self.x.items():
            changes = [(0.0, self.story.before.get(host, ""))]
            changes += [
                (note.row, note.text) for note in self.story.notes if note.host == host and note.kind == "state"
            ]
            bottoms = [row for row, _ in changes[1:]] + [self.rows.height]
            for (top, state), bottom in zip(changes, bottoms, strict=True):
                for start, end in self._unfolded(top, bottom):
                    self._draw_line(axes, host, x, state, start, end)

    def _draw_line(self, axes: Axes, host: str, x: float, state: str, top: float, bottom: float) -> None:
        thin = state in ("", State.CLOSED.value, CRASH)
        width = 0.02 if thin else BAR
        bar = Rectangle((x - width / 2, top), width, bottom - top, zorder=2, gid=f"{self.name}-line-{host}")
        bar.set(
            facecolor=style.FAINT if thin else style.colour(state), edgecolor=style.INK, linewidth=0 if thin else 0.4
        )
        axes.add_patch(bar)

    def _unfolded(self, top: float, bottom: float) -> Iterator[tuple[float, float]]:
        for fold in self.rows.folds:
            middle = (fold.top + fold.bottom) / 2
            if top < middle < bottom:
                yield top, middle - 0.05
                top = middle + 0.05
        yield top, bottom

    def _draw_folds(self, axes: Axes) -> None:
        for fold in self.rows.folds:
            middle = (fold.top + fold.bottom) / 2
            for x in self.x.values():
                for dy in (-0.05, 0.05):
                    line = Line2D([x - 0.1, x + 0.1], [middle + dy + 0.03, middle + dy - 0.03])
                    line.set(color=style.INK, linewidth=0.9, zorder=3)
                    axes.add_artist(line)
            self._text(
                axes, self.centre, middle, duration(fold.length), "call", ha="center", color=style.FAINT, **SLOPED
            )

    def _draw_elisions(self, axes: Axes) -> None:
        left = min(self.x.values()) + BAR
        for elision in self.story.elisions:
            height = LINE * len(elision.lines)
            block = Rectangle(
                (left, elision.row), self.widths.span - 2 * BAR, height, color=style.BLOCK, lw=0, zorder=1
            )
            axes.add_patch(block)
            for number, line in enumerate(elision.lines):
                y = elision.row + LINE * (number + 0.5)
                self._text(axes, self.centre, y, line, "label", ha="center", **SLOPED)

    def _draw_times(self, axes: Axes) -> None:
        last_row, last_text = -1.0, ""
        for row, t in sorted(self.rows.stamps):
            text = _milliseconds(t)
            if row - last_row >= 0.13 and text != last_text:
                self._text(axes, TIMES - 0.1, row, text, "time", ha="right", color=style.FAINT)
                last_row, last_text = row, text

    def _draw_arrow(self, axes: Axes, arrow: Arrow, number: int) -> None:
        colour, stops, fat = _ink(arrow), self._stops(arrow), arrow.fat
        for start, end in self.strokes(arrow):
            patch = FancyArrowPatch(start, end, shrinkA=0, shrinkB=0)
            patch.set_arrowstyle("-" if stops else "-|>,head_length=0.5,head_width=0.2")
            patch.set(
                mutation_scale=5 if fat else 8,
                color=colour,
                linewidth=0.6 if fat else 1.8 if "RST" in arrow.flight.controls else 1.2,
                zorder=4,
            )
            patch.set(linestyle=(0, (4, 2)) if arrow.flight.retransmission and not fat else "solid")
            patch.set_gid(f"{self.name}-arrow-{number}")
            axes.add_patch(patch)
        if stops:
            self._draw_stop(axes, arrow, self.ends(arrow)[1], colour)
        box = self.labels[arrow]
        if box:
            look = {"color": colour, "gid": f"{self.name}-label-{number}"}
            halo = {"path_effects": [style.HALO]} if arrow in self._crossed else {}
            self._draw_label(axes, box, label(arrow), look | halo)

    def _draw_stop(self, axes: Axes, arrow: Arrow, end: Point, colour: str) -> None:
        if arrow.fate == "lost":
            cross = Line2D([end[0]], [end[1]], marker="x", markersize=6, markeredgewidth=1.6, color=colour, zorder=5)
            axes.add_artist(cross)
        box = self.reasons[arrow]
        if box:
            self._text(axes, box.x, box.y, reason(arrow), "label", ha="center", **SLOPED)

    def _draw_label(self, axes: Axes, box: Box, pieces: list[Piece], look: dict[str, Any]) -> None:
        """Write the pieces one after the other along the box."""
        (ux, uy), (vx, vy) = box.axes
        along = -box.width / 2 + 0.02
        for text, font in pieces:
            across = box.height / 2 - 0.032  # the baseline
            x, y = box.x + along * ux + across * vx, box.y + along * uy + across * vy
            turn = {"rotation": -degrees(box.angle), "rotation_mode": "anchor", "va": "baseline"}
            self._text(axes, x, y, text, "label", **(look | turn | font))
            along += measure(text, "label", **font) + 0.07


def _milliseconds(t: int) -> str:
    return f"{t / 1000:,.1f}".replace(",", "\u2009")
