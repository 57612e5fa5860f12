"""One end of a world: a real connection, and what its user has done. Whatever happened once is never run again.

An end is a number here, and so is a segment. The engine runs once for each pair of an end and something that happens
to it, however many worlds they occur in; that is sound because an end knows nothing but its own tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, replace
from operator import methodcaller
from typing import NamedTuple

from tcpclose.protocol.config import SECOND, TcpConfig
from tcpclose.protocol.connection import Connection
from tcpclose.protocol.fsm import TABLE, Cause, Do, Event, Row, State, Table
from tcpclose.protocol.segment import FIN, RST, SYN, Segment
from tcpclose.verify.snapshot import Freezer, Frozen

#: Every timer is a whole number of seconds, and the retransmission timeout always the same one: what is left of a
#: timer then takes few values. Two MSL outlast all that the other end may still send again before it gives up. One
#: challenge ACK a second is enough to see both what it does and what its absence does. The window is never zero, and
#: counted so coarsely that a few octets do not change it.
CONFIG = TcpConfig(
    rto_initial=SECOND,
    rto_min=SECOND,
    rto_max=SECOND,
    user_timeout=3 * SECOND,
    msl=2 * SECOND,
    challenge_ack_interval=SECOND,
    challenge_ack_limit=1,
    window_scale=True,
    window_shift=8,
    rcv_buffer=(1 << 16) - 128,
)


@dataclass(frozen=True, slots=True)
class User:
    """What the user of an end gave and got. `spent` octets went to a TCP that fell back to LISTEN and forgot them."""

    given: bytes = b""
    got: bytes = b""
    spent: int = 0
    closed: bool = False
    aborted: bool = False


class End(NamedTuple):
    """One end, all of it."""

    frozen: Frozen
    user: User


@dataclass(frozen=True, slots=True)
class Facts:
    """What the explorer asks about an end, again and again. `due` is the time until the next timer expires.

    `challenged`: no challenge ACK may be sent in this interval any more; `finished`: the peer's FIN has arrived.
    """

    state: State
    cause: Cause | None
    due: int | None
    given: bytes
    got: bytes
    rcv_nxt: int
    snd_una: int
    challenged: bool
    finished: bool
    done: bool  # the user has called CLOSE or ABORT, or there is nothing left to close


class Step(NamedTuple):
    """What came of something: the end as it is now, the segments it sent, and what must never happen."""

    end: int
    sent: tuple[int, ...]
    wrong: str | None = None


class Way(NamedTuple):
    """What a segment, or a timer when it is None, made of an end."""

    end: int
    to: int
    heard: int | None
    sent: tuple[int, ...]


class Sends(NamedTuple):
    """How many octets a user may send in all, and whether also in LISTEN: such a SEND is an active OPEN (3.10.2)."""

    octets: int
    in_listen: bool


class Ends:
    """All ends of one side that were met. `side` is 0 or 1, `sends` what its user may send."""

    def __init__(
        self, side: int, iss: int, sends: Sends, config: TcpConfig, segments: Segments, table: Table = TABLE
    ) -> None:
        self.side = side
        self.sends = sends
        self.segments = segments
        self.facts: list[Facts] = []
        self._freezer = Freezer(config, iss, table)
        self._ends: list[End] = []
        self._numbers: dict[End, int] = {}
        self._calls: dict[int, tuple[tuple[str, Step], ...]] = {}
        self._arrivals: dict[tuple[int, int], Step] = {}
        self._expiries: dict[tuple[int, int], Step] = {}
        self._later: dict[tuple[int, int], int] = {}
        self._canonical: dict[tuple[int, int], int | None] = {}

    def __len__(self) -> int:
        return len(self._ends)

    def start(self, opens: str) -> Step:
        """The user has made its OPEN: "active", "passive", or "" for none."""
        connection = self._freezer.new()
        if opens:
            connection.open(0, passive=opens == "passive")
        return self._settle(connection, User(), 0)

    def arrive(self, end: int, segment: int) -> Step:
        """A segment arrives."""
        step = self._arrivals.get((end, segment))
        if step is None:
            heard = self.segments.get(segment)
            step = self._run(end, lambda connection: connection.segment_arrives(heard, 0))
            if heard.ctl & RST and any(self.segments.get(sent).ctl & RST for sent in step.sent):
                step = step._replace(wrong="a RST is answered by a RST (3.5.2)")
            self._arrivals[end, segment] = step
        return step

    def expire(self, end: int, microseconds: int) -> Step:
        """Time passes, until a timer expires."""
        step = self._expiries.get((end, microseconds))
        if step is None:
            step = self._run(end, lambda connection: connection.timeout(microseconds), now=microseconds)
            self._expiries[end, microseconds] = step
        return step

    def later(self, end: int, microseconds: int) -> int:
        """Time passes, and nothing happens at this end."""
        then = self._later.get((end, microseconds))
        if then is None:
            frozen, user = self._ends[end]
            then = self._number(End(self._freezer.later(frozen, microseconds), user))
            self._later[end, microseconds] = then
        return then

    def calls(self, end: int) -> tuple[tuple[str, Step], ...]:
        """All calls that the user may make now and the TCP does not refuse."""
        calls = self._calls.get(end)
        if calls is None:
            calls = self._calls[end] = tuple(self._try_calls(end))
        return calls

    def timers(self, end: int, microseconds: int) -> list[str]:
        """Which timers will have expired then, in the words of a figure."""
        connection = self._freezer.thaw(self._ends[end].frozen)
        sender = connection.sender
        named = {"2 MSL": connection.time_wait_at, "User timeout": sender.user_at, "RTO": sender.rto_at}
        return [name for name, at in named.items() if at is not None and at <= microseconds]

    def user(self, end: int) -> User:
        """The user of an end."""
        return self._ends[end].user

    def canonical(self, end: int, segment: int) -> int | None:
        """A segment that has the same effect at this end, now and whatever else happens to it; None: it has none.

        It holds for ends that know the peer's SYN for good, as SND.UNA and RCV.NXT never go back there. When such an
        end has become CLOSED, a segment with an ACK is answered by <SEQ=SEG.ACK><CTL=RST>; if that ACK was old when
        the segment came, it is before RCV.NXT of the peer, who drops this RST now and for ever.
        """
        key = (end, segment)
        if key not in self._canonical:
            fact, heard = self.facts[end], self.segments.get(segment)
            fixed = fact.state.synchronized and not heard.ctl & SYN
            form = _reduce(heard, fact) if fixed else heard
            self._canonical[key] = None if form is None else self.segments.number(form)
        return self._canonical[key]

    def forms(self) -> dict[int, set[int]]:
        """For each segment the forms it was given at some end."""
        forms: dict[int, set[int]] = {}
        for (_, segment), form in self._canonical.items():
            forms.setdefault(segment, set()).update(() if form is None else (form,))
        return forms

    def ways(self, in_time: bool) -> Iterator[Way]:
        """All that segments and timers did to an end; without time, only those timers that were due."""
        for (end, heard), step in self._arrivals.items():
            yield Way(end, step.end, heard, step.sent)
        for (end, wait), step in self._expiries.items():
            if in_time or not wait:
                yield Way(end, step.end, None, step.sent)

    def delays(self) -> Iterator[tuple[int, int]]:
        """What ends became while time passed and nothing happened to them."""
        yield from ((end, then) for (end, _), then in self._later.items())

    def _try_calls(self, end: int) -> Iterator[tuple[str, Step]]:
        user = self._ends[end].user
        if user.aborted or self.facts[end].state is State.CLOSED:
            return
        yield "Abort", self._run(end, lambda connection: connection.abort(0), replace(user, aborted=True))
        if user.closed:
            return
        yield "Close", self._run(end, lambda connection: connection.close(0), replace(user, closed=True))
        state = self.facts[end].state
        if state is State.LISTEN and not self.sends.in_listen:
            return
        send = self._freezer.table[state].get(Event.SEND)
        if send is not None and Do.REFUSE_CLOSING in send.do:
            return  # an altered machine may close by itself
        first = user.spent + len(user.given)
        for last in range(first + 1, self.sends.octets + 1):
            text = bytes(self.side * 100 + n for n in range(first, last))  # no two octets of a world are alike
            given = replace(user, given=user.given + text)
            yield f"Send {len(text)}", self._run(end, methodcaller("send", text, 0), given)

    def _run(self, end: int, action: Callable[[Connection], None], user: User | None = None, now: int = 0) -> Step:
        """Let something happen to a connection. An exception is a fault of the engine, here as elsewhere."""
        connection = self._freezer.thaw(self._ends[end].frozen)
        try:
            action(connection)
        except Exception as error:
            return Step(end, (), f"{type(error).__name__}: {error}")
        return self._settle(connection, user or self._ends[end].user, now)

    def _settle(self, connection: Connection, user: User, now: int) -> Step:
        """The user reads what there is; then what the connection sends, and what it has become."""
        text = connection.receive(now)
        if any(isinstance(what, Row) and what.event is Event.BACK_TO_LISTEN for what in connection.news()):
            user = replace(user, given=b"", spent=user.spent + len(user.given))
        if text:
            user = replace(user, got=user.got + text)
        if connection.state is State.CLOSED:
            user = User(user.given, user.got)  # all that matters of an end that will never do anything
        sent = tuple(self.segments.number(segment) for segment in connection.segments_to_send())
        return Step(self._number(End(self._freezer.freeze(connection, now), user)), sent)

    def _number(self, end: End) -> int:
        number = self._numbers.get(end)
        if number is None:
            number = self._numbers[end] = len(self._ends)
            self._ends.append(end)
            self.facts.append(self._examine(self._freezer.thaw(end.frozen), end.user))
        return number

    def _examine(self, connection: Connection, user: User) -> Facts:
        state = connection.state
        return Facts(
            state=state,
            cause=connection.cause,
            due=connection.next_timeout(),
            given=user.given,
            got=user.got,
            rcv_nxt=connection.tcb.rcv_nxt,
            snd_una=connection.tcb.snd_una,
            finished=connection.receiver.finished,
            challenged=connection.challenges[1] >= connection.config.challenge_ack_limit,
            done=user.closed or user.aborted or state is State.CLOSED,
        )


def _reduce(segment: Segment, end: Facts) -> Segment | None:
    """See `Ends.canonical`. The forms serve for no figure: 0 stands for any number that is old."""
    if segment.ctl & RST:  # its ACK is not looked at, and before RCV.NXT it is dropped
        return None if segment.seq < end.rcv_nxt else Segment(segment.seq, ctl=RST)
    stale = segment.ack < end.snd_una
    if stale:  # of all such ACKs none has an effect
        segment.ack = 0
    if segment.len:
        if segment.end <= end.rcv_nxt:  # an old text or FIN is acknowledged, whatever it says, and its ACK is heard
            segment.data = bytes(bool(segment.data))
            segment.seq = end.rcv_nxt - segment.len if segment.ctl & FIN else 0  # TIME-WAIT looks where a FIN ends
    elif segment.seq < end.rcv_nxt:  # a pure ACK before the window is asked back, once a while, and not heard
        if stale and end.challenged:
            return None  # until time passes; then it has arrived
        segment.seq = 0
    elif stale and end.finished:
        return None  # RCV.NXT will not move any more: this ACK is in the window for ever
    return segment


class Segments:
    """All segments that were ever sent, by number; two that are equal are one."""

    def __init__(self) -> None:
        self._segments: list[Segment] = []
        self._numbers: dict[tuple[object, ...], int] = {}

    def __len__(self) -> int:
        return len(self._segments)

    def get(self, number: int) -> Segment:
        """A copy: what arrives may be changed by whom it reaches."""
        return replace(self._segments[number])

    def number(self, segment: Segment) -> int:
        """The number of a segment, a new one for a new segment."""
        key = astuple(segment)
        if key not in self._numbers:
            self._numbers[key] = len(self._segments)
            self._segments.append(segment)
        return self._numbers[key]
