"""Linux as an endpoint: what it can be told, how its patience ends, and what is inferred of its states.

Every case is a run of its own in real time; all of them go side by side.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tcpclose import runs
from tcpclose.scenario import Scenario
from tcpclose.topology import load_network
from tcpclose.trace.events import Change, End, Received, Sent, Text
from tcpclose.wire import decode_ethernet, decode_tcp, read_pcap

pytestmark = [pytest.mark.testbed, pytest.mark.slow, pytest.mark.xdist_group("kernel")]

BASE = """
topology = "two_hosts"
duration = "{duration}"
[link.h1-s1]
delay = "{delay}"
[connection.c]
client = "h1"
server = "h2"
port = 80
[[step]]
at = "0s"
host = "h2"
call = "listen"
port = 80
[[step]]
at = "100ms"
host = "h1"
connection = "c"
call = "open"
"""
DOWN = '[[step]]\nat = "{at}"\nfault = "link_down"\nlink = "h1-s1"\n'
CALL = '[[step]]\nat = "{at}"\nhost = "{host}"\nconnection = "c"\ncall = "{call}"\n'
LINUX = '[host.{host}]\nstack = "linux"\n'


def call(host, call, at="1s"):
    return CALL.format(host=host, call=call, at=at)


def down(at="500ms"):
    return DOWN.format(at=at)


def linux(*settings, host="h2"):
    return LINUX.format(host=host) + "".join(f"{setting}\n" for setting in settings)


SEND = call("h2", "send") + 'text = "hello"\n'

#: What Linux, at h2 unless it says otherwise, is told; what happens; how long.
CASES = {
    "simultaneous": (linux() + linux(host="h1") + call("h1", "close") + call("h2", "close"), "3s"),
    "user timeout": (linux('tcp.user_timeout = "1s"') + down() + SEND, "5s"),
    "retries": (linux("sysctl.tcp_retries2 = 2") + down() + SEND, "6s"),
    "SYN retries": (linux("tcp.syn_r2 = 1", host="h1") + down("50ms"), "5s"),
    "orphan retries": (linux("sysctl.tcp_orphan_retries = 1", "tcp.half_duplex_close = true")
                       + down() + call("h2", "close"), "5s"),
    "keepalive": (linux("tcp.keepalive = true", 'tcp.keepalive_idle = "1s"', 'tcp.keepalive_interval = "1s"',
                        "tcp.keepalive_count = 1") + down(), "5s"),
    "FIN-WAIT-2": (linux("tcp.half_duplex_close = true", 'tcp.fin_wait_2_timeout = "1s"') + call("h2", "close"), "4s"),
    "unread": (linux('receive = "manual"', "tcp.half_duplex_close = true")
               + call("h1", "send", "500ms") + "bytes = 100\n" + call("h2", "close"), "3s"),
    "stuck": (linux() + call("h1", "close", "500ms") + down("700ms") + call("h2", "send") + "bytes = 30_000\n"
              + call("h2", "close", "1200ms"), "2s"),
    "linger": (linux() + down() + call("h2", "close") + 'linger = "1s"\n' + call("h1", "send", "1500ms")
               + "bytes = 5\n", "3s"),
}  # fmt: skip


@pytest.fixture(scope="module")
def ran(box, tmp_path_factory):
    """Case to (folder, trace)."""

    folders = {case: tmp_path_factory.mktemp(case.replace(" ", "-")) for case in CASES}

    def run(case):
        (steps, duration), folder = CASES[case], folders[case]
        delay = "200ms" if case == "simultaneous" else "10ms"  # so late may a busy machine be
        scenario = Scenario.parse(BASE.format(duration=duration, delay=delay) + steps)
        return folder, runs.execute(scenario, load_network(scenario), "mininet", folder)

    with ThreadPoolExecutor(len(CASES)) as pool:
        return dict(zip(CASES, pool.map(run, CASES), strict=True))


def passed(trace, host):
    return [change.new for change in trace.of(Change) if change.host == host and change.old != change.new]


@pytest.mark.parametrize(
    ("case", "host", "last", "event", "cause"),
    [
        ("user timeout", "h2", "ESTABLISHED", "USER_TIMEOUT", "user timeout"),
        ("retries", "h2", "ESTABLISHED", "RETRANSMISSION_LIMIT", "retransmission limit"),
        ("SYN retries", "h1", "SYN-SENT", "RETRANSMISSION_LIMIT", "retransmission limit"),
        ("orphan retries", "h2", "FIN-WAIT-1", "RETRANSMISSION_LIMIT", "retransmission limit"),
        ("keepalive", "h2", "ESTABLISHED", "KEEPALIVE_TIMEOUT", "keepalive failed"),
        ("FIN-WAIT-2", "h2", "FIN-WAIT-2", "FIN_WAIT_2_TIMEOUT", "linger expired"),
        ("unread", "h2", "ESTABLISHED", "CLOSE_UNREAD", "unread data"),
    ],
)
def test_how_the_patience_of_linux_ends(ran, case, host, last, event, cause):
    """What the kernel was told takes effect, and the trace says why the connection ended."""
    _, trace = ran[case]
    change = [change for change in trace.of(Change) if change.host == host][-1]
    assert (change.old, change.new, change.event) == (last, "CLOSED", event)
    assert change.source
    assert [end.cause for end in trace.of(End) if end.host == host] == [cause]


def test_what_linux_was_told_is_when_its_patience_ends(ran):
    ends = {case: trace.of(End)[0].t for case, (_, trace) in ran.items() if trace.of(End)}
    assert 2.0 <= ends["user timeout"] / 1e6 <= 3.5  # 1 s after the SEND, at the next retransmission
    assert 1.6 <= ends["retries"] / 1e6 <= 5.0
    assert 3.0 <= ends["SYN retries"] / 1e6 <= 4.5  # 1 s and 2 s
    assert 2.0 <= ends["keepalive"] / 1e6 <= 3.5  # 1 s idle, 1 s for the answer
    assert 2.0 <= ends["FIN-WAIT-2"] / 1e6 <= 3.0


def test_a_state_too_short_to_be_seen_is_inferred(ran):
    _, trace = ran["simultaneous"]
    for host in ("h1", "h2"):
        assert passed(trace, host)[1:] == ["ESTABLISHED", "FIN-WAIT-1", "CLOSING", "TIME-WAIT"]
    sources = {change.new: change.source for change in trace.of(Change) if change.host == "h2"}
    assert sources["CLOSING"].startswith("packets")
    assert sources["TIME-WAIT"] == "packets, sock_diag"  # and it is not over so soon
    assert sources["FIN-WAIT-1"].startswith("call")


def test_what_no_packet_shows_the_kernel_is_asked(ran):
    """Text that cannot leave holds up the FIN, and Linux is in LAST-ACK all the same."""
    _, trace = ran["stuck"]
    change = [change for change in trace.of(Change) if change.host == "h2"][-1]
    assert (change.new, change.event, change.source) == ("LAST-ACK", "FIN_SENT", "sock_diag")
    assert not [sent for sent in trace.of(Sent) if sent.host == "h2" and "FIN" in sent.ctl]


def test_packets_and_kernel_never_contradict_each_other(ran):
    for folder, trace in ran.values():
        scenario = Scenario.load(folder / "scenario.toml")
        assert not [words for words in runs.complaints(scenario, trace) if "by its kernel" in words]


def test_the_user_who_lingers_holds_up_nobody_else(ran):
    """`close` waits in the kernel for a second, while the run goes on."""
    _, trace = ran["linger"]
    assert passed(trace, "h2")[-1] == "FIN-WAIT-1"  # the FIN is sent again and again
    fins = [sent for sent in trace.of(Sent) if sent.host == "h2" and "FIN" in sent.ctl]
    assert len([fin for fin in fins if 1_000_000 < fin.t < 2_000_000]) >= 2
    assert {text.host for text in trace.of(Text)} == {"h1", "h2"}


@pytest.mark.parametrize("host", ["h1", "h2"])
@pytest.mark.parametrize("case", ["simultaneous", "user timeout"])
def test_traces_and_captures_have_one_clock(ran, case, host):
    """Both hosts Linux, and one of each: each segment of the trace is in the capture, in order, at the same time."""
    folder, trace = ran[case]
    zero = json.loads((folder / "run.json").read_text())["zero"]
    seen = {}
    for place, (time, octets) in enumerate(read_pcap(folder / f"{host}-eth0.pcap")):
        packet = decode_tcp(decode_ethernet(octets).payload)
        (src, dst, segment), ident = packet.datagram, packet.ident
        seen.setdefault((str(src), str(dst), ident, segment.seq, segment.ack), []).append((place, time // 1000 - zero))
    told = [event for event in trace if isinstance(event, Sent | Received) and event.host == host]
    assert len(told) >= 3
    places = []
    for event in told:
        place, time = seen[event.src, event.dst, event.id, event.seq, event.ack].pop(0)
        assert abs(event.t - time) < 100_000
        places.append((type(event), place))
    for kind in (Sent, Received):  # what is sent and what arrives at one moment may be written in either order
        assert [place for of, place in places if of is kind] == sorted(place for of, place in places if of is kind)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "sysctl.tcp_no_such_thing = 1",
            r"h2 failed: this kernel, or a namespace of it, has no net\.ipv4\.tcp_no_such_thing",
        ),
        ("sysctl.tcp_retries2 = -1", r"h2 failed: net\.ipv4\.tcp_retries2 = -1: Invalid argument"),
        ('tcp.rcv_buffer = "100MB"', r"h2 failed: SO_RCVBUF became \d+ instead of 200000000"),
    ],
)
def test_what_this_kernel_cannot_be_told_stops_the_run_before_its_start(box, tmp_path, setting, message):
    scenario = Scenario.parse(BASE.format(duration="5s", delay="10ms") + linux(setting))
    with pytest.raises(runs.RunError, match=message):
        runs.execute(scenario, load_network(scenario), "mininet", tmp_path)
    assert not (tmp_path / "trace.jsonl").exists()
