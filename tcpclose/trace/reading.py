"""Reading a trace: what flew where, which states each end passed, how each connection was released.

Pure functions from a `Trace` to small records. Charts, tables, the terminal and the replay page all
draw these, so they agree. Times are microseconds from the start of the run, as in the trace.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tcpclose.protocol.fsm import Event as Happens
from tcpclose.protocol.fsm import State
from tcpclose.protocol.segment import seq_add, seq_diff
from tcpclose.trace.events import (
    Call,
    Change,
    Disturbed,
    End,
    Event,
    Expired,
    FaultTaken,
    Lost,
    Received,
    SegmentEvent,
    Sent,
    Trace,
)

#: States in which an end has nothing left to do for its peer but to answer a repeated FIN (3.3.2).
OVER = frozenset(state.value for state in State if state.lingers or not state.has_peer)

_SYNCHRONIZED = frozenset(state.value for state in State if state.synchronized)
_RST = Happens.RST.name
_LINGERING = frozenset(state.value for state in State if state.lingers)

#: What stands on a lifeline from where its host crashed: it is in no state any more.
CRASH = "(Crash)"

#: Changes of one end this close together, with no call, arrival or timer between, come from one event (microseconds).
MOMENT = 1_000

#: The fault that ends each lasting fault.
REMEDY = {
    "link_down": "link_up",
    "carrier_down": "carrier_up",
    "silent": "speaking",
    "crash": "reboot",
    "pause": "resume",
    "power_off": "power_on",
    "unreachable": "reachable",
}

#: Who sent what no host sent. A trace does not know its name.
MIDDLEBOX = "a middlebox"

#: What people call them while they last.
_LASTING = {"crash": "off", "pause": "paused", "forget": "forgets"}


@dataclass(frozen=True, slots=True)
class Flight:
    """One segment's way from the host `source` to the host `target` (an address where the host is not known).

    A flight with neither `arrived` nor `lost` was under way when the trace ended, or its target keeps no trace.
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
    recent: dict[frozenset[str], str] = {}  # 4-tuple to the connection that used it last
    numbers, beginnings = _Numbers(), _first_syns(trace)
    result = []
    for journey in _journeys(trace):
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
        seq, ack, again = numbers.read(owner, source, first, forged, id(sent) in beginnings)
        result.append(
            Flight(
                connection=owner,
                source=source,
                target=arrived.host if arrived else names.get(address(first.dst), address(first.dst)),
                sent=sent,
                arrived=arrived,
                lost=journey.lost,
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


@dataclass(frozen=True, slots=True)
class Interval:
    """One end was in `state` from `start` to `end`, after `previous`; `entered` is the row of the table that led in."""

    state: str
    start: int
    end: int
    previous: str
    entered: Change
    #: The host crashed in it: nobody left it.
    crashed: bool = False

    @property
    def length(self) -> int:
        """In microseconds."""
        return self.end - self.start


def intervals(trace: Trace) -> dict[tuple[str, str], list[Interval]]:
    """The states of each end, by (host, connection), from its first change to the end of the trace, or to a crash.

    A segment that fires two rows, FIN-WAIT-1 to FIN-WAIT-2 to TIME-WAIT, leads straight to the last state: nobody
    could see the one between.
    """
    steps: dict[tuple[str, str], list[tuple[Change, Change]]] = defaultdict(list)  # first and last row of each step
    stirred: dict[str, int] = defaultdict(int)  # how often something happened to a host
    stirred_at: dict[tuple[str, str], int] = {}
    crashes: dict[str, list[int]] = defaultdict(list)
    for event in trace:
        match event:
            case Call() | Received() | Expired():
                stirred[event.host] += 1
            case FaultTaken(fault="crash"):
                crashes[event.target].append(event.t)
            case Change() if event.old != event.new:
                end = (event.host, event.connection)
                passed = steps[end]
                first = event
                if passed and stirred_at[end] == stirred[event.host] and event.t - passed[-1][0].t <= MOMENT:
                    first, _ = passed.pop()
                passed.append((first, event))
                stirred_at[end] = stirred[event.host]
    until = trace.events[-1].t if len(trace) else 0
    return {end: list(_intervals_of(passed, until, crashes[end[0]])) for end, passed in steps.items()}


def _intervals_of(steps: list[tuple[Change, Change]], until: int, crashes: list[int]) -> Iterator[Interval]:
    ends = [first.t for first, _ in steps[1:]] + [until + 1]
    for (first, last), end in zip(steps, ends, strict=True):
        crash = next((t for t in crashes if first.t <= t < end and last.new != State.CLOSED.value), None)
        end = min(end, until)
        yield Interval(last.new, first.t, end if crash is None else crash, first.old, last, crash is not None)


@dataclass(frozen=True, slots=True)
class Outage:
    """A fault and how long it lasted; `end` is None when it never ended, and equals `start` for a fault of a moment."""

    fault: str
    target: str
    start: int
    end: int | None
    detail: str = ""

    @property
    def name(self) -> str:
        """For people: "link h1-s1 down", "h2 silent", "h2 off", "h3 inject: RST as h1 on c1"."""
        words = self.fault.split("_")
        if len(words) > 1:
            return " ".join([words[0], self.target, *words[1:]])
        if self.fault == "crash" and self.end == self.start:
            return f"{self.target} rebooted"
        name = f"{self.target} {_LASTING.get(self.fault, self.fault)}"
        return f"{name}: {self.detail}" if self.detail else name


def outages(trace: Trace) -> list[Outage]:
    """The faults of the run, each lasting one joined with the fault that ended it."""
    result: list[Outage] = []
    for event in trace.of(FaultTaken):
        running = [
            place
            for place, outage in enumerate(result)
            if outage.target == event.target and outage.end is None and REMEDY[outage.fault] == event.fault
        ]
        if running:
            begun = result[running[-1]]
            result[running[-1]] = replace(begun, end=event.t)
        elif event.fault not in REMEDY.values():
            end = None if event.fault in REMEDY else event.t
            result.append(Outage(event.fault, event.target, event.t, end, event.detail))
    return result


@dataclass(frozen=True, slots=True)
class Release:
    """How one connection ended. The dictionaries go by host, one entry for each end that there was.

    A connection that was opened again, once it had ended, has a release for each incarnation, counted from 1.
    """

    connection: str
    incarnation: int = 1
    #: The host (or MIDDLEBOX) that began the release, and by what: "close", "abort", "timeout", "FIN", "RST" ...
    first: str | None = None
    action: str | None = None
    began: int | None = None
    #: "graceful" when every end that ended did so gracefully, "not opened", or "abrupt"; None when none ended.
    how: str | None = None
    causes: dict[str, str] = field(default_factory=dict)
    states: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: From `began` until the last end was in TIME-WAIT or CLOSED; None while one is in neither, or none was ever open.
    duration: int | None = None
    #: An end never ended.
    open: bool = True
    #: There was something to release: an end was in a synchronized state, or nobody told its states.
    opened: bool = True

    def outcome(self, host: str) -> str:
        """What became of one end: the cause of its end, "open", or "-" for one that was not opened."""
        states = self.states.get(host, ())
        return self.causes.get(host) or ("open" if states and states[-1] not in OVER else "-")


def connections(trace: Trace) -> list[str]:
    """The names of the connections, in the order of their first event."""
    names = (getattr(event, "connection", None) for event in trace)
    return list(dict.fromkeys(name for name in names if name))


def releases(trace: Trace) -> list[Release]:
    """How each connection of the run was released, in the order of `connections`, later incarnations at the end."""
    return [
        replace(release, incarnation=number)
        for number, life in enumerate(_incarnations(trace), 1)
        for release in _releases(life)
    ]


def first_releases(trace: Trace) -> dict[str, Release]:
    """By connection, how it was released, the first time if it was opened again."""
    return {release.connection: release for release in reversed(releases(trace))}


def _incarnations(trace: Trace) -> list[Trace]:
    """What belongs to the first incarnation of each connection, then what to the second, and so on.

    A new one begins at an end with its OPEN, or where it leaves LISTEN after the other's OPEN.
    """
    opens: Counter[tuple[str, str]] = Counter()
    opened: Counter[str] = Counter()  # how often, by the end that opens
    current: dict[tuple[str, str], int] = {}
    lives: dict[int, list[Event]] = defaultdict(list)
    for event in trace:
        name, host = getattr(event, "connection", None) or "", getattr(event, "host", "")
        if isinstance(event, Call) and event.call == "open" and event.error is None:
            opens[host, name] += 1
            current[host, name] = opened[name] = max(opened[name], opens[host, name])
        elif isinstance(event, Change) and event.old == State.LISTEN.value:
            current[host, name] = opened[name]
        lives[current.get((host, name)) or 1].append(event)
    return [Trace(lives[number]) for number in sorted(lives)] if len(lives) > 1 else [trace]


def _releases(trace: Trace) -> list[Release]:
    begun = _beginnings(trace)
    ends: dict[str, dict[str, list[Interval]]] = defaultdict(dict)
    for (host, connection), passed in intervals(trace).items():
        ends[connection][host] = passed
    told: dict[str, dict[str, End]] = defaultdict(dict)
    for event in trace.of(End):
        told[event.connection][event.host] = event
    return [_release(name, begun.get(name), ends[name], told[name]) for name in connections(trace)]


def _release(
    name: str, begun: tuple[int, str, str] | None, ends: dict[str, list[Interval]], told: dict[str, End]
) -> Release:
    over = {host: at for host, passed in ends.items() if (at := _over_since(passed)) is not None}
    for host, end in told.items():
        over.setdefault(host, end.t)
    causes = {
        host: told[host].cause if host in told else "crashed" if _crashed(ends[host]) else "graceful"
        for host in over
        if host in told or _lingers(ends[host]) or _crashed(ends[host])
    }
    began, first, action = begun or (None, None, None)
    is_open = not over or bool(ends.keys() - over.keys())
    states = {host: tuple(interval.state for interval in passed) for host, passed in ends.items()}
    opened = not states or any(state in _SYNCHRONIZED for passed in states.values() for state in passed)
    return Release(
        connection=name,
        first=first,
        action=action,
        began=began,
        how=_how(set(causes.values())),
        causes=causes,
        states=states,
        duration=max(0, max(over.values()) - began) if began is not None and opened and not is_open else None,
        open=is_open,
        opened=opened,
    )


def _how(causes: set[str]) -> str | None:
    if causes <= {"graceful"} or causes == {"not opened"}:
        return next(iter(causes), None)
    return "abrupt"


def _over_since(passed: list[Interval]) -> int | None:
    """When an end entered the last of its states, counting from TIME-WAIT, or crashed; None while it lives."""
    since = passed[-1].end if _crashed(passed) else None
    for interval in reversed(passed):
        if interval.state not in OVER:
            break
        since = interval.start
    return since


def _crashed(passed: list[Interval]) -> bool:
    """The host crashed, and the connection with it, before it was over."""
    return passed[-1].crashed and passed[-1].state not in OVER


def _lingers(passed: list[Interval]) -> bool:
    return passed[-1].state in _LINGERING


def _beginnings(trace: Trace) -> dict[str, tuple[int, str, str]]:
    """Connection to (time, host, action) of the first event that released it.

    A RST before both ends were synchronized may have answered an old duplicate (3.5, figure 8) and released nothing.
    """
    synchronized: dict[str, int] = {}
    for event in trace.of(Change):
        if event.new in _SYNCHRONIZED and event.old not in _SYNCHRONIZED:
            synchronized[event.connection] = event.t
    begun: dict[str, tuple[int, str, str]] = {}
    for at, connection, host, action in _release_actions(trace):
        if action != "RST" or at >= synchronized.get(connection, 0):
            begun.setdefault(connection, (at, host, action))
    return begun


def _release_actions(trace: Trace) -> Iterator[tuple[int, str, str, str]]:
    """Everything that may release a connection, in order: (time, connection, host, action)."""
    flown: dict[int, Flight] = {id(flight.segment): flight for flight in flights(trace)}
    crashes: dict[tuple[str, int], list[str]] = defaultdict(list)  # by host and time, the connections that it had
    for (host, name), passed in intervals(trace).items():
        for interval in passed:
            if interval.crashed and interval.state not in OVER:
                crashes[host, interval.end].append(name)
    for event in trace:
        match event:
            case Call(connection=str(name), call="close" | "abort", error=None):
                yield event.t, name, event.host, event.call
            case FaultTaken(fault="crash"):
                for name in crashes[event.target, event.t]:
                    yield event.t, name, event.target, "crash"
            case Change(new=State.CLOSED.value) if event.old not in _LINGERING:
                word = event.event if event.event == _RST else event.event.lower().replace("_", " ")
                yield event.t, event.connection, event.host, "timeout" if "timeout" in word else word
            case SegmentEvent() if flight := flown.get(id(event)):
                ending = next((bit for bit in ("RST", "FIN") if bit in flight.controls), None)
                if ending and flight.connection and (flight.changes or not flight.forged):
                    yield event.t, flight.connection, MIDDLEBOX if flight.unsent else flight.source, ending
