"""What the claims of all labs are made with: a run of a handout's command, and `claim`, which notes a function for it.

A claim is a function on a run of one of the handout's commands. Its docstring quotes the handout word for word: a
statement that has to be true, or a question, and then the function knows the answer. Each lab's claims stand in a file
of their own, `claims_NN.py`; `test_labs.py` finds them, runs every command of every handout, in the simulator and on
Mininet, and holds the claims against the runs. What `classify` says of a run has claims by `told`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

from tcpclose.runs import LABS
from tcpclose.trace.events import Call, Change, End, Text, Trace
from tcpclose.trace.flights import flights
from tcpclose.trace.playing import play_figure
from tcpclose.trace.releases import releases
from tcpclose.trace.spans import intervals
from tcpclose.wire import decode_ethernet, decode_tcp, read_pcap

HANDOUTS = {path.parent.name: path.read_text(encoding="utf-8") for path in sorted(LABS.glob("[0-9]*/README.md"))}

#: What is set to have Linux's TCP at one end.
LINUX_SERVER = ("host.h2.stack=linux", "connection.c1.server_iss=")
LINUX_CLIENT = ("host.h1.stack=linux", "host.h1.tcp=", "connection.c1.client_iss=")

CLAIMS = defaultdict(list)  # (lab, overrides) to functions
TOLD = defaultdict(list)  # (lab, command) to functions


def claim(lab, *overrides):
    """The function is true of the run of this lab with these overrides, in their order in the handout."""

    def register(function):
        CLAIMS[lab, overrides].append(function)
        return function

    return register


def told(lab, command):
    """The function is true of what this `./lab classify` of the handout prints of the run without overrides."""

    def register(function):
        TOLD[lab, command].append(function)
        return function

    return register


def blocks(lab, language):
    """The texts of a handout's blocks in one language; continued lines are joined."""
    found = re.findall(rf"^```{language}\n(.*?)^```", HANDOUTS[lab], re.MULTILINE | re.DOTALL)
    return [text.replace("\\\n", "") for text in found]


_BLANK = re.compile("_{2,}")


def play_filled(lab, given, place=0):
    """Play a figure of the handout, its blanks filled with what is given, in their order."""
    figure = [text for text in blocks(lab, "text") if "TCP Peer A" in text][place]
    given = [str(answer) for answer in given]
    assert len(given) == len(_BLANK.findall(figure))
    filled = iter(given)
    play_figure(_BLANK.sub(lambda _: next(filled), figure))


@dataclass(frozen=True)
class Run:
    """One run of a command; times in seconds, `slack` is what real time may take more or less."""

    folder: Path
    trace: Trace
    slack: float

    def at(self, *times, patience=1):
        """These times, as far as this world is exact; `patience` is for times to which several timers have led."""
        return pytest.approx(times, abs=patience * self.slack)

    def causes(self, connection="c1"):
        """Why each end of a connection ended, by host."""
        return {end.host: end.cause for end in self.trace.of(End) if end.connection == connection}

    def ended(self, host, connection="c1"):
        """When that end of a connection was CLOSED."""
        return next(e.t / 1e6 for e in self.trace.of(End) if (e.host, e.connection) == (host, connection))

    def stay(self, host, state, connection="c1"):
        """For how long an end was in a state."""
        return sum(i.length / 1e6 for i in intervals(self.trace)[host, connection] if i.state == state)

    def state(self, host, time, connection="c1"):
        """The state of an end at a time in microseconds."""
        changes = [change for change in self.trace.of(Change) if (change.host, change.connection) == (host, connection)]
        return [change.new for change in changes if change.t <= time][-1]

    def release(self, connection="c1"):
        return next(release for release in releases(self.trace) if release.connection == connection)

    def flights(self):
        """All segments, in the order in which they were sent."""
        return flights(self.trace)

    def closing(self):
        """The segments that were sent once the release had begun."""
        return [flight for flight in self.flights() if flight.start >= self.release().began]

    def beside(self, flight, *fields):
        """What a figure says of an arrow: the state of h1, these fields of the segment, the state of h2."""
        connection = flight.connection
        yield self.state("h1", flight.finish, connection)
        yield from (getattr(flight.segment, field) for field in fields)
        yield self.state("h2", flight.finish, connection)

    def refusals(self):
        """The calls that a TCP refused: host, call, the TCP's words."""
        return [(call.host, call.call, call.error) for call in self.trace.of(Call) if call.error]

    def resets(self):
        """Of each RST: its sender, SEQ and whether it arrived."""
        return [(f.source, f.segment.seq, f.arrived is not None) for f in self.flights() if "RST" in f.controls]

    def received(self, connection="c1"):
        """How many octets the users of each host got, before and after it was switched off, if it was."""
        octets = Counter()
        for text in self.trace.of(Text):
            if text.connection == connection:
                octets[text.host] += text.received
        return octets

    def capture(self, host):
        """(sender's port, SEQ, ACK, control bits, octets of text) of each segment on a host's interface."""
        packets = (
            decode_tcp(decode_ethernet(octets).payload) for _, octets in read_pcap(self.folder / f"{host}-eth0.pcap")
        )
        datagrams = [packet.datagram for packet in packets]
        return [(d.src.port, d.segment.seq, d.segment.ack, d.segment.ctl, len(d.segment.data)) for d in datagrams]
