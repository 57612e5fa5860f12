"""From a trace to a figure: what is drawn can be read, and played, and is what happened."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from scenarios import scenario, talk
from tale import Tale, late, seen_from_outside

from tcpclose.protocol.fsm import State
from tcpclose.simulator import simulate
from tcpclose.topology import load_network
from tcpclose.trace.drawing import draw
from tcpclose.trace.events import Change, End, Received, Sent, Trace
from tcpclose.trace.figure import FigureError, Line, format_figure, parse_figure
from tcpclose.trace.playing import play_figure

LISTEN, OPEN = "0s: h2 listen", "0s: h1 open"


def traced(*steps: str, **options: object) -> Trace:
    run = scenario(*steps, **options)
    return simulate(run, load_network(run))


def figure_of(trace: Trace, **options) -> str:
    """The figure without its header and its columns."""
    return spaced(format_figure(draw(trace, **options)).partition("\n\n")[2])


def spaced(text: str) -> str:
    return re.sub(" +", " ", text)


# What is drawn


def test_a_run_of_the_simulator_is_figure_12():
    trace = traced(LISTEN, OPEN, "h1 sees CONNECTED + 1s: h1 close", "h2 sees EOF + 1s: h2 close", duration="300s")
    assert figure_of(trace) == spaced("""\
1.  CLOSED                                               LISTEN
2.  SYN-SENT    --> <SEQ=100><CTL=SYN>                   --> SYN-RECEIVED
3.  ESTABLISHED <-- <SEQ=300><ACK=101><CTL=SYN,ACK>      <-- SYN-RECEIVED
4.  ESTABLISHED --> <SEQ=101><ACK=301><CTL=ACK>          --> ESTABLISHED
5.  (Close)
    FIN-WAIT-1  --> <SEQ=101><ACK=301><CTL=FIN,ACK>      --> CLOSE-WAIT
6.  FIN-WAIT-2  <-- <SEQ=301><ACK=102><CTL=ACK>          <-- CLOSE-WAIT
7.                                                       (Close)
    TIME-WAIT   <-- <SEQ=301><ACK=102><CTL=FIN,ACK>      <-- LAST-ACK
8.  TIME-WAIT   --> <SEQ=102><ACK=302><CTL=ACK>          --> CLOSED
9.  (2 MSL)
    CLOSED                                               CLOSED
""")


def test_a_fault_of_the_network_is_told_unless_all_was_over_before():
    struck = talk("20s: link_down h1-s1", octets="100B", tables='[host.h1.tcp]\nmsl = "1s"\n', duration="30s")
    assert "down" not in format_figure(draw(simulate(struck, load_network(struck))))
    idle = scenario("0s: h2 listen", "0s: h1 open", "20s: link_down h1-s1", duration="30s")
    assert "(link h1-s1 down)" in format_figure(draw(simulate(idle, load_network(idle))))


def test_faults_are_notes_and_timers_are_named():
    trace = traced(
        LISTEN,
        OPEN,
        "h1 sees CONNECTED + 1s: silent h2",
        "h1 sees CONNECTED + 2s: h1 close",
        tables='[host.h1.tcp]\nuser_timeout = "2s"',
    )
    assert figure_of(trace).partition("5.")[2] == spaced("""\
                                                      (h2 silent)
6.  (Close)
    FIN-WAIT-1  --> <SEQ=101><ACK=301><CTL=FIN,ACK>      --> CLOSE-WAIT
7.  FIN-WAIT-1  XXX <SEQ=301><ACK=102><CTL=ACK>          <-- CLOSE-WAIT
8.  (RTO)
    FIN-WAIT-1  --> <SEQ=101><ACK=301><CTL=FIN,ACK>      --> CLOSE-WAIT
9.  FIN-WAIT-1  XXX <SEQ=301><ACK=102><CTL=ACK>          <-- CLOSE-WAIT
10. (User timeout)
    CLOSED      --> <SEQ=102><ACK=301><CTL=RST,ACK>      --> CLOSED
""")


@pytest.mark.parametrize(
    ("settings", "steps", "word"),
    [
        ("keepalive = true\nkeepalive_idle = '3s'", (), "(Keepalive)\n    ESTABLISHED --> <SEQ=100><ACK=301><CTL=ACK>"),
        ("delayed_ack = '40ms'", ("1s: h2 send 10",), "(Delayed ACK)\n    ESTABLISHED --> <SEQ=101><ACK=311><CTL=ACK>"),
        ("nagle = true", ("1s: h1 send 2000", "1s: silent h2"), "(RTO)\n    ESTABLISHED --> <SEQ=101>"),
    ],
)
def test_what_a_timer_sends_is_told_from_what_an_arrival_causes(settings, steps, word):
    trace = traced(LISTEN, OPEN, *steps, tables=f"[host.h1.tcp]\n{settings}", duration="8s")
    assert spaced(word) in figure_of(trace)


def test_an_answer_that_comes_late_is_sent_by_no_timer():
    steps = ("1s: h2 send 10", "2s: h1 send 3000", "4s: h1 close", "5s: h2 close")
    trace = traced(LISTEN, OPEN, *steps, tables="[host.h1.tcp]\ndelayed_ack = '40ms'", duration="300s")
    drawn = figure_of(late(trace))
    assert drawn == figure_of(trace)
    assert set(re.findall(r"\([A-Z0-9].*?\)", drawn)) == {"(Send 3000)", "(Close)", "(Delayed ACK)", "(2 MSL)"}


def test_of_a_kernel_only_such_timers_are_named_as_a_segment_shows():
    tables = "[host.h1.tcp]\nkeepalive = true\nkeepalive_idle = '3s'\ndelayed_ack = '40ms'"
    trace = traced(LISTEN, OPEN, "1s: h2 send 10", "5s: silent h2", "6s: h1 close", tables=tables, duration="8s")
    drawn = figure_of(trace)
    assert [drawn.count(word) for word in ("(Delayed ACK)", "(Keepalive)", "(RTO)")] == [1, 1, 1]
    for seen in (seen_from_outside(trace), late(seen_from_outside(trace))):
        assert figure_of(seen) == drawn.replace(" (Delayed ACK)\n", "")


def test_a_window_that_opens_in_vain_is_probed():
    tables = '[host.h2]\nreceive = "manual"\n[host.h2.tcp]\nrcv_buffer = 1000'
    trace = traced(LISTEN, OPEN, "1s: h1 send 1500", tables=tables, duration="4s")
    assert spaced("(RTO)\n    ESTABLISHED --> <SEQ=1101><ACK=301><CTL=ACK><DATA=1>") in figure_of(trace)


def test_text_that_is_one_segment_needs_no_send_and_a_reboot_is_a_call():
    tale = Tale().open()
    tale.call("h1", "send", 10).send("h1", "ACK", 1, 1, 10).send("h2", "ACK", 1, 11)
    tale.wait(50_000).call("h1", "send", 30).send("h1", "ACK", 11, 1, 20, stay=True).send("h1", "ACK", 31, 1, 10)
    tale.fault("reboot", "h1").wait(10_000).send("h2", "ACK", 1, 41).send("h1", "RST", 41)
    tale.become("h2", "CLOSED", "RST")
    drawn = figure_of(tale.trace())
    assert "(Send 10)" not in drawn
    assert spaced("(Send 30)\n    ESTABLISHED --> <SEQ=111><ACK=301><CTL=ACK><DATA=20> -->") in drawn
    assert spaced("(Reboot)\n    CLOSED                                                   ESTABLISHED\n") in drawn
    assert drawn.endswith(spaced("CLOSED      --> <SEQ=141><CTL=RST>                   --> CLOSED\n"))


def test_a_refused_call_and_a_listener_that_comes_late_are_seen():
    trace = traced("0s: h1 open", "10s: h1 send 10", "10s: h1 close", "11s: h1 close", "20s: h2 listen")
    drawn = figure_of(trace)
    assert spaced("CLOSED      <-- <SEQ=0><ACK=101><CTL=RST,ACK>        <-- CLOSED") in drawn
    assert spaced("(close: error: connection does not exist)") in drawn
    assert drawn.count("(Listen)") == 1
    assert drawn.endswith(spaced("CLOSED                                                   LISTEN\n"))


def test_a_copy_made_on_the_way_is_a_duplicate():
    tale = Tale().open()
    first = tale.trace()
    arrived = first.of(Received)[0]
    again = replace(arrived, t=tale.now)
    assert figure_of(Trace([*first, again])).endswith(
        spaced("5.  (duplicate) ... <SEQ=100><CTL=SYN>                   --> ESTABLISHED\n")
    )


def test_the_trace_of_a_kernel_tells_states_without_a_section():
    """Nobody knows why its states changed, only that they did."""
    tale = Tale().open()
    fields = {"old": "ESTABLISHED", "new": "CLOSED", "event": "observed"}
    seen = Change(t=tale.now + 500_000, host="h2", connection="c1", **fields)
    drawn = figure_of(Trace([*tale.trace(), seen]))
    assert drawn.splitlines()[-2].split() == ["5.", "(observed:", "CLOSED)"]
    assert drawn.splitlines()[-1].split() == ["6.", "ESTABLISHED", "CLOSED"]
    silent = figure_of(Trace([*tale.trace(), replace(seen, event="")]))  # as of a capture
    assert silent.splitlines()[-2].split() == ["5.", "(CLOSED)"]


def test_another_peer_first_other_numbers_and_a_later_beginning():
    trace = traced(LISTEN, OPEN, "1s: h1 close", "2s: h2 close", duration="10s")
    lines = draw(trace, peers=("h2", "h1"), since=1_500_000)
    assert lines[0].states == [("A", State.CLOSE_WAIT), ("B", State.FIN_WAIT_2)]
    assert lines[1].calls == [("A", "close")]
    arrow = draw(trace, absolute=True)[1].arrow
    assert arrow is not None
    assert arrow.segment.seq == trace.of(Sent)[0].seq


def test_what_cannot_be_drawn_is_said():
    trace = traced(LISTEN, OPEN)
    with pytest.raises(ValueError, match="no connection c2 in the trace; there are: c1"):
        draw(trace, "c2")
    with pytest.raises(ValueError, match="no connection  in the trace; there are: none"):
        draw(Trace())
    with pytest.raises(ValueError, match="c1 has not two ends but 1: h1"):
        draw(Tale().call("h1", "open").trace())


# Whatever happens

#: Some are a whole RTO after others, so that an ACK arrives in the moment in which the timer expires.
MOMENTS = st.integers(1, 24).map(lambda number: f"{number * 50}ms")
ACTIONS = st.sampled_from(["h1 close", "h2 close", "h1 abort", "h2 abort", "h1 send 10", "h2 send 1000", "h1 send 3kB"])
STEPS = st.lists(st.builds("{}: {}".format, MOMENTS, ACTIONS), max_size=6)


@settings(max_examples=100)
@given(STEPS, st.sampled_from(["0%", "10%", "30%"]), st.integers(0, 1000))
def test_a_figure_that_is_drawn_is_read_and_happens_again(steps, loss, seed):
    tables = (
        f"[host.h1]\nreceive = 'manual'\n[host.h2]\nreceive = 'manual'\n[link.h1-s1]\nloss = '{loss}'\ndelay = '30ms'"
    )
    trace = traced("0s: h2 listen", "0s: h1 open", *steps, tables=tables, seed=seed, duration="40s")
    lines = draw(trace)
    text = format_figure(lines)
    assert parse_figure(text) == lines
    assert draw(late(trace)) == lines
    event(f"{len(lines) // 10 * 10} lines or more")
    ended = {end.host: end.t for end in reversed(trace.of(End))}  # the first end of each
    if any(change.old == "LISTEN" and change.t > ended.get(change.host, change.t) for change in trace.of(Change)):
        return  # in a figure a passive OPEN is for one connection
    try:
        played = play_figure(text)
    except FigureError as error:
        raise AssertionError(f"{error}\n{text}") from error
    again = draw(played.trace, peers=("A", "B"), since=played.began)
    assert told(again) == told(lines)


def told(lines: list[Line]) -> list[object]:
    """What each peer does, and what reaches it, in order. Between the two the order may be free."""
    arrows = [line.arrow for line in lines if line.arrow]
    return [
        [call for line in lines for call in line.calls if call[0] == "A"],
        [call for line in lines for call in line.calls if call[0] == "B"],
        [[arrow.segment for arrow in arrows if arrow.sender == peer and arrow.sent] for peer in "AB"],
        [[arrow.segment for arrow in arrows if arrow.sender == peer and arrow.arrives] for peer in "AB"],
        [line.states for line in lines if line.states][-1],
    ]


def test_a_long_run_is_drawn():
    run = talk(octets="100kB", tables="[link.h1-s1]\nloss = '3%'", seed=2)
    lines = draw(simulate(run, load_network(run)))
    assert len(lines) > 150
    assert parse_figure(format_figure(lines)) == lines
