"""An assignment whose grader does what a submission says, be it the end of its process. Workers import it."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from tcpclose.teaching.assignments.grades import Assignment, Criterion, Grade, How, SubmissionError


def grade(path: Path, student: str, how: How) -> Grade:
    text = path.read_text()
    match text.split():
        case ["killed"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["aborts"]:
            os.kill(os.getpid(), signal.SIGABRT)
        case ["exits"]:
            os._exit(3)
        case ["leaves"]:
            sys.exit(4)
        case ["raises"]:
            raise KeyError("what?")
        case ["recurses"]:
            return grade(path, student, how)
        case ["sleeps"]:
            time.sleep(600)
        case ["refused"]:
            raise SubmissionError(f"{path}: is nothing")
        case ["pickles"]:
            return Grade("odd", student, (Criterion("one", 10, 1, "3.6", (lambda: "no text",)),))  # type: ignore[arg-type]
    return Grade("odd", student, (Criterion("one", 10, float(text), "3.6", (f"seen {text}",)),), ("a remark",))


ODD = Assignment("odd", "whatever it says", "odd.txt", lambda student: {"odd.txt": "0"}, grade)
