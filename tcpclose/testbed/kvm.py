"""Does KVM run code here? A script: a virtual machine of one page and one instruction, HLT. Silent when it halted.

/dev/kvm may be there and hang at the first instruction, so whoever starts this sets a limit.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
import sys

_CREATE_VM, _GET_VCPU_MMAP_SIZE, _CREATE_VCPU, _SET_TSS_ADDR, _RUN = 0xAE01, 0xAE04, 0xAE41, 0xAE47, 0xAE80
_SET_USER_MEMORY_REGION = 0x4020AE46
_EXIT_HLT = 5

_HLT = 0xF4
_FIRST_INSTRUCTION = 0xFFFFFFF0  # where an x86 processor begins
_SPARE = 0x7FFBD000  # three pages that older Intel processors want for themselves, anywhere


def _main() -> str | None:
    kvm = os.open("/dev/kvm", os.O_RDWR)
    machine = fcntl.ioctl(kvm, _CREATE_VM, 0)
    fcntl.ioctl(machine, _SET_TSS_ADDR, _SPARE)
    page = mmap.mmap(-1, mmap.PAGESIZE)
    page[_FIRST_INSTRUCTION % mmap.PAGESIZE] = _HLT
    place = ctypes.addressof(ctypes.c_char.from_buffer(page))
    start = _FIRST_INSTRUCTION // mmap.PAGESIZE * mmap.PAGESIZE
    fcntl.ioctl(machine, _SET_USER_MEMORY_REGION, struct.pack("IIQQQ", 0, 0, start, mmap.PAGESIZE, place))
    processor = fcntl.ioctl(machine, _CREATE_VCPU, 0)
    state = mmap.mmap(processor, fcntl.ioctl(kvm, _GET_VCPU_MMAP_SIZE, 0))
    fcntl.ioctl(processor, _RUN, 0)
    (reason,) = struct.unpack_from("I", state, 8)
    return None if reason == _EXIT_HLT else f"KVM left for reason {reason} instead of halting"


if __name__ == "__main__":
    try:
        sys.exit(_main())
    except OSError as error:
        sys.exit(f"/dev/kvm: {error.strerror}")
