"""When what arrived is acknowledged (3.8.6.3; RFC 5681, 4.2). Times are exact."""

from __future__ import annotations

from tcpclose.protocol.config import SECOND

DELAYED = {"delayed_ack": SECOND // 10}


def test_one_segment_is_acknowledged_a_little_later(play):
    p = play(**DELAYED).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=1000>")
    assert p.due() == 0.1
    p.sends_at(0.1, "<SEQ=101><ACK=1301><CTL=ACK>")
    assert p.due() is None


def test_the_second_full_segment_is_acknowledged_at_once(play):
    p = play(**DELAYED).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=1000>")
    p.hear("<SEQ=1301><ACK=101><CTL=ACK><DATA=1000>")
    p.sends("<SEQ=101><ACK=2301><CTL=ACK>")
    assert p.due() is None


def test_small_segments_are_not_counted_one_by_one(play):
    """What counts as full is the largest that the peer has shown, at least 536 octets."""
    p = play(**DELAYED).reach("ESTABLISHED")
    for seq in range(301, 301 + 1000, 100):
        p.hear(f"<SEQ={seq}><ACK=101><CTL=ACK><DATA=100>")
    p.sends()
    p.hear("<SEQ=1301><ACK=101><CTL=ACK><DATA=100>")
    p.sends("<SEQ=101><ACK=1401><CTL=ACK>")


def test_the_delay_counts_from_the_first_segment(play):
    p = play(**DELAYED).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.at(0.09)
    p.hear("<SEQ=311><ACK=101><CTL=ACK><DATA=10>")
    p.sends_at(0.1, "<SEQ=101><ACK=321><CTL=ACK>")


def test_text_takes_the_acknowledgment_along(play):
    p = play(**DELAYED).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.send(5)
    p.sends("<SEQ=101><ACK=311><CTL=ACK><DATA=5>")
    p.hear("<SEQ=311><ACK=106><CTL=ACK>")
    assert p.due() is None


def test_a_fin_is_acknowledged_at_once(play):
    p = play(**DELAYED).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=FIN,ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=312><CTL=ACK>")


def test_the_ack_of_a_fin_may_wait_for_the_close_that_often_follows(play):
    """Three segments instead of four."""
    p = play(**DELAYED, delayed_fin_ack=True).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=FIN,ACK><DATA=10>")
    p.sends()
    p.told("TEXT 10", "EOF")
    p.at(0.05)
    p.close()
    p.sends("<SEQ=101><ACK=312><CTL=FIN,ACK>")
    p.hear("<SEQ=312><ACK=102><CTL=ACK>")
    assert (p.state, p.due()) == ("CLOSED", None)


def test_the_ack_of_a_fin_waits_no_longer_than_that_of_the_text_before(play):
    p = play(**DELAYED, delayed_fin_ack=True).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.at(0.06)
    p.hear("<SEQ=311><ACK=101><CTL=FIN,ACK>")
    p.sends_at(0.1, "<SEQ=101><ACK=312><CTL=ACK>")
    assert p.due() is None


def test_the_ack_of_a_fin_beyond_a_hole_does_not_wait(play):
    p = play(**DELAYED, delayed_fin_ack=True).reach("ESTABLISHED")
    p.hear("<SEQ=311><ACK=101><CTL=FIN,ACK>")
    p.sends("<SEQ=101><ACK=301><CTL=ACK>")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=312><CTL=ACK>")


def test_the_ack_of_a_fin_alone_does_not_wait(play):
    """Linux measures how long to wait by the text that came before."""
    p = play(**DELAYED, delayed_fin_ack=True).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=FIN,ACK>")
    p.sends("<SEQ=101><ACK=302><CTL=ACK>")


def test_the_ack_of_a_fin_does_not_wait_behind_a_full_segment(play):
    p = play(**DELAYED, interactive_acks=True, delayed_fin_ack=True, mss=1000).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=988>")  # 12 octets may be options
    p.sends()
    p.hear("<SEQ=1289><ACK=101><CTL=FIN,ACK>")
    p.sends("<SEQ=101><ACK=1290><CTL=ACK>")


def test_the_ack_of_a_fin_does_not_wait_where_no_ack_does(play):
    p = play(delayed_fin_ack=True).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=FIN,ACK>")
    p.sends("<SEQ=101><ACK=302><CTL=ACK>")


def test_who_has_closed_acknowledges_the_fin_at_once(play):
    """There is no CLOSE to wait for."""
    p = play(**DELAYED, delayed_fin_ack=True).reach("FIN-WAIT-2")
    p.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")
    p.sends("<SEQ=102><ACK=302><CTL=ACK>")


def test_a_hole_and_its_filling_are_acknowledged_at_once(play):
    p = play(**DELAYED).reach("ESTABLISHED")
    p.hear("<SEQ=311><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=301><CTL=ACK>")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=321><CTL=ACK>")


def test_repeated_text_is_acknowledged_at_once(play):
    p = play(**DELAYED).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.hear("<SEQ=306><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=316><CTL=ACK>")


def test_the_first_segments_are_acknowledged_quickly(play):
    p = play(**DELAYED, quick_acks=2).reach("ESTABLISHED")
    for seq in (301, 311):
        p.hear(f"<SEQ={seq}><ACK=101><CTL=ACK><DATA=10>")
        p.sends(f"<SEQ=101><ACK={seq + 10}><CTL=ACK>")
    p.hear("<SEQ=321><ACK=101><CTL=ACK><DATA=10>")
    p.sends_at(0.1, "<SEQ=101><ACK=331><CTL=ACK>")


def test_after_a_pause_or_a_repetition_acknowledgments_are_quick_again(play):
    p = play(**DELAYED, quick_acks=1).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=311><CTL=ACK>")
    p.at(0.9)
    p.hear("<SEQ=311><ACK=101><CTL=ACK><DATA=10>")
    p.sends_at(1.0, "<SEQ=101><ACK=321><CTL=ACK>")
    p.hear("<SEQ=311><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=321><CTL=ACK>")
    p.hear("<SEQ=321><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=331><CTL=ACK>")
    p.at(2.0)  # the retransmission timeout, as far as the handshake tells
    p.hear("<SEQ=331><ACK=101><CTL=ACK><DATA=10>")
    p.sends_at(2.1, "<SEQ=101><ACK=341><CTL=ACK>")
    p.at(3.1)
    p.hear("<SEQ=341><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=351><CTL=ACK>")


def test_what_lies_beyond_the_window_is_no_repetition(play):
    p = play(**DELAYED, quick_acks=1, rcv_buffer=1000).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=311><CTL=ACK>")
    p.hear("<SEQ=1311><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=311><CTL=ACK>")
    p.hear("<SEQ=311><ACK=101><CTL=ACK><DATA=10>")
    p.sends()


INTERACTIVE = {**DELAYED, "interactive_acks": True}


def test_who_answers_is_expected_to_answer_again(play):
    """The ACK waits for the next answer too, until one has waited in vain."""
    p = play(**INTERACTIVE, quick_acks=9).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=311><CTL=ACK>")
    p.at(0.09)
    p.send(5)
    p.sends("<SEQ=101><ACK=311><CTL=ACK><DATA=5>")
    p.hear("<SEQ=311><ACK=106><CTL=ACK><DATA=10>")
    p.sends_at(0.19, "<SEQ=106><ACK=321><CTL=ACK>")
    p.hear("<SEQ=321><ACK=106><CTL=ACK><DATA=10>")
    p.sends("<SEQ=106><ACK=331><CTL=ACK>")


def test_a_late_answer_is_none(play):
    p = play(**INTERACTIVE, quick_acks=9).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=311><CTL=ACK>")
    p.at(0.1)
    p.send(5)
    p.sends("<SEQ=101><ACK=311><CTL=ACK><DATA=5>")
    p.hear("<SEQ=311><ACK=106><CTL=ACK><DATA=10>")
    p.sends("<SEQ=106><ACK=321><CTL=ACK>")


def test_a_repetition_ends_the_conversation(play):
    p = play(**INTERACTIVE, quick_acks=9).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=311><CTL=ACK>")
    p.send(5)
    p.sends("<SEQ=101><ACK=311><CTL=ACK><DATA=5>")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=106><ACK=311><CTL=ACK>")
    p.hear("<SEQ=311><ACK=106><CTL=ACK><DATA=10>")
    p.sends("<SEQ=106><ACK=321><CTL=ACK>")


def test_text_that_was_read_is_acknowledged(play):
    """All of it, unless an answer is expected to it; or more than a full segment."""
    p = play(**INTERACTIVE).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.receive(9)
    p.sends()
    p.receive(1)
    p.sends("<SEQ=101><ACK=311><CTL=ACK>")
    p.hear("<SEQ=311><ACK=101><CTL=ACK><DATA=600>")
    p.hear("<SEQ=911><ACK=101><CTL=ACK><DATA=1>")
    p.receive(1)
    p.sends("<SEQ=101><ACK=912><CTL=ACK>")


def test_one_segment_that_was_read_waits_for_the_answer_and_two_do_not(play):
    p = play(**INTERACTIVE).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.send(5)
    p.sends("<SEQ=101><ACK=311><CTL=ACK><DATA=5>")
    p.hear("<SEQ=311><ACK=106><CTL=ACK><DATA=10>")
    p.receive()
    p.sends()
    p.hear("<SEQ=321><ACK=106><CTL=ACK><DATA=10>")
    p.receive()
    p.sends("<SEQ=106><ACK=331><CTL=ACK>")


def test_reading_sends_nothing_that_was_sent(play):
    p = play(**INTERACTIVE, quick_acks=9).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.sends("<SEQ=101><ACK=311><CTL=ACK>")
    p.receive()
    p.sends()


def test_an_end_takes_the_delay_with_it(play):
    p = play(**DELAYED).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    p.abort()
    assert p.due() is None
