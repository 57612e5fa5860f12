"""A program for a box that must not leak: it answers with what it could do there."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Callable

submission = importlib.import_module("submission")

#: What none of the folders in the box is called, and the machine has.
OUTSIDE = {"etc", "home", "proc", "root", "sys", "tmp", "var"}


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


ATTEMPTS: dict[str, Callable[[], object]] = {
    "open a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
    "start a process": _fork,
    "write a file": lambda: open("leak", "xb").close(),
    "read the machine's files": lambda: 1 / len(OUTSIDE.intersection(os.listdir("/"))),
    "see the environment": lambda: 1 / len(os.environ.keys() - {"PWD", "LC_CTYPE", "PYTHONHASHSEED"}),
    "signal other processes": lambda: 1 / (os.getpid() - 2),
}


def answer(request: object) -> str:
    """Which attempts succeeded; `submission` is as foreign code would be."""
    done = []
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
        except (OSError, ZeroDivisionError):
            continue
        done.append(name)
    return ", ".join(done) if submission.answer(request) == request else "lose answers"
