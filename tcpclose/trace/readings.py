"""The readings of a trace, sorted by connection: what a ladder, a figure and the page tell of each."""

from __future__ import annotations

from collections import defaultdict

from tcpclose.protocol.fsm import State
from tcpclose.trace.events import Call, FaultTaken, Trace
from tcpclose.trace.flights import Flight, flights
from tcpclose.trace.releases import Release, releases
from tcpclose.trace.spans import Interval, Outage, intervals, outages


class Readings:
    """All of one trace. The name None is of the segments of no connection."""

    def __init__(self, trace: Trace) -> None:
        #: The place of each event in the trace, by identity.
        self.place = {id(event): place for place, event in enumerate(trace)}
        self.flights: dict[str | None, list[Flight]] = defaultdict(list)
        for flight in flights(trace):
            self.flights[flight.connection].append(flight)
        self.intervals: dict[str | None, dict[str, list[Interval]]] = defaultdict(dict)
        for (host, connection), passed in intervals(trace).items():
            self.intervals[connection][host] = passed
        #: One for each incarnation.
        self.releases: dict[str | None, list[Release]] = defaultdict(list)
        for release in releases(trace):
            self.releases[release.connection].append(release)
        self._outages = outages(trace)
        self._traced = {host for ends in self.intervals.values() for host in ends}
        self._listens = [event for event in trace.of(Call) if event.call == "listen" and not event.error]
        self._crashes = [event for event in trace.of(FaultTaken) if event.fault == "crash"]

    def release(self, name: str | None) -> Release | None:
        """How a connection was released, the first time if it was opened again."""
        return next(iter(self.releases[name]), None)

    def outages(self, name: str | None) -> list[Outage]:
        """The faults that concern a connection."""
        return [outage for outage in self._outages if outage.connection in (None, name)]

    def listens(self, name: str | None) -> list[Call]:
        """The calls to listen at the port that a connection came to."""
        ends = self.endpoints(name) if name else {}
        return [call for call in self._listens if ends.get(call.host, "").endswith(f":{call.port}")]

    def endpoints(self, name: str | None) -> dict[str, str]:
        """The address and port that each host used first, if they were its own."""
        endpoints: dict[str, str] = {}
        for flight in self.flights[name]:
            if not flight.forged:
                endpoints.setdefault(flight.source, flight.segment.src)
            endpoints.setdefault(flight.target, flight.segment.dst)
        return endpoints

    def before(self, name: str | None, host: str) -> str:
        """The state of a host before its first change in a connection; "" where nobody knows.

        One that never changed has no connection: it is in LISTEN if its user has called for it by the time at which
        the first segment was to arrive, else CLOSED.
        """
        passed = self.intervals[name].get(host)
        if passed:
            return passed[0].previous
        first = next((flight for flight in self.flights[name] if flight.target == host), None)
        if name and first and self._is_listening(name, host, first.finish):
            return State.LISTEN.value
        return State.CLOSED.value if name and host in self._traced else ""

    def _is_listening(self, name: str, host: str, now: int) -> bool:
        """Whether its user has called for it since it crashed last."""
        crashes = [self.place[id(event)] for event in self._crashes if event.target == host and event.t <= now]
        calls = [self.place[id(call)] for call in self.listens(name) if call.host == host and call.t <= now]
        return max(calls, default=-1) > max(crashes, default=-1)
