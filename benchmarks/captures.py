"""Big captures with every kind of release: `python -m benchmarks.captures --packets 2000000 --out big.pcap`.

Connections follow the scripts of `KINDS`, with addresses, ports, sequence numbers, lengths and times of their own, one
second in the middle of the next. Checksums are right, except where a script says otherwise. The same seed gives the
same file.

The words of a script, in the order of the capture:
    >S. <P.     a segment of the client (>) or the server (<) with these flags, as tcpdump writes them; P carries text
    (>P.)       sent, but not in the capture
    EXCHANGES   requests and their answers, as many as the capture needs
    7s          silence, beside the usual time between segments
    again       the same addresses and ports from here on, with new initial sequence numbers
Behind the flags of a segment: ~ sent again, as the one before of this side; - overtakes the packet before; ! its
checksum is wrong; 0 its window is zero; k a keepalive, one before the next sequence number; z its sequence number is 0.
"""

from __future__ import annotations

import argparse
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

EXCHANGE = ">P. <. <P. <P. >."
OPEN = ">S <S. >. "


@dataclass(frozen=True)
class Kind:
    """One way in which connections of the capture live and end. `states`: Zeek's conn_state of each of its rows."""

    name: str
    weight: float
    script: str
    states: str

    def words(self, exchanges: int) -> list[str]:
        return self.script.replace("EXCHANGES", " ".join([EXCHANGE] * exchanges)).split()

    def size(self, exchanges: int) -> int:
        """How many packets it has in the capture."""
        return sum(word[0] in "<>" for word in self.words(exchanges))


KINDS = (
    Kind("client closes first", 25, OPEN + "EXCHANGES >F. <. <F. >.", "SF"),
    Kind("server closes first", 15, OPEN + "EXCHANGES <F. >. >F. <.", "SF"),
    Kind("three segments", 12, OPEN + "EXCHANGES >F. <F. >.", "SF"),
    Kind("text with the FIN", 3, OPEN + "EXCHANGES <FP. >. >F. <.", "SF"),
    Kind("simultaneous close", 1, OPEN + "EXCHANGES >F. <F. >. <.", "SF"),
    Kind("half-closed, then closed", 2, OPEN + "EXCHANGES >F. <. <P. >. <P. >. 8s <F. >.", "SF"),
    Kind("half-closed by the client for ever", 0.7, OPEN + "EXCHANGES >F. <. <P. >.", "S2"),
    Kind("half-closed by the server for ever", 0.7, OPEN + "EXCHANGES <F. >. >P. <.", "S3"),
    Kind("FIN sent again", 1, OPEN + "EXCHANGES >F. 1s >F.~ 1s >F.~ <F. >.", "SF"),
    Kind("retransmission", 4, OPEN + "EXCHANGES >P. 1s >P.~ <. >F. <F. >.", "SF"),
    Kind("reordering", 2, OPEN + "EXCHANGES >P. >P.- <. >F. <F. >.", "SF"),
    Kind("lost on the way to the capture", 1, OPEN + "EXCHANGES (>P.) <. >F. <F. >.", "SF"),
    Kind("zero window", 1, OPEN + "EXCHANGES >P. <.0 1s >.k <.0 1s <. >P. <. >F. <F. >.", "SF"),
    Kind("keepalives", 1, OPEN + "EXCHANGES 20s >.k <. 20s >.k <. >F. <F. >.", "SF"),
    Kind("bad checksum on the way", 1, OPEN + "EXCHANGES >P.! 1s >P.~ <. >F. <F. >.", "SF"),
    Kind("reset by the client", 4, OPEN + "EXCHANGES >R.", "RSTO"),
    Kind("reset by the server", 3, OPEN + "EXCHANGES <R.", "RSTR"),
    Kind("FIN, then RST, by the client", 1, OPEN + "EXCHANGES >F. <. >R.", "RSTO"),
    Kind("text after close, answered by RST", 1, OPEN + "EXCHANGES >F. <. <P. >R", "RSTO"),
    Kind("FIN, answered by RST", 1, OPEN + "EXCHANGES >F. <R.", "RSTR"),
    Kind("RST after both FINs", 1, OPEN + "EXCHANGES >F. <F. >. >R.", "SF"),
    Kind("both reset", 0.5, OPEN + "EXCHANGES >P. <. >R. <R.", "RSTR"),
    Kind("refused", 4, ">S <R.z", "REJ"),
    Kind("refused three times", 1, ">S <R.z 1s again >S <R.z 1s again >S <R.z", "REJ REJ REJ"),
    Kind("unanswered", 3, ">S 1s >S~ 2s >S~ 4s >S~", "S0 S0"),
    Kind("scanned, and no answer", 2, ">S", "S0"),
    Kind("scanned, half open", 1, ">S <S. >R", "RSTO"),
    Kind("given up before the answer", 0.5, ">S 1s >R", "RSTOS0"),
    Kind("open at the end", 3, OPEN + "EXCHANGES", "S1"),
    Kind("silence for longer than a timer", 0.3, OPEN + "EXCHANGES 400s >P. <. >F. <F. >.", "S1 SF"),
    Kind("ports used again", 1, OPEN + "EXCHANGES >F. <F. >. 1s again " + OPEN + "EXCHANGES >F. <F. >.", "SF SF"),
    Kind("rebooted, and the ports used again", 0.3, OPEN + "EXCHANGES again >S <. >R 3s >S~ <S. >.", "S1 RSTOS0 S1"),
    Kind("from the middle, to FIN", 0.7, "EXCHANGES >F. <F. >.", "SF"),
    Kind("from the middle, to RST", 0.3, ">P. <. EXCHANGES <R.", "RSTRH"),
    Kind("client's half of the capture", 0.5, ">S (<S.) >. >P. 7s >P. >F. (<F.) >.", "S0 SH"),
    Kind("server's half of the capture", 0.5, "(>S) <S. (>P.) <P. <F. (>F.) <.", "SHR"),
    Kind("SYN-ACK first", 0.2, ">S <S.- >. EXCHANGES >F. <F. >.", "SF"),
    Kind("simultaneous open", 0.1, ">S <S >S.~ <S.~ EXCHANGES >F. <F. >.", "S0 SF"),
)

WORD = re.compile(r"(\()?([<>])([FSRP.]+)([-~!0kz]*)\)?|(\d+)s|(again)")
FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, ".": 16}
FIN, SYN, RST, PSH = 1, 2, 4, 8
SERVER_PORTS = (443, 80, 22, 25, 3306, 8080, 5432, 12345)
IPV6_SHARE, RATE, START = 0.2, 400, 1_767_225_600_000_000  # connections a second; microseconds since 1970
TEXT = np.random.default_rng(0).integers(0, 256, 65536, np.uint8)  # what all connections send, from some place on
WORDS = np.concatenate([[0], np.cumsum(TEXT.view(">u2").astype(np.int64))])  # for sums of any part

#: One packet of the capture. `connection` counts from 0, `server` tells whose it is, `place` where in TEXT it begins.
WIDTHS = {
    "i8": ("time",),
    "i4": ("connection",),
    "u4": ("seq", "ack"),
    "u2": ("window", "length", "place"),
    "u1": ("kind", "server", "flags", "wrong"),
}
PACKET = np.dtype([(name, width) for width, names in WIDTHS.items() for name in names])


def lives(kind: int, exchanges: int, connections: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The packets of connections that follow one script, word by word: an array for each segment captured."""
    count = len(connections)
    now = before = START + (connections + rng.random(count)) * 1_000_000 // RATE
    trip = 500 + rng.lognormal(9, 1, count).astype(np.int64)  # microseconds, there or back
    nxt = list(rng.integers(0, 2**32, (2, count)))
    last = [(nxt[0], 0), (nxt[1], 0)]
    previous = None
    for word in KINDS[kind].words(exchanges):
        match = WORD.fullmatch(word)
        assert match, word
        missing, arrow, flags, marks, seconds, _ = match.groups()
        if seconds:
            now = now + int(seconds) * 1_000_000
            continue
        if not arrow:
            nxt = list(rng.integers(0, 2**32, (2, count)))
            continue
        side = int(arrow == "<")
        now = now + (trip if side != previous else rng.integers(5, 300, count))
        previous = side
        packet = np.zeros(count, PACKET)
        packet["connection"], packet["kind"], packet["server"] = connections, kind, side
        packet["flags"] = ctl = sum(FLAGS[flag] for flag in flags)
        packet["time"] = before - 1 if "-" in marks else now
        packet["length"] = length = text_lengths(side, count, rng) if ctl & PSH else 0
        packet["place"] = rng.integers(0, 30000, count) * 2
        seq = nxt[side]
        if "~" in marks:
            seq, packet["length"] = last[side]
        elif "k" in marks:
            seq = seq - 1
        else:
            last[side] = (seq, length)
            nxt[side] = seq + length + bool(ctl & SYN) + bool(ctl & FIN)
        packet["seq"] = 0 if "z" in marks else seq % 2**32
        packet["ack"] = nxt[1 - side] % 2**32 if "." in flags else 0
        packet["window"] = 0 if "0" in marks or ctl & RST else 501 + side
        packet["wrong"] = "!" in marks
        before = now
        if not missing:
            yield packet


def text_lengths(side: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Requests are short; answers are full segments or anything."""
    if side == 0:
        return rng.integers(20, 600, count)
    return np.where(rng.random(count) < 0.3, 1448, rng.integers(1, 1000, count))


def packets(
    count: int, connections: int, seed: int = 1, kinds: tuple[int, ...] = tuple(range(len(KINDS)))
) -> np.ndarray:
    """About that many packets (of `kinds` without EXCHANGES: as many as they have), ordered by time."""
    rng = np.random.default_rng(seed)
    weights = np.array([KINDS[kind].weight for kind in kinds], float)
    weights /= weights.sum()
    fixed, rounds = (np.array([KINDS[k].size(n) for k in kinds], float) for n in (0, 1))
    spare = count / connections - weights @ fixed
    mean = max(spare / max(weights @ (rounds - fixed), 1e-9), 0)
    of_kind = rng.choice(len(kinds), connections, p=weights)
    exchanges = np.minimum(rng.geometric(1 / (1 + mean), connections) - 1, 50)
    exchanges[(rounds == fixed)[of_kind]] = 0  # where it makes no difference, the kind is one group
    group = of_kind * 100 + exchanges
    order = np.argsort(group, kind="stable")
    found = []
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        found += lives(kinds[of_kind[members[0]]], int(exchanges[members[0]]), members, rng)
    rows = np.concatenate(found)
    return rows[np.argsort(rows["time"], kind="stable")]


def headers(rows: np.ndarray, seed: int, version: int) -> tuple[np.ndarray, np.ndarray]:
    """Record, Ethernet, IP and TCP headers of rows that share an IP version, and how long each of them is."""
    ip, tcp = 30, 30 + (20 if version == 4 else 40)
    table = np.zeros((len(rows), tcp + 40), np.uint8)

    def put(place: int, kind: str, values: object) -> None:
        size = np.dtype(kind).itemsize
        table[:, place : place + size] = np.asarray(values).astype(kind).reshape(-1, 1).view(np.uint8)

    ctl, length, server = rows["flags"], rows["length"].astype(np.int64), rows["server"].astype(bool)
    options = np.where(ctl & SYN, 20, np.where(ctl & RST, 0, 12))
    segment = 20 + options + length
    size = tcp - 16 + segment
    for place, values in ((0, rows["time"] // 10**6), (4, rows["time"] % 10**6), (8, size), (12, size)):
        put(place, "<u4", values)
    put(16, ">u4", 0x02000000), put(20, ">u2", 1 + server), put(22, ">u4", 0x02000000), put(26, ">u2", 2 - server)
    put(28, ">u2", 0x0800 if version == 4 else 0x86DD)

    # A client's address and port are its own; some hundreds of servers are known to all.
    own = rows["connection"].astype(np.int64)
    there = (own * 2654435761 + seed) % 2**32
    client, server_address = 0x0A000000 + own // 28000 * 256 + own % 250, 0xC6336400 + there % 200
    addresses = [np.where(server, server_address, client), np.where(server, client, server_address)]
    client_port, server_port = 32768 + own % 28000, np.array(SERVER_PORTS)[there % 997 % len(SERVER_PORTS)]
    if version == 4:
        put(ip, "u1", 0x45), put(ip + 2, ">u2", 20 + segment), put(ip + 4, ">u2", there + rows["time"] // 1000)
        put(ip + 6, ">u2", 0x4000), put(ip + 8, "u1", 64 - 12 * server), put(ip + 9, "u1", 6)
        put(ip + 12, ">u4", addresses[0]), put(ip + 16, ">u4", addresses[1])
        put(ip + 10, ">u2", folded(word_sum(table[:, ip : ip + 20])))
    else:
        put(ip, "u1", 0x60), put(ip + 4, ">u2", segment), put(ip + 6, "u1", 6), put(ip + 7, "u1", 64 - 12 * server)
        for place, address in ((ip + 8, addresses[0]), (ip + 24, addresses[1])):
            put(place, ">u4", 0x20010DB8), put(place + 12, ">u4", address)
    put(tcp, ">u2", np.where(server, server_port, client_port))
    put(tcp + 2, ">u2", np.where(server, client_port, server_port))
    put(tcp + 4, ">u4", rows["seq"]), put(tcp + 8, ">u4", rows["ack"]), put(tcp + 12, "u1", (20 + options) << 2)
    put(tcp + 13, "u1", ctl), put(tcp + 14, ">u2", rows["window"])
    stamp = struct.pack(">II", 1000, 0)
    syn = bytes.fromhex("020405b40402080a") + stamp + bytes.fromhex("01030307")
    for which, option in ((ctl & SYN != 0, syn), (ctl & (SYN | RST) == 0, bytes.fromhex("0101080a") + stamp)):
        table[which, tcp + 20 : tcp + 20 + len(option)] = np.frombuffer(option, np.uint8)
        where = tcp + 20 + option.index(b"\x08\x0a") + 2
        table[which, where : where + 4] = (rows["time"][which] // 1000).astype(">u4").reshape(-1, 1).view(np.uint8)
    total = word_sum(table[:, tcp:]) + word_sum(table[:, ip + (12 if version == 4 else 8) : tcp]) + 6 + segment
    place = rows["place"].astype(np.int64)
    total += WORDS[place // 2 + length // 2] - WORDS[place // 2]
    total += np.where(length % 2, TEXT[place + length - (length > 0)].astype(np.int64) << 8, 0)
    put(tcp + 16, ">u2", folded(total) ^ np.where(rows["wrong"], 0x5555, 0))
    return table, tcp + 20 + options


def word_sum(octets: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(octets).view(">u2").sum(axis=1, dtype=np.int64)


def folded(total: np.ndarray) -> np.ndarray:
    """The Internet checksum of sums of 16-bit words."""
    for _ in range(3):
        total = (total >> 16) + (total & 0xFFFF)
    return total ^ 0xFFFF


def write(rows: np.ndarray, path: Path, seed: int = 1, piece: int = 50_000) -> None:
    """The capture as a pcap file with microseconds, which every tool reads."""
    text = TEXT.tobytes()
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1))
        for begin in range(0, len(rows), piece):
            part = rows[begin : begin + piece]
            six = (part["connection"] * 7919 + seed) % 100 < 100 * IPV6_SHARE
            frames: list[bytes] = [b""] * len(part)
            for version, which in ((4, ~six), (6, six)):
                table, sizes = headers(part[which], seed, version)
                places, lengths = part["place"][which].tolist(), part["length"][which].tolist()
                rows_of_table = zip(np.flatnonzero(which).tolist(), table, sizes.tolist(), strict=True)
                for (index, row, size), place, length in zip(rows_of_table, places, lengths, strict=True):
                    frames[index] = row[:size].tobytes() + text[place : place + length]
            file.write(b"".join(frames))


def generate(path: Path, count: int, connections: int | None = None, seed: int = 1) -> np.ndarray:
    """Write a capture of at most `count` packets; a few connections are cut off by its end. Its packets."""
    connections = connections or max(count // 10, 1)
    rows = packets(round(count * 1.03), round(connections * 1.03), seed)[:count]
    write(rows, path, seed)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=2_000_000)
    parser.add_argument("--connections", type=int, help="a tenth of the packets")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    options = parser.parse_args()
    rows = generate(options.out, options.packets, options.connections, options.seed)
    octets = options.out.stat().st_size
    print(f"{len(rows):,} packets of {len(np.unique(rows['connection'])):,} connections, {octets:,} octets")


if __name__ == "__main__":
    main()
