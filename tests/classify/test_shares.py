"""How a capture is cut up for the work, and among how many threads it is shared out, changes no answer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.captures import generate
from tcpclose.classify import classify, following, releases
from tcpclose.classify.files import Damage
from tcpclose.classify.releases import Release


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("captures") / "whole.pcap"
    generate(path, 5000)
    return path


@pytest.fixture(scope="module")
def expected(whole: Path) -> list[Release]:
    return list(classify(whole))


@pytest.mark.parametrize("processors", [1, 2, 3])
@pytest.mark.parametrize("gathered", [1, 1000, 65_536])
def test_answers_are_the_same(whole, expected, read_as_big, monkeypatch, processors: int, gathered: int) -> None:
    assert len(expected) > 400
    read_as_big(True)
    monkeypatch.setattr(following, "_GATHERED", gathered)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(processors)))
    assert list(classify(whole)) == expected


@pytest.mark.parametrize("gathered", [1, 65_536])
def test_nothing_before_damage_is_lost(whole, tmp_path, read_as_big, monkeypatch, gathered: int) -> None:
    octets = whole.read_bytes()[:-100_000] + bytes(5)
    (tmp_path / "cut.pcap").write_bytes(octets)
    plain = classify(tmp_path / "cut.pcap")
    assert isinstance(plain.damage, Damage)
    read_as_big(True)
    monkeypatch.setattr(following, "_GATHERED", gathered)
    fast = classify(tmp_path / "cut.pcap")
    assert str(fast.damage) == str(plain.damage)
    assert list(fast) == list(plain)
    assert len(plain) > 300


def test_stories_of_one_name_are_told_apart(whole, expected, monkeypatch) -> None:
    """A capture may be made so that the names of its stories collide: here all of them do."""
    monkeypatch.setattr(releases, "_WEIGHTS", releases._WEIGHTS * 0)
    assert list(classify(whole)) == expected
