"""Lab 03, simultaneous close."""

from __future__ import annotations

from claims import claim, play_filled

from tcpclose.trace.events import Change

CROSSING = "03-simultaneous-close"
LATER, TOO_LATE = "step.4.at=1600ms", "step.4.at=1800ms"
SLOW = "link.h1-s1.to.s1.delay=300ms"
LOST = "link.h1-s1.drop=FIN from h1, first"
ABORTS = ("step.3.call=abort", "step.4.call=abort")
LINUX = ("host.h2.stack=linux", "host.h2.tcp=", "connection.c1.server_iss=")

MIRRORED = ["FIN-WAIT-1", "CLOSING", "TIME-WAIT"]


def passed(run, host):
    """The states of an end from FIN-WAIT-1 or CLOSE-WAIT on, CLOSED left out."""
    states = run.release().states[host]
    return [state for state in states[states.index("ESTABLISHED") + 1 :] if state != "CLOSED"]


def answers(run):
    """What belongs into the blanks of the figure: who sends first is the same to it."""
    segments = [[f.segment.seq, f.segment.ack, f.segment.ctl] for f in sorted(run.closing(), key=rank)]
    fin_1, fin_2, ack_1, ack_2 = segments
    waits, closing, lingers = "FIN-WAIT-1", "CLOSING", "TIME-WAIT"
    yield from [waits, *fin_1, closing, *fin_2, waits]
    yield from [closing, *ack_1, waits, closing, *fin_1, closing]
    yield from [lingers, *ack_2, closing, lingers, *ack_1, lingers]
    over = [run.state(host, run.trace.events[-1].t) for host in ("h1", "h2")]
    yield from [over[0], lingers, *over]


def rank(flight):
    return "FIN" not in flight.controls, flight.source


@claim(CROSSING)
def the_figure(run):
    """Fill the blanks."""
    play_filled(CROSSING, answers(run))


@claim(CROSSING)
def how_many(run):
    """How many segments does the release take, and how many of them acknowledge a FIN?"""
    assert sorted((f.source, f.segment.ctl, f.seq, f.ack) for f in run.closing()) == [
        ("h1", "ACK", 2, 2),
        ("h1", "FIN,ACK", 1, 1),
        ("h2", "ACK", 2, 2),
        ("h2", "FIN,ACK", 1, 1),
    ]


@claim(CROSSING)
def both_wait(run):
    """Which host waits in TIME-WAIT, and for how long?"""
    assert [run.stay("h1", "TIME-WAIT"), run.stay("h2", "TIME-WAIT")] == run.at(2, 2)


@claim(CROSSING)
def closing(run):
    """For how long is each end in CLOSING?"""
    assert [run.stay("h1", "CLOSING"), run.stay("h2", "CLOSING")] == run.at(0.2, 0.2)


@claim(CROSSING)
@claim(CROSSING, SLOW)
def the_same_states(run):
    """The two ends passed the same states."""
    assert passed(run, "h1") == passed(run, "h2") == MIRRORED
    assert run.causes() == {"h1": "graceful", "h2": "graceful"}


@claim(CROSSING)
def eighth_before_fifth(run):
    """The step that examines the FIN, the eighth, comes before the one that examines its acknowledgment, the fifth"""
    for host in ("h1", "h2"):
        orders = [change.rfc for change in run.trace.of(Change) if change.host == host and change.t > 1_600_000]
        assert orders[:2] == ["3.10.7.4 eighth", "3.10.7.4 fifth"]


@claim(CROSSING)
def not_the_same_order(run):
    """each host sees its own FIN first."""
    fins = {host: [port for port, _, _, ctl, _ in run.capture(host) if ctl & 1] for host in ("h1", "h2")}
    assert fins == {"h1": [40001, 80], "h2": [80, 40001]}
    assert sorted(run.capture("h1")) == sorted(run.capture("h2"))


@claim(CROSSING, LATER)
def still_crossing(run):
    """The FINs still cross: neither user could know of the other's CLOSE."""
    assert passed(run, "h1") == passed(run, "h2") == MIRRORED
    first, second = (flight for flight in run.closing() if "FIN" in flight.controls)
    assert first.start < second.start < first.finish


@claim(CROSSING, TOO_LATE)
def too_late(run):
    """By then it has seen the FIN, and this is lab 01 again."""
    assert passed(run, "h1") == ["FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT"]
    assert passed(run, "h2") == ["CLOSE-WAIT", "LAST-ACK"]


@claim(CROSSING, SLOW)
def longer(run):
    """Which end is in CLOSING for longer, and how long is each?"""
    assert [run.stay("h1", "CLOSING"), run.stay("h2", "CLOSING")] == run.at(0.4, 0.2)


@claim(CROSSING, LOST)
def which_is_which(run):
    """One end goes through CLOSING, the other through FIN-WAIT-2."""
    assert passed(run, "h1") == MIRRORED
    assert passed(run, "h2") == ["FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT"]
    assert run.causes() == {"h1": "graceful", "h2": "graceful"}


@claim(CROSSING, LOST)
def sent_again(run):
    """the FIN of `h1` does not arrive until it is sent again."""
    fins = [flight for flight in run.closing() if flight.source == "h1" and "FIN" in flight.controls]
    assert [(f.retransmission, f.arrived is not None) for f in fins] == [(False, False), (True, True)]


@claim(CROSSING, *ABORTS)
def resets_cross(run):
    """Each end sends one RST, and neither is answered."""
    assert sorted(run.resets()) == [("h1", 1000, True), ("h2", 5000, True)]
    assert len(run.closing()) == 2
    assert run.causes() == {"h1": "aborted", "h2": "aborted"}


@claim(CROSSING, *LINUX)
def linux_closing(run):
    """Linux has the state CLOSING too, and passes it."""
    assert passed(run, "h1") == passed(run, "h2") == MIRRORED


@claim(CROSSING, *LINUX)
def linux_waits(run):
    """Its TIME-WAIT lasts 60 seconds, so the run ends first."""
    assert run.release().states["h2"][-1] == "TIME-WAIT"
