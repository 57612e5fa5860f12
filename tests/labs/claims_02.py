"""Lab 02, half-close."""

from __future__ import annotations

from claims import LINUX_CLIENT, LINUX_SERVER, claim, play_filled

from tcpclose.trace.events import Told

HALF_CLOSE = "02-half-close"
FORGOTTEN = "step.7.after=60s"
FULL = "host.h1.tcp.half_duplex_close=true"
LINUX_FULL = ("host.h1.stack=linux", "host.h1.tcp.msl=", "connection.c1.client_iss=", FULL)


def answers(run):
    """What belongs into the blanks of the figure, whose last two arrows have blanks for the control bits, too."""
    for place, flight in enumerate(run.closing()[2:], 4):
        yield from run.beside(flight, "seq", "ack", *(["ctl"] if place >= 8 else []))
    yield run.state("h1", run.trace.events[-1].t)


@claim(HALF_CLOSE)
def the_figure(run):
    """Fill the blanks."""
    play_filled(HALF_CLOSE, answers(run))


@claim(HALF_CLOSE)
def how_long(run):
    """For how long is `h1` in FIN-WAIT-2, and `h2` in CLOSE-WAIT?"""
    assert [run.stay("h1", "FIN-WAIT-2"), run.stay("h2", "CLOSE-WAIT")] == run.at(1.2, 1.2)


@claim(HALF_CLOSE)
def acknowledgments(run):
    """Segments 5, 7 and 9 of the figure come from an end that has closed. What do they have in common?"""
    sent = {(f.segment.seq, f.segment.ctl, f.segment.len) for f in run.closing()[1:] if f.source == "h1"}
    assert sent == {(1021, "ACK", 0)}


@claim(HALF_CLOSE)
def received(run):
    """at what time does each learn that it has them all?"""
    assert run.received() == {"h1": 20, "h2": 20}
    ends = [(told.host, told.t / 1e6) for told in run.trace.of(Told) if told.signal == "EOF"]
    assert [host for host, _ in ends] == ["h2", "h1"]
    assert [t for _, t in ends] == run.at(0.2, 1.42)


@claim(HALF_CLOSE)
@claim(HALF_CLOSE, *LINUX_SERVER)
def graceful(run):
    """Both ends give the cause "graceful"."""
    assert run.causes() == {"h1": "graceful", "h2": "graceful"}
    assert [run.release().duration / 1e6] == run.at(1.26)


@claim(HALF_CLOSE)
def two_numbers(run):
    """All that `h1` sent from its FIN on has but two sequence numbers; one of them is used again and again:"""
    numbers = [seq for port, seq, *_ in run.capture("h1") if port == 40001 and seq >= 1020]
    assert numbers == [1020, 1021, 1021, 1021]


@claim(HALF_CLOSE, "step.5.host=h1")
def one_more_name(run):
    """What does the call return, and what is on the wire?"""
    assert run.refusals() == [("h1", "send", "error: connection closing")]
    assert run.received() == {"h1": 10, "h2": 20}
    assert [f.segment.len for f in run.closing() if f.source == "h1"] == [0, 0, 0]


@claim(HALF_CLOSE, FORGOTTEN)
def forgotten(run):
    """When the run ends, after 5 seconds, `h1` is still in FIN-WAIT-2 and `h2` in CLOSE-WAIT."""
    end = 5_000_000
    assert [run.state("h1", end), run.state("h2", end)] == ["FIN-WAIT-2", "CLOSE-WAIT"]
    assert run.causes() == {}
    assert run.received() == {"h1": 20, "h2": 20}


@claim(HALF_CLOSE, FULL)
def same_beginning(run):
    """The release begins with the same two segments."""
    assert [(f.source, f.segment.seq, f.segment.ack, f.segment.ctl) for f in run.closing()][:2] == [
        ("h1", 1020, 5000, "FIN,ACK"),
        ("h2", 5000, 1021, "ACK"),
    ]


@claim(HALF_CLOSE, FULL)
@claim(HALF_CLOSE, *LINUX_FULL)
def answer_is_lost(run):
    """What happens to the answer, and which cause does each end give?"""
    assert run.causes() == {"h1": "unread data", "h2": "reset by peer"}
    assert run.received()["h1"] == 0


@claim(HALF_CLOSE, *LINUX_SERVER)
@claim(HALF_CLOSE, *LINUX_CLIENT)
def the_release_is_the_same(run):
    """The release is the same"""
    assert [(f.source, f.segment.ctl.removeprefix("PSH,"), f.seq, f.ack, f.segment.len) for f in run.closing()] == [
        ("h1", "FIN,ACK", 21, 1, 0),
        ("h2", "ACK", 1, 22, 0),
        ("h2", "ACK", 1, 22, 10),
        ("h1", "ACK", 22, 11, 0),
        ("h2", "ACK", 11, 22, 10),
        ("h1", "ACK", 22, 21, 0),
        ("h2", "FIN,ACK", 21, 22, 0),
        ("h1", "ACK", 22, 22, 0),
    ]


@claim(HALF_CLOSE, *LINUX_SERVER)
def later_than_ours(run):
    """the acknowledgment of the FIN comes later than ours did."""
    fin, acknowledgment, *_ = run.closing()
    assert 30_000 < acknowledgment.start - fin.finish < 500_000


@claim(HALF_CLOSE, *LINUX_CLIENT)
def linux_waits(run):
    """It waits in FIN-WAIT-2 as our stack does, and receives all 20 octets."""
    assert [run.stay("h1", "FIN-WAIT-2")] == run.at(1.2)
    assert run.received() == {"h1": 20, "h2": 20}


@claim(HALF_CLOSE, *LINUX_CLIENT)
def run_ends_first(run):
    """Its TIME-WAIT lasts 60 seconds, so the run ends first."""
    assert run.release().states["h1"][-1] == "TIME-WAIT"


@claim(HALF_CLOSE, *LINUX_FULL)
def other_form(run):
    """no ACK, and the sequence number that `h2` has just acknowledged."""
    reset = run.closing()[-1]
    assert (reset.source, reset.segment.ctl, reset.seq) == ("h1", "RST", 22)
    assert reset.arrived is not None
