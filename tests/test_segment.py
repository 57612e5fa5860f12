"""Sequence numbers modulo 2**32, and segments in the text form of the RFC's figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpclose.protocol.segment import (
    ACK,
    FIN,
    MODULUS,
    PSH,
    SYN,
    Segment,
    format_ctl,
    format_segment,
    parse_ctl,
    parse_segment,
    seq_add,
    seq_diff,
)

NUMBERS = st.integers(0, MODULUS - 1)


@given(NUMBERS, st.integers(-(2**31), 2**31 - 1))
def test_distance_undoes_addition(a, distance):
    assert seq_diff(seq_add(a, distance), a) == distance


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [(5, 3, 2), (3, 5, -2), (0, MODULUS - 1, 1), (MODULUS - 1, 0, -1), (2**31 - 1, 0, 2**31 - 1), (2**31, 0, -(2**31))],
)
def test_distance(a, b, distance):
    assert seq_diff(a, b) == distance


@pytest.mark.parametrize(("ctl", "length"), [(ACK, 3), (SYN, 4), (FIN | ACK, 4), (SYN | FIN, 5)])
def test_syn_and_fin_occupy_a_number_each(ctl, length):
    segment = Segment(MODULUS - 2, ctl=ctl, data=b"abc")
    assert segment.len == length
    assert segment.end == length - 2


@given(st.integers(0, 255))
def test_control_bits_are_read_back(ctl):
    assert parse_ctl(format_ctl(ctl)) == ctl


@given(NUMBERS, NUMBERS, st.integers(0, 255), st.integers(0, 2000))
def test_the_text_form_is_read_back(seq, ack, ctl, octets):
    segment = Segment(seq, ack if ctl & ACK else 0, ctl, data=bytes(octets))
    assert parse_segment(str(segment)) == segment


def test_the_text_form_can_be_relative():
    segment = Segment(2, 5, ACK | PSH, data=b"x")
    assert format_segment(segment, iss=MODULUS - 1, irs=4) == "<SEQ=3><ACK=1><CTL=PSH,ACK><DATA=1>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<SEQ=1>",
        "<CTL=ACK>",
        "<SEQ=1><CTL=RST>!",
        "<SEQ=1><CTL=XYZ>",
        "<SEQ=one><CTL=RST>",
        "<SEQ=1><ACK=2><CTL=RST>",
    ],
)
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match=r"expected|control bit|invalid|stands exactly"):
        parse_segment(text)
