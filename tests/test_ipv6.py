"""`ip_version = 6`: other addresses, and everything else as with IPv4."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from scenarios import talk

from tcpclose.network.addressing import embed, embed_route
from tcpclose.network.forwarding import Credit, Route
from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.datagram import Datagram, Endpoint, Pair
from tcpclose.protocol.segment import ACK, SYN, Segment
from tcpclose.protocol.stack import Stack
from tcpclose.runs import LABS
from tcpclose.scenario import Scenario, ScenarioError
from tcpclose.simulator import simulate
from tcpclose.topology import TOPOLOGIES, TopologyError, load_network, load_topology
from tcpclose.trace.events import Sent, Told, Trace
from tcpclose.trace.flights import Flight, flights
from tcpclose.trace.releases import releases

#: Such that no segment's length depends on the length of an IP header.
SAME_MSS = ("host.h1.tcp.mss=1000", "host.h2.tcp.mss=1000")
MSS_TABLES = "[host.h1.tcp]\nmss = 1000\n[host.h2.tcp]\nmss = 1000"


def run(scenario: Scenario, captures: Path | None = None) -> Trace:
    return simulate(scenario, load_network(scenario), captures=captures)


def told(flight: Flight) -> tuple[object, ...]:
    """What a reader of charts sees of a segment."""
    seen = tuple(event and event.t for event in (flight.sent, flight.arrived, flight.lost))
    numbers = flight.seq, flight.ack, flight.segment.ctl, flight.segment.len
    return flight.connection, flight.source, *numbers, flight.retransmission, flight.copy, *seen


# Addresses


def test_an_ipv6_address_stands_for_an_ipv4_address():
    assert embed("10.0.1.2") == "fd00::a00:102"
    assert embed_route(Route("10.0.1.0/24", "r1-eth0", "10.0.12.2", 10)) == Route(
        "fd00::a00:100/120", "r1-eth0", "fd00::a00:c02", 10
    )
    assert embed_route(Route("0.0.0.0/0", "h1-eth0", "10.0.1.254")) == Route("::/0", "h1-eth0", "fd00::a00:1fe")
    assert embed_route(Route("10.0.1.0/24", "h1-eth0")).via == ""


@pytest.mark.parametrize("topology", sorted(path.stem for path in TOPOLOGIES.glob("*.py")))
def test_every_topology_has_the_same_ways_in_ipv6(topology):
    before = load_topology(topology)
    after = before.in_ipv6()
    assert (before.ip_version, after.ip_version) == (4, 6)
    assert {embed(address) for address in before.owners} == set(after.owners)
    for src in before.hosts:
        for dst in before.hosts:
            assert src == dst or after.path(src, dst) == before.path(src, dst)
    for place in after.hosts.values():
        assert str(place.subnet).startswith("fd00::")


def test_the_key_is_4_by_default_and_nothing_else_than_4_or_6():
    assert talk().ip_version == 4
    assert Scenario.parse(talk(ip_version=6).dump()).ip_version == 6
    with pytest.raises(ScenarioError, match="ip_version"):
        talk(ip_version=5)


def test_a_link_too_narrow_for_ipv6_is_refused():
    with pytest.raises(TopologyError, match=r"link h1-s1: mtu = 1279, but IPv6 needs 1280"):
        load_network(talk(ip_version=6, tables="[link.h1-s1.to.s1]\nmtu = 1279"))
    assert load_network(talk(ip_version=6, tables="[link.h1-s1]\nmtu = 1280"))
    narrowing = '[[step]]\nat = "1s"\nfault = "mtu"\nlink = "r1-r2"\nmtu = 576'
    with pytest.raises(TopologyError, match=r"step 1: link r1-r2: mtu = 576"):
        load_network(talk(topology="routed", ip_version=6, tables=narrowing))


# Runs


@pytest.mark.parametrize("lab", ["demo", "01-four-way-close", "11-link-failure"])
def test_a_lab_goes_as_with_ipv4(lab):
    four, six = (
        run(Scenario.load(LABS / lab / "scenario.toml", [f"ip_version={version}", *SAME_MSS])) for version in (4, 6)
    )
    assert all(sent.src.startswith("[fd00::a00:") and sent.id == 0 for sent in six.of(Sent))
    assert releases(six) == releases(four)
    assert [told(flight) for flight in flights(six)] == [told(flight) for flight in flights(four)]


def test_segments_are_told_apart_without_identification():
    """By their numbers and their order, whatever is lost, damaged or comes twice. Twins of one moment are alike."""
    tables = '[link.h1-s1]\nloss = "10%"\nduplicate = "10%"\ncorrupt = "5%"\n[host.h1.tcp]\nmss = 1000'
    copies = retransmissions = 0
    for seed in range(20):
        four, six = (
            flights(run(talk(tables=tables, octets="8kB", seed=seed, ip_version=version))) for version in (4, 6)
        )
        assert sorted(map(told, six), key=str) == sorted(map(told, four), key=str)
        copies += sum(flight.copy for flight in six)
        retransmissions += sum(flight.retransmission for flight in six)
    assert copies > 10
    assert retransmissions > 10


@pytest.mark.parametrize("kind", ["firewall", "nat"])
def test_a_middlebox_goes_as_with_ipv4(kind):
    four, six = (
        run(talk(topology="middlebox", ip_version=version, tables=f'[middlebox.m1]\nkind = "{kind}"\n{MSS_TABLES}'))
        for version in (4, 6)
    )
    assert [release.how for release in releases(six)] == ["graceful"]
    assert [told(flight) for flight in flights(six)] == [told(flight) for flight in flights(four)]


@pytest.mark.parametrize(("code", "number"), [("net", 0), ("host", 1), ("admin", 13)])
def test_the_errors_of_routers_are_heard(tmp_path, code, number):
    step = f'[[step]]\nat = "20ms"\nfault = "unreachable"\nrouter = "r2"\nto = "h2"\ncode = "{code}"'
    scenario = talk(topology="routed", ip_version=6, tables=step)
    trace = run(scenario, tmp_path)
    assert {event.detail for event in trace.of(Told) if "ICMP" in event.detail} == {f"ICMP type 3 code {number}"}


def test_what_is_too_long_for_a_narrow_link_is_told(tmp_path):
    step = '[[step]]\nat = "0s"\nfault = "mtu"\nlink = "r1-r2"\nmtu = 1300'
    trace = run(talk(topology="routed", ip_version=6, tables=step), tmp_path)
    assert {sent.len for sent in trace.of(Sent)} >= {1440, 1240}
    assert tshark(tmp_path / "h1-eth0.pcap", "icmpv6.type == 2 && icmpv6.mtu == 1300")


def tshark(capture: Path, what: str) -> list[str]:
    """The packets of a capture that fit a filter."""
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed")
    command = ["tshark", "-r", capture, "-o", "tcp.check_checksum:TRUE", "-Y", what]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()


def test_tshark_reads_captures_and_finds_checksums_right(tmp_path):
    step = '[[step]]\nat = "20ms"\nfault = "unreachable"\nrouter = "r2"\nto = "h2"'
    run(talk(topology="routed", ip_version=6, tables=step), tmp_path)
    capture = tmp_path / "h1-eth0.pcap"
    everything = tshark(capture, "frame")
    assert len(tshark(capture, "icmpv6.type == 1 && icmpv6.code == 0 && icmpv6.checksum.status == Good")) > 1
    right = tshark(capture, "ipv6 && (icmpv6.checksum.status == Good || tcp.checksum.status == Good)")
    assert len(right) == len(everything) > 3


# What IPv6 changes in a TCP and in a router


@pytest.mark.parametrize(("announced", "octets"), [(None, 1220), (1440, 1440), (9000, 1440), (500, 500)])
def test_a_peer_that_announces_no_mss_takes_1220_octets(announced, octets):
    """3.7.1, MUST-15; and no more than what our way permits."""
    pair = Pair(Endpoint("fd00::a00:1", 40001), Endpoint("fd00::a00:2", 80))
    stack = Stack(TcpConfig(), b"secret", lambda pair: 100, lambda address: 1500)
    stack.open(pair, 0)
    stack.send(pair, bytes(4000), 0)
    (syn,) = stack.datagrams_to_send()
    assert syn.segment.mss == 1440
    answer = Segment(300, 101, SYN | ACK, 65535, mss=announced)
    stack.segment_arrives(Datagram(pair.remote, pair.local, answer), 0)
    assert max(len(datagram.segment.data) for datagram in stack.datagrams_to_send()) == octets


def test_a_router_tells_one_sender_six_times_at_once():
    """Linux counts ICMPv6 errors otherwise than those of ICMP."""
    for sender, most in (("10.0.0.1", 5), ("fd00::a00:1", 6)):
        credit = Credit(sender, 0)
        assert [credit.spend(0) for _ in range(8)] == [True] * most + [False] * (8 - most)
        assert credit.spend(1_000_000)
