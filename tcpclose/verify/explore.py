"""Every world that two users and a bad network can make of two connections, breadth first.

A *world* is two ends, the segments in flight each way, and what the network may still do. From it, one move leads to
the next: a user calls, a segment arrives, is lost, or arrives and will arrive once more, or a timer expires.

What is assumed of time: segments and users are fast, timers are slow. Both ends have one clock, and it goes to the
next deadline only when nothing is in flight; timers that are due at that moment expire in either order, before or
after whatever the others cause. `Bound.hurries` times the clock may run ahead of the network: the next timer expires
although segments are in flight. Two MSL never end before the network is empty, as MSL is defined. A call of a user
between two deadlines is made right after the earlier one.

Two shortcuts leave out worlds, and no behaviour. What is in flight to an end that is CLOSED arrives before anything
else happens: that end stays as it is and answers each segment for itself (3.10.7.1), and losing, repeating or
delaying the segment comes to the same as doing so to its answer. And where order is free, a segment is lost only when
all else has arrived: until then a segment that never arrives cannot be told from one that is late.

Checked in every world: each end got a prefix of what the other gave; who is told "graceful" gave all and got all;
no RST answers a RST; the engine raises nothing. Checked on the graph: segments alone lead to an end of all exchange;
and once both users have called CLOSE or ABORT, whatever order segments arrive in and timers expire, both ends come
to CLOSED. One exception is the RFC's own: FIN-WAIT-2 has no timer, and waits for ever for a peer that is gone. Such
worlds are counted apart.
"""

from __future__ import annotations

import itertools
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.fsm import TABLE, State, Table
from tcpclose.verify.ends import CONFIG, Ends, Facts, Segments, Sends, Step
from tcpclose.verify.findings import Silence, wrong_between

#: As in the figures of the RFC.
ISS = (100, 300)


@dataclass(frozen=True, slots=True)
class Bound:
    """How far to look: octets each user may send, and how often the network may do what.

    `late` segments may leave their place and arrive whenever they like, however many overtake them; None: all may.
    Copies are late as a matter of course. Losses and duplicates together are at most `faults`. `seconds` ends the
    search early; the findings then say so.
    """

    octets: int = 2
    losses: int = 1
    duplicates: int = 1
    faults: int = 2
    late: int | None = None
    hurries: int = 0
    simultaneous_open: bool = False
    send_in_listen: bool = False
    seconds: float | None = None

    def faults_left(self, losses: int, duplicates: int) -> int:
        """How many faults there may still be when of these so many are left."""
        return self.faults - (self.losses - losses) - (self.duplicates - duplicates)

    @property
    def sends(self) -> Sends:
        """What a user may send."""
        return Sends(self.octets, self.send_in_listen)

    def in_words(self) -> str:
        """The bound, for people."""
        opens = "both OPENs are active" if self.simultaneous_open else "one OPEN is active, the other passive"
        listen = "" if self.send_in_listen else " (not in LISTEN)"
        order = "in any order" if self.late is None else f"in order, but for {self.late}"
        hurries = f"; up to {self.hurries} timers expire while segments are in flight" if self.hurries else ""
        return (
            f"{opens}; each user may SEND up to {self.octets} octets{listen}, CLOSE and ABORT at any point; "
            f"segments arrive {order}, up to {self.losses} never, up to {self.duplicates} twice, "
            f"together up to {self.faults} of these{hurries}"
        )


#: A world: both ends by number, what is in flight to each by number, and what the network may still do.
World = tuple[int, int, int, int, int]

# What the network may still do: four small counters in one number.
_LOSS, _COPY, _HURRY, _LATE = 1, 1 << 8, 1 << 16, 1 << 24


class Move(NamedTuple):
    """One way on from a world, and the world it leads to.

    `what` is "arrives", "copied" (it arrives, and will once more), "lost", "expires", or a call with its octets.
    `side` is who calls, hears, or whose timer expires. `fair` moves are those that happen if nobody interferes.
    """

    world: World
    what: str
    side: int
    fair: bool
    segment: int | None = None
    sent: tuple[int, ...] = ()
    wrong: str | None = None
    wait: int = 0


@dataclass
class Violation:
    """What must not happen, and the moves that lead there, by the shortest way."""

    what: str
    path: list[Move]


class Choice(NamedTuple):
    """A segment that may leave a net: what remains, what remains with a copy of it, and how many become late."""

    segment: int
    rest: int
    copied: int
    late: int


class Nets:
    """What can be in flight one way, by number.

    A net is a queue, and before it, as negative numbers, those that left the queue: late segments and copies, which
    arrive whenever they like. If order is `free`, all are late from the start.
    """

    def __init__(self, free: bool) -> None:
        self.free = free
        self._segments: list[tuple[int, ...]] = []
        self._numbers: dict[tuple[int, ...], int] = {}
        self._joined: dict[tuple[int, tuple[int, ...]], int] = {}
        self._choices: dict[int, tuple[Choice, ...]] = {}
        self.nothing = self._number([], ())

    def _number(self, late: list[int], queue: tuple[int, ...]) -> int:
        segments = (*sorted(late), *queue)
        number = self._numbers.setdefault(segments, len(self._segments))
        if number == len(self._segments):
            self._segments.append(segments)
        return number

    def count(self, net: int) -> int:
        """How many segments are in flight."""
        return len(self._segments[net])

    def choices(self, net: int) -> tuple[Choice, ...]:
        """Which segments may leave the net: a late one, or one of the queue, and then all before it are late."""
        choices = self._choices.get(net)
        if choices is None:
            choices = self._choices[net] = tuple(self._choose(self._segments[net]))
        return choices

    def _choose(self, segments: tuple[int, ...]) -> Iterator[Choice]:
        late = [segment for segment in segments if segment < 0]
        queue = segments[len(late) :]
        for segment in dict.fromkeys(late):
            others = late.copy()
            others.remove(segment)
            yield Choice(~segment, self._number(others, queue), self._number(late, queue), 0)
        for index, segment in enumerate(queue):
            others = [*late, *(~overtaken for overtaken in queue[:index])]
            rest = queue[index + 1 :]
            yield Choice(segment, self._number(others, rest), self._number([*others, ~segment], rest), index)

    def join(self, net: int, sent: tuple[int, ...]) -> int:
        """What is in flight when these segments have left as well."""
        if not sent:
            return net
        joined = self._joined.get((net, sent))
        if joined is None:
            segments = self._segments[net]
            late = [segment for segment in segments if segment < 0]
            queue = segments[len(late) :]
            if self.free:
                joined = self._number([*late, *(~segment for segment in sent)], queue)
            else:
                joined = self._number(late, queue + sent)
            self._joined[net, sent] = joined
        return joined


class Explorer:
    """Explores all worlds of a bound. After `run`, the findings are in its attributes."""

    def __init__(self, bound: Bound | None = None, config: TcpConfig = CONFIG, table: Table = TABLE) -> None:
        self.bound = bound or Bound()
        self.segments = Segments()
        self.nets = Nets(self.bound.late is None)
        self.sides = tuple(Ends(side, ISS[side], self.bound.sends, config, self.segments, table) for side in (0, 1))
        self.worlds: dict[World, int] = {}
        self._parents = array("L")
        self._depths = array("L")
        self._first_edge = array("L")  # of the fair moves out of each world that must come to an end
        self._edges = array("L")
        self.at_first: list[tuple[int, int]] = []  # (who, segment): what the OPENs sent
        self.violations: list[Violation] = []
        self.silence = Silence()
        self.first_half_open: list[World] = []  # of each such pair of ends
        self.exhausted = False
        self.seconds = 0.0

    @property
    def wrong(self) -> str | None:
        """What is wrong, if anything."""
        return self.violations[0].what if self.violations else None

    @property
    def depth(self) -> int:
        """The number of moves to the farthest world."""
        return max(self._depths, default=0)

    def run(self) -> None:
        """Explore until there is no new world, a violation is found, or the time is up."""
        start = time.monotonic()
        deadline = None if self.bound.seconds is None else start + self.bound.seconds
        self._explore(deadline)
        if self.exhausted:
            self._find_cycle()
        self.seconds = time.monotonic() - start

    def _explore(self, deadline: float | None) -> None:
        self.begin()
        order = [self.beginning]
        self.worlds[self.beginning] = 0
        self._parents.append(0)
        self._depths.append(0)
        for index, world in enumerate(order):  # `order` grows while we go
            moves = self.moves(world)
            wrong = self._examine(world, moves)
            if wrong:
                self.violations.append(Violation(wrong, self.path(world)))
                return
            done = self._both_done(world)
            self._first_edge.append(len(self._edges))
            for move in moves:
                if move[6]:
                    self.violations.append(Violation(move[6], [*self.path(world), move]))
                    return
                number = self.worlds.setdefault(move[0], len(order))
                if number == len(order):
                    order.append(move[0])
                    self._parents.append(index)
                    self._depths.append(self._depths[index] + 1)
                if move[3] and (done or not move[7]):
                    self._edges.append(number)
            if deadline and not index % 1000 and time.monotonic() > deadline:
                return
        self.exhausted = True

    def begin(self) -> World:
        """Both users have made their OPEN; from here `moves` lead on, with or without `run`."""
        opens = ("active", "active" if self.bound.simultaneous_open else "passive")
        a, b = (ends.start(how) for ends, how in zip(self.sides, opens, strict=True))
        self.at_first = [(side, segment) for side, step in ((0, a), (1, b)) for segment in step.sent]
        bound = self.bound
        spare = bound.losses * _LOSS + bound.duplicates * _COPY + bound.hurries * _HURRY + (bound.late or 0) * _LATE
        self.beginning = (
            a.end,
            b.end,
            self.nets.join(self.nets.nothing, b.sent),
            self.nets.join(self.nets.nothing, a.sent),
            spare,
        )
        return self.beginning

    # Moves

    def moves(self, world: World) -> list[Move]:
        """All ways on from a world."""
        found: list[Move] = []
        for side in (0, 1):
            if world[2 + side] != self.nets.nothing and self.sides[side].facts[world[side]].state is State.CLOSED:
                self._arrivals(world, side, found)
                fair = [move for move in found if move.fair]
                return fair[:1] if self.nets.free else fair
        for side in (0, 1):
            self._calls(world, side, found)
            self._arrivals(world, side, found)
        self._timers(world, found)
        return found

    def _next(self, world: World, side: int, step: Step, net: int, spare: int) -> World:
        """The world in which one end has taken a step, and `net` is what remains in flight to it."""
        a, b, to_a, to_b, _ = world
        if side == 0:
            return (step.end, b, net, self.nets.join(to_b, step.sent), spare)
        return (a, step.end, self.nets.join(to_a, step.sent), net, spare)

    def _calls(self, world: World, side: int, found: list[Move]) -> None:
        for name, step in self.sides[side].calls(world[side]):
            after = self._next(world, side, step, world[2 + side], world[4])
            found.append(Move(after, name, side, False, None, step.sent, step.wrong))

    def _arrivals(self, world: World, side: int, found: list[Move]) -> None:
        a, b, to_a, to_b, spare = world
        faults = self.bound.faults_left(spare & 255, spare >> 8 & 255)
        losses = min(spare & 255, faults)
        losable = losses and (not self.nets.free or self._in_flight(world) <= losses)
        for segment, rest, copied, late in self.nets.choices(world[2 + side]):
            if late:
                if late > spare >> 24:
                    return
                spare = world[4] - late * _LATE
            step = self.sides[side].arrive(world[side], segment)
            after = self._next(world, side, step, rest, spare)
            found.append(Move(after, "arrives", side, not late, segment, step.sent, step.wrong))
            if faults and spare >> 8 & 255:
                after = self._next(world, side, step, copied, spare - _COPY)
                found.append(Move(after, "copied", side, False, segment, step.sent, step.wrong))
            if losable and not late:
                after = (a, b, rest, to_b, spare - _LOSS) if side == 0 else (a, b, to_a, rest, spare - _LOSS)
                found.append(Move(after, "lost", side, False, segment))

    def _in_flight(self, world: World) -> int:
        return self.nets.count(world[2]) + self.nets.count(world[3])

    def _timers(self, world: World, found: list[Move]) -> None:
        facts = self.facts(world)
        due = [fact.due for fact in facts if fact.due is not None]
        if not due:
            return
        wait, busy, spare = min(due), world[2] != self.nets.nothing or world[3] != self.nets.nothing, world[4]
        early = bool(busy and wait)
        if early:
            if not spare >> 16 & 255:
                return
            spare -= _HURRY
        for side in (0, 1):
            if facts[side].due == wait and not (busy and facts[side].state.lingers):
                step = self.sides[side].expire(world[side], wait)
                other = self.sides[1 - side].later(world[1 - side], wait)
                passed = (world[0], other, *world[2:]) if side == 0 else (other, world[1], *world[2:])
                after = self._next(passed, side, step, world[2 + side], spare)
                found.append(Move(after, "expires", side, not early, None, step.sent, step.wrong, wait))

    # What must hold

    def facts(self, world: World) -> tuple[Facts, Facts]:
        """What is known of both ends."""
        return self.sides[0].facts[world[0]], self.sides[1].facts[world[1]]

    def _both_done(self, world: World) -> bool:
        return all(fact.done for fact in self.facts(world))

    def _examine(self, world: World, moves: list[Move]) -> str | None:
        """What is wrong with a world, if anything. Worlds in which something ended are counted."""
        facts = self.facts(world)
        wrong = wrong_between(*facts)
        if not wrong and world[2] == world[3] == self.nets.nothing:
            known = len(self.silence.half_open)
            wrong = self.silence.examine(facts, any(move[3] for move in moves), bool(moves))
            if len(self.silence.half_open) > known:
                self.first_half_open.append(world)
        return wrong

    def _find_cycle(self) -> None:
        """A cycle of segments, or one of segments and timers after both users are done: an exchange without end."""
        self._first_edge.append(len(self._edges))
        count, first, edges = len(self.worlds), self._first_edge, self._edges
        missing = array("L", bytes(count * array("L").itemsize))
        for target in edges:
            missing[target] += 1
        ready = [world for world in range(count) if not missing[world]]
        for world in ready:  # peel off what no cycle leads to
            for target in edges[first[world] : first[world + 1]]:
                missing[target] -= 1
                if not missing[target]:
                    ready.append(target)
        if len(ready) < count:
            self.violations.append(self._cycle([bool(missing[world]) for world in range(count)]))

    def _cycle(self, left: list[bool]) -> Violation:
        """Worlds that are left have a predecessor that is left: walk backwards until a world comes again."""
        before: dict[int, int] = {}
        for world in range(len(left)):
            if left[world]:
                for target in self._edges[self._first_edge[world] : self._first_edge[world + 1]]:
                    before.setdefault(target, world)
        world = left.index(True)
        seen: dict[int, int] = {}
        while world not in seen:
            seen[world] = len(seen)
            world = before[world]
        cycle = [name for name in seen if seen[name] >= seen[world]][::-1]
        start = cycle.index(min(cycle))
        cycle = [*cycle[start:], *cycle[:start]]
        names = list(self.worlds)
        path = self.path(names[cycle[0]])
        for here, there in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            path.append(next(move for move in self.moves(names[here]) if move.world == names[there] and move.fair))
        what = "an exchange without end"
        if any(move.what == "expires" for move in path[-len(cycle) :]):
            what += ", although both users have called CLOSE or ABORT"
        return Violation(f"{what}: the last {len(cycle)} moves again and again", path)

    def path(self, world: World) -> list[Move]:
        """The moves from the beginning to a world that was reached, by a shortest way."""
        names = list(self.worlds)
        numbers = [self.worlds[world]]
        while numbers[-1]:
            numbers.append(self._parents[numbers[-1]])
        worlds = [names[number] for number in reversed(numbers)]
        return [
            next(move for move in self.moves(here) if move.world == there) for here, there in itertools.pairwise(worlds)
        ]
