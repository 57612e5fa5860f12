"""Each topology in both worlds: two users talk and close, and simulator and Mininet agree on all of it."""

from __future__ import annotations

import pytest
from parity import check_parity, in_both_worlds

from tcpclose.scenario import Scenario
from tcpclose.topology import TOPOLOGIES
from tcpclose.trace.releases import releases

pytestmark = [pytest.mark.testbed, pytest.mark.slow]

TALK = """
topology = "{topology}"
duration = "8s"
host.{client}.tcp.msl = "200ms"
[connection.c1]
client = "{client}"
server = "{server}"
port = 80
[[step]]
at = "0s"
host = "{server}"
call = "listen"
port = 80
[[step]]
at = "50ms"
host = "{client}"
connection = "c1"
call = "open"
[[step]]
when = "{client}.c1 in ESTABLISHED"
host = "{client}"
connection = "c1"
call = "send"
bytes = 5000
[[step]]
when = "{server}.c1 received 5000"
host = "{server}"
connection = "c1"
call = "send"
bytes = 100
[[step]]
when = "{client}.c1 received 100"
host = "{client}"
connection = "c1"
call = "close"
[[step]]
when = "{server}.c1 sees EOF"
host = "{server}"
connection = "c1"
call = "close"
"""

#: Which hosts talk.
ENDS = {
    "attacker": ("h2", "far"),
    "dumbbell": ("a1", "b2"),
    "guarded": ("h1", "h2"),
    "lossy_edge": ("h1", "h2"),
    "middlebox": ("h1", "h2"),
    "redundant": ("h1", "h2"),
    "routed": ("h1", "h2"),
    "two_hosts": ("h1", "h2"),
}


def test_none_is_forgotten():
    assert {path.stem for path in TOPOLOGIES.glob("*.py")} == ENDS.keys()


@pytest.mark.parametrize("topology", ENDS)
def test_both_worlds_agree(topology, tmp_path):
    client, server = ENDS[topology]
    scenario = Scenario.parse(TALK.format(topology=topology, client=client, server=server))
    simulated, emulated = in_both_worlds(scenario, tmp_path)
    check_parity(simulated, emulated)
    assert [release.how for release in releases(simulated)] == ["graceful"]
