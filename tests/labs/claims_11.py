"""Lab 11, link failure."""

from __future__ import annotations

from itertools import pairwise

import pytest
from claims import LINUX_CLIENT, claim

from tcpclose.trace.events import FaultTaken, Told

LINK = "11-link-failure"
EARLY = "step.5.at=6s"
BELIEVED = (EARLY, "host.h2.tcp.reset_validity=window")


def fourth(run):
    """When h1 sent its fourth text, the first time and again."""
    return [f.start / 1e6 for f in run.flights() if f.sent and f.source == "h1" and f.seq == 3001 and f.sent.len]


@claim(LINK)
@claim(LINK, "host.h2.stack=linux")
def attempts(run):
    """When does `h1` send its fourth 1000 octets?"""
    assert fourth(run) == run.at(2, 2.25, 2.75, 3.75, 5.75)
    assert [run.ended("h1")] == run.at(7)


@claim(LINK)
def resets(run):
    """Which SEQ does it have, and in which captures will you find it?"""
    assert run.resets() == [("h1", 5000, False), ("h1", 4000, True)]
    seen = {host: [seq for _, seq, _, ctl, _ in run.capture(host) if ctl & 4] for host in ("h1", "h2")}
    assert seen == {"h1": [5000, 4000], "h2": [4000]}


@claim(LINK)
@claim(LINK, "host.h2.stack=linux")
def half_open(run):
    """In which state is each end at 7.5 s, when the link is still down?"""
    assert [run.state(host, 7_500_000) for host in ("h1", "h2")] == ["CLOSED", "ESTABLISHED"]


@claim(LINK)
def the_answer(run):
    """What is sent in answer to the 21 octets of `h2`? Give CTL and SEQ."""
    question, answer = run.flights()[-2:]
    assert (question.source, question.segment.len) == ("h2", 21)
    assert (answer.source, answer.segment.ctl, answer.segment.seq) == ("h1", "RST", 4000)


@claim(LINK)
def causes(run):
    """Which cause will each end give for the end of the connection?"""
    assert run.causes() == {"h1": "user timeout", "h2": "reset by peer"}


@claim(LINK)
def delivered(run):
    """How many of the 4000 octets did the user of `h2` get?"""
    assert run.received()["h2"] == 3000


@claim(LINK)
def silence(run):
    """From the failure until it gives up, `h1` tells its user nothing:"""
    down, up = (fault.t for fault in run.trace.of(FaultTaken))
    assert [fault.fault for fault in run.trace.of(FaultTaken)] == ["link_down", "link_up"]
    assert [told for told in run.trace.of(Told) if told.host == "h1" and down < told.t] == []
    assert down < run.ended("h1") * 1e6 < up


@claim(LINK, "host.h1.tcp.timeout_reset=false")
@claim(LINK, "host.h2.stack=linux")
def same_end(run):
    """`h2` ends at the same time and for the same cause as before."""
    assert run.causes() == {"h1": "user timeout", "h2": "reset by peer"}
    assert [run.ended("h1"), run.ended("h2")] == run.at(7, 9.04)


@claim(LINK, "host.h1.tcp.timeout_reset=false")
def no_reset(run):
    """No RST at the timeout."""
    assert run.resets() == [("h1", 4000, True)]


@claim(LINK, "host.h1.tcp.user_timeout=20s")
def patience(run):
    """With a user timeout of 20 s the link returns before `h1` gives up, and all 4000 octets arrive."""
    assert run.causes() == {}
    assert run.received() == {"h1": 21, "h2": 4000}


@claim(LINK, "host.h1.tcp.user_timeout=20s")
def patience_takes_time(run):
    """Why do they not arrive as soon as the link is back?"""
    assert fourth(run) == run.at(2, 2.25, 2.75, 3.75, 5.75, 9.75)


@claim(LINK, EARLY)
def doubted(run):
    """`h2` does not believe the first RST, it asks back, and only the second RST ends the connection."""
    assert run.resets() == [("h1", 5000, True), ("h1", 4000, True)]
    first, challenge, second = run.flights()[-3:]
    assert (challenge.source, challenge.segment.ctl, challenge.segment.ack) == ("h2", "ACK", 4000)
    assert first.finish <= challenge.start < second.start
    assert run.causes() == {"h1": "user timeout", "h2": "reset by peer"}
    assert run.ended("h2") * 1e6 >= second.finish


@claim(LINK, *BELIEVED)
def believed(run):
    """Then one RST is enough."""
    assert run.resets() == [("h1", 5000, True)]
    assert run.causes() == {"h1": "user timeout", "h2": "reset by peer"}


@claim(LINK, "host.h2.stack=linux")
def linux_believes(run):
    """Linux believes in the connection for just as long as our stack did."""
    assert run.release().states["h2"] == ("SYN-RECEIVED", "ESTABLISHED", "CLOSED")


@claim(LINK, *LINUX_CLIENT)
def linux_doubles(run):
    """Its RTO doubles too."""
    times = fourth(run)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(gaps) >= 4
    for shorter_gap, longer_gap in pairwise(gaps):
        assert longer_gap / shorter_gap == pytest.approx(2, rel=0.2)


@claim(LINK, *LINUX_CLIENT)
def linux_outlives(run):
    """In this run the connection outlives the failure."""
    assert run.causes() == {}
    assert run.received() == {"h1": 21, "h2": 4000}
