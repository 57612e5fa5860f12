"""What a terminal shows: the ladder, figures, and a run while it goes on."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console
from tale import Tale
from test_charts import CUT_OFF, DRAWN, ODD, SIX
from test_house import ROOT
from typer.testing import CliRunner

from tcpclose.cli import app
from tcpclose.protocol.fsm import State
from tcpclose.runs import LABS
from tcpclose.scenario import Scenario
from tcpclose.simulator import simulate
from tcpclose.terminal.ladder import LEAST, TIMES, ladders
from tcpclose.terminal.live import SEGMENTS, View
from tcpclose.topology import load_network
from tcpclose.trace.events import FaultTaken, Received
from tcpclose.trace.figure import parse_figure
from tcpclose.trace.flights import flights
from tcpclose.trace.releases import first_releases

DEMO = LABS / "demo" / "scenario.toml"


def printed(trace, width=80, plain=False) -> list[str]:
    return [line.plain for line in ladders(trace, width, plain=plain)]


def test_an_arrow_goes_from_line_to_line_and_says_what_it_led_to():
    lines = printed(SIX)
    (syn,) = [line for line in lines if " SYN SEQ=0 " in line]
    assert re.search(r"\u2503\u2500 SYN SEQ=0 \u2500+\u25b6\u2503 SYN-RECEIVED$", syn)
    (answer,) = [line for line in lines if "SYN,ACK" in line]
    assert re.search(r" 20\.0 +ESTABLISHED \u2503\u25c0\u2500+ SYN,ACK SEQ=0 ACK=1 \u2500\u2503$", answer)
    assert any("(Open) SYN-SENT \u2503" in line for line in lines)
    assert any("FIN-WAIT-1 \u2503" in line for line in lines)
    assert any("\u22ee 1.00 s \u22ee" in line for line in lines)


def test_states_stand_beside_what_led_to_them_however_much_happens_at_one_time():
    scenario = Scenario.load(LABS / "10-no-resources" / "scenario.toml")
    lines = [line.plain for line in ladders(simulate(scenario, load_network(scenario)), 100, ["c1"])]
    (closed,) = [line for line in lines if "CLOSE-WAIT" in line]
    assert re.search("FIN,ACK SEQ=2001 .*CLOSE-WAIT$", closed)
    assert any(re.search(r"\(Close\) LAST-ACK$", line) for line in lines)
    assert any(re.search(r"FIN-WAIT-2 .* ACK SEQ=1 ACK=2002 ", line) for line in lines)
    assert any(re.search(r" TIME-WAIT .* FIN,ACK SEQ=1 ACK=2002 ", line) for line in lines)


@pytest.mark.parametrize("lab", ["01-four-way-close", "03-simultaneous-close", "04-three-segments", "06-lost-fin"])
def test_states_stand_in_the_order_in_which_they_were_entered(lab):
    scenario = Scenario.load(LABS / lab / "scenario.toml")
    trace = simulate(scenario, load_network(scenario))
    names = "|".join(sorted((state.value for state in State), key=len, reverse=True))
    for connection, release in first_releases(trace).items():
        sides = [re.split("[\u2502\u2503]", line.plain) for line in ladders(trace, 140, [connection])]
        for side, host in ((0, "h1"), (-1, "h2")):
            shown = re.findall(names, "\n".join(parts[side] for parts in sides if len(parts) > 2))
            assert tuple(shown[1:]) == tuple(release.states[host])


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("width", [80, 120])
def test_every_segment_is_told_and_lines_keep_the_width(name, width):
    trace = DRAWN[name]
    lines = printed(trace, width)
    hosts = len({host for flight in flights(trace) for host in (flight.source, flight.target)})
    if TIMES + LEAST * (hosts - 1) + 40 < width:
        assert max(map(len, lines)) <= width
    told = sum(bool(re.search("[\u25b6\u25c0\u2717]", line)) for line in lines)
    hidden = sum(int(number) for line in lines for number in re.findall(r"\u2026 (\d+) (?:segm|ackn|forg)", line))
    fat = sum(
        bool(re.search("[\u25b6\u25c0\u2717].*\u2026 \\d|\u2026 \\d.*[\u25b6\u25c0\u2717]", line)) for line in lines
    )
    assert told - fat + hidden == len(flights(trace))


def test_lost_ones_resets_and_faults_are_marked():
    text = "\n".join(printed(CUT_OFF, 110))
    assert text.count("\u2717") == 5
    assert "\u2717 lost (down)" in text
    assert "\u21bb PSH,ACK" in text
    assert "\u2501\u2501 link h1-s1 down \u2501" in text
    assert "\u2501\u2501 link h1-s1 down ends \u2501" in text
    (reset,) = [line for line in ladders(CUT_OFF, 110) if "RST SEQ" in line.plain]
    assert any("red" in str(span.style) for span in reset.spans)


@pytest.mark.parametrize("name", [*ODD, *DRAWN])
def test_a_terminal_without_unicode_gets_ascii(name):
    trace = ODD[name][0] if name in ODD else DRAWN[name]
    assert "".join(printed(trace, plain=True)).isascii()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    place = tmp_path_factory.mktemp("show")
    scenario = Scenario.load(DEMO)
    simulate(scenario, load_network(scenario)).save(place / "trace.jsonl")
    return place / "trace.jsonl"


def show(*words):
    return CliRunner().invoke(app, ["show", *map(str, words)])


def test_show_prints_releases_and_ladders(demo):
    done = show(demo)
    assert done.exit_code == 0
    for words in ("graceful", "h1 (close), 0.260 s", "unreachable — h1 user timeout, h2 reset by peer", "LAST-ACK"):
        assert words in done.output
    alone = show(demo, "--connection", "refused").output
    assert re.search(r"CLOSED refused \u2502\u25c0\u2500+ RST,ACK", alone)  # why it ended stands beside its state
    assert "unreachable" not in alone


def test_names_are_printed_as_they_are(tmp_path):
    """Brackets and colons of IPv6 are no markup and no emoji of the terminal's."""
    name = "[fd00::a:1]:40001 [/b]"
    Tale(name).open().close().trace().save(tmp_path / "trace.jsonl")
    assert show(tmp_path / "trace.jsonl").output.count(name) == 2
    done = CliRunner().invoke(app, ["run", "01", "--world", "sim", "--out", str(tmp_path / "[/b]")])
    assert done.exit_code == 0
    assert f"\n{tmp_path}/[/b]/\n" in done.output


def test_show_prints_figures_that_can_be_read_again(demo):
    done = show(demo, "--connection", "graceful", "--figure")
    assert done.exit_code == 0
    name, _, text = done.output.partition("\n\n")
    assert name == "graceful"
    assert len(parse_figure(text)) > 20
    every = show(demo, "--figure").output
    assert every.count("TCP Peer A") == 4


def test_show_says_what_it_cannot_show(tmp_path, demo):
    for words, says in [
        ((tmp_path,), "is no run's folder: it has no run.json"),
        ((demo, "--connection", "c9"), "no connection 'c9' in this trace"),
        ((demo, "--connection", "c9", "--figure"), "no connection c9 in the trace"),
    ]:
        done = show(*words)
        assert done.exit_code == 2
        assert says in " ".join(done.output.split())
    empty = tmp_path / "trace.jsonl"
    empty.write_text("")
    assert "is empty: a trace has a line for each event" in " ".join(show(empty).output.split())
    Tale().fault("link_down", "h1-s1").trace().save(empty)
    assert show(empty).output == "This run has no connections and no segments.\n"
    done = show(empty, "--figure")
    assert (done.exit_code, "there is no figure of one" in done.output) == (2, True)


# A run while it goes on


def seen(view) -> str:
    console = Console(width=100, force_terminal=False)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def test_the_view_shows_states_last_segments_and_faults_to_come():
    scenario = Scenario.load(DEMO)
    view = View(scenario, "sim")
    assert "building the network" in seen(view)
    assert seen(view).count("to come:") == 2
    for event in simulate(scenario, load_network(scenario)):
        view.watch(event)
        if isinstance(event, FaultTaken) and event.fault == "link_down":
            middle = seen(view)
    assert re.search(r"h1\.unreachable +ESTABLISHED", middle)
    assert re.search(r"h1\.refused +CLOSED +refused", middle)
    assert "to come: link_up h1-s1, when h1.unreachable sees USER-TIMEOUT, 0.5 s later" in middle
    assert "link_down" not in middle.split("to come")[1]
    assert len(re.findall(r"^ +\d+\.\d{3}  ", middle, re.MULTILINE)) == SEGMENTS
    assert "to come" not in seen(view)
    assert re.search(r"h2\.unreachable +CLOSED +reset by peer", seen(view))


def test_a_fault_that_repeats_is_to_come_as_often():
    text = DEMO.read_text() + '[[step]]\nat = "8s"\nfault = "silent"\nhost = "h2"\nrepeat = 2\nevery = "10ms"\n'
    view = View(Scenario.parse(text), "sim")
    assert seen(view).count("silent h2, at 8 s") == 2
    view.watch(FaultTaken(t=8_000_000, fault="silent", target="h2"))
    assert seen(view).count("silent h2, at 8 s") == 1


def test_the_view_of_a_connection_that_is_opened_again_and_of_a_host_that_crashes():
    view = View(Scenario.load(DEMO), "sim")
    tale = Tale().open().call("h1", "abort").become("h1", "CLOSED").end("h1", "aborted")
    for event in tale.trace():
        view.watch(event)
    assert re.search(r"h1\.c1 +CLOSED +aborted", seen(view))
    for event in Tale(start=tale.now).become("h1", "SYN-SENT").fault("crash", "h2").trace():
        view.watch(event)
    assert re.search(r"h1\.c1 +SYN-SENT *$", seen(view), re.MULTILINE)
    assert "h2.c1" not in seen(view)


def test_the_view_is_cheap():
    view = View(Scenario.load(DEMO), "sim")
    (heard,) = (e for e in Tale().open().trace().of(Received) if e.ctl == "SYN")
    began = time.process_time()
    for _ in range(20_000):
        view.watch(heard)
    assert time.process_time() - began < 2


COMMAND = [sys.executable, "-m", "tcpclose", "run", "demo", "--world", "sim", "--out"]


def at_a_terminal(code: list[str], until: bytes = b"") -> tuple[subprocess.Popen[bytes], bytes]:
    """A command whose standard error is a terminal, and what it wrote there, up to `until` or to its end."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(code, cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    while not until or until not in said:
        try:
            said += os.read(ours, 4096)
        except OSError:  # nobody has this terminal open any more
            break
    if until:
        process.send_signal(signal.SIGINT)
        try:
            while True:
                said += os.read(ours, 4096)
        except OSError:
            pass
    os.close(ours)
    return process, said


@pytest.mark.slow
def test_on_a_terminal_the_run_is_seen_and_its_status_is_its_own(tmp_path):
    process, said = at_a_terminal([*COMMAND, str(tmp_path / "run")])
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert b"Four ways to end a connection" in said
    assert b"to come: " in said
    assert b"released" not in said
    assert b"unreachable" in out
    assert b"\x1b[?25h" in said  # the cursor is back


def test_ctrl_c_on_a_terminal_ends_the_run_in_order(tmp_path):
    slow = (
        "import time; from tcpclose.cli import app; from tcpclose.terminal.live import View; watch = View.watch;"
        "View.watch = lambda view, event: (watch(view, event), time.sleep(0.2)); app()"
    )
    process, said = at_a_terminal([sys.executable, "-c", slow, *COMMAND[3:], str(tmp_path / "run")], b"SYN-SENT")
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.rstrip().endswith(b"tcpclose: interrupted")
    assert b"\x1b[?25h" in said


@pytest.mark.slow
def test_in_a_pipe_nothing_is_shown(tmp_path):
    done = subprocess.run([*COMMAND, str(tmp_path / "run")], cwd=ROOT, capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\x1b" not in done.stdout
