"""A class: all sheets of a folder, marked on all cores."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from tcpclose.scenario import ScenarioError
from tcpclose.teaching.labs import Lab
from tcpclose.teaching.marking import Mark, Marked, mark_sheet
from tcpclose.teaching.sheets import SheetError, load_sheet
from tcpclose.teaching.variation import normal_id


@dataclass(frozen=True)
class Graded:
    """What became of one file: it was marked, or `problem` says why not."""

    file: str
    marked: Marked | None = None
    problem: str = ""

    @property
    def student(self) -> str:
        """Whose sheet it is, as far as that is known."""
        return self.marked.student if self.marked else ""

    @property
    def score(self) -> float:
        """A sheet that cannot be read has none."""
        return self.marked.score if self.marked else 0.0


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
    work = partial(_grade, lab.folder, folder)
    if jobs == 1:
        yield from map(work, paths)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(work, paths, chunksize=max(1, min(32, len(paths) // (4 * jobs))))


#: A process reads a lab's questions once.
_lab = cache(Lab)


def _grade(lab: Path, folder: Path, path: Path) -> Graded:
    return grade_file(_lab(lab), path, str(path.relative_to(folder)))


def grade_file(lab: Lab, path: Path, name: str = "", student: str = "") -> Graded:
    """Mark one file, whatever is in it."""
    try:
        return Graded(name or str(path), mark_sheet(lab, load_sheet(path), student))
    except (SheetError, ScenarioError) as error:
        return Graded(name, problem=str(error))


def doubles(graded: Sequence[Graded]) -> list[str]:
    """Students of whom there are several sheets, for people."""
    files: dict[str, list[str]] = {}
    for one in graded:
        if one.student:
            files.setdefault(normal_id(one.student), []).append(one.file)
    return [f"several sheets of {who}: {', '.join(names)}" for who, names in files.items() if len(names) > 1]


def shares(graded: Sequence[Graded]) -> dict[str, float]:
    """Of each question that is not marked by hand, which share of its points the class has reached."""
    marks: dict[str, list[Mark]] = {}
    for one in graded:
        for mark in one.marked.marks if one.marked else ():
            if not mark.by_hand:
                marks.setdefault(mark.id, []).append(mark)
    return {name: sum(m.score for m in found) / sum(m.points for m in found) for name, found in marks.items()}
