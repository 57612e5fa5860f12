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
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, PercentFormatter

from tcpclose.charts import style
from tcpclose.charts.style import BOLD
from tcpclose.protocol.fsm import Cause
from tcpclose.trace.events import Trace
from tcpclose.trace.releases import releases
from tcpclose.units import read_duration, read_rate, read_share, read_size

#: Values and connections in one picture; of more the first ones are shown, and it says so.
VALUES, CONNECTIONS = 24, 6
#: Inches: a value's column, the least width of a plot and its height, what is left of it, and above and below.
COLUMN, LEAST, HEIGHT, SIDE, HEAD, FOOT = 0.5, 3.2, 2.1, 0.75, 0.5, 0.62
#: Below all plots. Nobody sees differences of less than `SHORT` seconds.
LEGEND, SHORT = 0.75, 1e-3
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

    connection: str
    value: str
    #: From who began the release until both ends were done, in microseconds; None where it never was.
    duration: int | None
    #: What ended each end, or OPEN.
    causes: tuple[str, ...]


def samples(value: str, trace: Trace) -> list[Sample]:
    """The connections of a run."""
    return [
        Sample(release.connection, value, release.duration, tuple(release.outcome(host) for host in release.states))
        for release in releases(trace)
    ]


def draw_many(found: Sequence[Sample], key: str, path: Path) -> None:
    """Draw all samples against their value of `key` into a PNG or SVG file. Raises `ValueError` for another suffix."""
    style.save(many_figure(found, key), path)


def many_figure(found: Sequence[Sample], key: str) -> Figure:
    """The figure that `draw_many` writes: for each connection times and shares of causes, side by side.

    Bars carry the id "c1 share 2s aborted".
    """
    with style.applied():
        if not found:
            return style.message("There are no connections in these runs.")
        values = sorted({sample.value for sample in found}, key=_size)
        names = list(dict.fromkeys(sample.connection for sample in found))
        more = [f"{len(of) - most} more {what} are not shown." for of, most, what in (
            (values, VALUES, "values"), (names, CONNECTIONS, "connections")) if len(of) > most]  # fmt: skip
        return _page([sample for sample in found if sample.value in values[:VALUES]], names[:CONNECTIONS],
                     values[:VALUES], key, " ".join(more))  # fmt: skip


def _page(found: Sequence[Sample], names: Sequence[str], values: Sequence[str], key: str, more: str) -> Figure:
    plot = max(COLUMN * len(values), LEAST)
    width, height = 2 * (SIDE + plot) + 0.3, len(names) * (HEAD + HEIGHT + FOOT) + LEGEND
    figure = Figure(figsize=(width, height))
    fills = _fills({cause for sample in found for cause in sample.causes})
    for row, name in enumerate(names):
        groups = [[s for s in found if s.value == value and s.connection == name] for value in values]
        bottom = (height - (row + 1) * (HEAD + HEIGHT + FOOT) + FOOT) / height
        left, right = (
            figure.add_axes((SIDE * (side + 1) / width + side * plot / width, bottom, plot / width, HEIGHT / height))
            for side in (0, 1)
        )
        _draw_times(left, name, groups)
        _draw_shares(right, name, values, groups, fills)
        numbers = [f"{value}\n{_counted(group)}" for value, group in zip(values, groups, strict=True)]
        for axes, labels in ((left, numbers), (right, values)):
            axes.set_xticks(range(len(values)), labels, fontsize=_WORD)
            axes.set_xlim(-0.6, len(values) - 0.4)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=_WORD)
            axes.set_xlabel(key, fontsize=7.5)
    handles = [Patch(facecolor=c, hatch=h, edgecolor=style.INK, linewidth=0.5, label=n) for n, (c, h) in fills.items()]
    at = (0.5, 0.3 / height)
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=at, ncols=max(1, int(width / 1.5)), fontsize=7)
    note = f"Below a value: connections that were released, of all. Grey: quartiles, stroke: median. {more}"
    figure.text(0.5, 0.18 / height, note, ha="center", fontsize=_WORD, color=style.FAINT)
    return figure


def _counted(group: Sequence[Sample]) -> str:
    return f"{sum(sample.duration is not None for sample in group)} of {len(group)}"


def _fills(occurring: set[str]) -> dict[str, tuple[str, str]]:
    """In the order of the machine's causes, each with the same fill in all pictures; then what it does not know."""
    fills = {}
    for place, cause in enumerate(Cause):
        colour, hatch = _FILLS[place % len(_FILLS)]
        fills[cause.value] = (colour, hatch if place < len(_FILLS) else "--")
    for other in sorted(occurring - {OPEN}):
        fills.setdefault(other, (style.FAINT, ""))
    fills[OPEN] = (style.PAPER, "")
    return {cause: fill for cause, fill in fills.items() if cause in occurring}


def _size(value: str) -> tuple[float, str]:
    """Order of values: by what they count, where they do."""
    readers: tuple[Callable[[str], float], ...] = (float, read_duration, read_rate, read_share, read_size)
    for read in readers:
        with suppress(ValueError):
            return (read(value), value)
    return (inf, value)


def _draw_times(axes: Axes, name: str, groups: Sequence[Sequence[Sample]]) -> None:
    """A dot for each release, side by side where they are many; quartiles as a bar, the median as a stroke."""
    axes.set_title(f"{name}: time to release", loc="left", fontsize=9, **BOLD)
    times = [[max(s.duration / 1e6, SHORT) for s in group if s.duration is not None] for group in groups]
    every = [time for group in times for time in group]
    if every and max(every) > 100 * min(every):
        axes.set_yscale("log")
        axes.minorticks_off()
    else:
        axes.set_ylim(0, max(every, default=1.0) * 1.1)
    per, unit = (1, "s") if max(every, default=1.0) >= 1 else (1000, "ms")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * per:g} {unit}"))
    for place, group in enumerate(times):
        spread = [place - 0.22 + 0.44 * ((number * 0.618034 + 0.5) % 1) for number in range(len(group))]
        dots: dict[str, Any] = {"s": 6, "color": style.SKY, "edgecolors": style.INK, "linewidths": 0.3, "zorder": 3}
        axes.scatter(spread, group, **dots)
        if len(group) > 3:
            low, _, high = quantiles(group, n=4, method="inclusive")
            axes.plot([place] * 2, [low, high], color="#B5B5B5", linewidth=3.5, zorder=2)
        if group:
            axes.plot([place - 0.27, place + 0.27], [median(group)] * 2, color=style.INK, linewidth=1.4, zorder=4)
    axes.grid(axis="y", linewidth=0.25, color=style.FAINT)
    axes.set_axisbelow(True)


def _draw_shares(
    axes: Axes,
    name: str,
    values: Sequence[str],
    groups: Sequence[Sequence[Sample]],
    fills: dict[str, tuple[str, str]],
) -> None:
    """Stacked bars of the causes of both ends."""
    axes.set_title(f"{name}: what ended its ends", loc="left", fontsize=9, **BOLD)
    for place, (value, group) in enumerate(zip(values, groups, strict=True)):
        count, bottom = Counter(cause for sample in group for cause in sample.causes), 0.0
        for cause, (colour, hatch) in fills.items():
            share = count[cause] / max(count.total(), 1)
            if not share:
                continue
            bar = axes.bar(place, share, 0.7, bottom, color=colour, hatch=hatch, edgecolor=style.INK, linewidth=0.5)
            bar[0].set_gid(f"{name} share {value} {cause}")
            if share >= 0.09:
                words = axes.text(place, bottom + share / 2, f"{share:.0%}", ha="center", va="center", fontsize=_WORD)
                words.set(color=style.INK if hatch else style.on(colour), path_effects=[style.HALO] if hatch else [])
            bottom += share
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
