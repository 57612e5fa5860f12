"""No resources: limits of a host, newcomers that find no place, connections that must go. And what listeners keep."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stacked import Hosted, listening

from tcpclose.protocol.config import SECOND
from tcpclose.protocol.connection import TcpError
from tcpclose.protocol.datagram import Datagram
from tcpclose.protocol.segment import Segment

SYN_ACK = "<SEQ=100><ACK=301><CTL=SYN,ACK>"
REFUSED = "<SEQ=0><ACK=301><CTL=RST,ACK>"


# Newcomers


@pytest.mark.parametrize(("overload", "answer"), [("drop", []), ("reset", [REFUSED])])
@pytest.mark.parametrize("limit", ["max_connections", "max_half_open"])
def test_a_syn_too_many_is_dropped_or_reset(limit, overload, answer):
    host = listening(**{limit: 1, "overload": overload}).half_open()
    host.hear("<SEQ=300><CTL=SYN>", n=1)
    host.sends(*answer, n=1)
    assert host.state(1) == "CLOSED"
    assert any(name.startswith("dropped: too many") for name in host.stack.statistics())


def test_a_complete_handshake_makes_room_for_another():
    host = listening(max_half_open=1).established()
    host.hear("<SEQ=300><CTL=SYN>", n=1)
    host.sends(SYN_ACK, n=1)


def test_a_failed_handshake_makes_room_for_another():
    host = listening(max_half_open=1).half_open()
    host.hear("<SEQ=301><CTL=RST>")
    host.hear("<SEQ=300><CTL=SYN>", n=1)
    host.sends(SYN_ACK, n=1)


def test_only_connections_are_limited_not_answers():
    host = listening(max_connections=1, overload="reset").established()
    host.hear("<SEQ=300><ACK=900><CTL=ACK>", n=1)
    host.sends("<SEQ=900><CTL=RST>", n=1)
    host.hear("<SEQ=300><CTL=RST>", n=1)
    host.sends()


def test_open_beyond_the_limit_is_refused():
    host = Hosted(max_connections=1)
    host.stack.open(host.pair(0), 0)
    with pytest.raises(TcpError, match="insufficient resources"):
        host.stack.open(host.pair(1), 0)


# The accept queue


def test_a_listener_is_closed_whose_connection_is_in_time_wait_and_not_accepted():
    host = listening(backlog=5).established()
    host.stack.close(host.pair(), host.now)
    host.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")
    assert host.state() == "TIME-WAIT"
    host.stack.close_listener(80, host.now)


def test_connections_are_accepted_in_their_order():
    host = listening(backlog=2).half_open(0).half_open(1)
    assert host.stack.accept(80) is None
    host.established(1).established(0)
    assert [host.stack.accept(80) for _ in range(3)] == [host.pair(1), host.pair(0), None]


def test_while_the_queue_is_full_no_handshake_is_completed():
    host = listening(backlog=1).half_open(0).established(1)
    host.hear("<SEQ=301><ACK=101><CTL=ACK>")
    host.sends()
    assert host.state() == "SYN-RECEIVED"
    host.at(1)
    host.sends(SYN_ACK)
    host.hear("<SEQ=300><CTL=SYN>", n=2)
    host.sends()
    assert host.stack.accept(80) == host.pair(1)
    host.hear("<SEQ=301><ACK=101><CTL=ACK>")
    assert host.stack.accept(80) == host.pair(0)
    assert host.stack.statistics()["dropped: accept queue is full"] == 2


def test_a_full_queue_stops_no_connection_that_is_complete_and_no_reset():
    host = listening(backlog=1).half_open(0).established(1)
    host.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=3>", n=1)
    host.sends("<SEQ=101><ACK=304><CTL=ACK>", n=1)
    host.hear("<SEQ=301><CTL=RST>")
    assert host.state() == "CLOSED"


def test_who_is_reset_before_being_accepted_leaves_the_queue():
    host = listening(backlog=1).established()
    host.hear("<SEQ=301><CTL=RST>")
    assert host.stack.accept(80) is None


def test_a_listener_that_closes():
    """Half-open ones vanish silently, complete ones that nobody has accepted get a RST, accepted ones stay."""
    host = listening(backlog=5).half_open(0).established(1).established(2)
    assert host.stack.accept(80) == host.pair(1)
    host.stack.close_listener(80, 0)
    host.sends("<SEQ=101><ACK=301><CTL=RST,ACK>", n=2)
    assert [host.state(n) for n in range(3)] == ["CLOSED", "ESTABLISHED", "CLOSED"]
    assert host.causes() == ["not opened", "aborted"]
    host.hear("<SEQ=300><CTL=SYN>", n=3)
    host.sends(REFUSED, n=3)


def test_who_does_not_listen_neither_accepts_nor_closes():
    host = Hosted()
    with pytest.raises(TcpError, match="connection does not exist"):
        host.stack.accept(80)
    with pytest.raises(TcpError, match="connection does not exist"):
        host.stack.close_listener(80, 0)


# Existing connections


def test_when_memory_must_be_found_the_greediest_connection_goes():
    host = listening(max_memory=1000).established(0).established(1)
    host.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=300>", n=0)
    host.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=600>", n=1)
    host.stack.datagrams_to_send()
    host.stack.news()
    host.hear("<SEQ=601><ACK=101><CTL=ACK><DATA=200>", n=0)
    ends = host.stack.datagrams_to_send()
    assert [(d.dst, str(d.segment)) for d in ends] == [
        (host.pair(0).remote, "<SEQ=101><ACK=801><CTL=ACK>"),
        (host.pair(1).remote, "<SEQ=101><ACK=901><CTL=RST,ACK>"),
    ]
    assert host.causes() == ["no resources"]
    assert host.stack.statistics()["resets sent: no resources"] == 1


def test_connections_whose_user_is_gone_go_first():
    host = listening(max_memory=1000).established(0).established(1)
    for n in (0, 1):
        host.stack.send(host.pair(n), bytes(100 if n == 0 else 700), 0)
    host.stack.release(host.pair(0), 0)
    host.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=300>", n=1)
    assert (host.state(0), host.state(1)) == ("CLOSED", "ESTABLISHED")


def test_a_send_and_a_syn_without_memory_are_refused():
    host = listening(max_memory=100).established()
    host.stack.send(host.pair(), bytes(100), 0)
    with pytest.raises(TcpError, match="insufficient resources"):
        host.stack.send(host.pair(), b"x", 0)
    host.stack.datagrams_to_send()
    host.hear("<SEQ=300><CTL=SYN>", n=1)
    host.sends()
    host.hear("<SEQ=301><ACK=201><CTL=ACK>")  # what is acknowledged is free again
    host.hear("<SEQ=300><CTL=SYN>", n=1)
    host.sends(SYN_ACK, n=1)


def test_an_orphan_too_many_is_reset():
    host = listening(max_orphans=1).established(0).established(1)
    host.stack.release(host.pair(0), 0)
    host.sends("<SEQ=101><ACK=301><CTL=FIN,ACK>")
    host.stack.release(host.pair(1), 0)
    host.sends("<SEQ=101><ACK=301><CTL=FIN,ACK>", "<SEQ=102><ACK=301><CTL=RST,ACK>", n=1)
    assert host.causes() == ["no resources"]
    host.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")  # a gone orphan counts no longer
    host.established(2).stack.release(host.pair(2), 0)
    assert host.state(2) == "FIN-WAIT-1"


# Limits that come later


def test_when_memory_gets_short_those_who_hold_most_go():
    host = listening().established(0).established(1).established(2)
    for n, octets in enumerate((300, 600, 100)):
        host.hear(f"<SEQ=301><ACK=101><CTL=ACK><DATA={octets}>", n)
    host.stack.datagrams_to_send()
    host.stack.news()
    host.stack.limit(0, max_memory=400)
    host.sends("<SEQ=101><ACK=901><CTL=RST,ACK>", n=1)
    assert host.causes() == ["no resources"]
    host.hear("<SEQ=601><ACK=101><CTL=ACK><DATA=100>", n=0)  # and from now on they are counted
    assert host.causes() == ["no resources"]


def test_limits_among_other_settings_of_the_host_strike_alike():
    host = listening(max_memory=1000, max_orphans=3).established(0).established(1).established(2)
    for n, octets in enumerate((100, 200, 600)):
        host.hear(f"<SEQ=301><ACK=101><CTL=ACK><DATA={octets}>", n)
    host.stack.reconfigure(0, max_memory=400, user_timeout=SECOND)
    assert [host.state(n) for n in range(3)] == ["ESTABLISHED", "ESTABLISHED", "CLOSED"]
    assert host.stack.find(host.pair(1)).config.user_timeout == SECOND
    for n in (0, 1):
        host.stack.receive(host.pair(n), 0)
        host.stack.release(host.pair(n), 0)
    host.stack.reconfigure(0, max_orphans=1)
    assert [host.state(n) for n in (0, 1)] == ["FIN-WAIT-1", "CLOSED"]


def test_memory_that_is_enough_costs_nobody_anything():
    host = listening().established()
    host.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=300>")
    host.stack.limit(0, max_memory=300)
    assert host.state() == "ESTABLISHED"
    with pytest.raises(TcpError, match="insufficient resources"):
        host.stack.send(host.pair(), b"x", 0)
    host.stack.limit(0, max_memory=0)
    host.stack.send(host.pair(), b"x", 0)


def test_orphans_too_many_go_the_youngest_first():
    host = listening().established(0).established(1).established(2)
    for n in (0, 1, 2):
        host.stack.release(host.pair(n), 0)
    host.stack.limit(0, max_orphans=1)
    assert [host.state(n) for n in range(3)] == ["FIN-WAIT-1", "CLOSED", "CLOSED"]
    assert host.causes() == ["no resources", "no resources"]


def test_newcomers_find_no_place_and_those_who_are_there_stay():
    host = listening().established(0)
    host.stack.limit(0, max_connections=1, overload="reset")
    host.hear("<SEQ=300><CTL=SYN>", n=1)
    host.sends(REFUSED, n=1)
    assert host.state(0) == "ESTABLISHED"


def test_users_who_stop_accepting():
    host = listening().established(0)
    host.stack.limit(0, backlog=1)
    host.half_open(2).established(1).hear("<SEQ=301><ACK=101><CTL=ACK>", 2)
    assert host.state(2) == "SYN-RECEIVED"
    assert [host.stack.accepted(host.pair(n)) for n in range(4)] == [True, False, True, False]
    assert host.stack.accept(80) == host.pair(1)
    assert host.stack.accepted(host.pair(1))
    host.stack.open(host.pair(9)._replace(local=host.pair().local._replace(port=81)), 0)
    assert host.stack.accepted(host.pair(9)._replace(local=host.pair().local._replace(port=81)))


# Invalid headers


@pytest.mark.parametrize("ctl", [0x110, 0x013, 0x003], ids=["reserved bit", "SYN,FIN,ACK", "SYN,FIN"])
@pytest.mark.parametrize("setting", ["drop", "reset"])
def test_an_invalid_header_on_an_open_connection(ctl, setting):
    """A reserved bit is ignored (3.1) and SYN,FIN judged as a SYN, unless the host is one that RFC 3360 warns of."""
    host = listening(invalid_header=setting).established()
    pair = host.pair()
    segment = Segment(301, 101, ctl, 1000, b"abc")
    host.stack.segment_arrives(Datagram(pair.remote, pair.local, segment), 0)
    if setting == "reset":
        host.sends("<SEQ=101><ACK=301><CTL=RST,ACK>")
        assert host.causes() == ["invalid header"]
    else:
        host.sends("<SEQ=101><ACK=304><CTL=ACK>" if ctl == 0x110 else "<SEQ=101><ACK=301><CTL=ACK>")
        assert host.state() == "ESTABLISHED"
    kind = "reserved bits" if ctl == 0x110 else "SYN,FIN"
    assert host.stack.statistics()[f"invalid header: {kind}"] == 1


@pytest.mark.parametrize("kind", ["data offset", "option length"])
@pytest.mark.parametrize("setting", ["drop", "reset"])
def test_a_segment_that_cannot_be_read_on_an_open_connection(kind, setting):
    host = listening(invalid_header=setting).established()
    pair = host.pair()
    host.stack.invalid_segment_arrives(Datagram(pair.remote, pair.local, Segment(301, 101, 0x10)), kind, 0)
    host.sends(*(["<SEQ=101><ACK=301><CTL=RST,ACK>"] if setting == "reset" else []))
    assert host.state() == ("CLOSED" if setting == "reset" else "ESTABLISHED")
    assert host.stack.statistics()[f"invalid header: {kind}"] == 1


def test_an_invalid_reset_and_a_stranger_reset_nothing():
    host = listening(invalid_header="reset").established()
    pair = host.pair()
    host.stack.segment_arrives(Datagram(pair.remote, pair.local, Segment(900, 0, 0x104)), 0)
    host.hear("<SEQ=300><CTL=SYN,FIN>", n=1)
    host.sends(SYN_ACK, n=1)
    assert host.state() == "ESTABLISHED"


# Statistics and timers


def test_statistics_name_every_path():
    host = listening(challenge_ack_limit=1).established()
    for _ in range(2):
        host.hear("<SEQ=400><CTL=RST>")
    host.hear("<SEQ=301><ACK=500><CTL=ACK>")
    host.hear("<SEQ=299><CTL=RST>")
    host.hear("<SEQ=300><ACK=9><CTL=ACK>", n=1)
    host.hear("<SEQ=300><CTL=RST>", n=1)
    host.stack.send(host.pair(), b"x", 0)
    host.at(1)
    host.stack.abort(host.pair(), host.now)
    assert host.stack.statistics() == {
        "challenge ACKs": 1,
        "challenge ACKs withheld": 2,
        "dropped: ACK out of range": 1,
        "dropped: RST not acceptable": 1,
        "ended: aborted": 1,
        "resets sent: aborted": 1,
        "resets sent: not acceptable ACK": 1,
        "retransmissions": 1,
        "segments received": 8,
        "segments sent": 6,
    }


def test_timers_that_were_put_off_do_not_expire():
    host = listening().established(0).established(1)
    for n in (0, 1):
        host.stack.send(host.pair(n), b"x", 0)
    host.stack.datagrams_to_send()
    host.now = SECOND // 2
    host.hear("<SEQ=301><ACK=102><CTL=ACK>", n=0)
    host.stack.send(host.pair(0), b"y", host.now)
    host.stack.datagrams_to_send()
    assert host.stack.next_timeout() == SECOND
    host.at(1.4)
    host.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=1>", n=1)
    host.at(1.5)
    host.sends("<SEQ=102><ACK=301><CTL=ACK><DATA=1>", n=0)


def test_timers_of_connections_that_ended_are_swept_out():
    host = listening()
    for n in range(1000):
        host.half_open(n).hear("<SEQ=301><CTL=RST>", n)
    assert len(host.stack._timers) < 200
    host.half_open(1)
    assert host.stack.next_timeout() == SECOND


def test_a_connection_can_have_settings_of_its_own():
    """3.9.1.1: the parameters of OPEN."""
    host = Hosted(user_timeout=300 * SECOND, r1=0)
    host.stack.open(host.pair(0), 0, user_timeout=5 * SECOND)
    host.stack.open(host.pair(1), 0)
    host.stack.configure(host.pair(1), 0, user_timeout=7 * SECOND)
    host.at(6)
    assert (host.state(0), host.state(1)) == ("CLOSED", "SYN-SENT")
    host.at(7)
    assert host.causes() == ["user timeout", "user timeout"]


# Whatever happens

LIMITS = st.fixed_dictionaries(
    {
        "max_connections": st.sampled_from([0, 2]),
        "max_half_open": st.sampled_from([0, 1]),
        "max_memory": st.sampled_from([0, 50]),
        "max_orphans": st.sampled_from([0, 1]),
        "time_wait_limit": st.sampled_from([0, 1]),
        "overload": st.sampled_from(["drop", "reset"]),
        "invalid_header": st.sampled_from(["drop", "reset"]),
        "half_duplex_close": st.booleans(),
        "time_wait_rst": st.sampled_from(["close", "ignore"]),
        "keepalive": st.booleans(),
        "keepalive_idle": st.just(SECOND),
        "fin_wait_2_timeout": st.sampled_from([0, SECOND]),
        "r2": st.sampled_from([0, 1]),
    }
)
HEARD = [0x02, 0x10, 0x10, 0x11, 0x14, 0x12, 0x04, 0x110, 0x13]
CALLED = ["accept", "send", "receive", "close", "release", "abort", "half_close", "open", "listener", "time", "limit"]
HAPPENINGS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(HEARD), st.sampled_from(CALLED)),
        st.integers(0, 3),  # which peer
        st.sampled_from([0, 0, 0, 1, -1, 70000]),  # how far from the right number
        st.sampled_from([0, 0, 7, 40]),  # octets of text
    ),
    max_size=60,
)


def happen(host: Hosted, what: str | int, n: int, off: int, octets: int) -> None:
    stack, pair = host.stack, host.pair(n)
    if isinstance(what, int):
        connection = stack.find(pair)
        seq, ack = (connection.tcb.rcv_nxt, connection.tcb.snd_nxt) if connection else (300, 0)
        segment = Segment((seq + off) % 2**32, ack, what, 65535, bytes(octets))
        stack.segment_arrives(Datagram(pair.remote, pair.local, segment), host.now)
    elif what == "time":
        host.at(host.now / SECOND + octets / 10 + 0.1)
    elif what == "accept":
        stack.accept(80)
    elif what == "listener":
        stack.close_listener(80, host.now)
        stack.listen(80, 1)
    elif what == "limit":
        stack.limit(host.now, backlog=1, max_orphans=1, max_memory=50)
    elif what == "send":
        stack.send(pair, bytes(octets), host.now)
    else:
        getattr(stack, what)(pair, host.now)


@settings(max_examples=300)
@given(LIMITS, st.sampled_from([None, 1]), HAPPENINGS)
def test_limits_hold_and_books_balance(limits, backlog, happenings):
    host = listening(backlog, **limits)
    stack = host.stack
    for happening in happenings:
        with contextlib.suppress(TcpError):
            happen(host, *happening)
        connections, config = stack.connections, stack.config
        assert not config.max_memory or sum(c.octets for c in connections.values()) == stack._memory <= 50
        assert not config.time_wait_limit or len(stack.time_wait) <= 1
        assert not config.max_orphans or len(stack._orphans) <= 1
        assert stack._orphans == {pair for pair, connection in connections.items() if connection.orphaned}
        assert set(stack._half_open) <= set(connections)
        assert set(stack._reopened) <= set(stack._half_open)
        assert not any(pair in stack.time_wait for pair in connections)
        assert all(set(listener.queue) <= set(connections) for listener in stack.listening.values())
        deadlines = [at for c in connections.values() if (at := c.next_timeout()) is not None]
        deadlines += [stack.time_wait.next_due()] if len(stack.time_wait) else []
        assert stack.next_timeout() == min(deadlines, default=None)
        stack.datagrams_to_send()
        stack.news()
