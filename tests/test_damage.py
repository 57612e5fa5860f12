"""Damage: one bit of the TCP segment, and the checksum always shows it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.segment import ACK, Segment
from tcpclose.wire import Malformed, damage, decode_ethernet, decode_tcp, encode_icmp_error, encode_tcp, ethernet_header

HEADER = ethernet_header("00:00:00:00:00:02", "00:00:00:00:00:01")
ENDS = Endpoint("10.0.0.1", 40001), Endpoint("10.0.0.2", 80)

places = st.floats(0, 1, exclude_max=True)


def frame(data: bytes = b"", seq: int = 1) -> bytes:
    return HEADER + encode_tcp(Datagram(*ENDS, Segment(seq, 2, ACK, 3, data)), 7)


def flipped(before: bytes, after: bytes) -> list[int]:
    """The places of the octets that differ by one bit."""
    assert len(before) == len(after)
    differing = [place for place, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
    assert all((before[place] ^ after[place]).bit_count() == 1 for place in differing)
    return differing


@given(st.binary(max_size=60), st.integers(0, 2**32 - 1), places)
def test_one_bit_behind_the_ip_header_and_the_checksum_shows_it(data: bytes, seq: int, place: float):
    whole = frame(data, seq) + bytes(6)  # Ethernet's padding
    broken = damage(whole, place)
    (octet,) = flipped(whole, broken)
    assert 34 <= octet < len(whole) - 6
    with pytest.raises(Malformed, match="bad TCP checksum"):
        decode_tcp(decode_ethernet(broken).payload)


@given(st.binary(max_size=20), st.lists(places, min_size=2, max_size=6))
def test_however_often_it_is_damaged_the_checksum_shows_it(data: bytes, where: list[float]):
    broken = frame(data)
    for place in where:
        broken = damage(broken, place)
        with pytest.raises(Malformed, match="bad TCP checksum"):
            decode_tcp(decode_ethernet(broken).payload)


def test_a_second_blow_at_the_same_place_does_not_mend():
    once = damage(frame(), 0.5)
    twice = damage(once, 0.5)
    assert twice not in (once, frame())


@pytest.mark.parametrize(
    "other",
    [
        b"",
        HEADER,
        HEADER[:12] + b"\x08\x06" + frame()[14:],
        HEADER + encode_icmp_error(3, 1, "10.0.0.9", frame()[14:], 5),
        HEADER + bytes(40),
    ],
)
def test_what_is_no_segment_is_left_alone(other: bytes):
    assert damage(other, 0.3) == other
