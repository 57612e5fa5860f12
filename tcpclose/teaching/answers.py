"""Answers: how people write them, and whether they are right.

An answer is read as a person would read it: "FIN, ACK" is "ACK,FIN", "2 s" is "2000ms", "fin wait 1" is FIN-WAIT-1.
What is said of a wrong one tells what is wrong with it, not what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_lowercase
from typing import NamedTuple, Protocol

from tcpclose import units
from tcpclose.protocol.fsm import State
from tcpclose.protocol.segment import PSH, format_ctl, parse_ctl


class Verdict(NamedTuple):
    """Whether an answer is right; `note` says what is wrong."""

    right: bool
    note: str = ""


RIGHT = Verdict(True)


class Answer(Protocol):
    """One answer that is wanted."""

    @property
    def form(self) -> str:
        """What is to be written, for people."""

    @property
    def right(self) -> str:
        """The right answer, as a person would write it."""

    def judge(self, given: str) -> Verdict:
        """Of something that was written; not of nothing."""


def _squeezed(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


_STATES = {_squeezed(state.value): state for state in State}
#: As `ss` and Linux's headers call them.
_STATES |= {"estab": State.ESTABLISHED, "synrecv": State.SYN_RECEIVED, "synrcvd": State.SYN_RECEIVED}


@dataclass(frozen=True)
class StateAnswer:
    """A state of the machine."""

    state: State
    form = "a state, such as SYN-SENT"

    @property
    def right(self) -> str:
        """Its name."""
        return str(self.state)

    def judge(self, given: str) -> Verdict:
        """Case and hyphens do not count."""
        state = _STATES.get(_squeezed(given))
        if state is None:
            return Verdict(False, f"{given} is no state of RFC 9293, 3.3.2")
        return RIGHT if state is self.state else Verdict(False, f"not {state}")


@dataclass(frozen=True)
class ControlsAnswer:
    """Control bits of a segment. PSH does not count: it says nothing about a connection's end."""

    ctl: int
    form = "control bits, such as SYN,ACK"

    @property
    def right(self) -> str:
        """Their names."""
        return format_ctl(self.ctl & ~PSH)

    def judge(self, given: str) -> Verdict:
        """In any order, separated by anything."""
        try:
            ctl = parse_ctl(",".join(re.findall(r"[A-Z]+", given.upper())))
        except ValueError as error:
            return Verdict(False, str(error))
        if (ctl ^ self.ctl) & ~PSH == 0:
            return RIGHT
        return Verdict(False, f"not {format_ctl(ctl) or 'without control bits'}")


_GROUPED = re.compile(r"\d{1,3}([ _,.']\d{3})+|\d+")


@dataclass(frozen=True)
class NumberAnswer:
    """A whole number. `relative` is what a sequence number is when it is counted from the SYN."""

    number: int
    relative: int | None = None

    @property
    def form(self) -> str:
        """Sequence numbers are asked for as they are on the wire."""
        return "a number" if self.relative is None else "a number as it is on the wire, not counted from the SYN"

    @property
    def right(self) -> str:
        """The number."""
        return str(self.number)

    def judge(self, given: str) -> Verdict:
        """Thousands may be separated."""
        if not _GROUPED.fullmatch(given):
            return Verdict(False, f"{given} is no whole number")
        number = int(re.sub(r"\D", "", given))
        if number == self.number:
            return RIGHT
        if number == self.relative:
            return Verdict(False, f"{number} is counted from the SYN: what is the number on the wire?")
        return Verdict(False, f"not {number}")


_UNITS = {
    **dict.fromkeys(("us", "µs", "μs", "usec", "microsecond", "microseconds"), "us"),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "minute", "minutes"), "min"),
}
_TIME = re.compile(r"(\d+(?:[.,]\d+)?) *([a-zµμ]*)\.?")


#: Whatever share of a time is allowed for, an operating system is late by as much (microseconds).
_LATE = 5_000


@dataclass(frozen=True)
class TimeAnswer:
    """A time, in microseconds; the tolerance is a share of it (a float) or a time (an int)."""

    time: int
    tolerance: float | int
    form = "a time with its unit, such as 1.5 s or 40 ms"

    @property
    def right(self) -> str:
        """In seconds or, if it is short, in milliseconds."""
        size, unit = (1e6, "s") if self.time >= 100_000 else (1e3, "ms")
        return f"{self.time / size:g} {unit}"

    @property
    def slack(self) -> float:
        """What it may be off, in microseconds."""
        return max(_LATE, self.time * self.tolerance) if isinstance(self.tolerance, float) else self.tolerance

    def judge(self, given: str) -> Verdict:
        """In any unit; a bare number is no time."""
        match = _TIME.fullmatch(given.lower())
        unit = _UNITS.get(match[2]) if match else None
        if match is None or (match[2] and unit is None):
            return Verdict(False, f"{given} is no time: write a number and its unit, us, ms, s or min")
        if unit is None:
            return Verdict(False, f"{given} of what? Write the unit: us, ms, s or min")
        try:
            time = units.read_duration(f"{match[1].replace(',', '.')}{unit}")
        except ValueError as error:
            return Verdict(False, str(error))
        if abs(time - self.time) <= self.slack:
            return RIGHT
        if any(abs(time * factor - self.time) <= self.slack for factor in (1e3, 1e-3)):
            return Verdict(False, "a thousand times too much or too little: look at the unit")
        return Verdict(False, f"too {'long' if time > self.time else 'short'}")


@dataclass(frozen=True)
class ChoiceAnswer:
    """One of several texts, which a sheet calls a, b, c; the text itself will do, too."""

    options: tuple[str, ...]
    place: int

    @property
    def form(self) -> str:
        """The letters."""
        to = "to" if len(self.options) > 2 else "or"
        return f"one letter, {ascii_lowercase[0]} {to} {ascii_lowercase[len(self.options) - 1]}"

    @property
    def right(self) -> str:
        """Its letter."""
        return ascii_lowercase[self.place]

    def judge(self, given: str) -> Verdict:
        """A letter may have a bracket behind it, and is then the place of the option."""
        places = {_squeezed(option): place for place, option in enumerate(self.options)}
        places |= {ascii_lowercase[place]: place for place in range(len(self.options))}
        place = places.get(_squeezed(given))
        if place is None:
            return Verdict(False, f"{given} is not among the answers: write {self.form}")
        return RIGHT if place == self.place else Verdict(False, f"not {ascii_lowercase[place]}")


@dataclass(frozen=True)
class WhoAnswer:
    """One of the two ends, both or neither."""

    ends: tuple[str, str]
    who: frozenset[str]

    @property
    def form(self) -> str:
        """The names."""
        return f"{self.ends[0]}, {self.ends[1]}, both or neither"

    @property
    def right(self) -> str:
        """A name, both or neither."""
        return {0: "neither", 2: "both"}.get(len(self.who)) or next(iter(self.who))

    def judge(self, given: str) -> Verdict:
        """Both names are both."""
        words = set(re.findall(r"[\w-]+", given.lower())) - {"and", "host", "the"}
        names = {end.lower(): end for end in self.ends}
        if words and words <= names.keys():
            who = frozenset(names[word] for word in words)
        elif words and words <= {"both", "neither", "nobody", "none"}:
            who = frozenset(self.ends) if words == {"both"} else frozenset()
        else:
            return Verdict(False, f"{given} is not among the answers: write {self.form}")
        return RIGHT if who == self.who else Verdict(False, f"not {given}")


@dataclass(frozen=True)
class OrderAnswer:
    """The letters of shuffled moments in their order."""

    letters: str

    @property
    def form(self) -> str:
        """The letters, the alphabet's order being only an example."""
        return f"the letters in the order in which it happens, such as {' '.join(sorted(self.letters))}"

    @property
    def right(self) -> str:
        """The letters in order."""
        return " ".join(self.letters)

    def judge(self, given: str) -> Verdict:
        """Separated by anything or nothing."""
        letters = re.sub(r"[^a-z]", "", given.lower())
        if sorted(letters) != sorted(self.letters):
            return Verdict(False, f"{given}: write each of the letters {', '.join(sorted(self.letters))} once")
        if letters == self.letters:
            return RIGHT
        places = [self.letters.index(letter) for letter in letters]
        right = sum(1 for one, two in pairwise(places) if one < two)
        return Verdict(False, f"of {len(places) - 1} neighbours, {right} stand in the right order")


@dataclass(frozen=True)
class FreeAnswer:
    """Text that a person will read."""

    form = "a few sentences, for your instructor"
    right = ""

    def judge(self, given: str) -> Verdict:
        """Nobody here can tell."""
        return Verdict(False, "kept for the instructor")


def lettered(options: Sequence[str]) -> list[str]:
    """Options as they are shown."""
    return [f"{letter}) {option}" for letter, option in zip(ascii_lowercase, options, strict=False)]
