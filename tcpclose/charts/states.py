"""Time in each state: one bar for each end of each connection, time to the right.

States that pass too fast for the scale, and the fast ones are the interesting ones, are shown a second time above
their bar, in order, as cells of one size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from tcpclose.charts import style
from tcpclose.charts.story import duration, natural
from tcpclose.charts.text import width_of
from tcpclose.trace.events import End, Trace
from tcpclose.trace.reading import Interval, Outage, connections, intervals, outages

#: Bars in one picture; a run with more ends shows the first ones and says so.
BARS = 48
#: Inches: width of the scale, height of a bar and of what belongs to it, one cell, the room around.
SCALE, BAR, ROW, CELL, MARGIN = 7.6, 0.17, 0.44, 0.08, 0.25
#: An interval that would come out narrower than this many inches is shown as a cell, too.
SHORT = 0.08
