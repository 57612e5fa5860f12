"""Traces made by hand: a small builder for tests of what reads and draws them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tcpclose.trace.events import Call, Change, End, Event, Expired, FaultTaken, Lost, Received, Sent, Trace

ADDRESSES = {"h1": "10.0.0.1:40001", "h2": "10.0.0.2:80", "h3": "10.0.0.3:5000"}
ISS = {"h1": 1_000, "h2": 4_294_967_000, "h3": 77}  # h2's numbers wrap
DELAY = 20_000


class Tale:
    """Events of one connection, told in order. Numbers are relative to each end's ISS, times in microseconds."""

    def __init__(self, connection: str = "c1", start: int = 0) -> None:
        self.connection = connection
        self.now = start
        self.events: list[Event] = []
        self.states = {"h1": "CLOSED", "h2": "LISTEN", "h3": "CLOSED"}
        self.idents = 0

    def wait(self, microseconds: int) -> Tale:
        self.now += microseconds
        return self

    def call(self, host: str, call: str, octets: int | None = None, error: str | None = None) -> Tale:
        name = self.connection
        self.events.append(Call(t=self.now, host=host, connection=name, call=call, octets=octets, error=error))
        return self

    def become(self, host: str, state: str, event: str = "x") -> Tale:
        old, self.states[host] = self.states[host], state
        fields = {"old": old, "new": state, "event": event, "rfc": "3.10"}
        self.events.append(Change(t=self.now, host=host, connection=self.connection, **fields))
        return self

    def expire(self, host: str, timer: str = "rto") -> Tale:
        self.events.append(Expired(t=self.now, host=host, connection=self.connection, timer=timer))
        return self

    def end(self, host: str, cause: str) -> Tale:
        self.events.append(End(t=self.now, host=host, connection=self.connection, cause=cause, rfc="3.10"))
        return self

    def fault(self, fault: str, target: str, connection: str | None = None) -> Tale:
        self.events.append(FaultTaken(t=self.now, fault=fault, target=target, connection=connection))
        return self

    def send(
        self,
        source: str,
        ctl: str,
        seq: int = 0,
        ack: int = 0,
        length: int = 0,
        *,
        to: str | None = None,
        lost: str | None = None,
        delay: int = DELAY,
        owned: bool = True,
        stay: bool = False,
    ) -> Tale:
        """One segment; time goes on until it arrives, or with `stay` does not, so that others can follow."""
        self.idents += 1
        target = to or ("h2" if source == "h1" else "h1")
        fields = {
            "id": self.idents,
            "src": ADDRESSES[source],
            "dst": ADDRESSES[target],
            "seq": (seq + ISS[source]) % 2**32,
            "ack": (ack + ISS[target]) % 2**32 if "ACK" in ctl else 0,
            "ctl": ctl,
            "len": length,
            "wnd": 65_535,
        }
        name = self.connection if owned else None
        self.events.append(Sent(t=self.now, host=source, connection=name, **fields))
        if lost:
            self.events.append(Lost(t=self.now, link="h1-s1", reason=lost, connection=name, **fields))
        else:
            self.events.append(Received(t=self.now + delay, host=target, connection=name, **fields))
            self.now += 0 if stay else delay
        return self

    def open(self) -> Tale:
        """Three segments; both ends are ESTABLISHED."""
        self.call("h1", "open").become("h1", "SYN-SENT").send("h1", "SYN")
        self.become("h2", "SYN-RECEIVED").send("h2", "SYN,ACK", 0, 1)
        self.become("h1", "ESTABLISHED").send("h1", "ACK", 1, 1)
        return self.become("h2", "ESTABLISHED")

    def close(self, sent: int = 0) -> Tale:
        """h1 closes first, after `sent` octets; four segments, and TIME-WAIT passes."""
        seq = 1 + sent
        self.call("h1", "close").become("h1", "FIN-WAIT-1").send("h1", "FIN,ACK", seq, 1)
        self.become("h2", "CLOSE-WAIT").send("h2", "ACK", 1, seq + 1).become("h1", "FIN-WAIT-2")
        self.wait(100_000).call("h2", "close").become("h2", "LAST-ACK").send("h2", "FIN,ACK", 1, seq + 1)
        self.become("h1", "TIME-WAIT").send("h1", "ACK", seq + 1, 2).become("h2", "CLOSED").end("h2", "graceful")
        self.wait(1_000_000).become("h1", "CLOSED", "TIME_WAIT_TIMEOUT").end("h1", "graceful")
        return self

    def text(self, segments: int, octets: int = 1_000, every: int = 5_000, seq: int = 1) -> Tale:
        """`segments` from h1, one after the other, each acknowledged."""
        start = self.now
        for number in range(segments):
            self.now = start + number * every
            self.send("h1", "ACK", seq + number * octets, 1, octets)
            self.send("h2", "ACK", 1, seq + (number + 1) * octets)
        return self

    def trace(self, *others: Tale) -> Trace:
        return Trace([event for tale in (self, *others) for event in tale.events])


def late(trace: Trace, delay: int = 30_000) -> Trace:
    """The same on busy hosts: each segment leaves `delay` after what led to it, and the rest follows."""

    def events() -> Iterator[Event]:
        behind = 0
        for event in trace:
            behind += delay if isinstance(event, Sent) else 0
            yield replace(event, t=event.t + behind)

    return Trace(events())


def seen_from_outside(trace: Trace) -> Trace:
    """As of a kernel's TCP: its states are inferred, and nobody tells of timers."""
    told = [replace(event, source="packets") if isinstance(event, Change) else event for event in trace]
    return Trace(event for event in told if not isinstance(event, Expired))
