"""Kinds of capture files: pcap and pcapng in their variants."""

from __future__ import annotations

from struct import Struct
from typing import Any, Protocol

import numpy as np

from . import records as layout
from .compiled import ready
from .packets import room
from .records import Interfaces, Records, pcap_records, pcapng_records
from .window import Window

#: Magic number of pcap -> nanoseconds of a unit of its times, octets of a record's header. The third is "modified".
_PCAP = {0xA1B2C3D4: (1000, 16), 0xA1B23C4D: (1, 16), 0xA1B2CD34: (1000, 24)}
_PCAP_HEADER = 24
#: How a section header of pcapng begins, and how it tells the order of octets.
_PCAPNG, _ORDER = b"\x0a\x0d\x0d\x0a", b"\x1a\x2b\x3c\x4d"
#: Options of an interface description.
_END_OF_OPTIONS, _TIME_RESOLUTION, _TIME_OFFSET = 0, 9, 14


class NotACapture(Exception):
    """The file is no capture that we can read; in one line, why."""


class Damage(Exception):
    """The capture cannot be read from here on. What came before it has been read."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(offset, what)
        #: Octets from the start of the capture, uncompressed.
        self.offset = offset
        self.what = what

    def __str__(self) -> str:
        return f"damaged at octet {self.offset}: {self.what}"


class Dialect(Protocol):
    """A kind of capture file, of which the header has been read."""

    def read(self, number: int, table: Records) -> tuple[int, int]:
        """Fill a table from the window, the first record having a number: how many records, and why no more."""


def open_dialect(window: Window, fast: bool) -> Dialect:
    start = window.peek(_PCAP_HEADER)
    if window.trouble and len(start) < _PCAP_HEADER:
        raise Damage(0, window.trouble)
    if not start:
        raise NotACapture("it is empty")
    if start.startswith(_PCAPNG):
        return _Pcapng(window, fast)
    for order in "<>":
        magic, major, minor, link = Struct(order + "IHH12xI").unpack(start.ljust(_PCAP_HEADER, b"\0"))
        if magic in _PCAP:
            if len(start) < _PCAP_HEADER:
                raise Damage(0, "the file ends inside its header")
            if major != 2:
                raise NotACapture(f"pcap of version {major}.{minor}, and only 2 is known")
            return _Pcap(window, fast, order == ">", magic, link)
    raise NotACapture(f"neither pcap nor pcapng: it begins with {start[:4].hex(' ')}")


class _Pcap:
    def __init__(self, window: Window, fast: bool, big: bool, magic: int, link: int) -> None:
        self._window, self._big = window, big
        self._unit, self._header = _PCAP[magic]
        # The bits above tell of frame check sequences.
        self._link = link & 0xFFFF
        self._fill = ready(pcap_records, fast)
        window.start += _PCAP_HEADER

    def read(self, number: int, table: Records) -> tuple[int, int]:
        window = self._window
        count, window.start, why = self._fill(
            window.data, window.start, self._big, self._unit, self._header, self._link, number, table
        )
        return count, why


class _Pcapng:
    """A section header tells the order of octets, and an interface description how to read its packets."""

    def __init__(self, window: Window, fast: bool) -> None:
        self._window, self._big = window, False
        self._interfaces, self._known = room(Interfaces, 8), 0
        self._fill = ready(pcapng_records, fast)
        if window.left >= 12 and window.peek(12)[8:] not in (_ORDER, _ORDER[::-1]):
            raise NotACapture("it begins like pcapng, but does not tell the order of octets")

    def read(self, number: int, table: Records) -> tuple[int, int]:
        window, count, why = self._window, 0, layout.ANNOUNCED
        while why == layout.ANNOUNCED:
            count, window.start, why = self._fill(
                window.data, window.start, self._big, self._interfaces, self._known, number, table, count
            )
            if why == layout.ANNOUNCED:
                why = self._announced()
        return count, why

    def _announced(self) -> int:
        """Read the section header or interface description that is next: ANNOUNCED, or why that fails."""
        window = self._window
        start = window.peek(12)
        section = start.startswith(_PCAPNG)
        if section and len(start) >= 12:
            if start[8:12] not in (_ORDER, _ORDER[::-1]):
                return layout.NO_SECTION
            self._big = start[8:12] == _ORDER
        elif section:
            return layout.CUT
        length = self._words("I", start[4:8])[0]
        if length > layout.LONGEST_BLOCK:
            return layout.TOO_LONG
        if length > window.left:
            return layout.CUT
        block = window.peek(length)
        if length < 20 or length % 4 or block[-4:] != block[4:8]:
            return layout.NO_BLOCK
        body = block[8:-4]
        if section:
            if length < 28 or self._words("H", body[4:6])[0] != 1:
                return layout.NO_SECTION
            self._known = 0
        elif not self._describe(body):
            return layout.BAD_INTERFACE
        window.start += length
        return layout.ANNOUNCED

    def _words(self, form: str, octets: bytes) -> tuple[Any, ...]:
        return Struct((">" if self._big else "<") + form).unpack(octets)

    def _describe(self, body: bytes) -> bool:
        """Add an interface."""
        if self._known == layout.MOST_INTERFACES:
            return False
        if self._known == len(self._interfaces.link):
            self._interfaces = Interfaces(*(np.concatenate([column, column]) for column in self._interfaces))
        resolution, epoch, at = 6, 0, 8
        while at + 4 <= len(body):
            code, size = self._words("HH", body[at : at + 4])
            value = body[at + 4 : at + 4 + size]
            if code == _END_OF_OPTIONS:
                break
            if code == _TIME_RESOLUTION and len(value) >= 1:
                resolution = value[0]
            if code == _TIME_OFFSET and len(value) >= 8:
                epoch = self._words("q", value[:8])[0]
            at += 4 + (size + 3) // 4 * 4
        bits = resolution & 0x7F if resolution & 0x80 else 0
        if bits > layout.FINEST_BINARY or (not resolution & 0x80 and resolution > layout.FINEST_DECIMAL):
            return False
        link, snaplen = self._words("H2xI", body[:8])
        multiplier = 0 if resolution & 0x80 else 10 ** max(0, 9 - resolution)
        divisor = 1 if resolution & 0x80 else 10 ** max(0, resolution - 9)
        epoch = max(-layout.FAR, min(layout.FAR, epoch))
        for column, value in zip(self._interfaces, (link, snaplen, multiplier, divisor, bits, epoch), strict=True):
            column[self._known] = value
        self._known += 1
        return True
