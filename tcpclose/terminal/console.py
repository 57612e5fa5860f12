"""Where all is printed."""

from __future__ import annotations

from rich.console import Console


def console(*, stderr: bool = False, highlight: bool = False) -> Console:
    """For the words of others, such as names of connections and folders: `[b]` and `:b:` in them are but letters."""
    return Console(stderr=stderr, highlight=highlight, markup=False, emoji=False)
