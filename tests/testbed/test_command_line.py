"""`tcpclose run --cli`: somebody at a terminal, on hosts whose timeline is over."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from pathlib import Path

import pytest
from inside import ROOT
from test_killed import TALK
from typer.testing import CliRunner

from tcpclose import runs
from tcpclose.cli import app
from tcpclose.trace.events import Trace

pytestmark = [pytest.mark.testbed, pytest.mark.slow, pytest.mark.xdist_group("worlds")]

PROMPT = "mininet> "


class Terminal:
    """A user at a terminal of their own, and a command in it."""

    def __init__(self, *words: str) -> None:
        self.pid, self.line = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.environ.update(HOME="/tmp", TERM="dumb", COLUMNS="200")
            os.execv(sys.executable, [sys.executable, "-m", "tcpclose", *words])

    def read_until(self, words: str, seconds: float = 90) -> str:
        """What appears, up to these words; or to the end, for none."""
        said, deadline = "", time.monotonic() + seconds
        while not words or not said.endswith(words):
            ready = select.select([self.line], [], [], max(deadline - time.monotonic(), 0))[0]
            assert ready, f"{words!r} does not come after {said!r}"
            try:
                octets = os.read(self.line, 4096)
            except OSError:  # nobody has this terminal open any more
                octets = b""
            if not octets:
                assert not words, f"{words!r} does not come after {said!r}"
                return said
            said += octets.decode(errors="replace")
        return said

    def type(self, words: str) -> str:
        """Type a line; what appears before the next prompt."""
        os.write(self.line, f"{words}\n".encode())
        return self.read_until(PROMPT)

    def status(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_mininets_cli_opens_after_the_timeline_and_exit_ends_the_run(tmp_path: Path):
    scenario, folder = tmp_path / "talk.toml", tmp_path / "run"
    scenario.write_text(TALK)
    terminal = Terminal("run", str(scenario), "--world", "mininet", "--cli", "--out", str(folder))
    terminal.read_until(PROMPT)
    assert runs.load_record(folder).status == "running"
    assert "h1 h2 s1" in terminal.type("nodes")
    assert "10.0.0.2" in terminal.type("py net.get('h2').IP()")
    assert " 0% packet loss" in terminal.type("h1 ping -c 3 -i 0.2 h2")
    assert "\n2\r" in terminal.type("sh pgrep -fc '[t]cpclose.testbed.agent'")  # our TCPs are still there
    os.write(terminal.line, b"h1 sleep 600\n")
    time.sleep(0.5)
    os.write(terminal.line, b"\x03")  # Ctrl-C is for the command, not for the run
    terminal.read_until(PROMPT)
    assert "h1-eth0<->s1-eth1" in terminal.type("links")
    os.write(terminal.line, b"exit\n")
    said = terminal.read_until("")
    assert "graceful" in said
    assert "ladder.png" in said
    assert terminal.status() == 0
    assert runs.load_record(folder).status == "complete"
    assert list(Trace.load(folder / "trace.jsonl"))


def test_the_simulator_has_no_command_line(tmp_path: Path):
    done = CliRunner().invoke(app, ["run", "demo", "--world", "sim", "--cli", "--out", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "--cli is for hosts that one can log in to: it needs --world mininet" in done.output
