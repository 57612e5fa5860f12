"""What befalls emulated hosts: signals to the processes that are their TCP (`host.faults.Hands`).

A process is struck between two things that it does, never within one: nothing is half done or half told. So it is asked
to stand still first; one that holds its output because of what it has just seen does so already. The conductor lets it
go on when all faults of the moment have struck.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tcpclose.host.forging import Forged
from tcpclose.scenario.faults import Reboot
from tcpclose.testbed.process import AgentProcess
from tcpclose.trace.events import Event

if TYPE_CHECKING:
    from tcpclose.testbed.conductor import Conductor

_ANSWER = 5.0  # s that an agent has to stand still, or to do what it is told
_BOOT = 30.0  # s that a new one has to be ready; it has been started long before


class ProcessHands:
    """The agents of a conductor, which reads the scenario at `path`."""

    def __init__(self, conductor: Conductor, path: Path) -> None:
        self._conductor = conductor
        self._path = path
        faults = [(step.fault, step.repeat) for step in conductor.scenario.step]
        self._boots = Counter[str]()
        for fault, repeat in faults:
            if isinstance(fault, Reboot):
                self._boots[fault.host] += repeat
        self._spares: dict[str, AgentProcess] = {}
        for host in self._boots:
            self._prepare(host)

    def _prepare(self, host: str) -> None:
        """Python needs a while: the process that is to come up after a reboot is there before it is wanted."""
        if self._boots[host]:
            self._boots[host] -= 1
            self._spares[host] = self._conductor.agent(host)

    def texts(self, host: str) -> Sequence[Event]:
        """The agent tells them itself; one that was paused stands still without being stopped."""
        self._halted(host).resume()
        self._order(host, texts=True)
        return ()

    def switch_off(self, host: str) -> int:
        """SIGKILL; from that moment on the host's links lead nowhere."""
        agent = self._halted(host)
        at = self._conductor.network.fault("off", host)
        agent.kill()
        del self._conductor.agents[host]
        self._conductor.quiet.discard(host)
        return at - self._conductor.start

    def switch_on(self, host: str, boot: int) -> int:
        """A new process, with nothing known of what was before."""
        agent = self._conductor.agents[host] = self._spares.pop(host)
        agent.greet(self._path, boot)
        self._conductor.hear_from(agent, "ready", _BOOT)
        at = self._conductor.network.fault("on", host)
        agent.channel.tell(start=self._conductor.start)
        self._prepare(host)
        return at - self._conductor.start

    def pause(self, host: str) -> int:
        """SIGSTOP; what arrives waits in the socket."""
        self._halted(host).stop()
        self._conductor.quiet.add(host)  # it will do nothing, whatever it was about to do
        return self._conductor.now()

    def resume(self, host: str) -> int:
        """SIGCONT."""
        at = self._conductor.now()
        agent = self._conductor.agents[host]
        agent.resume()
        self._conductor.quiet.discard(host)
        return at

    def limit(self, host: str, changes: dict[str, int | str]) -> int:
        """Other limits of a running stack."""
        return self._order(host, limit=changes)

    def emit(self, host: str, forged: Sequence[Forged]) -> int:
        """From a raw socket on that host."""
        return self._order(host, emit=[segment.packet.hex() for segment in forged])

    def _order(self, host: str, **message: object) -> int:
        agent = self._halted(host)
        agent.channel.tell(**message)
        done: int = self._conductor.hear_from(agent, "done", _ANSWER)["done"]
        return done

    def _halted(self, host: str) -> AgentProcess:
        agent = self._conductor.agents[host]
        if not agent.still:
            agent.channel.tell(halt=True)
            self._conductor.hear_from(agent, "halted", _ANSWER)
            agent.still = True
            self._conductor.quiet.discard(host)  # until it says so again
        return agent
