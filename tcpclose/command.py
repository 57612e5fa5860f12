"""The command that the user typed: messages that say what to do next name it."""

from __future__ import annotations

import os
import sys

_LAB = os.environ.get("TCPCLOSE_COMMAND")  # ./lab, which says so

#: `f"{COMMAND} runs"` is what the user types to see the runs.
COMMAND = _LAB or "tcpclose"


def this_command() -> list[str]:
    """The words of this very command, for somebody to repeat who has another PATH."""
    return [_LAB, *sys.argv[1:]] if _LAB else sys.orig_argv
