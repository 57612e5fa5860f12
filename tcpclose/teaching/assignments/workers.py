"""Work on all cores that may kill its process: each task loses itself at most, and the others go on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from tcpclose.processes import unheard_interrupts

#: Seconds that a task may take.
PATIENCE = 900.0

#: A new interpreter each, which has neither our threads nor our files.
_CONTEXT = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Lost:
    """A task that has no outcome, and why."""

    reason: str


def run_all(
    work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int | None = None, patience: float = PATIENCE
) -> Iterator[tuple[Any, Any]]:
    """Each task with its outcome, or `Lost`, as they come. `work` and what it takes and gives can be pickled."""
    waiting, workers = deque(tasks), list[_Worker]()
    resource_tracker.ensure_running()  # which unblocks SIGINT as it starts, and comes with the first process
    jobs = min(jobs or os.cpu_count() or 1, len(tasks))
    try:
        while waiting or any(worker.busy for worker in workers):
            workers = [worker for worker in workers if worker.alive]
            with unheard_interrupts():  # we have it too, and kill them
                workers += [_Worker(work) for _ in range(min(jobs - len(workers), len(waiting)))]
            for worker in workers:
                if waiting and not worker.busy:
                    worker.begin(waiting.popleft(), patience)
            busy = [worker for worker in workers if worker.busy]
            wait([worker.pipe for worker in busy], max(0.0, min(w.deadline for w in busy) - time.monotonic()))
            for worker in busy:
                if worker.pipe.poll() or time.monotonic() >= worker.deadline:
                    yield worker.task, worker.end(patience)
    finally:
        for worker in workers:
            worker.kill()


class _Worker:
    """A process that does one task after the other, until its pipe is closed, by us or by our death."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.pipe, theirs = _CONTEXT.Pipe()
        self.task: Any = None
        self.busy, self.alive, self.deadline = False, True, 0.0
        self._process: SpawnProcess = _CONTEXT.Process(target=_serve, args=(work, theirs))
        self._process.start()
        theirs.close()

    def begin(self, task: Any, patience: float) -> None:
        self.task, self.busy, self.deadline = task, True, time.monotonic() + patience
        with suppress(OSError):  # it is dead, which `end` will find and tell
            self.pipe.send(task)

    def end(self, patience: float) -> Any:
        """The outcome; a process that gives none is done with."""
        self.busy = False
        try:
            if self.pipe.poll():
                return self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            return Lost(_death(self._process.exitcode or 0))
        finally:
            self.alive = self._process.is_alive()
        self.kill()
        return Lost(f"it took longer than {patience:g} seconds")

    def kill(self) -> None:
        self.alive = False
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _death(status: int) -> str:
    if status == -signal.SIGKILL:
        return "its grading was killed; perhaps it needs too much memory"
    if status < 0:
        return f"its grading died of {signal.Signals(-status).name}"
    return f"its grading ended with status {status}"


def _serve(work: Callable[[Any], Any], pipe: Connection) -> None:
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            outcome = work(task)
        except Exception as error:
            outcome = Lost(f"its grading failed with {type(error).__name__}: {error}")
        try:
            pipe.send(outcome)
        except OSError:  # nobody waits for it any more
            return
