"""`drill --against-kernel`: packetdrill itself beside ours; a stand-in tells how it was called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tcpclose import realdrill
from tcpclose.cli import app
from tcpclose.drill.runner import Wishes
from tcpclose.testbed.box import lack_of_namespaces

PASSES = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
FAILS = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 listen(3, 1) = -1\n"

#: Notes its arguments, its folder and its network namespace, and judges by the script's name.
STAND_IN = """\
#!/bin/sh
echo "$@; $(pwd); $(readlink /proc/self/ns/net); $(ip -o link | wc -l)" >>%s
for script; do :; done
case $script in bad*) echo "$script:3: no answer came" >&2; exit 1;; slow*) sleep 60;; esac
"""


def drill(*words: object):
    return CliRunner().invoke(app, ["drill", "--against-kernel", *map(str, words)])


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a stand-in on PATH notes how it was called."""
    if reason := lack_of_namespaces():
        pytest.skip(str(reason))
    program = tmp_path / "bin" / realdrill.PROGRAM
    program.parent.mkdir()
    program.write_text(STAND_IN % (tmp_path / "notes"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path / "notes"


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "scripts"
    folder.mkdir()
    for name, text in (("bad", PASSES), ("good", PASSES), ("ours", FAILS)):
        (folder / f"{name}.pkt").write_text(text)
    return folder


@pytest.mark.testbed
def test_both_verdicts_stand_side_by_side(scripts, notes):
    done = drill(scripts, "--tolerance_usecs", 7000, "-D", "A=1", "-D", "B=2")
    assert done.exit_code == 1
    rows = [line.split()[:2] for line in done.output.splitlines() if line.startswith((" passed", " failed"))]
    assert rows == [["passed", "failed"], ["passed", "passed"], ["failed", "passed"]]
    assert "ours: 2 passed, 1 failed, 0 skipped; packetdrill: 2 passed, 1 failed, 0 skipped" in done.output
    assert "bad.pkt:3: no answer came" in " ".join(done.output.split())


@pytest.mark.testbed
def test_packetdrill_is_called_in_the_folder_of_the_script_and_in_a_namespace_of_its_own(scripts, notes):
    assert drill(scripts / "good.pkt", scripts / "bad.pkt", "--tolerance_usecs", 7000, "-D", "A=1").exit_code == 1
    calls = [line.split("; ") for line in notes.read_text().splitlines()]
    options = "--tolerance_usecs=7000 -D A=1"
    assert [call[:2] for call in calls] == [[f"{options} {name}.pkt", str(scripts)] for name in ("good", "bad")]
    assert os.readlink("/proc/self/ns/net") not in {call[2] for call in calls}
    assert {call[3] for call in calls} == {"1"}  # the loopback


@pytest.mark.testbed
def test_what_does_not_end_is_ended(tmp_path, notes):
    (tmp_path / "slow.pkt").write_text(PASSES)
    verdict = realdrill.run_really(tmp_path / "slow.pkt", Wishes(), str(notes.parent / "bin" / "packetdrill"), 1)
    assert (verdict.outcome, verdict.message) == (
        "failed",
        f"{tmp_path}/slow.pkt: packetdrill has not ended within 1 s",
    )


@pytest.mark.parametrize(("name", "status"), [("good", 0), ("ours", 1)])
def test_without_packetdrill_ours_counts_alone_and_a_word_says_so(scripts, monkeypatch, name, status):
    monkeypatch.setenv("PATH", "")
    done = drill(scripts / f"{name}.pkt")
    assert done.exit_code == status
    assert "--against-kernel is skipped: there is no packetdrill on PATH; no distribution has it" in done.output
    assert f"{1 - status} passed, {status} failed, 0 skipped" in done.output
