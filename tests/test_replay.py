"""The page of a run, read as a file: what stands in it, what it may do, and runs of which little can be told."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from scenarios import scenario, talk
from tale import Tale
from typer.testing import CliRunner

from tcpclose import runs
from tcpclose.charts.machine import ARROWS, PLACES
from tcpclose.cli import app
from tcpclose.protocol.fsm import TRANSITIONS
from tcpclose.replay.arrangement import arrow_of, contrast, diagram
from tcpclose.replay.page import SCRIPTS, page
from tcpclose.replay.record import CONNECTIONS, LEAST, SEGMENTS
from tcpclose.scenario import Scenario
from tcpclose.simulator import simulate
from tcpclose.topology import load_network
from tcpclose.trace.events import Change, Sent, Trace, Variables
from tcpclose.trace.flights import flights

EVIL = "</script><script>alert('&amp;')</script><!--"


class Elements(HTMLParser):
    """The elements of a page, with the text of those that hold raw text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[dict[str, str | None], str]] = []
        self.inside = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag in ("script", "style", "title")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.raw.append((self.tags[-1][1] | {"tag": self.tags[-1][0]}, data))


def record(text: str) -> dict:
    """The run as it stands in the page."""
    (found,) = [data for attributes, data in Elements(text).raw if attributes.get("id") == "run"]
    return json.loads(found)


def played(scenario: Scenario) -> Trace:
    return simulate(scenario, load_network(scenario))


# ---- The file


def test_what_the_run_says_is_never_taken_for_html():
    trace = Tale(EVIL).open().close().trace()
    plain, evil = (Elements(page(trace, title, [title])) for title in ("A run", EVIL))
    assert [tag for tag, _ in evil.tags] == [tag for tag, _ in plain.tags]
    told = record(page(trace, EVIL, [EVIL]))
    assert (told["title"], told["about"], told["connections"][0]["name"]) == (EVIL, [EVIL], EVIL)


def test_the_policy_allows_the_scripts_and_the_style_that_stand_there_and_nothing_else():
    elements = Elements(page(Tale().open().trace(), "A run"))
    (policy,) = [attrs["content"] for tag, attrs in elements.tags if attrs.get("http-equiv")]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    assert rules.pop("img-src") == "data:"
    allowed = {name: rule.split() for name, rule in rules.items()}
    standing = {"script-src": [], "style-src": []}
    for attrs, text in elements.raw:
        if attrs["tag"] in ("script", "style") and attrs.get("type") != "application/json":
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            standing[f"{attrs['tag']}-src"].append(f"'sha256-{digest}'")
    assert allowed == standing
    assert len(allowed["script-src"]) == len(SCRIPTS)


def test_nothing_is_loaded_from_anywhere():
    text = page(Tale().open().trace(), "A run")
    elements = Elements(text)
    sources = [attrs.get("src") or attrs.get("href") for tag, attrs in elements.tags if tag not in ("a",)]
    assert [source for source in sources if source] == ["data:,"]
    assert not re.search(r"@import|url\((?!#)|fetch\(|XMLHttpRequest|WebSocket|import\(", text.replace("`url(#", "`("))


# ---- The diagram


def test_the_diagram_has_the_places_and_the_arrows_of_the_chart():
    drawn = diagram()
    assert drawn["places"].keys() == PLACES.keys()
    assert {(arrow["from"], arrow["to"]) for arrow in drawn["arrows"]} == ARROWS.keys()


def test_boxes_stand_apart_and_arrows_begin_and_end_at_them():
    drawn = diagram()
    (wide, tall), (width, height) = drawn["box"], drawn["size"]
    places = list(drawn["places"].items())
    for number, (name, (x, y)) in enumerate(places):
        assert wide / 2 <= x <= width - wide / 2, name
        assert tall / 2 <= y <= height - tall / 2, name
        for other, (u, v) in places[number + 1 :]:
            assert abs(x - u) >= wide + 10 or abs(y - v) >= tall + 10, (name, other)
    for arrow in drawn["arrows"]:
        for end, (x, y) in ((arrow["from"], arrow["points"][0]), (arrow["to"], arrow["points"][-1])):
            u, v = drawn["places"][end]
            at_side = abs(abs(x - u) - wide / 2) < 1 and abs(y - v) <= tall / 2
            at_edge = abs(abs(y - v) - tall / 2) < 1 and abs(x - u) <= wide / 2
            assert at_side or at_edge, arrow


def test_every_row_that_changes_the_state_has_an_arrow_or_leads_straight_to_closed():
    arrows = diagram()["arrows"]
    for row in TRANSITIONS:
        number = arrow_of(row)
        if number is not None:
            assert (arrows[number]["from"], arrows[number]["to"].split(",")[0]) == (row.state.value, row.next.value)
        elif row.state is not row.next:
            assert row.next.value == "CLOSED", row


def test_names_of_states_can_be_read_on_their_colours():
    assert {state: ink for state, (colour, ink) in diagram()["colours"].items() if contrast(colour, ink) < 4.5} == {}
    assert round(contrast("#000000", "#FFFFFF"), 2) == 21
    assert round(contrast("#777777", "#FFFFFF"), 2) == 4.48


# ---- What is told


def test_tcbs_are_those_of_the_trace_counted_from_the_first_numbers():
    trace = played(talk(iss=(1_000, 2**32 - 5)))
    (told,) = record(page(trace, "A run"))["connections"]
    first = {"h1": 1_000, "h2": 2**32 - 5}
    expected = [
        [
            (event.snd_una - first[event.host]) % 2**32,
            (event.snd_nxt - first[event.host]) % 2**32,
            event.snd_wnd,
            None if event.rcv_nxt is None else (event.rcv_nxt - first["h2" if event.host == "h1" else "h1"]) % 2**32,
            event.rcv_wnd,
        ]
        for event in trace.of(Variables)
    ]
    assert [event["v"] for event in told["events"] if event["k"] == "tcb"] == expected
    assert expected[0] == [0, 1, None, None, None]  # SYN-SENT: nothing is known of the peer
    assert max(values[0] for values in expected) == 20_002  # SYN, text and FIN are acknowledged


def test_segments_are_the_flights_of_the_trace_with_the_rows_that_they_fired():
    trace = played(talk())
    (told,) = record(page(trace, "A run"))["connections"]
    for flight, shown in zip(flights(trace), told["flights"], strict=True):
        fields = (shown["from"], shown["to"], shown["ctl"], shown["seq"], shown["ack"], shown["len"])
        assert fields == (
            flight.source,
            flight.target,
            flight.segment.ctl,
            flight.seq,
            flight.ack,
            flight.segment.len,
        )
        assert [(row["old"], row["new"], row["rfc"]) for row in shown["rows"]] == [
            (change.old, change.new, change.rfc) for change in flight.fired
        ]


def test_a_kernels_rows_say_from_what_they_are_inferred():
    """And nothing is told of its TCB."""
    fields = {"host": "h1", "connection": "c1", "rfc": "3.10.1", "source": "packets"}
    change = Change(t=1, old="CLOSED", new="SYN-SENT", event="OPEN_ACTIVE", **fields)
    doubt = Change(
        t=2, old="SYN-SENT", new="CLOSED", event="disagreement", host="h1", connection="c1", source="sock_diag"
    )
    (told,) = record(page(Trace([change, doubt]), "A run"))["connections"]
    rows = [event["row"] for event in told["events"]]
    assert (rows[0]["event"], rows[0]["source"], rows[0]["do"]) == (
        "active OPEN",
        "packets",
        ["create a new TCB", "send SYN"],
    )
    assert rows[1]["event"] == "the kernel says so, its packets do not"
    assert told["hosts"][0]["tcb"] is False


def test_timers_are_told_before_what_they_bring_about():
    tables = "[host.h1.tcp]\nuser_timeout = '2s'\n[host.h2.tcp]\ndelayed_ack = '200ms'"
    steps = ["0s: h2 listen", "0s: h1 open", "500ms: h1 send 10", "1s: silent h2", "2s: h1 send 10"]
    (told,) = record(page(played(scenario(*steps, tables=tables, duration="9s")), "A run"))["connections"]
    events = told["events"]
    timers = [(one["h"], one["text"], then["k"]) for one, then in pairwise(events) if one["k"] == "timer"]
    delayed = ("h2", "(Delayed ACK)", "send")
    assert timers == [delayed, delayed, ("h1", "(RTO)", "send"), ("h1", "(User timeout)", "state")]


def test_faults_and_drops_are_told_of_connections_that_they_can_concern():
    trace = played(talk("50s: link_down h1-s1", "51s: link_up h1-s1", octets="1kB"))
    (told,) = record(page(trace, "A run"))["connections"]
    assert [event for event in told["events"] if event["k"] == "fault"] == []  # it was over
    trace = played(scenario("0s: h2 listen", "0s: h1 open", "2s: crash h2", "30s: reboot h2"))
    (told,) = record(page(trace, "A run"))["connections"]
    faults = [(event["text"], event.get("new")) for event in told["events"] if event["k"] == "fault"]
    assert faults == [("crash h2", "(Crash)"), ("reboot h2", None)]


# ---- Large and odd runs


def test_of_a_long_connection_the_middle_is_left_out_but_no_change_of_a_state():
    tale = Tale().open()
    tale.text(SEGMENTS, octets=10, every=100)
    trace = tale.close(10 * SEGMENTS).trace()
    (told,) = record(page(trace, "A run"))["connections"]
    assert len(told["flights"]) == SEGMENTS
    (gap,) = [event for event in told["events"] if event["k"] == "gap"]
    assert gap["text"].startswith(f"{len(trace.of(Sent)) - SEGMENTS} segments are left out")
    assert len([event for event in told["events"] if event["k"] == "state"]) == len(trace.of(Change))
    shown = {event["f"] for event in told["events"] if "f" in event}
    assert shown == set(range(SEGMENTS))


@pytest.mark.slow
def test_of_many_connections_the_first_are_shown():
    tales = [Tale(f"c{number}").open().text(30).close(30_000) for number in range(CONNECTIONS + 5)]
    told = record(page(tales[0].trace(*tales[1:]), "A run"))
    assert (len(told["connections"]), told["leftOut"]) == (CONNECTIONS, 5)
    assert {len(connection["flights"]) for connection in told["connections"]} == {LEAST}


def test_an_empty_trace_makes_a_page_without_connections():
    assert record(page(Trace(), "A run"))["connections"] == []


# ---- The command


def tcpclose(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    demo = Scenario.load(runs.LABS / "demo" / "scenario.toml")
    runs.execute(demo, load_network(demo), "sim", tmp_path / "run")
    return tmp_path / "run"


def test_the_command_writes_the_page_into_the_runs_folder_or_elsewhere(folder, tmp_path):
    done = tcpclose("report", folder)
    assert (done.exit_code, done.output.strip()) == (0, str(folder / "report.html"))
    told = record((folder / "report.html").read_text())
    assert told["title"] == "Four ways to end a connection"
    assert told["about"] == ["in the simulator", "topology two_hosts", "seed 1", "captures h1-eth0.pcap, h2-eth0.pcap"]
    assert [connection["name"] for connection in told["connections"]] == [
        "graceful",
        "refused",
        "aborted",
        "unreachable",
    ]
    done = tcpclose("report", folder, "--out", tmp_path / "elsewhere.html")
    assert (tmp_path / "elsewhere.html").read_text() == (folder / "report.html").read_text()


def test_a_run_is_found_by_its_name_and_says_how_it_is_played(folder, monkeypatch):
    monkeypatch.setattr(runs, "RUNS", folder.parent)
    assert tcpclose("report", "run").exit_code == 0
    done = tcpclose("run", "demo", "--world", "sim")
    (line,) = [line for line in done.output.splitlines() if "tcpclose report" in line]
    assert tcpclose(*line.split()[1:3]).exit_code == 0


def test_the_file_of_a_trace_is_enough_for_a_page(folder, tmp_path):
    alone = shutil.copy(folder / "trace.jsonl", tmp_path / "some.jsonl")
    done = tcpclose("report", alone)
    assert (done.exit_code, done.output.strip()) == (0, str(tmp_path / "report.html"))
    tcpclose("report", folder)
    of_file, of_run = (record((place / "report.html").read_text()) for place in (tmp_path, folder))
    assert (of_file["title"], of_file["about"]) == ("some.jsonl", [])
    assert of_file["connections"] == of_run["connections"]


def test_what_cannot_be_played_is_said(folder, tmp_path):
    def complaint(*words):
        done = tcpclose("report", *words)
        assert done.exit_code == 2, done.output
        return done.output

    assert "there is no run 'nowhere'" in complaint("nowhere")
    assert "no run's folder" in complaint(tmp_path)
    assert "choose another place with --out" in complaint(folder, "--out", tmp_path / "none" / "page.html")
    (folder / "trace.jsonl").write_text("{}\n")
    assert "trace.jsonl:1: not an event of a trace" in complaint(folder)
    (folder / "trace.jsonl").unlink()
    assert "trace.jsonl cannot be read" in complaint(folder)
    told = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(told | {"status": "interrupted", "reason": "SIGINT"}))
    assert "not complete (interrupted: SIGINT)" in complaint(folder)
