"""Our own verdict on a connection: how it was released, who closed first, through which states, and why it was reset.

It is judged from the few events that were noted (`noting.py`). Many connections have the same story, so each is judged
once. The states are those of the machine's rows, as `trace.infer` finds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from tcpclose.protocol.segment import ACK, FIN, RST, SYN, Segment, seq_add
from tcpclose.trace.infer import Observer

from .noting import (
    ACK_ALL,
    ACK_BEYOND,
    ACK_FIRST,
    ACK_MASK,
    ACK_MORE,
    ACK_SHIFT,
    AFTER_TEXT,
    ANSWER,
    BROKEN,
    EXACT,
    FROM_B,
    HARD,
    ICMP,
    ID_UNLIKE,
    PAUSED,
    PROBED,
    QUIET,
    SEQ_AHEAD,
    SEQ_MASK,
    SEQ_NEXT,
    SEQ_OLD,
    SEQ_PROBE,
    SEQ_SHIFT,
    TEXT,
    TEXT_LAST,
    TTL_UNLIKE,
    UNANSWERED_SHIFT,
    WINDOW_SHUT,
)

#: How connections end. `docs/classify.md` explains each.
KINDS = (
    "graceful",
    "three-segment",
    "simultaneous",
    "half-closed",
    "reset",
    "refused",
    "handshake failed",
    "unanswered",
    "timed out",
    "one-sided",
    "open",
    "midstream",
)

#: Why there was a RST, or why nothing came any more.
CAUSES = (
    "refused",
    "no such connection",
    "half-open connection discovered",
    "stale segment after reboot",
    "data after close",
    "unread data",
    "abort",
    "retransmission gave up",
    "keepalive gave up",
    "invalid header",
    "middlebox suspected",
    "injected",
    "sequence number not exact",
    "unreachable",
    "keepalive unanswered",
    "peer silent",
)

#: Causes of a RST that the end whose address it has did not send.
FOREIGN = ("middlebox suspected", "injected")

#: Packets that a verdict names, at most.
MOST_EVIDENCE = 4


class Ending(NamedTuple):
    """The verdict on a story. A and B are the ends as the table has them; `evidence` are places of events."""

    kind: str
    closed_first: int | None
    states: tuple[str, str]
    reset_by: int | None
    cause: str
    confidence: str
    evidence: tuple[int, ...]


class Standing(NamedTuple):
    """How it stood when the connection was last heard of, of A and B."""

    unanswered: tuple[int, int]
    probed: tuple[bool, bool]
    #: The capture was not over yet.
    removed: bool


@dataclass(frozen=True, slots=True)
class Noted:
    """A code, read."""

    place: int
    code: int

    @property
    def side(self) -> int:
        return 1 if self.code & FROM_B else 0

    def has(self, bits: int) -> bool:
        return bool(self.code & bits)

    @property
    def seq(self) -> int:
        return self.code >> SEQ_SHIFT & SEQ_MASK

    @property
    def ack(self) -> int:
        return self.code >> ACK_SHIFT & ACK_MASK

    @property
    def unanswered(self) -> int:
        return self.code >> UNANSWERED_SHIFT & 3

    @property
    def opens(self) -> bool:
        return self.code & (SYN | ACK | RST) == SYN

    @property
    def is_packet(self) -> bool:
        return not self.code & (ICMP | BROKEN)


def judge(codes: Sequence[int], standing: Standing) -> Ending:
    """The verdict on the events of a connection."""
    events = [Noted(place, code) for place, code in enumerate(codes)]
    story = _Story(events, standing)
    kind, evidence = story.kind()
    cause, confidence, more = story.cause(kind)
    foreign = story.reset.side if story.reset and cause in FOREIGN else None
    states = states_of(events, standing.unanswered, evidence if kind == "simultaneous" else [], foreign)
    first = story.first_end
    return Ending(
        kind=kind,
        closed_first=None if first is None else first.side,
        states=states,
        reset_by=None if story.reset is None else story.reset.side,
        cause=cause,
        confidence=confidence,
        evidence=tuple(dict.fromkeys([*more, *evidence]))[:MOST_EVIDENCE],
    )


def _alone(packets: Sequence[Noted]) -> bool:
    """Whether they are of one end."""
    return len({event.side for event in packets}) == 1


def _acknowledges(event: Noted) -> bool:
    """Whether it is one of those that follow a handshake."""
    return event.has(ACK) and not event.has(SYN | FIN | RST)


class _Story:
    """The events that matter, by name."""

    def __init__(self, events: list[Noted], standing: Standing) -> None:
        self.events = events
        self.packets = [event for event in events if event.is_packet]
        self.standing = standing
        self.reset = self._first(RST)
        self.opening = next((event for event in self.packets if event.opens), None)
        self.answered = next((event for event in self.packets if event.has(SYN) and event.has(ACK)), None)
        self.fins = tuple(
            next((e for e in self.packets if e.has(FIN) and not e.has(RST) and e.side == side), None) for side in (0, 1)
        )
        self.first_end = next((event for event in self.packets if event.has(FIN | RST)), None)
        #: Only one end was captured, and it acknowledges what the other sent.
        self.one_sided = _alone(self.packets) and any(_acknowledges(event) for event in self.packets)

    def _first(self, bit: int) -> Noted | None:
        return next((event for event in self.packets if event.has(bit)), None)

    def _after(self, event: Noted) -> Iterator[Noted]:
        return (other for other in self.packets if other.place > event.place)

    def _before(self, event: Noted) -> list[Noted]:
        return [other for other in self.packets if other.place < event.place]

    # ---- how

    def kind(self) -> tuple[str, list[int]]:
        """How the connection was released, and the packets that show it."""
        one, other = self.fins
        if one and other and not (self.reset and self._cut_off(self.reset, one, other)):
            return self._graceful(*sorted((one, other), key=lambda event: event.place))
        if self.reset:
            return self._reset(self.reset)
        if one or other:
            return self._half_closed(one or other)  # type: ignore[arg-type]
        return self._unreleased()

    def _cut_off(self, reset: Noted, one: Noted, other: Noted) -> bool:
        """Whether the RST came before both FINs were sent, or before one of them was acknowledged."""
        both = max(one.place, other.place)
        acked = [e for e in self._before(reset) if e.ack == ACK_ALL and e.place > (one if e.side else other).place]
        return reset.place < both or not acked

    def _graceful(self, first: Noted, second: Noted) -> tuple[str, list[int]]:
        evidence = [first.place, second.place]
        own_ack = [
            e for e in self._after(first) if e.side == second.side and e.place < second.place and e.ack == ACK_ALL
        ]
        if own_ack:
            return "graceful", evidence
        return ("three-segment" if second.ack == ACK_ALL else "simultaneous"), evidence

    def _reset(self, reset: Noted) -> tuple[str, list[int]]:
        evidence = [reset.place]
        heard = [event for event in self._before(reset) if event.side == reset.side]
        asked = [event for event in self._before(reset) if event.side != reset.side]
        if self.one_sided:
            return "reset", evidence
        if not (asked or heard) and reset.has(ANSWER):
            return "refused", evidence
        if self.opening and not self.answered:
            if self.opening.side != reset.side and not heard:
                return "refused", [self.opening.place, *evidence]
            return "handshake failed", evidence
        if self.opening and self.answered and self.opening.side == reset.side:
            third = [e for e in heard if e.place > self.answered.place]
            if not third:
                return "handshake failed", [self.answered.place, *evidence]
        elif self.answered and not self.opening and not [e for e in asked if e is not self.answered]:
            return "handshake failed", [self.answered.place, *evidence]
        return "reset", evidence

    def _half_closed(self, fin: Noted) -> tuple[str, list[int]]:
        heard = [event for event in self._after(fin) if event.side != fin.side]
        answers_unseen = self.one_sided and (self.opening or self.answered)
        if not heard and self.standing.unanswered[fin.side] >= 2 and not answers_unseen:
            return "timed out", [fin.place, self.packets[-1].place]
        return ("one-sided" if self.one_sided else "half-closed"), [fin.place]

    def _unreleased(self) -> tuple[str, list[int]]:
        last = [self.packets[-1].place] if self.packets else []
        if self.opening and _alone(self.packets) and not self.one_sided:
            return "unanswered", [self.opening.place]
        if self.answered and all(event.has(SYN) for event in self.packets):
            return "handshake failed", [self.answered.place]
        if self.one_sided and (self.opening or self.answered):
            return "one-sided", last
        if max(self.standing.unanswered) >= 3 or (self.standing.removed and max(self.standing.unanswered) >= 2):
            return "timed out", last
        return ("open" if self.opening or self.answered else "midstream"), last

    # ---- why

    def cause(self, kind: str) -> tuple[str, str, list[int]]:
        """Why there was a RST, or why nothing came any more; how sure that is, and what shows it."""
        error = next((event for event in self.events if event.has(ICMP)), None)
        if self.reset is None:
            if error is not None and kind in ("unanswered", "timed out", "handshake failed"):
                return "unreachable", "high" if error.has(HARD) else "medium", [error.place]
            if kind == "timed out":
                probed = any(self.standing.probed)
                return ("keepalive unanswered" if probed else "peer silent"), "medium", []
            return "", "", []
        cause, confidence, evidence = self._why(self.reset, kind)
        return cause, confidence, [self.reset.place, *evidence]

    def _why(self, reset: Noted, kind: str) -> tuple[str, str, list[int]]:
        before = self._before(reset)
        trigger = before[-1] if before and before[-1].side != reset.side else None
        shown = [trigger.place] if trigger else []
        if foreign := self._foreign(reset, before):
            return foreign
        if kind == "refused":
            right = reset.has(ANSWER) and reset.has(ACK) and shown
            return "refused", "high" if right else "medium", shown
        if broken := self._broken(reset):
            return "invalid header", "medium", [broken.place]
        if reset.unanswered >= 2 and self._hears(reset):
            cause = "keepalive gave up" if reset.has(PROBED) else "retransmission gave up"
            errors = [event.place for event in self.events if event.has(ICMP) and event.side == reset.side]
            return cause, "high" if reset.unanswered >= 3 else "medium", [before[-1].place, *errors[:1]]
        if self._discovered(reset, before):
            return "half-open connection discovered", "high", [before[-2].place, before[-1].place]
        closed = [event for event in before if event.has(FIN) and event.side == reset.side]
        if closed and reset.has(AFTER_TEXT):
            return "data after close", "high", [closed[0].place, *shown]
        if not reset.has(ACK) and reset.has(ANSWER) and (trigger or not before or reset.seq != SEQ_NEXT):
            return self._no_connection(reset, before, shown)
        if not reset.has(ACK):
            return ("abort" if self._hears(reset) else "no such connection"), "low", shown
        if reset.has(ANSWER) and reset.seq != SEQ_NEXT:
            return "no such connection", "high" if trigger else "medium", shown
        if reset.has(WINDOW_SHUT):
            return "unread data", "high", shown
        if reset.has(AFTER_TEXT):
            return "unread data", "low" if reset.has(PAUSED) else "medium", shown
        return self._abort(reset, before)

    def _abort(self, reset: Noted, before: list[Noted]) -> tuple[str, str, list[int]]:
        """It answers nothing. Text that came may be unread, though acknowledged: then CLOSE does the same (3.6.1).

        An end that has sent text since has probably read what came before. What was not captured may have been text.
        And who has closed has perhaps waited for the peer long enough.
        """
        closed = any(event.has(FIN) and event.side == reset.side for event in before)
        told = [event.place for event in before if event.has(TEXT) and event.side != reset.side]
        answered = any(event.has(TEXT) and event.side == reset.side for event in before) and not reset.has(TEXT_LAST)
        if reset.seq != SEQ_NEXT or not self._hears(reset):
            return "abort", "low", told[-1:]
        if not told and (self.opening or self.answered):
            return "abort", "medium" if closed else "high", []
        return ("abort", "medium", []) if answered else ("abort", "low", told[-1:])

    def _foreign(self, reset: Noted, before: list[Noted]) -> tuple[str, str, list[int]] | None:
        """Signs that the end did not send it itself."""
        goes_on = [e for e in self._after(reset) if e.side == reset.side and not e.has(RST | SYN) and e.seq != SEQ_OLD]
        if reset.has(TTL_UNLIKE):
            sure = "high" if goes_on or reset.has(ID_UNLIKE) else "medium"
            return "middlebox suspected", sure, [event.place for event in goes_on[:1]]
        if goes_on and any(event.side == reset.side for event in before):
            return "injected", "high" if reset.has(ID_UNLIKE) else "medium", [goes_on[0].place]
        known = any(event.side == reset.side for event in before)
        exact = reset.has(EXACT | ANSWER) or reset.seq in (SEQ_NEXT, SEQ_PROBE)
        if known and not exact and self._hears(reset):
            return "sequence number not exact", "medium", []
        return None

    def _hears(self, reset: Noted) -> bool:
        """Whether its peer was captured at all."""
        return any(event.side != reset.side for event in self.packets)

    def _broken(self, reset: Noted) -> Noted | None:
        """The header that the RST may answer: the last thing before it, and of the other side."""
        before = [event for event in self.events if event.place < reset.place and not event.has(ICMP)]
        last = before[-1] if before else None
        if last is None or last.side == reset.side:
            return None
        impossible = last.has(SYN) and last.has(FIN)
        return last if last.has(BROKEN) or impossible else None

    def _discovered(self, reset: Noted, before: list[Noted]) -> bool:
        """A SYN, an ACK of what its sender knows nothing of, and its RST (3.5.1, figures 9 and 10)."""
        if len(before) < 2 or reset.has(ACK):
            return False
        syn, challenge = before[-2:]
        bare = not challenge.has(SYN | FIN | RST | TEXT) and challenge.has(ACK) and challenge.ack != ACK_ALL
        return syn.opens and syn.side == reset.side and challenge.side != reset.side and bare

    def _no_connection(self, reset: Noted, before: list[Noted], shown: list[int]) -> tuple[str, str, list[int]]:
        own = [event for event in before if event.side == reset.side]
        if not own:
            return "no such connection", "high" if shown else "medium", shown
        if any(event.has(FIN) for event in own):
            return "no such connection", "high", shown
        if before and before[-1].has(SYN):
            return "no such connection", "medium", shown
        if reset.has(QUIET):
            return "stale segment after reboot", "medium", shown
        return "no such connection", "medium", shown


# ---- states


class _Numbers:
    """Numbers that the codes are true of: text has 100 octets, what was never captured none."""

    _TEXT = b"\0" * 100
    _FAR = 1 << 16

    def __init__(self) -> None:
        self.next = [100, 300]
        self.acked = [100, 300]
        self.began = [100, 300]
        self.fin: list[int | None] = [None, None]

    def segment(self, event: Noted, heard: bool) -> Segment:
        """The segment of an event. `heard` says that a RST had its effect, whatever its number."""
        me, peer = event.side, 1 - event.side
        ctl = event.code & (FIN | SYN | RST | ACK)
        data = self._TEXT if event.has(TEXT) else b""
        segment = Segment(self._seq(event, heard), self._ack(event), ctl, 65535, data)
        if not ctl & RST:
            if ctl & SYN and event.seq != SEQ_OLD:
                self.began[me] = segment.seq
            if ctl & FIN and self.fin[me] is None:
                self.fin[me] = seq_add(segment.end, -1)
            self.next[me] = max(self.next[me], segment.end)
            if ctl & ACK and event.ack != ACK_BEYOND:
                self.acked[peer] = max(self.acked[peer], segment.ack)
        return segment

    def handshake(self, syn: Noted) -> Segment:
        """The segment that must have answered a SYN, or a SYN-ACK."""
        answer = Segment(self.next[1 - syn.side], seq_add(self.began[syn.side], 1), ACK, 65535)
        return answer if syn.has(ACK) else replace(answer, seq=seq_add(answer.seq, -1), ctl=SYN | ACK)

    def _seq(self, event: Noted, heard: bool) -> int:
        me = event.side
        if event.has(RST):
            if event.seq == SEQ_NEXT:  # also when the ACK of the text before was not noted
                return self.next[me]
            if event.has(EXACT):
                return self.acked[me]
            return self.next[me] if heard else self.next[me] + 10
        if event.seq == SEQ_PROBE:
            return self.next[me] - 1
        if event.seq == SEQ_OLD:
            fin = self.fin[me]
            if event.has(SYN):
                return self.began[me]
            if event.has(FIN) and fin is not None:
                return fin - (100 if event.has(TEXT) else 0)
            return max(self.began[me], self.next[me] - (100 if event.has(TEXT) else 1))
        if event.seq == SEQ_AHEAD and event.has(SYN):
            return self.next[me] + self._FAR
        return self.next[me]

    def _ack(self, event: Noted) -> int:
        peer = 1 - event.side
        if not event.has(ACK):
            return 0
        if event.ack in (ACK_ALL, ACK_FIRST):
            return self.next[peer]
        if event.ack == ACK_BEYOND:
            return self.next[peer] + self._FAR
        if event.ack == ACK_MORE:
            fin = self.fin[peer]
            return max(self.acked[peer], self.next[peer] if fin is None else fin)
        return self.acked[peer]


def states_of(
    events: Sequence[Noted],
    unanswered: tuple[int, int] = (0, 0),
    crossing: Sequence[int] = (),
    foreign: int | None = None,
) -> tuple[str, str]:
    """The states that each end passed, as the machine's rows say: `"SYN-SENT ESTABLISHED CLOSE-WAIT"`.

    `crossing` are the places of two FINs of which neither acknowledges the other: both arrive after both were sent.
    What an end repeats for ever, `unanswered`, has not arrived. The RSTs of a side may be `foreign`, and not its own.
    """
    ends = (Observer(), Observer())
    numbers = _Numbers()
    passed: tuple[list[str], list[str]] = ([], [])
    packets = [event for event in events if event.is_packet]
    unseen = _alone(packets) and packets[0].has(SYN)
    for place, event in enumerate(packets):
        heard = all(later.side == event.side for later in packets[place + 1 :])
        lost = heard and unanswered[event.side] and event.has(SYN | FIN | TEXT)
        segment = numbers.segment(event, heard)
        if unseen and _acknowledges(event):
            ends[event.side].received(numbers.handshake(packets[0]), place)
            _look(ends, passed)
            unseen = False
        if not (event.has(RST) and event.side == foreign):
            ends[event.side].sent(segment, place)
        if event.place in crossing[:1]:
            late = segment
        elif not lost:
            ends[1 - event.side].received(segment, place)
        _look(ends, passed)
        if event.place in crossing[1:]:
            ends[event.side].received(late, place)
            _look(ends, passed)
    return " ".join(passed[0]), " ".join(passed[1])


def _look(ends: tuple[Observer, Observer], passed: tuple[list[str], list[str]]) -> None:
    """What one segment leads through is one step: only the last state can be seen."""
    for end, states in zip(ends, passed, strict=True):
        if steps := end.news():
            states.append(steps[-1].new.value)
