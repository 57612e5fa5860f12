"""Each lab's ladder, drawn anew and compared with the one in `results/reference/`, octet for octet.

`TCPCLOSE_ACCEPT=1 ./lab test tests/test_references.py` writes them instead, when they are meant to change.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_house import ROOT

from tcpclose.charts import draw_ladder
from tcpclose.runs import LABS
from tcpclose.scenario import Scenario
from tcpclose.simulator import simulate
from tcpclose.topology import load_network

REFERENCE = ROOT / "results" / "reference"
EVERY = sorted(path.parent.name for path in LABS.glob("*/scenario.toml"))


def draw(lab: str, path: Path) -> None:
    scenario = Scenario.load(LABS / lab / "scenario.toml")
    draw_ladder(simulate(scenario, load_network(scenario)), path)


@pytest.mark.parametrize("lab", EVERY)
def test_the_ladder_of_a_lab_is_the_one_that_is_kept(lab: str, tmp_path: Path) -> None:
    kept = REFERENCE / lab / "ladder.svg"
    if os.environ.get("TCPCLOSE_ACCEPT"):
        kept.parent.mkdir(parents=True, exist_ok=True)
        draw(lab, kept)
    draw(lab, tmp_path / "ladder.svg")
    same = kept.exists() and kept.read_bytes() == (tmp_path / "ladder.svg").read_bytes()
    assert same, f"{kept} is no longer what lab {lab} gives; look at both, and accept the new one as above"


def test_nothing_is_kept_of_labs_that_are_gone() -> None:
    assert {path.parent.name for path in REFERENCE.glob("*/ladder.svg")} == set(EVERY)


@pytest.mark.parametrize("seed", ["1", "2"])
def test_another_process_draws_the_same_octets(seed: str, tmp_path: Path) -> None:
    """Whatever the order in which it keeps its sets."""
    code = "import sys; from pathlib import Path; from test_references import draw; draw('demo', Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    path = tmp_path / "ladder.svg"
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, env=environment, check=True, timeout=120)
    assert path.read_bytes() == (REFERENCE / "demo" / "ladder.svg").read_bytes()


def test_pictures_tell_neither_when_nor_with_what_they_were_made() -> None:
    for path in REFERENCE.glob("*/*.svg"):
        text = path.read_text()
        assert "dc:date" not in text
        assert "atplotlib" not in text
