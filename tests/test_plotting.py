"""`tcpclose plot`: which charts there are of a run, of a comparison and of many runs, and what is said without one."""

from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from tale import Tale
from test_charts import CUT_OFF, SIX, bars, texts
from typer.testing import CliRunner

from tcpclose import charts, plotting, runs
from tcpclose.charts.comparison import comparison_figure
from tcpclose.charts.many import CONNECTIONS, VALUES, Sample, many_figure
from tcpclose.cli import app
from tcpclose.scenario import Scenario
from tcpclose.topology import load_network
from tcpclose.trace.events import Trace


def tcpclose(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two runs of lab 01, and of a third nothing but that it began."""
    place = tmp_path_factory.mktemp("runs")
    for after in ("500ms", "2s"):
        scenario = Scenario.load(runs.find_scenario("01-four-way-close"), [f"step.5.after={after}"])
        (place / f"after-{after}").mkdir()
        runs.execute(scenario, load_network(scenario), "sim", place / f"after-{after}")
    (place / "interrupted").mkdir()
    shutil.copy(place / "after-2s" / "scenario.toml", place / "interrupted")
    (place / "interrupted" / "run.json").write_text(
        '{"world": "sim", "version": "0", "status": "interrupted", "reason": "SIGINT"}'
    )
    return place


def test_all_charts_of_a_run(folder, tmp_path):
    done = tcpclose("plot", folder / "after-2s", "--out", tmp_path, "--format", "svg")
    assert done.exit_code == 0, done.output
    assert done.output.split() == [str(tmp_path / f"{name}.svg") for name in charts.CHARTS]
    assert all((tmp_path / f"{name}.svg").read_text().startswith("<?xml") for name in charts.CHARTS)


@pytest.mark.slow
def test_a_chart_beside_its_run(folder, tmp_path):
    place = shutil.copytree(folder / "after-2s", tmp_path / "run")
    done = tcpclose("plot", place / "trace.jsonl", "--chart", "machine", "--chart", "states", "--connection", "c1")
    assert done.exit_code == 0, done.output
    assert done.output.split() == [str(place / "machine.png"), str(place / "states.png")]


@pytest.mark.slow
def test_names_that_differ_in_odd_signs_have_files_of_their_own(tmp_path):
    trace = Tale("a/b").open().trace(Tale("a:b", 10**6).open(), Tale("a_b", 2 * 10**6).open())
    trace.save(tmp_path / "trace.jsonl")
    drawn = ["machine-a_b.png", "machine-a_b-2.png", "machine-a_b-3.png"]
    done = tcpclose("plot", tmp_path / "trace.jsonl", "--chart", "machine")
    assert done.output.split() == [str(tmp_path / name) for name in drawn]
    alone = tcpclose("plot", tmp_path / "trace.jsonl", "--chart", "machine", "--connection", "a_b")
    assert alone.output.split() == [str(tmp_path / drawn[2])]


def test_of_several_connections_each_has_its_machine(tmp_path):
    trace = Tale().open().close().trace(Tale("10.0.0.1:5/[::1]", 10**6).open().close())
    trace.save(tmp_path / "trace.jsonl")
    drawn = [path.name for path in plotting.plot_run(tmp_path / "trace.jsonl", ["machine"], ".png")]
    assert drawn == ["machine-c1.png", "machine-10.0.0.1_5_1_.png"]
    drawn = [path.name for path in plotting.plot_run(tmp_path / "trace.jsonl", ["machine"], ".png", connection="c1")]
    assert drawn == ["machine-c1.png"]


@pytest.mark.slow
def test_of_too_many_connections_only_the_first_have_their_machine_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(plotting, "MACHINES", 2)
    tales = [Tale(f"c{number}", number * 10**6).open().close() for number in range(1, 6)]
    tales[0].trace(*tales[1:]).save(tmp_path / "trace.jsonl")
    done = tcpclose("plot", tmp_path / "trace.jsonl", "--chart", "machine")
    assert done.stdout.split() == [str(tmp_path / f"machine-c{number}.png") for number in (1, 2)]
    assert done.stderr == (
        "the machine is drawn for the first 2 connections, c1 to c2, and not for the other 3: "
        "--chart machine --connection NAME draws it for one\n"
    )
    for words in (["--chart", "machine", "--connection", "c5"], ["--chart", "states"]):
        assert tcpclose("plot", tmp_path / "trace.jsonl", *words).stderr == ""
    assert (tmp_path / "machine-c5.png").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "there is no run 'nowhere', neither as a folder nor in"),
        (["RUNS/interrupted"], "the run is not complete (interrupted: SIGINT), and leaves its trace when it is"),
        (["RUNS/after-2s", "--chart", "pie"], "--chart pie: expected ladder, machine, states, sequence or comparison"),
        (["RUNS/after-2s", "--format", "pdf"], "--format pdf: expected png or svg"),
        (["RUNS/after-2s", "--connection", "c7"], "no connection 'c7' in this trace; there are: c1"),
        (["RUNS/after-2s", "--connection", "c7", "--chart", "states"], "no connection 'c7' in this trace"),
        (["RUNS", "--chart", "comparison", "--chart", "ladder"], "it is drawn alone"),
        (["RUNS", "--many"], "--many and --against KEY go together"),
        (["RUNS", "--against", "seed"], "--many and --against KEY go together"),
        (["RUNS", "--many", "--against", "seed", "--chart", "states"], "without --chart or --connection"),
        (["RUNS", "--connection", "c1"], "--connection is for a single run"),
        (["RUNS", "--many", "--against", "host.h1.nose"], "has the key host.h1.nose"),
        (["RUNS/after-2s", "--chart", "comparison"], "there are no runs in"),
        (["RUNS/after-2s/trace.jsonl", "--chart", "comparison"], "is no folder of runs"),
        (["RUNS/after-2s/run.json"], "run.json:1: not an event of a trace"),
        (["RUNS/after-2s", "--out", "RUNS/after-2s/run.json/x"], "Not a directory"),
    ],
)
def test_what_cannot_be_drawn_is_told(folder, words, says):
    done = tcpclose("plot", *(word.replace("RUNS", str(folder)) for word in words))
    assert done.exit_code == 2, done.output
    assert says in " ".join(done.output.split())
    assert "Traceback" not in done.output


# Comparison


def test_runs_stand_below_each_other():
    figure = comparison_figure({"simulator": SIX, "own/own": CUT_OFF, "linux/own": None})
    placed = list(texts(figure))
    words = [text for text, _ in placed]
    assert words.count("simulator") == words.count("own/own") == words.count("linux/own") == 2
    assert {"c1: h1", "c1: h2", "the run failed", "user timeout"} <= set(words)
    assert not [(one, two) for (one, a), (two, b) in combinations(placed, 2) if a.meets(b)]
    assert len(bars(figure, "simulator")) == 9


def test_times_of_all_runs_have_one_scale():
    later = Tale(start=500_000).open().close().trace()
    figure = comparison_figure({"simulator": SIX, "later": later})
    first, second = bars(figure, "simulator")[0], bars(figure, "later")[0]
    longest = bars(figure, "simulator")[4]
    assert second.get_x() - first.get_x() == pytest.approx(longest.get_width() * 500_000 / 1_020_000)


def test_a_folder_of_runs_is_a_comparison(folder, tmp_path):
    done = tcpclose("plot", folder, "--out", tmp_path)
    assert (done.exit_code, done.output.strip()) == (0, str(tmp_path / "comparison.png"))


def test_a_damaged_trace_among_several_is_named(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "run.json").write_text('{"world": "sim", "version": "0", "status": "complete"}')
    (tmp_path / "one" / "trace.jsonl").write_text("{}\n")
    done = tcpclose("plot", tmp_path)
    assert done.exit_code == 2
    assert "one/trace.jsonl:1: not an event of a trace" in "".join(done.output.splitlines())


def test_a_value_of_the_wrong_type_is_named(tmp_path):
    (tmp_path / "trace.jsonl").write_text('{"t": "soon", "kind": "fault", "fault": "crash", "target": "h1"}\n')
    done = tcpclose("plot", tmp_path / "trace.jsonl")
    assert done.exit_code == 2
    assert "trace.jsonl:1: not an event of a trace" in done.output
    assert "t: expected int, not 'soon'" in done.output


def test_a_comparison_of_nothing():
    for found in ({}, {"simulator": None}, {"simulator": Trace()}):
        assert "No end of a connection" in " ".join(text for text, _ in texts(comparison_figure(found)))


# Many runs


def samples(values, connection="c1", causes=("graceful", "graceful")) -> list[Sample]:
    return [Sample(connection, value, 1000 * number, causes) for number, value in enumerate(values, 1)]


def test_many_runs_against_a_key(folder, tmp_path):
    done = tcpclose("plot", folder, "--many", "--against", "step.5.after", "--out", tmp_path, "--format", "svg")
    assert (done.exit_code, done.output.strip()) == (0, str(tmp_path / "many-step.5.after.svg"))


def test_values_stand_in_the_order_of_what_they_count():
    found = samples(["2s", "10s", "500ms", "1min"])
    figure = many_figure(found, "msl")
    labels = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert labels == ["500ms", "2s", "10s", "1min"]
    assert [label.get_text() for label in many_figure(samples(["9", "10", "x"]), "k").axes[1].get_xticklabels()] == [
        "9", "10", "x"
    ]  # fmt: skip


def test_shares_are_those_of_the_ends():
    found = [
        Sample("c1", "1s", 5, ("graceful", "aborted")),
        Sample("c1", "1s", None, ("open", "aborted")),
        Sample("c1", "2s", 7, ("lightning", "lightning")),
    ]
    figure = many_figure(found, "msl")
    heights = {str(b.get_gid()): b.get_height() for b in figure.findobj(Rectangle) if "share" in str(b.get_gid())}
    assert heights == {
        "c1 share 1s graceful": 0.25,
        "c1 share 1s aborted": 0.5,
        "c1 share 1s open": 0.25,
        "c1 share 2s lightning": 1.0,
    }
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["1s\n1 of 2", "2s\n1 of 1"]


@pytest.mark.slow
def test_no_two_texts_of_many_runs_touch():
    causes = [("graceful", "graceful"), ("user timeout", "open"), ("reset by peer", "aborted")]
    found = [
        Sample(name, f"{value}ms", None if number == 2 else 10**number * value, causes[(number + value) % 3])
        for name in ("one", "another")
        for value in range(100, 1300, 100)
        for number in range(6)
    ]
    placed = list(texts(many_figure(found, "host.h1.tcp.user_timeout")))
    assert len(placed) > 60
    assert not [(one, two) for (one, a), (two, b) in combinations(placed, 2) if a.meets(b)]


@pytest.mark.slow
def test_more_than_a_picture_holds_is_told():
    found = [s for n in range(CONNECTIONS + 2) for s in samples(map(str, range(VALUES + 3)), f"c{n}")]
    words = " ".join(text.get_text() for text in many_figure(found, "seed").findobj(Text))
    assert "3 more values are not shown. 2 more connections are not shown." in words
    assert "no connections in these runs" in " ".join(text for text, _ in texts(many_figure([], "seed")))
