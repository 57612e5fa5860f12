"""Where things stand in a ladder: time runs down, but each thing gets the room it needs.

Microseconds lie between the events of one exchange and seconds between exchanges, so a scale in proportion would
show neither. Rows grow with time and never run back; neighbours keep a least distance, and long silences are folded.
All lengths are inches, downwards from the top of the panel.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from textwrap import wrap
from typing import Literal

from tcpclose.charts.condense import Arrow, Elision
from tcpclose.charts.story import Note, Story
from tcpclose.trace.flights import MOMENT
from tcpclose.trace.spans import Outage

#: Least distances: between words on one side, tails or heads on one lifeline, moments; and how far an arrow falls.
TEXT, TAIL, HEAD, STEP, SLANT, FAT_SLANT = 0.165, 0.19, 0.19, 0.13, 0.32, 0.46
#: Room for one line about segments that are left out.
LINE = 0.16
#: What a fat arrow and its label need more than a thin one, above.
FAT = 0.06
#: Part of the way that a lost segment is drawn.
LOST_AT = 0.66
#: Room for a fold; from the line of a fault to what follows; and the shortest silence that is folded, in microseconds.
FOLD, FAULT, SILENCE = 0.34, 0.1, 200_000
#: A fault's name: the height of a line of it, and the characters after which it is broken.
NAME, BREAK = 0.13, 20


@dataclass(slots=True, eq=False)
class Fold:
    """A silence of `length` microseconds that is not drawn at its length."""

    length: int
    top: float
    bottom: float


@dataclass(slots=True, eq=False)
class Band:
    """A fault, from row to row; `bottom` is None until it ends, and equals `top` for a fault of a moment."""

    outage: Outage
    top: float = 0.0
    bottom: float | None = None

    @property
    def lines(self) -> list[str]:
        """Its name, broken."""
        return broken(self.outage.name)

    @property
    def named(self) -> float:
        """The row at which its name ends."""
        return self.top + 0.06 + NAME * len(self.lines)


def broken(name: str) -> list[str]:
    """The name of a fault, in lines."""
    return wrap(name, BREAK)


@dataclass(slots=True)
class Rows:
    """A story laid out."""

    story: Story
    folds: list[Fold] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)
    #: Rows and their time, for the margin.
    stamps: list[tuple[float, int]] = field(default_factory=list)
    height: float = 0.0


@dataclass(slots=True, eq=False)
class _Item:
    t: int
    order: tuple[int, int]
    kind: Literal["note", "tail", "head", "begin", "end", "elision"]
    host: str | None
    note: Note | None = None
    arrow: Arrow | None = None
    band: Band | None = None
    elision: Elision | None = None


@dataclass(slots=True)
class _Side:
    """The lowest things so far at one lifeline."""

    t: int
    row: float = 0.0
    text: float = -1.0
    tail: float = -1.0
    head: float = -1.0


def lay_out(story: Story, room: Mapping[Arrow, float] | None = None) -> Rows:
    """Give every arrow, note and fault of the story its rows; `room` is what some arrows need more than usual."""
    return _Layout(story, room or {}).run()


class _Layout:
    def __init__(self, story: Story, room: Mapping[Arrow, float]) -> None:
        self.rows = Rows(story)
        self.room = room
        self.items = self._items(story)
        start = self.items[0].t if self.items else 0
        self.sides = {host: _Side(start, text=0.0 if host in story.before else -1.0) for host in story.hosts}
        self.now = start
        self.front = 0.0  # the lowest row of everything earlier than `now`
        self.level = 0.0  # the lowest row so far
        self.named = 0.0  # where the last name of a fault ends
        longest = max((flight.finish - flight.start for arrow in story.arrows for flight in arrow.flights), default=0)
        self.pace = max(longest, 5_000)
        self.silence = max(SILENCE, 3 * longest)

    def _items(self, story: Story) -> list[_Item]:
        items = [_Item(note.t, note.order, "note", note.host, note=note) for note in story.notes]
        cut = story.notes[0].t if story.omitted else None
        for arrow in story.arrows:
            first, last = arrow.flight, arrow.last
            if cut is not None and first.start < cut:
                continue
            if first.sent:
                items.append(_Item(first.start, self._place(first.sent), "tail", first.source, arrow=arrow))
            end = last.arrived or last.lost
            if end:
                host = last.target if last.arrived else None
                items.append(_Item(last.finish, self._place(end), "head", host, arrow=arrow))
            elif last.vanished and last.sent:  # where is not known: room for what is drawn of it, right below
                items.append(_Item(last.finish, (self._place(last.sent)[0], 2), "head", None, arrow=arrow))
        for elision in story.elisions:
            if cut is None or elision.after >= cut:
                items.append(_Item(elision.after, self._before(elision), "elision", None, elision=elision))
        times = [item.t for item in items]
        for outage in story.outages:
            band = Band(outage)
            self.rows.bands.append(band)
            items.append(_Item(max(outage.start, min(times)), (-1, 0), "begin", None, band=band))
            if outage.end is not None and outage.start < outage.end <= max(times):
                items.append(_Item(outage.end, (-1, 0), "end", None, band=band))
        return sorted(items, key=attrgetter("t", "order"))

    def _place(self, event: object) -> tuple[int, int]:
        return (self.rows.story.order[id(event)], 1)

    def _before(self, elision: Elision) -> tuple[int, int]:
        """Below all that happened, but above the flight that goes on: it may set out at the very same time."""
        if elision.then.start > elision.after:
            return (len(self.rows.story.order), 0)
        return (self.rows.story.order[id(elision.then.segment)], 0)

    def run(self) -> Rows:
        story = self.rows.story
        starts = sorted(arrow.flight.start for arrow in story.arrows)
        finishes = sorted(arrow.last.finish for arrow in story.arrows)
        hidden = [(part.flights[0].start, max(flight.finish for flight in part.flights)) for part in story.elisions]
        for item in self.items:
            if item.t > self.now:
                in_flight = bisect_left(starts, item.t) > bisect_left(finishes, item.t)
                busy = in_flight or any(start < item.t and self.now < finish for start, finish in hidden)
                self._pass_time(item.t, silent=not busy)
            if item.elision:
                self._elide(item.elision)
                continue
            row = self._row(item)
            self.level = max(self.level, row)
            self._settle(item, row)
        bottom = self.level
        for arrow in self.rows.story.arrows:
            self._finish(arrow)
            bottom = max(bottom, arrow.bottom)
        self.rows.height = max(bottom + 0.2, self.named)
        return self.rows

    def _pass_time(self, t: int, silent: bool) -> None:
        gap = t - self.now
        if silent and gap >= self.silence:
            top = self.level + 0.1
            self.rows.folds.append(Fold(gap, top, top + FOLD))
            self.level = top + FOLD + 0.12
        else:
            self.level += 0.01 + 0.07 * min(1.0, gap / self.pace)
        self.front, self.now = self.level, t

    def _elide(self, elision: Elision) -> None:
        elision.row = self.level + 0.1
        self.front = self.level = elision.row + LINE * len(elision.lines) + 0.1

    def _row(self, item: _Item) -> float:
        """The highest row that keeps all distances."""
        row = self.front
        if item.arrow and item.kind == "head" and item.arrow.last.sent:
            row = max(row, item.arrow.top + self._slant(item.arrow) * (1.0 if item.host else LOST_AT))
        side = self.sides.get(item.host or "")
        if side is None:
            return max(row, self.front + STEP, self.named) if item.band else row
        row = max(row, side.row + (STEP if item.t - side.t > MOMENT else 0))
        if item.kind == "note":
            return max(row, side.text + TEXT)
        extra = self._extra(item.arrow) if item.arrow else 0.0
        if item.kind == "tail":
            return max(row, side.tail + TAIL + extra)
        return max(row, side.head + HEAD + extra, side.tail + STEP)

    def _extra(self, arrow: Arrow) -> float:
        return (FAT if arrow.fat else 0.0) + self.room.get(arrow, 0.0)

    def _slant(self, arrow: Arrow) -> float:
        return (FAT_SLANT if arrow.fat else SLANT) + self.room.get(arrow, 0.0)

    def _settle(self, item: _Item, row: float) -> None:
        if item.band:
            self._settle_band(item, item.band, row)
        if item.note:
            item.note.row = row
        if item.arrow and item.kind == "tail":
            item.arrow.top = row
        elif item.arrow:
            item.arrow.bottom = row
        side = self.sides.get(item.host or "")
        if side and item.note and item.note.kind == "cause":
            side.text = row  # what leaves with the state leaves beside its name, not below
            return
        self.rows.stamps.append((row, item.t))
        if side is None:
            return
        side.t, side.row = item.t, row
        if item.kind == "note":
            side.text = row
        elif item.kind == "tail":
            side.tail = row
        else:
            side.head = row

    def _settle_band(self, item: _Item, band: Band, row: float) -> None:
        if item.kind == "begin":
            band.top = row
            band.bottom = row if band.outage.start == band.outage.end else None
            self.named = band.named
        else:
            band.bottom = row
        self.front = self.level = row + FAULT

    def _finish(self, arrow: Arrow) -> None:
        """Ends that no event told: the way of a segment whose sender, target or fate is not known."""
        if not arrow.flight.sent:
            arrow.top = max(0.0, arrow.bottom - self._slant(arrow))
        elif not (arrow.last.arrived or arrow.last.missing):
            arrow.bottom = arrow.top + self._slant(arrow)
