"""What a mutant is, and the few ways to make one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tcpclose.protocol.fsm import TABLE, Event, State

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Mutant:
    """One bug. `apply` puts it into the running code until `Patch.undo`; it raises if there is nothing to patch."""

    name: str
    why: str
    apply: Callable[[Patch], None]


MUTANTS: list[Mutant] = []


def mutant(why: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """Register a function that applies a bug. Its name is the bug's; `why`: what goes wrong, or who had it."""

    def register(apply: Callable[[Patch], None]) -> Callable[[Patch], None]:
        MUTANTS.append(Mutant(apply.__name__.replace("_", " "), why, apply))
        return apply

    return register


def row(patch: Patch, state: State, event: Event, **changes: Any) -> None:
    """Change a row of the machine. Raises `KeyError` if there is none, and refuses to change nothing."""
    old = TABLE[state][event]
    new = old._replace(**changes)
    assert new != old, f"the row {state}, {event.name} is so already"
    patch.setitem(TABLE[state], event, new)


def instead(patch: Patch, owner: Any, name: str) -> Callable[[Callable[..., Any]], None]:
    """Replace a method or function; the new one is given the old one first. Raises `AttributeError` if there is none.

    @instead(patch, Sender, "stop")
    def broken(original, self): ...
    """
    original = getattr(owner, name)

    def replace(new: Callable[..., Any]) -> None:
        patch.setattr(owner, name, lambda *arguments, **named: new(original, *arguments, **named))

    return replace
