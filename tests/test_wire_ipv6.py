"""IPv6 and ICMPv6 against scapy in both directions, against themselves, and against noise."""

from __future__ import annotations

import logging
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_wire import flip, rfc1071, scapy_options, segments, u8, u16

from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.segment import ACK, SYN, Segment
from tcpclose.wire import (
    ETHERTYPE_IPV6,
    IcmpError,
    Malformed,
    damage,
    decode_icmp,
    decode_tcp,
    encode_icmp_error,
    encode_tcp,
    ethernet_header,
)
from tcpclose.wire.ip import address_octets, decode_ip, peek
from tcpclose.wire.translate import translate, translate_error, with_ttl

CLIENT, SERVER, PUBLIC = (Endpoint(f"fd00::a00:{host}", port) for host, port in ((1, 40001), (2, 80), (9, 50001)))
REPORTER = "fd00::a00:fe"

endpoints = st.builds(Endpoint, st.ip_addresses(v=6).map(lambda address: address.compressed), u16)
datagrams = st.builds(Datagram, endpoints, endpoints, segments)


@pytest.fixture(scope="module")
def scapy() -> Any:
    logging.getLogger("scapy").setLevel(logging.ERROR)  # it warns about the machine's routes while it is imported
    return pytest.importorskip("scapy.layers.inet6")


def ipv6(payload: bytes, protocol: int = 6, length: int | None = None) -> bytes:
    """A packet from CLIENT to SERVER, whatever is in it."""
    length = len(payload) if length is None else length
    addresses = address_octets(CLIENT.address) + address_octets(SERVER.address)
    return struct.pack("!IHBB", 6 << 28, length, protocol, 64) + addresses + payload


def covered(packet: bytes, protocol: int) -> bytes:
    """What a checksum covers: the pseudo header (RFC 8200, 8.1) and the payload."""
    return packet[8:40] + struct.pack("!II", len(packet) - 40, protocol) + packet[40:]


def reason(octets: bytes) -> str:
    with pytest.raises(Malformed) as caught:
        decode_tcp(octets)
    return caught.value.reason


SYN_SEGMENT = Datagram(CLIENT, SERVER, Segment(100, 0, SYN, 65535, mss=1440))
SYN_PACKET = encode_tcp(SYN_SEGMENT, 0)
TCP = SYN_PACKET[40:]


# TCP


def same_address(one: str, other: str) -> bool:
    return address_octets(one) == address_octets(other)


@given(datagrams, u8, st.binary(max_size=46))
def test_round_trip(datagram: Datagram, ttl: int, padding: bytes) -> None:
    octets = encode_tcp(datagram, 0, ttl)
    assert rfc1071(covered(octets, 6)) == 0
    packet = decode_tcp(memoryview(octets + padding))
    src, dst, segment = packet.datagram
    assert (src.port, dst.port, segment) == (datagram.src.port, datagram.dst.port, datagram.segment)
    assert same_address(src.address, datagram.src.address)
    assert same_address(dst.address, datagram.dst.address)
    assert (packet.ident, packet.ttl) == (0, ttl)


@given(datagram=datagrams, ttl=u8)
def test_scapy_reads_ours(scapy: Any, datagram: Datagram, ttl: int) -> None:
    octets = encode_tcp(datagram, 0, ttl)
    ip = scapy.IPv6(octets)
    head, segment = ip[scapy.TCP], datagram.segment
    assert same_address(ip.src, datagram.src.address)
    assert same_address(ip.dst, datagram.dst.address)
    assert (ip.fl, ip.tc, ip.nh, ip.hlim, ip.plen) == (0, segment.ecn, 6, ttl, len(octets) - 40)
    assert (head.sport, head.dport, head.seq, int(head.flags)) == (
        datagram.src.port,
        datagram.dst.port,
        segment.seq,
        segment.ctl,
    )
    assert bytes(head.payload) == segment.data
    sum_ = head.chksum
    del head.chksum
    assert scapy.IPv6(bytes(ip))[scapy.TCP].chksum == sum_


@given(datagram=datagrams, ttl=u8, data=st.data())
def test_we_read_scapys_behind_extension_headers(scapy: Any, datagram: Datagram, ttl: int, data: st.DataObject) -> None:
    src, dst, segment = datagram
    packet = scapy.IPv6(src=src.address, dst=dst.address, hlim=ttl, tc=0xB8 | segment.ecn)
    headers = {
        "hop-by-hop": scapy.IPv6ExtHdrHopByHop(options=[scapy.PadN(optdata=bytes(12))]),
        "routing": scapy.IPv6ExtHdrRouting(addresses=[dst.address], segleft=0),
        "destination": scapy.IPv6ExtHdrDestOpt(),
    }
    for name in data.draw(st.lists(st.sampled_from(list(headers)), max_size=3)):
        packet /= headers[name]
    head = scapy.TCP(sport=src.port, dport=dst.port, seq=segment.seq, ack=segment.ack, flags=segment.ctl)
    head.window, head.urgptr, head.options = segment.wnd, segment.up, list(scapy_options(segment).items())
    read = decode_tcp(bytes(packet / head / segment.data))
    assert (read.datagram.segment, read.ttl) == (segment, ttl)
    assert same_address(read.datagram.src.address, src.address)


def test_the_longest_packet() -> None:
    datagram = Datagram(CLIENT, SERVER, Segment(1, data=b"x" * (65535 - 20)))
    assert decode_tcp(encode_tcp(datagram, 0)).datagram == datagram
    with pytest.raises(ValueError, match="65535"):
        encode_tcp(Datagram(CLIENT, SERVER, Segment(1, data=b"x" * (65536 - 20))), 0)


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"\x60" + bytes(38), "truncated"),
        (ipv6(TCP, length=len(TCP) + 1), "truncated"),
        (ipv6(bytes(19)), "truncated"),
        (ipv6(bytes(20)), "bad TCP checksum"),
        (ipv6(bytes(20), protocol=17), "not TCP"),
        (ipv6(b"\x06\x00" + bytes(6) + TCP, protocol=44), "fragment"),
        (ipv6(b"\x2c\x00" + bytes(6) + b"\x06\x00" + bytes(6) + TCP, protocol=60), "fragment"),
        (ipv6(b"\x06\x00" + bytes(5), protocol=0), "truncated"),
        (ipv6(b"\x06\xff" + bytes(6) + TCP, protocol=43), "truncated"),
    ],
)
def test_reasons(octets: bytes, expected: str) -> None:
    assert reason(octets) == expected


@given(st.binary(max_size=120), u8)
def test_any_octets_raise_malformed_only(octets: bytes, protocol: int) -> None:
    for packet in (b"\x60" + octets, ipv6(octets, protocol)):
        peek(packet)
        for decode in (decode_tcp, decode_icmp, decode_ip):
            with suppress(Malformed):
                decode(packet)


@given(datagrams, st.data())
def test_any_flipped_bit_of_the_segment_is_caught(datagram: Datagram, data: st.DataObject) -> None:
    octets = encode_tcp(datagram, 0)
    bit = data.draw(st.integers(0, (len(octets) - 40) * 8 - 1))
    assert reason(flip(octets, bit)) == "bad TCP checksum"


@pytest.mark.parametrize("place", [0.0, 0.3, 0.999])
def test_damage(place: float) -> None:
    header = ethernet_header("00:00:00:00:00:02", "00:00:00:00:00:01", ETHERTYPE_IPV6)
    broken = damage(header + SYN_PACKET, place)
    assert broken[: 14 + 40] == header + SYN_PACKET[:40]
    assert reason(broken[14:]) == "bad TCP checksum"


def test_what_a_packet_is_for() -> None:
    assert peek(SYN_PACKET) == (6, address_octets(SERVER.address))
    assert peek(ipv6(b"\x3a\x00" + bytes(6), protocol=60)) == (58, address_octets(SERVER.address))
    assert peek(b"") == peek(SYN_PACKET[:39]) == (-1, b"")


# ICMPv6

#: ICMP's type and code, ICMPv6's, and what scapy calls the message.
ERRORS = [
    ((3, 0), (1, 0), "DestUnreach"),
    ((3, 1), (1, 3), "DestUnreach"),
    ((3, 3), (1, 4), "DestUnreach"),
    ((3, 13), (1, 1), "DestUnreach"),
    ((3, 4), (2, 0), "PacketTooBig"),
    ((11, 0), (3, 0), "TimeExceeded"),
    ((12, 0), (4, 0), "ParamProblem"),
    ((3, 2), (4, 1), "ParamProblem"),
]


@pytest.mark.parametrize(("icmp", "icmpv6", "name"), ERRORS)
def test_errors_both_ways(scapy: Any, icmp: tuple[int, int], icmpv6: tuple[int, int], name: str) -> None:
    mtu = 1300 if name == "PacketTooBig" else 0
    expected = IcmpError(*icmp, REPORTER, CLIENT, SERVER, 100, mtu)
    ours = encode_icmp_error(*icmp, REPORTER, SYN_PACKET, 9, mtu)
    assert decode_icmp(ours) == expected
    assert rfc1071(covered(ours, 58)) == 0

    ip = scapy.IPv6(ours)
    message = ip[f"ICMPv6{name}"]
    assert (ip.src, ip.dst, message.type, message.code) == (REPORTER, CLIENT.address, *icmpv6)
    assert bytes(message.payload) == SYN_PACKET

    whole = scapy.IPv6(src=REPORTER, dst=CLIENT.address) / getattr(scapy, f"ICMPv6{name}")(code=icmpv6[1]) / SYN_PACKET
    if mtu:
        whole[f"ICMPv6{name}"].mtu = mtu
    assert decode_icmp(memoryview(bytes(whole))) == expected


@pytest.mark.parametrize(
    ("type_", "code", "meaning"), [(1, 2, (3, 0)), (1, 5, (3, 13)), (1, 6, (3, 13)), (2, 7, (3, 4)), (4, 2, (12, 0))]
)
def test_errors_that_only_others_write(scapy: Any, type_: int, code: int, meaning: tuple[int, int]) -> None:
    packet = scapy.IPv6(src=REPORTER, dst=CLIENT.address) / scapy.ICMPv6Unknown(
        type=type_, code=code, msgbody=bytes(4) + SYN_PACKET
    )
    error = decode_icmp(bytes(packet))
    assert error is not None
    assert (error.type, error.code) == meaning


def test_an_error_that_icmpv6_has_no_word_for_is_refused() -> None:
    with pytest.raises(ValueError, match="type 3 code 5"):
        encode_icmp_error(3, 5, REPORTER, SYN_PACKET, 0)


def test_a_quote_ends_where_every_link_still_carries_it() -> None:
    about = encode_tcp(Datagram(CLIENT, SERVER, Segment(100, 300, ACK, 9, b"x" * 1440)), 0)
    error = encode_icmp_error(3, 1, REPORTER, about, 0)
    assert len(error) == 1280
    assert error[48:] == about[: 1280 - 48]


def test_what_is_no_error_about_a_segment_is_nothing(scapy: Any) -> None:
    ends = scapy.IPv6(src=REPORTER, dst=CLIENT.address)
    fragment = ipv6(b"\x06\x00" + bytes(6) + TCP, protocol=44)
    for message in (
        scapy.ICMPv6EchoRequest(data=b"ping"),
        scapy.ICMPv6DestUnreach(code=4) / ipv6(bytes(8), protocol=17),
        scapy.ICMPv6DestUnreach(code=4) / fragment,
    ):
        assert decode_icmp(bytes(ends / message)) is None


def test_icmp_reasons(scapy: Any) -> None:
    ends = scapy.IPv6(src=REPORTER, dst=CLIENT.address)
    cases = [
        (SYN_PACKET, "not ICMP"),
        (ipv6(SYN_PACKET, protocol=1), "not ICMP"),  # ICMP has no business in IPv6
        (ipv6(bytes(7), protocol=58), "truncated"),
        (bytes(ends / scapy.ICMPv6DestUnreach() / SYN_PACKET[:39]), "truncated"),
        (bytes(ends / scapy.ICMPv6DestUnreach() / SYN_PACKET[:47]), "truncated"),
        (bytes(ends / scapy.ICMPv6DestUnreach() / ipv6(b"\x06", protocol=0)), "truncated"),
        (bytes(ends / scapy.ICMPv6DestUnreach() / (b"\x45" + bytes(60))), "not IPv6"),
        (flip(encode_icmp_error(3, 1, REPORTER, SYN_PACKET, 9), 5), "bad ICMP checksum"),
    ]
    for octets, expected in cases:
        with pytest.raises(Malformed) as caught:
            decode_icmp(octets)
        assert caught.value.reason == expected


# Other endpoints, another hop limit


@given(datagrams, endpoints, endpoints)
def test_translated_octets_are_those_of_the_translated_segment(
    datagram: Datagram, src: Endpoint, dst: Endpoint
) -> None:
    assert translate(encode_tcp(datagram, 0), src, dst) == encode_tcp(Datagram(src, dst, datagram.segment), 0)


def test_an_error_is_translated_with_what_it_quotes() -> None:
    error = encode_icmp_error(3, 1, REPORTER, encode_tcp(SYN_SEGMENT._replace(src=PUBLIC), 0), 0)
    there = translate_error(error, REPORTER, CLIENT.address, CLIENT, SERVER)
    assert decode_icmp(there) == IcmpError(3, 1, REPORTER, CLIENT, SERVER, 100, 0)
    assert peek(there) == (58, address_octets(CLIENT.address))


def test_another_hop_limit() -> None:
    assert with_ttl(SYN_PACKET, 3) == encode_tcp(SYN_SEGMENT, 0, ttl=3)
