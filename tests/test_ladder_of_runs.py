"""Ladders of real runs, from the simulator: nothing covers anything, whatever befell the hosts."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import pytest
from faulty import SCENARIOS, fault
from faulty import scenario as faulty
from matplotlib.text import Text
from scenarios import talk
from test_charts import arrows, texts

from tcpclose.charts.condense import reason
from tcpclose.charts.ladder import ladder_figure
from tcpclose.charts.placing import Box
from tcpclose.charts.rows import broken, lay_out
from tcpclose.charts.story import stories
from tcpclose.simulator import simulate
from tcpclose.topology import load_network
from tcpclose.trace.events import Sent, Trace
from tcpclose.trace.flights import flights

LOSSY = '[link.h1-s1]\nloss = "4%"\n'
#: 6, 30 and 200 segments, with losses, IPv4 and IPv6, three hosts, a router, a middlebox that forgets.
RUNS = {
    "six": talk(octets="100B"),
    "thirty": talk(octets="15kB", tables='[link.h1-s1]\nloss = "10%"\n'),
    "two hundred, IPv6": talk(octets="120kB", tables=LOSSY, ip_version=6),
    "lost FINs": talk(octets="3kB", tables='[link.h1-s1]\ndrop = ["FIN from h1, first", "FIN from h2, 2 times"]\n'),
    "link down": talk(
        "400ms: link_down h1-s1", "3s: link_up h1-s1", octets="60kB", tables='[link.h1-s1]\nrate = "1Mbit/s"\n'
    ),
    "a middlebox forgets": talk(
        topology="middlebox", octets="5kB", tables='[middlebox.m1]\nkind = "nat"\n[[step]]\nat = "70ms"\n'
        'fault = "forget"\nmiddlebox = "m1"\n[link.h1-m1]\ndelay = "10ms"\n', duration="20s"
    ),
    "a router without power": talk(
        topology="routed", octets="20kB", tables='[host.h1.tcp]\nrto_min = "250ms"\nuser_timeout = "3s"\n'
        '[[step]]\nat = "150ms"\nfault = "power_off"\nnode = "r2"\n', duration="8s"
    ),
    "many guesses": faulty(
        fault("h1.c1 sees SENT", "inject", host="h3", connection="c1", source="h1", ctl="RST", seq="next-20000",
              step=1000, guesses=22), without=("close", "answer"),
    ),
} | SCENARIOS  # fmt: skip

every_run = pytest.mark.parametrize("name", RUNS)


@cache
def trace_of(name: str) -> Trace:
    return simulate(RUNS[name], load_network(RUNS[name]))


@cache
def drawn(name: str):
    figure = ladder_figure(trace_of(name))
    return figure, list(texts(figure))


@every_run
@pytest.mark.slow
def test_nothing_covers_anything(name: str) -> None:
    """No text another, no arrow a text, not even the label of another arrow; and every fault has its name."""
    figure, placed = drawn(name)
    assert len(placed) > 15
    assert not [(one, two) for (one, a), (two, b) in combinations(placed, 2) if a.meets(b)]
    lines = []
    told = stories(trace_of(name))
    assert len(figure.axes) == len(told)
    for panel in figure.axes:
        story = next(s for s in told if panel.findobj(lambda a, s=s: named(a, s.connection)))
        for strokes in arrows(figure, str(story.connection)).values():
            lines += [tuple(map(tuple, panel.transData.transform(stroke))) for stroke in strokes]
    assert lines
    assert not [text for text, box in placed if any(slimmer(box).cut_by(*line) for line in lines)]
    for outage in (outage for story in told for outage in story.outages):
        assert any(text == broken(outage.name)[0] for text, _ in placed), outage.name


def named(artist, connection) -> bool:
    return str(artist.get_gid()).startswith(f"{connection}-arrow-")


def slimmer(box: Box) -> Box:
    """Letters are lower than their line."""
    return Box(box.x, box.y, box.width, box.height * 0.7, box.angle)


def test_a_fault_of_a_moment_is_a_line_and_not_a_band() -> None:
    (band,) = lay_out(stories(trace_of("forged-rst"))[0]).bands
    assert band.top == band.bottom
    (band,) = lay_out(stories(trace_of("crash"))[0]).bands
    assert band.bottom is None


def test_guesses_are_told_together_and_the_one_that_hits_alone() -> None:
    labels = [text.get_text() for text in drawn("many guesses")[0].findobj(Text) if "forged" in text.get_text()]
    assert any("18 forged RST" in label for label in labels)
    assert len(labels) < 8
    (story,) = stories(trace_of("many guesses"))
    (hit,) = [arrow for arrow in story.arrows if arrow.flight.forged and arrow.flight.changes]
    assert not hit.fat


def test_what_was_never_received_is_drawn_as_lost_right_where_it_was_sent() -> None:
    """A router that is off loses nothing on a link. What nobody received had time to arrive, so it is not under way."""
    (story,) = stories(trace_of("a router without power"))
    lay_out(story)
    vanished = [arrow for arrow in story.arrows if arrow.flight.vanished]
    assert len(vanished) > 3
    assert {reason(arrow) for arrow in vanished} == {"lost"}
    assert {arrow.flight.source for arrow in vanished} == {"h1", "h2"}
    slants = [arrow.bottom - arrow.top for arrow in vanished if not arrow.fat]
    assert max(slants) < 0.5


def test_what_is_under_way_when_the_trace_ends_is_not_lost() -> None:
    whole = trace_of("six")
    last = whole.of(Sent)[-1]
    cut = Trace(event for event in whole if event.t <= last.t)
    assert not any(flight.missing for flight in flights(whole))
    assert [flight.arrived for flight in flights(cut)][-1] is None
    assert not any(flight.missing for flight in flights(cut))


@every_run
def test_what_is_left_out_stands_above_what_goes_on(name: str) -> None:
    """No arrow that sets out after an elision crosses its block."""
    for story in stories(trace_of(name)):
        lay_out(story)
        for elision in story.elisions:
            bottom = elision.row + 0.16 * len(elision.lines)
            assert not [
                arrow for arrow in story.arrows if arrow.top < bottom - 1e-6 and arrow.bottom > elision.row + 1e-6
            ]
