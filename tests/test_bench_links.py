"""The benchmark of links measures what it says. How good the figures are is no test's business."""

from __future__ import annotations

import json

import pytest

from benchmarks import links
from tcpclose.testbed.box import why_no_box

pytestmark = [pytest.mark.testbed, pytest.mark.slow]


def test_the_report_is_complete_and_names_the_machine(tmp_path, monkeypatch, capsys) -> None:
    if reason := why_no_box():
        pytest.skip(reason)
    path = tmp_path / "new" / "links.json"
    monkeypatch.setattr("sys.argv", ["links", "--scale", "0.02", "--json", str(path)])
    links.main()
    report = json.loads(path.read_text())
    assert {"python", "processors"} <= report["machine"].keys()
    results = report["results"]
    assert {name.split(",")[0] for name in results} == {"RTT", "loss", "TCP", "datagrams"}
    assert all(results[f"RTT, {nominal} ms"]["mean error, ms"] > 0 for nominal in (0, 1, 10, 100))
    assert abs(results["loss, 10%"]["standard deviations off"]) < 5
    assert results["TCP, 0 ms"]["Mbit/s"] > 0
    assert results["datagrams, bare"]["of bare"] == 1
    assert "standard deviations off" in capsys.readouterr().out
