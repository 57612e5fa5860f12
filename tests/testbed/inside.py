"""Functions of test files, called in processes of their own: what runs inside a box."""

from __future__ import annotations

import inspect
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent

#: The type of the fixture `in_box`.
InBox = Callable[..., str]


def first_line(process: subprocess.Popen[Any], seconds: float = 60) -> Any:
    """What a process says first, when it says so in time."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], seconds)[0], "it says nothing"
    return process.stdout.readline()


_CODE = "import runpy, sys; sys.path[:0] = {folders!r}; runpy.run_path({file!r})[{name!r}](*{args!r})"


def call(function: Callable[..., Any], *args: object) -> list[str]:
    """The command that calls a function of a test file, with arguments that `repr` can write."""
    file = Path(inspect.getfile(function))
    folders = [str(file.parent), str(ROOT / "tests")]
    return [
        sys.executable,
        "-c",
        _CODE.format(folders=folders, file=str(file), name=function.__name__, args=args),
    ]
