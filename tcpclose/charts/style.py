"""One look for all charts: the style sheet, fonts, and files that come out the same every time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patheffects import withStroke
from matplotlib.textpath import text_to_path

from tcpclose.aside import aside
from tcpclose.charts.colours import BLOCK as BLOCK
from tcpclose.charts.colours import BLUE as BLUE
from tcpclose.charts.colours import CLOSE as CLOSE
from tcpclose.charts.colours import FAINT as FAINT
from tcpclose.charts.colours import FAULT as FAULT
from tcpclose.charts.colours import GREEN as GREEN
from tcpclose.charts.colours import INK as INK
from tcpclose.charts.colours import ORANGE as ORANGE
from tcpclose.charts.colours import PAPER as PAPER
from tcpclose.charts.colours import PURPLE as PURPLE
from tcpclose.charts.colours import RESET as RESET
from tcpclose.charts.colours import SKY as SKY
from tcpclose.charts.colours import STATE_COLOURS as STATE_COLOURS
from tcpclose.charts.colours import VERMILLION as VERMILLION
from tcpclose.charts.colours import YELLOW as YELLOW
from tcpclose.charts.colours import colour as colour

BOLD: Final[dict[str, Any]] = {"fontweight": "bold"}
SLOPED: Final[dict[str, Any]] = {"fontstyle": "italic"}

#: Keeps text readable where a line runs behind it.
HALO: Final = withStroke(linewidth=1.8, foreground=PAPER)

_FAMILY: Final = ["DejaVu Sans"]  # it comes with matplotlib, so text is the same everywhere
_SETTINGS: Final[dict[Any, Any]] = {
    "font.family": _FAMILY,
    "font.size": 8.0,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "figure.facecolor": PAPER,
    "legend.frameon": False,
    "path.sketch": None,
    "savefig.dpi": 160,
    "text.parse_math": False,  # a $ is a $
    "svg.fonttype": "path",
    "svg.hashsalt": "tcpclose",
}


def lightness(colour: str) -> float:
    """How light a colour "#RRGGBB" prints in grey, from 0 (black) to 1 (Rec. 601 luma)."""
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def on(colour: str) -> str:
    """Black or white: the ink that reads on `colour`."""
    return INK if lightness(colour) > 0.5 else PAPER


def measure(text: str, size: float, **font: Any) -> float:
    """The width of a text in inches; `size` in points, `font` as for a matplotlib text."""
    return _measured(text, size, font.get("fontweight"), font.get("fontstyle"))


@lru_cache(maxsize=4096)
def _measured(text: str, size: float, weight: str | None, slope: Any) -> float:
    prop = FontProperties(family=_FAMILY, size=size, weight=weight, style=slope)
    width, _, _ = text_to_path.get_text_width_height_descent(text, prop, ismath=False)
    return float(width) / 72


@contextmanager
def applied() -> Iterator[None]:
    """The style sheet, for as long as a figure is made; the user's own settings have no say."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        for name, value in _SETTINGS.items():
            matplotlib.rcParams[name] = value
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a PNG or SVG, by the suffix, without date or version: same figure, same octets.

    Raises `ValueError` for another suffix.
    """
    kinds: dict[str, dict[str, Any]] = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}
    metadata = kinds.get(path.suffix.lower())
    if metadata is None:
        raise ValueError(f"{path}: charts are written as .png or .svg")
    with applied(), aside(path) as unfinished:
        figure.savefig(unfinished, format=path.suffix[1:].lower(), metadata=metadata)


def message(text: str) -> Figure:
    """A small picture that says why there is no larger one."""
    figure = Figure(figsize=(6.0, 1.2))
    figure.text(0.5, 0.5, text, ha="center", va="center", color=FAINT, fontsize=10)
    return figure
