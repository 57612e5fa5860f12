"""What the values of a call mean: numbers of symbols, members of structures."""

from __future__ import annotations

from tcpclose.drill.asserts import CONSTANTS
from tcpclose.drill.packets import Mismatch
from tcpclose.drill.scanner import Unsupported
from tcpclose.drill.script import Array, Either, Entry, Function, Gap, Struct, Text, Value, Word

_ERRNOS = {
    "EPERM": 1, "EBADF": 9, "EAGAIN": 11, "EWOULDBLOCK": 11, "EACCES": 13, "EFAULT": 14, "EINVAL": 22, "EPIPE": 32,
    "ENONET": 64, "EPROTO": 71, "EDESTADDRREQ": 89, "EMSGSIZE": 90, "ENOPROTOOPT": 92, "EOPNOTSUPP": 95,
    "EADDRINUSE": 98, "EADDRNOTAVAIL": 99, "ENETDOWN": 100, "ENETUNREACH": 101, "ECONNABORTED": 103,
    "ECONNRESET": 104, "ENOBUFS": 105, "EISCONN": 106, "ENOTCONN": 107, "ETIMEDOUT": 110, "ECONNREFUSED": 111,
    "EHOSTDOWN": 112, "EHOSTUNREACH": 113, "EALREADY": 114, "EINPROGRESS": 115,
}  # fmt: skip

_BSD_ERRNOS = {
    "EPERM": 1, "EBADF": 9, "EACCES": 13, "EFAULT": 14, "EINVAL": 22, "EPIPE": 32, "EAGAIN": 35, "EINPROGRESS": 36,
    "EALREADY": 37, "ENOPROTOOPT": 42, "EOPNOTSUPP": 45, "EADDRINUSE": 48, "EADDRNOTAVAIL": 49, "ENETDOWN": 50,
    "ENETUNREACH": 51, "ECONNABORTED": 53, "ECONNRESET": 54, "ENOBUFS": 55, "EISCONN": 56, "ENOTCONN": 57,
    "ETIMEDOUT": 60, "ECONNREFUSED": 61, "EHOSTDOWN": 64, "EHOSTUNREACH": 65,
}  # fmt: skip

#: The bits of poll and epoll, by the names that `Socket.poll` uses.
EVENTS = {"IN": 1, "PRI": 2, "OUT": 4, "ERR": 8, "HUP": 16, "NVAL": 32, "RDNORM": 64, "RDBAND": 128, "WRNORM": 256,
          "WRBAND": 512, "RDHUP": 8192}  # fmt: skip

#: Symbols as numbers; those of flags are powers of two, so that they can be joined.
_NUMBERS: dict[str, int] = {
    "NULL": 0, "O_RDONLY": 0, "O_WRONLY": 1, "O_RDWR": 2, "O_NONBLOCK": 2048, "F_GETFL": 3, "F_SETFL": 4,
    "SHUT_RD": 0, "SHUT_WR": 1, "SHUT_RDWR": 2, "AF_INET": 2, "AF_INET6": 10, "SOCK_STREAM": 1,
    "SOCK_NONBLOCK": 2048, "SOCK_CLOEXEC": 1 << 19, "IPPROTO_TCP": 6, "IPPROTO_IP": 0, "SOL_SOCKET": 1, "SOL_TCP": 6,
    "MSG_PEEK": 2, "MSG_TRUNC": 32, "MSG_DONTWAIT": 64, "MSG_WAITALL": 256, "MSG_NOSIGNAL": 16384, "MSG_MORE": 32768,
    "MSG_EOR": 128, "EPOLL_CTL_ADD": 1, "EPOLL_CTL_DEL": 2, "EPOLL_CTL_MOD": 3, "EPOLLET": 1 << 31,
    "EPOLLONESHOT": 1 << 30, "EPOLLEXCLUSIVE": 1 << 28, "INADDR_ANY": 0,
}  # fmt: skip
_NUMBERS |= _ERRNOS
_NUMBERS |= {f"{prefix}{name}": bit for name, bit in EVENTS.items() for prefix in ("POLL", "EPOLL")}
_NUMBERS |= {name: value for name, value in CONSTANTS.items() if name.startswith("TCP")}


def number(value: Value) -> int:
    """A number, a symbol's number, or several joined."""
    match value:
        case int():
            return value
        case Word(name) if name in _NUMBERS:
            return _NUMBERS[name]
        case Word(name):
            raise Unsupported(f"the symbol {name}")
        case Either(parts):
            joined = 0
            for part in parts:
                joined |= number(part)
            return joined
        case Array((item,)):
            return number(item)
        case Function("htons" | "htonl", (argument,)):
            return number(argument)
        case Struct((Entry(value=item, name=""),)):
            return number(item)
    raise Mismatch("expected a number among the arguments")


def names(value: Value) -> set[str]:
    """The symbols that are joined in a value."""
    match value:
        case Word(name):
            return {name}
        case Either(parts):
            return {part.name for part in parts if isinstance(part, Word)}
    return set()


def word(value: Value) -> str:
    """The one symbol that must stand here."""
    if isinstance(value, Word):
        return value.name
    raise Unsupported("an option or request that is no symbol")


def structure(value: Value) -> Struct:
    """A structure, which may lie in an array; an empty one for anything else."""
    if isinstance(value, Array) and len(value.items) == 1:
        value = value.items[0]
    return value if isinstance(value, Struct) else Struct(())


def member(value: Value, *names: str) -> Value:
    """A member of a structure."""
    found = structure(value).get(*names)
    if found is None:
        raise Mismatch(f"expected a structure with a member {names[0]}")
    return found


def octets(message: Value) -> int:
    """How many octets the buffers of a `msghdr`, or an array of `iovec`, hold."""
    buffers = message if isinstance(message, Array) else member(message, "msg_iov")
    if not isinstance(buffers, Array):
        raise Mismatch("expected an array of buffers such as [{..., 1000}]")
    total = 0
    for buffer in buffers.items:
        if not isinstance(buffer, Struct) or not buffer.entries:
            raise Mismatch("expected buffers such as {..., 1000}")
        total += number(buffer.entries[-1].value)
    return total


def lacks_buffer(value: Value) -> bool:
    """Is NULL given in place of a buffer, or of one among several?"""
    match value:
        case Array(items):
            return any(map(lacks_buffer, items))
        case Struct((first, *_)):
            buffers = value.get("msg_iov")
            return lacks_buffer(first.value if buffers is None else buffers)
    return value == Word("NULL")


def control(message: Value) -> list[Struct]:
    """The control messages of a `msghdr`."""
    found = structure(message).get("msg_control")
    return [entry for entry in items(found) if isinstance(entry, Struct)] if found is not None else []


def items(value: Value) -> tuple[Value, ...]:
    """The members of an array; a structure alone counts as one."""
    return value.items if isinstance(value, Array) else (value,)


def is_any(value: Value) -> bool:
    """`...`, or an array of it."""
    return isinstance(value, Gap) or (isinstance(value, Array) and any(map(is_any, value.items)))


def errno_name(value: Value, bsd: bool) -> str:
    """The name of what SO_ERROR gives, "0" for nothing. A number is one of the stack that the script is about."""
    plain = value.items[0] if isinstance(value, Array) and len(value.items) == 1 else value
    code = number(value)
    numbers = _BSD_ERRNOS if bsd and isinstance(plain, int) else _ERRNOS
    return next((name for name, known in numbers.items() if known == code), str(code))


def text(value: Value) -> str:
    return value.text if isinstance(value, Text) else ""
