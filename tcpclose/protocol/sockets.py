"""The POSIX view of a `Stack`: sockets, their options, and errors by their names.

No call blocks. One that would have to wait raises `SocketError("EAGAIN")` (connect: EINPROGRESS, then EALREADY) and can
be repeated; a driver that wants blocking calls repeats it after each event. Times are microseconds, as everywhere,
except in the values of options, which have the units of POSIX and Linux.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from tcpclose.protocol.addresses import default_mss
from tcpclose.protocol.config import MILLISECOND, SECOND, TcpConfig
from tcpclose.protocol.connection import Connection, Notice, Signal, TcpError, Timer
from tcpclose.protocol.datagram import Endpoint, Pair
from tcpclose.protocol.fsm import Cause, Do, Row, State
from tcpclose.protocol.interface import INSUFFICIENT, NO_PEER, NO_ROUTE, icmp_error
from tcpclose.protocol.segment import seq_diff
from tcpclose.protocol.stack import News, Stack

_FIRST_EPHEMERAL = 49152  # RFC 6335, 6

#: What a socket reports of the end of its connection. Other ends are its user's own doing.
_ERRNO = {
    Cause.REFUSED: "ECONNREFUSED",
    Cause.RESET_BY_PEER: "ECONNRESET",
    Cause.UNREAD_DATA: "ECONNRESET",
    Cause.USER_TIMEOUT: "ETIMEDOUT",
    Cause.RETRANSMISSION_LIMIT: "ETIMEDOUT",
    Cause.KEEPALIVE_FAILED: "ETIMEDOUT",
    Cause.UNREACHABLE: "EHOSTUNREACH",
    Cause.NO_RESOURCES: "ENOBUFS",
    Cause.INVALID_HEADER: "ECONNABORTED",
}
#: An ICMP error that came before explains these better than they do (RFC 5461).
_EXPLAINED = frozenset({"ETIMEDOUT", "EHOSTUNREACH"})
_ICMP_ERRNO = {
    icmp_error(3, code): errno
    for errno, codes in {
        "ENETUNREACH": (0, 6, 9, 11),
        "EHOSTUNREACH": (1, 10, 12, 13, 14, 15),
        "ENOPROTOOPT": (2,),
        "ECONNREFUSED": (3,),
        "EOPNOTSUPP": (5,),
        "EHOSTDOWN": (7,),
        "ENONET": (8,),
    }.items()
    for code in codes
} | {NO_ROUTE: "ENETUNREACH"}
_REFUSALS = {
    INSUFFICIENT: "ENOBUFS",
    Do.REFUSE_EXISTS.value: "EADDRNOTAVAIL",
    NO_PEER: "ENETUNREACH",
    Do.REFUSE_CLOSING.value: "EPIPE",  # a machine without half-close queues our FIN by itself
}

#: Option -> (field of `TcpConfig`, how many of its units make one of the option's).
_SETTINGS = {
    "SO_KEEPALIVE": ("keepalive", 1),
    "TCP_KEEPIDLE": ("keepalive_idle", SECOND),
    "TCP_KEEPINTVL": ("keepalive_interval", SECOND),
    "TCP_KEEPCNT": ("keepalive_count", 1),
    "TCP_USER_TIMEOUT": ("user_timeout", MILLISECOND),
    "TCP_MAXUNACKTIME": ("user_timeout", SECOND),
    "TCP_KEEPINIT": ("connect_timeout", SECOND),
    "TCP_LINGER2": ("fin_wait_2_timeout", SECOND),
    "TCP_SYNCNT": ("syn_r2", 1),
    "TCP_MAXSEG": ("mss", 1),
    "TCP_DEFER_ACCEPT": ("defer_accept", SECOND),
    "SO_RCVBUF": ("rcv_buffer", 1),
    "SO_SNDBUF": ("snd_buffer", 1),
}
_ZERO_FOR_THE_HOSTS = ("TCP_USER_TIMEOUT", "TCP_LINGER2")
BOUNDS = {field.name: (field.metadata["least"], field.metadata["most"]) for field in fields(TcpConfig)}


class SocketError(Exception):
    """A call failed, or would block; `errno` is the name of the reason."""

    def __init__(self, errno: str) -> None:
        super().__init__(errno)
        self.errno = errno


class Sockets:
    """All sockets of one host. Its driver takes news from here, not from the stack."""

    def __init__(self, stack: Stack, address: str) -> None:
        self.stack = stack
        self.address = address
        self.by_pair: dict[Pair, Socket] = {}
        self.bound: set[int] = set()
        self._news: list[News] = []

    def socket(self) -> Socket:
        """A new socket."""
        return Socket(self)

    def news(self) -> list[News]:
        """What happened in all connections since the last call, in order."""
        self.update()
        news, self._news = self._news, []
        return news

    def update(self) -> None:
        """Let each socket know what has become of its connection."""
        for item in self.stack.news():
            self._news.append(item)
            socket = self.by_pair.get(item.pair)
            if socket is not None:
                socket.hear(item.what)

    def ephemeral_port(self) -> int:
        """A port that nobody has bound, and no connection has."""
        taken = self.bound | self.stack.ports(self.address)
        port = next((port for port in range(_FIRST_EPHEMERAL, 1 << 16) if port not in taken), None)
        if port is None:
            raise SocketError("EADDRNOTAVAIL")
        return port


class Socket:
    """One socket. Made by `Sockets.socket` and by `accept`. Calls raise `SocketError`, EBADF once it is closed."""

    def __init__(self, sockets: Sockets, pair: Pair | None = None) -> None:
        self._sockets = sockets
        self._stack = sockets.stack
        self._pair = pair
        self._connection: Connection | None = None
        self._port: int | None = None if pair is None else pair.local.port
        self._owns_port = False
        self._listens = False
        self._connected = pair is not None
        self._error: str | None = None
        self._reported: str | None = None  # by ICMP, the latest soft error
        self._shut: set[str] = set()
        self._settings: dict[str, Any] = {}
        self._options: dict[str, Any] = {
            "SO_LINGER": (False, 0),
            "SO_REUSEADDR": False,
            "TCP_NODELAY": not self._stack.config.nagle,
            "TCP_CORK": False,
        }
        self._linger_until: int | None = None
        self._closed = False
        if pair is not None:
            self._connection = self._stack.find(pair)
            lost = self._stack.lost.pop(pair, None)
            if self._connection is None:
                self._connection, self._error = lost, "ECONNRESET"
            else:
                sockets.by_pair[pair] = self

    # Calls

    def bind(self, port: int) -> None:
        """Take a local port. It is in use while another socket has it or, unless SO_REUSEADDR, a connection."""
        self._look()
        if self._port is not None:
            raise SocketError("EINVAL")
        left = () if self._options["SO_REUSEADDR"] else self._stack.ports(self._sockets.address)
        if port in self._sockets.bound or port in left:
            raise SocketError("EADDRINUSE")
        self._take_port(port)

    def listen(self, backlog: int) -> None:
        """Passive OPEN."""
        self._look()
        if self._pair is not None:
            raise SocketError("EINVAL")
        if self._port is None:
            self._take_port(self._sockets.ephemeral_port())
        if not self._listens:
            self._stack.listen(self._local_port, max(backlog, 1), **self._settings)
            self._listens = True

    def accept(self, now: int) -> Socket:
        """The next complete connection, with the options of the listener. EAGAIN when there is none."""
        self._look()
        if not self._listens:
            raise SocketError("EINVAL")
        pair = self._stack.accept(self._local_port)
        if pair is None:
            raise SocketError("EAGAIN")
        socket = Socket(self._sockets, pair)
        socket._options = dict(self._options)
        socket._settings = {key: self._settings[key] for key in ("rcv_buffer", "snd_buffer") if key in self._settings}
        socket._apply_switches(now)
        return socket

    def connect(self, remote: Endpoint, now: int) -> None:
        """Active OPEN: EINPROGRESS, then EALREADY, and in the end the error, or EISCONN."""
        self._look()
        if self._listens:
            raise SocketError("EINVAL")
        self._raise_pending()
        if self._pair is not None:
            raise SocketError("EISCONN" if self._connected else "EALREADY" if self._live else "ECONNABORTED")
        if self._port is None:
            self._take_port(self._sockets.ephemeral_port())
        pair = Pair(Endpoint(self._sockets.address, self._local_port), remote)
        self._call(lambda: self._stack.open(pair, now, **self._settings))
        if pair not in self._stack.connections:
            raise SocketError("ENETUNREACH")
        self._pair, self._connection = pair, self._stack.connections[pair]
        self._sockets.by_pair[pair] = self
        self._apply_switches(now)
        raise SocketError("EINPROGRESS")

    def write(self, text: bytes, now: int, more: bool = False) -> int:
        """SEND as much as there is room for: how many octets were taken. EAGAIN for none, EPIPE after the end.

        `more` is MSG_MORE: without the PUSH flag.
        """
        self._look()
        if self._pair is not None and not self._live and self._stack.config.reset_told == "to_readers":
            raise SocketError("EPIPE")
        self._raise_pending()
        connection = self._wanted()
        if "WR" in self._shut or not self._live:
            raise SocketError("EPIPE")
        room = connection.config.snd_buffer - len(connection.sender.text)
        if not self._connected or (text and room <= 0):
            raise SocketError("EAGAIN")
        part = text[: max(room, 0)]
        if part:
            self._call(lambda: self._stack.send(self._the_pair, part, now, not more))
        return len(part)

    def read(self, octets: int, now: int) -> bytes:
        """RECEIVE: up to `octets` octets; empty at the end of all text. What came before an error comes first."""
        self._look()
        connection = self._wanted()
        text = self._stack.receive(self._the_pair, now, octets) if self._live else connection.receive(now, octets)
        if text or "RD" in self._shut:
            return text
        self._raise_pending()
        if connection.receiver.finished or not self._live:
            return b""
        raise SocketError("EAGAIN")

    def shutdown(self, how: str, now: int) -> None:
        """`how` is "RD", "WR" or "RDWR". RD tells the peer nothing; WR is the RFC's CLOSE. A listener closes by RD."""
        self._look()
        if self._listens and "RD" in how:
            self._stop_listening(now)
            return
        if not self._connected:
            raise SocketError("ENOTCONN")
        connection = self._wanted()
        if how in ("RD", "RDWR"):
            connection.stop_reading()
            self._shut.add("RD")
        if how in ("WR", "RDWR"):
            if self._live and "WR" not in self._shut:
                self._stack.half_close(self._the_pair, now)
            self._shut.add("WR")

    def close(self, now: int) -> None:
        """Give up the socket. EAGAIN while SO_LINGER makes it wait; with a time of zero the connection is aborted."""
        self._look()
        on, seconds = self._options["SO_LINGER"]
        if self._linger_until is not None:
            self._linger(now)
        elif self._listens:
            self._stop_listening(now)
        elif self._live and on and not seconds:
            self._stack.abort(self._the_pair, now)
        elif self._live:
            self._stack.release(self._the_pair, now)
            if on and self._connected:
                self._linger_until = now + seconds * SECOND
                self._linger(now)
        self._give_up()

    def peek(self, octets: int) -> bytes:
        """What `read` would return now, left where it is; empty when there is none."""
        self._look()
        return bytes(self._wanted().receiver.text[:octets])

    def queued(self, request: str) -> int:
        """ioctl: octets that can be read (SIOCINQ), are not acknowledged (SIOCOUTQ) or not sent (SIOCOUTQNSD)."""
        self._look()
        connection = self._connection
        if self._listens or connection is None:
            raise SocketError("EINVAL")
        sender, tcb = connection.sender, connection.tcb
        if request in ("SIOCINQ", "FIONREAD"):
            return len(connection.receiver.text)
        if request in ("SIOCOUTQ", "FIONWRITE"):
            return len(sender.text)
        return max(seq_diff(sender.end, tcb.snd_nxt), 0)

    def poll(self) -> frozenset[str]:
        """What Linux's poll says of the socket: names of events without `POLL`, ERR and HUP among them."""
        self._look()
        if self._listens:
            return frozenset({"IN"} if self._stack.listening[self._local_port].queue else ())
        events = {"ERR"} if self._error is not None else set()
        connection = self._connection
        if connection is None:
            return frozenset({"OUT", "HUP"})
        if not self._live:
            return frozenset(events | {"IN", "OUT", "RDHUP", "HUP"})
        if connection.receiver.finished or "RD" in self._shut:
            events |= {"IN", "RDHUP"} | ({"HUP"} if "WR" in self._shut else set())
        if self._connected and connection.receiver.text:
            events.add("IN")
        if self._connected and ("WR" in self._shut or len(connection.sender.text) < connection.config.snd_buffer):
            events.add("OUT")
        return frozenset(events)

    @property
    def pair(self) -> Pair | None:
        """Which connection this socket has, or has had."""
        return self._pair

    @property
    def linger_until(self) -> int | None:
        """When a close that waits is over in any case, in microseconds: the driver calls it again by then."""
        return self._linger_until

    # Options

    def _apply_switches(self, now: int) -> None:
        """TCP_NODELAY and TCP_CORK, to the connection if there is one."""
        if self._live:
            self._stack.set_nodelay(self._the_pair, bool(self._options["TCP_NODELAY"]), now)
            self._stack.set_cork(self._the_pair, bool(self._options["TCP_CORK"]), now)

    def set_option(self, name: str, value: Any, now: int) -> None:
        """setsockopt. SO_LINGER takes (on, seconds), the others what POSIX and Linux say. ENOPROTOOPT for no option."""
        self._look()
        if name in self._options:
            self._options[name] = value
            self._apply_switches(now)
            if name == "TCP_NODELAY" and value and self._live:
                self._stack.push(self._the_pair, now)
            return
        if name not in _SETTINGS:
            raise SocketError("ENOPROTOOPT")
        key, unit = _SETTINGS[name]
        setting = bool(value) if key == "keepalive" else value * unit
        if name in _ZERO_FOR_THE_HOSTS and value == 0:
            setting = getattr(self._stack.config, key)
        least, most = BOUNDS[key]
        if name in ("SO_RCVBUF", "SO_SNDBUF"):
            setting = max(least, min(setting, most or setting))
        elif (least is not None and setting < least) or (most is not None and setting > most):
            raise SocketError("EINVAL")
        changes = {key: setting}
        if name == "SO_RCVBUF" and self._stack.config.socket_buffers == "doubled" and not self._live:
            changes["window_shift"] = max(setting.bit_length() - 16, 0)
        self._settings |= changes
        if self._listens:
            self._stack.configure_listener(self._local_port, **changes)
        elif self._live:
            self._stack.configure(self._the_pair, now, **changes)

    def option(self, name: str) -> Any:
        """getsockopt. SO_ERROR is an errno's name, or None, and is cleared; TCP_INFO a dictionary."""
        self._look()
        if name == "SO_ERROR":
            error, self._error = self._error, None
            return error
        if name == "SO_ACCEPTCONN":
            return self._listens
        if name == "TCP_INFO":
            return self._info()
        if name in self._options:
            return self._options[name]
        if name not in _SETTINGS:
            raise SocketError("ENOPROTOOPT")
        key, unit = _SETTINGS[name]
        config = self._stack.config if self._connection is None else self._connection.config
        if key == "rcv_buffer" and self._connection is not None and config.socket_buffers == "as asked":
            return self._connection.receiver.buffer
        if name in ("SO_RCVBUF", "SO_SNDBUF") and key in self._settings and config.socket_buffers == "doubled":
            return 2 * self._settings[key]
        if name == "TCP_MAXSEG":
            return self._largest_segment()
        value = self._settings.get(key, getattr(config, key))
        if name == "TCP_USER_TIMEOUT" and value == self._stack.config.user_timeout:
            return 0
        return value if key == "keepalive" else value // unit

    def _largest_segment(self) -> int:
        """As the peer's word limits it; what options take in every segment counts for Linux only."""
        if self._connection is None:
            mss: int = self._settings.get("mss", default_mss(self._sockets.address))
            return mss
        sender = self._connection.sender
        counted = self._connection.config.option_layout == "linux"
        return sender.mss + (0 if counted else sender.option_octets)

    def _info(self) -> dict[str, Any]:
        """The fields of Linux's tcp_info that exist here; times in microseconds, windows in segments."""
        if self._listens:
            return {"tcpi_state": State.LISTEN.value}
        connection = self._connection
        if connection is None:
            return {"tcpi_state": State.CLOSED.value}
        sender, tcb = connection.sender, connection.tcb
        return {
            "tcpi_state": connection.state.value,
            "tcpi_retransmits": connection.retransmissions,
            "tcpi_probes": connection.keepalive.probes if connection.keepalive else 0,
            "tcpi_rto": sender.rto,
            "tcpi_snd_mss": sender.mss,
            "tcpi_unacked": -(-seq_diff(tcb.snd_nxt, tcb.snd_una) // sender.mss),
            "tcpi_rtt": sender.srtt or 0,
            "tcpi_rttvar": sender.rttvar,
            "tcpi_snd_ssthresh": sender.ssthresh // sender.mss,
            "tcpi_snd_cwnd": sender.cwnd // sender.mss,
        }

    # What becomes of the connection

    def hear(self, what: Row | Signal | Timer) -> None:
        """News of this socket's connection."""
        if isinstance(what, Signal):
            self._connected |= what.notice is Notice.CONNECTED
            if what.notice is Notice.ERROR:
                self._reported = _ICMP_ERRNO.get(what.detail, self._reported)
        elif isinstance(what, Row) and what.cause is not None:
            error = _ERRNO.get(what.cause)
            if error in _EXPLAINED and self._reported is not None:
                error = self._reported
            elif what.cause is Cause.RESET_BY_PEER and self._wanted().receiver.finished:
                error = "EPIPE" if self._stack.config.reset_told == "not_after_fin" else error
            self._error = error
            del self._sockets.by_pair[self._the_pair]

    def _look(self) -> None:
        if self._closed:
            raise SocketError("EBADF")
        self._sockets.update()

    @property
    def _the_pair(self) -> Pair:
        assert self._pair is not None
        return self._pair

    @property
    def _live(self) -> bool:
        """The stack has the connection, and it is still this socket's (in TIME-WAIT it has left)."""
        return self._pair is not None and self._stack.connections.get(self._pair) is self._connection

    @property
    def _local_port(self) -> int:
        assert self._port is not None
        return self._port

    def _wanted(self) -> Connection:
        if self._connection is None:
            raise SocketError("ENOTCONN")
        return self._connection

    def _raise_pending(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise SocketError(error)

    def _call(self, call: Any) -> None:
        try:
            call()
        except TcpError as error:
            raise SocketError(_REFUSALS.get(str(error), "EINVAL")) from None

    def _linger(self, now: int) -> None:
        """Until our FIN is acknowledged, or for as long as SO_LINGER says."""
        assert self._linger_until is not None
        sender = self._wanted().sender
        if self._live and (sender.outstanding or sender.unsent):
            if now < self._linger_until:
                raise SocketError("EAGAIN")
            self._stack.linger_expires(self._the_pair, now)

    def _take_port(self, port: int) -> None:
        self._port, self._owns_port = port, True
        self._sockets.bound.add(port)

    def _stop_listening(self, now: int) -> None:
        self._stack.close_listener(self._local_port, now)
        self._listens = False

    def _give_up(self) -> None:
        self._closed = True
        if self._owns_port and self._port is not None:
            self._sockets.bound.discard(self._port)
        if self._pair is not None and self._sockets.by_pair.get(self._pair) is self:
            del self._sockets.by_pair[self._pair]
