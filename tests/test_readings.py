"""Where hosts were before a connection, and attempts that came to nothing: in charts, figures, tables and the page."""

from __future__ import annotations

import re

import pytest
from rich.console import Console
from scenarios import scenario
from tale import Tale

from tcpclose.charts.story import stories, subtitle
from tcpclose.protocol.fsm import Event, State
from tcpclose.replay.record import connections_of
from tcpclose.runs import LABS
from tcpclose.scenario import Scenario
from tcpclose.simulator import simulate
from tcpclose.terminal.tables import release_table
from tcpclose.topology import load_network
from tcpclose.trace.drawing import draw
from tcpclose.trace.events import Call, Trace
from tcpclose.trace.figure import format_figure
from tcpclose.trace.flights import hosts
from tcpclose.trace.readings import Readings
from tcpclose.trace.releases import releases

CUT = "0s: link_down h1-s1"
LISTEN = State.LISTEN.value
BLIND_FILE = LABS / "09-blind-reset" / "scenario.toml"
BLIND = Scenario.load(BLIND_FILE)


def played(*steps: str, **top: str) -> Trace:
    text = scenario(*steps, tables="[host.h1.tcp]\nuser_timeout = '5s'", duration="20s", **top)
    return simulate(text, load_network(text))


def befores(trace: Trace) -> list[dict[str, str]]:
    """As the ladders, the page and the figure of c1 have it."""
    ladder = next(story.before for story in stories(trace) if story.connection == "c1")
    page = {host["name"]: host["before"] for host in connections_of(trace)[0][0]["hosts"]}
    figure = {host: state.value for host, (_, state) in zip(("h1", "h2"), draw(trace, "c1")[0].states, strict=True)}
    return [ladder, page, figure]


@pytest.mark.parametrize("version", [4, 6])
def test_who_listens_is_in_listen_though_nothing_arrives(version):
    trace = played("0s: h2 listen", CUT, "1s: h1 open", ip_version=version)
    assert befores(trace) == [{"h1": "CLOSED", "h2": LISTEN}] * 3


def test_it_is_so_beside_connections_that_were_opened():
    lost = Tale("c1", 1_000_000).call("h1", "open").become("h1", "SYN-SENT").send("h1", "SYN", lost="down")
    listens = Call(t=0, host="h2", call="listen", port=80)
    trace = Trace([listens, *Tale("c0", 5).open().trace(), *lost.trace()])
    assert Readings(trace).before("c1", "h2") == LISTEN


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        (("0s: h2 listen", "1s: crash h2", "2s: h1 open"), "CLOSED"),
        (("0s: h2 listen", "1s: crash h2", "2s: reboot h2", "3s: h2 listen", CUT, "4s: h1 open"), LISTEN),
        ((CUT, "1s: h1 open", "2s: h2 listen"), "CLOSED"),
    ],
    ids=["crashed", "listens again", "listens too late"],
)
def test_listening_has_its_time(steps, state):
    """h2's states are known from a connection that was open before."""
    events = [*played(*steps), *Tale("c0").open().trace()]
    assert Readings(Trace(events)).before("c1", "h2") == state


def test_of_two_who_listen_nobody_knows_which_it_was():
    calls = [Call(t=0, host=host, call="listen", port=80) for host in ("h2", "h3")]
    tale = Tale().become("h1", "SYN-SENT").send("h1", "SYN", lost="down")
    assert set(hosts(Trace([*calls, *tale.trace()])).values()) == {"h1"}
    assert set(hosts(Trace([calls[0], *tale.trace()])).values()) == {"h1", "h2"}


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (("0s: h2 listen", CUT, "1s: h1 open"), "never open: h1 timed out"),
        (("0s: h1 open",), "never open: h2 sent a RST"),
        ((CUT, "0s: h1 open", "1s: h1 close"), "never open: h1 closed"),
        ((CUT, "0s: h1 open", "1s: h1 abort"), "never open: h1 aborted"),
        (("0s: h2 listen", "0s: h1 open", "1s: h1 abort"), "h1 aborted, released in 20 ms"),
        (("0s: h2 listen", "0s: h1 open", "1s: h1 close", "2s: h2 close"), "h1 closed first, released in 1.04 s"),
    ],
)
def test_what_was_never_open_was_not_released(steps, words):
    (release,) = releases(trace := played(*steps))
    assert subtitle(release) == words
    assert release.opened is not words.startswith("never")
    console = Console(width=100)
    with console.capture() as printed:
        console.print(release_table(trace))
    assert ("never open" in printed.get(), re.search(r"\d s\b", printed.get()) is not None) == (
        not release.opened,
        release.opened,
    )


@pytest.mark.parametrize(
    ("event", "words"),
    [(Event.KEEPALIVE_TIMEOUT, "(Keepalive timeout)"), (Event.FIN_WAIT_2_TIMEOUT, "(FIN-WAIT-2 timeout)")],
)
def test_a_timer_is_called_by_its_name(event, words):
    """Not every timeout is the user's."""
    (story,) = stories(Tale().open().wait(1_000_000).become("h1", "CLOSED", event.name).trace())
    assert words in {note.text for note in story.notes}


def test_what_is_injected_into_one_connection_is_told_of_no_other():
    trace = simulate(BLIND, load_network(BLIND))
    names = {"c1": ["RST as h1 on c1", "SYN as h1 on c1", *["RST as h1 on c1"] * 2]}
    names["c2"] = ["ACK as h1 on c2, wrong reserved bits"]
    ladders = {story.connection: [outage.name for outage in story.outages] for story in stories(trace)}
    assert ladders == {name: [f"far inject: {word}" for word in words] for name, words in names.items()}
    page = {
        one["name"]: [event["text"] for event in one["events"] if event["k"] == "fault"]
        for one in connections_of(trace)[0]
    }
    assert page == {name: [f"inject far {word}" for word in words] for name, words in names.items()}
    with pytest.raises(ValueError, match="a figure has two peers, and far takes part in c1 too"):
        draw(trace, "c1", ("h1", "h2"))


def test_a_figure_tells_of_what_was_injected_into_its_connection():
    forging = [number for number, step in enumerate(BLIND.step, 1) if step.fault]
    by_h1 = Scenario.load(BLIND_FILE, [f"step.{number}.host=h1" for number in forging])
    trace = simulate(by_h1, load_network(by_h1))
    assert [format_figure(draw(trace, name)).count("(h1 inject)") for name in ("c1", "c2")] == [4, 1]
