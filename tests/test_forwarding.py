"""The network layer by itself: which route is taken, and what a router says that has none."""

from __future__ import annotations

import pytest

from tcpclose.network.forwarding import Complaint, Forwarder, Packet, Refusal, Route
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.segment import ACK, SYN, Segment
from tcpclose.wire import decode_icmp, decode_tcp, encode_tcp
from tcpclose.wire.icmp import IcmpError

NEAR = Route("10.0.1.0/24", "r1-eth0")
FAR = Route("10.0.3.0/24", "r1-eth1", via="10.0.2.2")
DETOUR = Route("10.0.3.0/24", "r1-eth2", via="10.0.4.2", metric=20)
ELSEWHERE = Route("0.0.0.0/0", "r1-eth3", via="10.0.5.2")

CLIENT, SERVER = Endpoint("10.0.1.1", 40001), Endpoint("10.0.3.1", 80)


def router(*routes: Route) -> Forwarder:
    return Forwarder(routes or (DETOUR, FAR, NEAR), {"r1-eth0": "10.0.1.254", "r1-eth1": "10.0.2.1"})


def packet(octets: int = 0, ttl: int = 64) -> Packet:
    return Packet(Datagram(CLIENT, SERVER, Segment(100, 300, ACK, data=bytes(octets))), 7, ttl)


def complaint(forwarder: Forwarder, about: Packet) -> IcmpError:
    """The error that goes back to the client by the near interface."""
    sent = forwarder.forward(about, 0)
    assert sent is not None
    route, answer = sent
    assert route == NEAR
    assert isinstance(answer.content, Complaint)
    assert answer.content.about is about
    assert (answer.source, answer.destination) == ("10.0.1.254", "10.0.1.1")
    return answer.content.error


def test_the_longest_prefix_then_the_lowest_metric():
    forwarder = router(ELSEWHERE, DETOUR, FAR, NEAR)
    assert forwarder.lookup("10.0.3.1") == FAR
    assert forwarder.lookup("10.0.1.1") == NEAR
    assert forwarder.lookup("192.0.2.1") == ELSEWHERE
    assert router().lookup("192.0.2.1") is Refusal.NET


def test_a_link_without_carrier_is_passed_over_until_it_is_back():
    forwarder = router()
    assert forwarder.lookup("10.0.3.1") == FAR
    forwarder.set_carrier("r1-eth1", False)
    assert forwarder.lookup("10.0.3.1") == DETOUR
    forwarder.set_carrier("r1-eth2", False)
    assert forwarder.lookup("10.0.3.1") is Refusal.NET
    forwarder.set_carrier("r1-eth1", True)
    assert forwarder.lookup("10.0.3.1") == FAR


def test_a_packet_goes_on_with_one_hop_less():
    sent = router().forward(packet(ttl=2), 0)
    assert sent == (FAR, packet(ttl=1))


def test_where_no_packet_gets_through_an_error_goes_back():
    forwarder = router()
    for why, code in ((Refusal.NET, 0), (Refusal.HOST, 1), (Refusal.ADMIN, 13)):
        forwarder.refuse("10.0.3.1", why)
        assert complaint(forwarder, packet()) == IcmpError(3, code, "10.0.1.254", CLIENT, SERVER, 100, 0)
    forwarder.refuse("10.0.3.1", Refusal.SILENT)
    assert forwarder.forward(packet(), 0) is None
    forwarder.accept("10.0.3.1")
    assert forwarder.forward(packet(), 0) == (FAR, packet(ttl=63))


def test_hops_run_out():
    assert complaint(router(), packet(ttl=1)) == IcmpError(11, 0, "10.0.1.254", CLIENT, SERVER, 100, 0)


@pytest.mark.parametrize(("octets", "fits"), [(536, True), (537, False)])
def test_a_packet_that_is_too_long(octets, fits):
    forwarder = router()
    forwarder.set_mtu("r1-eth1", 576)
    if fits:
        assert forwarder.forward(packet(octets), 0) == (FAR, packet(octets, ttl=63))
    else:
        error = complaint(forwarder, packet(octets))
        assert error == IcmpError(3, 4, "10.0.1.254", CLIENT, SERVER, 100, 576)


def test_no_error_about_an_error_and_none_without_a_way_back():
    forwarder = router(FAR)
    forwarder.refuse("10.0.3.1", Refusal.HOST)
    assert forwarder.forward(packet(), 0) is None
    error = IcmpError(3, 1, "10.0.9.9", SERVER, CLIENT, 1, 0)
    assert router(FAR).forward(Packet(Complaint(error, packet()), 1, ttl=1), 0) is None


@pytest.mark.parametrize(
    "segment",
    [
        Segment(1, ctl=SYN, mss=1460),
        Segment(1, 2, ACK, data=b"x" * 700),
        Segment(5, ctl=ACK, ack=1),
        Segment(1, ctl=SYN, mss=1460, wscale=8, timestamps=(1, 0)),
        Segment(1, sack=((1, 2),), timestamps=(1, 0)),
    ],
)
def test_a_packet_is_as_long_as_on_the_wire(segment):
    datagram = Datagram(CLIENT, SERVER, segment)
    assert Packet(datagram, 1).octets == len(encode_tcp(datagram, 1))
    error = Packet(Complaint(IcmpError(3, 1, "10.0.1.254", CLIENT, SERVER, 1, 0), Packet(datagram, 1)), 1)
    assert error.octets == len(error.encode())


def test_octets_say_what_the_packet_says():
    sent = Packet(packet(5).content, 7, ttl=3)
    decoded = decode_tcp(sent.encode())
    assert (decoded.datagram, decoded.ident, decoded.ttl) == (sent.content, 7, 3)
    error = IcmpError(3, 4, "10.0.1.254", CLIENT, SERVER, 100, 576)
    assert decode_icmp(Packet(Complaint(error, sent), 1).encode()) == error


def test_a_sender_is_told_five_times_at_once_and_then_once_a_second():
    forwarder = router()
    forwarder.refuse("10.0.3.1", Refusal.NET)
    told = [
        forwarder.forward(packet(), now) is not None for now in (*range(6), 999_999, 1_000_004, 1_500_000, 9_000_000)
    ]
    assert told == [True] * 5 + [False, False, True, False, True]
