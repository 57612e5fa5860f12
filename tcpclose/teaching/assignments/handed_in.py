"""What was handed in: which file of it is graded, what it holds, and what becomes of it."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

from tcpclose.teaching.assignments.archives import is_archive, unpack
from tcpclose.teaching.assignments.grades import USUAL, Assignment, How, SubmissionError, tidy
from tcpclose.teaching.results import Graded, plain_line

#: What a submission may hold at most.
MOST_FILES = 1000
MOST_OCTETS = 1 << 25

#: What systems leave in folders by themselves, besides hidden files.
_NOBODYS = {"__MACOSX", "__pycache__"}


def grade_one(assignment: Assignment, path: Path, name: str, student: str = "", how: How = USUAL) -> Graded:
    """Grade a submission, a file or a folder or archive that has it."""
    try:
        with opened(path, assignment.file) as located:
            return Graded(name, tidy(assignment.grade(located, student, how)))
    except SubmissionError as error:
        return Graded(name, problem=plain_line(str(error)))


@contextmanager
def opened(path: Path, file: str) -> Iterator[Path]:
    """What is graded of a submission, while it is graded: an archive is unpacked for that long."""
    if path.is_dir() or not is_archive(path):
        yield locate(path, file)
        return
    with TemporaryDirectory(prefix="tcpclose-") as folder:
        try:
            unpack(path, Path(folder), MOST_FILES, MOST_OCTETS)
            yield locate(Path(folder), file)
        except SubmissionError as error:
            raise SubmissionError(str(error).replace(folder, str(path))) from None


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


def content(path: Path, most: int) -> bytes:
    """What stands in one file. Raises `SubmissionError` for links, devices and such, and for more than `most`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SubmissionError(f"{path}: is no file")
            found = file.read(most + 1)
    except OSError as error:
        link = error.errno == errno.ELOOP
        raise SubmissionError(f"{path}: {'is a symbolic link' if link else error.strerror}") from None
    if len(found) > most:
        raise SubmissionError(f"{path}: has more than {most} octets")
    return found


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
