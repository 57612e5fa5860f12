"""Linux as a peer: our TCP and the kernel's release a connection gracefully, both ways round, and lose nothing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path

import pytest
from inside import InBox
from scenarios import scenario

from tcpclose.scenario import Scenario, payload
from tcpclose.testbed.conductor import Conductor
from tcpclose.testbed.network import EmulatedNetwork
from tcpclose.topology import load_network
from tcpclose.trace.drawing import draw
from tcpclose.trace.events import End, Text, Told, Trace, from_json
from tcpclose.trace.figure import format_figure, parse_figure
from tcpclose.trace.releases import releases

pytestmark = [pytest.mark.testbed, pytest.mark.slow]

TABLES = """
[host.h1.tcp]
rto_min = "200ms"
msl = "500ms"

[host.h2]
stack = "linux"

[link.h1-s1]
delay = "2ms"
loss = "1%"

[link.h2-s1]
delay = "2ms"
"""

WAYS = [
    pytest.param("h1", "h2", "h1", id="we open, we close first"),
    pytest.param("h1", "h2", "h2", id="we open, Linux closes first"),
    pytest.param("h2", "h1", "h2", id="Linux opens, Linux closes first"),
    pytest.param("h2", "h1", "h1", id="Linux opens, we close first"),
]


def scenario_of(client: str, server: str, closer: str) -> Scenario:
    """1 MB each way over a lossy link. Who closes does so once it has everything; the other answers the end."""
    other = "h1" if closer == "h2" else "h2"
    return scenario(
        f"0s: {server} listen",
        f"10ms: {client} open",
        "h1 sees CONNECTED: h1 send 1MB",
        "h2 sees CONNECTED: h2 send 1MB",
        f"{closer} received 1MB: {closer} close",
        f"{other} sees EOF: {other} close",
        tables=TABLES,
        client=client,
        server=server,
        duration="40s",
    )


def run(*names: str) -> None:
    """In a box: the run, whose events are printed, and then what `ss` says on the Linux host while TIME-WAIT lasts."""
    plan = scenario_of(*names)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scenario.toml").write_text(plan.dump())
        with EmulatedNetwork(load_network(plan), plan.seed, folder, {}, ["h2"]) as network:
            Conductor(plan, folder / "scenario.toml", network).run()
            ss = network.popen("h2", ["ss", "-Htan"], stdout=subprocess.PIPE, text=True)
            print(json.dumps(ss.communicate()[0]))


@pytest.mark.parametrize(("client", "server", "closer"), WAYS)
def test_a_graceful_release_with_linux_and_nothing_lost(in_box: InBox, client, server, closer):
    *events, answer = in_box(run, client, server, closer).splitlines()
    trace, ss = Trace(map(from_json, events)), json.loads(answer)
    other = "h1" if closer == "h2" else "h2"

    (release,) = releases(trace)
    assert release.how == "graceful"
    assert release.first == closer
    assert release.states[closer][-1 if closer == "h2" else -2] == "TIME-WAIT"
    assert release.states[other][-3:] == ("CLOSE-WAIT", "LAST-ACK", "CLOSED")
    assert {event.host for event in trace.of(End)} >= {"h1"}

    megabyte = hashlib.sha256(payload(scenario_of(client, server, closer).step[2])).hexdigest()
    texts = {text.host: text for text in trace.of(Text)}
    for host in ("h1", "h2"):
        assert (texts[host].sent, texts[host].sent_sha256) == (1_000_000, megabyte)
        assert (texts[host].received, texts[host].received_sha256) == (1_000_000, megabyte)

    figure = draw(trace)
    assert parse_figure(format_figure(figure)) == figure
    assert sum(line.arrow is not None for line in figure) > 2 * 1_000_000 // 1460

    # What the kernel itself says: the one who closed first waits, the other has forgotten.
    connections = [line.split()[0] for line in ss.splitlines() if "10.0.0.1:" in line]
    assert connections == (["TIME-WAIT"] if closer == "h2" else [])
    assert not [event for event in trace.of(Told) if event.signal == "ERROR"]
