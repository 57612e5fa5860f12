"""Faults that strike hosts: what each means, whatever the world. The world lends its hands (`Hands`).

`Faults` keeps which host is off or paused, refuses what cannot be, and writes into the trace what took effect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from tcpclose.host.forging import Forged, Forger
from tcpclose.scenario import Fault, ScenarioError, Step
from tcpclose.scenario.faults import Crash, HostFault, Injection, Limit, Pause, Reboot
from tcpclose.timeline import Timeline
from tcpclose.trace.events import Event, FaultTaken

#: What a call of a user comes to whose host is off.
OFF = "error: the host is off"


class Hands(Protocol):
    """What a world can do to its hosts. Each returns when it took effect, in microseconds of the run.

    But for `texts`, which are those of a host's users so far, as far as the world does not put them into the trace.
    """

    def texts(self, host: str) -> Sequence[Event]: ...
    def switch_off(self, host: str) -> int: ...
    def switch_on(self, host: str, boot: int) -> int: ...
    def pause(self, host: str) -> int: ...
    def resume(self, host: str) -> int: ...
    def limit(self, host: str, changes: dict[str, int | str]) -> int: ...
    def emit(self, host: str, forged: Sequence[Forged]) -> int: ...


class Faults:
    """The faults of one run that strike hosts. `note` takes the events that come of them."""

    def __init__(self, hands: Hands, forger: Forger, timeline: Timeline, note: Callable[[Event], None]) -> None:
        self._hands = hands
        self._forger = forger
        self._timeline = timeline
        self._note = note
        self._off: set[str] = set()
        self._paused: set[str] = set()
        self._boots: Counter[str] = Counter()

    def strike(self, fault: HostFault, now: int) -> None:
        """Raises `ScenarioError` when the fault cannot be applied."""
        match fault:
            case Crash():
                self._demand_on(fault)
                self._switch_off(fault.host)
            case Reboot():
                self._reboot(fault, now)
            case Pause():
                self._pause(fault)
            case Limit():
                self._demand_awake(fault)
                self._taken(fault, self._hands.limit(fault.host, fault.changes))
            case Injection():
                self._inject(fault)

    def _switch_off(self, host: str) -> None:
        for text in self._hands.texts(host):
            self._note(text)
        at = self._hands.switch_off(host)
        self._off.add(host)
        self._paused.discard(host)
        self._taken(Crash(kind="crash", host=host), at)

    def _reboot(self, fault: Reboot, now: int) -> None:
        if fault.host not in self._off:
            self._switch_off(fault.host)
        if fault.down:
            now_on = fault.model_copy(update={"down": 0})
            self._timeline.add(now + fault.down, Step.model_construct(fault=now_on))
            return
        self._boots[fault.host] += 1
        at = self._hands.switch_on(fault.host, self._boots[fault.host])
        self._off.discard(fault.host)
        self._taken(fault, at)

    def _pause(self, fault: Pause) -> None:
        self._demand_on(fault)
        pauses = fault.kind == "pause"
        if pauses is (fault.host in self._paused):
            raise ScenarioError(
                [f"{fault.kind} {fault.host}: it {'is paused already' if pauses else 'was not paused'}"]
            )
        if pauses:
            self._paused.add(fault.host)
            self._taken(fault, self._hands.pause(fault.host))
        else:
            self._paused.discard(fault.host)
            self._taken(fault, self._hands.resume(fault.host))

    def _inject(self, fault: Injection) -> None:
        self._demand_awake(fault)
        forged = list(self._forger.forge(fault))
        at = self._hands.emit(fault.host, forged)
        self._taken(fault, at)
        for segment in forged:
            self._note(self._forger.sent(fault, segment, at))

    def _demand_on(self, fault: HostFault) -> None:
        if fault.host in self._off:
            raise ScenarioError([f"{fault.kind} {fault.host}: it is off"])

    def _demand_awake(self, fault: HostFault) -> None:
        self._demand_on(fault)
        if fault.host in self._paused:
            raise ScenarioError([f"{fault.kind} {fault.host}: it is paused"])

    def _taken(self, fault: Fault, at: int) -> None:
        only = fault.connection if isinstance(fault, Injection) else None
        taken = FaultTaken(t=at, fault=fault.kind, target=fault.target, detail=fault.detail, connection=only)
        self._note(taken)
