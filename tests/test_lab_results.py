"""What the labs give is made anew and compared with what is kept in `results/`, octet for octet.

`./lab reference` keeps what is meant to change: look at the difference first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tcpclose.reference import GALLERY, REFERENCE, gallery, make, scenarios
from tcpclose.runs import ROOT

LABS = dict(scenarios())


@pytest.mark.parametrize("lab", LABS)
def test_a_lab_gives_what_is_kept(lab, tmp_path):
    make(LABS[lab], tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in (REFERENCE / lab).glob("*")}
    different = [name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name)]
    assert different == [], "is the change meant? then ./lab reference keeps it"


def test_nothing_is_kept_of_labs_that_are_gone():
    assert {path.name for path in REFERENCE.iterdir()} == LABS.keys()


def test_the_gallery_shows_every_lab():
    text = GALLERY.read_text()
    assert text == gallery()
    assert all(f"](reference/{lab}/ladder.svg)" in text for lab in LABS)


@pytest.mark.parametrize("seed", ["1", "2"])
@pytest.mark.slow
def test_another_process_makes_the_same_octets(seed, tmp_path):
    """Whatever the order in which it keeps its sets."""
    code = "import sys; from pathlib import Path; from tcpclose.reference import make; make(*map(Path, sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(LABS["demo"]), str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, check=True, timeout=120)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (REFERENCE / "demo" / path.name).read_bytes(), path.name


def test_a_summary_tells_the_release():
    """Of the demonstration, whose times can be worked out by hand."""
    summary = json.loads((REFERENCE / "demo" / "summary.json").read_text())
    graceful, refused, aborted, unreachable = summary["releases"]
    assert (graceful["how"], graceful["first"], graceful["time to release"]) == ("graceful", "h1", 0.26)
    assert refused["outcomes"] == {"h1": "refused"}
    assert aborted["outcomes"] == {"h1": "reset by peer", "h2": "aborted"}
    assert unreachable["states"]["h1"][-1] == "CLOSED"
    assert summary["traffic"]["unreachable"]["h2"]["octets received"] == 5000
    assert [fault["name"] for fault in summary["faults"]] == ["link h1-s1 down"]
    assert summary["complaints"] == []


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*/*.svg")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_pictures_tell_neither_when_nor_with_what_they_were_made(path: Path):
    text = path.read_text()
    assert "dc:date" not in text
    assert "atplotlib" not in text
