"""Whole runs: killed at random they leave nothing, many at once they do not meet, users are as good as root.

TCPCLOSE_KILLS says how many are killed: 12, or what you like. TCPCLOSE_SEED says at which moments.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from inside import AS_NOBODY, ROOT, why_not_as_nobody

from tcpclose import runs
from tcpclose.trace.events import Trace
from tcpclose.trace.releases import releases
from tcpclose.wire import read_pcap

pytestmark = [pytest.mark.testbed, pytest.mark.slow, pytest.mark.xdist_group("worlds")]

KILLS = int(os.environ.get("TCPCLOSE_KILLS", "12"))
SEED = int(os.environ.get("TCPCLOSE_SEED", "1"))
AT_ONCE = 4
PATIENCE = 120.0  # s for a run on a busy machine, or its death

TALK = """
topology = "two_hosts"
duration = "60s"
[host.h1.tcp]
msl = "200ms"
rto_min = "20s"
rto_initial = "20s"
[host.h2.tcp]
msl = "200ms"
rto_min = "20s"
rto_initial = "20s"
[connection.graceful]
client = "h1"
server = "h2"
port = 80
[connection.aborted]
client = "h1"
server = "h2"
port = 80
[[step]]
at = "0s"
host = "h2"
call = "listen"
port = 80
[[step]]
at = "50ms"
host = "h1"
connection = "graceful"
call = "open"
[[step]]
when = "h1.graceful in ESTABLISHED"
host = "h1"
connection = "graceful"
call = "close"
[[step]]
when = "h2.graceful sees EOF"
host = "h2"
connection = "graceful"
call = "close"
[[step]]
when = "h1.graceful in TIME-WAIT"
host = "h1"
connection = "aborted"
call = "open"
[[step]]
when = "h2.aborted in ESTABLISHED"
host = "h2"
connection = "aborted"
call = "abort"
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that ordinary users may write to, with the scenario in it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        (Path(folder) / "talk.toml").write_text(TALK)
        yield Path(folder)


def start(place: Path, name: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """A run of the command, whose processes can all be told by their environment."""
    words = ["run", str(place / "talk.toml"), "--world", "mininet", "--out", str(place / name)]
    environment = {**os.environ, "HOME": "/tmp", "TCPCLOSE_TRIAL": str(place / name)}
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "tcpclose", *words],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes(place: Path, name: str) -> dict[int, str]:
    """The processes of a run, wherever they live: pid and command."""
    found, mark = {}, f"TCPCLOSE_TRIAL={place / name}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError, PermissionError):  # ended meanwhile, or somebody else's
            continue
    return found


def machine() -> list[object]:
    """What runs must leave as it was: mounts, interfaces and named namespaces of this machine."""
    named = Path("/run/netns")
    names = sorted(os.listdir(named)) if named.exists() else []
    return [Path("/proc/self/mountinfo").read_text(), sorted(os.listdir("/sys/class/net")), names]


def complete(place: Path, name: str, prefix: tuple[str, ...] = ()) -> dict[str, object]:
    """Make a run and read what came of each connection."""
    with start(place, name, prefix) as process:
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    trace = Trace.load(place / name / "trace.jsonl")
    return {release.connection: (release.how, release.causes, release.states) for release in releases(trace)}


def kill(place: Path, number: int, after: float, weapon: str, chance: float) -> tuple[str, str]:
    """One run and its death; what was killed, and how the run is recorded to have ended."""
    name = f"run-{number}"
    with start(place, name) as process:
        time.sleep(after)
        victims = sorted(processes(place, name).items())
        if weapon == "kill -9 of one" and victims:
            pid, words = victims[int(chance * len(victims))]
            victim = f"kill -9 {words}"
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                victim = "nobody"
        else:
            victim = weapon
            process.send_signal({"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}.get(weapon, signal.SIGKILL))
        try:
            process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    deadline = time.monotonic() + PATIENCE
    while left := processes(place, name):
        assert time.monotonic() < deadline, f"after {victim} at {after:.3f} s there are left: {left}"
        time.sleep(0.02)
    return victim, ending(place / name)


def ending(folder: Path) -> str:
    """How a run is recorded to have ended; what it left must be whole."""
    try:
        status = runs.load_record(folder).status
    except runs.FolderError:
        status = "not begun"
    for capture in folder.glob("*.pcap"):
        for _ in read_pcap(capture):  # raises where it is cut off
            pass
    if (folder / "trace.jsonl").exists():
        assert list(Trace.load(folder / "trace.jsonl"))
    else:
        assert status != "complete"
    return status


def test_runs_killed_at_random_moments_leave_nothing(place: Path):
    chance, before = random.Random(SEED), machine()
    began = time.monotonic()
    complete(place, "whole")
    length = time.monotonic() - began
    weapons = ("kill -9", "SIGINT", "SIGTERM", "kill -9 of one")
    deaths = [
        (number, chance.uniform(0, length * 1.1), weapons[number % len(weapons)], chance.random())
        for number in range(KILLS)
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = list(pool.map(lambda death: kill(place, *death), deaths))
    assert {status for _, status in ends} <= {"not begun", "interrupted", "failed", "complete"}, ends
    assert any(status == "interrupted" for _, status in ends), ends
    assert machine() == before


def test_ten_runs_at_once_of_root_and_of_users_agree(place: Path):
    before = machine()
    prefixes = [()] * 10
    if os.geteuid() == 0 and why_not_as_nobody() is None:
        prefixes[5:] = [AS_NOBODY] * 5
    with ThreadPoolExecutor(10) as pool:
        first, *others = pool.map(lambda number: complete(place, f"run-{number}", prefixes[number]), range(10))
    assert {connection: how for connection, (how, _, _) in first.items()} == {
        "graceful": "graceful",
        "aborted": "abrupt",
    }
    assert all(other == first for other in others)
    assert machine() == before


def test_a_full_disk_fails_the_run_and_is_told(place: Path):
    """A file system of 32 kB, in mount namespace of its own."""
    if os.geteuid():
        pytest.skip("not root")
    script = f"mount -t tmpfs -o size=32k none {place}/small; exec " + '"$@"'
    (place / "small").mkdir()
    keep = f"cat {place}/small/run/run.json >{place}/record; ls {place}/small/run >{place}/files"
    run = f"{sys.executable} -m tcpclose run demo --world mininet --out {place}/small/run || status=$?"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script, "sh", "sh", "-c", f"{run}; {keep}; exit $status"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 1, done.stderr
    assert "is cut short: is the disk full?" in done.stderr or "No space left on device" in done.stderr
    assert not [name for name in (place / "files").read_text().split() if name.endswith((".pcap", ".part", ".jsonl"))]
    assert '"failed"' in (place / "record").read_text()
