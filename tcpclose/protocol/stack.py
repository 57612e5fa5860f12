"""All connections of one host: demultiplexing, listeners, and an answer to segments that belong to nothing.

Like `Connection` it does no I/O: datagrams and the time go in, datagrams, news and the next deadline come out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.connection import Connection, Signal, TcpError, answer_closed
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.fsm import Do, Row, State
from tcpclose.protocol.segment import seq_diff

#: Destination unreachable (ICMP type 3): these codes say that no retry will help (3.9.2.2).
_UNREACHABLE = 3
#: Says "slow down" where congestion control knows better; dropped in silence (3.9.2.2, MUST-55).
_SOURCE_QUENCH = 4
_HARD_CODES = {2: "protocol unreachable", 3: "port unreachable"}


class Pair(NamedTuple):
    """The pair of sockets that names a connection (3.3.1)."""

    local: Endpoint
    remote: Endpoint


class News(NamedTuple):
    """A row that fired in a connection of this host, or a signal to its user."""

    pair: Pair
    what: Row | Signal


class Stack:
    """The TCP of one host. `iss` gives the initial sequence number of a new connection (3.4.1)."""

    def __init__(self, config: TcpConfig, iss: Callable[[Pair], int]) -> None:
        self.config = config
        self.iss = iss
        self.connections: dict[Pair, Connection] = {}
        self.listening: set[int] = set()
        self._datagrams: list[Datagram] = []
        self._news: list[News] = []

    # User calls. Each raises TcpError when the TCP refuses it.

    def listen(self, port: int) -> None:
        """Passive OPEN with an unspecified remote socket: every SYN to `port` makes a connection of its own."""
        if port in self.listening:
            raise TcpError(Do.REFUSE_EXISTS.value)
        self.listening.add(port)

    def open(self, pair: Pair, now: int) -> None:
        """Active OPEN."""
        if pair in self.connections:
            raise TcpError(Do.REFUSE_EXISTS.value)
        connection = self.connections[pair] = Connection(self.config, self.iss(pair))
        connection.open(now)
        self._collect(pair, connection)

    def send(self, pair: Pair, text: bytes, now: int) -> None:
        """SEND."""
        connection = self._existing(pair)
        connection.send(text, now)
        self._collect(pair, connection)

    def receive(self, pair: Pair, now: int, octets: int | None = None) -> bytes:
        """RECEIVE: what has arrived, up to `octets` octets."""
        connection = self._existing(pair)
        text = connection.receive(now, octets)
        self._collect(pair, connection)
        return text

    def close(self, pair: Pair, now: int) -> None:
        """CLOSE."""
        connection = self._existing(pair)
        connection.close(now)
        self._collect(pair, connection)

    def abort(self, pair: Pair, now: int) -> None:
        """ABORT."""
        connection = self._existing(pair)
        connection.abort(now)
        self._collect(pair, connection)

    def _existing(self, pair: Pair) -> Connection:
        try:
            return self.connections[pair]
        except KeyError:
            raise TcpError(Do.REFUSE_NO_CONNECTION.value) from None

    # What the driver brings in and takes out

    def segment_arrives(self, datagram: Datagram, now: int) -> None:
        """3.10.7: hand the segment to its connection, to a listener, or answer for a connection that is CLOSED."""
        pair = Pair(datagram.dst, datagram.src)
        connection = self.connections.get(pair)
        if connection is None and datagram.dst.port in self.listening:
            connection = Connection(self.config, self.iss(pair))
            connection.open(now, passive=True)
            connection.news()  # the passive OPEN was told when the user listened
        if connection is not None:
            connection.segment_arrives(datagram.segment, now)
            self._collect(pair, connection)
        elif (reset := answer_closed(datagram.segment)) is not None:
            self._datagrams.append(Datagram(pair.local, pair.remote, reset))

    def icmp_arrives(self, pair: Pair, seq: int, type: int, code: int, now: int) -> None:
        """An ICMP error quotes a segment of ours. Heeded only if `seq` is in flight (RFC 5927, 4.1)."""
        connection = self.connections.get(pair)
        if connection is None or type == _SOURCE_QUENCH:
            return
        tcb = connection.tcb
        if 0 <= seq_diff(seq, tcb.snd_una) < seq_diff(tcb.snd_nxt, tcb.snd_una):
            hard = type == _UNREACHABLE and code in _HARD_CODES
            connection.icmp_arrives(hard, f"ICMP type {type} code {code}", now)
            self._collect(pair, connection)

    def next_timeout(self) -> int | None:
        """The earliest deadline of all connections, in microseconds."""
        deadlines = [at for c in self.connections.values() if (at := c.next_timeout()) is not None]
        return min(deadlines, default=None)

    def timeout(self, now: int) -> None:
        """Handle every timer that has expired by `now`."""
        for pair, connection in list(self.connections.items()):
            at = connection.next_timeout()
            if at is not None and at <= now:
                connection.timeout(now)
                self._collect(pair, connection)

    def datagrams_to_send(self) -> list[Datagram]:
        """Datagrams that were formed since the last call."""
        datagrams, self._datagrams = self._datagrams, []
        return datagrams

    def news(self) -> list[News]:
        """What happened in all connections since the last call, in order."""
        news, self._news = self._news, []
        return news

    def _collect(self, pair: Pair, connection: Connection) -> None:
        """Take what a connection has to say. One that is CLOSED, or back in LISTEN, is no longer kept."""
        self._news += (News(pair, what) for what in connection.news())
        self._datagrams += (Datagram(pair.local, pair.remote, s) for s in connection.segments_to_send())
        if connection.state in _NOT_KEPT:
            self.connections.pop(pair, None)
        else:
            self.connections[pair] = connection


#: A child of a listener that falls back to LISTEN is the listener itself again; CLOSED means no TCB.
_NOT_KEPT = frozenset({State.CLOSED, State.LISTEN})
