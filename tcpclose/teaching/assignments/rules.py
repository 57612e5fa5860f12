"""A machine that somebody wrote down as rows in TOML, and how it compares with the right one: by what it does.

Both machines walk side by side from where the given rows end, and at each step the same must be done and told. Names
of states that the RFC does not have are free; rows may be grouped, split and in any order. A fault costs what it
touches and no more: the walk goes on as if the answer had been right.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tcpclose.protocol.fsm import TABLE, Cause, Do, Event, State, Table
from tcpclose.teaching.assignments.alterations import Pair
from tcpclose.teaching.assignments.grades import SubmissionError
from tcpclose.teaching.assignments.handed_in import content

#: What a file may hold: enough for anybody who writes by hand.
MOST_OCTETS = 1 << 16
MOST_ROWS = 200

_CALLS = (Event.CLOSE, Event.ABORT)
_EVENTS = (
    *(*_CALLS, Event.FIN_SENT, Event.FIN, Event.ACK_OF_FIN, Event.FIN_WAIT_2_TIMEOUT, Event.TIME_WAIT_TIMEOUT),
    *(Event.RST, Event.USER_TIMEOUT, Event.UNREACHABLE),
)

#: The release half of the table: every pair that is asked for, whosever variant it is.
ASKED: tuple[Pair, ...] = tuple(
    (state, event)
    for state in State
    for event in _EVENTS
    if (state.synchronized and event in (*TABLE[state], *_CALLS)) or (state.handshaking and event in _CALLS)
)

#: Where the rows that are given lead to.
BEGINNINGS = (State.SYN_RECEIVED, State.ESTABLISHED)

#: Settings decide between these: here there are none.
_ALIKE = {Do.SEND_ACK_OF_FIN: Do.SEND_ACK, Do.SEND_TIMEOUT_RESET: Do.SEND_RESET}

#: What a row may order, in the file.
ORDERS = (
    *(Do.QUEUE_FIN, Do.SEND_ACK, Do.SEND_RESET, Do.START_2MSL, Do.START_FIN_WAIT_2),
    *(Do.SIGNAL_EOF, Do.REFUSE_CLOSING),
)

_NAMES = {str(state) for state in State}


_W = TypeVar("_W", Event, Do, Cause)


class Move(NamedTuple):
    """What a machine does on an event. `next` is a name, as states may be anybody's."""

    next: str
    do: frozenset[Do]
    cause: Cause | None


@dataclass
class Submission:
    """What a file says, but for rows that are left blank. `remarks` name what could not be understood."""

    student: str = ""
    moves: dict[tuple[str, Event], Move] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def states(self) -> set[str]:
        """All states that have rows."""
        return {state for state, _ in self.moves}


# Reading


def read(path: Path) -> Submission:
    """Read a file. Raises `SubmissionError` when it is none of ours, or too large."""
    try:
        document = tomllib.loads(content(path, MOST_OCTETS).decode())
    except UnicodeDecodeError as error:
        raise SubmissionError(f"{path}: octet {error.start} is not UTF-8; save it as UTF-8") from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, or a number of thousands of digits
        why = "is nested too deeply" if isinstance(error, RecursionError) else f"is not TOML: {error}"
        raise SubmissionError(f"{path}: {why}") from None
    return understand(document, str(path))


def understand(document: Mapping[str, Any], where: str) -> Submission:
    """The rows of a document; one that is not understood is named, and the others count."""
    student, found = document.get("student", ""), document.get("row", [])
    if not isinstance(student, str):
        raise SubmissionError(f'{where}: student is to be an ID between quotes, as student = "s123"')
    if not isinstance(found, list) or len(found) > MOST_ROWS:
        raise SubmissionError(f"{where}: expected up to {MOST_ROWS} rows, each under a line [[row]]")
    submission = Submission(student)
    submission.remarks += [f"{key!r} means nothing here" for key in sorted(document.keys() - {"student", "row"})]
    for number, row in enumerate(found, 1):
        try:
            _add(submission, row)
        except ValueError as error:
            submission.remarks.append(f"row {number} does not count: {error}")
    return submission


def _add(submission: Submission, row: object) -> None:
    if not isinstance(row, dict):
        raise ValueError("expected state, event, next, do and cause")
    if unknown := sorted(row.keys() - {"state", "event", "next", "do", "cause"}):
        raise ValueError(f"{unknown[0]!r} means nothing here")
    states, orders = (_texts(row, key) for key in ("state", "do"))
    if not states or not all(states):
        raise ValueError("it has no state")
    (event,) = _words(_texts(row, "event") or [""], Event, "event")
    following = (_texts(row, "next") or [""])[0].strip().upper()
    do = frozenset(_words(orders, ORDERS, "do"))
    causes = _words([text for text in _texts(row, "cause") if text.strip()], Cause, "cause")
    for state in (text.strip().upper() for text in states):
        if (state, event) in submission.moves:
            raise ValueError(f"there is another for {state}, {event}")
        if following:
            name = state if following == "=" else following
            submission.moves[state, event] = Move(name, do, causes[0] if causes else None)


def _texts(row: Mapping[str, object], key: str) -> list[str]:
    """A text, or a list of texts; both are written."""
    value = row.get(key, [])
    found = value if isinstance(value, list) else [value]
    texts = [text for text in found if isinstance(text, str)]
    if len(texts) < len(found):
        raise ValueError(f"{key} is to be text between quotes")
    if key not in ("state", "do") and len(texts) > 1:
        raise ValueError(f"one {key} is enough")
    return texts


def _words(texts: Iterable[str], words: Iterable[_W], what: str) -> list[_W]:
    """Words of the table, by name or as the table has them."""
    known = {name.casefold(): word for word in words for name in (word.name, str(word))}
    found = []
    for text in texts:
        word = known.get(text.strip().casefold())
        if word is None:
            raise ValueError(f"{text!r} is no {what}; the handout lists them")
        found.append(word)
    return found


# Comparing


def right_moves(table: Table) -> dict[Pair, Move]:
    """What is asked for, of a machine; where it has no row, nothing happens."""
    moves = {}
    for state, event in ASKED:
        row = table[state].get(event)
        if row is None:
            moves[state, event] = Move(str(state), frozenset(), None)
        else:
            moves[state, event] = Move(str(row.next), frozenset(_ALIKE.get(do, do) for do in row.do), row.cause)
    return moves


class Comparison:
    """The walk. `faults` has every pair that can be reached in the right machine, and what is wrong with it, if so."""

    def __init__(self, table: Table, submission: Submission) -> None:
        self._right = right_moves(table)
        self._moves = submission.moves
        self._states = submission.states
        self.faults: dict[Pair, str | None] = {}
        ways = [(state, str(state)) for state in BEGINNINGS]
        for state, name in ways:  # `ways` grows while we go
            for event, want in self._asked(state):
                fault = self._fault(state, name, event)
                self.faults[state, event] = self.faults.get((state, event)) or fault
                way = State(want.next), want.next if fault else self._moves[name, event].next
                if way not in ways:
                    ways.append(way)

    def _asked(self, state: State) -> Iterator[tuple[Event, Move]]:
        yield from ((event, want) for (at, event), want in self._right.items() if at is state)

    def _fault(self, state: State, name: str, event: Event) -> str | None:
        """What is wrong with what is done in the state of this name, which stands for `state`."""
        want = self._right[state, event]
        if fault := self._acts_otherwise(want, name, event):
            return fault
        given = self._moves[name, event]
        if given.next in _NAMES:
            alike = given.next == want.next or self._equivalent(State(want.next), given.next)
        elif given.next not in self._states:
            return f"leads to {given.next}, which has no rows"
        else:  # compared when the walk comes there; but an end is no state of one's own
            alike = want.next != str(State.CLOSED)
        return None if alike else "leads to a state that it should not"

    def _acts_otherwise(self, want: Move, name: str, event: Event) -> str | None:
        given = self._moves.get((name, event))
        if given is None:
            return "is not answered"
        if given.do != want.do:
            return "does not do what it should"
        return None if given.cause is want.cause else "tells another cause"

    def _equivalent(self, state: State, name: str) -> bool:
        """Can nobody tell the state of this name from the right one, whatever happens from here on?"""
        ways = [(state, name)]
        for here, there in ways:
            if (here is State.CLOSED) != (there == str(State.CLOSED)):
                return False
            for event, want in self._asked(here):
                if self._acts_otherwise(want, there, event):
                    return False
                way = State(want.next), self._moves[there, event].next
                if way not in ways:
                    ways.append(way)
        return True
