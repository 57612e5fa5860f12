"""The simulator's routers and middleboxes, and what befalls them; that Mininet does the same, tests/testbed shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tcpclose.scenario import Scenario, ScenarioError
from tcpclose.simulator import simulate
from tcpclose.topology import TOPOLOGIES, TopologyError, load_network
from tcpclose.trace.events import Dropped, End, FaultTaken, Lost, Received, Sent, Told, Trace
from tcpclose.trace.flights import flights
from tcpclose.trace.releases import releases
from tcpclose.wire import decode_ethernet, decode_icmp, decode_tcp, read_pcap

TALK = """
duration = "10s"
host.h1.tcp = { user_timeout = "1s", rto_min = "200ms" }
host.h2.tcp = { user_timeout = "1s", rto_min = "200ms" }
connection.c1 = { client = "h1", server = "h2", port = 80 }
step = [
    { at = "0s", host = "h2", call = "listen", port = 80 },
    { at = "0s", host = "h1", connection = "c1", call = "open" },
    { at = "500ms", host = "h1", connection = "c1", call = "send", bytes = 3000 },
    { at = "1s", host = "h2", connection = "c1", call = "send", bytes = 10 },
"""


def talk(*faults: str, topology: str = "routed", **tables: Any) -> Scenario:
    more = "\n".join(f"{key} = {value}" for key, value in tables.items())
    steps = "".join(f"    {{ {fault} }},\n" for fault in faults)
    return Scenario.parse(f'topology = "{topology}"\n{more}\n{TALK}{steps}]\n')


def run(*faults: str, captures: Path | None = None, **options: Any) -> Trace:
    scenario = talk(*faults, **options)
    return simulate(scenario, load_network(scenario), captures)


def box(**settings: str) -> dict[str, str]:
    """A middlebox between the hosts, and the table that says what it does."""
    keys = ", ".join(f'{key} = "{value}"' for key, value in settings.items())
    return {"topology": "middlebox", "middlebox": f"{{ m1 = {{ {keys} }} }}"}


def received(trace: Trace, host: str) -> int:
    """The octets of text that arrived."""
    return sum(event.len for event in trace.of(Received) if event.host == host)


def errors(trace: Trace) -> list[tuple[str, str]]:
    return [(event.host, event.detail) for event in trace.of(Told) if event.signal == "ERROR"]


def causes(trace: Trace) -> dict[str, str]:
    return {end.host: end.cause for end in trace.of(End)}


UNREACHABLE = 'fault = "unreachable", router = "r1", to = "h2"'


@pytest.mark.parametrize(("code", "number"), [("net", 0), ("host", 1), ("admin", 13)])
def test_a_router_says_that_a_route_is_withdrawn(code, number, tmp_path):
    trace = run(f'at = "400ms", {UNREACHABLE}, code = "{code}"', captures=tmp_path)
    assert causes(trace)["h1"] == "user timeout"
    assert set(errors(trace)) == {("h1", f"ICMP type 3 code {number}")}
    assert [(taken.t, taken.target) for taken in trace.of(FaultTaken)] == [(400_000, "r1 to h2")]
    packets = [decode_ethernet(frame).payload for _, frame in read_pcap(tmp_path / "h1-eth0.pcap")]
    assert (number, "10.0.1.254") in {
        (error.code, error.reporter) for error in (decode_icmp(packet) for packet in packets if packet[9] == 1) if error
    }


def test_a_router_may_keep_it_to_itself_and_a_route_may_come_back():
    back = 'at = "650ms", fault = "reachable", router = "r1", to = "h2"'
    trace = run(f'at = "400ms", {UNREACHABLE}, code = "silent"', back)
    assert errors(trace) == []
    assert received(trace, "h2") == 3000
    assert received(run(back), "h2") == 3000  # from where it never was


def test_longer_packets_than_a_link_takes_come_back_as_errors():
    trace = run('at = "400ms", fault = "mtu", link = "r1-r2", mtu = 1499')
    assert {sent.len for sent in trace.of(Sent) if sent.host == "h1"} >= {1460, 1459}
    assert received(trace, "h2") == 3080  # the last 80 octets fitted, and come twice
    assert received(run('at = "400ms", fault = "mtu", link = "r1-r2", mtu = 1500'), "h2") == 3000


def test_routers_take_the_other_path_when_a_carrier_is_lost_and_return(tmp_path):
    down, up = (
        'at = "{}", fault = "carrier_{}", link = "r1-r2"'.format(*what) for what in (("400ms", "down"), ("900ms", "up"))
    )
    trace = run(down, up, topology="redundant", captures=tmp_path)
    assert (received(trace, "h2"), received(trace, "h1")) == (3000, 10)
    assert not trace.of(Lost)
    times = [time // 1_000_000 for time, _ in read_pcap(tmp_path / "r3-eth0.pcap")]
    assert times
    assert all(500 < time < 700 for time in times)


def test_what_is_on_a_link_is_lost_with_the_carrier_and_later_vanishes():
    trace = run('at = "505ms", fault = "carrier_down", link = "h1-r1"')
    assert [(lost.link, lost.reason, lost.len) for lost in trace.of(Lost)] == [
        ("h1-r1", "down", 1460),
        ("h1-r1", "down", 1460),
        ("h1-r1", "down", 80),
    ]
    assert causes(trace)["h1"] == "user timeout"


@pytest.mark.parametrize(("topology", "node"), [("two_hosts", "s1"), ("routed", "r2")])
def test_without_power_nothing_is_forwarded(topology, node):
    off, on = (
        f'at = "400ms", fault = "power_off", node = "{node}"',
        f'at = "650ms", fault = "power_on", node = "{node}"',
    )
    trace = run(off, topology=topology)
    assert causes(trace)["h1"] == "user timeout"
    assert received(trace, "h2") == 0
    assert received(run(off, on, topology=topology), "h2") == 3000


def test_a_link_between_two_that_are_off_needs_both():
    faults = ['at = "400ms", fault = "power_off", node = "r1"', 'at = "400ms", fault = "power_off", node = "r2"']
    assert received(run(*faults, 'at = "450ms", fault = "power_on", node = "r1"'), "h2") == 0
    assert received(run(*faults, *(fault.replace("off", "on").replace("400", "450") for fault in faults)), "h2") == 3000


def test_without_a_table_a_middlebox_forwards_everything():
    assert received(run(topology="middlebox"), "h2") == 3000


def test_addresses_are_translated_and_the_connection_keeps_its_name(tmp_path):
    trace = run(captures=tmp_path, **box(kind="nat"))
    assert {event.src for event in trace.of(Received) if event.host == "h2"} == {"10.0.2.254:40001"}
    assert {event.connection for event in (*trace.of(Received), *trace.of(Sent))} == {"c1"}
    assert all(flight.sent and flight.arrived for flight in flights(trace))
    assert [(flight.seq, flight.ack) for flight in flights(trace)][:3] == [(0, None), (0, 1), (1, 1)]
    sources = {}
    for name in ("h1-eth0", "m1-eth0", "m1-eth1", "h2-eth0"):
        packets = (
            decode_tcp(decode_ethernet(frame).payload).datagram for _, frame in read_pcap(tmp_path / f"{name}.pcap")
        )
        sources[name] = {packet.src.address for packet in packets} - {"10.0.2.1"}
    assert sources == {name: {"10.0.2.254" if name == "h2-eth0" else "10.0.1.1"} for name in sources}


@pytest.mark.parametrize("kind", ["firewall", "nat"])
def test_a_middlebox_that_forgets_drops_or_resets(kind):
    forget = 'at = "400ms", fault = "forget", middlebox = "m1"'
    trace = run(forget, **box(kind=kind))
    assert causes(trace) == {"h1": "user timeout", "h2": "user timeout"}
    assert {(lost.link, lost.reason, lost.connection) for lost in trace.of(Lost)} == {("h2-m1", "middlebox", "c1")}
    trace = run(forget, **box(kind=kind, answer="reset"))
    assert causes(trace) == {"h1": "reset by peer", "h2": "reset by peer"}
    assert not trace.of(Dropped)
    assert [(release.first, release.action) for release in releases(trace)] == [("a middlebox", "RST")]
    assert [flight.target for flight in flights(trace) if flight.unsent] == ["h1", "h2"]


def test_errors_find_their_way_through_a_translator(tmp_path):
    """A router beyond the translator, in a topology of one's own."""
    text = (TOPOLOGIES / "routed.py").read_text()
    r1 = 'addHost("r1", cls=Router, '
    assert r1 in text
    (tmp_path / "mine.py").write_text(text.replace(r1, f'{r1}outside="r1-eth1", '))
    fault = 'at = "400ms", fault = "unreachable", router = "r2", to = "h2"'
    trace = run(fault, topology=f"{tmp_path}/mine.py:routed", middlebox='{ r1 = { kind = "nat" } }')
    assert set(errors(trace)) == {("h1", "ICMP type 3 code 0")}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ('fault = "mtu", link = "h1-r1", mtu = 1000', "step 5: link h1-r1 must join two routers, h1 is none"),
        (
            'fault = "forget", middlebox = "r1"',
            "step 5: middlebox: there is no middlebox r1 in rout",
        ),
        ('fault = "unreachable", router = "h1", to = "h2"', "step 5: router: there is no router h1 in routed"),
        ('fault = "unreachable", router = "r1", to = "r2"', "step 5: to: there is no host r2 in routed"),
        ('fault = "power_off", node = "h1"', "step 5: node: there is no node h1 in routed"),
        ('fault = "carrier_down", link = "r1"', "step 5: link: there is no link r1 in routed"),
    ],
)
def test_faults_that_cannot_be_applied_are_refused_before_the_run(fault, words):
    with pytest.raises((TopologyError, ScenarioError), match=words):
        load_network(talk(f'at = "1s", {fault}'))


def test_a_middlebox_that_keeps_no_table_has_nothing_to_forget():
    with pytest.raises(TopologyError, match=r"m1 has nothing to forget; give it a table \[middlebox.m1\]"):
        load_network(talk('at = "1s", fault = "forget", middlebox = "m1"', topology="middlebox"))
    with pytest.raises(ScenarioError, match=r"middlebox.r1: there is no middlebox r1 in routed"):
        load_network(talk(middlebox="{ r1 = {} }"))
    with pytest.raises(ScenarioError, match=r"mtu = 60: expected at least 68"):
        talk('at = "1s", fault = "mtu", link = "r1-r2", mtu = 60')
