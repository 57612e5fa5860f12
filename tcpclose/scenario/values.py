"""The values of a scenario's keys: how each is read, checked and written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StrictInt

from tcpclose import units
from tcpclose.protocol.connection import Notice
from tcpclose.protocol.fsm import Cause, State
from tcpclose.scenario.errors import guess


class Table(BaseModel):
    """A table of the file: unknown keys are refused, and nothing changes once it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def between(least: int | None, most: int | None, write: Callable[[int], str] = str) -> AfterValidator:
    def check(value: int) -> int:
        if least is not None and value < least:
            raise ValueError(f"expected at least {write(least)}")
        if most is not None and value > most:
            raise ValueError(f"expected at most {write(most)}")
        return value

    return AfterValidator(check)


Duration = Annotated[int, BeforeValidator(units.read_duration), PlainSerializer(units.write_duration)]
Rate = Annotated[
    int, BeforeValidator(units.read_rate), between(1, None, units.write_rate), PlainSerializer(units.write_rate)
]
Share = Annotated[float, BeforeValidator(units.read_share), PlainSerializer(units.write_share)]
Size = Annotated[int, BeforeValidator(units.read_size)]
Octets = Annotated[Size, between(1, None)]
Count = Annotated[StrictInt, between(1, None)]
Repeat = Annotated[StrictInt, between(1, 100_000)]
Port = Annotated[StrictInt, between(1, 65535)]
SequenceNumber = Annotated[StrictInt, between(0, 2**32 - 1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


def signal_name(name: str) -> str:
    """What `sees` calls a notice or the cause of an end: "reset by peer" is RESET-BY-PEER."""
    return name.upper().replace(" ", "-")


_STATES = tuple(state.value for state in State)
_SIGNALS = tuple(signal_name(signal.value) for signal in (*Notice, *Cause))


@dataclass(frozen=True, slots=True)
class Condition:
    """Something to wait for at one end of a connection: `h1.c1 in ESTABLISHED`, `sees EOF`, `received 10000`.

    A state counts when it is passed through, however briefly. A signal is a notice (3.9.1) or the cause of an end;
    CLOSED is any end. `number` is 2 for what is seen a second time: `h1.c1 sees CONNECTED #2`. Octets are those the
    user has been told of, in all.
    """

    host: str
    connection: str
    verb: Literal["in", "sees", "received"]
    value: str
    number: int = 1

    def __str__(self) -> str:
        which = f" #{self.number}" if self.number > 1 else ""
        return f"{self.host}.{self.connection} {self.verb} {self.value}{which}"


_CONDITION = re.compile(r"([\w-]+)\.([\w-]+) +(in|sees|received) +(\S.*?)(?: +#([1-9]\d*))? *")


def read_condition(text: object) -> Condition:
    """Read the text form of a condition. Raises `ValueError` that says what was expected."""
    match = _CONDITION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('expected "HOST.CONNECTION in STATE", "... sees SIGNAL" or "... received OCTETS"')
    host, connection, verb, value, times = match.groups()
    number = int(times or 1)
    if verb == "in":
        if value not in _STATES:
            raise ValueError(f"there is no state {value}; {guess(value, _STATES, 'states')}")
        return Condition(host, connection, "in", value, number)
    if verb == "sees":
        value = signal_name(value)
        if value not in _SIGNALS:
            raise ValueError(f"there is no signal {value}; {guess(value, _SIGNALS, 'signals')}")
        return Condition(host, connection, "sees", value, number)
    if times:
        raise ValueError("octets are counted once, from the start: `#` goes with `in` and `sees`")
    octets = units.read_size(int(value) if value.isdecimal() else value)
    if octets < 1:
        raise ValueError("expected at least 1 octet")
    return Condition(host, connection, "received", str(octets))
