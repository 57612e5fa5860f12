"""A scale of time on which long silences are folded: what lies between them keeps its proportions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.ticker import MaxNLocator

#: A silence is folded when it is longer than this part of all that would be left without it; so wide is a fold.
LONG, WIDE = 0.5, 0.05


@dataclass(frozen=True, slots=True)
class Silence:
    """Folded away: times in microseconds, and where the fold begins and ends, in inches."""

    start: int
    end: int
    left: float
    right: float


class Timescale:
    """From microseconds to inches between `left` and `left + width`.

    `moments` are times at which something happens, `whole` are stretches that must not be folded.
    """

    def __init__(
        self, moments: Iterable[int], left: float, width: float, whole: Iterable[tuple[int, int]] = ()
    ) -> None:
        times = sorted(set(moments)) or [0]
        self.start, self.stop = times[0], max(times[-1], times[0] + 1)
        self.left, self.width = left, width
        folded = _folded(times, list(whole))
        kept = self.stop - self.start - sum(end - start for start, end in folded)
        per = width * (1 - WIDE * len(folded)) / kept
        #: Corners of the scale: times, and where they stand.
        self._times, self._places = [self.start], [left]
        self.silences: list[Silence] = []
        for start, end in folded:
            at = self._places[-1] + (start - self._times[-1]) * per
            self.silences.append(Silence(start, end, at, at + WIDE * width))
            self._times += [start, end]
            self._places += [at, at + WIDE * width]
        self._times.append(self.stop)
        self._places.append(left + width)

    def __call__(self, t: int) -> float:
        """Where a time stands; what lies outside stands at the edge."""
        t = min(max(t, self.start), self.stop)
        place = min(bisect_right(self._times, t), len(self._times) - 1)
        (t0, t1), (x0, x1) = self._times[place - 1 : place + 1], self._places[place - 1 : place + 1]
        return x0 + (x1 - x0) * (t - t0) / max(t1 - t0, 1)

    @property
    def unit(self) -> tuple[int, str]:
        """What a number beside the scale counts, in microseconds, and its name."""
        return (1_000_000, "s") if self.stop >= 2_000_000 else (1_000, "ms")

    def ticks(self, most: int = 8) -> Iterator[tuple[float, str]]:
        """Places and their numbers: round ones in each stretch, as many as its width deserves."""
        unit, _ = self.unit
        edges = [self.start, *(t for fold in self.silences for t in (fold.start, fold.end)), self.stop]
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            share = (self(end) - self(start)) / self.width
            locator = MaxNLocator(nbins=max(1, round(most * share)), steps=[1, 2, 2.5, 5, 10])
            for value in locator.tick_values(start / unit, end / unit):
                if start <= round(value * unit) <= end:
                    yield self(round(value * unit)), f"{value:g}"


def _folded(times: list[int], whole: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The silences to fold, in order."""
    left = times[-1] - times[0]
    found: list[tuple[int, int]] = []
    for start, end in sorted(pairwise(times), key=lambda gap: gap[0] - gap[1]):
        if any(start < stop and begin < end for begin, stop in whole):
            continue
        if end - start <= LONG * (left - (end - start)) or len(found) == 6:
            break
        found.append((start, end))
        left -= end - start
    return sorted(found) if left > 0 else []
