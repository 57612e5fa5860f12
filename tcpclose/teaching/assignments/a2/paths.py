"""What may happen to a student's engine, as paths: every one to something new, the shortest first.

The model checker (`verify.Explorer`) makes all worlds of a small bound with the right machine at both ends, breadth
first. Of each world only what happens at one end matters here. Two ends that are equal will do the same for ever, so
one path to each pair of an end and something that happens to it shows all that the end does in the bound.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tcpclose.protocol.config import SECOND
from tcpclose.protocol.fsm import Table
from tcpclose.protocol.segment import ACK, FIN, SYN, Segment, seq_diff
from tcpclose.teaching.assignments.a2.right import CONFIG, Request, Right, arrival, new, read
from tcpclose.verify.explore import ISS, Bound, Explorer, Move, World

Path = tuple[Request, ...]


@dataclass(frozen=True)
class Role:
    """Whose end of which worlds the engine is, and how many paths of it are played at most."""

    side: int
    bound: Bound
    most: int

    @property
    def passive(self) -> bool:
        """Its OPEN is passive."""
        return self.side == 1 and not self.bound.simultaneous_open


_NO_TEXT = Bound(octets=0, losses=1, duplicates=1, faults=2, late=0)
_TEXT = Bound(octets=1, losses=1, duplicates=0, faults=1, late=0)

#: About 2,000 paths.
ROLES = (
    *(Role(0, _NO_TEXT, 350), Role(1, _NO_TEXT, 450), Role(0, replace(_NO_TEXT, simultaneous_open=True), 350)),
    *(Role(0, _TEXT, 350), Role(1, _TEXT, 400)),
)

#: What the network and users of a drawn path may do, how many there are, and how long each is at most.
_WILD = Bound(octets=2, losses=3, duplicates=2, faults=5, late=2, hurries=2)
_DRAWN, _LONGEST, _PATIENCE = 200, 30, 0.8

#: What else may happen in a state: calls that may be refused, and what the model checker's network does not do.
_BESIDES: tuple[dict[str, Any], ...] = (
    *({"do": "close"}, {"do": "abort"}, {"do": "send", "text": "x"}),
    *({"do": "unreachable"}, {"do": "invalid_header"}),
)

#: The user is gone after a CLOSE, and the peer's FIN is awaited no longer than that.
_FIN_WAIT_2 = replace(CONFIG, fin_wait_2_timeout=5 * SECOND)


class _Way(NamedTuple):
    """What has happened at one end up to a world, newest first, and when."""

    now: int
    before: _Way | None = None
    step: Request | None = None

    def and_then(self, step: Request) -> _Way:
        """One thing more."""
        return _Way(self.now, self, step)

    @property
    def path(self) -> Path:
        """All of it, in order."""
        steps: list[Request] = []
        way: _Way | None = self
        while way:
            if way.step:
                steps.append(way.step)
            way = way.before
        return tuple(reversed(steps))


def paths(table: Table) -> list[Path]:
    """All that are graded one by one: each leads to something that no other shows."""
    found = [path for role in ROLES for path in _explored(table, role) if _whole(table, path) == path]
    return [*found, *_besides(table, found), *_without_fin()]


def _whole(table: Table, path: Path) -> Path:
    """As far as both engines are alike: the tiny one does not keep what comes beyond a hole, nor send again early."""
    right, rcv_nxt, snd_nxt = Right(table), 0, 0
    for index, step in enumerate(path):
        arrives = step["do"] == "segment" and right.synchronized
        if arrives and read(step).len and seq_diff(step["seq"], rcv_nxt) > 0:
            return path[:index]
        reply = right.answer(step)
        if arrives and any(read(sent).len and seq_diff(sent["seq"], snd_nxt) < 0 for sent in reply["segments"]):
            return path[:index]  # three duplicate ACKs (RFC 5681, 3.2)
        rcv_nxt, snd_nxt = reply["tcb"]["rcv_nxt"], reply["tcb"]["snd_nxt"]
    return path


def _explored(table: Table, role: Role) -> Iterator[Path]:
    explorer = Explorer(role.bound, CONFIG, table)
    explorer.run()
    ways: dict[World, _Way] = {explorer.beginning: _beginning(role)}
    met: set[tuple[int, str, int | None, int]] = set()
    for world in explorer.worlds:  # in the order in which they were found
        for move in explorer.moves(world):
            way = _onwards(explorer, ways[world], move, role.side)
            ways.setdefault(move.world, way)
            what = (world[role.side], "arrives" if move.what == "copied" else move.what, move.segment, move.wait)
            if move.side == role.side and move.what != "lost" and what not in met:
                met.add(what)
                yield way.path
                if len(met) == role.most:
                    return


def _besides(table: Table, found: Iterable[Path]) -> Iterator[Path]:
    """After the shortest path to each state, and each cause of an end, what else may happen there."""
    shortest: dict[tuple[bool, str], Path] = {}
    for path in found:
        state = Right(table).play(path)[-1]["state"]
        shortest.setdefault((path[1]["passive"], state), path)
    for path in shortest.values():
        yield from ((*path, {**what, "now": path[-1]["now"]}) for what in _BESIDES)


def _without_fin() -> Iterator[Path]:
    """FIN-WAIT-2 with its timer, which the FIN of the peer stops."""
    mine, peers = ISS
    syn_ack = Segment(peers, mine + 1, SYN | ACK, 65535)
    steps: list[Request] = [new(mine, _FIN_WAIT_2), {"do": "open", "passive": False, "now": 0}, arrival(syn_ack, 0)]
    steps += [{"do": "close", "now": 0}, arrival(Segment(peers + 1, mine + 2, ACK, 65535), SECOND)]
    due = SECOND + _FIN_WAIT_2.fin_wait_2_timeout
    yield (*steps, {"do": "time", "now": due - 1}, {"do": "time", "now": due})
    yield (*steps, {"do": "time", "now": due}, arrival(Segment(peers + 1, mine + 2, FIN | ACK, 65535), due))
    yield (*steps, arrival(Segment(peers + 1, mine + 2, FIN | ACK, 65535), 3 * SECOND), {"do": "time", "now": due})


def walks(table: Table, seed: str) -> list[Path]:
    """Long paths through wilder worlds, drawn.

    By a seed, not by hypothesis: that searches otherwise each time, and the same submission has the same points twice.
    """
    chance = random.Random(seed)
    explorers = [Explorer(replace(_WILD, simultaneous_open=both), CONFIG, table) for both in (False, True)]
    for explorer in explorers:
        explorer.begin()
    return [_whole(table, _walk(chance.choice(explorers), chance.randrange(2), chance)) for _ in range(_DRAWN)]


def _walk(explorer: Explorer, side: int, chance: random.Random) -> Path:
    world, way = explorer.beginning, _beginning(Role(side, explorer.bound, 1))
    while len(way.path) < _LONGEST and (moves := explorer.moves(world)):
        # Users call rarely, so that there is something to end.
        calls = [move for move in moves if move.segment is None and move.what != "expires"]
        others = [move for move in moves if move not in calls]
        move = chance.choice(others if others and (not calls or chance.random() < _PATIENCE) else calls)
        world, way = move.world, _onwards(explorer, way, move, side)
    return way.path


def _beginning(role: Role) -> _Way:
    return _Way(0).and_then(new(ISS[role.side])).and_then({"do": "open", "passive": role.passive, "now": 0})


def _onwards(explorer: Explorer, way: _Way, move: Move, side: int) -> _Way:
    """What a move is at our end: nothing, but that time passes, when it is the other's."""
    way = way._replace(now=way.now + move.wait)
    if move.side != side or move.what == "lost":
        return way
    if move.segment is not None:
        return way.and_then(arrival(explorer.segments.get(move.segment), way.now))
    if move.what == "expires":  # not a moment earlier
        early = way.and_then({"do": "time", "now": way.now - 1}) if move.wait else way
        return early.and_then({"do": "time", "now": way.now})
    call, _, octets = move.what.lower().partition(" ")
    text = {"text": "abcdefgh"[: int(octets)]} if call == "send" else {}
    return way.and_then({"do": call, "now": way.now} | text)
