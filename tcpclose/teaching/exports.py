"""Results as courses want them: Gradescope's results.json, INGInious's feedback, JSON, and CSV for a class."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from typing import Any

from tcpclose.teaching.results import Graded, Item, Result, right
from tcpclose.teaching.sheets import cited, points


def as_record(graded: Graded) -> dict[str, Any]:
    """For programs."""
    record: dict[str, Any] = {"file": graded.file, "problem": graded.problem, "student": graded.student}
    if result := graded.result:
        assert is_dataclass(result)
        record |= asdict(result) | {"score": result.score, "points": result.points, "by_hand": result.by_hand}
    return record


def _total(result: Result) -> str:
    apart = f", and {points(result.by_hand)} that the instructor gives" if result.by_hand else ""
    return "\n".join([f"{result.score:g} of {points(result.points)}{apart}", *result.remarks])


def _told(item: Item) -> str:
    return "\n".join([*item.notes, *([cited(item.rfc)] if item.rfc else [])])


def gradescope(graded: Graded) -> dict[str, Any]:
    """An autograder's results.json, https://gradescope-autograders.readthedocs.io/en/latest/specs/

    Questions that are marked by hand are not in it: Gradescope has its own ways for those.
    """
    result = graded.result
    if result is None:
        return {"score": 0.0, "output": graded.problem, "output_format": "text"}
    tests = [
        {
            "name": item.name,
            "number": str(number),
            "score": item.score,
            "max_score": float(item.points),
            "status": "passed" if right(item) else "failed",
            "output": _told(item),
            "output_format": "text",
        }
        for number, item in enumerate(result.items, 1)
        if not item.by_hand
    ]
    return {
        "score": result.score,
        "output": _total(result),
        "output_format": "text",
        "tests": tests,
        "extra_data": result.about,
    }


def inginious(graded: Graded) -> dict[str, Any]:
    """The feedback of a task's run, as INGInious's commands `feedback-result`, `-grade` and `-msg` leave it.

    Its texts are reStructuredText; a literal block shows them as they are.
    """
    result = graded.result
    if result is None:
        return {"result": "failed", "grade": 0.0, "text": _literal(graded.problem)}
    grade = round(100 * result.score / result.points, 2) if result.points else 0.0
    problems = {
        re.sub(r"[^a-zA-Z0-9_]+", "-", item.name): [_verdict(right(item)), _literal(_told(item))]
        for item in result.items
    }
    verdict = _verdict(all(map(right, result.items)))
    return {"result": verdict, "grade": max(grade, 0.0), "text": _literal(_total(result)), "problems": problems}


def _verdict(good: bool) -> str:
    return "success" if good else "failed"


def _literal(text: str) -> str:
    return "::\n\n" + "\n".join(f"    {line}".rstrip() for line in text.splitlines()) + "\n" if text else ""


def as_csv(graded: Iterable[Graded]) -> str:
    """One line for each file: what each question or criterion has brought; of those marked by hand, what was written.

    Criteria that not everybody has, as those of a variant, are empty for the others.
    """
    graded = list(graded)
    names = dict.fromkeys(item.name for one in graded if one.result for item in one.result.items)
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["file", "student", "score", "points", *map(_cell, names), "remarks"])
    for one in graded:
        line: list[object] = [one.file, one.student, "", "", *("" for _ in names), one.problem]
        if result := one.result:
            brought = {item.name: item.cell for item in result.items}
            cells = (brought.get(name, "") for name in names)
            line = [one.file, result.student, result.score, result.points, *cells, "; ".join(result.remarks)]
        table.writerow(map(_cell, line))
    return out.getvalue()


#: How a formula may begin, where a cell may: some spreadsheets take the wide forms as well, others part cells at `;`.
_FORMULA = re.compile(r"(^|[;\t\r\n])(?=[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])")


def _cell(value: object) -> object:
    """A spreadsheet would take a student's text that begins like a formula for one."""
    if isinstance(value, str):
        return _FORMULA.sub(r"\1'", value)
    return f"{value:g}" if isinstance(value, float) else value
