"""The tables of links in a scenario: every option, each direction, and fates."""

from __future__ import annotations

import pytest

from tcpclose.links import Burst, LinkSettings, read_fate
from tcpclose.scenario import Scenario, ScenarioError
from tcpclose.topology import load_network

BASE = """
topology = "two_hosts"
duration = "1s"
[connection.c1]
client = "h1"
server = "h2"
port = 80
[link.h1-s1]
delay = "1ms"
jitter = "200us"
distribution = "pareto"
rate = "10Mbit/s"
queue = 7
mtu = 576
loss = "1%"
burst = { p = "1%", r = "25%", bad = "90%" }
duplicate = "2%"
reorder = "3%"
reorder_by = "4ms"
corrupt = "0.5%"
[link.h1-s1.to.h1]
delay = "30ms"
corrupt = "0%"
[link.h2-s1]
drop = "FIN from h2, first"
hold = ["FIN from h1 for 300ms", "RST on c1 for 1s, 2 times"]
duplicate = ["only ACK"]
corrupt = "segment containing 'GET', 3rd"
"""


def test_every_option_reaches_the_line_of_its_direction():
    links = load_network(Scenario.parse(BASE)).links
    alike = {
        "jitter": 200,
        "distribution": "pareto",
        "rate": 10**7,
        "queue": 7,
        "mtu": 576,
        "loss": 0.01,
        "burst": Burst(0.01, 0.25, 0.0, 0.9),
        "duplicate": 0.02,
        "reorder": 0.03,
        "reorder_by": 4_000,
    }
    assert links["h1-s1"].both == (
        LinkSettings(delay=1_000, corrupt=0.005, **alike),
        LinkSettings(delay=30_000, corrupt=0.0, **alike),
    )
    assert links["h1-s1"].fates == ()
    assert links["h2-s1"].both == (LinkSettings(delay=10_000),) * 2
    assert links["h2-s1"].fates == (
        read_fate("FIN from h2, first", "drop"),
        read_fate("FIN from h1 for 300ms", "hold"),
        read_fate("RST on c1 for 1s, 2 times", "hold"),
        read_fate("only ACK", "duplicate"),
        read_fate("segment containing 'GET', 3rd", "corrupt"),
    )


def test_the_resolved_scenario_loads_to_an_equal_one():
    scenario = Scenario.parse(BASE)
    assert Scenario.parse(scenario.dump()) == scenario


def test_fates_may_be_given_on_the_command_line():
    scenario = Scenario.parse(BASE, ["link.h1-s1.drop=FIN, first", 'link.h2-s1.hold=["SYN for 1s"]'])
    assert scenario.link["h1-s1"].drop == (read_fate("FIN, first", "drop"),)
    assert scenario.link["h2-s1"].hold == (read_fate("SYN for 1s", "hold"),)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("h1-s1.drop=FYN", 'link.h1-s1.drop = "FYN": column 1: expected control bits'),
        ("h1-s1.drop=3", "link.h1-s1.drop = 3: expected what it is to strike, such as"),
        ('h1-s1.hold=["FIN"]', 'link.h1-s1.hold = ["FIN"]: column 4: expected "for" and how long'),
        ("h1-s1.drop=FIN for 1s", "expected `for` with `hold` only"),
        ("h1-s1.drop=FIN from h9", "link.h1-s1.drop: there is no host h9 in two_hosts"),
        ("h1-s1.drop=FIN to h9", "link.h1-s1.drop: there is no host h9 in two_hosts"),
        ("h1-s1.drop=FIN on c9", "link.h1-s1.drop: there is no connection c9; connections: c1"),
        ("h1-s1.duplicate=101%", 'link.h1-s1.duplicate = "101%": expected at most 100%'),
        ("h1-s1.duplicate=0.5", "link.h1-s1.duplicate = 0.5: expected what it is to strike"),
        ("h1-s1.distribution=gauss", 'link.h1-s1.distribution = "gauss": expected "uniform", "normal" or "pareto"'),
        ("h1-s1.burst.q=1%", "link.h1-s1.burst.q: unknown key; known keys: p, r, good, bad"),
        ("h1-s1.to.h1.drop=FIN", "link.h1-s1.to.h1.drop: unknown key"),
        ("h1-s1.to.h1.dely=1ms", "link.h1-s1.to.h1.dely: unknown key; did you mean delay?"),
    ],
)
def test_what_cannot_be_is_told(override: str, words: str):
    with pytest.raises(ScenarioError) as caught:
        load_network(Scenario.parse(BASE, [f"link.{override}"]))
    assert words in str(caught.value)
