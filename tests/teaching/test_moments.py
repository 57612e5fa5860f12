"""Moments, quantities and statements, of runs whose times are known."""

from __future__ import annotations

import pytest
from lessons import run_of

from tcpclose.teaching.moments import read_moment
from tcpclose.teaching.quantities import NotInRun, read_quantity, read_statement

FOUR = run_of("01-four-way-close").story
LINK = run_of("11-link-failure").story


@pytest.mark.parametrize(
    ("story", "words", "time"),
    [
        (FOUR, "h1.c1 in SYN-SENT", 100_000),
        (FOUR, "h1.c1 calls close", 180_000),
        (FOUR, "h1.c1 sends FIN", 180_000),
        (FOUR, "h2.c1 gets FIN", 200_000),
        (FOUR, "h2.c1 sees EOF", 200_000),
        (FOUR, "h2.c1 in CLOSE-WAIT", 200_000),
        (FOUR, "h1.c1 in FIN-WAIT-2", 220_000),
        (FOUR, "h2.c1 received 1000", 160_000),
        (FOUR, "h2.c1 received 1001", None),
        (FOUR, "h2.c1 sends ACK of FIN", 200_000),
        (FOUR, "h2.c1 sends only ACK #2", 200_000),
        (FOUR, "h1.c1 sends segment with data", 140_000),
        (FOUR, "h1.c1 gets segment with data", None),
        (FOUR, "h2.c1 in CLOSED", 740_000),
        (FOUR, "h2.c1 sees GRACEFUL", 740_000),
        (FOUR, "h1.c1 sees CLOSED", 2_720_000),
        (FOUR, "h1.c1 sends FIN #2", None),
        (FOUR, "1500ms", 1_500_000),
        (FOUR, "link_down", None),
        (LINK, "link_down", 1_750_000),
        (LINK, "link_down h1-s1", 1_750_000),
        (LINK, "link_down h2-s1", None),
        (LINK, "h2.c1 received 1001", 1_020_000),
        (LINK, "h1.c1 sends segment with data #5", 2_250_000),
        (LINK, "h2.c1 gets segment with data #4", None),
        (LINK, "h1.c1 sends RST", 7_000_000),
        (LINK, "h1.c1 sends RST #2", 9_020_000),  # of no connection: its ports tell
        (LINK, "h2.c1 gets RST", 9_040_000),
    ],
)
def test_when(story, words, time):
    moment = read_moment(words)
    assert str(moment) == words
    found = moment.time(story)
    assert found == time if time is None else found == pytest.approx(time, abs=1000)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("h1.c1 in TIME-WIAT", "there is no state TIME-WIAT; did you mean TIME-WAIT?"),
        ("h1.c1 sees EFO", "there is no signal EFO"),
        ("h1.c1 sends FNI", "expected control bits"),
        ("h1.c1 sends FIN from h2", "say its control bits, `with data` or `without data`"),
        ("h1.c1 sends FIN, 2nd", "say its control bits, `with data` or `without data`"),
        ("h1.c1 calls clsoe", "there is no call clsoe; did you mean close?"),
        ("7.5", "expected a duration"),
        ("h1 in CLOSED", 'expected "HOST.CONNECTION in STATE"'),
        (7, "expected a moment"),
    ],
)
def test_what_is_no_moment_is_told(words, message):
    with pytest.raises(ValueError, match=message):
        read_moment(words)


@pytest.mark.parametrize(
    ("story", "words", "number"),
    [
        (FOUR, "seq of h1.c1 sends FIN", 2000),
        (FOUR, "ack of h2.c1 sends ACK of FIN", 2001),
        (FOUR, "len of h1.c1 sends segment with data", 1000),
        (FOUR, "count of h2.c1 sends segment", 4),
        (FOUR, "segments sent by h1.c1", 5),
        (FOUR, "octets sent by h1.c1", 1000),
        (FOUR, "octets received by h2.c1", 1000),
        (FOUR, "octets received by h1.c1", 0),
        (FOUR, "retransmissions by h1.c1", 0),
        (LINK, "retransmissions by h1.c1", 4),
        (LINK, "count of h1.c1 sends RST", 2),
        (LINK, "count of h2.c1 gets RST", 1),
        (FOUR, "time from h1.c1 in TIME-WAIT to h1.c1 in CLOSED", 2_000_000),
    ],
)
def test_how_much(story, words, number):
    assert read_quantity(words).of(story) == number


def test_a_number_counted_from_the_syn():
    assert read_quantity("seq of h1.c1 sends FIN").relative(FOUR) == 1001
    assert read_quantity("ack of h2.c1 sends ACK of FIN").relative(FOUR) == 1002
    assert read_quantity("len of h1.c1 sends FIN").relative(FOUR) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("seq of h1.c1 in CLOSED", "is no segment: say who sends or gets it"),
        ("weight of h1.c1 sends FIN", 'expected "seq of MOMENT"'),
        (5, 'expected "seq of MOMENT"'),
    ],
)
def test_what_is_no_quantity_is_told(words, message):
    with pytest.raises(ValueError, match=message):
        read_quantity(words)


def test_what_does_not_happen_has_no_numbers():
    with pytest.raises(NotInRun, match=r"h1\.c1 sends RST: this does not happen in the run"):
        read_quantity("seq of h1.c1 sends RST").of(FOUR)
    with pytest.raises(NotInRun, match=r"h1\.c1 in CLOSING"):
        read_quantity("time from h1.c1 in CLOSING to h1.c1 in CLOSED").of(FOUR)


@pytest.mark.parametrize(
    ("words", "true"),
    [
        ("h1.c1 in TIME-WAIT", True),
        ("h1.c1 in CLOSING", False),
        ("never h1.c1 in CLOSING", True),
        ("never h1.c1 in TIME-WAIT", False),
        ("h1.c1 sends FIN before h2.c1 sends FIN", True),
        ("h2.c1 sends FIN before h1.c1 sends FIN", False),
        ("h1.c1 sends FIN before h1.c1 sends RST", False),
        ("octets received by h2.c1 = 1000", True),
        ("octets received by h2.c1 > 1000", False),
        ("octets received by h1.c1 < octets sent by h1.c1", True),
        ("time from h1.c1 in TIME-WAIT to h1.c1 in CLOSED = 2s", True),
        ("time from h1.c1 in TIME-WAIT to h1.c1 in CLOSED < 1999ms", False),
    ],
)
def test_what_is_true(words, true):
    assert read_statement(words).holds(FOUR) is true


def test_what_is_no_statement_is_told():
    with pytest.raises(ValueError, match="expected a statement"):
        read_statement(True)
    with pytest.raises(ValueError, match='expected "seq of MOMENT"'):
        read_statement("h1.c1 in CLOSED = 5")


def test_the_state_of_an_end_at_a_time():
    assert [FOUR.state("h2", "c1", time) for time in (0, 200_000, 699_999, 10**9)] == [
        "LISTEN",
        "CLOSE-WAIT",
        "CLOSE-WAIT",
        "CLOSED",
    ]
    assert FOUR.state("h3", "c1", 0) == "CLOSED"
