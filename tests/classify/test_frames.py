"""What is read of packets: Wireshark is the witness where it reads them, values where the rules are ours."""

from __future__ import annotations

import ipaddress
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zoo
from scapy.all import IP, TCP, IPv6ExtHdrFragment, IPv6ExtHdrRouting, Raw, fragment, fragment6
from zoo import RAW, Frame, ether, ipv4, ipv6, segment, with_octet

from tcpclose.classify.compiled import ready
from tcpclose.classify.files import blocks
from tcpclose.classify.fragments import Reassembly
from tcpclose.classify.frames import ones
from tcpclose.classify.packets import CHECK_BAD, CHECK_CUT, CHECK_GOOD, CHECK_UNKNOWN, HEADER_BAD, HEADER_CUT, Packets

Reader = Callable[..., Packets]


@pytest.fixture
def packets(tmp_path: Path) -> Reader:
    """Reads frames from a file: given as (link type, octets), or only as octets of raw IP."""

    def read(*frames: Frame | bytes, ignore_checksums: bool = False, **settings: int) -> Packets:
        path = tmp_path / "capture"
        path.write_bytes(
            zoo.pcap([(RAW, frame) if isinstance(frame, bytes) else frame for frame in frames], **settings)
        )
        return zoo.read(path, ignore_checksums)[0]

    return read


FIELDS = "frame.number frame.time_epoch ip.src ip.dst ipv6.src ipv6.dst ip.ttl ipv6.hlim tcp.srcport tcp.dstport "
FIELDS += "tcp.seq_raw tcp.ack_raw tcp.flags tcp.window_size_value tcp.len tcp.checksum.status "
FIELDS += "tcp.options.timestamp.tsval tcp.options.timestamp.tsecr"


def witness(path: Path, which: str = "tcp && !icmp && !icmpv6") -> list[tuple[str | int, ...]]:
    """What tshark reads: of tunnels and errors, the last header of a kind."""
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed")
    command = ["tshark", "-n", "-r", path, "-Y", which, "-T", "fields", "-E", "occurrence=l"]
    for setting in ("tcp.check_checksum", "ip.check_checksum", "ip.defragment", "ipv6.defragment"):
        command += ["-o", f"{setting}:TRUE"]
    for field in FIELDS.split():
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    rows = []
    for line in done.stdout.splitlines():
        number, time, src4, dst4, src6, dst6, ttl, hops, *rest, tsval, tsecr = line.split("\t")
        seconds, fraction = time.split(".")
        # The innermost is IPv6 when both are there, but for IPv4 in IPv6.
        rows.append(
            (
                int(number),
                int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9]),
                {str(ipaddress.ip_address(address)) for address in (src4, src6) if address},
                {str(ipaddress.ip_address(address)) for address in (dst4, dst6) if address},
                {int(limit) for limit in (ttl, hops) if limit},
                *(int(field, 0) for field in rest),
                int(tsval or 0),
                int(tsecr or 0),
            )
        )
    return rows


def address(hi: int, lo: int) -> str:
    whole = ipaddress.IPv6Address(hi << 64 | lo)
    return str(whole.ipv4_mapped or whole)


def assert_witnessed(read: Packets, path: Path) -> None:
    theirs = witness(path)
    #: tshark's word for a checksum: 0 bad, 1 good, 2 unverified.
    status = {CHECK_BAD: 0, CHECK_GOOD: 1, CHECK_CUT: 2}
    assert len(read.number) == len(theirs)
    for i, (number, time, sources, targets, limits, *rest) in enumerate(theirs):
        row = {name: int(column[i]) for name, column in read._asdict().items()}
        assert (row["number"], row["time"]) == (number, time)
        assert address(row["src_hi"], row["src_lo"]) in sources
        assert address(row["dst_hi"], row["dst_lo"]) in targets
        assert row["ttl"] in limits
        ours = [row[name] for name in ("sport", "dport", "seq", "ack", "flags", "window", "length")]
        assert [*ours, status[row["check"]], row["tsval"], row["tsecr"]] == rest, f"packet {number}"


def test_wireshark_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(zoo.pcapng(list(zoo.everything())))
    assert_witnessed(zoo.read(path)[0], path)


@pytest.mark.parametrize("name", sorted(zoo.layers().keys() - {"other protocols"}))
def test_there_is_something_to_read(packets: Reader, name: str) -> None:
    assert len(packets(*zoo.layers()[name]).number) > 0


def test_wireshark_reads_the_same_of_short_captures(tmp_path: Path) -> None:
    """Here 14 octets of Ethernet, 20 of IPv4 and 32 of TCP are kept; and what is not there cannot be verified."""
    path = tmp_path / "capture"
    path.write_bytes(zoo.pcap(zoo.layers()["ethernet"], snaplen=66))
    read, _ = zoo.read(path)
    assert read.length.tolist() == [1, 5, 9, 13]
    assert set(read.check.tolist()) == {CHECK_CUT}
    assert_witnessed(read, path)


def test_a_segment_that_is_not_there_as_a_whole_or_impossible(packets: Reader) -> None:
    whole = bytes(ipv4(segment(3)))
    read = packets(
        (zoo.RAW, whole),
        with_octet(whole, 32, 0x40),
        with_octet(whole, 32, 0xF0),
        bytes(ipv4(TCP(dataofs=6))),
    )
    assert read.broken.tolist() == [0, *[HEADER_BAD] * 3]
    assert read.sport.tolist() == [1027, 1027, 1027, 20]
    assert read.length.tolist() == [13, 0, 0, 0]
    assert read.check.tolist() == [CHECK_GOOD, *[CHECK_UNKNOWN] * 3]
    # 51 octets hold the headers up to the last octet but one of TCP's options, 39 not even the fixed part.
    assert packets(whole, snaplen=51).broken.tolist() == [HEADER_CUT]
    assert packets(whole, snaplen=52).broken.tolist() == [0]
    assert packets(whole, snaplen=40).broken.tolist() == [HEADER_CUT]
    assert packets(whole, snaplen=39).number.tolist() == []
    assert packets(bytes(ipv4(Raw(b"x" * 19), proto=6))).number.tolist() == []


def test_a_wrong_ip_header_is_dropped_unless_checksums_are_ignored(packets: Reader) -> None:
    wrong = bytes(ipv4(chksum=1))
    assert packets(wrong).number.tolist() == []
    assert packets(wrong, ignore_checksums=True).number.tolist() == [1]


def test_no_checksum_is_judged_when_they_are_ignored(packets: Reader) -> None:
    assert packets(bytes(ipv4(segment(chksum=1))), ignore_checksums=True).check.tolist() == [CHECK_UNKNOWN]


def test_a_length_of_zero_is_that_of_the_frame_when_checksums_are_ignored(packets: Reader) -> None:
    """What a network card was to cut up."""
    unsegmented = with_octet(with_octet(ether(ipv4(segment(3))), 16, 0), 17, 0)
    frame = (zoo.ETHERNET, unsegmented)
    assert packets(frame).number.tolist() == []
    assert packets(frame, ignore_checksums=True).length.tolist() == [13]


@pytest.mark.parametrize(
    "packet",
    [
        with_octet(bytes(ipv4()), 0, 0x44),
        with_octet(bytes(ipv4()), 0, 0x4F),
        with_octet(bytes(ipv4()), 0, 0x55),
        with_octet(bytes(ipv4()), 3, 19),
        with_octet(bytes(ipv4()), 3, 250),
        with_octet(bytes(ipv6()), 5, 250),
        bytes(ipv6())[:39],
        bytes(ipv6(nh=43))[:44],
        bytes(ipv6(IPv6ExtHdrRouting(len=200), segment())),
    ],
    ids=[
        "a header of 16 octets",
        "a header beyond the packet",
        "version 5",
        "shorter than its header",
        "longer than the packet was on the wire",
        "IPv6 longer than the packet was on the wire",
        "IPv6 without the end of its header",
        "an extension header that is cut off",
        "an extension header beyond the packet",
    ],
)
def test_no_packet_of_ip(packets: Reader, packet: bytes) -> None:
    assert packets(packet, ignore_checksums=True).number.tolist() == []


def test_the_last_destination_counts_while_a_routing_header_leads_there(packets: Reader) -> None:
    """Of the old type 0; its checksum is that of the last destination too (RFC 8200, 8.1)."""
    route = IPv6ExtHdrRouting(addresses=["2001:db8::7", "2001:db8::8"], segleft=1)
    read = packets(bytes(ipv6(route, segment())))
    assert address(int(read.dst_hi[0]), int(read.dst_lo[0])) == "2001:db8::8"
    assert read.check.tolist() == [CHECK_GOOD]


def test_tunnels_in_tunnels_are_followed_twice(packets: Reader) -> None:
    assert packets(bytes(ipv4(ipv4(ipv4())))).number.tolist() == [1]
    assert packets(bytes(ipv4(ipv4(ipv4(ipv4()))))).number.tolist() == []


def test_link_types_that_are_not_ours_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(zoo.pcapng([(105, b"wireless"), (RAW, bytes(ipv4())), (105, b"")]))
    (block,) = blocks(path)
    assert (block.records, block.foreign, len(block.packets.number)) == (3, 2, 1)


@pytest.mark.parametrize(
    "name", sorted(zoo.layers().keys() - {"fragments", "fragments backwards", "fragments of IPv6"})
)
def test_octets_that_are_not_there_are_not_read(tmp_path: Path, name: str) -> None:
    """Every packet, cut off at every place: what is read then is what the whole packet says, or nothing."""
    path = tmp_path / "capture"
    for link, octets in zoo.layers()[name]:
        writer = zoo.Pcapng()
        cuts = [writer.enhanced(0, 0, octets[:size], len(octets)) for size in range(len(octets) + 1)]
        path.write_bytes(writer.section() + writer.interface(link) + b"".join(cuts))
        read, _ = zoo.read(path)
        for column in ("sport", "dport", "seq", "ack", "window", "src_lo", "dst_lo", "ttl"):
            assert len(set(getattr(read, column).tolist())) <= 1
        # From the first octet that suffices on, every longer part does.
        assert read.number.tolist() == list(range(len(octets) + 2 - len(read.number), len(octets) + 2))


# Fragments


BIG = bytes(range(256)) * 20


def pieces(size: int = 1400, **fields: object) -> list[bytes]:
    return [bytes(piece) for piece in fragment(ipv4(segment() / Raw(BIG), **fields), size)]


def test_a_datagram_has_the_number_of_the_fragment_that_completed_it(packets: Reader) -> None:
    first, second, *rest = pieces()
    other = bytes(ipv4(segment(3)))
    read = packets(second, *rest, other, first, other)
    assert read.number.tolist() == [2 + len(rest), 3 + len(rest), 4 + len(rest)]
    assert read.length.tolist() == [13, 1 + len(BIG), 13]
    assert read.check.tolist() == [CHECK_GOOD] * 3


def test_fragments_of_several_datagrams_may_mix(packets: Reader) -> None:
    mixed = [piece for pair in zip(pieces(id=1), pieces(id=2), strict=True) for piece in pair]
    assert packets(*mixed).check.tolist() == [CHECK_GOOD] * 2


def test_what_came_first_stays_where_fragments_overlap(packets: Reader) -> None:
    first, *rest = pieces()
    second = rest[0]
    forged = bytes(IP(second[:20] + bytes(len(second) - 20)))
    assert packets(first, *rest[:1], forged, *rest[1:]).check.tolist() == [CHECK_GOOD]
    assert packets(first, forged, *rest).check.tolist() == [CHECK_BAD]


def test_of_fragments_that_were_cut_off_only_the_first_counts(packets: Reader) -> None:
    """And only what its own IP header says of its length."""
    read = packets(*pieces(), snaplen=100)
    assert (read.number.tolist(), read.length.tolist(), read.check.tolist()) == ([1], [1400 - 32], [CHECK_CUT])
    six = [bytes(piece) for piece in fragment6(ipv6(IPv6ExtHdrFragment(id=9), segment() / Raw(BIG)), 1280)]
    assert packets(*six, snaplen=100).number.tolist() == [1]


def test_fragments_that_never_become_whole_are_let_go() -> None:
    """However many there are, so many octets are held, and the oldest go first."""
    reassembly = Reassembly()
    first, *rest = pieces(5000)
    early, late = with_octet(first, 4, 1), with_octet(first, 4, 2)
    assert len(first) > 4096
    assert reassembly.add(early) is None
    for name in range(4000):
        if name == 3000:
            assert reassembly.add(late) is None
        assert reassembly.add(with_octet(with_octet(first, 12, name >> 8), 13, name & 0xFF)) is None
    end = rest[-1]
    assert reassembly.add(with_octet(end, 4, 1)) is None
    assert reassembly.add(with_octet(end, 4, 2)) is not None


# Errors of ICMP


def test_icmp_errors_tell_of_the_segment_that_they_quote(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(zoo.pcap(zoo.icmp_errors()))
    read, errors = zoo.read(path)
    assert len(read.number) == 0
    rows = [dict(zip(errors._fields, row, strict=True)) for row in zoo.listed(errors)]
    kinds = [(row["number"], row["version"], row["type"], row["code"]) for row in rows]
    assert kinds == [(1, 4, 3, 1), (2, 4, 11, 0), (3, 6, 1, 4), (4, 6, 2, 0)]
    for row in rows:
        assert (row["sport"], row["dport"], row["seq"]) == (1026, 80, 2**32 - 3)
        senders = {4: ("192.0.2.254", "10.0.0.1", "192.0.2.200"), 6: ("2001:db8::ff", "2001:db8::1", "fe80::ffff:1")}
        found = tuple(address(row[f"{which}_hi"], row[f"{which}_lo"]) for which in ("from", "src", "dst"))
        assert found == senders[row["version"]]
    assert [row["time"] for row in rows] == [zoo.START + i * zoo.STEP for i in range(4)]


def test_an_icmp_error_with_a_wrong_checksum_or_a_short_quote_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    frames = [(link, with_octet(octets, len(octets) - 1, octets[-1] ^ 1)) for link, octets in zoo.icmp_errors()]
    path.write_bytes(zoo.pcap(frames))
    assert zoo.read(path)[1].number.tolist() == []
    assert zoo.read(path, ignore_checksums=True)[1].number.tolist() == [1, 2, 3, 4]
    path.write_bytes(zoo.pcap(zoo.icmp_errors(), snaplen=55))
    assert zoo.read(path)[1].number.tolist() == []
    path.write_bytes(zoo.pcap(zoo.icmp_errors(), snaplen=56))
    assert zoo.read(path)[1].number.tolist() == [1, 2]


# Checksums


@pytest.mark.parametrize("fast", [False, True])
def test_the_sum_of_words_wherever_they_begin(fast: bool) -> None:
    octets = bytes(range(200, 256)) + b"\xff" * 9 + b"\0"
    data = np.frombuffer(octets, np.uint8)
    for start in range(8):
        for end in range(start, len(octets)):
            part = octets[start:end] + bytes((end - start) % 2)
            expected = sum(struct.unpack(f">{len(part) // 2}H", part)) % 0xFFFF
            assert ready(ones, fast)(data, data.view(np.uint16), start, end) == expected
