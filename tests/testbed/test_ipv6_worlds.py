"""`ip_version = 6` on Mininet: the same runs as in the simulator, and a wire without any other word."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from inside import InBox
from parity import check_parity, in_both_worlds
from scenarios import talk

from tcpclose import runs
from tcpclose.scenario import Scenario
from tcpclose.testbed.network import EmulatedNetwork
from tcpclose.topology import load_network, load_topology
from tcpclose.trace.events import Change, Dropped, End, Lost, Sent, Told, Trace
from tcpclose.trace.releases import releases
from tcpclose.wire import ETHERTYPE_IPV6, decode_ethernet, read_pcap
from tcpclose.wire.ip import TCP, peek

pytestmark = [pytest.mark.testbed, pytest.mark.slow]

_ICMPV6 = 58


# ---- Each of these runs in a box of its own, as root and as an ordinary user


@contextmanager
def running(topology: str) -> Iterator[EmulatedNetwork]:
    plan = load_topology(topology).in_ipv6()
    with tempfile.TemporaryDirectory() as folder, EmulatedNetwork(plan, 1, Path(folder)) as network:
        yield network


def frames(network: EmulatedNetwork, interface: str) -> set[tuple[int, int]]:
    """What stands in the frames of a capture: the type, and the protocol above IP."""
    packets = [decode_ethernet(frame) for _, frame in read_pcap(network.run_dir / f"{interface}.pcap")]
    return {(packet.ethertype, peek(packet.payload)[0]) for packet in packets}


def nothing_but_pings_is_on_the_wire() -> None:
    with running("redundant") as network:
        h2 = network.plan.hosts["h2"].address
        time.sleep(1.5)  # a router would be solicited, and groups reported
        network.fault("carrier_down", "r1-r3")
        network.fault("carrier_up", "r1-r3")
        assert "5 received" in network.run("h1", f"ping -6 -c 5 -i 0.05 {h2}")
        time.sleep(1.5)
        network.stop_captures()
        assert frames(network, "h1-eth0") == {(ETHERTYPE_IPV6, _ICMPV6)}
        for place in network.plan.interfaces("r3"):
            assert frames(network, place.name) == set()


def a_kernel_is_silent() -> None:
    with running("two_hosts") as network:
        assert "DROP" in network.run("h1", "ip6tables -S INPUT")
        h1 = network.plan.hosts["h1"].address
        code = f"import socket; print(socket.socket(socket.AF_INET6).connect_ex(({h1!r}, 80)))"
        with network.popen("h2", ["timeout", "1", "python3", "-c", code], stdout=subprocess.PIPE) as process:
            assert process.wait() == 124  # neither connected nor refused


@pytest.mark.parametrize("function", [nothing_but_pings_is_on_the_wire, a_kernel_is_silent])
def test_in_a_box(in_box: InBox, function) -> None:
    in_box(function)


# ---- Runs


def both(scenario: Scenario, folder: Path) -> Trace:
    """The trace of Mininet, with which the simulator's agrees."""
    simulated, emulated = in_both_worlds(scenario, folder)
    check_parity(simulated, emulated)
    return emulated


def test_the_demo(tmp_path):
    both(Scenario.load(runs.LABS / "demo" / "scenario.toml", ["ip_version=6"]), tmp_path)
    for capture in (tmp_path / "mininet").glob("*.pcap"):
        packets = [decode_ethernet(frame) for _, frame in read_pcap(capture)]
        assert len(packets) > 20
        assert {(packet.ethertype, peek(packet.payload)[0]) for packet in packets} == {(ETHERTYPE_IPV6, TCP)}


HURRY = """
host.h1.tcp = { msl = "100ms", user_timeout = "1s", rto_min = "200ms", rto_initial = "400ms" }
host.h2.tcp = { msl = "100ms", user_timeout = "1s", rto_min = "200ms", rto_initial = "400ms" }
"""


def hurried(*faults: str, tables: str = "", **top: object) -> Scenario:
    steps = "".join(f"[[step]]\n{fault}\n" for fault in faults)
    return talk(octets="5kB", tables=HURRY + tables + steps, duration="8s", ip_version=6, **top)


@pytest.mark.parametrize(("code", "number"), [("net", 0), ("host", 1), ("admin", 13)])
def test_a_route_that_is_withdrawn_and_comes_back(tmp_path, code, number):
    """More errors than a router tells at once are not asked for."""
    away, back = (f'fault = "{fault}"\nrouter = "r2"\nto = "h2"\n' for fault in ("unreachable", "reachable"))
    trace = both(
        hurried(
            f'when = "h1.c1 in ESTABLISHED"\n{away}code = "{code}"',
            f'when = "h1.c1 in ESTABLISHED"\nafter = "500ms"\n{back}',
            topology="routed",
        ),
        tmp_path,
    )
    assert {event.detail for event in trace.of(Told) if "ICMP" in event.detail} == {f"ICMP type 3 code {number}"}
    assert {end.cause for end in trace.of(End)} == {"graceful"}


def test_a_link_that_is_too_narrow(tmp_path):
    narrow = 'when = "h1.c1 in ESTABLISHED"\nfault = "mtu"\nlink = "r1-r2"\nmtu = 1300'
    trace = both(hurried(narrow, topology="routed"), tmp_path)
    assert {sent.len for sent in trace.of(Sent)} >= {1440, 1240}


def test_fates_and_forged_segments(tmp_path):
    """A lost FIN, a damaged segment, and a RST from a third host."""
    forged = (
        'when = "h2.c1 in CLOSE-WAIT"\nfault = "inject"\nhost = "near"\nsource = "h1"\nconnection = "c1"\n'
        'ctl = "RST"\nseq = "next"'
    )
    tables = '[link.h1-s1]\ndrop = "FIN from h1, first"\ncorrupt = "segment with data, first"\n'
    trace = both(hurried(forged, tables=tables, topology="attacker"), tmp_path)
    assert {lost.rule for lost in trace.of(Lost)} == {"FIN from h1, first"}
    assert [drop.reason for drop in trace.of(Dropped)] == ["bad TCP checksum"]
    assert {end.host: end.cause for end in trace.of(End)}["h2"] == "reset by peer"


@pytest.mark.parametrize("kind", ["firewall", "nat"])
def test_a_middlebox(tmp_path, kind):
    trace = both(hurried(tables=f'[middlebox.m1]\nkind = "{kind}"\n', topology="middlebox"), tmp_path)
    assert [release.how for release in releases(trace)] == ["graceful"]


def test_linux_on_the_other_side(tmp_path):
    scenario = talk(tables='[host.h2]\nstack = "linux"\n', duration="10s", ip_version=6)
    trace = runs.execute(scenario, load_network(scenario), "mininet", tmp_path)
    assert runs.complaints(scenario, trace) == []
    assert [release.how for release in releases(trace)] == ["graceful"]
    inferred = [change for change in trace.of(Change) if change.source]
    assert [change.new for change in inferred][-2:] == ["LAST-ACK", "CLOSED"]
    assert any("sock_diag" in change.source for change in inferred)
