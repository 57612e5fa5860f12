"""One connection and a peer played by hand: 3.10.7 and its timers, state by state. Times are exact.

Our side is numbered from 100 (ISS), the peer's from 300. Every test runs again with numbers that wrap.
"""

from __future__ import annotations

import re

import pytest
from peers import Played

from tcpclose.protocol.config import SECOND
from tcpclose.protocol.connection import TcpError
from tcpclose.protocol.fsm import State


@pytest.fixture(params=[(100, 300), (2**32 - 1, 2**32 - 4)], ids=["iss=100", "wrapping"])
def play(request):
    """Makes a connection; keyword arguments are settings."""
    iss, irs = request.param
    return lambda **settings: Played(iss, irs, **settings)


def refused(words: str):
    return pytest.raises(TcpError, match=f"^{re.escape(words)}$")


OUR_ACK = "<SEQ=101><ACK=301><CTL=ACK>"
OUR_FIN = "<SEQ=101><ACK=301><CTL=FIN,ACK>"
THEIR_ACK = "<SEQ=301><ACK=101><CTL=ACK>"

# CLOSED


@pytest.mark.parametrize("call", ["close", "abort", "send"])
def test_closed_has_no_connection_to_call(play, call):
    p = play()
    with refused("error: connection does not exist"):
        p.send(1) if call == "send" else getattr(p, call)()
    p.sends()


def test_closed_answers_an_ack_with_a_reset_at_its_number(play):
    p = play()
    p.hear("<SEQ=300><ACK=777><CTL=ACK>")
    p.sends("<SEQ=777><CTL=RST>")


def test_closed_answers_a_syn_with_a_reset_that_acknowledges_it():
    p = Played()
    p.hear("<SEQ=300><CTL=SYN><DATA=5>")
    (reset,) = p.connection.segments_to_send()
    assert str(reset) == "<SEQ=0><ACK=306><CTL=RST,ACK>"


def test_closed_answers_no_reset(play):
    p = play()
    p.hear("<SEQ=300><CTL=RST>")
    p.hear("<SEQ=300><ACK=101><CTL=RST,ACK>")
    p.sends()


def test_a_connection_that_has_ended_can_be_opened_again(play):
    p = play(snd_buffer=5).reach("CLOSE-WAIT")
    p.send(5)
    p.close()
    p.abort()
    with refused("error: connection does not exist"):
        p.send(1)
    p.sent()
    p.open()
    p.sends("<SEQ=100><CTL=SYN>")
    assert p.connection.cause is None
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>")
    p.sends(OUR_ACK)


# LISTEN


def test_listen_ignores_a_reset(play):
    p = play().reach("LISTEN")
    p.hear("<SEQ=300><CTL=RST>")
    p.hear("<SEQ=300><ACK=5><CTL=RST,ACK>")
    p.sends()
    assert p.state == "LISTEN"


@pytest.mark.parametrize("ctl", ["ACK", "SYN,ACK", "FIN,ACK"])
def test_listen_resets_what_acknowledges_anything(play, ctl):
    p = play().reach("LISTEN")
    p.hear(f"<SEQ=300><ACK=101><CTL={ctl}>")
    p.sends("<SEQ=101><CTL=RST>")
    assert p.state == "LISTEN"


def test_listen_drops_what_is_neither_syn_nor_ack(play):
    p = play().reach("LISTEN")
    p.hear("<SEQ=300><CTL=FIN>")
    p.sends()


def test_listen_has_no_timer(play):
    assert play().reach("LISTEN").due() is None


def test_send_in_listen_opens_actively(play):
    p = play().reach("LISTEN")
    p.send(3)
    p.sends("<SEQ=100><CTL=SYN>")
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>")
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=3>")


def test_after_send_in_listen_nothing_leads_back_to_it(play):
    """3.10.7.4 second: it is the active OPEN that fails."""
    p = play().reach("LISTEN")
    p.send(3)
    p.hear("<SEQ=300><CTL=SYN>")
    p.hear("<SEQ=301><CTL=RST>")
    assert p.state == "CLOSED"
    p.told("CLOSED refused")


def test_a_send_that_does_not_fit_leaves_listen_alone(play):
    p = play(snd_buffer=10).reach("LISTEN")
    with refused("error: insufficient resources"):
        p.send(11)
    assert p.state == "LISTEN"


# SYN-SENT


def test_the_syn_carries_window_and_mss(play):
    p = play(mss=1234, rcv_buffer=4000)
    p.open()
    p.sends("<SEQ=100><CTL=SYN>")
    assert (p.last.wnd, p.last.mss) == (4000, 1234)


def test_the_syn_is_repeated_with_backoff_until_the_user_timeout(play):
    p = play(user_timeout=10 * SECOND).reach("SYN-SENT")
    for seconds in (1, 3, 7):
        p.sends_at(seconds, "<SEQ=100><CTL=SYN>")
    p.sends_at(10)
    p.told("ERROR 3 retransmissions", "CLOSED user timeout")
    assert p.due() is None


def test_after_a_lost_syn_the_timeout_for_text_starts_at_three_seconds(play):
    """RFC 6298, 5.7."""
    p = play().reach("SYN-SENT")
    p.at(7.5)
    p.sent()
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>")
    p.send(1)
    p.sends("<SEQ=101><ACK=301><CTL=ACK>", "<SEQ=101><ACK=301><CTL=ACK><DATA=1>")
    p.sends_at(10.5, "<SEQ=101><ACK=301><CTL=ACK><DATA=1>")


@pytest.mark.parametrize("ack", [100, 102])
@pytest.mark.parametrize("ctl", ["ACK", "SYN,ACK"])
def test_syn_sent_resets_what_acknowledges_something_else(play, ack, ctl):
    p = play().reach("SYN-SENT")
    p.hear(f"<SEQ=300><ACK={ack}><CTL={ctl}>")
    p.sends(f"<SEQ={ack}><CTL=RST>")
    assert p.state == "SYN-SENT"


def test_syn_sent_drops_an_ack_without_syn(play):
    p = play().reach("SYN-SENT")
    p.hear("<SEQ=300><ACK=101><CTL=ACK>")
    p.hear("<SEQ=300><CTL=FIN>")
    p.sends()
    assert p.state == "SYN-SENT"


def test_syn_sent_is_refused_by_a_reset_that_acknowledges_the_syn(play):
    p = play().reach("SYN-SENT")
    p.hear("<SEQ=0><ACK=101><CTL=RST,ACK>")
    p.sends()
    p.told("CLOSED refused")


@pytest.mark.parametrize(
    "reset", ["<SEQ=0><CTL=RST>", "<SEQ=0><ACK=100><CTL=RST,ACK>", "<SEQ=0><ACK=102><CTL=RST,ACK>"]
)
def test_syn_sent_ignores_other_resets(play, reset):
    p = play().reach("SYN-SENT")
    p.hear(reset)
    p.sends()
    assert p.state == "SYN-SENT"


def test_text_waits_for_established(play):
    p = play().reach("SYN-SENT")
    p.send(3)
    p.send(4)
    p.sends()
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>")
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=7>")
    p.told("CONNECTED")


def test_a_syn_ack_may_bring_text_and_fin(play):
    p = play().reach("SYN-SENT")
    p.hear("<SEQ=300><ACK=101><CTL=SYN,FIN,ACK><DATA=4>")
    p.sends("<SEQ=101><ACK=306><CTL=ACK>")
    p.told("CONNECTED", "TEXT 4", "EOF")
    assert p.state == "CLOSE-WAIT"


@pytest.mark.parametrize("call", ["close", "abort"])
def test_closing_in_syn_sent_is_silent(play, call):
    p = play().reach("SYN-SENT")
    p.send(5)
    getattr(p, call)()
    p.sends()
    p.told("CLOSED not opened" if call == "close" else "CLOSED aborted")
    assert p.due() is None


# SYN-RECEIVED


def test_the_syn_ack_is_repeated_and_then_given_up(play):
    p = play(user_timeout=6 * SECOND).reach("SYN-RECEIVED")
    for seconds in (1, 3):
        p.sends_at(seconds, "<SEQ=100><ACK=301><CTL=SYN,ACK>")
    p.sends_at(6, "<SEQ=101><ACK=301><CTL=RST,ACK>")
    p.told("CLOSED user timeout")


@pytest.mark.parametrize("ack", [100, 102])
def test_syn_received_resets_what_acknowledges_something_else(play, ack):
    p = play().reach("SYN-RECEIVED")
    p.hear(f"<SEQ=301><ACK={ack}><CTL=ACK>")
    p.sends(f"<SEQ={ack}><CTL=RST>")
    assert p.state == "SYN-RECEIVED"


def test_text_from_before_the_syn_is_acknowledged_and_no_more(play):
    p = play().reach("SYN-RECEIVED")
    p.hear("<SEQ=290><ACK=50><CTL=ACK><DATA=5>")
    p.hear("<SEQ=290><ACK=101><CTL=ACK><DATA=5>")
    p.sends(OUR_ACK, OUR_ACK)
    assert p.state == "SYN-RECEIVED"


def test_a_repeated_syn_is_acknowledged(play):
    p = play().reach("SYN-RECEIVED")
    p.hear("<SEQ=300><CTL=SYN>")
    p.sends(OUR_ACK)
    assert p.state == "SYN-RECEIVED"


def test_a_repeated_syn_with_text_does_not_undo_the_handshake(play):
    """Only the text reaches into the window: 3.10.7.4 trims what lies before RCV.NXT, the SYN included."""
    p = play().reach("SYN-RECEIVED")
    p.hear("<SEQ=300><CTL=SYN><DATA=9>")
    p.sends(OUR_ACK)
    assert p.state == "SYN-RECEIVED"


@pytest.mark.parametrize("segment", ["<SEQ=301><CTL=RST>", "<SEQ=301><CTL=SYN>", "<SEQ=500><ACK=9><CTL=SYN,ACK>"])
def test_a_reset_or_another_syn_leads_back_to_listen(play, segment):
    p = play().reach("SYN-RECEIVED")
    p.hear(segment)
    p.sends()
    assert p.state == "LISTEN"
    assert p.due() is None
    p.hear("<SEQ=900><CTL=SYN>")
    p.sends("<SEQ=100><ACK=901><CTL=SYN,ACK>")


def test_an_ack_of_the_syn_counts_in_the_window_only(play):
    p = play().reach("SYN-RECEIVED")
    p.hear("<SEQ=300><ACK=101><CTL=ACK>")
    p.sends(OUR_ACK)
    assert p.state == "SYN-RECEIVED"


def test_simultaneous_open(play):
    p = play().reach("SYN-SENT")
    p.hear("<SEQ=300><CTL=SYN>")
    p.sends("<SEQ=100><ACK=301><CTL=SYN,ACK>")
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>")
    p.sends()
    p.told("CONNECTED")
    assert p.state == "ESTABLISHED"


def test_the_syn_ack_of_a_simultaneous_open_may_bring_text(play):
    p = play().reach("SYN-SENT")
    p.hear("<SEQ=300><CTL=SYN>")
    p.sent()
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK><DATA=3>")
    p.sends("<SEQ=101><ACK=304><CTL=ACK>")
    p.told("CONNECTED", "TEXT 3")


def test_simultaneous_open_can_be_refused(play):
    p = play().reach("SYN-SENT")
    p.hear("<SEQ=300><CTL=SYN>")
    p.sent()
    p.hear("<SEQ=301><CTL=RST>")
    p.sends()
    p.told("CLOSED refused")


def test_simultaneous_open_asks_back_about_another_syn(play):
    p = play().reach("SYN-SENT")
    p.hear("<SEQ=300><CTL=SYN>")
    p.sent()
    p.hear("<SEQ=400><CTL=SYN>")
    p.sends(OUR_ACK)
    assert p.state == "SYN-RECEIVED"


def test_the_acknowledgment_of_the_syn_may_bring_text_and_fin(play):
    p = play().reach("SYN-RECEIVED")
    p.hear("<SEQ=301><ACK=101><CTL=FIN,ACK><DATA=5>")
    p.sends("<SEQ=101><ACK=307><CTL=ACK>")
    p.told("CONNECTED", "TEXT 5", "EOF")
    assert p.receive() == bytes(5)


def test_close_in_syn_received_sends_the_fin_at_once(play):
    p = play().reach("SYN-RECEIVED")
    p.close()
    p.sends(OUR_FIN)
    assert p.state == "FIN-WAIT-1"
    p.hear("<SEQ=301><ACK=102><CTL=ACK>")
    p.sends()
    assert p.state == "FIN-WAIT-2"


def test_close_in_syn_received_syn_and_fin_are_repeated(play):
    p = play().reach("SYN-RECEIVED")
    p.close()
    p.sent()
    p.sends_at(1, "<SEQ=100><ACK=301><CTL=SYN,ACK>", OUR_FIN)
    p.hear(THEIR_ACK)
    p.sends()
    p.sends_at(4, OUR_FIN)  # RFC 6298, 5.7


def test_close_in_syn_received_behind_a_closed_window(play):
    p = play().reach("LISTEN")
    p.hear("<SEQ=300><CTL=SYN>", wnd=0)
    p.close()
    p.sends("<SEQ=100><ACK=301><CTL=SYN,ACK>")
    p.hear("<SEQ=301><ACK=100><CTL=ACK>", wnd=1)  # acknowledges nothing, but opens the window
    p.sends(OUR_FIN)
    p.hear("<SEQ=301><ACK=102><CTL=ACK>")
    assert p.state == "FIN-WAIT-2"


def test_close_in_syn_received_waits_for_text(play):
    p = play().reach("SYN-RECEIVED")
    p.send(5)
    p.close()
    p.close()
    p.sends()
    with refused("error: connection closing"):
        p.send(1)
    p.hear(THEIR_ACK)
    p.sends("<SEQ=101><ACK=301><CTL=FIN,ACK><DATA=5>")
    assert p.state == "FIN-WAIT-1"


def test_close_in_syn_received_does_not_listen_again(play):
    p = play().reach("SYN-RECEIVED")
    p.send(5)
    p.close()
    p.hear("<SEQ=301><CTL=RST>")
    p.told("CLOSED refused")
    with refused("error: connection does not exist"):
        p.send(1)


# ESTABLISHED: text that arrives


def test_text_is_acknowledged_and_read(play):
    p = play().reach("ESTABLISHED")
    p.hear(THEIR_ACK, data=b"abc")
    p.sends("<SEQ=101><ACK=304><CTL=ACK>")
    p.told("TEXT 3")
    assert (p.receive(2), p.receive(), p.receive()) == (b"ab", b"c", b"")


def test_text_beyond_a_hole_waits(play):
    p = play().reach("ESTABLISHED")
    p.hear("<SEQ=304><ACK=101><CTL=ACK>", data=b"def")
    p.hear("<SEQ=310><ACK=101><CTL=ACK>", data=b"jk")
    p.sends(OUR_ACK, OUR_ACK)
    p.told()
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", data=b"abc")
    p.sends("<SEQ=101><ACK=307><CTL=ACK>")
    p.hear("<SEQ=307><ACK=101><CTL=ACK>", data=b"ghi")
    p.sends("<SEQ=101><ACK=312><CTL=ACK>")
    p.told("TEXT 6", "TEXT 5")
    assert p.receive() == b"abcdefghijk"


@pytest.mark.parametrize(
    "pieces",
    [
        [(303, b"cd"), (304, b"def"), (301, b"abc")],  # overlaps at the end of what is held
        [(304, b"def"), (303, b"cd"), (301, b"ab")],  # ... at its start
        [(303, b"cdef"), (304, b"d"), (301, b"abc")],  # ... lies in it
        [(304, b"d"), (303, b"cdef"), (301, b"ab")],  # ... covers it
        [(303, b"c"), (306, b"f"), (304, b"de"), (301, b"abcdef")],  # ... joins two, and all is old in the end
        [(303, b"c"), (305, b"e"), (301, b"abcdef")],
        [(306, b"f"), (302, b"b"), (301, b"a"), (303, b"cde")],  # holes of one octet
        [(304, b"d"), (306, b"f"), (302, b"bc"), (301, b"a"), (305, b"e")],
    ],
)
def test_pieces_that_overlap(play, pieces):
    p = play().reach("ESTABLISHED")
    for seq, text in pieces:
        p.hear(f"<SEQ={seq}><ACK=101><CTL=ACK>", data=text)
    assert p.receive() == b"abcdef"
    assert not p.connection.receiver.ahead


def test_no_octet_is_held_twice(play):
    p = play(rcv_buffer=1000).reach("ESTABLISHED")
    for seq in range(302, 800):
        p.hear(f"<SEQ={seq}><ACK=101><CTL=ACK><DATA=500>")
    assert sum(len(text) for _, text in p.connection.receiver.ahead) <= 1000


def test_text_is_trimmed_at_both_ends_of_the_window(play):
    p = play(rcv_buffer=4).reach("ESTABLISHED")
    p.hear("<SEQ=299><ACK=101><CTL=FIN,ACK>", data=b"..abcdefgh")
    p.sends("<SEQ=101><ACK=305><CTL=ACK>")
    assert p.last.wnd == 0
    assert p.receive() == b"abcd"
    p.hear("<SEQ=305><ACK=101><CTL=ACK>", data=b"efgh")
    assert p.receive() == b"efgh"
    assert p.state == "ESTABLISHED"  # the FIN lay beyond the window


def test_old_text_is_acknowledged_every_time(play):
    p = play(challenge_ack_limit=1).reach("ESTABLISHED")
    p.hear(THEIR_ACK, data=b"abc")
    p.sent()
    for _ in range(3):
        p.hear(THEIR_ACK, data=b"abc")
        p.sends("<SEQ=101><ACK=304><CTL=ACK>")
    assert p.receive() == b"abc"


def test_what_has_no_ack_is_dropped(play):
    p = play().reach("ESTABLISHED")
    p.hear("<SEQ=301><CTL=FIN><DATA=5>")
    p.sends()
    p.told()


def test_a_fin_beyond_a_hole_waits(play):
    p = play().reach("ESTABLISHED")
    p.hear("<SEQ=304><ACK=101><CTL=FIN,ACK>", data=b"def")
    p.sends(OUR_ACK)
    assert p.state == "ESTABLISHED"
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", data=b"abc")
    p.sends("<SEQ=101><ACK=308><CTL=ACK>")
    p.told("TEXT 6", "EOF")
    assert p.state == "CLOSE-WAIT"


def test_nothing_follows_a_fin(play):
    p = play().reach("ESTABLISHED")
    p.hear("<SEQ=303><ACK=101><CTL=ACK>", data=b"cdef")
    p.hear("<SEQ=303><ACK=101><CTL=FIN,ACK>", data=b"c")
    p.hear("<SEQ=303><ACK=101><CTL=FIN,ACK>", data=b"cdef")  # a second FIN elsewhere is no FIN
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", data=b"ab")
    assert p.receive() == b"abc"
    assert p.state == "CLOSE-WAIT"


def test_a_repeated_segment_with_new_text_and_fin(play):
    p = play().reach("ESTABLISHED")
    p.hear(THEIR_ACK, data=b"abc")
    p.hear("<SEQ=301><ACK=101><CTL=FIN,ACK>", data=b"abcde")
    p.sends("<SEQ=101><ACK=304><CTL=ACK>", "<SEQ=101><ACK=307><CTL=ACK>")
    assert p.receive() == b"abcde"


@pytest.mark.parametrize("fin", ["<SEQ=305><ACK=101><CTL=FIN,ACK>", "<SEQ=301><ACK=101><CTL=FIN,ACK><DATA=4>"])
def test_a_fin_needs_no_room(play, fin):
    p = play(rcv_buffer=4).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=4>")
    p.hear(fin)
    p.sends("<SEQ=101><ACK=305><CTL=ACK>", "<SEQ=101><ACK=306><CTL=ACK>")
    assert p.last.wnd == 0
    assert p.state == "CLOSE-WAIT"


# ESTABLISHED: the window that we offer


def test_a_window_opens_in_steps_worth_offering(play):
    """3.8.6.2.2: by a segment, or half the buffer."""
    p = play(rcv_buffer=10).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=311><CTL=ACK>")
    p.receive(4)
    p.sends()
    p.receive(1)
    p.sends("<SEQ=101><ACK=311><CTL=ACK>")
    assert p.last.wnd == 5
    p.receive()
    p.sends("<SEQ=101><ACK=311><CTL=ACK>")
    assert p.last.wnd == 10
    assert p.receive() == b""
    p.sends()


def test_the_smallest_window_opens_as_well(play):
    p = play(rcv_buffer=1).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=1>")
    p.sent()
    p.receive()
    p.sends("<SEQ=101><ACK=302><CTL=ACK>")
    assert p.last.wnd == 1


def test_a_wide_window_needs_no_update(play):
    p = play().reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=4000>")
    p.sends("<SEQ=101><ACK=4301><CTL=ACK>")
    assert p.last.wnd == 61535
    p.receive()
    p.sends()
    p.send(1)
    p.sent()
    assert p.last.wnd == 65535  # the next segment brings the news


def test_a_probe_of_a_closed_window_is_refused_but_its_ack_counts(play):
    """3.10.7.4 first: when RCV.WND is zero, valid ACKs and RSTs are still to be accepted."""
    p = play(rcv_buffer=4).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=4>")
    p.send(7)
    p.sent()
    p.hear("<SEQ=305><ACK=108><CTL=ACK><DATA=1>")
    p.sends("<SEQ=108><ACK=305><CTL=ACK>")
    p.told("TEXT 4", "SENT")
    assert p.receive() == bytes(4)


def test_behind_a_probe_that_was_refused_acks_and_resets_are_heard(play):
    """The octet that was refused has taken the peer's SND.NXT one beyond the closed window."""
    p = play(rcv_buffer=4).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=4>")
    p.send(7)
    p.sent()
    for beyond in ("<SEQ=306><ACK=108><CTL=ACK><DATA=1>", "<SEQ=307><ACK=108><CTL=ACK>"):
        p.hear(beyond)
        p.sends("<SEQ=108><ACK=305><CTL=ACK>")
        p.told(*["TEXT 4"] if "DATA" in beyond else [])
    p.hear("<SEQ=306><ACK=108><CTL=ACK>")
    p.sends()
    p.told("SENT")
    p.hear("<SEQ=306><ACK=108><CTL=RST,ACK>")
    p.sends("<SEQ=108><ACK=305><CTL=ACK>")  # "is this you?": a peer that is gone answers at RCV.NXT


def test_a_reset_with_text_is_heard_through_a_closed_window(play):
    """SHLD-2 and MUST-66."""
    p = play(rcv_buffer=4).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=4>")
    p.hear("<SEQ=305><CTL=RST><DATA=20>")
    assert p.state == "CLOSED"


def test_the_ack_of_a_repeated_segment_counts(play):
    """When both sides repeat something at once, these are the only ACKs that there are."""
    p = play().reach("ESTABLISHED")
    p.send(5)
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=4>")
    p.sent()
    p.hear("<SEQ=301><ACK=106><CTL=ACK><DATA=4>")
    p.sends("<SEQ=106><ACK=305><CTL=ACK>")
    p.told("TEXT 4", "SENT")


def test_the_ack_of_text_from_long_ago_does_not_count(play):
    p = play(rcv_buffer=100).reach("ESTABLISHED")
    p.send(5)
    p.sent()
    p.hear("<SEQ=196><ACK=106><CTL=ACK><DATA=4>")
    p.sends("<SEQ=106><ACK=301><CTL=ACK>")
    p.told()


def test_two_fins_that_no_window_has_room_for(play):
    """The peer has our FIN, and repeats its own, whose ACK was lost."""
    p = play(rcv_buffer=4).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=4>", wnd=0)
    p.close()
    p.sent()
    p.sends_at(1, "<SEQ=101><ACK=305><CTL=FIN,ACK>")
    p.hear("<SEQ=305><ACK=101><CTL=FIN,ACK>")
    p.sends("<SEQ=102><ACK=306><CTL=ACK>")
    assert p.state == "CLOSING"
    p.hear("<SEQ=305><ACK=102><CTL=FIN,ACK>")
    p.sends("<SEQ=102><ACK=306><CTL=ACK>")
    assert p.state == "TIME-WAIT"


# ESTABLISHED: text that we send


def test_text_is_cut_at_the_mss_and_pushed_at_its_end(play):
    p = play().reach("ESTABLISHED")
    p.connection.send(bytes(2500), p.now)
    segments = p.connection.segments_to_send()
    assert [(len(s.data), "PSH" in str(s)) for s in segments] == [(1000, False), (1000, False), (500, True)]


@pytest.mark.parametrize(("theirs", "size"), [(600, 600), (5000, 1000), (None, 536), (0, 536)])
def test_the_mss_is_the_smaller_one_and_536_if_unknown(play, theirs, size):
    p = play().reach("SYN-SENT")
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", mss=theirs)
    p.sent()
    p.send(1000)
    assert p.sent()[0].endswith(f"<DATA={size}>")


def test_text_and_fin_leave_in_one_segment(play):
    p = play().reach("SYN-SENT")
    p.send(5)
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", wnd=0)
    p.sends(OUR_ACK)
    p.close()
    p.sends()
    p.hear(THEIR_ACK, wnd=100)
    p.sends("<SEQ=101><ACK=301><CTL=FIN,ACK><DATA=5>")


def test_sent_is_told_when_all_text_is_acknowledged_and_not_again_for_the_fin(play):
    p = play().reach("ESTABLISHED")
    p.send(2000)
    p.hear("<SEQ=301><ACK=1101><CTL=ACK>")
    p.told()
    p.hear("<SEQ=301><ACK=2101><CTL=ACK>")
    p.told("SENT")
    p.close()
    p.hear("<SEQ=301><ACK=2102><CTL=ACK>")
    p.told()
    assert p.state == "FIN-WAIT-2"


def test_sent_is_told_though_the_fin_is_still_out(play):
    p = play().reach("ESTABLISHED")
    p.send(5)
    p.close()
    p.hear("<SEQ=301><ACK=106><CTL=ACK>")
    p.told("SENT")
    assert p.state == "FIN-WAIT-1"


def test_retransmission_backs_off_to_the_cap_and_ends_with_the_user_timeout(play):
    """RFC 6298 5.5, 2.5; 3.10.8."""
    p = play().reach("ESTABLISHED")
    text = "<SEQ=101><ACK=301><CTL=ACK><DATA=10>"
    p.send(10)
    p.sends(text)
    for seconds in (1, 3, 7, 15, 31, 63, 123, 183, 243):
        p.sends_at(seconds, text)
    p.sends_at(300, "<SEQ=111><ACK=301><CTL=RST,ACK>")
    p.told("ERROR 3 retransmissions", "CLOSED user timeout")
    assert p.due() is None


def test_the_retransmission_timeout_follows_the_round_trip(play):
    """RFC 6298 2.2: SRTT 0.8 s, RTTVAR 0.4 s; 2.3: after another 0.8 s RTTVAR is 0.3 s."""
    p = play().reach("SYN-SENT")
    p.at(0.8)
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>")
    p.send(1)
    assert p.due() == pytest.approx(0.8 + 2.4)
    p.at(1.6)
    p.hear("<SEQ=301><ACK=102><CTL=ACK>")
    p.send(1)
    assert p.due() == pytest.approx(1.6 + 2.0)


def test_a_round_trip_ends_with_the_ack_of_the_segment_that_began_it(play):
    p = play().reach("ESTABLISHED")
    p.send(2000)
    p.at(0.4)
    p.hear("<SEQ=301><ACK=1101><CTL=ACK>")
    srtt = p.connection.sender.srtt
    p.send(1)
    p.at(0.5)
    p.hear("<SEQ=301><ACK=2101><CTL=ACK>")
    assert p.connection.sender.srtt == srtt == 50_000
    p.at(0.8)
    p.hear("<SEQ=301><ACK=2102><CTL=ACK>")
    assert p.connection.sender.srtt == srtt + (400_000 - srtt) // 8


def test_karn_what_was_repeated_measures_nothing(play):
    p = play().reach("ESTABLISHED")
    p.send(1)
    p.sent()
    p.sends_at(1, "<SEQ=101><ACK=301><CTL=ACK><DATA=1>")
    p.at(1.5)
    p.hear("<SEQ=301><ACK=102><CTL=ACK>")
    p.send(1)
    assert p.due() == 1.5 + 2  # still backed off: nothing was measured
    p.at(1.6)
    p.hear("<SEQ=301><ACK=103><CTL=ACK>")
    p.send(1)
    assert p.due() == 1.6 + 1


def test_karn_holds_for_the_syn_ack_of_a_simultaneous_open(play):
    p = play().reach("SYN-SENT")
    p.at(0.9)
    p.hear("<SEQ=300><CTL=SYN>")  # our SYN goes out again, with ACK
    p.hear("<SEQ=301><ACK=101><CTL=ACK>")
    p.send(1)
    assert p.due() == 0.9 + 1


def test_progress_renews_the_user_timeout(play):
    p = play(user_timeout=2 * SECOND).reach("ESTABLISHED")
    p.send(2000)
    p.at(1.5)
    p.hear("<SEQ=301><ACK=1101><CTL=ACK>")
    p.at(3.4)
    assert p.state == "ESTABLISHED"
    p.at(3.5)
    assert p.state == "CLOSED"


@pytest.mark.parametrize("state", ["SYN-SENT", "FIN-WAIT-1", "TIME-WAIT"])
def test_a_driver_that_comes_too_early_changes_nothing(play, state):
    p = play().reach(state)
    due = p.due()
    p.connection.timeout(999_999)
    p.sends()
    assert (p.state, p.due()) == (state, due)


def test_without_anything_unacknowledged_no_timer_runs(play):
    p = play().reach("ESTABLISHED")
    assert p.due() is None
    p.send(1)
    p.hear("<SEQ=301><ACK=102><CTL=ACK>")
    assert p.due() is None


def test_user_timeout_without_a_reset(play):
    p = play(timeout_reset=False, user_timeout=SECOND // 2).reach("ESTABLISHED")
    p.send(1)
    p.sent()
    p.sends_at(0.5)
    p.told("CLOSED user timeout")


def test_after_a_timeout_all_in_flight_is_sent_again_as_acknowledgments_come(play):
    p = play().reach("ESTABLISHED")
    p.send(3000)
    p.close()
    assert len(p.sent()) == 4
    p.sends_at(1, "<SEQ=101><ACK=301><CTL=ACK><DATA=1000>")
    p.hear("<SEQ=301><ACK=1101><CTL=ACK>")
    p.sends("<SEQ=1101><ACK=301><CTL=ACK><DATA=1000>", "<SEQ=2101><ACK=301><CTL=ACK><DATA=1000>")
    p.hear("<SEQ=301><ACK=2101><CTL=ACK>")
    p.sends("<SEQ=3101><ACK=301><CTL=FIN,ACK>")  # it waited for the congestion window, as text does
    p.hear("<SEQ=301><ACK=3102><CTL=ACK>")
    p.sends()
    assert p.state == "FIN-WAIT-2"


def test_an_acknowledgment_overtakes_what_was_to_be_sent_again(play):
    p = play().reach("ESTABLISHED")
    p.send(4000)
    p.sent()
    p.at(1)
    p.sent()
    p.hear("<SEQ=301><ACK=3101><CTL=ACK>")  # only the repeated segment had been missing, and another
    p.sends("<SEQ=3101><ACK=301><CTL=ACK><DATA=1000>")


def test_the_tail_is_repeated_with_the_fin(play):
    p = play().reach("ESTABLISHED")
    p.send(1500)
    p.close()
    p.hear("<SEQ=301><ACK=1101><CTL=ACK>")
    p.sent()
    p.sends_at(1, "<SEQ=1101><ACK=301><CTL=FIN,ACK><DATA=500>")


def test_three_duplicate_acknowledgments_bring_a_fast_retransmission(play):
    p = play().reach("ESTABLISHED")
    p.send(5000)
    assert len(p.sent()) == 5
    for _ in range(2):
        p.hear(THEIR_ACK)
    p.sends()
    p.hear(THEIR_ACK)
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=1000>")
    p.hear(THEIR_ACK)
    p.sends()
    p.hear("<SEQ=301><ACK=1101><CTL=ACK>")  # RFC 6582: a partial one shows the next hole
    p.sends("<SEQ=1101><ACK=301><CTL=ACK><DATA=1000>")
    p.hear("<SEQ=301><ACK=5101><CTL=ACK>")
    p.sends()
    p.send(1)
    p.sends("<SEQ=5101><ACK=301><CTL=ACK><DATA=1>")


def test_progress_starts_the_count_of_duplicates_anew(play):
    p = play().reach("ESTABLISHED")
    p.send(5000)
    for ack in (101, 101, 1101, 1101, 1101):
        p.hear(f"<SEQ=301><ACK={ack}><CTL=ACK>")
    assert len(p.sent()) == 5
    p.hear("<SEQ=301><ACK=1101><CTL=ACK>")
    p.sends("<SEQ=1101><ACK=301><CTL=ACK><DATA=1000>")


def test_duplicates_after_a_timeout_bring_nothing(play):
    """They answer what is being sent again anyway (RFC 6582 3.2)."""
    p = play().reach("ESTABLISHED")
    p.send(5000)
    p.at(1)
    p.sent()
    for _ in range(5):
        p.hear(THEIR_ACK)
    p.sends()


def test_fast_recovery_keeps_the_window_half_open(play):
    """RFC 6582 3.2: inflated by each duplicate, deflated by what a partial acknowledgment covers, half in the end."""
    p = play().reach("ESTABLISHED")
    p.send(5000)
    windows = []
    for ack in (101, 101, 101, 101, 1101, 5101):
        p.hear(f"<SEQ=301><ACK={ack}><CTL=ACK>")
        windows.append(p.connection.sender.cwnd)
    assert windows == [10_000, 10_000, 5500, 6500, 6500, 2500]


def test_a_timeout_ends_fast_recovery(play):
    p = play().reach("ESTABLISHED")
    p.send(5000)
    for _ in range(3):
        p.hear(THEIR_ACK)
    p.at(1)
    p.sent()
    p.hear("<SEQ=301><ACK=1101><CTL=ACK>")
    p.sends("<SEQ=1101><ACK=301><CTL=ACK><DATA=1000>", "<SEQ=2101><ACK=301><CTL=ACK><DATA=1000>")  # slow start


def test_acknowledgments_of_nothing_new_are_no_duplicates_when_nothing_is_out(play):
    p = play().reach("ESTABLISHED")
    for _ in range(5):
        p.hear(THEIR_ACK)
    p.sends()


def test_answers_to_a_probe_are_no_duplicates(play):
    p = play().reach("ESTABLISHED")
    p.hear(THEIR_ACK, wnd=0)
    p.send(5)
    p.at(1)
    p.sent()
    for _ in range(5):
        p.hear(THEIR_ACK)
    p.sends()


def test_acknowledgments_with_text_fin_or_another_window_are_no_duplicates(play):
    p = play().reach("ESTABLISHED")
    p.send(5000)
    p.sent()
    for octet in range(3):
        p.hear(f"<SEQ={301 + octet}><ACK=101><CTL=ACK><DATA=1>")
        p.hear(f"<SEQ={302 + octet}><ACK=101><CTL=ACK>", wnd=60000 + octet)
    p.hear("<SEQ=304><ACK=101><CTL=FIN,ACK>")
    assert all(segment.startswith("<SEQ=5101>") for segment in p.sent())


def test_the_congestion_window_limits_and_grows(play):
    """RFC 5681 3.1: slow start; after a timeout one segment, then slow start to half of what was in flight."""
    p = play(initial_window=2).reach("ESTABLISHED")
    p.send(20_000)
    assert len(p.sent()) == 2
    p.hear("<SEQ=301><ACK=1101><CTL=ACK>")
    p.hear("<SEQ=301><ACK=2101><CTL=ACK>")
    assert len(p.sent()) == 4
    p.at(1)
    assert len(p.sent()) == 1
    sizes = []
    for ack in range(3101, 10_102, 1000):
        p.hear(f"<SEQ=301><ACK={ack}><CTL=ACK>")
        sizes.append(len(p.sent()))
    assert sizes == [2, 1, 1, 2, 1, 1, 2, 1]  # avoidance: one more segment for each window of them


def test_the_same_loss_halves_the_congestion_window_once(play):
    """RFC 5681 3.1, equation 4: when a retransmission is lost as well, ssthresh is held."""
    p = play().reach("ESTABLISHED")
    p.send(20_000)
    p.at(3)
    assert len(p.sent()) == 10 + 2
    assert p.connection.sender.ssthresh == 5000
    assert p.connection.sender.cwnd == 1000


def test_a_full_send_buffer_refuses_text(play):
    p = play(snd_buffer=2000).reach("ESTABLISHED")
    p.send(1500)
    with refused("error: insufficient resources"):
        p.send(501)
    p.hear("<SEQ=301><ACK=1101><CTL=ACK>")
    p.send(501)


# ESTABLISHED: the window of the peer


def test_a_closed_window_is_probed_with_backoff_as_long_as_it_is_answered(play):
    """3.8.6.1: MUST-35 to MUST-37."""
    p = play(user_timeout=20 * SECOND).reach("ESTABLISHED")
    p.hear(THEIR_ACK, wnd=0)
    p.send(5)
    p.sends()
    for seconds in (1, 3, 7, 15, 31, 63):
        p.sends_at(seconds, "<SEQ=101><ACK=301><CTL=ACK><DATA=1>")
        p.hear(THEIR_ACK)
    p.hear(THEIR_ACK, wnd=100)
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=5>")
    assert p.due() == 64  # a fresh timer


def test_probes_leave_the_congestion_window_alone(play):
    p = play().reach("ESTABLISHED")
    p.hear(THEIR_ACK, wnd=0)
    p.send(5000)
    p.at(3)
    p.sent()
    p.hear(THEIR_ACK, wnd=65535)
    assert len(p.sent()) == 5


def test_more_text_does_not_put_a_probe_off(play):
    p = play().reach("ESTABLISHED")
    p.hear(THEIR_ACK, wnd=0)
    p.send(5)
    p.at(0.5)
    p.send(5)
    p.sends_at(1, "<SEQ=101><ACK=301><CTL=ACK><DATA=1>")


def test_probes_that_nobody_answers_end_with_the_user_timeout(play):
    p = play(user_timeout=20 * SECOND).reach("ESTABLISHED")
    p.hear(THEIR_ACK, wnd=0)
    p.send(5)
    for seconds in (1, 3, 7, 15):
        p.sends_at(seconds, "<SEQ=101><ACK=301><CTL=ACK><DATA=1>")
    p.sends_at(21, "<SEQ=102><ACK=301><CTL=RST,ACK>")
    p.told("ERROR 3 retransmissions", "CLOSED user timeout")


def test_a_probe_may_be_taken(play):
    p = play().reach("ESTABLISHED")
    p.hear(THEIR_ACK, wnd=0)
    p.send(5)
    p.at(1)
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=1>")
    p.hear("<SEQ=301><ACK=102><CTL=ACK>", wnd=4)
    p.sends("<SEQ=102><ACK=301><CTL=ACK><DATA=4>")


def test_karn_holds_for_a_probe_that_was_refused(play):
    p = play().reach("ESTABLISHED")
    p.hear(THEIR_ACK, wnd=0)
    p.send(5)
    p.at(1)
    p.hear(THEIR_ACK)
    p.at(2.9)
    p.hear(THEIR_ACK, wnd=100)  # the octet goes again, with the others
    p.hear("<SEQ=301><ACK=106><CTL=ACK>")
    p.send(1)
    assert p.due() == 2.9 + 1


def test_a_fin_probes_a_closed_window(play):
    p = play().reach("ESTABLISHED")
    p.hear(THEIR_ACK, wnd=0)
    p.close()
    p.sends()
    p.sends_at(1, OUR_FIN)
    p.sends_at(3, OUR_FIN)
    p.hear("<SEQ=301><ACK=102><CTL=ACK>")
    assert p.state == "FIN-WAIT-2"
    assert p.due() is None


def test_text_is_cut_at_the_window_and_the_fin_comes_last(play):
    p = play(wnd=3).reach("ESTABLISHED")
    p.send(5)
    p.close()
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=3>")
    p.hear("<SEQ=301><ACK=104><CTL=ACK>", wnd=2)
    p.sends("<SEQ=104><ACK=301><CTL=ACK><DATA=2>")
    p.hear("<SEQ=301><ACK=106><CTL=ACK>", wnd=1)
    p.sends("<SEQ=106><ACK=301><CTL=FIN,ACK>")


def test_a_fragment_of_a_window_waits_while_text_is_out(play):
    """3.8.6.2.1: silly window syndrome. Less than half the largest window is sent when the time is up."""
    p = play(wnd=1500).reach("ESTABLISHED")
    p.send(2000)
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=1000>")
    p.hear("<SEQ=301><ACK=1101><CTL=ACK>", wnd=500)
    p.sends()
    p.sends_at(0.2, "<SEQ=1101><ACK=301><CTL=ACK><DATA=500>")


def test_the_window_is_taken_from_the_newest_segment_only(play):
    """3.10.7.4 fifth: SND.WL1 and SND.WL2."""
    p = play(wnd=7).reach("ESTABLISHED")
    p.hear("<SEQ=311><ACK=101><CTL=ACK>", wnd=7)
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=1>", wnd=9)
    p.sent()
    p.send(8)
    p.sends("<SEQ=101><ACK=302><CTL=ACK><DATA=7>")


# ESTABLISHED: what is not acceptable


@pytest.mark.parametrize("seq", [300, 301 + 65535])
def test_out_of_the_window_a_bare_ack_is_answered_within_the_limit(play, seq):
    p = play(challenge_ack_limit=2, challenge_ack_interval=5 * SECOND).reach("ESTABLISHED")
    for seconds, answers in ((0, 1), (1, 1), (2, 0), (4.9, 0), (5, 1), (6, 1), (7, 0)):
        p.at(seconds)
        p.hear(f"<SEQ={seq}><ACK=101><CTL=ACK>")
        p.sends(*[OUR_ACK] * answers)


def test_the_last_number_of_the_window_is_acceptable(play):
    p = play().reach("ESTABLISHED")
    p.hear(f"<SEQ={300 + 65535}><ACK=101><CTL=ACK>")
    p.sends()


@pytest.mark.parametrize("seq", [300, 301 + 65535])
@pytest.mark.parametrize("text", ["", "<DATA=1>"])
def test_out_of_the_window_a_reset_is_ignored_in_silence(play, seq, text):
    p = play().reach("ESTABLISHED")
    p.hear(f"<SEQ={seq}><CTL=RST>{text}")
    p.sends()
    assert p.state == "ESTABLISHED"


@pytest.mark.parametrize("ack", [102, 101 + 2**31 - 1, 101 - 65536])
def test_an_ack_of_what_was_never_sent_or_long_ago_is_asked_back(play, ack):
    """RFC 5961, 5.2. Its text is not taken."""
    p = play().reach("ESTABLISHED")
    p.hear(f"<SEQ=301><ACK={ack % 2**32}><CTL=FIN,ACK><DATA=3>")
    p.sends(OUR_ACK)
    p.told()


def test_the_number_half_way_round_is_no_acknowledgment(play):
    p = play().reach("ESTABLISHED")
    p.hear(f"<SEQ=301><ACK={101 + 2**31}><CTL=ACK>")
    p.sends(OUR_ACK)
    assert p.connection.tcb.snd_una == p.connection.tcb.snd_nxt


@pytest.mark.parametrize(("ack", "answers"), [(146, 0), (145, 1)])
def test_how_old_an_ack_may_be_depends_on_the_widest_window(play, ack, answers):
    p = play().reach("SYN-SENT")
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", wnd=40)
    p.hear(THEIR_ACK, wnd=50)
    p.send(95)
    p.hear("<SEQ=301><ACK=151><CTL=ACK>", wnd=45)
    p.hear("<SEQ=301><ACK=196><CTL=ACK>")
    p.sent()
    p.hear(f"<SEQ=301><ACK={ack}><CTL=ACK>")
    p.sends(*["<SEQ=196><ACK=301><CTL=ACK>"] * answers)


def test_the_window_of_the_syn_counts_as_well(play):
    p = play().reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=100><CTL=ACK>")
    p.sends()


def test_an_old_ack_is_ignored_but_its_text_is_taken(play):
    p = play().reach("ESTABLISHED")
    p.send(5)
    p.hear("<SEQ=301><ACK=106><CTL=ACK>")
    p.sent()
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=3>")
    p.sends("<SEQ=106><ACK=304><CTL=ACK>")


# ESTABLISHED: RST and SYN


def test_a_reset_at_rcv_nxt_ends_the_connection(play):
    p = play().reach("ESTABLISHED")
    p.hear(THEIR_ACK, data=b"abc")
    p.send(10)
    p.sent()
    p.hear("<SEQ=304><CTL=RST>")
    p.sends()
    p.told("TEXT 3", "CLOSED reset by peer")
    assert p.due() is None
    assert p.receive() == b"abc"  # what came before the RST


def test_a_reset_elsewhere_in_the_window_is_asked_back(play):
    """RFC 5961, 3.2."""
    p = play().reach("ESTABLISHED")
    p.hear("<SEQ=302><CTL=RST>")
    p.sends(OUR_ACK)
    assert p.state == "ESTABLISHED"


def test_a_reset_anywhere_in_the_window_may_be_made_to_count(play):
    """RFC 793."""
    p = play(reset_validity="window").reach("ESTABLISHED")
    p.hear("<SEQ=302><CTL=RST>")
    p.sends()
    p.told("CLOSED reset by peer")


@pytest.mark.parametrize("syn", ["<SEQ=5><CTL=SYN>", "<SEQ=301><CTL=SYN>", "<SEQ=300><ACK=101><CTL=SYN,ACK>"])
@pytest.mark.parametrize("text", ["", "<DATA=9>"])
def test_a_syn_is_asked_back_wherever_it_stands(play, syn, text):
    """RFC 5961, 4.2."""
    p = play(challenge_ack_limit=1).reach("ESTABLISHED")
    p.hear(syn + text)
    p.sends(OUR_ACK)
    p.hear(syn + text)
    p.sends()
    p.told()


def test_a_syn_in_the_window_may_be_made_an_error(play):
    """RFC 793."""
    p = play(syn_validity="window").reach("ESTABLISHED")
    p.hear("<SEQ=300><CTL=SYN><DATA=9>")
    p.sends(OUR_ACK)
    p.hear("<SEQ=302><CTL=SYN>")
    p.sends("<SEQ=101><ACK=301><CTL=RST,ACK>")
    p.told("CLOSED reset by peer")


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
    p.told("CLOSED unreachable")
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
