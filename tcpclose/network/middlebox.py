"""A firewall or address translator: a table of connections, and what becomes of segments that are not in it.

Pure, and used by both worlds: the simulator hands it datagrams, the relay of the testbed what it reads in frames. No
clock is known here: the time comes in with every call, in microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

from tcpclose.protocol.connection import answer_closed
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.segment import ACK, FIN, PSH, RST, SYN, URG
from tcpclose.wire.icmp import IcmpError

_MINUTE = 60_000_000
_PLAIN = FIN | SYN | RST | PSH | ACK | URG


@dataclass(frozen=True)
class MiddleboxSettings:
    """What a middlebox does to connections, which only the inside may open.

    A "firewall" leaves addresses alone, a "nat" gives what is inside the address of its outside. Connections that were
    silent for `idle_timeout` are forgotten, those not yet or no longer open for `transitory_timeout` (RFC 5382, REQ-5).
    `answer` is for segments of connections that are not known; `invalid_header` for headers that are malformed, or have
    other control bits than the first six, as middleboxes did that took ECN for an attack (RFC 3360).
    """

    kind: Literal["firewall", "nat"] = "firewall"
    idle_timeout: int = 124 * _MINUTE
    transitory_timeout: int = 4 * _MINUTE
    answer: Literal["drop", "reset"] = "drop"
    invalid_header: Literal["pass", "drop", "reset"] = "pass"


class Verdict(NamedTuple):
    """A segment goes on from and to these endpoints, or not at all; `answer` goes back to its sender."""

    onward: tuple[Endpoint, Endpoint] | None
    answer: Datagram | None = None


@dataclass(slots=True)
class _Entry:
    """A connection: the `inside` endpoint, and as what the outside knows it."""

    inside: Endpoint
    outside: Endpoint
    seen: int
    answered: bool = False
    fins: int = 0  # one bit for each direction
    reset: bool = False

    def begin(self) -> None:
        """The connection is opened, perhaps not for the first time."""
        self.answered, self.fins, self.reset = False, 0, False

    def note(self, ctl: int, outward: bool, now: int) -> None:
        self.seen = now
        self.answered |= not outward
        self.reset |= bool(ctl & RST)
        if ctl & FIN:
            self.fins |= 1 << outward

    @property
    def is_open(self) -> bool:
        return self.answered and self.fins != 3 and not self.reset


_Key: TypeAlias = tuple[bool, Endpoint, Endpoint]


class Middlebox:
    """`address` is that of its outside."""

    def __init__(self, settings: MiddleboxSettings, address: str) -> None:
        self.settings = settings
        self._address = address
        self._entries: dict[_Key, _Entry] = {}  # twice each: as seen from inside, and from outside

    def inspect(self, datagram: Datagram, outward: bool, now: int, valid: bool = True) -> Verdict:
        """A segment on its way out, or in; not `valid` when its header is malformed."""
        src, dst, segment = datagram
        if not valid or segment.ctl & ~_PLAIN:
            match self.settings.invalid_header:
                case "drop" | "reset" as answer:
                    return _refuse(datagram, answer)
        entry = self._find((outward, src, dst) if outward else (outward, dst, src), now)
        if outward and segment.ctl & (SYN | ACK | RST) == SYN:
            if entry is None:
                entry = self._enter(src, dst, now)
            elif not entry.is_open:
                entry.begin()
        if entry is None:
            return _refuse(datagram, self.settings.answer)
        entry.note(segment.ctl, outward, now)
        return Verdict((entry.outside, dst) if outward else (src, entry.inside))

    def inspect_error(self, error: IcmpError, outward: bool, now: int) -> IcmpError | None:
        """An ICMP error about a segment as it goes on, in the words of the other side; None where none is known."""
        if outward:
            entry = self._find((True, error.remote, error.local), now)
            reporter = self._address if self.settings.kind == "nat" else error.reporter
            return replace(error, remote=entry.outside, reporter=reporter) if entry else None
        entry = self._find((False, error.local, error.remote), now)
        return replace(error, local=entry.inside) if entry else None

    def forget(self) -> None:
        """Its table is lost."""
        self._entries.clear()

    def _find(self, key: _Key, now: int) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        settings = self.settings
        if now - entry.seen < (settings.idle_timeout if entry.is_open else settings.transitory_timeout):
            return entry
        _, _, remote = key
        del self._entries[True, entry.inside, remote], self._entries[False, entry.outside, remote]
        return None

    def _enter(self, inside: Endpoint, remote: Endpoint, now: int) -> _Entry:
        outside = inside
        if self.settings.kind == "nat":
            outside = Endpoint(self._address, inside.port)
            while self._find((False, outside, remote), now):  # two of the inside have the same port
                outside = Endpoint(self._address, outside.port % 0xFFFF + 1)
        entry = _Entry(inside, outside, now)
        self._entries[True, inside, remote] = self._entries[False, outside, remote] = entry
        return entry


def _refuse(datagram: Datagram, how: Literal["drop", "reset"]) -> Verdict:
    """A reset is made as the other end would make it that knows of no connection (RFC 9293, 3.5.2)."""
    src, dst, segment = datagram
    reset = answer_closed(segment) if how == "reset" else None
    return Verdict(None, Datagram(dst, src, reset) if reset else None)
