"""Faults that strike hosts, in the simulator; `testbed/test_faulty_worlds.py` has them on Mininet too."""

from __future__ import annotations

import pytest
from faulty import SCENARIOS, call, fault, scenario

from tcpclose.runs import complaints
from tcpclose.scenario import ScenarioError
from tcpclose.simulator import simulate
from tcpclose.topology import load_network
from tcpclose.trace.events import Call, Dropped, End, FaultTaken, Lost, Received, Sent, Text, Told, Trace
from tcpclose.trace.flights import flights
from tcpclose.trace.releases import releases
from tcpclose.trace.spans import intervals, outages
from tcpclose.wire import read_pcap


def trace_of(scenario_or_name, **options) -> Trace:
    scenario = SCENARIOS[scenario_or_name] if isinstance(scenario_or_name, str) else scenario_or_name
    return simulate(scenario, load_network(scenario), **options)


def struck(trace, number=0):
    return trace.of(FaultTaken)[number].t


def heard(trace, host, ctl="", since=0):
    return [event for event in trace.of(Received) if event.host == host and ctl in event.ctl and event.t >= since]


def causes(trace):
    return releases(trace)[0].causes


def test_a_scenario_with_faults_loads_as_it_was_written():
    for one in SCENARIOS.values():
        assert type(one).parse(one.dump()) == one


def test_every_fault_is_in_the_trace():
    for name, one in SCENARIOS.items():
        ordered = {step.fault.kind for step in one.step if step.fault}
        assert ordered <= {taken.fault for taken in trace_of(name).of(FaultTaken)}


# Silence


def test_who_is_silent_inwards_is_heard_and_hears_nothing():
    trace = trace_of("silent-in")
    begun, over = struck(trace), struck(trace, 1)
    assert not [event for event in heard(trace, "h2", since=begun) if event.t < over]
    assert {(lost.reason, lost.link) for lost in trace.of(Lost)} == {("silent", "h2-s1")}
    assert causes(trace) == {"h1": "graceful", "h2": "graceful"}


def test_what_is_on_its_way_to_one_who_falls_silent_inwards_is_lost_and_outwards_arrives():
    for way, fate in (("in", Lost), ("out", Received), ("both", Lost)):
        trace = trace_of(scenario(fault("390ms", "silent", host="h2", way=way), fault("391ms", "silent", host="h1")))
        fin = next(event for event in trace.of(Sent) if "FIN" in event.ctl)
        assert next(event for event in trace.of(fate) if event.id == fin.id and event.src == fin.src).t == 400_000


def test_two_silences_add_up_and_one_remedy_ends_both():
    steps = [fault("300ms", "silent", host="h2", way=way) for way in ("in", "out")]
    trace = trace_of(scenario(*steps, fault("600ms", "speaking", host="h2")))
    assert not [event for event in trace.of(Received) if 300_000 < event.t < 600_000]
    assert causes(trace) == {"h1": "graceful", "h2": "graceful"}


# Crash and reboot


def test_who_crashes_says_nothing_any_more_and_nothing_reaches_it():
    trace = trace_of("crash")
    crash = struck(trace)
    assert not [event for event in trace.of(Sent) if event.host == "h2" and event.t >= crash]
    assert not heard(trace, "h2", since=crash + 1)
    assert {lost.reason for lost in trace.of(Lost)} == {"off"}
    assert not [end for end in trace.of(End) if end.host == "h2"]


def test_what_the_users_of_a_host_had_is_told_when_it_crashes():
    trace = trace_of("crash")
    (text,) = [text for text in trace.of(Text) if text.host == "h2"]
    assert (text.t, text.sent, text.received) == (struck(trace), 0, 3000)
    sent = next(event for event in trace.of(Text) if event.host == "h1")
    assert text.received_sha256 == sent.sent_sha256


def test_each_life_of_a_host_tells_its_own_texts():
    again = call("800ms", "h1", "open", connection="c1"), call("1s", "h1", "send", connection="c1", bytes=700)
    boot = (
        fault("600ms", "reboot", host="h2"),
        call("700ms", "h2", "listen", port=80),
        fault("650ms", "crash", host="h1"),
    )
    trace = trace_of(scenario(*boot, fault("660ms", "reboot", host="h1"), *again, duration="1500ms"))
    texts = [(text.host, text.sent, text.received) for text in trace.of(Text)]
    assert texts == [("h2", 0, 3000), ("h1", 3000, 0), ("h1", 700, 0), ("h2", 0, 700)]


def test_a_call_on_a_host_that_is_off_fails():
    trace = trace_of("crash")
    assert [(call.host, call.call, call.error) for call in trace.of(Call) if call.error] == [
        ("h2", "close", "error: the host is off")
    ]
    assert complaints(SCENARIOS["crash"], trace) == ["h2 c1: close was refused: error: the host is off"]


def test_after_a_reboot_old_segments_are_answered_by_resets():
    trace = trace_of("reboot")
    reset = next(event for event in trace.of(Sent) if event.host == "h2" and event.ctl == "RST")
    fin = heard(trace, "h2", "FIN", struck(trace, 1) + 1)[0]
    assert (reset.t, reset.seq) == (fin.t, fin.ack)
    assert causes(trace) == {"h1": "reset by peer", "h2": "crashed"}


def test_after_a_reboot_nobody_listens_until_somebody_does():
    again = call("800ms", "h1", "open", connection="c2"), call("1s", "h2", "listen", port=80)
    again += (call("1100ms", "h1", "open", connection="c3"),)
    tables = "".join(f'[connection.{name}]\nclient = "h1"\nserver = "h2"\nport = 80\n' for name in ("c2", "c3"))
    trace = trace_of(scenario(fault("600ms", "reboot", host="h2"), *again, extra=tables))
    assert {release.connection: release.causes.get("h1") for release in releases(trace)}["c2"] == "refused"
    assert [told.connection for told in trace.of(Told) if told.signal == "CONNECTED" and told.host == "h2"] == [
        "c1",
        "c3",
    ]


def test_each_boot_has_initial_sequence_numbers_of_its_own():
    """The SYN of c1 is sent again and again; each boot of h2 answers with another number."""
    reboots = [step for at in ("400ms", "800ms") for step in (fault(at, "reboot", host="h2"), listen(at))]
    trace = trace_of(scenario(*reboots, fault("0s", "silent", host="h2"), without=("send", "close", "answer")))
    answers = {event.seq for event in trace.of(Sent) if event.host == "h2" and event.ctl == "SYN,ACK"}
    assert len(answers) == 3


def listen(at):
    return call(at, "h2", "listen", port=80)


def test_a_host_is_down_for_as_long_as_was_said():
    trace = trace_of("reboot-down")
    assert [(taken.fault, taken.t - struck(trace)) for taken in trace.of(FaultTaken)] == [
        ("crash", 0),
        ("reboot", 500_000),
    ]
    again = trace_of(scenario(fault("300ms", "crash", host="h2"), fault("1s", "reboot", host="h2", down="1s")))
    assert [(taken.fault, taken.t) for taken in again.of(FaultTaken)] == [("crash", 300_000), ("reboot", 2_000_000)]


def test_captures_of_a_dead_host_hold_nothing_more(tmp_path):
    trace = trace_of("crash", captures=tmp_path)
    times = [at for at, _ in read_pcap(tmp_path / "h2-eth0.pcap")]
    assert max(times) == struck(trace) * 1000


# Pause


def test_what_arrives_at_a_paused_host_waits():
    trace = trace_of("pause")
    paused, resumed = struck(trace), struck(trace, 1)
    assert not [event for event in trace if paused < event.t < resumed and getattr(event, "host", "") == "h2"]
    waited = heard(trace, "h2", "FIN", resumed)[0]
    assert waited.t == resumed
    assert next(event for event in trace.of(Sent) if event.id == waited.id and event.host == "h1").t < resumed - 20_000
    assert not trace.of(Lost)
    assert causes(trace) == {"h1": "graceful", "h2": "graceful"}


def test_a_paused_host_was_about_to_answer():
    """It fell asleep in CLOSE-WAIT, before the acknowledgment of the FIN left; that is the first thing it does."""
    trace = trace_of("pause")
    resumed = struck(trace, 1)
    then = [event for event in trace if event.t == resumed and getattr(event, "host", "") == "h2"]
    assert [event.kind for event in then[:3]] == ["send", "receive", "send"]


def test_the_calls_of_its_user_wait_and_timers_run_late():
    pauses = fault("250ms", "pause", host="h1"), fault("3s", "resume", host="h1")
    trace = trace_of(scenario(*pauses, call("1s", "h1", "abort", connection="c1"), without=("close", "answer")))
    late = [event.kind for event in trace if event.t == 3_000_000]
    assert [kind for kind in late if kind in ("fault", "receive", "call")] == ["fault", *["receive"] * 3, "call"]
    assert causes(trace) == {"h1": "aborted", "h2": "reset by peer"}
    dead = trace_of(scenario(*pauses, fault("251ms", "silent", host="h2"), without=("close", "answer")))
    assert next(end for end in dead.of(End)).t == 3_000_000  # the user timeout, at 1.74 s, was slept through


def test_a_fault_that_meets_a_host_at_work_after_its_pause_takes_the_rest_away():
    steps = [fault("h1.c1 sees SENT", "pause", host="h2"), fault("1s", "resume", host="h2")]
    crash = fault("h2.c1 in CLOSE-WAIT", "crash", host="h2")
    trace = trace_of(scenario(*steps, crash, call("900ms", "h2", "abort", connection="c1")))
    assert heard(trace, "h2", "FIN")[0].t == struck(trace, 2) == 1_000_000
    assert not [event for event in trace.of(Call) if event.call == "abort" and not event.error]


# Limits


def test_a_limit_of_memory_ends_who_holds_too_much():
    assert causes(trace_of("limit-memory")) == {"h1": "reset by peer", "h2": "no resources"}


def test_a_limit_of_connections_refuses_newcomers():
    ends = {release.connection: release.causes for release in releases(trace_of("limit-connections"))}
    assert ends == {"c1": {}, "c2": {"h1": "refused"}}


def test_users_who_stop_accepting_read_nothing():
    trace = trace_of(scenario(fault("0s", "limit", host="h2", backlog=1), without=("close", "answer")))
    assert [text.received for text in trace.of(Text) if text.host == "h2"] == [0]
    assert sum(int(told.detail) for told in trace.of(Told) if told.signal == "TEXT" and told.host == "h2") == 3000


# Forged segments


def test_who_knows_the_number_ends_the_connection_and_one_end_does_not_know():
    trace = trace_of("forged-rst")
    assert causes(trace) == {"h2": "reset by peer"}
    (flight,) = [flight for flight in flights(trace) if flight.forged]
    assert (flight.source, flight.target, flight.segment.src, flight.seq) == ("h3", "h2", "10.0.0.1:40001", 3001)


@pytest.mark.parametrize(
    ("validity", "challenges", "ended"), [("exact", 3, {}), ("window", 0, {"h2": "reset by peer"})]
)
def test_blind_guesses_are_challenged_or_one_hits_the_window(validity, challenges, ended):
    """RFC 5961, 3.2: of six guesses 1000 apart, three are in the window and none is exact."""
    blind = SCENARIOS["forged-rst-blind"]
    trace = trace_of(type(blind).parse(blind.dump(), [f"host.h2.tcp.reset_validity={validity}"]))
    at = struck(trace)
    acks = [event for event in trace.of(Sent) if event.host == "h2" and event.t > at and event.ctl == "ACK"]
    assert len(acks) == challenges
    assert causes(trace) == ended


def test_a_forged_syn_is_challenged_and_changes_nothing_in_the_numbers_of_the_chart():
    trace = trace_of("forged-syn")
    answer = next(flight for flight in flights(trace) if flight.start > struck(trace) and flight.source == "h2")
    assert (answer.segment.ctl, answer.seq, answer.ack) == ("ACK", 1, 3001)
    assert releases(trace)[0].open


def test_a_forged_fin_closes_one_direction():
    trace = trace_of("forged-fin")
    assert next(told.host for told in trace.of(Told) if told.signal == "EOF") == "h2"
    assert "CLOSE-WAIT" in releases(trace)[0].states["h2"]


@pytest.mark.parametrize("wrong", ["checksum", "data offset", "option length", "reserved bits"])
def test_invalid_headers_are_judged_as_from_a_wire(wrong):
    dropped = [event.reason for event in trace_of(f"wrong {wrong}, drop").of(Dropped)]
    assert dropped == ({"checksum": ["bad TCP checksum"], "reserved bits": []}.get(wrong, [wrong]))
    ends = causes(trace_of(f"wrong {wrong}, reset"))
    assert ends == ({} if wrong == "checksum" else {"h1": "reset by peer", "h2": "invalid header"})


def test_captures_show_what_was_forged_with_the_address_of_who_sent_it(tmp_path):
    trace_of("wrong checksum, drop", captures=tmp_path)
    frames = [frame for _, frame in read_pcap(tmp_path / "h2-eth0.pcap") if frame[6:12].hex(":")[-1] == "3"]
    assert [frame[26:30] for frame in frames] == [bytes([10, 0, 0, 1])]
    assert len(list(read_pcap(tmp_path / "h3-eth0.pcap"))) == 1


# What cannot be


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([fault("1s", "resume", host="h2")], "resume h2: it was not paused"),
        ([fault("1s", "pause", host="h2"), fault("2s", "pause", host="h2")], "pause h2: it is paused already"),
        ([fault("1s", "crash", host="h2"), fault("2s", "crash", host="h2")], "crash h2: it is off"),
        ([fault("1s", "crash", host="h2"), fault("2s", "pause", host="h2")], "pause h2: it is off"),
        ([fault("1s", "pause", host="h2"), fault("2s", "limit", host="h2", backlog=1)], "limit h2: it is paused"),
        (
            [fault("0s", "inject", host="h3", connection="c1", source="h1", ctl="RST", seq="next")],
            "inject on c1: seq = 'next' counts from what has not been seen yet",
        ),
    ],
)
def test_a_fault_that_cannot_be_applied_fails_the_run(steps, words):
    with pytest.raises(ScenarioError, match=words):
        trace_of(scenario(*steps))


def test_crash_of_a_paused_host_and_a_reboot_that_wakes_it():
    steps = [fault("1s", "pause", host="h2"), fault("2s", "reboot", host="h2"), fault("3s", "pause", host="h2")]
    taken = [
        event.fault for event in trace_of(scenario(*steps, call("4s", "h1", "close", connection="c1"))).of(FaultTaken)
    ]
    assert taken == ["pause", "crash", "reboot", "pause"]


# Readings


def test_states_end_where_their_host_crashes():
    states = intervals(trace_of("crash"))
    assert [(one.state, one.crashed) for one in states["h2", "c1"]][-2:] == [
        ("ESTABLISHED", False),
        ("CLOSE-WAIT", True),
    ]
    assert states["h2", "c1"][-1].end == 400_000
    assert not any(one.crashed for one in states["h1", "c1"])


def test_a_crash_may_be_what_released_a_connection():
    release = releases(trace_of("crash-at"))[0]
    assert (release.first, release.action, release.began, release.how) == ("h2", "crash", 600_000, "abrupt")
    assert release.causes == {"h2": "crashed"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("crash", ["h2 off"]),
        ("reboot", ["h2 rebooted"]),
        ("reboot-down", ["h2 off"]),
        ("pause", ["h2 paused"]),
        ("silent-in", ["h2 silent: hears nothing"]),
        ("limit-memory", ["h2 limit: max_memory 1000"]),
        ("forged-rst-blind", ["h3 inject: 6 x RST as h1 on c1"]),
        ("wrong checksum, drop", ["h3 inject: ACK as h1 on c1, wrong checksum"]),
    ],
)
def test_faults_have_names_for_people(name, expected):
    assert [outage.name for outage in outages(trace_of(name))] == expected
