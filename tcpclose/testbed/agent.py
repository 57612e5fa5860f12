"""The process on an emulated host. It owns the host's TCP, or drives the kernel's, and obeys the conductor.

What arrives is read from a packet socket, which hears a segment before the kernel's firewall drops it. What we send
leaves through a raw socket, so that routes and neighbours are the kernel's business.

    conductor: {"scenario": PATH, "host": NAME, "addresses": {...}}   agent: {"ready": true}
    conductor: {"start": us}        the zero of the run's clock, on CLOCK_MONOTONIC
    conductor: {"step": index}      the user makes a call
    agent:     {"event": {...}}     a line of the trace
    agent:     {"quiet": true}      no timer runs here: without a step or a segment, nothing will happen
    agent:     {"hold": true}       a fault is to strike now; output waits until      conductor: {"go": true}
    conductor: {"stop": true}       agent: the last events, then {"stopped": true}
    conductor closes the channel    agent: ends, and its sockets with it, when no capture runs any more
"""

from __future__ import annotations

import ctypes
import errno
import select
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from tcpclose.host import Host
from tcpclose.protocol.stack import Pair
from tcpclose.scenario import Scenario, Step
from tcpclose.testbed.channel import Channel
from tcpclose.timeline import Timeline
from tcpclose.trace.events import Dropped, Event, to_json
from tcpclose.wire import Malformed, decode_icmp, decode_tcp, encode_tcp

ETH_P_IP = 0x0800
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_PR_SET_TIMERSLACK = 29
_TCP, _ICMP = 6, 1
_LONGEST_PACKET = 65535
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.ENETDOWN})
_BURST = 64  # packets read before timers and calls have their turn


class Driver(Protocol):
    """What the agent needs of a host's TCP, ours or the kernel's. Times are microseconds of the run."""

    def perform(self, step: Step, now: int) -> None: ...
    def readers(self) -> Sequence[socket.socket]: ...
    def writers(self) -> Sequence[socket.socket]: ...
    def ready(self, sockets: Iterable[socket.socket], clock: Callable[[], int]) -> None: ...
    def next_timeout(self) -> int | None: ...
    def timeout(self, now: int) -> None: ...
    def quiet(self) -> bool: ...
    def events(self) -> list[Event]: ...
    def send(self, now: int) -> None: ...
    def texts(self, now: int) -> list[Event]: ...


class OwnStack:
    """Our TCP on this host: a packet socket, a `Host`, a raw socket."""

    def __init__(self, scenario: Scenario, name: str, addresses: Mapping[str, str]) -> None:
        self.host = Host(scenario, name, addresses)
        self.perform, self.timeout = self.host.perform, self.host.timeout
        self.next_timeout, self.texts = self.host.next_timeout, self.host.texts
        self._name = name
        self._address = socket.inet_aton(addresses[name])
        self._kernel_ports = frozenset(scenario.settings(name).kernel_ports)
        self._dropped: list[Event] = []
        self._in = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
        self._in.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._in.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._in.setblocking(False)
        self._out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)

    def readers(self) -> Sequence[socket.socket]:
        return (self._in,)

    def writers(self) -> Sequence[socket.socket]:
        return ()

    def ready(self, sockets: Iterable[socket.socket], clock: Callable[[], int]) -> None:
        """Take what has arrived."""
        for _ in range(_BURST):
            try:
                octets = self._in.recv(_LONGEST_PACKET)
            except BlockingIOError:
                return
            if octets[16:20] == self._address and octets[9] in (_TCP, _ICMP):
                self._arrive(octets, clock())

    def _arrive(self, octets: bytes, now: int) -> None:
        try:
            if octets[9] == _ICMP:
                error = decode_icmp(octets)
                if error is not None:
                    self.host.icmp_arrives(Pair(error.local, error.remote), error.seq, error.type, error.code, now)
                return
            packet = decode_tcp(octets)
        except Malformed as error:
            self._dropped.append(Dropped(t=now, host=self._name, reason=error.reason))
            if error.datagram is not None and error.datagram.dst.port not in self._kernel_ports:
                self.host.invalid_segment_arrives(error.datagram, error.reason, now)
            return
        if packet.datagram.dst.port not in self._kernel_ports:
            self.host.segment_arrives(packet.datagram, packet.ident, now)

    def quiet(self) -> bool:
        return self.host.next_timeout() is None

    def events(self) -> list[Event]:
        dropped, self._dropped = self._dropped, []
        return dropped + self.host.events()

    def send(self, now: int) -> None:
        """Put on the wire what the stack has formed."""
        layout = self.host.stack.config.option_layout
        for ident, datagram in self.host.datagrams_to_send(now):
            try:
                self._out.sendto(encode_tcp(datagram, ident, layout=layout), (datagram.dst.address, 0))
            except OSError as error:  # no route, or no room: a segment that the network lost
                self._dropped.append(Dropped(t=now, host=self._name, reason=f"not sent: {error.strerror}"))
                if error.errno in _NO_ROUTE:
                    self.host.no_route(Pair(datagram.src, datagram.dst), now)


class Agent:
    """The loop: conductor, wire, timers, and out goes what came of it."""

    def __init__(self, channel: Channel, hello: Mapping[str, Any]) -> None:
        scenario = Scenario.load(hello["scenario"])
        self._channel = channel
        self._steps = scenario.step
        self._timeline = Timeline(scenario)
        self._driver = _driver(scenario, hello["host"], hello["addresses"])
        self._start = 0
        self._todo: list[dict[str, Any]] = []
        self._stopping = False
        self._quiet: bool | None = False

    def run(self) -> None:
        """From "ready" to "stopped"."""
        self._channel.tell(ready=True)
        while not self._start and not self._channel.closed:
            for message in self._channel.hear():
                if "start" in message:
                    self._start = message["start"]
                else:  # a step at time 0 may have come along
                    self._todo.append(message)
        while not self._stopping and not self._channel.closed:
            self._wait()
            self._obey()
            at = self._driver.next_timeout()
            if at is not None and at <= self._now():
                self._driver.timeout(self._now())
            self._flush()
        for event in self._driver.texts(self._now()):
            self._report(event)
        self._channel.tell(stopped=True)
        while not self._channel.closed:
            self._channel.hear()

    def _now(self) -> int:
        return time.monotonic_ns() // 1000 - self._start

    def _wait(self) -> None:
        at = self._driver.next_timeout()
        timeout = None if at is None else max(at - self._now(), 0) / 1e6
        if self._todo:
            timeout = 0
        readers = [self._channel.stream, *self._driver.readers()]
        readable, writable, _ = select.select(readers, self._driver.writers(), [], timeout)
        if self._channel.stream in readable:
            self._todo += self._channel.hear()
            readable.remove(self._channel.stream)
        if readable or writable:
            self._driver.ready([*readable, *writable], self._now)

    def _obey(self) -> None:
        todo, self._todo = self._todo, []
        for message in todo:
            if "step" in message:
                self._driver.perform(self._steps[message["step"]], self._now())
                # To be told anew: what was told last may have crossed the step, and the conductor believe it still.
                self._quiet = None
            elif "stop" in message:
                self._stopping = True

    def _flush(self) -> None:
        """Tell what happened; if that brings on a fault, wait for it; only then send."""
        strikes = [self._report(event) for event in self._driver.events()]
        if any(strikes):
            self._channel.tell(hold=True)
            self._hold()
        self._driver.send(self._now())
        for event in self._driver.events():
            self._report(event)
        if self._quiet is not (quiet := self._driver.quiet()):
            self._quiet = quiet
            self._channel.tell(quiet=quiet)

    def _report(self, event: Event) -> bool:
        """Pass an event on. True when a fault is to strike at this very moment."""
        self._channel.tell(event=to_json(event))
        return any(step.fault and not step.after for step in self._timeline.observe(event))

    def _hold(self) -> None:
        while not self._channel.closed:
            messages = self._channel.hear()
            self._todo += [message for message in messages if "go" not in message]
            if any("go" in message for message in messages):
                return


def _driver(scenario: Scenario, name: str, addresses: Mapping[str, str]) -> Driver:
    if scenario.settings(name).stack == "linux":
        from tcpclose.testbed.kernel import KernelError, KernelStack

        try:
            return KernelStack(scenario, name, addresses)
        except KernelError as error:
            sys.exit(str(error))
    return OwnStack(scenario, name, addresses)


def _main(descriptor: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    channel = Channel(socket.socket(fileno=descriptor))
    hello: list[dict[str, Any]] = []
    while not hello and not channel.closed:
        hello = channel.hear()
    if hello:
        Agent(channel, hello[0]).run()


if __name__ == "__main__":
    _main(int(sys.argv[1]))
