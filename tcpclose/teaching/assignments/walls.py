"""What a box for foreign code is made of: bubblewrap's command, the files in it, and the system calls it has not.

Nothing of this machine is in the box but the interpreter with its standard library and the libraries of the system,
read-only; and no place to write. One process: no calls that make others, open sockets or keep memory where no limit
counts it, so that the limits of the process are those of the box.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

#: Who foreign code is, also where root starts it.
NOBODY = 65534

#: Where the files are that it is given.
HOME = "/box"

#: All that there is: the same in every box, and with it the order of sets of text.
ENVIRONMENT = {"PYTHONHASHSEED": "0"}

_NAMESPACES = ("--unshare-all", "--unshare-user", "--disable-userns", "--uid", str(NOBODY), "--gid", str(NOBODY))
_RULES = ("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "box")

_ALLOW, _EPERM, _ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026  # SCMP_ACT_ALLOW and SCMP_ACT_ERRNO of <seccomp.h>
_CLONE_THREAD = 0x10000
_CMP_MASKED_EQ = 7

#: System calls that no engine needs. Names that the machine's library does not know are left out.
_DENIED = """
fork vfork
socket socketpair socketcall
shmget shmat shmctl shmdt semget semctl semop semtimedop msgget msgctl msgsnd msgrcv mq_open mq_unlink
memfd_create memfd_secret
ptrace process_vm_readv process_vm_writev process_madvise pidfd_open pidfd_getfd kcmp
unshare setns mount umount umount2 pivot_root chroot
open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr
bpf perf_event_open userfaultfd io_setup io_uring_setup io_uring_enter io_uring_register
keyctl add_key request_key inotify_init inotify_init1 fanotify_init open_by_handle_at name_to_handle_at
init_module finit_module delete_module kexec_load kexec_file_load
personality quotactl quotactl_fd acct swapon swapoff reboot syslog
"""


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp"""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def filters() -> bool:
    """Whether there is libseccomp, which is not ours."""
    try:
        return bool(system_calls())
    except OSError:
        return False


@functools.cache
def system_calls() -> bytes:
    """The filter as bubblewrap wants it, made by libseccomp. Raises `OSError` where there is none."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(_ALLOW))

    def deny(name: str, action: int = _EPERM, *conditions: _Comparison) -> None:
        number = library.seccomp_syscall_resolve_name(name.encode())
        which = (_Comparison * len(conditions))(*conditions)
        # Numbers below -1 are of calls that other processors have.
        if number != -1 and library.seccomp_rule_add_array(rules, action, number, len(conditions), which):
            raise OSError(f"libseccomp refuses a rule for {name}")

    try:
        for name in _DENIED.split():
            deny(name)
        deny("clone", _EPERM, _Comparison(0, _CMP_MASKED_EQ, _CLONE_THREAD, 0))
        deny("clone3", _ENOSYS)  # its flags are out of a filter's sight; the C library then makes threads by clone
        with open(os.memfd_create("filter"), "r+b") as file:
            if library.seccomp_export_bpf(rules, file.fileno()):
                raise OSError("libseccomp cannot write its filter")
            file.seek(0)
            return file.read()
    finally:
        library.seccomp_release(rules)


def interpreter() -> Path:
    """The program itself, as there is no virtual environment in the box."""
    return Path(sys.executable).resolve()


@functools.cache
def _system() -> tuple[Path, ...]:
    """What the interpreter needs to run: itself, its library, those of the C library's folder, and the loader."""
    config = sysconfig.get_config_vars()
    shared = Path(config["LIBDIR"], config.get("INSTSONAME") or "")
    wanted = [interpreter(), Path(sysconfig.get_path("stdlib")), Path("/usr/lib", config.get("MULTIARCH") or "")]
    return (*wanted, *([shared] if shared.is_file() else []), *Path("/").glob("lib*/ld-*.so*"))


def wall_in(files: Mapping[str, int], rules: int, news: int, script: str, *arguments: str) -> list[str]:
    """The command that runs `script`, one of `files`: their names, and descriptors that hold what is in them.

    `rules` is a descriptor with `system_calls()`; to `news` bubblewrap writes the box's first process.
    """
    command = ["bwrap", *_NAMESPACES, *_RULES, "--clearenv"]
    for name, value in ENVIRONMENT.items():
        command += ["--setenv", name, value]
    for path in _system():
        command += ["--ro-bind", str(path), str(path)]
    for packages in ("site-packages", "dist-packages"):
        if (folder := Path(sysconfig.get_path("stdlib"), packages)).is_dir():
            command += ["--tmpfs", str(folder), "--remount-ro", str(folder)]
    for name, descriptor in files.items():
        command += ["--perms", "0444", "--file", str(descriptor), f"{HOME}/{name}"]
    command += ["--remount-ro", "/", "--chdir", HOME, "--seccomp", str(rules), "--info-fd", str(news), "--"]
    return [*command, *run(f"{HOME}/{script}", *arguments)]


def run(script: str, *arguments: str) -> list[str]:
    """Python without anybody's packages; what it prints is seen even when it is killed then."""
    return [str(interpreter()), "-s", "-S", "-P", "-B", "-u", script, *arguments]
