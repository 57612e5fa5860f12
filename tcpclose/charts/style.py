"""One look for all charts: colours, fonts, and files that come out the same every time.

Colours are Okabe and Ito's, which people with any colour vision can tell apart. States take theirs by phase of the
life; states that can follow each other also differ in lightness, so that they part in grey print.
"""

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

ORANGE, SKY, GREEN = "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"

BOLD: Final[dict[str, Any]] = {"fontweight": "bold"}
SLOPED: Final[dict[str, Any]] = {"fontstyle": "italic"}

INK, FAINT, PAPER = "#222222", "#767676", "#FFFFFF"
RESET, CLOSE, FAULT, BLOCK = VERMILLION, "#004C80", "#F5EAF0", "#EFEFEF"
#: Keeps text readable where a line runs behind it.
HALO: Final = withStroke(linewidth=1.8, foreground=PAPER)

#: Phase of a connection's life to its states and their colours, in the order of the legend.
PHASES: Final[dict[str, dict[str, str]]] = {
    "closed": {"CLOSED": "#C9C9C9", "LISTEN": "#9A9A9A"},
    "opening": {"SYN-SENT": "#F7F0A1", "SYN-RECEIVED": YELLOW},
    "established": {"ESTABLISHED": GREEN},
    "active close": {"FIN-WAIT-1": SKY, "FIN-WAIT-2": BLUE, "CLOSING": "#00304F", "TIME-WAIT": "#BFE0F5"},
    "passive close": {"CLOSE-WAIT": ORANGE, "LAST-ACK": "#8A5A00"},
}
STATE_COLOURS: Final[dict[str, str]] = {state: colour for states in PHASES.values() for state, colour in states.items()}

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
    "svg.fonttype": "path",
    "svg.hashsalt": "tcpclose",
}


def colour(state: str) -> str:
    """A state's colour; grey for a name that is none of the eleven."""
    return STATE_COLOURS.get(state, FAINT)


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
