"""Quantities as people write them ("100ms", "10Mbit/s", "1%") and as the program counts them.

Durations are whole microseconds, sizes octets, rates bit/s, shares a float from 0 to 1. Reading raises `ValueError`
that says what was expected; a bare number is no duration, because nobody can know what was meant. Reading
accepts what is written by the function beside it, and gives the same number back.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

_DURATIONS = {"min": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_RATES = {"Gbit/s": 10**9, "Mbit/s": 10**6, "kbit/s": 10**3, "bit/s": 1}
_SIZES = {"MiB": 1 << 20, "KiB": 1 << 10, "MB": 10**6, "kB": 10**3, "B": 1}
_PERCENT = {"%": Fraction(1, 100)}

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z/%]+)")


def read_duration(text: object) -> int:
    """ "100ms" is 100000 (us). Units: us, ms, s, min; fractions are fine, down to the microsecond."""
    return _whole(_read(text, _DURATIONS, 'a duration such as "3s", "100ms" or "50us"'), "microseconds")


def read_rate(text: object) -> int:
    """ "10Mbit/s" is 10000000 (bit/s). Units: bit/s, kbit/s, Mbit/s, Gbit/s."""
    return _whole(_read(text, _RATES, 'a rate such as "10Mbit/s"'), "bit/s")


def read_size(text: object) -> int:
    """ "10kB" is 10000 (octets), as is the number 10000. Units: B, kB, MB, KiB, MiB."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    return _whole(_read(text, _SIZES, 'octets, such as 1000 or "10kB"'), "octets")


def read_share(text: object) -> float:
    """ "1%" is 0.01."""
    share = _read(text, _PERCENT, 'a percentage such as "1%"')
    if share > 1:
        raise ValueError("expected at most 100%")
    return float(share)


def write_duration(us: int) -> str:
    """The inverse of `read_duration`, in the largest unit of which it is a whole number."""
    return _write(us, _DURATIONS) if us else "0s"


def write_rate(bits: int) -> str:
    """The inverse of `read_rate`."""
    return _write(bits, _RATES)


def write_share(share: float) -> str:
    """The inverse of `read_share`."""
    return f"{(Decimal(repr(share)) * 100).normalize():f}%"


def _read(text: object, units: dict[str, int] | dict[str, Fraction], expected: str) -> Fraction:
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"expected {expected}")
    return Fraction(match[1]) * units[match[2]]


def _whole(value: Fraction, unit: str) -> int:
    if value.denominator != 1:
        raise ValueError(f"expected a whole number of {unit}")
    return int(value)


def _write(value: int, units: dict[str, int]) -> str:
    name, size = next((name, size) for name, size in units.items() if value % size == 0)
    return f"{value // size}{name}"
