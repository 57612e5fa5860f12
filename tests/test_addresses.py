"""What lies below a TCP: addresses that can be no peer's, the MTU of the way, and no way at all."""

from __future__ import annotations

import pytest
from stacked import HERE, Hosted, listening

from tcpclose.protocol.addresses import individual
from tcpclose.protocol.config import PROFILES, SECOND, TcpConfig
from tcpclose.protocol.connection import Signal, TcpError
from tcpclose.protocol.datagram import Datagram, Endpoint, Pair
from tcpclose.protocol.segment import ACK, SYN, Segment
from tcpclose.protocol.sockets import SocketError, Sockets
from tcpclose.protocol.stack import Stack

NOBODY = ["0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1", "::", "ff02::1"]


@pytest.mark.parametrize("address", NOBODY)
def test_addresses_of_nobody(address):
    assert not individual(address)


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "223.255.255.255", "::1", "fe80::1", "2001:db8::1"])
def test_addresses_of_somebody(address):
    assert individual(address)


@pytest.mark.parametrize("address", NOBODY)
def test_an_open_to_nobody_is_refused(address):
    """MUST-46."""
    host = Hosted()
    pair = Pair(HERE, Endpoint(address, 1000))
    with pytest.raises(TcpError, match="remote address is not an individual one"):
        host.stack.open(pair, 0)
    assert host.stack.datagrams_to_send() == []


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        *((Endpoint(address, 1000), HERE) for address in NOBODY),
        *((Endpoint("192.0.2.2", 1000), Endpoint(address, 80)) for address in NOBODY),
        (HERE, HERE),
    ],
    ids=str,
)
@pytest.mark.parametrize("port", [80, 81], ids=["listening", "closed"])
def test_a_segment_of_nobody_or_for_everybody_is_dropped_in_silence(source, destination, port):
    """MUST-57, MUST-63: neither SYN,ACK nor RST. The last one is the "land" attack."""
    host = Hosted()
    host.stack.listen(port)
    for ctl in (SYN, ACK):
        host.stack.segment_arrives(Datagram(source, destination, Segment(300, 1, ctl)), 0)
    assert (host.stack.datagrams_to_send(), host.stack.connections) == ([], {})
    assert host.stack.statistics()["dropped: impossible address"] == 2


# MTU, 3.7.1


def mss(stack: Stack, address: str, passive: bool) -> int | None:
    """What the SYN, or SYN,ACK, to an address announces."""
    local = Endpoint("2001:db8::1" if ":" in address else "192.0.2.1", 80)
    remote = Endpoint(address, 1000)
    if passive:
        stack.listen(80)
        stack.segment_arrives(Datagram(remote, local, Segment(300, ctl=SYN)), 0)
    else:
        stack.open(Pair(local, remote), 0)
    return stack.datagrams_to_send()[0].segment.mss


@pytest.mark.parametrize("passive", [False, True])
@pytest.mark.parametrize(
    ("mtu", "setting", "address", "announced"),
    [
        (1500, 1460, "192.0.2.2", 1460),
        (1500, 1460, "2001:db8::2", 1440),
        (1400, 1460, "192.0.2.2", 1360),
        (9000, 1460, "192.0.2.2", 1460),
        (9000, 65495, "192.0.2.2", 8960),
        (65535, 65495, "192.0.2.2", 65495),
    ],
)
def test_the_mtu_decides_and_the_setting_bounds(mtu, setting, address, announced, passive):
    stack = Stack(TcpConfig(mss=setting), b"secret", mtu=lambda address: mtu)
    assert mss(stack, address, passive) == announced


def test_connections_of_one_way_share_their_settings():
    stack = Stack(TcpConfig(), b"secret", mtu=lambda address: 1400)
    for port in (1, 2):
        stack.open(Pair(HERE, Endpoint("192.0.2.2", port)), 0)
    one, other = stack.connections.values()
    assert one.config is other.config


# No route


@pytest.mark.parametrize("profile", ["rfc9293", "linux"])
def test_an_open_without_a_route_ends_at_once(profile):
    stack = Stack(PROFILES[profile], b"secret", mtu=lambda address: None)
    stack.open(Pair(HERE, Endpoint("192.0.2.2", 1000)), 0)
    assert stack.datagrams_to_send() == []
    whats = [news.what for news in stack.news()]
    assert [what.detail for what in whats if isinstance(what, Signal)] == ["no route", "unreachable"]
    assert stack.connections == {}


def test_the_mtu_bounds_what_one_open_asks_for():
    stack = Stack(TcpConfig(), b"secret", mtu=lambda address: 1500)
    stack.open(Pair(HERE, Endpoint("192.0.2.2", 1000)), 0, mss=9000)
    assert [datagram.segment.mss for datagram in stack.datagrams_to_send()] == [1460]


def test_a_connect_without_a_route_fails_at_once():
    client = Sockets(Stack(TcpConfig(), b"secret", mtu=lambda address: None), HERE.address).socket()
    with pytest.raises(SocketError, match="ENETUNREACH"):
        client.connect(Endpoint("192.0.2.2", 1000), 0)


def test_a_connect_to_nobody_fails_at_once():
    client = Sockets(Stack(TcpConfig(), b"secret"), HERE.address).socket()
    with pytest.raises(SocketError, match="ENETUNREACH"):
        client.connect(Endpoint("224.0.0.1", 1000), 0)


def test_a_route_that_vanishes_before_the_syn_leaves():
    host = Hosted()
    host.stack.open(host.pair(), 0)
    host.stack.no_route(host.pair(), 0)
    assert host.causes() == ["unreachable"]


def test_a_route_that_vanishes_later_is_a_soft_error_and_may_come_back():
    """It may be back before the user timeout, as after an ICMP error."""
    host = listening(user_timeout=20 * SECOND, r1=0).established()
    host.stack.send(host.pair(), b"x", 0)
    host.stack.news()
    host.stack.no_route(host.pair(), 0)
    assert [news.what.detail for news in host.stack.news()] == ["no route"]
    host.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=1>")
    host.at(1)
    host.sends("<SEQ=101><ACK=301><CTL=ACK><DATA=1>")
    host.at(20)
    assert host.causes() == ["user timeout"]


def test_a_route_to_nobody_we_know_is_not_missed():
    host = Hosted()
    host.stack.no_route(host.pair(), 0)
    assert host.stack.news() == []
