"""TIME-WAIT in the table of the Stack: packed, and yet all that 3.6.1 and 3.10.7.4 say."""

from __future__ import annotations

import tracemalloc

import pytest
from stacked import Hosted, listening

from tcpclose.protocol.connection import TcpError
from tcpclose.protocol.datagram import Endpoint, Pair
from tcpclose.protocol.isn import timestamp_offset
from tcpclose.protocol.segment import MODULUS, Segment
from tcpclose.protocol.time_wait import TimeWaitTable

OUR_ACK = "<SEQ=102><ACK=302><CTL=ACK>"


@pytest.fixture
def host() -> Hosted:
    return listening().time_wait()


def test_time_wait_holds_no_connection(host):
    assert host.stack.connections == {}
    assert len(host.stack.time_wait) == 1


def test_time_wait_lasts_two_msl(host):
    assert host.stack.next_timeout() == 10_000_000
    host.at(9.9)
    assert host.state() == "TIME-WAIT"
    host.at(10)
    assert host.state() == "CLOSED"
    assert host.causes() == ["graceful"]
    assert host.stack.next_timeout() is None


def test_a_repeated_fin_is_acknowledged_and_starts_the_time_again(host):
    host.at(6)
    host.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")
    host.sends(OUR_ACK)
    host.at(15.9)
    assert host.state() == "TIME-WAIT"
    host.at(16)
    assert host.state() == "CLOSED"


def test_entries_end_in_their_order_when_one_starts_again(host):
    host.at(3)
    host.time_wait(1)
    host.at(5)
    host.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")
    host.at(13)
    assert (host.state(0), host.state(1)) == ("TIME-WAIT", "CLOSED")
    host.at(15)
    assert host.state(0) == "CLOSED"


def test_a_flood_of_repeated_fins_takes_no_memory(host):
    host.time_wait(1)
    for n in range(1000):
        host.now = n
        host.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")
    assert len(host.stack.time_wait._order) < 200
    assert host.stack.next_timeout() == 10_000_000
    host.at(10)
    assert (host.state(0), host.state(1)) == ("TIME-WAIT", "CLOSED")
    host.at(10.001)
    assert host.state(0) == "CLOSED"


def test_old_segments_are_acknowledged_within_the_limit():
    host = listening(challenge_ack_limit=2).time_wait()
    for _ in range(4):
        host.hear("<SEQ=290><ACK=102><CTL=ACK>")
    host.sends(OUR_ACK, OUR_ACK)


def test_a_reset_ends_it(host):
    host.hear("<SEQ=302><CTL=RST>")
    assert host.state() == "CLOSED"
    assert host.causes() == ["graceful"]


def test_a_reset_may_be_ignored():
    """RFC 1337."""
    host = listening(time_wait_rst="ignore").time_wait()
    host.hear("<SEQ=302><CTL=RST>")
    assert host.state() == "TIME-WAIT"
    assert host.stack.statistics()["dropped: RST in TIME-WAIT"] == 1


def test_calls_are_refused_as_in_any_other_connection(host):
    for call in (host.stack.close, lambda pair, now: host.stack.send(pair, b"x", now)):
        with pytest.raises(TcpError, match="connection closing"):
            call(host.pair(), 0)
    with pytest.raises(TcpError, match="connection already exists"):
        host.stack.open(host.pair(), 0)
    assert host.stack.receive(host.pair(), 0) == b""
    assert host.state() == "TIME-WAIT"
    host.stack.abort(host.pair(), 0)
    host.sends()
    assert host.state() == "CLOSED"


def test_text_that_is_unread_can_be_read_as_long_as_it_lasts():
    host = listening().established()
    host.stack.close(host.pair(), 0)
    host.hear("<SEQ=301><ACK=102><CTL=FIN,ACK><DATA=4>")
    assert host.state() == "TIME-WAIT"
    assert len(host.stack.time_wait) == 0
    host.at(5)
    host.time_wait(1)
    assert host.stack.receive(host.pair(), host.now, 2) == bytes(2)
    assert host.stack.receive(host.pair(), host.now) == bytes(2)
    host.at(10)
    assert (host.state(0), host.state(1)) == ("CLOSED", "TIME-WAIT")


# A new connection in its place: 3.6.1, MAY-2


def test_a_syn_beyond_all_old_numbers_opens_a_new_connection(host):
    host.hear("<SEQ=302><CTL=SYN>")
    host.sends("<SEQ=65639><ACK=303><CTL=SYN,ACK>")  # our number lies beyond the old ones too
    assert host.state() == "SYN-RECEIVED"
    assert host.causes() == ["graceful"]
    host.hear("<SEQ=303><ACK=65640><CTL=ACK>")
    assert host.state() == "ESTABLISHED"
    assert len(host.stack.time_wait) == 0


@pytest.mark.parametrize("syn", ["<SEQ=301><CTL=SYN>", "<SEQ=300><CTL=SYN>"])
def test_a_syn_with_an_old_number_opens_nothing(host, syn):
    host.hear(syn)
    host.sends(OUR_ACK)
    assert host.state() == "TIME-WAIT"


@pytest.mark.parametrize("syn", ["<SEQ=302><ACK=102><CTL=SYN,ACK>", "<SEQ=302><CTL=SYN>"])
def test_without_a_listener_or_with_an_ack_nothing_is_opened(host, syn):
    if "ACK" not in syn:
        host.stack.close_listener(80, 0)
    host.hear(syn)
    host.sends(OUR_ACK)
    assert host.state() == "TIME-WAIT"


def test_reopening_is_a_setting():
    host = listening(time_wait_reopen=False).time_wait()
    host.hear("<SEQ=302><CTL=SYN>")
    host.sends(OUR_ACK)


def test_back_to_time_wait_when_the_syn_was_an_old_duplicate_after_all(host):
    host.at(4)
    host.hear("<SEQ=900><CTL=SYN>")
    host.sends("<SEQ=65639><ACK=901><CTL=SYN,ACK>")
    host.hear("<SEQ=901><CTL=RST>")
    assert host.state() == "TIME-WAIT"
    assert host.stack.next_timeout() == 14_000_000
    host.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")
    host.sends(OUR_ACK)


# With timestamps: PAWS in TIME-WAIT, and RFC 6191


def stamped(**settings: object) -> Hosted:
    """In TIME-WAIT since 1 s; the peer's clock said 7000."""
    host = listening(timestamps=True, **settings)
    host.options = {"timestamps": (7000, 0)}
    host.at(1)
    return host.time_wait()


def test_timestamps_are_kept_in_the_table():
    host = stamped()
    assert (host.stack.connections, len(host.stack.time_wait)) == ({}, 1)
    host.at(3)
    host.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>", timestamps=(7500, 0))
    host.sends(OUR_ACK)
    assert host.last.timestamps[1] == 7000  # what does not begin before the last ACK is not echoed
    assert (host.last.timestamps[0] - timestamp_offset(b"secret", *host.pair())) % MODULUS == 3000


def test_an_old_segment_does_not_start_the_time_again():
    host = stamped()
    host.at(3)
    host.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>", timestamps=(6999, 0))
    host.sends(OUR_ACK)
    host.at(11)
    assert host.state() == "CLOSED"


REPLY = "<SEQ=65639><ACK={}><CTL=SYN,ACK>"


@pytest.mark.parametrize(("seq", "tsval"), [(5, 7001), (301, 7001), (302, 7000), (302, 7001)])
def test_a_later_timestamp_or_the_same_and_a_later_number_opens_a_new_connection(seq, tsval):
    """RFC 6191, 2, first two cases."""
    host = stamped()
    host.hear(f"<SEQ={seq}><CTL=SYN>", timestamps=(tsval, 0))
    host.sends(REPLY.format(seq + 1))
    assert host.last.timestamps[1] == tsval
    assert host.state() == "SYN-RECEIVED"


@pytest.mark.parametrize(("seq", "tsval"), [(301, 7000), (302, 6999), (900, 6999)])
def test_an_older_timestamp_or_the_same_and_an_old_number_does_not(seq, tsval):
    host = stamped()
    host.hear(f"<SEQ={seq}><CTL=SYN>", timestamps=(tsval, 0))
    host.sends(OUR_ACK)
    assert host.state() == "TIME-WAIT"


@pytest.mark.parametrize(("seq", "opens"), [(302, True), (301, False)])
def test_a_syn_without_timestamps_needs_a_later_number(seq, opens):
    host = stamped()
    host.hear(f"<SEQ={seq}><CTL=SYN>", timestamps=None)
    host.sends(REPLY.format(303) if opens else OUR_ACK)


@pytest.mark.parametrize(("missing", "opens"), [("drop", True), ("accept", False)])
def test_only_the_new_connection_has_timestamps(missing, opens):
    """RFC 6191, 2, fourth case: safe where segments that lack them are dropped."""
    host = listening(timestamps=True, missing_timestamps=missing).time_wait()
    host.hear("<SEQ=5><CTL=SYN>", timestamps=(1, 0))
    host.sends(REPLY.format(6) if opens else OUR_ACK)


def test_where_timestamps_are_off_the_number_decides():
    host = listening().time_wait()
    host.hear("<SEQ=5><CTL=SYN>", timestamps=(1, 0))
    host.sends(OUR_ACK)


def test_the_window_is_scaled_as_before():
    host = listening(window_scale=True, window_shift=2)
    host.options = {"wscale": 0}
    host.established().stack.datagrams_to_send()
    host.stack.close(host.pair(), 0)
    host.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")
    host.sends("<SEQ=101><ACK=301><CTL=FIN,ACK>", OUR_ACK)
    before = host.last.wnd
    host.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")
    host.sends(OUR_ACK)
    assert host.last.wnd == before == 65535 >> 2


# Limit and size


def test_beyond_the_limit_the_oldest_is_forgotten():
    host = listening(time_wait_limit=2)
    for n in range(3):
        host.at(n)
        host.time_wait(n)
    assert [host.state(n) for n in range(3)] == ["CLOSED", "TIME-WAIT", "TIME-WAIT"]
    host.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")
    host.sends("<SEQ=102><CTL=RST>")


@pytest.mark.parametrize("host", [listening().time_wait(), stamped()], ids=["plain", "timestamps"])
def test_an_entry_is_small(host):
    """At most 300 octets, the pair of sockets and the table included."""
    packed = host.stack.time_wait
    connection = packed.rebuild(Hosted().pair())
    table = TimeWaitTable(packed.config, packed.new)
    tracemalloc.start()
    try:
        for n in range(10_000):
            remote = Endpoint(f"10.1.{n >> 8}.{n & 255}", 40_000 + n)
            connection.segment_arrives(Segment(0), 0)
            connection.segments_to_send()
            connection.news()
            connection.time_wait_at = n
            table.take(Pair(Endpoint("10.0.0.1", 80), remote), connection)
        octets = tracemalloc.get_traced_memory()[0] / len(table)
    finally:
        tracemalloc.stop()
    assert octets <= 300
