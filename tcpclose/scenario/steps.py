"""The steps of a scenario: what its users do, and what befalls them, and when."""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_letters, digits
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from tcpclose.scenario.faults import AnyFault
from tcpclose.scenario.values import Condition, Duration, Name, Octets, Port, Repeat, Table, read_condition

#: What each call must be told, and what it may be told.
CALLS: dict[str, tuple[set[str], set[str]]] = {
    "listen": ({"host", "port"}, set()),
    "open": ({"host", "connection"}, set()),
    "send": ({"host", "connection"}, {"bytes", "text"}),
    "receive": ({"host", "connection"}, {"bytes"}),
    "close": ({"host", "connection"}, {"linger"}),
    "abort": ({"host", "connection"}, set()),
}
_TIMING = {"at", "when", "after", "repeat", "every"}


class Step(Table):
    """`[[step]]`: a user's call or a fault, at a time or when something is seen (then `after` a while).

    Names that a call has no use for are empty. It happens once, or `repeat` times, one `every` while.
    """

    at: Duration | None = None
    when: Annotated[Condition, BeforeValidator(read_condition), PlainSerializer(str)] | None = None
    after: Duration = 0
    repeat: Repeat = 1
    every: Duration = 0

    call: Literal["listen", "open", "send", "receive", "close", "abort"] | None = None
    host: Name = ""
    connection: Name = ""
    port: Port = 0
    bytes: Octets | None = None
    text: Annotated[str, Field(min_length=1)] | None = None
    #: SO_LINGER is on: both directions are given up, and the user waits so long for the FIN's acknowledgment.
    linger: Duration | None = None

    fault: AnyFault | None = None

    @model_validator(mode="before")
    @classmethod
    def _gather_fault(cls, table: Any) -> Any:
        if not isinstance(table, dict) or not isinstance(kind := table.get("fault"), str):
            return table
        if "call" in table:
            raise ValueError("expected either `call` or `fault`")
        timing = {key: value for key, value in table.items() if key in _TIMING}
        return {**timing, "fault": {"kind": kind, **{k: v for k, v in table.items() if k not in {*timing, "fault"}}}}

    @model_serializer(mode="wrap")
    def _spread_fault(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        table: dict[str, Any] = handler(self)
        fault = table.pop("fault", None)
        return {**table, "fault": fault.pop("kind"), **fault} if fault else table

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        given = self.model_fields_set
        if (self.at is None) == (self.when is None):
            yield "expected either `at` (a time) or `when` (a condition)"
        if "after" in given and self.when is None:
            yield "`after` counts from a `when`"
        if (self.repeat > 1) != (self.every > 0):
            yield "`repeat` (at least 2) and `every` (more than 0s) go together"
        if (self.call is None) == (self.fault is None):
            yield "expected either `call` or `fault`"
        if self.call is not None:
            yield from self._call_problems(self.call, given - _TIMING - {"call", "fault"})

    def _call_problems(self, call: str, said: set[str]) -> Iterator[str]:
        needs, may = CALLS[call]
        yield from (f"{call} needs `{key}`" for key in sorted(needs - said))
        yield from (f"{call} has no use for `{key}`" for key in sorted(said - needs - may))
        if call == "send" and (self.bytes is None) == (self.text is None):
            yield "send needs either `bytes` or `text`"
        if self.linger == 0:
            yield "to linger for 0s is the call `abort`"


_TEXT = (ascii_letters + digits + "\n").encode()


def payload(step: Step) -> bytes:
    """The text of a `send`: what the step says, or `bytes` octets of a pattern that reads well in a capture."""
    if step.text is not None:
        return step.text.encode()
    octets = step.bytes or 0
    return (_TEXT * (octets // len(_TEXT) + 1))[:octets]
