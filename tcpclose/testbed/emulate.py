"""`emulate(scenario, ...)`: the same scenario on Mininet hosts, in a box of its own, in real time."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tcpclose.testbed import box
from tcpclose.trace.events import Event, Trace, from_json


class EmulationError(RuntimeError):
    """The run could not be made, or did not go as ordered; the message is for people."""


def emulate(folder: Path, watch: Callable[[Event], None] | None = None) -> Trace:
    """Run the resolved `folder`/scenario.toml on Mininet; captures of all host interfaces are left in `folder`.

    `watch` is called with each event as it becomes known. To be called from the main thread: when that dies, so does
    the box. Raises `EmulationError`.
    """
    reason = box.why_no_box()
    if reason is not None:
        raise EmulationError(reason)
    events, zero = [], 0
    with tempfile.TemporaryFile("w+") as complaints:
        command = box.box_command([sys.executable, "-m", "tcpclose.testbed.conductor", str(folder.resolve())])
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as conductor:
            try:
                for line in conductor.stdout or ():
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
