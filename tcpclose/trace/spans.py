"""What lasted: the states that each end of a connection passed, and the faults of the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tcpclose.protocol.fsm import State
from tcpclose.trace.events import Call, Change, Expired, FaultTaken, Received, Trace
from tcpclose.trace.flights import MOMENT

#: What stands on a lifeline from where its host crashed: it is in no state any more.
CRASH = "(Crash)"

#: The fault that ends each lasting fault.
REMEDY = {
    "link_down": "link_up",
    "carrier_down": "carrier_up",
    "silent": "speaking",
    "crash": "reboot",
    "pause": "resume",
    "power_off": "power_on",
    "unreachable": "reachable",
}

#: What people call them while they last.
_LASTING = {"crash": "off", "pause": "paused", "forget": "forgets"}


@dataclass(frozen=True, slots=True)
class Interval:
    """One end was in `state` from `start` to `end`, after `previous`; `entered` is the row of the table that led in."""

    state: str
    start: int
    end: int
    previous: str
    entered: Change
    #: The host crashed in it: nobody left it.
    crashed: bool = False

    @property
    def length(self) -> int:
        """In microseconds."""
        return self.end - self.start


def intervals(trace: Trace) -> dict[tuple[str, str], list[Interval]]:
    """The states of each end, by (host, connection), from its first change to the end of the trace, or to a crash.

    A segment that fires two rows, FIN-WAIT-1 to FIN-WAIT-2 to TIME-WAIT, leads straight to the last state: nobody
    could see the one between.
    """
    steps: dict[tuple[str, str], list[tuple[Change, Change]]] = defaultdict(list)  # first and last row of each step
    stirred: dict[str, int] = defaultdict(int)  # how often something happened to a host
    stirred_at: dict[tuple[str, str], int] = {}
    crashes: dict[str, list[int]] = defaultdict(list)
    for event in trace:
        match event:
            case Call() | Received() | Expired():
                stirred[event.host] += 1
            case FaultTaken(fault="crash"):
                crashes[event.target].append(event.t)
            case Change() if event.old != event.new:
                end = (event.host, event.connection)
                passed = steps[end]
                first = event
                if passed and stirred_at[end] == stirred[event.host] and event.t - passed[-1][0].t <= MOMENT:
                    first, _ = passed.pop()
                passed.append((first, event))
                stirred_at[end] = stirred[event.host]
    until = trace.events[-1].t if len(trace) else 0
    return {end: list(_intervals_of(passed, until, crashes[end[0]])) for end, passed in steps.items()}


def _intervals_of(steps: list[tuple[Change, Change]], until: int, crashes: list[int]) -> Iterator[Interval]:
    ends = [first.t for first, _ in steps[1:]] + [until + 1]
    for (first, last), end in zip(steps, ends, strict=True):
        crash = next((t for t in crashes if first.t <= t < end and last.new != State.CLOSED.value), None)
        end = min(end, until)
        yield Interval(last.new, first.t, end if crash is None else crash, first.old, last, crash is not None)


@dataclass(frozen=True, slots=True)
class Outage:
    """A fault and how long it lasted; `end` is None when it never ended, and equals `start` for a fault of a moment.

    `connection` is the only one that it concerns, if it is one.
    """

    fault: str
    target: str
    start: int
    end: int | None
    detail: str = ""
    connection: str | None = None

    @property
    def name(self) -> str:
        """For people: "link h1-s1 down", "h2 silent", "h2 off", "h3 inject: RST as h1 on c1"."""
        words = self.fault.split("_")
        if len(words) > 1:
            return " ".join([words[0], self.target, *words[1:]])
        if self.fault == "crash" and self.end == self.start:
            return f"{self.target} rebooted"
        name = f"{self.target} {_LASTING.get(self.fault, self.fault)}"
        return f"{name}: {self.detail}" if self.detail else name


def outages(trace: Trace) -> list[Outage]:
    """The faults of the run, each lasting one joined with the fault that ended it, and all of its kind."""
    result: list[Outage] = []
    for event in trace.of(FaultTaken):
        running = [
            place
            for place, outage in enumerate(result)
            if outage.target == event.target and outage.end is None and REMEDY[outage.fault] == event.fault
        ]
        for place in running:
            result[place] = replace(result[place], end=event.t)
        if event.fault not in REMEDY.values():
            end = None if event.fault in REMEDY else event.t
            result.append(Outage(event.fault, event.target, event.t, end, event.detail, event.connection))
    return result
