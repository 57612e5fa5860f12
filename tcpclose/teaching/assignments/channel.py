"""Lines of JSON to and from a process that nobody trusts, with a time for each."""

from __future__ import annotations

import json
import math
import os
import select
import time
from typing import NoReturn, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

#: Whole numbers have at most 64 bits.
_LEAST, _MOST, _DIGITS = -(1 << 63), 1 << 64, 20


class Channel:
    """The ends of two pipes. `longest` is how many octets a line from there may have."""

    def __init__(self, requests: int, replies: int, longest: int) -> None:
        os.set_blocking(requests, False)
        os.set_blocking(replies, False)
        self._requests, self._replies = requests, replies
        self._longest = longest
        self._unread = bytearray()
        self._writable, self._readable = select.poll(), select.poll()
        self._writable.register(requests, select.POLLOUT)
        self._readable.register(replies, select.POLLIN)

    @property
    def waiting(self) -> bool:
        """Something has come that is not yet read."""
        return bool(self._unread) or any(events & select.POLLIN for _, events in self._readable.poll(0))

    def send(self, line: bytes, end: float) -> None:
        """Raises `TimeoutError` at `end`, and `EOFError` when nobody reads there any more."""
        unsent = memoryview(line + b"\n")
        while unsent:
            _await(self._writable, end)
            try:
                unsent = unsent[os.write(self._requests, unsent) :]
            except BrokenPipeError:
                raise EOFError from None

    def receive(self, end: float) -> bytes:
        """The next line, without its end. Raises as `send` does, and `ValueError` for one that is too long."""
        while (length := self._unread.find(b"\n")) < 0 and len(self._unread) <= self._longest:
            _await(self._readable, end)
            some = os.read(self._replies, 1 << 16)
            if not some:
                raise EOFError
            self._unread += some
        if not 0 <= length <= self._longest:
            raise ValueError(f"answered with more than {self._longest} octets")
        line = bytes(self._unread[:length])
        del self._unread[: length + 1]
        return line


def _await(what: select.poll, end: float) -> None:
    left = end - time.monotonic()
    if left <= 0 or not what.poll(left * 1000):
        raise TimeoutError


def read_json(line: bytes, depth: int) -> Json:
    """What a line says, when any reader of JSON would understand it so. Raises `ValueError` in words for its author."""
    try:
        text = line.decode()
        value: Json = json.loads(text, object_pairs_hook=_once_each, parse_int=_whole, parse_constant=_refuse)
    except UnicodeDecodeError:
        raise ValueError("answered with what is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"answered with what is no JSON ({error.msg})") from None
    except RecursionError:
        raise ValueError(_too_deep(depth)) from None
    _check(value, depth, depth)
    return value


def _once_each(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("answered with the same key twice in a table")
    return table


def _whole(digits: str) -> int:
    """Looks at the length first: reading thousands of digits takes long, and Python may refuse to."""
    number = int(digits) if len(digits) <= _DIGITS else _MOST
    if not _LEAST <= number < _MOST:
        raise ValueError("answered with a number of more than 64 bits")
    return number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"answered with {constant}, which is no number in JSON")


def _too_deep(depth: int) -> str:
    return f"answered with lists or tables in each other, more than {depth} deep"


def _check(value: Json, left: int, depth: int) -> None:
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("answered with text that is half a character (a surrogate)")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("answered with a number that is too large")
    elif isinstance(value, list | dict):
        if not left:
            raise ValueError(_too_deep(depth))
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, left - 1, depth)
        if isinstance(value, dict):
            for key in value:
                _check(key, left, depth)
