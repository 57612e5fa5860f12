"""Many runs of one scenario against a parameter: how long releases took, and what ended the connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, PercentFormatter

from tcpclose.charts import style
from tcpclose.charts.style import BOLD
from tcpclose.protocol.fsm import Cause
from tcpclose.trace.events import Trace
from tcpclose.trace.reading import releases
from tcpclose.units import read_duration, read_rate, read_share, read_size

#: Values in one picture; of more the first ones are shown, and it says so.
VALUES = 24
#: Inches: a value's column, the two plots, and what is left and right, above, between and below.
COLUMN, HEIGHT, SIDE, HEAD, BETWEEN, FOOT = 0.55, 2.3, 0.75, 0.65, 0.75, 0.95
_WORD = 6.5
#: What became of an end that never ended.
OPEN = "open"
#: Fills of causes: colours that part in grey, and hatches where they do not.
_FILLS = (
    (style.GREEN, ""), (style.VERMILLION, "///"), (style.SKY, ""), (style.YELLOW, ".."), (style.BLUE, ""),
    (style.ORANGE, "\\\\\\"), (style.PURPLE, ""), ("#00304F", ""), ("#BFE0F5", "xx"), ("#8A5A00", ""),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """One connection of one run, in which the parameter had the value `value`."""

    value: str
    #: From who began the release until both ends were done, in microseconds; None where it never was.
    duration: int | None
    #: What ended each end, or OPEN.
    causes: tuple[str, ...]


def samples(value: str, trace: Trace) -> list[Sample]:
    """The connections of a run."""
    return [
        Sample(value, release.duration, tuple(release.outcome(host) for host in release.states))
        for release in releases(trace)
    ]


def draw_many(found: Sequence[Sample], key: str, path: Path) -> None:
    """Draw all samples against their value of `key` into a PNG or SVG file. Raises `ValueError` for another suffix."""
    style.save(many_figure(found, key), path)


def many_figure(found: Sequence[Sample], key: str) -> Figure:
    """The figure that `draw_many` writes: times above, shares of causes below. Bars carry the id "share 2s aborted"."""
    with style.applied():
        if not found:
            return style.message("There are no connections in these runs.")
        values = sorted({sample.value for sample in found}, key=_size)
        shown, missing = values[:VALUES], len(values) - VALUES
        groups = [[sample for sample in found if sample.value == value] for value in shown]
        width = max(COLUMN * len(shown), 4.2) + 2 * SIDE
        height = HEAD + 2 * HEIGHT + BETWEEN + FOOT + (0.2 if missing > 0 else 0)
        figure = Figure(figsize=(width, height))
        wide = (width - 2 * SIDE) / width
        above = figure.add_axes((SIDE / width, (height - HEAD - HEIGHT) / height, wide, HEIGHT / height))
        below = figure.add_axes((SIDE / width, FOOT / height, wide, HEIGHT / height))
        _draw_times(above, groups)
        handles = _draw_shares(below, shown, groups)
        for axes in (above, below):
            axes.set_xticks(range(len(shown)), shown, fontsize=_WORD)
            axes.set_xlim(-0.6, len(shown) - 0.4)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=_WORD)
        if max(style.measure(value, _WORD) for value in shown) > COLUMN - 0.06:
            figure.autofmt_xdate(rotation=30)
        below.set_xlabel(key, fontsize=8, **BOLD)
        figure.legend(handles=handles, loc="lower center", ncols=5, fontsize=7)
        if missing > 0:
            more = f"{missing} more values are not shown."
            figure.text(0.5, 1 - 0.1 / height, more, ha="center", va="top", color=style.FAINT)
    return figure


def _size(value: str) -> tuple[float, str]:
    """Order of values: by what they count, where they do."""
    readers: tuple[Callable[[str], float], ...] = (float, read_duration, read_rate, read_share, read_size)
    for read in readers:
        with suppress(ValueError):
            return (read(value), value)
    return (inf, value)


def _draw_times(axes: Axes, groups: Sequence[Sequence[Sample]]) -> None:
    """A dot for each release, side by side where they are many; quartiles as a bar, the median as a stroke."""
    axes.set_title("Time to release", loc="left", fontsize=10, **BOLD)
    times = [[sample.duration / 1e6 for sample in group if sample.duration is not None] for group in groups]
    every = [max(time, 1e-6) for group in times for time in group]
    if every and max(every) > 100 * min(every):
        axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
    for place, group in enumerate(times):
        spread = [place - 0.22 + 0.44 * (number * 0.618034 % 1) for number in range(len(group))]
        dots: dict[str, Any] = {"s": 5, "color": style.SKY, "edgecolors": style.INK, "linewidths": 0.3, "zorder": 2}
        axes.scatter(spread if len(group) > 1 else [place] * len(group), [max(t, 1e-6) for t in group], **dots)
        if len(group) > 3:
            low, _, high = quantiles(group, n=4)
            axes.plot(
                [place] * 2, [max(low, 1e-6), max(high, 1e-6)], color=style.INK, linewidth=3, alpha=0.35, zorder=3
            )
        if group:
            axes.plot([place - 0.27, place + 0.27], [max(median(group), 1e-6)] * 2, color=style.INK, zorder=4)
    for place, tried in enumerate(groups):
        never = sum(sample.duration is None for sample in tried)
        text = f"{len(tried)}" + (f"\n{never} not" if never else "")
        axes.text(
            place, 1.02, text, ha="center", va="bottom", fontsize=_WORD - 0.5, transform=axes.get_xaxis_transform()
        )
    axes.text(1, 1.13, "numbers: connections, and those not released; bar: quartiles; stroke: median", ha="right",
              va="bottom", fontsize=_WORD, color=style.FAINT, transform=axes.transAxes)  # fmt: skip
    axes.grid(axis="y", linewidth=0.25, color=style.FAINT)
    axes.set_axisbelow(True)


def _draw_shares(axes: Axes, values: Sequence[str], groups: Sequence[Sequence[Sample]]) -> list[Patch | Line2D]:
    """Stacked bars; what they show, for the legend."""
    axes.set_title("What ended the ends", loc="left", fontsize=10, **BOLD)
    counts = [Counter(cause for sample in group for cause in sample.causes) for group in groups]
    known = [cause.value for cause in Cause]
    every = {cause for count in counts for cause in count} - {OPEN}
    causes = sorted(every, key=lambda cause: (known.index(cause) if cause in known else len(known), cause))
    fills = dict(zip(causes, _FILLS, strict=False)) | {OPEN: (style.PAPER, "")}
    for place, (value, count) in enumerate(zip(values, counts, strict=True)):
        whole, bottom = max(count.total(), 1), 0.0
        for cause in [*causes, *([OPEN] if count[OPEN] else [])]:
            share = count[cause] / whole
            colour, hatch = fills.get(cause, (style.FAINT, ""))
            bar = axes.bar(place, share, 0.7, bottom, color=colour, hatch=hatch, edgecolor=style.INK, linewidth=0.5)
            bar[0].set_gid(f"share {value} {cause}")
            if share >= 0.09:
                words = axes.text(place, bottom + share / 2, f"{share:.0%}", ha="center", va="center", fontsize=_WORD)
                words.set(color=style.INK if hatch else style.on(colour), path_effects=[style.HALO] if hatch else [])
            bottom += share
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    named = [*causes, *([OPEN] if any(count[OPEN] for count in counts) else [])]
    fill = {cause: fills.get(cause, (style.FAINT, "")) for cause in named}
    return [Patch(facecolor=c, hatch=h, edgecolor=style.INK, linewidth=0.5, label=n) for n, (c, h) in fill.items()]
