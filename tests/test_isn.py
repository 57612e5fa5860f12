"""Initial sequence numbers and timestamp offsets: RFC 6528."""

from __future__ import annotations

from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.datagram import Datagram, Endpoint, Pair
from tcpclose.protocol.isn import initial_sequence_number, timestamp_offset
from tcpclose.protocol.segment import MODULUS, SYN, Segment, seq_diff
from tcpclose.protocol.stack import Stack

SECRET = bytes(range(16))
HERE, THERE = Endpoint("10.0.0.1", 40001), Endpoint("10.0.0.2", 80)


def test_numbers_of_one_pair_grow_by_one_every_four_microseconds():
    first = initial_sequence_number(SECRET, HERE, THERE, 0)
    assert initial_sequence_number(SECRET, HERE, THERE, 3) == first
    assert initial_sequence_number(SECRET, HERE, THERE, 4_000_000) == (first + 1_000_000) % MODULUS
    turn = 4 * MODULUS
    assert seq_diff(initial_sequence_number(SECRET, HERE, THERE, turn - 4), first) == -1
    assert initial_sequence_number(SECRET, HERE, THERE, turn) == first


def test_every_part_of_the_pair_and_the_secret_matter():
    others = [
        initial_sequence_number(SECRET, HERE, THERE, 0),
        initial_sequence_number(bytes(16), HERE, THERE, 0),
        initial_sequence_number(SECRET, THERE, HERE, 0),
        initial_sequence_number(SECRET, HERE._replace(port=40002), THERE, 0),
        initial_sequence_number(SECRET, HERE, THERE._replace(address="10.0.0.3"), 0),
        timestamp_offset(SECRET, HERE, THERE),
        timestamp_offset(bytes(16), HERE, THERE),
    ]
    assert len(set(others)) == len(others)
    assert all(0 <= number < MODULUS for number in others)


def test_numbers_are_spread_over_the_whole_space():
    numbers = [initial_sequence_number(SECRET, HERE._replace(port=port), THERE, 0) for port in range(1024, 5120)]
    quarters = [sum(number >> 30 == quarter for number in numbers) for quarter in range(4)]
    assert all(900 < count < 1150 for count in quarters)


# A stack takes its numbers from there


def syn(now: int, secret: bytes = SECRET, iss: int | None = None) -> Segment:
    """The SYN that a stack sends when it opens a connection at the time `now`."""
    stack = Stack(TcpConfig(timestamps=True), secret, lambda pair: iss)
    stack.open(Pair(HERE, THERE), now)
    return stack.datagrams_to_send()[0].segment


def test_an_active_open_counts_from_the_clock_and_the_secret():
    assert syn(0).seq == initial_sequence_number(SECRET, HERE, THERE, 0)
    assert syn(8_000_000).seq == (syn(0).seq + 2_000_000) % MODULUS
    assert syn(0, bytes(16)).seq != syn(0).seq


def test_a_passive_open_does_too():
    stack = Stack(TcpConfig(), SECRET)
    stack.listen(HERE.port)
    stack.segment_arrives(Datagram(THERE, HERE, Segment(300, ctl=SYN)), 4_000)
    assert stack.datagrams_to_send()[0].segment.seq == initial_sequence_number(SECRET, HERE, THERE, 4_000)


def test_a_number_can_be_chosen_and_zero_is_one():
    assert syn(5_000, iss=0).seq == 0


def test_the_clock_of_timestamps_starts_anywhere_and_goes_on_from_connection_to_connection():
    offset = timestamp_offset(SECRET, HERE, THERE)
    assert syn(7_000).timestamps == ((offset + 7) % MODULUS, 0)
    assert syn(7_000, bytes(16)).timestamps != syn(7_000).timestamps
