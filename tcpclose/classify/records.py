"""The records of pcap and pcapng files in a stretch of octets (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

from typing import Any, NamedTuple

from .compiled import kernel
from .packets import Int64

#: The longest packet that a record may hold (libpcap's MAXIMUM_SNAPLEN), and the longest block of pcapng (its
#: INITIAL_MAX_BLOCKSIZE). A record that claims more is damage, and never makes us ask for memory.
LONGEST_PACKET = 262_144
LONGEST_BLOCK = 16 * 1024 * 1024

#: Why a reader of records stopped: the record that is next is not there as a whole; the table is full; it is a
#: section header or interface description, which change how to read on; or it is damaged, in one of these ways.
CUT, FULL, ANNOUNCED, TOO_LONG, NO_BLOCK, NO_INTERFACE, NO_SECTION, BAD_INTERFACE = range(8)

MOST_INTERFACES = 65_536

SECTION_HEADER, INTERFACE, OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 6

#: Octets before the packet: of a simple packet's block, and of the two others.
_SIMPLE_HEADER, _HEADER = 12, 28

#: The last nanosecond that 64 bits can tell is in the year 2262.
_LAST = 2**63 - 1
#: Seconds beyond all that can be told.
FAR = 10_000_000_000
#: The finest clocks whose ticks we can count: 10**-18 and 2**-62 seconds.
FINEST_DECIMAL, FINEST_BINARY = 18, 62


class Records(NamedTuple):
    """Captured packets of any kind, and where they are in the stretch of octets."""

    number: Int64
    time: Int64
    #: LINKTYPE_*, the name that capture files have for how the packet begins.
    link: Int64
    start: Int64
    #: Octets that were captured, and octets that were on the wire.
    captured: Int64
    wire: Int64


class Interfaces(NamedTuple):
    """The interfaces of a section of a pcapng file."""

    link: Int64
    snaplen: Int64
    #: A tick of its clock is multiplier / divisor nanoseconds; or a second / 2**bits, where multiplier is 0.
    multiplier: Int64
    divisor: Int64
    bits: Int64
    #: What its times count from, in seconds since 1970, within FAR.
    epoch: Int64


@kernel
def word(data: Any, at: int, big: bool) -> int:
    """The 32 bits at a place, most significant octet first if `big`."""
    if big:
        return int(data[at] * 0x1000000 + data[at + 1] * 0x10000 + data[at + 2] * 0x100 + data[at + 3])
    return int(data[at + 3] * 0x1000000 + data[at + 2] * 0x10000 + data[at + 1] * 0x100 + data[at])


@kernel
def nanoseconds(seconds: int, rest: int) -> int:
    """Since 1970, held within what 64 bits can tell."""
    if seconds > 9_223_372_035:
        return _LAST
    if seconds < -9_223_372_035:
        return -_LAST
    return seconds * 1_000_000_000 + rest


@kernel
def pcap_records(
    data: Any, at: int, big: bool, unit: int, header: int, link: int, number: int, records: Records
) -> tuple[int, int, int]:
    """Fill `records` from `at` on: how many they are, where the next one begins, and why we stopped there."""
    count, end = 0, len(data)
    while count < len(records.number):
        if at + header > end:
            return count, at, CUT
        captured = word(data, at + 8, big)
        if captured > LONGEST_PACKET:
            return count, at, TOO_LONG
        if at + header + captured > end:
            return count, at, CUT
        records.number[count] = number + count
        records.time[count] = nanoseconds(word(data, at, big), word(data, at + 4, big) * unit)
        records.link[count] = link
        records.start[count] = at + header
        records.captured[count] = captured
        records.wire[count] = word(data, at + 12, big)
        count += 1
        at += header + captured
    return count, at, FULL


@kernel
def pcapng_records(
    data: Any,
    at: int,
    big: bool,
    interfaces: Interfaces,
    known: int,
    number: int,
    records: Records,
    count: int,
) -> tuple[int, int, int]:
    """As `pcap_records`, after `count` records that are there already, with the `known` interfaces of the section.

    Blocks without packets are passed over.
    """
    end = len(data)
    while count < len(records.number):
        if at + 12 > end:
            return count, at, CUT
        kind = word(data, at, big)
        if kind in (SECTION_HEADER, INTERFACE):
            return count, at, ANNOUNCED
        length = word(data, at + 4, big)
        if length > LONGEST_BLOCK:
            return count, at, TOO_LONG
        if length < 12 or length % 4:
            return count, at, NO_BLOCK
        if at + length > end:
            return count, at, CUT
        if word(data, at + length - 4, big) != length:
            return count, at, NO_BLOCK
        if kind in (OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET):
            trouble = _packet(data, at, length, big, interfaces, known, records, count)
            if trouble:
                return count, at, trouble
            records.number[count] = number + count
            count += 1
        at += length
    return count, at, FULL


@kernel
def _packet(
    data: Any, at: int, length: int, big: bool, interfaces: Interfaces, known: int, records: Records, row: int
) -> int:
    """Read the block at `at` into a row of `records`: 0, or what is wrong with it."""
    kind = word(data, at, big)
    interface = 0
    if kind == ENHANCED_PACKET:
        interface = word(data, at + 8, big)
    elif kind == OLD_PACKET:
        interface = data[at + 8] * 0x100 + data[at + 9] if big else data[at + 9] * 0x100 + data[at + 8]
    header = _SIMPLE_HEADER if kind == SIMPLE_PACKET else _HEADER
    if length < header + 4:
        return NO_BLOCK
    if interface >= known:
        return NO_INTERFACE
    held = length - header - 4
    if kind == SIMPLE_PACKET:
        # It has no time, and only tells how long the packet was on the wire.
        high, low, wire = 0, 0, word(data, at + 8, big)
        captured = min(wire, held)
        if interfaces.snaplen[interface]:
            captured = min(captured, interfaces.snaplen[interface])
    else:
        high, low = word(data, at + 12, big), word(data, at + 16, big)
        captured, wire = word(data, at + 20, big), word(data, at + 24, big)
    if captured > held:
        return NO_BLOCK
    if captured > LONGEST_PACKET:
        return TOO_LONG
    records.time[row] = _clock(high, low, interfaces, interface)
    records.link[row] = interfaces.link[interface]
    records.start[row] = at + header
    records.captured[row] = captured
    records.wire[row] = wire
    return 0


@kernel
def _clock(high: int, low: int, interfaces: Interfaces, interface: int) -> int:
    """The time of an interface's clock, whose ticks come as two halves."""
    if high >= 2**31:
        return _LAST
    ticks = high * 2**32 + low
    multiplier, divisor = interfaces.multiplier[interface], interfaces.divisor[interface]
    bits = interfaces.bits[interface]
    if multiplier:
        second = 1_000_000_000 // multiplier * divisor
        rest = ticks % second * multiplier // divisor
        return nanoseconds(min(ticks // second, FAR) + interfaces.epoch[interface], rest)
    rest = ticks & (2**bits - 1)
    if bits > 32:
        # A quarter of a nanosecond is lost, so that the product fits.
        rest, scale = rest >> (bits - 32), 32
    else:
        scale = bits
    return nanoseconds(min(ticks >> bits, FAR) + interfaces.epoch[interface], rest * 1_000_000_000 >> scale)
