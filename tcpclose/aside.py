"""Files that appear whole or not at all: they are written beside their place, and renamed when complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".part"  # no command reads such a file; a run that is killed may leave some


def part(path: Path) -> Path:
    """Where `path` is written while it is not complete."""
    return path.with_name(path.name + SUFFIX)


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Gives the block a path to write to; `path` appears when the block ends, and not when it is left by an error."""
    unfinished = part(path)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
