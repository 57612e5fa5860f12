"""CLOSE and ABORT in every state, the states of release one by one, and ICMP. Times are exact.

Our side is numbered from 100 (ISS), the peer's from 300. Every test runs again with numbers that wrap.
"""

from __future__ import annotations

import re

import pytest
from peers import OUR_FIN, THEIR_ACK, refused

from tcpclose.protocol.config import SECOND
from tcpclose.protocol.fsm import State

# CLOSE in every state


@pytest.mark.parametrize("state", ["CLOSING", "LAST-ACK", "TIME-WAIT"])
def test_close_is_refused_when_the_connection_is_closing(play, state):
    p = play().reach(state)
    with refused("error: connection closing"):
        p.close()


@pytest.mark.parametrize("state", ["FIN-WAIT-1", "FIN-WAIT-2"])
def test_a_second_close_sends_no_second_fin(play, state):
    p = play().reach(state)
    p.close()
    p.sends()
    assert p.state == state


@pytest.mark.parametrize("state", ["FIN-WAIT-1", "FIN-WAIT-2", "CLOSING", "LAST-ACK", "TIME-WAIT"])
def test_send_is_refused_after_close(play, state):
    with refused("error: connection closing"):
        play().reach(state).send(1)


@pytest.mark.parametrize("state", [state for state in State if state is not State.CLOSED], ids=str)
@pytest.mark.parametrize("passive", [False, True])
def test_open_is_refused_when_there_is_a_connection(play, state, passive):
    p = play().reach(str(state))
    if passive or state is not State.LISTEN:
        with refused("error: connection already exists"):
            p.open(passive)
        assert p.state == str(state)


def test_listen_becomes_active_by_open(play):
    p = play().reach("LISTEN")
    p.open()
    p.sends("<SEQ=100><CTL=SYN>")


@pytest.mark.parametrize(("call", "cause"), [("close", "not opened"), ("abort", "aborted")])
def test_listen_ends_in_silence(play, call, cause):
    p = play().reach("LISTEN")
    getattr(p, call)()
    p.sends()
    p.told(f"CLOSED {cause}")


# ABORT in every state


@pytest.mark.parametrize(
    ("state", "reset"),
    [
        ("SYN-RECEIVED", "<SEQ=101><ACK=301><CTL=RST,ACK>"),
        ("ESTABLISHED", "<SEQ=101><ACK=301><CTL=RST,ACK>"),
        ("FIN-WAIT-1", "<SEQ=102><ACK=301><CTL=RST,ACK>"),
        ("FIN-WAIT-2", "<SEQ=102><ACK=301><CTL=RST,ACK>"),
        ("CLOSE-WAIT", "<SEQ=101><ACK=302><CTL=RST,ACK>"),
        ("CLOSING", None),
        ("LAST-ACK", None),
        ("TIME-WAIT", None),
    ],
)
@pytest.mark.parametrize("reset_ack", [True, False])
def test_abort(play, state, reset, reset_ack):
    p = play(reset_ack=reset_ack).reach(state)
    p.abort()
    if reset and not reset_ack:
        reset = re.sub(r"<ACK=\d+><CTL=RST,ACK>", "<CTL=RST>", reset)
    p.sends(*[reset] if reset else [])
    p.told(f"CLOSED {'graceful' if state == 'TIME-WAIT' else 'aborted'}")
    assert p.due() is None


def test_abort_drops_the_text_and_resets_after_what_was_sent(play):
    p = play(wnd=4).reach("ESTABLISHED")
    p.send(10)
    p.sent()
    p.abort()
    p.sends("<SEQ=105><ACK=301><CTL=RST,ACK>")
    p.hear("<SEQ=301><ACK=105><CTL=ACK>")
    p.sends("<SEQ=105><CTL=RST>")


# FIN-WAIT-1


def test_the_fin_is_repeated_with_backoff(play):
    p = play(user_timeout=10 * SECOND).reach("FIN-WAIT-1")
    for seconds in (1, 3, 7):
        p.sends_at(seconds, OUR_FIN)
    p.sends_at(10, "<SEQ=102><ACK=301><CTL=RST,ACK>")
    p.told("ERROR 3 retransmissions", "CLOSED user timeout")


def test_a_fin_that_acknowledges_ours_leads_to_time_wait_at_once(play):
    p = play().reach("FIN-WAIT-1")
    p.hear("<SEQ=301><ACK=102><CTL=FIN,ACK><DATA=3>")
    p.sends("<SEQ=102><ACK=305><CTL=ACK>")
    p.told("TEXT 3", "EOF")
    p.news()
    assert [str(row.next) for row in p.rows] == ["FIN-WAIT-2", "TIME-WAIT"]


def test_text_is_still_taken_after_close(play):
    p = play().reach("FIN-WAIT-1")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=3>")
    p.sends("<SEQ=102><ACK=304><CTL=ACK>")
    p.hear("<SEQ=304><ACK=102><CTL=ACK><DATA=3>")
    p.sends("<SEQ=102><ACK=307><CTL=ACK>")
    assert p.state == "FIN-WAIT-2"
    p.hear("<SEQ=307><ACK=102><CTL=ACK><DATA=3>")
    p.sends("<SEQ=102><ACK=310><CTL=ACK>")
    assert len(p.receive()) == 9


def test_fast_retransmission_of_a_lone_fin(play):
    p = play().reach("FIN-WAIT-1")
    for _ in range(3):
        p.hear(THEIR_ACK)
    p.sends(OUR_FIN)


# FIN-WAIT-2


def test_fin_wait_2_waits_for_ever(play):
    p = play().reach("FIN-WAIT-2")
    assert p.due() is None


def test_reading_in_fin_wait_2_still_opens_the_window(play):
    p = play(rcv_buffer=4).reach("FIN-WAIT-2")
    p.hear("<SEQ=301><ACK=102><CTL=ACK><DATA=4>")
    p.sent()
    p.receive()
    p.sends("<SEQ=102><ACK=305><CTL=ACK>")


# CLOSE-WAIT


def test_close_wait_sends_and_is_acknowledged(play):
    p = play().reach("CLOSE-WAIT")
    p.send(5)
    p.sends("<SEQ=101><ACK=302><CTL=ACK><DATA=5>")
    p.hear("<SEQ=302><ACK=106><CTL=ACK>")
    p.told("SENT")


def test_close_wait_ignores_text_behind_the_fin(play):
    p = play().reach("CLOSE-WAIT")
    p.hear("<SEQ=302><ACK=101><CTL=FIN,ACK><DATA=5>")
    p.sends()
    p.told()


def test_reading_after_the_fin_opens_no_window(play):
    p = play(rcv_buffer=4).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=FIN,ACK><DATA=4>")
    p.sent()
    assert len(p.receive()) == 4
    p.sends()


def test_close_wait_is_left_when_the_fin_goes_out(play):
    """3.10.4: queued until all preceding SENDs have been segmentized."""
    p = play(wnd=3).reach("CLOSE-WAIT")
    p.send(5)
    p.close()
    p.close()
    p.sends("<SEQ=101><ACK=302><CTL=ACK><DATA=3>")
    assert p.state == "CLOSE-WAIT"
    with refused("error: connection closing"):
        p.send(1)
    p.hear("<SEQ=302><ACK=104><CTL=ACK>", wnd=9)
    p.sends("<SEQ=104><ACK=302><CTL=FIN,ACK><DATA=2>")
    assert p.state == "LAST-ACK"


# CLOSING


def test_closing_repeats_the_fin_and_acknowledges_the_peers(play):
    p = play().reach("CLOSING")
    for seconds in (1, 3):
        p.sends_at(seconds, "<SEQ=101><ACK=302><CTL=FIN,ACK>")
    p.hear("<SEQ=302><ACK=102><CTL=ACK>")
    p.sends()
    assert p.state == "TIME-WAIT"
    assert p.due() == 3 + 10


def test_closing_with_text_still_to_send(play):
    """The peer's FIN comes while the window holds ours back."""
    p = play(wnd=3).reach("ESTABLISHED")
    p.send(5)
    p.close()
    p.sent()
    p.hear("<SEQ=301><ACK=101><CTL=FIN,ACK>")
    p.sends("<SEQ=104><ACK=302><CTL=ACK>")
    assert p.state == "CLOSING"
    p.hear("<SEQ=302><ACK=104><CTL=ACK>", wnd=9)
    p.sends("<SEQ=104><ACK=302><CTL=FIN,ACK><DATA=2>")
    p.hear("<SEQ=302><ACK=107><CTL=ACK>")
    assert p.state == "TIME-WAIT"


# LAST-ACK


def test_last_ack_repeats_the_fin_and_gives_up(play):
    p = play(user_timeout=10 * SECOND).reach("LAST-ACK")
    for seconds in (1, 3, 7):
        p.sends_at(seconds, "<SEQ=101><ACK=302><CTL=FIN,ACK>")
    p.sends_at(10, "<SEQ=102><ACK=302><CTL=RST,ACK>")
    p.told("ERROR 3 retransmissions", "CLOSED user timeout")


def test_last_ack_waits_for_the_ack_that_covers_the_fin(play):
    p = play().reach("CLOSE-WAIT")
    p.send(5)
    p.close()
    p.sent()
    p.hear("<SEQ=302><ACK=101><CTL=ACK>")
    p.hear("<SEQ=302><ACK=106><CTL=ACK>")
    p.sends()
    assert p.state == "LAST-ACK"
    p.hear("<SEQ=302><ACK=107><CTL=ACK>")
    p.sends()
    p.told("SENT", "CLOSED graceful")
    assert p.due() is None


def test_repeated_fins_are_no_duplicate_acknowledgments(play):
    p = play().reach("LAST-ACK")
    for _ in range(3):
        p.hear("<SEQ=301><ACK=101><CTL=FIN,ACK>")
    p.sends(*["<SEQ=102><ACK=302><CTL=ACK>"] * 3)


def test_a_repeated_fin_may_acknowledge_ours(play):
    p = play().reach("LAST-ACK")
    p.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")
    p.sends()
    p.told("CLOSED graceful")


@pytest.mark.parametrize("state", ["FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK"])
def test_a_reset_ends_a_release_that_is_not_finished(play, state):
    p = play(time_wait_rst="ignore").reach(state)
    p.hear(f"<SEQ={(p.connection.tcb.rcv_nxt - p.irs) % 2**32}><CTL=RST>")
    p.sends()
    p.told("CLOSED reset by peer")


@pytest.mark.parametrize("state", ["CLOSE-WAIT", "CLOSING", "LAST-ACK"])
def test_a_repeated_fin_is_acknowledged(play, state):
    p = play().reach(state)
    p.hear("<SEQ=301><ACK=101><CTL=FIN,ACK>")
    p.sends(f"<SEQ={101 + (state != 'CLOSE-WAIT')}><ACK=302><CTL=ACK>")
    assert p.state == state


# TIME-WAIT


def test_time_wait_lasts_two_msl(play):
    p = play(msl=30 * SECOND).reach("TIME-WAIT")
    p.at(59.9)
    assert p.state == "TIME-WAIT"
    p.at(60)
    p.told("CLOSED graceful")


def test_time_wait_acknowledges_a_repeated_fin_and_starts_again(play):
    p = play().reach("TIME-WAIT")
    p.at(5)
    p.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")
    p.sends("<SEQ=102><ACK=302><CTL=ACK>")
    assert p.due() == 15


@pytest.mark.parametrize("segment", ["<SEQ=300><ACK=102><CTL=ACK><DATA=1>", "<SEQ=299><ACK=102><CTL=FIN,ACK>"])
def test_time_wait_is_not_prolonged_by_other_old_segments(play, segment):
    p = play().reach("TIME-WAIT")
    p.at(5)
    p.hear(segment)
    p.sends("<SEQ=102><ACK=302><CTL=ACK>")
    assert p.due() == 10


def test_time_wait_judges_a_syn_fin_as_a_syn(play):
    p = play().reach("TIME-WAIT")
    p.at(5)
    p.hear("<SEQ=300><CTL=SYN,FIN>")
    p.sends("<SEQ=102><ACK=302><CTL=ACK>")
    assert p.due() == 10


def test_time_wait_ignores_text(play):
    p = play().reach("TIME-WAIT")
    p.hear("<SEQ=302><ACK=102><CTL=ACK><DATA=1>")
    p.sends()
    p.told()


def test_a_reset_ends_time_wait_gracefully(play):
    p = play().reach("TIME-WAIT")
    p.hear("<SEQ=302><CTL=RST>")
    p.sends()
    p.told("CLOSED graceful")


def test_a_reset_in_time_wait_may_be_ignored(play):
    """RFC 1337."""
    p = play(time_wait_rst="ignore").reach("TIME-WAIT")
    p.hear("<SEQ=302><CTL=RST>")
    p.hear("<SEQ=303><CTL=RST>")
    p.sends()
    assert p.state == "TIME-WAIT"


def test_text_can_be_read_in_time_wait_and_after_it(play):
    p = play(rcv_buffer=4).reach("FIN-WAIT-2")
    p.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>", data=b"abcd")
    p.sent()
    assert p.receive(2) == b"ab"
    p.at(10)
    assert p.state == "CLOSED"
    assert p.receive() == b"cd"
    p.sends()


# ICMP


@pytest.mark.parametrize("state", ["SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "CLOSING", "LAST-ACK"])
def test_a_hard_error_ends_the_connection_in_silence(play, state):
    p = play().reach(state)
    p.connection.icmp_arrives(True, "port unreachable", p.now)
    p.sends()
    p.told("ERROR port unreachable", "CLOSED unreachable")
    assert p.due() is None


@pytest.mark.parametrize("state", ["FIN-WAIT-2", "TIME-WAIT"])
def test_a_hard_error_cannot_be_about_anything_in_flight(play, state):
    p = play().reach(state)
    p.connection.icmp_arrives(True, "port unreachable", p.now)
    assert p.state == state


def test_a_soft_error_is_told_and_changes_nothing(play):
    p = play().reach("FIN-WAIT-1")
    p.connection.icmp_arrives(False, "ICMP type 3 code 1", p.now)
    p.told("ERROR ICMP type 3 code 1")
    p.sends_at(1, OUR_FIN)
