"""The scoreboard of RFC 6675: what the peer holds beyond SND.UNA, as its SACK blocks report (RFC 2018).

The RFC reasons octet by octet; here whole ranges are reasoned about, since all octets of one hole share one fate.
"""

from __future__ import annotations

from collections.abc import Iterator

from tcpclose.protocol.segment import seq_add, seq_diff
from tcpclose.protocol.tcb import Tcb

_DUP_THRESH = 3


class Scoreboard:
    """Ranges of sequence numbers, as (first, one after the last), in order and apart from each other."""

    __slots__ = ("_rescue", "high_rxt", "ranges", "tcb")

    def __init__(self, tcb: Tcb) -> None:
        self.tcb = tcb
        self.ranges: list[tuple[int, int]] = []
        self.high_rxt = tcb.snd_una  # HighRxt, and one: up to here holes were filled again in this recovery
        self._rescue = False

    def update(self, blocks: tuple[tuple[int, int], ...]) -> bool:
        """Update(): take SACK blocks. True when they report something new; what was never sent is not believed."""
        before = self.ranges
        for left, right in blocks:
            start, end = seq_diff(left, self.tcb.snd_una), seq_diff(right, self.tcb.snd_una)
            if 0 < start < end <= seq_diff(self.tcb.snd_nxt, self.tcb.snd_una):
                self._add(left, right)
        return self.ranges != before

    def _add(self, left: int, right: int) -> None:
        apart = []
        for held_left, held_right in self.ranges:
            if seq_diff(held_right, left) < 0 or seq_diff(held_left, right) > 0:
                apart.append((held_left, held_right))
            else:
                left = held_left if seq_diff(held_left, left) < 0 else left
                right = held_right if seq_diff(held_right, right) > 0 else right
        self.ranges = sorted([*apart, (left, right)], key=lambda block: seq_diff(block[0], self.tcb.snd_una))

    def advance(self) -> None:
        """SND.UNA moved: forget what lies before it. A range it has reached into was given up by the peer."""
        una = self.tcb.snd_una
        if self.ranges:
            self.ranges = [block for block in self.ranges if seq_diff(block[0], una) > 0]
        if seq_diff(self.high_rxt, una) < 0:
            self.high_rxt = una

    def clear(self) -> None:
        """After a timeout nothing is believed any more: a peer may drop what it reported (RFC 2018, 8)."""
        self.ranges = []

    def recover(self) -> None:
        """Loss recovery begins (5, step 4)."""
        self.high_rxt = self.tcb.snd_una
        self._rescue = True

    def _holes(self) -> Iterator[tuple[int, int, int]]:
        """Each hole below the highest octet that was reported: its edges, and how many ranges lie beyond it."""
        left = self.tcb.snd_una
        for index, (start, end) in enumerate(self.ranges):
            yield left, start, index
            left = end

    def _is_lost(self, index: int, mss: int) -> bool:
        """IsLost() of a hole that the ranges from `index` on lie beyond."""
        beyond = self.ranges[index:]
        octets = sum(seq_diff(right, left) for left, right in beyond)
        return len(beyond) >= _DUP_THRESH or octets > (_DUP_THRESH - 1) * mss

    def first_is_lost(self, mss: int) -> bool:
        """IsLost (HighACK + 1)."""
        return bool(self.ranges) and self._is_lost(0, mss)

    def pipe(self, mss: int) -> int:
        """SetPipe(): how many octets are presumably on their way."""
        tail = self.ranges[-1][1] if self.ranges else self.tcb.snd_una
        pipe = seq_diff(self.tcb.snd_nxt, tail)
        for left, right, index in self._holes():
            if not self._is_lost(index, mss):
                pipe += seq_diff(right, left)
            again = seq_diff(self.high_rxt, left)
            pipe += max(min(again, seq_diff(right, left)), 0)
        return pipe

    def hole(self, mss: int, lost: bool) -> tuple[int, int] | None:
        """NextSeg() (1) and (3): the first hole not yet filled again; with `lost` only one that counts as lost."""
        for left, right, index in self._holes():
            if seq_diff(right, self.high_rxt) > 0 and not (lost and not self._is_lost(index, mss)):
                return (left if seq_diff(left, self.high_rxt) > 0 else self.high_rxt), right
        return None

    def rescue(self, mss: int) -> tuple[int, int] | None:
        """NextSeg() (4): once in a recovery the end of what is out, whose loss nobody would report."""
        tail = self.ranges[-1][1] if self.ranges else self.tcb.snd_una
        length = seq_diff(self.tcb.snd_nxt, tail)
        if not self._rescue or length == 0:
            return None
        self._rescue = False
        return seq_add(self.tcb.snd_nxt, -min(length, mss)), self.tcb.snd_nxt

    def unreported(self, start: int) -> int:
        """The first number from `start` on that was not reported."""
        for left, right in self.ranges:
            if seq_diff(left, start) <= 0 < seq_diff(right, start):
                return right
        return start
