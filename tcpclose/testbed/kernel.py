"""The same timeline on the Linux kernel's TCP: `stack = "linux"`.

CLOSE of the RFC gives up one direction, so it is `shutdown(SHUT_WR)`; the descriptor is closed when both directions
are. With `half_duplex_close`, or to linger, both are given up at once, by `close`. ABORT is `close` with SO_LINGER on
and zero. What the kernel then does is seen from outside (`watch.py`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import termios
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tcpclose.host import Ledger, Names, call_event
from tcpclose.protocol.config import SECOND
from tcpclose.protocol.connection import Notice
from tcpclose.protocol.datagram import Endpoint
from tcpclose.protocol.fsm import Event as Happening
from tcpclose.protocol.stack import Pair
from tcpclose.scenario import Host, Scenario, Step, payload
from tcpclose.scenario.linux import HONOURED, SYSCTL
from tcpclose.testbed.watch import Watch
from tcpclose.trace.events import Event, Told
from tcpclose.wire.ip import family

_LONGEST_PACKET = 65535
_SYSCTLS = Path("/proc/sys/net/ipv4")

#: What the kernel's errors mean. Any other error is told by its name.
_ERRORS = {
    errno.ECONNREFUSED: Happening.RST,
    errno.ECONNRESET: Happening.RST,
    errno.EPIPE: Happening.RST,
    errno.EHOSTUNREACH: Happening.UNREACHABLE,
    errno.ENETUNREACH: Happening.UNREACHABLE,
}


class KernelError(RuntimeError):
    """This kernel cannot be set as the scenario says; the message is for people."""


def _set_sysctls(settings: Host) -> None:
    """Write the sysctls of this namespace, and see that they are what was written."""
    wanted = {HONOURED[key].name: HONOURED[key].number(value) for key, value in settings.told.items()}
    values: dict[str, int | str] = {
        name.removeprefix(SYSCTL): number for name, number in wanted.items() if name.startswith(SYSCTL)
    }
    for name, value in {**values, **settings.sysctl}.items():
        path = _SYSCTLS / name
        try:
            path.write_text(str(value), "utf-8")
            found = path.read_text("utf-8").split()
        except FileNotFoundError:
            raise KernelError(f"this kernel, or a namespace of it, has no {SYSCTL}{name}") from None
        except OSError as error:
            raise KernelError(f"{SYSCTL}{name} = {value}: {error.strerror}") from None
        if found != str(value).split():
            raise KernelError(f"{SYSCTL}{name} became {' '.join(found)} instead of {value}")


def _options(settings: Host) -> dict[str, tuple[int, int, int, int]]:
    """What every socket is told: level, option, number, and the number that the kernel then answers with."""
    told = {key: HONOURED[key] for key in settings.told}
    return {
        means.name: (
            socket.SOL_SOCKET if means.name.startswith("SO_") else socket.IPPROTO_TCP,
            int(getattr(socket, means.name)),
            means.number(settings.told[key]),
            means.number(settings.told[key]) * means.factor,
        )
        for key, means in told.items()
        if means.name.startswith(("SO_", "TCP_"))
    }


class _End:
    """One end of a connection: the socket and what its user still wants of it."""

    def __init__(self, name: str, pair: Pair, sock: socket.socket) -> None:
        self.name, self.pair, self.sock = name, pair, sock
        self.ledger = Ledger()
        self.connected = False
        self.waiting = bytearray()  # text that the kernel has not taken yet
        self.unsent_notice = False  # text was sent, and SENT is not told yet
        self.closing = False  # the user has called CLOSE,
        self.releasing = False  # of both directions,
        self.linger = 0  # and waits so long for the peer (us)
        self.shut = False  # and the kernel has been told
        self.eof = False
        self.error = 0  # why the kernel has given the connection up

    @property
    def open(self) -> bool:
        return self.sock.fileno() >= 0


class KernelStack:
    """The driver of an agent (`agent.Driver`) whose TCP is the kernel's. Raises `KernelError`."""

    def __init__(self, scenario: Scenario, name: str, addresses: Mapping[str, str]) -> None:
        self._name = name
        self._names = Names(scenario, name, addresses)
        settings = scenario.settings(name)
        self._reads_at_once = settings.receive == "auto"
        self._tcp = settings.tcp
        self._told = settings.told
        self._address = addresses[name]
        self._family = family(self._address)
        _set_sysctls(settings)
        self._options = _options(settings)
        self._new_socket().close()  # an option that this kernel does not have stops the run before its start
        self._ends: dict[str, _End] = {}
        self._listeners: list[socket.socket] = []
        self._events: list[Event] = []
        # What its packets leave open is asked of the kernel: a sysctl may have been set by either table.
        ignores = (_SYSCTLS / "tcp_rfc1337").read_text("utf-8").strip() != "0"
        config = replace(settings.tcp, time_wait_rst="ignore" if ignores else "close")
        self._watch = Watch(name, self._names, self._address, config, self._why)

    # Calls

    def perform(self, step: Step, now: int) -> None:
        """The user makes the call of a step; a refusal by the kernel is part of the trace."""
        octets, error = None, None
        self._watch.clock(now)
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
                self._close(self._ends[step.connection], now, step.linger or 0)
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
        self._keep(_End(name, pair, sock))

    def _keep(self, end: _End) -> None:
        """One that is opened again goes on with the text of the incarnation before."""
        if end.name in self._ends:
            end.ledger = self._ends[end.name].ledger
        self._ends[end.name] = end

    def _new_socket(self) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for name, (level, option, number, answer) in self._options.items():
            try:
                sock.setsockopt(level, option, number)
                found = sock.getsockopt(level, option)
            except OSError as error:
                raise KernelError(f"{name} = {number}: {error.strerror}") from None
            if found != answer:
                raise KernelError(f"{name} became {found} instead of {answer}")
        return sock

    def _close(self, end: _End, now: int, linger: int) -> None:
        if not end.connected:  # 3.10.4: there is nothing to say goodbye to
            self._watch.called(end.pair, Happening.CLOSE, now)
            end.sock.close()
            return
        end.closing, end.linger = True, linger
        end.releasing = bool(linger or self._tcp.half_duplex_close)
        self._push(end, now)

    def _abort(self, end: _End, now: int) -> None:
        self._watch.called(end.pair, Happening.ABORT, now)
        end.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.sock.close()

    # What the sockets say

    def readers(self) -> Sequence[socket.socket]:
        """The wire, listeners, and ends that may have text or an end of it."""
        ends = [end.sock for end in self._ends.values() if end.open and not end.eof and self._reads_at_once]
        return [self._watch.wire, *self._listeners, *ends]

    def writers(self) -> Sequence[socket.socket]:
        """Ends that are connecting, or have text for the kernel."""
        return [end.sock for end in self._ends.values() if end.open and (end.waiting or not end.connected)]

    def ready(self, sockets: Iterable[socket.socket], clock: Callable[[], int]) -> None:
        """Serve sockets that `select` found ready."""
        ends = {end.sock: end for end in self._ends.values()}
        for sock in dict.fromkeys(sockets):
            now = clock()
            if sock in self._listeners:
                self._accept(sock, now)
            elif sock in ends and ends[sock].open:
                self._serve(ends[sock], now)
        self._look(clock())

    def _accept(self, listener: socket.socket, now: int) -> None:
        sock, (address, port, *_) = listener.accept()
        sock.setblocking(False)
        pair = Pair(Endpoint(self._address, sock.getsockname()[1]), Endpoint(address, port))
        end = _End(self._names.of(pair), pair, sock)
        self._keep(end)
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
        end.error = code
        if code not in (*_ERRORS, errno.ETIMEDOUT):
            self._tell(end, Notice.ERROR, now, errno.errorcode.get(code, str(code)))
        end.sock.close()

    def _why(self, pair: Pair) -> Happening | None:
        """By what event the kernel has ended a connection. A user who was not reading has not heard why: ask."""
        end = next((end for end in self._ends.values() if end.pair == pair), None)
        if end is None:
            return None
        if end.open and (code := end.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            end.error = code
            end.sock.close()
        if end.error != errno.ETIMEDOUT:
            return _ERRORS.get(end.error)
        # The kernel has one error for all of its patience.
        if self._told.get("keepalive") and not self._watch.outstanding(pair):
            return Happening.KEEPALIVE_TIMEOUT
        return Happening.USER_TIMEOUT if "user_timeout" in self._told else Happening.RETRANSMISSION_LIMIT

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
            if end.releasing:
                self._release(end, now)
            else:
                self._watch.called(end.pair, Happening.CLOSE, now)
                end.sock.shutdown(socket.SHUT_WR)
                self._close_when_done(end)

    def _release(self, end: _End, now: int) -> None:
        """Give up both directions. A kernel that lingers keeps the caller waiting, so somebody else calls."""
        unread = struct.unpack("i", fcntl.ioctl(end.sock, termios.FIONREAD, b"\0" * 4))[0]
        self._watch.called(end.pair, Happening.CLOSE_UNREAD if unread else Happening.CLOSE, now)
        end.sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", int(end.linger > 0), end.linger // SECOND)
        )
        end.sock.setblocking(True)
        threading.Thread(target=os.close, args=(end.sock.detach(),), daemon=True).start()

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
            end.sock.close()

    def _tell(self, end: _End, notice: Notice, now: int, detail: str = "") -> None:
        self._events.append(Told(t=now, host=self._name, connection=end.name, signal=notice.value, detail=detail))

    def _look(self, now: int) -> None:
        self._watch.look(now)
        for end in self._ends.values():
            self._look_at_queue(end, now)

    def _look_at_queue(self, end: _End, now: int) -> None:
        """SENT: the kernel's queue of text without acknowledgment is empty."""
        if end.unsent_notice and end.open and not end.waiting:
            queued = struct.unpack("i", fcntl.ioctl(end.sock, termios.TIOCOUTQ, b"\0" * 4))[0]
            if queued == 0:
                end.unsent_notice = False
                self._tell(end, Notice.SENT, now)

    # The rest of the driver

    def next_timeout(self) -> int | None:
        """When to look again."""
        return self._watch.next_look

    def timeout(self, now: int) -> None:
        """Look again."""
        self._look(now)

    def quiet(self) -> bool:
        """No end has anything to send or to wait for."""
        return self._watch.quiet

    def events(self) -> list[Event]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events + self._watch.events()

    def send(self, now: int) -> None:
        """The kernel has sent already: a fault that strikes at a state of this host comes after its segment."""

    def texts(self, now: int) -> list[Event]:
        """What the users have sent and received."""
        return [end.ledger.event(now, self._name, end.name) for end in self._ends.values()]
