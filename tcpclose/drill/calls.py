"""System calls of a script, on the POSIX view of our stack. None blocks: `Blocked` says that a call would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tcpclose.drill import values
from tcpclose.drill.packets import Mismatch
from tcpclose.drill.printer import print_call
from tcpclose.drill.scanner import Unsupported
from tcpclose.drill.script import Call, Struct, Value, Word
from tcpclose.protocol.config import MILLISECOND
from tcpclose.protocol.datagram import Endpoint
from tcpclose.protocol.sockets import Socket, SocketError, Sockets


class Blocked(Exception):
    """The call cannot be finished yet."""


class Host(Protocol):
    """What calls need of the runner."""

    sockets: Sockets
    remote: Endpoint
    bind_port: int
    bsd: bool
    now: int

    def under_test(self, socket: Socket) -> None:
        """A socket was made: it is now the one under test."""

    def tcp_info(self, socket: Socket) -> dict[str, Any]:
        """What the host says of a socket's connection."""


@dataclass
class Watch:
    """What epoll is asked about a descriptor: which events, and what it is to tell, of any of these kinds."""

    events: int
    tells: Struct
    told: bool = False


class Descriptor:
    """A file descriptor of the script."""

    def __init__(self, socket: Socket | None = None) -> None:
        self.socket = socket
        self.nonblocking = False
        self.kept: dict[str, Value] = {}  # options that the sockets of our stack do not have
        self.watched: dict[int, Watch] = {}  # by epoll, the descriptors
        self.corked_by_more = False

    @property
    def low_water(self) -> int:
        """SO_RCVLOWAT: with less text than this there is nothing to read yet."""
        return values.number(self.kept.get("SO_RCVLOWAT", 1))


class Running:
    """A call that is being made. `attempt` may be repeated until it does not raise `Blocked`."""

    def __init__(self, calls: Calls, call: Call, began: int) -> None:
        self.calls = calls
        self.call = call
        self.began = began
        self.taken = 0  # octets of a write that have found room
        self.told_in_progress = False

    def attempt(self) -> None:
        """Make the call, and compare its result. Raises `Mismatch`, or `Blocked`."""
        errno = ""
        self.calls.check_arguments(self.call)
        try:
            result = self.calls.handler(self.call.name)(self.call.arguments, self)
        except SocketError as error:
            result, errno = -1, error.errno
        self._judge(result, errno)

    def wakes(self) -> int | None:
        """When the call is to be tried again although nothing has happened: a wait of its own is over."""
        arguments = self.call.arguments
        match self.call.name:
            case "close":
                descriptor = self.calls.descriptors.get(values.number(arguments[0]))
                return descriptor.socket.linger_until if descriptor and descriptor.socket else None
            case "poll" | "epoll_wait":
                wait = values.number(arguments[-1])
                return None if wait < 0 else self.began + wait * MILLISECOND
        return None

    def _judge(self, result: int, errno: str) -> None:
        call, got = self.call, f"{result}{' ' if errno else ''}{errno}"
        if call.name in _GIVES_DESCRIPTOR and result >= 0:
            wanted = values.number(call.result)
            if wanted < 0:
                raise Mismatch(f"return value: expected {_expected(call)}, got a descriptor")
            self.calls.rename(result, wanted)
            return
        if not values.is_any(call.result) and values.number(call.result) != result:
            raise Mismatch(f"return value: expected {_expected(call)}, got {got}")
        if call.errno and call.errno.replace("EWOULDBLOCK", "EAGAIN") != errno:
            raise Mismatch(f"errno: expected {call.errno}, got {errno or 'none'}")


def _expected(call: Call) -> str:
    return print_call(call).rpartition(" = ")[2]


_GIVES_DESCRIPTOR = frozenset({"socket", "accept", "accept4", "epoll_create", "epoll_create1"})
Arguments = tuple[Value, ...]

#: Call -> how many arguments it needs; the others need one.
_ARGUMENTS = (
    dict.fromkeys(("listen", "shutdown", "fcntl", "writev", "readv"), 2)
    | dict.fromkeys(("write", "read", "sendmsg", "recvmsg", "ioctl", "poll"), 3)
    | dict.fromkeys(("send", "sendto", "recv", "recvfrom", "setsockopt", "getsockopt"), 4)
    | dict.fromkeys(("epoll_ctl", "epoll_wait"), 4)
)


class Calls:
    """All descriptors of a script, and what its calls do to them."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.descriptors: dict[int, Descriptor] = {}
        self._fresh = -1  # new descriptors have numbers below until they get the script's

    def handler(self, name: str) -> Callable[[Arguments, Running], int]:
        found: Callable[[Arguments, Running], int] | None = getattr(self, f"_call_{name}", None)
        if found is None:
            raise Unsupported(f"the call {name}()")
        return found

    def check_arguments(self, call: Call) -> None:
        """Raises `Mismatch` when there are too few."""
        least = _ARGUMENTS.get(call.name, 1)
        if len(call.arguments) < least:
            raise Mismatch(f"{call.name}() needs {least} arguments, got {len(call.arguments)}")

    def rename(self, fresh: int, wanted: int) -> None:
        """Give a new descriptor the number that the script knows it by."""
        if wanted in self.descriptors:
            raise Mismatch(f"descriptor {wanted} is in use: close it first")
        self.descriptors[wanted] = self.descriptors.pop(fresh - _FRESH)

    def _add(self, descriptor: Descriptor) -> int:
        self._fresh -= 1
        self.descriptors[self._fresh] = descriptor
        return self._fresh + _FRESH

    def _find(self, arguments: Arguments) -> Descriptor:
        descriptor = self.descriptors.get(values.number(arguments[0])) if arguments else None
        if descriptor is None:
            raise SocketError("EBADF")
        return descriptor

    def _socket(self, arguments: Arguments) -> tuple[Descriptor, Socket]:
        descriptor = self._find(arguments)
        if descriptor.socket is None:
            raise SocketError("EBADF")
        return descriptor, descriptor.socket

    # Life of a socket

    def _call_socket(self, arguments: Arguments, running: Running) -> int:
        socket = self.host.sockets.socket()
        descriptor = Descriptor(socket)
        descriptor.nonblocking = len(arguments) > 1 and "SOCK_NONBLOCK" in values.names(arguments[1])
        self.host.under_test(socket)
        return self._add(descriptor)

    def _call_bind(self, arguments: Arguments, running: Running) -> int:
        self._socket(arguments)[1].bind(self.host.bind_port)
        return 0

    def _call_listen(self, arguments: Arguments, running: Running) -> int:
        self._socket(arguments)[1].listen(values.number(arguments[1]))
        return 0

    def _call_accept(self, arguments: Arguments, running: Running) -> int:
        listener, socket = self._socket(arguments)
        accepted = self._unless_blocked(listener, lambda: socket.accept(self.host.now))
        descriptor = Descriptor(accepted)
        descriptor.kept = dict(listener.kept)
        inherits = self.host.bsd and running.call.name == "accept" and listener.nonblocking
        asked = len(arguments) > 3 and "SOCK_NONBLOCK" in values.names(arguments[3])
        descriptor.nonblocking = inherits or asked
        return self._add(descriptor)

    _call_accept4 = _call_accept

    def _call_connect(self, arguments: Arguments, running: Running) -> int:
        descriptor, socket = self._socket(arguments)
        try:
            socket.connect(self.host.remote, self.host.now)
        except SocketError as error:
            if running.told_in_progress and error.errno == "EISCONN":
                return 0
            if error.errno in ("EINPROGRESS", "EALREADY") and not descriptor.nonblocking:
                running.told_in_progress = True
                raise Blocked from None
            raise
        raise AssertionError("connect never returns at once")

    def _call_shutdown(self, arguments: Arguments, running: Running) -> int:
        how = values.number(arguments[1])
        if how not in (0, 1, 2):
            raise SocketError("EINVAL")
        self._socket(arguments)[1].shutdown(("RD", "WR", "RDWR")[how], self.host.now)
        return 0

    def _call_close(self, arguments: Arguments, running: Running) -> int:
        descriptor = self._find(arguments)
        if (socket := descriptor.socket) is not None:
            if self.host.bsd and descriptor.nonblocking and socket.option("SO_LINGER")[1]:
                socket.set_option("SO_LINGER", (False, 0), self.host.now)  # it would not wait
            try:
                socket.close(self.host.now)
            except SocketError as error:
                if error.errno == "EAGAIN":
                    raise Blocked from None
                raise
        del self.descriptors[values.number(arguments[0])]
        return 0

    # Text

    def _unless_blocked(self, descriptor: Descriptor, call: Callable[[], Any], dont_wait: bool = False) -> Any:
        try:
            return call()
        except SocketError as error:
            if error.errno == "EAGAIN" and not (descriptor.nonblocking or dont_wait):
                raise Blocked from None
            raise

    def _write(self, arguments: Arguments, octets: int, flags: Value, running: Running) -> int:
        descriptor, socket = self._socket(arguments)
        flag_names = values.names(flags)
        wait = not (descriptor.nonblocking or "MSG_DONTWAIT" in flag_names)
        now, more = self.host.now, "MSG_MORE" in flag_names
        if more and not socket.option("TCP_CORK"):
            socket.set_option("TCP_CORK", True, now)
            descriptor.corked_by_more = True
        self._check_buffer(arguments, octets)
        if octets > _LONGEST_WRITE:
            raise Unsupported(f"a write of {octets} octets")
        try:
            running.taken += socket.write(bytes(octets - running.taken), now, more)
        except SocketError as error:
            if error.errno == "EAGAIN" and wait:
                raise Blocked from None
            if not running.taken:
                raise
        if descriptor.corked_by_more and not more:
            socket.set_option("TCP_CORK", False, now)
            descriptor.corked_by_more = False
        if wait and running.taken < octets and error_free(socket):
            raise Blocked
        return running.taken

    def _check_buffer(self, arguments: Arguments, octets: int) -> None:
        """NULL is no place for text, and there is no text of less than nothing."""
        if octets < 0:
            raise SocketError("EINVAL")
        if octets and values.lacks_buffer(arguments[1]):
            raise SocketError("EFAULT")

    def _call_write(self, arguments: Arguments, running: Running) -> int:
        return self._write(arguments, values.number(arguments[2]), 0, running)

    def _call_writev(self, arguments: Arguments, running: Running) -> int:
        return self._write(arguments, values.octets(arguments[1]), 0, running)

    def _call_send(self, arguments: Arguments, running: Running) -> int:
        return self._write(arguments, values.number(arguments[2]), arguments[3], running)

    _call_sendto = _call_send

    def _call_sendmsg(self, arguments: Arguments, running: Running) -> int:
        if values.control(arguments[1]):
            raise Unsupported("control messages of sendmsg()")
        return self._write(arguments, values.octets(arguments[1]), arguments[2], running)

    def _read(self, arguments: Arguments, octets: int, flags: Value) -> int:
        descriptor, socket = self._socket(arguments)
        flag_names, now = values.names(flags), self.host.now
        dont_wait = "MSG_DONTWAIT" in flag_names
        if octets < 0 or socket.poll() & {"IN", "ERR", "HUP"}:
            self._check_buffer(arguments, octets)
        if "MSG_PEEK" in flag_names and (text := socket.peek(octets)):
            return len(text)
        least = octets if "MSG_WAITALL" in flag_names else min(octets, descriptor.low_water)
        if not (descriptor.nonblocking or dont_wait) and _is_short(socket, least):
            raise Blocked
        return len(self._unless_blocked(descriptor, lambda: socket.read(octets, now), dont_wait))

    def _call_read(self, arguments: Arguments, running: Running) -> int:
        return self._read(arguments, values.number(arguments[2]), 0)

    def _call_readv(self, arguments: Arguments, running: Running) -> int:
        return self._read(arguments, values.octets(arguments[1]), 0)

    def _call_recv(self, arguments: Arguments, running: Running) -> int:
        return self._read(arguments, values.number(arguments[2]), arguments[3])

    _call_recvfrom = _call_recv

    def _call_recvmsg(self, arguments: Arguments, running: Running) -> int:
        taken = self._read(arguments, values.octets(arguments[1]), arguments[2])
        self._compare_control(arguments)
        return taken

    def _compare_control(self, arguments: Arguments) -> None:
        """What comes beside the text: only how much can be read further on, to which the peer's FIN adds one."""
        descriptor, socket = self._socket(arguments)
        for message in values.control(arguments[1]):
            if message.get("cmsg_type") != Word("TCP_CM_INQ"):
                raise Unsupported("control messages other than TCP_CM_INQ")
            if not values.number(descriptor.kept.get("TCP_INQ", 0)):
                raise Mismatch("TCP_CM_INQ comes only after setsockopt(TCP_INQ)")
            there = socket.queued("SIOCINQ") + ("RDHUP" in socket.poll())
            wanted = values.number(values.member(message, "cmsg_data"))
            if wanted != there:
                raise Mismatch(f"TCP_CM_INQ: expected {wanted}, got {there}")

    # Settings and questions

    def _call_fcntl(self, arguments: Arguments, running: Running) -> int:
        descriptor = self._find(arguments)
        nonblock = 4 if self.host.bsd else 2048
        match values.word(arguments[1]):
            case "F_GETFL":
                return 2 | (nonblock if descriptor.nonblocking else 0)
            case "F_SETFL":
                if len(arguments) < 3:
                    raise Mismatch("fcntl(): a flag is missing")
                flags = arguments[2]
                plain = values.number(flags) & nonblock if isinstance(flags, int) else 0
                descriptor.nonblocking = bool(plain) or "O_NONBLOCK" in values.names(flags)
                return 0
            case request:
                raise Unsupported(f"fcntl {request}")

    def _call_ioctl(self, arguments: Arguments, running: Running) -> int:
        descriptor, socket = self._socket(arguments)
        request, argument = values.word(arguments[1]), arguments[2]
        if request == "FIONBIO":
            descriptor.nonblocking = bool(values.number(argument))
            return 0
        if request not in ("SIOCINQ", "FIONREAD", "SIOCOUTQ", "FIONWRITE", "SIOCOUTQNSD"):
            raise Unsupported(f"ioctl {request}")
        there = socket.queued(request)
        if not values.is_any(argument) and values.number(argument) != there:
            raise Mismatch(f"{request}: expected {values.number(argument)}, got {there}")
        return 0

    def _call_poll(self, arguments: Arguments, running: Running) -> int:
        entries, wait = values.items(arguments[0]), values.number(arguments[2])
        ready = 0
        found: list[tuple[Struct, int]] = []
        for entry in entries:
            if not isinstance(entry, Struct):
                raise Mismatch("expected entries such as {fd=4, events=POLLIN, revents=0}")
            descriptor = self.descriptors.get(values.number(values.member(entry, "fd")))
            events = self._ready(descriptor, values.number(values.member(entry, "events")))
            ready += bool(events)
            found.append((entry, events))
        if not ready and (wait < 0 or self.host.now < running.began + wait * MILLISECOND):
            raise Blocked
        for entry, events in found:
            wanted = entry.get("revents")
            if wanted is not None and not values.is_any(wanted):
                _compare_events("revents", values.number(wanted), events)
        return ready

    def _ready(self, descriptor: Descriptor | None, asked: int) -> int:
        """The events of a descriptor, among those asked for and those that are always told."""
        if descriptor is None or descriptor.socket is None:
            return values.EVENTS["NVAL"]
        told = 0
        for name in descriptor.socket.poll():
            told |= values.EVENTS[name]
        if (
            told & values.EVENTS["IN"]
            and descriptor.low_water > 1
            and _is_short(descriptor.socket, descriptor.low_water)
        ):
            told &= ~values.EVENTS["IN"]
        told |= values.EVENTS["RDNORM"] if told & values.EVENTS["IN"] else 0
        told |= values.EVENTS["WRNORM"] if told & values.EVENTS["OUT"] else 0
        return told & (asked | values.EVENTS["ERR"] | values.EVENTS["HUP"])

    def _call_epoll_create(self, arguments: Arguments, running: Running) -> int:
        return self._add(Descriptor())

    _call_epoll_create1 = _call_epoll_create

    def _call_epoll_ctl(self, arguments: Arguments, running: Running) -> int:
        watched, fd = self._find(arguments).watched, values.number(arguments[2])
        if fd not in self.descriptors:
            raise SocketError("EBADF")
        if values.word(arguments[1]) == "EPOLL_CTL_DEL":
            watched.pop(fd, None)
            return 0
        watched[fd] = Watch(values.number(values.member(arguments[3], "events")), values.structure(arguments[3]))
        return 0

    def _call_epoll_wait(self, arguments: Arguments, running: Running) -> int:
        watched, wait = self._find(arguments).watched, values.number(arguments[3])
        found = [(watch, self._ready(self.descriptors.get(fd), watch.events)) for fd, watch in watched.items()]
        ready = [(watch, events) for watch, events in found if events][: values.number(arguments[2])]
        if not ready and (wait < 0 or self.host.now < running.began + wait * MILLISECOND):
            raise Blocked
        wanted = [entry for entry in values.items(arguments[1]) if isinstance(entry, Struct)]
        for watch, _ in ready:
            if watch.told and watch.events & values.number(Word("EPOLLET")):
                raise Unsupported("edge-triggered epoll that is asked again")
            watch.told = True
        for entry, (watch, events) in zip(wanted, ready, strict=False):
            _compare_events("events", values.number(values.member(entry, "events")), events)
            for name in ("fd", "ptr", "u32", "u64"):
                expected, told = entry.get(name), watch.tells.get(name)
                if expected is not None and told is not None and values.number(expected) != values.number(told):
                    raise Mismatch(f"{name}: expected {values.number(expected)}, got {values.number(told)}")
        return len(ready)

    def _call_getsockopt(self, arguments: Arguments, running: Running) -> int:
        from tcpclose.drill.sockopts import get

        get(self._socket(arguments)[0], arguments, self.host)
        return 0

    def _call_setsockopt(self, arguments: Arguments, running: Running) -> int:
        from tcpclose.drill.sockopts import set

        set(self._socket(arguments)[0], arguments, self.host.now)
        return 0


_FRESH = 1 << 20
_LONGEST_WRITE = 1 << 28


def _is_short(socket: Socket, least: int) -> bool:
    """Is there text to read, but less than this, and may more come?"""
    return 0 < len(socket.peek(least)) < least and "RDHUP" not in socket.poll()


def error_free(socket: Socket) -> bool:
    return "ERR" not in socket.poll()


def _compare_events(what: str, wanted: int, got: int) -> None:
    if wanted != got:
        raise Mismatch(f"{what}: expected {_event_names(wanted)}, got {_event_names(got)}")


def _event_names(bits: int) -> str:
    return "|".join(f"POLL{name}" for name, bit in values.EVENTS.items() if bits & bit) or "0"
