"""What flew where: the way of each segment of a trace, and who takes part.

Pure functions from a `Trace` to small records, as those of `spans.py` and `releases.py`. Charts, tables, the terminal
and the replay page all draw these, so they agree. Times are microseconds from the start of the run, as in the trace.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from tcpclose.protocol.fsm import State
from tcpclose.protocol.segment import seq_add, seq_diff
from tcpclose.trace.events import Call, Change, Disturbed, Expired, Lost, Received, SegmentEvent, Sent, Trace

#: Changes of one end this close together, with no call, arrival or timer between, come from one event (microseconds).
MOMENT = 1_000


@dataclass(frozen=True, slots=True)
class Flight:
    """One segment's way from the host `source` to the host `target` (an address where the host is not known).

    A flight that neither `arrived` nor is `missing` was under way when the trace ended, or its target keeps no trace.
    `sent` is None when the sender keeps none. `seq` and `ack` count from the ISS of their direction, or from the
    first number seen there when no SYN was; `ack` is None without the ACK bit.
    """

    connection: str | None
    source: str
    target: str
    sent: Sent | None
    arrived: Received | None
    #: By a link; or it arrived with a bit flipped there, and was dropped.
    lost: Lost | Disturbed | None
    seq: int
    ack: int | None
    #: No link lost it, and it was never received, though there was time: a router or switch knew no way, say.
    vanished: bool
    #: It occupies sequence space that this end had sent before.
    retransmission: bool
    #: A duplicate that a link made: nobody sent it.
    copy: bool = False
    #: The rows that its arrival fired, also those that keep the state.
    fired: tuple[Change, ...] = ()
    #: It says that it is from another host than that which sent it.
    forged: bool = False
    #: It claims to be from `source`, which keeps a trace of what it sends and did not send it: a middlebox did.
    unsent: bool = False

    @property
    def segment(self) -> SegmentEvent:
        """The segment as first seen."""
        seen = self.sent or self.arrived or self.lost
        assert seen is not None
        return seen

    @property
    def controls(self) -> frozenset[str]:
        """The names of the control bits."""
        return controls(self.segment)

    @property
    def start(self) -> int:
        """When it was first seen."""
        return self.segment.t

    @property
    def finish(self) -> int:
        """When it arrived or was lost; `start` when neither is known."""
        last = self.arrived or self.lost
        return max(last.t, self.start) if last else self.start

    @property
    def missing(self) -> bool:
        """It did not arrive, whatever became of it."""
        return self.lost is not None or self.vanished

    @property
    def changes(self) -> bool:
        """Its arrival led the receiver into another state."""
        return any(change.old != change.new for change in self.fired)


@dataclass(slots=True)
class _Journey:
    """A flight while it is being put together."""

    sent: Sent | None = None
    arrived: Received | None = None
    lost: Lost | Disturbed | None = None
    #: The link made it: nobody sent it again.
    copy: bool = False

    @property
    def seen(self) -> tuple[SegmentEvent, ...]:
        return tuple(event for event in (self.sent, self.arrived, self.lost) if event)


def controls(segment: SegmentEvent) -> frozenset[str]:
    """The names of a segment's control bits."""
    return frozenset(filter(None, segment.ctl.split(",")))


def address(endpoint: str) -> str:
    """The address in `"10.0.0.1:40001"` or `"[fd00::1]:40001"`."""
    return endpoint.rpartition(":")[0].strip("[]")


def hosts(trace: Trace) -> dict[str, str]:
    """Address to host name.

    Hosts that trace their segments tell both. One that traces only calls (a kernel's TCP, or nothing reached it) is the
    one host left for the one address left of a connection; who listens at its port may be that one.
    """
    found = {address(event.dst): event.host for event in trace.of(Received)}
    for sent in trace.of(Sent):
        found.setdefault(address(sent.src), sent.host)
    named: dict[str, set[str]] = defaultdict(set)
    used: dict[str, set[str]] = defaultdict(set)
    listening: dict[str, set[str]] = defaultdict(set)  # by port
    for event in trace:
        connection = getattr(event, "connection", None)
        if connection and isinstance(event, SegmentEvent):
            used[connection] |= {end for end in (event.src, event.dst) if address(end) not in found}
        if connection and hasattr(event, "host"):
            named[connection].add(event.host)
        if isinstance(event, Call) and event.call == "listen":
            listening[str(event.port)].add(event.host)
    for connection, ends in used.items():
        addresses = {address(end) for end in ends}
        left = named[connection].union(*(listening[end.rpartition(":")[2]] for end in ends)) - set(found.values())
        if len(addresses) == len(left) == 1:
            found[addresses.pop()] = left.pop()
    return found


def connections(trace: Trace) -> list[str]:
    """The names of the connections, in the order of their first event."""
    names = (getattr(event, "connection", None) for event in trace)
    return list(dict.fromkeys(name for name in names if name))


def telling(trace: Trace) -> frozenset[str]:
    """The hosts that tell of their timers: those with our TCP. Of a kernel's, and in a capture, all is inferred."""
    return frozenset(
        event.host for event in trace if isinstance(event, Expired) or (isinstance(event, Change) and not event.source)
    )


def flights(trace: Trace) -> list[Flight]:
    """Every segment's way, in the order in which they set out. A duplicate made on the way has a flight of its own."""
    fired = _fired(trace)
    names = hosts(trace)
    speakers = {
        (event.connection, *_ends(event.connection, event)): event.host
        for event in trace.of(Sent)
        if names.get(address(event.src)) == event.host
    }
    journeys, witnesses = _journeys(trace), _witnesses(trace)
    deadline = _deadline(trace, journeys)
    recent: dict[frozenset[str], str] = {}  # 4-tuple to the connection that used it last
    numbers, beginnings = _Numbers(), _first_syns(trace)
    result = []
    for journey in journeys:
        first = journey.seen[0]
        pair = frozenset((first.src, first.dst))
        owner = next((event.connection for event in journey.seen if event.connection), recent.get(pair))
        if owner:
            recent[pair] = owner
        sent, arrived = journey.sent, journey.arrived
        answered = sent is None and not journey.copy and "RST" in controls(first)
        pretended = speakers.get((first.connection, *_ends(first.connection, first))) if answered else None
        source = sent.host if sent else pretended or names.get(address(first.src), address(first.src))
        forged = sent is not None and names.get(address(first.src), source) != source
        target = arrived.host if arrived else names.get(address(first.dst), address(first.dst))
        seq, ack, again = numbers.read(owner, source, first, forged, id(sent) in beginnings)
        result.append(
            Flight(
                connection=owner,
                source=source,
                target=target,
                sent=sent,
                arrived=arrived,
                lost=journey.lost,
                vanished=len(journey.seen) == 1 and sent is not None and sent.t < deadline and target in witnesses,
                seq=seq,
                ack=ack,
                retransmission=again and not journey.copy,
                copy=journey.copy,
                fired=tuple(fired.get(id(arrived), ())),
                forged=forged,
                unsent=pretended is not None,
            )
        )
    return result


def _journeys(trace: Trace) -> list[_Journey]:
    """Join what was sent with what arrived or was lost: the same segment with the same IPv4 identification.

    The identification alone would not do: it wraps, Linux sends some segments with 0, and IPv6 has none. Of twins, the
    first sent is the first to arrive.
    """
    journeys: list[_Journey] = []
    under_way: dict[tuple[object, ...], deque[_Journey]] = defaultdict(deque)
    over: dict[tuple[object, ...], _Journey] = {}
    for event in trace:
        if not isinstance(event, SegmentEvent) or (isinstance(event, Disturbed) and event.reason != "corrupt"):
            continue
        ends = _ends(event.connection, event)
        key = (event.connection, *ends, event.id, event.seq, event.ack, event.ctl, event.len)
        if isinstance(event, Sent):
            journeys.append(_Journey(event))
            under_way[key].append(journeys[-1])
            continue
        if under_way[key]:
            journey = under_way[key].popleft()
        else:
            original = over.get(key)
            journey = _Journey(original.sent, copy=True) if original else _Journey()
            journeys.append(journey)
        over[key] = journey
        if isinstance(event, Received):
            journey.arrived = event
        elif isinstance(event, Lost | Disturbed):
            journey.lost = event
    return sorted(journeys, key=lambda journey: journey.seen[0].t)


def _witnesses(trace: Trace) -> set[str]:
    """The hosts that keep a trace of all that arrives: they take part in a run. Whom a capture shows does not."""
    return {event.host for event in trace.of(Received)} & {event.host for event in trace.of(Call)}


def _deadline(trace: Trace, journeys: Sequence[_Journey]) -> int:
    """Before this time set out what had time to arrive: twice that which any segment took."""
    took = (end.arrived.t - end.sent.t for end in journeys if end.sent and end.arrived)
    return (trace.events[-1].t if trace.events else 0) - 2 * max(took, default=0)


def _ends(connection: str | None, segment: SegmentEvent) -> tuple[str, str]:
    """What tells source and destination apart: ports, where they do, since addresses may be translated on the way."""
    ports = segment.src.rpartition(":")[2], segment.dst.rpartition(":")[2]
    return ports if connection and ports[0] != ports[1] else (segment.src, segment.dst)


class _Numbers:
    """Relative sequence numbers, and what was sent before, of all directions of all connections."""

    def __init__(self) -> None:
        self.iss: dict[tuple[str | None, str, str], int] = {}
        self.sent_to: dict[tuple[str | None, str, str, str], int] = {}

    def read(
        self, connection: str | None, source: str, segment: SegmentEvent, forged: bool, begins: bool
    ) -> tuple[int, int | None, bool]:
        """The segment's relative SEQ, its relative ACK if it has one, and whether it is a retransmission.

        A forged SYN begins nothing. One that `begins` a new incarnation may have the number of the old one.
        """
        bits = controls(segment)
        src, dst = _ends(connection, segment)
        this, other = (connection, src, dst), (connection, dst, src)
        here = (connection, source, src, dst)
        if begins or ("SYN" in bits and not forged and self.iss.get(this) != segment.seq):
            self.iss[this] = segment.seq
            self.sent_to.pop(here, None)
        seq = seq_add(segment.seq, -self.iss.setdefault(this, segment.seq))
        ack = None
        if "ACK" in bits:
            ack = seq_add(segment.ack, -self.iss.setdefault(other, segment.ack))
        length = segment.len + ("SYN" in bits) + ("FIN" in bits)
        edge = self.sent_to.get(here, segment.seq)
        again = length > 0 and seq_diff(segment.seq, edge) < 0
        end = seq_add(segment.seq, length)
        if length and seq_diff(end, edge) > 0:
            self.sent_to[here] = end
        return seq, ack, again


def _first_syns(trace: Trace) -> set[int]:
    """The SYNs that begin an incarnation, by the identity of their events: the first after OPEN, or out of LISTEN."""
    opening: set[tuple[str, str | None]] = set()
    first = set()
    for event in trace:
        match event:
            case Call(call="open", error=None) | Change(old=State.LISTEN.value):
                opening.add((event.host, event.connection))
            case Sent() if "SYN" in controls(event) and (event.host, event.connection) in opening:
                opening.discard((event.host, event.connection))
                first.add(id(event))
    return first


def _fired(trace: Trace) -> dict[int, list[Change]]:
    """The rows that each arrival fired, by the identity of its event.

    A change that cites no section is none, and one that no packet shows was fired by none: the kernel was asked.
    """
    fired: dict[int, list[Change]] = defaultdict(list)
    arrival: dict[str, Received] = {}  # the segment that a host is working on
    for event in trace:
        match event:
            case Received():
                arrival[event.host] = event
            case Call() | Expired():
                arrival.pop(event.host, None)
            case Change() if event.rfc and event.source != "sock_diag":
                cause = arrival.get(event.host)
                if cause and cause.connection in (None, event.connection) and event.t - cause.t <= MOMENT:
                    fired[id(cause)].append(event)
    return fired
