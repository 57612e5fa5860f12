"""A submission in its box, asked in the words of the channel. What it answers is looked at before anybody uses it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from tcpclose.protocol.fsm import Cause, State
from tcpclose.teaching.assignments.a2.cases import HOME
from tcpclose.teaching.assignments.a2.right import Reply, Request
from tcpclose.teaching.assignments.containment import Contained, Limits, Misbehaved, Raised

_Number = Annotated[int, Field(ge=0, lt=1 << 32)]
_Time = Annotated[int, Field(ge=0, lt=1 << 62)] | None
_Octets = Annotated[str, Field(max_length=1 << 16, pattern=r"^[\x00-\xff]*$")]
_STRICT = ConfigDict(strict=True, extra="forbid")


@with_config(_STRICT)
class _Segment(TypedDict):
    seq: _Number
    ack: _Number | None
    ctl: Annotated[str, Field(pattern=r"^((SYN|FIN|RST|ACK)(,|$))*$", max_length=20)]
    wnd: Annotated[int, Field(ge=0, lt=1 << 16)]
    text: Annotated[_Octets, Field(max_length=1 << 15)]


@with_config(_STRICT)
class _Timers(TypedDict):
    retransmit: _Time
    user_timeout: _Time
    fin_wait_2: _Time
    time_wait: _Time


@with_config(_STRICT)
class _Tcb(TypedDict):
    snd_una: _Number
    snd_nxt: _Number
    snd_wnd: _Number
    rcv_nxt: _Number


def _understood(told: list[str]) -> list[str]:
    """CONNECTED, EOF, TEXT with the text, or CLOSED with the cause."""
    what, detail = told
    if what not in ("CONNECTED", "EOF", "TEXT", "CLOSED") or (what == "CLOSED" and detail not in _CAUSES):
        raise ValueError("the user is told what the assignment does not know")
    return told


_CAUSES = {str(cause) for cause in Cause}
_Told = Annotated[list[_Octets], Field(min_length=2, max_length=2), AfterValidator(_understood)]


def _a_state(name: str) -> str:
    State(name)  # ValueError
    return name


@with_config(_STRICT)
class _Reply(TypedDict):
    segments: Annotated[list[_Segment], Field(max_length=100)]
    told: Annotated[list[_Told], Field(max_length=100)]
    refused: Annotated[str, Field(max_length=200)] | None
    state: Annotated[str, AfterValidator(_a_state)]
    timers: _Timers
    tcb: _Tcb


#: The replies to a path are some 6,000 octets.
_LIMITS = Limits(line=1 << 16)

_REPLY: TypeAdapter[Any] = TypeAdapter(_Reply)
_REPLIES: TypeAdapter[Any] = TypeAdapter(list[_Reply])


class Boxed:
    """The engine of a submission. Every method raises `Misbehaved` when it does what it may not, or `Raised`."""

    def __init__(self, box: Contained) -> None:
        self._box = box

    def answer(self, request: Request) -> Reply:
        """The reply to one request."""
        reply: Reply = self._checked(_REPLY, self._box.ask(dict(request)))
        return reply

    def play(self, steps: Sequence[Request]) -> list[Reply]:
        """A reply to each step of a path."""
        found = self._box.ask({"do": "play", "steps": [*map(dict, steps)]})
        if isinstance(found, list) and len(found) != len(steps):  # before it is asked what thousands lack
            raise Misbehaved("answered another number of requests than it was asked")
        replies: list[Reply] = self._checked(_REPLIES, found)
        return replies

    @staticmethod
    def _checked(form: TypeAdapter[Any], reply: object) -> Any:
        try:
            return form.validate_python(reply)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise Raised(f"a reply has a wrong {where or 'form'}: {first['msg']}") from None


@contextmanager
def boxed(program: bytes, uncontained: bool = False) -> Iterator[Boxed]:
    """The engine of a submission, as long as the box stands. Raises `Misbehaved` if it cannot be imported, `NoBox`."""
    with Contained(HOME / "serve.py", program, [HOME / "tiny.py"], _LIMITS, uncontained) as box:
        yield Boxed(box)
