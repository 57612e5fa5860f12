"""Whatever arrives, whatever the link does, whatever the users do: what always holds.

`TCPCLOSE_EXAMPLES=20000 pytest tests/test_properties.py` looks much longer.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import replace

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from peers import FATES, World

from tcpclose.protocol.config import PROFILES, SECOND, TcpConfig
from tcpclose.protocol.fsm import Cause, State
from tcpclose.protocol.segment import RST, Segment, seq_add, seq_diff

EXAMPLES = settings(max_examples=int(os.environ.get("TCPCLOSE_EXAMPLES", "400")))

SEQUENCE_NUMBERS = st.sampled_from([0, 100, 2**31 - 3, 2**31, 2**32 - 20, 2**32 - 2, 2**32 - 1])


def _config(profile: str, **settings: object) -> TcpConfig:
    return replace(PROFILES[profile], **settings)


def _probed(one: TcpConfig, other: TcpConfig) -> tuple[TcpConfig, TcpConfig]:
    """Without challenge ACKs nothing answers an empty window probe of the peer."""
    if one.challenge_ack_limit and other.challenge_ack_limit:
        return one, other
    return replace(one, window_probe="text"), replace(other, window_probe="text")


CONFIGS = st.builds(
    _config,
    st.sampled_from(list(PROFILES)),
    mss=st.sampled_from([1, 10, 1460]),
    rcv_buffer=st.sampled_from([1, 2, 25, 3000, 65535]),
    initial_window=st.sampled_from([1, 10]),
    msl=st.just(60 * SECOND),  # TIME-WAIT outlasts what a few lost segments make of the peer's RTO
    timeout_reset=st.booleans(),
    reset_ack=st.booleans(),
    reset_validity=st.sampled_from(["exact", "window"]),
    syn_validity=st.sampled_from(["challenge", "window"]),
    challenge_ack_limit=st.sampled_from([0, 1, 10]),
    time_wait_rst=st.sampled_from(["close", "ignore"]),
)


def worlds(faults: int) -> st.SearchStrategy[World]:
    """Two fresh connections, with up to `faults` of the first 60 segments mishandled by the link."""
    fates = st.dictionaries(st.integers(0, 60), st.sampled_from(list(FATES)), max_size=faults)
    return st.builds(
        World,
        st.builds(_probed, CONFIGS, CONFIGS),
        st.tuples(SEQUENCE_NUMBERS, SEQUENCE_NUMBERS),
        fates.map(dict.items),
    )


# Random play: users, link and clock do anything, in any order

MOVES = st.lists(
    st.tuples(
        st.sampled_from(["deliver"] * 8 + ["repeat", "lose", "timer", "send", "send", "receive", "close", "abort"]),
        st.integers(0, 1),
        st.integers(0, 40),
    ),
    max_size=50,
)


def play(world: World, moves: list[tuple[str, int, int]], opens: str) -> None:
    """Make the moves. `opens` says how the two ends begin: OPEN active or passive, both ESTABLISHED, or not at all."""
    for who, way in enumerate({"established": "AP"}.get(opens, opens)):
        if way in "AP":
            world.call(who, lambda who=who, way=way: world.ends[who].connection.open(world.now, passive=way == "P"))
    while opens == "established" and world.flying:
        world.step()
    for move, who, n in moves:
        end = world.ends[who]
        if move in ("deliver", "repeat", "lose") and world.flying:
            index = n % min(len(world.flying), 3)
            _, _, to, segment = world.flying[index] if move == "repeat" else world.flying.pop(index)
            if move != "lose":
                check_answer(segment, world.arrive(to, segment))
        elif move == "timer":
            world.expire(who)
        elif move == "send":
            world.call(who, lambda end=end, n=n: end.send(n, world.now))
        elif move == "receive":
            world.call(who, lambda end=end, n=n: end.receive(n, world.now))
        elif move == "close":
            world.call(who, lambda end=end: end.connection.close(world.now))
        elif move == "abort":
            world.call(who, lambda end=end: end.connection.abort(world.now))
        check_sanity(world)
    world.flying.sort()


OPENS = st.sampled_from(["established", "established", "AP", "AA", "PA", "A-", "P-"])


def check_answer(heard: Segment, answers: list[Segment]) -> None:
    """A RST is never answered by a RST (3.5.2)."""
    assert not (heard.ctl & RST and any(answer.ctl & RST for answer in answers))


def check_sanity(world: World) -> None:
    """What holds in every state of both ends."""
    for end in world.ends:
        tcb, receiver = end.connection.tcb, end.connection.receiver
        assert seq_diff(tcb.snd_nxt, tcb.snd_una) >= 0
        assert 0 <= receiver.window <= receiver.buffer
        assert len(receiver.text) + sum(len(text) for _, text in receiver.ahead) <= receiver.buffer
        ended = end.state is State.CLOSED
        assert not ended or end.connection.next_timeout() is None
        assert not ended or (end.connection.cause is end.cause)


@EXAMPLES
@given(worlds(0), MOVES, OPENS)
def test_text_arrives_in_order_whatever_the_link_does(world, moves, opens):
    play(world, moves, opens)
    for end, other in itertools.permutations(world.ends):
        event(f"reached {end.state}")
        end.receive(None, world.now)
        assert other.given.startswith(end.got)


NEAR = st.sampled_from([-65536, -3, -2, -1, 0, 0, 0, 0, 1, 2, 3, 24, 65535, 2**31 - 1, 2**31])
FOREIGN = st.lists(
    st.tuples(
        st.sampled_from(["una", "nxt", "edge"]),  # what the sequence number is near to, as the hearer sees it
        NEAR,
        st.sampled_from(["una", "nxt"]),  # likewise the acknowledgment number
        NEAR,
        st.one_of(st.sampled_from([2, 4, 16, 17, 18, 20]), st.integers(0, 255)),
        st.sampled_from([0, 1, 25, 65535]),
        st.sampled_from([0, 0, 0, 1, 2, 30, 1460]),
        st.sampled_from([None, 0, 1, 536, 65535]),
        st.none() | st.tuples(NEAR, NEAR),  # timestamps, from what the peer sent last and from what we did
        st.lists(st.tuples(NEAR, NEAR), max_size=3),  # SACK blocks, from SND.UNA on
    ),
    min_size=1,
    max_size=6,
)


@EXAMPLES
@given(worlds(0), MOVES, OPENS, FOREIGN, MOVES)
@pytest.mark.slow
def test_any_segment_in_any_reachable_state(world, moves, opens, foreign, more):
    play(world, moves, opens)
    connection = world.ends[0].connection
    event(f"in {connection.state}")
    for seq_from, seq_off, ack_from, ack_off, ctl, wnd, octets, mss, stamps, blocks in foreign:
        tcb = connection.tcb
        seq = {"una": tcb.irs, "nxt": tcb.rcv_nxt, "edge": tcb.rcv_edge}[seq_from]
        ack = {"una": tcb.snd_una, "nxt": tcb.snd_nxt}[ack_from]
        segment = Segment(seq_add(seq, seq_off), seq_add(ack, ack_off), ctl, wnd, bytes(octets), mss)
        if stamps is not None:
            recent = 0 if connection.timestamps is None else connection.timestamps.recent
            segment.timestamps = seq_add(recent, stamps[0]), seq_add(world.now // 1000, stamps[1])
        segment.sack = tuple((seq_add(tcb.snd_una, left), seq_add(tcb.snd_una, right)) for left, right in blocks)
        check_answer(segment, world.arrive(0, segment))
        check_sanity(world)
    play(world, more, "--")


# A bad link, and users who come to an end

CALLS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "send", "receive", "close", "abort"]),
        st.integers(0, 3_000_000),  # when, in microseconds
        st.sampled_from([0, 1, 4, 7, 40]),  # how much, in thirds of a full segment
    ),
    max_size=6,
)


def live(world: World, scripts: tuple[list[tuple[str, int, int]], ...], patient: bool) -> None:
    """The users make their calls; both CLOSE in the end, and read until there is nothing more to read.

    A patient user does not close before the connection is there, and never aborts.
    """

    def act(who: int, call: str, thirds: int) -> None:
        end = world.ends[who]
        other = world.ends[1 - who].connection.config
        octets = thirds * -(-min(end.connection.config.mss, other.mss, other.rcv_buffer) // 3)
        if call == "send" and end.connected | (not patient):
            world.call(who, lambda: end.send(octets, world.now))
        elif call == "receive":
            world.call(who, lambda: end.receive(octets, world.now))
        elif call == "abort" and not patient:
            world.call(who, lambda: end.connection.abort(world.now))
        elif call == "close" and not (patient and not end.connected):
            world.call(who, lambda: end.connection.close(world.now))

    def finish(who: int) -> None:
        """From now on the user reads often, and wants to be rid of the connection."""
        end = world.ends[who]
        world.call(who, lambda: end.receive(None, world.now))
        if end.connected or not patient:
            world.call(who, lambda: end.connection.close(world.now))
        if end.state not in (State.TIME_WAIT, State.CLOSED):
            world.later(200_000, lambda: finish(who))

    for who, passive in ((0, False), (1, True)):
        world.call(who, lambda who=who, passive=passive: world.ends[who].connection.open(0, passive))
        for call, at, octets in scripts[who]:
            world.later(at, lambda who=who, call=call, octets=octets: act(who, call, octets))
        world.later(4_000_000, lambda who=who: finish(who))
    run_out(world)
    for end in world.ends:
        end.receive(None, world.now)


def run_out(world: World) -> None:
    """Until nothing has been in flight and no timer has run for a while. Each user timeout is five minutes."""
    busy = world.now
    while world.now - busy < 5 * SECOND and world.step():
        if world.flying or any(end.connection.next_timeout() is not None for end in world.ends):
            busy = world.now
        assert world.now < 7200 * SECOND, "no end in sight"
        assert world.launched < 10_000, "an exchange without end"


@EXAMPLES
@given(worlds(12), CALLS, CALLS)
def test_every_connection_ends(world, first, second):
    live(world, (first, second), patient=False)
    for end, other in itertools.permutations(world.ends):
        event(f"ended {end.cause}")
        assert other.given.startswith(end.got)
        if end.state is not State.CLOSED:
            # Half-open: the peer is gone, its RST is lost, and nothing of ours is left to be answered by another.
            assert end.state is State.FIN_WAIT_2
            assert other.state is State.CLOSED
            assert other.cause is not Cause.GRACEFUL
    check_delivery(world)


def check_delivery(world: World) -> None:
    """Two users who are told "graceful" have all of each other's text."""
    if all(end.cause is Cause.GRACEFUL for end in world.ends):
        for end, other in itertools.permutations(world.ends):
            assert end.got == other.given


@EXAMPLES
@given(worlds(4), CALLS, CALLS)
def test_four_faults_do_not_disturb_a_graceful_release(world, first, second):
    live(world, (first, second), patient=True)
    assert [end.cause for end in world.ends] == [Cause.GRACEFUL] * 2
    check_delivery(world)


# Half-open and worse


@EXAMPLES
@given(worlds(0), worlds(0), MOVES, MOVES, OPENS)
@pytest.mark.slow
def test_no_exchange_without_end(one, two, moves, more, opens):
    """Two connections that know nothing of each other meet, on a short link: they stop talking."""
    play(one, moves, opens)
    play(two, more, opens)
    one.ends = (one.ends[0], two.ends[1])
    one.flying.clear()
    one.now = max(one.now, two.now)
    assume(State.CLOSED not in {end.state for end in one.ends})
    event("/".join(str(end.state) for end in one.ends))

    def read(who: int) -> None:
        one.call(who, lambda: one.ends[who].connection.receive(one.now))
        one.later(SECOND, lambda: read(who))

    read(0)
    read(1)
    run_out(one)
