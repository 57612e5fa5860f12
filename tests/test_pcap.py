"""Capture files: written and read by us, read by Wireshark's tools, written by them."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.segment import ACK, FIN, SYN, Segment
from tcpclose.wire import (
    EN10MB,
    RAW,
    Malformed,
    PcapWriter,
    decode_ethernet,
    decode_tcp,
    encode_tcp,
    ethernet_header,
    read_pcap,
)

CLIENT, SERVER = Endpoint("10.0.0.1", 40001), Endpoint("10.0.0.2", 80)
DATAGRAMS = [
    Datagram(CLIENT, SERVER, Segment(100, 0, SYN, 65535, mss=1460)),
    Datagram(SERVER, CLIENT, Segment(300, 101, SYN | ACK, 65535, mss=1460)),
    Datagram(CLIENT, SERVER, Segment(101, 301, ACK, 65535, b"text")),
    Datagram(CLIENT, SERVER, Segment(105, 301, FIN | ACK, 65535)),
]
FRAME_HEADER = ethernet_header("00:00:00:00:00:02", "00:00:00:00:00:01")

packets = st.lists(st.tuples(st.integers(0, 2**32 * 10**9 - 1), st.binary(max_size=100)))


def write(path: Path, linktype: int) -> list[tuple[int, bytes]]:
    """Write DATAGRAMS, a millisecond and a nanosecond apart; gives what was written."""
    head = FRAME_HEADER if linktype == EN10MB else b""
    written = [(i * 1_000_001, head + encode_tcp(datagram, i)) for i, datagram in enumerate(DATAGRAMS)]
    with PcapWriter(path, linktype) as pcap:
        for time_ns, octets in written:
            pcap.write(time_ns, octets)
    return written


def run(*command: str | Path) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@given(packets, st.sampled_from([EN10MB, RAW]))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, packets: list[tuple[int, bytes]], linktype: int) -> None:
    path = tmp_path_factory.mktemp("pcap") / "a.pcap"
    with PcapWriter(path, linktype) as pcap:
        for time_ns, octets in packets:
            pcap.write(time_ns, octets)
    capture = read_pcap(path)
    assert capture.linktype == linktype
    assert list(capture) == packets


def test_every_packet_is_one_write_of_the_file() -> None:
    writes: list[bytes] = []

    class File(io.BytesIO):
        def write(self, octets: bytes) -> int:  # type: ignore[override]
            writes.append(bytes(octets))
            return len(octets)

    pcap = PcapWriter(File(), RAW)
    pcap.write(1_000_000_002, memoryview(b"octets"))
    assert writes[1:] == [struct.pack("<IIII", 1, 2, 6, 6) + b"octets"]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "unit"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_all_four_dialects_are_read(tmp_path: Path, order: str, magic: int, unit: int) -> None:
    path = tmp_path / "a.pcap"
    head = struct.pack(
        order + "IHHiIII", magic, 2, 4, 0, 0, 65535, 0x24000000 | RAW
    )  # with a frame check sequence length
    path.write_bytes(head + struct.pack(order + "IIII", 3, 7, 2, 1500) + b"ab")
    capture = read_pcap(path)
    assert capture.linktype == RAW
    assert list(capture) == [(3_000_000_000 + 7 * unit, b"ab")]


def test_a_file_that_is_cut_off_gives_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    written = write(path, RAW)
    whole = path.read_bytes()
    for cut in (1, len(written[-1][1]) + 1):  # in the octets of the last packet, in its header
        path.write_bytes(whole[:-cut])
        capture = read_pcap(path)
        assert [next(capture.packets) for _ in written[:-1]] == written[:-1]
        with pytest.raises(Malformed, match="truncated"):
            next(capture.packets)


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", "not a pcap file"),
        (b"\x0a\x0d\x0d\x0a" + bytes(20), "not a pcap file"),
        (struct.pack("<I", 0xA1B2C3D4) + bytes(19), "truncated"),
        (struct.pack("<I", 0xA1B2C3D4) + bytes(20) + struct.pack("<IIII", 0, 0, 2**32 - 1, 0), "record length"),
    ],
)
def test_reasons(tmp_path: Path, octets: bytes, expected: str) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(octets)
    with pytest.raises(Malformed) as caught:
        list(read_pcap(path))
    assert caught.value.reason == expected


@given(st.binary(max_size=100), st.sampled_from([b"", *(struct.pack(o + "I", 0xA1B23C4D) + bytes(20) for o in "<>")]))
def test_any_file_raises_malformed_only(tmp_path_factory: pytest.TempPathFactory, octets: bytes, head: bytes) -> None:
    path = tmp_path_factory.mktemp("pcap") / "a.pcap"
    path.write_bytes(head + octets)
    try:
        total = sum(16 + len(packet) for _, packet in read_pcap(path))
    except Malformed:
        return
    assert total == len(octets)


@pytest.mark.parametrize("linktype", [EN10MB, RAW])
def test_tshark_reads_ours_and_finds_the_checksums_right(tmp_path: Path, linktype: int) -> None:
    path = tmp_path / "a.pcap"
    write(path, linktype)
    fields = ["frame.time_epoch", "ip.src", "tcp.dstport", "tcp.seq_raw", "tcp.flags", "tcp.len", "tcp.options.mss_val"]
    fields += ["ip.checksum.status", "tcp.checksum.status"]
    checks = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]
    output = run("tshark", "-r", path, *checks, "-T", "fields", *(word for field in fields for word in ("-e", field)))
    rows = [line.split("\t") for line in output.splitlines()]
    assert [float(row[0]) for row in rows] == [i * 0.001000001 for i in range(4)]
    for row, (src, dst, segment) in zip(rows, DATAGRAMS, strict=True):
        shown = [src.address, dst.port, segment.seq, f"0x{segment.ctl:04x}", len(segment.data), segment.mss or ""]
        assert row[1:] == [*map(str, shown), "1", "1"]


def test_capinfos_knows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    write(path, EN10MB)
    output = run("capinfos", path)
    assert "nanosecond" in output
    assert "Ethernet" in output
    assert "Number of packets:   4" in output


@pytest.mark.parametrize("form", ["pcap", "nsecpcap"])
def test_we_read_what_editcap_writes(tmp_path: Path, form: str) -> None:
    ours, theirs = tmp_path / "a.pcap", tmp_path / "b.pcap"
    write(ours, EN10MB)
    run("editcap", "-F", form, ours, theirs)
    capture = list(read_pcap(theirs))
    assert [decode_tcp(decode_ethernet(octets).payload).datagram for _, octets in capture] == DATAGRAMS
    assert [time_ns for time_ns, _ in capture] == [i * (1_000_000 if form == "pcap" else 1_000_001) for i in range(4)]
