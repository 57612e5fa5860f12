"""The assignments by name. Each is a module that has its `ASSIGNMENT`, and is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from tcpclose.runs import write_whole
from tcpclose.teaching.assignments.grades import Assignment

TITLES = {
    "a1": "the release half of the state table",
    "a2": "the release of a small TCP, as a program",
    "a3": "packetdrill scripts that tell broken stacks from right ones",
}


def find(name: str) -> Assignment:
    """The assignment of this name. Raises `KeyError`."""
    if name not in TITLES:
        raise KeyError(name)
    found: Assignment = import_module(f"{__package__}.{name}").ASSIGNMENT
    return found


def export(assignment: Assignment, student: str, folder: Path) -> list[Path]:
    """Write what a student is given. Raises `FileExistsError` rather than to overwrite somebody's work."""
    texts = {folder / name: text for name, text in assignment.files(student).items()}
    for path in texts:
        if path.exists():
            raise FileExistsError(f"{path} is there already; choose another folder")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    return list(texts)


def export_class(assignment: Assignment, students: Sequence[str], folder: Path) -> Iterator[Path]:
    """The same for each, into folders named by their IDs, which come as they are written.

    Raises `FileExistsError` before anything is written.
    """
    for student in students:
        if (folder / student).exists():
            raise FileExistsError(f"{folder / student} is there already; choose another folder, or list who is new")
    for student in students:
        export(assignment, student, folder / student)
        yield folder / student
