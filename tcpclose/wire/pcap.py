"""Capture files in the pcap format (draft-ietf-opsawg-pcap): written with nanoseconds, read in all four dialects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import BinaryIO

from tcpclose.aside import aside

from .octets import Malformed, Octets

#: Link types: Ethernet frames, and IP packets without a link header.
EN10MB, RAW = 1, 101

_MICRO, _NANO = 0xA1B2C3D4, 0xA1B23C4D
_SECOND = 1_000_000_000
#: The longest record that tools accept (libpcap's MAXIMUM_SNAPLEN).
_SNAPLEN = 262_144
#: magic, version (major, minor), zone, accuracy, snap length, link type
_FILE_HEADER = "IHHiIII"
#: seconds, fraction of a second, octets captured, octets on the wire
_RECORD_HEADER = "IIII"


class PcapWriter:
    """Writes captured packets with times in nanoseconds, to a path or a file open for writing octets.

    A context manager. Every packet is one `write`, so with an unbuffered file nothing is lost when the process dies.
    At a path, the file appears when it is closed, and not when an error ends the context.
    """

    _header = Struct("<" + _RECORD_HEADER)

    def __init__(self, target: str | PathLike[str] | BinaryIO, linktype: int = EN10MB) -> None:
        self._open = ExitStack()
        if isinstance(target, str | PathLike):
            target = self._open.enter_context(open(self._open.enter_context(aside(Path(target))), "wb"))  # noqa: SIM115
        self._file: BinaryIO = target
        self._open.callback(target.close)
        self._file.write(Struct("<" + _FILE_HEADER).pack(_NANO, 2, 4, 0, 0, _SNAPLEN, linktype))

    def write(self, time_ns: int, octets: Octets) -> None:
        """Add a packet. `time_ns` counts from the epoch, or any start that may be shown as 1970, to 2**32 seconds."""
        seconds, fraction = divmod(time_ns, _SECOND)
        self._file.write(self._header.pack(seconds, fraction, len(octets), len(octets)) + octets)

    def close(self) -> None:
        """Close the file, which is complete."""
        self._open.close()

    def __enter__(self) -> PcapWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, traceback)


@dataclass(slots=True)
class Capture:
    """A capture file: its link type, and its packets as (nanoseconds, octets) to go through once."""

    linktype: int
    packets: Iterator[tuple[int, bytes]]

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self.packets


def read_pcap(path: str | PathLike[str]) -> Capture:
    """Read a capture, packet by packet as asked for.

    Raises `OSError`, `Malformed` when it is no pcap file, and `Malformed("truncated")` where its end is cut off, after
    the packets before.
    """
    with open(path, "rb") as file:
        start = file.read(Struct("<" + _FILE_HEADER).size)
    magic = start[:4]
    for order in "<>":
        for number, unit in ((_MICRO, 1000), (_NANO, 1)):
            if magic == Struct(order + "I").pack(number):
                if len(start) < Struct(order + _FILE_HEADER).size:
                    raise Malformed("truncated")
                *_, linktype = Struct(order + _FILE_HEADER).unpack(start)
                # The high bits of the link type tell of frame check sequences.
                return Capture(linktype & 0xFFFF, _records(path, Struct(order + _RECORD_HEADER), unit))
    raise Malformed("not a pcap file")


def _records(path: str | PathLike[str], header: Struct, unit: int) -> Iterator[tuple[int, bytes]]:
    with open(path, "rb") as file:
        file.seek(Struct("<" + _FILE_HEADER).size)
        while start := file.read(header.size):
            if len(start) < header.size:
                raise Malformed("truncated")
            seconds, fraction, length, _ = header.unpack(start)
            # A wrong length must not make us ask for gigabytes.
            if length > _SNAPLEN:
                raise Malformed("record length")
            octets = file.read(length)
            if len(octets) < length:
                raise Malformed("truncated")
            yield seconds * _SECOND + fraction * unit, octets
