"""One host of a run: its stack, the user who makes the scenario's calls, and the host's share of the trace.

Still without I/O: the simulator and the agent of the testbed drive the same class, one in virtual time, the
other from a packet socket. Times are microseconds from the start of the run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from tcpclose.host.names import Names
from tcpclose.host.users import Ledger, call_event
from tcpclose.links import ETHERNET_MTU
from tcpclose.protocol.addresses import is_ipv6
from tcpclose.protocol.connection import Notice, Signal, TcpError, Timer
from tcpclose.protocol.datagram import Datagram
from tcpclose.protocol.fsm import Row
from tcpclose.protocol.stack import Pair, Stack
from tcpclose.scenario import Scenario, Step, payload
from tcpclose.trace.events import (
    Dropped,
    Event,
    Expired,
    Received,
    Sent,
    Told,
    Variables,
    row_events,
    segment_fields,
)
from tcpclose.wire import Malformed, decode_tcp

#: Called as `Stack` is.
MakesStack = Callable[..., Stack]


class Host:
    """A host with our stack, or one that `make` makes. `addresses` are those of all hosts, as this one knows them."""

    def __init__(
        self, scenario: Scenario, name: str, addresses: Mapping[str, str], boot: int = 0, make: MakesStack = Stack
    ) -> None:
        self.name = name
        self._make = make
        self.names = Names(scenario, name, addresses)
        self._config = scenario.tcp_config(name)
        self._seed = scenario.seed
        self._reads_at_once = scenario.settings(name).receive == "auto"
        self._kernel_ports = frozenset(scenario.settings(name).kernel_ports)
        self._events: list[Event] = []
        self.start(boot)

    def start(self, boot: int) -> None:
        """Begin with nothing known of what was before; `boot` counts how often, and gives other numbers each time."""
        life = f"{self.name}/boot {boot}" if boot else self.name
        secret = random.Random(f"{self._seed}/secret/{life}").randbytes(16)
        # As an Ethernet card has it: nobody tells a host what links take, they lose what is too long.
        self.stack = self._make(self._config, secret, self.names.iss.get, lambda address: ETHERNET_MTU)
        self._ledgers: dict[str, Ledger] = {}
        self._variables: dict[Pair, tuple[int | None, ...]] = {}  # what the trace was told last of each TCB
        self._lingering: dict[Pair, int] = {}  # users who wait for their CLOSE to be completed, and until when
        self._next_ident = 0

    def perform(self, step: Step, now: int) -> None:
        """The user makes the call of a step. A refusal by the TCP is part of the trace."""
        error = None
        try:
            text = self._call(step, now)
        except TcpError as refusal:
            text, error = None, str(refusal)
        octets = None if text is None else len(text)
        self._events.append(call_event(step, now, octets, error))
        self._listen_to_news(now)
        if step.connection:
            self._note_variables(self.names.pairs[step.connection], now)

    def _call(self, step: Step, now: int) -> bytes | None:
        if step.call == "listen":
            self.stack.listen(step.port)
            return None
        pair = self.names.pairs[step.connection]
        match step.call:
            case "open":
                self.stack.open(pair, now)
                self._ledger(pair)
            case "send":
                text = payload(step)
                self.stack.send(pair, text, now)
                self._ledger(pair).add("sent", text)
                return text
            case "receive":
                return self._read(pair, now, step.bytes)
            case "close" if step.linger is not None:
                self.stack.release(pair, now)
                self._lingering[pair] = now + step.linger
            case "close":
                self.stack.close(pair, now)
            case "abort":
                self.stack.abort(pair, now)
        return None

    def _read(self, pair: Pair, now: int, octets: int | None = None) -> bytes:
        text = self.stack.receive(pair, now, octets)
        self._ledger(pair).add("received", text)
        return text

    def _ledger(self, pair: Pair) -> Ledger:
        """Begun with the connection: who has got nothing is told, too."""
        return self._ledgers.setdefault(self.names.of(pair), Ledger())

    def segment_arrives(self, datagram: Datagram, ident: int, now: int) -> None:
        """A segment came in from the wire, with its IPv4 identification, 0 for IPv6."""
        pair = Pair(datagram.dst, datagram.src)
        fields = segment_fields(datagram, self.names.of(pair), ident)
        self._events.append(Received(t=now, host=self.name, **fields))
        self.stack.segment_arrives(datagram, now)
        self._listen_to_news(now)
        self._note_variables(pair, now)

    def invalid_segment_arrives(self, datagram: Datagram, reason: str, now: int) -> None:
        """A segment came in whose header is wrong in a way that the checksum does not show."""
        self.stack.invalid_segment_arrives(datagram, reason, now)
        self._listen_to_news(now)

    def packet_arrives(self, octets: bytes, now: int) -> None:
        """An IP packet that carries TCP came in, right or wrong."""
        try:
            packet = decode_tcp(octets)
        except Malformed as error:
            self._events.append(Dropped(t=now, host=self.name, reason=error.reason))
            if error.datagram is not None and error.datagram.dst.port not in self._kernel_ports:
                self.invalid_segment_arrives(error.datagram, error.reason, now)
            return
        if packet.datagram.dst.port not in self._kernel_ports:
            self.segment_arrives(packet.datagram, packet.ident, now)

    def icmp_arrives(self, pair: Pair, seq: int, type: int, code: int, now: int, mtu: int = 0) -> None:
        """An ICMP error about a segment of ours came in; `mtu` as in `Stack.icmp_arrives`."""
        self.stack.icmp_arrives(pair, seq, type, code, now, mtu)
        self._listen_to_news(now)

    def no_route(self, pair: Pair, now: int) -> None:
        """A segment could not be sent, because no route leads to its destination."""
        self.stack.no_route(pair, now)
        self._listen_to_news(now)

    def limit(self, changes: Mapping[str, Any], now: int) -> None:
        """There is so much room from now on: settings by name, and `backlog` for those who listen."""
        self.stack.limit(now, **changes)
        self._listen_to_news(now)

    def next_timeout(self) -> int | None:
        """When `timeout` is to be called; None when no timer runs."""
        if not self._lingering:
            return self.stack.next_timeout()
        self._lingering = {pair: at for pair, at in self._lingering.items() if self._still_lingers(pair)}
        timers = (self.stack.next_timeout(), *self._lingering.values())
        return min((at for at in timers if at is not None), default=None)

    def _still_lingers(self, pair: Pair) -> bool:
        connection = self.stack.find(pair)
        return connection is not None and (connection.sender.outstanding or connection.sender.unsent)

    def timeout(self, now: int) -> None:
        """Handle every timer that has expired by `now`."""
        self.stack.timeout(now)
        for pair in [pair for pair, at in self._lingering.items() if at <= now]:
            del self._lingering[pair]
            if self._still_lingers(pair):
                self.stack.linger_expires(pair, now)
        self._listen_to_news(now)

    def datagrams_to_send(self, now: int) -> list[tuple[int, Datagram]]:
        """What goes on the wire now, each with its IPv4 identification, 0 for IPv6. Noted in the trace as sent."""
        sent = []
        for datagram in self.stack.datagrams_to_send():
            ident = self._identification(datagram)
            pair = Pair(datagram.src, datagram.dst)
            fields = segment_fields(datagram, self.names.of(pair), ident)
            self._events.append(Sent(t=now, host=self.name, **fields))
            self._note_variables(pair, now)
            sent.append((ident, datagram))
        return sent

    def _identification(self, datagram: Datagram) -> int:
        if is_ipv6(datagram.src.address):
            return 0
        self._next_ident = self._next_ident % 0xFFFF + 1
        return self._next_ident

    def events(self) -> list[Event]:
        """The events of this host since the last call, in order."""
        events, self._events = self._events, []
        return events

    def texts(self, now: int) -> list[Event]:
        """What each user has sent and received in all, for the end of the run, or of their host."""
        return [ledger.event(now, self.name, name) for name, ledger in self._ledgers.items()]

    def _listen_to_news(self, now: int) -> None:
        """Write down what the stack tells; a user who reads at once makes room, and there may be more to tell."""
        while news := self.stack.news():
            for pair, what in news:
                if isinstance(what, Signal):
                    self._note_signal(pair, what, now)
                elif isinstance(what, Timer):
                    self._note_timer(pair, what, now)
                else:
                    self._note_row(pair, what, now)

    def _note_signal(self, pair: Pair, signal: Signal, now: int) -> None:
        notice, detail = signal
        if notice is Notice.CLOSED:
            return  # told by the row that ended it
        connection = self.names.of(pair)
        self._events.append(Told(t=now, host=self.name, connection=connection, signal=notice.value, detail=detail))
        if notice is Notice.CONNECTED:
            self._ledger(pair)
        if notice is Notice.TEXT and self._reads_at_once and self.stack.accepted(pair):
            self._read(pair, now)

    def _note_timer(self, pair: Pair, timer: Timer, now: int) -> None:
        connection = self.names.of(pair)
        self._events.append(Expired(t=now, host=self.name, connection=connection, timer=timer.value))

    def _note_variables(self, pair: Pair, now: int) -> None:
        """Write down what has changed in a TCB since the last time."""
        whole = self.stack.connections.get(pair)  # an entry of TIME-WAIT does not keep all
        connection = whole or self.stack.find(pair)
        if connection is None:
            self._variables.pop(pair, None)
            return
        tcb, state = connection.tcb, connection.state
        heard = state.synchronized or state.handshaking  # before the peer's SYN its numbers mean nothing
        una, nxt = tcb.snd_una, tcb.snd_nxt
        wnd = tcb.snd_wnd if heard and whole else None
        rcv_nxt, rcv_wnd = (tcb.rcv_nxt, connection.receiver.window) if heard else (None, None)
        values = una, nxt, wnd, rcv_nxt, rcv_wnd
        if self._variables.get(pair) == values:
            return
        self._variables[pair] = values
        told = Variables(
            t=now,
            host=self.name,
            connection=self.names.of(pair),
            snd_una=una,
            snd_nxt=nxt,
            snd_wnd=wnd,
            rcv_nxt=rcv_nxt,
            rcv_wnd=rcv_wnd,
        )
        self._events.append(told)

    def _note_row(self, pair: Pair, row: Row, now: int) -> None:
        self._events += row_events(row, now, self.name, self.names.of(pair))
