"""An agent's process, as the conductor has it."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from tcpclose.testbed.channel import Channel
from tcpclose.testbed.network import EmulatedNetwork

#: The module that is an agent, and its arguments.
OURS = ("tcpclose.testbed.agent",)


class AgentError(RuntimeError):
    """An agent ended by itself, or could not start; the message is for people."""


class AgentProcess:
    """The agent on one host, seen from the conductor. It waits to be greeted."""

    def __init__(self, network: EmulatedNetwork, host: str, program: Sequence[str] = OURS) -> None:
        self.host = host
        self.still = False  # it does nothing until `go`
        self.stopped = False  # nor could it
        ours, theirs = socket.socketpair()
        self._complaints: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - lives as long as the agent
        with theirs:
            module, *words = program
            argv = [sys.executable, "-m", module, str(theirs.fileno()), *words]
            fds = [theirs.fileno()]
            self.process = network.popen(host, argv, pass_fds=fds, stdin=subprocess.DEVNULL, stderr=self._complaints)
        self.channel = Channel(ours)
        self._addresses = network.plan.addresses(host)

    def greet(self, scenario: Path, boot: int = 0) -> None:
        """Tell it who it is; it says "ready" when it is."""
        self.channel.tell(scenario=str(scenario), host=self.host, addresses=self._addresses, boot=boot)

    def fileno(self) -> int:
        return self.channel.stream.fileno()

    def hear(self) -> list[dict[str, Any]]:
        """What it has said and nobody has heard yet."""
        if self.stopped or not select.select([self.channel.stream], [], [], 0)[0]:
            return []
        messages = self.channel.hear()
        if self.channel.closed:
            raise self.failure()
        return messages

    @property
    def waits(self) -> bool:
        """It stands still, and would go on if it were told."""
        return self.still and not self.stopped

    def go(self) -> None:
        """If it stands still, and its process is not stopped, it may go on."""
        if self.waits:
            self.still = False
            self.channel.tell(go=True)

    def stop(self) -> None:
        """SIGSTOP; returns when the process is stopped. Raises `AgentError` when it has ended instead."""
        self.process.send_signal(signal.SIGSTOP)
        seen = os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if seen is None or seen.si_code != os.CLD_STOPPED:
            raise self.failure()
        self.stopped = True

    def resume(self) -> None:
        """SIGCONT."""
        self.stopped = False
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; returns when nothing of it is left."""
        self.stopped = True
        self.process.kill()
        self.process.wait()
        self.channel.stream.close()
        self._complaints.close()

    def failure(self) -> AgentError:
        self._complaints.seek(0)
        words = self._complaints.read().strip().splitlines() or ["it ended without a word"]
        return AgentError(f"the agent on {self.host} failed: {words[-1]}")
