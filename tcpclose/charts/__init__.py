"""Figures of a run. Import this package only where a figure is drawn: matplotlib takes a while to load."""

from tcpclose.charts.ladder import draw_ladder
from tcpclose.charts.states import draw_states

__all__ = ["draw_ladder", "draw_states"]
