"""Lab 09, blind resets."""

from __future__ import annotations

from claims import claim

from tcpclose.trace.events import Call, Dropped
from tcpclose.wire import decode_ethernet, read_pcap

BLIND = "09-blind-reset"
ANY_RST = "host.h2.tcp.reset_validity=window"
ANY_SYN = "host.h2.tcp.syn_validity=window"
RESETS = "host.h2.tcp.invalid_header=reset"
OPTION = "step.11.wrong=option length"
FIREWALL = (
    *("topology=middlebox", "middlebox.m1.kind=firewall", "middlebox.m1.invalid_header=reset"),
    *(f"step.{number}.host=h1" for number in (5, 6, 7, 9, 11)),
)
LINUX = ("host.h2.stack=linux", "connection.c1.server_iss=", "connection.c2.server_iss=")

CHALLENGED, BELIEVED = ("ACK", "ESTABLISHED"), (None, "CLOSED")


def forged(run, connection="c1"):
    """The segments of far."""
    return [flight for flight in run.flights() if flight.forged and flight.connection == connection]


def answer(run, flight):
    """What h2 sent in answer to a segment, within half a second in which nothing else came; and its state then."""
    until = flight.finish + 400_000
    answers = [f for f in run.flights() if f.source == "h2" and f.connection == flight.connection and not f.forged]
    bits = [f.segment.ctl for f in answers if flight.finish <= f.start < until]
    return (bits[0] if bits else None, run.state("h2", until, flight.connection))


def fates(run):
    """CTL and SEQ of each forged segment on c1, and what came of it."""
    return [(flight.segment.ctl, flight.segment.seq, *answer(run, flight)) for flight in forged(run)]


@claim(BLIND)
@claim(BLIND, *LINUX)
def each(run):
    """what is its SEQ, what does `h2` send, and in which state is `h2` afterwards?"""
    assert fates(run) == [
        ("RST", 1999, None, "ESTABLISHED"),
        ("SYN", 2100, *CHALLENGED),
        ("RST", 2100, *CHALLENGED),
        ("RST", 2500, *BELIEVED),
    ]


@claim(BLIND)
def far_sees_nothing(run):
    """All that `far` ever sees of these connections is what it sends:"""
    assert [seq for _, seq, *_ in run.capture("far")] == [1999, 2100, 2100, 2500, 2000]


@claim(BLIND)
def learns_late(run):
    """In which state is `h1` on `c1` at 4.5 s? When does it learn that something is wrong, and how?"""
    assert run.state("h1", 4_500_000) == "ESTABLISHED"
    text, reset = [flight for flight in run.flights() if flight.connection == "c1"][-2:]
    assert (text.source, text.segment.len, reset.source, reset.segment.ctl) == ("h1", 200, "h2", "RST")
    assert run.causes() == {"h1": "reset by peer", "h2": "reset by peer"}


@claim(BLIND)
def octets(run):
    """How many of the 1700 octets of `c1` does the user of `h2` get?"""
    assert run.received()["h2"] == 1500


@claim(BLIND)
@claim(BLIND, *LINUX)
def survives(run):
    """Does `c2` survive the segment with the reserved bits?"""
    assert len(forged(run, "c2")) == 1
    assert run.causes("c2") == {"h1": "graceful", "h2": "graceful"}


@claim(BLIND)
def who(run):
    """Our table knows better, and names `far`."""
    assert run.release().first == "far"


@claim(BLIND)
def given_away(run):
    """What gives them away in an IP header, in this network?"""
    frames = [frame for _, frame in read_pcap(run.folder / "h2-eth0.pcap")]
    packets = [(frame[6:12], decode_ethernet(frame).payload) for frame in frames]
    senders = {(packet[8], mac) for mac, packet in packets if packet[12:16] == bytes([10, 0, 1, 1])}
    assert sorted(lived for lived, _ in senders) == [63, 64]
    assert len({mac for _, mac in senders}) == 2


@claim(BLIND, ANY_RST)
def any_reset(run):
    """Which of the four segments ends `c1` now, and how many octets does `h2` get?"""
    assert fates(run)[:3] == [
        ("RST", 1999, None, "ESTABLISHED"),
        ("SYN", 2100, *CHALLENGED),
        ("RST", 2100, *BELIEVED),
    ]
    assert run.received()["h2"] == 1000


@claim(BLIND, ANY_SYN)
def any_syn(run):
    """Now it is the SYN. Which end learns it at once this time, and why not in the run before?"""
    assert fates(run)[1] == ("SYN", 2100, "RST,ACK", "CLOSED")
    third = next(call for call in run.trace.of(Call) if (call.host, call.call) == ("h1", "send") and call.error)
    assert run.ended("h1") < third.t / 1e6
    assert run.received()["h2"] == 1000


@claim(BLIND, RESETS)
def harmful(run):
    """`h2` resets `c2`, for a segment that was right in all that matters. Which cause does each end give?"""
    assert run.causes("c2") == {"h1": "reset by peer", "h2": "invalid header"}


@claim(BLIND, OPTION)
def unreadable(run):
    """There is no telling where the next one begins; `h2` drops the segment, and `c2` is released gracefully."""
    assert [(dropped.host, dropped.reason) for dropped in run.trace.of(Dropped)] == [("h2", "option length")]
    assert run.causes("c2") == {"h1": "graceful", "h2": "graceful"}


@claim(BLIND, *FIREWALL)
def firewall(run):
    """Who ends it, and what do the two ends believe when the run ends?"""
    assert run.release("c2").first == "a middlebox"
    assert run.causes("c2") == {"h1": "reset by peer"}
    assert run.state("h2", 7_000_000, "c2") == "ESTABLISHED"
