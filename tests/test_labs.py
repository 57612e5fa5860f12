"""The labs do what their handouts say.

A claim is a function on a run of one of the handout's commands. Its docstring quotes the handout word for word: a
statement that has to be true, or a question, and then the function knows the answer. Every command of a handout is
run, in the simulator and on Mininet, and has its claims.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tcpclose.cli import app
from tcpclose.runs import LABS
from tcpclose.testbed.box import why_no_box
from tcpclose.trace.events import Change, End, FaultTaken, Text, Told, Trace
from tcpclose.trace.playing import play_figure
from tcpclose.trace.reading import flights, intervals, releases
from tcpclose.wire import decode_ethernet, decode_tcp, read_pcap

HANDOUTS = {path.parent.name: path.read_text(encoding="utf-8") for path in sorted(LABS.glob("[0-9]*/README.md"))}
HEADINGS = [
    *("What you will learn", "Time and tools", "Topology", "Background", "Predict first"),
    *("Run", "Observe", "Explain", "Go further"),
]


@dataclass(frozen=True)
class Run:
    """One run of a command; times in seconds, `slack` is what real time may take more or less."""

    folder: Path
    trace: Trace
    slack: float

    def at(self, *times):
        """These times, as far as this world is exact."""
        return pytest.approx(times, abs=self.slack)

    def causes(self):
        return {end.host: end.cause for end in self.trace.of(End)}

    def ended(self, host):
        """When that end of the connection was CLOSED."""
        return next(end.t / 1e6 for end in self.trace.of(End) if end.host == host)

    def stay(self, host, state):
        """For how long a host was in a state."""
        return sum(i.length / 1e6 for i in intervals(self.trace)[host, "c1"] if i.state == state)

    def state(self, host, time):
        """The state of a host's end at a time in microseconds."""
        return [change.new for change in self.trace.of(Change) if change.host == host and change.t <= time][-1]

    def release(self):
        return releases(self.trace)[0]

    def flights(self):
        """All segments, in the order in which they were sent."""
        return flights(self.trace)

    def closing(self):
        """The segments that were sent once the release had begun."""
        return [flight for flight in self.flights() if flight.start >= self.release().began]

    def resets(self):
        """Of each RST: its sender, SEQ and whether it arrived."""
        return [(f.source, f.segment.seq, f.arrived is not None) for f in self.flights() if "RST" in f.controls]

    def attempts(self):
        """When h1 sent its fourth text, the first time and again."""
        return [f.start / 1e6 for f in self.flights() if f.sent and f.source == "h1" and f.seq == 3001 and f.sent.len]

    def received(self):
        """How many octets each user got."""
        return {text.host: text.received for text in self.trace.of(Text)}

    def capture(self, host):
        """(sender's port, SEQ, ACK, control bits, octets of text) of each segment on a host's interface."""
        packets = (
            decode_tcp(decode_ethernet(octets).payload) for _, octets in read_pcap(self.folder / f"{host}-eth0.pcap")
        )
        datagrams = [packet.datagram for packet in packets]
        return [(d.src.port, d.segment.seq, d.segment.ack, d.segment.ctl, len(d.segment.data)) for d in datagrams]


CLAIMS = defaultdict(list)  # (lab, overrides) to functions


def claim(lab, *overrides):
    def register(function):
        CLAIMS[lab, overrides].append(function)
        return function

    return register


def hold(lab, overrides, world, folder):
    """Run a command as a student would, and check all that its handout claims."""
    options = [word for override in overrides for word in ("--set", override)]
    done = CliRunner().invoke(app, ["run", lab, *options, "--world", world, "--out", str(folder)])
    assert done.exit_code == 0, done.output
    run = Run(folder, Trace.load(folder / "trace.jsonl"), 0.1 if world == "mininet" else 1e-6)
    for check in CLAIMS[lab, overrides]:
        check(run)
    return run


# ---- Lab 01

FOUR_WAY = "01-four-way-close"
SWAPPED = ("step.4.host=h2", "step.5.host=h1", "step.5.when=h1.c1 sees EOF", "host.h2.tcp.msl=1s")
LINUX_SERVER = ("host.h2.stack=linux", "connection.c1.server_iss=")
LINUX_CLIENT = ("host.h1.stack=linux", "host.h1.tcp=", "connection.c1.client_iss=")


def answers(run):
    """What belongs into the blanks of lab 01's figure, line by line from left to right."""
    for flight in run.closing():
        yield run.state("h1", flight.finish)
        yield from (str(flight.segment.seq), str(flight.segment.ack), flight.segment.ctl)
        yield run.state("h2", flight.finish)
    yield run.state("h1", run.trace.events[-1].t)


@claim(FOUR_WAY)
def the_figure(run):
    """Fill the blanks."""
    (figure,) = (text for text in blocks(FOUR_WAY, "text") if "TCP Peer A" in text)
    given = list(answers(run))
    assert len(given) == len(re.findall("_+", figure)) == 21
    assert given[:5] == ["FIN-WAIT-1", "2000", "5000", "FIN,ACK", "CLOSE-WAIT"]
    assert given[5:10] == ["FIN-WAIT-2", "5000", "2001", "ACK", "CLOSE-WAIT"]
    filled = iter(given)
    play_figure(re.sub("_+", lambda _: next(filled), figure))


@claim(FOUR_WAY)
def who_waits(run):
    """Which host waits in TIME-WAIT, and for how long?"""
    assert [run.stay("h1", "TIME-WAIT"), run.stay("h2", "TIME-WAIT")] == run.at(2, 0)


@claim(FOUR_WAY)
def half_closed(run):
    """For how long is the connection half-closed, so that only `h2` may still send text?"""
    assert [run.stay("h2", "CLOSE-WAIT")] == run.at(0.5)


@claim(FOUR_WAY)
def order(run):
    """Put these in order: `h1` in CLOSED, `h2` in CLOSED, `h1` in TIME-WAIT, `h2` in LAST-ACK."""
    seen = [(change.host, change.new) for change in run.trace.of(Change)]
    places = [seen.index(end) for end in (("h2", "LAST-ACK"), ("h1", "TIME-WAIT"), ("h2", "CLOSED"), ("h1", "CLOSED"))]
    assert places == sorted(places)


@claim(FOUR_WAY)
@claim(FOUR_WAY, *LINUX_SERVER)
def graceful(run):
    """Both ends give the cause "graceful"."""
    assert run.causes() == {"h1": "graceful", "h2": "graceful"}
    assert run.release().first == "h1"


@claim(FOUR_WAY)
def time_to_release(run):
    """The time to release counts from the first CLOSE until both ends are done"""
    assert [run.release().duration / 1e6] == run.at(0.56)


@claim(FOUR_WAY)
def captures_agree(run):
    """Both captures hold the same nine segments, in the same order."""
    assert run.capture("h1") == run.capture("h2")
    assert len(run.capture("h1")) == 9


@claim(FOUR_WAY, "step.5.after=2s")
def slower(run):
    """The half-closed time grows to 2 seconds. Does TIME-WAIT?"""
    assert [run.stay("h2", "CLOSE-WAIT"), run.stay("h1", "TIME-WAIT")] == run.at(2, 2)


@claim(FOUR_WAY, "host.h1.tcp.msl=250ms")
def shorter(run):
    """TIME-WAIT lasts half a second now."""
    assert [run.stay("h1", "TIME-WAIT")] == run.at(0.5)


@claim(FOUR_WAY, *SWAPPED)
def swapped(run):
    """The same four segments, the other way round; now it is `h2` that waits."""
    sent = [(flight.source, flight.segment.ctl) for flight in run.closing()]
    assert sent == [("h2", "FIN,ACK"), ("h1", "ACK"), ("h1", "FIN,ACK"), ("h2", "ACK")]
    assert [run.stay("h1", "TIME-WAIT"), run.stay("h2", "TIME-WAIT")] == run.at(0, 2)


@claim(FOUR_WAY, *LINUX_SERVER)
@claim(FOUR_WAY, *LINUX_CLIENT)
def the_release_is_the_same(run):
    """The release is the same."""
    assert [(f.source, f.segment.ctl, f.seq, f.ack) for f in run.closing()] == [
        ("h1", "FIN,ACK", 1001, 1),
        ("h2", "ACK", 1, 1002),
        ("h2", "FIN,ACK", 1, 1002),
        ("h1", "ACK", 1002, 2),
    ]


@claim(FOUR_WAY, *LINUX_SERVER)
def linux_delays(run):
    """RFC 9293 allows half a second (3.8.6.3)."""
    fin, acknowledgment, *_ = run.closing()
    assert acknowledgment.start - fin.finish < 500_000


@claim(FOUR_WAY, *LINUX_SERVER)
def linux_is_no_other(run):
    """Linux passes the very states that our stack passed"""
    assert run.release().states["h2"] == ("SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK", "CLOSED")


@claim(FOUR_WAY, *LINUX_CLIENT)
def linux_waits(run):
    """its TIME-WAIT lasts 60 seconds, so the run ends first."""
    assert run.release().states["h1"][-1] == "TIME-WAIT"


# ---- Lab 11

LINK = "11-link-failure"
EARLY = "step.5.at=6s"
BELIEVED = (EARLY, "host.h2.tcp.reset_validity=window")


@claim(LINK)
@claim(LINK, "host.h2.stack=linux")
def attempts(run):
    """When does `h1` send its fourth 1000 octets?"""
    assert run.attempts() == run.at(2, 2.25, 2.75, 3.75, 5.75)
    assert [run.ended("h1")] == run.at(7)


@claim(LINK)
def resets(run):
    """Which SEQ does it have, and in which captures will you find it?"""
    assert run.resets() == [("h1", 5000, False), ("h1", 4000, True)]
    seen = {host: [seq for _, seq, _, ctl, _ in run.capture(host) if ctl & 4] for host in ("h1", "h2")}
    assert seen == {"h1": [5000, 4000], "h2": [4000]}


@claim(LINK)
@claim(LINK, "host.h2.stack=linux")
def half_open(run):
    """In which state is each end at 7.5 s, when the link is still down?"""
    assert [run.state(host, 7_500_000) for host in ("h1", "h2")] == ["CLOSED", "ESTABLISHED"]


@claim(LINK)
def the_answer(run):
    """What is sent in answer to the 21 octets of `h2`? Give CTL and SEQ."""
    question, answer = run.flights()[-2:]
    assert (question.source, question.segment.len) == ("h2", 21)
    assert (answer.source, answer.segment.ctl, answer.segment.seq) == ("h1", "RST", 4000)


@claim(LINK)
def causes(run):
    """Which cause will each end give for the end of the connection?"""
    assert run.causes() == {"h1": "user timeout", "h2": "reset by peer"}


@claim(LINK)
def delivered(run):
    """How many of the 4000 octets did the user of `h2` get?"""
    assert run.received()["h2"] == 3000


@claim(LINK)
def silence(run):
    """From the failure until it gives up, `h1` tells its user nothing:"""
    down, up = (fault.t for fault in run.trace.of(FaultTaken))
    assert [fault.fault for fault in run.trace.of(FaultTaken)] == ["link_down", "link_up"]
    assert [told for told in run.trace.of(Told) if told.host == "h1" and down < told.t] == []
    assert down < run.ended("h1") * 1e6 < up


@claim(LINK, "host.h1.tcp.timeout_reset=false")
@claim(LINK, "host.h2.stack=linux")
def same_end(run):
    """`h2` ends at the same time and for the same cause as before."""
    assert run.causes() == {"h1": "user timeout", "h2": "reset by peer"}
    assert [run.ended("h1"), run.ended("h2")] == run.at(7, 9.04)


@claim(LINK, "host.h1.tcp.timeout_reset=false")
def no_reset(run):
    """No RST at the timeout."""
    assert run.resets() == [("h1", 4000, True)]


@claim(LINK, "host.h1.tcp.user_timeout=20s")
def patience(run):
    """With a user timeout of 20 s the link returns before `h1` gives up, and all 4000 octets arrive."""
    assert run.causes() == {}
    assert run.received() == {"h1": 21, "h2": 4000}


@claim(LINK, "host.h1.tcp.user_timeout=20s")
def patience_takes_time(run):
    """Why do they not arrive as soon as the link is back?"""
    assert run.attempts() == run.at(2, 2.25, 2.75, 3.75, 5.75, 9.75)


@claim(LINK, EARLY)
def doubted(run):
    """`h2` does not believe the first RST, it asks back, and only the second RST ends the connection."""
    assert run.resets() == [("h1", 5000, True), ("h1", 4000, True)]
    first, challenge, second = run.flights()[-3:]
    assert (challenge.source, challenge.segment.ctl, challenge.segment.ack) == ("h2", "ACK", 4000)
    assert first.finish <= challenge.start < second.start
    assert run.causes() == {"h1": "user timeout", "h2": "reset by peer"}
    assert run.ended("h2") * 1e6 >= second.finish


@claim(LINK, *BELIEVED)
def believed(run):
    """Then one RST is enough."""
    assert run.resets() == [("h1", 5000, True)]
    assert run.causes() == {"h1": "user timeout", "h2": "reset by peer"}


@claim(LINK, "host.h2.stack=linux")
def linux_believes(run):
    """Linux believes in the connection for just as long as our stack did."""
    assert run.release().states["h2"] == ("SYN-RECEIVED", "ESTABLISHED", "CLOSED")


@claim(LINK, *LINUX_CLIENT)
def linux_doubles(run):
    """Its RTO doubles too."""
    times = run.attempts()
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(gaps) >= 4
    for shorter_gap, longer_gap in pairwise(gaps):
        assert longer_gap / shorter_gap == pytest.approx(2, rel=0.2)


@claim(LINK, *LINUX_CLIENT)
def linux_outlives(run):
    """In this run the connection outlives the failure."""
    assert run.causes() == {}
    assert run.received() == {"h1": 21, "h2": 4000}


# ---- Handouts and their claims


def blocks(lab, language):
    """The texts of a handout's blocks in one language; continued lines are joined."""
    found = re.findall(rf"^```{language}\n(.*?)^```", HANDOUTS[lab], re.MULTILINE | re.DOTALL)
    return [text.replace("\\\n", "") for text in found]


def commands(lab):
    return [line for text in blocks(lab, "sh") for line in text.splitlines()]


def overrides_of(command):
    """What a `./lab run` of a handout sets."""
    words = shlex.split(command)
    return tuple(value for option, value in pairwise(words) if option == "--set")


def name_of(value):
    return " ".join(value) if isinstance(value, tuple) else value


def runs(keys):
    return pytest.mark.parametrize(("lab", "overrides"), keys, ids=name_of)


#: The simulator has no Linux kernel.
VIRTUAL = [(lab, overrides) for lab, overrides in CLAIMS if "stack=linux" not in name_of(overrides)]


@pytest.mark.parametrize("lab", HANDOUTS)
def test_the_form_of_a_handout(lab):
    assert re.findall("^## (.*)", HANDOUTS[lab], re.MULTILINE) == HEADINGS


@pytest.mark.parametrize("lab", HANDOUTS)
def test_every_command_of_a_handout_has_claims(lab):
    runs = [command for command in commands(lab) if command.startswith("./lab")]
    assert all(command.startswith(f"./lab run {lab}") for command in runs)
    assert f"./lab run {lab} --world sim" in runs
    assert {(lab, overrides_of(command)) for command in runs} == {key for key in CLAIMS if key[0] == lab}


@runs(CLAIMS)
def test_claims_stand_in_the_handout(lab, overrides):
    handout = " ".join(HANDOUTS[lab].split())
    assert [check.__doc__ for check in CLAIMS[lab, overrides] if check.__doc__ not in handout] == []


@runs(VIRTUAL)
def test_in_the_simulator(lab, overrides, tmp_path):
    hold(lab, overrides, "sim", tmp_path / "run")


@runs(CLAIMS)
@pytest.mark.testbed
@pytest.mark.slow
def test_on_mininet(lab, overrides, tmp_path):
    if reason := why_no_box():
        pytest.skip(reason)
    hold(lab, overrides, "mininet", tmp_path / "run")


@pytest.mark.parametrize("lab", HANDOUTS)
def test_commands_that_look_at_a_run(lab, tmp_path):
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed")
    hold(lab, (), "sim", tmp_path / f"results/runs/20300101-000000-{lab}")
    preparation, *looks = [command for command in commands(lab) if not command.startswith("./lab")]
    assert preparation.startswith("run=")
    for look in looks:
        done = subprocess.run(
            ["sh", "-euc", f"{preparation}\n{look}"], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, bool(done.stdout)) == (0, True), f"{look}\n{done.stderr}"
