"""The ladder: lifelines of the hosts, time downwards, segments as slanted arrows, states along the lines.

`story` says what a panel tells, `rows` how far down each thing stands, `placing` where labels find room, `panel` draws
it; here the panels become a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tcpclose.charts import style
from tcpclose.charts.panel import Panel, Widths
from tcpclose.charts.story import Story, names, stories
from tcpclose.protocol.fsm import State
from tcpclose.trace.events import Trace

#: Panels in one picture; a run with more connections shows the first ones and says so.
PANELS = 12
#: Inches between and around panels; and how much wider they are tried, to keep arrows from running through labels.
GUTTER, MARGIN, WIDER = 0.45, 0.3, (0.0, 0.5, 1.0, 1.5)


def draw_ladder(trace: Trace, path: Path, connections: Sequence[str] | None = None) -> None:
    """Draw one ladder panel for each connection of the run, or of those named, into a PNG or SVG file.

    Raises `ValueError` for a connection that is not in the trace, or a file that is neither.
    """
    style.save(ladder_figure(trace, connections), path)


def ladder_figure(trace: Trace, connections: Sequence[str] | None = None) -> Figure:
    """The figure that `draw_ladder` writes. Artists carry ids: "c1-arrow-3", "c1-label-3", "c1-line-h1"."""
    chosen = names(trace, connections)
    with style.applied():
        told = stories(trace, chosen[:PANELS])
        if not told:
            return style.message("This run has no connections and no segments: there is no ladder to draw.")
        panels = _panels(told)
        more = f"{len(chosen) - PANELS} more connections are not shown." if len(chosen) > PANELS else ""
        return _page(panels, more)


def _panels(told: Sequence[Story]) -> list[Panel]:
    """As narrow as can be, unless arrows run through labels and do not in wider ones."""
    widths = Widths.of(told)
    crossed = {}
    for inches in WIDER:
        panels = [Panel(story, widths.wider(inches)) for story in told]
        crossed[inches] = sum(len(panel.crossed) for panel in panels)
        if not crossed[inches]:
            return panels
    best = min(WIDER, key=lambda inches: (crossed[inches], inches))
    return [Panel(story, widths.wider(best)) for story in told]


def _page(panels: list[Panel], more: str) -> Figure:
    """All panels in one or two columns, read downwards and then to the right; a legend below."""
    columns = _columns(panels)
    wide = [max(panel.width for panel in column) for column in columns]
    tall = max(sum(panel.height + GUTTER for panel in column) for column in columns) - GUTTER
    width = sum(wide) + GUTTER * (len(columns) - 1) + 2 * MARGIN
    handles = _legend(panels)
    per_row = max(1, int((width - 2 * MARGIN) / 1.25))
    foot = 0.2 * -(-len(handles) // per_row) + 0.15 + (0.25 if more else 0)
    height = tall + foot + 2 * MARGIN
    figure = Figure(figsize=(width, height))
    x = MARGIN
    for column, column_width in zip(columns, wide, strict=True):
        y = height - MARGIN
        for panel in column:
            y -= panel.height
            panel.draw(figure.add_axes((x / width, y / height, panel.width / width, panel.height / height)))
            y -= GUTTER
        x += column_width + GUTTER
    at = (0.5, (MARGIN + (0.25 if more else 0)) / height)
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=at, ncols=per_row, fontsize=7)
    if more:
        figure.text(0.5, MARGIN / height, more, ha="center", va="bottom", color=style.FAINT)
    return figure


def _columns(panels: list[Panel]) -> list[list[Panel]]:
    """Two columns cut where they come out most alike; one when there is one panel."""
    if len(panels) == 1:
        return [panels]
    cut = min(
        range(1, len(panels)),
        key=lambda place: max(sum(p.height + GUTTER for p in part) for part in (panels[:place], panels[place:])),
    )
    return [panels[:cut], panels[cut:]]


def _legend(panels: list[Panel]) -> list[Artist]:
    """What occurs in these panels: states, then kinds of arrows."""
    told = [panel.story for panel in panels]
    seen = {note.text for story in told for note in story.notes if note.kind == "state"}
    seen |= {state for story in told for state in story.before.values()}
    arrows = [arrow for story in told for arrow in story.arrows]
    handles: list[Artist] = [
        Patch(facecolor=colour, edgecolor=style.INK, linewidth=0.4, label=state)
        for state, colour in style.STATE_COLOURS.items()
        if state in seen and state != State.CLOSED.value
    ]
    kinds: list[tuple[str, bool, dict[str, Any]]] = [
        ("FIN", any("FIN" in a.flight.controls for a in arrows), {"color": style.CLOSE}),
        ("reset", any("RST" in a.flight.controls for a in arrows), {"color": style.RESET}),
        ("retransmission", any(a.flight.retransmission for a in arrows), {"linestyle": (0, (4, 2))}),
        ("lost", any(a.fate == "lost" for a in arrows), {"marker": "x", "markersize": 5, "markevery": [1]}),
    ]
    plain: dict[str, Any] = {"color": style.INK, "linewidth": 1.1}
    handles += [Line2D([0, 1], [0, 0], label=name, **(plain | look)) for name, occurs, look in kinds if occurs]
    if any(story.outages for story in told):
        handles.append(Patch(facecolor=style.FAULT, edgecolor=style.PURPLE, linewidth=0.8, label="fault"))
    return handles
