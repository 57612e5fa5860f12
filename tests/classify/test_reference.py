"""What `classify` answers is what the slow, plain reference answers, row by row, compiled or not.

TCPCLOSE_CAPTURES=100000 ./lab test -k test_reference    so many captures, instead of 200
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from captures import captures, write
from hypothesis import HealthCheck, given, settings
from zeek_reference import Packet, Row, rows

from tcpclose.classify import classify
from tcpclose.classify.files import blocks
from tcpclose.classify.packets import CHECK_BAD, CHECK_CUT, CHECK_GOOD, Packets

MANY = settings(
    max_examples=int(os.environ.get("TCPCLOSE_CAPTURES", "200")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(params=[True, False], ids=["compiled", "plain"])
def mode(request, read_as_big) -> None:
    """Small captures as big ones are read, and as small ones."""
    read_as_big(request.param)


@MANY
@given(packets=captures)
@pytest.mark.slow
def test_captures_are_read_as_they_were_written(packets: list[Packet], mode: None, tmp_path: Path) -> None:
    path = write(packets, tmp_path / "capture.pcap")
    told = ("number", "time", "seq", "ack", "flags", "window", "broken")
    found = [
        dict(zip(Packets._fields, row, strict=True))
        for block in blocks(path)
        for row in zip(*(column.tolist() for column in block.packets), strict=True)
    ]
    for packet, row in zip(packets, found, strict=True):
        assert [row[name] for name in told] == [getattr(packet, name) for name in told]
        check = CHECK_CUT if packet.cut else CHECK_BAD if packet.bad else CHECK_GOOD
        assert packet.broken or (row["length"], row["check"]) == (packet.length, check)


def told(path: Path) -> list[Row]:
    """What `classify` says, as the reference says it."""
    return [
        Row(
            one.number,
            (one.src, one.sport),
            (one.dst, one.dport),
            one.start,
            one.duration,
            one.orig_bytes,
            one.resp_bytes,
            one.conn_state,
            one.history,
        )
        for one in classify(path)
    ]


@MANY
@given(packets=captures)
@pytest.mark.slow
def test_classify_says_what_the_reference_says(packets: list[Packet], mode: None, tmp_path: Path) -> None:
    assert told(write(packets, tmp_path / "capture.pcap")) == rows(packets)
