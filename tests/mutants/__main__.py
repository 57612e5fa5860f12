"""The court, a process of its own: a mutant's name comes in on a line, a JSON verdict goes out.

In the process of pytest, coverage measures; and an interruption that strikes while coverage holds its lock leaves it
locked, so that the next line of code waits for ever.
"""

from __future__ import annotations

import json
import sys

import pytest

from mutants import MUTANTS
from mutants.judges import failures
from tcpclose.protocol.fsm import TABLE, TRANSITIONS


def main() -> None:
    """Judge until there are no more names; the empty one stands for the code as it is."""
    named = {mutant.name: mutant for mutant in MUTANTS}
    likely = ""  # the module that noticed the last one: neighbours are often noticed by the same
    for line in sys.stdin:
        name = line.rstrip("\n")
        with pytest.MonkeyPatch.context() as patch:
            if name:
                named[name].apply(patch)
            killer, error = next(failures(likely), (None, None))
        likely = killer.partition("::")[0] if killer else ""
        restored = {row for rows in TABLE.values() for row in rows.values()} == set(TRANSITIONS)
        print(json.dumps({"killer": killer, "error": repr(error), "restored": restored}), flush=True)


if __name__ == "__main__":
    main()
