"""How fast a class is graded: `python -m benchmarks.grading`, 300 submissions in one run of `tcpclose grade --class`.

The class is made first, and is no part of the figures: a third of it right, the others half right, wrong throughout,
written in another way, empty as the template, or broken. A figure is of the whole command, from its start to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import tomli_w
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import machine
from tcpclose.protocol import fsm
from tcpclose.teaching.assignments import a1, a3
from tcpclose.teaching.assignments.a2 import giving as a2
from tcpclose.teaching.assignments.a2.variant import chosen
from tcpclose.teaching.assignments.alterations import combine, drawn
from tcpclose.teaching.assignments.mutants import VISIBLE
from tcpclose.teaching.assignments.rules import right_moves

AIM = 300.0  # seconds for 300
TCPCLOSE = (sys.executable, "-m", "tcpclose")


def rows_of(table: fsm.Table) -> list[dict[str, object]]:
    """The rows of a machine, as a student would write them."""
    return [
        {
            "state": str(state),
            "event": str(event),
            "next": move.next,
            "do": sorted(do.name for do in move.do),
            "cause": str(move.cause or ""),
        }
        for (state, event), move in right_moves(table).items()
    ]


def _renamed(row: dict[str, object]) -> dict[str, object]:
    ours = {
        key: f"my {row[key]}" for key in ("state", "next") if row[key] not in ("ESTABLISHED", "SYN-RECEIVED", "CLOSED")
    }
    return row | ours


#: Files by name.
HandedIn = dict[str, str]


def a1_submissions(size: int) -> Iterator[tuple[str, HandedIn]]:
    """Students, and what they hand in."""
    for number in range(size):
        student = f"s{number}"
        rows = rows_of(combine(*drawn("a1", student)))
        ways = (
            rows,
            rows,
            rows[: len(rows) // 2],
            rows_of(fsm.TABLE),
            list(map(_renamed, rows[::-1])),
        )
        kind = number % (len(ways) + 2)
        if kind < len(ways):
            yield student, {"a1.toml": tomli_w.dumps({"student": student, "row": ways[kind]})}
        else:
            yield student, {"a1.toml": a1.template(student) if kind == len(ways) else "[[row]\n"}


def a2_submissions(size: int) -> Iterator[tuple[str, HandedIn]]:
    """Right, with mistakes, the RFC's machine, the template, one that goes on for ever, and one that cannot be read."""
    solutions = _of_the_tests("a2_solutions")
    mistakes = list(solutions.MISTAKES.values())
    for number in range(size):
        student = f"s{number}"
        right = solutions.right(chosen(student), student)
        old, new, _ = mistakes[number % len(mistakes)]
        ways = (right, right.replace(old, new), right.replace(old, new), solutions.right((), student))
        odd = (a2.files(student)["release.py"], f"{right}\nwhile True:\n    pass\n", "def close(:\n")
        yield student, {"release.py": (*ways, odd[number // 5 % 3])[number % 5]}


def a3_submissions(size: int) -> Iterator[tuple[str, HandedIn]]:
    """All scripts of a right set, half of them, those of the RFC, what was given, and scripts that cannot be read."""
    solution = _of_the_tests("a3_scripts").solution
    for number in range(size):
        student = f"s{number}"
        right = solution({one.name for one in drawn("a3", student, VISIBLE)})
        half = dict(list(right.items())[::2])
        given = {name.removeprefix("scripts/"): text for name, text in a3.ASSIGNMENT.files(student).items()}
        given.pop("README.md")
        ways = (right, half, solution(set()), given, {name: text[:-20] for name, text in right.items()})
        yield student, {f"scripts/{name}": text for name, text in ways[number % len(ways)].items()}


def _of_the_tests(name: str) -> ModuleType:
    """Solutions are in the tests only."""
    path = Path(__file__).parents[1] / f"tests/teaching/{name}.py"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


#: What a class hands in, by assignment.
CLASSES = {"a1": a1_submissions, "a2": a2_submissions, "a3": a3_submissions}


def write_class(assignment: str, folder: Path, size: int) -> None:
    """A folder for each student."""
    for student, files in CLASSES[assignment](size):
        for name, text in files.items():
            path = folder / student / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def measure(assignment: str, size: int) -> dict[str, object]:
    """Seconds by the clock and of processors, also those of a second run, which finds all grades there."""
    figures: dict[str, object] = {"submissions": size}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "class"
        write_class(assignment, folder, size)
        for run in ("first", "again"):
            used, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            command = [*TCPCLOSE, "grade", assignment, "--class", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True)
            seconds = time.monotonic() - begin
            if done.returncode not in (0, 1):
                raise RuntimeError(done.stderr)
            spent = resource.getrusage(resource.RUSAGE_CHILDREN)
            processor = spent.ru_utime + spent.ru_stime - used.ru_utime - used.ru_stime
            figures[run] = {"seconds": seconds, "of processors": processor, "of each": seconds / size}
        figures["graded"] = json.loads((Path(name) / "class-grades" / "summary.json").read_text())["graded"]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--only", choices=CLASSES)
    parser.add_argument("--json", type=Path, metavar="FILE")
    words = parser.parse_args()
    record = {name: measure(name, words.size) for name in ([words.only] if words.only else CLASSES)}
    shown = Table("", "graded", "seconds", "of CPU", "ms of each", "again", "aim", box=box.SIMPLE_HEAD)
    for name, found in record.items():
        first, again = found["first"], found["again"]
        assert isinstance(first, dict)
        assert isinstance(again, dict)
        times = [f"{first['seconds']:.1f}", f"{first['of processors']:.1f}", f"{1000 * first['of each']:.1f}"]
        shown.add_row(name, f"{found['graded']} of {words.size}", *times, f"{again['seconds']:.1f}", f"{AIM:g}")
    Console().print(shown)
    if words.json:
        words.json.write_text(
            json.dumps({"machine": {**machine(), "load": os.getloadavg()[0]}, **record}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
