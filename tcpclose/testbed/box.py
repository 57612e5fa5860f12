"""A box: private namespaces in which one run lives, and with which everything of it dies.

    caller                 any process of tcpclose
      box (outer)          enters new net, mount, pid, ipc and uts namespaces, as an ordinary user a user namespace too
        box (pid 1)        furnishes them, reaps orphans; when it dies, the kernel kills whatever else lives in the box
          the command      whose exit status is that of the box

The outer process and pid 1 each ask to be killed when the one above dies (PR_SET_PDEATHSIG), and then look whether that
has already happened. So a kill -9 of any of them, at any moment, leaves nothing: no process, hence no namespace, no
interface and no mount. `unshare --kill-child` of util-linux does not look, is not itself tied to its caller, and leaves
reaping to the command.

This file is run as a script, and so uses the standard library only.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import os
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

#: The programs that a run needs, and the Debian package that has each.
PROGRAMS = {
    "bash": "bash",
    "brctl": "bridge-utils",
    "dumpcap": "wireshark-common",
    "ifconfig": "net-tools",
    "ip": "iproute2",
    "iptables": "iptables",
    "mnexec": "mininet",
}

_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"  # Debian leaves these out of the PATH of ordinary users
_REFUSED = 125  # our exit status when there is no box, as that of env(1) and docker

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1

_PASSED_ON = {signal.SIGTERM, signal.SIGHUP}
#: SIGINT is not passed on: a terminal gives it to all processes, the command included.
_ATTENDED = _PASSED_ON | {signal.SIGINT, signal.SIGCHLD}


def box_command(argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` in a box of its own; to be started by the calling process itself.

    The box dies with the thread that starts it. Environment, directory and inheritable descriptors reach the command;
    the exit status is the command's (128 + n for signal n), or 125 when there can be no box.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


# ---- Can there be a box here?

_TRIAL = """
ip link add trial-a type veth peer name trial-b
ip link add trial type bridge
iptables -w -A INPUT ! -i lo -p tcp --dport 22 -j ACCEPT
"""

#: Settings of the kernel that refuse user namespaces: file, value that refuses, value that mends.
_SETTINGS = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "15000"),
)


class Lack(NamedTuple):
    """What is not as a run needs it, and what mends it; together one line for people."""

    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.what}: {self.mend}"


@functools.cache
def why_no_box() -> Lack | None:
    """None when boxes work here; otherwise the reason, and what mends it."""
    return lack_of_programs(PROGRAMS) or lack_of_namespaces()


def lack_of_programs(programs: Iterable[str]) -> Lack | None:
    path = f"{os.environ.get('PATH', os.defpath)}:{_SBIN}"
    missing = [name for name in programs if not shutil.which(name, path=path)]
    packages = " ".join(sorted({PROGRAMS[name] for name in missing}))
    install = f"sudo apt-get install --no-install-recommends {packages}"
    return Lack(f"missing {', '.join(missing)}", install) if missing else None


def lack_of_namespaces() -> Lack | None:
    trial = subprocess.run(box_command(["sh", "-ec", _TRIAL]), capture_output=True, text=True)
    return diagnose(trial.stderr, os.geteuid() == 0) if trial.returncode else None


def diagnose(complaint: str, root: bool, settings: Path = Path("/proc/sys")) -> Lack:
    """Why namespaces were refused with these words, to root or to an ordinary user."""
    words = " ".join(complaint.split()) or "the trial failed without a word"
    from tcpclose.command import COMMAND, this_command  # not where this file is a script

    sudo = shlex.join(["sudo", *this_command()])  # the fallback
    if not root and (setting := refusal(settings)):
        what, mend = setting
        return Lack(f"{what} ({words})", f"{mend}, or {sudo}")
    if "not permitted" in words or "denied" in words:
        mend = "a container needs --privileged" if root else f"{sudo}; a container needs --privileged"
        return Lack(f"private namespaces are refused here ({words})", mend)
    return Lack(f"private namespaces cannot be had ({words})", f"{COMMAND} doctor tells more" if root else sudo)


def refusal(settings: Path = Path("/proc/sys")) -> Lack | None:
    """The kernel's setting that refuses private namespaces to ordinary users, if one does."""
    for name, refuses, mends in _SETTINGS:
        file = settings / name
        if file.is_file() and file.read_text("utf-8").strip() == refuses:
            setting = name.replace("/", ".")
            return Lack(f"{setting}={refuses} refuses private namespaces", f"sudo sysctl {setting}={mends}")
    return None


# ---- Inside: this file as a script

_libc = ctypes.CDLL(None, use_errno=True)


def _system_call(name: str, *args: object) -> None:
    if getattr(_libc, name)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def die_with_parent(parent: int) -> bool:
    """This process is killed when the thread dies that made it. False when that has happened already."""
    _die_with_parent()
    return os.getppid() == parent


def _die_with_parent() -> None:
    _system_call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _enter(parent: int, argv: list[str]) -> int:
    """The outer process: returns the exit status of the box."""
    user, group = os.geteuid(), os.getegid()
    _system_call("unshare", _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET | (_NEWUSER if user else 0))
    if user:
        Path("/proc/self/setgroups").write_text("deny", "utf-8")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", "utf-8")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", "utf-8")
    if not die_with_parent(parent):
        return _REFUSED
    # Signals wait until they are asked for: none is lost before pid 1 can pass it on.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ATTENDED)
    outer_is_gone, held = os.pipe()
    init = os.fork()
    if init == 0:
        os.close(held)
        os._exit(_init(outer_is_gone, argv, mask))
    os.close(outer_is_gone)
    return _attend(init)


def _init(outer_is_gone: int, argv: list[str], mask: Iterable[int]) -> int:
    """Process 1 of the box."""
    try:
        _die_with_parent()
        if select.select([outer_is_gone], [], [], 0)[0]:  # end of file: nobody holds the other end
            return _REFUSED
        os.close(outer_is_gone)
        _furnish()
    except OSError as error:
        return _refuse(error.filename, error)
    command = os.fork()
    if command == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            os.execvp(argv[0], argv)
        except OSError as error:
            os._exit(_refuse(argv[0], error))
    return _attend(command)


def _furnish() -> None:
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{_SBIN}"
    _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE)
    for kind, place in ((b"proc", b"/proc"), (b"sysfs", b"/sys"), (b"tmpfs", b"/run")):
        _mount(kind, place, kind, _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    os.mkdir("/run/netns")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))
    # Where bridges call netfilter, its rules would apply to frames that only cross a switch.
    for switch in Path("/proc/sys/net/bridge").glob("bridge-nf-call-*"):
        switch.write_text("0", "utf-8")


def _mount(source: bytes, place: bytes, kind: bytes | None, flags: int) -> None:
    try:
        _system_call("mount", source, place, kind, flags, None)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"mount {place.decode()}") from None


def _attend(child: int) -> int:
    """Reap what ends and pass signals on until `child` ends; its exit status."""
    while True:
        number = signal.sigwait(_ATTENDED)
        if number in _PASSED_ON:
            os.kill(child, number)
        elif number == signal.SIGCHLD:
            pid = -1
            while pid:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == child:
                    code = os.waitstatus_to_exitcode(status)
                    return code if code >= 0 else 128 - code


def _refuse(what: str, error: OSError) -> int:
    print(f"no box: {what}: {error.strerror}", file=sys.stderr, flush=True)
    return _REFUSED


def _main() -> int:
    try:
        return _enter(int(sys.argv[1]), sys.argv[2:])
    except OSError as error:
        return _refuse(error.filename, error)


if __name__ == "__main__":
    sys.exit(_main())
