"""The simulator: virtual time, the same octets for the same seed, and the faults of a link."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from mininet.topo import SingleSwitchTopo
from scenarios import scenario, talk

from tcpclose.links import Line, LinkSettings, link_random
from tcpclose.protocol.config import PROFILES
from tcpclose.protocol.segment import SYN, seq_add, seq_diff
from tcpclose.runs import LABS
from tcpclose.scenario import Scenario, ScenarioError
from tcpclose.simulator import simulate
from tcpclose.simulator.simulator import _Agenda, _Frame
from tcpclose.timeline import Timeline
from tcpclose.topology import load_network, read_topo
from tcpclose.trace.events import (
    Call,
    Dropped,
    End,
    FaultTaken,
    Lost,
    Received,
    Sent,
    Text,
    Told,
    Trace,
    Variables,
    to_json,
)
from tcpclose.trace.flights import flights
from tcpclose.trace.releases import releases
from tcpclose.trace.spans import intervals
from tcpclose.wire import decode_tcp, read_pcap

DEMO = LABS / "demo" / "scenario.toml"

#: h1 in a hurry, so that runs are short.
HURRY = """
[host.h1.tcp]
msl = "500ms"
user_timeout = "2s"
rto_min = "200ms"
[link.h1-s1]
loss = "{loss}"
"""


def hurried(*more, seed=1, loss="0%", octets="20kB", duration="60s", tables=""):
    """h1 sends and closes; more steps and tables."""
    return talk(*more, octets=octets, tables=HURRY.format(loss=loss) + tables, seed=seed, duration=duration)


def trace_of(scenario, **options) -> Trace:
    return simulate(scenario, load_network(scenario), **options)


def lines(trace):
    return [to_json(event) for event in trace]


def test_one_seed_gives_the_same_octets_in_another_process(tmp_path):
    code = "import sys; from pathlib import Path; from tcpclose.runs import *\n"
    code += "from tcpclose.topology import load_network\n"
    code += "s = Scenario.load(sys.argv[1]); f = Path(sys.argv[2]); f.mkdir(); execute(s, load_network(s), 'sim', f)"
    files = ("trace.jsonl", "scenario.toml", "h1-eth0.pcap", "h2-eth0.pcap")
    runs = []
    for name, hash_seed in (("one", "1"), ("two", "2")):
        command = [sys.executable, "-c", code, str(DEMO), str(tmp_path / name)]
        subprocess.run(command, check=True, env={"PYTHONHASHSEED": hash_seed})
        runs.append([(tmp_path / name / file).read_bytes() for file in files])
    assert runs[0] == runs[1]
    assert len(runs[0][0].splitlines()) > 150


def test_another_seed_draws_other_numbers_and_other_losses():
    one, two = (trace_of(hurried(seed=seed, loss="10%")) for seed in (1, 2))
    assert one.of(Sent)[0].seq != two.of(Sent)[0].seq
    assert [lost.t for lost in one.of(Lost)] != [lost.t for lost in two.of(Lost)]


@pytest.mark.parametrize("seed", range(5))
def test_loss_delays_but_loses_nothing(seed):
    trace = trace_of(hurried(seed=seed, loss="10%", octets="100kB"))
    assert {lost.reason for lost in trace.of(Lost)} == {"loss"}
    texts = {text.host: text for text in trace.of(Text)}
    assert texts["h2"].received == texts["h1"].sent == 100_000
    assert texts["h2"].received_sha256 == texts["h1"].sent_sha256
    assert {end.cause for end in trace.of(End)} == {"graceful"}


def test_every_segment_arrives_or_is_lost_exactly_once():
    trace = trace_of(hurried(loss="20%"))
    sent = sorted((event.src, event.id) for event in trace.of(Sent))
    gone = sorted((event.src, event.id) for event in [*trace.of(Received), *trace.of(Lost)])
    assert sent == gone
    assert len(set(sent)) == len(sent)


def test_a_fault_triggered_by_a_state_comes_before_the_segment_of_that_moment():
    trace = trace_of(hurried("h1 in FIN-WAIT-1: link_down h1-s1"))
    fault = trace.of(FaultTaken)[0]
    fin = next(event for event in trace.of(Sent) if "FIN" in event.ctl)
    assert fin.t == fault.t
    assert not [event for event in trace.of(Received) if "FIN" in event.ctl]
    assert next(lost for lost in trace.of(Lost) if lost.id == fin.id).reason == "down"
    assert [(end.host, end.cause) for end in trace.of(End)] == [("h1", "user timeout")]


def test_a_cut_loses_what_is_under_way_and_a_restored_link_carries_again():
    trace = trace_of(hurried("45ms: link_down h1-s1", "600ms: link_up h1-s1"))
    down = trace.of(FaultTaken)[0].t
    assert [lost for lost in trace.of(Lost) if lost.t == down]
    assert {end.cause for end in trace.of(End)} == {"graceful"}


def test_a_silent_host_hears_and_is_not_heard():
    trace = trace_of(hurried("h1 sees CONNECTED: silent h2"))
    begun = trace.of(FaultTaken)[0].t
    assert [event for event in trace.of(Received) if event.host == "h2" and event.len]
    # What had left h2 before arrives; of what it sends later, nothing does.
    assert not [event for event in trace.of(Received) if event.host == "h1" and event.t > begun + 20_000]
    assert {lost.reason for lost in trace.of(Lost)} == {"silent"}
    assert next((end.host, end.cause) for end in trace.of(End)) == ("h1", "user timeout")


def test_the_hard_end_ends_it():
    trace = trace_of(hurried(octets="1MB", duration="100ms"))
    assert max(event.t for event in trace) <= 100_000
    (release,) = releases(trace)
    assert release.open


def test_calls_that_the_tcp_refuses_are_told_and_the_run_goes_on():
    last = trace_of(hurried("h1 sees GRACEFUL: h1 close")).of(Call)[-1]
    assert (last.call, last.error) == ("close", "error: connection does not exist")


def test_a_user_who_reads_by_hand_holds_up_the_sender():
    scenario = hurried(tables='[host.h2]\nreceive = "manual"\n[host.h2.tcp]\nrcv_buffer = 4000\n', duration="5s")
    trace = trace_of(scenario)
    assert sum(int(told.detail) for told in trace.of(Told) if told.signal == "TEXT") == 4000
    assert min(event.wnd for event in trace.of(Sent) if event.host == "h2") == 0
    assert not trace.of(End)


@pytest.mark.parametrize("one", PROFILES)
@pytest.mark.parametrize("other", PROFILES)
def test_profiles_understand_each_other_on_a_bad_link(one, other, tmp_path):
    """What they agreed upon is seen in the capture: options are on every segment or on none."""
    tables = f"""
        [host]
        h1 = {{ profile = "{one}", tcp = {{ msl = "500ms", rto_min = "200ms" }} }}
        h2 = {{ profile = "{other}" }}
        [link.h1-s1]
        loss = "3%"
    """
    trace = trace_of(talk(octets="300kB", tables=tables, seed=3, duration="300s"), captures=tmp_path)
    assert [event.cause for event in trace.of(End)] == ["graceful"] * 2
    assert sum(event.len for event in trace.of(Sent) if event.host == "h1") >= 300_000
    packets = [decode_tcp(octets[14:]) for _, octets in read_pcap(tmp_path / "h1-eth0.pcap")]
    segments = [packet.datagram.segment for packet in packets]
    _, syn = next(iter(read_pcap(tmp_path / "h1-eth0.pcap")))
    after_mss = {"rfc9293": b"", "linux": b"\4\2\x08\x0a", "bsd": b"\1\3\3\6"}  # the layout of each host is its own
    assert syn[14 + 20 + 20 + 4 :][:4] == after_mss[one]
    later = [segment for segment in segments if not segment.ctl & SYN]
    agreed = "rfc9293" not in (one, other)
    assert {segment.timestamps is not None for segment in later} == {agreed}
    assert any(segment.sack for segment in later) == agreed


@pytest.mark.parametrize("seed", range(3))
def test_the_variables_of_a_tcb_are_those_that_its_segments_carry(seed):
    """SEG.ACK and SEG.WND of what leaves are RCV.NXT and RCV.WND (3.10.7.4), whatever gets lost; SND.UNA follows the
    acknowledgments that arrive, and in TIME-WAIT our FIN is acknowledged.
    """
    trace = trace_of(hurried(loss="10%", seed=seed))
    now: dict[str, Variables] = {}
    acknowledged: dict[str, int] = {}
    for event in trace:
        match event:
            case Variables():
                now[event.host] = event
                assert event.snd_una == acknowledged.get(event.host, event.snd_una)
                assert seq_diff(event.snd_nxt, event.snd_una) >= 0
            case Sent() if "ACK" in event.ctl:
                assert (event.ack, event.wnd) == (now[event.host].rcv_nxt, now[event.host].rcv_wnd)
            case Received() if "ACK" in event.ctl:
                last = acknowledged.setdefault(event.host, event.ack)
                acknowledged[event.host] = max(last, event.ack, key=lambda ack: seq_diff(ack, last))
    fin = next(event for event in trace.of(Sent) if "FIN" in event.ctl and event.host == "h1")
    assert now["h1"].snd_una == seq_add(fin.seq, fin.len + 1)


def test_before_the_peers_syn_and_in_time_wait_some_variables_are_not_told():
    told = [event for event in trace_of(hurried()).of(Variables) if event.host == "h1"]
    assert [told[0].snd_wnd, told[0].rcv_nxt, told[0].rcv_wnd] == [None, None, None]  # SYN-SENT
    assert told[1].snd_wnd is not None
    assert (told[-1].snd_una, told[-1].snd_wnd) == (told[-1].snd_nxt, None)  # TIME-WAIT


def test_linux_is_refused():
    with pytest.raises(ScenarioError, match=r'h2\.stack = "linux": the simulator has no Linux kernel'):
        trace_of(hurried(tables='[host.h2]\nstack = "linux"\n'))


def test_captures_hold_what_each_host_sent_and_heard(tmp_path):
    trace = trace_of(hurried(loss="5%"), captures=tmp_path)
    for host in ("h1", "h2"):
        seen = [event for event in trace if isinstance(event, Sent | Received) and event.host == host]
        times = [time for time, _ in read_pcap(Path(tmp_path / f"{host}-eth0.pcap"))]
        assert times == [event.t * 1000 for event in seen]
    assert not trace.of(Dropped)


def test_nobody_is_asked_for_the_time_to_whom_nothing_happens(monkeypatch):
    """A run of many hosts must not be slower for those that stay silent."""
    scenario = talk()
    network = read_topo(SingleSwitchTopo(k=29, lopts={"delay": "10ms"}))
    asked: Counter[int] = Counter()
    next_due = Line.next_due

    def counted(line):
        asked[id(line)] += 1
        return next_due(line)

    monkeypatch.setattr(Line, "next_due", counted)
    simulate(scenario, network)
    assert len(asked) == 2 * 29
    assert sum(times > 1 for times in asked.values()) == 4  # both directions of both links that are used


def test_at_one_instant_it_goes_round():
    """Without delay two hosts may talk for long in one instant: others get their turn, and steps are taken."""
    first, second = (Line(LinkSettings(), link_random(1, "h1-s1", way), _Frame.damaged) for way in ("h1>s1", "s1>h1"))
    steps = Timeline(talk())
    agenda = _Agenda([first, second], [], steps)
    turns = []
    for _ in range(5):
        for line in (first, second):
            line.offer("a frame", 54, 0)
            agenda.stir(line)
        now, party = agenda.take()
        party.due(now)
        agenda.stir(party)
        turns.append(party)
    assert turns == [first, second, steps, first, second]
    assert now == 0


# ---- Routers

ROUTED = """
topology = "routed"
duration = "2s"
connection.c1 = { client = "h1", server = "h2", port = 80 }
step = [
    { at = "0s", host = "h2", call = "listen", port = 80 },
    { at = "0s", host = "h1", connection = "c1", call = "open" },
    { at = "0s", host = "h1", connection = "c1", call = "send", bytes = 3000 },
]
"""


def test_segments_pass_through_routers_and_leave_a_hop_behind_at_each(tmp_path):
    trace = trace_of(Scenario.parse(ROUTED), captures=tmp_path)
    assert [(event.t, event.ctl) for event in trace.of(Received)][:2] == [(30_000, "SYN"), (60_000, "SYN,ACK")]
    for name, ttl in (("h1-eth0", 64), ("r1-eth0", 64), ("r1-eth1", 63), ("r2-eth1", 62), ("h2-eth0", 62)):
        ttls = {frame[22] for _, frame in read_pcap(tmp_path / f"{name}.pcap") if frame[26:30] == b"\x0a\0\1\1"}
        assert ttls == {ttl}, name


def test_a_trace_goes_on_to_the_end_of_the_run():
    """So an end that is open is seen to stay so, and what was sent last and never arrived had time to arrive."""
    void = '[[step]]\nat = "1s"\nfault = "unreachable"\nrouter = "r1"\nto = "h2"\ncode = "silent"'
    steps = ("0s: h2 listen", "0s: h1 open", "2s: h1 abort")
    run = scenario(*steps, tables=void, topology="routed", duration="30s")
    trace = simulate(run, load_network(run))
    assert {text.t for text in trace.of(Text)} == {30_000_000}
    reset = flights(trace)[-1]
    assert (reset.segment.ctl, reset.vanished) == ("RST,ACK", True)
    assert intervals(trace)["h2", "c1"][-1].end == 30_000_000
