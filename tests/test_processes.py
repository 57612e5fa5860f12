"""Work on several processes, and who hears that a terminal interrupts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tcpclose.processes import shared
from tcpclose.teaching.assignments.workers import run_all

ROOT = Path(__file__).parent.parent

#: Work that interrupts all processes of its command once, as Ctrl-C does, and then takes a while.
INTERRUPTED = """
import os, signal, sys, time
from pathlib import Path
from tcpclose.processes import shared

def work(task):
    if task == 0:
        os.killpg(0, signal.SIGINT)
    time.sleep(0.02)
    Path(sys.argv[1], str(task)).touch()

for _ in shared(work, range(2000), 2, 1):
    pass
"""


def interruptible(task: int) -> tuple[int, bool]:
    return task, signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize("share", [lambda: shared(interruptible, range(4), 2, 1),
                                   lambda: (outcome for _, outcome in run_all(interruptible, range(4), 2))],
                         ids=["shared", "run_all"])  # fmt: skip
def test_processes_are_deaf_to_a_terminal_and_ours_is_not(share):
    """From their first instruction: what a process is born with."""
    assert sorted(share()) == [(task, False) for task in range(4)]
    assert interruptible(0) == (0, True)


def test_one_process_is_ours():
    assert list(shared(lambda task: (task, os.getpid()), [3, 1], 1, 1)) == [(3, os.getpid()), (1, os.getpid())]


def test_an_interrupt_is_told_once_and_leaves_what_has_not_begun(tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True, timeout=60)
    assert done.stderr.count("Traceback") == done.stderr.count("KeyboardInterrupt") == 1
    assert len(list(tmp_path.iterdir())) < 1000
