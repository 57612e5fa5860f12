"""A Linux end that is reset, whatever its user was doing, is told so; a CLOSE before the handshake opens nothing."""

from __future__ import annotations

import pytest
from scenarios import scenario

from tcpclose import runs
from tcpclose.topology import load_network
from tcpclose.trace.releases import releases

pytestmark = [pytest.mark.testbed, pytest.mark.slow]

ABORT = "h1 sees CONNECTED + 200ms: h1 abort"
CLOSE_FIRST = "h1 sees CONNECTED: h1 close"
CLOSE_AT_ONCE = "h1 in SYN-SENT: h1 close"


@pytest.mark.parametrize(
    ("linux", "receive", "steps", "causes"),
    [
        pytest.param("h2", "auto", [ABORT], {"h1": "aborted", "h2": "reset by peer"}, id="reading"),
        pytest.param("h2", "manual", [ABORT], {"h1": "aborted", "h2": "reset by peer"}, id="not reading"),
        pytest.param("h2", "auto", [CLOSE_FIRST, ABORT], {"h1": "aborted", "h2": "reset by peer"}, id="in CLOSE-WAIT"),
        pytest.param("h1", "auto", [CLOSE_AT_ONCE], {"h1": "not opened"}, id="CLOSE in SYN-SENT"),
    ],
)
def test_the_cause_at_each_end(box, tmp_path, linux, receive, steps, causes):
    tables = f'[host.{linux}]\nstack = "linux"\nreceive = "{receive}"'
    plan = scenario("0s: h2 listen", "50ms: h1 open", *steps, tables=tables, duration="3s")
    trace = runs.execute(plan, load_network(plan), "mininet", tmp_path)
    (release,) = releases(trace)
    assert {host: release.causes.get(host) for host in causes} == causes
