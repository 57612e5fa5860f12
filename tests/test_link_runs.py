"""What links do to a connection in the simulator, and what the trace, its readers and the chart say of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from scenarios import scenario

from tcpclose.charts.ladder import draw_ladder
from tcpclose.runs import complaints, delay
from tcpclose.scenario import Scenario
from tcpclose.simulator import simulate
from tcpclose.topology import load_network
from tcpclose.trace.events import Call, Disturbed, Dropped, End, Lost, Received, Sent, Text, Trace
from tcpclose.trace.flights import flights
from tcpclose.wire import Malformed, decode_ethernet, decode_tcp, read_pcap

TIMES = 'msl = "500ms", rto_min = "250ms"'


def talk(link: str) -> Scenario:
    """h1 sends and closes, h2 answers the end, over a link that does what `link` says."""
    return scenario(
        "0s: h2 listen",
        "100ms: h1 open",
        "h1 sees CONNECTED: h1 send 20kB",
        "h1 sees SENT: h1 close",
        "h2 sees EOF + 100ms: h2 close",
        tables=f"host.h1.tcp = {{ {TIMES} }}\nhost.h2.tcp = {{ {TIMES} }}\n[link.h1-s1]\n{link}",
        iss=(100, 300),
        duration="20s",
    )


def run(link: str, captures: Path | None = None) -> Trace:
    scenario = talk(link)
    return simulate(scenario, load_network(scenario), captures)


def test_a_fate_that_struck_nothing_is_told():
    link = 'drop = ["RST, first", "FIN from h2, first"]\nhold = "FIN from h2 for 1ms, 9th"\n'
    told = complaints(talk(link), run(link))
    assert told == [
        "link h1-s1: drop has struck no segment: RST, first",
        "link h1-s1: hold has struck no segment: FIN from h2 for 1ms, 9th",
    ]


def test_a_call_that_came_much_too_late_is_told():
    trace = run("")
    assert delay(talk(""), trace) is None
    lagging = Trace(replace(e, t=e.t + 250_000) if isinstance(e, Call) and e.call == "open" else e for e in trace)
    assert str(delay(talk(""), lagging)).startswith("step 2 happened 0.25 s late: this machine was too busy")


def test_what_links_did_survives_the_file(tmp_path):
    trace = run('corrupt = "FIN, first"\ndrop = "FIN, 2nd"\nloss = "5%"\nreorder = "20%"\nreorder_by = "1ms"')
    assert {event.reason for event in [*trace.of(Lost), *trace.of(Disturbed)]} >= {"corrupt", "fate", "reorder"}
    trace.save(tmp_path / "trace.jsonl")
    assert Trace.load(tmp_path / "trace.jsonl").events == trace.events


def test_the_lost_fin_is_sent_again_and_the_rule_is_in_the_trace():
    trace = run('drop = "FIN from h2, first"')
    (lost,) = trace.of(Lost)
    assert (lost.link, lost.reason, lost.rule, lost.ctl) == ("h1-s1", "fate", "FIN from h2, first", "FIN,ACK")
    assert [f.lost is not None for f in flights(trace) if f.source == "h2" and "FIN" in f.controls] == [True, False]
    assert {end.cause for end in trace.of(End)} == {"graceful"}


def test_without_its_acknowledgment_the_fin_is_sent_again():
    trace = run('drop = "ACK of FIN, first"')
    fins = [flight for flight in flights(trace) if flight.source == "h1" and "FIN" in flight.controls]
    assert [lost.ctl for lost in trace.of(Lost)] == ["ACK"]
    assert [fin.retransmission for fin in fins] == [False]  # the FIN of h2 acknowledges it as well, and in time
    fins = [
        flight
        for flight in flights(run('drop = "ACK of FIN, 2 times"'))
        if flight.source == "h1" and "FIN" in flight.controls
    ]
    assert [fin.retransmission for fin in fins] == [False, True]


def test_a_fin_held_until_both_have_closed_crosses_the_other():
    trace = run('hold = "FIN for 200ms, 2 times"')
    held = trace.of(Disturbed)
    assert [(event.reason, event.rule) for event in held] == [("hold", "FIN for 200ms, 2 times")] * 2
    (way,) = [f for f in flights(trace) if f.source == "h1" and "FIN" in f.controls and not f.retransmission]
    assert way.finish - way.start == 220_000


def test_a_copy_arrives_twice_and_is_no_retransmission():
    trace = run('duplicate = "segment with data, 2 times"')
    assert [event.reason for event in trace.of(Disturbed)] == ["duplicate"] * 2
    arrivals = Counter((event.src, event.id) for event in trace.of(Received))
    assert sorted(arrivals.values())[-3:] == [1, 2, 2]
    assert not any(flight.retransmission for flight in flights(trace))
    assert [flight.segment.len for flight in flights(trace) if flight.copy] == [1460, 1460]
    assert len(flights(trace)) == len(trace.of(Sent)) + 2


def test_a_damaged_segment_is_dropped_by_its_receiver_and_was_damaged_in_the_capture(tmp_path):
    trace = run('corrupt = "segment with data, 3rd"', tmp_path)
    (bent,) = trace.of(Disturbed)
    assert (bent.reason, bent.link, bent.rule) == ("corrupt", "h1-s1", "segment with data, third")
    assert [(event.host, event.reason) for event in trace.of(Dropped)] == [("h2", "bad TCP checksum")]
    (flight,) = [flight for flight in flights(trace) if flight.lost]
    assert (flight.lost, flight.arrived) == (bent, None)
    wrong = []
    for _, frame in read_pcap(tmp_path / "h2-eth0.pcap"):
        try:
            decode_tcp(decode_ethernet(frame).payload)
        except Malformed as error:
            wrong.append((error.reason, int.from_bytes(frame[18:20], "big")))
    assert wrong == [("bad TCP checksum", bent.id)]
    assert trace.of(Text)[0].sent_sha256 == trace.of(Text)[1].received_sha256


def test_a_link_that_is_too_narrow_loses_full_segments():
    trace = run("mtu = 576")
    assert {(lost.reason, lost.len) for lost in trace.of(Lost)} == {("mtu", 1460)}
    assert not {lost.reason for lost in run("mtu = 1500").of(Lost)}


@pytest.mark.parametrize(
    "link",
    [
        'jitter = "5ms"\ndistribution = "normal"',
        'jitter = "5ms"\ndistribution = "pareto"',
        'burst = { p = "20%", r = "50%" }',
        'duplicate = "20%"',
        'reorder = "20%"\nreorder_by = "15ms"',
        'corrupt = "10%"',
        'loss = "3%"\nduplicate = "10%"\nreorder = "10%"\nreorder_by = "5ms"\ncorrupt = "3%"\njitter = "1ms"',
        'loss = "20%"\n[link.h1-s1.to.h1]\nloss = "0%"\ndelay = "50ms"',
    ],
)
def test_whatever_a_link_does_the_text_arrives_whole(link):
    trace = run(link)
    texts = {text.host: text for text in trace.of(Text)}
    assert texts["h2"].received == texts["h1"].sent == 20_000
    assert texts["h2"].received_sha256 == texts["h1"].sent_sha256
    assert len({len(trace), *map(len, (run(link), run(link)))}) == 1
    if "jitter" not in link:
        assert trace.of(Lost) or trace.of(Disturbed)


def test_one_direction_only():
    trace = run('[link.h1-s1.to.h1]\nloss = "30%"')
    assert {lost.src for lost in trace.of(Lost)} == {"10.0.0.2:80"}


def test_every_segment_sent_or_copied_arrives_or_is_lost_once():
    mix = 'loss = "5%"\nduplicate = "20%"\nreorder = "20%"\nreorder_by = "2ms"\n'
    trace = run(f'{mix}[link.h1-s1.to.h1]\ncorrupt = "10%"\n[link.h2-s1]\n{mix}[link.h2-s1.to.h2]\ncorrupt = "10%"\n')
    done = Counter(event.reason for event in trace.of(Disturbed))
    assert len(trace.of(Dropped)) == done["corrupt"] > 0
    ends = len(trace.of(Received)) + len(trace.of(Dropped)) + len(trace.of(Lost))
    assert ends == len(trace.of(Sent)) + done["duplicate"]


@pytest.mark.parametrize(
    "link", ['duplicate = "FIN"', 'reorder = "30%"\nreorder_by = "30ms"', 'corrupt = "FIN, first"']
)
def test_the_ladder_draws_it(link, tmp_path):
    trace = run(link)
    draw_ladder(trace, tmp_path / "ladder.png")
    assert (tmp_path / "ladder.png").stat().st_size > 10_000
