"""What the rules see of a capture: columns, one row per packet that reached TCP, and few others, block by block.

A block is a stretch of the capture of limited size. Its tables are named tuples of numpy arrays, so that kernels
(`compiled.py`) read `packets.seq[i]`. The columns of a table are equally long: `len(packets.number)` is the number of
rows, and `len(packets)` only that of columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeVar, get_type_hints

import numpy as np

Int64 = Annotated[Any, np.int64]
UInt64 = Annotated[Any, np.uint64]
UInt32 = Annotated[Any, np.uint32]
UInt16 = Annotated[Any, np.uint16]
UInt8 = Annotated[Any, np.uint8]

#: The TCP checksum: not verified, as nobody asked; right; wrong; not verified, as the segment was not captured whole.
CHECK_UNKNOWN, CHECK_GOOD, CHECK_BAD, CHECK_CUT = 0, 1, 2, 3
#: What `Packets.broken` says of the TCP header: it is impossible; it is there in part, as the rest was not captured.
HEADER_BAD, HEADER_CUT = 1, 2


class Packets(NamedTuple):
    """Packets of TCP, in the order of the capture."""

    #: Place in the file, from 1, as Wireshark's frame.number. Of a datagram in fragments, the one that completed it.
    number: Int64
    #: Nanoseconds since 1970.
    time: Int64
    #: Addresses as 128 bits, those of IPv4 as ::ffff:a.b.c.d.
    src_hi: UInt64
    src_lo: UInt64
    dst_hi: UInt64
    dst_lo: UInt64
    sport: UInt16
    dport: UInt16
    seq: UInt32
    ack: UInt32
    #: The 12 bits beside the data offset: FIN is 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128, AE 256.
    flags: UInt16
    #: As written, not scaled.
    window: UInt16
    #: Octets of payload by the IP header: more than were captured, if the capture was cut short; never padding.
    length: Int64
    #: Of IPv6 the hop limit, and 0.
    ttl: UInt8
    ip_id: UInt16
    #: CHECK_UNKNOWN, CHECK_GOOD, CHECK_BAD or CHECK_CUT.
    check: UInt8
    #: HEADER_BAD when the header is impossible (data offset below 5 words, or beyond the segment), HEADER_CUT when not
    #: all of it was captured. Ports and what follows are as read, `length` is 0.
    broken: UInt8
    #: The timestamps option (RFC 7323, 3), 0 without.
    tsval: UInt32
    tsecr: UInt32
    has_ts: UInt8


class IcmpErrors(NamedTuple):
    """ICMP and ICMPv6 errors that quote a TCP segment, in the order of the capture.

    src, dst, sport, dport and seq are those of the quoted segment: the error is on its way to src.
    """

    number: Int64
    time: Int64
    #: 4 for ICMP, 6 for ICMPv6.
    version: UInt8
    type: UInt8
    code: UInt8
    #: Who sent the error.
    from_hi: UInt64
    from_lo: UInt64
    src_hi: UInt64
    src_lo: UInt64
    dst_hi: UInt64
    dst_lo: UInt64
    sport: UInt16
    dport: UInt16
    seq: UInt32


@dataclass(slots=True)
class Block:
    """A stretch of a capture."""

    packets: Packets
    errors: IcmpErrors
    #: Packets of any kind in this stretch, and the latest time of theirs (None if there is none), in nanoseconds.
    records: int
    latest: int | None
    #: Packets whose link type is none that we can read.
    foreign: int
    #: Whether the capture is big enough for compiled kernels: the second argument of `compiled.ready`.
    fast: bool


T = TypeVar("T", bound=NamedTuple)


def room(table: type[T], rows: int) -> T:
    """A table of `rows` rows of zeros."""
    return table._make(np.zeros(rows, kind) for kind in _kinds(table))


@cache
def _kinds(table: type[NamedTuple]) -> list[Any]:
    hints = get_type_hints(table, include_extras=True)
    return [hints[name].__metadata__[0] for name in table._fields]


def rows(table: T, chosen: Any) -> T:
    """The rows of a slice, or of an array of places, as a table."""
    return table._make(column[chosen] for column in table)
