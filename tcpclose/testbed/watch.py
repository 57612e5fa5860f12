"""What the kernel's TCP does, as seen from outside: segments off the wire, states inferred from them, `sock_diag`.

The packets of each connection are run over the machine's own rows (`trace/infer.py`), so that no state is too short to
be seen, and the kernel is asked for its states, as `ss` does. Each change says where it is known from:

    packets               it follows from what was sent and received
    call                  the user's call led to it, before anything was on the wire
    packets, sock_diag    and the kernel was seen in that state
    sock_diag             packets do not show it: the kernel was asked (the end of TIME-WAIT, a timeout in silence)

Where the kernel goes on saying something else than its packets do, the event of the change is "disagreement".
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

from pyroute2 import DiagSocket

from tcpclose.host import Names
from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.datagram import Endpoint
from tcpclose.protocol.fsm import TABLE, Event, Row, State
from tcpclose.protocol.stack import Pair
from tcpclose.testbed.linux import ETH_P_ALL
from tcpclose.trace.events import DISAGREEMENT, Change, Dropped, End, Received, Sent, segment_fields
from tcpclose.trace.events import Event as TraceEvent
from tcpclose.trace.infer import Observer, Step
from tcpclose.wire import Malformed, decode_tcp
from tcpclose.wire.ip import TCP, family, peek

_LONGEST_PACKET = 65535
_SO_TIMESTAMPNS = 35
_POLL = 10_000  # us between looks at the kernel's states when nothing moves on the wire

#: net/tcp_states.h; a listener's state (10) belongs to no connection.
_STATES = {
    1: State.ESTABLISHED,
    2: State.SYN_SENT,
    3: State.SYN_RECEIVED,
    4: State.FIN_WAIT_1,
    5: State.FIN_WAIT_2,
    6: State.TIME_WAIT,
    7: State.CLOSED,
    8: State.CLOSE_WAIT,
    9: State.LAST_ACK,
    11: State.CLOSING,
    12: State.SYN_RECEIVED,
}

#: What no packet shows, at least not yet: a FIN behind text that cannot leave, an end when nobody is there to be told.
_IN_SILENCE = (
    Event.FIN_SENT,
    Event.TIME_WAIT_TIMEOUT,
    Event.FIN_WAIT_2_TIMEOUT,
    Event.RETRANSMISSION_LIMIT,
    Event.CLOSE,
)


class _Connection:
    """One end of a connection, as it is known from outside."""

    def __init__(self, name: str, config: TcpConfig) -> None:
        self.name = name
        self.observer = Observer(config)
        self.fresh: list[tuple[Step, str]] = []  # steps that are not told yet, and where they are known from
        self.doubt: State | None = None  # what the kernel said at the last look, and no packet did

    @property
    def state(self) -> State:
        """As the kernel would say: a child that fell back to LISTEN does not exist for it."""
        state = self.observer.state
        return state if state.has_peer else State.CLOSED

    def collect(self, source: str) -> int:
        """Take the steps since the last time, and count them."""
        steps = self.observer.news()
        self.fresh += [(step, source) for step in steps]
        return len(steps)


class Watch:
    """The connections of one host whose TCP is the kernel's.

    `why` is asked when a connection has ended and packets do not say by what: the event that its user was told of.
    """

    def __init__(
        self, host: str, names: Names, address: str, config: TcpConfig, why: Callable[[Pair], Event | None]
    ) -> None:
        self._host, self._names, self._address, self._config, self._why = host, names, address, config, why
        self._connections: dict[Pair, _Connection] = {}
        self._events: list[TraceEvent] = []
        self._look_at = 0
        self._zero = 1 << 63  # of the run, on CLOCK_MONOTONIC
        self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.wire.setblocking(False)
        self.wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.wire.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._diag = DiagSocket()
        self._diag.bind()

    def events(self) -> list[TraceEvent]:
        """What was seen since the last call."""
        events, self._events = self._events, []
        return events

    def clock(self, now: int) -> None:
        """It is `now`, or a little later already: of all estimates of the run's zero, the earliest is the best."""
        self._zero = min(self._zero, time.monotonic_ns() // 1000 - now)

    def outstanding(self, pair: Pair) -> bool:
        """The end has sent something that is not acknowledged."""
        return pair in self._connections and self._connections[pair].observer.outstanding

    def called(self, pair: Pair, event: Event, now: int) -> None:
        """The user is about to make a call. What is on the wire by now came before it."""
        self._hear(now)
        connection = self._of(pair)
        connection.collect("packets")
        connection.observer.happened(event, now)
        connection.collect("call")

    @property
    def next_look(self) -> int | None:
        """When to look again: as long as an end is alive, its state may change without a word on the wire."""
        alive = any(connection.state.has_peer for connection in self._connections.values())
        return self._look_at if alive else None

    @property
    def quiet(self) -> bool:
        """No end has anything to send or to wait for; the kernel's TIME-WAIT of a minute is not waited for."""
        return all(c.state.lingers or not c.state.has_peer for c in self._connections.values())

    def look(self, now: int) -> None:
        """Take what was on the wire, and compare with the kernel's own states."""
        self._look_at = now + _POLL
        self._hear(now)
        said = [self._kernel_states()]
        self._collect()
        self._hear(now)  # all that has led to these states is on the wire by now
        if self._collect():
            said.append(self._kernel_states())
        for pair, connection in self._connections.items():
            self._compare(pair, connection, [states.get(pair, State.CLOSED) for states in said], now)

    def _collect(self) -> bool:
        """Whether packets have led to steps."""
        return sum(connection.collect("packets") for connection in self._connections.values()) > 0

    # The wire

    def _hear(self, now: int) -> None:
        """Read what was on the wire. Its stamps are of another clock, the one of the captures."""
        self.clock(now)
        zero = self._zero + (time.time_ns() - time.monotonic_ns()) // 1000
        while True:
            try:
                octets, stamps, _, source = self.wire.recvmsg(_LONGEST_PACKET, socket.CMSG_SPACE(16))
            except BlockingIOError:
                return
            if source[0] != "lo" and peek(octets)[0] == TCP:
                seconds, nanoseconds = struct.unpack("qq", stamps[0][2])
                at = seconds * 1_000_000 + nanoseconds // 1000 - zero
                self._note(octets, source[2] == socket.PACKET_OUTGOING, at)

    def _note(self, octets: bytes, outgoing: bool, now: int) -> None:
        try:
            packet = decode_tcp(octets)
        except Malformed as error:
            self._events.append(Dropped(t=now, host=self._host, reason=error.reason))
            return
        datagram = packet.datagram
        pair = Pair(datagram.src, datagram.dst) if outgoing else Pair(datagram.dst, datagram.src)
        if pair.local.address != self._address:
            return
        connection = self._of(pair)
        fields: dict[str, Any] = segment_fields(datagram, connection.name, packet.ident)
        self._events.append((Sent if outgoing else Received)(t=now, host=self._host, **fields))
        (connection.observer.sent if outgoing else connection.observer.received)(datagram.segment, now)

    def _of(self, pair: Pair) -> _Connection:
        if pair not in self._connections:
            self._connections[pair] = _Connection(self._names.of(pair), self._config)
        return self._connections[pair]

    # The kernel

    def _kernel_states(self) -> dict[Pair, State]:
        states = {}
        for seen in self._diag.get_sock_stats(family=family(self._address)):
            local = Endpoint(seen["idiag_src"], seen["idiag_sport"])
            remote = Endpoint(seen["idiag_dst"], seen["idiag_dport"])
            if seen["idiag_state"] in _STATES:
                states[Pair(local, remote)] = _STATES[seen["idiag_state"]]
        return states

    def _compare(self, pair: Pair, connection: _Connection, said: Sequence[State], now: int) -> None:
        """Tell what is new. A kernel that says something else twice, and nothing moves meanwhile, is right."""
        fresh, connection.fresh = connection.fresh, []
        kernel = said[-1]
        for step, source in fresh:
            seen = ", sock_diag" if step.new in said and step.new.has_peer else ""
            self._tell(connection, step, self._explained(pair, step, source), source + seen)
        if fresh or kernel is connection.state:
            connection.doubt = None
        elif connection.doubt is kernel:
            self._adopt(pair, connection, kernel, now)
        else:
            connection.doubt = kernel

    def _explained(self, pair: Pair, step: Step, source: str) -> Row | None:
        """A RST that was sent may have many reasons: the user may have been told which."""
        unclear = step.row is None or (step.row.event is Event.ABORT and source == "packets")
        event = self._why(pair) if unclear and step.new is State.CLOSED else None
        return step.row if event is None else TABLE[step.old].get(event, step.row)

    def _adopt(self, pair: Pair, connection: _Connection, kernel: State, now: int) -> None:
        """The kernel is in a state that no packet has shown. By a row that acts in silence, or against our rows."""
        connection.doubt = None
        old = connection.observer.state
        told = self._why(pair) if kernel is State.CLOSED else None
        event = told or next((e for e in _IN_SILENCE if e in TABLE[old] and TABLE[old][e].next is kernel), None)
        row = None if event is None else TABLE[old].get(event)
        connection.observer.correct(kernel, row, now)
        for step in connection.observer.news():
            self._tell(connection, step, row, "sock_diag")

    def _tell(self, connection: _Connection, step: Step, row: Row | None, source: str) -> None:
        unknown = DISAGREEMENT if source == "sock_diag" else "unknown"
        change = {"old": step.old.value, "new": step.new.value, "event": row.event.name if row else unknown}
        where: dict[str, Any] = {"t": step.t, "host": self._host, "connection": connection.name}
        self._events.append(Change(**where, **change, rfc=row.rfc if row else "", source=source))
        if row is not None and row.cause is not None:
            self._events.append(End(**where, cause=row.cause.value, rfc=row.rfc))
