"""Two ends that have lost each other: each finds every segment of the other wrong, and says so by an ACK.

An attacker brings this about by text that neither has sent. The limit of challenge ACKs (RFC 5961, 7) ends the war
where a round trip is short. Where it is long, it only keeps the war slow, Linux's limit and the RFC's example alike.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from peers import World

from tcpclose.protocol.config import PROFILES, SECOND
from tcpclose.protocol.segment import ACK, Segment

A, B = 0, 1


def at_war(profile: str, round_trip: int) -> World:
    """Both are ESTABLISHED, and each believes to have got ten octets that the other has never sent."""
    config = replace(PROFILES[profile], delayed_ack=0, timestamps=False)
    world = World((config, config), (100, 300))
    world.delay = round_trip // 2
    world.call(B, lambda: world.ends[B].connection.open(0, passive=True))
    world.call(A, lambda: world.ends[A].connection.open(0))
    while world.step():
        pass
    for victim, other in ((A, B), (B, A)):
        tcb = world.ends[victim].connection.tcb
        forged = Segment(tcb.rcv_nxt, tcb.snd_nxt, ACK, 65535, bytes(10))
        assert world.ends[other].connection.tcb.snd_nxt == tcb.rcv_nxt
        world.ends[victim].connection.segment_arrives(forged, world.now)
    for who in (A, B):
        world.collect(who)
    return world


def fight(world: World, seconds: int) -> int:
    """How many segments fly within that time."""
    until, before = world.now + seconds * SECOND, world.launched
    while world.now < until and world.step():
        pass
    return world.launched - before


@pytest.mark.parametrize("profile", PROFILES)
def test_where_the_round_trip_is_short_the_limit_ends_the_war(profile):
    world = at_war(profile, SECOND // 100)
    assert 0 < fight(world, 60) <= 50
    assert not world.flying


@pytest.mark.parametrize("profile", PROFILES)
def test_where_it_is_long_the_war_goes_on_and_is_slow(profile):
    """`docs/conformance.md` says so."""
    world = at_war(profile, 2 * SECOND)
    fight(world, 3600)
    assert 0 < fight(world, 60) <= 2 * 2 * 60  # two a second, by each
    assert world.flying


@pytest.mark.parametrize("profile", PROFILES)
def test_the_user_timeout_ends_it_as_soon_as_there_is_text(profile):
    world = at_war(profile, 2 * SECOND)
    world.call(A, lambda: world.ends[A].send(1, world.now))
    fight(world, 3600)
    assert str(world.ends[A].cause) in ("user timeout", "retransmission limit")
    assert fight(world, 600) == 0
