"""Charts: where things stand in them. Geometry, not pixels."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import combinations
from math import radians
from pathlib import Path

import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.text import Text
from tale import ADDRESSES, DELAY, Tale

from tcpclose.charts import draw_ladder, draw_states, style
from tcpclose.charts.condense import ARROWS, Arrow, condense
from tcpclose.charts.ladder import PANELS, ladder_figure
from tcpclose.charts.panel import label
from tcpclose.charts.placing import Board, Box
from tcpclose.charts.rows import SLANT, lay_out
from tcpclose.charts.states import BARS, states_figure
from tcpclose.charts.story import stories
from tcpclose.protocol.fsm import TRANSITIONS, State
from tcpclose.trace.events import Event, SegmentEvent, Sent, Trace
from tcpclose.trace.flights import flights

SIX = Tale().open().close().trace()
FORTY = Tale().open().text(17).close(17_000).trace()
TWO_HUNDRED = Tale().open().text(97).close(97_000).trace()


def burst(segments: int) -> Trace:
    """All text is under way before the first acknowledgment."""
    tale = Tale().open().call("h1", "send", segments * 1000)
    start = tale.now
    for number in range(segments):
        tale.send("h1", "ACK", 1 + number * 1000, 1, 1000, stay=True)
    tale.wait(20_000)
    for number in range(segments):
        tale.send("h2", "ACK", 1, 1 + (number + 1) * 1000, stay=True)
    assert tale.now == start + 20_000
    return tale.wait(20_000).close(segments * 1000).trace()


def simultaneous() -> Trace:
    tale = (
        Tale().open().wait(50_000).call("h1", "close").become("h1", "FIN-WAIT-1").send("h1", "FIN,ACK", 1, 1, stay=True)
    )
    tale.call("h2", "close").become("h2", "FIN-WAIT-1").send("h2", "FIN,ACK", 1, 1)
    tale.become("h1", "CLOSING").send("h1", "ACK", 2, 2, stay=True).become("h2", "CLOSING").send("h2", "ACK", 2, 2)
    return tale.become("h1", "TIME-WAIT").become("h2", "TIME-WAIT").trace()


def cut_off() -> Trace:
    """Losses, retransmissions, a fault, silences, a reset that nobody hears and one that is heard."""
    tale = Tale().open().call("h1", "send", 100).send("h1", "ACK", 1, 1, 100, lost="loss").wait(80_000)
    tale.fault("link_down", "h1-s1")
    for wait in (250_000, 500_000, 1_000_000):
        tale.wait(wait).send("h1", "PSH,ACK", 1, 1, 100, lost="down")
    tale.become("h1", "CLOSED", "USER_TIMEOUT").end("h1", "user timeout").send("h1", "RST,ACK", 101, 1, lost="down")
    tale.wait(1_000_000).fault("link_up", "h1-s1").wait(300_000).fault("silent", "h3").wait(10).call(
        "h2", "send", 9
    ).send("h2", "ACK", 1, 1, 9)
    tale.send("h1", "RST", 1, owned=False).become("h2", "CLOSED", "RST").end("h2", "reset by peer")
    return tale.trace()


def three_hosts() -> Trace:
    tale = Tale().open().wait(30_000).send("h3", "RST", 1, to="h2").become("h2", "CLOSED").end("h2", "reset by peer")
    return tale.wait(400_000).call("h1", "send", 10).send("h1", "ACK", 1, 1, 10).send("h2", "RST", 1).trace()


def messy(seed: int) -> Trace:
    """Segments both ways with random delays, losses and repetitions."""
    rng = random.Random(f"{seed}/messy")
    tale = Tale().open()
    for _ in range(rng.randrange(4, 60)):
        tale.wait(rng.choice([0, 50, 3_000, 21_000, 400_000]))
        source, ctl = rng.choice(["h1", "h2"]), rng.choice(["ACK", "PSH,ACK", "FIN,ACK", "RST"])
        lost = rng.choice([None, None, None, "loss", "queue"])
        number, other = rng.randrange(10**6), rng.randrange(10**6)
        delay = rng.choice([10, 20_000, 25_000])
        tale.send(source, ctl, number, other, rng.choice([0, 1460]), lost=lost, delay=delay, stay=rng.random() < 0.7)
        if rng.random() < 0.2:
            tale.call(source, "close").become(source, rng.choice([state.value for state in State]))
    return tale.trace()


CUT_OFF = cut_off()


def foreign() -> Trace:
    """As from a capture: hosts are called by their addresses, and these are long."""
    names = {"h1": "2001:db8:85a3:1111:2222:8a2e:370:7334", "h2": "2001:db8:85a3:3333:4444:8a2e:370:9999"}
    ends = {ADDRESSES[host]: f"[{name}]:{ADDRESSES[host].partition(':')[2]}" for host, name in names.items()}
    events: list[Event] = []
    for event in SIX:
        if isinstance(event, SegmentEvent):
            event = replace(event, src=ends[event.src], dst=ends[event.dst])
        events.append(replace(event, host=names[event.host]) if hasattr(event, "host") else event)
    return Trace(events)


DRAWN = {
    "foreign": foreign(),
    "six": SIX,
    "forty": FORTY,
    "two hundred": TWO_HUNDRED,
    "burst": burst(14),
    "simultaneous": simultaneous(),
    "cut off": CUT_OFF,
    "three hosts": three_hosts(),
    "four connections": Tale().open().close().trace(*(Tale(f"c{n}", n * 10**6).open().close() for n in (2, 3, 4))),
} | {f"messy {seed}": messy(seed) for seed in range(8)}


#: The messy ones take longest.
every_trace = pytest.mark.parametrize(
    "trace",
    [
        pytest.param(trace, id=name, marks=[pytest.mark.slow] if name.startswith("messy") else [])
        for name, trace in DRAWN.items()
    ],
)


@cache
def ladder_of(trace: Trace) -> Figure:
    return ladder_figure(trace)


def texts(figure: Figure) -> Iterator[tuple[str, Box]]:
    """Every text of a figure with its box in pixels, leaning as it is drawn."""
    FigureCanvasAgg(figure).draw()
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if not text.get_text() or not text.get_visible():
            continue
        turn = text.get_rotation()
        text.set_rotation(0)
        flat = text.get_window_extent()
        x, y = text.get_transform().transform(text.get_position())
        text.set_rotation(turn)
        box = Box((flat.x0 + flat.x1) / 2, (flat.y0 + flat.y1) / 2, flat.width - 2, flat.height - 2)
        yield text.get_text(), turned(box, x, y, radians(turn))


@cache
def texts_of(trace: Trace) -> list[tuple[str, Box]]:
    """The texts of the ladder of a trace."""
    return list(texts(ladder_of(trace)))


def turned(box: Box, x: float, y: float, angle: float) -> Box:
    """The box turned about (x, y)."""
    centre = complex(x, y) + (complex(box.x, box.y) - complex(x, y)) * complex(*Box(0, 0, 0, 0, angle).axes[0])
    return replace(box, x=centre.real, y=centre.imag, angle=angle)


def arrows(figure: Figure, panel: str = "c1") -> dict[str, list[tuple[tuple[float, float], tuple[float, float]]]]:
    """Arrows of one panel by id: (start, end), in inches downwards."""
    found: dict[str, list[tuple[tuple[float, float], tuple[float, float]]]] = {}
    for arrow in figure.findobj(FancyArrowPatch):
        assert isinstance(arrow, FancyArrowPatch)
        gid = str(arrow.get_gid())
        if gid.startswith(f"{panel}-arrow-"):
            path = arrow.get_path().vertices
            found.setdefault(gid, []).append((tuple(path[0]), tuple(path[2])))
    return found


def bars(figure: Figure, gid: str) -> list[Rectangle]:
    return [bar for bar in figure.findobj(Rectangle) if isinstance(bar, Rectangle) and bar.get_gid() == gid]


# Style


def test_every_state_has_its_own_colour() -> None:
    assert style.STATE_COLOURS.keys() == {state.value for state in State}
    assert len(set(style.STATE_COLOURS.values())) == len(State)


def test_states_that_follow_each_other_part_in_grey() -> None:
    colours = set(State) - {State.CLOSED}  # which is a thin line
    pairs = {
        (row.state, row.next) for row in TRANSITIONS if {row.state, row.next} <= colours and row.state is not row.next
    }
    close = [
        (one.value, two.value)
        for one, two in pairs
        if abs(style.lightness(style.colour(one.value)) - style.lightness(style.colour(two.value))) < 0.07
    ]
    assert not close


def test_ink_reads_on_every_state() -> None:
    for colour in style.STATE_COLOURS.values():
        assert abs(style.lightness(colour) - style.lightness(style.on(colour))) > 0.35


@pytest.mark.parametrize("suffix", ["png", "svg"])
@pytest.mark.slow
def test_a_file_comes_out_the_same_every_time(tmp_path: Path, suffix: str) -> None:
    for draw in (draw_ladder, draw_states):
        files = [tmp_path / f"{name}.{suffix}" for name in "ab"]
        for file in files:
            draw(SIX, file)
        assert files[0].read_bytes() == files[1].read_bytes()
        assert files[0].read_bytes().startswith(b"\x89PNG" if suffix == "png" else b"<?xml")


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        draw_ladder(SIX, tmp_path / "ladder.jpeg")
    assert not list(tmp_path.iterdir())


def test_the_settings_of_the_user_have_no_say(tmp_path: Path) -> None:
    draw_ladder(SIX, tmp_path / "a.svg")
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": None, "axes.facecolor": "red", "text.color": "blue"}):
        draw_ladder(SIX, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


# Boxes


def test_boxes_that_lean_meet_only_where_they_touch() -> None:
    flat, leaning = Box(0, 0, 10, 1), Box(0, 3, 10, 1, radians(45))
    assert flat.meets(leaning)
    assert not flat.meets(replace(leaning, y=5))
    assert not flat.meets(Box(0, 2, 10, 1))
    assert flat.meets(Box(9, 0.5, 10, 1))
    assert flat.cut_by((-1, -9), (1, 9))
    assert not flat.cut_by((6, -9), (6, 9))
    assert not flat.cut_by((-9, -9), (-9, -9))


def test_a_board_gives_away_the_place_that_fewest_lines_cross() -> None:
    board = Board()
    board.lines = [((0, -5), (0, 5))]
    assert board.best([Box(0, 0, 2, 1), Box(4, 0, 2, 1)]) == Box(4, 0, 2, 1)
    assert board.best([Box(4.5, 0, 2, 1)]) is None


# The ladder


@every_trace
def test_no_two_labels_overlap_and_none_leaves_the_picture(trace: Trace) -> None:
    placed = texts_of(trace)
    assert len(placed) > 10
    assert not [(one, two) for (one, a), (two, b) in combinations(placed, 2) if a.meets(b)]
    width, height = ladder_of(trace).bbox.size
    assert not [
        text for text, box in placed for x, y in box.corners if not (-1 <= x <= width + 1 and -1 <= y <= height + 1)
    ]


@every_trace
def test_every_arrow_has_its_label(trace: Trace) -> None:
    figure = ladder_of(trace)
    labels = {str(text.get_gid()) for text in figure.findobj(Text) if text.get_gid()}
    for panel in stories(trace):
        drawn = arrows(figure, str(panel.connection))
        assert len(drawn) == len(panel.arrows)
        assert {gid.replace("arrow", "label") for gid in drawn} <= labels


@every_trace
def test_rows_grow_with_time(trace: Trace) -> None:
    for story in stories(trace):
        stamps = sorted(lay_out(story).stamps, key=lambda stamp: stamp[1])
        lowest, before = 0.0, stamps[0][1]
        for row, t in stamps:
            if t > before:
                lowest, before = max(r for r, at in stamps if at < t), t
            assert row >= lowest


@pytest.mark.parametrize("trace", [SIX, FORTY, TWO_HUNDRED, burst(14), CUT_OFF], ids=["6", "40", "200", "burst", "cut"])
def test_arrows_go_from_the_right_line_and_fall(trace: Trace) -> None:
    story = stories(trace)[0]
    figure = ladder_of(trace)
    line = {host: bars(figure, f"c1-line-{host}")[0] for host in story.hosts}
    middle = {host: bar.get_x() + bar.get_width() / 2 for host, bar in line.items()}
    drawn = list(arrows(figure).values())
    assert len(drawn) == len(story.arrows)
    for strokes, arrow in zip(drawn, story.arrows, strict=True):
        assert len(strokes) == (3 if arrow.fat else 1)
        (x0, y0), (x1, y1) = strokes[-1] if not arrow.fat else strokes[1]
        assert x0 == pytest.approx(middle[arrow.flight.source], abs=0.1)
        assert y1 - y0 >= SLANT * 0.6
        if arrow.fate == "arrived":
            assert x1 == pytest.approx(middle[arrow.flight.target], abs=0.1)
        else:
            near, far = middle[arrow.flight.source], middle[arrow.flight.target]
            assert 0.5 < (x1 - near) / (far - near) < 0.8


def test_an_arrow_ends_where_the_state_it_leads_to_begins() -> None:
    figure = ladder_of(SIX)
    (_, end), *_ = arrows(figure)["c1-arrow-0"]
    second = bars(figure, "c1-line-h2")[1]  # SYN-RECEIVED
    assert end[1] == pytest.approx(second.get_y(), abs=0.02)


def test_the_reset_of_a_middlebox_does_not_come_from_the_host_that_it_names() -> None:
    whole = Tale().open().send("h2", "RST", 1).become("h1", "CLOSED", "RST").end("h1", "reset by peer").trace()
    trace = Trace([event for event in whole if not (isinstance(event, Sent) and event.ctl == "RST")])
    figure = ladder_of(trace)
    (start, end), *_ = arrows(figure)["c1-arrow-3"]
    near, far = (bars(figure, f"c1-line-{host}")[0].get_x() for host in ("h1", "h2"))
    assert 0.5 < (start[0] - near) / (far - near) < 0.8
    assert start[1] < end[1]
    words = [text.get_text() for text in figure.findobj(Text)]
    assert "c1 — h1 reset by peer" in words
    assert "a middlebox sent a RST, one end is still open" in words


def test_guesses_before_the_iss_are_told_as_such() -> None:
    before = [event for event in Tale().open().trace() if isinstance(event, Sent)]
    guess = replace(before[0], host="h3", id=99, ctl="RST", seq=before[0].seq - 20)
    (arrow,) = (Arrow((flight,)) for flight in flights(Trace([*before, guess])) if flight.forged)
    assert [text for text, _ in label(arrow)] == ["forged RST", "SEQ=-20"]


def test_states_stand_along_the_lines_in_order() -> None:
    shades = [bar.get_facecolor() for bar in bars(ladder_of(SIX), "c1-line-h2")]
    expected = ["LISTEN", "SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK"]
    assert shades[: len(expected)] == [to_rgba(style.colour(state)) for state in expected]


def test_each_end_of_a_connection_that_was_opened_again_has_its_cause() -> None:
    tale = Tale().open().call("h2", "abort").become("h2", "CLOSED", "ABORT").end("h2", "aborted")
    tale.states["h2"] = "LISTEN"
    tale.wait(DELAY).become("h1", "CLOSED", "RST").end("h1", "reset by peer").wait(DELAY).open()
    tale.call("h1", "abort").become("h1", "CLOSED", "ABORT").end("h1", "aborted")
    (story,) = stories(tale.trace())
    causes = [(note.host, note.text) for note in story.notes if note.kind == "cause"]
    assert causes == [("h2", "aborted"), ("h1", "reset by peer"), ("h1", "aborted")]


@pytest.mark.parametrize("trace", [FORTY, TWO_HUNDRED, burst(40)], ids=["40", "200", "burst"])
def test_opening_and_release_stay_readable(trace: Trace) -> None:
    """Data is condensed; each SYN, FIN and what changes a state keeps its arrow."""
    story = stories(trace)[0]
    alone = {id(arrow.flight) for arrow in story.arrows if not arrow.fat}
    all_flights = [flight for arrow in story.arrows for flight in arrow.flights]
    all_flights += [flight for elision in story.elisions for flight in elision.flights]
    assert len(all_flights) == len(flights(trace))
    assert all(id(f) in alone for f in all_flights if f.controls & {"SYN", "FIN", "RST"} or f.changes)
    assert len(story.arrows) <= 20
    words = " ".join(text for text, _ in texts_of(trace))
    assert "segments," in words
    assert "acknowledgments" in words


def test_a_run_of_losses_zooms_on_the_release() -> None:
    tale = Tale().open()
    for number in range(200):
        tale.send("h1", "ACK", 1 + 100 * number, 1, 100, lost="loss").send("h1", "ACK", 1 + 100 * number, 1, 100)
        tale.send("h2", "ACK", 1, 101 + 100 * number)
    flown = flights(tale.close(20_000).trace())
    drawn, left_out = condense(flown)
    assert len(drawn) <= ARROWS
    assert sum(len(part.flights) for part in (*drawn, *left_out)) == len(flown)
    assert {"FIN"} <= set().union(*(arrow.flight.controls for arrow in drawn[-6:]))
    assert any("sent again" in line and "lost" in line for part in left_out for line in part.lines)


def test_a_silence_is_folded_and_named() -> None:
    assert "1.00 s" in dict(texts_of(SIX))
    assert "100 ms" not in dict(texts_of(SIX))  # too short to fold


def test_what_flies_is_no_silence() -> None:
    tale = Tale().open().send("h1", "ACK", 1, 1, 10, delay=5_000_000).send("h2", "ACK", 1, 11, delay=5_000_000)
    assert not lay_out(stories(tale.trace())[0]).folds


def test_losses_resets_repetitions_and_faults_are_marked() -> None:
    words = [text for text, _ in texts_of(CUT_OFF)]
    assert words.count("lost (down)") == 4
    assert words.count("↻ PSH,ACK") == 3
    assert {
        "lost",
        "link h1-s1 down",
        "h3 silent",
        "(User timeout)",
        "reset by peer",
        "fault",
        "retransmission",
    } <= set(words)
    assert "c1 — h1 user timeout, h2 reset by peer" in words
    resets = {text.get_color() for text in ladder_of(CUT_OFF).findobj(Text) if text.get_text().startswith("RST")}
    assert resets == {style.RESET}


def test_numbers_are_relative() -> None:
    words = [text for text, _ in texts_of(SIX)]
    assert words.count("SEQ=0") == 1
    assert "SEQ=0 ACK=1" in words
    assert "SEQ=2 ACK=2" in words


def test_a_chosen_connection_is_drawn_alone() -> None:
    trace = Tale().open().trace(Tale("c2", 10**6).open().close())
    words = [text for text, _ in texts(ladder_figure(trace, ["c2"]))]
    assert "c2 — graceful" in words
    assert not [word for word in words if word.startswith("c1")]
    with pytest.raises(ValueError, match="no connection 'c9' in this trace; there are: c1, c2"):
        ladder_figure(trace, ["c9"])


# Odd runs


def only_segments() -> Trace:
    return Trace(replace(e, connection=None) for e in Tale().open().trace() if isinstance(e, Sent))


def restless() -> Trace:
    """An end that changes its state thousands of times."""
    tale = Tale()
    for _ in range(1_000):
        tale.wait(1_000_000).become("h1", "SYN-SENT").become("h1", "CLOSED", "USER_TIMEOUT")
    return tale.trace()


def unfinished() -> Trace:
    return Trace(list(SIX)[:5])


ODD: dict[str, tuple[Trace, str]] = {
    "empty": (Trace(), "no connections"),
    "faults only": (Tale().fault("link_down", "h1-s1").trace(), "no connections"),
    "one host": (Tale().call("h1", "open").become("h1", "SYN-SENT").trace(), "c1 — not released"),
    "calls only": (Tale().call("h1", "open").trace(), "c1 — not released"),
    "no connection": (only_segments(), "segments of no connection"),
    "unfinished": (unfinished(), "c1 — not released"),
    "thousands of segments": (Tale().open().text(4_000).close(4_000_000).trace(), "c1 — graceful"),
    "thousands of changes": (restless(), "earlier changes are not shown"),
    "many connections": (
        Tale().trace(*(Tale(f"c{n}", n).open() for n in range(60))),
        f"{60 - PANELS} more connections",
    ),
    "unknown state": (Tale().become("h1", "BOUND").trace(), "BOUND"),
    "no mathematics": (Tale("a$\\frac$").open().close().trace(), "a$\\frac$ — graceful"),
    "all at once": (Tale().open().send("h1", "RST", 1, delay=0).trace(), "c1 — not released"),
}


@pytest.mark.parametrize(("trace", "says"), ODD.values(), ids=list(ODD))
@pytest.mark.slow
def test_odd_runs_give_a_picture_or_say_why_not(trace: Trace, says: str, tmp_path: Path) -> None:
    figure = ladder_figure(trace)
    placed = list(texts(figure))
    assert says in " ".join(text for text, _ in placed)
    assert not [(one, two) for (one, a), (two, b) in combinations(placed, 2) if a.meets(b)]
    assert max(figure.get_size_inches()) < 120
    draw_states(trace, tmp_path / "states.png")
    assert (tmp_path / "states.png").stat().st_size > 1000


# The bars


@every_trace
def test_no_two_texts_of_the_bars_overlap(trace: Trace) -> None:
    placed = list(texts(states_figure(trace)))
    assert not [(one, two) for (one, a), (two, b) in combinations(placed, 2) if a.meets(b)]


def test_bars_show_each_state_at_its_time() -> None:
    figure = states_figure(SIX)
    drawn = bars(figure, "h1.c1")
    assert len(drawn) == 5  # not CLOSED
    widths = [bar.get_width() for bar in drawn]
    assert widths[4] / widths[0] == pytest.approx(1_020_000 / 40_000)
    assert [bar.get_x() for bar in drawn] == sorted(bar.get_x() for bar in drawn)
    assert len(bars(figure, "h2.c1")) == 4


def test_short_states_are_seen() -> None:
    """After hours in TIME-WAIT the exchange itself is a hair's breadth: it is shown again, enlarged."""
    tale = Tale().open().close()
    trace = Trace(event if event.t < tale.now else replace(event, t=10**10) for event in tale.trace())
    figure = states_figure(trace)
    for state in ("SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "LAST-ACK"):
        shade = to_rgba(style.colour(state))
        patches = [p for p in figure.axes[0].patches if isinstance(p, Rectangle) and p.get_facecolor() == shade]
        assert max(patch.get_width() for patch in patches) > 0.05, state
    assert "stand above their bar" in " ".join(text for text, _ in texts(figure))


def test_where_no_state_is_short_none_is_said_to_stand_above() -> None:
    trace = Tale().open().wait(20_000).call("h1", "send", 10).trace()
    words = [text for text, _ in texts(states_figure(trace))]
    assert "ms since the start of the run" in words


def test_causes_and_faults_are_named() -> None:
    words = {text for text, _ in texts(states_figure(CUT_OFF))}
    assert {"h1.c1", "h2.c1", "user timeout", "reset by peer", "link h1-s1 down", "abrupt", "ESTABLISHED"} <= words


def test_a_run_with_many_ends_shows_some_of_them() -> None:
    trace = Tale().trace(*(Tale(f"c{number}", number * 1000).open() for number in range(100)))
    words = {text for text, _ in texts(states_figure(trace))}
    assert f"{200 - BARS} more ends are not shown." in words


def test_without_states_the_picture_says_so() -> None:
    events: list[Event] = [event for event in SIX if isinstance(event, Sent)]
    assert "No end of a connection changed its state in this run." in dict(texts(states_figure(Trace(events))))
    assert ADDRESSES["h1"] in dict(texts(ladder_figure(Trace(events))))
