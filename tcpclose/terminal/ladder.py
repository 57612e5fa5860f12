"""The ladder in a terminal: the same story as the picture's, one line for each arrow, call and change of a state.

An arrow is drawn level, where its segment set out; what its arrival changed stands beside its head, or further down
where something else happened at that host meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.style import Style
from rich.text import Text

from tcpclose.charts.colours import STATE_COLOURS
from tcpclose.charts.condense import Arrow, Elision, caption, reason, summary
from tcpclose.charts.rows import SILENCE
from tcpclose.charts.story import Note, Story, duration, stories
from tcpclose.protocol.fsm import State
from tcpclose.trace.events import Trace
from tcpclose.trace.spans import CRASH, Outage

#: Characters: the column of times, and the least and most between two lifelines.
TIMES, LEAST, MOST = 10, 30, 64
#: Words of one moment longer than this stand in several lines.
BROAD = 16
_RESET, _CLOSE, _AGAIN = Style(color="red", bold=True), Style(color="blue", bold=True), Style(italic=True)
_FAULT, _FAINT, _BOLD = Style(color="magenta", bold=True), Style(dim=True), Style(bold=True)
#: For terminals that know no other characters.
_PLAIN = str.maketrans(
    {"\u2500": "-", "\u254c": ".", "\u2501": "=", "\u25b6": ">", "\u25c0": "<", "\u2502": "|", "\u2503": "|"}
    | {"\u2717": "X", "\u21bb": "R", "\u22ee": ":", "\u2192": ">", "\u2026": "~", "\u2014": "-", "\u2009": " "}
)


def ladders(trace: Trace, width: int, connections: list[str] | None = None, plain: bool = False) -> Iterator[Text]:
    """The lines to print, `width` characters wide where that is enough; `plain` is for terminals without Unicode.

    Raises `ValueError` for a connection that is not in the trace.
    """
    from tcpclose.charts.story import names

    for number, story in enumerate(stories(trace, names(trace, connections))):
        if number:
            yield Text()
        for line in _Ladder(story, width).lines():
            yield _translated(line) if plain else line


def _translated(line: Text) -> Text:
    text = Text(line.plain.translate(_PLAIN).encode("ascii", "replace").decode(), end=line.end, no_wrap=True)
    text.spans = line.spans
    return text


@dataclass(slots=True)
class _Row:
    """What happens at one moment; `notes` are what is said of an arrow's ends, or stand alone."""

    t: int
    order: tuple[int, int]
    arrow: Arrow | None = None
    elision: Elision | None = None
    outage: Outage | None = None
    ended: bool = False
    notes: tuple[Note, ...] = ()


class _Ladder:
    def __init__(self, story: Story, width: int) -> None:
        self.story = story
        self.states = dict(story.before)
        self.rows = sorted(self._rows(), key=lambda row: (row.t, row.order))
        self.left, right = (self._side(host) for host in (story.hosts[0], story.hosts[-1]))
        gaps = max(len(story.hosts) - 1, 1)
        span = (width - TIMES - self.left - right - 3) // gaps
        self.span = min(max(span, LEAST), MOST)
        first = TIMES + self.left + 1
        self.x = {host: first + place * self.span for place, host in enumerate(story.hosts)}
        self.width = first + self.span * gaps + right + 2

    def _side(self, host: str) -> int:
        """The room that the notes of the first or last host need."""
        said = [[note.text for note in row.notes if note.host == host] for row in self.rows]
        lines = [" ".join(words) for words in said]
        lines = [line if len(line) <= BROAD else max(words, key=len) for line, words in zip(lines, said, strict=True)]
        return max(len(line) for line in [*lines, State.LISTEN.value])

    def _rows(self) -> Iterator[_Row]:
        """Arrows with what they lead to; calls together with what they do; faults."""
        story = self.story
        told: set[int] = set()
        for arrow in story.arrows:
            first = story.order[id(arrow.flight.segment)]
            notes = tuple(note for note in story.notes if id(note) not in told and self._follows(arrow, note))
            left_over = [note for note in story.notes if id(note) not in told and note not in notes]
            if any(other.host == note.host and first < other.order[0] < note.order[0]
                   for note in notes for other in left_over):  # fmt: skip
                notes = ()  # what comes first shall stand first: these wait for the time of the arrival
            told |= {id(note) for note in notes}
            yield _Row(arrow.flight.start, (first, 1), arrow=arrow, notes=notes)
        for elision in story.elisions:
            yield _Row(elision.after, (story.order[id(elision.then.segment)], 0), elision=elision)
        left: list[Note] = []
        for note in story.notes:
            if id(note) in told:
                continue
            words = sum(len(other.text) + 1 for other in left) + len(note.text)
            if left and ((left[-1].host, left[-1].t) != (note.host, note.t) or words > BROAD):
                yield _Row(left[0].t, left[0].order, notes=tuple(left))
                left = []
            left.append(note)
        if left:
            yield _Row(left[0].t, left[0].order, notes=tuple(left))
        for outage in story.outages:
            yield _Row(outage.start, (-1, 0), outage=outage)
            if outage.end is not None and outage.end > outage.start:
                yield _Row(outage.end, (-1, 0), outage=outage, ended=True)

    def _follows(self, arrow: Arrow, note: Note) -> bool:
        """It tells of a state into which the arrow's arrival led, or why it ended."""
        fired = (self.story.order[id(change)] for change in arrow.flight.fired)
        return note.kind != "call" and note.order[0] in fired

    def lines(self) -> Iterator[Text]:
        story = self.story
        yield Text(story.title, _BOLD)
        if story.subtitle:
            yield Text(story.subtitle, _FAINT)
        head = _Line(self.width)
        head.put(0, "ms".rjust(TIMES - 2), _FAINT)
        for host, x in self.x.items():
            word = host if len(host) < self.span else f"{host[: self.span - 2]}\u2026"
            head.put(min(max(x - len(word) // 2, TIMES), self.width - len(word)), word, _BOLD)
        yield head.text()
        if story.before:
            yield self._noted(None, {host: [(state, _BOLD)] for host, state in story.before.items()})
        if story.omitted:
            yield Text(" " * TIMES + f"\u2026 {story.omitted} earlier changes are not shown \u2026", _FAINT)
        before = self.rows[0].t if self.rows else 0
        for row in self.rows:
            if row.t - before >= SILENCE and not row.elision:
                yield self._silence(row.t - before)
            before = max(before, row.t, row.arrow.last.finish if row.arrow else 0)
            yield from self._row(row)

    def _row(self, row: _Row) -> Iterator[Text]:
        if row.elision:
            for words in row.elision.lines:
                yield self._between(words, Style(italic=True, dim=True))
            return
        if row.outage:
            word = f"\u2501\u2501 {row.outage.name}{' ends' if row.ended else ''} "
            line = _Line(self.width)
            line.put(0, _milliseconds(row.t), _FAINT)
            line.put(TIMES, word + "\u2501" * (self.width - TIMES - len(word)), _FAULT)
            yield line.text()
            return
        drawn = self._draw_arrow(row.arrow) if row.arrow else None
        for note in row.notes:
            if note.kind == "state":
                self.states[note.host] = note.text
        notes: dict[str, list[tuple[str, Style]]] = {}
        for note in row.notes:
            look = _BOLD if note.kind == "state" else Style(italic=True)
            notes.setdefault(note.host, []).append((note.text, look))
        later: dict[str, list[tuple[str, Style]]] = {}
        if drawn is not None:
            for host, said in list(notes.items()):
                if host not in (self.story.hosts[0], self.story.hosts[-1]):  # an arrow may be where they would stand
                    later[host] = notes.pop(host)
                elif _length(said) > BROAD:
                    notes[host], later[host] = said[:1], said[1:]
        yield self._noted(row.t, notes, drawn)
        if later:
            yield self._noted(None, later)

    def _noted(self, t: int | None, notes: dict[str, list[tuple[str, Style]]], line: _Line | None = None) -> Text:
        """Words left of the first lifeline and right of the others, over what is drawn already."""
        line = line or self._lifelines()
        if t is not None:
            line.put(0, _milliseconds(t), _FAINT)
        for host, words in notes.items():
            x = self.x[host]
            at = x - 1 - _length(words) if x == min(self.x.values()) else x + 2
            for word, look in words:
                line.put(at, word, look)
                at += len(word) + 1
        for host, x in self.x.items():
            line.put(x, *self._lifeline(host))
        return line.text()

    def _lifelines(self) -> _Line:
        line = _Line(self.width)
        for host, x in self.x.items():
            line.put(x, *self._lifeline(host))
        return line

    def _lifeline(self, host: str) -> tuple[str, Style]:
        state = self.states.get(host, "")
        if state in ("", State.CLOSED.value, CRASH):
            return "\u2502", _FAINT
        return "\u2503", Style(color=STATE_COLOURS.get(state))

    def _between(self, words: str, look: Style) -> Text:
        line = self._lifelines()
        first = min(self.x.values())
        line.put(first + max((self.span - len(words)) // 2, 2), words, look)
        return line.text()

    def _silence(self, length: int) -> Text:
        return self._between(f"\u22ee {duration(length)} \u22ee", _FAINT)

    def _draw_arrow(self, arrow: Arrow) -> _Line:
        line, flight = self._lifelines(), arrow.flight
        here, there = self.x[flight.source], self.x[flight.target]
        towards = 1 if there > here else -1
        stops = arrow.fate == "lost" or (arrow.fate == "unknown" and flight.target in self.story.witnesses)
        words = f"\u2026 {summary(arrow.flights)} \u2026" if arrow.fat else " ".join(caption(flight))
        room = abs(there - here) - len(words) - 6
        why = next(w for w in (f" {reason(arrow)}", " lost", "") if len(w) < room or not w) if stops else ""
        look = _RESET if "RST" in flight.controls else _CLOSE if "FIN" in flight.controls else Style()
        look += _AGAIN if flight.retransmission else Style()
        length = abs(there - here) - 1 - (len(why) + 1 if stops else 0)
        dash = "\u254c" if flight.retransmission else "\u2501" if arrow.fat else "\u2500"
        head = "\u2717" if stops else "\u25b6" if towards > 0 else "\u25c0"
        shaft = f"{dash} {words} ".ljust(length - 1, dash)[: length - 1]
        if towards > 0:
            line.put(here + 1, shaft + head, look)
            line.put(here + 1 + length, why, _AGAIN)
        else:
            shaft = f" {words} {dash}".rjust(length - 1, dash)[-(length - 1) :]
            line.put(here - length, head + shaft, look)
            line.put(here - length - len(why) - 1, f"{why} "[1:], _AGAIN)
        return line


class _Line:
    """Characters in a row, each with its look; what is put later covers what was there."""

    def __init__(self, width: int) -> None:
        self.cells: list[tuple[str, Style]] = [(" ", Style())] * width

    def put(self, at: int, words: str, look: Style) -> None:
        for place, letter in enumerate(words, at):
            if 0 <= place < len(self.cells):
                self.cells[place] = (letter, look)

    def text(self) -> Text:
        text = Text(no_wrap=True, overflow="ignore")
        for letter, look in self.cells:
            text.append(letter, look)
        text.rstrip()
        return text


def _length(words: list[tuple[str, Style]]) -> int:
    return len(" ".join(word for word, _ in words))


def _milliseconds(t: int) -> str:
    return f"{t / 1000:,.1f}".replace(",", "\u2009").rjust(TIMES - 2)
