"""What a link leaves to chance.

Each direction of a link has one random stream for each purpose, and each stream draws for every frame, whatever befalls
the frame: so the fate of one frame does not depend on the fates of others, and a link that is told to do one thing more
goes on doing the others to the same frames.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from statistics import NormalDist
from typing import Any, NamedTuple, TypeAlias

from .settings import Burst, Distribution, LinkSettings

#: Makes the random stream of a purpose.
Streams: TypeAlias = Callable[[str], random.Random]

_NORMAL = NormalDist()
_PARETO_SHAPE = 3.0  # of a Pareto distribution from 1 on: its mean is 3/2, its variance 3/4


class Throw(NamedTuple):
    """What chance has in mind for one frame: `damage` says where, from 0 to 1."""

    lost: str | None = None
    jitter: int = 0
    late: bool = False
    copied: bool = False
    damage: float | None = None


#: Nothing out of the ordinary.
FAIR = Throw()


def link_random(seed: int, link: str, direction: str) -> Streams:
    """The random streams of one direction of a link."""
    return partial(_stream, f"{seed}/link/{link}/{direction}")


def _stream(prefix: str, purpose: str) -> random.Random:
    return random.Random(f"{prefix}/{purpose}")


class Dice:
    """The chances of one direction of a link, thrown for each frame."""

    def __init__(self, settings: LinkSettings, streams: Streams) -> None:
        #: For each option that is on, the field of `Throw` that it may set; None leaves it.
        self._chances: list[tuple[str, Callable[[], object]]] = []
        if settings.loss:
            self._chances.append(("lost", _struck(streams("loss"), settings.loss, "loss")))
        if settings.burst is not None:
            self._chances.append(("lost", _Weather(settings.burst, streams("burst")).lost))
        if settings.jitter:
            self._chances.append(("jitter", _jitter(streams("jitter"), settings)))
        if settings.reorder:
            self._chances.append(("late", _struck(streams("reorder"), settings.reorder, True)))
        if settings.duplicate:
            self._chances.append(("copied", _struck(streams("duplicate"), settings.duplicate, True)))
        if settings.corrupt:
            self._chances.append(("damage", _damage(streams("corrupt"), settings.corrupt)))

    @property
    def loaded(self) -> bool:
        """Nothing is left to chance, and nobody need throw."""
        return not self._chances

    def throw(self) -> Throw:
        """For the next frame. Every chance is asked, whatever the others say."""
        fields: dict[str, Any] = {}
        for name, chance in self._chances:
            value = chance()
            if value is not None:
                fields.setdefault(name, value)
        return Throw(**fields) if fields else FAIR


def _struck(stream: random.Random, share: float, value: object) -> Callable[[], object]:
    draw = stream.random
    return lambda: value if draw() < share else None


def _jitter(stream: random.Random, settings: LinkSettings) -> Callable[[], int]:
    draw, spread, jitter = stream.random, _SPREADS[settings.distribution], settings.jitter
    return lambda: round(jitter * spread(draw()))


def _damage(stream: random.Random, share: float) -> Callable[[], float | None]:
    def place() -> float | None:
        hit, where = stream.random(), stream.random()
        return where if hit < share else None

    return place


class _Weather:
    """The two states of Gilbert and Elliott."""

    def __init__(self, burst: Burst, stream: random.Random) -> None:
        self._burst, self._stream = burst, stream
        self._bad = False

    def lost(self) -> str | None:
        turn, loss = self._stream.random(), self._stream.random()
        if turn < (self._burst.r if self._bad else self._burst.p):
            self._bad = not self._bad
        return "burst" if loss < (self._burst.bad if self._bad else self._burst.good) else None


def _normal(share: float) -> float:
    return _NORMAL.inv_cdf(share or 0.5)  # 0 itself is one draw in 2**53, and has no value


def _pareto(share: float) -> float:
    return float(((1 - share) ** (-1 / _PARETO_SHAPE) - 1.5) / 0.75**0.5)


#: From a share of all cases to the deviation from the mean, in units of the jitter.
_SPREADS: dict[Distribution, Callable[[float], float]] = {
    "uniform": lambda share: 2 * share - 1,
    "normal": _normal,
    "pareto": _pareto,
}
