"""The user's side of a TCP (RFC 9293, 3.9.1): how a call is refused, and what the user is told."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class TcpError(Exception):
    """The TCP refuses a call of its user, in the words of 3.10."""


class Notice(Enum):
    """What a TCP tells its user (3.9.1.3). An end is told with its cause."""

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
