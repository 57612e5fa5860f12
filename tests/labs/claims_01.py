"""Lab 01, four-way close."""

from __future__ import annotations

from claims import LINUX_CLIENT, LINUX_SERVER, claim, play_filled

from tcpclose.trace.events import Change

FOUR_WAY = "01-four-way-close"
SWAPPED = ("step.4.host=h2", "step.5.host=h1", "step.5.when=h1.c1 sees EOF", "host.h2.tcp.msl=1s")


def answers(run):
    """What belongs into the blanks of lab 01's figure, line by line from left to right."""
    for flight in run.closing():
        yield from run.beside(flight, "seq", "ack", "ctl")
    yield run.state("h1", run.trace.events[-1].t)


@claim(FOUR_WAY)
def the_figure(run):
    """Fill the blanks."""
    given = list(answers(run))
    assert given[:5] == ["FIN-WAIT-1", 2000, 5000, "FIN,ACK", "CLOSE-WAIT"]
    assert given[5:10] == ["FIN-WAIT-2", 5000, 2001, "ACK", "CLOSE-WAIT"]
    play_filled(FOUR_WAY, given)


@claim(FOUR_WAY)
def who_waits(run):
    """Which host waits in TIME-WAIT, and for how long?"""
    assert [run.stay("h1", "TIME-WAIT"), run.stay("h2", "TIME-WAIT")] == run.at(2, 0)


@claim(FOUR_WAY)
def half_closed(run):
    """For how long is the connection half-closed, so that only `h2` may still send text?"""
    assert [run.stay("h2", "CLOSE-WAIT")] == run.at(0.5)


@claim(FOUR_WAY)
def order(run):
    """Put these in order: `h1` in CLOSED, `h2` in CLOSED, `h1` in TIME-WAIT, `h2` in LAST-ACK."""
    seen = [(change.host, change.new) for change in run.trace.of(Change)]
    places = [seen.index(end) for end in (("h2", "LAST-ACK"), ("h1", "TIME-WAIT"), ("h2", "CLOSED"), ("h1", "CLOSED"))]
    assert places == sorted(places)


@claim(FOUR_WAY)
@claim(FOUR_WAY, *LINUX_SERVER)
def graceful(run):
    """Both ends give the cause "graceful"."""
    assert run.causes() == {"h1": "graceful", "h2": "graceful"}
    assert run.release().first == "h1"


@claim(FOUR_WAY)
def time_to_release(run):
    """The time to release counts from the first CLOSE until both ends are done"""
    assert [run.release().duration / 1e6] == run.at(0.56)


@claim(FOUR_WAY)
def captures_agree(run):
    """Both captures hold the same nine segments, in the same order."""
    assert run.capture("h1") == run.capture("h2")
    assert len(run.capture("h1")) == 9


@claim(FOUR_WAY, "step.5.after=2s")
def slower(run):
    """The half-closed time grows to 2 seconds. Does TIME-WAIT?"""
    assert [run.stay("h2", "CLOSE-WAIT"), run.stay("h1", "TIME-WAIT")] == run.at(2, 2)


@claim(FOUR_WAY, "host.h1.tcp.msl=250ms")
def shorter(run):
    """TIME-WAIT lasts half a second now."""
    assert [run.stay("h1", "TIME-WAIT")] == run.at(0.5)


@claim(FOUR_WAY, *SWAPPED)
def swapped(run):
    """The same four segments, the other way round; now it is `h2` that waits."""
    sent = [(flight.source, flight.segment.ctl) for flight in run.closing()]
    assert sent == [("h2", "FIN,ACK"), ("h1", "ACK"), ("h1", "FIN,ACK"), ("h2", "ACK")]
    assert [run.stay("h1", "TIME-WAIT"), run.stay("h2", "TIME-WAIT")] == run.at(0, 2)


@claim(FOUR_WAY, *LINUX_SERVER)
@claim(FOUR_WAY, *LINUX_CLIENT)
def the_release_is_the_same(run):
    """The release is the same."""
    assert [(f.source, f.segment.ctl, f.seq, f.ack) for f in run.closing()] == [
        ("h1", "FIN,ACK", 1001, 1),
        ("h2", "ACK", 1, 1002),
        ("h2", "FIN,ACK", 1, 1002),
        ("h1", "ACK", 1002, 2),
    ]


@claim(FOUR_WAY, *LINUX_SERVER)
def linux_delays(run):
    """RFC 9293 allows half a second (3.8.6.3)."""
    fin, acknowledgment, *_ = run.closing()
    assert acknowledgment.start - fin.finish < 500_000


@claim(FOUR_WAY, *LINUX_SERVER)
def linux_is_no_other(run):
    """Linux passes the very states that our stack passed"""
    assert run.release().states["h2"] == ("SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK", "CLOSED")


@claim(FOUR_WAY, *LINUX_CLIENT)
def linux_waits(run):
    """its TIME-WAIT lasts 60 seconds, so the run ends first."""
    assert run.release().states["h1"][-1] == "TIME-WAIT"
