"""Timestamps of a connection whose two ends agreed upon them (RFC 7323, 3 to 5).

They date every segment, so that a retransmission can be timed (4) and a segment of a former turn of the sequence
numbers is known as old (PAWS, 5). The clock ticks once a millisecond and starts wherever its `offset` says.
"""

from __future__ import annotations

from tcpclose.protocol.segment import MODULUS, Segment, seq_diff

_TICK = 1_000  # microseconds
_OUTDATED = 24 * 24 * 3600 * 1_000_000  # RFC 7323, 5.5: TS.Recent of an idle connection is worth nothing after 24 days


def clock(now: int, offset: int) -> int:
    """TSval at the time `now`."""
    return (now // _TICK + offset) % MODULUS


class Timestamps:
    """TS.Recent and what is asked of it. Made of the peer's SYN."""

    __slots__ = ("offset", "recent", "recent_at")

    def __init__(self, offset: int, tsval: int, now: int) -> None:
        self.offset = offset
        self.recent = tsval
        self.recent_at = now

    def stamp(self, now: int) -> tuple[int, int]:
        """TSval and TSecr of a segment that leaves."""
        return clock(now, self.offset), self.recent

    def old(self, tsval: int, now: int) -> bool:
        """5.3 R1: was the segment sent before one that was taken already?"""
        return seq_diff(tsval, self.recent) < 0 and now - self.recent_at < _OUTDATED

    def heard(self, segment: Segment, last_ack_sent: int, now: int) -> None:
        """5.3 R3: an acceptable segment that reaches back to Last.ACK.sent brings the value to echo (4.3)."""
        if segment.timestamps is not None and seq_diff(segment.seq, last_ack_sent) <= 0:
            self.recent = segment.timestamps[0]
            self.recent_at = now

    def round_trip(self, segment: Segment, now: int) -> int | None:
        """4.1: microseconds, in whole ticks, since the segment left that this one echoes."""
        if segment.timestamps is None:
            return None
        return (clock(now, self.offset) - segment.timestamps[1]) % MODULUS * _TICK
