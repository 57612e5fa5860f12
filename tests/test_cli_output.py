"""Where the output of commands goes, and what they call themselves: each is a process of its own here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tcpclose.wire import PcapWriter

ROOT = Path(__file__).parent.parent
TCPCLOSE = [sys.executable, "-m", "tcpclose"]
COMMANDS = [("--help",), ("config",), ("fsm", "--dot"), ("classify", "-")]


def tcpclose(*words, **more):
    environment = {**os.environ, "TERM": "dumb", **more.pop("env", {})}
    more = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, **more}
    return subprocess.run([*TCPCLOSE, *words], cwd=ROOT, env=environment, text=True, timeout=60, **more)


@pytest.fixture
def empty_capture(tmp_path):
    PcapWriter(tmp_path / "empty.pcap").close()
    with (tmp_path / "empty.pcap").open("rb") as file:
        yield file


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_output_that_cannot_be_written_is_told_in_one_line(words, empty_capture):
    with open("/dev/full", "wb") as full:
        done = tcpclose(*words, stdout=full, stdin=empty_capture)
    assert (done.returncode, done.stderr) == (2, "tcpclose: output: No space left on device\n")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_nobody_reads_the_output(words, empty_capture):
    """As after `| head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody:
        done = tcpclose(*words, stdout=nobody, stdin=empty_capture)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("command", ["run", "show", "plot", "report", "classify", "drill", "sheet", "mark"])
@pytest.mark.slow
def test_a_name_that_is_too_long_is_no_file(command):
    name = "a" * 300
    done = tcpclose(command, *(["01"] if command == "mark" else []), name)
    assert done.returncode == 2
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_that_knows_ascii_only():
    done = tcpclose("lab", "01", stdout=subprocess.PIPE, env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "four-way close" in done.stdout


def test_help_begins_with_what_a_newcomer_runs():
    told = tcpclose("--help", stdout=subprocess.PIPE).stdout
    assert [line.split()[1] for line in told.splitlines() if line.startswith("│ ") and line[2] != " "][1:4] == [
        "run", "demo", "runs"
    ]  # fmt: skip


@pytest.mark.slow
def test_there_is_no_output_at_all():
    def close():
        os.close(1)
        os.close(2)

    assert tcpclose("labs", stderr=None, preexec_fn=close).returncode == 0
    assert tcpclose("lab", "none", stderr=None, preexec_fn=close).returncode == 2


@pytest.mark.slow
def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path):
    """A pipe here; root could replace /dev/null as well."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    sheet = tcpclose("sheet", "01", "--answers", stdout=subprocess.PIPE).stdout
    (tmp_path / "sheet.toml").write_text(sheet)
    for name in ("pipe", "link"):
        done = tcpclose("mark", "01", tmp_path / "sheet.toml", "--csv", tmp_path / name, stdout=subprocess.PIPE)
        assert done.returncode == 0, done.stderr
    table = (tmp_path / "file").read_text()
    assert table.startswith("file,student,score,")
    assert os.read(reader, 65536).decode() == table
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()
    os.close(reader)


@pytest.mark.parametrize(("typed", "command"), [({}, "tcpclose"), ({"TCPCLOSE_COMMAND": "./lab"}, "./lab")])
@pytest.mark.slow
def test_messages_name_the_command_that_was_typed(typed, command, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "TCPCLOSE_COMMAND"} | typed

    def told(*words):
        done = subprocess.run([*TCPCLOSE, *words], cwd=ROOT, env=environment, capture_output=True, text=True)
        return done.stdout + done.stderr

    assert f"; `{command} runs` lists them" in told("report", "none")
    assert f"Usage: {command} report [OPTIONS]" in told("report", "--help")
    assert f"Usage: {command} assignment list" in told("assignment", "list", "--help")
    assert f"\n  {command} report {tmp_path}/run  makes" in told("demo", "--world", "sim", "--out", tmp_path / "run")
