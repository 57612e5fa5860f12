"""Bounded runs of the fuzz target; `python -m tests.fuzz` looks longer."""

from __future__ import annotations

import fuzz
import pytest

from tcpclose.protocol.fsm import State
from tcpclose.protocol.stack import Stack


@pytest.mark.slow
def test_every_state_is_hit_and_nothing_breaks() -> None:
    report = fuzz.fuzz(4 * fuzz.ROUND, seed=1)
    assert report.segments == 4 * fuzz.ROUND
    assert all(report.states[state] > 50 for state in State), report.states


@pytest.mark.slow
def test_a_longer_look() -> None:
    fuzz.fuzz(10 * fuzz.ROUND, seed=2)


def broken(monkeypatch, harm) -> None:
    """A stack that does `harm` once it has heard a thousand segments."""
    arrives, heard = Stack.segment_arrives, []

    def hear(self, datagram, now):
        arrives(self, datagram, now)
        heard.append(datagram)
        if len(heard) > 1000:
            harm(self, datagram)

    monkeypatch.setattr(Stack, "segment_arrives", hear)


def test_an_exception_is_found_and_can_be_repeated(monkeypatch) -> None:
    broken(monkeypatch, lambda stack, datagram: 1 // 0)
    with pytest.raises(fuzz.Failure, match=r"seed 3, round 0, TcpConfig\(.*Datagram\(.*ZeroDivisionError"):
        fuzz.fuzz(fuzz.ROUND, seed=3)


def test_a_slow_segment_is_found(monkeypatch) -> None:
    monkeypatch.setattr(fuzz, "LONGEST", 0.0)
    with pytest.raises(fuzz.Failure, match="took"):
        fuzz.fuzz(fuzz.ROUND, seed=3)


@pytest.mark.slow
def test_memory_that_stays_behind_is_found(monkeypatch) -> None:
    kept = []
    broken(monkeypatch, lambda stack, datagram: kept.append([datagram.segment.seq]))
    monkeypatch.setattr(fuzz, "ROUND", 1000)
    with pytest.raises(fuzz.Failure, match="stayed behind"):
        fuzz.fuzz(10_000, seed=3)


def test_a_reset_that_answers_a_reset_is_found(monkeypatch) -> None:
    broken(monkeypatch, lambda stack, datagram: stack._datagrams.append(datagram))
    with pytest.raises(fuzz.Failure, match="a RST is answered by a RST"):
        fuzz.fuzz(fuzz.ROUND, seed=3)
