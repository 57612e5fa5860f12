"""Network and mount namespaces for the nodes of a network, made by one process; and what must be done inside of them.

As a script (`namespaces.py COUNT`) it uses the standard library only: a process for each namespace that holds it, and
prints their ids. They die with the box, as everything does.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

_NEWNS, _NEWNET = 0x20000, 0x40000000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_SIOCETHTOOL = 0x8946

#: Of <linux/ethtool.h>: names of a set of strings, state of features, their change; the set with the names of features.
_GSTRINGS, _GFEATURES, _SFEATURES, _GSSET_INFO, _NAMES = 0x1B, 0x3A, 0x3B, 0x37, 4
_NAME = 32  # octets
#: Offloads hide what is on the wire: segments joined or not yet cut, checksums not yet computed.
_OFFLOAD = re.compile(r"[rt]x-checksum|tx-scatter-gather|tx-(generic|tcp)\S*-segmentation|rx-[gl]ro$")

_libc = ctypes.CDLL(None, use_errno=True)


def hold(count: int) -> list[int]:
    """Make that many namespaces; the ids of the processes that hold them, until the box ends."""
    command = [sys.executable, "-I", "-S", __file__, str(count)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=60)
    return [int(pid) for pid in done.stdout.split()]


def switch_offloads_off(interfaces: Mapping[int, Sequence[str]]) -> None:
    """By the id of a process in their network namespace, the interfaces. Raises `OSError`.

    In a thread of its own, since a thread, too, can enter a namespace. The program ethtool would take a process or two
    for each interface.
    """
    errors: list[OSError] = []

    def work() -> None:
        try:
            for pid, names in interfaces.items():
                with open(f"/proc/{pid}/ns/net", "rb") as namespace:
                    _call("setns", namespace.fileno(), _NEWNET)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                    for name in names:
                        _switch_off(any_socket, name)
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    for error in errors:
        raise error


def _switch_off(any_socket: socket.socket, interface: str) -> None:
    def ethtool(command: int, *words: int, room: int = 0) -> bytes:
        value = ctypes.create_string_buffer(struct.pack(f"{1 + len(words)}I", command, *words).ljust(room, b"\0"))
        try:
            fcntl.ioctl(any_socket, _SIOCETHTOOL, struct.pack("16sP", interface.encode(), ctypes.addressof(value)))
        except OSError as error:
            raise OSError(error.errno, error.strerror, interface) from None
        return value.raw

    (count,) = struct.unpack_from("I", ethtool(_GSSET_INFO, 0, 1 << _NAMES, 0, 0), 16)
    octets = ethtool(_GSTRINGS, _NAMES, count, room=12 + count * _NAME)[12:]
    names = [octets[i * _NAME : (i + 1) * _NAME].split(b"\0")[0].decode() for i in range(count)]
    blocks = (count + 31) // 32
    offloads = [0] * blocks
    for i, name in enumerate(names):
        if _OFFLOAD.match(name):
            offloads[i // 32] |= 1 << i % 32
    ethtool(_SFEATURES, blocks, *(word for mask in offloads for word in (mask, 0)))  # which, and how they shall be
    state = struct.unpack_from(f"{4 * blocks}I", ethtool(_GFEATURES, blocks, room=8 + 16 * blocks), 8)
    active = state[2::4]
    left = [name for i, name in enumerate(names) if offloads[i // 32] & active[i // 32] & 1 << i % 32]
    if left:
        raise OSError(0, f"{', '.join(left)} cannot be switched off", interface)


# ---- As a script


def _call(name: str, *args: object) -> None:
    if getattr(_libc, name)(*args):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def _hold() -> None:
    _call("unshare", _NEWNS | _NEWNET)
    _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    _call("mount", b"sysfs", b"/sys", b"sysfs", 0, None)  # the interfaces of this namespace


def _main(count: int) -> None:
    ready, done = os.pipe()
    pids = []
    for _ in range(count):
        pids.append(os.fork())
        if pids[-1] == 0:
            os.close(ready)
            _hold()
            Path("/proc/self/comm").write_text("namespace", "utf-8")
            with open(os.devnull, "r+b") as nothing:  # whoever reads what we print waits for its end
                for descriptor in range(3):
                    os.dup2(nothing.fileno(), descriptor)
            os.write(done, b".")
            os.close(done)
            while True:
                signal.pause()
    os.close(done)
    held = b""
    while octets := os.read(ready, 4096):
        held += octets
    if len(held) != count:
        sys.exit("namespaces cannot be made")
    print(*pids)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
