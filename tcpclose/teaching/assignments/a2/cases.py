"""Figures and scripts that a submission is played in, as far as they hold in the student's machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tcpclose.drill.runner import Wishes, run_text
from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.fsm import Table
from tcpclose.protocol.interface import TcpError
from tcpclose.protocol.stack import Stack
from tcpclose.runs import LABS
from tcpclose.teaching.assignments.a2.foreign import Ask, ForeignStack, bounded
from tcpclose.teaching.assignments.a2.right import CONFIG
from tcpclose.trace.figure import FigureError
from tcpclose.trace.playing import play_figure

HOME = LABS / "assignments/a2-release"

Play = Callable[[Table, Ask | None], str | None]


@dataclass(frozen=True)
class Case:
    """One figure or script. `title` is what it shows."""

    name: str
    title: str
    _play: Play

    def play(self, table: Table, ask: Ask | None) -> str | None:
        """What is wrong with the engine behind `ask`, or with the right one when that is None."""
        return self._play(table, ask and bounded(ask))


def figures() -> list[Case]:
    """Each figure twice: the submission is A, then B; who is the other is right."""
    return [
        Case(f"{path.stem}, as {peer}", _title(text), partial(_play_figure, text, peer))
        for path, text in _texts("figures/*.txt")
        for peer in "AB"
    ]


def scripts() -> list[Case]:
    """Scripts have exact times."""
    return [
        Case(path.stem, _title(text.removeprefix("//")), partial(_play_script, text, path.name))
        for path, text in _texts("scripts/*.pkt")
    ]


def holding(cases: Iterable[Case], table: Table) -> list[Case]:
    """Those that a right submission passes: the others show what an alteration has otherwise."""
    return [case for case in cases if case.play(table, None) is None]


def _texts(pattern: str) -> list[tuple[Path, str]]:
    return [(path, path.read_text("utf-8")) for path in sorted(HOME.glob(pattern))]


def _title(text: str) -> str:
    return text.strip().partition("\n")[0]


def _play_figure(text: str, foreign: str, table: Table, ask: Ask | None) -> str | None:
    def make(peer: str, *of: Any) -> Stack:
        return ForeignStack(ask, *of) if ask and peer == foreign else Stack(*of, table=table)

    try:
        play_figure(text, CONFIG, make)
    except FigureError as error:
        return str(error)
    except TcpError as error:  # where nobody has called
        return f"the TCP answers {error}"
    return None


def _play_script(text: str, name: str, table: Table, ask: Ask | None) -> str | None:
    def make(config: TcpConfig, *of: Any, **named: Any) -> Stack:
        return ForeignStack(ask, config, *of, **named) if ask else Stack(config, *of, **named, table=table)

    try:
        verdict = run_text(text, name, Wishes(profile="rfc9293"), make)
    except TcpError as error:
        return f"the TCP answers {error}"
    return None if verdict.outcome == "passed" else verdict.message
