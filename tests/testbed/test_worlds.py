"""The demonstration in both worlds: what the simulator says happens on Mininet, and tshark sees it in the captures."""

from __future__ import annotations

import json
import subprocess
from collections import Counter

import pytest

from tcpclose import runs
from tcpclose.scenario import Scenario
from tcpclose.topology import load_network
from tcpclose.trace.events import Received, Sent, Trace
from tcpclose.trace.flights import flights
from tcpclose.trace.releases import releases

pytestmark = [pytest.mark.testbed, pytest.mark.slow, pytest.mark.xdist_group("worlds")]

DEMO = runs.LABS / "demo" / "scenario.toml"


def run(world, folder):
    folder.mkdir(exist_ok=True)
    scenario = Scenario.load(DEMO)
    return runs.execute(scenario, load_network(scenario), world, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def emulated(folder, box) -> Trace:
    return run("mininet", folder / "mininet")


@pytest.fixture(scope="module")
def simulated(folder) -> Trace:
    return run("sim", folder / "sim")


def test_states_and_causes_agree(emulated, simulated):
    there, here = (
        {r.connection: (r.how, r.causes, r.states) for r in releases(trace)} for trace in (emulated, simulated)
    )
    assert there == here
    assert {name: how for name, (how, _, _) in here.items()} == {
        "graceful": "graceful",
        "refused": "abrupt",
        "aborted": "abrupt",
        "unreachable": "abrupt",
    }


def first_segments_of_release(trace, connection):
    """The segments of a connection from its first FIN or RST on, with relative numbers: the first three."""
    own = [flight for flight in flights(trace) if flight.connection == connection]
    first = next(i for i, flight in enumerate(own) if flight.controls & {"FIN", "RST"})
    return [
        (flight.source, flight.segment.ctl, flight.seq, flight.ack, flight.segment.len, flight.lost is not None)
        for flight in own[first : first + 3]
    ]


@pytest.mark.parametrize("connection", ["graceful", "refused", "aborted", "unreachable"])
def test_the_first_segments_of_each_release_agree(emulated, simulated, connection):
    assert first_segments_of_release(emulated, connection) == first_segments_of_release(simulated, connection)


def tshark(path, *fields, only):
    command = ["tshark", "-r", str(path), "-o", "tcp.check_checksum:TRUE", "-o", "tcp.relative_sequence_numbers:FALSE"]
    command += ["-o", "ip.check_checksum:TRUE", "-T", "fields", "-Y", only]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [tuple(line.split("\t")) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("world", ["mininet", "sim"])
@pytest.mark.parametrize("host", ["h1", "h2"])
def test_tshark_sees_the_same_fins_and_rsts_as_the_trace(world, host, folder, emulated, simulated, tshark_or_skip):
    trace = {"mininet": emulated, "sim": simulated}[world]
    told = Counter(
        (event.src.split(":")[0], str(event.id), str(event.seq), str(event.ack))
        for event in trace
        if isinstance(event, Sent | Received) and event.host == host and {"FIN", "RST"} & set(event.ctl.split(","))
    )
    capture = folder / world / f"{host}-eth0.pcap"
    seen = tshark(capture, "ip.src", "ip.id", "tcp.seq", "tcp.ack", only="tcp.flags.fin == 1 || tcp.flags.reset == 1")
    assert Counter((src, str(int(ident, 16)), seq, ack or "0") for src, ident, seq, ack in seen) == told
    assert sum(told.values()) >= 5


@pytest.mark.parametrize("world", ["mininet", "sim"])
@pytest.mark.parametrize("host", ["h1", "h2"])
def test_every_checksum_is_right(world, host, folder, emulated, simulated, tshark_or_skip):
    capture = folder / world / f"{host}-eth0.pcap"
    seen = tshark(capture, "tcp.checksum.status", "ip.checksum.status", only="tcp")
    assert set(seen) == {("1", "1")}
    assert len(seen) > 40


def test_the_folder_tells_what_was_run(folder, emulated):
    made = folder / "mininet"
    told = json.loads((made / "run.json").read_text())
    assert (told["status"], told["zero"]) == ("complete", emulated.zero)
    assert Scenario.load(made / "scenario.toml") == Scenario.load(DEMO)
    assert Trace.load(made / "trace.jsonl").events == emulated.events
    assert not list(made.glob("*.part"))
