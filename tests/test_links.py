"""Links: order, delay, rate, chance, queue, cuts; the same seed and arrivals give the same fate."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from statistics import mean, stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpclose.links import LOSSES, QUEUE_FLOOR, Burst, Deed, Line, LinkSettings, Order, direction, link_random

settings = st.builds(
    lambda delay, rate, loss, queue: LinkSettings(delay, rate=rate, loss=loss, queue=queue if rate else None),
    delay=st.integers(0, 100_000),
    rate=st.none() | st.integers(1_000, 10**9),
    loss=st.sampled_from([0.0, 0.1, 0.5]),
    queue=st.none() | st.integers(1, 20),
)
#: Every option that leaves something to chance, with a value that shows.
CHANCES: dict[str, dict[str, Any]] = {
    "loss": {"loss": 0.3},
    "burst": {"burst": Burst(0.2, 0.4, 0.1, 0.9)},
    "jitter": {"jitter": 900, "distribution": "pareto"},
    "duplicate": {"duplicate": 0.3},
    "reorder": {"reorder": 0.3, "reorder_by": 5_000},
    "corrupt": {"corrupt": 0.3},
}
#: Gaps before each frame (us) and its length in octets.
arrivals = st.lists(st.tuples(st.integers(0, 20_000), st.integers(14, 1514)), max_size=60)


#: A damaged frame is one of a number that no other has.
DAMAGED = 1_000_000


def line(settings: LinkSettings, seed: int = 1, name: str = "h1>s1") -> Line[int]:
    return Line(settings, link_random(seed, "h1-s1", name), lambda frame, place: frame + DAMAGED)


def loss(line: Line[int], frame: int, octets: int, now: int) -> str | None:
    """Offer a frame; why it is lost."""
    return next((deed.what for deed in line.offer(frame, octets, now) if deed.loses), None)


def play(line: Line[int], arrivals: list[tuple[int, int]]) -> tuple[dict[int, tuple[int, int]], dict[int, str]]:
    """Offer frame 0, 1, 2 ...: those delivered with (offered, arrived), and those lost with the reason."""
    now, offered, lost = 0, {}, {}
    for number, (gap, octets) in enumerate(arrivals):
        now += gap
        offered[number] = now
        if reason := loss(line, number, octets, now):
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
    flying = [number for number, octets in enumerate(lengths) if not subject.offer(number, octets, 0)]
    assert subject.cut() == flying
    assert subject.cut() == []
    assert loss(subject, 98, 100, 1) == "down"
    assert subject.next_due() is None
    subject.restore()
    fates = {loss(subject, 99, 100, 2) for _ in range(3)}
    assert fates <= {None, "loss", "queue"}


def test_a_cut_frees_the_sender():
    subject = line(LinkSettings(rate=1_000, queue=1))
    subject.offer(1, 1250, 0)
    subject.cut()
    subject.restore()
    assert not subject.offer(2, 125, 1_000)
    assert subject.next_due() == 1_001_000


def test_a_silent_sender_is_not_heard_but_what_it_said_before_arrives():
    subject = line(LinkSettings(delay=5))
    subject.offer(1, 100, 0)
    subject.silent = True
    assert loss(subject, 2, 100, 1) == "silent"
    subject.silent = False
    assert not subject.offer(3, 100, 2)
    assert subject.due(4) == []
    assert subject.due(7) == [1, 3]


@pytest.mark.parametrize(
    "fields",
    [
        {"delay": -1},
        {"jitter": -1},
        {"rate": 0},
        {"loss": 1.01},
        {"loss": -0.1},
        {"duplicate": 2},
        {"corrupt": 2},
        {"rate": 1, "queue": 0},
        {"queue": 5},
        {"mtu": 67},
        {"mtu": 65536},
        {"reorder": 0.1},
        {"reorder_by": 5},
        {"distribution": "gauss"},
    ],
)
def test_settings_that_cannot_be_are_refused(fields: dict[str, Any]):
    with pytest.raises(ValueError, match=next(reversed(fields))):
        LinkSettings(**fields)


@pytest.mark.parametrize("shares", [(1.1, 0.5), (0.5, -0.1), (0.5, 0.5, 2.0), (0.5, 0.5, 0.0, 2.0)])
def test_bursts_that_cannot_be_are_refused(shares: tuple[float, ...]):
    with pytest.raises(ValueError, match="burst"):
        Burst(*shares)


# ---- Chance


def deeds(line: Line[int], arrivals: list[tuple[int, int]]) -> list[tuple[Deed, ...]]:
    """What the line does to each frame."""
    now, done = 0, []
    for number, (gap, octets) in enumerate(arrivals):
        now += gap
        done.append(line.offer(number, octets, now))
    return done


def arrived(line: Line[int]) -> list[tuple[int, int]]:
    """All that is under way, with the time of its arrival."""
    found = []
    while (when := line.next_due()) is not None:
        found += [(frame, when) for frame in line.due(when)]
    return found


@given(st.sets(st.sampled_from(sorted(CHANCES))), settings, arrivals, st.integers())
def test_same_seed_and_arrivals_give_the_same_deeds(
    options: set[str], settings: LinkSettings, arrivals: list[tuple[int, int]], seed: int
):
    chosen = replace(settings, **{key: value for option in options for key, value in CHANCES[option].items()})
    one, two = line(chosen, seed), line(chosen, seed)
    assert deeds(one, arrivals) == deeds(two, arrivals)
    assert arrived(one) == arrived(two)


@pytest.mark.parametrize("other", CHANCES)
@pytest.mark.parametrize("option", CHANCES)
def test_an_option_more_does_not_change_what_the_others_do(option: str, other: str):
    """Each purpose has its own stream, which draws for every frame. What is lost can of course not be copied."""
    frames = [(10_000, 100)] * 200
    alone = line(LinkSettings(delay=20_000, **CHANCES[option]))
    both = line(LinkSettings(delay=20_000, **CHANCES[option] | CHANCES[other]))
    for before, after in zip(deeds(alone, frames), deeds(both, frames), strict=True):
        if not any(deed.loses for deed in after):
            assert set(before) <= set(after)
    lost = {frame for frame, _ in arrived(alone)} - {frame for frame, _ in arrived(both)}
    assert not lost or other in ("loss", "burst", "corrupt")


@pytest.mark.parametrize("option", CHANCES)
def test_each_purpose_has_a_stream_of_its_own(option: str):
    drawn = {link_random(1, "h1-s1", "h1>s1")(purpose).random() for purpose in (*CHANCES, "h1>s1")}
    assert len(drawn) == len(CHANCES) + 1
    ways = [line(LinkSettings(delay=20_000, **CHANCES[option]), name=name) for name in ("h1>s1", "s1>h1")]
    there, back = ((deeds(way, [(10_000, 100)] * 200), arrived(way)) for way in ways)
    assert there != back


@pytest.mark.parametrize("option", ["duplicate", "reorder", "corrupt"])
def test_the_share_of_frames_is_the_one_ordered(option: str):
    settings = LinkSettings(**{option: 0.1} | ({"reorder_by": 5} if option == "reorder" else {}))
    done = deeds(line(settings), [(1, 100)] * 10_000)
    assert 900 < sum(deed == (Deed(option),) for deed in done) < 1_100
    assert {deed for deed in done if deed} == {(Deed(option),)}


@pytest.mark.parametrize(
    ("distribution", "least", "most"),
    [("uniform", 9_000, 11_000), ("normal", 5_000, 15_000), ("pareto", 9_400, 60_000)],
)
def test_jitter_follows_its_distribution(distribution: Any, least: int, most: int):
    subject = line(LinkSettings(delay=10_000, jitter=1_000, distribution=distribution))
    deeds(subject, [(1_000_000, 100)] * 5_000)
    delays = [when - 1_000_000 * (number + 1) for number, when in arrived(subject)]
    assert least <= min(delays) < max(delays) <= most
    assert mean(delays) == pytest.approx(10_000, abs=50)
    assert stdev(delays) == pytest.approx(577 if distribution == "uniform" else 1_000, rel=0.15)
    if distribution == "pareto":  # mostly a little sooner, now and then much later
        assert sum(delay < 10_000 for delay in delays) > 3_000
        assert max(delays) > 15_000


@given(st.sampled_from(["uniform", "normal", "pareto"]), st.integers(0, 5_000), settings, arrivals)
def test_jitter_keeps_the_order_and_does_not_turn_back_time(
    distribution: Any, jitter: int, settings: LinkSettings, arrivals: list[tuple[int, int]]
):
    delivered, _ = play(line(replace(settings, jitter=jitter, distribution=distribution)), arrivals)
    assert list(delivered) == sorted(delivered)
    assert all(arrived >= offered for offered, arrived in delivered.values())


def test_bursts_are_as_long_and_as_frequent_as_ordered():
    burst = Burst(p=0.01, r=0.25)
    lost = [bool(done) for done in deeds(line(LinkSettings(burst=burst)), [(1, 100)] * 100_000)]
    assert burst.share == pytest.approx(0.01 / 0.26)
    assert mean(lost) == pytest.approx(burst.share, rel=0.1)
    begun = sum(here and not before for before, here in pairwise(lost))
    assert sum(lost) / begun == pytest.approx(1 / burst.r, rel=0.1)


def test_a_burst_model_loses_in_both_states_as_told():
    burst = Burst(p=0.5, r=0.5, good=0.1, bad=0.7)
    done = deeds(line(LinkSettings(burst=burst)), [(1, 100)] * 20_000)
    assert mean(map(bool, done)) == pytest.approx(burst.share, rel=0.05)
    assert {deed.what for frame in done for deed in frame} == {"burst"}
    assert Burst(p=0.0, r=0.0, good=0.25).share == 0.25


# ---- More than once, later, damaged, too long


def test_a_copy_follows_right_behind_and_takes_its_time_on_the_line():
    subject = line(LinkSettings(delay=1_000, rate=10**6, duplicate=1.0, queue=3))
    assert deeds(subject, [(0, 125), (0, 125)]) == [(Deed("duplicate"),), ()]  # no room for the second copy
    assert arrived(subject) == [(0, 2_000), (0, 3_000), (1, 4_000)]


def test_a_reordered_frame_lets_others_pass():
    subject = line(LinkSettings(delay=1_000, reorder=0.5, reorder_by=2_500))
    late = [bool(done) for done in deeds(subject, [(1_000, 100)] * 50)]
    times = dict(arrived(subject))
    assert times == {n: 1_000 * (n + 1) + 1_000 + 2_500 * late[n] for n in range(50)}
    assert list(times) != sorted(times)


def test_strays_and_others_arrive_in_the_order_of_time():
    subject = line(LinkSettings())
    assert subject.offer(1, 100, 0, [Order("hold", "rule", 10)]) == (Deed("hold", "rule"),)
    subject.offer(2, 100, 5)
    subject.offer(3, 100, 10)
    assert subject.next_due() == 5
    assert subject.due(10) == [2, 1, 3]
    subject.offer(4, 100, 11, [Order("hold", "rule", 10)])
    subject.offer(5, 100, 12)
    assert subject.cut() == [4, 5]
    assert subject.next_due() is None


def test_a_damaged_frame_goes_on_and_its_copy_is_whole():
    subject = line(LinkSettings(corrupt=1.0, duplicate=1.0))
    assert set(subject.offer(1, 100, 0)) == {Deed("corrupt"), Deed("duplicate")}
    assert subject.due(0) == [1 + DAMAGED, 1]


def test_a_frame_too_long_is_lost():
    subject = line(LinkSettings(mtu=576))
    assert subject.offer(1, 590, 0) == ()
    assert subject.offer(2, 591, 0) == (Deed("mtu"),)
    assert line(LinkSettings()).offer(3, 1515, 0) == (Deed("mtu"),)


def test_orders_are_followed_and_a_lost_frame_suffers_nothing_else():
    subject = line(LinkSettings())
    hold, copy = Order("hold", "the FIN", 300), Order("duplicate", "all")
    assert subject.offer(1, 100, 0, [hold, copy]) == (Deed("hold", "the FIN"), Deed("duplicate", "all"))
    assert subject.offer(2, 100, 0, [Order("corrupt", "that")]) == (Deed("corrupt", "that"),)
    assert subject.offer(3, 100, 0, [hold, Order("drop", "no")]) == (Deed("fate", "no"),)
    assert arrived(subject) == [(2 + DAMAGED, 0), (1, 300), (1, 300)]
    assert not any(Deed(what).loses for what in ("hold", "duplicate", "corrupt", "reorder"))
    assert all(Deed(what).loses for what in LOSSES)


@given(arrivals)
def test_the_longest_way_is_told(arrivals: list[tuple[int, int]]):
    settings = LinkSettings(10_000, 100, "normal", 10**5, 20, reorder=0.5, reorder_by=700)
    subject = line(settings)
    deeds(subject, arrivals)
    offered = dict(enumerate(sum(gap for gap, _ in arrivals[: n + 1]) for n in range(len(arrivals))))
    assert all(when - offered[frame] <= settings.longest_way for frame, when in arrived(subject))
