"""How people write what is right, and what they are told when it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpclose.protocol.fsm import State
from tcpclose.protocol.segment import ACK, FIN, PSH, SYN
from tcpclose.teaching.answers import (
    ChoiceAnswer,
    ControlsAnswer,
    FreeAnswer,
    NumberAnswer,
    OrderAnswer,
    StateAnswer,
    TimeAnswer,
    WhoAnswer,
)

STATE = StateAnswer(State.FIN_WAIT_1)
SYN_RECEIVED = StateAnswer(State.SYN_RECEIVED)
CTL = ControlsAnswer(FIN | ACK)
PUSHED = ControlsAnswer(FIN | ACK | PSH)
NUMBER = NumberAnswer(2_506_253_228)
SEQ = NumberAnswer(2000, relative=1001)
TIME = TimeAnswer(2_000_000, 0.1)
SHORT = TimeAnswer(40_000, 5_000)
CHOICE = ChoiceAnswer(("user timeout", "reset by peer", "graceful"), 1)
WHO = WhoAnswer(("h1", "h2"), frozenset({"h1"}))
BOTH = WhoAnswer(("h1", "h2"), frozenset({"h1", "h2"}))
NEITHER = WhoAnswer(("h1", "h2"), frozenset())
ORDER = OrderAnswer("cabd")


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        (STATE, ["FIN-WAIT-1", "fin wait 1", "FIN_WAIT_1", "FinWait1", "FIN-WAIT1"]),
        (SYN_RECEIVED, ["SYN-RECEIVED", "syn-recv", "SYN_RCVD"]),
        (CTL, ["FIN,ACK", "ACK,FIN", "FIN, ACK", "fin ack", "FIN+ACK", "ACK|FIN", "[FIN, PSH, ACK]"]),
        (PUSHED, ["FIN,ACK", "FIN,PSH,ACK"]),
        (NUMBER, ["2506253228", "2 506 253 228", "2_506_253_228", "2,506,253,228", "2.506.253.228"]),
        (TIME, ["2 s", "2s", "2000ms", "2000 ms", "2.1 s", "1,9 s", "2 seconds", "2 Sec.", "2000000us"]),
        (SHORT, ["40 ms", "0.04 s", "45ms", "35 msec", "40000 µs"]),
        (TimeAnswer(20_000, 0.1), ["20 ms", "15 ms", "25 ms"]),
        (CHOICE, ["b", "B", "b)", "(b)", "reset by peer", "RESET-BY-PEER"]),
        (WHO, ["h1", "H1", "host h1"]),
        (BOTH, ["both", "h1 and h2", "h2, h1", "h1,h2"]),
        (NEITHER, ["neither", "nobody", "none"]),
        (ORDER, ["c a b d", "cabd", "c, a, b, d", "C > A > B > D"]),
    ],
)
def test_what_is_right_however_it_is_written(answer, texts):
    for text in [answer.right, *texts]:
        assert answer.judge(text) == (True, ""), text


@pytest.mark.parametrize(
    ("answer", "text", "note"),
    [
        (STATE, "FIN-WAIT-2", "not FIN-WAIT-2"),
        (STATE, "FIN-WAIT", "FIN-WAIT is no state of RFC 9293, 3.3.2"),
        (CTL, "FIN", "not FIN"),
        (CTL, "FIN,ACK,SYN", "not SYN,FIN,ACK"),
        (CTL, "-", "not without control bits"),
        (CTL, "FNI", "'FNI' is no control bit; there are SYN, FIN, RST, PSH, ACK, URG, ECE, CWR"),
        (SEQ, "2001", "not 2001"),
        (SEQ, "1001", "1001 is counted from the SYN: what is the number on the wire?"),
        (SEQ, "2 0 0 0", "2 0 0 0 is no whole number"),
        (SEQ, "-2000", "-2000 is no whole number"),
        (SEQ, "many", "many is no whole number"),
        (TIME, "2", "2 of what? Write the unit: us, ms, s or min"),
        (TIME, "2 hours", "2 hours is no time: write a number and its unit, us, ms, s or min"),
        (TIME, "long", "long is no time: write a number and its unit, us, ms, s or min"),
        (TIME, "2 ms", "a thousand times too much or too little: look at the unit"),
        (TIME, "3 s", "too long"),
        (TIME, "1 s", "too short"),
        (TimeAnswer(20_000, 0.1), "26 ms", "too long"),
        (TIME, "0.00000001 s", "expected a whole number of microseconds"),
        (CHOICE, "a", "not a"),
        (CHOICE, "graceful", "not c"),
        (CHOICE, "d", "d is not among the answers: write one letter, a to c"),
        (WHO, "h2", "not h2"),
        (WHO, "both", "not both"),
        (WHO, "h3", "h3 is not among the answers: write h1, h2, both or neither"),
        (WHO, "the", "the is not among the answers: write h1, h2, both or neither"),
        (ORDER, "a b c d", "of 3 neighbours, 2 stand in the right order"),
        (ORDER, "a b c", "a b c: write each of the letters a, b, c, d once"),
        (FreeAnswer(), "It waits.", "kept for the instructor"),
    ],
)
def test_what_is_wrong_is_said(answer, text, note):
    assert answer.judge(text) == (False, note)


ANSWERS = [STATE, CTL, SEQ, TIME, SHORT, CHOICE, WHO, BOTH, NEITHER, ORDER]


@given(st.sampled_from(ANSWERS), st.text(min_size=1, max_size=200))
def test_whatever_is_written_is_judged_and_a_note_never_gives_the_answer(answer, text):
    verdict = answer.judge(text)
    assert verdict.right == (not verdict.note)
    if answer not in (WHO, BOTH, NEITHER):  # whose form names all that there is
        assert answer.right not in verdict.note.replace(text, "").replace(answer.form, "").split()


@given(st.sampled_from(list(State)), st.sampled_from(list(State)))
def test_only_one_state_is_right(right, other):
    assert StateAnswer(right).judge(other.value).right == (right is other)


@given(st.integers(0, 255), st.integers(0, 255))
def test_only_the_control_bits_are_right(one, other):
    text = ControlsAnswer(other).right
    if text:
        assert ControlsAnswer(one).judge(text).right == ((one ^ other) & ~PSH == 0)


@given(st.integers(1, 10**9), st.sampled_from([0.1, 0.01, 1000]))
def test_times_are_right_as_they_are_written(time, tolerance):
    answer = TimeAnswer(time, tolerance)
    assert answer.judge(f"{time}us").right
    assert answer.judge(f"{time / 1e6:.6f} s").right
    assert not answer.judge(f"{time * 3 + 5000}us").right


def test_syn_is_no_answer_to_nothing():
    assert not ControlsAnswer(SYN).judge("ACK").right
