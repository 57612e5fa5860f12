"""The codec against scapy in both directions, against itself, and against noise."""

from __future__ import annotations

import logging
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.options import Layout, arrange, options_length, sack_room
from tcpclose.protocol.segment import ACK, FIN, SYN, Segment
from tcpclose.wire import (
    ETHERTYPE_IPV4,
    Frame,
    IcmpError,
    Malformed,
    decode_ethernet,
    decode_icmp,
    decode_tcp,
    encode_icmp_error,
    encode_tcp,
    ethernet_header,
)

CLIENT, SERVER = Endpoint("10.0.0.1", 40001), Endpoint("10.0.0.2", 80)

u2, u8, u16, u32 = (st.integers(0, (1 << bits) - 1) for bits in (2, 8, 16, 32))
addresses = st.tuples(u8, u8, u8, u8).map(lambda octets: ".".join(map(str, octets)))
endpoints = st.builds(Endpoint, addresses, u16)
plain_segments = st.builds(Segment, u32, u32, u8, u16, st.binary(max_size=1500), st.none() | u16, u16, ecn=u2)
minutes = st.integers(547, 0x7FFF).map(lambda minutes: 60 * minutes)
openings = st.builds(
    Segment,
    *(u32, u32, u8, u16, st.binary(max_size=100), st.none() | u16, u16, st.none() | u8, st.booleans()),
    timestamps=st.none() | st.tuples(u32, u32),
    user_timeout=st.none() | st.integers(0, 0x7FFF) | minutes,
)
acknowledgments = st.builds(
    Segment,
    u32,
    u32,
    timestamps=st.none() | st.tuples(u32, u32),
    sack=st.lists(st.tuples(u32, u32), max_size=3).map(tuple),
)
segments = plain_segments | openings | acknowledgments
datagrams = st.builds(Datagram, endpoints, endpoints, segments)


@pytest.fixture(scope="module")
def scapy() -> Any:
    logging.getLogger("scapy").setLevel(logging.ERROR)  # it warns about the machine's routes while it is imported
    return pytest.importorskip("scapy.layers.inet")


def rfc1071(octets: bytes) -> int:
    """The checksum as RFC 1071 writes it, word by word."""
    total = sum(word for (word,) in struct.iter_unpack("!H", octets + bytes(len(octets) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(payload: bytes, protocol: int = 6, options: bytes = b"", flags: int = 0, length: int | None = None) -> bytes:
    """A packet from CLIENT to SERVER with a right header checksum, whatever else is in it."""
    size = 20 + len(options)
    length = size + len(payload) if length is None else length
    head = struct.pack("!BBHHHBB", 0x40 | size // 4, 0, length, 7, flags, 64, protocol)
    rest = bytes([10, 0, 0, 1, 10, 0, 0, 2]) + options
    return head + struct.pack("!H", rfc1071(head + b"\0\0" + rest)) + rest + payload


def tcp(options: bytes = b"", data: bytes = b"", offset: int | None = None) -> bytes:
    """A TCP packet from CLIENT to SERVER with right checksums, whatever its options and data offset."""
    words = 5 + len(options) // 4 if offset is None else offset
    head = struct.pack("!HHIIBBH", 40001, 80, 100, 0, words << 4, SYN, 65535)
    rest = b"\0\0" + options + data
    pseudo = bytes([10, 0, 0, 1, 10, 0, 0, 2, 0, 6]) + struct.pack("!H", 18 + len(rest))
    return ipv4(head + struct.pack("!H", rfc1071(pseudo + head + b"\0\0" + rest)) + rest)


def reason(octets: bytes) -> str:
    with pytest.raises(Malformed) as caught:
        decode_tcp(octets)
    return caught.value.reason


def flip(octets: bytes, bit: int) -> bytes:
    return (int.from_bytes(octets, "big") ^ 1 << bit).to_bytes(len(octets), "big")


# Endpoints


@given(endpoints | st.builds(Endpoint, st.ip_addresses(v=6).map(str), u16))
def test_endpoint_is_read_from_its_text(endpoint: Endpoint) -> None:
    assert Endpoint.parse(str(endpoint)) == endpoint


def test_endpoint_text() -> None:
    assert str(SERVER) == "10.0.0.2:80"
    assert str(Endpoint("fd00::a00:2", 80)) == "[fd00::a00:2]:80"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.1",
        "10.0.0.1:",
        ":80",
        "10.0.0:80",
        "h1:80",
        "10.0.0.1:65536",
        "10.0.0.1:-1",
        "fd00::1",
        "fd00::1:80",
        "[10.0.0.1]:80",
    ],
)
def test_endpoint_refuses_other_text(text: str) -> None:
    with pytest.raises(ValueError, match="ADDRESS:PORT"):
        Endpoint.parse(text)


# TCP: ourselves


@given(datagrams, u16, u8, st.sampled_from(["linux", "bsd"]))
def test_round_trip(datagram: Datagram, ident: int, ttl: int, layout: Layout) -> None:
    packet = decode_tcp(encode_tcp(datagram, ident, ttl, layout))
    assert (packet.datagram, packet.ident, packet.ttl) == (datagram, ident, ttl)


@given(datagrams, st.binary(max_size=46))
def test_padding_is_left_out_and_views_are_read(datagram: Datagram, padding: bytes) -> None:
    packet = decode_tcp(memoryview(encode_tcp(datagram, 7) + padding))
    assert packet.datagram == datagram
    assert type(packet.datagram.segment.data) is bytes


@given(datagrams)
def test_checksums_are_those_of_rfc_1071(datagram: Datagram) -> None:
    octets = encode_tcp(datagram, 7)
    pseudo = octets[12:20] + struct.pack("!HH", 6, len(octets) - 20)
    assert rfc1071(octets[:20]) == 0
    assert rfc1071(pseudo + octets[20:]) == 0


def test_the_longest_packet() -> None:
    datagram = Datagram(CLIENT, SERVER, Segment(1, data=b"x" * (65535 - 40)))
    assert decode_tcp(encode_tcp(datagram, 7)).datagram == datagram
    with pytest.raises(ValueError, match="65535"):
        encode_tcp(Datagram(CLIENT, SERVER, Segment(1, data=b"x" * (65536 - 40))), 7)


# TCP: noise


@given(st.binary(max_size=120))
def test_any_octets_raise_malformed_only(octets: bytes) -> None:
    for decode in (decode_tcp, decode_icmp, decode_ethernet):
        with suppress(Malformed):
            decode(octets)


@given(st.binary(max_size=40).map(lambda options: options[: len(options) // 4 * 4]), st.none() | st.integers(0, 15))
def test_any_options_and_data_offset_raise_malformed_only(options: bytes, offset: int | None) -> None:
    with suppress(Malformed):
        packet = decode_tcp(tcp(options, b"text", offset))
        start = len(options) if offset is None else (offset - 5) * 4
        assert packet.datagram.segment.data == (options + b"text")[start:]


@given(datagrams, st.data())
def test_any_flipped_bit_of_the_segment_is_caught(datagram: Datagram, data: st.DataObject) -> None:
    octets = encode_tcp(datagram, 7)
    bit = data.draw(st.integers(0, (len(octets) - 20) * 8 - 1))
    assert reason(flip(octets, bit)) == "bad TCP checksum"


@pytest.mark.parametrize("bit", range(20 * 8))
def test_any_flipped_bit_of_the_ip_header_is_caught(bit: int) -> None:
    octets = encode_tcp(Datagram(CLIENT, SERVER, Segment(100, 300, ACK, 8192, b"x" * 60)), 7)
    expected = {"bad IP checksum"}
    if bit >= 19 * 8:  # version and header length: these are needed to find the checksum, which IPv6 has not
        expected = {"not IPv4", "not TCP"} if bit >= 19 * 8 + 4 else {"IP header length", "bad IP checksum"}
    assert reason(flip(octets, bit + (len(octets) - 20) * 8)) in expected


@given(datagrams, st.data())
def test_truncated_packets(datagram: Datagram, data: st.DataObject) -> None:
    octets = encode_tcp(datagram, 7)
    assert reason(octets[: data.draw(st.integers(0, len(octets) - 1))]) == "truncated"


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", "truncated"),
        (ipv4(b"\0" * 19), "truncated"),
        (ipv4(b"\0" * 20), "bad TCP checksum"),
        (ipv4(b"\0" * 20, protocol=17), "not TCP"),
        (ipv4(b"\0" * 20, flags=0x2000), "fragment"),
        (ipv4(b"\0" * 20, flags=0x0001), "fragment"),
        (ipv4(b"\0" * 20, length=19), "total length"),
        (ipv4(b"\0" * 20, length=41), "truncated"),
        (b"\x4f" + bytes(58), "truncated"),
        (b"\x50" + bytes(59), "not IPv4"),
        (tcp(offset=4), "data offset"),
        (tcp(offset=6), "data offset"),
        (tcp(b"\x02\x00\x05\xb4"), "option length"),
        (tcp(b"\x02\x01\x05\xb4"), "option length"),
        (tcp(b"\x02\x03\x05\x00"), "option length"),
        (tcp(b"\x02\x05\x05\xb4\x00\x00\x00\x00"), "option length"),
        (tcp(b"\x08\x01\x01\x01"), "option length"),
        (tcp(b"\x01\x01\x08\x03"), "option length"),
        (tcp(b"\x01\x01\x01\x02"), "option length"),
    ],
)
def test_reasons(octets: bytes, expected: str) -> None:
    assert reason(octets) == expected


@pytest.mark.parametrize(
    ("options", "mss"),
    [
        (b"", None),
        (b"\x01\x01\x01\x01", None),
        (b"\x02\x04\x05\xb4", 1460),
        (b"\x01\xfd\x03\x00\x02\x04\x05\xb4", 1460),
        (b"\x00\x02\x00\x00", None),  # what comes after the end of the options is padding
    ],
)
def test_options(options: bytes, mss: int | None) -> None:
    assert decode_tcp(tcp(options, b"text")).datagram == Datagram(
        CLIENT, SERVER, Segment(100, 0, SYN, 65535, b"text", mss)
    )


SYN_OPTIONS = {"mss": 1460, "wscale": 8, "sack_permitted": True, "timestamps": (1, 0)}


@pytest.mark.parametrize(
    ("present", "layout", "expected"),
    [
        ("mss wscale sack_permitted timestamps", "linux", "MSS SACK_PERMITTED TIMESTAMPS NOP WSCALE"),
        ("mss wscale sack_permitted", "linux", "MSS NOP NOP SACK_PERMITTED NOP WSCALE"),
        ("mss wscale timestamps", "linux", "MSS NOP NOP TIMESTAMPS NOP WSCALE"),
        ("mss wscale", "linux", "MSS NOP WSCALE"),
        ("mss sack_permitted", "linux", "MSS NOP NOP SACK_PERMITTED"),
        ("timestamps", "linux", "NOP NOP TIMESTAMPS"),
        ("mss wscale sack_permitted timestamps", "bsd", "MSS NOP WSCALE SACK_PERMITTED TIMESTAMPS"),
        ("mss wscale timestamps", "bsd", "MSS NOP WSCALE NOP NOP TIMESTAMPS"),
        ("mss wscale sack_permitted", "bsd", "MSS NOP WSCALE SACK_PERMITTED END END"),
        ("mss sack_permitted", "bsd", "MSS SACK_PERMITTED END END"),
        ("timestamps", "bsd", "NOP NOP TIMESTAMPS"),
    ],
)
def test_each_layout_has_its_order(present: str, layout: Layout, expected: str) -> None:
    segment = Segment(0, ctl=SYN, **{name: SYN_OPTIONS[name] for name in present.split()})  # type: ignore[arg-type]
    assert " ".join(kind.name for kind in arrange(segment, layout)) == expected


@given(segments, st.sampled_from(["linux", "bsd"]))
def test_the_length_of_options_is_known_beforehand(segment: Segment, layout: Layout) -> None:
    datagram = Datagram(CLIENT, SERVER, segment)
    assert len(encode_tcp(datagram, 7, 64, layout)) == 40 + options_length(segment) + len(segment.data)


def test_three_sack_blocks_fit_beside_timestamps() -> None:
    assert sack_room(Segment(0)) == 4
    assert sack_room(Segment(0, timestamps=(1, 2))) == 3


@pytest.mark.parametrize(
    "option", ["0302", "0304", "0403", "0503", "050b" + "00" * 9, "0809" + "00" * 7, "080b" + "00" * 9, "1c03", "0502"]
)
def test_an_option_of_illegal_length(option: str) -> None:
    octets = bytes.fromhex(option)
    octets += bytes(-len(octets) % 4)
    if option == "0502":  # no blocks: useless, yet of a legal length
        assert decode_tcp(tcp(octets)).datagram.segment.sack == ()
    else:
        assert reason(tcp(octets)) == "option length"


def test_reserved_bits_stand_above_the_control_bits() -> None:
    octets = bytearray(tcp())
    octets[32] |= 0x0F
    octets[36:38] = struct.pack("!H", struct.unpack("!H", octets[36:38])[0] - 0x0F00)
    datagram = Datagram(CLIENT, SERVER, Segment(100, 0, 0xF00 | SYN, 65535))
    assert decode_tcp(octets).datagram == datagram
    assert decode_tcp(encode_tcp(datagram, 7)).datagram == datagram


@pytest.mark.parametrize(
    ("octets", "why"), [(tcp(offset=4), "data offset"), (tcp(b"\x02\x03\x05\xb4"), "option length")]
)
def test_a_wrong_header_still_tells_whose_it_is(octets: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why) as caught:
        decode_tcp(octets)
    assert caught.value.datagram == Datagram(CLIENT, SERVER, Segment(100, 0, SYN, 65535))


def test_damage_tells_nothing() -> None:
    with pytest.raises(Malformed, match="bad TCP checksum") as caught:
        decode_tcp(flip(tcp(), 0))
    assert caught.value.datagram is None


# TCP: scapy


def scapy_options(segment: Segment) -> dict[str, Any]:
    """The segment's options in Scapy's words."""
    options = {
        "MSS": segment.mss,
        "WScale": segment.wscale,
        "SAckOK": b"" if segment.sack_permitted else None,
        "Timestamp": segment.timestamps,
        "SAck": sum(segment.sack, ()) or None,
    }
    if segment.user_timeout is not None:
        minutes = segment.user_timeout >= 0x8000
        options["UTO"] = segment.user_timeout // 60 | 0x8000 if minutes else segment.user_timeout
    return {name: value for name, value in options.items() if value is not None}


@given(datagram=datagrams, ident=u16, ttl=u8)
def test_scapy_reads_ours(scapy: Any, datagram: Datagram, ident: int, ttl: int) -> None:
    octets = encode_tcp(datagram, ident, ttl)
    ip = scapy.IP(octets)
    head, segment = ip[scapy.TCP], datagram.segment
    assert (ip.src, ip.dst, ip.id, ip.ttl, ip.len) == (
        datagram.src.address,
        datagram.dst.address,
        ident,
        ttl,
        len(octets),
    )
    assert (ip.flags, ip.frag, ip.proto, ip.tos) == ("DF", 0, 6, segment.ecn)
    assert (head.sport, head.dport, head.seq, head.ack) == (
        datagram.src.port,
        datagram.dst.port,
        segment.seq,
        segment.ack,
    )
    assert (int(head.flags), head.window, head.urgptr) == (segment.ctl, segment.wnd, segment.up)
    assert dict(option for option in head.options if option[0] not in ("NOP", "EOL")) == scapy_options(segment)
    assert bytes(head.payload) == segment.data
    ip_sum, tcp_sum = ip.chksum, head.chksum
    del ip.chksum, head.chksum
    built = scapy.IP(bytes(ip))
    assert (ip_sum, tcp_sum) == (built.chksum, built[scapy.TCP].chksum)


@given(datagram=datagrams, ident=u16, ttl=u8)
def test_we_read_scapys(scapy: Any, datagram: Datagram, ident: int, ttl: int) -> None:
    src, dst, segment = datagram
    options = [("NOP", None), *scapy_options(segment).items()]
    ip = scapy.IP(src=src.address, dst=dst.address, id=ident, ttl=ttl, options=[scapy.IPOption_NOP()] * 3)
    ip.tos = 0xB8 | segment.ecn
    head = scapy.TCP(sport=src.port, dport=dst.port, seq=segment.seq, ack=segment.ack, flags=segment.ctl)
    head.window, head.urgptr, head.reserved, head.options = segment.wnd, segment.up, 7, options
    packet = decode_tcp(bytes(ip / head / segment.data))
    segment.ctl |= 7 << 9
    assert (packet.datagram, packet.ident, packet.ttl) == (datagram, ident, ttl)


# ICMP

ERRORS = [(3, code) for code in range(16)] + [(4, 0), (11, 0), (11, 1), (12, 0), (12, 1), (12, 2)]
SYN_SEGMENT = encode_tcp(Datagram(CLIENT, SERVER, Segment(100, 0, SYN, 65535, mss=1460)), 7)


def icmp(message: bytes) -> bytes:
    """A packet with an ICMP message of which the checksum is put right."""
    return ipv4(message[:2] + struct.pack("!H", rfc1071(message[:2] + b"\0\0" + message[4:])) + message[4:], protocol=1)


@pytest.mark.parametrize(("type_", "code"), ERRORS)
def test_icmp_errors_both_ways(scapy: Any, type_: int, code: int) -> None:
    mtu = 1400 if (type_, code) == (3, 4) else 0
    expected = IcmpError(type_, code, "10.0.0.254", CLIENT, SERVER, 100, mtu)
    ours = encode_icmp_error(type_, code, "10.0.0.254", SYN_SEGMENT, 9, mtu)
    assert decode_icmp(ours) == expected

    ip = scapy.IP(ours)
    message = ip[scapy.ICMP]
    assert (ip.src, ip.dst, ip.id, message.type, message.code) == ("10.0.0.254", "10.0.0.1", 9, type_, code)
    assert bytes(message.payload)[:28] == SYN_SEGMENT[:28]
    assert rfc1071(ours[20:]) == 0

    whole = scapy.IP(src="10.0.0.254", dst="10.0.0.1") / scapy.ICMP(type=type_, code=code) / SYN_SEGMENT
    if mtu:
        whole[scapy.ICMP].nexthopmtu = mtu
    assert decode_icmp(memoryview(bytes(whole))) == expected


def test_icmp_quotes_a_header_with_options_whole() -> None:
    segment = SYN_SEGMENT[20:]
    error = decode_icmp(encode_icmp_error(3, 1, "10.0.0.254", ipv4(segment, options=b"\x01" * 40), 9))
    assert error == IcmpError(3, 1, "10.0.0.254", CLIENT, SERVER, 100, 0)


def test_icmp_has_an_mtu_only_where_fragmentation_was_needed() -> None:
    error = decode_icmp(encode_icmp_error(3, 1, "10.0.0.254", SYN_SEGMENT, 9, mtu=1400))
    assert error is not None
    assert error.mtu == 0


def test_icmp_about_others_is_nothing() -> None:
    udp, later_fragment = ipv4(bytes(8), protocol=17), ipv4(bytes(8), flags=185)
    assert decode_icmp(icmp(bytes([8, 0]) + bytes(6) + b"ping")) is None
    assert decode_icmp(encode_icmp_error(3, 3, "10.0.0.2", udp, 9)) is None
    assert decode_icmp(encode_icmp_error(11, 1, "10.0.0.2", later_fragment, 9)) is None


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (SYN_SEGMENT, "not ICMP"),
        (icmp(bytes([3, 1, 0, 0, 0, 0, 0, 0])), "truncated"),
        (icmp(bytes([3, 1, 0, 0, 0, 0, 0, 0]) + SYN_SEGMENT[:27]), "truncated"),
        (icmp(bytes([3, 1, 0, 0, 0, 0, 0, 0]) + b"\x60" + bytes(39)), "not IPv4"),
        (icmp(bytes([3, 1, 0, 0, 0, 0, 0, 0]) + b"\x44" + bytes(39)), "IP header length"),
        (ipv4(bytes(7), protocol=1), "truncated"),
        (flip(encode_icmp_error(3, 1, "10.0.0.2", SYN_SEGMENT, 9), 5), "bad ICMP checksum"),
    ],
)
def test_icmp_reasons(octets: bytes, expected: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode_icmp(octets)
    assert caught.value.reason == expected


@given(st.sampled_from([3, 4, 11, 12]), st.binary(max_size=60), st.booleans())
def test_any_quote_raises_malformed_only(type_: int, quote: bytes, plausible: bool) -> None:
    quote = b"\x45" + quote[1:9] + b"\x06" + quote[10:] if plausible else quote
    with suppress(Malformed):
        error = decode_icmp(icmp(bytes([type_, 1, 0, 0, 0, 0, 0, 0]) + quote))
        assert error is None or error.type == type_


# Ethernet


def test_ethernet_both_ways(scapy: Any) -> None:
    octets = ethernet_header("00:00:00:00:00:02", "0a:00:00:00:00:01") + SYN_SEGMENT
    frame = scapy.Ether(octets)
    assert (frame.dst, frame.src, frame.type) == ("00:00:00:00:00:02", "0a:00:00:00:00:01", ETHERTYPE_IPV4)
    assert bytes(frame.payload) == SYN_SEGMENT
    arp = bytes(scapy.Ether(dst="ff:ff:ff:ff:ff:ff", src="0a:00:00:00:00:01", type=0x0806) / bytes(28))
    assert decode_ethernet(arp) == Frame("ff:ff:ff:ff:ff:ff", "0a:00:00:00:00:01", 0x0806, arp[14:])
    assert decode_ethernet(octets) == Frame("00:00:00:00:00:02", "0a:00:00:00:00:01", ETHERTYPE_IPV4, SYN_SEGMENT)


def test_ethernet_refuses() -> None:
    with pytest.raises(Malformed, match="truncated"):
        decode_ethernet(bytes(13))
    with pytest.raises(ValueError, match="Ethernet address"):
        ethernet_header("00:00:00:00:00", "0a:00:00:00:00:01")


def test_segments_of_a_release_in_frames() -> None:
    fin = Datagram(CLIENT, SERVER, Segment(100, 300, FIN | ACK, 65535))
    frame = decode_ethernet(ethernet_header("00:00:00:00:00:02", "00:00:00:00:00:01") + encode_tcp(fin, 1) + bytes(6))
    assert decode_tcp(frame.payload).datagram == fin
