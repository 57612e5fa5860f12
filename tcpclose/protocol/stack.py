"""All connections of one host: demultiplexing, listeners, limits, and an answer to segments that belong to nothing.

Like `Connection` it does no I/O: datagrams and the time go in, datagrams, news and the next deadline come out.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from tcpclose.protocol.addresses import LONGEST_PACKET, default_mss, individual, largest_text
from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.connection import Connection, Signal, TcpError, Timer, answer_closed
from tcpclose.protocol.datagram import Datagram, Pair
from tcpclose.protocol.fsm import TABLE, Cause, Do, Row, State, Table
from tcpclose.protocol.interface import INSUFFICIENT, NO_PEER, NO_ROUTE, icmp_error
from tcpclose.protocol.isn import initial_sequence_number, timestamp_offset
from tcpclose.protocol.listening import Child, Listener
from tcpclose.protocol.segment import ACK, FIN, RST, SYN, Segment, seq_diff
from tcpclose.protocol.time_wait import TimeWaitTable, may_reopen, next_iss

__all__ = ["News", "Pair", "Stack"]

#: Says "slow down" where congestion control knows better; dropped in silence (3.9.2.2, MUST-55).
_SOURCE_QUENCH = 4
#: Destination unreachable (ICMP type 3). Its codes for protocol and port say that no retry will help (3.9.2.2).
_UNREACHABLE = 3
_HARD_CODES = (2, 3)
#: A matter of path MTU discovery, never the end of anything.
_FRAGMENTATION_NEEDED = 4

#: So many entries of connections that have ended may lie in the heap of timers before they are swept out.
_SPARE_TIMERS = 100

_CONTROL_BITS = 0xFF
_SYN_FIN = SYN | FIN


class News(NamedTuple):
    """A row that fired in a connection of this host, a signal to its user, or a timer that sent something."""

    pair: Pair
    what: Row | Signal | Timer


class Stack:
    """The TCP of one host.

    `secret`, up to 64 octets that nobody else knows, makes its initial sequence numbers and timestamp offsets
    unguessable (`isn.py`). `iss` may choose the initial sequence number of a pair, or leave it to the secret by None.
    `mtu` says how long a packet to an address may be, or None when no route leads there. `table` is the machine that
    all connections follow: the RFC's, unless an assignment or a test has another.
    """

    #: What a connection is. A broken stack has broken ones.
    connection_type = Connection

    def __init__(
        self,
        config: TcpConfig,
        secret: bytes,
        iss: Callable[[Pair], int | None] = lambda pair: None,
        mtu: Callable[[str], int | None] = lambda address: LONGEST_PACKET,
        *,
        table: Table = TABLE,
    ) -> None:
        self.config = config
        self.table = table
        self.secret = secret
        self.iss = iss
        self.mtu = mtu
        self.connections: dict[Pair, Connection] = {}  # all but those in `time_wait`
        self._counters: Counter[str] = Counter()
        self.time_wait = TimeWaitTable(config, self._rebuilt)
        self.listening: dict[int, Listener] = {}
        self._half_open: dict[Pair, Child] = {}
        self._orphans: set[Pair] = set()
        self.lost: dict[Pair, Connection] = {}  # reset while they waited for `accept` (`reset_in_queue`)
        self._reopened: dict[Pair, Connection] = {}  # in TIME-WAIT, until the SYN proves to be a new one
        self._memory = 0  # octets of text that all connections hold, when they are limited
        self._timers: list[tuple[int, int, Pair]] = []  # a heap; entries that are out of date are skipped
        self._ordinal = itertools.count()
        self._datagrams: list[Datagram] = []
        self._news: list[News] = []

    # User calls. Each raises TcpError when the TCP refuses it.

    def listen(self, port: int, backlog: int | None = None, **parameters: object) -> None:
        """Passive OPEN with an unspecified remote socket: every SYN to `port` makes a connection of its own.

        With a `backlog`, so many complete connections wait for `accept`; without, all count as accepted.
        `parameters` are settings for all of them (3.9.1.1).
        """
        if port in self.listening:
            raise TcpError(Do.REFUSE_EXISTS.value)
        self.listening[port] = Listener(backlog, replace(self.config, **parameters))  # type: ignore[arg-type]

    def accept(self, port: int) -> Pair | None:
        """The connection that has waited longest at a listener with a backlog; None when there is none."""
        queue = self._listener(port).queue
        pair = next(iter(queue), None)
        if pair is not None:
            del queue[pair]
        return pair

    def accepted(self, pair: Pair) -> bool:
        """There is a connection, and it does not wait in a listener's queue for its user."""
        listener = self.listening.get(pair.local.port)
        return self.find(pair) is not None and (listener is None or pair not in listener.queue)

    def close_listener(self, port: int, now: int) -> None:
        """CLOSE in LISTEN. What is half-open vanishes silently, what nobody has accepted gets a RST."""
        listener = self._listener(port)
        del self.listening[port]
        half_open = [pair for pair, child in self._half_open.items() if child.listener is listener]
        waiting = [pair for pair in listener.queue if self.lost.pop(pair, None) is None]
        for pair in (*half_open, *waiting):
            connection = self.connections[pair]
            connection.listener_closed(now)
            self._collect(pair, connection, now)

    def open(self, pair: Pair, now: int, **parameters: object) -> None:
        """Active OPEN. `parameters` are settings for this connection alone, such as `user_timeout` (3.9.1.1).

        Without a route the connection ends as it begins.
        """
        if not individual(pair.remote.address):
            raise TcpError(NO_PEER)
        if pair in self.connections or pair in self.time_wait:
            raise TcpError(Do.REFUSE_EXISTS.value)
        if 0 < self.config.max_connections <= len(self.connections):
            raise TcpError(INSUFFICIENT)
        config = replace(self.config, **parameters) if parameters else self.config  # type: ignore[arg-type]
        connection = self._new_connection(pair, config, now)
        connection.open(now)
        if self.mtu(pair.remote.address) is None:
            connection.segments_to_send()  # nothing can leave
            self._take_error(pair, connection, True, NO_ROUTE, now)
        self._collect(pair, connection, now)

    def configure_listener(self, port: int, **changes: object) -> None:
        """Other settings for the connections that a listener will make."""
        listener = self._listener(port)
        listener.config = replace(listener.config, **changes)  # type: ignore[arg-type]

    def configure(self, pair: Pair, now: int, **changes: object) -> None:
        """Other settings for one connection (3.9.1.1)."""
        connection = self._existing(pair)
        connection.configure(now, **changes)
        self._collect(pair, connection, now)

    def reconfigure(self, now: int, **changes: Any) -> None:
        """Other settings for the whole host: for what will be opened, what listens, and what there is. See `limit`."""
        self.limit(now, **changes)
        self.time_wait.config = self.config
        for port in self.listening:
            self.configure_listener(port, **changes)
        for pair in list(self.connections):
            self.configure(pair, now, **changes)

    def set_nodelay(self, pair: Pair, on: bool, now: int) -> None:
        """Small segments of a connection leave at once, or by Nagle's rule (3.7.4)."""
        connection = self._existing(pair)
        connection.set_nodelay(on, now)
        self._collect(pair, connection, now)

    def set_cork(self, pair: Pair, on: bool, now: int) -> None:
        """Only full segments of a connection leave, until it is uncorked."""
        connection = self._existing(pair)
        connection.set_cork(on, now)
        self._collect(pair, connection, now)

    def push(self, pair: Pair, now: int) -> None:
        """What a connection keeps back for company leaves now."""
        connection = self._existing(pair)
        connection.push(now)
        self._collect(pair, connection, now)

    def send(self, pair: Pair, text: bytes, now: int, push: bool = True) -> None:
        """SEND."""
        with self._called(pair, now) as connection:
            if 0 < self.config.max_memory < self._memory + len(text):
                raise TcpError(INSUFFICIENT)
            connection.send(text, now, push)

    def receive(self, pair: Pair, now: int, octets: int | None = None) -> bytes:
        """RECEIVE: what has arrived, up to `octets` octets."""
        connection = self._existing(pair)
        text = connection.receive(now, octets)
        self._collect(pair, connection, now)
        return text

    def close(self, pair: Pair, now: int) -> None:
        """CLOSE."""
        with self._called(pair, now) as connection:
            connection.close(now)

    def half_close(self, pair: Pair, now: int) -> None:
        """CLOSE of our direction only, whatever `half_duplex_close` says."""
        with self._called(pair, now) as connection:
            connection.half_close(now)

    def linger_expires(self, pair: Pair, now: int) -> None:
        """The user has waited long enough for CLOSE to be completed."""
        connection = self._existing(pair)
        connection.linger_expires(now)
        self._collect(pair, connection, now)

    def release(self, pair: Pair, now: int) -> None:
        """CLOSE of both directions: the user will not ask for this connection any more (3.6.1, MAY-1)."""
        with self._called(pair, now) as connection:
            connection.release(now)

    def abort(self, pair: Pair, now: int) -> None:
        """ABORT."""
        with self._called(pair, now) as connection:
            connection.abort(now)

    def find(self, pair: Pair) -> Connection | None:
        """The connection of a pair, to look at; one in TIME-WAIT is rebuilt for it."""
        return self.connections.get(pair) or self.time_wait.rebuild(pair)

    def ports(self, address: str) -> set[int]:
        """The local ports of all connections that have this local address, those in TIME-WAIT among them."""
        ports = {pair.local.port for pair in self.connections if pair.local.address == address}
        return ports | self.time_wait.ports(address)

    def state(self, pair: Pair) -> State:
        """The state of a pair's connection: CLOSED when there is none."""
        connection = self.find(pair)
        return State.CLOSED if connection is None else connection.state

    def statistics(self) -> dict[str, int]:
        """How often each path was taken since the start, by name; names that never occurred are left out."""
        return dict(sorted(self._counters.items()))

    def _listener(self, port: int) -> Listener:
        if port not in self.listening:
            raise TcpError(Do.REFUSE_NO_CONNECTION.value)
        return self.listening[port]

    def _existing(self, pair: Pair) -> Connection:
        connection = self.find(pair)
        if connection is None:
            raise TcpError(Do.REFUSE_NO_CONNECTION.value)
        return connection

    @contextmanager
    def _called(self, pair: Pair, now: int) -> Iterator[Connection]:
        """A call that the TCP may refuse: that, too, is a row of the machine, and it is told now."""
        connection = self._existing(pair)
        try:
            yield connection
        finally:
            self._collect(pair, connection, now)

    # What the driver brings in and takes out

    def segment_arrives(self, datagram: Datagram, now: int) -> None:
        """3.10.7: hand the segment to its connection, to a listener, or answer for a connection that is CLOSED."""
        segment = datagram.segment
        self._counters["segments received"] += 1
        ctl = segment.ctl
        if ctl > _CONTROL_BITS or ctl & _SYN_FIN == _SYN_FIN:
            kind = "reserved bits" if ctl > _CONTROL_BITS else "SYN,FIN"
            if self.invalid_segment_arrives(datagram, kind, now):
                return
        pair = Pair(datagram.dst, datagram.src)
        connection = self.connections.get(pair)
        if connection is None:
            connection = self._newcomer(pair, segment, now)
        elif self._half_open and self._must_wait(pair, connection, segment, now):
            return
        if connection is not None:
            connection.segment_arrives(segment, now)
            self._collect(pair, connection, now)

    def invalid_segment_arrives(self, datagram: Datagram, kind: str, now: int) -> bool:
        """A segment whose header is wrong (its checksum is right): counted, and a reset if `invalid_header` says so.

        True when the segment has no further effect. The segment's numbers are not examined: this is what RFC 3360
        complains of, and what makes it a weapon (RFC 4953).
        """
        self._counters[f"invalid header: {kind}"] += 1
        if self.config.invalid_header == "drop":
            return False
        pair = Pair(datagram.dst, datagram.src)
        connection = self.connections.get(pair)
        if connection is not None and not datagram.segment.ctl & RST:
            connection.invalid_header_arrives(now)
            self._collect(pair, connection, now)
        return connection is not None

    def _newcomer(self, pair: Pair, segment: Segment, now: int) -> Connection | None:
        """The connection for a segment of a pair that has none, or only one in TIME-WAIT; None if that was all."""
        if pair.local == pair.remote or not (individual(pair.local.address) and individual(pair.remote.address)):
            self._counters["dropped: impossible address"] += 1  # MUST-57, MUST-63
            return None
        listener = self.listening.get(pair.local.port)
        opens = listener is not None and segment.ctl & (SYN | ACK | RST) == SYN
        old = self.time_wait.rebuild(pair)
        if old is not None and not (opens and self.config.time_wait_reopen and may_reopen(old, segment)):
            return old
        if listener is None:
            self._refuse(pair, segment, "no such connection")
            return None
        if opens and (lack := self._lack(listener)):
            self._counters[f"dropped: {lack}"] += 1
            if self.config.overload == "reset":
                self._refuse(pair, segment, "no resources")
            return None
        connection = self._new_connection(pair, listener.config, now)
        if old is not None:
            connection.iss = next_iss(old, connection.iss)
            self._reopen(pair, now)
        if self.lost.pop(pair, None) is not None:
            listener.queue.pop(pair, None)  # one connection of a pair is all that can wait there
        connection.open(now, passive=True)
        connection.news()  # the passive OPEN was told when the user listened
        self._half_open[pair] = Child(listener, now)
        return connection

    def _new_connection(self, pair: Pair, config: TcpConfig, now: int) -> Connection:
        """3.4.1, RFC 6528: numbers that grow from one connection of a pair to the next, and that no stranger knows.

        3.7.1: the MSS is what the way permits, and no more than the setting.
        """
        iss = self.iss(pair)
        if iss is None:
            iss = initial_sequence_number(self.secret, *pair, now)
        mss = largest_text(self.mtu(pair.remote.address) or LONGEST_PACKET, pair.remote.address)
        if mss < config.mss:
            config = _with_mss(config, mss)
        offset = timestamp_offset(self.secret, *pair) if config.timestamps else 0
        mss = default_mss(pair.remote.address)
        return self.connection_type(config, iss, offset, self._counters, mss, self.table)

    def _rebuilt(self, config: TcpConfig) -> Connection:
        """For TIME-WAIT, where all numbers are known already."""
        return self.connection_type(config, 0, counters=self._counters, table=self.table)

    def _reopen(self, pair: Pair, now: int) -> None:
        """3.6.1, MAY-2. What was in TIME-WAIT is kept aside: the SYN may be an old duplicate after all."""
        old = self._existing(pair)
        self._reopened[pair] = self._existing(pair)
        old.reopened(now)
        self._collect(pair, old, now)

    def _refuse(self, pair: Pair, segment: Segment, why: str) -> None:
        """3.10.7.1: answer for a connection that does not exist."""
        reset = answer_closed(segment)
        if reset is None:
            self._counters["dropped: RST, no such connection"] += 1
        else:
            self._counters[f"resets sent: {why}"] += 1
            self._counters["segments sent"] += 1
            self._datagrams.append(Datagram(pair.local, pair.remote, reset))

    def _lack(self, listener: Listener) -> str | None:
        """What is missing for one more connection."""
        config = self.config
        limits = (
            ("too many connections", config.max_connections, len(self.connections)),
            ("too many half-open connections", config.max_half_open, len(self._half_open)),
            ("out of memory", config.max_memory, self._memory),
        )
        if listener.full:
            return "accept queue is full"
        return next((what for what, limit, used in limits if 0 < limit <= used), None)

    def _must_wait(self, pair: Pair, connection: Connection, segment: Segment, now: int) -> bool:
        """Is the ACK that would complete a handshake dropped for now?"""
        child = self._half_open.get(pair)
        why = child and child.puts_off(connection, segment, now)
        if why is not None:
            self._counters[f"dropped: {why}"] += 1
        return why is not None

    def icmp_arrives(self, pair: Pair, seq: int, type: int, code: int, now: int, mtu: int = 0) -> None:
        """An ICMP error quotes a segment of ours. Heeded only if `seq` is in flight (RFC 5927, 4.1).

        `mtu` is what the next link carries, as "fragmentation needed" tells; 0 when it does not (RFC 1191, 4).
        """
        connection = self.connections.get(pair)
        if connection is None or type == _SOURCE_QUENCH:
            return
        tcb = connection.tcb
        if 0 <= seq_diff(seq, tcb.snd_una) < seq_diff(tcb.snd_nxt, tcb.snd_una):
            too_large = (type, code) == (_UNREACHABLE, _FRAGMENTATION_NEEDED)
            if too_large and mtu and connection.config.path_mtu_discovery:
                connection.path_narrows(largest_text(mtu, pair.local.address), now)
                self._collect(pair, connection, now)
                return
            hard, rule = type == _UNREACHABLE and code in _HARD_CODES, connection.config.unreachable
            ends = (hard or (rule == "opening" and not too_large)) and (rule == "hard" or connection.opening)
            self._take_error(pair, connection, ends, icmp_error(type, code), now)

    def no_route(self, pair: Pair, now: int) -> None:
        """The driver could not send a segment: no route leads there (any more). To one that is open, a soft error."""
        connection = self.connections.get(pair)
        if connection is not None:
            self._take_error(pair, connection, connection.opening, NO_ROUTE, now)

    def _take_error(self, pair: Pair, connection: Connection, ends: bool, what: str, now: int) -> None:
        connection.icmp_arrives(ends, what, now)
        self._collect(pair, connection, now)

    def next_timeout(self) -> int | None:
        """The earliest deadline of all connections, in microseconds."""
        timers, due = self._timers, None
        while timers:
            at, _, pair = timers[0]
            if self._is_current(timers[0]):
                connection = self.connections[pair]
                due = connection.scheduled = connection.next_timeout()
                if due == at:
                    break
                if due is not None:  # it was put off since
                    heapq.heapreplace(timers, (due, next(self._ordinal), pair))
                    continue
            heapq.heappop(timers)
        return _earlier(due if timers else None, self.time_wait.next_due())

    def timeout(self, now: int) -> None:
        """Handle every timer that has expired by `now`."""
        while (at := self.next_timeout()) is not None and at <= now:
            if at == self.time_wait.next_due():
                pair = self.time_wait.oldest()
                connection = self._existing(pair)
            else:
                pair = heapq.heappop(self._timers)[2]
                connection = self.connections[pair]
                connection.scheduled = None
            connection.timeout(now)
            self._collect(pair, connection, now)

    def datagrams_to_send(self) -> list[Datagram]:
        """Datagrams that were formed since the last call."""
        datagrams, self._datagrams = self._datagrams, []
        return datagrams

    def news(self) -> list[News]:
        """What happened in all connections since the last call, in order."""
        news, self._news = self._news, []
        return news

    def _collect(self, pair: Pair, connection: Connection, now: int) -> None:
        """Take what a connection has to say. One that is CLOSED, or back in LISTEN, is no longer kept."""
        self._take_news(pair, connection)
        if segments := connection.segments_to_send():
            self._take_segments(pair, connection, segments)
        state = connection.state
        if not state.has_peer:
            self._forget(pair, connection)
        elif state.lingers and self.time_wait.take(pair, connection):
            self._let_go(pair, connection)
            if 0 < self.config.time_wait_limit < len(self.time_wait):
                self._take_back(self.time_wait.oldest(), now)
        else:
            self.connections[pair] = connection
            self._schedule(pair, connection)
            if connection.orphaned or self.config.max_memory:
                self._limit(pair, connection, now)
        if self._half_open and not state.handshaking:
            self._handshake_over(pair, state, now)

    def _schedule(self, pair: Pair, connection: Connection) -> None:
        """Note a deadline that is earlier than the one in the heap. A later one is noted when that one is reached."""
        at, noted = connection.next_timeout(), connection.scheduled
        if at is not None and (noted is None or at < noted):
            connection.scheduled = at
            heapq.heappush(self._timers, (at, next(self._ordinal), pair))
            if len(self._timers) > 2 * len(self.connections) + _SPARE_TIMERS:
                self._timers = [timer for timer in self._timers if self._is_current(timer)]
                heapq.heapify(self._timers)

    def _is_current(self, timer: tuple[int, int, Pair]) -> bool:
        connection = self.connections.get(timer[2])
        return connection is not None and connection.scheduled == timer[0]

    def _take_news(self, pair: Pair, connection: Connection) -> None:
        for what in connection.news():
            self._news.append(News(pair, what))
            if isinstance(what, Row) and what.cause is not None:
                self._counters[f"ended: {what.cause}"] += 1

    def _take_segments(self, pair: Pair, connection: Connection, segments: list[Segment]) -> None:
        self._counters["segments sent"] += len(segments)
        for segment in segments:
            self._datagrams.append(Datagram(pair.local, pair.remote, segment))
            if segment.ctl & RST:
                self._counters[f"resets sent: {connection.cause or 'not acceptable ACK'}"] += 1

    def _handshake_over(self, pair: Pair, state: State, now: int) -> None:
        """A child of a listener is complete, and waits to be accepted; or it has failed."""
        child = self._half_open.pop(pair, None)
        if child is None:
            return
        old = self._reopened.pop(pair, None)
        if state.has_peer:
            if child.listener.backlog is not None:
                child.listener.queue[pair] = None
        elif old is not None:
            old.linger_again(now)
            self.time_wait.take(pair, old)

    def _forget(self, pair: Pair, connection: Connection) -> None:
        self.time_wait.discard(pair)
        self._let_go(pair, connection)

    def _let_go(self, pair: Pair, connection: Connection) -> None:
        self.connections.pop(pair, None)
        self._orphans.discard(pair)
        self._memory -= connection.held
        connection.held = 0
        listener = self.listening.get(pair.local.port)
        if listener is not None and pair in listener.queue:
            if connection.cause is Cause.RESET_BY_PEER and connection.config.reset_in_queue == "tell":
                self.lost[pair] = connection
            else:
                del listener.queue[pair]

    # Limits

    def _limit(self, pair: Pair, connection: Connection, now: int) -> None:
        """Keep to max_orphans and max_memory, at the expense of connections if need be."""
        config = self.config
        if connection.orphaned and pair not in self._orphans:
            self._orphans.add(pair)
            if 0 < config.max_orphans < len(self._orphans):
                self._take_back(pair, now)
                return
        if config.max_memory:
            held = connection.octets
            self._memory += held - connection.held
            connection.held = held
            while self._memory > config.max_memory:
                self._take_back(self._greediest(), now)

    def limit(self, now: int, *, backlog: int | None = None, **changes: Any) -> None:
        """Other limits from now on, and another `backlog` for all listeners.

        Connections that there are may stay, unless they hold more memory than there is, or are too many orphans: then
        those that came last are reset.
        """
        self.config = config = replace(self.config, **changes)
        if backlog is not None:
            for listener in self.listening.values():
                listener.backlog = backlog
        if 0 < config.max_orphans < len(self._orphans):
            orphans = [pair for pair in self.connections if pair in self._orphans]
            for pair in orphans[config.max_orphans :]:
                self._take_back(pair, now)
        if config.max_memory:
            self._weigh_all()
            while self._memory > config.max_memory:
                self._take_back(self._greediest(), now)

    def _weigh_all(self) -> None:
        """While there was no limit, nobody counted."""
        for connection in self.connections.values():
            connection.held = connection.octets
        self._memory = sum(connection.held for connection in self.connections.values())

    def _greediest(self) -> Pair:
        """Who holds most text; one whose user is gone before all others."""
        held = {pair: connection.held for pair, connection in self.connections.items()}
        return max(held, key=lambda pair: (held[pair] > 0 and pair in self._orphans, held[pair]))

    def _take_back(self, pair: Pair, now: int) -> None:
        connection = self._existing(pair)
        connection.resources_needed(now)
        self._collect(pair, connection, now)


@lru_cache(maxsize=64)
def _with_mss(config: TcpConfig, mss: int) -> TcpConfig:
    """The same settings for a shorter way; all its connections share them."""
    return replace(config, mss=mss)


def _earlier(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)
