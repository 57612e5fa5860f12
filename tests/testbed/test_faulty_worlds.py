"""Each fault in both worlds: they agree on states, causes and, per direction, the order and fate of segments."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from faulty import SCENARIOS, fault, scenario

from tcpclose import runs
from tcpclose.topology import load_network
from tcpclose.trace.events import Call, FaultTaken, Lost, Sent, Text, Trace
from tcpclose.trace.flights import flights
from tcpclose.trace.releases import releases

pytestmark = [pytest.mark.testbed, pytest.mark.slow, pytest.mark.xdist_group("worlds")]

_TOGETHER = 4  # runs in real time, each in a box of its own


def run(name, world, folder) -> Trace:
    folder.mkdir()
    scenario = SCENARIOS[name]
    return runs.execute(scenario, load_network(scenario), world, folder)


@pytest.fixture(scope="module")
def emulated(box, tmp_path_factory):
    """All of them on Mininet, side by side: a future of each, which a test that fails names."""
    folder = tmp_path_factory.mktemp("faults")
    with ThreadPoolExecutor(_TOGETHER) as pool:
        runs = {name: pool.submit(run, name, "mininet", folder / name) for name in SCENARIOS}
    return runs


def segments(trace):
    """By direction, what flew: numbers relative, and whether and why it was lost, in the order of sending."""
    ways = {}
    for flight in flights(trace):
        fate = "lost" if flight.lost else "arrived" if flight.arrived else None
        reason = flight.lost.reason if flight.lost else ""
        told = (flight.segment.ctl, flight.seq, flight.ack, flight.segment.len, fate, reason)
        ways.setdefault((flight.connection, flight.source, flight.target), []).append(told)
    return ways


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_worlds_agree(name, emulated, tmp_path):
    here, there = run(name, "sim", tmp_path / "sim"), emulated[name].result()
    faults = [[(e.fault, e.target, e.detail) for e in trace.of(FaultTaken)] for trace in (here, there)]
    assert faults[0] == faults[1]
    assert releases_of(here) == releases_of(there)
    assert segments(here) == segments(there)
    assert calls_refused(here) == calls_refused(there)
    assert texts(here) == texts(there)


def texts(trace):
    """By host, what the users had in each of its lives."""
    return sorted(
        (text.host, text.connection, text.sent_sha256, text.received, text.received_sha256) for text in trace.of(Text)
    )


def releases_of(trace):
    return [(release.connection, release.how, release.causes, release.states) for release in releases(trace)]


def calls_refused(trace):
    return [(call.host, call.call, call.error) for call in trace.of(Call) if call.error]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([fault("300ms", "resume", host="h2")], "resume h2: it was not paused"),
        ([fault("300ms", "crash", host="h2"), fault("400ms", "pause", host="h2")], "pause h2: it is off"),
        (
            [fault("50ms", "inject", host="h3", connection="c1", source="h1", ctl="RST", seq="next")],
            "counts from what has not been seen yet",
        ),
    ],
)
def test_a_fault_that_cannot_be_applied_fails_the_run(steps, words, box, tmp_path):
    one = scenario(*steps)
    with pytest.raises(runs.RunError, match=words):
        runs.execute(one, load_network(one), "mininet", tmp_path)


def test_a_run_ends_whose_host_is_paused_for_ever(box, tmp_path):
    one = scenario(fault("h1.c1 in FIN-WAIT-2", "pause", host="h1"), duration="1s", without=("answer",))
    trace = runs.execute(one, load_network(one), "mininet", tmp_path)
    (pause,) = trace.of(FaultTaken)
    assert not [
        event for event in trace if event.t > pause.t and getattr(event, "host", "") == "h1" and event.kind != "text"
    ]
    assert "h1" in {text.host for text in trace.of(Text)}  # it knows what it has sent


def test_two_faults_of_one_moment_both_come_before_the_segment(box, tmp_path):
    """h2 would acknowledge the FIN. It is silent by then, and then h1 is paused: the retransmission is late."""
    moment = "h2.c1 in CLOSE-WAIT"
    steps = fault(moment, "silent", host="h2"), fault(moment, "crash", host="h1")
    one = scenario(*steps, duration="1s", without=("answer",))
    trace = runs.execute(one, load_network(one), "mininet", tmp_path)
    assert [event.fault for event in trace.of(FaultTaken)] == ["silent", "crash"]
    ack = trace.of(Sent)[-1]
    assert (ack.host, ack.ctl) == ("h2", "ACK")
    assert ack.t > trace.of(FaultTaken)[1].t
    assert [lost.reason for lost in trace.of(Lost)] == ["silent"]
