"""Topologies: what is read from Mininet's Topo objects, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mininet.topo import LinearTopo, Topo

from tcpclose.links import LinkSettings, read_fate
from tcpclose.topology import Interface, TopologyError, load_topology, read_topo


class Built(Topo):
    """A Topo that is made by the function it is given."""

    def build(self, make: Callable[[Topo], Any]) -> None:
        make(self)


def pair(topo: Topo, **link: Any) -> None:
    topo.addLink(topo.addHost("h1"), topo.addHost("h2"), **link)


def test_two_hosts():
    network = load_topology("two_hosts")
    assert network.hosts == {
        "h1": Interface("h1-eth0", "10.0.0.1", 8, "00:00:00:00:00:01", "h1-s1"),
        "h2": Interface("h2-eth0", "10.0.0.2", 8, "00:00:00:00:00:02", "h2-s1"),
    }
    assert network.switches == ("s1",)
    assert list(network.links) == ["h1-s1", "h2-s1"]
    assert network.links["h2-s1"].interfaces == ("h2-eth0", "s1-eth2")
    assert network.links["h2-s1"].settings == LinkSettings(delay=10_000)
    assert network.path("h1", "h2") == [("h1-s1", "h1>s1"), ("h2-s1", "s1>h2")]
    assert network.path("h2", "h1") == [("h2-s1", "h2>s1"), ("h1-s1", "s1>h1")]


def test_the_parameters_of_a_topology_reach_its_links():
    network = load_topology("two_hosts", {"delay": "1.5s", "bw": 0.5, "loss": 2, "queue": 7})
    assert network.links["h1-s1"].settings == LinkSettings(delay=1_500_000, rate=500_000, loss=0.02, queue=7)


def test_two_hosts_joined_directly():
    network = read_topo(Built(lambda topo: pair(topo, delay="3us")))
    assert network.path("h1", "h2") == [("h1-h2", "h1>h2")]
    assert network.links["h1-h2"].interfaces == ("h1-eth0", "h2-eth0")


def test_a_tree_of_switches():
    network = read_topo(LinearTopo(k=4, n=3))
    assert network.path("h3s1", "h1s4") == [
        ("h3s1-s1", "h3s1>s1"),
        ("s2-s1", "s1>s2"),
        ("s3-s2", "s2>s3"),
        ("s4-s3", "s3>s4"),
        ("h1s4-s4", "s4>h1s4"),
    ]
    assert network.path("h1s1", "h2s1") == [("h1s1-s1", "h1s1>s1"), ("h2s1-s1", "s1>h2s1")]


def test_addresses_follow_the_natural_order_of_names_and_may_be_given():
    network = read_topo(LinearTopo(k=1, n=10))
    assert [network.hosts[name].address for name in ("h2s1", "h10s1")] == ["10.0.0.2", "10.0.0.10"]

    def chosen(topo: Topo) -> None:
        topo.addLink(
            topo.addHost("a", ip="192.168.1.7/24", mac="02:00:00:00:00:AA"), topo.addHost("b", ip="192.168.1.8/24")
        )

    assert read_topo(Built(chosen)).hosts == {
        "a": Interface("a-eth0", "192.168.1.7", 24, "02:00:00:00:00:aa", "a-b"),
        "b": Interface("b-eth0", "192.168.1.8", 24, "00:00:00:00:00:02", "a-b"),
    }


def test_a_topology_from_a_file_of_ones_own(tmp_path: Path):
    (tmp_path / "mine.py").write_text("from mininet.topo import LinearTopo\ntopos = {'row': LinearTopo}\n")
    assert load_topology("mine.py:row", {"k": 3}, folder=tmp_path).switches == ("s1", "s2", "s3")


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (None, "no_such", "there is no topology no_such .*there are .*two_hosts"),
        (None, "gone.py:x", "there is no topology gone.py:x"),
        ("topos = {'x': None}", "mine.py:y", "has no topology y; its `topos` names x"),
        ("", "mine.py:y", "its `topos` names none"),
        ("import no_such_module", "mine.py:y", "cannot be read: No module named"),
        ("def x(): raise RuntimeError('broken')\ntopos = {'x': x}", "mine.py:x", "cannot be made of {}: broken"),
    ],
)
def test_topologies_that_cannot_be_loaded(tmp_path: Path, text: str | None, name: str, words: str):
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    with pytest.raises(TopologyError, match=words):
        load_topology(name, folder=tmp_path)


def test_an_unknown_parameter_is_told():
    with pytest.raises(TopologyError, match=r"two_hosts cannot be made of .*unexpected keyword argument 'dealy'"):
        load_topology("two_hosts", {"dealy": "1ms"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"use_hfsc": True},
            "link h1-h2: option 'use_hfsc' cannot be honoured; honoured are bw, delay, jitter, loss, max_queue_size",
        ),
        ({"delay": 5}, "link h1-h2: delay=5 cannot be read: a number with its unit"),
        ({"delay": "5 parsecs"}, "link h1-h2: delay='5 parsecs'"),
        ({"bw": "fast"}, "link h1-h2: bw='fast'"),
        ({"bw": 0}, "link h1-h2: a rate must be positive"),
        ({"loss": 101}, "link h1-h2: loss must be from 0 % to 100 %: 101%"),
        ({"max_queue_size": 9}, "link h1-h2: a queue limit needs a rate"),
    ],
)
def test_link_options_that_cannot_be_honoured(options: dict[str, Any], words: str):
    with pytest.raises(TopologyError, match=words):
        read_topo(Built(lambda topo: pair(topo, **options)))


def test_defaults_that_mininet_would_drop_in_silence():
    def some_links(topo: Topo) -> None:
        topo.addLink(topo.addHost("h1"), topo.addSwitch("s1"))
        topo.addLink(topo.addHost("h2"), "s1", loss=1)

    with pytest.raises(TopologyError, match=r"link h2-s1 has options of its own.*'delay'"):
        read_topo(Built(some_links, lopts={"delay": "1ms"}))


def refuse(make: Callable[[Topo], Any], words: str) -> None:
    with pytest.raises(TopologyError, match=words):
        read_topo(Built(make))


def test_networks_that_are_not_built_for_now():
    def triangle(topo: Topo) -> None:
        one, two, three = (topo.addSwitch(name) for name in ("s1", "s2", "s3"))
        topo.addLink(topo.addHost("h1"), one)
        for ends in ((one, two), (two, three), (three, one)):
            topo.addLink(*ends)

    def two_homes(topo: Topo) -> None:
        pair(topo)
        topo.addLink("h1", topo.addHost("h3"))

    def parallel(topo: Topo) -> None:
        pair(topo)
        pair(topo)

    def two_addresses(topo: Topo) -> None:
        topo.addLink(topo.addHost("a", ip="10.0.0.5"), topo.addHost("b", ip="10.0.0.5"))

    def two_subnets(topo: Topo) -> None:
        topo.addLink(topo.addHost("a", ip="10.0.0.5/24"), topo.addHost("b", ip="10.0.1.5/24"))

    refuse(triangle, "closes a loop of switches")
    refuse(two_homes, "host h1 has 2 interfaces")
    refuse(parallel, "two links between h1 and h2")
    refuse(lambda topo: topo.addHost("h1"), "host h1 has 0 interfaces")
    refuse(two_addresses, "a and b both have the address 10.0.0.5")
    refuse(two_subnets, "host b is outside 10.0.0.0/24")
    refuse(lambda topo: topo.addSwitch("s1"), "a network needs hosts")


def test_nodes_that_cannot_be():
    refuse(lambda topo: topo.addLink(topo.addHost("h 1"), topo.addHost("h2")), "'h 1' cannot be a node's name")
    refuse(lambda topo: topo.addLink(topo.addHost("h" * 11), topo.addHost("h2")), "longer name than Linux allows")
    refuse(lambda topo: topo.addLink(topo.addHost("h1", cpu=0.5), topo.addHost("h2")), "host h1: option 'cpu'")
    refuse(lambda topo: topo.addLink(topo.addHost("h1", ip="10.0.0.300"), topo.addHost("h2")), "host h1: ")
    refuse(lambda topo: topo.addLink(topo.addHost("h1", mac="01:00:00:00:00:00"), topo.addHost("h2")), "MAC address")
    refuse(lambda topo: topo.addLink(topo.addHost("h1"), topo.addSwitch("s1", stp=True)), "switch s1: option 'stp'")


def test_hosts_that_nothing_joins_have_no_path():
    def islands(topo: Topo) -> None:
        topo.addLink(topo.addHost("h1"), topo.addSwitch("s1"))
        topo.addLink(topo.addHost("h2"), topo.addSwitch("s2"))

    with pytest.raises(TopologyError, match="no path leads from h1 to h2"):
        read_topo(Built(islands)).path("h1", "h2")


def test_links_are_overridden_by_name():
    network = load_topology("two_hosts").override({"h1-s1": {"rate": 10**7, "queue": 5}})
    assert network.links["h1-s1"].settings == LinkSettings(delay=10_000, rate=10**7, queue=5)
    assert network.links["h2-s1"].settings == LinkSettings(delay=10_000)
    with pytest.raises(TopologyError, match="there is no link s1-h1; the links are h1-s1, h2-s1"):
        network.override({"s1-h1": {}})
    with pytest.raises(TopologyError, match="link h1-s1: loss"):
        network.override({"h1-s1": {"loss": 2}})


def test_one_direction_may_differ():
    plan = load_topology("two_hosts").override({"h1-s1": {"loss": 0.1, "to": {"s1": {"delay": 50_000}}}}).links["h1-s1"]
    assert plan.directions == ("h1>s1", "s1>h1")
    assert plan.both == (LinkSettings(delay=50_000, loss=0.1), LinkSettings(delay=10_000, loss=0.1))
    with pytest.raises(TopologyError, match="link h1-s1 does not lead to h2; its ends are h1 and s1"):
        load_topology("two_hosts").override({"h1-s1": {"to": {"h2": {}}}})
    with pytest.raises(TopologyError, match="link h1-s1 to s1: loss must be"):
        load_topology("two_hosts").override({"h1-s1": {"to": {"s1": {"loss": 2}}}})


def test_the_longest_way_counts_what_fates_hold():
    fates = tuple(read_fate(f"FIN for {hold}", "hold") for hold in ("1s", "2s"))
    plan = load_topology("two_hosts").override({"h1-s1": {"fates": fates, "to": {"h1": {"delay": 20_000}}}})
    assert plan.links["h1-s1"].longest_way == 3_020_000
    assert plan.links["h2-s1"].longest_way == 10_000
