"""What is read from a trace: flights, intervals, faults, releases."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from tale import ADDRESSES, DELAY, ISS, Tale

from tcpclose.trace.events import Change, Received, SegmentEvent, Trace
from tcpclose.trace.flights import connections, flights, hosts
from tcpclose.trace.releases import first_releases, releases
from tcpclose.trace.spans import intervals, outages


def states(tale: Tale, host: str) -> list[str]:
    return [interval.state for interval in intervals(tale.trace())[host, "c1"]]


def test_a_flight_joins_what_was_sent_with_what_arrived() -> None:
    syn, answer, ack = flights(Tale().open().trace())
    assert (syn.source, syn.target, syn.start, syn.finish) == ("h1", "h2", 0, DELAY)
    assert (syn.seq, syn.ack) == (0, None)
    assert (answer.seq, answer.ack, answer.controls) == (0, 1, {"SYN", "ACK"})
    assert (ack.seq, ack.ack) == (1, 1)
    assert [flight.changes for flight in (syn, answer, ack)] == [True, True, True]
    assert syn.fired[0].new == "SYN-RECEIVED"


def test_a_change_seen_from_outside_was_fired_by_nothing_we_know() -> None:
    """Linux tells its state when asked, which may be some segments later."""
    seen = Trace(replace(event, rfc="") if isinstance(event, Change) else event for event in Tale().open().trace())
    assert not any(flight.fired for flight in flights(seen))
    assert [interval.state for interval in intervals(seen)["h2", "c1"]] == ["SYN-RECEIVED", "ESTABLISHED"]


def test_a_loss_ends_a_flight() -> None:
    flight = flights(Tale().send("h1", "SYN", lost="down").trace())[0]
    assert flight.arrived is None
    assert flight.lost is not None
    assert flight.lost.reason == "down"
    assert flight.target == ADDRESSES["h2"].partition(":")[0]  # h2 has shown nothing of itself


def test_a_flight_that_the_end_of_the_trace_cuts_off_has_no_fate() -> None:
    trace = Trace(
        event for event in Tale().open().trace() if not (event.t == 3 * DELAY and isinstance(event, Received))
    )
    last = flights(trace)[-1]
    assert (last.arrived, last.lost, last.finish) == (None, None, last.start)


def test_a_copy_made_on_the_way_is_a_flight_but_no_retransmission() -> None:
    trace = Tale().open().trace()
    arrival = trace.of(Received)[0]
    copied = Trace([*trace, replace(arrival, t=arrival.t + 5)])
    first, second = (flight for flight in flights(copied) if flight.segment.ctl == "SYN")
    assert first.sent is second.sent
    assert second.finish == first.finish + 5
    assert not second.retransmission


def test_an_identification_may_come_again() -> None:
    """It has 16 bits, and Linux sends some segments with 0."""
    tale = Tale().open().text(2)
    trace = Trace(replace(event, id=0) if isinstance(event, SegmentEvent) else event for event in tale.trace())
    assert all(flight.finish == flight.start + DELAY for flight in flights(trace))


def test_retransmissions_are_what_that_end_had_sent_before() -> None:
    tale = Tale().open()
    tale.send("h1", "ACK", 1, 1, 500, lost="loss").send("h1", "ACK", 501, 1, 500).send("h2", "ACK", 1, 1)
    tale.send("h1", "ACK", 1, 1, 500).send("h1", "ACK", 1001, 1).send("h1", "ACK", 501, 1, 900)
    assert [f.retransmission for f in flights(tale.trace())[3:]] == [False, False, False, True, False, True]


def test_retransmissions_are_found_where_numbers_wrap() -> None:
    tale = Tale().open().send("h2", "ACK", 1, 1, 1000).send("h2", "ACK", 1001, 1, 1000).send("h2", "FIN,ACK", 2001, 1)
    tale.send("h2", "FIN,ACK", 2001, 1)
    assert ISS["h2"] + 1000 > 2**32
    assert [(f.seq, f.retransmission) for f in flights(tale.trace())[3:]] == [
        (1, False),
        (1001, False),
        (2001, False),
        (2001, True),
    ]


def test_a_new_syn_begins_new_numbers() -> None:
    trace = Tale().open().trace()
    again = [
        replace(event, t=event.t + 10**6, seq=event.seq + 7) if isinstance(event, SegmentEvent) else event
        for event in trace
        if isinstance(event, SegmentEvent) and event.ctl == "SYN"
    ]
    last = flights(Trace([*trace, *again]))[-1]
    assert (last.seq, last.retransmission) == (0, False)


def test_without_a_syn_numbers_count_from_the_first_seen() -> None:
    tale = Tale().send("h1", "ACK", 500, 900, 10).send("h2", "ACK", 900, 510)
    assert [(flight.seq, flight.ack) for flight in flights(tale.trace())] == [(0, 0), (0, 10)]


def test_segments_of_no_connection_belong_to_the_one_that_used_their_sockets_last() -> None:
    tale = Tale().open().send("h2", "RST", 1, owned=False)
    stray = Tale("other").send("h3", "SYN", to="h1", owned=False)
    assert [flight.connection for flight in flights(tale.trace(stray))].count("c1") == 4
    assert [f.connection for f in flights(stray.trace())] == [None]


def test_a_host_that_traces_only_its_calls_is_named_too() -> None:
    """A kernel's TCP shows us its sockets, not its segments."""
    tale = Tale().open()
    trace = Trace(e for e in tale.call("h2", "close").trace() if getattr(e, "host", "h2") == "h1" or e.kind == "call")
    assert hosts(trace) == {"10.0.0.1": "h1", "10.0.0.2": "h2"}
    syn, answer, ack = flights(trace)
    assert (syn.target, syn.arrived) == ("h2", None)
    assert (answer.source, answer.sent, answer.finish) == ("h2", None, 2 * DELAY)
    assert ack.sent is not None


def test_intervals_follow_each_other() -> None:
    tale = Tale().open().close()
    passed = intervals(tale.trace())["h1", "c1"]
    expected = ["SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED"]
    assert [interval.state for interval in passed] == expected
    assert all(one.end == two.start for one, two in pairwise(passed))
    assert passed[0].previous == "CLOSED"
    assert passed[4].length == DELAY + 1_000_000
    assert passed[-1].end == tale.now


def test_a_state_that_one_segment_passes_through_is_not_shown() -> None:
    tale = Tale().open().become("h1", "FIN-WAIT-1").send("h2", "FIN,ACK", 1, 2)
    tale.become("h1", "FIN-WAIT-2").become("h1", "TIME-WAIT")
    assert states(tale, "h1")[-2:] == ["FIN-WAIT-1", "TIME-WAIT"]
    assert intervals(tale.trace())["h1", "c1"][-1].previous == "FIN-WAIT-1"


def test_a_state_that_the_user_leaves_at_once_is_shown() -> None:
    tale = Tale().open().send("h1", "FIN,ACK", 1, 1).become("h2", "CLOSE-WAIT")
    tale.call("h2", "close").become("h2", "LAST-ACK")
    assert states(tale, "h2")[-2:] == ["CLOSE-WAIT", "LAST-ACK"]


def test_outages_are_joined_with_what_ends_them() -> None:
    tale = Tale().fault("link_down", "h1-s1").wait(5).fault("silent", "h2").wait(5).fault("link_up", "h1-s1")
    tale.wait(5).fault("link_down", "h1-s1").wait(5).fault("limit", "h2")
    found = [(outage.name, outage.start, outage.end) for outage in outages(tale.trace())]
    assert found == [
        ("link h1-s1 down", 0, 10),
        ("h2 silent", 5, None),
        ("link h1-s1 down", 15, None),
        ("h2 limit", 20, 20),
    ]


def test_what_ends_a_fault_ends_all_of_its_kind() -> None:
    tale = Tale().fault("silent", "h2").wait(5).fault("silent", "h2").wait(5).fault("speaking", "h2")
    assert [(outage.start, outage.end) for outage in outages(tale.trace())] == [(0, 10), (5, 10)]


def test_a_graceful_release() -> None:
    release = releases(Tale().open().close().trace())[0]
    assert (release.connection, release.first, release.action, release.how) == ("c1", "h1", "close", "graceful")
    assert release.causes == {"h1": "graceful", "h2": "graceful"}
    assert release.states["h2"] == ("SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK", "CLOSED")
    assert release.duration == 4 * DELAY + 100_000  # until h2 is CLOSED: h1 was in TIME-WAIT before that
    assert not release.open


def reopened() -> Tale:
    """h2 was reset in the first incarnation; the second is aborted by h1."""
    tale = Tale().open().wait(5).call("h2", "abort").become("h2", "CLOSED", "ABORT")
    tale.end("h2", "aborted").send("h2", "RST,ACK", 1, 1).become("h1", "CLOSED", "RST").end("h1", "reset by peer")
    tale.states["h2"] = "LISTEN"
    tale.wait(1_000_000).call("h1", "open", error="error: there is no route")  # this begins nothing
    tale.wait(1_000_000).open().wait(5).call("h1", "abort")
    return tale.become("h1", "CLOSED", "ABORT").end("h1", "aborted")


def test_who_refuses_a_later_incarnation_is_known_by_name() -> None:
    """h2 never had the connection: no call and no change of its own tells of which incarnation its RST is."""
    tale = Tale().call("h2", "listen")
    for _ in range(2):
        tale.call("h1", "open").become("h1", "SYN-SENT").send("h1", "SYN").send("h2", "RST,ACK", 0, 1)
        tale.become("h1", "CLOSED", "RST").end("h1", "refused").wait(1_000_000)
    assert [(r.incarnation, r.first, r.action) for r in releases(tale.trace())] == [(1, "h2", "RST"), (2, "h2", "RST")]


def test_each_incarnation_has_a_release_of_its_own() -> None:
    trace = reopened().trace()
    first, second = releases(trace)
    assert [(r.connection, r.incarnation, r.first) for r in (first, second)] == [("c1", 1, "h2"), ("c1", 2, "h1")]
    assert first.causes == {"h2": "aborted", "h1": "reset by peer"}
    assert second.causes == {"h1": "aborted"}
    assert (first.open, first.duration, second.open) == (False, DELAY, True)
    assert first.states["h2"] == ("SYN-RECEIVED", "ESTABLISHED", "CLOSED")
    assert second.states["h2"] == ("SYN-RECEIVED", "ESTABLISHED")
    assert first_releases(trace) == {"c1": first}
    assert [flight for flight in flights(trace) if flight.retransmission] == []  # though its numbers begin as before


def test_time_wait_counts_as_ended() -> None:
    tale = Tale().open().close()
    trace = Trace(event for event in tale.trace() if event.t < 1_000_000)
    release = releases(trace)[0]
    assert (release.how, release.open) == ("graceful", False)
    assert release.causes == {"h1": "graceful", "h2": "graceful"}


def test_a_refused_connection() -> None:
    tale = Tale().call("h1", "open").become("h1", "SYN-SENT").send("h1", "SYN").send("h2", "RST,ACK", 0, 1, owned=False)
    release = releases(tale.become("h1", "CLOSED", "RST").end("h1", "refused").trace())[0]
    assert (release.first, release.action, release.how, release.duration) == ("h2", "RST", "abrupt", None)
    assert release.states == {"h1": ("SYN-SENT", "CLOSED")}


def test_an_abort() -> None:
    tale = Tale().open().wait(5).call("h2", "abort").become("h2", "CLOSED", "ABORT").end("h2", "aborted")
    tale.send("h2", "RST,ACK", 1, 1).become("h1", "CLOSED", "RST").end("h1", "reset by peer")
    release = releases(tale.trace())[0]
    assert (release.first, release.action, release.how, release.duration) == ("h2", "abort", "abrupt", DELAY)


def half_open() -> Tale:
    """h1 gives up on a link that is down; h2 goes on believing."""
    tale = Tale().open().fault("link_down", "h1-s1").wait(1000).send("h1", "ACK", 1, 1, 100, lost="down")
    tale.wait(3_000_000).become("h1", "CLOSED", "USER_TIMEOUT").end("h1", "user timeout")
    tale.send("h1", "RST,ACK", 101, 1, lost="down").wait(500_000).fault("link_up", "h1-s1")
    return tale


def test_a_timeout_whose_peer_learns_of_it_later() -> None:
    tale = half_open()
    began = tale.now - 500_000
    tale.wait(1_500_000).call("h2", "send", 10).send("h2", "ACK", 1, 1, 10).send("h1", "RST", 1, owned=False)
    tale.become("h2", "CLOSED", "RST").end("h2", "reset by peer")
    release = releases(tale.trace())[0]
    assert (release.first, release.action, release.began, release.how) == ("h1", "timeout", began, "abrupt")
    assert release.duration == 2_000_000 + 2 * DELAY
    assert release.causes == {"h1": "user timeout", "h2": "reset by peer"}


def test_an_end_that_never_ends() -> None:
    release = releases(half_open().trace())[0]
    assert (release.open, release.how, release.duration) == (True, "abrupt", None)
    assert release.causes == {"h1": "user timeout"}


def test_a_connection_that_nobody_releases() -> None:
    release = releases(Tale().open().text(2).trace())[0]
    assert (release.first, release.action, release.how, release.duration) == (None, None, None, None)
    assert release.open


def test_a_rst_that_answers_an_old_duplicate_releases_nothing() -> None:
    """RFC 9293, figure 8."""
    tale = Tale().become("h2", "SYN-RECEIVED").send("h2", "SYN,ACK", 0, 91).send("h1", "RST", 91)
    tale.become("h2", "LISTEN")
    tale.open().close()
    assert (releases(tale.trace())[0].action, releases(tale.trace())[0].first) == ("close", "h1")


@pytest.mark.parametrize("error", [None, "error: connection closing"])
def test_a_call_that_the_tcp_refuses_releases_nothing(error: str | None) -> None:
    tale = Tale().open().call("h2", "close", error=error).wait(10).call("h1", "close")
    assert releases(tale.trace())[0].first == ("h1" if error else "h2")


def test_nothing_is_read_from_nothing() -> None:
    assert not flights(Trace())
    assert not intervals(Trace())
    assert not releases(Trace())
    assert not outages(Trace())
    assert connections(Tale().open().trace(Tale("c2", 5).open())) == ["c1", "c2"]
