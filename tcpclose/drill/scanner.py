"""Reading a script piece by piece, with words for people when a piece is not what it should be."""

from __future__ import annotations

import re
from functools import cache

from tcpclose.drill.script import Place

_BLANK = re.compile(r"(?:\s+|//[^\n]*|#[^\n]*|/\*.*?\*/)*", re.DOTALL)
_PIECE = re.compile(r"[\w.]+|\S")


class ScriptError(Exception):
    """A script is not one. The message names file, line and column, and points at the place."""


class Unsupported(Exception):
    """A script is about something that does not exist here; the message says what."""


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)


class Scanner:
    """A position in a text. Blanks and comments before a piece are passed over."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.pos = 0
        self.skip()

    def skip(self) -> None:
        match = _BLANK.match(self.text, self.pos)
        assert match is not None  # it may be empty
        self.pos = match.end()

    @property
    def finished(self) -> bool:
        return self.pos >= len(self.text)

    def look(self, *literals: str) -> bool:
        """Does one of these come next?"""
        return self.text.startswith(literals, self.pos)

    def comes(self, pattern: str) -> bool:
        """Is the next piece of this form?"""
        return _pattern(pattern).match(self.text, self.pos) is not None

    def take(self, pattern: str) -> str | None:
        """The next piece, if it is of this form."""
        match = _pattern(pattern).match(self.text, self.pos)
        if match is None:
            return None
        self.pos = match.end()
        self.skip()
        return match[match.lastindex or 0]

    def accept(self, literal: str) -> bool:
        """Pass over this piece, if it comes next."""
        if not self.text.startswith(literal, self.pos):
            return False
        self.pos += len(literal)
        self.skip()
        return True

    def expect(self, literal: str, where: str) -> None:
        if not self.accept(literal):
            raise self.error(f"expected {literal!r} {where}")

    def need(self, pattern: str, what: str) -> str:
        """The next piece, which must be of this form."""
        piece = self.take(pattern)
        if piece is None:
            raise self.error(f"expected {what}")
        return piece

    def place(self, pos: int | None = None) -> Place:
        pos = self.pos if pos is None else pos
        return Place(self.text.count("\n", 0, pos) + 1, pos - self.text.rfind("\n", 0, pos))

    def unsupported(self, what: str) -> Unsupported:
        return Unsupported(f"{what} (line {self.place().line})")

    def error(self, message: str, pos: int | None = None) -> ScriptError:
        """The message with its place, what stands there, and a caret under it."""
        pos = self.pos if pos is None else pos
        if pos >= len(self.text):
            pos = len(self.text.rstrip())
            found = "the end of the script"
        else:
            piece = _PIECE.match(self.text, pos)
            found = repr(piece[0] if piece else self.text[pos])
        line, column = self.place(pos)
        lines = self.text.split("\n")
        shown = lines[line - 1].replace("\t", " ")
        return ScriptError(
            f"{self.name}:{line}:{column}: {message}, found {found}\n    {shown}\n    {' ' * (column - 1)}^"
        )
