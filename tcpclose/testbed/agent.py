"""The process on an emulated host. It owns the host's TCP, or drives the kernel's, and obeys the conductor.

What arrives is read from a packet socket, which hears a segment before the kernel's firewall drops it. What we send
leaves through a raw socket, so that routes and neighbours are the kernel's business.

    conductor: {"scenario": PATH, "host": NAME, "addresses": {...}, "boot": 0}   agent: {"ready": true}
    conductor: {"start": us}        the zero of the run's clock, on CLOCK_MONOTONIC
    conductor: {"step": index}      the user makes a call
    agent:     {"event": {...}}     a line of the trace
    agent:     {"quiet": true}      no timer runs here: without a step or a segment, nothing will happen
    agent:     {"hold": true}       a fault is to strike now; it stands still until      conductor: {"go": true}
    conductor: {"halt": true}       a fault is to strike here; it stands still as soon as it can, and says
    agent:     {"halted": true}     until                                             conductor: {"go": true}
    conductor: {"limit": {...}}     while it stands still: other limits;              agent: {"done": us}
    conductor: {"emit": [hex]}      while it stands still: forged packets, sent now;  agent: {"done": us}
    conductor: {"texts": true}      while it stands still: what its users sent and received;   agent: {"done": us}
    conductor: {"stop": true}       agent: the last events, then {"stopped": true}
    conductor closes the channel    agent: ends, and its sockets with it, when no capture runs any more
"""

from __future__ import annotations

import errno
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from tcpclose.host import Host, MakesStack
from tcpclose.protocol.stack import Pair, Stack
from tcpclose.scenario import Scenario, Step
from tcpclose.testbed.channel import Channel
from tcpclose.testbed.linux import PACKET_IGNORE_OUTGOING, SOL_PACKET, sleep_exactly
from tcpclose.timeline import Timeline
from tcpclose.trace.events import Dropped, Event, to_json
from tcpclose.wire import Malformed, decode_icmp, encode_tcp
from tcpclose.wire.ip import ICMPS, TCP, address, address_octets, ethertype, family, peek

_LONGEST_PACKET = 65535
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.ENETDOWN})
_BURST = 64  # packets read before timers and calls have their turn


class Driver(Protocol):
    """What the agent needs of a host's TCP, ours or the kernel's. Times are microseconds of the run."""

    def perform(self, step: Step, now: int) -> None: ...
    def readers(self) -> Sequence[socket.socket]: ...
    def writers(self) -> Sequence[socket.socket]: ...
    def ready(self, sockets: Iterable[socket.socket], clock: Callable[[], int]) -> bool | None: ...
    def next_timeout(self) -> int | None: ...
    def timeout(self, now: int) -> None: ...
    def quiet(self) -> bool: ...
    def events(self) -> list[Event]: ...
    def send(self, now: int) -> None: ...
    def texts(self, now: int) -> list[Event]: ...


class OwnStack:
    """Our TCP on this host, or one that `make` makes: a packet socket, a `Host`, a raw socket."""

    def __init__(
        self, scenario: Scenario, name: str, addresses: Mapping[str, str], boot: int, make: MakesStack
    ) -> None:
        self.host = Host(scenario, name, addresses, boot, make)
        self.perform, self.timeout = self.host.perform, self.host.timeout
        self.next_timeout, self.texts = self.host.next_timeout, self.host.texts
        self._name = name
        self._address = address_octets(addresses[name])
        self._dropped: list[Event] = []
        self.burst = _BURST
        self._in = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ethertype(addresses[name])))
        self._in.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._in.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._in.setblocking(False)
        self._out = _raw_socket(family(addresses[name]))
        self._out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)

    def readers(self) -> Sequence[socket.socket]:
        return (self._in,)

    def writers(self) -> Sequence[socket.socket]:
        return ()

    def ready(self, sockets: Iterable[socket.socket], clock: Callable[[], int]) -> bool:
        """Take what has arrived, at most a `burst`. True when there may be more."""
        for _ in range(self.burst):
            try:
                octets = self._in.recv(_LONGEST_PACKET)
            except BlockingIOError:
                return False
            protocol, destination = peek(octets)
            if destination == self._address and protocol in (TCP, *ICMPS):
                self._arrive(protocol, octets, clock())
        return True

    def _arrive(self, protocol: int, octets: bytes, now: int) -> None:
        if protocol == TCP:
            self.host.packet_arrives(octets, now)
            return
        try:
            error = decode_icmp(octets)
        except Malformed as damage:
            self._dropped.append(Dropped(t=now, host=self._name, reason=damage.reason))
            return
        if error is not None:
            pair = Pair(error.local, error.remote)
            self.host.icmp_arrives(pair, error.seq, error.type, error.code, now, error.mtu)

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

    def __init__(self, channel: Channel, hello: Mapping[str, Any], make: MakesStack = Stack) -> None:
        scenario = Scenario.load(hello["scenario"])
        self._channel = channel
        self._steps = scenario.step
        self._timeline = Timeline(scenario)
        self._name = hello["host"]
        self._driver = _driver(scenario, self._name, hello["addresses"], hello["boot"], make)
        self._start = 0
        self._todo: deque[dict[str, Any]] = deque()
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
            at = self._driver.next_timeout()
            if at is not None and at <= self._now():
                self._driver.timeout(self._now())
            self._obey()
            self._flush()
        self._account()
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
            self._take([*readable, *writable])

    def _take(self, sockets: Sequence[socket.socket]) -> None:
        """Where a fault waits for something to be seen, each segment is handled, and told of, by itself."""
        if isinstance(self._driver, OwnStack):
            self._driver.burst = 1 if self._timeline.watched(self._name) else _BURST
        for _ in range(_BURST):
            if not self._driver.ready(sockets, self._now) or self._stopping:
                return
            self._flush()

    def _obey(self) -> None:
        while self._todo and not self._stopping:
            message = self._todo.popleft()
            if "step" in message:
                self._driver.perform(self._steps[message["step"]], self._now())
                # To be told anew: what was told last may have crossed the step, and the conductor believe it still.
                self._quiet = None
            elif "stop" in message:
                self._stopping = True
            elif "halt" in message:
                self._channel.tell(halted=True)
                self._stand_still()
                return  # what has waited on the wire comes before what the user wants

    def _flush(self) -> None:
        """Tell what happened; if that brings on a fault, wait for it; only then send."""
        while sum(self._report(event) for event in self._driver.events()):
            self._channel.tell(hold=True)
            self._stand_still()
        if self._stopping:
            return
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

    def _stand_still(self) -> None:
        """Until "go", or the end of the run. What the conductor orders of a host that stands still is done at once."""
        still = True
        while still and not self._channel.closed and not self._stopping:
            for message in self._channel.hear():
                if "go" in message:
                    still, self._quiet = False, None
                elif "stop" in message:
                    self._stopping = True
                elif "halt" in message:
                    self._channel.tell(halted=True)
                elif "limit" in message and isinstance(self._driver, OwnStack):
                    self._driver.host.limit(message["limit"], now := self._now())
                    self._channel.tell(done=now)
                elif "texts" in message:
                    self._channel.tell(done=self._account())
                elif "emit" in message:
                    self._channel.tell(done=self._emit(message["emit"]))
                else:
                    self._todo.append(message)

    def _account(self) -> int:
        """Tell what each user has sent and received; when."""
        now = self._now()
        for event in self._driver.texts(now):
            self._report(event)
        return now

    def _emit(self, packets: list[str]) -> int:
        """Packets as they are, whoever they say they are from; when they began to leave."""
        now = self._now()
        octets = [bytes.fromhex(packet) for packet in packets]
        destinations = [address(peek(packet)[1]) for packet in octets]
        with _raw_socket(family(destinations[0])) as wire:
            for packet, destination in zip(octets, destinations, strict=True):
                wire.sendto(packet, (destination, 0))
        return now


def _raw_socket(family: socket.AddressFamily) -> socket.socket:
    """It sends IP packets as they are, header and all."""
    return socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)


def _driver(scenario: Scenario, name: str, addresses: Mapping[str, str], boot: int, make: MakesStack) -> Driver:
    if scenario.settings(name).stack == "linux":
        from tcpclose.testbed.kernel import KernelError, KernelStack

        try:
            return KernelStack(scenario, name, addresses)
        except KernelError as error:
            sys.exit(str(error))
    return OwnStack(scenario, name, addresses, boot, make)


def main(descriptor: int, make: MakesStack = Stack) -> None:
    """The whole life of an agent, which hears from the conductor through `descriptor`."""
    sleep_exactly()
    channel = Channel(socket.socket(fileno=descriptor))
    hello: list[dict[str, Any]] = []
    while not hello and not channel.closed:
        hello = channel.hear()
    if hello:
        Agent(channel, hello[0], make).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
