"""`docs/conformance.md` says what is so; and three requirements that no other test shows."""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from peers import Played

from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.fsm import State
from tcpclose.protocol.segment import SYN, parse_segment
from tcpclose.protocol.stack import Pair, Stack

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "conformance.md").read_text()


class Row(NamedTuple):
    """A line of the page's tables."""

    number: str
    section: str
    words: str
    status: str
    shown: str

    @property
    def tests(self) -> list[str]:
        return re.findall("`([^`]+)`", self.shown)


ROWS = [
    Row(*(cell.strip() for cell in line.strip().strip("|").split("|")))
    for line in PAGE.splitlines()
    if re.match(r"\| *(MUST|SHLD|MAY|REC)", line)
]
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)


@cache
def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_the_tables_are_read_whole() -> None:
    assert len(ROWS) == sum(line.startswith("|") for line in PAGE.splitlines()) - 2 * PAGE.count("| number |") > 50


@each_row
def test_a_row_is_well_formed(row: Row) -> None:
    assert re.fullmatch(r"(MUST|SHLD|MAY|REC)-[1-9]\d*", row.number)
    assert re.fullmatch(r"3\.\d+(\.\d+)*", row.section)
    assert row.words.endswith((".", ".)"))
    assert re.fullmatch(r"done|not done|setting `\w+`", row.status)
    assert bool(row.tests) == (row.status != "not done")


@each_row
def test_what_a_row_names_exists(row: Row) -> None:
    for name in row.tests:
        path, _, function = name.partition("::")
        assert (ROOT / path).is_file(), name
        assert path.startswith("tests/"), name
        assert path.endswith(".txt") or function in functions(ROOT / path), name
        assert path.endswith(".txt") or function.startswith("test_"), name
    for setting in re.findall("`([^`]+)`", row.status):
        assert setting in {field.name for field in fields(TcpConfig)}


def test_no_number_stands_twice() -> None:
    assert [number for number, times in Counter(row.number for row in ROWS).items() if times > 1] == []


def test_the_page_counts_right() -> None:
    count = Counter(row.status.split("`")[0].strip() for row in ROWS)
    expected = (
        f"Of {len(ROWS)} requirements {count['done']} are done, {count['setting']} depend on a setting, "
        f"{count['not done']} are not done."
    )
    assert expected in PAGE


# Requirements that no other test shows

HERE, THERE = Endpoint("192.0.2.1", 80), Endpoint("192.0.2.2", 1000)
PAIR = Pair(HERE, THERE)


def test_the_mss_option_stands_on_syn_segments_only() -> None:
    play = Played().reach("LISTEN")
    play.hear("<SEQ=300><CTL=SYN>")
    play.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=3>")
    play.send(5)
    play.close()
    play.hear("<SEQ=304><ACK=101><CTL=ACK>")
    play.abort()
    segments = play.connection.segments_to_send()
    assert len(segments) == 5
    assert [segment.mss is not None for segment in segments] == [bool(segment.ctl & SYN) for segment in segments]


def test_a_port_can_listen_while_it_opens_a_connection() -> None:
    stack = Stack(TcpConfig(), b"secret", lambda pair: 100)
    stack.open(PAIR, 0)
    stack.listen(HERE.port)
    other = Endpoint("192.0.2.3", 1000)
    stack.segment_arrives(Datagram(other, HERE, parse_segment("<SEQ=300><CTL=SYN>")), 0)
    states = {pair.remote: connection.state for pair, connection in stack.connections.items()}
    assert states == {THERE: State.SYN_SENT, other: State.SYN_RECEIVED}


def test_a_source_quench_is_dropped_in_silence() -> None:
    stack = Stack(TcpConfig(), b"secret", lambda pair: 100)
    stack.open(PAIR, 0)
    stack.news()
    stack.icmp_arrives(PAIR, 100, 4, 0, 0)
    assert stack.news() == []
