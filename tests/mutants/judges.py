"""The tests that judge a mutant, as plain calls: a whole pytest for each of them would take too long.

They are the figures and the tests of connections, of stacks and of their sockets. The tests of the table itself are
left out: they compare it with its own rows, and would notice any change of a row whether or not it matters.
"""

from __future__ import annotations

import gc
import inspect
import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

import pytest
import test_acceptability
import test_acknowledging
import test_closing
import test_ecn
import test_figures
import test_keepalive
import test_limits
import test_opening
import test_options
import test_receiving
import test_sack
import test_sending
import test_sockets
import test_stack
import test_time_wait
import test_timers
import test_transmission
import test_windows
from peers import Played

MODULES = (
    test_figures,
    test_opening,
    test_receiving,
    test_windows,
    test_transmission,
    test_acceptability,
    test_closing,
    test_stack,
    test_time_wait,
    test_keepalive,
    test_timers,
    test_sending,
    test_acknowledging,
    test_ecn,
    test_options,
    test_sack,
    test_limits,
    test_sockets,
)

#: A judge that takes this long, in seconds of this process, would take for ever: a mutant may well loop.
PATIENCE = 1.0

#: What the fixtures of those files give, by name.
FIXTURES: dict[str, list[Callable[[], Any]]] = {
    "play": [
        lambda: lambda **settings: Played(100, 300, **settings),
        lambda: lambda **settings: Played(2**32 - 1, 2**32 - 4, **settings),
    ],
    "stack": [lambda: inspect.unwrap(test_stack.stack)()],
    "host": [lambda: inspect.unwrap(test_time_wait.host)()],
    "net": [lambda: inspect.unwrap(test_sockets.net)()],
}


def judges(first: str = "") -> Iterator[tuple[str, Callable[[], None]]]:
    """Every case of every test, with its name, but for those that Hypothesis makes up: they would take too long.

    Those of the module `first` come first.
    """
    for module in sorted(MODULES, key=lambda module: module.__name__ != first):
        for name, test in vars(module).items():
            if name.startswith("test_") and not getattr(test, "is_hypothesis_test", False):
                yield from _cases(module, name, test)


def _cases(module: ModuleType, name: str, test: Callable[..., None]) -> Iterator[tuple[str, Callable[[], None]]]:
    asked = inspect.signature(test).parameters
    choices: list[list[dict[str, Callable[[], Any]]]] = []
    for mark in getattr(test, "pytestmark", ()):
        if mark.name == "parametrize":
            choices.append(list(_parametrized(*mark.args[:2])))
    given = {key for choice in choices for key in choice[0]}
    for fixture in asked.keys() - given:
        choices.append([{fixture: make} for make in FIXTURES[fixture]])
    for number, chosen in enumerate(itertools.product(*choices)):
        makers = {key: make for part in chosen for key, make in part.items()}
        yield f"{module.__name__}::{name}[{number}]", lambda makers=makers: test(**{k: m() for k, m in makers.items()})


def _parametrized(names: str | tuple[str, ...], values: Any) -> Iterator[dict[str, Callable[[], Any]]]:
    keys = [key.strip() for key in names.split(",")] if isinstance(names, str) else list(names)
    for value in values:
        parts = (value,) if len(keys) == 1 else value
        yield {key: lambda part=part: part for key, part in zip(keys, parts, strict=True)}


class Hangs(Exception):
    """A judge did not come to an end."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `Hangs` in what takes longer. It needs the main thread, where pytest runs its tests."""

    def expire(number: int, frame: FrameType | None) -> None:
        raise Hangs(f"no end after {seconds} s")

    before = signal.signal(signal.SIGVTALRM, expire)
    # Python drops what is raised in a callback of the garbage collector, and Hypothesis has one. Other places where it
    # would be lost are why the timer does not give up.
    gc.disable()
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        gc.enable()


def failures(first: str = "") -> Iterator[tuple[str, BaseException]]:
    """Run the judges, in the order of `judges`; those that fail, with what they say."""
    for name, judge in judges(first):
        try:
            with limited(PATIENCE):
                judge()
        except (Exception, pytest.fail.Exception) as error:
            yield name, error
