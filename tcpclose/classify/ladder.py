"""One connection of a capture as a trace, as runs leave it: so it can be printed as a figure, and drawn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np

from tcpclose.protocol.fsm import TABLE
from tcpclose.protocol.fsm import Event as Happens
from tcpclose.protocol.segment import FIN, RST, SYN, Segment, format_ctl, seq_add, seq_diff
from tcpclose.trace.drawing import draw
from tcpclose.trace.events import Call, Change, End, Event, Received, Sent, Trace
from tcpclose.trace.figure import format_figure
from tcpclose.trace.infer import Observer

from .endings import FOREIGN
from .files import Damage, blocks
from .packets import CHECK_BAD, Packets
from .releases import Release, Releases
from .telling import socket

#: Calls that packets show to have been made.
_CALLS = {
    Happens.OPEN_ACTIVE: "open",
    Happens.CLOSE: "close",
    Happens.FIN_SENT: "close",
    Happens.CLOSE_UNREAD: "close",
    Happens.ABORT: "abort",
}
#: What looks like an ABORT, and was another event, if the cause of the RST is this.
_RESETS = {
    "retransmission gave up": Happens.RETRANSMISSION_LIMIT,
    "keepalive gave up": Happens.KEEPALIVE_TIMEOUT,
    "unread data": Happens.CLOSE_UNREAD,
}
#: The control bits that a `Segment` knows by name.
_CONTROLS = 0xFF
#: How windows are scaled is not in our columns. Ends are taken to have offered as much as they can: the text came.
_LARGEST_SHIFT = 14
#: Packets that a ladder shows, at most: as many of the beginning as of the end.
MOST = 2_000
_64 = (1 << 64) - 1


def trace_of(path: str, release: Release, releases: Releases, ignore_checksums: bool = False) -> Trace:
    """The packets of a connection, as if both ends had traced them: each arrives when it was captured.

    But of FINs that crossed, the first arrives when the second has been sent; and what an end sent in vain until it
    gave up has not arrived. Of more than `MOST` packets, those in the middle are left out. The originator is "orig",
    the responder "resp", and states are inferred. Raises `OSError` and `NotACapture`.
    """
    mine = {(release.src, release.sport), (release.dst, release.dport)}
    after = (o.number for o in releases if o.number > release.number and {(o.src, o.sport), (o.dst, o.dport)} == mine)
    until = min(after, default=1 << 62)
    both = _Both({"orig": socket(release.src, release.sport), "resp": socket(release.dst, release.dport)}, release)
    late: list[_Packet] = []
    closed: set[str] = set()
    in_vain = release.kind == "timed out" or release.cause in ("retransmission gave up", "keepalive gave up")
    for packet, shown, last_words in _with_places(_packets(path, release, until, ignore_checksums)):
        both.shows = shown
        both.send(packet)
        if in_vain and last_words and both.wants_answer(packet):
            continue
        if packet.segment.ctl & FIN:
            closed.add(packet.host)
        if release.kind == "simultaneous" and closed == {packet.host}:
            late.append(packet)
            continue
        if len(closed) == 2:
            both.receive(late, packet.t)
            late = []
        both.receive([packet], packet.t)
    both.receive(late, late[-1].t if late else 0)
    return Trace(both.events, zero=release.start // 1000)


def _with_places(packets: Iterable[_Packet]) -> Iterator[tuple[_Packet, bool, bool]]:
    """Each, whether it is to be shown, and whether it is one of several after which only its own sender was heard."""
    waiting: deque[_Packet] = deque()
    count = 0
    for packet in packets:
        waiting.append(packet)
        if len(waiting) > MOST:
            count += 1
            yield waiting.popleft(), count <= MOST // 2, False
    silence = sum(1 for _ in takewhile(lambda packet: packet.host == waiting[-1].host, reversed(waiting)))
    for left in range(len(waiting), 0, -1):
        count += 1
        yield waiting.popleft(), count <= MOST // 2 or left <= MOST // 2, 1 < silence >= left


class _Packet(NamedTuple):
    """A packet of the connection: microseconds since it began, sender, IP identification, and what it says."""

    t: int
    host: str
    id: int
    segment: Segment

    @property
    def seen(self) -> Segment:
        """As the ends are to understand it."""
        return replace(self.segment, wnd=0xFFFF, wscale=_LARGEST_SHIFT if self.segment.ctl & SYN else None)


class _Both:
    """Both ends, and what they have traced."""

    def __init__(self, sockets: dict[str, str], release: Release) -> None:
        self.events: list[Event] = []
        #: Whether packets are traced now, and not only what they lead to.
        self.shows = True
        self._sockets = sockets
        self._release = release
        self._ends = {host: Observer() for host in sockets}
        self._edges: dict[str, int] = {}  # behind the last octet of text that each has sent

    def send(self, packet: _Packet) -> None:
        host, size = packet.host, self._new(packet)
        foreign = self._release.cause in FOREIGN and host == self._release.reset_by
        if not (foreign and packet.segment.ctl & RST):
            self._ends[host].sent(packet.seen, packet.t)
        if size and self.shows:
            self.events.append(Call(t=packet.t, host=host, connection="c1", call="send", octets=size))
        self.events += self._changes(host)
        if self.shows:
            self.events.append(Sent(host=host, t=packet.t, **self._fields(packet)))

    def receive(self, packets: Iterable[_Packet], t: int) -> None:
        for packet in packets:
            host = self._other(packet.host)
            if self.shows:
                self.events.append(Received(host=host, t=t, **self._fields(packet)))
            self._ends[host].received(packet.seen, t)
            self.events += self._changes(host)

    def wants_answer(self, packet: _Packet) -> bool:
        """Whether it is text, SYN, FIN or a probe. Nobody can know of a RST or an ACK whether it arrived."""
        segment = packet.segment
        edge = self._edges.get(packet.host, segment.seq)
        return not segment.ctl & RST and bool(segment.len or seq_diff(segment.seq, edge) < 0)

    def _new(self, packet: _Packet) -> int:
        """How many octets of its text were not sent before: what is sent again was given by no user again."""
        segment = packet.segment
        size = len(segment.data)
        end = seq_add(segment.seq, size + bool(segment.ctl & SYN))
        new = min(size, seq_diff(end, self._edges.get(packet.host, seq_add(end, -size))))
        if new >= 0:
            self._edges[packet.host] = end
        return max(0, new)

    def _changes(self, host: str) -> Iterator[Event]:
        """The steps of an end, and the calls of its user that they show."""
        for step in self._ends[host].news():
            row = step.row
            if row and row.event is Happens.ABORT and host == self._release.reset_by:
                row = TABLE[step.old].get(_RESETS.get(self._release.cause, row.event), row)
            if row and row.event in _CALLS:
                yield Call(t=step.t, host=host, connection="c1", call=_CALLS[row.event])
            yield Change(
                t=step.t,
                host=host,
                connection="c1",
                old=step.old.value,
                new=step.new.value,
                event=row.event.name if row else "",
                rfc=row.rfc if row else "",
                source="packets",
            )
            if row and row.cause and row.event in _RESETS.values():
                yield End(t=step.t, host=host, connection="c1", cause=row.cause.value, rfc=row.rfc)

    def _other(self, host: str) -> str:
        return "resp" if host == "orig" else "orig"

    def _fields(self, packet: _Packet) -> dict[str, Any]:
        segment = packet.segment
        return {
            "connection": "c1",
            "id": packet.id,
            "src": self._sockets[packet.host],
            "dst": self._sockets[self._other(packet.host)],
            "seq": segment.seq,
            "ack": segment.ack,
            "ctl": format_ctl(segment.ctl),
            "len": len(segment.data),
            "wnd": segment.wnd,
        }


def told(trace: Trace, release: Release) -> str:
    """The connection as a figure of the RFC, with numbers relative to where the ends begin, and what it comes to."""
    first, second = socket(release.src, release.sport), socket(release.dst, release.dport)
    lines = [
        f"{first} (A, the originator) and {second} (B), from packet {release.number} on",
        f"{release.kind}; closed first by {release.closed_first or 'nobody'}; "
        f"conn_state {release.conn_state}, history {release.history}",
    ]
    if release.cause:
        packets = ", ".join(map(str, release.evidence))
        lines.append(f"{release.cause}: {release.confidence} confidence, from packets {packets}")
    if release.orig_packets + release.resp_packets > MOST:
        lines.append(f"the first {MOST // 2:,} packets and the last {MOST // 2:,}")
    return "\n".join(lines) + "\n\n" + format_figure(draw(trace, peers=("orig", "resp")))


def _packets(path: str, release: Release, until: int, ignore_checksums: bool) -> Iterator[_Packet]:
    try:
        for block in blocks(path, ignore_checksums):
            packets = block.packets
            if len(packets.number) and packets.number[0] >= until:
                return
            here = _between(packets, release.src, release.sport, release.dst, release.dport)
            back = _between(packets, release.dst, release.dport, release.src, release.sport)
            ours = (here | back) & (packets.number >= release.number) & (packets.number < until)
            ours &= (packets.broken == 0) & (packets.check != CHECK_BAD)
            for i in np.flatnonzero(ours).tolist():
                segment = Segment(
                    int(packets.seq[i]),
                    int(packets.ack[i]),
                    int(packets.flags[i]) & _CONTROLS,
                    int(packets.window[i]),
                    bytes(int(packets.length[i])),
                )
                t = (int(packets.time[i]) - release.start) // 1000
                yield _Packet(t, "orig" if here[i] else "resp", int(packets.ip_id[i]), segment)
    except Damage:
        return  # who asks for one connection has been warned already


def _between(packets: Packets, src: str, sport: int, dst: str, dport: int) -> Any:
    (src_hi, src_lo), (dst_hi, dst_lo) = _halves(src), _halves(dst)
    return (
        (packets.sport == sport)
        & (packets.dport == dport)
        & (packets.src_lo == src_lo)
        & (packets.src_hi == src_hi)
        & (packets.dst_lo == dst_lo)
        & (packets.dst_hi == dst_hi)
    )


def _halves(text: str) -> tuple[np.uint64, np.uint64]:
    address = ip_address(text)
    number = int(address) if address.version == 6 else 0xFFFF << 32 | int(address)
    return np.uint64(number >> 64), np.uint64(number & _64)
