"""The folder of a run says how the run ended, however it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tcpclose import runs
from tcpclose.aside import aside
from tcpclose.cli import app
from tcpclose.scenario import Scenario, ScenarioError
from tcpclose.topology import load_network

ROOT = Path(__file__).parent.parent
DEMO = runs.LABS / "demo" / "scenario.toml"


def execute(folder: Path, watch=None):
    folder.mkdir()
    scenario = Scenario.load(DEMO)
    return runs.execute(scenario, load_network(scenario), "sim", folder, watch)


def listed(folder: Path) -> str:
    done = CliRunner().invoke(app, ["runs", str(folder)])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_complete_run_is_no_longer_running(tmp_path):
    seen = []
    execute(tmp_path / "run", lambda event: seen.append(runs.load_record(tmp_path / "run").status))
    assert set(seen) == {"running"}
    assert runs.load_record(tmp_path / "run").status == "complete"
    assert "Four ways to end a connection" in listed(tmp_path)


def test_the_runs_of_a_comparison_are_listed_one_by_one(tmp_path):
    (tmp_path / "both").mkdir()
    for name in ("both/own-own", "both/simulator", "alone"):
        execute(tmp_path / name)
    lines = [line.split()[:3] for line in listed(tmp_path).splitlines()]
    assert [line for line in lines if line == ["both/"] or "complete" in line] == [
        ["alone", "sim", "complete"],
        ["both/"],
        ["own-own", "sim", "complete"],
        ["simulator", "sim", "complete"],
    ]


def test_where_no_runs_are_that_is_said(tmp_path):
    assert listed(tmp_path) == f"no runs in {tmp_path}/\n"
    done = CliRunner().invoke(app, ["runs", str(tmp_path / "none")])
    assert (done.exit_code, done.output) == (2, f"tcpclose: {tmp_path / 'none'}: there is no such folder\n")


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (KeyboardInterrupt(), "interrupted", "SIGINT"),
        (KeyboardInterrupt(signal.SIGTERM), "interrupted", "SIGTERM"),
        (ValueError("the roof is on fire"), "failed", "the roof is on fire"),
        (MemoryError(), "failed", "MemoryError"),
    ],
)
def test_an_error_at_any_moment_is_told_and_leaves_no_capture(tmp_path, error, status, reason):
    def watch(event):
        raise error

    with pytest.raises(type(error)):
        execute(tmp_path / "run", watch)
    record = runs.load_record(tmp_path / "run")
    assert (record.status, record.reason) == (status, reason)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"run.json", "scenario.toml"}
    assert reason.split()[0] in listed(tmp_path)


def stuck(folder: Path) -> subprocess.Popen[str]:
    """A run that has begun, and does not go on."""
    code = (
        "import sys, time; sys.path.insert(0, 'tests'); from pathlib import Path; from test_runs import execute;"
        "execute(Path(sys.argv[1]), lambda event: (print('begun', flush=True), time.sleep(600)))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_a_run_that_was_killed_is_seen_to_be_over(tmp_path):
    with stuck(tmp_path / "run") as process:
        assert runs.load_record(tmp_path / "run").status == "running"
        process.kill()
    record = runs.load_record(tmp_path / "run")
    assert (record.status, record.reason) == ("interrupted", "its process was killed")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "running"
    assert "its process was killed" in listed(tmp_path)
    assert not [*(tmp_path / "run").glob("*.pcap"), *(tmp_path / "run").glob("trace*")]
    done = CliRunner().invoke(app, ["run", "demo", "--world", "sim", "--out", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "is not empty (its run: interrupted)" in done.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_run_in_order(tmp_path, number):
    """The command is stopped by a `watch` that never returns."""
    code = (
        "import sys, time; from tcpclose import cli; from tcpclose.terminal.live import View;"
        "View.watch = lambda self, event: (print('begun', flush=True), time.sleep(600));"
        "cli.app(['run', 'demo', '--world', 'sim', '--out', sys.argv[1]])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (128 + number, "tcpclose: interrupted\n")
    record = runs.load_record(tmp_path / "run")
    assert (record.status, record.reason) == ("interrupted", number.name)


@pytest.mark.parametrize("limit", range(500, 60_000, 9_000))
@pytest.mark.slow
def test_a_disk_that_is_full_at_any_octet_leaves_nothing_half_written(tmp_path, limit):
    """Here a limit of the size of files, which fails a write in the same way; small files can still be written."""
    code = (
        "import resource, signal, sys; from tcpclose.cli import app;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2);"
        "app(['run', 'demo', '--world', 'sim', '--out', sys.argv[2]])"
    )
    command = [sys.executable, "-c", code, str(limit), str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr == f"tcpclose: {tmp_path / 'run'}: File too large\n"
    assert not list((tmp_path / "run").glob("*.part"))
    for path in (tmp_path / "run").iterdir():
        assert path.stat().st_size < limit
    complete = (tmp_path / "run" / "trace.jsonl").exists()
    assert (runs.load_record(tmp_path / "run").status == "complete") == complete


def test_what_is_no_record_of_a_run_is_told(tmp_path):
    with pytest.raises(runs.FolderError, match=r"is no run's folder: it has no run\.json"):
        runs.load_record(tmp_path)
    (tmp_path / "trace.jsonl").touch()
    with pytest.raises(runs.FolderError, match=r"trace\.jsonl is no run's folder: it has no run\.json"):
        runs.find_run(str(tmp_path / "trace.jsonl"))
    (tmp_path / "run").mkdir()
    for text in ('{"world": "sim"', '{"world": "moon", "version": "1", "status": "complete"}', "[]"):
        (tmp_path / "run" / "run.json").write_text(text)
        with pytest.raises(runs.FolderError, match=r"run\.json cannot be read: it is damaged: "):
            runs.load_record(tmp_path / "run")
    assert "damaged" in listed(tmp_path)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    with aside(path) as unfinished:
        unfinished.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    with pytest.raises(ZeroDivisionError), aside(path) as unfinished:
        unfinished.write_text(str(1 // 0))
    assert path.read_text() == "half"
    assert os.listdir(tmp_path) == ["file"]


def test_a_lab_is_found_by_enough_of_its_name():
    assert (
        runs.find_scenario("01")
        == runs.find_scenario("01-four-way-close")
        == runs.LABS / "01-four-way-close/scenario.toml"
    )
    with pytest.raises(ScenarioError, match="it may be any of 01-four-way-close, 02-"):
        runs.find_scenario("0")
    for name in ("", "99"):
        with pytest.raises(ScenarioError, match="no such lab; the labs are 01-four-way-close, "):
            runs.find_scenario(name)
