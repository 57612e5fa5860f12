"""Marks as courses want them: Gradescope's results.json, INGInious's feedback, JSON, and CSV for a class."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tcpclose.teaching.grading import Graded
from tcpclose.teaching.marking import Mark, Marked
from tcpclose.teaching.sheets import points


def as_record(graded: Graded) -> dict[str, Any]:
    """For programs."""
    record: dict[str, Any] = {"file": graded.file, "problem": graded.problem}
    if marked := graded.marked:
        record |= asdict(marked) | {"score": marked.score, "points": marked.points, "by_hand": marked.by_hand}
    return record


def _total(marked: Marked) -> str:
    apart = f", and {points(marked.by_hand)} that the instructor gives" if marked.by_hand else ""
    return "\n".join([f"{marked.score:g} of {points(marked.points)}{apart}", *marked.remarks])


def gradescope(graded: Graded) -> dict[str, Any]:
    """An autograder's results.json, https://gradescope-autograders.readthedocs.io/en/latest/specs/

    Questions that are marked by hand are not in it: Gradescope has its own ways for those.
    """
    if graded.marked is None:
        return {"score": 0.0, "output": graded.problem, "output_format": "text"}
    tests = [
        {
            "name": mark.id,
            "number": str(number),
            "score": mark.score,
            "max_score": float(mark.points),
            "status": "passed" if mark.right else "failed",
            "output": "\n".join(mark.notes),
            "output_format": "text",
        }
        for number, mark in enumerate(graded.marked.marks, 1)
        if not mark.by_hand
    ]
    return {
        "score": graded.marked.score,
        "output": _total(graded.marked),
        "output_format": "text",
        "tests": tests,
        "extra_data": {"lab": graded.marked.lab, "student": graded.marked.student},
    }


def inginious(graded: Graded) -> dict[str, Any]:
    """The feedback of a task's run, as INGInious's commands `feedback-result`, `-grade` and `-msg` leave it.

    Its texts are reStructuredText; a literal block shows them as they are.
    """
    if graded.marked is None:
        return {"result": "failed", "grade": 0.0, "text": _literal(graded.problem)}
    marked = graded.marked
    grade = round(100 * marked.score / marked.points, 2) if marked.points else 0.0
    problems = {mark.id: [_verdict(mark), _literal("\n".join(mark.notes))] for mark in marked.marks}
    result = "success" if all(mark.right or mark.by_hand for mark in marked.marks) else "failed"
    return {"result": result, "grade": grade, "text": _literal(_total(marked)), "problems": problems}


def _verdict(mark: Mark) -> str:
    return "success" if mark.right or mark.by_hand else "failed"


def _literal(text: str) -> str:
    return "::\n\n" + "\n".join(f"    {line}".rstrip() for line in text.splitlines()) + "\n" if text else ""


def as_csv(graded: Sequence[Graded]) -> str:
    """One line for each file: what each question has brought; of those marked by hand, what was written."""
    marks = next((one.marked.marks for one in graded if one.marked), ())
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["file", "student", "score", "points", *(mark.id for mark in marks), "remarks"])
    for one in graded:
        if one.marked is None:
            table.writerow(map(_cell, [one.file, "", "", "", *("" for _ in marks), one.problem]))
            continue
        brought = [" ".join(mark.given.values()) if mark.by_hand else mark.score for mark in one.marked.marks]
        marked, remarks = one.marked, "; ".join(one.marked.remarks)
        table.writerow(map(_cell, [one.file, marked.student, marked.score, marked.points, *brought, remarks]))
    return out.getvalue()


def _cell(value: object) -> object:
    """A spreadsheet would take a student's text that begins like a formula for one."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return f"{value:g}" if isinstance(value, float) else value
