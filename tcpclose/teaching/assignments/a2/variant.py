"""A student's variant of A2, and what a right submission does in it: computed, and kept while a class is graded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from tcpclose.protocol.fsm import TABLE, Event, Row, State, Table, table_of
from tcpclose.teaching.assignments.a2.cases import Case, figures, holding, scripts
from tcpclose.teaching.assignments.a2.comparing import first_difference
from tcpclose.teaching.assignments.a2.paths import Path, paths, walks
from tcpclose.teaching.assignments.a2.right import Reply, Right
from tcpclose.teaching.assignments.alterations import ALTERATIONS, Alteration, combine, drawn

NAME = "a2"

#: All but one: when a FIN is queued it goes out at once, unless a window is closed, and those are not played.
AMONG = tuple(one for one in ALTERATIONS if one.name != "last-ack-at-the-call")

_RELEASE = (Event.FIN, Event.ACK_OF_FIN, Event.FIN_SENT, Event.FIN_WAIT_2_TIMEOUT, Event.TIME_WAIT_TIMEOUT)

CALLS, GRACEFUL, ABRUPT, STRANGERS = (
    *("the user's calls", "the graceful release"),
    *("RST, timeouts, ICMP and invalid headers", "no such connection"),
)
_TOPICS = {
    CALLS: (Event.CLOSE, Event.ABORT),
    GRACEFUL: _RELEASE,
    ABRUPT: (Event.RST, Event.USER_TIMEOUT, Event.UNREACHABLE, Event.INVALID_HEADER),
}


#: What is about no row.
_BESIDES = {"segment": "a segment arrives", "time": "no timer is due"}


@dataclass(frozen=True)
class Played:
    """A path, and what a right submission answers. Its last step is about `topic`, or shows alterations by name.

    `what` is the row of the table that it is about: each has the same weight, however many paths show it.
    """

    path: Path
    right: list[Reply]
    altered: frozenset[str]
    topic: str | None
    what: str


@dataclass(frozen=True)
class Variant:
    """All that submissions of the same variant are graded by."""

    alterations: tuple[Alteration, ...]
    table: Table
    explored: tuple[Played, ...]
    walks: tuple[tuple[Path, list[Reply]], ...]
    figures: tuple[Case, ...]
    scripts: tuple[Case, ...]


def chosen(student: str) -> tuple[Alteration, ...]:
    """The alterations of a student."""
    return drawn(NAME, student, AMONG)


@lru_cache(maxsize=64)
def variant(alterations: tuple[Alteration, ...]) -> Variant:
    """Takes some seconds of a processor."""
    table = combine(*alterations)
    right = Right(table)
    return Variant(
        alterations,
        table,
        tuple(_play(alterations, path) for path in paths(table)),
        tuple((path, right.play(path)) for path in walks(table, NAME)),
        tuple(holding(figures(), table)),
        tuple(holding(scripts(), table)),
    )


def _play(alterations: tuple[Alteration, ...], path: Path) -> Played:
    """An alteration shows where the RFC's machine begins to do otherwise, and a row of the alteration was passed."""
    right = Right(_telling(alterations))
    replies, passed = [], set()
    for step in path:
        replies.append(right.answer(step))
        passed |= {(row.state, row.event) for row in right.fired}
    otherwise = first_difference(Right(TABLE).play(path), replies)
    shown: frozenset[str] = frozenset()
    if otherwise and otherwise[0] == len(path) - 1:
        shown = frozenset(one.name for one in alterations if one.pairs & passed)
    event = right.fired[0].event if right.fired else _BESIDES.get(path[-1]["do"], path[-1]["do"])
    what = f"{replies[-2]['state']}, {event}"
    return Played(path, replies, shown, None if shown else _topic(path, replies, right.fired), what)


def _telling(alterations: tuple[Alteration, ...]) -> Table:
    """The same machine, with a row that does nothing where an alteration has none: so one sees that it was meant."""
    table = combine(*alterations)
    silent = (Row(state, event, state, (), "", None) for one in alterations for state, event in one.without)
    rows = [row for by_event in table.values() for row in by_event.values()]
    return table_of((*rows, *silent))


def _topic(path: Path, replies: list[Reply], rows: Iterable[Row]) -> str | None:
    """What a step is about; None when it is about no release."""
    events = {row.event for row in rows if row.state.has_peer}
    for topic, about in _TOPICS.items():
        if events.intersection(about):
            return topic
    if path[-1]["do"] == "time" and not rows:
        return GRACEFUL  # a timer that should not run any more
    state = State(replies[-1]["state"])
    known = state.synchronized or state.handshaking
    return STRANGERS if path[-1]["do"] == "segment" and not rows and not known else None
