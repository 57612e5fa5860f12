"""Connections in TIME-WAIT as a compact table: a host that closes often has many of them, and they do next to nothing.

An entry is a few packed numbers under the pair of sockets as text. When something happens to one, its `Connection` is
rebuilt, does what the machine says, and is packed again, so that the rules stand once (3.6.1, 3.10.7.4).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from struct import Struct

from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.connection import Connection
from tcpclose.protocol.datagram import Endpoint, Pair
from tcpclose.protocol.fsm import State
from tcpclose.protocol.segment import Segment, seq_add, seq_diff
from tcpclose.protocol.timestamps import Timestamps

#: What an entry keeps: when 2 MSL are over, the limit of challenge ACKs, and these variables of the TCB.
_TCB = ("snd_nxt", "rcv_nxt", "rcv_edge", "snd_wnd_max", "rcv_shift")
_ENTRY = Struct(f"<qqI{len(_TCB) - 1}IB")
#: Where there are timestamps, these follow: the offset of our clock, TS.Recent and its age (RFC 7323).
_TIMESTAMPS = Struct("<IIq")

#: So many places of entries that are gone may stand in the order before they are swept out.
_SPARE_PLACES = 100

#: Room between the sequence numbers of two incarnations, for segments of the old one that are on their way (Linux's).
_ISS_GAP = 65537


class TimeWaitTable:
    """The entries of one host, in the order in which their 2 MSL are over. `new` makes a blank connection."""

    def __init__(self, config: TcpConfig, new: Callable[[TcpConfig], Connection]) -> None:
        self.config = config
        self.new = new
        self._entries: dict[str, bytes] = {}  # in the order of their time
        self._order: deque[str] = deque()  # the same, with old places of keys that have left or moved:
        self._stale: Counter[str] = Counter()  # so many of the first ones, by key
        self._last_due = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, pair: Pair) -> bool:
        return bool(self._entries) and str(pair) in self._entries

    def take(self, pair: Pair, connection: Connection) -> bool:
        """Pack a connection in TIME-WAIT. False when it must stay as it is, with text that the user may still read."""
        due, timestamps = connection.time_wait_at, connection.timestamps
        key = str(pair)
        if due is None or connection.receiver.text:
            return False
        if key not in self._entries or self._due(key) != due:
            if due < self._last_due:
                return False  # it was busy when its time began; the order would be lost
            self._leave(key)
            self._order.append(key)
            self._last_due = due
        numbers = [getattr(connection.tcb, name) for name in _TCB]
        entry = _ENTRY.pack(due, *connection.challenges, *numbers)
        if timestamps is not None:
            entry += _TIMESTAMPS.pack(timestamps.offset, timestamps.recent, timestamps.recent_at)
        self._entries[key] = entry
        return True

    def rebuild(self, pair: Pair) -> Connection | None:
        """The connection of an entry, which stays in the table until the next `take` or `discard`."""
        entry = self._entries.get(str(pair)) if self._entries else None
        if entry is None:
            return None
        due, until, sent, *numbers = _ENTRY.unpack_from(entry)
        connection = self.new(self.config)
        connection.state = State.TIME_WAIT
        connection.time_wait_at = due
        connection.challenges = (until, sent)
        tcb = connection.tcb
        for name, number in zip(_TCB, numbers, strict=True):
            setattr(tcb, name, number)
        tcb.snd_una, tcb.last_ack_sent = tcb.snd_nxt, tcb.rcv_nxt
        if len(entry) > _ENTRY.size:
            connection.timestamps = Timestamps(*_TIMESTAMPS.unpack_from(entry, _ENTRY.size))
        connection.sender.syn_acknowledged = True
        connection.receiver.configure(self.config)
        connection.receiver.finished = True
        connection.receiver.fin_seq = seq_add(tcb.rcv_nxt, -1)
        return connection

    def discard(self, pair: Pair) -> None:
        """Forget a pair, if it is here."""
        if self._entries:
            self._leave(str(pair))

    def ports(self, address: str) -> set[int]:
        """The local ports of the pairs here that have this local address."""
        locals_ = (Endpoint.parse(text) for text in {key.partition(" > ")[0] for key in self._entries})
        return {local.port for local in locals_ if local.address == address}

    def next_due(self) -> int | None:
        """When the first entry's 2 MSL are over, in microseconds."""
        return self._due(self._first()) if self._entries else None

    def oldest(self) -> Pair:
        """The pair that has waited longest."""
        return _parse(self._first())

    def _leave(self, key: str) -> None:
        """Take an entry out. Its place in the order is passed over later, since to search for it would be slow."""
        if self._entries.pop(key, None) is not None:
            self._stale[key] += 1
            if len(self._order) > 2 * len(self._entries) + _SPARE_PLACES:
                self._order = deque(self._entries)
                self._stale.clear()

    def _first(self) -> str:
        while (key := self._order[0]) in self._stale:
            self._order.popleft()
            self._stale[key] -= 1
            if not self._stale[key]:
                del self._stale[key]
        return key

    def _due(self, key: str) -> int:
        due: int = _ENTRY.unpack_from(self._entries[key])[0]
        return due


def may_reopen(old: Connection, syn: Segment) -> bool:
    """May this SYN open a new connection in place of one in TIME-WAIT (3.6.1, MAY-2)?

    Only if it is surely none of the old connection's. Timestamps tell best (RFC 6191, 2); without them, or within one
    tick of them, its number must lie beyond all that the peer has used.
    """
    least = old.config.time_wait_window == "closed"  # RCV.NXT itself is for the old connection there
    beyond = seq_diff(syn.seq, old.tcb.rcv_nxt) >= least
    if syn.timestamps is None or not old.config.timestamps:
        return beyond
    if old.timestamps is None:  # the new one's segments will have what the old one's lack, if that is insisted on
        return beyond or old.config.missing_timestamps == "drop"
    later = seq_diff(syn.timestamps[0], old.timestamps.recent)
    return later > 0 or (later == 0 and beyond)


def next_iss(old: Connection, iss: int) -> int:
    """An initial sequence number beyond all that we have used (3.6.1, MAY-2): `iss` if it is so, else the next."""
    larger = old.config.time_wait_iss == "any" and seq_diff(iss, old.tcb.snd_nxt) > 0
    return iss if larger else seq_add(old.tcb.snd_nxt, _ISS_GAP)


def _parse(key: str) -> Pair:
    local, remote = key.split(" > ")
    return Pair(Endpoint.parse(local), Endpoint.parse(remote))
