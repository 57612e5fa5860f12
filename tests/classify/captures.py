"""Captures for tests: written down as words, or built by hypothesis; as packets of the reference, and as pcap files.

The words of a script, in the order of the capture: `>S` and `<S.` are segments of the client and the server with the
flags that tcpdump would show, `>P100.` one with 100 octets of payload. (In parentheses: sent, but not captured.) `5s`
and `10ms` are silence, `again` gives new initial sequence numbers to both. Behind the flags of a segment: ~ sent again,
! bad checksum, ? broken header, 0 zero window, z sequence number 0, + far ahead (2**24), - before the one just sent.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random

from hypothesis import strategies as st
from zeek_reference import ACK, FIN, PSH, RST, SECOND, SYN, End, Packet

from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.segment import Segment
from tcpclose.wire.pcap import RAW
from tcpclose.wire.tcp import encode_tcp

START = 1_700_000_000 * SECOND
CLIENT, SERVER = ("10.0.0.1", 40000), ("10.0.0.2", 9999)
FLAGS = {"F": FIN, "S": SYN, "R": RST, "P": PSH, ".": ACK, "U": 32, "E": 64, "W": 128}
WORD = re.compile(
    r"(?P<lost>\()?(?P<arrow>[<>])(?P<flags>[FSRPUEW]*)(?P<length>\d*)(?P<ack>\.?)(?P<marks>[-~!?0z+]*)\)?"
)
SILENCE = re.compile(r"([\d.]+)(m?)s")


def script(
    words: str | Iterable[str],
    client: End = CLIENT,
    server: End = SERVER,
    isns: tuple[int, int] = (100, 300),
    start: int = START,
    step: int = 10_000_000,
) -> list[Packet]:
    """The packets of a script, `step` nanoseconds after each other."""
    found: list[Packet] = []
    ends, time, nxt, last = (client, server), start, list(isns), list(isns)
    for word in words.split() if isinstance(words, str) else words:
        if silence := SILENCE.fullmatch(word):
            time += round(float(silence[1]) * (SECOND // 1000 if silence[2] else SECOND)) - step
            continue
        if word == "again":
            nxt = [number + 1_000_000 for number in nxt]
            continue
        match = WORD.fullmatch(word)
        assert match, word
        side = int(match["arrow"] == "<")
        flags = sum(FLAGS[letter] for letter in match["flags"] + match["ack"])
        marks, length = match["marks"], int(match["length"] or 0)
        seq = last[side] if "~" in marks else nxt[side]
        seq = 0 if "z" in marks else seq + 2**24 * ("+" in marks) - ("-" in marks)
        packet = Packet(
            len(found) + 1,
            time,
            ends[side],
            ends[1 - side],
            flags,
            seq % 2**32,
            nxt[1 - side] % 2**32 if flags & ACK else 0,
            length,
            0 if "0" in marks else 1000,
            "!" in marks,
            "?" in marks,
        )
        if not set("~z+-") & set(marks):
            last[side], nxt[side] = seq, seq + length + bool(flags & SYN) + bool(flags & FIN)
        if not match["lost"]:
            found.append(packet)
        time += step
    return found


def merged(*captures: list[Packet]) -> list[Packet]:
    """One capture of several, by time."""
    packets = sorted((packet for capture in captures for packet in capture), key=lambda packet: packet.time)
    return numbered(packets)


def numbered(packets: Iterable[Packet]) -> list[Packet]:
    return [replace(packet, number=number) for number, packet in enumerate(packets, 1)]


# ---- as files


def octets(packet: Packet) -> bytes:
    """An IP packet, checksums right unless they are to be wrong."""
    segment = Segment(packet.seq, packet.ack, packet.flags, packet.window, bytes(packet.length))
    frame = bytearray(
        encode_tcp(Datagram(Endpoint(*packet.src), Endpoint(*packet.dst), segment), packet.number % 65536)
    )
    header = 40 if ":" in packet.src[0] else 20
    if packet.broken:
        frame[header + 12] &= 0x0F  # a data offset of no words at all
    if packet.bad:
        frame[header + 16] ^= 0x55
    return bytes(frame)


def write(packets: Iterable[Packet], path: Path) -> Path:
    """A pcap file of raw IP packets. What is cut was captured up to the end of the TCP header."""
    records = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, RAW)]
    for packet in packets:
        whole = octets(packet)
        kept = whole[: len(whole) - packet.length] if packet.cut else whole
        records += [struct.pack("<IIII", *divmod(packet.time, SECOND), len(kept), len(whole)), kept]
    path.write_bytes(b"".join(records))
    return path


def cut(packets: Iterable[Packet]) -> list[Packet]:
    """As a short snap length leaves them: nobody can tell whether the checksum of a cut segment is right."""
    return [replace(packet, cut=True, bad=False) if packet.length else packet for packet in packets]


# ---- by chance: that of hypothesis, which finds the smallest example, or of `random`, which is quick

#: Around every timer: before, at and behind its time.
EDGES = [0, 1, 1000, 10**6, 10**8, SECOND, 3 * SECOND]
EDGES += [seconds * SECOND + more for seconds in (5, 6, 60, 300, 3600) for more in (-1, 0, 1)]
ISNS = [0, 1, 100, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 150]
PORTS = [22, 23, 80, 443, 8080, 9999, 40000, 40001]
HOSTS = [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")]
USUAL_FLAGS = [SYN, SYN | ACK, ACK, ACK | PSH, FIN | ACK, RST, RST | ACK]
ODD_FLAGS = [0, FIN, PSH, SYN | FIN, SYN | RST, FIN | RST, SYN | FIN | ACK, SYN | RST | ACK, SYN | FIN | RST]
OFFSETS = [0, 0, 1, 1, 2, 101, 102, 201, 202, -1, 2**20, 2**20 + 2, 2**31 + 5]
LENGTHS = [0, 0, 0, 1, 100, 200]


def ends(chance: Random) -> tuple[End, End]:
    client, server = chance.choice(HOSTS)
    return (client, chance.choice(PORTS)), (server, chance.choice(PORTS))


def anything(chance: Random) -> list[Packet]:
    """Packets of few tuples with any flags, around few sequence numbers, with any silence between them."""
    tuples = [ends(chance) for _ in range(chance.choice([1, 1, 2]))]
    isns = chance.choice(ISNS), chance.choice(ISNS)
    time, packets = START, []
    for _ in range(chance.randint(1, 16)):
        pair, side, luck = chance.choice(tuples), chance.randint(0, 1), chance.randint(0, 30)
        packet = Packet(
            0,
            time,
            pair[side],
            pair[1 - side],
            chance.choice(USUAL_FLAGS if luck > 8 else ODD_FLAGS),
            (isns[side] + chance.choice(OFFSETS)) % 2**32,
            (isns[1 - side] + chance.choice(OFFSETS)) % 2**32,
            chance.choice(LENGTHS),
            0 if luck % 8 == 0 else 1000,
            luck == 29,
            luck == 30,
        )
        packets.append(packet)
        time += chance.choice([10**6, *EDGES]) if chance.randint(0, 3) == 0 else 10**6
    return numbered(packets)


OPENINGS = [">S <S. >.", ">S <S. >.", ">S >S~ <S. >.", ">S <S.", ">S", "<S. >S~ >.", ">S <S >S.~ <S.~", ">S10 <S. >."]
OPENINGS += ["", ">S <.", "(>S) <S. >.", ">S (<S.) >.", ">S!", "<S.", ">S <S. <S.~ >.", ">S again >S <S. >."]
TALKS = [
    ">P100. <.",
    "<P100. >.",
    ">P100. <P200. >.",
    ">P100. >P100.~ <.",
    "(>P100.) <.",
    ">P100.! >P100.~ <.",
    ">P1.-",
]
TALKS += [
    ">P50. (>P50.) >P50. <.",
    "<.0 >.- <.0 1s <.",
    ">P100.? >P100.~",
    ">P100.+ <.",
    "<P9. " * 12 + ">.",
    "5s",
    "400s",
]
TALKS += ["(>P1.) >P9000. >P9000. <.", "(<P1.) <P9000. <P9000.~ <P7000. >.", ">P9000. (<P9.) >."]
TALKS += ["<P9. " + "<P9.~ " * 11, "(<P9.) >. " * 11, "<.0 " * 10]
ENDINGS = [
    ">F. <. <F. >.",
    "<F. >. >F. <.",
    ">F. <F. >.",
    ">F. <F. >. <.",
    ">F. <.",
    "<F. >.",
    ">R",
    "<R",
    "<R.z",
    ">R.+",
]
ENDINGS += [
    ">F. >R.",
    ">F. <R",
    "<F. <R >F.",
    ">F. >R <F.",
    ">F. >F.~ <F.",
    ">R >R",
    "<R >R",
    ">FR.",
    "<FP30. >F.",
    "<R5.",
]
ENDINGS += [">F. <P100. >R", ">F. <F. >R <R", "", ">F. (<F.) >.", "(>F.) <.", "<F20. <F20.~ <F.~"]
AFTERWARDS = [
    "",
    "",
    "again",
    ">.",
    "<P10.",
    "5s",
    "6s >.",
    "61s",
    "300s",
    "3600s <.",
    "again >S <R.z",
    ">S~ <S.",
    "<R",
]


def life(chance: Random) -> list[Packet]:
    """A connection's life, and maybe the next one on the same ports, spoilt on its way to the capture."""
    words: list[str] = []
    for _ in range(chance.randint(1, 2)):
        parts = [chance.choice(OPENINGS), *(chance.choice(TALKS) for _ in range(chance.randint(0, 3)))]
        words += [word for part in (*parts, chance.choice(ENDINGS), chance.choice(AFTERWARDS)) for word in part.split()]
    client, server = ends(chance)
    isns = chance.choice(ISNS), chance.choice(ISNS)
    start = START + chance.randint(0, 10) * SECOND
    packets = script(words, client, server, isns, start, chance.choice([10**6, SECOND, 2 * SECOND]))
    for _ in range(chance.randint(0, 3)):
        packets = spoilt(chance, packets)
    one_sided = chance.choice([None] * 8 + [client, server])
    return [packet for packet in packets if one_sided in (None, packet.src)]


def spoilt(chance: Random, packets: list[Packet]) -> list[Packet]:
    """One packet lost, doubled, late or damaged, with other flags, or the first ones missing."""
    if not packets:
        return packets
    place = chance.randint(0, len(packets) - 1)
    before, packet, after = packets[:place], packets[place], packets[place + 1 :]
    match chance.choice(["lost", "doubled", "late", "bad", "broken", "flags", "from the middle", "silence"]):
        case "lost":
            return before + after
        case "doubled":
            return [*before, packet, packet, *after]
        case "late":
            further = chance.randint(1, 3)
            kept = after[:further]
            late = replace(packet, time=kept[-1].time if kept else packet.time)
            return [*before, *kept, late, *after[further:]]
        case "bad":
            return [*before, replace(packet, bad=True), *after]
        case "broken":
            return [*before, replace(packet, broken=True), *after]
        case "flags":
            return [*before, replace(packet, flags=chance.choice(ODD_FLAGS + USUAL_FLAGS)), *after]
        case "from the middle":
            return [packet, *after]
        case _:
            longer = chance.choice(EDGES)
            return [*before, packet, *(replace(later, time=later.time + longer) for later in after)]


def capture(chance: Random) -> list[Packet]:
    """Anything, or lives of connections one in the middle of the other."""
    packets = anything(chance) if chance.randint(0, 1) else merged(*(life(chance) for _ in range(chance.randint(1, 3))))
    return packets if chance.randint(0, 9) else cut(packets)


captures = st.builds(capture, st.randoms(use_true_random=False))
