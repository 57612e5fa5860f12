"""Topologies: what is read from Mininet's Topo objects, and what is refused."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mininet.topo import LinearTopo, Topo

from tcpclose.links import LinkSettings, read_fate
from tcpclose.network.forwarding import Route
from tcpclose.topology import TOPOLOGIES, Interface, TopologyError, load_topology, read_topo


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
    refuse(two_homes, "host h1 has 2 interfaces; a host has one")
    refuse(parallel, "two links between h1 and h2")
    refuse(lambda topo: topo.addHost("h1"), "host h1 has 0 interfaces")
    refuse(two_addresses, "a and b both have the address 10.0.0.5")
    refuse(two_subnets, "node b is outside 10.0.0.0/24")
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


# ---- Routers


class Router:
    """By its name, the reader knows what it does; Mininet is not asked."""


def routed(topo: Topo, **changes: Any) -> None:
    """h1 - r1 - r2 - h2, with something changed."""
    hosts = [topo.addHost(f"h{n}", ip=f"10.0.{n}.1/24", defaultRoute=f"via 10.0.{n}.254") for n in (1, 2)]
    settings = {"cls": Router, "ip": None, "routes": [("10.0.2.0/24", "via 10.0.9.2")], **changes.get("r1", {})}
    r1 = topo.addHost("r1", **settings)
    back = changes.get("back", ("10.0.1.0/24", "via 10.0.9.1"))
    r2 = topo.addHost("r2", cls=Router, ip=None, routes=[back])
    topo.addLink(hosts[0], r1, **changes.get("link", {"params2": {"ip": "10.0.1.254/24"}}))
    topo.addLink(r1, r2, params1={"ip": "10.0.9.1/24"}, params2={"ip": "10.0.9.2/24"})
    topo.addLink(r2, hosts[1], params1={"ip": changes.get("last", "10.0.2.254/24")})


def test_routers():
    network = read_topo(Built(routed))
    assert network.switches == ()
    assert list(network.hosts) == ["h1", "h2"]
    assert network.interfaces("r1") == (
        Interface("r1-eth0", "10.0.1.254", 24, "02:00:00:00:00:02", "h1-r1"),
        Interface("r1-eth1", "10.0.9.1", 24, "02:00:00:00:01:01", "r1-r2"),
    )
    assert network.routes["h1"] == (Route("10.0.1.0/24", "h1-eth0"), Route("0.0.0.0/0", "h1-eth0", "10.0.1.254"))
    assert network.routes["r1"][2] == Route("10.0.2.0/24", "r1-eth1", "10.0.9.2")
    assert network.path("h1", "h2") == [("h1-r1", "h1>r1"), ("r1-r2", "r1>r2"), ("r2-h2", "r2>h2")]
    assert network.path("h2", "h1") == [("r2-h2", "h2>r2"), ("r1-r2", "r2>r1"), ("h1-r1", "r1>h1")]


def test_routers_may_close_loops_and_switches_may_join_them():
    def ring(topo: Topo) -> None:
        routed(topo, r1={"routes": [("10.0.2.0/24", "via 10.0.9.2 metric 5"), ("10.0.2.0/24", "via 10.0.8.2")]})
        switch = topo.addSwitch("s1")
        topo.addLink("r1", switch, params1={"ip": "10.0.8.1/24"})
        topo.addLink("r2", switch, params1={"ip": "10.0.8.2/24"})

    network = read_topo(Built(ring))
    assert network.path("h1", "h2")[1:-1] == [("r1-s1", "r1>s1"), ("r2-s1", "s1>r2")]
    assert network.reach(network.interfaces("r1")[2]) == {"r2-eth2": (("r1-s1", "r1>s1"), ("r2-s1", "s1>r2"))}


def test_a_middlebox_is_a_router_with_an_outside():
    assert read_topo(Built(lambda topo: routed(topo, r1={"outside": "r1-eth1"}))).routers["r1"].outside == "r1-eth1"


class NAT:
    """A class of Mininet's."""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"r1": {"cls": NAT}}, "node r1 is a NAT, which cannot be honoured"),
        ({"r1": {"ip": "10.0.1.254/24"}}, "router r1: ip=None is expected"),
        ({"r1": {"mac": "00:00:00:00:00:09"}}, "router r1: option 'mac' cannot be honoured"),
        ({"r1": {"outside": "r1-eth7"}}, "router r1 has no interface r1-eth7"),
        ({"r1": {"routes": [("10.0.2.0/24", "dev r1-eth1")]}}, "r1: the route to 10.0.2.0/24 'dev r1-eth1' cannot be"),
        ({"r1": {"routes": [("10.0.2.1/24", "via 10.0.9.2")]}}, "r1: the route to 10.0.2.1/24 .* has host bits set"),
        ({"r1": {"routes": [("10.0.2.0/24", "via 10.0.9.3")]}}, "leads to no router next to r1"),
        ({"r1": {"routes": [("10.0.2.0/24", "via 10.0.2.254")]}}, "leads to no router next to r1"),
        ({"r1": {"routes": [("10.0.2.0/24", "via 10.0.1.1")]}}, "leads to no router next to r1"),
        ({"link": {}}, r"router r1: link h1-r1 gives r1-eth0 no address \(params2\)"),
        ({"link": {"params2": {"ip": "10.0.1.254/24", "up": 1}}}, "params2 of interface r1-eth0: option 'up' cannot"),
        ({"link": {"params2": {"ip": "10.0.1.300/24"}}}, "interface r1-eth0: .*10.0.1.300"),
        ({"link": {"params1": {"ip": "10.0.1.1/24"}, "params2": {"ip": "10.0.1.254/24"}}}, "h1-eth0 is none of a rout"),
        ({"last": "10.0.3.254/24"}, "is outside 10.0.2.0/24, and no router would lead there"),
    ],
)
def test_routers_that_cannot_be(changes: dict[str, Any], words: str):
    refuse(lambda topo: routed(topo, **changes), words)


def test_routes_that_lead_nowhere():
    def lost(topo: Topo) -> None:
        routed(topo, r1={"routes": []})

    def round_and_round(topo: Topo) -> None:
        routed(topo, r1={"routes": [("10.0.0.0/16", "via 10.0.9.2")]}, back=("10.0.0.0/16", "via 10.0.9.1"))
        topo.addLink(topo.addHost("h3", ip="10.0.7.1/24"), topo.addSwitch("s1"))

    with pytest.raises(TopologyError, match="no path leads from h1 to h2: it ends at r1"):
        read_topo(Built(lost)).path("h1", "h2")
    with pytest.raises(TopologyError, match="no path leads from h1 to h3: the routes of r2 and r1 go round"):
        read_topo(Built(round_and_round)).path("h1", "h3")


# ---- Ours


@pytest.mark.parametrize("path", sorted(TOPOLOGIES.glob("*.py")), ids=lambda path: path.stem)
def test_each_topology_of_ours_is_drawn_and_says_how_mininet_runs_it(path: Path):
    doc = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert re.search(r"^    \w+ .*---", doc, re.M)
    command = f"mn --custom topologies/{path.name} --topo {path.stem} --switch lxbr --controller none"
    assert doc.endswith(f"With Mininet alone: {command}")
    network = load_topology(path.stem)
    assert {node for node in (*network.hosts, *network.routers, *network.switches) if node not in doc} == set()


def test_the_router_is_the_same_in_every_topology():
    """`mn --custom` reads one file, so each must have it."""
    classes = set()
    for path in TOPOLOGIES.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name == "Router":
                classes.add(ast.dump(node))
    assert len(classes) == 1


def test_pairs_on_both_sides_of_a_bottleneck():
    network = load_topology("dumbbell", {"pairs": 3, "bw": 2, "delay": "7ms"})
    assert list(network.hosts) == ["a1", "a2", "a3", "b1", "b2", "b3"]
    assert network.links["r1-r2"].settings == LinkSettings(delay=7_000, rate=2_000_000)
    for left in "a1", "a2", "a3":
        for right in "b1", "b2", "b3":
            assert ("r1-r2", "r1>r2") in network.path(left, right)
    assert len(network.path("a1", "a3")) == 2


def test_two_paths():
    network = load_topology("redundant")
    assert [link for link, _ in network.path("h1", "h2")] == ["h1-r1", "r1-r2", "h2-r2"]
    r1 = network.forwarder("r1")
    r1.set_carrier("r1-eth1", False)
    assert r1.lookup("10.0.2.1") == Route("10.0.2.0/24", "r1-eth2", "10.0.13.3", 10)


def test_the_lossy_edge():
    network = load_topology("lossy_edge", {"loss": 30})
    assert {name: link.settings.loss for name, link in network.links.items()} == {"h1-s1": 0.3, "s1-s2": 0, "h2-s2": 0}
