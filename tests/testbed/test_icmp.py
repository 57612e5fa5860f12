"""ICMP errors from a real kernel reach our stack: hard ones end a connection, soft ones are told (3.9.2.2)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from inside import InBox
from scenarios import scenario

from tcpclose.testbed.conductor import Conductor
from tcpclose.testbed.network import EmulatedNetwork
from tcpclose.topology import load_network
from tcpclose.trace.events import Change, End, Told, Trace, from_json

pytestmark = [pytest.mark.testbed, pytest.mark.slow]


def open_against(reject_with: str) -> None:
    """In a box: h1 opens a connection to a port whose SYNs the firewall of h2 answers with an ICMP error."""
    plan = scenario("0s: h1 open", port=81, tables='[host.h2]\nstack = "linux"', duration="2s")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scenario.toml").write_text(plan.dump())
        with EmulatedNetwork(load_network(plan), plan.seed, folder, {}, ["h2"]) as network:
            said = network.net.get("h2").cmd(
                f"iptables -A INPUT -p tcp --dport 81 -j REJECT --reject-with {reject_with}"
            )
            assert not said, said
            Conductor(plan, folder / "scenario.toml", network).run()


@pytest.mark.parametrize("reject_with", ["icmp-port-unreachable", "icmp-proto-unreachable"])
def test_a_hard_error_ends_the_connection(in_box: InBox, reject_with):
    trace = Trace(map(from_json, in_box(open_against, reject_with).splitlines()))
    (end,) = trace.of(End)
    assert (end.host, end.cause, end.rfc) == ("h1", "unreachable", "3.9.2.2")
    assert [change.new for change in trace.of(Change)] == ["SYN-SENT", "CLOSED"]


def open_without_a_route() -> None:
    """In a box: h1 opens a connection while its kernel knows no way to h2."""
    plan = scenario("0s: h1 open", port=81, tables='[host.h2]\nstack = "linux"', duration="2s")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scenario.toml").write_text(plan.dump())
        with EmulatedNetwork(load_network(plan), plan.seed, folder, {}, ["h2"]) as network:
            said = network.net.get("h1").cmd("ip route flush table main")
            assert not said, said
            Conductor(plan, folder / "scenario.toml", network).run()


def test_without_a_route_an_open_ends_at_once(in_box: InBox):
    trace = Trace(map(from_json, in_box(open_without_a_route).splitlines()))
    (end,) = trace.of(End)
    assert (end.host, end.cause) == ("h1", "unreachable")
    assert [told.detail for told in trace.of(Told)] == ["no route"]


@pytest.mark.parametrize(("reject_with", "code"), [("icmp-host-unreachable", 1), ("icmp-net-unreachable", 0)])
def test_a_soft_error_is_told_and_the_connection_goes_on(in_box: InBox, reject_with, code):
    trace = Trace(map(from_json, in_box(open_against, reject_with).splitlines()))
    assert [(told.signal, told.detail) for told in trace.of(Told)][:1] == [("ERROR", f"ICMP type 3 code {code}")]
    assert not trace.of(End)
