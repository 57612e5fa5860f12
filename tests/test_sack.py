"""Selective acknowledgments (RFC 2018) and the recovery they allow (RFC 6675), beside limited transmit (RFC 3042)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers import Played

from tcpclose.protocol.scoreboard import Scoreboard
from tcpclose.protocol.segment import seq_add, seq_diff
from tcpclose.protocol.tcb import Tcb


def established(play, permitted: bool = True, **settings) -> Played:
    p = play(**{"sack": True, **settings}).reach("SYN-SENT")
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", sack_permitted=permitted)
    p.sent()
    return p


# Whether


@pytest.mark.parametrize(("have", "offered"), [(True, True), (True, False), (False, True), (False, False)])
def test_sack_is_permitted_only_by_both(play, have, offered):
    p = play(sack=have).reach("LISTEN")
    p.hear("<SEQ=300><CTL=SYN>", sack_permitted=offered)
    p.sent()
    assert p.last.sack_permitted == (have and offered)
    p.hear("<SEQ=301><ACK=101><CTL=ACK>")
    p.hear("<SEQ=311><ACK=101><CTL=ACK><DATA=10>")
    p.sent()
    assert bool(p.last.sack) == (have and offered)


def test_an_active_open_offers_it(play):
    p = play(sack=True)
    p.open()
    p.sent()
    assert p.last.sack_permitted


# What the receiver reports


def reports(p: Played, *blocks: tuple[int, int]) -> None:
    p.sent()
    assert [(seq_add(left, -p.irs), seq_add(right, -p.irs)) for left, right in p.last.sack] == list(blocks)


def test_the_first_block_holds_the_segment_that_came_last(play):
    p = established(play)
    for seq, blocks in (
        (401, [(401, 411)]),
        (501, [(501, 511), (401, 411)]),
        (601, [(601, 611), (501, 511), (401, 411)]),
        (411, [(401, 421), (601, 611), (501, 511)]),
        (601, [(601, 611), (401, 421), (501, 511)]),
    ):
        p.hear(f"<SEQ={seq}><ACK=101><CTL=ACK><DATA=10>")
        reports(p, *blocks)


def test_pieces_that_meet_are_one_block(play):
    p = established(play)
    for seq in (401, 421, 411):
        p.hear(f"<SEQ={seq}><ACK=101><CTL=ACK><DATA=10>")
    reports(p, (401, 431))


def test_a_filled_hole_is_no_longer_reported(play):
    p = established(play)
    for seq in (311, 401):
        p.hear(f"<SEQ={seq}><ACK=101><CTL=ACK><DATA=10>")
    reports(p, (401, 411), (311, 321))
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    reports(p, (401, 411))
    p.hear("<SEQ=321><ACK=101><CTL=ACK><DATA=80>")
    reports(p)


@pytest.mark.parametrize(("settings", "most"), [({}, 4), ({"timestamps": True}, 3)])
def test_no_more_blocks_than_the_header_has_room_for(play, settings, most):
    p = play(sack=True, **settings).reach("SYN-SENT")
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", sack_permitted=True, timestamps=(1, 0))
    for seq in range(401, 1001, 100):
        p.hear(f"<SEQ={seq}><ACK=101><CTL=ACK><DATA=10>")
    p.sent()
    assert len(p.last.sack) == most


def test_blocks_never_make_a_segment_longer_than_the_mss(play):
    p = established(play)
    for seq in (401, 501):
        p.hear(f"<SEQ={seq}><ACK=101><CTL=ACK><DATA=10>")
    for text, blocks in ((1000, 0), (990, 0), (988, 1), (980, 2)):
        p.send(text)
        p.sent()
        assert (len(p.last.data), len(p.last.sack)) == (text, blocks)


# RFC 2883


def test_text_that_came_twice_is_reported_first(play):
    p = established(play, duplicate_sack=True)
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    reports(p)
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=10>")
    reports(p, (301, 311))
    p.hear("<SEQ=321><ACK=101><CTL=ACK><DATA=10>")
    reports(p, (321, 331))
    p.hear("<SEQ=326><ACK=101><CTL=ACK><DATA=10>")  # half of it is new
    reports(p, (326, 331), (321, 336))
    p.hear("<SEQ=306><ACK=101><CTL=ACK><DATA=10>")
    reports(p, (306, 311), (321, 336))
    p.hear("<SEQ=331><ACK=101><CTL=ACK>")
    p.hear("<SEQ=316><ACK=101><CTL=ACK><DATA=5>")
    reports(p)


def test_a_repeated_fin_has_no_text_to_report(play):
    p = established(play, duplicate_sack=True)
    for _ in range(2):
        p.hear("<SEQ=301><ACK=101><CTL=FIN,ACK>")
        reports(p)


def test_a_report_of_repeated_text_starts_nothing(play):
    p = flight(play, 5)
    sacked(p, 1101, (101, 1101))
    for _ in range(3):
        sacked(p, 1101, (101, 1101))
    p.sends()


# What the sender does about it


def flight(play, segments: int = 10, **settings) -> Played:
    """ESTABLISHED, with `segments` full segments on their way: 101, 1101, 2101, ..."""
    p = established(play, **settings)
    p.send(1000 * segments)
    assert len(p.sent()) == segments
    return p


def sacked(p: Played, ack: int, *blocks: tuple[int, int]) -> None:
    edges = tuple((seq_add(left, p.iss), seq_add(right, p.iss)) for left, right in blocks)
    p.hear(f"<SEQ=301><ACK={ack}><CTL=ACK>", sack=edges)


def text(seq: int, octets: int = 1000) -> str:
    return f"<SEQ={seq}><ACK=301><CTL=ACK><DATA={octets}>"


def test_the_third_report_starts_recovery(play):
    p = flight(play)
    sacked(p, 101, (1101, 2101))
    sacked(p, 101, (1101, 3101))
    p.sends()
    sacked(p, 101, (1101, 4101))
    p.sends(text(101))
    assert (p.connection.sender.cwnd, p.connection.sender.ssthresh) == (5000, 5000)


def test_one_report_of_three_segments_is_enough(play):
    """IsLost (HighACK + 1): more than two segments lie beyond the hole."""
    p = flight(play)
    sacked(p, 101, (1101, 4101))
    p.sends(text(101))


def test_three_reported_ranges_are_enough(play):
    p = flight(play)
    sacked(p, 101, (1101, 1102), (3101, 3102), (5101, 5102))
    p.sends(text(101, 1000))


def test_a_repeated_report_is_no_duplicate_acknowledgment(play):
    p = flight(play)
    for _ in range(5):
        sacked(p, 101, (1101, 2101))
    p.sends()


def test_an_acknowledgment_without_blocks_is_none_either(play):
    p = flight(play)
    for _ in range(5):
        sacked(p, 101)
    p.sends()


def test_what_was_never_sent_is_not_believed(play):
    p = flight(play, 3)
    sacked(p, 101, (1101, 9101), (101, 2101), (50, 90), (2101, 2101), (3000, 2000))
    assert p.connection.sender.board.ranges == []


def test_all_holes_are_filled_as_pipe_allows_then_new_text_leaves(play):
    """Segments 1, 3 and 5 of ten are lost: one round trip mends all of it."""
    p = flight(play)
    p.send(3000)
    sacked(p, 101, (1101, 2101))
    sacked(p, 101, (1101, 2101), (3101, 4101))
    sacked(p, 101, (1101, 2101), (3101, 4101), (5101, 6101))
    p.sends(text(101))  # pipe is 7: 4 in the tail, 2 holes that may not be lost, 1 sent again; cwnd is 5
    sacked(p, 101, (5101, 7101), (3101, 4101), (1101, 2101))
    p.sends()  # pipe is 5: 3 in the tail, 1 hole, 1 sent again
    sacked(p, 101, (5101, 8101), (3101, 4101), (1101, 2101))
    p.sends(text(2101), text(4101))  # pipe was 3: 2 in the tail, 1 sent again
    sacked(p, 101, (5101, 9101), (3101, 4101), (1101, 2101))
    p.sends(text(10101))
    sacked(p, 2101, (5101, 10101), (3101, 4101))
    p.sends(text(11101), text(12101))
    sacked(p, 10101)
    p.sends()
    assert p.connection.sender.recover is None
    assert p.connection.sender.cwnd == 5000


def test_without_new_text_even_a_hole_that_may_not_be_lost_is_filled(play):
    """NextSeg() (3)."""
    p = flight(play, 6)
    sacked(p, 101, (1101, 3101), (4101, 5101))
    sacked(p, 101, (1101, 3101), (4101, 6101))
    p.sends(text(101), text(3101))


def test_the_last_segment_is_sent_again_once(play):
    """NextSeg() (4): nobody would report the loss of the last one."""
    p = flight(play, 6)
    sacked(p, 101, (1101, 5101))
    p.sends(text(101), text(5101))
    sacked(p, 1101, (1101, 5101))
    p.sends()


def test_a_fin_in_the_tail_is_sent_again(play):
    p = flight(play, 5)
    p.close()
    p.sends("<SEQ=5101><ACK=301><CTL=FIN,ACK>")
    sacked(p, 101, (1101, 5101))
    p.sends(text(101), "<SEQ=5101><ACK=301><CTL=FIN,ACK>")
    sacked(p, 5101)
    assert p.state == "FIN-WAIT-1"
    sacked(p, 5102)
    assert p.state == "FIN-WAIT-2"


def test_a_timeout_believes_no_report(play):
    """RFC 2018, 8: the peer may have dropped what it reported. It may report anew."""
    p = flight(play, 4)
    sacked(p, 101, (1101, 2101))
    assert p.connection.sender.board.ranges
    p.sends_at(1, text(101))
    assert p.connection.sender.board.ranges == []
    sacked(p, 1101)
    p.sends(text(1101), text(2101))


def test_after_a_timeout_what_is_reported_is_passed_over(play):
    p = flight(play, 4)
    p.sends_at(1, text(101))
    sacked(p, 1101, (2101, 3101))
    p.sends(text(1101))
    sacked(p, 3101)
    p.sends(text(3101))


def test_after_a_timeout_a_report_starts_no_recovery(play):
    p = flight(play, 6)
    p.sends_at(1, text(101))
    sacked(p, 101, (1101, 5101))
    p.sends()
    assert p.connection.sender.recover is None


def test_a_peer_that_gives_up_what_it_reported(play):
    """Its acknowledgment reaches into a range: of that range nothing is believed."""
    p = flight(play, 6)
    sacked(p, 101, (1101, 3101))
    sacked(p, 2101)
    assert p.connection.sender.board.ranges == []
    p.sends_at(1, text(2101))


def test_without_sack_recovery_is_that_of_rfc_6582(play):
    p = flight(play, 10, sack=False)
    for _ in range(3):
        sacked(p, 101, (1101, 9101))
    p.sends(text(101))
    sacked(p, 2101)
    p.sends(text(2101))


# RFC 3042


@pytest.mark.parametrize("sack", [True, False])
def test_the_first_two_duplicates_let_new_text_out(play, sack):
    p = flight(play, 10, sack=sack, limited_transmit=True)
    p.send(5000)
    p.sends()
    for n in (1, 2):
        sacked(p, 101, (1101, 1101 + 1000 * n))
        p.sends(text(9101 + 1000 * n))
    sacked(p, 101, (1101, 4101))
    p.sends(text(101))
    assert p.connection.sender.ssthresh == 5000  # what limited transmit sent does not count


# The scoreboard, against the RFC's octets

MSS = 4
UNA = st.sampled_from([100, 2**32 - 30])
BLOCKS = st.lists(st.tuples(st.integers(-5, 65), st.integers(-5, 65)), max_size=8)


@given(UNA, BLOCKS, st.integers(0, 60), st.integers(0, 60))
def test_the_scoreboard_counts_as_the_rfc_does(una, blocks, filled, acknowledged):
    tcb = Tcb(una)
    tcb.snd_nxt = seq_add(una, 60)
    board = Scoreboard(tcb)
    octets: set[int] = set()
    for left, right in blocks:
        valid = 0 < left < right <= 60
        new = set(range(left, right)) - octets if valid else set()
        assert board.update(((seq_add(una, left), seq_add(una, right)),)) == bool(new)
        octets |= new
    board.high_rxt = seq_add(una, filled)
    starts = sorted(octet for octet in octets if octet - 1 not in octets)

    def lost(octet: int) -> bool:
        beyond = [other for other in octets if other > octet]
        return sum(start > octet for start in starts) >= 3 or len(beyond) > 2 * MSS

    holes = [octet for octet in range(60) if octet not in octets]
    assert board.pipe(MSS) == sum((not lost(o)) + (o < filled and o < max(octets, default=-1)) for o in holes)
    for only_lost in (True, False):
        want = [o for o in holes if filled <= o < max(octets, default=-1) and (lost(o) or not only_lost)]
        found = board.hole(MSS, only_lost)
        assert (None if found is None else seq_diff(found[0], una)) == (want[0] if want else None)
    free = next((o for o in range(acknowledged, 61) if o not in octets), 60)
    assert seq_diff(board.unreported(seq_add(una, acknowledged)), una) == free
    tcb.snd_una = seq_add(una, acknowledged)
    board.advance()
    assert all(seq_diff(left, tcb.snd_una) > 0 for left, _ in board.ranges)
    assert seq_diff(board.high_rxt, tcb.snd_una) >= 0
