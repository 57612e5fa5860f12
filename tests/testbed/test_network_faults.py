"""What befalls the network between hosts: simulator and Mininet agree on states, causes and the order of segments."""

from __future__ import annotations

import pytest
from parity import check_parity, in_both_worlds

from tcpclose.scenario import Scenario
from tcpclose.trace.events import End, FaultTaken, Lost, Sent, Told, Trace
from tcpclose.trace.releases import releases

pytestmark = [pytest.mark.testbed, pytest.mark.slow]

TALK = """
duration = "6s"
topology_args.delay = "2ms"
host.h1.tcp = { msl = "100ms", user_timeout = "1s", rto_min = "200ms", rto_initial = "400ms" }
host.h2.tcp = { msl = "100ms", user_timeout = "1s", rto_min = "200ms", rto_initial = "400ms" }
connection.c1 = { client = "h1", server = "h2", port = 80 }
[[step]]
at = "0s"
host = "h2"
call = "listen"
port = 80
[[step]]
at = "50ms"
host = "h1"
connection = "c1"
call = "open"
[[step]]
when = "h1.c1 in ESTABLISHED"
after = "300ms"
host = "h1"
connection = "c1"
call = "send"
bytes = 5000
[[step]]
when = "h2.c1 received 5000"
after = "250ms"
host = "h2"
connection = "c1"
call = "close"
[[step]]
when = "h1.c1 sees EOF"
host = "h1"
connection = "c1"
call = "close"
"""


def both(tmp_path, *steps: str, topology: str = "routed", more: str = "") -> Trace:
    """Two users talk and close while the faults strike; the trace of the simulator, with which Mininet's agrees."""
    faults = "".join(f"[[step]]\n{step}\n" for step in steps)
    scenario = Scenario.parse(f'topology = "{topology}"\n{more}\n{TALK}{faults}')
    simulated, emulated = in_both_worlds(scenario, tmp_path)
    check_parity(simulated, emulated)
    for there, here in zip(emulated.of(FaultTaken), simulated.of(FaultTaken), strict=True):
        assert abs(there.t - here.t) < 200_000
    return simulated


def causes(trace: Trace) -> dict[str, str]:
    return {end.host: end.cause for end in trace.of(End)}


def told(trace: Trace, host: str) -> set[str]:
    return {event.detail for event in trace.of(Told) if event.host == host and event.signal == "ERROR"}


DURING = 'when = "h1.c1 in ESTABLISHED"\nafter = "150ms"\n'
LATER = 'when = "h1.c1 in ESTABLISHED"\nafter = "800ms"\n'


@pytest.mark.parametrize(("code", "number"), [("net", 0), ("host", 1), ("admin", 13), ("silent", None)])
def test_a_withdrawn_route(tmp_path, code, number):
    trace = both(tmp_path, f'{DURING}fault = "unreachable"\nrouter = "r1"\nto = "h2"\ncode = "{code}"')
    assert causes(trace)["h1"] == "user timeout"
    assert told(trace, "h1") == ({f"ICMP type 3 code {number}"} if number is not None else set())


def test_a_route_that_comes_back(tmp_path):
    trace = both(
        tmp_path,
        f'{DURING}fault = "unreachable"\nrouter = "r2"\nto = "h2"',
        f'{LATER}fault = "reachable"\nrouter = "r2"\nto = "h2"',
    )
    assert causes(trace) == {"h1": "graceful", "h2": "graceful"}
    assert told(trace, "h1") == {"ICMP type 3 code 0"}


def test_a_link_that_has_become_too_narrow(tmp_path):
    trace = both(tmp_path, f'{DURING}fault = "mtu"\nlink = "r1-r2"\nmtu = 1000')
    assert causes(trace) == {"h1": "graceful", "h2": "graceful"}
    assert {sent.len for sent in trace.of(Sent) if sent.host == "h1"} >= {1460, 960}


def test_a_failover(tmp_path):
    trace = both(tmp_path, f'{DURING}fault = "carrier_down"\nlink = "r1-r2"', topology="redundant")
    assert causes(trace) == {"h1": "graceful", "h2": "graceful"}


def test_a_carrier_that_comes_back(tmp_path):
    down, up = f'{DURING}fault = "carrier_down"\nlink = "r1-r2"', f'{LATER}fault = "carrier_up"\nlink = "r1-r2"'
    trace = both(tmp_path, down, up)
    assert causes(trace) == {"h1": "graceful", "h2": "graceful"}
    assert told(trace, "h1") == {"ICMP type 3 code 0"}


@pytest.mark.parametrize(("topology", "node"), [("two_hosts", "s1"), ("routed", "r1")])
def test_power(tmp_path, topology, node):
    off, on = (f'{when}fault = "power_{what}"\nnode = "{node}"' for when, what in ((DURING, "off"), (LATER, "on")))
    assert causes(both(tmp_path, off, on, topology=topology)) == {"h1": "graceful", "h2": "graceful"}


@pytest.mark.parametrize("kind", ["firewall", "nat"])
def test_a_middlebox_lets_through_what_the_inside_opens(tmp_path, kind):
    trace = both(tmp_path, topology="middlebox", more=f'middlebox.m1.kind = "{kind}"')
    assert [release.how for release in releases(trace)] == ["graceful"]
    assert not trace.of(Lost)


@pytest.mark.parametrize("kind", ["firewall", "nat"])
@pytest.mark.parametrize(("answer", "cause"), [("drop", "user timeout"), ("reset", "reset by peer")])
def test_a_middlebox_that_forgets(tmp_path, kind, answer, cause):
    more = f'middlebox.m1 = {{ kind = "{kind}", answer = "{answer}" }}'
    trace = both(tmp_path, f'{DURING}fault = "forget"\nmiddlebox = "m1"', topology="middlebox", more=more)
    assert causes(trace)["h1"] == cause
    assert {lost.reason for lost in trace.of(Lost)} == {"middlebox"}


def test_a_connection_that_is_idle_too_long(tmp_path):
    more = 'middlebox.m1 = { idle_timeout = "100ms", answer = "reset" }'
    assert causes(both(tmp_path, topology="middlebox", more=more))["h1"] == "reset by peer"


def test_a_power_cut_makes_a_middlebox_forget(tmp_path):
    off, on = f'{DURING}fault = "power_off"\nnode = "m1"', f'{LATER}fault = "power_on"\nnode = "m1"'
    more = 'middlebox.m1 = { answer = "reset" }'
    assert causes(both(tmp_path, off, on, topology="middlebox", more=more))["h1"] == "reset by peer"


@pytest.mark.parametrize("wrong", ["reserved bits", "data offset"])
def test_a_middlebox_that_resets_what_it_does_not_like(tmp_path, wrong):
    """RFC 3360: neither end has sent the RST that ends the connection."""
    inject = 'fault = "inject"\nhost = "h1"\nconnection = "c1"\nsource = "h1"\nctl = "ACK"\nseq = "next"\n'
    more = 'middlebox.m1 = { kind = "nat", invalid_header = "reset" }'
    trace = both(tmp_path, f'{DURING}{inject}wrong = "{wrong}"', topology="middlebox", more=more)
    assert causes(trace)["h1"] == "reset by peer"
    assert not [sent for sent in trace.of(Sent) if sent.ctl.startswith("RST") and sent.t < 200_000]
