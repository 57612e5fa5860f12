"""The labs do what their handouts say: see `claims`."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from claims import CLAIMS, HANDOUTS, TOLD, Run, blocks
from typer.testing import CliRunner

from tcpclose.cli import app
from tcpclose.reference import REFERENCE, summarise
from tcpclose.runs import LABS, draw, execute
from tcpclose.scenario import Scenario
from tcpclose.teaching.labs import find_lab
from tcpclose.testbed.box import why_no_box
from tcpclose.topology import load_network
from tcpclose.trace.events import Trace

for path in sorted(Path(__file__).parent.glob("claims_*.py")):
    importlib.import_module(path.stem)

HEADINGS = [
    *("What you will learn", "Time and tools", "Topology", "Background", "Predict first"),
    *("Run", "Observe", "Explain", "Go further"),
]
NOTES = ["Minutes", "Common mistakes", "Why the answers are as they are", "Variations"]


def simulated(lab, overrides, folder):
    """Run a command as a student would, charts and all, in virtual time."""
    options = [word for override in overrides for word in ("--set", override)]
    done = CliRunner().invoke(app, ["run", lab, *options, "--world", "sim", "--out", str(folder)])
    assert done.exit_code == 0, done.output
    return Run(folder, Trace.load(folder / "trace.jsonl"), 1e-6)


def emulated(lab, overrides, folder):
    """The same in real time, without the charts."""
    folder.mkdir()
    path = LABS / lab / "scenario.toml"
    scenario = Scenario.load(path, overrides)
    return Run(folder, execute(scenario, load_network(scenario, str(path)), "mininet", folder), 0.1)


@pytest.fixture(scope="session")
def on_mininet(request, tmp_path_factory):
    """The run of a command on Mininet. It mostly waits, so others that will be asked for go on at the same time."""
    if reason := why_no_box():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("mininet")
    tests = [item for item in request.session.items if getattr(item, "function", None) is test_on_mininet]
    keys = [(item.callspec.params["lab"], item.callspec.params["overrides"]) for item in tests]
    pool = ThreadPoolExecutor(TOGETHER)
    runs = {key: pool.submit(emulated, *key, folder / str(number)) for number, key in enumerate(keys)}
    yield lambda *key: runs[key].result()
    pool.shutdown(cancel_futures=True)


def hold(lab, overrides, run):
    """Check all that the handout claims of a run."""
    for check in CLAIMS[lab, overrides]:
        check(run)
    if not overrides:
        hold_told(lab, run.folder)


def hold_told(lab, folder):
    """Classify the captures of the run as the handout does."""
    for (name, command), checks in TOLD.items():
        if name == lab:
            done = CliRunner().invoke(app, shlex.split(command.replace("$run", str(folder)))[1:])
            assert done.exit_code == 0, done.output
            for check in checks:
                check(done.output)


def commands(lab):
    return [line for text in blocks(lab, "sh") for line in text.splitlines()]


def overrides_of(command):
    """What a `./lab run` of a handout sets."""
    words = shlex.split(command)
    return tuple(value for option, value in pairwise(words) if option == "--set")


def name_of(value):
    return " ".join(value) if isinstance(value, tuple) else value


def runs(keys):
    return pytest.mark.parametrize(("lab", "overrides"), keys, ids=name_of)


TOGETHER = 4  # runs in real time, each in a box of its own

#: The simulator has no Linux kernel.
VIRTUAL = [(lab, overrides) for lab, overrides in CLAIMS if "stack=linux" not in name_of(overrides)]


@pytest.mark.parametrize("lab", HANDOUTS)
def test_the_form_of_a_handout(lab):
    assert re.findall("^## (.*)", HANDOUTS[lab], re.MULTILINE) == HEADINGS


@pytest.mark.parametrize("lab", HANDOUTS)
def test_the_form_of_instructors_notes(lab):
    notes = (LABS / lab / "INSTRUCTOR.md").read_text(encoding="utf-8")
    assert re.findall("^## (.*)", notes, re.MULTILINE) == NOTES


@pytest.mark.parametrize("lab", HANDOUTS)
def test_drawings_of_a_handout_fit_into_a_terminal(lab):
    """`./lab lab` has 78 of 80 columns for them."""
    assert [line for text in blocks(lab, "text") for line in text.splitlines() if len(line) > 78] == []


@pytest.mark.parametrize("lab", HANDOUTS)
def test_the_minutes_of_the_notes_are_those_of_the_handout(lab):
    notes = (LABS / lab / "INSTRUCTOR.md").read_text(encoding="utf-8").partition("## Common mistakes")[0]
    minutes = [int(number) for number in re.findall(r"\| (\d+) \|$", notes, re.MULTILINE)]
    assert f"\n{sum(minutes)} minutes;" in HANDOUTS[lab]


@pytest.mark.parametrize("lab", HANDOUTS)
def test_what_instructors_notes_set_can_be_set(lab):
    notes = (LABS / lab / "INSTRUCTOR.md").read_text(encoding="utf-8")
    for options in re.findall(r"`(--set [^`]*)`", notes):
        if "..." not in options:
            Scenario.load(LABS / lab / "scenario.toml", overrides_of(options))


def skeleton(figure):
    """What a figure draws, row by row, states and segments aside. Its first OPEN may go without saying."""
    rows = figure.partition("TCP Peer B")[2].splitlines()
    found = [re.findall(r"\((?!h\d\)|Open)[^)]*\)|-->|<--|\.\.\.|XXX", row) for row in rows]
    return [drawn for drawn in found if drawn]


#: What is asked of a run that the handout has no figure of.
NOT_DRAWN = {("08-abort", "unread-close")}


@pytest.mark.parametrize("lab", HANDOUTS)
def test_a_sheet_draws_its_figures_as_the_handout_does(lab):
    drawn = [skeleton(text) for text in blocks(lab, "text") if "TCP Peer A" in text]
    for asked in find_lab(lab).asked():
        if asked.question.kind == "blanks" and (lab, asked.question.id) not in NOT_DRAWN:
            part = skeleton("\n".join(asked.shown))
            assert any(part == rows[at : at + len(part)] for rows in drawn for at in range(len(rows))), part


@pytest.mark.parametrize("lab", HANDOUTS)
def test_every_command_of_a_handout_has_claims(lab):
    mine = [command for command in commands(lab) if command.startswith("./lab")]
    classified = {command for command in mine if command.startswith("./lab classify $run/")}
    assert all(
        re.match(rf"./lab (run|sheet|mark) {lab}( |$)", command) for command in mine if command not in classified
    )
    assert classified == {command for name, command in TOLD if name == lab}
    runs = [command for command in mine if command.startswith("./lab run")]
    assert f"./lab run {lab} --world sim" in runs
    assert {(lab, overrides_of(command)) for command in runs} == {key for key in CLAIMS if key[0] == lab}


@runs(CLAIMS)
def test_claims_stand_in_the_handout(lab, overrides):
    handout = " ".join(HANDOUTS[lab].split())
    assert [check.__doc__ for check in CLAIMS[lab, overrides] if check.__doc__ not in handout] == []


@pytest.mark.parametrize(("lab", "command"), TOLD)
def test_claims_of_what_is_told_stand_in_the_handout(lab, command):
    handout = " ".join(HANDOUTS[lab].split())
    assert [check.__doc__ for check in TOLD[lab, command] if check.__doc__ not in handout] == []


#: The runs that a handout begins with are looked at always, the others when there is time.
FIRST_THE_PLAIN = [
    pytest.param(*key, marks=[pytest.mark.slow] if key[1] else [], id=" ".join([key[0], *key[1]])) for key in VIRTUAL
]


@pytest.mark.parametrize(("lab", "overrides"), FIRST_THE_PLAIN)
def test_in_the_simulator(lab, overrides, tmp_path):
    hold(lab, overrides, simulated(lab, overrides, tmp_path / "run"))


@runs(CLAIMS)
@pytest.mark.testbed
@pytest.mark.slow
@pytest.mark.xdist_group("labs on Mininet")
def test_on_mininet(lab, overrides, on_mininet):
    run = on_mininet(lab, overrides)
    hold(lab, overrides, run)
    if (lab, overrides) not in VIRTUAL:  # the simulator's tests draw the others
        draw(run.trace, run.folder)
    if not overrides:
        kept = json.loads((REFERENCE / lab / "summary.json").read_text())
        scenario = Scenario.load(run.folder / "scenario.toml")
        assert timeless(summarise(scenario, run.trace)) == timeless(kept)


def timeless(summary):
    """How each connection was released, and the states that each end passed. Of FINs that cross none is first."""
    told = []
    for one in summary["releases"]:
        crossed = all("CLOSING" in states for states in one["states"].values())
        timed = {"time to release", *(["first"] if crossed else [])}
        told.append({key: value for key, value in one.items() if key not in timed})
    return told


@pytest.mark.parametrize("lab", HANDOUTS)
@pytest.mark.slow
def test_commands_that_look_at_a_run(lab, tmp_path):
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed")
    simulated(lab, (), tmp_path / f"results/runs/20300101-000000-{lab}")
    preparation, *looks = [command for command in commands(lab) if not command.startswith("./lab")]
    assert preparation.startswith("run=")
    for look in looks:
        done = subprocess.run(
            ["sh", "-euc", f"{preparation}\n{look}"], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, bool(done.stdout)) == (0, True), f"{look}\n{done.stderr}"
