"""The model checker: it exhausts its bound without a violation, and finds bugs that are planted in the engine."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from inspect import signature

import pytest
from typer.testing import CliRunner

from tcpclose.cli import app
from tcpclose.cli.tools import check
from tcpclose.protocol import connection, stack
from tcpclose.protocol.config import SECOND
from tcpclose.protocol.connection import Connection
from tcpclose.protocol.fsm import TABLE, Do, Event, State
from tcpclose.protocol.receiving import Receiver
from tcpclose.protocol.segment import ACK, RST, Segment
from tcpclose.protocol.sending import Sender
from tcpclose.trace.figure import format_figure, parse_figure
from tcpclose.trace.playing import play_figure
from tcpclose.verify.ends import CONFIG, Step
from tcpclose.verify.explore import Bound, Explorer
from tcpclose.verify.snapshot import Freezer
from tcpclose.verify.sweep import Sweep, shortest
from tcpclose.verify.telling import draw_path


def explore(**bound) -> Explorer:
    explorer = Explorer(Bound(**{"late": 0, **bound}))
    explorer.run()
    return explorer


def sweep(**bound) -> Sweep:
    found = Sweep(Bound(**bound))
    found.run()
    return found


# Nothing is wrong


@pytest.mark.parametrize(
    "bound",
    [
        {"octets": 0, "late": None, "faults": 2},
        {"octets": 1, "duplicates": 0},
        {"octets": 0, "hurries": 1, "duplicates": 0},
        {"octets": 0, "simultaneous_open": True, "duplicates": 0},
        {"octets": 1, "send_in_listen": True, "losses": 0, "duplicates": 0},
    ],
    ids=str,
)
@pytest.mark.slow
def test_a_small_bound_is_exhausted_without_a_violation(bound):
    explorer = explore(**bound)
    assert explorer.exhausted
    assert not explorer.violations
    assert explorer.depth > 10
    assert explorer.silence.ended["CLOSED (graceful)", "CLOSED (graceful)"]


def test_half_open_worlds_are_found_and_named():
    explorer = explore(octets=0, duplicates=0)
    pairs = {tuple(word.split()[0] for word in pair) for pair in explorer.silence.half_open}
    assert {("CLOSED", "ESTABLISHED"), ("ESTABLISHED", "CLOSED"), ("FIN-WAIT-2", "CLOSED")} <= pairs
    # The one that stays: RFC 9293 has no timer for FIN-WAIT-2.
    assert {frozenset(pair) for pair in explorer.silence.for_ever} == {frozenset({"FIN-WAIT-2", "CLOSED (aborted)"})}


def test_without_losses_half_open_worlds_are_those_that_stay():
    explorer = explore(octets=0, losses=0, duplicates=0)
    assert set(explorer.silence.half_open) == set(explorer.silence.for_ever)


@pytest.mark.slow
@pytest.mark.parametrize(
    "bound",
    [
        {"octets": 1},
        {"octets": 1, "duplicates": 0, "late": None},
        {"octets": 1, "duplicates": 0, "simultaneous_open": True},
    ],
    ids=str,
)
def test_a_larger_bound_is_exhausted_without_a_violation(bound):
    explorer = explore(**bound)
    assert explorer.exhausted
    assert not explorer.violations


# A path is a figure


def test_paths_are_figures_that_can_be_played():
    explorer = explore(octets=1, duplicates=0)
    for world in random.Random(1).sample(list(explorer.worlds), 60):
        text = draw_path(explorer, explorer.path(world))
        assert format_figure(parse_figure(text)) == text
        play_figure(text, CONFIG)


# A sweep finds what the explorer finds, one world at a time and without its reductions


def silent_ends(sides, pairs):
    """These pairs of ends, say those between which nothing is in flight; their numbers differ from search to search."""
    return {(sides[0].user(a), sides[0].facts[a], sides[1].user(b), sides[1].facts[b]) for a, b in pairs}


@pytest.mark.parametrize(
    "bound",
    [
        {"octets": 0, "losses": 2, "duplicates": 0, "faults": 2},
        {"octets": 0},
        pytest.param({"octets": 0, "faults": 2}, marks=pytest.mark.slow),
        {"octets": 0, "duplicates": 0, "simultaneous_open": True},
        {"octets": 1, "losses": 0, "duplicates": 0},
        pytest.param({"octets": 1, "losses": 0, "duplicates": 0, "send_in_listen": True}, marks=pytest.mark.slow),
        pytest.param({"octets": 1, "duplicates": 0}, marks=pytest.mark.slow),
        pytest.param({"octets": 1, "losses": 0}, marks=pytest.mark.slow),
    ],
    ids=str,
)
@pytest.mark.slow
def test_a_sweep_leaves_out_no_end(bound, monkeypatch):
    quiet = set()
    wait = Sweep._wait
    monkeypatch.setattr(Sweep, "_wait", lambda self, a, b, depth: quiet.add((a, b)) or wait(self, a, b, depth))
    swept, explorer = sweep(**bound), explore(**bound, late=None)
    assert swept.exhausted
    assert swept.wrong is explorer.wrong is None
    for name in ("ended", "half_open", "for_ever"):
        assert set(getattr(swept.silence, name)) == set(getattr(explorer.silence, name))
    nothing = explorer.nets.nothing
    silent = {world[:2] for world in explorer.worlds if world[2] == world[3] == nothing}
    assert silent_ends(swept.sides, quiet) == silent_ends(explorer.sides, silent)


@pytest.mark.parametrize("octets", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_worlds_in_which_the_network_may_do_less_lead_to_no_other_ends(octets, monkeypatch):
    less = sweep(octets=octets)
    monkeypatch.setattr(Sweep, "_freer", lambda self: [])
    all_of_them = sweep(octets=octets)
    assert less.exhausted
    assert less.wrong is all_of_them.wrong is None
    assert less.worlds < all_of_them.worlds
    for name in ("ended", "half_open", "for_ever"):
        assert set(getattr(less.silence, name)) == set(getattr(all_of_them.silence, name))
    assert examined(less) == examined(all_of_them)


def examined(swept):
    return silent_ends(swept.sides, [(pair >> 32, pair & (1 << 32) - 1) for pair in swept._examined])


def test_the_command_has_the_bound_of_the_library():
    """In its order, too."""
    told = {parameter.name: parameter.default for parameter in signature(check).parameters.values()}
    assert list(told.values()) == [field.default for field in fields(Bound)]
    assert list(told) == [field.name for field in fields(Bound)]


@pytest.mark.slow
def test_a_smaller_bound_than_the_default_is_exhausted_without_a_violation():
    swept = sweep(octets=1)
    assert swept.exhausted
    assert swept.wrong is None
    assert swept.worlds > 100_000


@pytest.mark.slow
def test_segments_that_are_one_have_the_same_effect():
    """What `Ends.canonical` claims, by induction over all ways on from an end within a moment."""
    swept, compared = sweep(octets=1, duplicates=0), 0
    for ends in swept.sides:
        ways = {(way.end, way.to) for way in ends.ways(in_time=False)}
        ways |= {(end, step.end) for end in range(len(ends)) for _, step in ends.calls(end)}
        after = {}
        for end, to in ways:
            after.setdefault(end, {end}).add(to)
        for (end, segment), form in list(ends._canonical.items()):
            if segment == form:
                continue
            compared += 1
            mine = ends.arrive(end, segment)
            theirs = ends.arrive(end, form) if form is not None else Step(end, ())
            assert mine.end == theirs.end
            assert sent_in_effect(swept, ends, end, mine) == sent_in_effect(swept, ends, end, theirs)
            for to in after.get(end, ()):
                assert stays_one(swept, ends, end, to, segment, form)
    assert compared > 1000


def sent_in_effect(swept, ends, end, step):
    """Without a RST that the peer will drop: it is before what the peer has acknowledged to us..."""
    una = ends.facts[end].snd_una
    segments = [swept.segments.get(sent) for sent in step.sent]
    return sorted(str(segment) for segment in segments if not (segment.ctl & RST and segment.seq < una))


def stays_one(swept, ends, end, to, segment, form):
    if ends.facts[to].state is State.CLOSED:
        mine = ends.arrive(to, segment)
        theirs = ends.arrive(to, form) if form is not None else Step(to, ())
        return sent_in_effect(swept, ends, end, mine) == sent_in_effect(swept, ends, end, theirs)
    return ends.canonical(to, segment) == (None if form is None else ends.canonical(to, form))


# Canonical form


def test_time_is_relative():
    """The same history at another time of day freezes to the same tuple: no time is missed."""
    frozen = []
    for start in (0, 12345 * SECOND):
        freezer, one, two = Freezer(CONFIG, 100), Connection(CONFIG, 100), Connection(CONFIG, 300)
        one.open(start)
        two.open(start, passive=True)
        seen = []
        for turn in range(40):
            one, two = two, one
            if turn in (5, 8):
                one.send(b"x", start)
            if turn in (11, 14):
                one.close(start)
            if turn % 7 == 6 and (at := one.next_timeout()) is not None:
                start = at
                one.timeout(start)
            for segment in one.segments_to_send():
                two.segment_arrives(segment, start)
                two.segment_arrives(replace(segment), start)  # twice, for the challenge ACKs
            one.news()
            one.receive(start)
            if not one.segments_to_send():
                seen.append(freezer.freeze(one, start))
                assert freezer.freeze(freezer.thaw(seen[-1]), 0) == seen[-1]
        frozen.append(seen)
    assert frozen[0] == frozen[1]
    assert len(set(frozen[0])) > 10


# Planted bugs


def reset_for_reset(patch):
    for module in (connection, stack):
        patch.setattr(module, "answer_closed", lambda segment: Segment(segment.ack, ctl=RST))


def ack_covers_too_much(patch):
    patch.setattr(Sender, "fin_acknowledged", property(lambda sender: sender.fin_queued))


def fin_overtakes_text(patch):
    """The FIN is taken although a hole is before it."""

    def arrive(receiver, segment, original=Receiver.arrive):
        octets = original(receiver, segment)
        if receiver.fin_seq is not None and not receiver.finished:
            receiver.finished = True
            receiver.tcb.rcv_nxt = receiver.fin_seq + 1
        return octets

    patch.setattr(Receiver, "arrive", arrive)


def repeated_text_is_delivered_again(patch):
    def insert(receiver, seq, text):
        receiver.text += text
        receiver.tcb.rcv_nxt = seq + len(text)

    patch.setattr(Receiver, "_insert", insert)
    patch.setattr(Receiver, "acceptable", lambda receiver, segment: True)


def row(patch, state, event, **changes):
    patch.setitem(TABLE[State(state)], event, TABLE[State(state)][event]._replace(**changes))


def no_answer_in_time_wait(patch):
    patch.delitem(TABLE[State.TIME_WAIT], Event.FIN)
    row(patch, "LAST-ACK", Event.USER_TIMEOUT, next=State.LAST_ACK, do=(), cause=None)
    row(patch, "CLOSING", Event.USER_TIMEOUT, next=State.CLOSING, do=(), cause=None)


def no_fin_retransmission(patch):
    def back_off(sender, now, original=Sender.back_off):
        original(sender, now)
        if sender.fin_queued:
            sender.resend = sender.rto_at = sender.user_at = None

    patch.setattr(Sender, "back_off", back_off)
    patch.setattr(Connection, "_retransmit", lambda self, now: None)


def close_wait_on_simultaneous_close(patch):
    row(patch, "FIN-WAIT-1", Event.FIN, next=State.CLOSE_WAIT)


def every_ack_is_acknowledged(patch):
    def step(self, segment, now, original=Connection._ack_step):
        self.acknowledger.due = True
        return original(self, segment, now)

    patch.setattr(Connection, "_ack_step", step)


def time_wait_without_end(patch):
    row(patch, "TIME-WAIT", Event.TIME_WAIT_TIMEOUT, next=State.TIME_WAIT, do=(Do.START_2MSL,), cause=None)


def a_peer_that_raises(patch):
    def window(self, segment):
        assert segment.ctl & ACK, "this segment has no ACK"
        assert not self.fin_queued, "a FIN is queued"

    patch.setattr(Sender, "window", window)


@pytest.mark.parametrize(
    ("plant", "bound", "found"),
    [
        (reset_for_reset, {"losses": 0}, "RST is answered by a RST"),
        (ack_covers_too_much, {"octets": 1}, 'told "graceful"'),
        (fin_overtakes_text, {"octets": 1, "late": 1}, 'told "graceful"'),
        (repeated_text_is_delivered_again, {"octets": 1, "duplicates": 1}, "text was delivered that was not sent"),
        (no_fin_retransmission, {}, "nothing leads to CLOSED"),
        (close_wait_on_simultaneous_close, {"losses": 0}, "nothing leads to CLOSED"),
        (every_ack_is_acknowledged, {"losses": 0}, "an exchange without end"),
        (time_wait_without_end, {"losses": 0}, "an exchange without end, although both users"),
        (no_answer_in_time_wait, {}, "an exchange without end"),
        (a_peer_that_raises, {"losses": 0}, "AssertionError: a FIN is queued"),
    ],
)
@pytest.mark.slow
def test_a_planted_bug_is_found(monkeypatch, plant, bound, found):
    plant(monkeypatch)
    explorer = explore(**{"octets": 0, "duplicates": 0, **bound})
    assert [violation.what for violation in explorer.violations if found in violation.what]
    figure = draw_path(explorer, explorer.violations[0].path)
    assert format_figure(parse_figure(figure)) == figure
    bound = Bound(**{"octets": 0, "duplicates": 0, **bound, "late": None})
    swept = Sweep(bound)
    swept.run()
    assert swept.wrong
    found = shortest(bound)
    assert found is not None
    assert found.violations


def test_the_figure_of_a_planted_bug_is_short_and_shows_it(monkeypatch):
    reset_for_reset(monkeypatch)
    explorer = explore(octets=0, losses=0, duplicates=0)
    figure = draw_path(explorer, explorer.violations[0].path)
    play_figure(figure, CONFIG)  # with the bug planted, this is what happens
    assert len(figure.splitlines()) < 10
    assert figure.count("CTL=RST") == 2


# The command


@pytest.mark.slow
def test_the_command_reports_and_its_status_tells(monkeypatch):
    done = CliRunner().invoke(app, ["check", "--octets", "0", "--duplicates", "0"])
    assert done.exit_code == 0, done.output
    assert "no violation" in done.output
    assert "worlds/s" in done.output
    reset_for_reset(monkeypatch)
    done = CliRunner().invoke(app, ["check", "--octets", "0", "--duplicates", "0"])
    assert done.exit_code == 1
    assert "VIOLATION: a RST is answered by a RST" in done.output


@pytest.mark.parametrize("how", [["0.2"], ["0"], ["0", "--late", "1"]])
def test_a_search_that_ran_out_of_time_says_so(how):
    done = CliRunner().invoke(app, ["check", "--octets", "2", "--time", *how])
    assert done.exit_code == 0, done.output
    assert "NOT EXHAUSTED" in done.output
