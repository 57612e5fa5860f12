"""Files that appear whole or not at all: they are written beside their place, and renamed when complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".part"  # no command reads such a file; a run that is killed may leave some


def part(path: Path) -> Path:
    """Where `path` is written while it is not complete."""
    return path.with_name(path.name + SUFFIX)


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Gives the block a path to write to; `path` appears when the block ends, and not when it is left by an error.

    What is there and no file, as /dev/stdout or a pipe, is written to at once. A link goes on leading to its file.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    path = Path(os.path.realpath(path))
    unfinished = part(path)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
