"""What a link, or one direction of it, is to do to frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

#: A queue shorter than this would lose frames of a single window, whatever the link's delay.
QUEUE_FLOOR = 100

#: How the delay varies by `jitter`: "uniform" up to that much less or more; "normal" and "pareto" with that standard
#: deviation, the latter mostly a little less and now and then much more.
Distribution = Literal["uniform", "normal", "pareto"]

#: The octets behind an Ethernet header, where nothing else is said.
ETHERNET_MTU = 1500

_ETHERNET = 14
_FULL_FRAME_BITS = (ETHERNET_MTU + _ETHERNET) * 8
_MTUS = range(68, 65536)  # of what an IPv4 link must carry (RFC 791, 3.2) and what a packet can be
_SECOND = 1_000_000
_RARE = 10  # standard deviations beyond which hardly any delay lies


@dataclass(frozen=True)
class Burst:
    """Loss in bursts, after Gilbert and Elliott: a direction is good or bad, and begins good.

    Before each frame it turns from good to bad with probability `p` and back with `r`; then the frame is lost with the
    probability `good` or `bad`. Probabilities are from 0 to 1. With the last two left alone, 1/r frames in a row are
    lost on average.
    """

    p: float
    r: float
    good: float = 0.0
    bad: float = 1.0

    def __post_init__(self) -> None:
        for name in ("p", "r", "good", "bad"):
            _check_share(f"burst.{name}", getattr(self, name))

    @property
    def share(self) -> float:
        """The part of all frames that is lost in the long run."""
        changes = self.p + self.r
        return (self.p * self.bad + self.r * self.good) / changes if changes else self.good


@dataclass(frozen=True)
class LinkSettings:
    """What a link does to frames in one direction, or in both alike.

    `delay`, `jitter` and `reorder_by` in microseconds; `rate` in bit/s, None for no limit; `queue` in frames that wait
    for the rate, None for bandwidth x delay or `QUEUE_FLOOR`, whichever is more; `mtu` in octets behind the Ethernet
    header; `loss`, `duplicate`, `reorder` and `corrupt` are probabilities from 0 to 1.

    Frames stay in order: one that jitter holds up holds up those behind it. Only a share `reorder` comes later by
    `reorder_by`, and lets others pass. A copy follows right behind its original. Corruption flips a bit of the TCP
    segment. Raises `ValueError` for settings that cannot be.
    """

    delay: int = 0
    jitter: int = 0
    distribution: Distribution = "uniform"
    rate: int | None = None
    queue: int | None = None
    mtu: int = ETHERNET_MTU
    loss: float = 0.0
    burst: Burst | None = None
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_by: int = 0
    corrupt: float = 0.0

    def __post_init__(self) -> None:
        for name in ("delay", "jitter", "reorder_by"):
            if (value := getattr(self, name)) < 0:
                raise ValueError(f"{name} cannot be negative: {value} us")
        for name in ("loss", "duplicate", "reorder", "corrupt"):
            _check_share(name, getattr(self, name))
        if self.distribution not in get_args(Distribution):
            raise ValueError(f"distribution must be one of {', '.join(get_args(Distribution))}: {self.distribution}")
        if self.rate is not None and self.rate <= 0:
            raise ValueError(f"a rate must be positive: {self.rate} bit/s")
        if self.queue is not None and self.queue <= 0:
            raise ValueError(f"a queue must hold at least one frame: {self.queue}")
        if self.queue is not None and self.rate is None:
            raise ValueError("a queue limit needs a rate: without one no frame ever waits")
        if self.mtu not in _MTUS:
            raise ValueError(f"an mtu must be from {_MTUS[0]} to {_MTUS[-1]} octets: {self.mtu}")
        if bool(self.reorder) != bool(self.reorder_by):
            raise ValueError("reorder (how many) and reorder_by (how much later) go together")

    @property
    def queue_limit(self) -> int:
        """The frames that may wait, the one being sent included."""
        if self.queue is not None:
            return self.queue
        return max(QUEUE_FLOOR, (self.rate or 0) * self.delay // _SECOND // _FULL_FRAME_BITS)

    @property
    def longest_frame(self) -> int:
        """In octets with the Ethernet header."""
        return self.mtu + _ETHERNET

    @property
    def longest_way(self) -> int:
        """The microseconds after which a frame has arrived, or hardly ever has not."""
        waiting = self.queue_limit * _FULL_FRAME_BITS * _SECOND // self.rate if self.rate else 0
        return self.delay + _RARE * self.jitter + self.reorder_by + waiting


def direction(sender: str, receiver: str) -> str:
    """The name of one direction of a link, `"h1>s1"`."""
    return f"{sender}>{receiver}"


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"{name} must be from 0 % to 100 %: {share:.0%}")
