"""What the doctor says is what it tried."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from inside import ROOT

from tcpclose.testbed import box, doctor
from tcpclose.testbed.box import PROGRAMS, Lack
from tcpclose.testbed.doctor import CHECKS, Check, can_run, examine


def consult(**environment: str) -> tuple[int, dict[str, dict[str, object]]]:
    command = [sys.executable, "-m", "tcpclose", "doctor", "--json"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    record = json.loads(done.stdout)
    assert record["mininet"] == (done.returncode == 0)
    return done.returncode, {finding["name"]: finding for finding in record["findings"]}


def named(name: str) -> Check:
    return next(check for check in CHECKS if check.name == name)


@pytest.mark.testbed
@pytest.mark.slow
def test_where_boxes_work_all_that_is_needed_is_found():
    status, findings = consult()
    assert status == 0
    assert set(PROGRAMS) | {"namespaces", "Python packages"} == {n for n, f in findings.items() if f["needed"]}
    assert all(finding["works"] for finding in findings.values() if finding["needed"])
    for finding in findings.values():
        assert finding["found"]
        assert bool(finding["mend"]) != finding["works"]
    assert "tomli_w" in findings["Python packages"]["found"]


@pytest.mark.testbed
@pytest.mark.parametrize("program", sorted(set(PROGRAMS) - {"bash"}))
def test_a_program_that_is_there_and_does_not_work_is_a_lack(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fake = tmp_path / program
    fake.write_text("#!/bin/sh\necho the sky is falling >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (finding,) = examine([named(program)])
    assert not finding.works
    assert finding.found == "the sky is falling"
    assert finding.mend == f"sudo apt-get install --no-install-recommends {PROGRAMS[program]}"
    assert not can_run([finding])


def test_the_launcher_asks_for_every_program_that_a_run_needs():
    (asked,) = re.findall('^programs="(.*)"$', (ROOT / "lab").read_text(), re.MULTILINE)
    assert set(PROGRAMS) - {"bash"} <= set(asked.split())  # bash is there wherever Debian is


@pytest.mark.slow
def test_without_programs_and_namespaces_the_status_is_1(tmp_path: Path):
    unshare = tmp_path / "unshare"
    unshare.write_text("#!/bin/sh\necho unshare: not permitted >&2; exit 1\n")
    unshare.chmod(0o755)
    (tmp_path / "sh").symlink_to("/bin/sh")
    tmp_path.chmod(0o755)
    status, findings = consult(PATH=str(tmp_path))
    assert status == 1
    assert not findings["rootless"]["works"]
    assert str(findings["rootless"]["mend"]).startswith("sudo ")
    assert findings["tshark"] == {
        "name": "tshark",
        "works": False,
        "needed": False,
        "found": "tshark cannot be run",
        "meaning": "captures can only be read by our own programs",
        "mend": "sudo apt-get install --no-install-recommends tshark",
    }


def test_namespaces_that_are_refused_are_a_lack_with_its_mend(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(box, "lack_of_namespaces", lambda: Lack("refused", "sudo"))
    (finding,) = examine([named("namespaces")])
    assert (finding.works, finding.found, finding.mend) == (False, "refused", "sudo")


def test_a_trial_that_hangs_is_a_lack(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_PATIENCE", 0.2)
    (finding,) = examine([Check("slow", lambda: doctor._run(["sleep", "20"]).stdout, "nothing")])
    assert (finding.works, finding.found) == (False, "no answer within 0 s")


def test_late_timers_are_told(monkeypatch: pytest.MonkeyPatch):
    (finding,) = examine([named("timers")])
    assert finding.found.startswith("late by ")
    monkeypatch.setattr(doctor, "_LATE", -1e9)
    (finding,) = examine([named("timers")])
    assert not finding.works


def test_slow_clocks_are_told(monkeypatch: pytest.MonkeyPatch):
    (finding,) = examine([named("clock")])
    assert finding.works
    monkeypatch.setattr(doctor, "_SLOW", 0.0)
    (finding,) = examine([named("clock")])
    assert not finding.works
    assert finding.found.endswith("ns a reading")
