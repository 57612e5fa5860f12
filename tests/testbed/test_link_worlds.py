"""Every option of a link in both worlds: what the simulator says happens on Mininet, segment by segment."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from scenarios import scenario

from tcpclose.scenario import Scenario
from tcpclose.simulator import simulate
from tcpclose.topology import load_network
from tcpclose.trace.events import Disturbed, Dropped, Lost, Trace
from tcpclose.trace.flights import flights
from tcpclose.trace.releases import releases

pytestmark = [pytest.mark.testbed, pytest.mark.slow, pytest.mark.xdist_group("link worlds")]

TIMES = """
host.h1.tcp = { msl = "300ms", rto_min = "400ms" }
host.h2.tcp = { msl = "300ms", rto_min = "300ms" }
"""

RUN = """
import sys
from pathlib import Path
from tcpclose.testbed.emulate import emulate
folder = Path(sys.argv[1])
emulate(folder).save(folder / "trace.jsonl")
"""

#: What the link h1-s1 does, by what the case is about.
LINKS = {
    "nothing": 'delay = "10ms"',
    "drop a FIN": 'drop = "FIN from h2, first"',
    "drop an ACK of a FIN": 'drop = "ACK of FIN, 2 times"',
    "drop a RST": 'drop = "RST, all"',
    "hold a FIN": 'hold = "FIN from h1 for 300ms, first"',
    "duplicate FINs": 'duplicate = "FIN, all"',
    "corrupt text": 'corrupt = "segment on c1 with data, 2nd"',
    "corrupt a FIN": 'corrupt = ["FIN from h1, first", "FIN from h2, first"]',
    "mtu": "mtu = 576",
    "one direction": '[link.h1-s1.to.h1]\ndelay = "60ms"\nloss = "30%"',
    "loss": 'loss = "25%"',
    "burst": 'burst = { p = "20%", r = "50%" }',
    "duplicate": 'duplicate = "40%"',
    "corrupt": 'corrupt = "25%"',
    "rate": 'rate = "150kbit/s"\nqueue = 2',
    "jitter": 'jitter = "4ms"\ndistribution = "normal"',
    "reorder": 'reorder = "30%"\nreorder_by = "60ms"',
}


def talk(name: str) -> Scenario:
    """h1 sends, and both end it, over the link of a case."""
    end = "abort" if name == "drop a RST" else "close"
    return scenario(
        "0s: h2 listen",
        "100ms: h1 open",
        "h1 sees CONNECTED + 50ms: h1 send 4kB",
        f"h2 received 4kB + 100ms: h1 {end}",
        f"h2 sees EOF + 150ms: h2 {end}",
        tables=f"{TIMES}[link.h1-s1]\n{LINKS[name]}",
        iss=(100, 300),
        duration="6s",
    )


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: Any, box: None) -> dict[str, Trace]:
    """All cases on Mininet, several at once."""
    folder = tmp_path_factory.mktemp("links")

    def run(name: str) -> Trace:
        out: Path = folder / name
        out.mkdir()
        (out / "scenario.toml").write_text(talk(name).dump())
        done = subprocess.run([sys.executable, "-c", RUN, str(out)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return Trace.load(out / "trace.jsonl")

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(LINKS, pool.map(run, LINKS), strict=True))


def simulated(name: str) -> Trace:
    scenario = talk(name)
    return simulate(scenario, load_network(scenario))


def told(trace: Trace) -> dict[str, Any]:
    """What both worlds must agree on: how it ended, and what each host sent in which order and what became of it."""
    (release,) = releases(trace)
    sent: dict[str, list[tuple[Any, ...]]] = {"h1": [], "h2": [], "copies": []}
    for flight in flights(trace):
        lost = flight.lost and (flight.lost.reason, flight.lost.rule)
        what = (flight.segment.ctl, flight.seq, flight.ack, flight.segment.len, lost)
        sent["copies" if flight.copy else flight.source].append(what)
    deeds = sorted((event.src, event.reason, event.rule, event.seq) for event in trace.of(Disturbed))
    drops = sorted((event.host, event.reason) for event in trace.of(Dropped))
    return {
        "how": release.how,
        "causes": release.causes,
        "states": release.states,
        **sent,
        "deeds": deeds,
        "drops": drops,
    }


@pytest.mark.parametrize("name", LINKS)
def test_both_worlds_agree(name: str, emulated: dict[str, Trace]) -> None:
    assert told(emulated[name]) == told(simulated(name))


@pytest.mark.parametrize("name", sorted(LINKS.keys() - {"nothing", "jitter"}))
def test_the_link_does_something(name: str) -> None:
    trace = simulated(name)
    assert trace.of(Lost) or trace.of(Disturbed)
