"""How each connection of a trace was released: who began, how, what became of each end, and how long it took."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tcpclose.protocol.fsm import Event as Happens
from tcpclose.protocol.fsm import State
from tcpclose.trace.events import Call, Change, End, Event, FaultTaken, SegmentEvent, Trace
from tcpclose.trace.flights import Flight, connections, flights
from tcpclose.trace.spans import Interval, intervals

#: States in which an end has nothing left to do for its peer but to answer a repeated FIN (3.3.2).
OVER = frozenset(state.value for state in State if state.lingers or not state.has_peer)

_SYNCHRONIZED = frozenset(state.value for state in State if state.synchronized)
_RST = Happens.RST.name
_LINGERING = frozenset(state.value for state in State if state.lingers)

#: Who sent what no host sent. A trace does not know its name.
MIDDLEBOX = "a middlebox"


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

    A new one begins at an end with its OPEN, or where it leaves LISTEN after the other's OPEN. What a host without the
    connection sends and gets belongs to the newest: it refuses that one.
    """
    opens: Counter[tuple[str, str]] = Counter()
    opened: Counter[str] = Counter()  # how often, by the end that opens
    current: dict[tuple[str, str], int] = {}
    closed: set[tuple[str, str]] = set()
    lives: dict[int, list[Event]] = defaultdict(list)
    for event in trace:
        name, host = getattr(event, "connection", None) or "", getattr(event, "host", "")
        end = (host, name)
        if isinstance(event, Call) and event.call == "open" and event.error is None:
            opens[end] += 1
            current[end] = opened[name] = max(opened[name], opens[end])
            closed.discard(end)
        elif isinstance(event, Change):
            if event.old == State.LISTEN.value:
                current[end] = opened[name]
            (closed.add if event.new == State.CLOSED.value else closed.discard)(end)
        absent = isinstance(event, SegmentEvent) and (end in closed or end not in current)
        lives[(opened[name] if absent else current.get(end)) or 1].append(event)
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
