"""Lab 10, no resources."""

from __future__ import annotations

from claims import claim

from tcpclose.trace.events import Call, FaultTaken, Told

ROOM = "10-no-resources"
REFUSES = "host.h2.tcp.overload=reset"
LONGER = ("step.7.at=3s", "duration=6s")
ENOUGH = "step.11.max_memory=4500B"
BACKLOG = ("step.11.at=50ms", "step.11.max_memory=", "step.11.backlog=1")
LINUX = (
    *("host.h1.stack=linux", "host.h1.tcp="),
    *("connection.c1.client_iss=", "connection.c2.client_iss=", "connection.c3.client_iss="),
)


def of(run, connection):
    """The segments of a connection."""
    return [flight for flight in run.flights() if flight.connection == connection]


def syns(run, connection):
    """When h1 sent a SYN, in seconds."""
    return [flight.start / 1e6 for flight in of(run, connection) if flight.segment.ctl == "SYN"]


def connected(run, connection):
    """When the user of h1 was told so, in seconds; None if never."""
    told = [t for t in run.trace.of(Told) if (t.host, t.connection, t.signal) == ("h1", connection, "CONNECTED")]
    return told[0].t / 1e6 if told else None


def held(run, connection, time):
    """How many octets h2 has, that its user has not read."""
    arrived = [t for t in run.trace.of(Told) if (t.host, t.connection, t.signal) == ("h2", connection, "TEXT")]
    calls = [call for call in run.trace.of(Call) if (call.host, call.connection) == ("h2", connection)]
    read = [call.octets for call in calls if call.call == "receive" and call.t < time]
    return sum(int(told.detail) for told in arrived if told.t < time) - sum(read)


def limit(run):
    """When h2 got short of memory."""
    (fault,) = run.trace.of(FaultTaken)
    return fault.t


@claim(ROOM)
def silence(run):
    """What does `h2` answer to the SYN of `c3` at 1 s? In which state is each end at 1.3 s?"""
    first, again = of(run, "c3")[:2]
    assert [flight.segment.ctl for flight in (first, again)] == ["SYN", "SYN"]
    assert first.arrived is not None
    assert run.state("h1", 1_300_000, "c3") == "SYN-SENT"


@claim(ROOM)
@claim(ROOM, *LINUX)
def when_open(run):
    """When is `c3` open at `h1`, and after how many SYNs?"""
    first, again = syns(run, "c3")
    assert [again - first, connected(run, "c3") - first] == run.at(1, 1.04, patience=3)


@claim(ROOM)
def unread(run):
    """How many octets does `h2` hold, unread, just before 4 s, and on which connections?"""
    assert [held(run, connection, limit(run)) for connection in ("c1", "c2", "c3")] == [0, 3000, 1000]


@claim(ROOM)
def greediest(run):
    """Which connection is reset at 4 s? Give SEQ, ACK and CTL of the RST."""
    (reset,) = (flight for flight in run.flights() if "RST" in flight.controls)
    assert (reset.connection, reset.source, reset.segment.ctl) == ("c2", "h2", "RST,ACK")
    assert (reset.segment.seq, reset.segment.ack) == (6000, 5000)
    assert reset.start >= limit(run)


@claim(ROOM)
@claim(ROOM, *LINUX)
def causes(run):
    """Which cause does each end of it give?"""
    assert run.causes("c2") == {"h1": "reset by peer", "h2": "no resources"}


@claim(ROOM)
def nothing(run):
    """How much of it has the user of `h2` got?"""
    assert [call.call for call in run.trace.of(Call) if (call.host, call.connection) == ("h2", "c2")] == []


@claim(ROOM)
def three_fates(run):
    """Three connections with three fates: released, reset, and open when the run ends."""
    assert run.causes("c1") == {"h1": "graceful", "h2": "graceful"}
    assert run.causes("c3") == {}
    assert [run.state(host, 5_000_000, "c3") for host in ("h1", "h2")] == ["ESTABLISHED"] * 2


@claim(ROOM)
def four_syns(run):
    """Three connections, four SYNs:"""
    assert [ctl for _, _, _, ctl, _ in run.capture("h2")].count(2) == 4


@claim(ROOM, REFUSES)
def refuses(run):
    """Which cause does `h1` give for the end of `c3`, and what happens at 4 s now?"""
    assert run.causes("c3") == {"h1": "refused"}
    assert run.causes("c2") == {}
    assert held(run, "c2", limit(run)) == 3000


@claim(ROOM, *LONGER)
def longer(run):
    """Which of the SYNs of `c3` opens the connection, and how long after the room became free?"""
    first, *others = syns(run, "c3")
    assert [other - first for other in others] == run.at(1, 3, patience=3)
    assert connected(run, "c3") > others[-1]
    assert 0.3 < others[-1] - run.ended("h2", "c1") < 1.2


@claim(ROOM, ENOUGH)
def enough(run):
    """With 4500 octets, nothing has to go."""
    assert [run.causes(connection) for connection in ("c2", "c3")] == [{}, {}]


@claim(ROOM, *BACKLOG)
def backlog(run):
    """`c2` asks first, and `c3` gets the place."""
    assert [syns(run, "c2")[0]] == run.at(0.2, patience=3)
    assert (connected(run, "c2"), connected(run, "c3") is not None) == (None, True)
    assert syns(run, "c2")[1] < run.ended("h2", "c1") < syns(run, "c3")[1] < syns(run, "c2")[2]
