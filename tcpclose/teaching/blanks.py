"""A figure of a run, as RFC 9293 draws it, with blanks to fill."""

from __future__ import annotations

from dataclasses import replace

from tcpclose.protocol.fsm import State
from tcpclose.protocol.segment import SYN, parse_ctl, seq_add
from tcpclose.teaching.answers import Answer, ControlsAnswer, NumberAnswer, StateAnswer
from tcpclose.teaching.quantities import NotInRun
from tcpclose.teaching.questions import Blanks
from tcpclose.trace.drawing import draw
from tcpclose.trace.events import Trace
from tcpclose.trace.figure import Line, format_figure, numbers

#: How wide blanks are, by the field; what is right does not show in it.
_WIDTHS = {"state": 11, "seq": 6, "ack": 6, "ctl": 7}

#: What releases a connection, in a figure.
_ENDING_CALLS = {"close", "release", "abort", "user timeout", "keepalive", "reboot"}
_ENDING_BITS = parse_ctl("FIN,RST")


def blank_figure(question: Blanks, trace: Trace, ends: tuple[str, str]) -> tuple[str, list[tuple[str, Answer]]]:
    """The figure with numbered blanks, and for each blank what it is and what belongs there.

    `ends` are the hosts A and B. Raises `NotInRun` when the run has no such figure, or nothing to fill in it.
    """
    try:
        whole = draw(trace, question.connection, ends, absolute=True)
    except ValueError as error:
        raise NotInRun(str(error)) from None
    shown = [
        line for line in map(_untold, _part(question, whole)) if line.calls or line.arrow or line.states or line.notes
    ]
    isn = {
        line.arrow.sender: line.arrow.segment.seq
        for line in reversed(whole)
        if line.arrow and line.arrow.segment.ctl & SYN
    }
    blanks: list[tuple[str, Answer]] = []

    def write(line: Line, field: str, text: str) -> str:
        if field not in question.blank or line is shown[0]:
            return text
        blanks.append((field.upper() if field != "state" else field, _answer(line, field, text, isn)))
        return f"_{len(blanks)}".ljust(_WIDTHS[field], "_")

    figure = format_figure(shown, write)
    if not blanks:
        raise NotInRun("the figure has nothing to fill")
    return figure, blanks


def _part(question: Blanks, whole: list[Line]) -> list[Line]:
    """The lines that are asked for; the first says where the peers are before."""
    if question.lines is not None:
        first, last = question.lines
        places = [place for place, number in enumerate(numbers(whole)) if first <= number <= last]
    elif question.part == "all":
        return whole
    else:
        begun = (place for place, line in enumerate(whole) if _ends(line))
        start = next(begun, None)
        places = [] if start is None else list(range(start, len(whole)))
    if not places:
        raise NotInRun("the figure has no such lines")
    before = [line.states for line in whole[: places[0]] if line.states]
    return [*([Line(0, states=before[-1])] if before else []), *(whole[place] for place in places)]


def _untold(line: Line) -> Line:
    """Without what a call was answered, and where it led: that may be asked as well."""
    return replace(line, notes=[(peer, note) for peer, note in line.notes if ": " not in note])


def _ends(line: Line) -> bool:
    called = any(call in _ENDING_CALLS for _, call in line.calls)
    return called or (line.arrow is not None and bool(line.arrow.segment.ctl & _ENDING_BITS))


def _answer(line: Line, field: str, text: str, isn: dict[str, int]) -> Answer:
    if field == "state":
        return StateAnswer(State(text))
    if field == "ctl":
        return ControlsAnswer(parse_ctl(text))
    assert line.arrow is not None
    counted_by = line.arrow.sender if field == "seq" else "AB".replace(line.arrow.sender, "")
    relative = seq_add(int(text), -isn[counted_by]) if counted_by in isn else None
    return NumberAnswer(int(text), relative)
