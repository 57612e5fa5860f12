"""Lab 07, no such connection."""

from __future__ import annotations

from claims import claim, play_filled

from tcpclose.trace.events import FaultTaken, Told
from tcpclose.trace.releases import releases

NO_SUCH = "07-no-such-connection"
EARLY = "step.6.at=1s"
RST_LOST = "link.h1-s1.drop=RST from h1, first"
SILENT = "step.11.connection=c1"
LINUX = (
    *("host.h2.stack=linux", "connection.c2.server_iss=", "connection.c3.server_iss="),
    *("step.5.host=h1", "step.7.host=h1"),
)


def of(run, connection, since=0):
    """The segments of a connection, from a time in microseconds on."""
    return [flight for flight in run.flights() if flight.connection == connection and flight.start >= since]


def restart(run, host="h1"):
    """When a host was last on again."""
    return max(fault.t for fault in run.trace.of(FaultTaken) if (fault.fault, fault.target) == ("reboot", host))


def second(run):
    """The states of each end in the second life of c3."""
    return next((release.states for release in releases(run.trace) if release.incarnation == 2), {})


def syns(run):
    """When h1 sent a SYN on c3 after its restart, in seconds."""
    return [f.start / 1e6 for f in of(run, "c3", restart(run)) if f.segment.ctl == "SYN"]


@claim(NO_SUCH)
def refused(run):
    """Fill the blanks, and say which cause `h1` gives for the end."""
    syn, reset = of(run, "c1")
    assert run.causes("c1") == {"h1": "refused"}
    play_filled(NO_SUCH, ["SYN-SENT", "CLOSED", reset.segment.seq, reset.segment.ack, reset.segment.ctl])
    assert (syn.segment.seq, reset.segment.seq, reset.segment.ack) == (999, 0, 1000)


@claim(NO_SUCH)
def half_open(run):
    """In which state is each end at 1.9 s?"""
    assert run.state("h1", 1_900_000, "c2") == "ESTABLISHED"
    assert [fault.fault for fault in run.trace.of(FaultTaken) if fault.target == "h2"] == ["crash", "reboot"]
    assert restart(run, "h2") < of(run, "c2")[-2].start


@claim(NO_SUCH)
def stale(run):
    """What is sent in answer to the 500 octets: give SEQ and CTL."""
    text, reset = of(run, "c2")[-2:]
    assert (text.source, text.segment.len) == ("h1", 500)
    assert (reset.source, reset.segment.seq, reset.segment.ctl) == ("h2", 6000, "RST")
    assert run.causes("c2") == {"h1": "reset by peer"}


@claim(NO_SUCH)
def discovery(run):
    """The first lines after the restart of `h1`."""
    syn, ack, reset = of(run, "c3", restart(run))[:3]
    given = [
        *("SYN-SENT", syn.segment.seq, syn.segment.ctl, run.state("h2", syn.finish, "c3")),
        *run.beside(ack, "seq", "ack", "ctl"),
        *(run.state("h1", reset.finish, "c3"), reset.segment.seq, reset.segment.ctl),
        run.state("h2", reset.finish, "c3"),
    ]
    assert given[:4] == ["SYN-SENT", 2999, "SYN", "ESTABLISHED"]
    assert given[-3:] == [4000, "RST", "CLOSED"]
    play_filled(NO_SUCH, given, place=1)


@claim(NO_SUCH)
def what_next(run):
    """What has to happen next, so that the connection is open after all?"""
    first, again = syns(run)
    assert [again - first] == run.at(1, patience=3)
    assert second(run) == {"h1": ("SYN-SENT", "ESTABLISHED"), "h2": ("SYN-RECEIVED", "ESTABLISHED")}


@claim(NO_SUCH)
def received(run):
    """How many octets have the users of `h2` got on `c2`, and on `c3` in both its lives?"""
    texts = [int(told.detail) for told in run.trace.of(Told) if (told.host, told.signal) == ("h2", "TEXT")]
    assert texts == [1000, 1000, 300]


@claim(NO_SUCH)
def three_resets(run):
    """There are three RSTs, and no two have the same form and the same sender:"""
    sent = [(f.source, f.segment.ctl, f.segment.seq) for f in run.flights() if "RST" in f.controls]
    assert sent == [("h2", "RST,ACK", 0), ("h2", "RST", 6000), ("h1", "RST", 4000)]
    assert [seq for _, seq, _, ctl, _ in run.capture("h1") if ctl & 4] == [0, 6000, 4000]


@claim(NO_SUCH, EARLY)
def too_early(run):
    """Nothing answers. When is the answer there, and to which attempt?"""
    first, again, reset = of(run, "c2")[-3:]
    assert first.segment == again.segment or first.segment.seq == again.segment.seq
    assert (first.arrived, again.arrived is not None) == (None, True)
    assert [(again.start - first.start) / 1e6] == run.at(1, patience=3)
    assert (reset.source, reset.segment.ctl) == ("h2", "RST")
    assert run.causes("c2") == {"h1": "reset by peer"}


@claim(NO_SUCH, RST_LOST)
def asks_again(run):
    """How does the connection get opened all the same, and when?"""
    assert [(f.segment.ctl, f.arrived is not None) for f in of(run, "c3", restart(run))][:6] == [
        *[("SYN", True), ("ACK", True), ("RST", False)],
        *[("SYN", True), ("ACK", True), ("RST", True)],
    ]
    first, *others = syns(run)
    assert [other - first for other in others] == run.at(1, 3, patience=3)
    assert second(run) == {"h1": ("SYN-SENT", "ESTABLISHED"), "h2": ("SYN-RECEIVED", "ESTABLISHED")}


@claim(NO_SUCH, SILENT)
def nobody_asks(run):
    """When the run ends, after 8 seconds, `h2` is still in ESTABLISHED on `c3`."""
    assert run.state("h2", 8_000_000, "c3") == "ESTABLISHED"
    assert run.causes("c3") == {}
    assert syns(run) == []


@claim(NO_SUCH, *LINUX)
def its_own_tcp(run):
    """its SEND is refused by its own TCP."""
    assert run.refusals() == [("h1", "send", "error: connection does not exist")]


@claim(NO_SUCH, *LINUX)
def linux_refuses(run):
    """Linux answers on port 81 with the same numbers and bits as our stack,"""
    _, reset = of(run, "c1")
    assert (reset.segment.seq, reset.segment.ack, reset.segment.ctl, reset.segment.wnd) == (0, 1000, "RST,ACK", 0)
    assert [f.segment.ctl for f in of(run, "c3", restart(run))][:4] == ["SYN", "ACK", "RST", "SYN"]
    assert second(run) == {"h1": ("SYN-SENT", "ESTABLISHED"), "h2": ("SYN-RECEIVED", "ESTABLISHED")}


@claim(NO_SUCH, *LINUX)
def linux_believes(run):
    """It believes in `c2` until the run ends."""
    assert run.causes("c2") == {}
    assert run.state("h2", 8_000_000, "c2") == "ESTABLISHED"
