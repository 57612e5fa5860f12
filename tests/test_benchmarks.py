"""The benchmarks do what they say they measure. How fast they are is no test's business."""

from __future__ import annotations

import json

import pytest

from benchmarks import grading, measure
from benchmarks.__main__ import BENCHMARKS, main, run
from tcpclose.protocol.fsm import Cause, State
from tcpclose.protocol.segment import FIN
from tcpclose.simulator import simulate
from tcpclose.topology import load_network
from tcpclose.trace.releases import releases


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
@pytest.mark.slow
def test_each_measures_something(benchmark) -> None:
    assert benchmark.run(max(benchmark.size // 1000, 1)) > 0


def test_the_simulated_connections_are_complete() -> None:
    plan = measure.scenario(5)
    found = list(releases(simulate(plan, load_network(plan))))
    assert len(found) == 5
    assert {(release.how, release.first) for release in found} == {("graceful", "h1")}


def test_a_direct_connection_is_complete() -> None:
    client, server = measure.connected()
    client.close(0)
    (fin,) = client.segments_to_send()
    assert fin.ctl & FIN
    server.segment_arrives(fin, 0)
    server.close(0)
    measure.pump(client, server)
    assert (client.state, server.state, server.cause) == (State.TIME_WAIT, State.CLOSED, Cause.GRACEFUL)
    measure.whole_connection()  # it looks for itself


@pytest.mark.slow
def test_the_report_is_complete_and_names_the_machine(tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "new" / "bench.json"
    monkeypatch.setattr("sys.argv", ["bench", "--repeat", "1", "--scale", "0.001", "--json", str(path)])
    main()
    report = json.loads(path.read_text())
    assert {"python", "processors"} <= report["machine"].keys()
    assert list(report["results"]) == [benchmark.name for benchmark in BENCHMARKS]
    assert all(result["value"] > 0 for result in report["results"].values())
    assert "connections/s" in capsys.readouterr().out


def test_the_best_counts(monkeypatch) -> None:
    values = iter(range(1, 100))
    monkeypatch.setattr(
        "benchmarks.__main__.BENCHMARKS", [b.__class__(b.name, lambda n: next(values), 1, b.unit) for b in BENCHMARKS]
    )
    results = run(repeat=3)["results"]
    assert [result["value"] for result in results.values()] == list(range(3, 3 * len(BENCHMARKS) + 1, 3))


@pytest.mark.slow
@pytest.mark.parametrize(("assignment", "graded"), [("a1", 6), ("a2", 7), ("a3", 7)])
def test_a_class_is_graded_and_all_kinds_are_in_it(assignment, graded) -> None:
    """Of A1 one is no TOML; programs and scripts that cannot be read have points, or none."""
    figures = grading.measure(assignment, 7)
    assert figures["graded"] == graded
    assert all(figures[run]["seconds"] > 0 for run in ("first", "again"))
