"""A submission as the TCP of a figure, a script or a host: a connection whose engine is elsewhere.

Every call is a request, and what the reply tells is what the connection has done. So whatever plays against our
`Stack` can play against a submission.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.connection import Connection
from tcpclose.protocol.datagram import Pair
from tcpclose.protocol.fsm import Cause, Event, Row, State
from tcpclose.protocol.interface import Notice, Signal, TcpError, Timer
from tcpclose.protocol.segment import FIN, RST, SYN, Segment
from tcpclose.protocol.stack import Stack
from tcpclose.protocol.time_wait import TimeWaitTable
from tcpclose.teaching.assignments.a2.right import Reply, Request, arrival, new, read
from tcpclose.teaching.assignments.containment import Raised

Ask = Callable[[Request], Reply]

_EVENTS = {
    "open": Event.OPEN_ACTIVE,
    "send": Event.SEND,
    "close": Event.CLOSE,
    "abort": Event.ABORT,
    "unreachable": Event.UNREACHABLE,
    "invalid_header": Event.INVALID_HEADER,
}
_ON_SEGMENT = ((RST, Event.RST), (SYN, Event.SYN), (FIN, Event.FIN))


#: Requests in a case, which has some 20, so that one that goes on for ever costs little.
MOST_REQUESTS = 1000


def bounded(ask: Ask) -> Ask:
    """The same, for one case. Raises `Raised` when there are too many requests."""
    left = itertools.count(MOST_REQUESTS, -1)

    def asked(request: Request) -> Reply:
        if next(left) <= 0:
            raise Raised("has always something to do: does a timer expire again and again?")
        return ask(request)

    return asked


class ForeignConnection(Connection):
    """One connection of the engine behind `ask`; an engine has one at a time."""

    __slots__ = ("_ask",)

    def __init__(self, ask: Ask, config: TcpConfig, iss: int, *more: Any) -> None:
        super().__init__(config, iss, *more)
        self._ask = ask
        ask(new(iss, config))

    # What happens

    def open(self, now: int, passive: bool = False) -> None:
        """OPEN."""
        self._happens({"do": "open", "passive": passive, "now": now})

    def send(self, text: bytes, now: int, push: bool = True) -> None:
        """SEND; there is no PUSH."""
        self._happens({"do": "send", "text": text.decode("latin-1"), "now": now})

    def receive(self, now: int, octets: int | None = None) -> bytes:
        """RECEIVE: the engine has handed over the text already."""
        return self.receiver.read(octets)

    def half_close(self, now: int) -> None:
        """CLOSE."""
        self._happens({"do": "close", "now": now})

    def release(self, now: int) -> None:
        """CLOSE: for this engine it is the same."""
        self.half_close(now)

    def abort(self, now: int) -> None:
        """ABORT."""
        self._happens({"do": "abort", "now": now})

    def listener_closed(self, now: int) -> None:
        """Nobody will accept it."""
        self.abort(now)

    def segment_arrives(self, segment: Segment, now: int) -> None:
        """SEGMENT ARRIVES."""
        self._happens(arrival(segment, now))

    def timeout(self, now: int) -> None:
        """Time has passed. Of what an engine sends then, it has one timer."""
        due = self.sender.rto_at is not None and self.sender.rto_at <= now
        self._happens({"do": "time", "now": now})
        if due and self._segments and self.cause is None:
            self._news.append(Timer.RETRANSMISSION)

    def icmp_arrives(self, hard: bool, detail: str, now: int) -> None:
        """A soft error is nothing to it."""
        if hard:
            self._happens({"do": "unreachable", "now": now})

    def invalid_header_arrives(self, now: int) -> None:
        """A header that nobody understands."""
        self._happens({"do": "invalid_header", "now": now})

    # What came of it

    def _happens(self, request: Request) -> None:
        before, reply = self.state, self._ask(request)
        self.state = State(reply["state"])
        timers = reply["timers"]
        self.sender.rto_at, self.sender.user_at = timers["retransmit"], timers["user_timeout"]
        self.fin_wait_2_at, self.time_wait_at = timers["fin_wait_2"], timers["time_wait"]
        self._segments += map(read, reply["segments"])
        for name, value in reply["tcb"].items():
            setattr(self.tcb, name, value)
        ended = self._tell_all(reply["told"])
        if self.state is not before or ended:
            self._news.append(Row(before, _event(before, request), self.state, (), "", ended))
        if reply["refused"] is not None:
            raise TcpError(reply["refused"])

    def _tell_all(self, told: list[list[str]]) -> Cause | None:
        ended = None
        for what, detail in told:
            if what == "TEXT":
                self.receiver.text += detail.encode("latin-1")
                detail = str(len(detail))
            elif what == "EOF":
                self.receiver.finished = True
            elif what == "CLOSED":
                ended = self.cause = Cause(detail)
            self._news.append(Signal(Notice(what), detail))
        return ended


def _event(before: State, request: Request) -> Event:
    """What a trace shall say that it was: of an engine one sees from outside what came of it, not which row it took."""
    if request["do"] == "time":
        return Event.TIME_WAIT_TIMEOUT if before.lingers else Event.USER_TIMEOUT
    if request["do"] != "segment":
        return _EVENTS[request["do"]]
    ctl = read(request).ctl
    otherwise = Event.ACK_OF_SYN if before.handshaking else Event.ACK_OF_FIN
    return next((event for bit, event in _ON_SEGMENT if ctl & bit), otherwise)


class _NoTable(TimeWaitTable):
    """Packs nothing: TIME-WAIT is the business of the engine."""

    def take(self, pair: Pair, connection: Connection) -> bool:
        return False


class ForeignStack(Stack):
    """A stack whose connections, one after the other, are those of an engine, which also answers for none."""

    def __init__(self, ask: Ask, config: TcpConfig, *more: Any, **named: Any) -> None:
        super().__init__(config, *more, **named)
        self._ask = ask
        self.connection_type = partial(ForeignConnection, ask)  # type: ignore[assignment]
        self.time_wait = _NoTable(config, self._rebuilt)

    def _refuse(self, pair: Pair, segment: Segment, why: str) -> None:
        """3.10.7.1 is a part of the submission."""
        self._ask(new(0, self.config))
        for answer in self._ask(arrival(segment, 0))["segments"]:
            self._take_segments(pair, Connection(self.config, 0), [read(answer)])
