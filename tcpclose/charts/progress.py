"""What a sequence chart shows: what one end sent, what of it was acknowledged, how far the window went."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tcpclose.trace.events import Expired, Trace
from tcpclose.trace.flights import MOMENT, Flight, connections, flights, telling


@dataclass(frozen=True, slots=True)
class Interval:
    """Between two transmissions of the same octets, the later one by a timer; `before` is the interval before it."""

    seq: int
    start: int
    end: int
    before: int | None = None

    @property
    def length(self) -> int:
        """In microseconds."""
        return self.end - self.start

    @property
    def doubled(self) -> int | None:
        """When the timer was to expire if it was set to twice the interval before (RFC 6298, 5.5)."""
        return None if self.before is None else self.start + 2 * self.before


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """At the time `t` its sender knew that all before `ack` had arrived, and might send up to `edge`."""

    t: int
    ack: int
    edge: int


@dataclass(slots=True)
class Direction:
    """One direction of one connection."""

    connection: str
    source: str
    target: str
    #: What occupies sequence numbers, and resets.
    sent: list[Flight] = field(default_factory=list)
    heard: list[Acknowledged] = field(default_factory=list)
    intervals: list[Interval] = field(default_factory=list)

    @property
    def octets(self) -> int:
        """Text, counted as often as it was sent."""
        return sum(flight.segment.len for flight in self.sent)

    @property
    def top(self) -> int:
        """Behind the highest number used."""
        return max((flight.seq + length(flight) for flight in self.sent), default=1)

    @property
    def times(self) -> list[int]:
        """All moments at which something happens."""
        return [flight.start for flight in self.sent] + [known.t for known in self.heard]


def length(flight: Flight) -> int:
    """The sequence numbers that a segment occupies."""
    return flight.segment.len + len(flight.controls & {"SYN", "FIN"})


def directions(trace: Trace) -> list[Direction]:
    """Those that carried text or sent something again; where none did, all that sent anything to be acknowledged."""
    found: dict[str, dict[tuple[str, str], Direction]] = defaultdict(dict)
    scales: dict[tuple[str, str], int | None] = {}
    for flight in flights(trace):
        name, source, target = flight.connection, flight.source, flight.target
        if name is None or flight.forged or flight.unsent or flight.copy:
            continue
        both = found[name]
        there = both.setdefault((source, target), Direction(name, source, target))
        back = both.setdefault((target, source), Direction(name, target, source))
        if "SYN" in flight.controls:
            scales[name, source] = flight.segment.wscale
        if length(flight) or "RST" in flight.controls:
            there.sent.append(flight)
        if flight.ack is not None and flight.arrived and "RST" not in flight.controls:
            shift = None if "SYN" in flight.controls else _shift(scales, name, source, target)
            edge = flight.ack + (flight.segment.wnd << (shift or 0))
            back.heard.append(Acknowledged(flight.finish, flight.ack, edge))
    ways = [way for name in connections(trace) for way in found[name].values() if way.sent]
    chosen = [way for way in ways if way.octets or any(flight.retransmission for flight in way.sent)] or ways
    told = telling(trace)
    for way in chosen:
        way.heard = list(_advancing(way))
        way.intervals = list(_intervals(way, _told(way, trace) if way.source in told else _guessed(way)))
    return chosen


def _shift(scales: dict[tuple[str, str], int | None], name: str, source: str, target: str) -> int | None:
    """In use when both SYNs offered one (RFC 7323, 2.2)."""
    return scales.get((name, source)) if scales.get((name, target)) is not None else None


def _advancing(way: Direction) -> Iterator[Acknowledged]:
    """In order of time; an old acknowledgment takes nothing back, a connection that is opened again begins anew."""
    begins = deque(f.start for f in way.sent if "SYN" in f.controls and not f.retransmission)
    last: Acknowledged | None = None
    for known in sorted(way.heard, key=lambda known: known.t):
        while begins and begins[0] <= known.t:
            begins.popleft()
            last = None
        if last is None or known.ack >= last.ack:
            last = known
            yield known


def _told(way: Direction, trace: Trace) -> Callable[[Flight], bool]:
    """Whether the retransmission timer sent it, as a TCP tells: the first segment after it has expired."""
    ends = way.source, way.connection
    expired = deque(e.t for e in trace.of(Expired) if (e.host, e.connection) == ends and e.timer == "rto")

    def sent_by_timer(flight: Flight) -> bool:
        found = False
        while expired and expired[0] <= flight.start:
            expired.popleft()
            found = True
        return found

    return sent_by_timer


def _guessed(way: Direction) -> Callable[[Flight], bool]:
    """Of a kernel, that tells nothing: what it sends again when nothing has arrived just before."""
    arrivals = {known.t // MOMENT for known in way.heard}
    return lambda flight: not arrivals & {flight.start // MOMENT, flight.start // MOMENT - 1}


def _intervals(way: Direction, sent_by_timer: Callable[[Flight], bool]) -> Iterator[Interval]:
    last: dict[int, tuple[int, int | None]] = {}  # by SEQ: when it was sent last, and how long after the time before
    for flight in way.sent:
        if not length(flight):
            continue
        by_timer = sent_by_timer(flight)
        before = last.get(flight.seq)
        if before is None:
            last[flight.seq] = (flight.start, None)
            continue
        if flight.retransmission and by_timer:
            yield Interval(flight.seq, before[0], flight.start, before[1])
            last[flight.seq] = (flight.start, flight.start - before[0])
        else:
            last[flight.seq] = (flight.start, None)
