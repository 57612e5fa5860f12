"""The conductor of an emulated run, inside its box: builds the network, starts the agents, keeps the timeline.

It writes the run's events to standard output as they become known, one JSON line each, and last when the run began;
its complaint, if any, to standard error. Whoever started the box collects both (`emulate.py`).
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import IO

from tcpclose.host import Names, parties
from tcpclose.protocol.stack import Pair
from tcpclose.scenario import Fault, Scenario, Step
from tcpclose.testbed import tclink
from tcpclose.testbed.channel import Channel
from tcpclose.testbed.network import EmulatedNetwork, NetworkError
from tcpclose.testbed.relay import FAULTS, RelayError, Report
from tcpclose.timeline import Timeline
from tcpclose.topology import TopologyError, load_network
from tcpclose.trace.events import Disturbed, Event, FaultTaken, Lost, from_json, segment_fields, to_json
from tcpclose.wire import Malformed, decode_ethernet, decode_tcp

_HEAD_START = 50_000  # us between the last agent's "ready" and the zero of the clock
_LAST_WORDS = 5.0  # s that an agent has to stop
_LULL = 250_000  # us of silence, beyond what a segment may still be on its way, after which a quiet run is over


class AgentError(RuntimeError):
    """An agent ended by itself, or could not start; the message is for people."""


class AgentProcess:
    """The agent on one host, seen from the conductor."""

    def __init__(self, network: EmulatedNetwork, host: str, scenario: Path) -> None:
        self.host = host
        ours, theirs = socket.socketpair()
        self._complaints: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the agent
        with theirs:
            argv = [sys.executable, "-m", "tcpclose.testbed.agent", str(theirs.fileno())]
            fds = [theirs.fileno()]
            self.process = network.popen(host, argv, pass_fds=fds, stdin=subprocess.DEVNULL, stderr=self._complaints)
        self.channel = Channel(ours)
        addresses = {name: interface.address for name, interface in network.plan.hosts.items()}
        self.channel.tell(scenario=str(scenario), host=host, addresses=addresses)

    def fileno(self) -> int:
        return self.channel.stream.fileno()

    def hear(self) -> list[dict[str, str]]:
        messages = self.channel.hear()
        if self.channel.closed:
            raise self.failure()
        return messages

    def failure(self) -> AgentError:
        self._complaints.seek(0)
        words = self._complaints.read().strip().splitlines() or ["it ended without a word"]
        return AgentError(f"the agent on {self.host} failed: {words[-1]}")


class Conductor:
    """One run on a network that is up."""

    def __init__(self, scenario: Scenario, path: Path, network: EmulatedNetwork) -> None:
        self.scenario = scenario
        self.network = network
        self.timeline = Timeline(scenario)
        self.agents = {host: AgentProcess(network, host, path) for host in network.plan.hosts}
        self.start = 0
        self.zero = 0  # the same moment on the clock of the captures: microseconds since 1970
        self._quiet: set[str] = set()
        self._last_event = 0
        self._lull = _LULL + 2 * sum(link.longest_way for link in network.plan.links.values())
        self._indices = {id(step): index for index, step in enumerate(scenario.step)}
        self._names = self._names_by_address()
        self._waiting: deque[Step] = deque()

    def run(self) -> None:
        """From the first agent's "ready" to the last one's "stopped"."""
        self._gather("ready", 30.0)
        self.start = time.monotonic_ns() // 1000 + _HEAD_START
        self.zero = self.start + (time.time_ns() - time.monotonic_ns()) // 1000
        for agent in self.agents.values():
            agent.channel.tell(start=self.start)
        while (now := self._now()) < self._end():
            self._take_steps(now)
            self._wait(self._next_time() - self._now())
        for agent in self.agents.values():
            agent.channel.tell(stop=True)
        self._gather("stopped", _LAST_WORDS)
        self.network.stop_captures()  # before the agents end: a kernel closes what its agent leaves open
        self._note_reports()
        self._check_overruns()

    def _now(self) -> int:
        return time.monotonic_ns() // 1000 - self.start

    def _end(self) -> int:
        """The hard end, or sooner when no step is due, no timer runs and no segment can be on its way."""
        if self.timeline.next_time() is None and self._quiet == set(self.agents):
            return min(self._last_event + self._lull, self.scenario.duration)
        return self.scenario.duration

    def _next_time(self) -> int:
        at = self.timeline.next_time()
        return self._end() if at is None else min(at, self._end())

    def _gather(self, word: str, seconds: float) -> None:
        """Wait until every agent has said `word`."""
        missing, deadline = set(self.agents), time.monotonic() + seconds
        while missing:
            left = max(deadline - time.monotonic(), 0)
            readable, _, _ = select.select([self.agents[host] for host in missing], [], [], left)
            if not readable:
                raise AgentError(f"no answer from the agent on {', '.join(sorted(missing))}")
            for agent in readable:
                if any(word in message for message in self._hear(agent)):
                    missing.discard(agent.host)

    def _wait(self, us: int) -> None:
        agents = {agent.fileno(): agent for agent in self.agents.values()}
        readable, _, _ = select.select([*agents, self.network.fileno()], [], [], max(us, 0) / 1e6)
        for descriptor in readable:
            if descriptor in agents:
                self._hear(agents[descriptor])
            else:
                self._note_reports()

    def _hear(self, agent: AgentProcess) -> list[dict[str, str]]:
        messages = agent.hear()
        for message in messages:
            if "event" in message:
                self._note(from_json(message["event"]))
            elif "hold" in message:
                self._strike_due()
                agent.channel.tell(go=True)
            elif "quiet" in message:
                (self._quiet.add if message["quiet"] else self._quiet.discard)(agent.host)
        return messages

    # Steps

    def _take_steps(self, now: int) -> None:
        self._waiting += self.timeline.due(now)
        while self._waiting:
            step = self._waiting.popleft()
            if step.fault:
                self._strike(step.fault)
            else:
                self._quiet.discard(step.host)
                self.agents[step.host].channel.tell(step=self._indices[id(step)])

    def _strike_due(self) -> None:
        """An agent holds its output for a fault: that comes first, calls keep their order."""
        due = [*self._waiting, *self.timeline.due(self._now())]
        for fault in (step.fault for step in due if step.fault):
            self._strike(fault)
        self._waiting = deque(step for step in due if not step.fault)

    def _strike(self, fault: Fault) -> None:
        at = self.network.fault(fault.kind, fault.target)
        self._note(FaultTaken(t=at - self.start, fault=fault.kind, target=fault.target))

    # The record

    def _note(self, event: Event) -> None:
        self._last_event = max(self._last_event, event.t)
        self.timeline.observe(event)
        print(to_json(event), flush=True)

    def _note_reports(self) -> None:
        for report in self.network.reports():
            with contextlib.suppress(Malformed):  # what is no whole TCP segment is not ours to tell
                self._note(self._event_of(report))

    def _event_of(self, report: Report) -> Lost | Disturbed:
        packet = decode_tcp(decode_ethernet(report.frame).payload)
        datagram = packet.datagram
        pair = Pair(datagram.src, datagram.dst)
        names = self._names.get(datagram.src.address)
        fields = segment_fields(datagram, names.of(pair) if names else None, packet.ident)
        kind = Lost if report.deed.loses else Disturbed
        what, rule = report.deed
        return kind(t=report.t - self.start, link=report.link, reason=what, rule=rule, **fields)

    def _names_by_address(self) -> dict[str, Names]:
        addresses = {name: interface.address for name, interface in self.network.plan.hosts.items()}
        return {address: Names(self.scenario, name, addresses) for name, address in addresses.items()}

    def _check_overruns(self) -> None:
        overruns = {way: count for way, count in self.network.overruns().items() if count}
        if overruns:
            raise NetworkError(f"this machine was too slow for the run: frames were lost in the relay ({overruns})")


def _main(folder: Path) -> int:
    path = folder / "scenario.toml"
    scenario = Scenario.load(path)
    network = load_network(scenario)
    ports = {name: host.kernel_ports for name, host in scenario.host.items()}
    linux = [name for name, host in scenario.host.items() if host.stack == "linux"]
    struck = [(step.fault.kind, step.fault.target) for step in scenario.step if step.fault]
    try:
        addresses = {name: interface.address for name, interface in network.hosts.items()}
        known = parties(scenario, addresses)
        tclink.check(network, (strike for strike in struck if strike[0] in FAULTS))
        with EmulatedNetwork(network, scenario.seed, folder, ports, linux, known) as emulated:
            conductor = Conductor(scenario, path, emulated)
            conductor.run()
            print(json.dumps({"zero": conductor.zero}), flush=True)
    except (NetworkError, TopologyError, RelayError, AgentError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
