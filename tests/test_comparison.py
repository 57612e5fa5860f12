"""All pairings of stacks: which runs are made, what is left out for whom, what counts as a difference."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from tcpclose import runs
from tcpclose.cli import app
from tcpclose.comparison import Outcome, as_record, compare, plan_comparison, run_comparison
from tcpclose.scenario import ScenarioError
from tcpclose.terminal.tables import print_comparison
from tcpclose.testbed.box import why_no_box

LAB = runs.LABS / "01-four-way-close" / "scenario.toml"
ONLY_LINUX = """
topology = "two_hosts"
duration = "3s"
[host.h2]
stack = "linux"
sysctl.tcp_retries2 = 5
tcp.user_timeout = "2s"
[connection.c]
client = "h1"
server = "h2"
port = 80
[[step]]
at = "100ms"
host = "h1"
connection = "c"
call = "open"
"""


def test_every_pairing_and_the_simulator():
    plan = plan_comparison(LAB)
    assert [variant.name for variant in plan] == ["simulator", "own/own", "own/linux", "linux/own", "linux/linux"]
    assert [variant.world for variant in plan] == ["sim", *4 * ["mininet"]]
    stacks = [[variant.scenario.settings(host).stack for host in ("h1", "h2")] for variant in plan[1:]]
    assert stacks == [[a, b] for a in ("tcpclose", "linux") for b in ("tcpclose", "linux")]


def test_what_a_stack_cannot_honour_is_left_out_for_it_alone():
    left_out = {variant.name: set(variant.left_out) for variant in plan_comparison(LAB)}
    msl, client, server = "host.h1.tcp.msl", "connection.c1.client_iss", "connection.c1.server_iss"
    assert left_out == {
        "simulator": set(),
        "own/own": set(),
        "own/linux": {server},
        "linux/own": {msl, client},
        "linux/linux": {msl, client, server},
    }
    own, _, _, linux, _ = plan_comparison(LAB)
    assert own.scenario.tcp_config("h1").msl == 1_000_000
    assert linux.scenario.settings("h1").told == {}


def test_what_linux_can_honour_it_is_told_in_every_pairing(tmp_path):
    path = tmp_path / "scenario.toml"
    path.write_text(ONLY_LINUX)
    plan = {variant.name: variant for variant in plan_comparison(path, ["host.h1.tcp.user_timeout=4s"])}
    assert plan["own/own"].left_out == ("host.h2.sysctl",)
    assert plan["own/own"].scenario.tcp_config("h2").user_timeout == 2_000_000
    assert plan["linux/linux"].left_out == ()
    assert plan["linux/linux"].scenario.settings("h1").told == {"user_timeout": 4_000_000}
    assert plan["linux/linux"].scenario.settings("h2").told == {"user_timeout": 2_000_000}
    assert plan["linux/linux"].scenario.settings("h2").sysctl == {"tcp_retries2": 5}


def simulated(tmp_path, *overrides):
    (variant,) = plan_comparison(LAB, overrides, mininet=False)
    (outcome,) = run_comparison([variant], tmp_path)
    return outcome


def folder(tmp_path, name):
    made = tmp_path / name
    made.mkdir()
    return made


def test_what_is_the_same_differs_in_nothing(tmp_path):
    one, other = (simulated(folder(tmp_path, name)) for name in ("one", "other"))
    (table,) = compare([one, other])
    assert not [cell for row in table.rows for cell in row.cells if cell.differs]
    assert [row.what for row in table.rows if row.host == "h1"] == [
        "SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED", "cause",
    ]  # fmt: skip
    assert [row.cells[0].text for row in table.rows if row.what == "LAST-ACK"] == ["0.700"]


def test_states_causes_and_times_that_differ_are_marked(tmp_path):
    one = simulated(folder(tmp_path, "one"))
    other = simulated(folder(tmp_path, "other"), "step.4.call=abort")
    failed = Outcome(one.variant, None, "no")
    record = as_record([failed, one, other], compare([failed, one, other]))
    found = {(d["host"], d["what"]): (d["expected"], d["found"]) for d in record["differences"]}
    assert found[None, "how"] == ("graceful", "abrupt")
    assert found["h1", "FIN-WAIT-1"] == ("0.180", "-")
    assert found["h1", "CLOSED"] == ("2.720", "0.180")
    assert found["h2", "cause"] == ("graceful", "reset by peer")
    assert ("h1", "SYN-SENT") not in found
    assert record["runs"][0]["error"] == "no"
    assert record["runs"][1]["connections"]["c1"]["ends"]["h2"]["states"][0] == {
        "state": "SYN-RECEIVED",
        "t": 120_000,
        "source": "machine",
    }


def test_states_that_one_run_passes_and_the_other_does_not(tmp_path):
    """Whichever comes first, the order of both is kept: CLOSING here, FIN-WAIT-2 there."""
    one = simulated(folder(tmp_path, "one"))
    other = simulated(folder(tmp_path, "other"), "step.5.when=", "step.5.after=", "step.5.at=180ms")
    for outcomes in ([one, other], [other, one]):
        (table,) = compare(outcomes)
        for place, outcome in enumerate(outcomes):
            passed = [row.what for row in table.rows if row.host == "h1" and row.cells[place].text != "-"]
            between = "FIN-WAIT-2" if outcome is one else "CLOSING"
            assert passed[2:5] == ["FIN-WAIT-1", between, "TIME-WAIT"]


def test_the_states_have_their_whole_names_on_a_terminal_of_80_columns(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    outcomes = run_comparison([plan_comparison(LAB)[0]], tmp_path) * 5
    print_comparison([replace(one, variant=replace(one.variant, name="linux/linux")) for one in outcomes],
                     compare(outcomes), tmp_path)  # fmt: skip
    told = capsys.readouterr().out
    assert "SYN-RECEIVED" in told
    assert told.split("FIN-WAIT-2")[1].split()[:5] == ["0.220"] * 5


def test_nothing_to_compare(tmp_path):
    path = tmp_path / "empty.toml"
    path.write_text('topology = "two_hosts"\nduration = "1s"')
    with pytest.raises(ScenarioError, match="there is no connection to compare"):
        plan_comparison(path)
    assert CliRunner().invoke(app, ["compare", str(path)]).exit_code == 2
    assert CliRunner().invoke(app, ["compare", str(LAB), "--set", "nonsense=1"]).exit_code == 2


def test_a_run_that_fails_is_told_beside_the_others(tmp_path, monkeypatch):
    def fail(scenario, *_, **__):
        raise runs.RunError("no such luck")

    (variant,) = plan_comparison(LAB, mininet=False)
    with monkeypatch.context() as patched:
        patched.setattr("tcpclose.simulator.simulate", fail)
        (failed,) = run_comparison([variant], folder(tmp_path, "one"))
    assert (failed.trace, failed.error) == (None, "no such luck")
    (killed,) = run_comparison([replace(variant, name="no/folder/there")], tmp_path / "none")
    assert killed.error == f"{tmp_path}/none/no-folder-there is no run's folder: it has no run.json"


STUCK = """
import sys, time
from dataclasses import replace
from multiprocessing.util import Finalize
from tcpclose import comparison, simulator
from tcpclose.cli import app

plan, simulate = comparison.plan_comparison, simulator.simulate

def one_or_two(path, overrides, mininet):
    (one,), (two,) = (plan(path, more, mininet=False) for more in ([], ["seed=77"]))
    return [one, replace(two, name="a/b")]

def stuck(scenario, *words, **more):
    if scenario.seed == 77:
        time.sleep(600)
    Finalize(None, time.sleep, [0.5], exitpriority=1)  # its process outlives the run a little
    return simulate(scenario, *words, **more)

comparison.plan_comparison, simulator.simulate = one_or_two, stuck
app(["compare", "01", "--out", sys.argv[1]])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.slow
def test_signals_end_a_comparison_in_order(tmp_path, number):
    command = [sys.executable, "-c", STUCK, str(tmp_path)]
    with subprocess.Popen(command, cwd=runs.ROOT, stderr=subprocess.PIPE, text=True) as process:
        while [status(tmp_path / name) for name in ("simulator", "a-b")] != ["complete", "running"]:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)  # which all have ended, too, who could say something
    words = said.splitlines()[1:]
    assert status(tmp_path / "simulator") == "complete"
    assert status(tmp_path / "a-b") == "interrupted"
    if number == signal.SIGKILL:
        assert (process.returncode, words) == (-number, [])
    else:
        assert process.returncode == 128 + number
        assert words == [f"tcpclose: interrupted; complete in {tmp_path}: simulator"]
        assert runs.load_record(tmp_path / "a-b").reason == number.name


def status(folder):
    try:
        return runs.load_record(folder).status
    except runs.FolderError:
        return ""


@pytest.mark.slow
@pytest.mark.testbed
def test_on_mininet(tmp_path):
    """Our TCP and Linux's pass the same states for the same causes; what Linux does otherwise is marked."""
    if reason := why_no_box():
        pytest.skip(reason)
    done = CliRunner().invoke(app, ["compare", "01-four-way-close", "--json", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert [run["error"] for run in record["runs"]] == 5 * [None]
    assert all(run["connections"]["c1"]["how"] == "graceful" for run in record["runs"])
    # Linux waits a minute in TIME-WAIT, whatever the MSL: that end is not seen.
    differ = {(d["run"], d["host"], d["what"]) for d in record["differences"] if d["found"] == "-"}
    assert differ == {("linux/own", "h1", "CLOSED"), ("linux/linux", "h1", "CLOSED")}
    states = record["runs"][4]["connections"]["c1"]["ends"]["h2"]["states"]
    assert [state["state"] for state in states][-2:] == ["LAST-ACK", "CLOSED"]
    assert all(state["source"] != "machine" for state in states)
