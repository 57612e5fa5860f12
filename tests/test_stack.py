"""Many connections of one host: who gets a segment, what listeners do, what belongs to nothing."""

from __future__ import annotations

import pytest
from netted import Net

from tcpclose.protocol.config import SECOND, TcpConfig
from tcpclose.protocol.connection import Connection, TcpError
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.fsm import TRANSITIONS, Cause, Do, Event, State, rows, table_of
from tcpclose.protocol.segment import ACK, FIN, RST, SYN, Segment, parse_segment
from tcpclose.protocol.stack import News, Pair, Stack

HERE = Endpoint("192.0.2.1", 80)
PEERS = [Endpoint("192.0.2.2", 1000), Endpoint("192.0.2.2", 1001), Endpoint("192.0.2.3", 1000)]
THERE = PEERS[0]
PAIR = Pair(HERE, THERE)


@pytest.fixture
def stack():
    return Stack(TcpConfig(msl=5 * SECOND, user_timeout=30 * SECOND), b"secret", lambda pair: 100 * pair.remote.port)


def hear(stack, text, src=THERE, dst=HERE, now=0):
    segment = text if isinstance(text, Segment) else parse_segment(text)
    segment.wnd = 1000
    stack.segment_arrives(Datagram(src, dst, segment), now)


def sent(stack):
    """What left, as (to whom, segment)."""
    datagrams = stack.datagrams_to_send()
    assert all(datagram.src == HERE for datagram in datagrams)
    return [(datagram.dst, str(datagram.segment)) for datagram in datagrams]


def accept(stack, peer):
    """A peer connects to the listener."""
    iss = 100 * peer.port
    hear(stack, "<SEQ=300><CTL=SYN>", src=peer)
    hear(stack, f"<SEQ=301><ACK={iss + 1}><CTL=ACK>", src=peer)
    assert sent(stack) == [(peer, f"<SEQ={iss}><ACK=301><CTL=SYN,ACK>")]


def causes(stack):
    return [news.what.cause for news in stack.news() if hasattr(news.what, "cause") and news.what.cause]


# What belongs to nothing


def test_a_syn_to_a_closed_port_is_refused(stack):
    hear(stack, "<SEQ=300><CTL=SYN>")
    assert sent(stack) == [(THERE, "<SEQ=0><ACK=301><CTL=RST,ACK>")]


def test_a_stray_segment_is_reset_at_the_number_it_acknowledges(stack):
    hear(stack, "<SEQ=300><ACK=900><CTL=FIN,ACK><DATA=4>")
    assert sent(stack) == [(THERE, "<SEQ=900><CTL=RST>")]


@pytest.mark.parametrize("ctl", [RST, RST | ACK, RST | SYN, RST | FIN | ACK])
def test_a_stray_reset_gets_no_answer(stack, ctl):
    hear(stack, Segment(300, 900, ctl))
    stack.listen(80)
    hear(stack, Segment(300, 900, ctl))
    assert sent(stack) == []
    assert stack.connections == {}


# Listeners


def test_a_listener_takes_many_peers_and_keeps_them_apart(stack):
    stack.listen(80)
    for peer in PEERS:
        accept(stack, peer)
    assert set(stack.connections) == {Pair(HERE, peer) for peer in PEERS}
    for n, peer in enumerate(PEERS, 1):
        hear(stack, f"<SEQ=301><ACK={100 * peer.port + 1}><CTL=ACK><DATA={n}>", src=peer)
    assert [len(stack.receive(Pair(HERE, peer), 0)) for peer in PEERS] == [1, 2, 3]


def test_another_port_than_the_listeners_is_closed(stack):
    stack.listen(80)
    elsewhere = Endpoint(HERE.address, 81)
    hear(stack, "<SEQ=300><CTL=SYN>", dst=elsewhere)
    (answer,) = stack.datagrams_to_send()
    assert (answer.src, str(answer.segment)) == (elsewhere, "<SEQ=0><ACK=301><CTL=RST,ACK>")


def test_a_listener_resets_an_ack_and_keeps_nothing(stack):
    stack.listen(80)
    hear(stack, "<SEQ=300><ACK=900><CTL=ACK>")
    assert sent(stack) == [(THERE, "<SEQ=900><CTL=RST>")]
    assert stack.connections == {}
    assert stack.news() == []


def test_a_failed_handshake_leads_back_to_the_listener(stack):
    stack.listen(80)
    hear(stack, "<SEQ=300><CTL=SYN>")
    hear(stack, "<SEQ=301><CTL=RST>")
    assert stack.connections == {}
    assert stack.news()[-1].what.event is Event.BACK_TO_LISTEN
    stack.datagrams_to_send()
    accept(stack, THERE)


def test_listening_twice_is_refused(stack):
    stack.listen(80)
    with pytest.raises(TcpError, match="connection already exists"):
        stack.listen(80)


# Connections


def test_a_connection_goes_when_it_is_closed(stack):
    stack.listen(80)
    accept(stack, THERE)
    hear(stack, "<SEQ=301><ACK=100001><CTL=FIN,ACK>")
    stack.close(PAIR, 0)
    assert stack.connections[PAIR].state is State.LAST_ACK
    hear(stack, "<SEQ=302><ACK=100002><CTL=ACK>")
    assert stack.connections == {}
    assert causes(stack) == [Cause.GRACEFUL]
    sent(stack)
    hear(stack, "<SEQ=302><ACK=100002><CTL=ACK>")
    assert sent(stack) == [(THERE, "<SEQ=100002><CTL=RST>")]


def test_an_active_open_and_every_call(stack):
    stack.open(PAIR, 0)
    with pytest.raises(TcpError, match="connection already exists"):
        stack.open(PAIR, 0)
    hear(stack, "<SEQ=300><ACK=100001><CTL=SYN,ACK>")
    stack.send(PAIR, b"abc", 0)
    assert [segment for _, segment in sent(stack)] == [
        "<SEQ=100000><CTL=SYN>",
        "<SEQ=100001><ACK=301><CTL=ACK>",
        "<SEQ=100001><ACK=301><CTL=PSH,ACK><DATA=3>",
    ]
    stack.abort(PAIR, 0)
    assert sent(stack) == [(THERE, "<SEQ=100004><ACK=301><CTL=RST,ACK>")]
    assert causes(stack) == [Cause.ABORTED]


def test_reading_may_send_a_window_update():
    stack = Stack(TcpConfig(rcv_buffer=4), b"secret", lambda pair: 100)
    stack.open(PAIR, 0)
    hear(stack, "<SEQ=300><ACK=101><CTL=SYN,ACK><DATA=4>")
    sent(stack)
    assert len(stack.receive(PAIR, 0)) == 4
    assert sent(stack) == [(THERE, "<SEQ=101><ACK=305><CTL=ACK>")]


@pytest.mark.parametrize("call", ["send", "receive", "close", "abort"])
def test_calls_for_no_connection_are_refused(stack, call):
    arguments = (b"x", 0) if call == "send" else (0,)
    with pytest.raises(TcpError, match=r"^error: connection does not exist$"):
        getattr(stack, call)(PAIR, *arguments)


def test_a_refused_call_leaves_the_connection(stack):
    stack.open(PAIR, 0)
    hear(stack, "<SEQ=300><ACK=100001><CTL=SYN,ACK>")
    stack.close(PAIR, 0)
    with pytest.raises(TcpError, match=r"^error: connection closing$"):
        stack.send(PAIR, b"x", 0)
    assert stack.connections[PAIR].state is State.FIN_WAIT_1


def test_a_refusal_is_told_at_once(stack):
    stack.open(PAIR, 0)
    hear(stack, "<SEQ=300><ACK=100001><CTL=SYN,ACK>")
    stack.close(PAIR, 0)
    stack.news()
    with pytest.raises(TcpError):
        stack.send(PAIR, b"x", 0)
    assert [news.what.event for news in stack.news()] == [Event.SEND]


def test_news_names_the_connection(stack):
    stack.open(PAIR, 0)
    (news,) = stack.news()
    assert isinstance(news, News)
    assert (news.pair, news.what.event) == (PAIR, Event.OPEN_ACTIVE)
    assert stack.news() == []


# Time


def test_only_timers_that_are_due_expire(stack):
    assert stack.next_timeout() is None
    first, second = Pair(HERE, PEERS[0]), Pair(HERE, PEERS[1])
    stack.open(first, 0)
    stack.open(second, 400_000)
    sent(stack)
    assert stack.next_timeout() == SECOND
    stack.timeout(SECOND)
    assert sent(stack) == [(PEERS[0], "<SEQ=100000><CTL=SYN>")]
    assert stack.next_timeout() == 1_400_000
    while (at := stack.next_timeout()) is not None:
        assert at <= 30_400_000
        stack.timeout(at)
    assert stack.connections == {}
    assert causes(stack) == [Cause.USER_TIMEOUT] * 2


# ICMP

PROTOCOL_UNREACHABLE, PORT_UNREACHABLE, HOST_UNREACHABLE, TTL_EXCEEDED = (3, 2), (3, 3), (3, 1), (11, 3)


@pytest.mark.parametrize("error", [PROTOCOL_UNREACHABLE, PORT_UNREACHABLE])
def test_a_hard_error_about_the_syn_ends_the_attempt(stack, error):
    stack.open(PAIR, 0)
    stack.icmp_arrives(PAIR, 100_000, *error, 0)
    assert stack.connections == {}
    assert causes(stack) == [Cause.UNREACHABLE]


@pytest.mark.parametrize("error", [HOST_UNREACHABLE, TTL_EXCEEDED])
def test_a_soft_error_is_told(stack, error):
    stack.open(PAIR, 0)
    stack.icmp_arrives(PAIR, 100_000, *error, 0)
    assert PAIR in stack.connections
    assert stack.news()[-1].what.detail == f"ICMP type {error[0]} code {error[1]}"


@pytest.mark.parametrize(("seq", "heeded"), [(100_000, False), (100_001, True), (100_003, True), (100_004, False)])
def test_an_error_counts_only_for_what_is_in_flight(stack, seq, heeded):
    """RFC 5927, 4.1: SND.UNA =< SEG.SEQ < SND.NXT."""
    stack.open(PAIR, 0)
    hear(stack, "<SEQ=300><ACK=100001><CTL=SYN,ACK>")
    stack.send(PAIR, b"abc", 0)
    stack.icmp_arrives(PAIR, seq, *PORT_UNREACHABLE, 0)
    assert (PAIR not in stack.connections) == heeded


def test_an_error_about_no_connection_is_dropped(stack):
    stack.icmp_arrives(PAIR, 0, *PORT_UNREACHABLE, 0)
    assert stack.news() == []


def test_other_settings_for_the_whole_host():
    """For what listens, for what there is, and for what will be opened."""
    net = Net()
    client, _ = net.pair()
    net.server.stack.reconfigure(net.now, mss=500)
    net.client.stack.reconfigure(net.now, user_timeout=7 * SECOND)
    assert net.client.stack.find(client.pair).config.user_timeout == 7 * SECOND
    assert net.client.stack.time_wait.config is net.client.stack.config
    client, server = net.pair()
    assert net.server.stack.find(server.pair).config.mss == 500
    assert net.client.stack.find(client.pair).config.user_timeout == 7 * SECOND


# Other machines


def test_all_connections_follow_the_table_that_is_given():
    """In TIME-WAIT, too, where they are rebuilt: here a repeated FIN does not start the 2 MSL again."""
    once = table_of((*TRANSITIONS, *rows("TIME-WAIT", Event.FIN, "=", Do.SEND_ACK, rfc="3.10.7.4 eighth")))
    stack = Stack(TcpConfig(msl=5 * SECOND), b"secret", lambda pair: 100, table=once)
    stack.listen(80)
    for pair in (Pair(HERE, peer) for peer in PEERS[:2]):
        for text in ("<SEQ=300><CTL=SYN>", "<SEQ=301><ACK=101><CTL=ACK>"):
            hear(stack, text, pair.remote)
        stack.close(pair, 0)
        hear(stack, "<SEQ=301><ACK=102><CTL=FIN,ACK>", pair.remote)
        hear(stack, "<SEQ=301><ACK=102><CTL=FIN,ACK>", pair.remote, now=3 * SECOND)
        assert stack.state(pair) is State.TIME_WAIT
    assert stack.next_timeout() == 10 * SECOND


def test_a_stack_may_have_other_connections():
    class Deaf(Connection):
        def segment_arrives(self, segment, now):
            if not self.state.lingers:
                super().segment_arrives(segment, now)

    class DeafStack(Stack):
        connection_type = Deaf

    stack = DeafStack(TcpConfig(), b"secret", lambda pair: 100_000)
    stack.listen(80)
    accept(stack, THERE)
    stack.close(PAIR, 0)
    hear(stack, "<SEQ=301><ACK=100002><CTL=FIN,ACK>")
    assert sent(stack) == [
        (THERE, "<SEQ=100001><ACK=301><CTL=FIN,ACK>"),
        (THERE, "<SEQ=100002><ACK=302><CTL=ACK>"),
    ]
    hear(stack, "<SEQ=301><ACK=100002><CTL=FIN,ACK>")
    assert sent(stack) == []
