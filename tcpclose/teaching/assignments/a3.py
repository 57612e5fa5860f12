"""Assignment A3: packetdrill scripts that tell broken TCPs from right ones, in a student's variant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tcpclose.drill.runner import MakesStack, Verdict
from tcpclose.protocol.config import MILLISECOND, PROFILES, SECOND, TcpConfig
from tcpclose.protocol.fsm import Table
from tcpclose.runs import LABS
from tcpclose.teaching.assignments.alterations import combine, drawn, told
from tcpclose.teaching.assignments.catalogue import TITLES
from tcpclose.teaching.assignments.grades import Assignment, Criterion, Grade, How, SubmissionError, claims
from tcpclose.teaching.assignments.mutants import FIN, RESETS, TIME_WAIT, TIMEOUTS, VISIBLE, Mutant, maker, mutants_of
from tcpclose.teaching.assignments.scripts import ScriptSet, play, read

NAME = "a3"
HOME = LABS / "assignments/a3-drill-scripts"

#: Points of each group of broken stacks, of each alteration, and for the right ones.
_SHARED = {FIN: 14, TIME_WAIT: 8, RESETS: 12, TIMEOUTS: 6}
ALTERED = 15
PEACE = 15

#: The settings that the handout states.
_STATED = replace(PROFILES["rfc9293"], msl=30 * SECOND, fin_wait_2_timeout=60 * SECOND)

#: Right stacks: they differ in what RFCs leave open and the handout says.
RIGHT: dict[str, TcpConfig] = {
    "plain": _STATED,
    "with all options": replace(_STATED, window_scale=True, window_shift=7, timestamps=True, sack=True),
    "that delays ACKs": replace(_STATED, delayed_ack=40 * MILLISECOND, nagle=True),
    "with another layout of options": replace(
        *(_STATED,), option_layout="bsd", window_scale=True, timestamps=True, sack=True, delayed_ack=100 * MILLISECOND
    ),
    "with a small window": replace(_STATED, rcv_buffer=16_384, mss=1200, challenge_ack_limit=5, push="write"),
}


@dataclass
class Played:
    """What a set of scripts has shown: who accuses whom, and which mutants are killed, by which script."""

    accused: dict[str, Verdict] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    kills: dict[str, str] = field(default_factory=dict)


def play_all(table: Table, submission: ScriptSet, mutants: Iterable[Mutant]) -> Played:
    """Play all scripts against the right stacks, and those that accuse none of them against the mutants."""
    played = Played()
    fair = []
    for name, script in submission.scripts.items():
        verdicts = {kind: play(script, name, maker(table, config)) for kind, config in RIGHT.items()}
        failed = {kind: verdict for kind, verdict in verdicts.items() if verdict.outcome == "failed"}
        skipped = next((verdict for verdict in verdicts.values() if verdict.outcome == "skipped"), None)
        if failed:
            played.accused |= {kind: verdict for kind, verdict in failed.items() if kind not in played.accused}
            kind, verdict = next(iter(failed.items()))
            played.remarks.append(f"{name} does not count: it accuses a right stack, one {kind}. {verdict.message}")
        elif skipped is not None:
            played.remarks.append(f"{name} does not count: {skipped.message}")
        else:
            fair.append((name, script))
    for mutant in mutants:
        make: MakesStack = mutant.make(table, _STATED)
        killer = next((name for name, script in fair if play(script, name, make).outcome != "passed"), None)
        if killer is not None:
            played.kills[mutant.name] = killer
            fair.sort(key=lambda one: one[0] != killer)  # neighbours are often killed by the same
    return played


def grade(submission: ScriptSet, student: str = "", public: bool = False) -> Grade:
    """Grade the scripts for the variant of `student`. `public`: with the few broken stacks that students know of."""
    student = student or submission.student
    if not student.strip():
        raise SubmissionError("whose variant is it? Write // student: ID at the top of a script, or give --student ID")
    chosen = drawn(NAME, student, VISIBLE)
    mutants = [one for one in mutants_of(chosen) if one.public or not public]
    played = play_all(combine(*chosen), submission, mutants)
    groups = dict(_SHARED) | ({} if public else {one.name: ALTERED for one in chosen})
    criteria = [
        _criterion(group, points, [one for one in mutants if one.group == group], played, public)
        for group, points in groups.items()
    ]
    remarks = (*submission.remarks, *played.remarks, *claims(submission.student, student))
    criteria.append(_peace(played, sum(one.score for one in criteria) / sum(groups.values())))
    return Grade(NAME, student, tuple(criteria), remarks)


def _criterion(group: str, points: int, mutants: list[Mutant], played: Played, public: bool) -> Criterion:
    """Each broken stack has the same share. Which ones there are is not told."""
    alive = [one for one in mutants if one.name not in played.kills]
    score = round(points * (1 - len(alive) / len(mutants)), 1)
    notes: tuple[str, ...] = ()
    if any(one.decides for one in alive):
        score, notes = 0.0, ("a stack that does as the RFC has it passes all your scripts, so nothing counts here",)
    elif alive:
        seen = ": " + "; ".join(one.hint for one in alive) if public else ""
        notes = (f"{len(alive)} of {len(mutants)} broken stacks pass all your scripts{seen}",)
    return Criterion(group, points, score, ", ".join(sorted({one.rfc for one in alive or mutants})), notes)


def _peace(played: Played, killed: float) -> Criterion:
    """It counts as far as the others do: to accuse nobody is too easily done."""
    score = round(PEACE * killed * (1 - len(played.accused) / len(RIGHT)), 1)
    notes = tuple(f"a right stack {kind} is accused by {verdict.name}" for kind, verdict in played.accused.items())
    return Criterion("right stacks pass", PEACE, score, "3.10", notes)


# What a student is given


def handout(student: str) -> str:
    """README.md of the assignment, with the student's alterations."""
    text = (HOME / "README.md").read_text("utf-8")
    return text.replace("{student}", student).replace("{alterations}", told(drawn(NAME, student, VISIBLE)))


def _files(student: str) -> dict[str, str]:
    """The handout, and scripts that only open a connection."""
    head = f"// student: {' '.join(student.split())}\n"
    paths = sorted((HOME / "scripts").glob("*.pkt"))
    scripts = {f"scripts/{path.name}": head + path.read_text("utf-8") for path in paths}
    return {"README.md": handout(student), **scripts}


def _grade(path: Path, student: str, how: How) -> Grade:
    return grade(read(path), student, how.public)


ASSIGNMENT = Assignment(NAME, TITLES[NAME], "scripts", _files, _grade)
