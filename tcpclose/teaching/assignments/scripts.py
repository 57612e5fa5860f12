"""A set of packetdrill scripts that was handed in: read, held to limits, and played. Nothing of it is run.

What a script says bounds how long it can keep us busy: how many events, how much text, how much virtual time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tcpclose.drill.dialect import foreign
from tcpclose.drill.parser import parse
from tcpclose.drill.runner import MakesStack, Verdict, Wishes, run_script
from tcpclose.drill.scanner import ScriptError, Unsupported
from tcpclose.drill.script import Array, Call, Code, Command, Either, Entry, Event, Function, Packet, Script, Struct
from tcpclose.protocol.config import SECOND
from tcpclose.teaching.assignments.grades import SubmissionError
from tcpclose.teaching.assignments.handed_in import files
from tcpclose.teaching.results import plain_line
from tcpclose.written import read_written, reason

MOST_SCRIPTS = 50
MOST_OCTETS = 16_384  # of a script
MOST_EVENTS = 200

#: Of all scripts together: octets that both ends send, and seconds, where what may come at any time counts as 300.
MOST_TEXT = 50_000
MOST_TIME = 20_000

_ANY_TIME = 300 * SECOND
_LONG_NUMBER = re.compile(r"\d{11}|0[xX][0-9a-fA-F]{9}")
_STUDENT = re.compile(r"^//[ \t]*student:[ \t]*(\S[^\n]{0,63})$", re.MULTILINE)
_WISHES = Wishes(profile="rfc9293")


@dataclass
class ScriptSet:
    """The scripts that can be played, by name; `remarks` name the others. `student` is whose they say they are."""

    scripts: dict[str, Script] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    student: str = ""
    time: int = 0  # microseconds that they last at most
    text: int = 0  # octets that they send at most

    def add(self, name: str, script: Script) -> None:
        """Take a script. Raises `ValueError`, with the line, when they are too much together."""
        time, text = self.time, self.text
        for event in script.events:
            time += _time(event)
            text += _octets(event)
            if time > MOST_TIME * SECOND:
                raise ValueError(f"line {event.place.line}: your scripts last longer than {MOST_TIME} s by now")
            if text > MOST_TEXT:
                raise ValueError(f"line {event.place.line}: there are more than {MOST_TEXT} octets of text by now")
        self.time, self.text = time, text
        self.scripts[name] = script


def read(path: Path) -> ScriptSet:
    """All *.pkt of a folder, or one file. Raises `SubmissionError`."""
    found = [one for one in files(path) if one.suffix == ".pkt" or one == path]
    if len(found) > MOST_SCRIPTS:
        raise SubmissionError(f"{path}: has {len(found)} scripts; hand in up to {MOST_SCRIPTS}")
    submission = ScriptSet()
    for file in found:
        name = plain_line(file.name if file == path else str(file.relative_to(path)))
        try:
            text = _text(file)
            if (student := _STUDENT.search(text)) is not None:
                submission.student = submission.student or student[1].strip()
            submission.add(name, understand(text, name))
        except ValueError as error:
            submission.remarks.append(f"{name} does not count: {error}")
    return submission


def _text(file: Path) -> str:
    try:
        return read_written(file, MOST_OCTETS)
    except OSError as error:
        raise SubmissionError(f"{file}: {reason(error)}") from None


def understand(text: str, name: str) -> Script:
    """The script, if it may be played. Raises `ValueError` with the reason, and the line."""
    if (long := _LONG_NUMBER.search(text)) is not None:
        raise ValueError(f"line {text.count(chr(10), 0, long.start()) + 1}: the number {long[0]}... is too large")
    try:
        script = parse(text, name)
        reason = foreign(script)
    except (ScriptError, Unsupported) as error:
        raise ValueError(str(error)) from None
    if reason is not None:
        raise ValueError(f"{reason} is beyond this TCP")
    if script.options or script.first or script.last:
        raise ValueError("it has options or commands; write packets and calls only")
    if len(script.events) > MOST_EVENTS:
        raise ValueError(f"it has {len(script.events)} events; up to {MOST_EVENTS} can be played")
    shell = next((event for event in script.events if isinstance(event.action, Command | Code)), None)
    if shell is not None:
        raise ValueError(f"line {shell.place.line}: write packets and calls only, no commands and no Python")
    return script


def _time(event: Event) -> int:
    """How long an event can take at most; those at absolute times are counted as if they were not."""
    return _ANY_TIME if event.time.form == "any" else max(event.time.at, event.time.until or 0)


def _octets(event: Event) -> int:
    """Octets of text, for which every number of a call is taken but those of options."""
    match event.action:
        case Packet() as packet:
            return packet.length
        case Call() as call if call.name not in ("setsockopt", "getsockopt"):
            return sum(abs(number) for number in _numbers(call.arguments))
    return 0


def _numbers(value: object) -> Iterator[int]:
    match value:
        case int():
            yield value
        case tuple() as parts:
            for part in parts:
                yield from _numbers(part)
        case Either(parts) | Array(parts) | Struct(parts) | Function(_, parts):
            yield from _numbers(parts)
        case Entry(inner, _, size):
            yield from _numbers((inner, size))


def play(script: Script, name: str, make: MakesStack) -> Verdict:
    """Play a script against a stack."""
    return run_script(script, name, _WISHES, make)
