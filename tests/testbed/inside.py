"""Functions of test files, called in processes of their own: what runs inside a box."""

from __future__ import annotations

import functools
import inspect
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent

AS_NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")

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


@functools.cache
def why_not_as_nobody() -> str | None:
    """None when root can have the tests run by an ordinary user too."""
    code = "import tcpclose.testbed.network; from tcpclose.testbed.box import why_no_box; print(why_no_box() or '')"
    trial = subprocess.run([*AS_NOBODY, sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    return (trial.stdout or trial.stderr).strip() or None
