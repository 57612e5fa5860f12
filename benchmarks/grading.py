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
from pathlib import Path

import tomli_w
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import machine
from tcpclose.protocol import fsm
from tcpclose.teaching.assignments import a1, catalogue
from tcpclose.teaching.assignments.alterations import combine, drawn
from tcpclose.teaching.assignments.rules import right_moves

AIM = 300.0  # seconds for 300
TCPCLOSE = (sys.executable, "-c", "from tcpclose.cli import app; app()")


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


def a1_submissions(size: int) -> Iterator[tuple[str, str]]:
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
            yield student, tomli_w.dumps({"student": student, "row": ways[kind]})
        else:
            yield student, a1.template(student) if kind == len(ways) else "[[row]\n"


#: What a class hands in, by assignment.
CLASSES = {"a1": a1_submissions}


def write_class(assignment: str, folder: Path, size: int) -> None:
    """A folder for each student."""
    file = catalogue.find(assignment).file
    for student, text in CLASSES[assignment](size):
        (folder / student).mkdir(parents=True)
        (folder / student / file).write_text(text)


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
    parser.add_argument("--json", type=Path, metavar="FILE")
    words = parser.parse_args()
    record = {name: measure(name, words.size) for name in CLASSES}
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
