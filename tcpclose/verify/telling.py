"""What the explorer found, for people: in numbers, and a path as a figure of the RFC."""

from __future__ import annotations

from dataclasses import replace

from tcpclose.protocol.fsm import State
from tcpclose.trace.figure import Arrow, Line, format_figure
from tcpclose.verify.explore import Bound, Explorer, Move, World
from tcpclose.verify.sweep import Sweep


def draw_path(explorer: Explorer, path: list[Move]) -> str:
    """The moves from the beginning as a two-column figure, which `play_figure` can play."""
    story = _Story(explorer)
    for move in path:
        story.add(move)
    return format_figure(story.lines)


def report(search: Explorer | Sweep, violation: Explorer | None = None) -> str:
    """What was explored and found, a line for each finding, and figures of what is half-open or must not happen.

    `violation`: who found the way to what is wrong; a Sweep knows no ways.
    """
    silence, worlds = search.silence, len(search.worlds) if isinstance(search, Explorer) else search.worlds
    lines = [
        search.bound.in_words(),
        f"{worlds:,} worlds, depth {search.depth}, {search.seconds:.1f} s, "
        f"{worlds / max(search.seconds, 1e-6):,.0f} worlds/s"
        + ("" if search.exhausted else "; NOT EXHAUSTED: there are more"),
        "\nhow it ended, when nothing can happen any more (A, B, worlds):",
        *(f"  {a:26} {b:26} {count:7,}" for (a, b), count in silence.ended.most_common()),
        "\nhalf-open, with nothing in flight (A, B, worlds):",
        *(f"  {a:26} {b:26} {count:7,}" for (a, b), count in silence.half_open.items()),
        "\nof these, for ever: FIN-WAIT-2 has no timer (3.3.2), and the RST of the other end was lost:",
        *(f"  {a:26} {b:26} {count:7,}" for (a, b), count in silence.for_ever.items()),
        *_example(search.bound),
    ]
    teller = search if isinstance(search, Explorer) else violation
    if teller and teller.violations:
        for found in teller.violations:
            lines += [f"\nVIOLATION: {found.what}", f"by the shortest way where {teller.bound.in_words()}:\n"]
            lines.append(draw_path(teller, found.path))
    else:
        lines.append(f"\nVIOLATION: {search.wrong}" if search.wrong else "\nno violation")
    return "\n".join(lines) + "\n"


def _example(bound: Bound) -> list[str]:
    """A half-open pair of ends, by the shortest way without any text."""
    explorer = Explorer(replace(bound, octets=0, duplicates=0, seconds=None))
    explorer.run()
    if explorer.violations or not explorer.first_half_open:
        return []
    world = min(
        explorer.first_half_open,
        key=lambda world: (State.ESTABLISHED not in (fact.state for fact in explorer.facts(world)), world),
    )
    return ["\nfor example, one that is half-open:\n", draw_path(explorer, explorer.path(world))]


class _Story:
    """Lines of a figure, one move after the other. A segment that arrives at once shares the line of its sending."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        self.world = explorer.beginning
        passive = State.CLOSED if explorer.bound.simultaneous_open else State.LISTEN
        self.lines = [Line(1, states=[("A", State.CLOSED), ("B", passive)])]
        self._flying: dict[tuple[int, int], list[int]] = {}  # (to whom, segment): the lines that show it leave
        for side, segment in explorer.at_first:
            self._leaves(side, segment)

    def add(self, move: Move) -> None:
        """Tell a move."""
        before, self.world = self.world, move.world
        flight = (move.side, -1 if move.segment is None else move.segment)
        if move.what == "lost":
            self._lost(flight)
        elif move.what in ("arrives", "copied"):
            self._arrives(flight)
        else:
            call = self._timer(before, move) if move.what == "expires" else move.what.lower()
            self._line(Line(0, calls=[("AB"[move.side], call)], states=[self._state(move.side)]))
        for segment in move.sent:
            self._leaves(move.side, segment)

    def _timer(self, before: World, move: Move) -> str:
        return self.explorer.sides[move.side].timers(before[move.side], move.wait)[0].lower()

    def _line(self, line: Line) -> None:
        self.lines.append(replace(line, number=len(self.lines) + 1))

    def _state(self, side: int) -> tuple[str, State]:
        return "AB"[side], self.explorer.facts(self.world)[side].state

    def _leaves(self, side: int, segment: int) -> None:
        self._flying.setdefault((1 - side, segment), []).append(len(self.lines))
        arrow = Arrow("AB"[side], self.explorer.segments.get(segment), True, False, False, False)
        self._line(Line(0, arrow=arrow, states=[self._state(side)]))

    def _lost(self, flight: tuple[int, int]) -> None:
        """Shown where the segment leaves. Losing a copy shows nothing: it has arrived once."""
        if self._flying.get(flight):
            line = self.lines[self._flying[flight].pop(0)]
            if line.arrow:
                line.arrow = replace(line.arrow, lost=True)

    def _arrives(self, flight: tuple[int, int]) -> None:
        hearer, segment = flight
        state = self._state(hearer)
        if self._flying.get(flight):
            index = self._flying[flight].pop(0)
            line = self.lines[index]
            if index == len(self.lines) - 1 and line.arrow:
                line.arrow = replace(line.arrow, arrives=True)
                line.states.append(state)
                line.states.sort(key=lambda peer: peer[0])
                return
            duplicate = False
        else:
            duplicate = True
        arrow = Arrow("BA"[hearer], self.explorer.segments.get(segment), False, True, False, duplicate)
        self._line(Line(0, arrow=arrow, states=[state]))
