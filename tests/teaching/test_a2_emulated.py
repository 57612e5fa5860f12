"""A2 on emulated hosts: a submission in its box is the TCP of a Mininet host, and its clock costs nobody a point."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import a2_solutions
import pytest
from typer.testing import CliRunner

from tcpclose.cli import app
from tcpclose.protocol.config import TcpConfig
from tcpclose.teaching.assignments.a2 import emulated
from tcpclose.teaching.assignments.a2.agent import Asker
from tcpclose.teaching.assignments.a2.emulated import EMULATED, Seen, fault
from tcpclose.teaching.assignments.a2.engine import boxed
from tcpclose.teaching.assignments.a2.grading import EMULATE
from tcpclose.teaching.assignments.a2.right import Right, new
from tcpclose.teaching.assignments.a2.variant import chosen
from tcpclose.teaching.assignments.alterations import combine
from tcpclose.teaching.assignments.containment import Misbehaved, containment
from tcpclose.teaching.assignments.grades import SubmissionError
from tcpclose.testbed.box import why_no_box
from tcpclose.testbed.emulate import EmulationError

CLOSES, CLOSED, ABORTS, NOBODY = EMULATED

contained = pytest.mark.skipif(not containment().works, reason=containment().found)
slow = (pytest.mark.testbed, pytest.mark.slow, contained, pytest.mark.xdist_group("a2 emulated"))


def mininet(test):
    for mark in slow:
        test = mark(test)
    return test


@pytest.fixture(autouse=True)
def _boxes_work(request):
    if request.node.get_closest_marker("testbed") and (reason := why_no_box()):
        pytest.skip(str(reason))


def fault_of(text, case):
    with boxed(text.encode()) as engine:
        return fault(case, combine(), engine.answer)


@mininet
def test_a_right_one_is_right_and_grades_say_so(tmp_path):
    path = tmp_path / "release.py"
    path.write_text(a2_solutions.right(chosen("s1"), "s1"))
    done = CliRunner().invoke(app, ["grade", "a2", str(path), "--public", "--mininet"])
    assert done.exit_code == 0, done.output
    assert f"{18 + EMULATE} of {18 + EMULATE} points" in done.stdout
    assert "on emulated hosts" in done.stdout


#: What is replaced in a right one, by what; the case that shows it, and the words for it.
WRONG = {
    "no FIN": ("tcb.queue_fin()", "pass", CLOSES, "sends other FINs and RSTs than it should: none"),
    "a RST with another SEQ": ("Segment(tcb.snd_nxt, tcb.rcv_nxt", "Segment(tcb.iss, tcb.rcv_nxt", ABORTS, "SEQ=0"),
    "a RST that has a SEQ": ("Segment(0, segment.end", "Segment(1, segment.end", NOBODY, "SEQ=1"),
    "nobody has called": (
        *("def fin_arrives(tcb, now):\n", "def fin_arrives(tcb, now):\n    raise TcpError('no')\n", CLOSED),
        "refuses what is no call of its user: no",
    ),
    "an exception": ("def close(tcb, now):\n", "def close(tcb, now):\n    1 / 0\n", CLOSES, "ZeroDivisionError"),
}


@mininet
def test_what_is_wrong_is_seen_and_told():
    for old, other, case, words in WRONG.values():
        text = a2_solutions.right()
        assert old in text
        try:
            found = str(fault_of(text.replace(old, other), case))
        except Misbehaved as error:
            found = error.reason
        assert words in found


# Without Mininet


def seen(case):
    return emulated._simulated(case, combine())


def test_what_is_right_is_simulated():
    assert seen(ABORTS).peer_told == ("reset by peer",)
    assert seen(NOBODY) == Seen(("SEQ=0 CTL=RST,ACK ACK=1",), 1, (), ("refused",))
    assert seen(CLOSES).states[-3:] == ("FIN-WAIT-2", "TIME-WAIT", "CLOSED")
    assert seen(CLOSED).released == ("SEQ=101 CTL=FIN,ACK ACK=102",)


def test_every_part_of_what_is_seen_counts():
    right = seen(CLOSES)
    assert emulated._difference(right, right) is None
    for part, other in (("released", ()), ("acknowledged", 101), ("states", ()), ("peer_told", ("refused",))):
        assert emulated._difference(replace(right, **{part: other}), right)


@pytest.fixture
def failing(monkeypatch):
    """Emulation that does what a function of the socket's path says, and then fails; its calls."""
    calls = []

    def install(do):
        def emulate(folder, programs):
            calls.append(folder)
            do(programs["h1"][1])
            raise EmulationError("the machine is on fire")

        monkeypatch.setattr(emulated, "emulate", emulate)
        return calls

    return install


def test_what_the_machine_fails_is_tried_again_and_costs_nobody(failing):
    calls = failing(lambda path: None)
    with pytest.raises(SubmissionError, match="no run on Mininet: the machine is on fire"):
        fault(CLOSES, combine(), None)
    assert len(calls) == 2
    assert not any(folder.exists() for folder in calls)


def for_ever(request):
    return Right(combine()).answer(new(0, TcpConfig()))


def refuses(request):
    return for_ever(request) | {"refused": "no time for that"}


def misbehaves(request):
    raise Misbehaved("ended by itself")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (for_ever, "has always something to do"),
        (refuses, "refuses what is no call of its user: no time for that"),
        (misbehaves, "ended by itself"),
    ],
)
def test_what_the_submission_fails_is_its_fault(failing, ask, words):
    def do(path):
        asker = Asker(path)
        with pytest.raises((SystemExit, OSError)):
            deque(asker({"do": "time", "now": 0}) for _ in range(2000))

    calls = failing(do)
    with pytest.raises(Misbehaved, match=words):
        fault(CLOSES, combine(), ask)
    assert len(calls) == 1
