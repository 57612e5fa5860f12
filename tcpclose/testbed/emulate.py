"""`emulate(folder)`: the scenario of a run's folder on Mininet hosts, in a box of its own, in real time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tcpclose.testbed import box
from tcpclose.testbed.channel import COMMAND_LINE
from tcpclose.trace.events import Event, Trace, from_json


class EmulationError(RuntimeError):
    """The run could not be made, or did not go as ordered; the message is for people."""


def emulate(
    folder: Path,
    watch: Callable[[Event], None] | None = None,
    command_line: bool = False,
    programs: Mapping[str, Sequence[str]] | None = None,
) -> Trace:
    """Run the resolved `folder`/scenario.toml on Mininet; captures of all host interfaces are left in `folder`.

    `watch` is called with each event as it becomes known. With `command_line`, the run goes on after its timeline for
    as long as somebody stays in Mininet's CLI, which has our standard input and output. `programs` are those of
    hosts whose agent shall not be ours: a module that calls `agent.main`, and its arguments. To be called from the main
    thread: when that dies, so does the box. Raises `EmulationError`.
    """
    reason = box.why_no_box()
    if reason is not None:
        raise EmulationError(str(reason))
    events, zero = [], 0
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints, ExitStack() as leaving:
        words = [
            sys.executable,
            "-m",
            "tcpclose.testbed.conductor",
            str(folder.resolve()),
            json.dumps(dict(programs or {})),
        ]
        ours: dict[str, Any] = {"stdin": subprocess.DEVNULL}
        if command_line:
            console = leaving.enter_context(open(os.dup(1), "wb"))
            words.append(str(console.fileno()))
            ours = {"stdin": None, "pass_fds": [console.fileno()]}
        with subprocess.Popen(
            box.box_command(words), stdout=subprocess.PIPE, stderr=complaints, text=True, **ours
        ) as conductor:
            try:
                for line in conductor.stdout or ():
                    if not line.endswith("\n"):  # its writer was killed
                        break
                    if line == COMMAND_LINE:  # Ctrl-C is for the command that runs there
                        leaving.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.SIG_IGN))
                        continue
                    if line.startswith('{"zero"'):
                        zero = json.loads(line)["zero"]
                        continue
                    events.append(from_json(line))
                    if watch is not None:
                        watch(events[-1])
                status = conductor.wait()
            finally:
                conductor.kill()
        if status:
            complaints.seek(0)
            words = complaints.read().strip().splitlines()
            raise EmulationError(words[-1] if words else f"the run ended with status {status}")
    return Trace(events, zero)
