"""Captures in every kind of file, whole and damaged."""

from __future__ import annotations

import gzip
import os
import re
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
import zoo
from zoo import ETHERNET, IPV4, RAW, START, STEP, Pcapng, ether, ipv4, ipv6, pcap, pcapng, segment

from tcpclose.classify import files
from tcpclose.classify.files import Damage, NotACapture, blocks
from tcpclose.classify.packets import CHECK_CUT, Packets
from tcpclose.classify.records import FINEST_DECIMAL, LONGEST_BLOCK, LONGEST_PACKET, MOST_INTERFACES

FRAMES = [(ETHERNET, ether(ipv4(segment(n)))) for n in range(6)]
MICRO, NANO, MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], tuple[Packets | None, Damage | None]]:
    """Reads a file with these octets: all packets, and the damage at its end."""

    def reader(octets: bytes) -> tuple[Packets | None, Damage | None]:
        path = tmp_path / "capture"
        path.write_bytes(octets)
        found, damage = [], None
        try:
            for block in blocks(path):
                found.append(block.packets)
        except Damage as error:
            damage = error
        return (zoo.joined(found) if found else None), damage

    return reader


def zstd(octets: bytes, folder: Path) -> bytes:
    path = folder / "compressed.zst"
    with pyarrow.output_stream(path, compression="zstd") as out:
        out.write(octets)
    return path.read_bytes()


# Whole ones


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("magic", [MICRO, NANO, MODIFIED], ids=["micro", "nano", "modified"])
def test_pcap(read, magic: int, big: bool) -> None:
    packets, damage = read(pcap(FRAMES, big=big, magic=magic))
    assert damage is None
    assert packets.number.tolist() == [1, 2, 3, 4, 5, 6]
    assert packets.time.tolist() == [START + i * STEP for i in range(6)]
    assert packets.sport.tolist() == [1024, 1025, 1026, 1027, 1028, 1029]
    assert packets.length.tolist() == [1, 5, 9, 13, 17, 21]


def test_the_link_type_may_tell_of_frame_check_sequences(read) -> None:
    """In its upper bits; the sequences themselves are no data."""
    octets = pcap([(ETHERNET, frame + b"\1\2\3\4") for _, frame in FRAMES])
    packets, _ = read(octets[:20] + struct.pack("<I", 0x2400_0000 | ETHERNET) + octets[24:])
    assert packets.length.tolist() == [1, 5, 9, 13, 17, 21]


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
def test_pcapng(read, big: bool) -> None:
    """With a section of the other order of octets behind, and blocks in between that have no packets."""
    writer = Pcapng(big)
    unknown = writer.block(0xBAD, b"whatever") + writer.block(5, bytes(8))
    out = writer.section() + unknown + writer.interface(ETHERNET) + unknown
    out += writer.enhanced(0, 1_000_000, FRAMES[0][1]) + writer.interface(RAW) + unknown
    out += writer.enhanced(1, 2_000_000, bytes(ipv4(segment(1)))) + writer.simple(FRAMES[2][1])
    out += writer.old(1, 4_000_000, bytes(ipv4(segment(3))))
    other = Pcapng(not big)
    out += other.section() + other.interface(RAW) + other.enhanced(0, 5_000_000, bytes(ipv4(segment(4))))
    packets, damage = read(out)
    assert damage is None
    assert packets.number.tolist() == [1, 2, 3, 4, 5]
    assert packets.sport.tolist() == [1024, 1025, 1026, 1027, 1028]
    assert packets.time.tolist() == [10**9, 2 * 10**9, 0, 4 * 10**9, 5 * 10**9]


def test_a_simple_packet_ends_where_the_interface_cuts_it_off(read) -> None:
    writer = Pcapng()
    whole = FRAMES[3][1]
    out = writer.section() + writer.interface(ETHERNET, snaplen=66) + writer.simple(whole[:66], len(whole))
    packets, _ = read(out)
    assert packets.length.tolist() == [13]
    assert packets.check.tolist() == [CHECK_CUT]


@pytest.mark.parametrize(
    ("options", "ticks", "nanoseconds"),
    [
        ([], 1_700_000_000_123_456, 1_700_000_000_123_456_000),
        ([(9, b"\6")], 1_700_000_000_123_456, 1_700_000_000_123_456_000),
        ([(9, b"\x09")], 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
        ([(9, b"\0")], 1_700_000_000, 1_700_000_000_000_000_000),
        ([(9, b"\3")], 1_700_000_000_123, 1_700_000_000_123_000_000),
        ([(9, b"\x0c")], 1_123_456_789_987, 1_123_456_789),
        ([(9, b"\x12")], 1_123_456_789_987_654_321, 1_123_456_789),
        ([(9, b"\x80")], 1_700_000_000, 1_700_000_000_000_000_000),
        ([(9, b"\x8a")], 1536, 1_500_000_000),
        ([(9, b"\xa0")], 3 << 31, 1_500_000_000),
        ([(9, b"\xbe")], 1 << 61, 500_000_000),
        ([(14, struct.pack("<q", 1000))], 5, 1_000_000_005_000),
        ([(14, struct.pack("<q", -1))], 5, -999_995_000),
        ([(2, b"eth0"), (9, b"\x09"), (14, struct.pack("<q", 1)), (0, b""), (9, b"\6")], 5, 1_000_000_005),
        ([(9, b"\0")], 2**62, 2**63 - 1),
        ([(9, b"\x80")], 2**64 - 1, 2**63 - 1),
        ([(14, struct.pack("<q", -(2**63)))], 0, -(2**63 - 1)),
    ],
)
@pytest.mark.parametrize("fast", [False, True])
def test_clocks_of_interfaces(
    read, read_as_big, fast: bool, options: list[tuple[int, bytes]], ticks: int, nanoseconds: int
) -> None:
    read_as_big(fast)
    writer = Pcapng()
    packets, _ = read(
        writer.section() + writer.interface(ETHERNET, 0, options) + writer.enhanced(0, ticks, FRAMES[0][1])
    )
    assert packets.time.tolist() == [nanoseconds]


def test_very_many_interfaces(read) -> None:
    """Each with a packet of its own, in order, and one too many."""
    writer = Pcapng()
    frame = bytes(ipv4(segment(1)))
    pairs = [writer.interface(IPV4) + writer.enhanced(i, 0, frame) for i in range(20)]
    packets, damage = read(writer.section() + b"".join(pairs))
    assert damage is None
    assert packets.number.tolist() == list(range(1, 21))
    _, damage = read(writer.section() + writer.interface(IPV4) * (MOST_INTERFACES + 1))
    assert damage is not None
    assert "65,536" in damage.what
    assert damage.offset == 28 + 20 * MOST_INTERFACES


def test_editcap_writes_what_we_read(read, tmp_path: Path) -> None:
    """Every format of Wireshark's that is ours, from one capture."""
    source = tmp_path / "source"
    source.write_bytes(pcap(FRAMES, magic=NANO))
    for kind in ("pcap", "nsecpcap", "pcapng", "modpcap"):
        target = tmp_path / kind
        try:
            subprocess.run(["editcap", "-F", kind, source, target], check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("editcap is not installed")
        packets, damage = read(target.read_bytes())
        assert damage is None
        assert packets.time.tolist() == [START + i * STEP for i in range(6)]


# Compressed, and from standard input


def test_compressed(read, tmp_path: Path) -> None:
    plain = pcapng(FRAMES)
    expected = zoo.listed(read(plain)[0])
    half = len(plain) // 2
    for octets in (
        gzip.compress(plain),
        gzip.compress(plain[:half]) + gzip.compress(plain[half:]),
        gzip.compress(plain) + bytes(100),
        zstd(plain, tmp_path),
        zstd(plain[:half], tmp_path) + zstd(plain[half:], tmp_path),
    ):
        packets, damage = read(octets)
        assert damage is None
        assert zoo.listed(packets) == expected


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@pytest.mark.slow
def test_compressed_and_cut_off(read, tmp_path: Path, kind: str) -> None:
    """Of a stream that ends too early, all that it holds is read."""
    noise = [(RAW, bytes(ipv4(segment(1))) + os.urandom(1000)) for _ in range(1000)]
    plain = pcap(noise)
    whole = gzip.compress(plain) if kind == "gzip" else zstd(plain, tmp_path)
    record = len(plain[24:]) // 1000
    for cut in (1, 9, 1000, 300_000):
        packets, damage = read(whole[:-cut])
        assert damage is not None
        assert kind in damage.what
        assert damage.offset == 24 + len(packets.number) * record
        # zstd decompresses blocks of 128 KiB as a whole.
        assert len(packets.number) >= (len(whole) - cut - 140_000 * (kind == "zstd")) // record - 2


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@pytest.mark.slow
def test_compressed_and_damaged(read, tmp_path: Path, kind: str) -> None:
    plain = pcap([(RAW, bytes(ipv4(segment(1))) + os.urandom(1000)) for _ in range(3000)])
    whole = gzip.compress(plain) if kind == "gzip" else zstd(plain, tmp_path)
    packets, damage = read(whole[:-400_000] + bytes(1000) + whole[-399_000:])
    assert damage is not None
    assert packets is not None
    assert len(packets.number) > 0
    _, damage = read(whole + b"something else")
    assert damage is not None
    assert kind in damage.what


SCRIPT = """
import sys
from tcpclose.classify.files import Damage, blocks
try:
    for block in blocks("-"):
        print(*block.packets.number)
except Damage as damage:
    print(damage)
"""


@pytest.mark.parametrize("kind", ["plain", "gzip", "zstd"])
@pytest.mark.slow
def test_standard_input(tmp_path: Path, kind: str) -> None:
    plain = pcap(FRAMES)
    octets = {"plain": plain, "gzip": gzip.compress(plain), "zstd": zstd(plain, tmp_path)}[kind]
    for cut in (0, 3):
        given = octets[: len(octets) - cut]
        done = subprocess.run([sys.executable, "-c", SCRIPT], input=given, capture_output=True, check=True)
        lines = done.stdout.decode().splitlines()
        if not cut:
            assert lines == ["1 2 3 4 5 6"]
        else:
            assert lines[-1].startswith("damaged at octet")


# Damaged


@pytest.mark.slow
def test_every_place_where_a_file_may_end(read) -> None:
    """All that is there as a whole is read, and the damage is where the next record begins."""
    for plain in (pcap(FRAMES[:3]), pcapng(FRAMES[:3])):
        ends = [end for end in range(len(plain) + 1) if read_or_refuse(read, plain[:end]) is None]
        counts = []
        for end in range(32, len(plain)):
            packets, damage = read(plain[:end])
            counts.append(0 if packets is None else len(packets.number))
            assert (damage is None) == (end in ends)
            if damage:
                assert damage.offset == max(whole for whole in [0, *ends] if whole < end)
                assert "ends inside" in damage.what
        assert counts == sorted(counts)
        assert set(counts) == {0, 1, 2}


def read_or_refuse(read, octets: bytes) -> Damage | NotACapture | None:
    try:
        return read(octets)[1]
    except NotACapture as error:
        return error


def enhanced(writer: Pcapng, *fields: int) -> bytes:
    """An enhanced packet with header fields as given."""
    return writer.block(6, writer.pack("IIIII", *fields) + bytes(8))


def changed(octets: bytes, place: int, value: int) -> bytes:
    return octets[:place] + struct.pack("<I", value) + octets[place + 4 :]


def words_only(value: object) -> str:
    """For names of tests: octets would make them megabytes long."""
    return value if isinstance(value, str) else "octets"


W = Pcapng()
HEAD = W.section() + W.interface(RAW)


@pytest.mark.parametrize(
    ("damaged", "what"),
    [
        (enhanced(W, 1, 0, 0, 8, 8), "an interface that the file does not describe"),
        (enhanced(W, 0, 0, 0, 9, 9), "lengths contradict"),
        (W.block(6, bytes(16)), "lengths contradict"),
        (W.block(2, bytes(16)), "lengths contradict"),
        (W.block(3, b""), "lengths contradict"),
        (changed(W.block(7, bytes(8)), 4, 8), "lengths contradict"),
        (changed(W.block(7, bytes(8)), 4, 21), "lengths contradict"),
        (changed(W.block(7, bytes(8)), 16, 24), "lengths contradict"),
        (changed(W.block(7, bytes(8)), 4, LONGEST_BLOCK + 4), "16,777,216"),
        (W.block(6, W.pack("IIIII", 0, 0, 0, LONGEST_PACKET + 1, 9) + bytes(LONGEST_PACKET + 4)), "262,144"),
        (changed(W.section(), 8, 0x12345678), "no header of a section"),
        (changed(W.section(), 12, 2), "no header of a section"),
        (changed(W.section(), 24, 32), "lengths contradict"),
        (changed(W.section(), 4, LONGEST_BLOCK + 4), "16,777,216"),
        (W.block(0x0A0D0D0A, W.pack("IHHI", 0x1A2B3C4D, 1, 0, 0)), "no header of a section"),
        (W.block(1, bytes(4)), "lengths contradict"),
        (W.interface(RAW, 0, [(9, bytes([FINEST_DECIMAL + 1]))]), "an interface that is no use"),
        (W.interface(RAW, 0, [(9, b"\xff")]), "an interface that is no use"),
    ],
    ids=words_only,
)
def test_blocks_of_pcapng_that_cannot_be(read, damaged: bytes, what: str) -> None:
    good = W.enhanced(0, 0, bytes(ipv4(segment(1))))
    packets, damage = read(HEAD + good + damaged + good)
    assert packets.number.tolist() == [1]
    assert damage is not None
    assert damage.offset == len(HEAD + good)
    assert what in damage.what


def test_a_record_that_claims_too_much(read) -> None:
    plain = pcap(FRAMES[:1])
    for size, words in (
        (LONGEST_PACKET + 1, "not believed"),
        (2**32 - 1, "not believed"),
        (LONGEST_PACKET, "ends inside"),
    ):
        packets, damage = read(plain + struct.pack("<IIII", 0, 0, size, size))
        assert packets.number.tolist() == [1]
        assert damage is not None
        assert words in damage.what
        assert str(damage).startswith(f"damaged at octet {len(plain)}: ")


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "it is empty"),
        (b"\x7fELF" + bytes(100), "neither pcap nor pcapng: it begins with 7f 45 4c 46"),
        (b"x", "neither pcap nor pcapng: it begins with 78"),
        (gzip.compress(b"hello", mtime=0), "neither pcap nor pcapng: it begins with 68 65 6c 6c"),
        (gzip.compress(b"", mtime=0), "it is empty"),
        (b"\x0a\x0d\x0d\x0a" + bytes(24), "it begins like pcapng, but does not tell the order of octets"),
        (struct.pack("<IHH16x", 0xA1B2C3D4, 543, 0), "pcap of version 543.0, and only 2 is known"),
    ],
    ids=words_only,
)
def test_no_capture_at_all(read, octets: bytes, words: str) -> None:
    with pytest.raises(NotACapture, match=re.escape(words)):
        read(octets)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(blocks(tmp_path / "nothing"))


def test_a_capture_without_packets(read) -> None:
    assert read(pcap([])) == (None, None)
    assert read(W.section()) == (None, None)


# Blocks


@pytest.mark.slow
def test_big_captures_come_in_blocks_and_memory_stays(tmp_path: Path) -> None:
    """30 MB of packets, of which the first 12 MiB decide that they are read by compiled code."""
    path = tmp_path / "capture"
    frames = [(ETHERNET, ether(ipv4(segment(n % 50)))) for n in range(1000)]
    start = pcap(frames)
    path.write_bytes(start + start[24:] * (30_000_000 // len(start)))
    records, last, latest = 0, 0, 0
    tracemalloc.start()
    for block in blocks(path):
        assert block.fast
        records += block.records
        assert block.packets.number[0] == last + 1
        last = block.packets.number[-1]
        latest = max(latest, block.latest)
        assert set(block.packets.check.tolist()) == {1}
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert last == records == (path.stat().st_size - 24) // ((len(start) - 24) / 1000)
    assert latest == START + 999 * STEP
    assert most < 60_000_000


@pytest.mark.parametrize(
    ("known", "size", "fast", "said"),
    [(True, 0, True, False), (False, 0, True, True), (False, 2**20, False, False), (True, 2**20, True, False)],
)
def test_a_capture_waits_for_a_compiler_if_it_is_big_and_says_so(
    tmp_path, monkeypatch, caplog, known: bool, size: int, fast: bool, said: bool
) -> None:
    path = tmp_path / "capture"
    path.write_bytes(pcap(FRAMES))
    monkeypatch.setattr(files, "_WORTH_LOADING", 0)
    monkeypatch.setattr(files, "_WORTH_COMPILING", size)
    monkeypatch.setattr(files, "at_hand", lambda kernel: known)
    with caplog.at_level("INFO"):
        (block,) = blocks(path)
    assert block.fast == fast
    assert ("compiling" in caplog.text) == said


def test_a_small_capture_does_not_wait_for_a_compiler(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(pcap([(RAW, bytes(ipv6()))]))
    script = f"import sys; from tcpclose.classify.files import blocks; (block,) = blocks({str(path)!r}); "
    script += "assert not block.fast; assert 'numba' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
