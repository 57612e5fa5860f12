"""Numbers of Linux's headers that Python does not name, and what several processes of a run ask for with them."""

from __future__ import annotations

import ctypes

ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_STATISTICS, PACKET_QDISC_BYPASS, PACKET_IGNORE_OUTGOING = 6, 20, 23
_PR_SET_TIMERSLACK = 29


def sleep_exactly() -> None:
    """Let this thread sleep to the microsecond, not to the 50 us that the kernel rounds by."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
