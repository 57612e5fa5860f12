"""Topologies with Mininet's own TCLink: the kernel does what they ask, or the run stops."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from inside import InBox
from mininet.link import Link, TCLink
from mininet.topo import Topo

from tcpclose.links import Burst, LinkSettings
from tcpclose.testbed import tclink
from tcpclose.testbed.network import EmulatedNetwork, NetworkError
from tcpclose.topology import Network, TopologyError, read_topo


class Joined(Topo):  # type: ignore[misc]
    """Two hosts and a switch; the link of h1 has options."""

    def build(self, cls: Any = None, **options: Any) -> None:
        switch = self.addSwitch("s1")
        self.addLink(self.addHost("h1"), switch, cls=cls, **options)
        self.addLink(self.addHost("h2"), switch)


def joined(cls: Any = TCLink, **options: Any) -> Network:
    return read_topo(Joined(cls=cls, **options))


# ---- What tc says, read


NETEM = {"kind": "netem", "options": {"limit": 1000, "delay": {"delay": 0.01, "jitter": 0.002}}}
LOSSY = {"kind": "netem", "options": {"limit": 50, "loss-random": {"loss": 0.0199999}}}
HTB = {"kind": "htb", "options": {"r2q": 10}}
CLASS = "class htb 5:1 root leaf 10: prio 0 rate 10Mbit ceil 10Mbit burst 15Kb cburst 1600b"


@pytest.mark.parametrize(
    ("settings", "qdiscs", "classes", "words"),
    [
        (LinkSettings(), [{"kind": "noqueue"}], "", ""),
        (LinkSettings(10_000, 2_000), [NETEM], "", ""),
        (LinkSettings(10_000), [{"kind": "noqueue"}], "", "delay is 0 instead of 10000"),
        (LinkSettings(20_000, 1_000), [NETEM], "", "delay is 10000 instead of 20000, jitter is 2000 instead of 1000"),
        (LinkSettings(loss=0.02, rate=10**7, queue=50), [HTB, LOSSY], CLASS, ""),
        (LinkSettings(loss=0.03), [LOSSY], "", "loss is 0.0199999 instead of 0.03"),
        (LinkSettings(rate=10**7, queue=60), [LOSSY], "", "queue is 50 instead of 60, rate is 0 instead of 1e+07"),
    ],
)
def test_what_the_kernel_lacks_is_told(settings, qdiscs, classes, words):
    assert tclink.lacks(settings, json.dumps(qdiscs), classes) == words


def test_both_interfaces_get_the_parameters_of_what_leaves_there():
    plan = joined(delay="10ms", bw=10, loss=2).override({"h1-s1": {"to": {"h1": {"delay": 30_000}}}})
    assert plan.links["h1-s1"].made_by == "TCLink"
    assert tclink.parameters(plan.links["h1-s1"]) == {
        "params1": {"delay": "10000us", "bw": 10, "loss": 2},
        "params2": {"delay": "30000us", "bw": 10, "loss": 2},
    }


def test_only_an_explicit_tclink_is_one():
    assert joined(Link, delay="1ms").links["h1-s1"].made_by == joined(None).links["h1-s1"].made_by == "relay"
    with pytest.raises(TopologyError, match="link h1-s1: class Topo cannot be honoured; honoured are Link, TCLink"):
        joined(Topo)


def test_what_a_tclink_cannot_do_is_refused():
    tclink.check(joined(delay="1ms", jitter="1us", bw=1, loss=1, max_queue_size=9), [("silent", "h2")])
    for fields in ({"burst": Burst(0.1, 0.5)}, {"mtu": 600}, {"distribution": "normal"}):
        with pytest.raises(
            TopologyError, match="link h1-s1 is a TCLink, which has delay, jitter, rate, loss and queue"
        ):
            tclink.check(joined().override({"h1-s1": fields}), [])
    for fault in (("link_down", "h1-s1"), ("silent", "h1")):
        with pytest.raises(TopologyError, match=f"{fault[0]} cannot strike {fault[1]}: link h1-s1 is a TCLink"):
            tclink.check(joined(), [fault])


# ---- In the kernel


def start(**options: Any) -> str:
    """What tc has for h1's interface once the network runs, which the ping must cross."""
    with tempfile.TemporaryDirectory() as folder, EmulatedNetwork(joined(**options), 1, Path(folder)) as network:
        assert "1 received" in network.net.get("h1").cmd("ping -c 1 -W 5 10.0.0.2")
        return str(network.net.get("h1").cmd("tc class show dev h1-eth0"))


def a_rate_is_the_kernels() -> None:
    assert " rate 10Mbit " in start(bw=10)


def a_delay_is_there_or_the_run_stops() -> None:
    trial = subprocess.run(["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"], capture_output=True)
    if trial.returncode == 0:
        start(delay="10ms")
    else:
        with pytest.raises(NetworkError, match=r"h1-s1: .* asks of h1-eth0: delay is 0 instead of 10000; without cls="):
            start(delay="10ms")


@pytest.mark.testbed
@pytest.mark.parametrize("what", [a_rate_is_the_kernels, a_delay_is_there_or_the_run_stops])
@pytest.mark.slow
def test_tclink(in_box: InBox, what):
    in_box(what)
