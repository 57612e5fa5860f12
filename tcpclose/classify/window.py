"""The octets of a capture file, without the compression that it may have, of which a stretch is held at a time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import RawIOBase
from typing import Any, BinaryIO

import numpy as np

from .records import LONGEST_BLOCK

#: Octets that are held: the longest block and everything shorter fits.
SIZE = LONGEST_BLOCK
#: Octets by which we go on. More would not stay in the processor's cache until they are looked at.
_STEP = 1024 * 1024
#: Octets of gzip at a time: what is left of them behind a member is copied.
_PIECE = 64 * 1024
#: Octets at a time of a stream that cannot be read again: so many may be lost before damage in zstd.
_CAUTIOUS = 4096

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Window:
    """The stretch of the capture that is held: `data`, from `start` on."""

    def __init__(self, octets: RawIOBase) -> None:
        self._room = np.empty(SIZE, np.uint8)
        self.data = self._room[:0]
        self.start = 0
        #: Why there is no more, if not because the capture ends.
        self.trouble = ""
        self._before = 0
        self._octets = octets

    @property
    def offset(self) -> int:
        """Where `start` is in the capture."""
        return self._before + self.start

    @property
    def left(self) -> int:
        """Octets from `start` on."""
        return len(self.data) - self.start

    def fill(self) -> bool:
        """Let go of what is before `start`, and hold a bit more; False if there is no more."""
        left = end = self.left
        self._room[:left] = self.data[self.start :]
        self._before += self.start
        goal = min(SIZE, left + _STEP)
        while end < goal and (size := self._read(self._room.data[end:goal])):
            end += size
        self.start, self.data = 0, self._room[:end]
        return end > left

    def _read(self, room: memoryview) -> int:
        try:
            return int(self._octets.readinto(room) or 0)
        except BadCompression as error:
            self.trouble = str(error)
            return 0

    def peek(self, size: int) -> bytes:
        """The next octets, as many as there are."""
        return self.data[self.start : self.start + size].tobytes()


class BadCompression(Exception):
    """What is compressed cannot be read on; why."""


def octets(file: BinaryIO) -> RawIOBase:
    """Those of a file, without the compression that it may have."""
    start = file.read(4)
    if start.startswith(_GZIP):
        return _Pieces(_gunzipped(start, file))
    if start == _ZSTD:
        return _Pieces(_unzstded(start, file))
    return _Rejoined(start, file)


class _Pieces(RawIOBase):
    """Octets that come as they like."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece = pieces, memoryview(b"")

    def readinto(self, room: Any) -> int:
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._piece = memoryview(piece)
        size = min(len(room), len(self._piece))
        room[:size], self._piece = self._piece[:size], self._piece[size:]
        return size


def _gunzipped(start: bytes, file: BinaryIO) -> Iterator[bytes]:
    """As gunzip: members may follow one another, and octets of zero the last one."""
    rest = start
    while rest.strip(b"\0"):
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not member.eof:
            rest = member.unconsumed_tail or rest or file.read(_PIECE)
            if not rest:
                yield member.flush()
                raise BadCompression("the file ends inside its gzip compression")
            try:
                yield member.decompress(rest, _STEP)
            except zlib.error as error:
                raise BadCompression(f"gzip: {error}") from error
            rest = b""
        rest = member.unused_data or file.read(_PIECE)


def _unzstded(start: bytes, file: BinaryIO) -> Iterator[bytes]:
    stream = _zstd_stream(start, file)
    # Into octets of our own, as pyarrow never lets go of its own when it fails.
    room = bytearray(_STEP if file.seekable() else _CAUTIOUS)
    done = 0
    while True:
        try:
            size = stream.readinto(room)
        except OSError as error:
            # What the last read had got from before the damage is lost with the error.
            if file.seekable():
                file.seek(0)
                yield _read_on(_zstd_stream(b"", file), done)
            raise BadCompression(f"zstd: {error}") from error
        if not size:
            return
        done += size
        yield bytes(room[:size])


def _read_on(stream: Any, done: int) -> bytes:
    """What is left after `done` octets of a damaged stream."""
    while done:
        done -= len(stream.read(min(done, _STEP)))
    rest = bytearray()
    with suppress(OSError):
        while octet := stream.read(1):
            rest += octet
    return bytes(rest)


def _zstd_stream(start: bytes, file: BinaryIO) -> Any:
    from pyarrow import CompressedInputStream, PythonFile

    return CompressedInputStream(PythonFile(_Rejoined(start, file), mode="r"), "zstd")


class _Rejoined(RawIOBase):
    """A file of which the start has been read."""

    def __init__(self, start: bytes, file: BinaryIO) -> None:
        self._start, self._file = start, file

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        start, self._start = self._start, b""
        return start + self._file.read(size - len(start))

    def readinto(self, room: Any) -> int:
        if not self._start:
            # Straight to where they are looked at, which a window does by far most often.
            return self._file.readinto(room)  # type: ignore[attr-defined,no-any-return]
        size = min(len(room), len(self._start))
        room[:size], self._start = self._start[:size], self._start[size:]
        return size
