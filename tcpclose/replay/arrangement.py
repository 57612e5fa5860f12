"""The state diagram of the page: the arrangement of the chart, drawn together so that two stand side by side."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tcpclose.charts.machine import ARROWS, END, PLACES, TALL, WIDE, arrows
from tcpclose.charts.style import INK, PAPER, STATE_COLOURS
from tcpclose.protocol.fsm import Row

#: The page's units: a box, the picture, and where the chart's inches lie. Between the columns of boxes stand no
#: labels here (the row that fired is told below the picture), so there the way is short.
BOX = (98.0, 27.0)
SIZE = (354.0, 376.0)
_COLUMNS = (55.0, 177.0, 299.0)
_MIDDLES = (1.8, 4.5, 7.2)
_KNOTS = [
    (middle + side * WIDE / 2, column + side * BOX[0] / 2)
    for middle, column in zip(_MIDDLES, _COLUMNS, strict=True)
    for side in (-1, 1)
]
_ROWS = sorted({y for _, y in PLACES.values()})
_STEP = 52.0
_TOP = 20.0

_ARROWS = arrows()
_NUMBERS = {(state, following): number for number, (state, following) in enumerate(_ARROWS)}
_OF_ROW = {(row.state, row.event): _NUMBERS[ends] for ends, rows in _ARROWS.items() for row in rows}


def diagram() -> dict[str, Any]:
    """Places of the states and ways of the arrows, for SVG; what follows a state's name is its fill and its ink."""
    return {
        "size": SIZE,
        "box": BOX,
        "end": END,
        "colours": {state: (colour, ink_on(colour)) for state, colour in STATE_COLOURS.items()},
        "places": {name: _point(at) for name, at in PLACES.items()},
        "arrows": [
            {
                "from": state,
                "to": following,
                "points": [_point(at) for at in ARROWS[state, following].points],
                "label": " or ".join(dict.fromkeys(row.event.value for row in rows)),
            }
            for (state, following), rows in _ARROWS.items()
        ],
    }


def arrow_of(row: Row) -> int | None:
    """The number of the arrow that shows a row; None for one that keeps the state or ends without ado."""
    return _OF_ROW.get((row.state, row.event))


def ink_on(colour: str) -> str:
    """The ink that reads better on a colour; on every state's it keeps the 4.5:1 of WCAG 2.2, 1.4.3."""
    return max((INK, PAPER), key=lambda ink: contrast(ink, colour))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours "#RRGGBB", as WCAG 2.2 defines it."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _point(at: tuple[float, float]) -> tuple[float, float]:
    return round(_across(at[0]), 1), round(_down(at[1]), 1)


def _across(x: float) -> float:
    return _between(x, _KNOTS)


def _down(y: float) -> float:
    """Rows of boxes at equal steps, their edges a box apart."""
    knots = [
        (row + side * TALL / 2, _TOP + number * _STEP + side * BOX[1] / 2)
        for number, row in enumerate(_ROWS)
        for side in (-1, 1)
    ]
    return _between(y, knots)


def _between(value: float, knots: list[tuple[float, float]]) -> float:
    """The picture of `value` between the knots; beyond them by as much as the last two say."""
    pairs = list(pairwise(knots))
    (x0, y0), (x1, y1) = next((pair for pair in pairs if value <= pair[1][0]), pairs[-1])
    return y0 + (value - x0) * (y1 - y0) / (x1 - x0)
