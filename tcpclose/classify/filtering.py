"""A small language for choosing connections: `kind == reset and dport == 443`.

    expression  comparison, `not`, `and`, `or`, parentheses
    comparison  COLUMN OPERATOR VALUE, the operator one of == != < <= > >= and `has`, which asks for a part of a text
    value       a word, a number, or anything in quotes: 443, reset, "no such connection", 1.5s; `none` for no value

Columns are those of `Release`. A number may have a unit of time, s, ms, us or ns: times are nanoseconds. A column of
few words is compared with one of these only, so that a word with a slip of the pen is not taken for one that is rare.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, get_type_hints

from .endings import CAUSES, KINDS
from .releases import CONN_STATES, Release

Test = Callable[[Release], bool]

_TOKEN = re.compile(r"""\s*(?:(==|!=|<=|>=|<|>|=|\(|\))|"([^"]*)"|'([^']*)'|([^\s()=<>!"']+))""")
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)(ns|us|ms|s)?")
_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SIDES = ("orig", "resp")
_WORDS = {
    "kind": KINDS,
    "cause": CAUSES,
    "conn_state": CONN_STATES,
    "confidence": ("high", "medium", "low"),
    "closed_first": _SIDES,
    "reset_by": _SIDES,
}
_TIMES = ("start", "duration", "release_time")
_NUMERIC = frozenset(name for name, kind in get_type_hints(Release).items() if kind in (int, int | None))


class FilterError(Exception):
    """The expression cannot be read: what, where, and what was expected."""


def parse_filter(text: str) -> Test:
    """The test that an expression describes. Raises `FilterError`."""
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        #: What stands there, where, and whether it was in quotes.
        self.tokens: list[tuple[str, int, bool]] = []
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                raise FilterError(f"--filter {text!r}: cannot read on at {text[at:].strip()!r}")
            quoted = match[2] is not None or match[3] is not None
            word = next(group for group in match.groups() if group is not None)
            self.tokens.append((word, match.start() + 1, quoted))
            at = match.end()
        self.place = 0

    def parse(self) -> Test:
        test = self._or()
        if self.place < len(self.tokens):
            raise self._wrong("and, or, or the end")
        return test

    def _wrong(self, expected: str) -> FilterError:
        here = repr(self.tokens[self.place][0]) if self.place < len(self.tokens) else "the end"
        return FilterError(f"--filter {self.text!r}: expected {expected}, not {here}")

    def _next(self, *words: str) -> bool:
        """Step over the next token, if it is one of `words`."""
        if self.place < len(self.tokens):
            word, _, quoted = self.tokens[self.place]
            if word in words and not quoted:
                self.place += 1
                return True
        return False

    def _or(self) -> Test:
        test = self._and()
        while self._next("or"):
            test = _either(test, self._and())
        return test

    def _and(self) -> Test:
        test = self._not()
        while self._next("and"):
            test = _both(test, self._not())
        return test

    def _not(self) -> Test:
        if self._next("not"):
            test = self._not()
            return lambda release: not test(release)
        if self._next("("):
            test = self._or()
            if not self._next(")"):
                raise self._wrong(")")
            return test
        return self._comparison()

    def _comparison(self) -> Test:
        if self.place >= len(self.tokens) or self.tokens[self.place][0] not in Release._fields:
            raise self._wrong(f"a column ({', '.join(Release._fields)})")
        column = self.tokens[self.place][0]
        self.place += 1
        if self._next("has"):
            part = self._value()
            if column == "evidence":
                return lambda release: part in map(str, release.evidence)
            return lambda release: part in str(getattr(release, column))
        if column == "evidence":
            raise self._wrong("has and the number of a packet")
        if not (self.place < len(self.tokens) and self.tokens[self.place][0] in _OPERATORS):
            raise self._wrong("== != < <= > >= or has")
        compare = _OPERATORS[self.tokens[self.place][0]]
        self.place += 1
        value = self._typed(column)
        if value is None or compare in (operator.eq, operator.ne):
            return lambda release: compare(getattr(release, column), value)
        return lambda release: getattr(release, column) is not None and compare(getattr(release, column), value)

    def _value(self) -> str:
        if self.place >= len(self.tokens) or self.tokens[self.place][0] in _OPERATORS:
            raise self._wrong("a value")
        self.place += 1
        return self.tokens[self.place - 1][0]

    def _typed(self, column: str) -> Any:
        compares = self.tokens[self.place - 1][0]
        text = self._value()
        if text == "none" and compares in ("==", "=", "!="):
            return None if column in _NUMERIC else ""
        if column in _WORDS and text and text not in _WORDS[column]:
            self.place -= 1
            raise self._wrong(f"for {column} one of {', '.join(_WORDS[column])}")
        if column not in _NUMERIC:
            return text
        number = _NUMBER.fullmatch(text)
        if number is None:
            self.place -= 1
            times = ", which may be a time as 1.5s or 300ms" if column in _TIMES else ""
            raise self._wrong(f"a number for {column}{times}")
        value = float(number[1]) * _UNITS[number[2]] if number[2] else float(number[1])
        return round(value)


def _either(one: Test, other: Test) -> Test:
    return lambda release: one(release) or other(release)


def _both(one: Test, other: Test) -> Test:
    return lambda release: one(release) and other(release)
