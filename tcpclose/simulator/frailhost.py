"""Simulated hosts that may be off or paused: what befalls the processes on emulated ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Literal, TypeVar

from tcpclose.host import Host
from tcpclose.host.forging import Forged
from tcpclose.links import Line
from tcpclose.protocol.datagram import Datagram
from tcpclose.scenario import Step
from tcpclose.trace.events import Event

Frame = TypeVar("Frame")


class FrailHost(Host, Generic[Frame]):
    """As `Host`; unless it is on, no timer expires and nothing is sent.

    While it is paused, frames wait in `arrived` and the calls of its user in `called`: whoever resumes it hands in the
    frames first, then lets timers expire, then makes the calls.
    """

    def start(self, boot: int) -> None:
        """It is on, and knows nothing."""
        super().start(boot)
        self.life: Literal["on", "paused", "off"] = "on"
        self.arrived: deque[Frame] = deque()
        self.called: deque[Step] = deque()

    def switch_off(self) -> None:
        """Nobody says a word; what waited is gone."""
        self.life = "off"
        self.arrived.clear()
        self.called.clear()

    def next_timeout(self) -> int | None:
        """When `timeout` is to be called; None when no timer runs, or none can expire."""
        return super().next_timeout() if self.life == "on" else None

    def datagrams_to_send(self, now: int) -> list[tuple[int, Datagram]]:
        """What goes on the wire now: nothing unless it is on."""
        return super().datagrams_to_send(now) if self.life == "on" else []


class SimulatedHands(Generic[Frame]):
    """What befalls simulated hosts (`host.faults.Hands`). `lines` go by link and direction, `clock` tells the time."""

    def __init__(
        self,
        hosts: Mapping[str, FrailHost[Frame]],
        lines: Mapping[tuple[str, str], Line[Frame]],
        clock: Callable[[], int],
    ) -> None:
        self._hosts, self._lines, self._clock = hosts, lines, clock
        self._forged: list[tuple[str, Forged]] = []

    def texts(self, host: str) -> Sequence[Event]:
        """Of all connections that this host has had since it was switched on."""
        return self._hosts[host].texts(self._clock())

    def switch_off(self, host: str) -> int:
        """What arrives finds nobody."""
        self._hosts[host].switch_off()
        return self._attend(host, False)

    def switch_on(self, host: str, boot: int) -> int:
        """It knows nothing."""
        self._hosts[host].start(boot)
        return self._attend(host, True)

    def _attend(self, host: str, attended: bool) -> int:
        for (_, way), line in self._lines.items():
            if way.endswith(f">{host}"):
                line.unattended = not attended
        return self._clock()

    def pause(self, host: str) -> int:
        """What arrives waits."""
        self._hosts[host].life = "paused"
        return self._clock()

    def resume(self, host: str) -> int:
        """It is to handle what has waited, when this is in the trace."""
        self._hosts[host].life = "on"
        return self._clock()

    def limit(self, host: str, changes: dict[str, int | str]) -> int:
        """What comes of it is to be told when this is in the trace."""
        self._hosts[host].limit(changes, self._clock())
        return self._clock()

    def emit(self, host: str, forged: Sequence[Forged]) -> int:
        """They are to leave when this is in the trace."""
        self._forged += [(host, segment) for segment in forged]
        return self._clock()

    def take_forged(self) -> list[tuple[str, Forged]]:
        """What is to leave now, and from which hosts."""
        forged, self._forged = self._forged, []
        return forged
