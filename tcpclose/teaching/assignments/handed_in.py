"""What was handed in: which file of it is graded, what it holds, and what becomes of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from tcpclose.teaching.assignments.grades import Assignment, SubmissionError, tidy
from tcpclose.teaching.results import Graded, plain

#: What a submission may hold at most.
MOST_FILES = 1000
MOST_OCTETS = 1 << 25

#: What systems leave in folders by themselves, besides hidden files.
_NOBODYS = {"__MACOSX", "__pycache__"}


def grade_one(assignment: Assignment, path: Path, name: str, student: str = "", public: bool = False) -> Graded:
    """Grade a submission, a file or a folder that has it."""
    try:
        return Graded(name, tidy(assignment.grade(locate(path, assignment.file), student, public)))
    except SubmissionError as error:
        return Graded(name, problem=plain(str(error)))


def locate(path: Path, file: str) -> Path:
    """What is graded of a folder: what has the template's name, or else the only file of its kind, or all of it.

    Raises `SubmissionError`, also for a link in a folder: that may be somebody else's work.
    """
    kind = PurePath(file).suffix
    if not path.is_dir():
        return path
    if (path / file).exists() or not kind:
        chosen = path / file if (path / file).exists() else path
        files(chosen)
        return chosen
    found = [one for one in files(path) if one.suffix == kind]
    if not found:
        raise SubmissionError(f"{path}: has no {file} in it")
    if len(found) > 1:
        names = ", ".join(str(one.relative_to(path)) for one in found[:5])
        raise SubmissionError(f"{path}: which file is it? None is named {file}: {names}")
    return found[0]


def files(path: Path) -> list[Path]:
    """All files of a submission, by name. Raises `SubmissionError` for links, devices and such, and for too many."""
    return sorted(_files(path))


def _files(path: Path) -> Iterator[Path]:
    ways, seen = [path], 0
    try:
        while ways:
            way = ways.pop()
            seen += 1
            if seen > MOST_FILES:
                raise SubmissionError(f"{path}: has more than {MOST_FILES} files")
            if way.is_symlink():
                raise SubmissionError(f"{way}: is a symbolic link; hand in the file itself")
            if way.is_dir():
                ways += (way / name for name in os.listdir(way) if not nobodys(name))
            elif way.is_file():
                yield way
            else:
                raise SubmissionError(f"{way}: {'is no file' if way.exists() else 'No such file or directory'}")
    except OSError as error:
        raise SubmissionError(f"{path}: {error.strerror}") from None


def nobodys(name: str) -> bool:
    """Nothing that somebody has written."""
    return name.startswith(".") or name in _NOBODYS


def digest(path: Path) -> str:
    """The same for the same contents. Raises `SubmissionError` for what cannot be read, and for too much."""
    seen, octets = hashlib.sha256(), 0
    for file in files(path):
        try:
            octets += file.stat().st_size
            if octets > MOST_OCTETS:
                raise SubmissionError(f"{path}: has more than {MOST_OCTETS >> 20} MiB")
            content = file.read_bytes()
        except OSError as error:
            raise SubmissionError(f"{file}: {error.strerror}") from None
        for part in (os.fsencode(file.relative_to(path)), content):
            seen.update(len(part).to_bytes(8, "big") + part)
    return seen.hexdigest()
