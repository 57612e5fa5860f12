"""The first process of a box: limits itself, loads the program and with it foreign code, and answers line by line.

Run as a script, with the standard library only. Until the program is loaded it can be relied on; after that anything
in this process may have been replaced, and what it says is what the submission says.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import sys
import traceback
import types
from collections import deque
from typing import Any

_SHOWN = 8  # calls on the way to an exception


def _report(error: BaseException) -> str:
    """What was raised and on which line, for one line; the end of the way there goes to stderr, without our part."""
    ways, way = deque[types.TracebackType](maxlen=_SHOWN), error.__traceback__
    while way:
        if way.tb_frame.f_code.co_filename != __file__:
            ways.append(way)
        way = way.tb_next
    with contextlib.suppress(OSError):  # it may have printed all that it may
        traceback.print_exception(type(error), error, ways[0] if ways else None)
    lines = [way.tb_lineno for way in ways if way.tb_frame.f_code.co_filename.endswith("/submission.py")]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {error}".removesuffix(": ") + where


def _limit(what: int, most: int) -> None:
    """No more than `most`, and than before. Who overdraws processor time is warned, and killed a second later."""
    hard = resource.getrlimit(what)[1]
    new = most + (what == resource.RLIMIT_CPU)
    new = new if hard == resource.RLIM_INFINITY else min(new, hard)
    resource.setrlimit(what, (min(most, new), new))


def main(requests: int, replies: int) -> None:
    """Say that we are there, be told limits and program, then answer until there are no more requests."""

    def say(id: int, **what: Any) -> None:
        line = json.dumps({"id": id, **what}, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        while line:
            line = line[os.write(replies, line) :]

    say(0, value=None)
    with open(requests, "rb") as asked:
        settings = json.loads(asked.readline())["ask"]
        for name, most in settings["limits"].items():
            _limit(getattr(resource, name), most)
        sys.path.insert(0, os.path.dirname(__file__))
        try:
            program = importlib.import_module(settings["program"])
        except BaseException as error:
            say(1, raised=_report(error))
            return
        say(1, value=None)
        for line in asked:
            request = json.loads(line)
            try:
                say(request["id"], value=program.answer(request["ask"]))
            except BaseException as error:
                say(request["id"], raised=_report(error))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
