"""ESTABLISHED: what is not acceptable, and the RST and the SYN that may be forged (3.10.7.4, RFC 5961).

Our side is numbered from 100 (ISS), the peer's from 300. Every test runs again with numbers that wrap.
"""

from __future__ import annotations

import pytest
from peers import OUR_ACK, THEIR_ACK

from tcpclose.protocol.config import SECOND

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
