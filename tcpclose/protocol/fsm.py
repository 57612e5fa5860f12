"""The state machine of a connection as data: RFC 9293, figure 5, and what 3.10 adds to it.

Nothing here acts. A row says: in this state, on this event, go there and do these things. The engine
binds each `Do` to a method once; diagrams, handouts, questions and the model checker read the same rows.

Events are *post-examination*: 3.10.7.4 examines a segment in a fixed order (sequence, RST, SYN, ACK, URG,
text, FIN), and each examination posts at most one event. So a FIN that acknowledges ours fires two rows,
FIN-WAIT-1 to FIN-WAIT-2 to TIME-WAIT, and no row needs a guard.

RECEIVE is missing on purpose: what has arrived can be read in any state, and reading changes none.

Every pair of state and event stands either in `TRANSITIONS` or in `IGNORED`; a test counts them.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple


class Word(Enum):
    """A word of the table. Each is a single object, so that its identity can be its hash: looking it up is cheap."""

    __hash__ = object.__hash__

    def __str__(self) -> str:
        return str(self.value)


class State(Word):
    """The states of 3.3.2, with what each one permits."""

    CLOSED = "CLOSED"
    LISTEN = "LISTEN"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"

    #: It is about one peer: without a TCB there is none, and in LISTEN none yet (3.9.1.1).
    has_peer: bool
    #: Both SYNs are acknowledged (3.5.2): the numbers of the peer are known for good.
    synchronized: bool
    #: Text is taken from arriving segments (3.10.7.4 seventh).
    accepts_text: bool
    #: Text and FIN may be sent or sent again. Before ESTABLISHED they are queued (3.10.2).
    sends_text: bool
    #: Only a repeated FIN is expected (3.10.7.4 first, the exception for TIME-WAIT).
    lingers: bool
    #: Our SYN waits for its acknowledgment, the peer's has come: 3.10.4 and 3.10.7.4 treat this state on its own.
    handshaking: bool
    #: Nothing need be unacknowledged here: only keepalive can find that the peer is gone (3.8.4).
    idles: bool
    #: Our FIN is acknowledged, the peer's is still to come.
    awaits_fin: bool


def _states(names: str) -> tuple[State, ...]:
    return tuple(State(name) for name in names.split())


_SYNCHRONIZED = "ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 CLOSE-WAIT CLOSING LAST-ACK TIME-WAIT"

_TRAITS = {
    "has_peer": f"SYN-SENT SYN-RECEIVED {_SYNCHRONIZED}",
    "synchronized": _SYNCHRONIZED,
    "accepts_text": "ESTABLISHED FIN-WAIT-1 FIN-WAIT-2",
    "sends_text": "ESTABLISHED FIN-WAIT-1 CLOSE-WAIT CLOSING LAST-ACK",
    "lingers": "TIME-WAIT",
    "handshaking": "SYN-RECEIVED",
    "idles": "ESTABLISHED FIN-WAIT-2 CLOSE-WAIT",
    "awaits_fin": "FIN-WAIT-2",
}
for _trait, _names in _TRAITS.items():
    for _state in State:
        setattr(_state, _trait, _state in _states(_names))


class Event(Word):
    """What can happen to a connection, after examination."""

    OPEN_PASSIVE = "passive OPEN"
    OPEN_ACTIVE = "active OPEN"
    SEND = "SEND"
    CLOSE = "CLOSE"
    ABORT = "ABORT"
    CLOSE_UNREAD = "CLOSE of both directions, with text unread"
    LISTENER_CLOSED = "the listener is closed"

    SYN = "SYN arrives"
    SYN_ACK = "SYN that acknowledges our SYN arrives"
    ACK_OF_SYN = "our SYN is acknowledged"
    ACK_OF_FIN = "our FIN is acknowledged"
    FIN = "FIN arrives"
    RST = "RST arrives"
    BACK_TO_LISTEN = "RST or SYN arrives after a passive OPEN"
    REOPEN = "SYN of a new connection arrives"
    UNWANTED_TEXT = "text arrives that nobody will read"
    INVALID_HEADER = "segment with an invalid header arrives"

    FIN_SENT = "preceding SENDs are segmentized, our FIN goes out"
    USER_TIMEOUT = "user timeout"
    RETRANSMISSION_LIMIT = "R2 retransmissions are unanswered"
    KEEPALIVE_TIMEOUT = "keepalive probes are unanswered"
    FIN_WAIT_2_TIMEOUT = "the peer's FIN does not come"
    LINGER_TIMEOUT = "time to linger is over"
    UNREACHABLE = "hard ICMP error"
    NO_RESOURCES = "resources must be found"
    TIME_WAIT_TIMEOUT = "2 MSL timeout"


class Do(Word):
    """What a row orders, by name. `machine.py` binds each name to a method (`ACTIONS`)."""

    CREATE_TCB = "create a new TCB"
    SEND_SYN = "send SYN"
    SEND_SYN_ACK = "send SYN,ACK"
    SEND_ACK = "send ACK"
    SEND_ACK_OF_FIN = "send ACK, a little later if delayed_fin_ack is on"
    QUEUE_FIN = "queue FIN behind the text"
    CLOSE_IF_DEFERRED = "process a CLOSE that waited for ESTABLISHED"
    SEND_RESET = "send RST"
    SEND_TIMEOUT_RESET = "send RST unless timeout_reset is off"
    SEND_KEEPALIVE_RESET = "send RST unless keepalive_reset is off"
    SEND_UNWANTED_RESET = "send RST, its form as unwanted_text_reset says"
    START_KEEPALIVE = "start the keepalive timer if it is on"
    START_FIN_WAIT_2 = "start the FIN-WAIT-2 timer if the user is gone"
    START_2MSL = "start the 2 MSL timer, stop the others"
    SIGNAL_CONNECTED = "tell the user: connected"
    SIGNAL_EOF = "tell the user: the peer is closing"
    REFUSE_NO_CONNECTION = "error: connection does not exist"
    REFUSE_EXISTS = "error: connection already exists"
    REFUSE_CLOSING = "error: connection closing"


class Cause(Word):
    """Why a connection ended: the one reason that its user, the trace and the charts are given."""

    GRACEFUL = "graceful"
    ABORTED = "aborted"
    RESET_BY_PEER = "reset by peer"
    REFUSED = "refused"
    USER_TIMEOUT = "user timeout"
    RETRANSMISSION_LIMIT = "retransmission limit"
    KEEPALIVE_FAILED = "keepalive failed"
    UNREACHABLE = "unreachable"
    NO_RESOURCES = "no resources"
    INVALID_HEADER = "invalid header"
    UNREAD_DATA = "unread data"
    LINGER_EXPIRED = "linger expired"
    NOT_OPENED = "not opened"


class Row(NamedTuple):
    """One row of the machine. `cause` stands where, and only where, the row ends the connection."""

    state: State
    event: Event
    next: State
    do: tuple[Do, ...]
    rfc: str
    cause: Cause | None


def rows(states: str, event: Event, next: str, *do: Do, rfc: str, cause: Cause | None = None) -> tuple[Row, ...]:
    """One row for each of `states`, names separated by blanks; `next` may be "=" for the same state."""
    return tuple(Row(state, event, state if next == "=" else State(next), do, rfc, cause) for state in _states(states))


_BEFORE = "SYN-SENT SYN-RECEIVED"
_OPEN = "ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 CLOSE-WAIT"
_ENDING = "CLOSING LAST-ACK"
_UNACKNOWLEDGED = "ESTABLISHED FIN-WAIT-1 CLOSE-WAIT CLOSING LAST-ACK"  # text or FIN may wait for its ACK

_USER_CALLS = (
    rows("CLOSED", Event.OPEN_PASSIVE, "LISTEN", Do.CREATE_TCB, rfc="3.10.1")
    + rows("CLOSED", Event.OPEN_ACTIVE, "SYN-SENT", Do.CREATE_TCB, Do.SEND_SYN, rfc="3.10.1")
    + rows("LISTEN", Event.OPEN_ACTIVE, "SYN-SENT", Do.SEND_SYN, rfc="3.10.1")
    + rows("LISTEN", Event.OPEN_PASSIVE, "=", Do.REFUSE_EXISTS, rfc="3.10.1")
    + rows(f"{_BEFORE} {_OPEN} {_ENDING} TIME-WAIT", Event.OPEN_PASSIVE, "=", Do.REFUSE_EXISTS, rfc="3.10.1")
    + rows(f"{_BEFORE} {_OPEN} {_ENDING} TIME-WAIT", Event.OPEN_ACTIVE, "=", Do.REFUSE_EXISTS, rfc="3.10.1")
    # A SEND in LISTEN turns the passive OPEN into an active one; before ESTABLISHED the text is queued.
    + rows("LISTEN", Event.SEND, "SYN-SENT", Do.SEND_SYN, rfc="3.10.2")
    + rows(f"{_BEFORE} ESTABLISHED CLOSE-WAIT", Event.SEND, "=", rfc="3.10.2")
    + rows("FIN-WAIT-1 FIN-WAIT-2 CLOSING LAST-ACK TIME-WAIT", Event.SEND, "=", Do.REFUSE_CLOSING, rfc="3.10.2")
    + rows("CLOSED", Event.SEND, "=", Do.REFUSE_NO_CONNECTION, rfc="3.10.2")
    + rows("CLOSED", Event.CLOSE, "=", Do.REFUSE_NO_CONNECTION, rfc="3.10.4")
    + rows("LISTEN SYN-SENT", Event.CLOSE, "CLOSED", rfc="3.10.4", cause=Cause.NOT_OPENED)
    + rows("SYN-RECEIVED ESTABLISHED", Event.CLOSE, "FIN-WAIT-1", Do.QUEUE_FIN, rfc="3.10.4")
    # LAST-ACK is entered when the FIN leaves, not when the user calls (FIN_SENT below).
    + rows("CLOSE-WAIT", Event.CLOSE, "=", Do.QUEUE_FIN, rfc="3.10.4")
    + rows("CLOSE-WAIT", Event.FIN_SENT, "LAST-ACK", rfc="3.10.4")
    + rows("CLOSING LAST-ACK TIME-WAIT", Event.CLOSE, "=", Do.REFUSE_CLOSING, rfc="3.10.4")
    + rows("CLOSED", Event.ABORT, "=", Do.REFUSE_NO_CONNECTION, rfc="3.10.5")
    + rows("LISTEN SYN-SENT", Event.ABORT, "CLOSED", rfc="3.10.5", cause=Cause.ABORTED)
    + rows(f"SYN-RECEIVED {_OPEN}", Event.ABORT, "CLOSED", Do.SEND_RESET, rfc="3.10.5", cause=Cause.ABORTED)
    + rows("CLOSING LAST-ACK", Event.ABORT, "CLOSED", rfc="3.10.5", cause=Cause.ABORTED)
    + rows("TIME-WAIT", Event.ABORT, "CLOSED", rfc="3.10.5", cause=Cause.GRACEFUL)
)

_OPENING = (
    rows("LISTEN", Event.SYN, "SYN-RECEIVED", Do.SEND_SYN_ACK, rfc="3.10.7.2 third")
    + rows("SYN-SENT", Event.SYN, "SYN-RECEIVED", Do.SEND_SYN_ACK, rfc="3.10.7.3 fourth")
    + rows(
        "SYN-SENT",
        Event.SYN_ACK,
        "ESTABLISHED",
        Do.SEND_ACK,
        Do.START_KEEPALIVE,
        Do.SIGNAL_CONNECTED,
        rfc="3.10.7.3 fourth",
    )
    + rows(
        "SYN-RECEIVED",
        Event.ACK_OF_SYN,
        "ESTABLISHED",
        Do.START_KEEPALIVE,
        Do.SIGNAL_CONNECTED,
        Do.CLOSE_IF_DEFERRED,
        rfc="3.10.7.4 fifth",
    )
)

_GRACEFUL = (
    rows("FIN-WAIT-1", Event.ACK_OF_FIN, "FIN-WAIT-2", Do.START_FIN_WAIT_2, rfc="3.10.7.4 fifth")
    + rows("CLOSING", Event.ACK_OF_FIN, "TIME-WAIT", Do.START_2MSL, rfc="3.10.7.4 fifth")
    + rows("LAST-ACK", Event.ACK_OF_FIN, "CLOSED", rfc="3.10.7.4 fifth", cause=Cause.GRACEFUL)
    + rows("ESTABLISHED", Event.FIN, "CLOSE-WAIT", Do.SIGNAL_EOF, Do.SEND_ACK_OF_FIN, rfc="3.10.7.4 eighth")
    + rows("FIN-WAIT-1", Event.FIN, "CLOSING", Do.SIGNAL_EOF, Do.SEND_ACK, rfc="3.10.7.4 eighth")
    + rows("FIN-WAIT-2", Event.FIN, "TIME-WAIT", Do.SIGNAL_EOF, Do.SEND_ACK, Do.START_2MSL, rfc="3.10.7.4 eighth")
    + rows("TIME-WAIT", Event.FIN, "=", Do.SEND_ACK, Do.START_2MSL, rfc="3.10.7.4 eighth")
    + rows("TIME-WAIT", Event.TIME_WAIT_TIMEOUT, "CLOSED", rfc="3.10.8", cause=Cause.GRACEFUL)
)

_ABRUPT = (
    rows("SYN-SENT", Event.RST, "CLOSED", rfc="3.10.7.3 second", cause=Cause.REFUSED)
    + rows("SYN-RECEIVED", Event.RST, "CLOSED", rfc="3.10.7.4 second", cause=Cause.REFUSED)
    + rows("SYN-RECEIVED", Event.BACK_TO_LISTEN, "LISTEN", Do.CREATE_TCB, rfc="3.10.7.4 second")
    + rows(f"{_OPEN} {_ENDING}", Event.RST, "CLOSED", rfc="3.10.7.4 second", cause=Cause.RESET_BY_PEER)
    # Both directions are closed and acknowledged: the release was graceful before the RST came.
    + rows("TIME-WAIT", Event.RST, "CLOSED", rfc="3.10.7.4 second", cause=Cause.GRACEFUL)
    + rows("SYN-SENT", Event.USER_TIMEOUT, "CLOSED", rfc="3.10.8", cause=Cause.USER_TIMEOUT)
    + rows(
        f"SYN-RECEIVED {_UNACKNOWLEDGED}",
        Event.USER_TIMEOUT,
        "CLOSED",
        Do.SEND_TIMEOUT_RESET,
        rfc="3.10.8",
        cause=Cause.USER_TIMEOUT,
    )
    + rows(
        f"{_BEFORE} {_UNACKNOWLEDGED}",
        Event.UNREACHABLE,
        "CLOSED",
        rfc="3.9.2.2",
        cause=Cause.UNREACHABLE,
    )
)

# What a TCP gives up of its own accord. The user who is gone is the half-duplex close of 3.6.1 (MAY-1).
_GIVEN_UP = (
    rows(f"{_OPEN} {_ENDING}", Event.CLOSE_UNREAD, "CLOSED", Do.SEND_RESET, rfc="3.6.1", cause=Cause.UNREAD_DATA)
    + rows(
        "FIN-WAIT-1 FIN-WAIT-2",
        Event.UNWANTED_TEXT,
        "CLOSED",
        Do.SEND_UNWANTED_RESET,
        rfc="3.6.1",
        cause=Cause.UNREAD_DATA,
    )
    + rows("SYN-RECEIVED", Event.LISTENER_CLOSED, "CLOSED", rfc="3.10.4", cause=Cause.NOT_OPENED)
    + rows("SYN-SENT", Event.RETRANSMISSION_LIMIT, "CLOSED", rfc="3.8.3", cause=Cause.RETRANSMISSION_LIMIT)
    + rows(
        f"SYN-RECEIVED {_UNACKNOWLEDGED}",
        Event.RETRANSMISSION_LIMIT,
        "CLOSED",
        Do.SEND_TIMEOUT_RESET,
        rfc="3.8.3",
        cause=Cause.RETRANSMISSION_LIMIT,
    )
    + rows(
        "ESTABLISHED FIN-WAIT-2 CLOSE-WAIT",
        Event.KEEPALIVE_TIMEOUT,
        "CLOSED",
        Do.SEND_KEEPALIVE_RESET,
        rfc="3.8.4",
        cause=Cause.KEEPALIVE_FAILED,
    )
    # Silent, like the end of TIME-WAIT: our FIN is acknowledged, and there is nobody to tell.
    + rows("FIN-WAIT-2", Event.FIN_WAIT_2_TIMEOUT, "CLOSED", rfc="3.6.1", cause=Cause.LINGER_EXPIRED)
    + rows(
        "FIN-WAIT-1 CLOSE-WAIT CLOSING LAST-ACK",
        Event.LINGER_TIMEOUT,
        "CLOSED",
        Do.SEND_RESET,
        rfc="3.5.2",
        cause=Cause.LINGER_EXPIRED,
    )
    + rows(
        f"SYN-RECEIVED {_OPEN} {_ENDING}",
        Event.INVALID_HEADER,
        "CLOSED",
        Do.SEND_RESET,
        rfc="3.5.2",
        cause=Cause.INVALID_HEADER,
    )
    + rows("SYN-SENT", Event.NO_RESOURCES, "CLOSED", rfc="3.5.2", cause=Cause.NO_RESOURCES)
    + rows(
        f"SYN-RECEIVED {_OPEN} {_ENDING}",
        Event.NO_RESOURCES,
        "CLOSED",
        Do.SEND_RESET,
        rfc="3.5.2",
        cause=Cause.NO_RESOURCES,
    )
    + rows("TIME-WAIT", Event.NO_RESOURCES, "CLOSED", rfc="3.6.1", cause=Cause.GRACEFUL)
    + rows("TIME-WAIT", Event.REOPEN, "CLOSED", rfc="3.6.1", cause=Cause.GRACEFUL)
)

TRANSITIONS: tuple[Row, ...] = _USER_CALLS + _OPENING + _GRACEFUL + _ABRUPT + _GIVEN_UP


class Ignored(NamedTuple):
    """A pair that changes nothing, with the reason why it cannot happen or has no effect."""

    state: State
    event: Event
    why: str


def _ignored(states: str, events: tuple[Event, ...], why: str) -> tuple[Ignored, ...]:
    return tuple(Ignored(state, event, why) for state in _states(states) for event in events)


_SEGMENT_EVENTS = (Event.SYN, Event.SYN_ACK, Event.ACK_OF_SYN, Event.ACK_OF_FIN, Event.FIN, Event.RST)
_TIMERS = (Event.RETRANSMISSION_LIMIT, Event.KEEPALIVE_TIMEOUT, Event.FIN_WAIT_2_TIMEOUT, Event.LINGER_TIMEOUT)

IGNORED: tuple[Ignored, ...] = (
    _ignored("CLOSED", (*_SEGMENT_EVENTS, Event.BACK_TO_LISTEN), "there is no TCB; 3.10.7.1 answers")
    + _ignored(
        "CLOSED LISTEN",
        (Event.FIN_SENT, Event.USER_TIMEOUT, Event.UNREACHABLE, Event.TIME_WAIT_TIMEOUT),
        "nothing was sent and no timer runs",
    )
    + _ignored(
        "LISTEN",
        (Event.SYN_ACK, Event.ACK_OF_SYN, Event.ACK_OF_FIN, Event.FIN, Event.RST, Event.BACK_TO_LISTEN),
        "3.10.7.2 resets an ACK and ignores the rest",
    )
    + _ignored("FIN-WAIT-1 FIN-WAIT-2", (Event.CLOSE,), "3.10.4: an ok response is acceptable")
    + _ignored("SYN-SENT", (Event.ACK_OF_SYN, Event.BACK_TO_LISTEN), "SYN-SENT posts SYN_ACK, and RST")
    + _ignored("SYN-SENT SYN-RECEIVED", (Event.ACK_OF_FIN, Event.FIN_SENT), "no FIN was sent yet")
    + _ignored("SYN-SENT", (Event.FIN,), "3.10.7.4 eighth: SEG.SEQ cannot be validated")
    + _ignored("SYN-RECEIVED", (Event.FIN,), "the fifth step has led to ESTABLISHED, or dropped the segment")
    + _ignored(
        f"SYN-RECEIVED {_OPEN} {_ENDING} TIME-WAIT",
        (Event.SYN, Event.SYN_ACK),
        "a SYN opens nothing here; RFC 5961 answers with a challenge ACK",
    )
    + _ignored(f"{_OPEN} {_ENDING} TIME-WAIT", (Event.BACK_TO_LISTEN,), "posted in SYN-RECEIVED only")
    + _ignored("FIN-WAIT-1", (Event.ACK_OF_SYN,), "CLOSE came in SYN-RECEIVED: the user has gone on already")
    + _ignored("ESTABLISHED FIN-WAIT-2 CLOSE-WAIT CLOSING LAST-ACK TIME-WAIT", (Event.ACK_OF_SYN,), "once only")
    + _ignored("ESTABLISHED CLOSE-WAIT", (Event.ACK_OF_FIN,), "no FIN was sent yet")
    + _ignored("FIN-WAIT-2 TIME-WAIT", (Event.ACK_OF_FIN,), "once only")
    + _ignored("CLOSE-WAIT CLOSING LAST-ACK", (Event.FIN,), "3.10.7.4 eighth: remain in the state")
    + _ignored("ESTABLISHED", (Event.FIN_SENT,), "CLOSE has led to FIN-WAIT-1 before")
    + _ignored("FIN-WAIT-1", (Event.FIN_SENT,), "the state was entered with the CLOSE call (3.10.4)")
    + _ignored("FIN-WAIT-2 CLOSING LAST-ACK TIME-WAIT", (Event.FIN_SENT,), "our FIN is out already")
    + _ignored(f"{_BEFORE} {_OPEN} {_ENDING}", (Event.TIME_WAIT_TIMEOUT,), "the timer runs in TIME-WAIT only")
    + _ignored("FIN-WAIT-2 TIME-WAIT", (Event.USER_TIMEOUT, Event.UNREACHABLE), "nothing is unacknowledged")
    + _ignored(
        "CLOSED LISTEN", (*_TIMERS, Event.CLOSE_UNREAD, Event.UNWANTED_TEXT), "there is no peer, no text and no timer"
    )
    + _ignored("CLOSED LISTEN", (Event.INVALID_HEADER, Event.NO_RESOURCES), "there is no connection to end")
    + _ignored("CLOSED LISTEN SYN-SENT", (Event.LISTENER_CLOSED,), "there is no listener that it came from")
    + _ignored(f"{_OPEN} {_ENDING} TIME-WAIT", (Event.LISTENER_CLOSED,), "the listener has done its part")
    + _ignored(f"CLOSED LISTEN {_BEFORE} {_OPEN} {_ENDING}", (Event.REOPEN,), "only TIME-WAIT can be reopened")
    + _ignored(_BEFORE, (Event.CLOSE_UNREAD, Event.UNWANTED_TEXT), "no text is taken before ESTABLISHED")
    + _ignored("ESTABLISHED", (Event.UNWANTED_TEXT,), "the user has not closed")
    + _ignored("CLOSE-WAIT CLOSING LAST-ACK", (Event.UNWANTED_TEXT,), "no text follows a FIN")
    + _ignored("TIME-WAIT", (Event.CLOSE_UNREAD, Event.UNWANTED_TEXT), "both directions are finished")
    + _ignored("SYN-SENT", (Event.INVALID_HEADER,), "the connection is not open: 3.10.7.3 waits for the SYN")
    + _ignored("TIME-WAIT", (Event.INVALID_HEADER, *_TIMERS), "both directions are finished")
    + _ignored("FIN-WAIT-2", (Event.RETRANSMISSION_LIMIT, Event.LINGER_TIMEOUT), "nothing is unacknowledged")
    + _ignored(_BEFORE, (Event.KEEPALIVE_TIMEOUT, Event.LINGER_TIMEOUT), "started in ESTABLISHED, or by CLOSE")
    + _ignored("FIN-WAIT-1 CLOSING LAST-ACK", (Event.KEEPALIVE_TIMEOUT,), "the FIN is unacknowledged, and repeated")
    + _ignored("ESTABLISHED", (Event.LINGER_TIMEOUT,), "the user has not closed")
    + _ignored(
        f"{_BEFORE} ESTABLISHED FIN-WAIT-1 CLOSE-WAIT {_ENDING}",
        (Event.FIN_WAIT_2_TIMEOUT,),
        "the timer runs in FIN-WAIT-2 only",
    )
)

#: What an engine looks up: for each state the rows of its events.
Table = dict[State, dict[Event, Row]]


def table_of(rows: Iterable[Row]) -> Table:
    """Rows as an engine looks them up. Of two rows for the same state and event the last one counts."""
    table: Table = {state: {} for state in State}
    for row in rows:
        table[row.state][row.event] = row
    return table


TABLE = table_of(TRANSITIONS)
