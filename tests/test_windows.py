"""ESTABLISHED: the window that we offer (3.8.6.2.2), and the window of the peer, probed when it is closed (3.8.6.1).

Our side is numbered from 100 (ISS), the peer's from 300. Every test runs again with numbers that wrap.
"""

from __future__ import annotations

from peers import OUR_FIN, THEIR_ACK

from tcpclose.protocol.config import SECOND

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
