"""What a class has reached: for people, programs and spreadsheets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean, median
from typing import Any

from tcpclose.runs import write_whole
from tcpclose.teaching.assignments.classes import Classroom, file_name
from tcpclose.teaching.assignments.pages import index, page
from tcpclose.teaching.exports import as_csv, as_record
from tcpclose.teaching.results import Graded, Result, Share, doubles, shares

#: The distribution has a bar for each tenth of the points; the last has those with all of them in it.
BINS = 10


@dataclass(frozen=True)
class Summary:
    """A class that was graded; `graded` is in the order of the classroom."""

    title: str
    graded: Sequence[Graded]
    classroom: Classroom

    @cached_property
    def results(self) -> list[Result]:
        """Of those that could be graded."""
        return [one.result for one in self.graded if one.result]

    @property
    def problems(self) -> list[str]:
        """Why the others could not."""
        return [one.problem for one in self.graded if one.problem]

    @property
    def figures(self) -> dict[str, float]:
        """Mean and median, none of nobody."""
        scores = [result.score for result in self.results]
        return {"mean": round(mean(scores), 1), "median": round(median(scores), 1)} if scores else {}

    @property
    def distribution(self) -> list[tuple[str, int]]:
        """How many have reached which part of their points, in percent."""
        counts = [0] * BINS
        for result in self.results:
            counts[max(0, min(BINS - 1, int(BINS * result.score / (result.points or 1))))] += 1
        size = 100 // BINS
        ends = [f"{(size * (number + 1)) - 1}" for number in range(BINS - 1)] + ["100"]
        return [
            (f"{size * number} to {end} %", count) for number, (end, count) in enumerate(zip(ends, counts, strict=True))
        ]

    @property
    def missed(self) -> list[Share]:
        """The share of its points that each criterion has brought, the least first."""
        return sorted(shares(self.graded), key=lambda share: share.reached)

    @property
    def notices(self) -> list[str]:
        """What an instructor may want to look at."""
        lines = doubles(self.graded)
        lines += [f"the same, octet for octet: {', '.join(names)}" for names in self.classroom.alike]
        lines += [f"nothing handed in by {', '.join(self.classroom.missing)}"] if self.classroom.missing else []
        lines += [f"passed over: {', '.join(self.classroom.passed_over)}"] if self.classroom.passed_over else []
        return lines

    def as_record(self) -> dict[str, Any]:
        """For programs."""
        return {
            "title": self.title,
            "graded": len(self.results),
            **self.figures,
            "distribution": dict(self.distribution),
            "reached": {
                one.name: {"share": round(one.reached, 4), "submissions": one.submissions} for one in self.missed
            },
            "not graded": self.problems,
            "notices": self.notices,
            "submissions": [as_record(one) for one in self.graded],
        }


def histogram(distribution: Sequence[tuple[str, int]], width: int = 40) -> list[str]:
    """The distribution as lines of text."""
    most = max(1, *(count for _, count in distribution))
    return [f"{name:>12} {count:>4} {'█' * -(-count * width // most)}".rstrip() for name, count in distribution]


def write_summary(out: Path, summary: Summary) -> Path:
    """The page of the class, beside a page for each submission, summary.json and class.csv. Raises `OSError`."""
    pages = out / "pages"
    pages.mkdir(parents=True, exist_ok=True)
    links = {}
    for one in summary.graded:
        name = file_name(one.file, ".html")
        links[one.file] = f"pages/{name}"
        write_whole(pages / name, page(summary.title, one))
    write_whole(out / "class.csv", as_csv(summary.graded))
    write_whole(out / "summary.json", json.dumps(summary.as_record(), indent=2) + "\n")
    write_whole(out / "index.html", index(summary, links))
    return out / "index.html"
