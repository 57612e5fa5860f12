"""The state machine as a picture, arranged as figure 5 of RFC 9293, with what that figure leaves out below it.

States and rows are those of `fsm.py`; only their places stand here. Rows that end a connection without ado lead from
nearly everywhere to CLOSED: as arrows they would cover all others, so they are a table. The coordinates are inches, to
the right and downwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from tcpclose.charts import style
from tcpclose.charts.placing import Box, Point
from tcpclose.charts.style import BOLD
from tcpclose.protocol.fsm import TRANSITIONS, Do, Event, Row, State

#: Inches: a state's box, space around the picture, the table's rows, columns and names of events.
WIDE, TALL, MARGIN = 1.34, 0.36, 0.3
LINE, COLUMN, NAMES = 0.185, 0.67, 2.3
#: Font sizes in points, the height of a line of a label in inches, and characters after which it is broken.
_STATE, _LABEL, _HEAD, _LEADING, _BREAK = 8.5, 6.8, 6.2, 0.118, 27

#: CLOSED stands twice, as in the RFC: where connections begin and, under this name, where they end.
END = "CLOSED, again"
PLACES: dict[str, Point] = {
    "CLOSED": (4.5, 0.2),
    "LISTEN": (4.5, 1.3),
    "SYN-RECEIVED": (1.8, 2.6),
    "SYN-SENT": (7.2, 2.6),
    "ESTABLISHED": (4.5, 3.85),
    "FIN-WAIT-1": (1.8, 5.1),
    "CLOSE-WAIT": (7.2, 5.1),
    "FIN-WAIT-2": (1.8, 6.4),
    "CLOSING": (4.5, 6.4),
    "LAST-ACK": (7.2, 6.4),
    "TIME-WAIT": (4.5, 7.7),
    END: (7.2, 7.7),
}
#: Top of the table.
TABLE_TOP = 8.85


class Place(NamedTuple):
    """An arrow's way, and the middle of the edge of its label that is nearest to it: the label's left, right or centre.

    `way` is a solid heavy line for the usual way of a client, dashed for that of a server.
    """

    points: tuple[Point, ...]
    label: Point
    side: Literal["left", "right", "center"] = "left"
    way: Literal["client", "server", ""] = ""


ARROWS: dict[tuple[str, str], Place] = {
    ("CLOSED", "LISTEN"): Place(((4.35, 0.38), (4.35, 1.12)), (4.27, 0.75), "right", "server"),
    ("LISTEN", "CLOSED"): Place(((4.65, 1.12), (4.65, 0.38)), (4.73, 0.75)),
    ("CLOSED", "SYN-SENT"): Place(((5.17, 0.14), (7.4, 0.14), (7.4, 2.42)), (7.48, 1.0), "left", "client"),
    ("SYN-SENT", "CLOSED"): Place(((7.0, 2.42), (7.0, 0.28), (5.17, 0.28)), (6.92, 0.75), "right"),
    ("LISTEN", "SYN-RECEIVED"): Place(((3.9, 1.48), (2.3, 2.42)), (3.25, 2.05), "left", "server"),
    ("LISTEN", "SYN-SENT"): Place(((5.1, 1.48), (6.7, 2.42)), (5.75, 2.05), "right"),
    ("SYN-RECEIVED", "LISTEN"): Place(((1.5, 2.42), (1.5, 1.3), (3.83, 1.3)), (2.6, 1.05), "center"),
    ("SYN-SENT", "SYN-RECEIVED"): Place(((6.53, 2.6), (2.47, 2.6)), (4.5, 2.77), "center"),
    ("SYN-RECEIVED", "ESTABLISHED"): Place(((2.3, 2.78), (3.9, 3.67)), (2.95, 3.38), "right", "server"),
    ("SYN-SENT", "ESTABLISHED"): Place(((6.7, 2.78), (5.1, 3.67)), (6.25, 3.4), "left", "client"),
    ("SYN-RECEIVED", "FIN-WAIT-1"): Place(((1.5, 2.78), (1.5, 4.92)), (1.42, 3.85), "right"),
    ("ESTABLISHED", "FIN-WAIT-1"): Place(((3.9, 4.03), (2.3, 4.92)), (3.2, 4.68), "left", "client"),
    ("ESTABLISHED", "CLOSE-WAIT"): Place(((5.1, 4.03), (6.7, 4.92)), (5.8, 4.68), "right", "server"),
    ("FIN-WAIT-1", "FIN-WAIT-2"): Place(((1.8, 5.28), (1.8, 6.22)), (1.72, 5.75), "right", "client"),
    ("FIN-WAIT-1", "CLOSING"): Place(((2.47, 5.18), (4.15, 6.22)), (3.5, 5.6)),
    ("CLOSE-WAIT", "LAST-ACK"): Place(((7.2, 5.28), (7.2, 6.22)), (7.28, 5.75), "left", "server"),
    ("FIN-WAIT-2", "TIME-WAIT"): Place(((1.8, 6.58), (1.8, 7.7), (3.83, 7.7)), (1.88, 7.2), "left", "client"),
    ("CLOSING", "TIME-WAIT"): Place(((4.5, 6.58), (4.5, 7.52)), (4.58, 7.05)),
    ("LAST-ACK", END): Place(((7.2, 6.58), (7.2, 7.52)), (7.28, 7.05), "left", "server"),
    ("TIME-WAIT", END): Place(((5.17, 7.7), (6.53, 7.7)), (5.85, 7.57), "center", "client"),
    ("TIME-WAIT", "TIME-WAIT"): Place(((4.3, 7.88), (4.3, 8.25), (4.7, 8.25), (4.7, 7.88)), (4.8, 8.19)),
}

#: Rows that lead to CLOSED and are arrows of figure 5; all others that do are lines of the table.
_ARROWS_TO_CLOSED = {Event.CLOSE: State.CLOSED.value, Event.ACK_OF_FIN: END, Event.TIME_WAIT_TIMEOUT: END}
_UNSEEN = {Do.SIGNAL_CONNECTED, Do.SIGNAL_EOF, Do.CLOSE_IF_DEFERRED}
_RESETS = {do for do in Do if do.value.startswith("send RST")}


def draw_machine(path: Path) -> None:
    """Draw the state machine into a PNG or SVG file. Raises `ValueError` for another suffix."""
    style.save(machine_figure(), path)


def arrows() -> dict[tuple[str, str], list[Row]]:
    """The rows drawn as arrows: those that change the state, and the repeated FIN that restarts TIME-WAIT."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in TRANSITIONS:
        restarts = Do.START_2MSL in row.do
        if row.next is not State.CLOSED and (row.state is not row.next or restarts):
            found.setdefault((row.state.value, row.next.value), []).append(row)
        elif row.next is State.CLOSED and row.event in _ARROWS_TO_CLOSED and row.cause is not None:
            found.setdefault((row.state.value, _ARROWS_TO_CLOSED[row.event]), []).append(row)
    return found


def endings() -> list[Row]:
    """The rows of the table: those that end a connection wherever it is."""
    return [row for row in TRANSITIONS if row.cause is not None and row.event not in _ARROWS_TO_CLOSED]


def machine_figure() -> Figure:
    """The figure that `draw_machine` writes. Artists carry ids: "state LISTEN", "label CLOSED LISTEN"."""
    with style.applied():
        figure, axes = blank()
        for (state, following), rows in arrows().items():
            draw_arrow(axes, state, following, rows, _WAYS[ARROWS[state, following].way])
        draw_states(axes)
        _draw_legend(axes)
        draw_table(axes)
    return figure


def blank() -> tuple[Figure, Axes]:
    """An empty picture of the size of the machine's."""
    width, height = 9.0, TABLE_TOP + 0.62 + LINE * len(table_events()) + 0.35
    wide, tall = width + 2 * MARGIN, height + 2 * MARGIN
    figure = Figure(figsize=(wide, tall))
    axes = figure.add_axes((MARGIN / wide, MARGIN / tall, width / wide, height / tall))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    return figure, axes


def draw_states(axes: Axes) -> None:
    """The boxes."""
    for name, at in PLACES.items():
        _draw_state(axes, name, at)


def table_events() -> list[Event]:
    """The lines of the table."""
    ended = {row.event for row in endings()}
    return [event for event in Event if event in ended]


def table_states() -> list[State]:
    """Its columns."""
    ended = {row.state for row in endings()}
    return [state for state in State if state in ended]


def cell(state: State, event: Event) -> Point:
    """Where the table's dot for an event in a state stands."""
    x = NAMES + (table_states().index(state) + 0.5) * COLUMN
    return x, TABLE_TOP + 0.62 + (table_events().index(event) + 0.5) * LINE


def _draw_state(axes: Axes, name: str, at: Point) -> None:
    state = State.CLOSED.value if name == END else name
    box = FancyBboxPatch(
        (at[0] - WIDE / 2, at[1] - TALL / 2), WIDE, TALL, boxstyle="round,pad=0,rounding_size=0.12", gid=f"state {name}"
    )
    box.set(facecolor=style.colour(state), edgecolor=style.INK, linewidth=0.8, zorder=3)
    axes.add_patch(box)
    ink = style.on(style.colour(state))
    axes.text(*at, state, ha="center", va="center", color=ink, fontsize=_STATE, zorder=4, **BOLD)


#: How arrows are drawn, by their way.
_WAYS: dict[str, dict[str, Any]] = {
    "client": {"linewidth": 2.0, "linestyle": "solid"},
    "server": {"linewidth": 2.0, "linestyle": (0, (2.6, 1.3))},
    "": {"linewidth": 0.8, "linestyle": "solid"},
}


def draw_arrow(
    axes: Axes, state: str, following: str, rows: list[Row], look: dict[str, Any], ink: str = style.INK
) -> list[Box]:
    """An arrow and its label; where the lines of the label stand."""
    place = ARROWS[state, following]
    *_, before, tip = place.points
    axes.plot(*zip(*place.points[:-1], _short_of(before, tip), strict=True), color=ink, **look)
    head = FancyArrowPatch(before, tip, arrowstyle="-|>,head_width=2.6,head_length=5", shrinkA=0, shrinkB=0)
    head.set(color=ink, linewidth=0, zorder=2, gid=f"arrow {state} {following}")
    axes.add_patch(head)
    lines = list(_label(rows))
    top = place.label[1] - _LEADING * (len(lines) - 1) / 2
    boxes = []
    for number, (text, font) in enumerate(lines):
        x, y = place.label[0], top + number * _LEADING
        words = axes.text(x, y, text, ha=place.side, va="center", color=ink, **font)
        words.set(fontsize=_LABEL, gid=f"label {state} {following}", zorder=4)
        width = style.measure(text, _LABEL, **font)
        boxes.append(Box(x + {"left": 0.5, "right": -0.5, "center": 0.0}[place.side] * width, y, width, _LEADING))
    return boxes


def _short_of(before: Point, tip: Point) -> Point:
    """A little before the tip: a thick line must not stick out of it."""
    length = ((tip[0] - before[0]) ** 2 + (tip[1] - before[1]) ** 2) ** 0.5
    part = 1 - 0.06 / length
    return before[0] + (tip[0] - before[0]) * part, before[1] + (tip[1] - before[1]) * part


def _label(rows: list[Row]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The lines of a label: the events in bold, then what is done (once, where all rows do the same)."""
    events = " or ".join(dict.fromkeys(row.event.value for row in rows))
    yield from ((line, BOLD) for line in wrap(events, _BREAK))
    for do in dict.fromkeys(do for row in rows for do in row.do if do not in _UNSEEN):
        yield from ((line, {}) for line in wrap(do.value, _BREAK))


def _draw_legend(axes: Axes) -> None:
    words = {"client": "usual way of a client that closes first", "server": "usual way of its server", "": "other ways"}
    for number, (way, text) in enumerate(words.items()):
        y = 7.98 + number * 0.17
        axes.plot([0.05, 0.45], [y, y], color=style.INK, **_WAYS[way])
        axes.text(0.53, y, text, va="center", fontsize=_LABEL, gid=f"legend {way}")
    event = axes.text(0.05, 8.5, "event", va="center", fontsize=_LABEL, gid="legend event", **BOLD)
    event.set_zorder(4)
    axes.text(0.53, 8.5, "what is done", va="center", fontsize=_LABEL, gid="legend done")


def draw_table(axes: Axes) -> None:
    """Events downwards, states to the right; a dot where the event ends the connection, a full one where by a RST."""
    top, right = TABLE_TOP + 0.62, NAMES + len(table_states()) * COLUMN
    axes.text(0, TABLE_TOP, "Straight to CLOSED", va="center", fontsize=_STATE, gid="table title", **BOLD)
    for column, state in enumerate(table_states()):
        name = state.value.replace("-", "-\n", 1)
        x = NAMES + (column + 0.5) * COLUMN
        axes.text(x, top - 0.08, name, ha="center", va="bottom", fontsize=_HEAD, gid=f"head {state}", **BOLD)
    for line, event in enumerate(table_events()):
        y = top + (line + 0.5) * LINE
        axes.text(0, y, event.value, va="center", fontsize=_LABEL, gid=f"event {event.name}")
        axes.plot([0, right], [y + LINE / 2] * 2, color=style.FAINT, linewidth=0.25)
    for row in endings():
        _draw_dot(axes, *cell(row.state, row.event), bool(_RESETS & set(row.do)), f"end {row.state} {row.event.name}")
    axes.plot([0, right], [top, top], color=style.INK, linewidth=0.8)
    y = top + LINE * len(table_events()) + 0.2
    for x, full, text in ((0.06, True, "and a RST is sent"), (1.4, False, "in silence")):
        _draw_dot(axes, x, y, full, "")
        axes.text(x + 0.12, y, text, va="center", fontsize=_LABEL, gid=f"legend {text}")


def _draw_dot(axes: Axes, x: float, y: float, full: bool, name: str) -> None:
    dot = Line2D([x], [y], marker="o", markersize=5, color=style.INK, gid=name, linestyle="none")
    dot.set_markerfacecolor(style.INK if full else style.PAPER)
    axes.add_artist(dot)
