"""What is wrong with a scenario, said to people."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class ScenarioError(Exception):
    """What is wrong with a scenario, for people: `problems` has one line each, `source` is the file."""

    def __init__(self, problems: Sequence[str], source: str = "scenario") -> None:
        super().__init__(problems, source)
        self.problems, self.source = tuple(problems), source

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.source}: {self.problems[0]}"
        return "\n  ".join([f"{self.source}: {len(self.problems)} errors", *self.problems])


def guess(wrong: str, known: Iterable[str], kind: str) -> str:
    """ "did you mean ...?", or all that is known when nothing is near."""
    known = list(known)
    near = difflib.get_close_matches(wrong, known, 1)
    return f"did you mean {near[0]}?" if near else f"{kind}: {', '.join(known) or 'none'}"
