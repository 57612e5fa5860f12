"""CLOSED, LISTEN, SYN-SENT and SYN-RECEIVED: how a connection begins, or does not (3.10.7.1 to 3.10.7.4).

Our side is numbered from 100 (ISS), the peer's from 300. Every test runs again with numbers that wrap.
"""

from __future__ import annotations

import pytest
from peers import OUR_ACK, OUR_FIN, THEIR_ACK, Played, refused

from tcpclose.protocol.config import SECOND

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


def test_after_a_lost_syn_a_timeout_that_was_longer_stays(play):
    """RFC 6298, 5.7 is for a timeout of less than three seconds."""
    p = play(rto_initial=5 * SECOND).reach("SYN-SENT")
    p.at(5)
    p.sent()
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>")
    p.send(1)
    p.sends("<SEQ=101><ACK=301><CTL=ACK>", "<SEQ=101><ACK=301><CTL=ACK><DATA=1>")
    p.sends_at(15, "<SEQ=101><ACK=301><CTL=ACK><DATA=1>")


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
