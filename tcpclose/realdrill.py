"""packetdrill itself, on this machine's kernel: `drill --against-kernel`.

Each script has a box of its own, private namespaces that die with it, so that neither its interface nor its sysctls are
those of the machine. But what stands in backticks goes to a shell there, as packetdrill has it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tcpclose.drill.runner import Verdict, Wishes
from tcpclose.testbed.box import box_command

PROGRAM = "packetdrill"
ABSENT = f"there is no {PROGRAM} on PATH; no distribution has it, build it from its sources (google/packetdrill)"

_LONGEST = 600.0  # seconds: scripts take the time that they speak of


def find_packetdrill() -> str | None:
    """The program's path; None where there is none."""
    return shutil.which(PROGRAM)


def run_really(path: Path, wishes: Wishes, program: str, longest: float = _LONGEST) -> Verdict:
    """What packetdrill says of a script. Its folder is the current one, as the public collections want it."""
    options = [] if wishes.tolerance_usecs is None else [f"--tolerance_usecs={wishes.tolerance_usecs}"]
    options += [word for pair in wishes.symbols.items() for word in ("-D", "=".join(pair))]
    command = box_command([program, *options, path.name])
    try:
        done = subprocess.run(
            command, cwd=path.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=longest
        )
    except subprocess.TimeoutExpired:
        return Verdict(str(path), "failed", f"{path}: packetdrill has not ended within {longest:g} s")
    if done.returncode == 0:
        return Verdict(str(path), "passed")
    said = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
    return Verdict(str(path), "failed", said)
