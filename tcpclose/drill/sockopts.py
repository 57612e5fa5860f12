"""Socket options of scripts: those with an effect here, and those that are only remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tcpclose.drill import values
from tcpclose.drill.packets import Mismatch
from tcpclose.drill.printer import print_value
from tcpclose.drill.scanner import Unsupported
from tcpclose.drill.script import Struct, Text, Value, Word
from tcpclose.protocol.sockets import Socket, SocketError

if TYPE_CHECKING:
    from tcpclose.drill.calls import Descriptor, Host

#: Other names for options of ours.
_SAME = {"TCP_NOPUSH": "TCP_CORK"}

#: Options that change nothing which this TCP does; what was set is what is got.
_WITHOUT_EFFECT = """SO_REUSEPORT
    SO_DONTROUTE SO_BROADCAST SO_OOBINLINE SO_PRIORITY SO_RCVLOWAT SO_SNDLOWAT SO_RCVTIMEO SO_SNDTIMEO
    SO_TIMESTAMP SO_TIMESTAMPING SO_BUSY_POLL SO_MAX_PACING_RATE SO_MARK SO_NOSIGPIPE SO_DEBUG SO_RXQ_OVFL IP_TOS IP_TTL
    SO_BINDTODEVICE IP_MTU_DISCOVER IP_RECVERR IP_BIND_ADDRESS_NO_PORT IP_FREEBIND IPV6_V6ONLY IPV6_TCLASS IPV6_RECVERR
    IPV6_MTU_DISCOVER TCP_QUICKACK TCP_NOTSENT_LOWAT TCP_WINDOW_CLAMP TCP_CONGESTION TCP_THIN_LINEAR_TIMEOUTS
    TCP_THIN_DUPACK TCP_FUNCTION_BLK TCP_LOG TCP_LOGBUF TCP_LOGID TCP_NOOPT TCP_INQ TCP_TX_DELAY
    TCP_SAVE_SYN TCP_TIMESTAMP TCP_CM_INQ TCP_DELACK TCP_PERF_INFO TCP_RTO_MAX_MS TCP_RTO_MIN_US
    TCP_DELACK_MAX_US IP_MINTTL IPV6_MINHOPCOUNT IPV6_UNICAST_HOPS"""
_REMEMBERED = frozenset(_WITHOUT_EFFECT.split())
_AT_FIRST = {"SO_RCVLOWAT": 1, "TCP_QUICKACK": 1}  # the others are 0
_SWITCHES = frozenset({"SO_KEEPALIVE", "TCP_NODELAY", "TCP_CORK", "SO_REUSEADDR", "SO_ACCEPTCONN"})


def set(descriptor: Descriptor, arguments: tuple[Value, ...], now: int) -> None:
    """setsockopt(fd, level, option, value, length)."""
    assert descriptor.socket is not None
    name, value = values.word(arguments[2]), arguments[3]
    name = _SAME.get(name, name)
    if name in _REMEMBERED:
        descriptor.kept[name] = value
    elif name == "SO_LINGER":
        on = values.number(values.member(value, "onoff", "l_onoff"))
        seconds = values.number(values.member(value, "linger", "l_linger"))
        descriptor.socket.set_option(name, (bool(on), seconds), now)
    elif isinstance(value, Struct | Text):
        raise Unsupported(f"the socket option {name} with such a value")
    else:
        number = values.number(value)
        if name == "TCP_CORK":
            descriptor.corked_by_more = False
        elif name == "TCP_LINGER2" and number < 0:
            raise Unsupported("TCP_LINGER2 below 0")
        _set(descriptor.socket, name, bool(number) if name in _SWITCHES else number, now)


def _set(socket: Socket, name: str, value: Any, now: int) -> None:
    try:
        socket.set_option(name, value, now)
    except SocketError as error:
        if error.errno == "ENOPROTOOPT":
            raise Unsupported(f"the socket option {name}") from None
        raise


def get(descriptor: Descriptor, arguments: tuple[Value, ...], host: Host) -> None:
    """getsockopt(fd, level, option, [value], [length]): raises `Mismatch` unless both are as they should be."""
    assert descriptor.socket is not None
    name, wanted = values.word(arguments[2]), arguments[3]
    name = _SAME.get(name, name)
    if name == "TCP_INFO":
        _compare_info(wanted, host.tcp_info(descriptor.socket))
        return
    if values.is_any(wanted):
        return
    if name in _REMEMBERED:
        kept = descriptor.kept.get(name, _AT_FIRST.get(name, 0))
        if isinstance(wanted, Text):
            _compare_text(name, wanted, kept)
            return
        _compare(name, values.number(wanted), values.number(kept))
    elif name == "SO_LINGER":
        on, seconds = descriptor.socket.option(name)
        _compare("onoff", values.number(values.member(wanted, "onoff", "l_onoff")) != 0, on)
        _compare("linger", values.number(values.member(wanted, "linger", "l_linger")), seconds)
    elif name == "SO_ERROR":
        error = descriptor.socket.option(name)
        expected = values.errno_name(wanted, host.bsd)
        if expected != (error or "0"):
            raise Mismatch(f"SO_ERROR: expected {expected}, got {error or 0}")
    else:
        _compare(name, values.number(wanted), _option(descriptor.socket, name))
    if len(arguments) > 4 and not values.is_any(arguments[4]):
        _compare("length", values.number(arguments[4]), 8 if name == "SO_LINGER" else 4)


def _option(socket: Socket, name: str) -> int:
    try:
        value = int(socket.option(name))
    except SocketError as error:
        if error.errno == "ENOPROTOOPT":
            raise Unsupported(f"the socket option {name}") from None
        raise
    return value


def _compare_info(wanted: Value, info: dict[str, Any]) -> None:
    """Those members of TCP_INFO that the script names; states and flags have names, too."""
    for entry in values.structure(wanted).entries:
        if entry.name not in info:
            raise Unsupported(f"{entry.name or 'a member without a name'} of TCP_INFO")
        known = entry.value.name if isinstance(entry.value, Word) else ""
        _compare(entry.name, info[known] if known in info else values.number(entry.value), info[entry.name])


def _compare_text(what: str, wanted: Text, kept: Value) -> None:
    if not isinstance(kept, Text):
        raise Unsupported(f"{what} before it is set")
    if wanted != kept:
        raise Mismatch(f"{what}: expected {wanted.text}, got {kept.text}")


def _compare(what: str, wanted: int, got: int) -> None:
    if wanted != got:
        raise Mismatch(f"{what}: expected {print_value(int(wanted))}, got {int(got)}")
