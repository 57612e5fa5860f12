"""Lab 05, TIME-WAIT."""

from __future__ import annotations

from hashlib import sha256

from claims import LINUX_CLIENT, claim, play_filled

from tcpclose.protocol.segment import seq_diff
from tcpclose.scenario import Scenario, payload
from tcpclose.trace.events import Change, Disturbed, Text, Told
from tcpclose.trace.releases import releases

TIME_WAIT = "05-time-wait"
LATER = "step.6.at=5s"
NONE = "host.h1.tcp.msl=10ms"
OLD_TEXT = ("link.h1-s1.drop=", NONE, "link.h2-s1.hold=segment from h1 with data for 3600ms, first")
SERVER_WAITS = (
    *("link.h1-s1.drop=", "step.4.host=h2", "step.5.host=h1", "step.5.when=h1.c1 sees EOF"),
    "step.6.at=2500ms",
)
NEW_NUMBER = (*SERVER_WAITS, "connection.c1.client_iss=")
LINUX_WAITS = (*NEW_NUMBER, "host.h2.stack=linux", "host.h2.tcp=", "connection.c1.server_iss=")


def second(run):
    """The states of each end in the second incarnation."""
    return next((release.states for release in releases(run.trace) if release.incarnation == 2), {})


def connected(run, host):
    """When the user of a host was told so."""
    told = run.trace.of(Told)
    return [event.t / 1e6 for event in told if (event.host, event.signal) == (host, "CONNECTED")]


def answers(run):
    """What belongs into the blanks of the figure."""
    for flight in run.closing()[2:]:
        yield from run.beside(flight, "seq", "ack", "ctl")
    yield run.state("h1", run.trace.events[-1].t)


@claim(TIME_WAIT)
def the_figure(run):
    """Fill the blanks."""
    play_filled(TIME_WAIT, answers(run))


@claim(TIME_WAIT)
def how_long(run):
    """For how long is `h2` in LAST-ACK, and `h1` in TIME-WAIT?"""
    assert [run.stay("h2", "LAST-ACK"), run.stay("h1", "TIME-WAIT")] == run.at(1.2, 3, patience=2)


@claim(TIME_WAIT)
def refused(run):
    """At 4 s, what does the TCP of `h1` answer to its user?"""
    assert run.refusals() == [("h1", "open", "error: connection already exists")]
    assert len([flight for flight in run.flights() if "SYN" in flight.controls]) == 2


@claim(TIME_WAIT)
def without_the_loss(run):
    """Had the acknowledgment not been lost, what would it have answered?"""
    entered = next(change.t for change in run.trace.of(Change) if change.new == "TIME-WAIT")
    assert entered + 2_000_000 < 4_000_000


@claim(TIME_WAIT)
def graceful(run):
    """Both ends give the cause "graceful"."""
    assert run.causes() == {"h1": "graceful", "h2": "graceful"}


@claim(TIME_WAIT)
@claim(TIME_WAIT, *LINUX_CLIENT)
def once_more(run):
    """the FIN of `h2` twice."""
    fins = [flight for flight in run.closing() if flight.source == "h2" and "FIN" in flight.controls]
    acks = [
        flight for flight in run.closing() if flight.source == "h1" and flight.ack == 2 and not flight.retransmission
    ]
    assert [flight.retransmission for flight in fins] == [False, True]
    assert [flight.arrived is not None for flight in acks] == [False, True]


@claim(TIME_WAIT)
def told_like_any_other(run):
    """The row that keeps `h1` in TIME-WAIT, and starts the timer anew, is told like any other:"""
    rows = [(change.old, change.event) for change in run.trace.of(Change) if change.new == "TIME-WAIT"]
    assert rows == [("FIN-WAIT-2", "FIN"), ("TIME-WAIT", "FIN")]


@claim(TIME_WAIT)
def sent_and_got(run):
    """as `h1` sent it and as `h2` got it:"""
    sent, got = ([ack for port, _, ack, *_ in run.capture(host) if port == 40001].count(5001) for host in ("h1", "h2"))
    assert (sent, got) == (2, 1)


@claim(TIME_WAIT, LATER)
def later(run):
    """The second connection is opened, and "Pay Bob 99." arrives."""
    assert second(run) == {"h1": ("SYN-SENT", "ESTABLISHED"), "h2": ("SYN-RECEIVED", "ESTABLISHED")}
    assert run.received()["h2"] == 24
    assert same_texts(run)


def same_texts(run):
    """What h1 sent is what h2 got."""
    (sent,) = (text.sent_sha256 for text in run.trace.of(Text) if text.host == "h1")
    (received,) = (text.received_sha256 for text in run.trace.of(Text) if text.host == "h2")
    return sent == received


@claim(TIME_WAIT, NONE)
def forgotten(run):
    """What does it answer, and what is the user of `h2` told, although all text had arrived, and every FIN?"""
    assert [(source, arrived) for source, _, arrived in run.resets()] == [("h1", True)]
    assert run.causes() == {"h1": "graceful", "h2": "reset by peer"}
    eofs = [told.host for told in run.trace.of(Told) if told.signal == "EOF"]
    assert sorted(eofs) == ["h1", "h2"]


@claim(TIME_WAIT, *OLD_TEXT)
def sent_again_and_arrive(run):
    """They are sent again and arrive, the release is graceful, `h1` hardly waits"""
    assert run.causes() == {"h1": "graceful", "h2": "graceful"}
    assert [run.stay("h1", "TIME-WAIT")] == run.at(0.02)
    assert len(second(run)) == 2


@claim(TIME_WAIT, *OLD_TEXT)
def into_the_new_connection(run):
    """the old segment comes out of the network, into the new connection"""
    (held,) = run.trace.of(Disturbed)
    first, again, new = (flight for flight in run.flights() if flight.segment.len)
    assert (first.segment.seq, first.segment.id) == (held.seq, held.id)
    assert first.segment.seq == again.segment.seq == new.segment.seq == 1000
    assert [run.state("h2", first.finish - 1)] == ["SYN-RECEIVED"]
    assert again.finish < first.finish < new.finish


@claim(TIME_WAIT, *OLD_TEXT)
def ann_and_bob(run):
    """The user of `h2` gets 24 octets, and the user of `h1` is told that all 24 are acknowledged."""
    assert run.received()["h2"] == 24
    assert len([told for told in run.trace.of(Told) if (told.host, told.signal) == ("h1", "SENT")]) == 2


@claim(TIME_WAIT, *OLD_TEXT)
def paid_twice(run):
    """Ann is paid twice, and Bob never:"""
    texts = [payload(step) for step in Scenario.load(run.folder / "scenario.toml").step if step.call == "send"]
    assert texts == [b"Pay Ann 10.\n", b"Pay Bob 99.\n"]
    assert not same_texts(run)
    (received,) = (text.received_sha256 for text in run.trace.of(Text) if text.host == "h2")
    assert received == sha256(2 * texts[0]).hexdigest()


@claim(TIME_WAIT, *NEW_NUMBER)
@claim(TIME_WAIT, *LINUX_WAITS)
def ends_at_once(run):
    """TIME-WAIT ends at once, and the text arrives."""
    assert run.stay("h2", "TIME-WAIT") < 1.5
    assert run.received()["h2"] == 24
    assert second(run) == {"h1": ("SYN-SENT", "ESTABLISHED"), "h2": ("SYN-RECEIVED", "ESTABLISHED")}
    assert [connected(run, "h1")[1]] == run.at(2.7, patience=3)


@claim(TIME_WAIT, *SERVER_WAITS)
def assassinated(run):
    """It answers with an ACK, and `h1`, which has no such connection, with a RST: that ends TIME-WAIT too."""
    syn, ack, reset = [flight for flight in run.flights() if flight.start > 2_400_000][:3]
    assert [f.segment.ctl for f in (syn, ack, reset)] == ["SYN", "ACK", "RST"]
    (end,) = (i for i in run.trace.of(Change) if (i.host, i.old, i.new) == ("h2", "TIME-WAIT", "CLOSED"))
    assert (end.event, end.t >= reset.finish) == ("RST", True)


@claim(TIME_WAIT, *SERVER_WAITS)
def a_second_later(run):
    """The connection is opened by the SYN that is sent again, a second later."""
    syns = [flight.start / 1e6 for flight in run.flights() if flight.segment.ctl == "SYN"]
    assert syns == run.at(0.1, 2.5, 3.5, patience=3)
    assert len(second(run)) == 2


@claim(TIME_WAIT, *LINUX_CLIENT)
def linux_refuses(run):
    """it refuses the second OPEN with an error of its own: EADDRNOTAVAIL."""
    assert run.refusals() == [("h1", "open", "EADDRNOTAVAIL")]
    assert run.release().states["h1"][-1] == "TIME-WAIT"


@claim(TIME_WAIT, *LINUX_WAITS)
def beyond(run):
    """Which initial sequence number does it choose itself, compared with its last one?"""
    old, new = (flight.segment.seq for flight in run.flights() if flight.segment.ctl == "SYN,ACK")
    assert seq_diff(new, old) > 1
