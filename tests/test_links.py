"""Links: order, delay, rate, loss, queue, cuts; the same seed and arrivals give the same fate."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpclose.links import QUEUE_FLOOR, Line, LinkSettings, direction, link_random

settings = st.builds(
    lambda delay, rate, loss, queue: LinkSettings(delay, rate, loss, queue if rate else None),
    delay=st.integers(0, 100_000),
    rate=st.none() | st.integers(1_000, 10**9),
    loss=st.sampled_from([0.0, 0.1, 0.5]),
    queue=st.none() | st.integers(1, 20),
)
#: Gaps before each frame (us) and its length in octets.
arrivals = st.lists(st.tuples(st.integers(0, 20_000), st.integers(14, 1514)), max_size=60)


def line(settings: LinkSettings, seed: int = 1, name: str = "h1>s1") -> Line[int]:
    return Line(settings, link_random(seed, "h1-s1", name))


def play(line: Line[int], arrivals: list[tuple[int, int]]) -> tuple[dict[int, tuple[int, int]], dict[int, str]]:
    """Offer frame 0, 1, 2 ...: those delivered with (offered, arrived), and those lost with the reason."""
    now, offered, lost = 0, {}, {}
    for number, (gap, octets) in enumerate(arrivals):
        now += gap
        offered[number] = now
        if reason := line.offer(number, octets, now):
            lost[number] = reason
    delivered = {}
    while (when := line.next_due()) is not None:
        delivered.update((frame, (offered[frame], when)) for frame in line.due(when))
    return delivered, lost


@given(settings, arrivals)
def test_frames_keep_their_order_and_take_at_least_the_delay(settings: LinkSettings, arrivals: list[tuple[int, int]]):
    delivered, lost = play(line(settings), arrivals)
    assert list(delivered) == sorted(delivered)
    assert sorted([*delivered, *lost]) == list(range(len(arrivals)))
    assert all(arrived >= offered + settings.delay for offered, arrived in delivered.values())
    if settings.rate is None:
        assert all(arrived == offered + settings.delay for offered, arrived in delivered.values())


@given(settings, arrivals, st.integers())
def test_same_seed_and_arrivals_give_the_same_fate(settings: LinkSettings, arrivals: list[tuple[int, int]], seed: int):
    assert play(line(settings, seed), arrivals) == play(line(settings, seed), arrivals)


@given(arrivals, st.integers(1_000, 10**9))
def test_the_rate_is_respected_to_the_microsecond(arrivals: list[tuple[int, int]], rate: int):
    delivered, _ = play(line(LinkSettings(rate=rate)), arrivals)
    for (_, (_, before)), (frame, (offered, arrived)) in pairwise(delivered.items()):
        needed = arrivals[frame][1] * 8 * 1_000_000 / rate
        assert abs(arrived - (max(before, offered) + needed)) <= 1


def test_roundings_of_the_rate_do_not_add_up():
    delivered, _ = play(line(LinkSettings(rate=10**9, queue=10_000)), [(0, 60)] * 10_000)
    assert delivered[9_999][1] == 4_800


@given(arrivals, st.integers(1, 20))
def test_loss_does_not_depend_on_the_queue(arrivals: list[tuple[int, int]], queue: int):
    _, wide = play(line(LinkSettings(rate=10**6, loss=0.3, queue=10_000)), arrivals)
    _, narrow = play(line(LinkSettings(rate=10**6, loss=0.3, queue=queue)), arrivals)
    assert {frame for frame, why in narrow.items() if why == "loss"} == set(wide)


def test_the_share_of_lost_frames_is_the_one_ordered():
    _, lost = play(line(LinkSettings(loss=0.1)), [(1, 100)] * 10_000)
    assert 900 < len(lost) < 1_100


def test_each_direction_has_its_own_stream():
    fates = [play(line(LinkSettings(loss=0.5), name=name), [(1, 100)] * 100)[1] for name in ("h1>s1", "s1>h1")]
    assert fates[0] != fates[1]
    assert direction("h1", "s1") == "h1>s1"


def test_a_queue_holds_as_many_frames_as_its_limit():
    _, lost = play(line(LinkSettings(rate=10**6, queue=3)), [(0, 1250)] * 5)
    assert lost == {3: "queue", 4: "queue"}
    # A frame of 1250 octets takes 10 ms: when it is sent, its place is free.
    assert play(line(LinkSettings(rate=10**6, queue=3)), [(0, 1250)] * 3 + [(10_000, 1250)])[1] == {}


def test_the_queue_is_sized_to_bandwidth_times_delay():
    assert LinkSettings(rate=10**9, delay=100_000).queue_limit == 10**8 // (1514 * 8)
    assert LinkSettings(rate=10**6, delay=1_000).queue_limit == QUEUE_FLOOR


@given(settings, st.lists(st.integers(14, 1514), max_size=20))
def test_a_cut_loses_what_is_in_flight_and_what_is_offered(settings: LinkSettings, lengths: list[int]):
    subject = line(settings)
    flying = [number for number, octets in enumerate(lengths) if subject.offer(number, octets, 0) is None]
    assert subject.cut() == flying
    assert subject.cut() == []
    assert subject.offer(98, 100, 1) == "down"
    assert subject.next_due() is None
    subject.restore()
    fates = {subject.offer(99, 100, 2) for _ in range(3)}
    assert fates <= {None, "loss", "queue"}


def test_a_cut_frees_the_sender():
    subject = line(LinkSettings(rate=1_000, queue=1))
    subject.offer(1, 1250, 0)
    subject.cut()
    subject.restore()
    assert subject.offer(2, 125, 1_000) is None
    assert subject.next_due() == 1_001_000


def test_a_silent_sender_is_not_heard_but_what_it_said_before_arrives():
    subject = line(LinkSettings(delay=5))
    subject.offer(1, 100, 0)
    subject.silent = True
    assert subject.offer(2, 100, 1) == "silent"
    subject.silent = False
    assert subject.offer(3, 100, 2) is None
    assert subject.due(4) == []
    assert subject.due(7) == [1, 3]


@pytest.mark.parametrize(
    "fields", [{"delay": -1}, {"rate": 0}, {"loss": 1.01}, {"loss": -0.1}, {"rate": 1, "queue": 0}, {"queue": 5}]
)
def test_settings_that_cannot_be_are_refused(fields: dict[str, int]):
    with pytest.raises(ValueError, match=next(reversed(fields))):
        LinkSettings(**fields)
