"""A class's virtual machine: what `vagrant up` makes, made without Vagrant, and the labs in it.

Asked for by `./lab test --vm`: some minutes with KVM, most of an hour without.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import machine
import pytest
from parity import order, outcome

from tcpclose import runs
from tcpclose.scenario import Scenario
from tcpclose.topology import load_network
from tcpclose.trace.events import Trace

LABS = ("01-four-way-close", "11-link-failure", "demo")
STEPS = {
    "ovs": "sudo apt-get install -y openvswitch-switch",
    "doctor": "cd /vagrant && ./lab doctor",
    "tclink": "cd /vagrant && sudo ./lab test tests/testbed/test_tclink.py",
} | {f"lab-{lab}": f"cd /vagrant && ./lab run {lab} --world mininet --out results/runs/{lab}" for lab in LABS}

pytestmark = [pytest.mark.vm, pytest.mark.timeout(7200)]


@pytest.fixture(scope="session")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the machine left behind."""
    if os.geteuid() != 0:
        pytest.skip("only root can make an image with debootstrap")
    if reason := machine.why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("vm")
    machine.build(folder)
    return machine.boot(folder, STEPS, limit=7000)


def endings(trace: Trace) -> dict[object, list[object]]:
    """The FINs and RSTs of each direction. An emulated processor is slow, so what is repeated in between may differ."""
    return {way: [s for s in segments if "FIN" in s[0] or "RST" in s[0]] for way, segments in order(trace).items()}


@pytest.mark.parametrize("step", ["provision", *STEPS])
def test_every_step_succeeded(left, step):
    said = (left / f"{step}.txt").read_text().splitlines()
    assert said[-1:] == ["SUCCESS"], "\n".join(said[-60:])


def test_the_doctor_finds_what_the_labs_need(left):
    said = (left / "doctor.txt").read_text()
    assert "Runs on Mininet are possible." in said
    for ability in ("netem", "Open vSwitch"):
        assert re.search(f"^ ok +{ability}", said, re.MULTILINE), said


def test_tclink_delays_in_earnest(left):
    """The kernel of the machine has netem, which many containers have not: no test of it is skipped here."""
    said = (left / "tclink.txt").read_text()
    assert "passed" in said
    assert "skipped" not in said


@pytest.mark.parametrize("lab", LABS)
def test_labs_in_the_machine_end_as_in_the_simulator(left, lab, tmp_path):
    emulated = Trace.load(left / "runs" / lab / "trace.jsonl")
    scenario = Scenario.load(runs.find_scenario(lab))
    simulated = runs.execute(scenario, load_network(scenario), "sim", tmp_path)
    assert outcome(emulated) == outcome(simulated)
    assert endings(emulated) == endings(simulated)
    assert list((left / "runs" / lab).glob("*.pcap"))


def test_the_greeting_names_commands_that_are_there(left):
    greeting = (left / "motd.txt").read_text()
    commands = re.findall(r"\./lab (\S+)(?: (\d\d-\S+))?", greeting)
    first = "01-four-way-close"
    assert commands == [("demo", ""), ("lab", first), ("labs", ""), ("run", first)]
    assert (runs.LABS / first).is_dir()
