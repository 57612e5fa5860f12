"""One direction of a link: frames go in, and come out later, or not at all."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Generic, NamedTuple, TypeVar

from .dice import FAIR, Dice, Streams, Throw
from .fates import Order
from .settings import LinkSettings

Frame = TypeVar("Frame")

#: Why a line loses a frame, or a middlebox at its end does.
LOSSES = ("down", "silent", "off", "mtu", "fate", "loss", "burst", "queue", "middlebox")

_SECOND = 1_000_000
_MIDDLE = 0.5  # where a fate damages a segment


class Deed(NamedTuple):
    """What a line did to a frame besides delivering it: one of `LOSSES`, or "duplicate", "corrupt", "reorder", "hold".

    `rule` is that of the fate which had it done, empty when it was chance or the line's state.
    """

    what: str
    rule: str = ""

    @property
    def loses(self) -> bool:
        """The frame is gone."""
        return self.what in LOSSES


_NOTHING: tuple[Deed, ...] = ()


class Line(Generic[Frame]):
    """One direction of a link.

    A frame first waits until those before it are sent (`rate`, `queue`), then travels for the delay. All arrive in the
    order in which they were offered, except those that are reordered or that a fate holds: these come by themselves,
    later. `damage(frame, place)` gives the frame with one bit of its segment flipped, `place` from 0 to 1.
    """

    def __init__(self, settings: LinkSettings, streams: Streams, damage: Callable[[Frame, float], Frame]) -> None:
        self.settings = settings
        self.up = True
        self.silent = False  # the sender is mute: what it offers is lost, what is under way arrives
        self.deaf = False  # the receiver hears nothing: what arrives is lost
        self.unattended = False  # there is nobody to hear it: the receiver is off
        self.longest_frame = settings.longest_frame
        dice = Dice(settings, streams)
        self._dice = None if dice.loaded else dice
        self._damage = damage
        self._limit = settings.queue_limit
        # (time of arrival, number, frame): those in order, and a heap of those that go their own way
        self._flying: deque[tuple[int, int, Frame]] = deque()
        self._strays: list[tuple[int, int, Frame]] = []
        self._number = 0
        self._last = 0  # when the last of those in order arrives
        # Times of sending are kept in units of 1/rate us: whole numbers, so that no rounding adds up.
        self._waiting: deque[int] = deque()
        self._free = 0

    def offer(self, frame: Frame, octets: int, now: int, orders: Iterable[Order] = ()) -> tuple[Deed, ...]:
        """The sender puts `frame` on the line; `octets` is its length with the Ethernet header.

        `orders` are those of the fates that it meets. What the line did to it: nothing, or one loss, or other deeds.
        """
        # Thrown for every frame: its fate shall not depend on what befell the others.
        throw = FAIR if self._dice is None else self._dice.throw()
        fair = throw is FAIR and not orders
        if not (fair and self.up and not self.silent and octets <= self.longest_frame):
            loss = self._loss(octets, throw, orders)
            if loss is not None:
                return (loss,)
        sent = now if self.settings.rate is None else self._send(octets, now, self.settings.rate)
        if sent is None:
            return (Deed("queue"),)
        if fair:
            self._fly(frame, sent + self.settings.delay, 0)
            return _NOTHING
        return self._mistreat(frame, octets, now, sent, throw, orders)

    def _loss(self, octets: int, throw: Throw, orders: Iterable[Order]) -> Deed | None:
        if not self.up:
            return Deed("down")
        if self.silent:
            return Deed("silent")
        if octets > self.longest_frame:
            return Deed("mtu")
        for order in orders:
            if order.action == "drop":
                return Deed("fate", order.rule)
        return Deed(throw.lost) if throw.lost else None

    def _send(self, octets: int, now: int, rate: int) -> int | None:
        """When the last bit is on the line; None when the queue has no room."""
        while self._waiting and self._waiting[0] <= now * rate:
            self._waiting.popleft()
        if len(self._waiting) >= self._limit:
            return None
        self._free = max(self._free, now * rate) + octets * 8 * _SECOND
        self._waiting.append(self._free)
        return -(-self._free // rate)

    def _mistreat(
        self, frame: Frame, octets: int, now: int, sent: int, throw: Throw, orders: Iterable[Order]
    ) -> tuple[Deed, ...]:
        asked = [Deed(order.action, order.rule) for order in orders]
        chances = {"corrupt": throw.damage is not None, "reorder": throw.late, "duplicate": throw.copied}
        deeds = asked + [Deed(what) for what, struck in chances.items() if struck]
        delay = max(0, self.settings.delay + throw.jitter)
        late = sum(order.hold for order in orders) + (self.settings.reorder_by if throw.late else 0)
        whole = frame
        if any(deed.what == "corrupt" for deed in deeds):
            frame = self._damage(frame, _MIDDLE if throw.damage is None else throw.damage)
        self._fly(frame, sent + delay, late)
        if any(deed.what == "duplicate" for deed in deeds):
            again = now if self.settings.rate is None else self._send(octets, now, self.settings.rate)
            if again is None:  # no room for a copy
                return tuple(deed for deed in deeds if deed.what != "duplicate")
            self._fly(whole, again + delay, late)
        return tuple(deeds)

    def _fly(self, frame: Frame, arrival: int, late: int) -> None:
        self._number += 1
        if late:
            heapq.heappush(self._strays, (arrival + late, self._number, frame))
        else:
            if arrival > self._last:
                self._last = arrival
            self._flying.append((self._last, self._number, frame))

    def next_due(self) -> int | None:
        """When the next frame arrives; None when none is under way."""
        if not self._strays:
            return self._flying[0][0] if self._flying else None
        stray = self._strays[0][0]
        return min(stray, self._flying[0][0]) if self._flying else stray

    def due(self, now: int) -> list[Frame]:
        """Take the frames that have arrived by `now`, in the order of their arrival."""
        arrived = []
        while self._flying and self._flying[0][0] <= now:
            arrived.append(self._flying.popleft())
        if self._strays:
            while self._strays and self._strays[0][0] <= now:
                arrived.append(heapq.heappop(self._strays))
            arrived.sort(key=itemgetter(0, 1))
        return [frame for _, _, frame in arrived]

    def silence(self, way: str | None, speaks: bool, hears: bool) -> None:
        """The host that `speaks` into it, or `hears` at its end, is silent "out", "in" or "both"; None ends that."""
        if speaks:
            self.silent = way is not None and (self.silent or way != "in")
        if hears:
            self.deaf = way is not None and (self.deaf or way != "out")

    @property
    def loss_on_arrival(self) -> str | None:
        """Why what arrives now is lost all the same: "off" or "silent"; None when it is received."""
        return "off" if self.unattended else "silent" if self.deaf else None

    def cut(self) -> list[Frame]:
        """The line goes down. Returns the frames that were under way: they are lost too."""
        lost = sorted([*self._flying, *self._strays], key=itemgetter(1))
        self.up = False
        self._flying.clear()
        self._strays.clear()
        self._waiting.clear()
        self._free = self._last = 0
        return [frame for _, _, frame in lost]

    def restore(self) -> None:
        """The line is up again, and empty."""
        self.up = True
