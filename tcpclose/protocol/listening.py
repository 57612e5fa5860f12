"""Passive OPENs with an unspecified remote socket (RFC 9293, 3.9.1.1): many connections of one listener."""

from __future__ import annotations

from typing import NamedTuple

from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.connection import Connection
from tcpclose.protocol.datagram import Pair
from tcpclose.protocol.segment import ACK, RST, SYN, Segment


class Listener:
    """One port that listens. Without a `backlog` its user accepts everything at once.

    `config` is what its connections begin with.
    """

    __slots__ = ("backlog", "config", "queue")

    def __init__(self, backlog: int | None, config: TcpConfig) -> None:
        self.backlog = backlog
        self.config = config
        self.queue: dict[Pair, None] = {}  # complete, not accepted yet, in order

    @property
    def full(self) -> bool:
        return self.backlog is not None and len(self.queue) >= self.backlog


class Child(NamedTuple):
    """A connection in SYN-RECEIVED: which listener made it, and when."""

    listener: Listener
    since: int

    def puts_off(self, connection: Connection, segment: Segment, now: int) -> str | None:
        """Why the ACK that would complete the handshake is dropped; the peer will repeat it.

        The accept queue is full, or the listener waits for text (`defer_accept`).
        """
        if segment.ctl & (SYN | ACK | RST) != ACK:
            return None
        if self.listener.full:
            return "accept queue is full"
        until = self.since + connection.config.defer_accept
        if now < until and not segment.len:
            connection.put_off(until)
            return "accept deferred"
        return None
