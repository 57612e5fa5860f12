"""Work shared among processes. A terminal interrupts all of them: ours tells of it, and ends the others."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

_Task = TypeVar("_Task")
_Outcome = TypeVar("_Outcome")


@contextmanager
def unheard_interrupts() -> Iterator[None]:
    """A process that is started in this block never hears SIGINT; ours hears it at the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def shared(work: Callable[[_Task], _Outcome], tasks: Sequence[_Task], jobs: int, at_once: int) -> Iterator[_Outcome]:
    """What comes of each task, in their order, on `jobs` processes; each is given so many tasks `at_once`."""
    if jobs == 1:
        yield from map(work, tasks)
        return
    pool = ProcessPoolExecutor(jobs)
    try:
        with unheard_interrupts():
            outcomes = pool.map(work, tasks, chunksize=at_once)  # they start now
        yield from outcomes
    finally:
        pool.shutdown(cancel_futures=True)
