"""The benchmark of classify measures what it says. How good the figures are is no test's business."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import captures, classify

PYTHON = (sys.executable, "-I", "-S", "-c")


def peer(name: str, script: str) -> classify.Peer:
    return classify.Peer(name, ((*PYTHON, script, "{capture}", "{folder}"),))


def test_memory_is_that_of_the_program_and_not_of_its_parent(tmp_path: Path) -> None:
    small = classify.measure(peer("", "").commands, tmp_path / "x", {})
    big = classify.measure(peer("", "b'x' * 100_000_000").commands, tmp_path / "x", {})
    ours = bytearray(b"x" * 200_000_000)
    again = classify.measure(peer("", "").commands, tmp_path / "x", {})
    assert small.octets < 50_000_000
    assert big.octets > 100_000_000
    assert again.octets < len(ours) / 2


def test_who_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        classify.measure(peer("", "raise SystemExit('no such thing')").commands, tmp_path / "x", {})


@pytest.mark.slow
def test_the_report_is_complete_and_names_what_is_missing(tmp_path: Path) -> None:
    capture = tmp_path / "capture.pcap"
    captures.generate(capture, 500)
    gone = classify.Peer("gone", (("no-such-program", "{capture}"),))
    slow = peer("slow", "import time; time.sleep(0.2)")
    report = classify.run(capture, 500, 1, (classify.PEERS[0], slow, gone))
    assert report["missing"] == {"gone": ["no-such-program"]}
    assert {classify.OURS, classify.FIRST, "slow"} == report["results"].keys()
    assert 0 < report["results"]["slow"]["packets/s"] < 2500
    console = Console(width=100, record=True)
    console.print(classify.table(report))
    assert "not installed: no-such-program" in console.export_text()
