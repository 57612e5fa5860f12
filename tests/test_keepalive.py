"""A peer that is gone, and a user who is: keepalive (3.8.4), R1 and R2 (3.8.3), the half-duplex CLOSE (3.6.1).

Our side is numbered from 100 (ISS), the peer's from 300. Times are exact.
"""

from __future__ import annotations

import pytest
from peers import OUR_ACK, Played

from tcpclose.protocol.config import PROFILES, SECOND
from tcpclose.protocol.connection import TcpError

KEEPALIVE = {
    "keepalive": True,
    "keepalive_idle": 100 * SECOND,
    "keepalive_interval": 10 * SECOND,
    "keepalive_count": 2,
}
PROBE = "<SEQ=100><ACK=301><CTL=ACK>"  # SEG.SEQ = SND.NXT-1, without text

# Keepalive, 3.8.4


@pytest.mark.parametrize("profile", PROFILES)
def test_keepalive_is_off_by_default(profile):
    """MUST-25."""
    assert Played(profile=profile).reach("ESTABLISHED").due() is None


@pytest.mark.parametrize("profile", PROFILES)
def test_the_first_probe_comes_after_two_hours_by_default(profile):
    """MUST-28."""
    p = Played(profile=profile, keepalive=True).reach("ESTABLISHED")
    p.sends_at(7200, PROBE)


def test_a_probe_may_carry_one_octet_of_garbage():
    """MAY-6."""
    p = Played(**KEEPALIVE, keepalive_garbage=True).reach("ESTABLISHED")
    p.sends_at(100, f"{PROBE}<DATA=1>")
    p.hear("<SEQ=301><ACK=101><CTL=ACK>")
    p.send(1)
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=1>")  # the garbage is no text of ours


def test_an_octet_of_garbage_is_answered_and_not_read():
    p = Played().reach("ESTABLISHED")
    p.hear("<SEQ=300><ACK=101><CTL=ACK><DATA=1>")
    p.sends(OUR_ACK)
    assert p.receive() == b""


def test_a_silent_peer_is_probed_and_given_up():
    p = Played(**KEEPALIVE).reach("ESTABLISHED")
    p.sends_at(100, PROBE)
    p.sends_at(110, PROBE)
    p.sends_at(120, "<SEQ=101><ACK=301><CTL=RST,ACK>")
    p.told("CLOSED keepalive failed")
    assert p.due() is None


def test_keepalive_may_give_up_in_silence():
    p = Played(**KEEPALIVE, keepalive_reset=False).reach("ESTABLISHED")
    p.at(119)
    p.sent()
    p.sends_at(120)
    p.told("CLOSED keepalive failed")


@pytest.mark.parametrize("answer", ["<SEQ=301><ACK=101><CTL=ACK>", "<SEQ=301><ACK=101><CTL=ACK><DATA=1>"])
def test_whatever_is_acceptable_proves_that_the_peer_is_there(answer):
    p = Played(**KEEPALIVE).reach("ESTABLISHED")
    p.at(105)
    p.hear(answer)
    p.sent()
    assert p.due() == 205
    p.at(215)
    assert len(p.sent()) == 2
    assert p.state == "ESTABLISHED"


def test_the_answer_to_a_probe_is_a_reset_when_the_peer_has_no_connection():
    p = Played(**KEEPALIVE).reach("ESTABLISHED")
    p.sends_at(100, PROBE)
    p.hear("<SEQ=301><CTL=RST>")
    p.told("CLOSED reset by peer")


def test_a_probe_is_answered():
    p = Played().reach("ESTABLISHED")
    p.hear("<SEQ=300><ACK=101><CTL=ACK>")
    p.sends(OUR_ACK)


@pytest.mark.parametrize("state", ["FIN-WAIT-2", "CLOSE-WAIT"])
def test_a_half_closed_connection_is_probed_too(state):
    p = Played(**KEEPALIVE).reach(state)
    p.at(119)
    assert len(p.sent()) == 2
    p.at(120)
    p.told("CLOSED keepalive failed")


def test_no_probe_while_something_is_unacknowledged():
    """MUST-26: then retransmission asks the same question."""
    p = Played(**KEEPALIVE, user_timeout=1000 * SECOND).reach("ESTABLISHED")
    p.at(99)
    p.send(1)
    p.at(130)
    assert set(p.sent()) == {"<SEQ=101><ACK=301><CTL=ACK><DATA=1>"}
    p.hear("<SEQ=301><ACK=102><CTL=ACK>")
    p.sends_at(230, "<SEQ=101><ACK=301><CTL=ACK>")


def test_keepalive_can_be_asked_for_one_connection():
    p = Played().reach("ESTABLISHED")
    p.at(10)
    p.connection.configure(p.now, **KEEPALIVE)
    assert p.due() == 110
    p.connection.configure(p.now, keepalive=False)
    assert p.due() is None


def test_other_settings_leave_the_clock_of_keepalive_alone():
    p = Played(**KEEPALIVE).reach("ESTABLISHED")
    p.at(90)
    p.connection.configure(p.now, rcv_buffer=10_000, keepalive_count=3)
    p.sends_at(100, "<SEQ=100><ACK=301><CTL=ACK>")


def test_time_wait_needs_no_keepalive():
    p = Played(**KEEPALIVE).reach("TIME-WAIT")
    assert p.due() == 10


# R1 and R2, 3.8.3


def test_after_r1_retransmissions_the_user_is_told():
    """SHLD-9."""
    p = Played(r1=2).reach("ESTABLISHED")
    p.send(1)
    p.at(2.9)
    p.told()
    p.at(3)
    p.told("ERROR 2 retransmissions")
    p.at(100)
    p.told()


def test_soft_errors_can_be_turned_off():
    """SHLD-20: R1 and ICMP."""
    p = Played(r1=2, soft_errors=False).reach("ESTABLISHED")
    p.send(1)
    p.at(3)
    p.connection.icmp_arrives(False, "ICMP type 3 code 1", p.now)
    p.told()


@pytest.mark.parametrize("profile", PROFILES)
def test_the_user_is_told_after_three_retransmissions_by_default(profile):
    """SHLD-10: R1 is at least 3."""
    p = Played(profile=profile).reach("ESTABLISHED")
    p.send(1)
    while not (told := [signal.detail for signal in p.signals]):
        due = p.due()
        assert due is not None
        p.at(due)
        p.news()
    assert told == ["3 retransmissions"]
    assert p.connection.retransmissions == 3


def silent_for(p: Played) -> float:
    """How long the connection lives while the peer is silent."""
    while (due := p.due()) is not None:
        p.at(due)
    assert p.state == "CLOSED"
    return p.now / SECOND


@pytest.mark.parametrize("profile", PROFILES)
def test_text_is_given_up_after_a_hundred_seconds_at_the_earliest(profile):
    """SHLD-11, by default."""
    p = Played(profile=profile).reach("ESTABLISHED")
    p.send(1)
    assert silent_for(p) >= 100


@pytest.mark.parametrize(("profile", "seconds"), [("rfc9293", 300), ("linux", 127), ("bsd", 75)])
def test_how_long_a_syn_is_repeated(profile, seconds):
    """MUST-22, MUST-23: three minutes, by default. Linux (six retransmissions) and BSD do not keep to it."""
    assert silent_for(Played(profile=profile).reach("SYN-SENT")) == seconds


def test_the_user_can_set_r2_for_one_connection():
    """MUST-21."""
    p = Played(r1=0).reach("ESTABLISHED")
    p.connection.configure(p.now, r2=1)
    p.send(1)
    assert silent_for(p) == 3
    p.told("CLOSED retransmission limit")


def test_after_r2_retransmissions_the_connection_ends():
    p = Played(r1=0, r2=2).reach("ESTABLISHED")
    p.send(1)
    p.sent()
    for seconds in (1, 3):
        p.sends_at(seconds, "<SEQ=101><ACK=301><CTL=ACK><DATA=1>")
    p.sends_at(7, "<SEQ=102><ACK=301><CTL=RST,ACK>")
    p.told("CLOSED retransmission limit")


def test_a_syn_has_a_limit_of_its_own():
    """3.8.3, MUST-23: R2 of a SYN is another one."""
    p = Played(r2=1, syn_r2=2).reach("SYN-SENT")
    for seconds in (1, 3):
        p.sends_at(seconds, "<SEQ=100><CTL=SYN>")
    p.sends_at(7)
    p.told("CLOSED retransmission limit")


def test_timeout_reset_is_for_the_limit_too():
    p = Played(r2=1, timeout_reset=False).reach("FIN-WAIT-1")
    p.sends_at(1, "<SEQ=101><ACK=301><CTL=FIN,ACK>")
    p.sends_at(3)
    p.told("CLOSED retransmission limit")


def test_progress_starts_the_count_again():
    p = Played(r1=0, r2=2).reach("ESTABLISHED")
    p.send(2000)
    p.at(3)
    p.hear("<SEQ=301><ACK=1101><CTL=ACK>")
    p.at(8)
    assert p.state == "ESTABLISHED"


def test_a_closed_window_that_is_answered_is_no_reason():
    """3.8.6.1, MUST-37."""
    p = Played(r1=0, r2=2).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=0)
    p.send(5)
    for _ in range(10):
        p.at(p.due())
        p.hear("<SEQ=301><ACK=101><CTL=ACK>")
    assert p.state == "ESTABLISHED"
    p.at(1000)
    p.told("CLOSED retransmission limit")


def test_the_user_timeout_can_be_changed_while_it_runs():
    """3.9.1.1: a parameter of OPEN and SEND."""
    p = Played(r1=0).reach("FIN-WAIT-1")
    p.at(2)
    p.connection.configure(p.now, user_timeout=10 * SECOND)
    p.at(9.9)
    assert p.state == "FIN-WAIT-1"
    p.at(10)
    p.told("CLOSED user timeout")


# Half-close and the half-duplex CLOSE, 3.6.1


def test_a_half_close_goes_on_for_ever():
    p = Played(fin_wait_2_timeout=60 * SECOND).reach("FIN-WAIT-2")
    p.at(1_000_000)
    p.hear("<SEQ=301><ACK=102><CTL=ACK><DATA=4>")
    p.sends("<SEQ=102><ACK=305><CTL=ACK>")
    assert p.receive() == bytes(4)


def test_fin_wait_2_ends_when_nobody_waits_for_the_fin():
    p = Played(fin_wait_2_timeout=60 * SECOND).reach("ESTABLISHED")
    p.connection.release(0)
    p.sends("<SEQ=101><ACK=301><CTL=FIN,ACK>")
    p.hear("<SEQ=301><ACK=102><CTL=ACK>")
    p.sends_at(60)
    p.told("CLOSED linger expired")


def test_the_user_may_go_after_a_half_close():
    p = Played(fin_wait_2_timeout=60 * SECOND).reach("FIN-WAIT-2")
    p.at(100)
    p.connection.release(p.now)
    p.sends()
    assert p.due() == 160
    p.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")
    assert p.state == "TIME-WAIT"
    assert p.due() == 110


@pytest.mark.parametrize("state", ["ESTABLISHED", "CLOSE-WAIT"])
def test_close_with_text_unread_is_a_reset(state):
    p = Played(half_duplex_close=True).reach("ESTABLISHED")
    p.hear(f"<SEQ=301><ACK=101><CTL={'FIN,ACK' if state == 'CLOSE-WAIT' else 'ACK'}><DATA=4>")
    p.sent()
    p.news()
    p.signals.clear()
    p.close()
    p.sends(f"<SEQ=101><ACK={306 if state == 'CLOSE-WAIT' else 305}><CTL=RST,ACK>")
    p.told("CLOSED unread data")
    assert p.receive() == b""


@pytest.mark.parametrize(
    ("form", "reset"), [("connection", "<SEQ=102><ACK=301><CTL=RST,ACK>"), ("segment", "<SEQ=101><CTL=RST>")]
)
def test_text_after_the_user_is_gone_is_a_reset(form, reset):
    """SHLD-3."""
    p = Played(half_duplex_close=True, unwanted_text_reset=form).reach("FIN-WAIT-1")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=4>")
    p.sends(reset)
    p.told("CLOSED unread data")


def test_repeated_text_after_the_user_is_gone_is_acknowledged():
    """It was read before."""
    p = Played(half_duplex_close=True).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=4>")
    p.receive()
    p.close()
    p.sent()
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=4>")
    p.sends("<SEQ=102><ACK=305><CTL=ACK>")
    p.hear("<SEQ=303><ACK=101><CTL=FIN,ACK><DATA=2>")
    p.sends("<SEQ=102><ACK=306><CTL=ACK>")
    assert p.state == "CLOSING"


def test_text_left_in_time_wait_is_dropped_in_silence():
    p = Played().reach("FIN-WAIT-2")
    p.hear("<SEQ=301><ACK=102><CTL=FIN,ACK><DATA=4>")
    p.sent()
    p.connection.release(0)
    p.sends()
    assert p.state == "TIME-WAIT"
    assert p.receive() == b""


def test_release_is_refused_like_close():
    p = Played(half_duplex_close=True)
    with pytest.raises(TcpError, match="connection does not exist"):
        p.close()
    p.reach("CLOSING")
    with pytest.raises(TcpError, match="connection closing"):
        p.close()


def test_release_waits_for_the_handshake_when_text_is_queued():
    p = Played(half_duplex_close=True).reach("SYN-RECEIVED")
    p.send(5)
    p.close()
    p.sends()
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=1>")
    p.sends("<SEQ=101><ACK=301><CTL=RST,ACK>")
    p.told("CONNECTED", "CLOSED unread data")


@pytest.mark.parametrize(("setting", "text"), [("discard", b""), ("keep", b"abcdef")])
def test_who_reads_no_more_still_acknowledges(setting, text):
    p = Played(shutdown_read=setting).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", data=b"abc")
    p.connection.stop_reading()
    p.sent()
    p.hear("<SEQ=304><ACK=101><CTL=ACK>", data=b"def")
    p.sends("<SEQ=101><ACK=307><CTL=ACK>")
    assert p.receive() == text


# Ends that come from outside


def test_a_lingering_close_may_go_on_alone():
    p = Played().reach("FIN-WAIT-1")
    p.connection.linger_expires(0)
    p.sends()
    assert p.state == "FIN-WAIT-1"


@pytest.mark.parametrize(("state", "told"), [("SYN-RECEIVED", "not opened"), ("ESTABLISHED", "aborted")])
def test_what_nobody_accepts_when_its_listener_closes(state, told):
    p = Played().reach(state)
    p.connection.listener_closed(0)
    p.sends(*([] if state == "SYN-RECEIVED" else ["<SEQ=101><ACK=301><CTL=RST,ACK>"]))
    p.told(f"CLOSED {told}")
