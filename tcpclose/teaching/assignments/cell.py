"""One process of foreign code: started behind walls or, where somebody insists, without; ended as a whole."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tcpclose.teaching.assignments import inside, walls

_PATIENCE = 10.0  # s that the kernel may take to end a box, on a busy machine
_A_MOMENT = 1.0  # s between the last word of a process and its end
_SCRIPT = Path(inside.__file__)

#: Limits do not count for root, and its files are not for foreign code.
_AS_NOBODY: dict[str, Any] = {"user": walls.NOBODY, "group": walls.NOBODY, "extra_groups": []}


class NoBox(Exception):
    """This machine did not make the box: no fault of the submission."""


class Cell:
    """The process, from `with` to its end. `files` are given to it; `walled` or with nothing but its own limits."""

    def __init__(self, files: Mapping[str, bytes], walled: bool) -> None:
        self._files = {**files, _SCRIPT.name: _SCRIPT.read_bytes()}
        self._walled = walled
        self._ends = contextlib.ExitStack()
        self._first: int | None = None

    def __enter__(self) -> Cell:
        with contextlib.ExitStack() as ends, contextlib.ExitStack() as theirs:
            asked, self.requests = _pipe(theirs, ends)
            self.replies, answers = _pipe(ends, theirs)
            self._news, tell = _pipe(ends, theirs)
            self._said = _keep(ends, os.memfd_create("said"))
            try:
                command, passed = self._command(ends, theirs, tell, str(asked), str(answers))
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=self._said,
                    stderr=self._said,
                    pass_fds=[asked, answers, *passed],
                    cwd="/",
                    env={"PATH": os.environ.get("PATH", os.defpath), **walls.ENVIRONMENT},
                    start_new_session=True,
                    **(_AS_NOBODY if os.geteuid() == 0 and _is_anybody(walls.NOBODY) else {}),
                )
            except OSError as error:
                raise NoBox(str(error)) from None
            ends.callback(self._kill)
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._ends.close()

    def _command(
        self, ends: contextlib.ExitStack, theirs: contextlib.ExitStack, news: int, *channel: str
    ) -> tuple[list[str], list[int]]:
        """What to run, and the descriptors that it wants for that."""
        if self._walled:
            files = {name: _keep(theirs, _in_memory(content)) for name, content in self._files.items()}
            rules = _keep(theirs, _in_memory(walls.system_calls()))
            return walls.wall_in(files, rules, news, _SCRIPT.name, *channel), [*files.values(), rules, news]
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix=f"tcpclose-{os.getpid()}-")))
        folder.chmod(0o755)
        for name, content in self._files.items():
            (folder / name).write_bytes(content)
        return walls.run(f"{folder}/{_SCRIPT.name}", *channel), []

    def stands(self) -> None:
        """It was heard from, and nothing foreign has run yet: so no other process can have got the number."""
        if self._walled:
            self._first = os.pidfd_open(json.loads(os.read(self._news, 4096))["child-pid"])

    def _kill(self) -> None:
        """The first process of a box ends when the kernel has ended all others in it; bubblewrap may be gone before."""
        if not self._walled:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        elif self._first is None:
            self._process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            select.select([self._first], [], [], _PATIENCE)
            os.close(self._first)
        self._process.wait(_PATIENCE)

    def status(self) -> int | None:
        """How it ended: its status or, negative, the signal; None when it did not."""
        try:
            status = self._process.wait(_A_MOMENT)
        except subprocess.TimeoutExpired:
            return None
        return 128 - status if status > 128 else status

    def printed(self) -> int:
        """How many octets it printed, to stdout and stderr."""
        return os.fstat(self._said).st_size

    def last_words(self, octets: int) -> bytes:
        """The end of what it printed."""
        return os.pread(self._said, octets, max(0, self.printed() - octets))


def _is_anybody(user: int) -> bool:
    """Not where an ordinary user is root, in a namespace that has no other users."""
    lines = Path("/proc/self/uid_map").read_text("utf-8").splitlines()
    spans = [[int(number) for number in line.split()] for line in lines]
    return any(first <= user < first + count for first, _, count in spans)


def _keep(stack: contextlib.ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe whose ends are kept by two stacks."""
    read, write = os.pipe()
    return _keep(reader, read), _keep(writer, write)


def _in_memory(content: bytes) -> int:
    descriptor = os.memfd_create("file")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
