"""What the rules leave open, and what they do not see: how `classify` decides, in both forms of its kernels.

That it follows the rules where they speak, `test_reference.py` shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from captures import merged, script, write
from zeek_reference import SECOND, Packet

from tcpclose.classify import Damage, classify, files, following, stream

OPEN = ">S <S. >. "

#: script, and what is told of each connection: conn_state, history, octets of both
DECISIONS = [
    # The connection is removed 5 s after it has closed, whatever comes in the meantime.
    (OPEN + "<R 4s <. 4s <.", "RSTR ShAra 0/0, OTH A -/-"),
    # A SYN-ACK that is followed by an ACK came from an established responder.
    ("(>S) <S. >. >P9. <.", "S1 ^hADa 9/0"),
    # A capture of SYN, FIN and RST only has gaps where text was.
    (OPEN + "(>P99.) (<.) >F. <F. >.", "SF ShAFfG 99/0"),
    (OPEN + "(>P99.) <. >F. <F. >.", "SF ShAaGFf 99/0"),
    # A SYN that jumps, or that follows a RST which began with its number, begins the numbers anew.
    (">S <P9. <S.", "OTH Sdh 0/0"),
    (">S <R.z <S.~ >. >P9. <.", "REJ SrhADa 9/0"),
    # After a RST no number of its sender is believed.
    (OPEN + ">R. >P9. <.", "RSTO ShARDa 9/0"),
    # A SYN, an ACK that leaves the responder silent, a RST: nothing was sent.
    (">S <. >R", "RSTOS0 SaR 0/0"),
    # A RST with text counts as repeated text, and so does a first SYN with text.
    (OPEN + ">R9.", "RSTO ShART 0/0"),
    (">S9 <S. >.", "S1 SThA 9/0"),
    # Of an end that was never heard no octets count, whatever was acknowledged.
    (">S (<S.) >. (<P20.) >. >F.", "SH SAF 0/0"),
    # A RST after the FIN of the same end sets no time of removal: only the check every six seconds sees it.
    (OPEN + ">F. >R 5s <.", "RSTO ShAFRa 0/0"),
]


@pytest.fixture(params=[True, False], ids=["compiled", "plain"])
def mode(request: pytest.FixtureRequest, read_as_big: Callable[[bool], None]) -> None:
    read_as_big(request.param)


def told(packets: list[Packet], path: Path) -> str:
    return ", ".join(
        f"{one.conn_state} {one.history} " + ("-/-" if one.orig_bytes is None else f"{one.orig_bytes}/{one.resp_bytes}")
        for one in classify(write(packets, path / "capture.pcap"))
    )


@pytest.mark.parametrize(("words", "expected"), DECISIONS)
def test_decision(words: str, expected: str, mode: None, tmp_path: Path) -> None:
    assert told(script(words), tmp_path) == expected


def test_history_has_no_end(mode: None, tmp_path: Path) -> None:
    """Each RST with another number is told."""
    packets = script(OPEN + ">R " * 60)
    packets = [replace(packet, seq=packet.seq + place) for place, packet in enumerate(packets)]
    assert told(packets, tmp_path).split()[1] == "ShA" + "R" * 60


def test_more_connections_are_open_than_the_table_has_room_for(mode: None, tmp_path: Path) -> None:
    many = [script(OPEN, client=(f"10.0.{n // 250}.{n % 250 + 1}", 40000), step=1) for n in range(1000)]
    releases = classify(write(merged(*many), tmp_path / "many.pcap"))
    assert releases.summary()["conn_state"] == {"S1": 1000}
    assert len({(one.src, one.orig_packets, one.resp_packets) for one in releases}) == 1000


def test_text_beyond_holes_needs_more_room_than_there_is_at_first(mode: None, tmp_path: Path) -> None:
    packets = script(OPEN + "<. " + "(>P9.) >P9. " * 200 + "<.")
    assert told(packets, tmp_path) == "S1 ShAaDGGG 3600/0"


def test_a_stream_tells_of_connections_when_they_are_over(
    mode: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is open does not grow with the capture; the rows are those of `classify`."""
    monkeypatch.setattr(following, "_GATHERED", 1)
    monkeypatch.setattr(files, "_ROWS", 50)
    many = [
        script(OPEN + ">F. <F. >.", client=("10.0.0.9", 30000 + n), start=n * SECOND, step=1000) for n in range(100)
    ]
    path = write(merged(*many), tmp_path / "stream.pcap")
    parts = list(stream(path))
    assert len(parts) > 5
    assert sorted(one for part in parts for one in part) == list(classify(path))


def test_damage_comes_after_what_could_be_read(tmp_path: Path) -> None:
    path = write(script(OPEN), tmp_path / "whole.pcap")
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(path.read_bytes()[:-5])
    releases = classify(cut)
    assert [one.history for one in releases] == ["Sh"]
    assert "ends inside a packet" in str(releases.damage)
    parts = stream(cut)
    assert [one.history for one in next(parts)] == ["Sh"]
    with pytest.raises(Damage):
        next(parts)


def test_columns_rows_and_arrow_say_the_same(tmp_path: Path) -> None:
    releases = classify(write(script(OPEN + ">P9. <R. again >S"), tmp_path / "two.pcap"))
    table = releases.to_arrow()
    assert table.column_names == list(releases.columns)
    rows = [
        {**row, "start": one.start, "evidence": tuple(row["evidence"])}
        for row, one in zip(table.to_pylist(), releases, strict=True)
    ]
    assert rows == [one._asdict() for one in releases]
    with pytest.raises(KeyError, match="no column 'colour'"):
        releases.column("colour")
