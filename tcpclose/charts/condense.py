"""Which flights get an arrow of their own, and how the others are told: the art of leaving out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tcpclose.protocol.segment import seq_diff
from tcpclose.trace.flights import Flight

#: A run of plain segments up to this long is drawn in full.
RUN = 8
#: Arrows in one panel beyond which more than plain data is left out.
ARROWS = 40


@dataclass(slots=True, eq=False)
class Arrow:
    """One flight, or several of one direction and one fate that flew close together: a fat arrow.

    The rows of its ends are given by `rows`.
    """

    flights: tuple[Flight, ...]
    top: float = 0.0
    bottom: float = 0.0

    @property
    def flight(self) -> Flight:
        """The only flight, or the first of several."""
        return self.flights[0]

    @property
    def fat(self) -> bool:
        """It stands for several flights."""
        return len(self.flights) > 1

    @property
    def fate(self) -> Literal["arrived", "lost", "unknown"]:
        """Unknown: still in flight when the trace ended, or its target keeps no trace."""
        return "arrived" if self.flight.arrived else "lost" if self.flight.missing else "unknown"

    @property
    def last(self) -> Flight:
        """The flight that arrived or was lost last."""
        return max(self.flights, key=lambda flight: flight.finish)


@dataclass(slots=True, eq=False)
class Elision:
    """Flights of both directions that are left out. It stands below everything that happened until `after`."""

    flights: tuple[Flight, ...]
    after: int
    #: The flight that goes on where this leaves off.
    then: Flight
    row: float = 0.0

    @property
    def lines(self) -> list[str]:
        """What is left out, one line for each direction."""
        ways = sorted(_by(self.flights, fate=False).items())
        return [f"{source} → {target}:  … {summary(group)} …" for (source, target, _), group in ways]


def caption(flight: Flight) -> tuple[str, str]:
    """What is written along an arrow: its control bits, marked if it is forged or sent again; its relative numbers."""
    seq = seq_diff(flight.seq, 0) if flight.forged else flight.seq  # guesses may lie before the ISS
    numbers = f"SEQ={seq}" + ("" if flight.ack is None else f" ACK={flight.ack}")
    numbers += f" LEN={flight.segment.len}" if flight.segment.len else ""
    mark = "forged " if flight.forged else "\u21bb " if flight.retransmission else ""
    return mark + (flight.segment.ctl or "no flags"), numbers


def reason(arrow: Arrow) -> str:
    """Why an arrow does not reach its target."""
    lost = arrow.flight.lost
    if lost is None:
        return "lost" if arrow.flight.vanished else "\u2026"
    return "lost" if lost.reason == "loss" else f"lost ({lost.reason})"


def summary(flights: Sequence[Flight]) -> str:
    """As "14 segments, 14000 octets, 2 lost", or "20 forged RST"."""
    octets = sum(flight.segment.len for flight in flights)
    kinds = {flight.segment.ctl for flight in flights}
    what = "acknowledgments" if octets == 0 and kinds == {"ACK"} else "segments"
    if all(flight.forged for flight in flights):
        what = f"forged {kinds.pop() if len(kinds) == 1 else what}"
    text = f"{len(flights)} {what}"
    text += f", {octets} octets" if octets else ""
    again, lost = sum(f.retransmission for f in flights), sum(f.missing for f in flights)
    text += f", {again} sent again" if again else ""
    return text + (f", {lost} lost" if lost else "")


def condense(
    flown: Sequence[Flight], breaks: Sequence[int] = (), most: int = ARROWS
) -> tuple[list[Arrow], list[Elision]]:
    """Arrows for what opens, releases and goes wrong, at most about `most`, and the runs that are left out.

    `breaks` are times that no run may hide: faults. First plain data is left out; then everything between opening
    and release that changes no state; then the middle, whatever it is.
    """
    number = len(flown)
    plain = [not _marked(flight) and not flight.retransmission for flight in flown]
    middle = [4 <= place < number - 6 and not _marked(flight) for place, flight in enumerate(flown)]
    rest = [most // 4 <= place < number - most // 2 for place in range(number)]
    arrows: list[Arrow] = []
    elisions: list[Elision] = []
    for dull, stops in ((plain, breaks), (middle, ()), (rest, ())):
        parts = [_leave_out(run) if boring else ([Arrow(tuple(run))], []) for boring, run in _runs(flown, dull, stops)]
        arrows = [arrow for drawn, _ in parts for arrow in drawn]
        elisions = [elision for _, left_out in parts for elision in left_out]
        if len(arrows) <= most:
            break
    return arrows, elisions


def _marked(flight: Flight) -> bool:
    """It opens, releases, or changes a state. What an attacker only tries does not."""
    return flight.changes or (not flight.forged and bool(flight.controls & {"SYN", "FIN", "RST"}))


def _runs(flown: Sequence[Flight], dull: Sequence[bool], stops: Sequence[int]) -> Iterator[tuple[bool, list[Flight]]]:
    """The flights in order, dull ones in runs as long as possible, the others one by one."""
    run: list[Flight] = []
    for flight, boring in zip(flown, dull, strict=True):
        if run and (not boring or any(run[-1].start < stop <= flight.start for stop in stops)):
            yield True, run
            run = []
        if boring:
            run.append(flight)
        else:
            yield False, [flight]
    if run:
        yield True, run


def _leave_out(run: list[Flight]) -> tuple[list[Arrow], list[Elision]]:
    """A long run shortened: the first and last of each direction stay.

    When the first have landed before the last set out, what flew between becomes an elision. A burst leaves no such
    room: there the middle of each direction becomes a fat arrow beside its neighbours.
    """
    if len(run) <= RUN:
        return [Arrow((flight,)) for flight in run], []
    ways = _by(run, fate=False).values()
    heads = [group[0] for group in ways]
    tails = sorted((group[-1] for group in ways if len(group) > 1), key=lambda flight: flight.start)
    landed = max(flight.finish for flight in heads)
    kept = {id(flight) for flight in (*heads, *tails)}
    hidden = tuple(flight for flight in run if id(flight) not in kept)
    if hidden and landed <= tails[0].start:
        elision = Elision(hidden, max(landed, hidden[0].start), tails[0])
        return [Arrow((flight,)) for flight in (*heads, *tails)], [elision]
    pace = max(flight.finish - flight.start for flight in run)
    arrows = []
    for group in _by(run, fate=True).values():
        for burst in _bursts(group, pace // 2):
            if len(burst) < 4:
                arrows += [Arrow((flight,)) for flight in burst]
            else:
                arrows += [Arrow((burst[0],)), Arrow(tuple(burst[1:-1])), Arrow((burst[-1],))]
    return arrows, []


def _bursts(flights: list[Flight], length: int) -> Iterator[list[Flight]]:
    """Flights that set out within `length` microseconds of the first."""
    burst: list[Flight] = []
    for flight in flights:
        if burst and flight.start - burst[0].start > length:
            yield burst
            burst = []
        burst.append(flight)
    yield burst


def _by(flights: Sequence[Flight], *, fate: bool) -> dict[tuple[str, str, bool], list[Flight]]:
    """Flights by source, target and, with `fate`, whether they were lost."""
    groups: dict[tuple[str, str, bool], list[Flight]] = defaultdict(list)
    for flight in flights:
        groups[flight.source, flight.target, fate and flight.missing].append(flight)
    return groups
