"""Lab 08, abort."""

from __future__ import annotations

from claims import claim, play_filled

from tcpclose.trace.events import Call, Change

ABORT = "08-abort"
CLOSES = "step.4.call=close"
READS_ALL = "step.9.bytes=600"
ONE_WAY = "host.h2.tcp.half_duplex_close=false"
LINUX_CLIENT = (
    *("host.h1.stack=linux", "host.h1.tcp="),
    *("connection.c1.client_iss=", "connection.c2.client_iss="),
)
LINUX_SERVER = (
    *("host.h2.stack=linux", "host.h2.tcp=", "host.h2.tcp.half_duplex_close=true"),
    *("connection.c1.server_iss=", "connection.c2.server_iss="),
)


def of(run, connection):
    """The segments of a connection."""
    return [flight for flight in run.flights() if flight.connection == connection]


def passed(run, connection):
    """The states of each end."""
    changes = [change for change in run.trace.of(Change) if change.connection == connection]
    return {host: [change.new for change in changes if change.host == host] for host in ("h1", "h2")}


def reads(run, host, connection):
    """What each RECEIVE of a user gave: octets, or the error."""
    calls = [call for call in run.trace.of(Call) if (call.host, call.connection) == (host, connection)]
    return [call.error or call.octets for call in calls if call.call == "receive"]


@claim(ABORT)
def acknowledged(run):
    """`c1`: how many of the 5000 octets are acknowledged when `h1` aborts?"""
    assert max(flight.segment.ack for flight in of(run, "c1") if flight.source == "h2") == 1000 + 2920


@claim(ABORT)
def the_figure(run):
    """Fill the blanks."""
    reset = of(run, "c1")[-1]
    given = list(run.beside(reset, "seq", "ack", "ctl"))
    assert given == ["CLOSED", 3920, 5000, "RST,ACK", "CLOSED"]
    play_filled(ABORT, given)


@claim(ABORT)
def nothing_to_read(run):
    """How many octets of `c1` does the user of `h2` get to read?"""
    assert reads(run, "h2", "c1") == ["error: connection does not exist"] * 3


@claim(ABORT)
def unread(run):
    """which segment does the CLOSE of `h2` send? Give SEQ, ACK and CTL."""
    reset = of(run, "c2")[-1]
    assert (reset.source, reset.segment.seq, reset.segment.ack, reset.segment.ctl) == ("h2", 7000, 2600, "RST,ACK")


@claim(ABORT)
def lost_answer(run):
    """The TCP of `h1` acknowledged all 1000 octets of the answer at 3.12 s. How many does its user get at 4 s?"""
    acknowledgment = next(flight for flight in of(run, "c2") if flight.segment.ack == 7000)
    assert [acknowledgment.start / 1e6] == run.at(3.12, patience=4)
    assert reads(run, "h1", "c2") == ["error: connection does not exist"]


@claim(ABORT)
def causes(run):
    """Which cause does each of the four ends give? Who waits in TIME-WAIT?"""
    assert run.causes("c1") == {"h1": "aborted", "h2": "reset by peer"}
    assert run.causes("c2") == {"h1": "reset by peer", "h2": "unread data"}


@claim(ABORT)
def nowhere(run):
    """both ends go from ESTABLISHED to CLOSED, and stay nowhere."""
    for connection in ("c1", "c2"):
        assert [states[-2:] for states in passed(run, connection).values()] == [["ESTABLISHED", "CLOSED"]] * 2


@claim(ABORT)
def two_resets(run):
    """Two RSTs, each with an ACK:"""
    resets = [(seq, ctl & 0x14) for _, seq, _, ctl, _ in run.capture("h1") if ctl & 4]
    assert resets == [(3920, 0x14), (7000, 0x14)]


@claim(ABORT, CLOSES)
def arrives(run):
    """All 5000 octets arrive, the last of them after the CLOSE."""
    assert run.received("c1")["h2"] == 5000
    assert run.causes("c1") == {"h1": "graceful", "h2": "graceful"}
    close = next(call for call in run.trace.of(Call) if (call.connection, call.call) == ("c1", "close"))
    assert sum(f.segment.len for f in of(run, "c1") if f.source == "h1" and f.start > close.t) >= 2080


@claim(ABORT, CLOSES)
def meanwhile(run):
    """Where were they meanwhile, and in which state was `h1`?"""
    assert passed(run, "c1")["h1"][1:] == ["ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED"]


@claim(ABORT, READS_ALL)
def reads_all(run):
    """What does the same CLOSE send now, and how many octets of the answer are read?"""
    assert reads(run, "h2", "c2") == [600]
    assert reads(run, "h1", "c2") == [1000]
    assert run.causes("c2") == {"h1": "graceful", "h2": "graceful"}
    assert "FIN" in next(flight for flight in of(run, "c2") if flight.segment.seq == 7000).controls


@claim(ABORT, ONE_WAY)
def one_way(run):
    """The answer is read."""
    assert (reads(run, "h2", "c2"), reads(run, "h1", "c2")) == ([400], [1000])
    assert run.causes("c2") == {"h1": "graceful", "h2": "graceful"}
    assert max(flight.segment.ack for flight in of(run, "c2") if flight.source == "h2") == 2601


@claim(ABORT, *LINUX_CLIENT)
def linux_keeps(run):
    """The same RST arrives, and yet the user of `h1` gets the whole answer:"""
    assert of(run, "c2")[-1].segment.ctl == "RST,ACK"
    assert run.causes("c2") == {"h1": "reset by peer", "h2": "unread data"}
    assert reads(run, "h1", "c2") == [1000]


@claim(ABORT, *LINUX_SERVER)
def linux_reads(run):
    """Linux has room for all 5000 octets, and lets its user read them after the RST"""
    assert reads(run, "h2", "c1")[:2] == [5000, "ECONNRESET"]
    assert run.ended("h2", "c1") < next(c.t for c in run.trace.of(Call) if c.call == "receive") / 1e6


@claim(ABORT, *LINUX_SERVER)
def linux_resets(run):
    """To the CLOSE with text unread it answers as our stack did."""
    assert of(run, "c2")[-1].segment.ctl == "RST,ACK"
    assert run.causes("c2") == {"h1": "reset by peer", "h2": "unread data"}
