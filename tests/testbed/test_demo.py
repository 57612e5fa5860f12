"""The demonstration as a user runs it: two at once, one killed at any moment, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

pytestmark = [pytest.mark.testbed, pytest.mark.slow]

TCPCLOSE = Path(sys.executable).with_name("tcpclose")


def start_demo(out, mark=""):
    environment = {**os.environ, "TCPCLOSE_TEST": mark}
    command = [TCPCLOSE, "demo", "--world", "mininet", "--out", out]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def marked(mark):
    """The processes, wherever they live, that were started with this mark in their environment."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in environ.read_text(errors="replace"):
                found.append(environ.parent.name)
        except (FileNotFoundError, ProcessLookupError, PermissionError):  # ended meanwhile, or another user's
            continue
    return found


def surroundings():
    """What a run must not change outside of its box: interfaces and mounts."""
    return sorted(os.listdir("/sys/class/net")), Path("/proc/self/mountinfo").read_text()


def test_two_demos_side_by_side(tmp_path):
    demos = [start_demo(tmp_path / name) for name in ("one", "two")]
    for demo, name in zip(demos, ("one", "two"), strict=True):
        said, _ = demo.communicate(timeout=60)
        assert demo.returncode == 0, said
        for words in ("graceful", "refused", "aborted", "unreachable", "user timeout", "reset by peer"):
            assert words in said
        left = {path.name for path in (tmp_path / name).iterdir()}
        charts = {"ladder.png", "states.png", "sequence.png"}
        assert left == charts | {"scenario.toml", "run.json", "trace.jsonl", "h1-eth0.pcap", "h2-eth0.pcap"}


@pytest.mark.parametrize("after", [0.4, 1.2, 3.0])
def test_a_killed_demo_leaves_nothing(tmp_path, after):
    before = surroundings()
    mark = uuid.uuid4().hex
    demo = start_demo(tmp_path / "run", mark)
    time.sleep(after)
    assert marked(mark)
    demo.kill()
    demo.communicate()
    deadline = time.monotonic() + 10
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert marked(mark) == []
    assert surroundings() == before
    assert not (tmp_path / "run" / "trace.jsonl").exists()


def test_an_interrupted_demo_is_marked_so(tmp_path):
    mark = uuid.uuid4().hex
    demo = start_demo(tmp_path / "run", mark)
    while not (tmp_path / "run" / "h1-eth0.pcap.part").exists():  # the network is up
        assert demo.poll() is None
        time.sleep(0.05)
    demo.send_signal(signal.SIGINT)
    said, _ = demo.communicate(timeout=10)
    assert demo.returncode == 130
    assert said.strip() == "tcpclose: interrupted"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    assert not (tmp_path / "run" / "trace.jsonl").exists()
    assert marked(mark) == []
