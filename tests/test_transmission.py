"""ESTABLISHED: text that we send, its retransmission (3.8.1) and the congestion window (3.8.2). Times are exact.

Our side is numbered from 100 (ISS), the peer's from 300. Every test runs again with numbers that wrap.
"""

from __future__ import annotations

import pytest
from peers import OUR_ACK, THEIR_ACK, refused

from tcpclose.protocol.config import SECOND

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
