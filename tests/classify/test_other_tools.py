"""tshark sees the same connections in a generated capture: how many, and what was in each."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks import captures
from tcpclose.classify import Release, classify

FIELDS = "tcp.stream ip.src ipv6.src tcp.srcport ip.dst ipv6.dst tcp.dstport tcp.flags tcp.completeness".split()  # noqa: SIM905
FIN, RST = 1, 4

pytestmark = pytest.mark.slow

#: Bits of tcp.completeness, and the letters of history that mean the same. (Its ACK is that of the handshake.)
COMPLETENESS = {1: "S", 2: "H", 8: "D", 16: "F", 32: "R"}
#: tshark looks for the SYN first; calls text with the FIN data; believes wrong checksums.
UNLIKE = {
    "SYN-ACK first",
    "server's half of the capture",
    "text with the FIN",
    "simultaneous open",
    "bad checksum on the way",
}

#: Of these timers make two connections, where tshark has one.
TIMED = {"unanswered", "client's half of the capture", "silence for longer than a timer"}

Tuple = frozenset[tuple[str, int]]


class Seen(NamedTuple):
    stream: int
    flags: int
    completeness: int


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> tuple[dict[Tuple, list[Seen]], dict[Tuple, list[Release]], dict[Tuple, str]]:
    """By 4-tuple: its packets as tshark tells them, its connections as we do, and the kind that was generated."""
    path: Path = tmp_path_factory.mktemp("tools") / "capture.pcap"
    rows = captures.generate(path, 10_000, seed=5)
    command = ["tshark", "-2", "-r", str(path), "-T", "fields", "-E", "separator=,"]
    command += [word for name in FIELDS for word in ("-e", name)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200).stdout
    packets, kinds, ours = defaultdict(list), {}, defaultdict(list)
    for line, row in zip(said.splitlines(), rows, strict=True):
        stream, src4, src6, sport, dst4, dst6, dport, flags, completeness = line.split(",")
        key = frozenset(((src4 or src6, int(sport)), (dst4 or dst6, int(dport))))
        packets[key].append(Seen(int(stream), int(flags, 16), int(completeness)))
        kinds[key] = captures.KINDS[row["kind"]].name
    for release in classify(path):
        ours[frozenset(((release.src, release.sport), (release.dst, release.dport)))].append(release)
    return packets, ours, kinds


def test_the_same_tuples_and_as_many_connections(seen) -> None:
    packets, ours, kinds = seen
    assert packets.keys() == ours.keys()
    for key in packets:
        if kinds[key] not in UNLIKE | TIMED:
            assert len({packet.stream for packet in packets[key]}) == len(ours[key]), kinds[key]


def test_as_many_packets(seen) -> None:
    packets, ours, kinds = seen
    for key in packets:
        if kinds[key] not in UNLIKE:
            assert sum(one.orig_packets + one.resp_packets for one in ours[key]) == len(packets[key]), kinds[key]


def test_fins_and_resets_are_where_tshark_sees_them(seen) -> None:
    packets, ours, _ = seen
    for key in packets:
        letters = {letter.upper() for one in ours[key] for letter in one.history}
        for bit, letter in ((FIN, "F"), (RST, "R")):
            assert any(packet.flags & bit for packet in packets[key]) == (letter in letters)


def test_letters_say_what_completeness_says(seen) -> None:
    packets, ours, kinds = seen
    compared = 0
    for key in packets:
        if len(ours[key]) == 1 and kinds[key] not in UNLIKE:
            compared += 1
            letters = ours[key][0].history.upper()
            bits = sum(bit for bit, letter in COMPLETENESS.items() if letter in letters)
            assert packets[key][0].completeness & ~4 == bits, (kinds[key], letters)
    assert compared > 800
