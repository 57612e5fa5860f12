"""Boxes for foreign code, as root and as an ordinary user: that they can be had, end with the grader, or why not."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from inside import ROOT, InBox, call

from tcpclose.teaching.assignments import containment, walls
from tcpclose.teaching.assignments.containment import CHECK, Contained
from tcpclose.testbed import box
from tcpclose.testbed.box import Lack
from tcpclose.testbed.doctor import Finding, examine

#: A program that any user may read, and what foreign code it is for.
PROGRAM = Path(containment.__file__).with_name("trial.py")
SLEEPS = b"import time\ndef answer(request): time.sleep(1000)"

needs_bubblewrap = pytest.mark.skipif(
    not containment.containment().works, reason="foreign code cannot be contained here; tcpclose doctor says why"
)


def find() -> Finding:
    (finding,) = examine([CHECK])
    return finding


def print_finding() -> None:
    print(find())


@needs_bubblewrap
def test_foreign_code_is_contained(prefix: tuple[str, ...]) -> None:
    done = subprocess.run([*prefix, *call(print_finding)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "works=True" in done.stdout
    assert "bubblewrap's box keeps foreign code in; one takes " in done.stdout


@needs_bubblewrap
def test_a_host_of_a_network_can_contain_foreign_code(in_box: InBox) -> None:
    assert "works=True" in in_box(print_finding)


@needs_bubblewrap
def test_limits_that_are_there_already_stay() -> None:
    limited = ["prlimit", "--nofile=24:24", "--cpu=50:50", *call(print_finding)]
    assert "works=True" in subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def grade_a_sleeper() -> None:
    with Contained(PROGRAM, SLEEPS) as foreign:
        children = [Path(f"/proc/self/task/{task}/children").read_text() for task in os.listdir("/proc/self/task")]
        print(*children, flush=True)
        foreign.ask(None)


def is_box(pid: int) -> bool:
    try:
        return b"inside.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return False


@needs_bubblewrap
def test_the_box_dies_with_a_grader_that_is_killed(prefix: tuple[str, ...]) -> None:
    with subprocess.Popen([*prefix, *call(grade_a_sleeper)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as grader:
        assert grader.stdout
        ways, family = [int(grader.stdout.readline())], []
        while ways:
            family.append(way := ways.pop())
            ways += map(int, Path(f"/proc/{way}/task/{way}/children").read_text().split())
        assert len(family) == 3  # bubblewrap, the first process of the box, and the foreign code
        assert all(map(is_box, family))
        grader.kill()
    end = time.monotonic() + 10
    while any(map(is_box, family)):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.testbed
@pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed")
@pytest.mark.skipif(bool(box.refusal()), reason=f"{box.refusal()}")
def test_where_namespaces_work_foreign_code_is_contained() -> None:
    """Other tests are skipped where it is not; so here it must be."""
    finding = find()
    assert finding.works, finding.found


# ---- Why not


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(walls, "filters", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    for package in ("bubblewrap", "libseccomp2"):
        finding = find()
        assert (finding.works, finding.found) == (False, f"{package} is missing")
        assert finding.mend == f"sudo apt-get install --no-install-recommends {package}"
        put_bwrap(tmp_path, "exit 1")


def put_bwrap(folder: Path, script: str) -> None:
    folder.chmod(0o755)
    (folder / "bwrap").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bwrap").chmod(0o755)


@pytest.fixture
def anybodys() -> Iterator[Path]:
    """A folder that root's box, which is nobody's, can enter."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_a_machine_that_refuses_is_told_why(monkeypatch: pytest.MonkeyPatch, anybodys: Path) -> None:
    put_bwrap(anybodys, "echo bwrap: No permissions to create new namespace >&2; exit 1")
    monkeypatch.setattr(walls, "filters", lambda: True)
    monkeypatch.setenv("PATH", f"{anybodys}:{os.environ['PATH']}")
    monkeypatch.setattr(box, "refusal", lambda: None)
    finding = find()
    assert finding.found == "boxes are refused here (bwrap: No permissions to create new namespace)"
    assert finding.mend == "grade in a virtual machine (vagrant up)"
    monkeypatch.setattr(box, "refusal", lambda: Lack("some.setting=1 refuses private namespaces", "sudo sysctl …"))
    finding = find()
    assert finding.found.startswith("some.setting=1 refuses private namespaces (bwrap: No permissions")
    assert finding.mend == "sudo sysctl …"
    put_bwrap(anybodys, "echo bwrap: Unknown option --disable-userns >&2; exit 1")
    finding = find()
    assert finding.found == "bubblewrap is too old (bwrap: Unknown option --disable-userns)"
    assert finding.mend.startswith("install bubblewrap 0.8 or newer")


def test_a_box_that_leaks_is_no_containment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by what the trial could do there: here a box without walls."""
    monkeypatch.setattr(walls, "filters", lambda: True)
    monkeypatch.setattr(containment.shutil, "which", lambda program: program)
    monkeypatch.setattr(containment, "Contained", lambda *given: Contained(*given, uncontained=True))
    finding = find()
    assert not finding.works
    assert finding.found.startswith("in a box one can open a socket, start a process, ")
    assert "read the machine's files" in finding.found
