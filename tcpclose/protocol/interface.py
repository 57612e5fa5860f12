"""What a TCP tells: its user (RFC 9293, 3.9.1), also by refusing a call; and whoever watches it, of its timers."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

#: Refusals that no row of the table makes: a limit is reached; there can be no such peer (MUST-46).
INSUFFICIENT = "error: insufficient resources"
NO_PEER = "error: remote address is not an individual one"

#: What the user is told when no route leads to the peer.
NO_ROUTE = "no route"


def icmp_error(type: int, code: int) -> str:
    """What the user is told of an ICMP error."""
    return f"ICMP type {type} code {code}"


class TcpError(Exception):
    """The TCP refuses a call of its user, in the words of 3.10."""


class Notice(Enum):
    """What a TCP tells its user (3.9.1). An end is told with its cause."""

    CONNECTED = "CONNECTED"
    TEXT = "TEXT"
    EOF = "EOF"
    SENT = "SENT"
    ERROR = "ERROR"
    CLOSED = "CLOSED"


class Signal(NamedTuple):
    """One message to the user. `detail`: the octets of TEXT, the words of ERROR, the cause of CLOSED."""

    notice: Notice
    detail: str = ""


class Timer(Enum):
    """A timer that has expired and only sends. Those that fire a row of the table are told by it."""

    RETRANSMISSION = "rto"
    LOSS_PROBE = "loss probe"
    OVERRIDE = "override timeout"
    DELAYED_ACK = "delayed ack"
    KEEPALIVE = "keepalive"
