"""Many scripts: finding them, running them on several cores, and telling what came of them, also to programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from tcpclose.drill.runner import Verdict, Wishes, run_text
from tcpclose.processes import shared
from tcpclose.written import read_written, reason

SUFFIX = ".pkt"
_AT_ONCE = 50  # scripts that one process is given at a time
_SHOWN = 8  # so many of the last events are told with a failure
_ENCODING = "utf-8"


class CollectionError(Exception):
    """A path holds nothing to run."""


def find_scripts(paths: Iterable[Path]) -> list[Path]:
    """The scripts of files and folders, searched recursively, in the order of their names."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            scripts = sorted(path.rglob(f"*{SUFFIX}"))
            if not scripts:
                raise CollectionError(f"{path}: expected scripts, files *{SUFFIX}, in this folder or below")
            found.update(dict.fromkeys(scripts))
        elif path.is_file():
            found[path] = None
        else:
            raise CollectionError(f"{path}: no such file or folder")
    return list(found)


def run_file(path: Path, wishes: Wishes) -> Verdict:
    """Run one script. A file that cannot be read, or is no text, fails."""
    try:
        text = read_written(path)
    except (OSError, ValueError) as error:
        return Verdict(str(path), "failed", f"{path}: cannot be read: {reason(error)}")
    return run_text(text, str(path), wishes)


def run_all(paths: list[Path], wishes: Wishes, jobs: int = 1) -> Iterator[Verdict]:
    """Run scripts in the order given, on `jobs` processes."""
    return shared(partial(run_file, wishes=wishes), paths, jobs, _AT_ONCE)


def summary(verdicts: Iterable[Verdict]) -> str:
    """`N passed, N failed, N skipped`."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped"))


def complaint(verdict: Verdict) -> str:
    """What to tell of a script that failed."""
    events = [f"    {line}" for line in verdict.log[-_SHOWN:]]
    return "\n".join([verdict.message, *(["    last events:", *events] if events else [])])


def as_json(verdicts: list[Verdict]) -> str:
    """A list of objects, one for each script."""
    rows = [
        {
            "name": verdict.name,
            "outcome": verdict.outcome,
            "message": verdict.message,
            "line": verdict.place.line if verdict.place else None,
            "column": verdict.place.column if verdict.place else None,
        }
        for verdict in verdicts
    ]
    return json.dumps(rows, indent=1) + "\n"


def as_tap(verdicts: list[Verdict]) -> str:
    """The Test Anything Protocol, version 13."""
    lines = ["TAP version 13", f"1..{len(verdicts)}"]
    for number, verdict in enumerate(verdicts, 1):
        word = "not ok" if verdict.outcome == "failed" else "ok"
        skip = f" # SKIP {verdict.message}" if verdict.outcome == "skipped" else ""
        lines.append(f"{word} {number} - {verdict.name.replace('#', '_')}{skip}")
        if verdict.outcome == "failed":
            lines += [f"# {line}" for line in complaint(verdict).split("\n")]
    return "\n".join(lines) + "\n"


def as_junit(verdicts: list[Verdict]) -> str:
    """The XML that build servers read."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    suite = ElementTree.Element(
        "testsuite",
        name="tcpclose drill",
        tests=str(len(verdicts)),
        failures=str(counts["failed"]),
        skipped=str(counts["skipped"]),
    )
    for verdict in verdicts:
        folder, _, name = verdict.name.rpartition("/")
        case = ElementTree.SubElement(suite, "testcase", classname=folder, name=name)
        if verdict.outcome == "failed":
            first = verdict.message.split("\n")[0]
            ElementTree.SubElement(case, "failure", message=first).text = complaint(verdict)
        elif verdict.outcome == "skipped":
            ElementTree.SubElement(case, "skipped", message=verdict.message)
    return ElementTree.tostring(suite, encoding="unicode") + "\n"


FORMATS: dict[str, Callable[[list[Verdict]], str]] = {"json": as_json, "tap": as_tap, "junit": as_junit}


def write_trace(verdict: Verdict, folder: Path) -> None:
    """All events of a script, with the time at which each happened, in a file of the script's name."""
    flat = verdict.name.strip("./").replace("/", "_").removesuffix(SUFFIX)
    text = "\n".join([*verdict.log, f"{verdict.outcome} {verdict.message}".rstrip()])
    (folder / f"{flat}.txt").write_text(text + "\n", _ENCODING)
