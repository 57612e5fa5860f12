"""Settings: every one explains itself, profiles resolve."""

from __future__ import annotations

import re
from dataclasses import Field, FrozenInstanceError, fields, replace
from typing import Any, get_args, get_type_hints

import pytest

from tcpclose.protocol.config import PROFILES, TcpConfig

HINTS = get_type_hints(TcpConfig)


@pytest.mark.parametrize("field", fields(TcpConfig), ids=lambda field: field.name)
def test_setting_explains_itself(field: Field[Any]) -> None:
    unit, rfc, doc = (field.metadata[key] for key in ("unit", "rfc", "doc"))
    assert re.fullmatch(r"(RFC \d+ )?\d+(\.\d+)*|RFC \d+", rfc)
    assert 10 < len(doc) <= 100
    assert "\n" not in doc
    if HINTS[field.name] is int:
        assert unit in ("us", "octets", "segments", "count")
        assert (field.metadata["least"] or 0) <= field.default <= (field.metadata["most"] or field.default)
    else:
        assert unit == ""
        assert field.default in (get_args(HINTS[field.name]) or (True, False))


def test_durations_are_microseconds() -> None:
    config = TcpConfig()
    assert (config.msl, config.user_timeout, config.rto_initial) == (120_000_000, 300_000_000, 1_000_000)


def test_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        TcpConfig().msl = 0  # type: ignore[misc]


def test_contradiction_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rto_min .* is longer than rto_max"):
        replace(TcpConfig(), rto_min=61_000_000)
    with pytest.raises(ValueError, match=r"user_timeout_least .* is longer than user_timeout_most"):
        replace(TcpConfig(), user_timeout_most=99_000_000)


def test_profiles() -> None:
    assert PROFILES["rfc9293"] == TcpConfig()
    assert all(isinstance(profile, TcpConfig) for profile in PROFILES.values())
