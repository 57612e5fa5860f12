"""What becomes of what students hand in: a lab's sheet that was marked, or a submission that was graded.

A question's mark and an assignment's criterion are told to people and exported in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tcpclose.teaching.variation import normal_id


class Item(Protocol):
    """A question that was marked, or a criterion."""

    @property
    def name(self) -> str:
        """As people know it."""

    @property
    def points(self) -> int:
        """What it might have brought."""

    @property
    def score(self) -> float:
        """What it has brought."""

    @property
    def by_hand(self) -> bool:
        """Its points are the instructor's to give."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was seen; a note may have several lines, laid out for a terminal."""

    @property
    def rfc(self) -> str:
        """Where to read, "" where that is not said."""

    @property
    def cell(self) -> str | float:
        """What a table has of it."""


class Result(Protocol):
    """A sheet that was marked, or a submission that was graded."""

    @property
    def about(self) -> dict[str, str]:
        """What of, and whose."""

    @property
    def student(self) -> str:
        """Whose it is, as far as that is known."""

    @property
    def items(self) -> Sequence[Item]:
        """What the points are for."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What costs nothing by itself."""

    @property
    def score(self) -> float:
        """What was reached."""

    @property
    def points(self) -> int:
        """What could be reached, without what is marked by hand."""

    @property
    def by_hand(self) -> int:
        """Points that the instructor has to give."""


@dataclass(frozen=True)
class Graded:
    """What became of one file: it has a result, or `problem` says why not. `whose` is known without looking into it."""

    file: str
    result: Result | None = None
    problem: str = ""
    whose: str = ""

    @property
    def student(self) -> str:
        """Whose it is, as far as that is known."""
        return self.result.student if self.result else self.whose

    @property
    def score(self) -> float:
        """What cannot be read has none."""
        return self.result.score if self.result else 0.0


#: Of what a grader says, a line has at most so many characters, a note so many lines.
_LONGEST_LINE = 500
_MOST_LINES = 400


def plain(text: str) -> str:
    """Text that may quote anybody's: what would not print, or would command a terminal, is shown as an escape."""
    lines = [_plain(line) for line in text.expandtabs().splitlines()]
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES:] = [f"... and {len(lines) - _MOST_LINES} more lines"]
    return "\n".join(lines).rstrip("\n")


def plain_line(text: str) -> str:
    """The same for a name or a reason, which has one line: an end of line in it would forge lines of ours."""
    return _plain(text)


def _plain(line: str) -> str:
    rest = f" ... and {len(line) - _LONGEST_LINE} more characters" if len(line) > _LONGEST_LINE else ""
    shown = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in line[:_LONGEST_LINE])
    return "".join(shown) + rest


def right(item: Item) -> bool:
    """Nothing is missing, as far as a program can tell."""
    return item.by_hand or item.score >= item.points


def doubles(graded: Iterable[Graded]) -> list[str]:
    """Students of whom there is more than one, for people."""
    files: dict[str, list[str]] = {}
    for one in graded:
        if one.student:
            files.setdefault(normal_id(one.student), []).append(one.file)
    return [f"more than one of {who}: {', '.join(names)}" for who, names in files.items() if len(names) > 1]


class Share(NamedTuple):
    """Which share of its points a question or criterion has brought to so many: variants do not all have the same."""

    name: str
    reached: float
    submissions: int


def shares(graded: Iterable[Graded]) -> list[Share]:
    """What a class has reached of each question or criterion that is not marked by hand."""
    found: dict[str, list[Item]] = {}
    for one in graded:
        for item in one.result.items if one.result else ():
            if item.points and not item.by_hand:
                found.setdefault(item.name, []).append(item)
    return [
        Share(name, sum(item.score for item in items) / sum(item.points for item in items), len(items))
        for name, items in found.items()
    ]
