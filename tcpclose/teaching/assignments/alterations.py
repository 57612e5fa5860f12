"""Alterations: small changes of the release rules, as rows. A variant is a machine with some of them.

The project is public, and with it the table. So an assignment asks for a machine that is nowhere written down: the
RFC's with alterations that are drawn for each student. Each leads to CLOSED from everywhere, alone and with any other
it may be combined with; a test has the model checker say so.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from tcpclose.protocol.fsm import TABLE, TRANSITIONS, Cause, Do, Event, Row, State, Table, rows, table_of
from tcpclose.teaching.variation import stream

#: How many alterations a student has.
DRAWN = 3

Pair = tuple[State, Event]


@dataclass(frozen=True)
class Alteration:
    """`rows` take the place of those for the same state and event, `without` are gone: there nothing happens.

    `rfc` and `instead` tell a student what the RFC does, and what the altered machine does.
    """

    name: str
    rfc: str
    instead: str
    rows: tuple[Row, ...] = ()
    without: tuple[Pair, ...] = ()
    excludes: frozenset[str] = frozenset()

    @property
    def pairs(self) -> set[Pair]:
        """Where the machine is another."""
        return {(row.state, row.event) for row in self.rows} | set(self.without)

    @property
    def sections(self) -> str:
        """Where the RFC has it otherwise."""
        return ", ".join(sorted({TABLE[state][event].rfc for state, event in self.pairs}))

    def excluded_by(self, other: Alteration) -> bool:
        """They cannot be had together, whoever of them says so."""
        return self.name in other.excludes or other.name in self.excludes


ALTERATIONS = (
    Alteration(
        "no-half-close",
        "After the peer's FIN the user may still send; our FIN goes out when the user calls CLOSE.",
        "There is no half-close: when a FIN arrives in ESTABLISHED, it is acknowledged, the user is told, and our own "
        "FIN is queued at once; the state is LAST-ACK. A CLOSE that the user then calls in LAST-ACK has no effect "
        "and is no error.",
        rows("ESTABLISHED", Event.FIN, "LAST-ACK", Do.SIGNAL_EOF, Do.SEND_ACK, Do.QUEUE_FIN, rfc="3.10.7.4 eighth"),
        ((State.LAST_ACK, Event.CLOSE),),
        # There is no CLOSE-WAIT; and the user, who need not have closed, could not do so in TIME-WAIT.
        frozenset({"close-wait-deaf-to-rst", "last-ack-at-the-call", "passive-closer-waits"}),
    ),
    Alteration(
        "passive-closer-waits",
        "Whose FIN comes second is done when it is acknowledged.",
        "Whose FIN comes second waits as well: the ACK of it leads from LAST-ACK to TIME-WAIT and starts the 2 MSL.",
        rows("LAST-ACK", Event.ACK_OF_FIN, "TIME-WAIT", Do.START_2MSL, rfc="3.10.7.4 fifth"),
        excludes=frozenset({"no-closing"}),
    ),
    Alteration(
        "no-closing",
        "When both close at the same time, both wait for the ACK of their FIN in CLOSING, and for 2 MSL after it.",
        "There is no CLOSING: a FIN that arrives in FIN-WAIT-1 leads to LAST-ACK, and so nobody waits for 2 MSL.",
        rows("FIN-WAIT-1", Event.FIN, "LAST-ACK", Do.SIGNAL_EOF, Do.SEND_ACK, rfc="3.10.7.4 eighth"),
    ),
    Alteration(
        "time-wait-deaf-to-rst",
        "A RST ends TIME-WAIT.",
        "A RST that arrives in TIME-WAIT has no effect.",
        without=((State.TIME_WAIT, Event.RST),),
    ),
    Alteration(
        "time-wait-not-restarted",
        "A FIN that arrives in TIME-WAIT is acknowledged, and the 2 MSL begin anew.",
        "A FIN that arrives in TIME-WAIT is acknowledged, and the 2 MSL go on as they were.",
        rows("TIME-WAIT", Event.FIN, "=", Do.SEND_ACK, rfc="3.10.7.4 eighth"),
    ),
    Alteration(
        "early-close-resets",
        "A CLOSE in SYN-RECEIVED queues a FIN: FIN-WAIT-1.",
        "A CLOSE in SYN-RECEIVED gives up: RST is sent, the state is CLOSED, and the cause is that of an ABORT.",
        rows("SYN-RECEIVED", Event.CLOSE, "CLOSED", Do.SEND_RESET, rfc="3.10.4", cause=Cause.ABORTED),
    ),
    Alteration(
        "fin-wait-2-timeout-resets",
        "A TCP that waits in FIN-WAIT-2 no longer than a while ends in silence.",
        "When the peer's FIN does not come in FIN-WAIT-2, RST is sent as the connection ends; the cause is the same.",
        rows(
            "FIN-WAIT-2",
            Event.FIN_WAIT_2_TIMEOUT,
            "CLOSED",
            Do.SEND_RESET,
            rfc="3.6.1",
            cause=Cause.LINGER_EXPIRED,
        ),
    ),
    Alteration(
        "close-wait-deaf-to-rst",
        "A RST ends the connection in CLOSE-WAIT.",
        "A RST that arrives in CLOSE-WAIT has no effect.",
        without=((State.CLOSE_WAIT, Event.RST),),
    ),
    Alteration(
        "silent-abort",
        "An ABORT in FIN-WAIT-2 sends RST.",
        "An ABORT in FIN-WAIT-2 sends nothing: our direction is closed and acknowledged.",
        rows("FIN-WAIT-2", Event.ABORT, "CLOSED", rfc="3.10.5", cause=Cause.ABORTED),
    ),
    Alteration(
        "late-abort-resets",
        "An ABORT in CLOSING or LAST-ACK sends nothing.",
        "An ABORT in CLOSING or LAST-ACK sends RST.",
        rows("CLOSING LAST-ACK", Event.ABORT, "CLOSED", Do.SEND_RESET, rfc="3.10.5", cause=Cause.ABORTED),
    ),
    Alteration(
        "last-ack-at-the-call",
        "CLOSE in CLOSE-WAIT queues the FIN; the state is LAST-ACK when the FIN goes out.",
        "CLOSE in CLOSE-WAIT queues the FIN and leads to LAST-ACK at once, whenever the FIN goes out.",
        rows("CLOSE-WAIT", Event.CLOSE, "LAST-ACK", Do.QUEUE_FIN, rfc="3.10.4"),
    ),
    Alteration(
        "icmp-cannot-end-a-close",
        "A hard ICMP error ends the connection wherever something is unacknowledged.",
        "A hard ICMP error has no effect any more in FIN-WAIT-1, CLOSING and LAST-ACK.",
        without=tuple((state, Event.UNREACHABLE) for state in (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)),
    ),
)


def combine(*alterations: Alteration) -> Table:
    """The RFC's machine with these alterations. Raises `ValueError` for two that exclude each other."""
    for one, other in itertools.combinations(alterations, 2):
        if one.excluded_by(other):
            raise ValueError(f"{one.name} and {other.name} cannot be had together")
    gone = {pair for alteration in alterations for pair in alteration.without}
    altered = tuple(row for alteration in alterations for row in alteration.rows)
    return table_of(row for row in (*TRANSITIONS, *altered) if (row.state, row.event) not in gone)


def drawn(assignment: str, student: str, among: tuple[Alteration, ...] = ALTERATIONS) -> tuple[Alteration, ...]:
    """The alterations of a student, or of a term, in the order of `ALTERATIONS`."""
    shuffled = list(among)
    stream(assignment, student, "alterations").shuffle(shuffled)
    chosen: list[Alteration] = []
    for alteration in shuffled:
        if len(chosen) < DRAWN and not any(map(alteration.excluded_by, chosen)):
            chosen.append(alteration)
    return tuple(alteration for alteration in ALTERATIONS if alteration in chosen)


def told(alterations: Iterable[Alteration]) -> str:
    """For a handout: what is otherwise than in the RFC."""
    return "\n".join(
        f"{number}. RFC 9293 ({one.sections}): {one.rfc}\n   **Yours:** {one.instead}"
        for number, one in enumerate(alterations, 1)
    )
