"""The commands as a user types them. Everything here runs in the simulator."""

from __future__ import annotations

import dataclasses
import errno
import json
import re

import pytest
from typer.testing import CliRunner

from tcpclose import runs
from tcpclose.cli import app
from tcpclose.protocol.config import TcpConfig
from tcpclose.scenario import Scenario
from tcpclose.testbed import box
from tcpclose.trace.events import Trace

runner = CliRunner()


def tcpclose(*words):
    return runner.invoke(app, [str(word) for word in words])


@pytest.mark.slow
def test_a_run_leaves_all_that_it_says(tmp_path):
    done = tcpclose("run", "demo", "--world", "sim", "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    for words in ("graceful", "refused", "aborted", "unreachable", "user timeout", "FIN-WAIT-2", "0.260 s"):
        assert words in done.output
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        "scenario.toml",
        "run.json",
        "trace.jsonl",
        "h1-eth0.pcap",
        "h2-eth0.pcap",
        "ladder.png",
        "sequence.png",
        "states.png",
    }
    assert all(name in done.output for name in names - {"run.json"})
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (told["status"], told["zero"]) == ("complete", 0)  # the captures' time is the trace's


@pytest.mark.slow
def test_two_runs_with_one_seed_give_identical_traces(tmp_path):
    texts = []
    for number, seed in enumerate([7, 7, 8]):
        folder = tmp_path / str(number)
        assert tcpclose("run", "demo", "--world", "sim", "--seed", seed, "--out", folder).exit_code == 0
        texts.append((folder / "trace.jsonl").read_bytes())
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.slow
def test_set_overrides_and_the_folder_tells_it(tmp_path):
    done = tcpclose(
        "run", "demo", "--world", "sim", "--set", "host.h1.tcp.user_timeout=2s", "--seed", 5, "--out", tmp_path / "run"
    )
    assert done.exit_code == 0, done.output
    resolved = Scenario.load(tmp_path / "run" / "scenario.toml")
    assert (resolved.tcp_config("h1").user_timeout, resolved.seed) == (2_000_000, 5)
    again = tcpclose("run", tmp_path / "run" / "scenario.toml", "--world", "sim", "--out", tmp_path / "again")
    assert again.exit_code == 0
    traces = [Trace.load(tmp_path / name / "trace.jsonl").events for name in ("run", "again")]
    assert traces[0] == traces[1]


BROKEN = """
topology = "two_hosts"
duration = "1s"
[connection.c1]
client = "h1"
server = "h3"
port = 80
"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "nosuch"], "tcpclose: nosuch: there is no such file, and no such lab; the labs are"),
        (["run", str(runs.LABS)], "labs: this folder has no scenario.toml, and there is no such lab; the labs are"),
        (["run", "demo", "--set", "topology_args.dely=5ms"], "its parameters are delay, bw, loss, queue"),
        (["run", "demo", "--world", "moon"], "tcpclose: --world moon: expected sim or mininet"),
        (["run", "demo", "--set", "host.h1.tcp.user_timout=3s"], "unknown key; did you mean user_timeout?"),
        (["run", "demo", "--set", "topology=three_hosts"], "demo/scenario.toml: there is no topology three_hosts"),
        (["run", "demo", "--set", "link.h1-s1.queue=5"], "link h1-s1: a queue limit needs a rate"),
        (["run", "demo", "--set", "link.h1-s9.delay=5ms"], "link.h1-s9: there is no link h1-s9 in two_hosts"),
        (["run", "demo", "--set", "host.h2.stack=linux", "--world", "sim"], "cannot honour msl"),
        (
            ["run", "demo", "--set", "host.h2.tcp=", "--set", "host.h2.stack=linux", "--world", "sim"],
            'host.h2.stack = "linux": the simulator has no Linux kernel; use --world mininet',
        ),
        (["run", "BROKEN"], "connection.c1.server: there is no host h3 in two_hosts"),
    ],
)
def test_bad_input_gets_one_clear_message_and_status_2(tmp_path, words, message):
    (tmp_path / "broken.toml").write_text(BROKEN)
    words = [tmp_path / "broken.toml" if word == "BROKEN" else word for word in words]
    done = tcpclose(*words, "--out", tmp_path / "run")
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "run" / "trace.jsonl").exists()


def test_a_file_is_no_place_for_a_run(tmp_path):
    (tmp_path / "run").touch()
    done = tcpclose("demo", "--world", "sim", "--out", tmp_path / "run")
    assert done.exit_code == 2
    assert "run cannot be a run's folder: it is a file; choose another place with --out" in done.output


def test_settings_are_told_by_their_whole_names():
    told = tcpclose("config").output
    assert {field.name for field in dataclasses.fields(TcpConfig)} - set(told.split()) == set()


def test_what_did_not_happen_is_told(tmp_path):
    done = tcpclose(
        "run", "01-four-way-close", "--world", "sim", "--set", "step.3.bytes=3MB", "--out", tmp_path / "run"
    )
    assert done.exit_code == 0
    assert "h1 c1: send was refused: error: insufficient resources" in done.output
    assert "step 4 did not happen: it waits for h1.c1 sees SENT" in done.output


def test_what_would_have_come_after_the_end_of_the_run_is_told_so(tmp_path):
    """Its condition was met: it does not wait for that."""
    done = tcpclose("run", "02-half-close", "--world", "sim", "--set", "step.7.after=60s", "--out", tmp_path / "run")
    assert "step 7 did not happen: it comes at 60.2 s, when the run is over" in done.output


@pytest.mark.slow
def test_a_title_is_text_whatever_it_holds(tmp_path):
    done = tcpclose("run", "demo", "--world", "sim", "--set", 'title="[/b] x"', "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert "[/b] x" in done.output


@pytest.mark.slow
def test_a_connection_that_exists_is_not_opened_again(tmp_path):
    again = ("--set", "step.2.repeat=2", "--set", "step.2.every=1s")
    done = tcpclose("run", "demo", "--world", "sim", *again, "--out", tmp_path / "run")
    assert done.exit_code == 0
    assert "h1 graceful: open was refused: error: connection already exists" in done.output


def test_a_disk_that_is_full_is_told_and_the_run_is_marked(tmp_path, monkeypatch):
    def full(self, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Trace, "save", full)
    done = tcpclose("run", "demo", "--world", "sim", "--out", tmp_path / "run")
    assert (done.exit_code, done.output.strip()) == (1, f"tcpclose: {tmp_path / 'run'}: No space left on device")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"
    assert not list((tmp_path / "run").glob("*.part"))


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    done = tcpclose("run", "demo", "--world", "sim", "--out", tmp_path)
    assert done.exit_code == 2
    assert "is not empty" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_without_boxes_the_simulator_steps_in_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr("tcpclose.testbed.box.why_no_box", lambda: box.Lack("missing mnexec", "install it"))
    done = tcpclose("demo", "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert "no emulation here, so this is the simulator: missing mnexec: install it" in done.output
    assert json.loads((tmp_path / "run" / "run.json").read_text())["world"] == "sim"
    asked = tcpclose("demo", "--world", "mininet", "--out", tmp_path / "other")
    assert (asked.exit_code, asked.output.strip()) == (1, "tcpclose: missing mnexec: install it")


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "RUNS", tmp_path)
    folders = {runs.new_folder("demo") for _ in range(3)}
    assert len(folders) == 3
    assert all(folder.parent == tmp_path and "-demo" in folder.name for folder in folders)


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("show",),
        ("mark", "01"),
        ("assignment", "export", "a1", "out", "--students"),
        ("grade", "a1", "--class", ".", "--students"),
    ],
    ids=" ".join,
)
def test_a_file_without_end_is_refused(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    done = tcpclose(*words, "/dev/zero")
    assert done.exit_code == 2
    assert re.search("/dev/zero.*(has more than 4194304 octets|not an event of a trace)", done.output), done.output


def test_a_trace_without_an_event_is_none(tmp_path):
    (tmp_path / "trace.jsonl").touch()
    done = tcpclose("show", tmp_path / "trace.jsonl")
    assert (done.exit_code, "trace.jsonl is empty: a trace has a line for each event" in done.output) == (2, True)
