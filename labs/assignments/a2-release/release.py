"""How a connection of `tiny.py` ends. Fill in what these functions are to do; README.md says how.

Each is called with the TCB and the time, where it comes to that; `tiny.py` does the rest.
"""

from __future__ import annotations

from tiny import Segment, Tcb

STUDENT = "{student}"


def close(tcb: Tcb, now: int) -> None:
    """The user calls CLOSE (3.10.4); text that is queued leaves before the FIN, you need not wait for it."""


def abort(tcb: Tcb, now: int) -> None:
    """The user calls ABORT (3.10.5)."""


def fin_leaves(tcb: Tcb, segment: Segment, now: int) -> None:
    """All text has left in front of it, or is in it: this segment is to carry our FIN, for the first time or again."""


def fin_arrives(tcb: Tcb, now: int) -> None:
    """The peer's FIN is next in order; in TIME-WAIT, it has come once more (3.10.7.4, eighth)."""


def fin_acknowledged(tcb: Tcb, now: int) -> None:
    """SEG.ACK is beyond our FIN (3.10.7.4, fifth)."""


def reset_arrives(tcb: Tcb, segment: Segment, now: int) -> None:
    """A RST that counts, in any state from SYN-SENT on (3.10.7.3 and 3.10.7.4, second)."""


def answer_closed(segment: Segment) -> Segment | None:
    """A segment belongs to no connection, or acknowledges what was never sent (3.10.7.1, 3.5.2). What is the answer?"""
    return None


def time_wait_timeout(tcb: Tcb, now: int) -> None:
    """`time_wait_at` is reached (3.10.8)."""


def fin_wait_2_timeout(tcb: Tcb, now: int) -> None:
    """`fin_wait_2_at` is reached (3.6.1)."""


def user_timeout(tcb: Tcb, now: int) -> None:
    """Nobody has acknowledged for `user_timeout` (3.10.8)."""


def unreachable(tcb: Tcb, now: int) -> None:
    """ICMP says that the peer cannot be reached (3.9.2.2), in any state from SYN-SENT on."""


def invalid_header(tcb: Tcb, now: int) -> None:
    """A segment with an invalid header arrives (3.5.2), in any state from SYN-SENT on."""
