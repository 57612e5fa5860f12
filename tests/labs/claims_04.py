"""Lab 04, three segments."""

from __future__ import annotations

from claims import claim, play_filled

from tcpclose.trace.events import Change, Told

SHORT = "04-three-segments"
SLOW, AT_ONCE, NO_NAGLE = "step.6.after=1s", "host.h2.tcp.delayed_fin_ack=false", "host.h1.tcp.nagle=false"
ABORTED = "step.8.call=abort"
LINUX_CLIENT = (
    *("host.h1.stack=linux", "host.h1.tcp="),
    *("connection.short.client_iss=", "connection.early.client_iss="),
)
LINUX_SERVER = (
    *("host.h2.stack=linux", "host.h2.tcp="),
    *("connection.short.server_iss=", "connection.early.server_iss="),
)


def release(run):
    """The segments of the first connection from the first FIN on."""
    flights = [flight for flight in run.flights() if flight.connection == "short"]
    first = next(place for place, flight in enumerate(flights) if "FIN" in flight.controls)
    return flights[first:]


def shape(run):
    """Sender, control bits and octets of text of each of them; PSH aside."""
    return [(f.source, ",".join(sorted(f.controls - {"PSH"})), f.segment.len) for f in release(run)]


THREE = [("h1", "ACK,FIN", 540), ("h2", "ACK,FIN", 0), ("h1", "ACK", 0)]
FOUR = [("h1", "ACK,FIN", 540), ("h2", "ACK", 0), ("h2", "ACK,FIN", 0), ("h1", "ACK", 0)]
ALONE = [("h1", "ACK,FIN", 0), *THREE[1:]]


@claim(SHORT)
def the_first_figure(run):
    """Fill the blanks."""
    given = []
    for place, flight in enumerate(release(run)):
        given += run.beside(flight, "seq", "ack", "ctl", *(["len"] if place == 0 else []))
    given[3] = given[3].replace("PSH,", "")
    play_filled(SHORT, [*given, run.state("h1", run.trace.events[-1].t, "short")])


@claim(SHORT)
def the_second_figure(run):
    """The second connection. Fill the blanks."""
    numbers = {"h1": [], "h2": []}
    for flight in run.flights():
        if flight.connection == "early":
            numbers[flight.source].append([flight.segment.seq, flight.segment.ack])
    _, ack, ack_of_fin, fin = numbers["h1"]
    states = {host: list(run.release("early").states[host]) for host in ("h1", "h2")}
    _, established, close_wait, last_ack, closed = states["h1"]
    _, fin_wait_1, fin_wait_2, time_wait, over = states["h2"]
    answers = [
        *[established, established, fin_wait_1],
        *[established, *ack, fin_wait_1, close_wait, fin_wait_1],
        *[close_wait, *ack_of_fin, fin_wait_2, last_ack, *fin, time_wait],
        *[closed, *numbers["h2"][-1], time_wait, over],
    ]
    play_filled(SHORT, answers, place=1)


@claim(SHORT)
def two_rows(run):
    """One segment led `h1` through two rows of the machine, at the same time, by two sections of the RFC:"""
    rows = [
        c for c in run.trace.of(Change) if (c.host, c.connection) == ("h1", "short") and c.old.startswith("FIN-WAIT")
    ]
    assert [(row.new, row.rfc) for row in rows] == [
        ("FIN-WAIT-2", "3.10.7.4 fifth"),
        ("TIME-WAIT", "3.10.7.4 eighth"),
    ]
    assert rows[0].t == rows[1].t


@claim(SHORT)
def not_at_all(run):
    """Which state of lab 01 does `h1` not stay in at all, and why?"""
    assert run.release("short").states["h1"][2:4] == ("FIN-WAIT-1", "TIME-WAIT")
    assert run.stay("h1", "FIN-WAIT-2", "short") == 0
    assert shape(run) == THREE


@claim(SHORT)
def never_connected(run):
    """Which state does `h2` never reach in the second connection? Was its user ever told that it is connected?"""
    assert "ESTABLISHED" not in run.release("early").states["h2"]
    told = [t for t in run.trace.of(Told) if (t.host, t.connection, t.signal) == ("h2", "early", "CONNECTED")]
    assert told == []


@claim(SHORT)
def who_waits(run):
    """Which host waits in TIME-WAIT, in each of the connections?"""
    waits = [run.stay(host, "TIME-WAIT", name) for name in ("short", "early") for host in ("h1", "h2")]
    assert waits == run.at(2, 0, 0, 2)


@claim(SHORT)
def all_graceful(run):
    """All four ends give the cause "graceful"."""
    assert [run.causes(name) for name in ("short", "early")] == [{"h1": "graceful", "h2": "graceful"}] * 2


@claim(SHORT)
def seven_segments(run):
    """the whole second connection, seven segments with the handshake:"""
    assert len([flight for flight in run.flights() if flight.connection == "early"]) == 7


@claim(SHORT, SLOW)
def leaves_alone(run):
    """leaves alone, 0.4 s after the first text has arrived, and the release has four segments again."""
    assert shape(run) == FOUR
    text = next(flight for flight in run.flights() if flight.segment.len)
    assert [(release(run)[1].start - text.finish) / 1e6] == run.at(0.4)


@claim(SHORT, AT_ONCE)
def at_once(run):
    """Four segments, by the same calls at the same times"""
    assert shape(run) == FOUR
    fin, acknowledgment, *_ = release(run)
    assert [(acknowledgment.start - fin.finish) / 1e6] == run.at(0)


@claim(SHORT, NO_NAGLE)
def alone(run):
    """All the text leaves at once, so the FIN has to travel alone. How many segments has the release?"""
    assert shape(run) == ALONE


@claim(SHORT, ABORTED)
def aborted(run):
    """Which cause does each end give, and was the user of `h1` told that it is connected?"""
    assert run.causes("early") == {"h1": "reset by peer", "h2": "aborted"}
    told = [t.signal for t in run.trace.of(Told) if (t.host, t.connection) == ("h1", "early")]
    assert told == ["CONNECTED"]


@claim(SHORT, ABORTED)
def second_reset(run):
    """Look for a second RST, and for what it answers."""
    *_, ack, second = [flight for flight in run.flights() if flight.connection == "early"]
    assert (ack.source, ack.segment.ctl) == ("h1", "ACK")
    assert (second.source, second.segment.ctl) == ("h2", "RST")
    assert len([flight for flight in run.flights() if "RST" in flight.controls]) == 2


@claim(SHORT, *LINUX_CLIENT)
def linux_alone(run):
    """So its FIN is alone, but the release still has three segments."""
    assert shape(run) == ALONE
    assert run.release("short").states["h1"][2:] == ("FIN-WAIT-1", "TIME-WAIT")


@claim(SHORT, *LINUX_SERVER)
def linux_refuses(run):
    """the CLOSE in SYN-RECEIVED is refused, and the second connection stays open."""
    assert [refusal[:2] for refusal in run.refusals()] == [("h2", "close")]
    assert run.release("early").states["h2"] == ("SYN-RECEIVED", "ESTABLISHED")
    assert run.causes("early") == {}
