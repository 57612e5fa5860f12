"""A run while it goes on: the states of each end, the last segments, the faults to come.

Only on a terminal: nothing is written into pipes. What it shows goes when the run is over.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.style import Style
from rich.table import Table
from rich.text import Text

from tcpclose.charts.colours import STATE_COLOURS
from tcpclose.scenario import Scenario, Step
from tcpclose.terminal.console import console
from tcpclose.trace.events import Change, End, Event, FaultTaken, Lost, Received, SegmentEvent

#: Lines of segments and of faults, and how often a second they are drawn.
SEGMENTS, FAULTS, RATE = 6, 4, 8


@contextmanager
def followed(scenario: Scenario, world: str, wanted: bool = True) -> Iterator[Callable[[Event], None]]:
    """Gives what to tell of each event; what it is told is shown on a terminal, if that is `wanted`."""
    view = View(scenario, world)
    if not (wanted and sys.stderr.isatty()):
        yield view.watch
        return
    with Live(
        view, console=console(stderr=True), transient=True, refresh_per_second=RATE, redirect_stdout=False,
        redirect_stderr=False,
    ):  # fmt: skip
        yield view.watch


class View:
    """What is known of a run so far. One thread tells it, another draws it: each value is replaced whole."""

    def __init__(self, scenario: Scenario, world: str) -> None:
        self.title = scenario.title or world
        self.duration = scenario.duration
        self.now = 0
        self.begun = False
        self.states: dict[tuple[str, str], tuple[str, str]] = {}  # (connection, host) to state and cause
        self.last: list[str] = []
        self.coming = [
            (fault.kind, fault.target, f"{fault.kind} {fault.target} {fault.detail}".rstrip() + f", {_moment(step)}")
            for step in scenario.step
            if (fault := step.fault)
            for _ in range(step.repeat)
        ]

    def watch(self, event: Event) -> None:
        """Take note of an event."""
        self.begun = True
        self.now = max(self.now, event.t)
        match event:
            case Change() if event.old != event.new:
                self.states[event.connection, event.host] = (event.new, "")
            case End():
                state, _ = self.states.get((event.connection, event.host), ("", ""))
                self.states[event.connection, event.host] = (state, event.cause)
            case FaultTaken():
                if event.fault == "crash":
                    self.states = {end: known for end, known in self.states.items() if end[1] != event.target}
                self._tell(event.t, f"{event.fault} {event.target} {event.detail}".rstrip())
                struck = [fault for fault in self.coming if fault[:2] == (event.fault, event.target)][:1]
                self.coming = [fault for fault in self.coming if not any(fault is one for one in struck)]
            case Lost():
                self._tell(event.t, f"{_words(event)}  lost ({event.reason})")
            case Received():
                self._tell(event.t, _words(event))

    def _tell(self, t: int, words: str) -> None:
        self.last = [*self.last[1 - SEGMENTS :], f"{t / 1e6:9.3f}  {words}"]

    def __rich__(self) -> RenderableType:
        head = Table.grid(padding=(0, 1))
        head.add_row(
            Text(self.title, "bold"),
            ProgressBar(total=self.duration, completed=self.now, width=24),
            Text(f"{self.now / 1e6:.1f} of {self.duration / 1e6:g} s" if self.begun else "building the network"),
        )
        ends = Table.grid(padding=(0, 2))
        for (connection, host), (state, cause) in list(self.states.items())[-12:]:
            ends.add_row(
                f"{host}.{connection}", Text(state, Style(color=STATE_COLOURS.get(state), bold=True)), Text(cause)
            )
        parts: list[RenderableType] = [head, ends, *(Text(line, "dim", no_wrap=True) for line in self.last)]
        parts += [Text(f"to come: {words}", "magenta", no_wrap=True) for *_, words in self.coming[:FAULTS]]
        return Group(*parts)


def _moment(step: Step) -> str:
    if step.at is not None:
        return f"at {step.at / 1e6:g} s"
    return f"when {step.when}" + (f", {step.after / 1e6:g} s later" if step.after else "")


def _words(segment: SegmentEvent) -> str:
    octets = f"  {segment.len} octets" if segment.len else ""
    return f"{segment.src} \u2192 {segment.dst}  {segment.ctl}{octets}"
