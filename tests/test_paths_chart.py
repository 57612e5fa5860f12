"""The machine's picture with the ways of a connection's ends."""

from __future__ import annotations

from itertools import pairwise

import pytest
from matplotlib.text import Text
from tale import Tale
from test_charts import DRAWN, ODD, SIX, simultaneous
from test_machine_chart import inches

from tcpclose.charts import machine
from tcpclose.charts.paths import paths_figure, steps
from tcpclose.protocol.fsm import Event, State


def numbers(figure) -> dict[str, Text]:
    return {str(t.get_gid()): t for t in figure.findobj(Text) if str(t.get_gid()).startswith("step ")}


def test_each_end_takes_its_way_in_order() -> None:
    ways = {host: [place for _, place in taken] for host, taken in steps(SIX, "c1").items()}
    assert ways["h1"][:3] == [("CLOSED", "SYN-SENT"), ("SYN-SENT", "ESTABLISHED"), ("ESTABLISHED", "FIN-WAIT-1")]
    assert ways["h1"][-1] == ("TIME-WAIT", machine.END)
    assert ways["h2"][-2:] == [("CLOSE-WAIT", "LAST-ACK"), ("LAST-ACK", machine.END)]


def test_an_abrupt_end_is_a_cell_of_the_table() -> None:
    tale = Tale().open().become("h1", "CLOSED", "USER_TIMEOUT").become("h2", "CLOSED", "RST")
    taken = steps(tale.trace(), "c1")
    assert taken["h1"][-1][1] == (State.ESTABLISHED, Event.USER_TIMEOUT)
    assert taken["h2"][-1][1] == (State.ESTABLISHED, Event.RST)
    figure = paths_figure(tale.trace())
    x, y = machine.cell(State.ESTABLISHED, Event.RST)
    at = numbers(figure)["step h2 3"].get_position()
    assert abs(at[0] - x) < 0.4
    assert at[1] == pytest.approx(y)


@pytest.mark.slow
def test_numbers_lie_on_their_arrows_and_on_nothing_else() -> None:
    for trace in (SIX, simultaneous()):
        figure = paths_figure(trace)
        figure.draw_without_rendering()
        marks = {gid: inches(figure, text) for gid, text in numbers(figure).items()}
        assert len(marks) == sum(len(ways) for ways in steps(trace, "c1").values())
        ways = {f"step {host} {n}": place for host, taken in steps(trace, "c1").items()
                for n, (_, place) in enumerate(taken, 1)}  # fmt: skip
        for gid, box in marks.items():
            points = machine.ARROWS[ways[gid]].points
            assert any(box.cut_by(*line) for line in pairwise(points)), gid
        boxes = list(marks.values())
        words = [inches(figure, t) for t in figure.findobj(Text) if str(t.get_gid()).startswith("label ")]
        assert not [box for box in boxes for other in words if box.meets(other)]
        assert not [1 for n, box in enumerate(boxes) for other in boxes[:n] if box.meets(other)]


def test_one_mark_holds_the_numbers_of_all_visits() -> None:
    tale = Tale()
    for _ in range(2):
        tale.become("h1", "SYN-SENT").become("h1", "CLOSED", "USER_TIMEOUT")
    assert {"step h1 1,3", "step h1 2,4"} <= numbers(paths_figure(tale.trace())).keys()


def test_an_end_is_told_as_often_as_it_came() -> None:
    tale = Tale().open().call("h1", "abort").become("h1", "CLOSED", "ABORT").end("h1", "aborted")
    tale.become("h2", "CLOSED", "RST").end("h2", "reset by peer").states["h2"] = "LISTEN"
    figure = paths_figure(tale.open().trace())
    told = {text.get_gid(): text.get_text() for text in figure.findobj(Text)}
    assert told["end h1"] == "h1: aborted, then open"
    assert told["end h2"] == "h2: reset by peer, then open"


def test_what_the_table_does_not_know_is_told() -> None:
    figure = paths_figure(Tale().open().become("h1", "LAST-ACK", "disagreement").trace())
    words = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "not in the table: ESTABLISHED to LAST-ACK" in words


@pytest.mark.parametrize("name", [*ODD, *DRAWN])
@pytest.mark.slow
def test_any_run_gives_a_picture(name: str) -> None:
    figure = paths_figure(ODD[name][0] if name in ODD else DRAWN[name])
    assert figure.findobj(Text)


def test_an_unknown_connection_is_refused() -> None:
    with pytest.raises(ValueError, match="no connection 'c9' in this trace; there are: c1"):
        paths_figure(SIX, "c9")
