"""A class: one submission for each student in a folder, graded on all cores, each grade kept as soon as it is there.

A kept grade counts as long as the submission, its variant, all that grades and how it does are the same. So a second
run grades what is new, and one that was killed goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tcpclose.runs import LABS, write_whole
from tcpclose.teaching.assignments.archives import KIND
from tcpclose.teaching.assignments.grades import USUAL, Assignment, Grade, How, SubmissionError, tidy
from tcpclose.teaching.assignments.handed_in import digest, locate, nobodys, opened
from tcpclose.teaching.assignments.students import ClassError, Student
from tcpclose.teaching.assignments.workers import PATIENCE, Lost, run_all
from tcpclose.teaching.exports import as_record
from tcpclose.teaching.results import Graded, plain_line
from tcpclose.teaching.variation import normal_id

#: As Moodle and Gradescope name what they pack: no such name is a student's ID.
_PACKED = re.compile(r".*_assignsubmission_.*|submission_\d+")

_GRADE = TypeAdapter(Grade)


@dataclass(frozen=True)
class Entry:
    """What stands in the folder under a name: a submission, or `problem` says why it is none."""

    name: str
    student: str = ""
    path: Path = Path()
    digest: str = ""
    problem: str = ""

    def refused(self, problem: str) -> Graded:
        """What is told of one that has no grade."""
        return Graded(self.name, problem=problem, whose=self.student)


@dataclass(frozen=True)
class Classroom:
    """A class's folder, looked through. `missing`: who is on the list and has handed in nothing."""

    entries: tuple[Entry, ...]
    passed_over: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def alike(self) -> list[tuple[str, ...]]:
        """Names of submissions that hold the same, octet for octet."""
        same: dict[str, list[str]] = {}
        for entry in self.entries:
            if entry.digest:
                same.setdefault(entry.digest, []).append(entry.name)
        return [tuple(names) for names in same.values() if len(names) > 1]


def look_through(folder: Path, file: str, students: Sequence[Student] = ()) -> Classroom:
    """Find the submissions: folders, archives, files of the template's kind. Raises `ClassError` when without any."""
    try:
        names = sorted(name for name in os.listdir(folder) if not nobodys(name))
    except OSError as error:
        raise ClassError(f"{folder}: {error.strerror}") from None
    kind = Path(file).suffix
    taken = [name for name in names if (folder / name).is_dir() or Path(name).suffix in {kind, KIND} - {""}]
    if not taken:
        files = f" or a *{kind}" if kind else ""
        raise ClassError(f"{folder}: has no submissions in it; expected a folder{files} for each student")
    listed = {normal_id(student.handed_in): student.id for student in students}
    entries = tuple(_entry(folder / name, file, listed) for name in taken)
    there = {normal_id(entry.student) for entry in entries}
    return Classroom(
        entries,
        tuple(plain_line(name) for name in names if name not in taken),
        tuple(student.id for student in students if normal_id(student.id) not in there),
    )


def _entry(path: Path, file: str, listed: Mapping[str, str]) -> Entry:
    name = plain_line(path.name)
    stem = path.name if path.is_dir() else path.stem
    student = listed.get(normal_id(stem), "") if listed else stem
    if not student:
        return Entry(name, problem=f"{name}: is of nobody on the list of students")
    if not listed and _PACKED.fullmatch(stem):
        return Entry(name, problem=f"{name}: Moodle or Gradescope named it so; a list of students says whose it is")
    if len(student) > 64 or not student.isprintable():
        return Entry(name, problem=f"{name}: is no student's ID: expected at most 64 characters that can be printed")
    try:
        if path.is_symlink():
            raise SubmissionError(f"{path}: is a symbolic link; hand in the file itself")
        located = path if path.suffix == KIND and not path.is_dir() else locate(path, file)
        return Entry(name, student, path, digest(located))
    except SubmissionError as error:
        return Entry(name, student, problem=plain_line(str(error).replace(str(path), path.name)))


def grade_class(
    assignment: Assignment,
    entries: Sequence[Entry],
    out: Path,
    how: How = USUAL,
    jobs: int | None = None,
    patience: float = PATIENCE,
) -> Iterator[Graded]:
    """What becomes of each submission, as it comes. Grades are kept in `out`. Raises `OSError`."""
    out.mkdir(parents=True, exist_ok=True)
    waiting = []
    for entry in entries:
        if entry.problem:
            yield entry.refused(entry.problem)
        elif kept := _load(out / file_name(entry.name, ".json"), _key(assignment, entry, how)):
            yield kept
        else:
            waiting.append(entry)
    for entry, outcome in run_all(partial(_grade, assignment.grade, assignment.file, how), waiting, jobs, patience):
        if isinstance(outcome, Lost):  # not kept: another time may have more luck
            yield entry.refused(plain_line(f"{entry.name}: {outcome.reason}"))
            continue
        record = {"key": _key(assignment, entry, how), **as_record(outcome)}
        write_whole(out / file_name(entry.name, ".json"), json.dumps(record, indent=2) + "\n")
        yield outcome


def _grade(grade: Callable[[Path, str, How], Grade], file: str, how: How, entry: Entry) -> Graded:
    try:
        with opened(entry.path, file) as located:
            return Graded(entry.name, tidy(grade(located, entry.student, how)))
    except SubmissionError as error:
        told, where = str(error), str(entry.path)
        return entry.refused(plain_line(told.replace(where, entry.name) if where in told else f"{entry.name}: {told}"))


def file_name(name: str, suffix: str) -> str:
    """A file for what is told of a submission, named like it if any system takes that for a name."""
    fit = re.fullmatch(r"\w[\w.@+ -]*", name) and len(name.encode()) <= 200
    return (name if fit else hashlib.sha256(name.encode()).hexdigest()[:16]) + suffix


def _key(assignment: Assignment, entry: Entry, how: How) -> str:
    parts = [assignment.name, normal_id(entry.student), asdict(how), entry.digest, graders()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@cache
def graders() -> str:
    """The version of all that a grade may depend on. Rather too much of it: then a class is graded once more."""
    seen = hashlib.sha256()
    sources = [*Path(__file__).parents[2].rglob("*.py"), *(LABS / "assignments").rglob("*")]
    for path in sorted(path for path in sources if path.is_file() and "__pycache__" not in path.parts):
        seen.update(path.name.encode() + b"\0" + path.read_bytes())
    return seen.hexdigest()


def _load(path: Path, key: str) -> Graded | None:
    """A kept grade, unless it is of something else, or damaged."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["key"] != key:
            return None
        if record["problem"]:
            return Graded(record["file"], problem=record["problem"], whose=record["student"])
        return Graded(record["file"], _GRADE.validate_python(record))
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None
