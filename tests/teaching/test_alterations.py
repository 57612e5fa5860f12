"""Alterations: each is another machine, that of its sentence, and all that can be combined lead to an end."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from peers import Played
from test_machine import fire

from tcpclose.protocol.connection import TcpError
from tcpclose.protocol.fsm import TABLE, Event, State
from tcpclose.teaching.assignments.alterations import ALTERATIONS, DRAWN, combine, drawn
from tcpclose.verify.explore import Bound, Explorer

ALONE = [(one,) for one in ALTERATIONS]
TOGETHER = [pair for pair in itertools.combinations(ALTERATIONS, 2) if not pair[0].excluded_by(pair[1])]
CHANGES = [(one, pair) for one in ALTERATIONS for pair in sorted(one.pairs, key=str)]

#: What students are given.
VARIANTS = [
    some
    for some in itertools.combinations(ALTERATIONS, DRAWN)
    if all(pair in TOGETHER for pair in itertools.combinations(some, 2))
]


def names(value: object) -> str:
    return "+".join(one.name for one in value) if isinstance(value, tuple) else ""


@pytest.mark.parametrize("chosen", ALONE + TOGETHER + VARIANTS, ids=names)
@pytest.mark.slow
def test_no_world_is_stuck(chosen):
    explorer = Explorer(Bound(octets=0, losses=1, duplicates=0, late=0), table=combine(*chosen))
    explorer.run()
    assert explorer.exhausted
    assert not explorer.violations


@pytest.mark.parametrize("one", ALTERATIONS, ids=lambda one: one.name)
def test_every_alteration_keeps_text_whole_and_comes_to_an_end(one):
    """With an octet each way, one of which may come too late, too."""
    explorer = Explorer(Bound(octets=1, losses=0, duplicates=0, late=1), table=combine(one))
    explorer.run()
    assert explorer.exhausted
    assert not explorer.violations


def outcome(state: State, event: Event, table) -> tuple[object, ...]:
    """What the engine does on an event, with a table that it follows from then on."""
    play = Played().reach(str(state))
    if (state, event) == (State.CLOSE_WAIT, Event.CLOSE):
        play.send(20_000)  # so that the FIN has to wait
    if state.lingers:
        play.at(0.5)  # so that it shows when the 2 MSL began
    play.news()
    play.rows.clear()
    play.signals.clear()
    play.sent()
    play.connection.table = table
    error = ""
    try:
        fire(play, event)
    except TcpError as refusal:
        error = str(refusal)
    play.news()
    return play.state, play.connection.cause, play.sent(), play.connection.time_wait_at, error


@pytest.mark.parametrize(
    ("one", "pair"),
    CHANGES,
    ids=lambda it: getattr(it, "name", "-".join(map(str, it)) if isinstance(it, tuple) else ""),
)
def test_the_engine_does_otherwise(one, pair):
    assert outcome(*pair, combine(one)) != outcome(*pair, TABLE)
    others = set(itertools.product(State, Event)) - one.pairs
    assert all(combine(one)[state].get(event) == TABLE[state].get(event) for state, event in others)


def test_there_are_enough_and_no_two_of_a_variant_meet():
    assert len(ALTERATIONS) >= 8
    for one, other in TOGETHER:
        assert not one.pairs & other.pairs


def test_exclusion_is_mutual():
    by_name = {one.name: one for one in ALTERATIONS}
    assert by_name.keys() >= set().union(*(one.excludes for one in ALTERATIONS))
    with pytest.raises(ValueError, match="no-closing and passive-closer-waits cannot be had together"):
        combine(by_name["no-closing"], by_name["passive-closer-waits"])


def test_a_student_has_the_same_ones_again_and_a_class_has_all():
    assert drawn("a1", "s1") == drawn("a1", " S1 ")
    counts = Counter(one.name for n in range(300) for one in drawn("a1", f"s{n}"))
    assert set(counts) == {one.name for one in ALTERATIONS}
    assert min(counts.values()) > 30
    assert sum(counts.values()) == 300 * DRAWN
    for n in range(300):
        combine(*drawn("a1", f"s{n}"))  # none that exclude each other
