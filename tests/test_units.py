"""Quantities: what is read, what is refused, and that writing and reading are inverse."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpclose.units import (
    read_duration,
    read_rate,
    read_share,
    read_size,
    write_duration,
    write_rate,
    write_share,
)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (read_duration, "50us", 50),
        (read_duration, "100ms", 100_000),
        (read_duration, "3s", 3_000_000),
        (read_duration, "1.5 s", 1_500_000),
        (read_duration, "2min", 120_000_000),
        (read_duration, "0.000001s", 1),
        (read_rate, "9600bit/s", 9600),
        (read_rate, "10Mbit/s", 10_000_000),
        (read_size, 1000, 1000),
        (read_size, "10kB", 10_000),
        (read_size, "64KiB", 65536),
        (read_share, "1%", 0.01),
        (read_share, "0.1%", 0.001),
        (read_share, "100%", 1.0),
    ],
)
def test_read(read: Callable[[object], float], text: object, value: float) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_duration, 3, 'expected a duration such as "3s", "100ms" or "50us"'),
        (read_duration, "3", 'expected a duration such as "3s", "100ms" or "50us"'),
        (read_duration, "3 hours", 'expected a duration such as "3s", "100ms" or "50us"'),
        (read_duration, "-3s", 'expected a duration such as "3s", "100ms" or "50us"'),
        (read_duration, "٣s", 'expected a duration such as "3s", "100ms" or "50us"'),
        (read_duration, "0.5us", "expected a whole number of microseconds"),
        (read_rate, "10Mb", 'expected a rate such as "10Mbit/s"'),
        (read_rate, "0.5bit/s", "expected a whole number of bit/s"),
        (read_size, True, 'expected octets, such as 1000 or "10kB"'),
        (read_size, "1.5B", "expected a whole number of octets"),
        (read_share, 1, 'expected a percentage such as "1%"'),
        (read_share, "101%", "expected at most 100%"),
    ],
)
def test_refused(read: Callable[[object], float], text: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read(text)


def test_written_in_the_largest_unit() -> None:
    assert [write_duration(us) for us in (0, 1_500, 90_000_000, 120_000_000)] == ["0s", "1500us", "90s", "2min"]
    assert [write_rate(bits) for bits in (1_500_000, 10**9)] == ["1500kbit/s", "1Gbit/s"]
    assert [write_share(share) for share in (0.0, 0.003, 0.01, 1.0)] == ["0%", "0.3%", "1%", "100%"]


@given(st.integers(0, 10**18))
def test_whole_numbers_come_back(number: int) -> None:
    assert read_duration(write_duration(number)) == number
    assert read_rate(write_rate(number)) == number


@given(st.floats(0, 1))
def test_shares_come_back(share: float) -> None:
    assert read_share(write_share(share)) == share
