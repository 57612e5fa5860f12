"""`drill --from`: the script of one end of a recorded connection passes, and a change in it is noticed."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from functools import cache

import faulty
import pytest
from drill_mutants import mutants, reason, survives
from scenarios import scenario, talk
from test_fabric import talk as routed
from typer.testing import CliRunner

from tcpclose import runs
from tcpclose.cli import app
from tcpclose.drill.calling import Unsayable
from tcpclose.drill.parser import parse
from tcpclose.drill.recorded import Recording
from tcpclose.drill.runner import run_text
from tcpclose.scenario import Scenario
from tcpclose.simulator import simulate
from tcpclose.topology import load_network
from tcpclose.trace.events import Received, Sent
from tcpclose.wire import PcapWriter, decode_ethernet, icmp, read_pcap

SHORT = """
[host.h1.tcp]
{0}
[host.h2.tcp]
{0}
"""
QUICK = SHORT.format('msl = "250ms"\nrto_min = "250ms"\nuser_timeout = "3s"')
OPEN = ("0s: h2 listen", "0s: h1 open", "h1 sees CONNECTED: h1 send 5kB")
LINGER = '\n[[step]]\nat = "1s"\nhost = "h1"\nconnection = "c1"\ncall = "close"\nlinger = "2s"\n'


def with_link(text: str) -> str:
    return f"{QUICK}\n[link.h1-s1]\n{text}\n"


#: Name -> scenario; each is told by both ends.
SCENARIOS = {
    "client closes first": talk(tables=QUICK),
    "server closes first": scenario(*OPEN, "1s: h2 close", "h1 sees EOF: h1 close", tables=QUICK),
    "both close at once": scenario(*OPEN, "1s: h1 close", "1s: h2 close", tables=QUICK),
    "closed with a FIN in answer to a FIN": scenario(
        *OPEN, "1s: h1 close", "h2 in CLOSE-WAIT: h2 send 3kB", "h2 sees EOF: h2 close", tables=QUICK
    ),
    "half-close": scenario(
        *OPEN, "1s: h1 close", "h2 sees EOF + 1s: h2 send 20kB", "h2 sees SENT + 1s: h2 close", tables=QUICK
    ),
    "abort": scenario(*OPEN, "1s: h1 abort", tables=QUICK),
    "refused": scenario("0s: h1 open", duration="5s"),
    "nobody answers": scenario("0s: silent h2", "0s: h1 open", tables=QUICK, duration="9s"),
    "given up before it was open": scenario("0s: silent h2", "0s: h1 open", "500ms: h1 close", duration="9s"),
    "the first FIN is lost": talk(tables=with_link('drop = "FIN from h1, first"')),
    "the last ACK is lost": talk(tables=with_link('drop = "ACK of FIN from h1, first"'), duration="9s"),
    "user timeout": scenario(*OPEN, "1s: silent h2", "2s: h1 send 5kB", tables=QUICK, duration="20s"),
    "keepalive": scenario(
        *OPEN,
        "2s: silent h2",
        tables=SHORT.format('keepalive = true\nkeepalive_idle = "2s"\nkeepalive_interval = "1s"\nkeepalive_count = 3'),
    ),
    "zero window": scenario(
        *("0s: h2 listen", "0s: h1 open", "h1 sees CONNECTED: h1 send 9kB"),
        *("5s: h2 receive 2kB", "9s: h2 receive 20kB", "12s: h1 close", "13s: h2 close"),
        tables='[host.h2]\nreceive = "manual"\n[host.h2.tcp]\nrcv_buffer = 4000\n',
    ),
    "linger": scenario(*OPEN, tables=QUICK + LINGER),
    "linger in vain": scenario(*OPEN, "900ms: silent h2", tables=QUICK + LINGER),
    "loss": talk(octets="100kB", tables=with_link('loss = "5%"'), seed=4),
    "disorder": talk(octets="100kB", tables=with_link('jitter = "5ms"\nduplicate = "5%"'), seed=4),
    "damage": talk(octets="100kB", tables=with_link('corrupt = "5%"'), seed=4),
    "IPv6": talk(tables=QUICK, ip_version=6),
    "no route behind a router": routed('at = "400ms", fault = "unreachable", router = "r1", to = "h2"'),
    "a narrow way": routed('at = "400ms", fault = "mtu", link = "r1-r2", mtu = 1000'),
}
SCENARIOS |= {name: faulty.SCENARIOS[name] for name in ("silent-in", "silent-both", "forged-rst", "forged-fin")}
for _profile in ("linux", "bsd"):
    _hosts = "".join(f'[host.{name}]\nprofile = "{_profile}"\n' for name in ("h1", "h2"))
    SCENARIOS[f"as {_profile}"] = talk(octets="100kB", tables=_hosts, duration="200s")
    SCENARIOS[f"as {_profile}, loss"] = talk(octets="100kB", tables=_hosts + '[link.h1-s1]\nloss = "5%"\n')
SCENARIOS |= {path.parent.name: Scenario.load(path) for path in sorted(runs.LABS.glob("*/scenario.toml"))}

#: Labs with an end, or more, that no script can tell, and why.
BEYOND_SCRIPTS = {
    "04-three-segments": "the user of a socket has no connection yet",
    "07-no-such-connection": "(crash|reboot) h[12] at",
    "09-blind-reset": "inject far at|a segment came with reserved bits",
    "10-no-resources": "limit h2 at",
    "12-read-a-capture": "(crash|reboot) h2 at",
}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory):
    @cache
    def recorded(name: str) -> Recording:
        folder = tmp_path_factory.mktemp("run")
        chosen = SCENARIOS.get(name) or UNSAYABLE[name][0]
        return Recording(chosen, simulate(chosen, load_network(chosen), captures=folder), folder)

    return recorded


def ends(recording: Recording) -> set[tuple[str, str]]:
    """Host and connection of each end that sent or received something."""
    segments = [event for event in recording.trace if isinstance(event, Sent | Received)]
    return {(event.host, str(event.connection)) for event in segments if event.host != "h3"}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_script_of_each_end_passes(record, name):
    recording = record(name)
    beyond = []
    for host, connection in sorted(ends(recording)):
        try:
            script = recording.script(host, connection)
        except Unsayable as error:
            beyond.append(str(error))
            continue
        verdict = run_text(script, "x")
        assert (verdict.outcome, verdict.message) == ("passed", ""), script
        assert not verdict.unknown
        sent = [event for event in recording.trace.of(Sent) if (event.host, event.connection) == (host, connection)]
        assert sum(" > " in line for line in script.splitlines()) == len(sent)
    assert bool(beyond) == (name in BEYOND_SCRIPTS)
    assert all(re.search(BEYOND_SCRIPTS[name], reason) for reason in beyond)


#: Ends in whose scripts changes are made.
CHANGED = [
    ("client closes first", "h1"),
    ("server closes first", "h2"),
    ("both close at once", "h1"),
    ("the last ACK is lost", "h1"),
    ("zero window", "h2"),
    ("user timeout", "h1"),
    ("keepalive", "h1"),
    ("abort", "h2"),
    ("as linux, loss", "h1"),
    ("as bsd, loss", "h2"),
]


def may_play_no_part(mutant) -> bool:
    """A setting that nothing came of, or what the peer said of text behind a gap."""
    return mutant.what == "numeral" or (mutant.what == "sack" and mutant.action.inbound)


@pytest.mark.parametrize(("name", "host"), CHANGED)
@pytest.mark.slow
def test_a_change_in_it_is_noticed(record, name, host):
    recording = record(name)
    script = parse(recording.script(host))
    profile = recording.scenario.settings(host).profile
    found = [mutant for mutant in mutants(script) if not reason(mutant) and not may_play_no_part(mutant)]
    some = random.Random(name).sample(found, min(len(found), 60))
    assert [str(mutant) for mutant in some if survives(mutant, profile)] == []


#: Name -> scenario, host, and why a script cannot say it.
UNSAYABLE = {
    "crash": (faulty.SCENARIOS["crash"], "h2", "crash h2 at 0.400 s: no script can do that to its host"),
    "pause": (faulty.SCENARIOS["pause"], "h2", "pause h2 at 0.400 s: no script can do that to its host"),
    "forger": (faulty.SCENARIOS["forged-rst"], "h3", "inject h3 at 0.280 s: no script can do that to its host"),
    "reserved bits": (
        faulty.SCENARIOS["wrong reserved bits, drop"],
        "h2",
        "at 0.300 s a segment came with reserved bits",
    ),
    "wrong offset": (faulty.SCENARIOS["wrong data offset, drop"], "h2", "at 0.300 s a packet was dropped: data offset"),
    "several": (SCENARIOS["demo"], "h1", "h1 had several connections; choose one: --connection graceful|refused|"),
    "nobody": (SCENARIOS["demo"], "h7", "h7 took no part in this run; these did: h1, h2"),
    "early text": (
        scenario("0s: h2 listen", "0s: h1 open", "10ms: h1 send 5kB", tables=QUICK),
        "h1",
        "send at 0.010 s: a socket takes no text before there is a connection",
    ),
    "early close": (
        scenario("0s: h2 listen", "0s: h1 open", "25ms: h2 close", tables=QUICK),
        "h2",
        "close at 0.025 s: the user of a socket has no connection yet, or no more",
    ),
    "half a second": (
        scenario(*OPEN, tables=LINGER.replace("2s", "500ms")),
        "h1",
        "close at 1.000 s: SO_LINGER counts whole seconds",
    ),
}


@pytest.mark.parametrize("name", UNSAYABLE)
def test_what_a_script_cannot_say_is_told(record, name):
    _, host, words = UNSAYABLE[name]
    with pytest.raises(Unsayable) as refused:
        record(name).script(host)
    assert words in str(refused.value)


@pytest.mark.parametrize("type_", [icmp.UNREACHABLE, icmp.SOURCE_QUENCH, icmp.TIME_EXCEEDED, icmp.PARAMETER_PROBLEM])
def test_every_error_that_a_capture_can_have_has_a_name_in_scripts(record, tmp_path, type_):
    """One that was about the SYN, in the capture of its sender."""
    recording = record("client closes first")
    (path,) = recording.folder.glob("h1-*.pcap")
    (at, syn), *_ = capture = list(read_pcap(path))
    packet = bytes(decode_ethernet(syn).payload)
    told = icmp.encode_icmp_error(type_, 1, "10.0.0.2", packet, ident=1)
    with PcapWriter(tmp_path / path.name) as writer:
        for time, frame in [*capture, (at + 1_000_000, syn[: -len(packet)] + told)]:
            writer.write(time, frame)
    script = replace(recording, folder=tmp_path).script("h1")
    assert "icmp " in script


def test_what_would_not_pass_is_no_script(record):
    """A capture that says otherwise than the trace: an option is gone."""
    recording = record("client closes first")
    longer = talk(tables=QUICK.replace('rto_min = "250ms"', 'rto_min = "250ms"\nmss = 500'))
    words = r"a script of this end would not pass, h1\.c1:7:1: option: expected mss 1460, got mss 500"
    with pytest.raises(Unsayable, match=words):
        Recording(longer, recording.trace, recording.folder).script("h1")


def test_a_capture_that_was_cut_short_is_named(record, tmp_path):
    recording = record("client closes first")
    (capture,) = recording.folder.glob("h1-*.pcap")
    (tmp_path / capture.name).write_bytes(capture.read_bytes()[:300])
    with pytest.raises(Unsayable, match=r"h1-eth0\.pcap cannot be read: truncated"):
        replace(recording, folder=tmp_path).script("h1")


def tcpclose(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.slow
def test_the_command_prints_it(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "RUNS", tmp_path)
    assert tcpclose("run", "demo", "--world", "sim", "--out", tmp_path / "one").exit_code == 0
    printed = tcpclose("drill", "--from", "one", "--host", "h2", "--connection", "graceful")
    assert printed.exit_code == 0
    (tmp_path / "h2.pkt").write_text(printed.stdout)
    again = tcpclose("drill", tmp_path / "h2.pkt")
    assert (again.exit_code, again.stdout) == (0, "1 passed, 0 failed, 0 skipped\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "drill: expected scripts or folders, or --from RUN --host NAME"),
        (("x.pkt", "--host", "h1"), "--host and --connection are for --from RUN"),
        (("x.pkt", "--from", "one", "--host", "h1"), "so x.pkt has no place there"),
        (("--from", "nowhere", "--host", "h1"), "there is no run 'nowhere', neither as a folder nor in"),
        (("--from", "one"), "--from RUN: expected --host NAME"),
        (("--from", "one", "--host", "h1", "--connection", "c7"), "h1 had no connection c7; it had c1"),
        (("--from", "half", "--host", "h1"), "half: the run is not complete (interrupted: its process was killed)"),
    ],
)
@pytest.mark.slow
def test_wrong_words_get_one_clear_message_and_status_2(tmp_path, monkeypatch, words, message):
    monkeypatch.setattr(runs, "RUNS", tmp_path)
    assert tcpclose("run", "01-four-way-close", "--world", "sim", "--out", tmp_path / "one").exit_code == 0
    (tmp_path / "half").mkdir()
    record = (tmp_path / "one" / "run.json").read_text()
    (tmp_path / "half" / "run.json").write_text(record.replace("complete", "running"))
    done = tcpclose("drill", *words)
    assert done.exit_code == 2
    assert message in done.output
