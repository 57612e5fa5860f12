"""Links: what becomes of the frames that a link is offered.

The simulator and the relay of the testbed use the same class, so that the same seed and the same
arrivals give the same fate in both. Nothing here knows a clock: the time comes in with every call,
in microseconds.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

Frame = TypeVar("Frame")

#: A queue shorter than this would lose frames of a single window, whatever the link's delay.
QUEUE_FLOOR = 100

_FULL_FRAME_BITS = 1514 * 8
_SECOND = 1_000_000


@dataclass(frozen=True)
class LinkSettings:
    """What a link does to frames, the same in both directions.

    `delay` in microseconds; `rate` in bit/s, None for no limit; `loss` a probability from 0 to 1; `queue` in
    frames that wait for the rate, None for bandwidth x delay or `QUEUE_FLOOR`, whichever is more. Raises
    `ValueError` for settings that cannot be.
    """

    delay: int = 0
    rate: int | None = None
    loss: float = 0.0
    queue: int | None = None

    def __post_init__(self) -> None:
        if self.delay < 0:
            raise ValueError(f"a delay cannot be negative: {self.delay} us")
        if self.rate is not None and self.rate <= 0:
            raise ValueError(f"a rate must be positive: {self.rate} bit/s")
        if not 0 <= self.loss <= 1:
            raise ValueError(f"a loss must be from 0 % to 100 %: {self.loss:.0%}")
        if self.queue is not None and self.queue <= 0:
            raise ValueError(f"a queue must hold at least one frame: {self.queue}")
        if self.queue is not None and self.rate is None:
            raise ValueError("a queue limit needs a rate: without one no frame ever waits")

    @property
    def queue_limit(self) -> int:
        """The frames that may wait, the one being sent included."""
        if self.queue is not None:
            return self.queue
        return max(QUEUE_FLOOR, (self.rate or 0) * self.delay // _SECOND // _FULL_FRAME_BITS)


def direction(sender: str, receiver: str) -> str:
    """The name of one direction of a link, `"h1>s1"`."""
    return f"{sender}>{receiver}"


def link_random(seed: int, link: str, direction: str) -> random.Random:
    """The random stream of one direction of a link, its own so that no two directions lose alike."""
    return random.Random(f"{seed}/link/{link}/{direction}")


class Line(Generic[Frame]):
    """One direction of a link: frames go in, and come out later, in order, or not at all.

    A frame first waits until those before it are sent (`rate`, `queue`), then travels for `delay`.
    """

    def __init__(self, settings: LinkSettings, rng: random.Random) -> None:
        self.settings = settings
        self.up = True
        self.silent = False  # the sender is mute: what it offers is lost, what is under way arrives
        self._rng = rng
        self._limit = settings.queue_limit
        self._flying: deque[tuple[int, Frame]] = deque()  # (time of arrival, frame)
        # Times of sending are kept in units of 1/rate us: whole numbers, so that no rounding adds up.
        self._waiting: deque[int] = deque()
        self._free = 0

    def offer(self, frame: Frame, octets: int, now: int) -> str | None:
        """The sender puts `frame` on the line; `octets` is its length with the Ethernet header.

        None when it is on its way, else why it is lost: "down", "silent", "loss" or "queue".
        """
        # Drawn for every frame: its fate shall not depend on what befell the others.
        lost = self._rng.random() < self.settings.loss
        if not self.up:
            return "down"
        if self.silent:
            return "silent"
        if lost:
            return "loss"
        sent = now
        if rate := self.settings.rate:
            while self._waiting and self._waiting[0] <= now * rate:
                self._waiting.popleft()
            if len(self._waiting) >= self._limit:
                return "queue"
            self._free = max(self._free, now * rate) + octets * 8 * _SECOND
            self._waiting.append(self._free)
            sent = -(-self._free // rate)
        self._flying.append((sent + self.settings.delay, frame))
        return None

    def next_due(self) -> int | None:
        """When the next frame arrives; None when none is under way."""
        return self._flying[0][0] if self._flying else None

    def due(self, now: int) -> list[Frame]:
        """Take the frames that have arrived by `now`, in the order in which they were offered."""
        arrived = []
        while self._flying and self._flying[0][0] <= now:
            arrived.append(self._flying.popleft()[1])
        return arrived

    def cut(self) -> list[Frame]:
        """The line goes down. Returns the frames that were under way: they are lost too."""
        lost = [frame for _, frame in self._flying]
        self.up = False
        self._flying.clear()
        self._waiting.clear()
        self._free = 0
        return lost

    def restore(self) -> None:
        """The line is up again, and empty."""
        self.up = True
