"""What this machine can do, found by trying, and what mends each lack.

A check that needs namespaces is a script for a box: it succeeds, or its last words say why not. The table at the end is
all there is; `examine` goes through it.
"""

from __future__ import annotations

import json
import os
import platform
import re
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from tcpclose.testbed import box
from tcpclose.testbed.box import PROGRAMS, Lack, box_command
from tcpclose.testbed.linux import sleep_exactly

_PATIENCE = 20.0  # s that a trial may take
_SLEEP, _SLEEPS = 0.001, 200  # s, and how often: enough for a 99th percentile
_LATE, _SLOW = 1000.0, 2000.0  # us, ns: more than that is told


@dataclass(frozen=True)
class Check:
    """One thing that a machine can do. `attempt` returns what it found, or the lack of it."""

    name: str
    attempt: Callable[[], str | Lack]
    meaning: str  # what is not possible without
    needed: bool = False  # for a run on Mininet


@dataclass(frozen=True)
class Finding:
    """What came of a check: `found` is the good news, or the bad when not `works`; `mend` the command that helps."""

    name: str
    works: bool
    needed: bool
    found: str
    meaning: str
    mend: str


def examine(checks: Iterable[Check] | None = None) -> Iterator[Finding]:
    """Try everything in turn, each finding as soon as it is known. Takes some seconds."""
    for check in CHECKS if checks is None else checks:
        try:
            result = check.attempt()
        except subprocess.TimeoutExpired:
            result = Lack(f"no answer within {_PATIENCE:.0f} s", "try again when the machine is less busy")
        works = isinstance(result, str)
        what, mend = (result, "") if isinstance(result, str) else result
        yield Finding(check.name, works, check.needed, what, check.meaning, mend)


def can_run(findings: Iterable[Finding]) -> bool:
    """Whether runs on Mininet are possible here."""
    return all(finding.works for finding in findings if finding.needed)


# ---- How things are tried


def _run(command: list[str], **settings: Any) -> subprocess.CompletedProcess[str]:
    """As a shell has it, status 127 when there is no such program."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, **settings)
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]}: {error.strerror}")


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1].strip() if lines else f"exit status {done.returncode}"


def _in_box(script: str, found: str, mend: Callable[[], str]) -> Callable[[], str | Lack]:
    def attempt() -> str | Lack:
        done = _run(box_command(["bash", "-ec", script]), stdin=subprocess.DEVNULL)
        return Lack(_last_words(done), mend()) if done.returncode else found

    return attempt


def _install(*packages: str) -> Callable[[], str]:
    return lambda: f"sudo apt-get install --no-install-recommends {' '.join(packages)}"


def _module(name: str, *packages: str) -> Callable[[], str]:
    """What brings a module of the kernel, and the programs that use it."""

    def mend() -> str:
        release = platform.release()
        if any(Path("/lib/modules", release).rglob(f"{name}.ko*")):
            return " && ".join([*([_install(*packages)()] if packages else ()), f"sudo modprobe {name}"])
        return f"vagrant up (kernel {release} lacks {name}; Ubuntu: sudo apt-get install linux-modules-extra-{release})"

    return mend


def _namespaces() -> str | Lack:
    return box.lack_of_namespaces() or f"net, mount, pid, ipc and uts, as {'root' if os.geteuid() == 0 else 'a user'}"


def _rootless() -> str | Lack:
    """As root, the user nobody tries."""
    command = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--", *_ROOTLESS]
    nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    done = _run(command, cwd="/", **nobody)
    return box.diagnose(done.stderr, root=False) if done.returncode else "works for ordinary users"


_ROOTLESS = ["sh", "-ec", "PATH=$PATH:/usr/sbin:/sbin; ip link add trial type bridge; mount -t tmpfs none /run"]


def _program(name: str, script: str, found: str) -> Check:
    def attempt() -> str | Lack:
        return box.lack_of_programs([name]) or _in_box(script, found, _install(PROGRAMS[name]))()

    return Check(name, attempt, "no run on Mininet", needed=True)


_VETH = "ip link add trial-a type veth peer name trial-b; "

#: For each program that a run needs, a trial in a box, and what success means.
_TRIALS = {
    "bash": ("true", "runs"),
    "brctl": ("brctl addbr trial; " + _VETH + "brctl addif trial trial-a", "makes a bridge and adds a port"),
    "dumpcap": (
        "(for i in {1..100}; do echo >/dev/udp/127.0.0.1/9 || true; sleep 0.1; done) 2>/dev/null & "
        "dumpcap -q -i lo -c 1 -a duration:10 -w /run/trial.pcap && test -s /run/trial.pcap",
        "captures a packet",
    ),
    "ifconfig": ("ifconfig lo 127.0.0.1", "sets an address"),
    "ip": (_VETH + "ip link set trial-a up", "makes a pair of interfaces"),
    "iptables": ("iptables -w -A INPUT ! -i lo -p tcp --dport 22 -j ACCEPT", "adds a rule"),
    "mnexec": ("mnexec -n true && mnexec -da $$ true", "makes and enters network namespaces"),
}


def _clock() -> str | Lack:
    readings = [time.monotonic_ns() for _ in range(10_000)]
    cost = median(later - earlier for earlier, later in pairwise(readings))  # whatever else the machine does meanwhile
    file = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    source = file.read_text("utf-8").strip() if file.exists() else "unknown source"
    found = f"{source}, {cost:.0f} ns a reading"
    return (
        found if cost < _SLOW else Lack(found, f"cat {file.with_name('available_clocksource')}: boot with tsc=reliable")
    )


def _timers() -> str | Lack:
    """How late sleeps of a millisecond end, in a process that has asked for no slack, as relay and agents do."""
    done = _run([sys.executable, "-m", __name__])
    if done.returncode:
        return Lack(_last_words(done), "./lab setup")
    median, worst = json.loads(done.stdout)
    found = f"late by {median:.0f} us, 1 of 100 by {worst:.0f} us or more"
    return found if worst < _LATE else Lack(found, "uptime: give the machine less to do")


def lateness() -> tuple[float, float]:
    """Median and 99th percentile in microseconds."""
    sleep_exactly()
    late = []
    for _ in range(_SLEEPS):
        start = time.monotonic()
        select.select([], [], [], _SLEEP)
        late.append((time.monotonic() - start - _SLEEP) * 1e6)
    late.sort()
    return late[len(late) // 2], late[len(late) * 99 // 100]


def _kvm() -> str | Lack:
    device = Path("/dev/kvm")
    if not device.exists():
        return Lack("there is no /dev/kvm", "sudo modprobe kvm_intel || sudo modprobe kvm_amd; in a VM, nesting helps")
    if not os.access(device, os.R_OK | os.W_OK):
        return Lack("/dev/kvm is not for this user", "sudo usermod -aG kvm $USER, and log in again")
    if platform.machine() not in ("x86_64", "i686"):
        return Lack("the trial is for x86 processors", "none is needed: qemu-system-… -accel tcg")
    try:
        done = _run([sys.executable, "-I", "-S", str(Path(__file__).with_name("kvm.py"))])
    except subprocess.TimeoutExpired:
        return Lack("/dev/kvm hangs at the first instruction", "qemu-system-x86_64 -accel tcg,thread=multi")
    return Lack(_last_words(done), "qemu-system-x86_64 -accel tcg,thread=multi") if done.returncode else "runs code"


_EMPTY_CAPTURE = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


def _tshark() -> str | Lack:
    command = ["sh", "-c", "tshark -r - </dev/fd/0 && tshark --version"]
    done = subprocess.run(command, input=_EMPTY_CAPTURE, capture_output=True, timeout=_PATIENCE)
    said = done.stdout.decode().splitlines()
    return said[0].rstrip(".") if not done.returncode and said else Lack("tshark cannot be run", _install("tshark")())


def _wireshark() -> str | Lack:
    done = _run(["wireshark", "--version"])
    return Lack(_last_words(done), _install("wireshark")()) if done.returncode else done.stdout.splitlines()[0]


def _packages() -> str | Lack:
    wanted = [line for line in metadata.requires("tcpclose") or () if "extra ==" not in line]
    names = [re.split(r"[^\w.]", line.replace("-", "_"), maxsplit=1)[0] for line in wanted]
    done = _run([sys.executable, "-c", f"import {', '.join(names)}"])
    return Lack(_last_words(done), "./lab setup") if done.returncode else f"{', '.join(names)} can be imported"


_NETEM = "no delay from Mininet's own TCLink; links of ours need none"
_HTB = "no bandwidth from Mininet's own TCLink; links of ours need none"

CHECKS = (
    Check("namespaces", _namespaces, "no run on Mininet, only the simulator", needed=True),
    Check("rootless", _rootless, "runs on Mininet need sudo"),
    *(_program(name, *_TRIALS[name]) for name in PROGRAMS),
    Check("Python packages", _packages, "no run at all", needed=True),
    Check("clock", _clock, "times in traces are coarse"),
    Check("timers", _timers, "delays of links are longer than ordered"),
    Check(
        "netem",
        _in_box(_VETH + "tc qdisc add dev trial-a root netem delay 10ms", "delays packets", _module("sch_netem")),
        _NETEM,
    ),
    Check(
        "htb",
        _in_box(_VETH + "tc qdisc add dev trial-a root handle 5: htb default 1", "shapes", _module("sch_htb")),
        _HTB,
    ),
    Check(
        "Open vSwitch",
        _in_box(
            "genl ctrl get name ovs_datapath >/dev/null && ovs-dpctl add-dp trial",
            "a datapath in a box",
            _module("openvswitch", "openvswitch-switch"),
        ),
        "no OVSSwitch of Mininet; switches of ours are Linux bridges",
    ),
    Check("tshark", _tshark, "captures can only be read by our own programs"),
    Check("Wireshark", _wireshark, "no window to look at captures in; tshark prints them"),
    Check("KVM", _kvm, "virtual machines are slow"),
)


if __name__ == "__main__":
    print(json.dumps(lateness()))
