"""Packets in every wrapping that `classify` reads, made by Scapy, and captures of them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from scapy.all import (
    AH,
    GRE,
    ICMP,
    IP,
    LLC,
    PPP,
    SNAP,
    TCP,
    UDP,
    VXLAN,
    Dot1AD,
    Dot1Q,
    Dot3,
    Ether,
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    IPOption_NOP,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Packet,
    PPPoE,
    Raw,
    fragment,
    fragment6,
)
from scapy.contrib.geneve import GENEVE
from scapy.contrib.mpls import MPLS

from tcpclose.classify.files import blocks
from tcpclose.classify.packets import IcmpErrors, Packets

T = TypeVar("T", Packets, IcmpErrors)

ETHERNET, NULL, PPP_LINK, PPP_HDLC, PPP_ETHER, C_HDLC = 1, 0, 9, 50, 51, 104
RAW, LOOP, SLL, SLL2, IPV4, IPV6 = 101, 108, 113, 276, 228, 229
LINKS = [ETHERNET, NULL, PPP_LINK, PPP_HDLC, PPP_ETHER, C_HDLC, RAW, LOOP, SLL, SLL2, IPV4, IPV6]

Frame = tuple[int, bytes]


def segment(number: int = 0, **fields: object) -> Packet:
    values: dict[str, object] = {
        "sport": 1024 + number,
        "dport": 80,
        "seq": (2**32 - 5 + number) % 2**32,
        "ack": 77,
        "flags": "PA",
    }
    stamps = [("NOP", None), ("NOP", None), ("Timestamp", (0xFFFFFF00 + number, 7))]
    values |= {"flags": "PA", "window": 500 + number, "options": stamps}
    return TCP(**(values | fields)) / Raw(b"text" * number + b"!")


def ipv4(inner: Packet | None = None, **fields: object) -> Packet:
    return IP(**({"src": "10.0.0.1", "dst": "192.0.2.200", "id": 0xABCD, "ttl": 61} | fields)) / (inner or segment())


def ipv6(*inner: Packet, **fields: object) -> Packet:
    packet = IPv6(**({"src": "2001:db8::1", "dst": "fe80::ffff:1", "hlim": 61} | fields))
    for layer in inner or (segment(),):
        packet /= layer
    return packet


def mac(kind: type[Packet] = Ether) -> Packet:
    return kind(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def ether(inner: Packet, *tags: Packet) -> bytes:
    frame = mac()
    for tag in tags:
        frame /= tag
    return bytes(frame / inner)


def sll(inner: Packet, ethertype: int = 0x0800) -> bytes:
    return struct.pack(">HHH8sH", 0, 1, 6, b"\2\0\0\0\0\1\0\0", ethertype) + bytes(inner)


def sll2(inner: Packet, ethertype: int = 0x0800) -> bytes:
    return struct.pack(">HHIHBB8s", ethertype, 0, 3, 1, 0, 6, b"\2\0\0\0\0\1\0\0") + bytes(inner)


def with_octet(packet: bytes, place: int, value: int) -> bytes:
    return packet[:place] + bytes([value]) + packet[place + 1 :]


@cache
def layers() -> dict[str, list[Frame]]:
    """Packets that are whole, and that Wireshark reads as we do."""
    tag = Dot1Q(vlan=5)
    big = bytes(range(256)) * 20
    return {
        "ethernet": [(ETHERNET, ether(ipv4(segment(n)))) for n in range(4)],
        "ethernet with IPv6": [(ETHERNET, ether(ipv6(segment(n)))) for n in range(4)],
        "VLAN": [(ETHERNET, ether(ipv4(), tag)), (ETHERNET, ether(ipv6(), tag))],
        "QinQ": [(ETHERNET, ether(ipv4(), Dot1AD(vlan=7), tag)), (ETHERNET, ether(ipv4(), tag, tag))],
        "802.3": [
            (
                ETHERNET,
                bytes(Dot3(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / LLC() / SNAP() / ipv4(segment(3))),
            )
        ],
        "padding": [(ETHERNET, ether(ipv4(TCP(sport=9, dport=80, flags="S"))) + b"\xee" * 6)],
        "PPPoE": [
            (ETHERNET, ether(PPPoE(sessionid=3) / PPP() / ipv4())),
            (ETHERNET, ether(PPPoE(sessionid=3) / PPP(proto=0x57) / ipv6(), tag)),
        ],
        "MPLS": [(ETHERNET, ether(MPLS(label=17, s=0) / MPLS(label=18, s=1) / ipv4()))],
        "PPP": [(PPP_LINK, b"\xff\x03\x00\x21" + bytes(ipv4())), (PPP_LINK, b"\x00\x57" + bytes(ipv6()))],
        "PPP in HDLC": [(PPP_HDLC, b"\xff\x03\x00\x21" + bytes(ipv4()))],
        "PPP over Ethernet": [(PPP_ETHER, bytes(PPPoE(sessionid=3) / PPP() / ipv4()))],
        "Cisco HDLC": [(C_HDLC, b"\x0f\x00\x08\x00" + bytes(ipv4()))],
        "NULL": [(NULL, b"\2\0\0\0" + bytes(ipv4())), (NULL, b"\0\0\0\x1e" + bytes(ipv6()))],
        "LOOP": [(LOOP, b"\0\0\0\2" + bytes(ipv4())), (LOOP, b"\0\0\0\x18" + bytes(ipv6()))],
        "cooked": [(SLL, sll(ipv4())), (SLL, sll(ipv6(), 0x86DD)), (SLL, sll(tag / ipv4(), 0x8100))],
        "cooked, version 2": [(SLL2, sll2(ipv4())), (SLL2, sll2(ipv6(), 0x86DD)), (SLL2, sll2(tag / ipv4(), 0x8100))],
        "raw": [(RAW, bytes(ipv4())), (RAW, bytes(ipv6()))],
        "raw IPv4": [(IPV4, bytes(ipv4()))],
        "raw IPv6": [(IPV6, bytes(ipv6()))],
        "IPv4 options": [(RAW, bytes(ipv4(options=[IPOption_NOP()] * 5)))],
        "extension headers": [
            (RAW, bytes(ipv6(IPv6ExtHdrHopByHop(), segment(2)))),
            (RAW, bytes(ipv6(IPv6ExtHdrDestOpt(), IPv6ExtHdrDestOpt(), segment(3)))),
            (RAW, bytes(ipv6(IPv6ExtHdrRouting(addresses=["2001:db8::7", "2001:db8::8"], segleft=0), segment()))),
            (RAW, bytes(ipv6(AH(nh=6, icv=b"x" * 12, payloadlen=4), segment()))),
        ],
        "fragments": [(RAW, bytes(piece)) for piece in fragment(ipv4(segment() / Raw(big)), 1400)],
        "fragments backwards": [(RAW, bytes(piece)) for piece in fragment(ipv4(segment() / Raw(big)), 1400)[::-1]],
        "fragments of IPv6": [
            (RAW, bytes(piece)) for piece in fragment6(ipv6(IPv6ExtHdrFragment(id=9), segment() / Raw(big)), 1280)
        ],
        "atomic fragment": [(RAW, bytes(ipv6(IPv6ExtHdrFragment(id=9), segment(2))))],
        "IP in IP": [(RAW, bytes(ipv4(ipv4(segment(2))))), (RAW, bytes(ipv6(ipv4(segment(2)), nh=4)))],
        "6in4": [(RAW, bytes(ipv4(ipv6(segment(2))))), (RAW, bytes(ipv6(ipv6(segment(2)))))],
        "GRE": [
            (RAW, bytes(ipv4(GRE() / ipv4()))),
            (RAW, bytes(ipv4(GRE(key_present=1, seqnum_present=1, chksum_present=1) / ipv6(segment(2))))),
            (RAW, bytes(ipv4(GRE(proto=0x6558) / mac() / ipv4(segment(2))))),
        ],
        "VXLAN": [(RAW, bytes(ipv4(UDP(sport=5, dport=4789) / VXLAN(flags=8, vni=3) / mac() / ipv4(segment(2)))))],
        "Geneve": [(RAW, bytes(ipv4(UDP(sport=5, dport=6081) / GENEVE(vni=3) / mac() / ipv4(segment(2)))))],
        "wrong checksum": [(RAW, bytes(ipv4(segment(2, chksum=1)))), (RAW, bytes(ipv6(segment(3, chksum=1))))],
        "odd places": [(ETHERNET, ether(ipv4(segment(n)))) for n in (1, 2)] + [(NULL, b"\2\0\0\0" + bytes(ipv4()))],
        "all flags": [(RAW, bytes(ipv4(segment(flags=flags, reserved=5)))) for flags in (0, 0x1FF, 0x155)],
        "options": [
            (RAW, bytes(ipv4(segment(options=[("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 2))])))),
            (RAW, bytes(ipv4(segment(options=[("EOL", None), ("Timestamp", (1, 2))])))),
            (RAW, bytes(ipv4(segment(options=[])))),
        ],
        "other protocols": [(RAW, bytes(ipv4(UDP(dport=53)))), (ETHERNET, b"\xff" * 12 + b"\x08\x06" + b"\0" * 46)],
    }


def icmp_errors() -> list[Frame]:
    lost4, lost6 = ipv4(segment(2)), ipv6(segment(2))
    return [
        (RAW, bytes(ipv4(ICMP(type=3, code=1) / lost4, src="192.0.2.254", dst="10.0.0.1"))),
        (RAW, bytes(ipv4(ICMP(type=11, code=0) / bytes(lost4)[:28], src="192.0.2.254", dst="10.0.0.1"))),
        (RAW, bytes(ipv6(ICMPv6DestUnreach(code=4) / lost6, src="2001:db8::ff", dst="2001:db8::1"))),
        (RAW, bytes(ipv6(ICMPv6PacketTooBig(mtu=1280) / lost6, src="2001:db8::ff", dst="2001:db8::1"))),
    ]


#: When the first packet was captured, and nanoseconds to each next one.
START, STEP = 1_700_000_000_123_456_000, 1_000_000


def pcap(frames: Sequence[Frame], big: bool = False, magic: int = 0xA1B2C3D4, snaplen: int = 262_144) -> bytes:
    """All frames are of the first one's link type."""
    order = ">" if big else "<"
    unit = 1 if magic == 0xA1B23C4D else 1000
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, frames[0][0] if frames else 1)
    for i, (_, octets) in enumerate(frames):
        seconds, rest = divmod(START + i * STEP, 10**9)
        out += struct.pack(order + "IIII", seconds, rest // unit, min(snaplen, len(octets)), len(octets))
        out += bytes(8 if magic == 0xA1B2CD34 else 0) + octets[:snaplen]
    return out


class Pcapng:
    """Blocks of a file of pcapng."""

    def __init__(self, big: bool = False) -> None:
        self._order = ">" if big else "<"

    def block(self, kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        length = struct.pack(self._order + "I", len(body) + 12)
        return struct.pack(self._order + "I", kind) + length + body + length

    def pack(self, form: str, *values: int) -> bytes:
        return struct.pack(self._order + form, *values)

    def section(self) -> bytes:
        return self.block(0x0A0D0D0A, self.pack("IHHq", 0x1A2B3C4D, 1, 0, -1))

    def interface(self, link: int, snaplen: int = 0, options: Iterable[tuple[int, bytes]] = ()) -> bytes:
        body = self.pack("HHI", link, 0, snaplen)
        for code, value in options:
            body += self.pack("HH", code, len(value)) + value + bytes(-len(value) % 4)
        return self.block(1, body)

    def enhanced(self, interface: int, ticks: int, octets: bytes, wire: int | None = None) -> bytes:
        times = (ticks >> 32, ticks & 0xFFFFFFFF)
        head = self.pack("IIIII", interface, *times, len(octets), len(octets) if wire is None else wire)
        return self.block(6, head + octets + bytes(-len(octets) % 4) + self.pack("HH", 0, 0))

    def simple(self, octets: bytes, wire: int | None = None) -> bytes:
        return self.block(3, self.pack("I", len(octets) if wire is None else wire) + octets)

    def old(self, interface: int, ticks: int, octets: bytes) -> bytes:
        head = self.pack("HHIIII", interface, 0, ticks >> 32, ticks & 0xFFFFFFFF, len(octets), len(octets))
        return self.block(2, head + octets)


def pcapng(frames: Sequence[Frame], big: bool = False) -> bytes:
    """Every link type is an interface."""
    kinds = sorted({link for link, _ in frames})
    writer = Pcapng(big)
    out = writer.section() + b"".join(map(writer.interface, kinds))
    for i, (link, octets) in enumerate(frames):
        out += writer.enhanced(kinds.index(link), (START + i * STEP) // 1000, octets)
    return out


def everything() -> Iterator[Frame]:
    for frames in layers().values():
        yield from frames
    yield from icmp_errors()


def read(path: Path, ignore_checksums: bool = False) -> tuple[Packets, IcmpErrors]:
    """All packets and errors of a capture that is not damaged."""
    found = list(blocks(path, ignore_checksums))
    return joined([block.packets for block in found]), joined([block.errors for block in found])


def joined(tables: Sequence[T]) -> T:
    return type(tables[0])._make(map(np.concatenate, zip(*tables, strict=True)))


def listed(table: NamedTuple) -> list[tuple[int, ...]]:
    """The rows, to be compared."""
    return list(zip(*(column.tolist() for column in table), strict=True))
