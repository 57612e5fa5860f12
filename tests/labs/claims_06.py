"""Lab 06, lost FIN."""

from __future__ import annotations

from itertools import pairwise

import pytest
from claims import claim, play_filled

from tcpclose.trace.events import Lost, Told

LOST_FIN = "06-lost-fin"
ACK_LOST = "link.h1-s1.drop=ACK of FIN from h2, first"
NO_FIN_1 = ("link.h1-s1.drop=FIN from h1, all", "host.h1.tcp.r2=2")
NO_FIN_2 = ("link.h1-s1.drop=FIN from h2, all", "host.h2.tcp.r2=2", "host.h2.tcp.timeout_reset=false")
LINUX_CLIENT = ("host.h1.stack=linux", "host.h1.tcp=", "connection.c1.client_iss=")
LINUX_SERVER = ("host.h2.stack=linux", "host.h2.tcp=", "connection.c1.server_iss=")


def fins(run, host):
    """The FINs that a host has sent."""
    return [flight for flight in run.flights() if flight.source == host and "FIN" in flight.controls]


def times(run, host):
    """When they left."""
    return [flight.start / 1e6 for flight in fins(run, host)]


def eofs(run):
    """Who was told that the peer has closed."""
    return [told.host for told in run.trace.of(Told) if told.signal == "EOF"]


@claim(LOST_FIN)
@claim(LOST_FIN, *LINUX_SERVER)
def attempts(run):
    """When does `h1` send its FIN?"""
    assert times(run, "h1") == run.at(0.5, 1, 2, patience=3)
    assert [flight.arrived is not None for flight in fins(run, "h1")] == [False, False, True]


def answers(run):
    """What belongs into the blanks of the figure."""
    for flight in run.closing()[1:]:
        yield from run.beside(flight, "seq", "ack", "ctl")
    yield run.state("h1", run.trace.events[-1].t)


@claim(LOST_FIN)
def the_figure(run):
    """Fill the blanks."""
    play_filled(LOST_FIN, answers(run))


@claim(LOST_FIN)
def meanwhile(run):
    """In which state is each end at 1.5 s?"""
    assert [run.state(host, 1_500_000) for host in ("h1", "h2")] == ["FIN-WAIT-1", "ESTABLISHED"]


@claim(LOST_FIN)
def last_ack(run):
    """For how long is `h2` in LAST-ACK?"""
    assert [run.stay("h2", "LAST-ACK")] == run.at(0.54, patience=3)


@claim(LOST_FIN)
@claim(LOST_FIN, ACK_LOST)
def told_once(run):
    """How often is each user told that the peer has closed?"""
    assert eofs(run) == ["h2", "h1"]


@claim(LOST_FIN)
def graceful(run):
    """Both ends give the cause "graceful": three segments were lost, and nobody lost anything."""
    assert run.causes() == {"h1": "graceful", "h2": "graceful"}
    assert len(run.trace.of(Lost)) == 3
    assert run.received()["h2"] == 1000


@claim(LOST_FIN)
def reported(run):
    """The second retransmission of `h1` was reported to its user, as R1 says:"""
    errors = [(told.host, told.detail, told.t / 1e6) for told in run.trace.of(Told) if told.signal == "ERROR"]
    assert [error[:2] for error in errors] == [("h1", "2 retransmissions")]
    assert [errors[0][2]] == run.at(2, patience=3)


@claim(LOST_FIN)
def same_number(run):
    """All FINs of `h1` have the same sequence number."""
    assert [seq for port, seq, _, ctl, _ in run.capture("h1") if port == 40001 and ctl & 1] == [2000] * 3
    assert [seq for port, seq, _, ctl, _ in run.capture("h2") if port == 40001 and ctl & 1] == [2000]


@claim(LOST_FIN, ACK_LOST)
def cannot_tell(run):
    """`h1` sends its FIN again after the same 500 ms: it cannot tell the difference."""
    assert times(run, "h1") == run.at(0.5, 1, patience=3)
    assert [flight.arrived is not None for flight in fins(run, "h1")] == [True, True]


@claim(LOST_FIN, ACK_LOST)
def second_fin(run):
    """What does it do with the second FIN, and what does its user notice?"""
    again = fins(run, "h1")[1]
    answer = next(flight for flight in run.closing() if flight.source == "h2" and flight.start >= again.finish)
    assert (answer.segment.ctl, answer.segment.ack) == ("ACK", 2001)
    assert run.state("h2", answer.start) == "CLOSE-WAIT"


@claim(LOST_FIN, *NO_FIN_1)
def two_retransmissions(run):
    """Two retransmissions are all that `h1` tries (R2)."""
    assert [*times(run, "h1"), run.ended("h1")] == run.at(0.5, 1, 2, 4, patience=3)


@claim(LOST_FIN, *NO_FIN_1)
def causes(run):
    """which cause does each end give?"""
    assert run.causes() == {"h1": "retransmission limit", "h2": "reset by peer"}
    assert run.received()["h2"] == 1000


@claim(LOST_FIN, *NO_FIN_1)
def first_not_believed(run):
    """why is the first not believed?"""
    assert run.resets() == [("h1", 2001, True), ("h1", 2000, True)]
    first, challenge, second = run.flights()[-3:]
    assert (challenge.source, challenge.segment.ctl, challenge.segment.ack) == ("h2", "ACK", 2000)
    assert first.finish <= challenge.start <= second.start


@claim(LOST_FIN, *NO_FIN_2)
def for_ever(run):
    """In which state is `h1` then, and for how long would it stay there?"""
    assert run.state("h1", run.trace.events[-1].t) == "FIN-WAIT-2"
    assert run.causes() == {"h2": "retransmission limit"}
    assert run.resets() == []


@claim(LOST_FIN, *LINUX_CLIENT)
def linux_doubles(run):
    """Its FIN goes out three times as well, and its RTO doubles too."""
    gaps = [later - earlier for earlier, later in pairwise(times(run, "h1"))]
    assert len(gaps) == 2
    assert 0.2 < gaps[0] < 0.4
    for shorter_gap, longer_gap in pairwise(gaps):
        assert longer_gap / shorter_gap == pytest.approx(2, rel=0.2)


@claim(LOST_FIN, *LINUX_SERVER)
def linux_last_ack(run):
    """Here it is Linux that waits in LAST-ACK and sends its FIN twice."""
    assert len(times(run, "h2")) == 2
    assert run.release().states["h2"] == ("SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK", "CLOSED")
    assert run.causes()["h2"] == "graceful"
