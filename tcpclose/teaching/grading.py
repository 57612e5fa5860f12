"""A class: all sheets of a folder, marked on all cores."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path

from tcpclose.processes import shared
from tcpclose.scenario import ScenarioError
from tcpclose.teaching.labs import Lab
from tcpclose.teaching.marking import mark_sheet
from tcpclose.teaching.results import Graded, plain_line
from tcpclose.teaching.sheets import SheetError, load_sheet


def find_sheets(folder: Path) -> list[Path]:
    """The sheets of a folder and those below it, by name. Raises `SheetError` when there are none."""
    found = sorted(path for path in folder.rglob("*.toml") if path.is_file())
    if not found:
        what = "has no *.toml in it" if folder.is_dir() else "is no folder"
        raise SheetError(f"{folder} {what}")
    return found


def grade(lab: Lab, folder: Path, paths: Sequence[Path], jobs: int | None = None) -> Iterator[Graded]:
    """Mark these sheets of a class's folder, in this order."""
    jobs = min(jobs or os.cpu_count() or 1, len(paths))
    at_once = max(1, min(32, len(paths) // (4 * jobs)))
    return shared(partial(_grade, lab.folder, folder), paths, jobs, at_once)


#: A process reads a lab's questions once.
_lab = cache(Lab)


def _grade(lab: Path, folder: Path, path: Path) -> Graded:
    return grade_file(_lab(lab), path, plain_line(str(path.relative_to(folder))))


def grade_file(lab: Lab, path: Path, name: str = "", student: str = "") -> Graded:
    """Mark one file, whatever is in it."""
    try:
        sheet = load_sheet(path)
    except SheetError as error:
        return Graded(name, problem=plain_line(str(error)))
    try:
        return Graded(name or str(path), mark_sheet(lab, sheet, student))
    except (SheetError, ScenarioError) as error:
        return Graded(name, problem=plain_line(f"{path}: {error}"))
