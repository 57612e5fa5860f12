"""The virtual machine's files, as far as they can be tried without one; `./lab test --vm` boots one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tcpclose.runs import LABS, ROOT

PROVISION = LABS / "vm" / "provision.sh"


@pytest.mark.slow
def test_vagrant_reads_our_file(tmp_path: Path) -> None:
    """With Debian's vagrant-libvirt, and without a network."""
    if not shutil.which("vagrant"):
        pytest.skip("needs Vagrant: apt-get install vagrant-libvirt (`./lab test` does that where it may)")
    cut_off = ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*cut_off, "true"], capture_output=True).returncode:
        pytest.skip("nobody may make a network namespace here")
    shutil.copy(ROOT / "Vagrantfile", tmp_path)
    # VAGRANT_CHECKPOINT_DISABLE: it is not to ask whether there is a newer Vagrant.
    there = {**os.environ, "HOME": str(tmp_path), "VAGRANT_CHECKPOINT_DISABLE": "1"}
    done = subprocess.run(
        [*cut_off, "vagrant", "validate"], cwd=tmp_path, env=there, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout


def test_the_machine_is_provisioned_by_the_script() -> None:
    (line,) = re.findall('inline: "(.*)"', (ROOT / "Vagrantfile").read_text())
    assert line == f"sh /vagrant/{PROVISION.relative_to(ROOT)} /vagrant"
    done = subprocess.run(["sh", "-n", PROVISION], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_greeting_names_what_is_there() -> None:
    greeting = PROVISION.read_text().partition("MOTD")[2]
    commands = re.findall(r"\./lab (\S+)(?: (\d\S+))?", greeting)
    assert len(commands) == 4
    assert {name for name, _ in commands} == {"demo", "lab", "labs", "run"}
    assert all((LABS / lab).is_dir() for _, lab in commands if lab)
