"""The options of RFC 7323 on a connection: window scale, timestamps, PAWS. Times are exact."""

from __future__ import annotations

import pytest
from peers import Played

from tcpclose.protocol.config import PROFILES, SECOND, TcpConfig
from tcpclose.protocol.options import mss_of_mtu, options_length
from tcpclose.protocol.segment import RST, Segment, seq_add

DAY = 24 * 3600.0


def stamped(play, **settings) -> Played:
    """ESTABLISHED at 1 s, timestamps agreed upon: the peer's clock says 7000, ours counts the milliseconds."""
    p = play(timestamps=True, **settings).reach("SYN-SENT")
    p.at(0.5)
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", timestamps=(7000, 0))
    p.at(1)
    p.sent()
    return p


# What a SYN offers


def test_the_default_offers_only_the_mss(play):
    p = play()
    p.open()
    p.sends("<SEQ=100><CTL=SYN>")
    assert p.last == Segment(p.last.seq, 0, p.last.ctl, 65535, mss=1000)


def test_the_profiles_offer_scale_and_timestamps(play):
    for profile, shift, wnd in (("linux", 8, 64240), ("bsd", 6, 65535)):
        p = play(profile=profile)
        p.at(2)
        p.open()
        p.sends("<SEQ=100><CTL=SYN>")
        assert (p.last.wscale, p.last.wnd, p.last.timestamps) == (shift, wnd, (2000, 0))


@pytest.mark.parametrize("offered", [{}, {"wscale": 3}, {"timestamps": (7000, 0)}])
def test_a_syn_ack_accepts_only_what_was_offered(play, offered):
    p = play(profile="bsd").reach("LISTEN")
    p.hear("<SEQ=300><CTL=SYN>", **offered)
    p.sends("<SEQ=100><ACK=301><CTL=SYN,ACK>")
    assert p.last.wscale == (6 if "wscale" in offered else None)
    assert p.last.timestamps == ((0, 7000) if "timestamps" in offered else None)


@pytest.mark.parametrize("offered", [{"wscale": 3}, {"timestamps": (7000, 0)}])
def test_nothing_is_accepted_that_we_do_not_have(play, offered):
    p = play().reach("LISTEN")
    p.hear("<SEQ=300><CTL=SYN>", wnd=10, **offered)
    p.sends("<SEQ=100><ACK=301><CTL=SYN,ACK>")
    p.hear("<SEQ=301><ACK=101><CTL=ACK>")
    p.send(11)
    assert len(p.sent()) == 1
    assert (len(p.last.data), p.last.timestamps) == (10, None)


def test_an_mss_outside_a_syn_is_ignored(play):
    p = play().reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", mss=100)
    p.send(1000)
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=1000>")


# Window scale


def test_the_windows_of_a_syn_are_not_scaled(play):
    p = play(window_scale=True, window_shift=2, rcv_buffer=200_000).reach("SYN-SENT")
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", wnd=1000, wscale=3)
    p.sends("<SEQ=101><ACK=301><CTL=ACK>")
    assert p.last.wnd == 200_000 >> 2
    assert p.connection.tcb.snd_wnd == 1000
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=1000)
    assert p.connection.tcb.snd_wnd == 8000


def test_a_window_is_what_its_sixteen_bits_can_say(play):
    """Without the peer's consent 65535, with a small shift what that reaches to."""
    for options, wnd, field in (({}, 65535, 65535), ({"wscale": 0}, 131070, 65535)):
        p = play(window_scale=True, window_shift=1, rcv_buffer=200_000).reach("LISTEN")
        p.hear("<SEQ=300><CTL=SYN>", **options)
        p.hear("<SEQ=301><ACK=101><CTL=ACK>")
        assert p.connection.receiver.window == wnd
        p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=0>")
        p.send(1)
        p.sent()
        assert p.last.wnd == field


@pytest.mark.parametrize(("buffer", "shift"), [(1 << 22, 14), (64240, 10), (3000, 6), (255, 2), (1, 0)])
def test_a_small_buffer_is_not_counted_coarsely(buffer, shift):
    assert TcpConfig(window_scale=True, window_shift=14, rcv_buffer=buffer).scale == shift


def test_a_window_too_small_to_be_said_is_opened_again_by_reading(play):
    """256 octets are the unit: what remains of the window is 0 to the peer, although there is room for a segment."""
    p = play(window_scale=True, window_shift=8, rcv_buffer=64 * 1024, mss=100).reach("SYN-SENT")
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", wscale=0, mss=100)
    p.sent()
    p.hear(f"<SEQ=301><ACK=101><CTL=ACK><DATA={64 * 1024 - 200}>")
    p.sent()
    assert (p.last.wnd, p.connection.receiver.window) == (0, 200)
    p.receive()
    p.sends(f"<SEQ=101><ACK={301 + 64 * 1024 - 200}><CTL=ACK>")
    assert p.last.wnd == 256


def test_a_shift_of_more_than_fourteen_counts_as_fourteen(play):
    p = play(window_scale=True).reach("SYN-SENT")
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", wscale=15)
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=2)
    assert p.connection.tcb.snd_wnd == 2 << 14


def test_a_simultaneous_open_takes_the_window_of_the_syn_ack_as_it_is(play):
    p = play(window_scale=True).reach("SYN-SENT")
    p.hear("<SEQ=300><CTL=SYN>", wscale=4, wnd=1600)
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", wscale=4, wnd=1600)
    assert (p.state, p.connection.tcb.snd_wnd) == ("ESTABLISHED", 1600)


# Timestamps


def test_every_segment_carries_timestamps_once_agreed_upon(play):
    p = stamped(play)
    p.send(10)
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=10>")
    assert p.last.timestamps == (1000, 7000)
    p.at(1.25)
    p.hear("<SEQ=301><ACK=111><CTL=ACK><DATA=5>", timestamps=(7250, 1000))
    p.sends("<SEQ=111><ACK=306><CTL=ACK>")
    assert p.last.timestamps == (1250, 7250)
    p.abort()
    p.sends("<SEQ=111><ACK=306><CTL=RST,ACK>")
    assert p.last.timestamps == (1250, 7250)


def test_a_reset_without_ack_echoes_nothing(play):
    p = stamped(play, reset_ack=False)
    p.abort()
    p.sends("<SEQ=101><CTL=RST>")
    assert p.last.timestamps == (1000, 0)


def test_the_clock_starts_at_the_offset_and_wraps(play):
    p = play(timestamps=True)
    p.connection.timestamp_offset = 2**32 - 1500
    p.at(2)
    p.open()
    p.sent()
    assert p.last.timestamps == (500, 0)


def test_timestamps_take_room_from_the_text(play):
    p = stamped(play)
    p.send(1000)
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=988>", "<SEQ=1089><ACK=301><CTL=ACK><DATA=12>")


def test_an_echo_times_a_retransmission_that_karn_forbids_to_time(play):
    """RFC 6298, 3: with timestamps the ambiguity is gone."""
    for timestamps, rto in ((False, 2), (True, 1.2)):
        p = play(timestamps=timestamps, rto_min=SECOND // 10).reach("LISTEN")
        p.hear("<SEQ=300><CTL=SYN>", timestamps=(7000, 0))
        p.sent()
        p.at(1)  # SYN,ACK again
        p.at(1.4)
        p.hear("<SEQ=301><ACK=101><CTL=ACK>", timestamps=(7100, 1000))
        assert p.connection.sender.rto == (rto if timestamps else 3) * SECOND


def test_an_echo_of_the_future_is_not_believed(play):
    p = play(timestamps=True).reach("LISTEN")
    p.hear("<SEQ=300><CTL=SYN>", timestamps=(7000, 0))
    p.at(1)
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", timestamps=(7100, 5000))
    assert p.connection.sender.srtt is None


# PAWS, 5


def test_text_older_than_the_last_is_acknowledged_and_dropped(play):
    p = stamped(play)
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>", timestamps=(7100, 0))
    p.sends("<SEQ=101><ACK=311><CTL=ACK>")
    p.at(1.5)
    p.hear("<SEQ=311><ACK=101><CTL=ACK><DATA=10>", timestamps=(7000, 0))
    p.sends("<SEQ=101><ACK=311><CTL=ACK>")
    assert p.last.timestamps == (1500, 7100)
    assert p.receive() == bytes(10)


def test_an_old_segment_without_text_is_answered_within_the_limit(play):
    p = stamped(play, challenge_ack_limit=1)
    for answers in (["<SEQ=101><ACK=301><CTL=ACK>"], []):
        p.hear("<SEQ=301><ACK=101><CTL=ACK>", timestamps=(6999, 0))
        p.sends(*answers)


def test_an_old_reset_counts(play):
    p = stamped(play)
    p.hear("<SEQ=301><CTL=RST>", timestamps=(1, 0))
    assert p.state == "CLOSED"


def test_an_old_fin_does_not_release(play):
    p = stamped(play)
    p.hear("<SEQ=301><ACK=101><CTL=FIN,ACK>", timestamps=(6999, 0))
    assert p.state == "ESTABLISHED"
    p.hear("<SEQ=301><ACK=101><CTL=FIN,ACK>", timestamps=(7000, 0))
    assert p.state == "CLOSE-WAIT"


def test_timestamps_wrap(play):
    p = play(timestamps=True).reach("SYN-SENT")
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", timestamps=(2**32 - 10, 0))
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=1>", timestamps=(5, 0))
    assert p.receive() == bytes(1)
    p.hear("<SEQ=302><ACK=101><CTL=ACK><DATA=1>", timestamps=(2**32 - 1, 0))
    assert p.receive() == b""


def test_after_twenty_four_idle_days_nothing_is_old(play):
    """5.5: by then the peer's clock may have passed half its numbers."""
    p = stamped(play)
    p.at(0.5 + 24 * DAY - 0.001)
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=1>", timestamps=(seq_add(7000, -1), 0))
    assert p.receive() == b""
    p.at(0.5 + 24 * DAY)
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=1>")
    assert p.receive() == bytes(1)
    p.sent()
    assert p.last.timestamps[1] == 6999


def test_the_echo_is_of_the_earliest_segment_not_acknowledged(play):
    """4.3: text beyond a hole does not move TS.Recent, or the round trip would look too short."""
    p = stamped(play)
    p.hear("<SEQ=311><ACK=101><CTL=ACK><DATA=10>", timestamps=(7200, 0))
    p.sends("<SEQ=101><ACK=301><CTL=ACK>")
    assert p.last.timestamps == (1000, 7000)
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>", timestamps=(7100, 0))
    p.sends("<SEQ=101><ACK=321><CTL=ACK>")
    assert p.last.timestamps == (1000, 7100)


@pytest.mark.parametrize(("missing", "taken"), [("drop", 0), ("accept", 1)])
def test_a_segment_without_the_agreed_timestamps(play, missing, taken):
    p = stamped(play, missing_timestamps=missing)
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=1>", timestamps=None)
    assert len(p.sent()) == taken
    assert len(p.receive()) == taken


def test_a_restarted_peer_that_knows_no_timestamps_is_questioned(play):
    p = stamped(play)
    p.hear("<SEQ=310><CTL=SYN>", timestamps=None)
    p.sends("<SEQ=101><ACK=301><CTL=ACK>")
    p.hear("<SEQ=301><CTL=RST>", timestamps=None)
    assert p.state == "CLOSED"


def test_the_last_acknowledgment_survives_loss_under_every_profile(play):
    """A repeated FIN in TIME-WAIT comes with a new timestamp, and is answered."""
    for profile in PROFILES:
        p = play(profile=profile).reach("SYN-SENT")
        p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", timestamps=(7000, 0))
        p.close()
        p.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>", timestamps=(7001, 0))
        p.sent()
        p.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>", timestamps=(7500, 0))
        p.sends("<SEQ=102><ACK=302><CTL=ACK>")
        assert p.state == "TIME-WAIT"
        assert not p.last.ctl & RST


# The user timeout option, RFC 5482


def test_our_user_timeout_is_told_in_the_syn(play):
    for seconds, told in ((90, 90), (0.5, None)):
        p = play(user_timeout_option=True, user_timeout=round(seconds * SECOND))
        p.open()
        p.sent()
        assert p.last.user_timeout == told


def test_our_user_timeout_is_told_again_after_the_syn(play):
    """RFC 5482, 3: in the first segment that is no SYN, and when it has changed; only where there is room."""
    p = play(user_timeout_option=True, user_timeout=90 * SECOND).reach("LISTEN")
    p.hear("<SEQ=300><CTL=SYN>")
    p.sent()
    assert p.last.user_timeout == 90
    p.hear("<SEQ=301><ACK=101><CTL=ACK>")
    p.send(1996)
    first, second = p.connection.segments_to_send()
    assert (len(first.data), first.user_timeout) == (1000, None)
    assert (len(second.data), second.user_timeout) == (996, 90)
    p.connection.configure(p.now, user_timeout=80 * SECOND)
    for told in (80, None):
        p.hear("<SEQ=301><ACK=2097><CTL=ACK><DATA=0>")
        p.send(1)
        p.sent()
        assert p.last.user_timeout == told


def test_the_user_timeout_does_not_crowd_out_reports_of_text(play):
    """Timestamps and three blocks of SACK fill the forty octets."""
    p = play(user_timeout_option=True, sack=True, timestamps=True).reach("LISTEN")
    p.hear("<SEQ=300><CTL=SYN>", sack_permitted=True, timestamps=(1, 0))
    p.hear("<SEQ=301><ACK=101><CTL=ACK>")
    for seq in (303, 305, 307):
        p.hear(f"<SEQ={seq}><ACK=101><CTL=ACK><DATA=1>")
    p.sent()
    assert (len(p.last.sack), p.last.user_timeout, options_length(p.last)) == (3, None, 40)
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=7>")
    p.sent()
    assert p.last.user_timeout == 300


def test_a_user_timeout_is_not_told_where_the_option_is_off(play):
    p = play().reach("ESTABLISHED")
    p.connection.configure(p.now, user_timeout=80 * SECOND)
    p.send(1)
    p.sent()
    assert p.last.user_timeout is None


@pytest.mark.parametrize(
    ("told", "adopted"),
    [(200, 200), (50, 100), (5000, 3600), (0, 30)],
    ids=["longer", "the least", "the most", "reserved"],
)
def test_the_longer_user_timeout_serves_both(play, told, adopted):
    p = play(user_timeout_option=True, user_timeout=30 * SECOND).reach("SYN-SENT")
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", user_timeout=told)
    p.send(1)
    assert p.connection.sender.user_at == adopted * SECOND


def test_a_running_user_timeout_is_made_longer(play):
    p = play(user_timeout_option=True, user_timeout=30 * SECOND).reach("ESTABLISHED")
    p.send(1)
    p.at(10)
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=1>", user_timeout=120)
    assert p.connection.sender.user_at == 120 * SECOND
    p.at(119)
    assert p.state == "ESTABLISHED"
    p.at(120)
    assert p.state == "CLOSED"


def test_by_default_the_option_has_no_effect(play):
    p = play().reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=1>", user_timeout=1000)
    p.send(1)
    assert p.connection.sender.user_at == 300 * SECOND


# The MSS of a link


@pytest.mark.parametrize(("mtu", "version", "mss"), [(1500, 4, 1460), (1500, 6, 1440), (576, 4, 536), (41, 4, 1)])
def test_the_mss_is_what_a_packet_carries(mtu, version, mss):
    assert mss_of_mtu(mtu, version) == mss


def test_the_mss_of_a_jumbogram_is_the_largest_there_is():
    assert mss_of_mtu(100_000, 6) == 65535


@pytest.mark.parametrize(("mtu", "version"), [(40, 4), (60, 6)])
def test_an_mtu_without_room_for_text(mtu, version):
    with pytest.raises(ValueError, match="no room"):
        mss_of_mtu(mtu, version)


# Explicit congestion notification (RFC 3168) is not ours, and disturbs nothing


def test_a_syn_that_asks_for_ecn_gets_a_plain_answer(play):
    p = play().reach("LISTEN")
    p.hear("<SEQ=300><CTL=SYN,ECE,CWR>")
    p.sends("<SEQ=100><ACK=301><CTL=SYN,ACK>")


def test_ecn_bits_change_nothing(play):
    p = play().reach("ESTABLISHED")
    p.send(10)
    p.sent()
    p.hear("<SEQ=301><ACK=111><CTL=ACK,ECE><DATA=5>")
    p.sends("<SEQ=111><ACK=306><CTL=ACK>")
    p.hear("<SEQ=306><ACK=111><CTL=FIN,ACK,CWR>")
    p.sends("<SEQ=111><ACK=307><CTL=ACK>")
    assert p.state == "CLOSE-WAIT"


def test_without_an_echo_our_own_clock_serves(play):
    p = stamped(play, missing_timestamps="accept", rto_min=1000)
    p.send(1)
    p.at(1.5)
    p.hear("<SEQ=301><ACK=102><CTL=ACK>", timestamps=None)
    assert p.connection.sender.srtt == SECOND // 2
