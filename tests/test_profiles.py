"""Where stacks differ: what each profile does, one test for each of these questions."""

from __future__ import annotations

import pytest
from peers import Played
from stacked import Hosted, listening

from tcpclose.protocol.config import PROFILES, SECOND
from tcpclose.protocol.datagram import Datagram
from tcpclose.protocol.segment import ACK, Segment
from tcpclose.wire import Malformed, decode_tcp, encode_tcp

ALL = list(PROFILES)
OUR_ACK = "<SEQ=101><ACK=301><CTL=ACK>"
OUR_LAST_ACK = "<SEQ=102><ACK=302><CTL=ACK>"
OUR_RESET = "<SEQ=101><ACK=301><CTL=RST,ACK>"

each = pytest.mark.parametrize("profile", ALL)


def differs(**answers: object) -> pytest.MarkDecorator:
    """One case for each profile; `others` stands for those that are not named."""
    cases = [(profile, answers.get(profile, answers.get("others"))) for profile in ALL]
    return pytest.mark.parametrize(("profile", "answer"), cases, ids=ALL)


# Timeouts


@differs(linux=[], others=["<SEQ=102><ACK=301><CTL=RST,ACK>"])
@pytest.mark.parametrize("limit", [{"user_timeout": 5 * SECOND}, {"r2": 2}], ids=["user timeout", "R2"])
def test_text_that_stays_unacknowledged(profile, answer, limit):
    p = Played(profile=profile, **limit).reach("ESTABLISHED")
    p.send(1)
    while p.state == "ESTABLISHED":
        p.sent()
        p.at(p.due() or 0)
    assert [text for text in p.sent() if "DATA" not in text] == answer


@each
def test_keepalive_that_fails(profile):
    p = Played(profile=profile, keepalive=True).reach("ESTABLISHED")
    while p.state == "ESTABLISHED":
        p.sent()
        p.at(p.due() or 0)
    p.sends(OUR_RESET)


@differs(rfc9293=7200 + 9 * 75, linux=7200 + 9 * 75, bsd=7200 + 8 * 75)
def test_when_keepalive_fails(profile, answer):
    p = Played(profile=profile, keepalive=True).reach("ESTABLISHED")
    p.at(answer - 0.001)
    assert p.state == "ESTABLISHED"
    p.at(answer)
    assert p.state == "CLOSED"


@differs(rfc9293=None, linux=60, bsd=600)
def test_fin_wait_2_without_a_fin(profile, answer):
    p = Played(profile=profile).reach("FIN-WAIT-2")
    assert p.due() is None  # the user still reads
    p.connection.release(p.now)
    assert p.due() == answer


@differs(rfc9293=240, linux=60, bsd=60)
def test_how_long_time_wait_lasts(profile, answer):
    p = Played(profile=profile, msl=PROFILES[profile].msl).reach("TIME-WAIT")
    assert p.due() == answer


@differs(rfc9293=[1, 3, 7], linux=[0.3, 0.9, 2.1], bsd=[0.3, 0.7, 1.31])
def test_retransmission_after_a_steady_round_trip_of_100_ms(profile, answer):
    """RTT variance has died away, so that only the floor of the profile stands."""
    p = Played(profile=profile).reach("ESTABLISHED")
    for n in range(200):
        p.at(n)
        p.send(1)
        p.at(n + 0.1)
        p.hear(f"<SEQ=301><ACK={102 + n}><CTL=ACK>")
    p.sent()
    p.at(200)
    p.send(1)
    p.sent()
    times = []
    while len(times) < 3:
        p.at(p.due() or 0)
        times.append(round(p.now / SECOND - 200, 2))
    assert times == answer


# Resets


@each
@pytest.mark.parametrize("state", ["SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT"])
def test_the_reset_of_an_abort(profile, state):
    """SEQ=SND.NXT, ACK=RCV.NXT, CTL=RST,ACK."""
    p = Played(profile=profile).reach(state)
    tcb = p.connection.tcb
    p.abort()
    p.sends(f"<SEQ={tcb.snd_nxt}><ACK={tcb.rcv_nxt}><CTL=RST,ACK>")


@differs(bsd="TIME-WAIT", others="CLOSED")
def test_a_reset_in_time_wait(profile, answer):
    p = Played(profile=profile).reach("TIME-WAIT")
    p.hear("<SEQ=302><CTL=RST>")
    p.sends()
    assert p.state == answer


@differs(linux="CLOSED", others="CLOSE-WAIT")
@pytest.mark.parametrize("ack", ["", "<ACK=101>"])
def test_a_reset_with_the_number_of_the_fin_before_it(profile, answer, ack):
    p = Played(profile=profile).reach("CLOSE-WAIT")
    p.hear("<SEQ=300><CTL=RST>")
    assert p.state == "CLOSE-WAIT"
    p.hear(f"<SEQ=301>{ack}<CTL={'RST,ACK' if ack else 'RST'}>")
    p.sends()
    assert p.state == answer


@each
def test_such_a_reset_in_time_wait(profile):
    p = Played(profile=profile).reach("TIME-WAIT")
    p.hear("<SEQ=301><CTL=RST>")
    p.sends()
    assert p.state == "TIME-WAIT"


@differs(rfc9293=[], others=[OUR_LAST_ACK])
@pytest.mark.parametrize(
    "text", ["<SEQ=302><ACK=102><CTL=ACK><DATA=5>", "<SEQ=310><ACK=102><CTL=ACK>", "<SEQ=302><ACK=102><CTL=FIN,ACK>"]
)
def test_what_is_not_the_last_ack_in_time_wait(profile, answer, text):
    p = Played(profile=profile).reach("TIME-WAIT")
    p.hear("<SEQ=302><ACK=102><CTL=ACK>")
    p.sends()
    p.hear(text)
    p.sends(*answer)
    assert p.state == "TIME-WAIT"


@differs(rfc9293="<SEQ=100><ACK=303><CTL=SYN,ACK>", others=OUR_LAST_ACK)
def test_a_syn_at_rcv_nxt_in_time_wait(profile, answer):
    host = listening(profile=profile).time_wait()
    host.stack.iss = lambda pair: 100
    host.hear("<SEQ=302><CTL=SYN>")
    host.sends(answer.replace("SEQ=100", f"SEQ={102 + 65537}"))


@differs(linux=102 + 65537, others=1_000_000)
def test_the_number_of_a_connection_in_the_place_of_one_in_time_wait(profile, answer):
    host = listening(profile=profile).time_wait()
    host.stack.iss = lambda pair: 1_000_000
    host.hear("<SEQ=303><CTL=SYN>")
    host.sends(f"<SEQ={answer}><ACK=304><CTL=SYN,ACK>")


@each
def test_a_reset_in_the_window_but_not_at_rcv_nxt(profile):
    p = Played(profile=profile).reach("ESTABLISHED")
    p.hear("<SEQ=302><CTL=RST>")
    p.sends(OUR_ACK)
    assert p.state == "ESTABLISHED"
    p = Played(profile=profile, reset_validity="window").reach("ESTABLISHED")
    p.hear("<SEQ=302><CTL=RST>")
    p.sends()
    assert p.state == "CLOSED"


@each
def test_a_syn_in_a_synchronized_state(profile):
    p = Played(profile=profile).reach("ESTABLISHED")
    p.hear("<SEQ=302><CTL=SYN>")
    p.sends(OUR_ACK)
    p = Played(profile=profile, syn_validity="window").reach("ESTABLISHED")
    p.hear("<SEQ=302><CTL=SYN>")
    p.sends(OUR_RESET)


@differs(rfc9293=["<SEQ=102><ACK=301><CTL=RST,ACK>"], others=["<SEQ=102><CTL=RST>"])
def test_text_after_both_directions_were_closed(profile, answer):
    """SHLD-3: SEQ=SND.NXT with ACK, or SEQ=SEG.ACK without."""
    p = Played(profile=profile).reach("ESTABLISHED")
    p.connection.release(p.now)
    p.sent()
    p.hear("<SEQ=301><ACK=102><CTL=ACK><DATA=5>")
    p.sends(*answer)
    assert p.state == "CLOSED"


@differs(linux=5, others=0)
def test_text_after_the_user_has_shut_reading_down(profile, answer):
    """It is acknowledged in any case; readable it is with Linux."""
    p = Played(profile=profile).reach("ESTABLISHED")
    p.connection.stop_reading()
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=5>")
    p.sends("<SEQ=101><ACK=306><CTL=ACK>")
    assert len(p.receive()) == answer


# What is not acceptable


@differs(rfc9293=([OUR_ACK], 1), linux=([], 1), bsd=([OUR_ACK], 0))
def test_a_fin_without_ack_outside_the_window(profile, answer):
    in_established, in_time_wait = answer
    p = Played(profile=profile).reach("ESTABLISHED")
    p.hear("<SEQ=90001><CTL=FIN>")
    p.sends(*in_established)
    p = Played(profile=profile).reach("SYN-RECEIVED")
    p.hear("<SEQ=90001><CTL=FIN>")
    p.sends(OUR_ACK)
    p = Played(profile=profile).reach("TIME-WAIT")
    p.hear("<SEQ=301><CTL=FIN>")
    p.sends(*[OUR_LAST_ACK][:in_time_wait])


@differs(linux=[], others=["<SEQ=100><ACK=301><CTL=SYN,ACK>"])
def test_a_syn_with_fin_where_we_listen(profile, answer):
    p = Played(profile=profile).reach("LISTEN")
    p.hear("<SEQ=300><CTL=FIN,SYN>")
    p.sends(*answer)


@differs(
    linux=["<SEQ=0><ACK=303><CTL=RST,ACK>", "<SEQ=101><CTL=RST>"],
    rfc9293=["", ""],
    bsd=["<SEQ=100><ACK=301><CTL=SYN,ACK>", ""],
)
def test_another_syn_in_the_window_of_syn_received(profile, answer):
    for text, reply in zip(["<SEQ=302><CTL=SYN>", "<SEQ=302><ACK=101><CTL=SYN,ACK>"], answer, strict=True):
        p = Played(profile=profile).reach("SYN-RECEIVED")
        p.hear(text)
        p.sends(*[reply][: bool(reply)])


@differs(linux=0.004, others=1)
@pytest.mark.parametrize("control", ["ACK", "RST,ACK"])
def test_when_a_syn_leaves_again_after_the_ack_of_something_else(profile, answer, control):
    p = Played(profile=profile).reach("SYN-SENT")
    p.hear(f"<SEQ=300><ACK=105><CTL={control}>")
    assert p.due() == answer
    p.at(1.5)
    p.sent()
    p.hear(f"<SEQ=300><ACK=105><CTL={control}>")
    assert (p.due() or 0) > 2


@differs(linux=["<SEQ=101><ACK=301><CTL=ACK>"], others=[])
def test_a_syn_ack_that_crosses_ours(profile, answer):
    p = Played(profile=profile).reach("SYN-SENT")
    p.hear("<SEQ=300><CTL=SYN>")
    p.sends("<SEQ=100><ACK=301><CTL=SYN,ACK>")
    assert p.last.sack_permitted == (profile == "linux")
    assert (p.last.wscale, p.last.timestamps) == ((8, (0, 0)) if profile == "linux" else (None, None))
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>")
    p.sends(*answer)
    assert p.state == "ESTABLISHED"


@differs(linux=("SYN-RECEIVED", [OUR_ACK]), others=("ESTABLISHED", []))
def test_a_syn_ack_that_crosses_nothing(profile, answer):
    state, sent = answer
    p = Played(profile=profile).reach("SYN-RECEIVED")
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>")
    p.sends(*sent)
    assert p.state == state


@differs(linux=[(311, 312)], others=[])
def test_a_fin_beyond_a_hole_in_sack_blocks(profile, answer):
    p = Played(profile=profile, sack=True).reach("SYN-SENT")
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", sack_permitted=True)
    p.sent()
    p.hear("<SEQ=311><ACK=101><CTL=FIN,ACK>")
    p.sends(OUR_ACK)
    assert [(left - p.irs, right - p.irs) for left, right in p.last.sack] == answer
    p.hear("<SEQ=306><ACK=101><CTL=ACK><DATA=5>")
    p.sends(OUR_ACK)
    assert [(left - p.irs, right - p.irs) for left, right in p.last.sack] == [(306, 312 if answer else 311)]
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=5>")
    p.sends("<SEQ=101><ACK=312><CTL=ACK>")
    assert p.last.sack == ()


@each
@pytest.mark.parametrize("above", [1, 2])
def test_an_ack_above_snd_nxt(profile, above):
    p = Played(profile=profile).reach("ESTABLISHED")
    p.hear(f"<SEQ=301><ACK={101 + above}><CTL=ACK><DATA=5>")
    p.sends(OUR_ACK)
    assert p.receive() == b""


@differs(rfc9293=[OUR_ACK], others=[])
def test_a_bare_ack_just_behind_the_window(profile, answer):
    p = Played(profile=profile, rcv_buffer=1000).reach("ESTABLISHED")
    p.hear("<SEQ=1301><ACK=101><CTL=ACK>")
    p.sends(*answer)
    p.at(10)
    p.hear("<SEQ=1302><ACK=101><CTL=ACK>")
    p.sends(OUR_ACK)


@differs(linux=[OUR_ACK], others=[])
def test_a_reset_just_behind_the_window(profile, answer):
    p = Played(profile=profile, rcv_buffer=1000).reach("ESTABLISHED")
    p.hear("<SEQ=1301><CTL=RST>")
    p.sends(*answer)
    p.at(10)
    p.hear("<SEQ=1302><CTL=RST>")
    p.sends()


@each
@pytest.mark.parametrize("control", ["ACK><DATA=1", "FIN,ACK"])
def test_what_has_length_just_behind_the_window(profile, control):
    p = Played(profile=profile, rcv_buffer=1000).reach("ESTABLISHED")
    p.hear(f"<SEQ=1301><ACK=101><CTL={control}>")
    p.sends(OUR_ACK)
    assert p.state == "ESTABLISHED"


@each
def test_a_bare_ack_at_rcv_nxt_while_the_window_is_closed(profile):
    p = Played(profile=profile, rcv_buffer=1000).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=1000>")
    p.sent()
    p.hear("<SEQ=1301><ACK=101><CTL=ACK>")
    p.sends()


@differs(rfc9293=(6, 10), linux=(1, 10), bsd=(5, 25))
def test_how_many_challenge_acks_leave_in_five_seconds(profile, answer):
    """One in half a second with Linux, five in a second with BSD, else ten at once: the example of RFC 5961."""
    p = Played(profile=profile).reach("ESTABLISHED")
    sent = []
    for n in range(100):
        p.at(n / 20)
        p.hear("<SEQ=302><CTL=RST>")
        sent += p.sent()
        if n == 5:
            assert len(sent) == answer[0]
    assert sent == [OUR_ACK] * answer[1]


# Sending and ending


@each
def test_a_fin_while_the_congestion_window_is_full(profile):
    p = Played(profile=profile, initial_window=1, nagle=False).reach("ESTABLISHED")
    p.send(1000)
    p.close()
    p.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=1000>")
    p.hear("<SEQ=301><ACK=1101><CTL=ACK>")
    p.sends("<SEQ=1101><ACK=301><CTL=FIN,ACK>")


@each
def test_a_duplicate_ack_in_last_ack(profile):
    p = Played(profile=profile).reach("LAST-ACK")
    p.hear("<SEQ=302><ACK=101><CTL=ACK>")
    p.sends()
    assert p.state == "LAST-ACK"


@each
def test_the_listener_is_closed(profile):
    """What is half-open vanishes in silence, what nobody has accepted gets a reset."""
    host = listening(backlog=5, profile=profile).half_open(0)
    host.stack.close_listener(80, 0)
    host.sends()
    assert host.state(0) == "CLOSED"
    host = listening(backlog=5, profile=profile).established(0)
    host.stack.close_listener(80, 0)
    host.sends(OUR_RESET)


@each
@pytest.mark.parametrize("full", [{"max_half_open": 1}, {"max_connections": 1}])
def test_a_syn_that_there_are_no_resources_for(profile, full):
    host = listening(profile=profile, **full).half_open(0)
    host.hear("<SEQ=300><CTL=SYN>", 1)
    host.sends()
    host = listening(profile=profile, overload="reset", **full).half_open(0)
    host.hear("<SEQ=300><CTL=SYN>", 1)
    host.sends("<SEQ=0><ACK=301><CTL=RST,ACK>", n=1)


@each
def test_a_connection_that_must_go(profile):
    host = listening(profile=profile, max_memory=10).established(0)
    host.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=11>")
    host.sends("<SEQ=101><ACK=312><CTL=ACK>", "<SEQ=101><ACK=312><CTL=RST,ACK>")
    assert host.causes() == ["no resources"]


# Headers and ICMP


@each
def test_an_invalid_header_on_an_open_connection(profile):
    """Reserved bits are ignored, SYN,FIN is judged as a SYN; or both reset, if so set (RFC 3360)."""
    reserved, syn_fin = 1 << 8 | ACK, "<SEQ=301><CTL=SYN,FIN>"
    host = listening(profile=profile).established()
    pair = host.pair()
    host.stack.segment_arrives(Datagram(pair.remote, pair.local, Segment(301, 101, reserved, 65535, b"abc")), 0)
    host.sends("<SEQ=101><ACK=304><CTL=ACK>")
    host.hear(syn_fin.replace("301", "304"))
    host.sends("<SEQ=101><ACK=304><CTL=ACK>")
    host = listening(profile=profile, invalid_header="reset").established()
    host.hear(syn_fin)
    host.sends(OUR_RESET)


def test_a_bad_checksum_reaches_no_stack():
    """It is dropped in silence: not even the setting of invalid headers sees it."""
    pair = Hosted().pair()
    octets = bytearray(encode_tcp(Datagram(pair.remote, pair.local, Segment(301, 101, ACK)), 1))
    octets[-1] ^= 1
    with pytest.raises(Malformed, match="checksum") as caught:
        decode_tcp(bytes(octets))
    assert caught.value.datagram is None


PORT, PROTOCOL, HOST, FRAGMENTATION, TIME_EXCEEDED = (3, 3), (3, 2), (3, 1), (3, 4), (11, 0)


@differs(rfc9293="CLOSED", others="ESTABLISHED")
@pytest.mark.parametrize("error", [PORT, PROTOCOL])
def test_a_hard_icmp_error_in_a_synchronized_state(profile, answer, error):
    host = listening(profile=profile).established()
    host.stack.send(host.pair(), b"x", 0)
    host.stack.news()
    host.stack.icmp_arrives(host.pair(), 101, *error, 0)
    assert host.state() == answer
    assert host.stack.news()[0].what.detail == f"ICMP type 3 code {error[1]}"


@each
@pytest.mark.parametrize("error", [HOST, FRAGMENTATION, TIME_EXCEEDED])
def test_a_soft_icmp_error_in_a_synchronized_state(profile, error):
    host = listening(profile=profile).established()
    host.stack.send(host.pair(), b"x", 0)
    host.stack.news()
    host.stack.icmp_arrives(host.pair(), 101, *error, 0)
    assert [news.what.detail for news in host.stack.news()] == [f"ICMP type {error[0]} code {error[1]}"]
    assert host.state() == "ESTABLISHED"


@differs(linux="CLOSED", others="SYN-SENT")
@pytest.mark.parametrize("error", [HOST, TIME_EXCEEDED])
def test_a_soft_icmp_error_while_opening(profile, answer, error):
    host = Hosted(profile=profile)
    host.stack.open(host.pair(), 0)
    host.stack.icmp_arrives(host.pair(), 100, *FRAGMENTATION, 0)
    assert host.state() == "SYN-SENT"
    host.stack.icmp_arrives(host.pair(), 100, *error, 0)
    assert host.state() == answer


@each
def test_an_icmp_error_in_time_wait(profile):
    """Nothing is in flight that it could be about."""
    host = listening(profile=profile).time_wait()
    for seq in (100, 101, 102):
        host.stack.icmp_arrives(host.pair(), seq, *PORT, 0)
    host.stack.no_route(host.pair(), 0)
    assert host.state() == "TIME-WAIT"
    assert host.stack.news() == []
