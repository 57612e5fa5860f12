"""Colours of states and of what else is marked, for pictures and for the terminal. No matplotlib here.

They are Okabe and Ito's, which people with any colour vision can tell apart. States take theirs by phase of the life;
states that can follow each other also differ in lightness, so that they part in grey print.
"""

from __future__ import annotations

from typing import Final

ORANGE, SKY, GREEN = "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"

INK, FAINT, PAPER = "#222222", "#767676", "#FFFFFF"
RESET, CLOSE, FAULT, BLOCK = VERMILLION, "#004C80", "#F5EAF0", "#EFEFEF"

#: Phase of a connection's life to its states and their colours, in the order of the legend.
PHASES: Final[dict[str, dict[str, str]]] = {
    "closed": {"CLOSED": "#C9C9C9", "LISTEN": "#9A9A9A"},
    "opening": {"SYN-SENT": "#F7F0A1", "SYN-RECEIVED": YELLOW},
    "established": {"ESTABLISHED": GREEN},
    "active close": {"FIN-WAIT-1": SKY, "FIN-WAIT-2": BLUE, "CLOSING": "#00304F", "TIME-WAIT": "#BFE0F5"},
    "passive close": {"CLOSE-WAIT": ORANGE, "LAST-ACK": "#8A5A00"},
}
STATE_COLOURS: Final[dict[str, str]] = {state: colour for states in PHASES.values() for state, colour in states.items()}


def colour(state: str) -> str:
    """A state's colour; grey for a name that is none of the eleven."""
    return STATE_COLOURS.get(state, FAINT)
