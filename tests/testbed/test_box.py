"""Boxes: private, and gone with everything in them however they end."""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from inside import ROOT, InBox, call, first_line

from tcpclose.testbed import box
from tcpclose.testbed.box import box_command, why_no_box

needs_boxes = pytest.mark.testbed

#: A life of many kinds: an interface, a bridge, a mount, a child, and a process that left its session and parent.
LIFE = """
ip link add trial-a type veth peer name trial-b
ip link add trial type bridge
mount -t tmpfs none /mnt
(setsid sleep {id} &)
sleep {id} &
sleep {id}
"""


def processes(id: str) -> dict[int, list[str]]:
    """The processes that have `id` on their command line, wherever they live."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
        if any(id in word for word in words):
            found[int(folder.name)] = words
    return found


def wait_until(what: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, what()
        time.sleep(0.01)


def machine() -> list[object]:
    """What a box must leave as it was: mounts and interfaces of this machine."""
    return [Path("/proc/self/mountinfo").read_text(), sorted(os.listdir("/sys/class/net"))]


def wait_until_gone(id: str) -> None:
    wait_until(lambda: not processes(id))


def start_caller(prefix: Iterable[str], id: str) -> subprocess.Popen[bytes]:
    code = """
import subprocess, sys
from tcpclose.testbed.box import box_command
subprocess.run(box_command(["sh", "-ec", sys.argv[1]]))
"""
    return subprocess.Popen([*prefix, sys.executable, "-c", code, LIFE.format(id=id)], cwd=ROOT)


def new_id() -> str:
    return f"1000.{random.randrange(10**9):09}"


@needs_boxes
@pytest.mark.parametrize("victim", ["caller", "outer", "init", "command"])
@pytest.mark.slow
def test_kill_9_of_any_process_leaves_nothing(prefix: tuple[str, ...], victim: str):
    before, id = machine(), new_id()
    with start_caller(prefix, id) as caller:
        wait_until(lambda: sum(words[0] == "sleep" for words in processes(id).values()) == 3)
        found = processes(id)
        outer, init = sorted(pid for pid, words in found.items() if any(word.endswith("box.py") for word in words))
        (command,) = (pid for pid, words in found.items() if words[0] == "sh")
        os.kill({"caller": caller.pid, "outer": outer, "init": init, "command": command}[victim], signal.SIGKILL)
        wait_until_gone(id)
    assert machine() == before


@needs_boxes
@pytest.mark.slow
def test_kill_9_of_the_caller_at_random_moments_leaves_nothing(prefix: tuple[str, ...]):
    before = machine()
    for _ in range(20):
        id = new_id()
        with start_caller(prefix, id) as caller:
            time.sleep(random.uniform(0, 0.25))
            caller.kill()
            caller.wait(timeout=20)
            wait_until_gone(id)
    assert machine() == before


def look_around() -> None:
    for kind in ("net", "mnt", "pid", "ipc", "uts"):
        print(os.readlink(f"/proc/self/ns/{kind}"))
    assert os.getuid() == 0
    assert os.listdir("/sys/class/net") == ["lo"]
    assert os.listdir("/run") == ["netns"]
    assert len([pid for pid in os.listdir("/proc") if pid.isdigit()]) == 2
    assert int(Path("/sys/class/net/lo/flags").read_text(), 16) & 1
    assert "/usr/sbin" in os.environ["PATH"].split(":")


@needs_boxes
def test_a_box_is_private_and_furnished(in_box: InBox):
    ours = {os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "mnt", "pid", "ipc", "uts")}
    theirs = in_box(look_around).split()
    assert len(theirs) == 5
    assert not ours & set(theirs)


def leave_orphans() -> None:
    subprocess.run(["sh", "-c", "for i in 1 2 3; do (sleep 0.1 &); done"], check=True)
    wait_until(lambda: len([pid for pid in os.listdir("/proc") if pid.isdigit()]) == 2)


@needs_boxes
def test_orphans_are_reaped(in_box: InBox):
    in_box(leave_orphans)


@needs_boxes
@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
def test_the_status_of_a_box_is_that_of_its_command(script: str, status: int):
    assert subprocess.call(box_command(["sh", "-c", script])) == status


@needs_boxes
def test_a_command_that_is_not_there(capfd: pytest.CaptureFixture[str]):
    assert subprocess.call(box_command(["no-such-command"])) == 125
    assert capfd.readouterr().err == "no box: no-such-command: No such file or directory\n"


@needs_boxes
def test_descriptors_reach_the_command():
    reader, writer = os.pipe()
    command = box_command(["sh", "-c", f"echo hello >/dev/fd/{writer}"])
    assert subprocess.call(command, pass_fds=[writer]) == 0
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert pipe.read() == "hello\n"


@needs_boxes
def test_sigterm_reaches_the_command(prefix: tuple[str, ...]):
    script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"
    with subprocess.Popen([*prefix, *box_command(["sh", "-c", script])], stdout=subprocess.PIPE) as outer:
        assert first_line(outer) == b"ready\n"
        outer.terminate()
        with suppress(subprocess.TimeoutExpired):
            outer.wait(timeout=20)
        outer.kill()
    assert outer.returncode == 7


@needs_boxes
def test_a_box_whose_caller_is_gone_does_not_start():
    command = box_command(["sh", "-c", "echo started"])
    command[command.index(str(os.getpid()))] = "1"  # as if the caller had died, and 1 had adopted the box
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (125, "")


# ---- Why not


def test_missing_programs_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(box, "_SBIN", "")
    reason = why_no_box.__wrapped__()
    assert reason.what.startswith("missing bash, brctl, dumpcap, ")
    assert "sudo apt-get install --no-install-recommends bash bridge-utils iproute2 " in reason.mend


@pytest.mark.parametrize(
    ("setting", "value", "mended"),
    [
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("user.max_user_namespaces", "0", "15000"),
    ],
)
def test_settings_that_refuse_boxes_are_named(tmp_path: Path, setting: str, value: str, mended: str):
    file = tmp_path / setting.replace(".", "/")
    file.parent.mkdir()
    file.write_text(f"{value}\n")
    reason = box.diagnose("no box: unshare: Operation not permitted\n", root=False, settings=tmp_path)
    assert reason.what.startswith(f"{setting}={value} refuses private namespaces (no box: unshare: ")
    assert reason.mend == f"sudo sysctl {setting}={mended}, or {shlex.join(['sudo', *sys.orig_argv])}"
    file.write_text(f"{mended}\n")
    assert setting not in str(box.diagnose("unshare: Operation not permitted\n", root=False, settings=tmp_path))
    # Root does not need user namespaces: there the reason is another.
    file.write_text(f"{value}\n")
    assert setting not in str(box.diagnose("no box: mount /proc: whatever\n", root=True, settings=tmp_path))


def print_reason() -> None:
    print(why_no_box())


@needs_boxes
@pytest.mark.skipif(os.geteuid() != 0, reason="not root")
def test_root_without_capabilities_is_told():
    weak = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", *call(print_reason)]
    reason = subprocess.run(weak, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert reason == (
        "private namespaces are refused here (no box: unshare: Operation not permitted):"
        " a container needs --privileged\n"
    )
