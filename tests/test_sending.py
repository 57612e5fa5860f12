"""When segments leave: Nagle, silly windows, TCP_CORK. Times are exact."""

from __future__ import annotations

import pytest

from tcpclose.protocol.config import SECOND
from tcpclose.protocol.segment import PSH

# 3.7.4: Nagle


def test_nagle_holds_a_small_segment_until_all_is_acknowledged(play):
    p = play(nagle=True).reach("ESTABLISHED")
    p.send(10)
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=10>")
    p.send(20)
    p.send(30)
    p.sends()
    p.hear("<SEQ=301><ACK=111><CTL=ACK>")
    p.sends("<SEQ=111><ACK=301><CTL=ACK><DATA=50>")


def test_nagle_holds_no_full_segment_and_no_fin(play):
    p = play(nagle=True).reach("ESTABLISHED")
    p.send(10)
    p.sent()
    p.send(1001)
    p.sends("<SEQ=111><ACK=301><CTL=ACK><DATA=1000>")
    p.close()
    p.sends("<SEQ=1111><ACK=301><CTL=FIN,ACK><DATA=1>")


def test_the_user_may_object(play):
    p = play(nagle=True).reach("ESTABLISHED")
    p.send(10)
    p.sent()
    p.send(20)
    p.sends()
    p.connection.set_nodelay(True, p.now)
    p.sends("<SEQ=111><ACK=301><CTL=ACK><DATA=20>")


def test_nagle_does_not_hold_what_is_sent_again(play):
    p = play(nagle=True).reach("ESTABLISHED")
    p.send(1000)
    p.send(1000)
    p.connection.set_nodelay(True, 0)
    p.send(10)
    p.connection.set_nodelay(False, 0)
    p.sent()
    p.sends_at(1, "<SEQ=101><ACK=301><CTL=ACK><DATA=1000>")
    p.hear("<SEQ=301><ACK=1101><CTL=ACK>")
    p.sends("<SEQ=1101><ACK=301><CTL=ACK><DATA=1000>", "<SEQ=2101><ACK=301><CTL=ACK><DATA=10>")


# 3.8.6.2.1: silly windows


def test_a_sliver_of_the_window_is_left_until_the_time_is_up(play):
    p = play(sws_override=SECOND // 2).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=10)
    p.send(20)
    p.sends()
    assert p.due() == 0.5
    p.sends_at(0.5, "<SEQ=101><ACK=301><CTL=ACK><DATA=10>")


def test_a_window_that_opens_ends_the_wait(play):
    p = play().reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=10)
    p.send(20)
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=1000)
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=20>")
    assert p.due() == 1  # retransmission, nothing else


def test_a_window_that_closes_leaves_the_wait_to_the_probe(play):
    p = play().reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=10)
    p.send(20)
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=0)
    p.sends_at(1, "<SEQ=101><ACK=301><CTL=ACK><DATA=1>")


def test_all_that_a_small_peer_takes_is_worth_sending(play):
    p = play(wnd=19).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=10)
    p.send(20)
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=10>")


# TCP_CORK


def test_a_corked_connection_sends_full_segments_only(play):
    p = play().reach("ESTABLISHED")
    p.connection.set_cork(True, 0)
    p.send(10)
    p.send(20)
    p.sends()
    p.send(1001)
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=1000>")
    assert not p.last.ctl & PSH
    p.connection.set_cork(False, 0)
    p.sends("<SEQ=1101><ACK=301><CTL=ACK><DATA=31>")
    assert p.last.ctl & PSH


def test_a_cork_holds_for_a_while_and_close_draws_it(play):
    p = play().reach("ESTABLISHED")
    p.connection.set_cork(True, 0)
    p.send(10)
    p.sends_at(0.2, "<SEQ=101><ACK=301><CTL=ACK><DATA=10>")
    p.hear("<SEQ=301><ACK=111><CTL=ACK>")
    p.send(20)
    p.sends()
    p.close()
    p.sends("<SEQ=111><ACK=301><CTL=FIN,ACK><DATA=20>")


def test_a_cork_does_not_hold_what_fills_the_window(play):
    p = play(wnd=20).reach("ESTABLISHED")
    p.connection.set_cork(True, 0)
    p.send(10)
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=10>")


# RFC 6298, 2.3: what is added to the round trip


@pytest.mark.parametrize(("profile", "after"), [("rfc9293", 1.0), ("linux", 0.3), ("bsd", 0.319)])
def test_steady_round_trips_of_100_ms(play, profile, after):
    """Linux adds 200 ms at least, however steady the round trips are; others come close to the round trip itself."""
    p = play(profile=profile, timestamps=False, nagle=False).reach("SYN-SENT")
    p.at(0.1)
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>")
    for n in range(20):
        p.send(1)
        p.at(0.2 + n / 10)
        p.hear(f"<SEQ=301><ACK={102 + n}><CTL=ACK>")
    assert p.connection.sender.rto / SECOND == pytest.approx(after, abs=0.02)


# 3.9.1.2: PSH


@pytest.mark.parametrize(("push", "pushed"), [("buffer", [False, False, True]), ("write", [False, True, True])])
def test_psh_stands_where_text_ends(play, push, pushed):
    """Three segments: 1000 and 500 octets of the first SEND, 100 of the second. A smaller MSS makes no difference."""
    p = play(push=push).reach("SYN-SENT")
    p.send(1500)
    p.send(100)
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", wnd=1000)
    segments = p.connection.segments_to_send()
    p.hear("<SEQ=301><ACK=1101><CTL=ACK>", wnd=500)
    segments += p.connection.segments_to_send()
    p.hear("<SEQ=301><ACK=1601><CTL=ACK>", wnd=500)
    segments += p.connection.segments_to_send()
    assert [len(segment.data) for segment in segments] == [1000, 500, 100]
    assert [bool(segment.ctl & PSH) for segment in segments] == pushed


def test_a_segment_over_the_end_of_a_send_has_no_psh(play):
    p = play(push="write", nagle=True).reach("ESTABLISHED")
    for octets in (1000, 600, 600, 1000):
        p.send(octets)
    segments = p.connection.segments_to_send()
    assert [(len(segment.data), bool(segment.ctl & PSH)) for segment in segments] == [
        (1000, True),
        (1000, False),
        (1000, False),
    ]
    p.hear("<SEQ=301><ACK=3101><CTL=ACK>")
    assert list(p.connection.sender.pushes) == [p.connection.sender.end]


def test_a_second_timeout_of_the_same_flight_leaves_ssthresh_alone(play):
    """RFC 5681, 3.1: it is halved once for all that was on its way."""
    p = play().reach("ESTABLISHED")
    p.send(8000)
    p.sent()
    for seconds in (1, 3):
        p.sends_at(seconds, "<SEQ=101><ACK=301><CTL=ACK><DATA=1000>")
        assert p.connection.sender.ssthresh == 4000


def test_psh_ends_each_pair_of_a_burst(play):
    """An odd segment has none, if its SEND's text goes on; nor has one that is sent again."""
    p = play(push="burst").reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=5010)
    p.connection.send(bytes(6000), p.now)
    segments = p.connection.segments_to_send()
    assert [bool(segment.ctl & PSH) for segment in segments] == [False, True, False, True, False]
    p.at(1)
    assert not p.last.ctl & PSH


def test_text_without_the_push_flag_has_psh_only_when_it_has_waited(play):
    p = play(push="write").reach("ESTABLISHED")
    p.connection.send(bytes(10), p.now, push=False)
    assert [bool(segment.ctl & PSH) for segment in p.connection.segments_to_send()] == [False]
    p.connection.set_cork(True, p.now)
    p.connection.send(bytes(10), p.now, push=False)
    p.hear("<SEQ=301><ACK=111><CTL=ACK>")
    p.sends_at(0.2, "<SEQ=111><ACK=301><CTL=ACK><DATA=10>")
    assert p.last.ctl & PSH


@pytest.mark.parametrize(("grows", "windows"), [(False, [11, 12, 13]), (True, [10, 10, 11])])
def test_a_window_that_is_not_used_does_not_grow(play, grows, windows):
    """A segment of ten is used, then five, then six. By RFC 7661, 4.3, half of it would do; Linux asks for more."""
    p = play(used_window_grows=grows).reach("ESTABLISHED")
    sender, found = p.connection.sender, []
    for octets, sent in ((1000, 1000), (5000, 6000), (6000, 12000)):
        p.connection.send(bytes(octets), p.now)
        p.hear(f"<SEQ=301><ACK={101 + sent}><CTL=ACK>")
        found.append(sender.cwnd // 1000)
    assert found == windows


@pytest.mark.parametrize(("growth", "window"), [(1, 11), (2, 12), (0, 14)])
def test_slow_start_grows_by_what_one_acknowledgment_may_open(play, growth, window):
    """RFC 3465, 2.2."""
    p = play(slow_start_growth=growth).reach("ESTABLISHED")
    p.connection.send(bytes(10 * 1000), p.now)
    p.hear(f"<SEQ=301><ACK={101 + 4 * 1000}><CTL=ACK>")
    assert p.connection.sender.cwnd // 1000 == window
