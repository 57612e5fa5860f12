"""The picture of the machine: everything is on it, and nothing covers anything."""

from __future__ import annotations

import itertools
import re

import pytest
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text
from typer.testing import CliRunner

from tcpclose.charts import machine, style
from tcpclose.charts.machine import ARROWS, PLACES, arrows, endings, machine_figure
from tcpclose.charts.placing import Box
from tcpclose.cli import app
from tcpclose.protocol.fsm import TRANSITIONS, State


@pytest.fixture(scope="module")
def figure():
    figure = machine_figure()
    figure.draw_without_rendering()
    return figure


def gids(figure):
    return {artist.get_gid() for artist in figure.axes[0].get_children()}


def inches(figure, artist) -> Box:
    """The box that an artist covers, in the picture's own inches."""
    corners = figure.axes[0].transData.inverted().transform(artist.get_window_extent())
    (left, bottom), (right, top) = corners
    return Box((left + right) / 2, (top + bottom) / 2, abs(right - left), abs(top - bottom))


def texts(figure, kind: str = "") -> list[Text]:
    return [
        child
        for child in figure.axes[0].get_children()
        if isinstance(child, Text) and child.get_text() and (child.get_gid() or "").startswith(kind)
    ]


def ways():
    return [pair for place in ARROWS.values() for pair in itertools.pairwise(place.points)]


def test_every_state_is_drawn_once_and_closed_twice(figure):
    assert {*PLACES} - {machine.END} == {state.value for state in State}
    assert {f"state {name}" for name in PLACES} <= gids(figure)
    words = [text.get_text() for text in texts(figure) if text.get_gid() is None]
    assert sorted(words) == sorted([*(state.value for state in State), "CLOSED"])


def test_every_row_that_changes_the_state_is_drawn(figure):
    drawn = {row for rows in arrows().values() for row in rows} | set(endings())
    assert {row for row in TRANSITIONS if row.state is not row.next} <= drawn
    assert not set(endings()) & {row for rows in arrows().values() for row in rows}
    for (state, following), rows in arrows().items():
        assert f"arrow {state} {following}" in gids(figure)
        label = " ".join(text.get_text() for text in texts(figure, f"label {state} {following}"))
        assert all(row.event.value in label for row in rows)
    assert {f"end {row.state} {row.event.name}" for row in endings()} <= gids(figure)
    assert {f"event {row.event.name}" for row in endings()} <= gids(figure)


def test_every_arrow_has_a_place_and_no_place_is_left_over():
    assert set(arrows()) == set(ARROWS)


def test_arrows_lead_from_the_edge_of_a_state_to_the_edge_of_another():
    def on_the_edge(point, name) -> bool:
        x, y = (abs(a - b) for a, b in zip(point, PLACES[name], strict=True))
        wide, tall = machine.WIDE / 2, machine.TALL / 2
        return (x == pytest.approx(wide) and y <= tall) or (y == pytest.approx(tall) and x <= wide)

    for (state, following), place in ARROWS.items():
        assert on_the_edge(place.points[0], state), (state, following)
        assert on_the_edge(place.points[-1], following), (state, following)


def test_no_two_words_touch(figure):
    everything = [(text.get_text(), inches(figure, text)) for text in texts(figure)]
    for (one, here), (other, there) in itertools.combinations(everything, 2):
        assert not here.meets(there), (one, other)


def test_no_label_lies_on_a_state_or_an_arrow(figure):
    states = [inches(figure, child) for child in figure.axes[0].get_children() if isinstance(child, FancyBboxPatch)]
    assert len(states) == len(PLACES)
    for text in [*texts(figure, "label"), *texts(figure, "legend")]:
        box = inches(figure, text)
        assert not any(box.meets(state) for state in states), text.get_text()
        assert not any(box.cut_by(*way) for way in ways()), text.get_text()


def test_no_arrow_runs_through_a_state_or_crosses_another():
    boxes = {name: Box(*at, machine.WIDE - 0.01, machine.TALL - 0.01) for name, at in PLACES.items()}
    for start, end in ways():
        assert not [name for name, box in boxes.items() if box.cut_by(start, end)], (start, end)
    for one, other in itertools.combinations(ways(), 2):
        assert len({*one, *other}) < 4 or not crosses(one, other), (one, other)


def crosses(one, other) -> bool:
    def side(way, point) -> float:
        (x, y), (u, v) = way
        return (u - x) * (point[1] - y) - (v - y) * (point[0] - x)

    return all(side(way, line[0]) * side(way, line[1]) < 0 for way, line in ((one, other), (other, one)))


def test_the_picture_holds_all_of_it(figure):
    axes = figure.axes[0]
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for text in texts(figure):
        box = inches(figure, text)
        assert left - 0.1 < box.x - box.width / 2, text.get_text()
        assert box.x + box.width / 2 < right + 0.1, text.get_text()
        assert top < box.y < bottom, text.get_text()


def test_states_that_follow_each_other_part_in_grey():
    for state, following in arrows():
        one, other = (style.lightness(style.colour(name.removesuffix(", again"))) for name in (state, following))
        assert state == following or abs(one - other) > 0.05, (state, following)


@pytest.mark.parametrize("suffix", [".svg", ".png"])
@pytest.mark.slow
def test_the_command_writes_it_and_always_the_same(tmp_path, suffix):
    octets = []
    for name in ("one", "two"):
        path = (tmp_path / name).with_suffix(suffix)
        done = CliRunner().invoke(app, ["fsm", "--svg", str(path)])
        assert (done.exit_code, done.output.strip()) == (0, str(path))
        octets.append(path.read_bytes())
    assert octets[0] == octets[1]


@pytest.mark.parametrize(
    ("name", "message"),
    [("machine.doc", "charts are written as .png or .svg"), ("none/m.svg", r"none/m\.svg: No such file")],
)
def test_what_cannot_be_written_is_told(tmp_path, name, message):
    done = CliRunner().invoke(app, ["fsm", "--svg", str(tmp_path / name)])
    assert done.exit_code == 2
    assert re.search(message, done.output)
    assert "Traceback" not in done.output
