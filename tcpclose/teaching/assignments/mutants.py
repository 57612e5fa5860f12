"""Broken TCPs: each differs from the right one of a student's variant in one thing that can be seen from outside.

A mutant changes rows of the table, a setting, or a step of the engine. `mutants_of` leaves out those that are none in
a variant; a test has a set of scripts for each variant that kills all the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tcpclose.drill.runner import MakesStack
from tcpclose.protocol.config import SECOND, TcpConfig
from tcpclose.protocol.connection import Connection
from tcpclose.protocol.fsm import Cause, Do, Event, Row, State, Table, rows, table_of
from tcpclose.protocol.stack import Stack
from tcpclose.teaching.assignments import broken
from tcpclose.teaching.assignments.alterations import ALTERATIONS, Alteration, Pair, combine

FIN, TIME_WAIT, RESETS, TIMEOUTS = "closing by FIN", "TIME-WAIT", "ABORT and RST", "timeouts and ICMP"


@dataclass(frozen=True)
class Mutant:
    """`group` is what it counts for, `hint` what is wrong; with `public` students are told of it.

    `decides`: unless this one is killed, nothing of its group counts.
    """

    name: str
    group: str
    hint: str
    rfc: str
    rows: tuple[Row, ...] = ()
    without: tuple[Pair, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    engine: type[Connection] = Connection
    stack: type[Stack] = Stack
    public: bool = False
    decides: bool = False

    @property
    def pairs(self) -> set[Pair]:
        """Where the machine is another."""
        return {(row.state, row.event) for row in self.rows} | set(self.without)

    def table(self, right: Table) -> Table:
        """Its machine, where `right` is the right one."""
        changed = dict.fromkeys(self.without) | {(row.state, row.event): row for row in self.rows}
        kept = (
            row for of_state in right.values() for row in of_state.values() if (row.state, row.event) not in changed
        )
        return table_of((*kept, *self.rows))

    def make(self, right: Table, config: TcpConfig) -> MakesStack:
        """What makes such a stack, for the runner of scripts."""
        return maker(self.table(right), replace(config, **self.settings), self.engine, self.stack)


def maker(
    table: Table, config: TcpConfig, engine: type[Connection] = Connection, kind: type[Stack] = Stack
) -> MakesStack:
    """Makes stacks with this machine and these settings, whatever settings a runner thinks of."""

    def make(_: TcpConfig, secret: bytes, mtu: Callable[[str], int | None]) -> Stack:
        stack = kind(config, secret, mtu=mtu, table=table)
        stack.connection_type = engine
        return stack

    return make


_GRACEFUL = Cause.GRACEFUL


def _row(group: str, name: str, hint: str, changed: tuple[Row, ...], **more: Any) -> Mutant:
    return Mutant(name, group, hint, changed[0].rfc, changed, **more)


def _engine(group: str, name: str, hint: str, rfc: str, engine: type[Connection], **more: Any) -> Mutant:
    return Mutant(name, group, hint, rfc, engine=engine, **more)


def _stray(name: str, hint: str, stack: type[Stack], engine: type[Connection]) -> Mutant:
    """What belongs to no connection is answered by the stack, or by a listener."""
    return Mutant(name, RESETS, hint, "3.10.7.1", stack=stack, engine=engine)


_EIGHTH, _FIFTH, _SECOND = "3.10.7.4 eighth", "3.10.7.4 fifth", "3.10.7.4 second"

_OF_FIN = (
    _engine(FIN, "fin-not-acknowledged", "a FIN is not acknowledged", _EIGHTH, broken.FinNotAcknowledged, public=True),
    _engine(FIN, "fin-without-number", "a FIN that arrives takes no sequence number", "3.4", broken.FinWithoutNumber),
    _engine(FIN, "eof-not-told", "the user is not told of a FIN", _EIGHTH, broken.EofNotTold),
    _engine(FIN, "repeated-fin-unheard", "a repeated FIN gets no ACK", _EIGHTH, broken.RepeatedFinUnheard),
    _engine(FIN, "no-text-after-close", "no text is taken after a CLOSE", "3.6", broken.NoTextAfterClose),
    _engine(FIN, "fin-beside-ack", "a FIN that acknowledges ours is only a FIN", _FIFTH, broken.FinHidesAck),
    _engine(
        FIN, "fin-overtakes-text", "a FIN is taken although text before it is missing", _EIGHTH, broken.FinOvertakes
    ),
    _engine(FIN, "text-beside-fin", "text that comes with a FIN is lost", "3.10.7.4 seventh", broken.TextBesideFin),
    _engine(FIN, "close-drops-text", "a CLOSE drops what was not sent", "3.6", broken.CloseDropsText),
    _engine(FIN, "any-ack-of-fin", "any ACK is taken for that of our FIN", _FIFTH, broken.AnyAckOfFin),
    _engine(FIN, "ack-beyond-fin", "an ACK of what was never sent acknowledges our FIN", _FIFTH, broken.AckBeyond),
    _engine(FIN, "bare-fin", "our FIN carries no ACK", "3.10.4", broken.BareFin),
    _row(
        *(FIN, "close-wait-mute", "nothing can be sent after the peer's FIN"),
        rows("CLOSE-WAIT", Event.SEND, "=", Do.REFUSE_CLOSING, rfc="3.10.2"),
    ),
    _row(
        *(FIN, "no-fin-wait-2", "the ACK of our FIN ends the connection"),
        rows("FIN-WAIT-1", Event.ACK_OF_FIN, "CLOSED", rfc=_FIFTH, cause=_GRACEFUL),
    ),
    _row(
        *(FIN, "closing-skipped", "a FIN in FIN-WAIT-1 leads to TIME-WAIT though ours is not acknowledged"),
        rows("FIN-WAIT-1", Event.FIN, "TIME-WAIT", Do.SIGNAL_EOF, Do.SEND_ACK, Do.START_2MSL, rfc=_EIGHTH),
    ),
    _row(
        *(FIN, "last-ack-stays", "the ACK of our FIN does not end LAST-ACK"),
        rows("LAST-ACK", Event.ACK_OF_FIN, "=", rfc=_FIFTH),
    ),
)
_OF_TIME_WAIT = (
    _row(
        *(TIME_WAIT, "no-time-wait", "there are no 2 MSL after the peer's FIN"),
        rows("FIN-WAIT-2", Event.FIN, "CLOSED", Do.SIGNAL_EOF, Do.SEND_ACK, rfc=_EIGHTH, cause=_GRACEFUL),
        public=True,
    ),
    _row(
        *(TIME_WAIT, "no-time-wait-after-closing", "there are no 2 MSL after CLOSING"),
        rows("CLOSING", Event.ACK_OF_FIN, "CLOSED", rfc=_FIFTH, cause=_GRACEFUL),
    ),
    Mutant("one-msl", TIME_WAIT, "TIME-WAIT lasts one MSL", "3.4.2", settings={"msl": 15 * SECOND}),
    Mutant("four-msl", TIME_WAIT, "TIME-WAIT lasts four MSL", "3.4.2", settings={"msl": 60 * SECOND}),
    _row(
        *(TIME_WAIT, "time-wait-silent", "a FIN in TIME-WAIT is not acknowledged"),
        rows("TIME-WAIT", Event.FIN, "=", Do.START_2MSL, rfc=_EIGHTH),
    ),
    _row(
        *(TIME_WAIT, "time-wait-resets", "a FIN in TIME-WAIT is answered by a RST"),
        rows("TIME-WAIT", Event.FIN, "CLOSED", Do.SEND_RESET, rfc=_EIGHTH, cause=_GRACEFUL),
    ),
    _engine(TIME_WAIT, "any-ack-restarts", "any ACK starts the 2 MSL anew", _EIGHTH, broken.AnyAckRestarts),
)
_OF_RESETS = (
    _row(
        *(RESETS, "abort-silent", "an ABORT in ESTABLISHED sends no RST"),
        rows("ESTABLISHED", Event.ABORT, "CLOSED", rfc="3.10.5", cause=Cause.ABORTED),
        public=True,
    ),
    _engine(RESETS, "reset-in-the-past", "a RST has SND.UNA for its number", "3.5.2", broken.ResetInThePast),
    _stray(
        *("reset-answered", "a RST of no connection is answered by a RST"),
        *(broken.ResetAnswered, broken.ListenerResetAnswered),
    ),
    _stray("stray-unanswered", "a stray segment gets no RST", broken.StrayUnanswered, broken.ListenerMute),
    _stray("stray-zero", "the RST for a stray ACK has number 0", broken.StrayZero, broken.ListenerStrayZero),
    Mutant(
        *("reset-in-window", RESETS, "a RST anywhere in the window counts", "RFC 5961 3.2"),
        settings={"reset_validity": "window"},
    ),
    Mutant("syn-resets", RESETS, "a SYN in the window resets", "RFC 5961 4.2", settings={"syn_validity": "window"}),
    Mutant("no-challenge", RESETS, "there are no challenge ACKs", "RFC 5961 7", settings={"challenge_ack_limit": 0}),
    _engine(RESETS, "reset-outside", "a RST outside the window gets an answer", "3.10.7.4 first", broken.ResetOutside),
    Mutant(
        *("deaf-to-reset", RESETS, "a RST in ESTABLISHED has no effect", _SECOND),
        without=((State.ESTABLISHED, Event.RST),),
    ),
    Mutant(
        *("deaf-to-reset-when-closing", RESETS, "a RST in FIN-WAIT-1 and FIN-WAIT-2 has no effect", _SECOND),
        without=((State.FIN_WAIT_1, Event.RST), (State.FIN_WAIT_2, Event.RST)),
    ),
    _row(
        *(RESETS, "reset-is-eof", "a RST is told as if it were a FIN"),
        rows("ESTABLISHED", Event.RST, "CLOSED", rfc=_SECOND, cause=_GRACEFUL),
    ),
    _engine(RESETS, "reset-takes-text", "a RST takes away what was received before", _SECOND, broken.ResetTakesText),
    Mutant(
        *("unread-forgotten", RESETS, "a close with text unread sends no RST", "3.6.1"),
        without=((State.ESTABLISHED, Event.CLOSE_UNREAD),),
    ),
    Mutant(
        *("unwanted-swallowed", RESETS, "text after a close of both directions gets no RST", "3.6.1"),
        without=((State.FIN_WAIT_1, Event.UNWANTED_TEXT), (State.FIN_WAIT_2, Event.UNWANTED_TEXT)),
    ),
)
_OF_TIMEOUTS = (
    _engine(TIMEOUTS, "fin-not-repeated", "our FIN is sent once only", "3.8.1", broken.FinNotRepeated, public=True),
    _engine(TIMEOUTS, "no-backoff", "the timeout of our FIN never doubles", "3.8.1", broken.NoBackoff),
    _engine(TIMEOUTS, "no-user-timeout", "the user timeout never comes", "3.10.8", broken.NoUserTimeout),
    Mutant("silent-timeout", TIMEOUTS, "the user timeout sends no RST", "3.10.8", settings={"timeout_reset": False}),
    _engine(TIMEOUTS, "fin-wait-2-for-ever", "FIN-WAIT-2 has no limit", "3.6.1", broken.FinWait2ForEver),
    _engine(
        TIMEOUTS, "fin-wait-2-of-users", "FIN-WAIT-2 ends although its user waits", "3.6.1", broken.FinWait2OfUsers
    ),
    Mutant(
        *("hard-error-ignored", TIMEOUTS, "a hard ICMP error in ESTABLISHED has no effect", "3.9.2.2"),
        without=((State.ESTABLISHED, Event.UNREACHABLE),),
    ),
    _row(
        *(TIMEOUTS, "hard-error-resets", "a hard ICMP error in ESTABLISHED sends RST"),
        rows("ESTABLISHED", Event.UNREACHABLE, "CLOSED", Do.SEND_RESET, rfc="3.9.2.2", cause=Cause.UNREACHABLE),
    ),
    _engine(TIMEOUTS, "soft-error-ends", "a soft ICMP error ends the connection", "3.9.2.2", broken.SoftErrorEnds),
    _engine(TIMEOUTS, "keepalive-for-ever", "keepalive never gives up", "3.8.4", broken.KeepaliveForEver),
)
MUTANTS = _OF_FIN + _OF_TIME_WAIT + _OF_RESETS + _OF_TIMEOUTS

#: What nobody can see from outside: where a FIN waits, CLOSE-WAIT and LAST-ACK are told apart by their names only.
_UNSEEN = frozenset({"last-ack-at-the-call"})
VISIBLE = tuple(one for one in ALTERATIONS if one.name not in _UNSEEN)

#: What a machine with an alteration that the student does not have is broken in.
_GROUPS = {
    "no-half-close": FIN,
    "passive-closer-waits": TIME_WAIT,
    "no-closing": FIN,
    "time-wait-deaf-to-rst": TIME_WAIT,
    "time-wait-not-restarted": TIME_WAIT,
    "early-close-resets": RESETS,
    "fin-wait-2-timeout-resets": TIMEOUTS,
    "close-wait-deaf-to-rst": RESETS,
    "silent-abort": RESETS,
    "late-abort-resets": RESETS,
    "icmp-cannot-end-a-close": TIMEOUTS,
}

_LATE_ABORT = {"rfc": "3.10.5", "cause": Cause.ABORTED}

#: Other ways to have an alteration wrong than to do as the RFC has it.
_BOTCHED: dict[str, tuple[tuple[Row, ...], ...]] = {
    "no-half-close": (
        rows("ESTABLISHED", Event.FIN, "LAST-ACK", Do.SIGNAL_EOF, Do.SEND_ACK, rfc=_EIGHTH),
        rows("ESTABLISHED", Event.FIN, "CLOSING", Do.SIGNAL_EOF, Do.SEND_ACK, Do.QUEUE_FIN, rfc=_EIGHTH),
    ),
    "passive-closer-waits": (rows("LAST-ACK", Event.ACK_OF_FIN, "=", rfc=_FIFTH),),
    "no-closing": (
        rows("FIN-WAIT-1", Event.FIN, "CLOSED", Do.SIGNAL_EOF, rfc=_EIGHTH, cause=_GRACEFUL),
        rows("FIN-WAIT-1", Event.FIN, "TIME-WAIT", Do.SIGNAL_EOF, Do.SEND_ACK, Do.START_2MSL, rfc=_EIGHTH),
    ),
    "time-wait-deaf-to-rst": (rows("TIME-WAIT", Event.RST, "=", Do.SEND_ACK, rfc=_SECOND),),
    "time-wait-not-restarted": (rows("TIME-WAIT", Event.FIN, "=", rfc=_EIGHTH),),
    "early-close-resets": (rows("SYN-RECEIVED", Event.CLOSE, "CLOSED", rfc="3.10.4", cause=Cause.ABORTED),),
    "close-wait-deaf-to-rst": (rows("CLOSE-WAIT", Event.RST, "=", Do.SEND_ACK, rfc=_SECOND),),
    "silent-abort": (rows("FIN-WAIT-2", Event.ABORT, "=", rfc="3.10.5"),),
    "late-abort-resets": (
        rows("CLOSING", Event.ABORT, "CLOSED", **_LATE_ABORT),  # type: ignore[arg-type]
        rows("LAST-ACK", Event.ABORT, "CLOSED", **_LATE_ABORT),  # type: ignore[arg-type]
    ),
    "icmp-cannot-end-a-close": (
        rows("FIN-WAIT-1", Event.UNREACHABLE, "CLOSED", rfc="3.9.2.2", cause=Cause.UNREACHABLE),
        rows("LAST-ACK", Event.UNREACHABLE, "CLOSED", rfc="3.9.2.2", cause=Cause.UNREACHABLE),
    ),
}


def mutants_of(chosen: tuple[Alteration, ...]) -> list[Mutant]:
    """All mutants of a variant. Those of an alteration have its name for their group."""
    right, names = combine(*chosen), {one.name for one in chosen}
    altered = {pair for one in chosen for pair in one.pairs}
    shared = [one for one in (*MUTANTS, *map(_foreign, VISIBLE)) if not one.pairs & altered]
    found = [one for one in shared if one.name not in names and not _excluded(one.name, chosen)]
    for alteration in chosen:
        found.append(_unaltered(alteration, combine(*(one for one in chosen if one is not alteration))))
        found += _botched(alteration)
    return [one for one in found if not one.pairs or _reached(one.table(right)) != _reached(right)]


def _excluded(name: str, chosen: tuple[Alteration, ...]) -> bool:
    return any(one.name == name and any(map(one.excluded_by, chosen)) for one in VISIBLE)


def _foreign(one: Alteration) -> Mutant:
    return Mutant(one.name, _GROUPS[one.name], one.instead, one.sections, one.rows, one.without)


def _unaltered(one: Alteration, table: Table) -> Mutant:
    """The RFC's own way, where the variant has another."""
    was = tuple(table[state][event] for state, event in sorted(one.pairs, key=str) if event in table[state])
    return Mutant(f"{one.name}, as in the RFC", one.name, one.rfc, one.sections, was, decides=True)


def _botched(one: Alteration) -> list[Mutant]:
    ways = _BOTCHED.get(one.name, ())
    hint = "it does neither what the RFC says nor what the change says"
    return [Mutant(f"{one.name}, botched {n}", one.name, hint, way[0].rfc, way) for n, way in enumerate(ways, 1)]


def _reached(table: Table) -> set[Row]:
    """All rows that can ever fire, without the sections that they cite."""
    states, found = [State.CLOSED], set[Row]()
    for state in states:  # it grows while we go
        for row in table[state].values():
            found.add(row._replace(rfc=""))
            if row.next not in states:
                states.append(row.next)
    return found
