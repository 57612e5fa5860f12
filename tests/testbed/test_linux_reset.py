"""A Linux end that is reset, whatever its user was doing, is told so; a CLOSE before the handshake opens nothing."""

from __future__ import annotations

import pytest

from tcpclose import runs
from tcpclose.scenario import Scenario
from tcpclose.topology import load_network
from tcpclose.trace.reading import releases

pytestmark = [pytest.mark.testbed, pytest.mark.slow]

BASE = """
topology = "two_hosts"
duration = "3s"
[host.{linux}]
stack = "linux"
receive = "{receive}"
[connection.c]
client = "h1"
server = "h2"
port = 80
[[step]]
at = "0s"
host = "h2"
call = "listen"
port = 80
[[step]]
at = "50ms"
host = "h1"
connection = "c"
call = "open"
"""

ABORT = """
[[step]]
when = "h1.c sees CONNECTED"
after = "200ms"
host = "h1"
connection = "c"
call = "abort"
"""

CLOSE_FIRST = """
[[step]]
when = "h1.c sees CONNECTED"
host = "h1"
connection = "c"
call = "close"
"""

CLOSE_AT_ONCE = """
[[step]]
when = "h1.c in SYN-SENT"
host = "h1"
connection = "c"
call = "close"
"""


@pytest.mark.parametrize(
    ("linux", "receive", "steps", "causes"),
    [
        pytest.param("h2", "auto", ABORT, {"h1": "aborted", "h2": "reset by peer"}, id="reading"),
        pytest.param("h2", "manual", ABORT, {"h1": "aborted", "h2": "reset by peer"}, id="not reading"),
        pytest.param("h2", "auto", CLOSE_FIRST + ABORT, {"h1": "aborted", "h2": "reset by peer"}, id="in CLOSE-WAIT"),
        pytest.param("h1", "auto", CLOSE_AT_ONCE, {"h1": "not opened"}, id="CLOSE in SYN-SENT"),
    ],
)
def test_the_cause_at_each_end(box, tmp_path, linux, receive, steps, causes):
    scenario = Scenario.parse(BASE.format(linux=linux, receive=receive) + steps)
    trace = runs.execute(scenario, load_network(scenario), "mininet", tmp_path)
    (release,) = releases(trace)
    assert {host: release.causes.get(host) for host in causes} == causes
