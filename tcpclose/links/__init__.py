"""Links: what becomes of the frames that a link is offered.

The simulator and the relay of the testbed use the same classes, so that the same seed and the same
arrivals give the same fate in both. Nothing here knows a clock: the time comes in with every call,
in microseconds.

    settings.py   what a link is to do
    dice.py       what is left to chance: one random stream for each direction and purpose
    line.py       one direction of a link
    fates.py      what is not left to chance: "FIN from h2, first"
"""

from .dice import Dice, Streams, link_random
from .fates import Fate, FateBook, FateError, Order, Parties, read_fate
from .line import LOSSES, Deed, Line
from .settings import ETHERNET_MTU, QUEUE_FLOOR, Burst, Distribution, LinkSettings, direction

__all__ = [
    "ETHERNET_MTU",
    "LOSSES",
    "QUEUE_FLOOR",
    "Burst",
    "Deed",
    "Dice",
    "Distribution",
    "Fate",
    "FateBook",
    "FateError",
    "Line",
    "LinkSettings",
    "Order",
    "Parties",
    "Streams",
    "direction",
    "link_random",
    "read_fate",
]
