"""When the steps of a scenario happen: at their time, or once what they wait for is seen.

Pure, like the engine: the time and the events of the trace come in, steps come out. Every world keeps one.

    timeline = Timeline(scenario)
    timeline.due(now)          # steps to take now
    timeline.observe(event)    # may make others due
    timeline.next_time()       # when to ask again
"""

from __future__ import annotations

import heapq
from collections import Counter

from tcpclose.protocol.connection import Notice
from tcpclose.scenario import Condition, Scenario, Step, signal_name
from tcpclose.trace.events import Change, End, Event, Told

_End = tuple[str, str]  # host, connection
#: Host, connection, verb and value, as in a `Condition`.
Sight = tuple[str, str, str, str]

_TEXT, _CLOSED = Notice.TEXT.value, Notice.CLOSED.value


def sights(event: Event) -> tuple[Sight, ...]:
    """What a condition of the verbs `in` and `sees` may wait for and an event shows."""
    match event:
        case Change() if event.old != event.new:
            return ((event.host, event.connection, "in", event.new),)
        case Told():
            return ((event.host, event.connection, "sees", event.signal),)
        case End():
            seen = (_CLOSED, signal_name(event.cause))
            return tuple((event.host, event.connection, "sees", name) for name in seen)
    return ()


class Timeline:
    """The steps of one run. Times are microseconds from its start; steps of one time come in the file's order."""

    def __init__(self, scenario: Scenario) -> None:
        self._steps = list(scenario.step)
        self._queue: list[tuple[int, int, int]] = []  # (time, place in the file, how often it still fires), a heap
        self._waiting: dict[int, Condition] = {}  # by place in the file; each stands in one of the next two as well,
        self._awaited: dict[tuple[Sight, int], list[int]] = {}  # so that an event finds the places that wait for it:
        self._seen: Counter[Sight] = Counter()  # how often; a sight is counted by its number
        self._thirsty: dict[_End, dict[int, int]] = {}  # these wait for so many octets
        self._received: Counter[_End] = Counter()
        for place, step in enumerate(self._steps):
            if step.when is not None:
                self._wait(place, step.when)
            elif step.at is not None:
                heapq.heappush(self._queue, (step.at, place, step.repeat))

    def _wait(self, place: int, condition: Condition) -> None:
        host, connection, verb = condition.host, condition.connection, condition.verb
        self._waiting[place] = condition
        if verb == "received":
            self._thirsty.setdefault((host, connection), {})[place] = int(condition.value)
        else:
            sight = host, connection, verb, condition.value
            self._awaited.setdefault((sight, condition.number), []).append(place)

    def add(self, time: int, step: Step) -> None:
        """A step that the scenario does not have: what a fault brings on later."""
        heapq.heappush(self._queue, (time, len(self._steps), 1))
        self._steps.append(step)

    def due(self, now: int) -> list[Step]:
        """Take the steps that are to happen by `now`, in order; a repeated one as often as its times have passed."""
        steps = []
        while self._queue and self._queue[0][0] <= now:
            time, place, left = heapq.heappop(self._queue)
            step = self._steps[place]
            steps.append(step)
            if left > 1:
                heapq.heappush(self._queue, (time + step.every, place, left - 1))
        return steps

    def next_time(self) -> int | None:
        """When the next step is due; None when all that is left waits for something to be seen."""
        return self._queue[0][0] if self._queue else None

    def left(self) -> list[tuple[int, Step, int | None]]:
        """The steps that have not happened, each with its number, counted from 1 as in the file, and when it is due.

        None is due that waits for something to be seen.
        """
        times = {place: time for time, place, _ in self._queue} | dict.fromkeys(self._waiting)
        return [(place + 1, self._steps[place], times[place]) for place in sorted(times)]

    def observe(self, event: Event) -> list[Step]:
        """Schedule, `after` the event, the steps that waited for it, and return them. Each is triggered once.

        They come out of `due` when their time is there, which may be at once.
        """
        steps = []
        for place in self._met(event):
            del self._waiting[place]
            step = self._steps[place]
            steps.append(step)
            heapq.heappush(self._queue, (event.t + step.after, place, step.repeat))
        return steps

    def watched(self, host: str) -> frozenset[Condition]:
        """Conditions at `host` that still wait to strike a fault at once.

        Whoever runs that host watches for them: when `observe` returns a fault with no `after`, the host's output
        is held until the fault has taken effect, or the segment of that very moment would escape it.
        """
        return frozenset(
            condition
            for place, condition in self._waiting.items()
            if condition.host == host and self._steps[place].fault and not self._steps[place].after
        )

    def _met(self, event: Event) -> list[int]:
        """Take out the places of the steps that waited for this event, in order."""
        met = []
        for sight in sights(event):
            self._seen[sight] += 1
            met += self._awaited.pop((sight, self._seen[sight]), [])
        if isinstance(event, Told) and event.signal == _TEXT:
            met += self._sated(event)
        return sorted(met)

    def _sated(self, text: Told) -> list[int]:
        """Take out the places of the steps for which enough octets have come."""
        end = text.host, text.connection
        waiting = self._thirsty.get(end)
        if not waiting:
            return []
        self._received[end] += int(text.detail)
        met = [place for place, octets in waiting.items() if octets <= self._received[end]]
        for place in met:
            del waiting[place]
        return met
