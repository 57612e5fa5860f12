"""The sequence chart: numbers over time, and the timers behind what was sent again."""

from __future__ import annotations

from itertools import combinations

import pytest
from matplotlib.patches import FancyArrowPatch
from scenarios import talk
from tale import DELAY, Tale, late, seen_from_outside
from test_charts import CUT_OFF, DRAWN, ODD, texts

from tcpclose.charts.progress import directions
from tcpclose.charts.sequence import PANELS, sequence_figure
from tcpclose.charts.timescale import Timescale
from tcpclose.simulator import simulate
from tcpclose.topology import load_network
from tcpclose.trace.events import Sent, Trace


def backing_off() -> Trace:
    """Text that is lost four times; the fourth timer expires late."""
    tale = Tale().open().call("h1", "send", 100).send("h1", "ACK", 1, 1, 100, lost="loss", stay=True)
    for wait in (250_000, 500_000, 1_000_000, 3_000_000):
        tale.wait(wait).expire("h1").send("h1", "PSH,ACK", 1, 1, 100, lost="loss", stay=True)
    return tale.wait(DELAY).send("h2", "ACK", 1, 101).trace()


@pytest.mark.parametrize("trace", [backing_off(), seen_from_outside(backing_off())], ids=["told", "seen"])
def test_intervals_are_between_what_a_timer_sent_again(trace: Trace) -> None:
    (way,) = directions(trace)
    assert (way.source, way.target, way.octets) == ("h1", "h2", 500)
    assert [interval.length for interval in way.intervals] == [250_000, 500_000, 1_000_000, 3_000_000]
    assert [interval.before for interval in way.intervals] == [None, 250_000, 500_000, 1_000_000]
    starts = [interval.start for interval in way.intervals]
    assert [interval.doubled for interval in way.intervals] == [None, starts[1] + 500_000, starts[2] + 10**6,
                                                                starts[3] + 2 * 10**6]  # fmt: skip


def test_what_is_sent_again_because_of_acknowledgments_shows_no_timer() -> None:
    tale = Tale().open()
    tale.send("h1", "ACK", 1, 1, 100, lost="loss", stay=True).send("h1", "ACK", 101, 1, 100)
    for _ in range(3):
        tale.send("h2", "ACK", 1, 1)
    trace = tale.send("h1", "ACK", 1, 1, 100).trace()
    for seen in (trace, late(trace), seen_from_outside(trace)):
        (way,) = directions(seen)
        assert any(flight.retransmission for flight in way.sent)
        assert way.intervals == []


def test_acknowledgments_and_windows_only_advance() -> None:
    for trace in DRAWN.values():
        for way in directions(trace):
            acks = [known.ack for known in way.heard]
            assert acks == sorted(acks)
            assert all(known.edge >= known.ack for known in way.heard)


def test_a_connection_that_is_opened_again_is_acknowledged_again() -> None:
    tale = Tale().open().text(3).close(3_000)
    tale.states["h2"] = "LISTEN"
    tale.open().text(1)
    (way,) = directions(tale.trace())
    assert [known.ack for known in way.heard] == [1, 1001, 2001, 3001, 3002, 3002, 1, 1001]


@pytest.mark.parametrize("scaled", [True, False])
def test_the_window_is_scaled_when_both_syns_offer_it(scaled: bool) -> None:
    tables = '[host.h1]\nprofile = "linux"\n' + ('[host.h2]\nprofile = "linux"\n' if scaled else "")
    scenario = talk(octets="100kB", tables=tables)
    trace = simulate(scenario, load_network(scenario))
    offers = {sent.host: sent.wscale for sent in trace.of(Sent) if "SYN" in sent.ctl}
    assert (offers["h1"] is None, offers["h2"] is None) == (False, not scaled)
    (way,) = directions(trace)
    widest = max(known.edge - known.ack for known in way.heard[1:])
    raw = max(sent.wnd for sent in trace.of(Sent) if sent.host == "h2" and "SYN" not in sent.ctl)
    assert widest == (raw << offers["h2"] if scaled else raw)


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.slow
def test_no_two_texts_overlap_and_none_leaves_the_picture(name: str) -> None:
    figure = sequence_figure(DRAWN[name])
    placed = list(texts(figure))
    assert len(placed) > 8
    assert not [(one, two) for (one, a), (two, b) in combinations(placed, 2) if a.meets(b)]
    width, height = figure.bbox.size
    assert all(-1 <= x <= width + 1 and -1 <= y <= height + 1 for _, box in placed for x, y in box.corners)


def test_intervals_are_drawn_at_their_times() -> None:
    trace = backing_off()
    figure = sequence_figure(trace)
    (way,) = directions(trace)
    drawn = [arrow for arrow in figure.findobj(FancyArrowPatch) if "interval" in str(arrow.get_gid())]
    assert [arrow.get_gid() for arrow in drawn] == [f"c1-h1-interval-{number}" for number in range(4)]
    lengths = [path[2][0] - path[0][0] for arrow in drawn for path in [arrow.get_path().vertices]]
    for interval, length in zip(way.intervals, lengths, strict=True):
        share = interval.length / way.intervals[-1].length
        assert length / lengths[-1] == pytest.approx(share, rel=0.05, abs=0.01)
    words = [text for text, _ in texts(figure)]
    assert {"250 ms", "500 ms (2.0 \u00d7)", "3.00 s (3.0 \u00d7)", "twice the interval before (RFC 6298)"} <= set(
        words
    )


def test_faults_losses_and_resets_are_in_the_legend() -> None:
    words = {text for text, _ in texts(sequence_figure(CUT_OFF))}
    assert {"link h1-s1 down", "fault", "lost", "sent again", "RST", "SYN", "acknowledged"} <= words
    assert "FIN" not in words


def test_a_long_silence_is_folded_and_a_backoff_is_not() -> None:
    scale = Timescale([0, 10, 20, 10_000_000, 10_000_010], 1.0, 7.0)
    (silence,) = scale.silences
    assert (silence.start, silence.end) == (20, 10_000_000)
    assert [round(scale(t), 2) for t in (0, 20, 10_000_000, 10_000_010)] == [1.0, 5.43, 5.78, 8.0]
    assert scale(-5) == 1.0
    assert scale(10**9) == 8.0
    assert Timescale([0, 10, 10_000_000], 0, 7, [(10, 10_000_000)]).silences == []


def test_many_directions_are_told() -> None:
    trace = Tale().trace(*(Tale(f"c{n}", n * 1000).open().send("h1", "ACK", 1, 1, 10) for n in range(12)))
    assert f"{12 - PANELS} more directions are not shown." in [text for text, _ in texts(sequence_figure(trace))]


@pytest.mark.parametrize("name", ODD)
def test_odd_runs(name: str) -> None:
    figure = sequence_figure(ODD[name][0])
    assert list(texts(figure))
    assert max(figure.get_size_inches()) < 60
