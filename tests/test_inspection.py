"""Frames through a middlebox: what it looks into, what it leaves alone, and what goes back by the way it came."""

from __future__ import annotations

from dataclasses import asdict

from tcpclose.network.middlebox import MiddleboxSettings
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.segment import ACK, RST, SYN, Segment
from tcpclose.testbed.inspection import Box, FrameBox
from tcpclose.wire import decode_ethernet, decode_tcp, encode_icmp_error, encode_tcp, ethernet_header
from tcpclose.wire.translate import translate

CLIENT, SERVER, PUBLIC = Endpoint("10.0.1.1", 40001), Endpoint("10.0.2.1", 80), Endpoint("10.0.2.254", 40001)
OUT = ethernet_header("00:00:00:00:00:02", "02:00:00:00:01:02")
IN = ethernet_header("02:00:00:00:01:02", "00:00:00:00:00:02")


def nat(**settings) -> FrameBox:
    return FrameBox(Box("m1-eth1", 1, PUBLIC.address, MiddleboxSettings("nat", **settings)))


def packet(src: Endpoint, dst: Endpoint, ctl: int) -> bytes:
    return encode_tcp(Datagram(src, dst, Segment(100, 300, ctl)), 1)


def opened(**settings) -> FrameBox:
    box = nat(**settings)
    assert box.inspect(OUT + packet(CLIENT, SERVER, SYN), True, 0) == (OUT + packet(PUBLIC, SERVER, SYN), None)
    assert box.inspect(IN + packet(SERVER, PUBLIC, ACK), False, 0) == (IN + packet(SERVER, CLIENT, ACK), None)
    return box


def test_what_comes_over_the_relays_channel_is_what_was_sent():
    box = Box("m1-eth1", 1, PUBLIC.address, MiddleboxSettings("nat", idle_timeout=5))
    assert Box.read(asdict(box)) == box


def test_errors_are_translated_or_dropped():
    box = opened()
    error = encode_icmp_error(3, 1, "10.0.9.9", packet(PUBLIC, SERVER, ACK), 1)
    there = encode_icmp_error(3, 1, "10.0.9.9", packet(CLIENT, SERVER, ACK), 1)
    assert box.inspect(IN + error, False, 0)[0][:34] == (IN + there)[:34]
    box.forget()
    assert box.inspect(IN + error, False, 0) == (None, None)


def test_a_reset_goes_back_by_the_way_the_segment_came():
    passed, answer = nat(answer="reset").inspect(OUT + packet(CLIENT, SERVER, ACK), True, 0)
    assert passed is None
    frame = decode_ethernet(answer)
    assert (frame.destination, frame.source) == ("02:00:00:00:01:02", "00:00:00:00:00:02")
    assert decode_tcp(frame.payload).datagram == Datagram(SERVER, CLIENT, Segment(300, ctl=RST))


def test_a_malformed_header_is_answered_and_a_damaged_segment_left_to_the_receiver():
    box = opened(invalid_header="reset")
    short = bytearray(packet(CLIENT, SERVER, ACK))
    short[32] = 0x40  # a data offset of 4 words; the checksum is made right again
    short[36:38] = ((int.from_bytes(short[36:38]) + 0x1000) % 0xFFFF).to_bytes(2)
    passed, answer = box.inspect(OUT + bytes(short), True, 0)
    assert passed is None
    assert decode_tcp(decode_ethernet(answer).payload).datagram.segment == Segment(300, ctl=RST)
    damaged = translate(packet(CLIENT, SERVER, ACK), CLIENT, SERVER)[:-1] + b"?"
    assert box.inspect(OUT + damaged, True, 0) == (OUT + damaged, None)


def test_what_is_no_connection_passes():
    box = nat()
    for octets in (b"\x08\x06" + bytes(28), b"\x08\x00" + bytes(5), b"\x08\x00" + bytes(9) + b"\x11" + bytes(20)):
        frame = OUT[:12] + octets
        assert box.inspect(frame, True, 0) == (frame, None)
    ping = bytearray(encode_icmp_error(3, 1, "10.0.9.9", packet(PUBLIC, SERVER, ACK), 1))
    assert box.inspect(IN + bytes(ping[:24]), False, 0) == (IN + bytes(ping[:24]), None)  # cut off: not ours to judge
    ping[20:24] = b"\x08\x00\xf7\xff"
    ping[24:] = bytes(4)
    ping[2:4] = (28).to_bytes(2)
    assert box.inspect(IN + bytes(ping), False, 0) == (IN + bytes(ping), None)
