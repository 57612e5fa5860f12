"""docs/classify.md names what there is: columns, kinds, causes, options."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from captures import script, write
from typer.main import get_command

from tcpclose.classify import Release, ladder, noting
from tcpclose.classify.endings import CAUSES, KINDS
from tcpclose.classify.files import _WORTH_COMPILING, _WORTH_LOADING
from tcpclose.classify.noting import FIRST_EVENTS
from tcpclose.classify.table import MOST_EVENTS
from tcpclose.cli import app

PAGE = (Path(__file__).parents[2] / "docs" / "classify.md").read_text("utf-8")


def first_cells(head: str) -> set[str]:
    """The words in the first column of the table below a line of heads."""
    rows = PAGE.partition(f"| {head} |")[2].partition("\n\n")[0]
    return {word for row in re.findall(r"^\| (.*?) \|", rows, re.MULTILINE) for word in re.findall(r"`(.*?)`", row)}


def test_columns() -> None:
    assert first_cells("column | meaning") == set(Release._fields)


def test_kinds() -> None:
    assert first_cells("kind | what was seen") == set(KINDS)


def test_causes() -> None:
    assert first_cells("cause | what shows it") == set(CAUSES)


def test_the_example_of_the_library_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(script(">S <S. >. >P9. <R."), tmp_path / "capture.pcap")
    example = PAGE.partition("# As a library\n\n")[2].partition("\n\n`stream")[0]
    found: dict[str, Any] = {}
    exec(dedent(example), found)
    assert repr(found["releases"]) == "<Releases: 1 reset>"


def test_options() -> None:
    parameters = get_command(app).commands["classify"].params  # type: ignore[attr-defined]
    options = {name for parameter in parameters for name in parameter.opts if name.startswith("-")} - {"--help"}
    table = PAGE.partition("# As a library")[0].partition("| option |")[2]
    assert options == set(re.findall(r"--[a-z]+[a-z-]*|-C", table))


def test_events() -> None:
    assert f"at most {MOST_EVENTS} events are" in PAGE
    assert f"the first {FIRST_EVENTS} and the last {MOST_EVENTS - FIRST_EVENTS} when there are more" in PAGE


def test_copies() -> None:
    soon, later = noting._NO_TIMER // 1_000_000, noting._ON_THE_WAY // 1_000_000
    assert f"those that follow within {soon} ms, or, with the same IP identification, within\n{later} ms" in PAGE


def test_ladder() -> None:
    assert f"Of more than {ladder.MOST:,} packets, the first and the last {ladder.MOST // 2:,}" in PAGE


def test_sizes() -> None:
    assert f"captures of more than {_WORTH_LOADING >> 20} MiB numba compiles them" in PAGE
    assert f"captures of up to\n{_WORTH_COMPILING >> 20} MiB are left to plain Python" in PAGE
