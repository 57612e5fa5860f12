"""The generator of big captures makes what its scripts say, as other readers of captures see it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import captures
from tcpclose.wire.octets import Malformed
from tcpclose.wire.pcap import read_pcap
from tcpclose.wire.tcp import decode_tcp

ETHERNET = 14


def test_frames_say_what_the_rows_say(tmp_path) -> None:
    path = tmp_path / "small.pcap"
    rows = captures.generate(path, 6000, seed=7)
    frames = list(read_pcap(path))
    assert len(frames) == len(rows) == 6000
    assert rows["wrong"].any()
    for row, (time, frame) in zip(rows, frames, strict=True):
        assert time == row["time"] * 1000
        assert (frame[12:14] == b"\x86\xdd") == (frame[ETHERNET] >> 4 == 6)
        if row["wrong"]:
            with pytest.raises(Malformed, match="checksum"):
                decode_tcp(frame[ETHERNET:])
            continue
        _, _, segment = decode_tcp(frame[ETHERNET:]).datagram
        said = (segment.seq, segment.ack, segment.ctl, segment.wnd, len(segment.data))
        assert said == tuple(int(row[name]) for name in ("seq", "ack", "flags", "window", "length"))


def test_connections_have_addresses_of_their_own_of_both_versions(tmp_path) -> None:
    path = tmp_path / "small.pcap"
    rows = captures.generate(path, 3000, seed=7)
    owners: dict[frozenset[object], int] = {}
    for row, (_, frame) in zip(rows, read_pcap(path), strict=True):
        if not row["wrong"]:
            packet = decode_tcp(frame[ETHERNET:]).datagram
            assert owners.setdefault(frozenset((packet.src, packet.dst)), row["connection"]) == row["connection"]
    assert len(owners) == len(np.unique(rows["connection"]))
    assert {":" in end.address for pair in owners for end in pair} == {True, False}  # type: ignore[attr-defined]


def test_there_are_as_many_as_asked_for_and_of_every_kind() -> None:
    rows = captures.packets(100_000, 10_000)
    assert len(rows) == pytest.approx(100_000, rel=0.02)
    assert len(np.unique(rows["connection"])) == 10_000
    assert set(rows["kind"]) == set(range(len(captures.KINDS)))
    assert (np.diff(rows["time"]) >= 0).all()
    neighbours = rows["connection"][1:] != rows["connection"][:-1]
    assert neighbours.mean() > 0.5, "connections are interleaved"


def test_the_seed_is_the_capture(tmp_path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        captures.generate(tmp_path / name, 500, seed=seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()
