"""The calls of a user in a recorded run as system calls of a script: descriptor 3 is the first, 4 the accepted one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tcpclose.drill.dialect import Profile
from tcpclose.drill.script import Action, Array, Call, Either, Entry, Gap, Struct, Value, Word
from tcpclose.protocol.config import MILLISECOND, SECOND
from tcpclose.protocol.connection import Notice
from tcpclose.protocol.fsm import Event
from tcpclose.scenario import Scenario
from tcpclose.trace import events as traced

#: Setting -> the option of a socket that says it: level, name, and how many of our units its number counts.
_OPTIONS = {
    "user_timeout": ("IPPROTO_TCP", "TCP_USER_TIMEOUT", MILLISECOND),
    "keepalive": ("SOL_SOCKET", "SO_KEEPALIVE", 1),
    "keepalive_idle": ("IPPROTO_TCP", "TCP_KEEPIDLE", SECOND),
    "keepalive_interval": ("IPPROTO_TCP", "TCP_KEEPINTVL", SECOND),
    "keepalive_count": ("IPPROTO_TCP", "TCP_KEEPCNT", 1),
    "fin_wait_2_timeout": ("IPPROTO_TCP", "TCP_LINGER2", SECOND),
    "syn_r2": ("IPPROTO_TCP", "TCP_SYNCNT", 1),
}
_SOME = Gap()  # ... stands for what the runner likes
_BLOCKING, _NONBLOCKING = Word("O_RDWR"), Either((Word("O_RDWR"), Word("O_NONBLOCK")))

#: Takes the time of an action, the action, and when it ends, if it is a call that may block.
Add = Callable[[int, Action, int | None], None]


class Unsayable(Exception):
    """Something in a run that no script can say; the message says what."""


class Caller:
    """The user at one end of a connection."""

    def __init__(
        self, scenario: Scenario, host: str, connection: str, profile: Profile, trace: list[Any], add: Add
    ) -> None:
        self.trace = trace
        self.profile = profile
        self.reads = scenario.settings(host).receive == "auto"
        self.half_duplex = scenario.tcp_config(host).half_duplex_close
        known = scenario.connection.get(connection)
        self.port = known.port if known is not None and host == known.server else 0
        waits = [s.linger for s in scenario.step if s.call == "close" and (s.host, s.connection) == (host, connection)]
        self.linger = next((wait for wait in waits if wait is not None), None)
        self.options: list[tuple[Value, ...]] = []
        self.fd: int | None = None
        self.connected = False
        self._at = 0
        self._add = add

    def take_options(self, settings: dict[str, Any]) -> None:
        """Say what can be said by options of a socket in that way; it goes out of `settings`."""
        if any(self._opens(event) for event in self.trace):
            for name, (level, option, unit) in _OPTIONS.items():
                if name in settings and settings[name] % unit == 0 and settings[name] > 0:
                    value = int(settings.pop(name)) // unit
                    self.options.append((Word(level), Word(option), Array((value,)), 4))

    def _opens(self, event: Any) -> bool:
        """Does this event need a socket?"""
        ours = isinstance(event, traced.Call) and event.error is None
        return ours and (event.call == "open" or (event.call == "listen" and event.port == self.port))

    def called(self, event: traced.Call) -> None:
        """What a refused call was to do has not happened."""
        if event.error is not None or (event.call == "listen" and event.port != self.port):
            return
        self._at = event.t
        match event.call:
            case "listen":
                self._socket()
                self._call("setsockopt", 3, Word("SOL_SOCKET"), Word("SO_REUSEADDR"), Array((1,)), 4)
                self._call("bind", 3, _SOME, _SOME)
                self._call("listen", 3, 128)
            case "open":
                self._socket()
                self.fd = 3
                self._call("fcntl", 3, Word("F_SETFL"), _NONBLOCKING)
                self._call("connect", 3, _SOME, _SOME, result=-1, errno="EINPROGRESS")
            case call if self.fd is None:
                raise Unsayable(f"{call} at {_when(self._at)}: the user of a socket has no connection yet, or no more")
            case "send" if not self.connected:
                raise Unsayable(f"send at {_when(self._at)}: a socket takes no text before there is a connection")
            case "send":
                self._call("write", self.fd, _SOME, event.octets or 0, result=event.octets or 0)
            case "receive" if event.octets:
                self._call("read", self.fd, _SOME, event.octets, result=event.octets)
            case "close":
                self._close()
            case "abort":
                self._linger(0)
                self._call("close", self.fd)
                self.fd = None

    def _socket(self) -> None:
        self._call("socket", _SOME, Word("SOCK_STREAM"), Word("IPPROTO_TCP"), result=3)
        for option in self.options:
            self._call("setsockopt", 3, *option)

    def _close(self) -> None:
        """Our CLOSE is of one direction, as shutdown() is; that of a socket gives up both."""
        assert self.fd is not None
        if self.connected and self.linger is None and not self.half_duplex:
            self._call("shutdown", self.fd, Word("SHUT_WR"))
            return
        if self.linger is None:
            self._call("close", self.fd)
        elif self.linger % SECOND or not self.linger:
            raise Unsayable(f"close at {_when(self._at)}: SO_LINGER counts whole seconds")
        else:
            self._linger(self.linger // SECOND)
            self._call("fcntl", self.fd, Word("F_SETFL"), _BLOCKING)
            over = (e.t for e in self.trace if e.t >= self._at and _ends_lingering(e))
            self._call("close", self.fd, until=min([*over, self._at + self.linger]))
        self.fd = None

    def _linger(self, seconds: int) -> None:
        value = Struct((Entry(1, "onoff"), Entry(seconds, "linger")))
        self._call("setsockopt", self.fd or 0, Word("SOL_SOCKET"), Word("SO_LINGER"), value, 8)

    def told(self, event: traced.Told) -> None:
        """A user who reads at once does so when there is something."""
        self._at = event.t
        match Notice(event.signal):
            case Notice.CONNECTED:
                self._connect()
            case Notice.TEXT if self.fd is not None and self.reads:
                self._call("read", self.fd, _SOME, int(event.detail), result=int(event.detail))
            case Notice.EOF if self.fd is not None and self.reads:
                self._call("read", self.fd, _SOME, 1, result=0)

    def _connect(self) -> None:
        self.connected = True
        if self.port:
            self.fd = 4
            self._call("accept", 3, _SOME, _SOME, result=4)
        elif self.fd is not None:
            self._call("getsockopt", self.fd, Word("SOL_SOCKET"), Word("SO_ERROR"), Array((0,)), Array((4,)))

    def _call(self, name: str, *arguments: Value, result: int = 0, errno: str = "", until: int | None = None) -> None:
        self._add(self._at, Call(name, arguments, result, errno), until)


def _ends_lingering(event: Any) -> bool:
    """Our FIN is acknowledged, or nobody waits for that any more."""
    acknowledged = isinstance(event, traced.Change) and event.event == Event.ACK_OF_FIN.name
    return acknowledged or isinstance(event, traced.End)


def _when(at: int) -> str:
    return f"{at / SECOND:.3f} s"
