"""The generator of big captures makes what its scripts say, as other readers of captures see it."""

from __future__ import annotations

import numpy as np
import pytest
import zeek_reference as zeek

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


@pytest.mark.parametrize("kind", range(len(captures.KINDS)), ids=lambda kind: captures.KINDS[kind].name)
@pytest.mark.parametrize("port", [12345, 443])
def test_each_kind_ends_as_it_says(kind: int, port: int) -> None:
    rows = captures.packets(60, 6, seed=kind, kinds=(kind,))
    for connection in np.unique(rows["connection"]):
        found = zeek.rows(reference_packets(rows[rows["connection"] == connection], port))
        assert [row.conn_state for row in found] == captures.KINDS[kind].states.split()


def reference_packets(rows: np.ndarray, port: int) -> list[zeek.Packet]:
    """What the reference reads, of one connection."""
    ends = ("10.0.0.1", 40000), ("10.0.0.2", port)
    names = ("flags", "seq", "ack", "length", "window")
    return [
        zeek.Packet(
            number,
            int(row["time"]) * 1000,
            ends[row["server"]],
            ends[1 - row["server"]],
            *(int(row[name]) for name in names),
            bad=bool(row["wrong"]),
        )
        for number, row in enumerate(rows, 1)
    ]
