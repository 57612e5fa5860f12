"""ESTABLISHED: text and FIN that arrive, in order, beyond a hole, twice, overlapping (3.10.7.4).

Our side is numbered from 100 (ISS), the peer's from 300. Every test runs again with numbers that wrap.
"""

from __future__ import annotations

import pytest
from peers import OUR_ACK, THEIR_ACK

# ESTABLISHED: text that arrives


def test_text_is_acknowledged_and_read(play):
    p = play().reach("ESTABLISHED")
    p.hear(THEIR_ACK, data=b"abc")
    p.sends("<SEQ=101><ACK=304><CTL=ACK>")
    p.told("TEXT 3")
    assert (p.receive(2), p.receive(), p.receive()) == (b"ab", b"c", b"")


def test_text_beyond_a_hole_waits(play):
    p = play().reach("ESTABLISHED")
    p.hear("<SEQ=304><ACK=101><CTL=ACK>", data=b"def")
    p.hear("<SEQ=310><ACK=101><CTL=ACK>", data=b"jk")
    p.sends(OUR_ACK, OUR_ACK)
    p.told()
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", data=b"abc")
    p.sends("<SEQ=101><ACK=307><CTL=ACK>")
    p.hear("<SEQ=307><ACK=101><CTL=ACK>", data=b"ghi")
    p.sends("<SEQ=101><ACK=312><CTL=ACK>")
    p.told("TEXT 6", "TEXT 5")
    assert p.receive() == b"abcdefghijk"


@pytest.mark.parametrize(
    "pieces",
    [
        [(303, b"cd"), (304, b"def"), (301, b"abc")],  # overlaps at the end of what is held
        [(304, b"def"), (303, b"cd"), (301, b"ab")],  # ... at its start
        [(303, b"cdef"), (304, b"d"), (301, b"abc")],  # ... lies in it
        [(304, b"d"), (303, b"cdef"), (301, b"ab")],  # ... covers it
        [(303, b"c"), (306, b"f"), (304, b"de"), (301, b"abcdef")],  # ... joins two, and all is old in the end
        [(303, b"c"), (305, b"e"), (301, b"abcdef")],
        [(306, b"f"), (302, b"b"), (301, b"a"), (303, b"cde")],  # holes of one octet
        [(304, b"d"), (306, b"f"), (302, b"bc"), (301, b"a"), (305, b"e")],
    ],
)
def test_pieces_that_overlap(play, pieces):
    p = play().reach("ESTABLISHED")
    for seq, text in pieces:
        p.hear(f"<SEQ={seq}><ACK=101><CTL=ACK>", data=text)
    assert p.receive() == b"abcdef"
    assert not p.connection.receiver.ahead


def test_no_octet_is_held_twice(play):
    p = play(rcv_buffer=1000).reach("ESTABLISHED")
    for seq in range(302, 800):
        p.hear(f"<SEQ={seq}><ACK=101><CTL=ACK><DATA=500>")
    assert sum(len(text) for _, text in p.connection.receiver.ahead) <= 1000


def test_text_is_trimmed_at_both_ends_of_the_window(play):
    p = play(rcv_buffer=4).reach("ESTABLISHED")
    p.hear("<SEQ=299><ACK=101><CTL=FIN,ACK>", data=b"..abcdefgh")
    p.sends("<SEQ=101><ACK=305><CTL=ACK>")
    assert p.last.wnd == 0
    assert p.receive() == b"abcd"
    p.hear("<SEQ=305><ACK=101><CTL=ACK>", data=b"efgh")
    assert p.receive() == b"efgh"
    assert p.state == "ESTABLISHED"  # the FIN lay beyond the window


def test_old_text_is_acknowledged_every_time(play):
    p = play(challenge_ack_limit=1).reach("ESTABLISHED")
    p.hear(THEIR_ACK, data=b"abc")
    p.sent()
    for _ in range(3):
        p.hear(THEIR_ACK, data=b"abc")
        p.sends("<SEQ=101><ACK=304><CTL=ACK>")
    assert p.receive() == b"abc"


def test_what_has_no_ack_is_dropped(play):
    p = play().reach("ESTABLISHED")
    p.hear("<SEQ=301><CTL=FIN><DATA=5>")
    p.sends()
    p.told()


def test_a_fin_beyond_a_hole_waits(play):
    p = play().reach("ESTABLISHED")
    p.hear("<SEQ=304><ACK=101><CTL=FIN,ACK>", data=b"def")
    p.sends(OUR_ACK)
    assert p.state == "ESTABLISHED"
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", data=b"abc")
    p.sends("<SEQ=101><ACK=308><CTL=ACK>")
    p.told("TEXT 6", "EOF")
    assert p.state == "CLOSE-WAIT"


def test_nothing_follows_a_fin(play):
    p = play().reach("ESTABLISHED")
    p.hear("<SEQ=303><ACK=101><CTL=ACK>", data=b"cdef")
    p.hear("<SEQ=303><ACK=101><CTL=FIN,ACK>", data=b"c")
    p.hear("<SEQ=303><ACK=101><CTL=FIN,ACK>", data=b"cdef")  # a second FIN elsewhere is no FIN
    p.hear("<SEQ=301><ACK=101><CTL=ACK>", data=b"ab")
    assert p.receive() == b"abc"
    assert p.state == "CLOSE-WAIT"


def test_a_repeated_segment_with_new_text_and_fin(play):
    p = play().reach("ESTABLISHED")
    p.hear(THEIR_ACK, data=b"abc")
    p.hear("<SEQ=301><ACK=101><CTL=FIN,ACK>", data=b"abcde")
    p.sends("<SEQ=101><ACK=304><CTL=ACK>", "<SEQ=101><ACK=307><CTL=ACK>")
    assert p.receive() == b"abcde"


@pytest.mark.parametrize("fin", ["<SEQ=305><ACK=101><CTL=FIN,ACK>", "<SEQ=301><ACK=101><CTL=FIN,ACK><DATA=4>"])
def test_a_fin_needs_no_room(play, fin):
    p = play(rcv_buffer=4).reach("ESTABLISHED")
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=4>")
    p.hear(fin)
    p.sends("<SEQ=101><ACK=305><CTL=ACK>", "<SEQ=101><ACK=306><CTL=ACK>")
    assert p.last.wnd == 0
    assert p.state == "CLOSE-WAIT"
