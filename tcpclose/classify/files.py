"""Captures of any kind, read once from front to back: `blocks(path)`.

pcap and pcapng, as they are or in gzip or zstd, from a file or standard input. Memory does not grow with the file.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from os import PathLike, fspath
from typing import Any, TypeVar

import numpy as np

from . import records as layout
from .compiled import at_hand, ready
from .dialects import Damage, NotACapture, open_dialect
from .fragments import Reassembly
from .frames import RAW, Pieces, parse
from .packets import Block, IcmpErrors, Packets, room, rows
from .records import Records
from .window import Window, octets

__all__ = ["Damage", "NotACapture", "blocks"]

_log = logging.getLogger(__name__)

#: Packets of a block, at most.
_ROWS = 16_384
#: Captures that are longer, in octets, are read by compiled code: where that is at hand, as loading it takes a third of
#: a second; and where it is not yet, as compiling takes many.
_WORTH_LOADING, _WORTH_COMPILING = 2 * 1024 * 1024, 12 * 1024 * 1024
#: Fragments inside fragments, as deep as we look.
_DEEPEST = 2

_DAMAGE = {
    layout.TOO_LONG: f"a packet of more than {layout.LONGEST_PACKET:,} octets, or a block of more than "
    f"{layout.LONGEST_BLOCK:,}, is not believed",
    layout.NO_BLOCK: "this is no block of pcapng: its lengths contradict each other",
    layout.NO_INTERFACE: "a packet from an interface that the file does not describe",
    layout.NO_SECTION: "this is no header of a section of pcapng, version 1",
    layout.BAD_INTERFACE: "an interface that is no use: its description is too short, its clock is finer than "
    f"10**-{layout.FINEST_DECIMAL} seconds, or it is one of more than {layout.MOST_INTERFACES:,}",
}


def blocks(path: str | PathLike[str], ignore_checksums: bool = False) -> Iterator[Block]:
    """The capture at `path`, or on standard input if it is "-", block by block.

    Raises `OSError`; `NotACapture`, before anything else; and `Damage`, after all that could be read. With
    `ignore_checksums`, those of IP, TCP and ICMP are not verified.
    """
    with ExitStack() as stack:
        name = fspath(path)
        file = sys.stdin.buffer if name == "-" else stack.enter_context(open(name, "rb"))
        window = Window(octets(file))
        fast = _is_big(window)
        dialect = open_dialect(window, fast)
        frames = _Frames(fast, not ignore_checksums)
        table = room(Records, _ROWS)
        number, why = 1, layout.FULL
        while why == layout.FULL or (why == layout.CUT and window.fill()):
            count, why = dialect.read(number, table)
            if count:
                yield frames.block(window.data, table, count)
            number += count
        if why != layout.CUT:
            raise Damage(window.offset, _DAMAGE[why])
        if window.trouble:
            raise Damage(window.offset, window.trouble)
        if window.left:
            raise Damage(window.offset, f"the file ends inside a packet, of which it has {window.left} octets")


def _is_big(window: Window) -> bool:
    """Whether the capture is worth the wait for compiled code."""
    if not _is_longer(window, _WORTH_LOADING):
        return False
    if at_hand(parse):
        return True
    if big := _is_longer(window, _WORTH_COMPILING):
        _log.info("compiling the rules for this machine, which happens once: some 15 seconds")
    return big


def _is_longer(window: Window, size: int) -> bool:
    """Whether the capture is; so much of it is held then."""
    while window.left <= size and window.fill():
        pass
    return window.left > size


class _Frames:
    """From records to blocks."""

    def __init__(self, fast: bool, verify: bool) -> None:
        self._fast, self._verify = fast, verify
        self._parse = ready(parse, fast)
        self._reassembly = Reassembly()

    def block(self, data: Any, records: Records, count: int) -> Block:
        packets, errors, foreign = self._read(data, records, count)
        return Block(packets, errors, count, int(records.time[:count].max()), foreign, self._fast)

    def _read(self, data: Any, records: Records, count: int, depth: int = 0) -> tuple[Packets, IcmpErrors, int]:
        packets, errors, pieces = room(Packets, count), room(IcmpErrors, count), room(Pieces, count)
        words = data[: len(data) // 2 * 2].view(np.uint16)
        filled, quotes, parts, foreign = self._parse(data, words, records, count, self._verify, packets, errors, pieces)
        packets, errors = rows(packets, slice(filled)), rows(errors, slice(quotes))
        if parts and depth < _DEEPEST:
            whole = self._reassembled(data, records, rows(pieces, slice(parts)))
            if len(whole[1].number):
                more = self._read(*whole, len(whole[1].number), depth + 1)
                packets, errors = _merged(packets, more[0]), _merged(errors, more[1])
        return packets, errors, foreign

    def _reassembled(self, data: Any, records: Records, pieces: Pieces) -> tuple[Any, Records]:
        """The datagrams that are complete now, as if they had been captured in place of their last fragment."""
        datagrams = bytearray()
        found = []
        for record, start, end in zip(*(column.tolist() for column in pieces), strict=True):
            datagram = self._reassembly.add(data[start:end].tobytes())
            if datagram is not None:
                found.append((record, len(datagrams), len(datagram)))
                datagrams += datagram
        where, starts, sizes = np.array(found, np.int64).reshape(-1, 3).T
        link = np.full(len(found), RAW, np.int64)
        whole = Records(records.number[where], records.time[where], link, starts.copy(), sizes.copy(), sizes.copy())
        return np.frombuffer(datagrams, np.uint8), whole


T = TypeVar("T", Packets, IcmpErrors)


def _merged(one: T, other: T) -> T:
    """The rows of two tables in the order of their numbers."""
    both = type(one)._make(map(np.concatenate, zip(one, other, strict=True)))
    return rows(both, np.argsort(both.number, kind="stable"))
