"""The list of a class: an ID on each line, and what the student's submission is named, where it is not named so."""

from __future__ import annotations

import csv
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from tcpclose.teaching.variation import normal_id
from tcpclose.written import read_written, reason

#: IDs that name a folder on any system.
_ID = re.compile(r"\w(?:[\w.@+ -]{0,62}[\w@+-])?")


class ClassError(Exception):
    """A class that cannot be had; the message is for people."""


@dataclass(frozen=True)
class Student:
    """`handed_in`: the name of the submission, without the kind of file."""

    id: str
    handed_in: str


def read_students(path: Path) -> list[Student]:
    """The list. Raises `ClassError`, before anything is done, for anything odd in it."""
    try:
        lines = read_written(path).splitlines()
    except (OSError, ValueError) as error:
        raise ClassError(f"{path}: {reason(error)}") from None
    found: dict[str, Student] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        who, *more = (unicodedata.normalize("NFC", cell.strip()) for cell in next(csv.reader([line])))
        if not _ID.fullmatch(who):
            raise ClassError(
                f"{path}, line {number}: {who!r} cannot name a folder; expected an ID of up to 64 letters, digits "
                "and . _ @ + - that begins with a letter or digit"
            )
        if len(more) > 1:
            raise ClassError(f"{path}, line {number}: expected ID or ID,NAME")
        if normal_id(who) in found:
            raise ClassError(f"{path}, line {number}: {who} is there twice")
        found[normal_id(who)] = Student(who, more[0] if more and more[0] else who)
    if not found:
        raise ClassError(f"{path}: nobody is on this list; expected an ID on each line")
    return list(found.values())
