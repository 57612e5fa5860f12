"""Explicit congestion notification (RFC 3168, 6.1): who asks, what may be marked, what is echoed, and what is done."""

from __future__ import annotations

import pytest
from peers import Played

from tcpclose.protocol.segment import CE, CWR, ECE, ECT_0, Segment


def established(play, **settings) -> Played:
    """The peer's SYN,ACK agrees."""
    p = play(ecn="active", **settings).reach("SYN-SENT")
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK,ECE>")
    p.sends("<SEQ=101><ACK=301><CTL=ACK>")
    return p


def left(p: Played) -> list[Segment]:
    return p.connection.segments_to_send()


# Whether


@pytest.mark.parametrize(
    ("ecn", "ctl", "answer"),
    [
        ("off", "SYN,ECE,CWR", "SYN,ACK"),
        ("passive", "SYN,ECE,CWR", "SYN,ACK,ECE"),
        ("active", "SYN,ECE,CWR", "SYN,ACK,ECE"),
        ("active", "SYN,ECE", "SYN,ACK"),
        ("active", "SYN,CWR", "SYN,ACK"),
        ("active", "SYN", "SYN,ACK"),
    ],
)
def test_what_a_syn_is_answered_with(play, ecn, ctl, answer):
    p = play(ecn=ecn).reach("LISTEN")
    p.hear(f"<SEQ=300><CTL={ctl}>")
    p.sends(f"<SEQ=100><ACK=301><CTL={answer}>")
    p.hear("<SEQ=301><ACK=101><CTL=ACK>")
    p.send(5)
    (segment,) = left(p)
    assert segment.ecn == (ECT_0 if "ECE" in answer else 0)


@pytest.mark.parametrize(
    ("ecn", "syn", "answer", "agreed"),
    [
        ("off", "SYN", "SYN,ACK,ECE", False),
        ("passive", "SYN", "SYN,ACK,ECE", False),
        ("active", "SYN,ECE,CWR", "SYN,ACK,ECE", True),
        ("active", "SYN,ECE,CWR", "SYN,ACK", False),
        ("active", "SYN,ECE,CWR", "SYN,ACK,ECE,CWR", False),
    ],
)
def test_what_our_syn_asks_and_what_is_agreed(play, ecn, syn, answer, agreed):
    p = play(ecn=ecn)
    p.open()
    p.sends(f"<SEQ=100><CTL={syn}>")
    p.hear(f"<SEQ=300><ACK=101><CTL={answer}>")
    p.sends("<SEQ=101><ACK=301><CTL=ACK>")
    p.send(5)
    (segment,) = left(p)
    assert segment.ecn == (ECT_0 if agreed else 0)


def test_a_syn_that_was_lost_asks_no_more(play):
    p = play(ecn="active")
    p.open()
    p.sent()
    p.sends_at(1, "<SEQ=100><CTL=SYN>")


# What may be marked


def test_new_text_only(play):
    p = established(play)
    p.send(5)
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=5>")
    p.at(1)
    p.close()
    assert [(bool(segment.data), segment.ecn) for segment in left(p)] == [
        *[(True, ECT_0), (False, 0)],  # and the ACK,
        *[(True, 0), (False, 0)],  # the same text again, and the FIN
    ]


def test_no_probe_of_a_closed_window(play):
    p = established(play)
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=0)
    p.send(5)
    p.at(1)
    (probe,) = left(p)
    assert (len(probe.data), probe.ecn) == (1, 0)


# What is echoed


def test_a_mark_is_echoed_until_cwr(play):
    p = established(play, delayed_ack=400_000)

    def arrives(text: str, ecn: int = ECT_0) -> None:
        p.hear(text, ecn=ecn)

    arrives("<SEQ=301><ACK=101><CTL=ACK><DATA=5>")
    p.sends()
    arrives("<SEQ=306><ACK=101><CTL=ACK><DATA=5>", CE)
    p.sends("<SEQ=101><ACK=311><CTL=ACK,ECE>")
    arrives("<SEQ=311><ACK=101><CTL=ACK><DATA=5>", CE)
    p.sends()  # no news
    p.send(3)
    p.sends("<SEQ=101><ACK=316><CTL=ACK,ECE><DATA=3>")
    arrives("<SEQ=316><ACK=104><CTL=ACK,CWR><DATA=5>")
    p.sends("<SEQ=104><ACK=321><CTL=ACK>")
    arrives("<SEQ=321><ACK=104><CTL=ACK><DATA=5>")
    p.sends()
    arrives("<SEQ=326><ACK=104><CTL=ACK,CWR><DATA=5>", CE)
    p.sends("<SEQ=104><ACK=331><CTL=ACK,ECE>")


@pytest.mark.parametrize("settings", [{"ecn": "active"}, {}])
def test_without_an_agreement_or_text_a_mark_says_nothing(play, settings):
    p = play(**settings).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK,ECE><DATA=5>", ecn=CE)
    p.sends("<SEQ=101><ACK=306><CTL=ACK>")
    p = established(play)
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", ecn=CE)
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=5>")
    p.sends("<SEQ=101><ACK=306><CTL=ACK>")


# What is done


def test_an_echo_halves_the_window_once_a_round_trip_and_is_answered_by_cwr(play):
    p = established(play)
    p.send(8000)
    assert len(left(p)) == 8
    for ack in (1101, 2101, 8101):
        p.hear(f"<SEQ=301><ACK={ack}><CTL=ACK,ECE>")
    sender = p.connection.sender
    assert sender.ssthresh == 4000
    assert sender.cwnd < 8000
    p.send(2000)
    assert [segment.ctl & (CWR | ECE) for segment in left(p)] == [CWR, 0]
    p.hear("<SEQ=301><ACK=9101><CTL=ACK,ECE>")
    assert sender.ssthresh == 2000
    p.send(1)
    assert [segment.ctl & CWR for segment in left(p)] == [CWR]


def test_an_echo_adds_nothing_to_a_loss(play):
    p = established(play)
    p.send(8000)
    p.sent()
    p.at(1)
    assert p.connection.sender.ssthresh == 4000
    p.hear("<SEQ=301><ACK=1101><CTL=ACK,ECE>")
    assert p.connection.sender.ssthresh == 4000


def test_an_old_echo_counts_as_little_as_its_ack(play):
    p = established(play)
    p.send(3000)
    p.hear("<SEQ=301><ACK=3101><CTL=ACK>")
    p.send(8000)
    p.sent()
    p.hear("<SEQ=301><ACK=1101><CTL=ACK,ECE>")
    assert p.connection.sender.ssthresh > 8000


def test_a_loss_is_told_by_cwr_too(play):
    p = established(play)
    p.send(5)
    p.at(1)
    p.hear("<SEQ=301><ACK=106><CTL=ACK>")
    p.sent()
    p.send(5)
    (segment,) = left(p)
    assert (segment.ctl & CWR, segment.ecn) == (CWR, ECT_0)
