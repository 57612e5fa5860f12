"""The same timeline on the Linux kernel's TCP: `stack = "linux"`.

CLOSE of the RFC gives up one direction, so it is `shutdown(SHUT_WR)`; the descriptor is closed when both directions
are. ABORT is `close` with SO_LINGER on and zero. Segments are read off the wire. After each of them the kernel's
sock_diag is asked for states, as `ss` does, so one that lasts no longer than a segment may be missed; none is inferred.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pyroute2 import DiagSocket

from tcpclose.host import Ledger, Names, call_event
from tcpclose.protocol.connection import Notice
from tcpclose.protocol.datagram import Endpoint
from tcpclose.protocol.fsm import Cause, State
from tcpclose.protocol.stack import Pair
from tcpclose.scenario import Scenario, Step, payload
from tcpclose.trace.events import Change, Dropped, End, Event, Received, Sent, Told, segment_fields
from tcpclose.wire import Malformed, decode_tcp

_ETH_P_ALL = 0x0003
_TCP = 6
_LONGEST_PACKET = 65535
_SO_TIMESTAMPNS = 35
_POLL = 10_000  # us between looks at the kernel's states when nothing moves on the wire

#: net/tcp_states.h
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

#: What the kernel's errors mean. Any other error is told by its name.
_CAUSES = {
    errno.ECONNREFUSED: Cause.REFUSED,
    errno.ECONNRESET: Cause.RESET_BY_PEER,
    errno.EPIPE: Cause.RESET_BY_PEER,
    errno.ETIMEDOUT: Cause.USER_TIMEOUT,
    errno.EHOSTUNREACH: Cause.UNREACHABLE,
    errno.ENETUNREACH: Cause.UNREACHABLE,
}


def _age(stamp: bytes) -> int:
    """How long ago the kernel saw a packet (us): it has left before we read it, and may even be lost by now."""
    seconds, nanoseconds = struct.unpack("qq", stamp)
    age: int = time.time_ns() - seconds * 1_000_000_000 - nanoseconds
    return max(age // 1000, 0)


class _End:
    """One end of a connection: the socket and what its user still wants of it."""

    def __init__(self, name: str, pair: Pair, sock: socket.socket) -> None:
        self.name, self.pair, self.sock = name, pair, sock
        self.ledger = Ledger()
        self.connected = False
        self.waiting = bytearray()  # text that the kernel has not taken yet
        self.unsent_notice = False  # text was sent, and SENT is not told yet
        self.closing = False  # the user has called CLOSE
        self.shut = False  # and the kernel has been told
        self.eof = False
        self.state = State.CLOSED
        self.cause: Cause | None = None
        self.ended = False  # and the trace says so

    @property
    def open(self) -> bool:
        return self.sock.fileno() >= 0


class KernelStack:
    """The driver of an agent (`agent.Driver`) whose TCP is the kernel's."""

    def __init__(self, scenario: Scenario, name: str, addresses: Mapping[str, str]) -> None:
        self._name = name
        self._names = Names(scenario, name, addresses)
        self._reads_at_once = scenario.settings(name).receive == "auto"
        self._address = addresses[name]
        self._ends: dict[str, _End] = {}
        self._listeners: list[socket.socket] = []
        self._events: list[Event] = []
        self._look_at = 0
        self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
        self._wire.setblocking(False)
        self._wire.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._diag = DiagSocket()
        self._diag.bind()

    # Calls

    def perform(self, step: Step, now: int) -> None:
        """The user makes the call of a step; a refusal by the kernel is part of the trace."""
        octets, error = None, None
        try:
            octets = self._call(step, now)
        except OSError as refusal:
            error = errno.errorcode.get(refusal.errno or 0, str(refusal))
        except KeyError:
            error = "error: connection does not exist"
        self._events.append(call_event(step, now, octets, error))
        self._look(now)

    def _call(self, step: Step, now: int) -> int | None:
        match step.call:
            case "listen":
                self._listen(step.port)
            case "open":
                self._open(step.connection)
            case "send":
                end, text = self._ends[step.connection], payload(step)
                if end.closing or not end.open:
                    raise OSError(errno.EPIPE, "closing")
                end.waiting += text
                end.ledger.add("sent", text)
                self._push(end, now)
                return len(text)
            case "receive":
                return self._receive(self._ends[step.connection], now, step.bytes or _LONGEST_PACKET)
            case "close":
                self._close(self._ends[step.connection], now)
            case "abort":
                self._abort(self._ends[step.connection], now)
        return None

    def _listen(self, port: int) -> None:
        listener = self._new_socket()
        listener.bind((self._address, port))
        listener.listen()
        self._listeners.append(listener)

    def _open(self, name: str) -> None:
        pair = self._names.pairs[name]
        sock = self._new_socket()
        sock.bind((pair.local.address, pair.local.port))
        result = sock.connect_ex((pair.remote.address, pair.remote.port))
        if result not in (0, errno.EINPROGRESS):
            raise OSError(result, os.strerror(result))
        self._ends[name] = _End(name, pair, sock)

    def _new_socket(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return sock

    def _close(self, end: _End, now: int) -> None:
        if not end.connected:  # 3.10.4: there is nothing to say goodbye to
            end.cause = Cause.NOT_OPENED
            end.sock.close()
            return
        end.closing = True
        self._push(end, now)

    def _abort(self, end: _End, now: int) -> None:
        end.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.sock.close()
        end.cause = Cause.ABORTED

    # What the sockets say

    def readers(self) -> Sequence[socket.socket]:
        """The wire, listeners, and ends that may have text or an end of it."""
        ends = [end.sock for end in self._ends.values() if end.open and not end.eof and self._reads_at_once]
        return [self._wire, *self._listeners, *ends]

    def writers(self) -> Sequence[socket.socket]:
        """Ends that are connecting, or have text for the kernel."""
        return [end.sock for end in self._ends.values() if end.open and (end.waiting or not end.connected)]

    def ready(self, sockets: Iterable[socket.socket], clock: Callable[[], int]) -> None:
        """Serve sockets that `select` found ready."""
        ends = {end.sock: end for end in self._ends.values()}
        for sock in dict.fromkeys(sockets):
            now = clock()
            if sock is self._wire:
                self._hear(clock)
            elif sock in self._listeners:
                self._accept(sock, now)
            elif sock in ends and ends[sock].open:
                self._serve(ends[sock], now)
        self._look(clock())

    def _accept(self, listener: socket.socket, now: int) -> None:
        sock, (address, port) = listener.accept()
        sock.setblocking(False)
        pair = Pair(Endpoint(self._address, sock.getsockname()[1]), Endpoint(address, port))
        end = _End(self._names.of(pair), pair, sock)
        end.state = State.LISTEN
        self._ends[end.name] = end
        self._connected(end, now)

    def _serve(self, end: _End, now: int) -> None:
        try:
            if not end.connected:
                code = end.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code))
                self._connected(end, now)
            self._push(end, now)
            if self._reads_at_once and end.open and not end.eof:
                self._receive(end, now, _LONGEST_PACKET)
        except BlockingIOError:
            return
        except OSError as error:
            self._failed(end, error.errno or 0, now)

    def _failed(self, end: _End, code: int, now: int) -> None:
        """The kernel has given the connection up, and says why."""
        end.cause = _CAUSES.get(code)
        if end.cause is None:
            self._tell(end, Notice.ERROR, now, errno.errorcode.get(code, str(code)))
        end.sock.close()

    def _connected(self, end: _End, now: int) -> None:
        end.connected = True
        self._tell(end, Notice.CONNECTED, now)

    def _push(self, end: _End, now: int) -> None:
        """Give the kernel what it takes; behind the last octet of text, the FIN."""
        if not end.connected:
            return
        while end.waiting:
            try:
                del end.waiting[: end.sock.send(end.waiting)]
            except BlockingIOError:
                return
            end.unsent_notice = True
        if end.closing and not end.shut:
            end.shut = True
            end.sock.shutdown(socket.SHUT_WR)
            self._close_when_done(end)

    def _receive(self, end: _End, now: int, octets: int) -> int:
        text = end.sock.recv(octets)
        end.ledger.add("received", text)
        if text:
            self._tell(end, Notice.TEXT, now, str(len(text)))
        elif not end.eof:
            end.eof = True
            self._tell(end, Notice.EOF, now)
            self._close_when_done(end)
        return len(text)

    def _close_when_done(self, end: _End) -> None:
        if end.eof and end.shut:
            end.cause = Cause.GRACEFUL
            end.sock.close()

    def _tell(self, end: _End, notice: Notice, now: int, detail: str = "") -> None:
        self._events.append(Told(t=now, host=self._name, connection=end.name, signal=notice.value, detail=detail))

    # What the wire and the kernel say

    def _hear(self, clock: Callable[[], int]) -> None:
        while True:
            try:
                octets, stamps, _, source = self._wire.recvmsg(_LONGEST_PACKET, socket.CMSG_SPACE(16))
            except BlockingIOError:
                return
            if source[0] != "lo" and octets[:1] == b"\x45" and octets[9] == _TCP:
                age = _age(stamps[0][2]) if stamps else 0
                self._note(octets, source[2] == socket.PACKET_OUTGOING, clock() - age)

    def _note(self, octets: bytes, outgoing: bool, now: int) -> None:
        try:
            packet = decode_tcp(octets)
        except Malformed as error:
            self._events.append(Dropped(t=now, host=self._name, reason=error.reason))
            return
        datagram = packet.datagram
        pair = Pair(datagram.src, datagram.dst) if outgoing else Pair(datagram.dst, datagram.src)
        if pair.local.address == self._address:
            fields: dict[str, Any] = segment_fields(datagram, self._names.of(pair), packet.ident)
            self._events.append((Sent if outgoing else Received)(t=now, host=self._name, **fields))

    def _look(self, now: int) -> None:
        """Compare the kernel's states with those last seen."""
        self._look_at = now + _POLL
        states = self._kernel_states()
        for end in self._ends.values():
            self._look_at_queue(end, now)
            state = states.get(end.pair, State.CLOSED)
            if state is not end.state:
                self._events.append(self._change(end, state, now))
                end.state = state
            elif end.open:
                continue  # nothing has changed, or the handshake has not begun
            if state is State.CLOSED and not end.ended:
                self._ended(end, now)

    def _change(self, end: _End, state: State, now: int) -> Change:
        names = {"old": end.state.value, "new": state.value, "event": "sock_diag"}
        return Change(t=now, host=self._name, connection=end.name, **names)

    def _ended(self, end: _End, now: int) -> None:
        """The kernel has forgotten the connection. A user who was not reading has not heard why: ask."""
        end.ended = True
        if end.cause is None and end.open:
            self._failed(end, end.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), now)
        if end.cause is not None:
            self._events.append(End(t=now, host=self._name, connection=end.name, cause=end.cause.value))

    def _look_at_queue(self, end: _End, now: int) -> None:
        """SENT: the kernel's queue of text without acknowledgment is empty."""
        if end.unsent_notice and end.open and not end.waiting:
            queued = struct.unpack("i", fcntl.ioctl(end.sock, termios.TIOCOUTQ, b"\0" * 4))[0]
            if queued == 0:
                end.unsent_notice = False
                self._tell(end, Notice.SENT, now)

    def _kernel_states(self) -> dict[Pair, State]:
        states = {}
        for seen in self._diag.get_sock_stats(family=socket.AF_INET):
            local = Endpoint(seen["idiag_src"], seen["idiag_sport"])
            remote = Endpoint(seen["idiag_dst"], seen["idiag_dport"])
            if seen["idiag_state"] in _STATES:
                states[Pair(local, remote)] = _STATES[seen["idiag_state"]]
        return states

    # The rest of the driver

    def next_timeout(self) -> int | None:
        """When to look again: as long as an end is alive, its state may change without a word on the wire."""
        alive = any(end.state is not State.CLOSED or end.open for end in self._ends.values())
        return self._look_at if alive else None

    def timeout(self, now: int) -> None:
        """Look again."""
        self._look(now)

    def quiet(self) -> bool:
        """No end has anything to send or to wait for; the kernel's TIME-WAIT of a minute is not waited for."""
        return all(end.state in (State.CLOSED, State.TIME_WAIT) for end in self._ends.values())

    def events(self) -> list[Event]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events

    def send(self, now: int) -> None:
        """The kernel has sent already: a fault that strikes at a state of this host comes after its segment."""

    def texts(self, now: int) -> list[Event]:
        """What the users have sent and received."""
        return [end.ledger.event(now, self._name, end.name) for end in self._ends.values()]
