"""One scenario in both worlds, and what they must agree on."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from tcpclose import runs
from tcpclose.scenario import Scenario
from tcpclose.topology import load_network
from tcpclose.trace.events import FaultTaken, Trace
from tcpclose.trace.flights import flights
from tcpclose.trace.releases import releases


def in_both_worlds(scenario: Scenario, folder: Path) -> tuple[Trace, Trace]:
    """The traces of the simulator and of Mininet. Simulator and Mininet leave their files in `folder`/sim, /mininet."""
    traces = []
    for world in ("sim", "mininet"):
        (folder / world).mkdir()
        traces.append(runs.execute(scenario, load_network(scenario), world, folder / world))
    return traces[0], traces[1]


def outcome(trace: Trace) -> dict[str, Any]:
    """The states and causes of each connection, and the faults."""
    how = {release.connection: (release.how, release.causes, release.states) for release in releases(trace)}
    return {"releases": how, "faults": [(event.fault, event.target) for event in trace.of(FaultTaken)]}


def order(trace: Trace) -> dict[tuple[str | None, str], list[tuple[Any, ...]]]:
    """The segments of each direction of a connection in the order in which they set out, and why a link lost one."""
    directions = defaultdict(list)
    for flight in flights(trace):
        lost = flight.lost and flight.lost.reason
        directions[flight.connection, flight.source].append(
            (flight.segment.ctl, flight.seq, flight.ack, flight.segment.len, lost)
        )
    return dict(directions)


def check_parity(simulated: Trace, emulated: Trace) -> None:
    assert outcome(simulated) == outcome(emulated)
    here, there = order(simulated), order(emulated)
    assert here.keys() == there.keys()
    for direction, segments in here.items():
        assert segments == there[direction], direction
