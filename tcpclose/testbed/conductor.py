"""The conductor of an emulated run, inside its box: builds the network, starts the agents, keeps the timeline.

It writes the run's events to standard output as they become known, one JSON line each, and last when the run began;
its complaint, if any, to standard error. Whoever started the box collects both (`emulate.py`).
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tcpclose.host import Names, call_event, name_of, parties
from tcpclose.host.faults import OFF, Faults
from tcpclose.host.forging import Forger
from tcpclose.scenario import Fault, Scenario, ScenarioError, Step
from tcpclose.scenario.faults import Crash, HostFault, NetworkFault, Reboot, Silent
from tcpclose.testbed import tclink
from tcpclose.testbed.channel import COMMAND_LINE
from tcpclose.testbed.faults import ProcessHands
from tcpclose.testbed.network import EmulatedNetwork, NetworkError
from tcpclose.testbed.nodes import command_line
from tcpclose.testbed.process import OURS, AgentError, AgentProcess
from tcpclose.testbed.relay import FAULTS, RelayError, Report
from tcpclose.testbed.routers import RouterHands
from tcpclose.timeline import Timeline
from tcpclose.topology import TopologyError, load_network
from tcpclose.trace.events import Disturbed, Event, FaultTaken, Lost, from_json, segment_fields, to_json
from tcpclose.wire import Malformed, decode_ethernet, decode_tcp

_HEAD_START = 50_000  # us between the last agent's "ready" and the zero of the clock
_OVERTIME = 300.0  # s for building and ending, beyond the duration of the scenario
_GLANCE = 50_000  # us between looks whether somebody has left the command line
_LAST_WORDS = 5.0  # s that an agent has to stop
_LULL = 250_000  # us of silence, beyond what a segment may still be on its way, after which a quiet run is over


class Conductor:
    """One run on a network that is up."""

    def __init__(
        self,
        scenario: Scenario,
        path: Path,
        network: EmulatedNetwork,
        programs: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.scenario = scenario
        self.network = network
        self.timeline = Timeline(scenario)
        self._programs = programs or {}
        self.agents = {host: self.agent(host) for host in network.plan.hosts}
        for agent in self.agents.values():
            agent.greet(path)
        self._forger = Forger(scenario, network.plan.own_addresses)
        self._faults = Faults(ProcessHands(self, path), self._forger, self.timeline, self._note)
        self.start = 0
        self._record = sys.stdout
        self.zero = 0  # the same moment on the clock of the captures: microseconds since 1970
        self.quiet: set[str] = set()
        self._last_event = 0
        self._lull = _LULL + 2 * sum(link.longest_way for link in network.plan.links.values())
        self._indices = {id(step): index for index, step in enumerate(scenario.step)}
        self._names = self._names_by_address()
        self._hands = RouterHands(network)
        self._waiting: deque[Step] = deque()
        self._striking = False

    def agent(self, host: str) -> AgentProcess:
        """A new one for a host, of the program that is to be its TCP."""
        return AgentProcess(self.network, host, self._programs.get(host, OURS))

    def run(self, visit: Callable[[], None] | None = None) -> None:
        """From the first agent's "ready" to the last one's "stopped", with a `visit` after the end of the timeline."""
        self._gather("ready", 30.0)
        self.start = time.monotonic_ns() // 1000 + _HEAD_START
        self.zero = self.start + (time.time_ns() - time.monotonic_ns()) // 1000
        for agent in self.agents.values():
            agent.channel.tell(start=self.start)
        while (now := self.now()) < self._end():
            self._take_steps(now)
            self._wait(self._next_time() - self.now())
        if visit is not None:
            self._go_on_during(visit)
        for agent in self.agents.values():
            agent.channel.tell(stop=True)
            agent.resume()
        self._gather("stopped", _LAST_WORDS)
        self.network.stop_captures()  # before the agents end: a kernel closes what its agent leaves open
        self._note_reports()
        self._check_overruns()

    def _go_on_during(self, visit: Callable[[], None]) -> None:
        """Agents are heard, and steps taken, while `visit` has the main thread, as a terminal's signals want it."""
        left = threading.Event()

        def go_on() -> None:
            while not left.is_set():
                self._take_steps(self.now())
                self._wait(_GLANCE)

        faulthandler.cancel_dump_traceback_later()
        with ThreadPoolExecutor(1) as pool:
            going = pool.submit(go_on)
            try:
                visit()
            finally:
                left.set()
            going.result()

    def now(self) -> int:
        return time.monotonic_ns() // 1000 - self.start

    def _end(self) -> int:
        """The hard end, or sooner when no step is due, no timer runs and no segment can be on its way."""
        if self.timeline.next_time() is None and self.quiet == set(self.agents):
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

    def hear_from(self, agent: AgentProcess, word: str, seconds: float) -> dict[str, Any]:
        """Wait until an agent has said `word`; that message."""
        deadline = time.monotonic() + seconds
        while select.select([agent], [], [], max(deadline - time.monotonic(), 0))[0]:
            for message in self._hear(agent):
                if word in message:
                    return message
        raise AgentError(f"no answer from the agent on {agent.host}")

    def _wait(self, us: int) -> None:
        agents = {agent.fileno(): agent for agent in self.agents.values()}
        readable, _, _ = select.select([*agents, self.network.fileno()], [], [], max(us, 0) / 1e6)
        for descriptor in readable:
            if descriptor in agents:
                self._hear(agents[descriptor])
            else:
                self._note_reports()

    def _hear(self, agent: AgentProcess) -> list[dict[str, Any]]:
        messages = agent.hear()
        for message in messages:
            if "event" in message:
                self._note(from_json(message["event"]))
            elif "hold" in message:
                agent.still = True
                self.quiet.discard(agent.host)  # until it says so again
                self._strike([])
            elif "quiet" in message:
                (self.quiet.add if message["quiet"] else self.quiet.discard)(agent.host)
        return messages

    # Steps

    def _take_steps(self, now: int) -> None:
        self._waiting += self.timeline.due(now)
        while self._waiting:
            step = self._waiting.popleft()
            if step.fault:
                self._strike([step.fault])
            elif step.host not in self.agents:
                self._note(call_event(step, self.now(), None, OFF))
            else:
                self.quiet.discard(step.host)
                self.agents[step.host].channel.tell(step=self._indices[id(step)])

    def _strike(self, faults: Iterable[Fault]) -> None:
        """Faults, and then those for which agents hold their output: these go on when all have taken effect.

        Calls keep their order. An agent that begins to hold while faults strike is served in the same round.
        """
        if self._striking:
            return
        self._striking = True
        todo = deque(faults)
        while todo or any(agent.waits for agent in self.agents.values()):
            for fault in todo:
                self._apply(fault)
            due = [*self._waiting, *self.timeline.due(self.now())]
            self._waiting = deque(step for step in due if not step.fault)
            todo = deque(step.fault for step in due if step.fault)
            if not todo:
                for agent in self.agents.values():
                    agent.go()
        self._striking = False

    def _apply(self, fault: Fault) -> None:
        if isinstance(fault, HostFault):
            self._wait(0)  # what has been said and not been heard counts
            self._faults.strike(fault, self.now())
            return
        if isinstance(fault, NetworkFault):
            at = self._hands.strike(fault)
        else:
            at = self.network.fault(fault.kind, fault.target, fault.way if isinstance(fault, Silent) else "out")
        self._note(FaultTaken(t=at - self.start, fault=fault.kind, target=fault.target, detail=fault.detail))

    # The record

    def _note(self, event: Event) -> None:
        self._last_event = max(self._last_event, event.t)
        self.timeline.observe(event)
        self._forger.observe(event)
        print(to_json(event), file=self._record, flush=True)

    def _note_reports(self) -> None:
        for report in self.network.reports():
            with contextlib.suppress(Malformed):  # what is no whole TCP segment is not ours to tell
                self._note(self._event_of(report))

    def _event_of(self, report: Report) -> Lost | Disturbed:
        packet = decode_tcp(decode_ethernet(report.frame).payload)
        datagram = packet.datagram
        fields = segment_fields(datagram, name_of(datagram, self._names), packet.ident)
        kind = Lost if report.deed.loses else Disturbed
        what, rule = report.deed
        return kind(t=report.t - self.start, link=report.link, reason=what, rule=rule, **fields)

    def _names_by_address(self) -> dict[str, Names]:
        plan = self.network.plan
        return {place.address: Names(self.scenario, name, plan.addresses(name)) for name, place in plan.hosts.items()}

    def _check_overruns(self) -> None:
        overruns = {way: count for way, count in self.network.overruns().items() if count}
        if overruns:
            raise NetworkError(f"this machine was too slow for the run: frames were lost in the relay ({overruns})")


def _ordered(fault: Fault) -> tuple[str, str]:
    """What a fault orders of the relay, and of whom."""
    return "off" if isinstance(fault, Crash | Reboot) else fault.kind, fault.target


def _visit(net: Any, console: int) -> None:
    """Mininet's CLI at the console, which for that time is the standard output of ours and of what is started there."""
    print(COMMAND_LINE, end="", flush=True)
    os.dup2(console, 1)
    os.dup2(console, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    command_line(net)
    sys.stdout.flush()


def _main(folder: Path, programs: Mapping[str, Sequence[str]], console: int | None) -> int:
    record, complaints = sys.stdout, sys.stderr
    if console is not None:  # where events and complaints go, whatever becomes of 1 and 2
        record, complaints = sys.stdout, sys.stderr = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(2), "w")
    path = folder / "scenario.toml"
    scenario = Scenario.load(path)
    network = load_network(scenario)
    ports = {name: host.kernel_ports for name, host in scenario.host.items()}
    linux = [name for name, host in scenario.host.items() if host.stack == "linux"]
    struck = [_ordered(step.fault) for step in scenario.step if step.fault]
    # Whatever might wait for ever, this ends it, and says where it was.
    faulthandler.dump_traceback_later(scenario.duration / 1e6 + _OVERTIME, exit=True)
    try:
        known = parties(scenario, network.own_addresses)
        tclink.check(network, (strike for strike in struck if strike[0] in (*FAULTS, "power_off", "power_on")))
        with EmulatedNetwork(network, scenario.seed, folder, ports, linux, known) as emulated:
            conductor = Conductor(scenario, path, emulated, programs)
            conductor.run(None if console is None else partial(_visit, emulated.net, console))
            print(json.dumps({"zero": conductor.zero}), file=record, flush=True)
    except (NetworkError, TopologyError, RelayError, AgentError, ScenarioError, OSError) as error:
        print(error, file=complaints, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else None))
