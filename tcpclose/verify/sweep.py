"""Every world that two users and a network without order can make of two connections, millions at a time.

The worlds, the moves and what must hold are those of `explore.py` with `late=None` and no hurries. What makes this
faster, and why nothing is lost by it:

* Worlds are pairs of halves, numbers in arrays; the ways on from a half are found once (`halves.py`).
* What is in flight to a CLOSED end arrives in the same move that sent it or closed the end. `explore.py` does so as
  the very next move, with nothing else before it: only worlds on the way are left out.
* Segments that have the same effect at an end, now and whatever else happens to it, are one there, and those that
  have none are not in flight. `Ends.canonical` says which, and why. So a segment without effect cannot be lost or
  repeated either, which would lead to no other world but with less that the network may still do.
* What users have done and what the network may still do is never undone. So worlds are explored in stages, and those
  of a stage are forgotten when they cannot be reached again.
* A world is left out if the same ends with the same in flight were met when the network might still do as much or
  more, for then all that it leads to was found there, and more: what the network may do is never bound to be done.
  So of the stages in which users have done the same those with the most left come first, and are kept until the last.
* No world is kept, so no cycle of worlds can be looked for. But in a cycle both ends come back to what they were, and
  that can be excluded end by end: see `_find_cycle`. It may suspect what is none, and never misses one.

Nothing is said of what is beyond the bound: by default more than two octets each way, more than one segment lost and
one repeated in a history, a timer that expires while segments are in flight, a SEND in LISTEN (`Bound.send_in_listen`).

The depth is exact for all worlds that are not left out, as within a stage worlds are taken up by their depth. The way
to a violation is not known here; `shortest` looks for it one world at a time, in the smallest bound that shows one.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tcpclose.protocol.config import TcpConfig
from tcpclose.verify.arrays import Numbers, distinct
from tcpclose.verify.ends import CONFIG, Ends, Segments, Step, Way
from tcpclose.verify.explore import ISS, Bound, Explorer
from tcpclose.verify.findings import Silence, wrong_between
from tcpclose.verify.halves import Halves, Sents

_CHUNK = 1 << 17
_HALF = (1 << 32) - 1

#: The stages of both users, and what the network may still lose and repeat.
Stage = tuple[int, int, int, int]


class Seen:
    """A set of worlds, as a few sorted arrays, each at least twice as long as the next."""

    def __init__(self) -> None:
        self._runs: list[Numbers] = []

    def new(self, worlds: Numbers) -> Numbers:
        """Of these worlds, sorted, those that are not in the set."""
        for run in self._runs:
            at = np.searchsorted(run, worlds)
            at[at == len(run)] = 0
            worlds = worlds[run[at] != worlds]
        return worlds

    def add(self, worlds: Numbers) -> Numbers:
        """Add worlds, sorted; those that were new."""
        worlds = self.new(worlds)
        if len(worlds):
            self._runs.append(worlds)
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            last = self._runs.pop()
            self._runs[-1] = np.sort(np.concatenate([self._runs[-1], last]), kind="stable")
        return worlds


class Sweep:
    """Explores all worlds of a bound in which order is free. After `run`, the findings are in its attributes."""

    def __init__(self, bound: Bound | None = None, config: TcpConfig = CONFIG) -> None:
        self.bound = bound or Bound()
        if self.bound.late is not None or self.bound.hurries:
            raise ValueError("a Sweep knows neither a kept order nor hurries: take an Explorer")
        self.segments = Segments()
        self.sides = tuple(Ends(side, ISS[side], self.bound.sends, config, self.segments) for side in (0, 1))
        self.halves = tuple(
            Halves(ends, sents, self.bound.losses) for ends, sents in zip(self.sides, [Sents()] * 2, strict=True)
        )
        self.silence = Silence()
        self.wrong: str | None = None
        self.exhausted = False
        self.worlds = self.depth = 0
        self.seconds = 0.0
        self._stage: Stage
        self._pending: dict[Stage, dict[int, list[Numbers]]] = {}
        self._seen: dict[Stage, Seen] = {}
        self._examined: set[int] = set()

    def run(self) -> None:
        """Explore until there is no new world, something is wrong, or the time is up."""
        start = time.monotonic()
        self._deadline = start + (float("inf") if self.bound.seconds is None else self.bound.seconds)
        self._begin()
        while self._pending and not self._over():
            self._stage = min(self._pending, key=self._rank)
            self._explore(self._pending.pop(self._stage))
        self.exhausted = not self._pending and not self._over()
        if self.exhausted:
            self.wrong = self._find_cycle()
        self.seconds = time.monotonic() - start

    def _over(self) -> bool:
        self.wrong = self.wrong or self.halves[0].wrong or self.halves[1].wrong
        return bool(self.wrong) or time.monotonic() > self._deadline

    def _begin(self) -> None:
        opens = ("active", "active" if self.bound.simultaneous_open else "passive")
        a, b = (ends.start(how) for ends, how in zip(self.sides, opens, strict=True))
        (to_a, _), (to_b, _) = self.halves[0].start(a, b.sent), self.halves[1].start(b, a.sent)
        stage = (0, 0, self.bound.losses, self.bound.duplicates)
        self._pending[stage] = {0: [to_a << 32 | to_b]}

    def _rank(self, stage: Stage) -> tuple[int, ...]:
        a, b, losses, duplicates = stage
        return self.halves[0].ranks[a] + self.halves[1].ranks[b], a, b, -losses - duplicates, losses

    def _explore(self, found: dict[int, list[Numbers]]) -> None:
        """All worlds of a stage. `found`: those that others lead to, by depth; more are added on the way."""
        freer, depth = self._freer(), min(found)
        seen = self._seen[self._stage] = Seen()
        self._found = found
        while found and not self._over():
            worlds = distinct(found.pop(depth, []))
            for other in freer:
                worlds = other.new(worlds)
            worlds = seen.add(worlds)
            if len(worlds):
                self.worlds += len(worlds)
                self.depth = max(self.depth, depth)
                self._examine(worlds)
            for first in range(0, len(worlds), _CHUNK):
                if self._over():
                    found[depth] = [worlds[first:]]
                    break
                self._expand(worlds[first : first + _CHUNK], depth + 1)
            depth += 1
        if found:
            self._pending[self._stage] = found  # not all was explored

    def _freer(self) -> list[Seen]:
        """The worlds of stages in which users have done the same, and the network may still do as much and more."""
        self._seen = {stage: seen for stage, seen in self._seen.items() if stage[:2] == self._stage[:2]}
        _, _, losses, duplicates = self._stage
        return [seen for (_, _, left, copies), seen in self._seen.items() if left >= losses and copies >= duplicates]

    def _expand(self, worlds: Numbers, depth: int) -> None:
        """Find all worlds that these lead to, but for timers when nothing is in flight."""
        pair, (_, _, losses, duplicates) = (worlds >> 32, worlds & _HALF), self._stage
        in_flight = self.halves[0].count.all[pair[0]] + self.halves[1].count.all[pair[1]]
        faults = self.bound.faults_left(losses, duplicates)
        every, busy = np.arange(len(worlds)), np.flatnonzero(in_flight)
        losable = np.flatnonzero(in_flight <= min(losses, faults))
        for side, halves in enumerate(self.halves):
            mine, others = pair[side], pair[1 - side]
            ways = [(halves.fair, every, losses, duplicates), (halves.due, busy, losses, duplicates)]
            if duplicates and faults:
                ways.append((halves.copied, every, losses, duplicates - 1))
            if losses and faults:  # where order is free, a segment is lost only when all else has arrived
                ways.append((halves.lost, losable, losses - 1, duplicates))
            for table, which, left, copies in ways:
                index, to, sent = table.of(mine[which])
                self._meet(side, to, others[which][index], sent, (left, copies), depth)
        quiet = np.flatnonzero(in_flight == 0)
        ends = (halves.end.all[half[quiet]].tolist() for halves, half in zip(self.halves, pair, strict=True))
        for a, b in zip(*ends, strict=True):
            self._wait(a, b, depth)

    def _wait(self, a: int, b: int, depth: int) -> None:
        """Nothing is in flight between these ends: the next timer expires, either one if two are due."""
        ends = (a, b)
        facts = self.sides[0].facts[ends[0]], self.sides[1].facts[ends[1]]
        due = [fact.due for fact in facts if fact.due is not None]
        calls = any(side.calls(end) for side, end in zip(self.sides, ends, strict=True))
        wrong = self.silence.examine(facts, bool(due), bool(due) or calls)
        self.wrong = self.wrong or wrong
        for side in (0, 1):
            if due and facts[side].due == min(due):
                to, sent = self.halves[side].start(self.sides[side].expire(ends[side], min(due)), ())
                later = Step(self.sides[1 - side].later(ends[1 - side], min(due)), ())
                other, _ = self.halves[1 - side].start(later, ())
                self._meet(side, to, other, sent, self._stage[2:], depth)

    def _meet(self, side: int, to: Numbers, others: Numbers, sent: Numbers, spare: tuple[int, int], depth: int) -> None:
        """One half has become another and has sent something to the other: note the worlds that come of it."""
        talks = np.flatnonzero(sent)
        others[talks], answers = self.halves[1 - side].add(others[talks], sent[talks])
        answered = talks[np.flatnonzero(answers)]
        to[answered], _ = self.halves[side].add(to[answered], answers[answers > 0])
        a, b = (to, others) if side == 0 else (others, to)
        stages = self.halves[0].stage.all[a].astype(np.int64) << 32 | self.halves[1].stage.all[b]
        worlds = a << 32 | b
        here = self._stage[0] << 32 | self._stage[1]
        for both in {here, *distinct([stages[stages != here]]).tolist()}:
            some = distinct([worlds[stages == both]])
            if not len(some):
                continue
            stage = (both >> 32, both & _HALF, *spare)
            assert stage == self._stage or self._rank(stage) > self._rank(self._stage), "a stage comes again"
            found = self._found if stage == self._stage else self._pending.setdefault(stage, {})
            found.setdefault(depth, []).append(some)

    def _examine(self, worlds: Numbers) -> None:
        """What must hold between two ends, once for each pair."""
        pairs = self.halves[0].end.all[worlds >> 32].astype(np.int64) << 32 | self.halves[1].end.all[worlds & _HALF]
        for pair in set(distinct([pairs]).tolist()) - self._examined:
            self._examined.add(pair)
            wrong = wrong_between(self.sides[0].facts[pair >> 32], self.sides[1].facts[pair & _HALF])
            self.wrong = self.wrong or wrong

    # No exchange without end

    def _find_cycle(self) -> str | None:
        """Each end that has a part in a cycle of worlds goes in a circle itself, or stays where it is.

        As long as no time passes, each segment that arrives in a cycle is one that was sent in it. If time passes, a
        timer expires in it. So look for steps that go in a circle and live on what such steps send.
        """
        if any(way.heard is not None for _, way in self._circles(in_time=False)):
            return "an exchange without end cannot be excluded: each segment comes of another, in no time"
        if any(way.heard is None for _, way in self._circles(in_time=True)):
            return "an exchange without end cannot be excluded: a timer expires again and again"
        return None

    def _circles(self, in_time: bool) -> set[tuple[int, Way]]:
        """Steps of either side that may be repeated for ever, with or without time that passes."""
        steps = {(side, way) for side, ends in enumerate(self.sides) for way in ends.ways(in_time)}
        delays = [list(ends.delays()) if in_time else [] for ends in self.sides]
        forms = [ends.forms() for ends in self.sides]
        while True:
            left = set()
            for side in (0, 1):
                edges = {(way.end, way.to) for at, way in steps if at == side and way.end != way.to}
                circling = _circling({*edges, *delays[side]})
                left |= {(at, way) for at, way in steps if at == side and (way.end, way.to) in circling}
                left |= {(at, way) for at, way in steps if at == side and way.end == way.to}
            sent = {(1 - at, form) for at, way in left for what in way.sent for form in forms[1 - at].get(what, {what})}
            left = {(at, way) for at, way in left if way.heard is None or (at, way.heard) in sent}
            if len(left) == len(steps):
                return left
            steps = left


def _circling(edges: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of the edges that are part of a cycle."""
    size = -1
    while size != len(edges):  # what no edge leads to, or from, is none
        size = len(edges)
        firsts, lasts = {a for a, _ in edges}, {b for _, b in edges}
        edges = {(a, b) for a, b in edges if a in lasts and b in firsts}
    return {(a, b) for a, b in edges if a in _reachable(edges, b)}


def _reachable(edges: set[tuple[int, int]], start: int) -> set[int]:
    following: dict[int, list[int]] = {}
    for a, b in edges:
        following.setdefault(a, []).append(b)
    found, stack = {start}, [start]
    while stack:
        new = set(following.get(stack.pop(), ())) - found
        found |= new
        stack += new
    return found


def smaller(bound: Bound) -> Iterator[Bound]:
    """The bounds that this one contains, from the smallest, and itself at last."""
    counts = (range(bound.octets + 1), range(bound.losses + 1), range(bound.duplicates + 1))
    for octets, losses, duplicates in sorted(itertools.product(*counts), key=lambda some: (sum(some), some)):
        yield replace(bound, octets=octets, losses=losses, duplicates=duplicates)


def shortest(bound: Bound, config: TcpConfig = CONFIG, seconds: float = 60) -> Explorer | None:
    """A violation by the shortest way, in the smallest bound that has one; for each bound there is so much time."""
    for some in smaller(bound):
        explorer = Explorer(replace(some, seconds=seconds), config)
        explorer.run()
        if explorer.violations:
            return explorer
    return None
