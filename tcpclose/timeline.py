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


class Timeline:
    """The steps of one run. Times are microseconds from its start; steps of one time come in the file's order."""

    def __init__(self, scenario: Scenario) -> None:
        self._steps = scenario.step
        self._queue: list[tuple[int, int, int]] = []  # (time, place in the file, how often it still fires), a heap
        self._waiting: dict[_End, dict[int, Condition]] = {}
        self._received: Counter[_End] = Counter()
        for place, step in enumerate(self._steps):
            if step.when is not None:
                self._waiting.setdefault((step.when.host, step.when.connection), {})[place] = step.when
            elif step.at is not None:
                heapq.heappush(self._queue, (step.at, place, step.repeat))

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

    def left(self) -> list[tuple[int, Step]]:
        """The steps that have not happened, each with its number, counted from 1 as in the file."""
        places = {place for waiting in self._waiting.values() for place in waiting} | {
            entry[1] for entry in self._queue
        }
        return [(place + 1, self._steps[place]) for place in sorted(places)]

    def observe(self, event: Event) -> list[Step]:
        """Schedule, `after` the event, the steps that waited for it, and return them. Each is triggered once.

        They come out of `due` when their time is there, which may be at once.
        """
        if not isinstance(event, Change | Told | End):
            return []
        end = event.host, event.connection
        if isinstance(event, Told) and event.signal == Notice.TEXT.value:
            self._received[end] += int(event.detail)
        waiting = self._waiting.get(end, {})
        met = [place for place, condition in waiting.items() if self._met(condition, event)]
        for place in met:
            del waiting[place]
            heapq.heappush(self._queue, (event.t + self._steps[place].after, place, self._steps[place].repeat))
        return [self._steps[place] for place in met]

    def watched(self, host: str) -> frozenset[Condition]:
        """Conditions at `host` that still wait to strike a fault at once.

        Whoever runs that host watches for them: when `observe` returns a fault with no `after`, the host's output
        is held until the fault has taken effect, or the segment of that very moment would escape it.
        """
        return frozenset(
            condition
            for (where, _), waiting in self._waiting.items()
            for place, condition in waiting.items()
            if where == host and self._steps[place].fault and not self._steps[place].after
        )

    def _met(self, condition: Condition, event: Change | Told | End) -> bool:
        if condition.verb == "received":
            return self._received[condition.host, condition.connection] >= int(condition.value)
        if isinstance(event, Change):
            return condition.verb == "in" and event.new == condition.value
        names = {event.signal} if isinstance(event, Told) else {Notice.CLOSED.value, signal_name(event.cause)}
        return condition.verb == "sees" and condition.value in names
