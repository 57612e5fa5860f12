"""States from packets: the machine's own rows, run over what one host was seen to send and receive.

An `Observer` follows one end of a connection. It examines segments in the order of 3.10.7, like the engine, and posts
to the same table; only it does not act, it is shown what the end did. So it needs no clock and no trace, just (time,
direction, segment): a capture of anybody will do.

What packets cannot show is not told, or told late:

* a call that sends nothing: CLOSE while text is queued in front of the FIN (seen when the FIN leaves), ABORT and CLOSE
  in SYN-SENT, a passive OPEN that nobody uses;
* an end in silence: the user timeout, keepalive and R2 without a RST, the end of TIME-WAIT and of a FIN-WAIT-2 that
  nobody waits for, a crash. What the end sends next may show that it is over (`Step.row` is then None);
* why a RST was sent: abort, text unread, a timeout, lack of resources look alike, and are told as ABORT;
* what is a choice of the implementation (`reset_validity`, `time_wait_rst`): as `config` says.

Whoever knows of such things otherwise says so with `Observer.happened`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal, NamedTuple

from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.connection import answer_closed
from tcpclose.protocol.fsm import TABLE, Event, Row, State
from tcpclose.protocol.receiving import Receiver
from tcpclose.protocol.segment import ACK, FIN, RST, SYN, Segment, seq_add, seq_diff
from tcpclose.protocol.tcb import Tcb

#: A packet at a host: when, which way, what.
Packet = tuple[int, Literal["sent", "received"], Segment]

_LARGEST_WINDOW = 0xFFFF << 14


class Step(NamedTuple):
    """An end went from one state to another. `row` is None where packets show that it did, and not by what event."""

    t: int
    old: State
    new: State
    row: Row | None


class Inference(NamedTuple):
    """What was inferred of both ends: of the one at whose host packets were seen, and of the other."""

    here: list[Step]
    there: list[Step]


def infer(packets: Iterable[Packet], config: TcpConfig | None = None) -> Inference:
    """The states that both ends of one connection passed, from its packets as seen at one of them, in order.

    The steps of the other end are less certain. What left here counts as having arrived there when it was
    acknowledged; an ACK or a RST, which is never acknowledged, counts at once.
    """
    here, there = Observer(config), Observer(config)
    under_way: list[Segment] = []
    for now, way, segment in packets:
        if way == "sent":
            here.sent(segment, now)
            under_way.append(segment)
            arrived = under_way if segment.ctl & RST else [] if segment.len else [segment]
        else:
            here.received(segment, now)
            arrived = [s for s in under_way if segment.ctl & ACK and seq_diff(segment.ack, s.end) >= 0]
        for other in list(arrived):
            there.received(other, now)
        under_way = [s for s in under_way if s not in arrived]
        if way == "received":
            there.sent(segment, now)
    return Inference(here.news(), there.news())


class Observer:
    """One end of a connection, watched from outside. Times are whatever the packets have, in order."""

    def __init__(self, config: TcpConfig | None = None) -> None:
        self.config = replace(config or TcpConfig(), rcv_buffer=_LARGEST_WINDOW)
        self.state = State.CLOSED
        self._steps: list[Step] = []
        self._begun = False
        self._syn: tuple[Segment, int] | None = None  # one that came; whether it opened something, the answer shows
        self._heard: Segment | None = None  # the last segment that came,
        self._before = (0, self.state)  # and how things stood when it did
        self._new_tcb(Segment(0))

    def news(self) -> list[Step]:
        """The steps since the last call."""
        steps, self._steps = self._steps, []
        self._before = (0, self.state)
        return steps

    @property
    def outstanding(self) -> bool:
        """Something was sent and is not acknowledged."""
        return self._tcb.snd_una != self._tcb.snd_nxt

    def happened(self, event: Event, now: int) -> None:
        """Fire the row for `event`, as the engine does."""
        row = TABLE[self.state].get(event)
        if row is not None:
            self._go(row.next, row, now)

    def correct(self, state: State, row: Row | None, now: int) -> None:
        """Somebody knows better in which state the end is."""
        self._go(state, row, now)

    def _go(self, state: State, row: Row | None, now: int) -> None:
        if state is not self.state:
            self._steps.append(Step(now, self.state, state, row))
        self.state = state

    def _new_tcb(self, syn: Segment) -> None:
        """`syn` is the one that this end sends."""
        self._own_syn = syn
        self._tcb = Tcb(syn.seq)
        self._receiver = Receiver(self._tcb, self.config)
        self._fin_seq: int | None = None  # where our FIN stands, once sent
        self._came_from_listen = False

    # What the end sends

    def sent(self, segment: Segment, now: int) -> None:
        """The end put a segment on the wire."""
        if segment.ctl & RST:
            self._sent_reset(segment, now)
            return
        if segment.ctl & SYN:
            self._sent_syn(segment, now)
        elif not self._begun:
            self._join(segment, now)
        self._begun = True
        tcb = self._tcb
        if seq_diff(segment.end, tcb.snd_nxt) > 0:
            tcb.snd_nxt = segment.end
        if segment.ctl & ACK:
            shift = 0 if segment.ctl & SYN else tcb.rcv_shift
            edge = seq_add(segment.ack, segment.wnd << shift)
            if seq_diff(edge, tcb.rcv_edge) > 0 or segment.ctl & SYN:
                tcb.rcv_edge = edge
        if segment.ctl & FIN:
            self._fin_seq = seq_add(segment.end, -1)
            self.happened(Event.CLOSE, now)
            self.happened(Event.FIN_SENT, now)

    def _sent_syn(self, segment: Segment, now: int) -> None:
        """A SYN,ACK that answers a SYN shows a listener; a SYN alone an active OPEN. Else it is a repeated one."""
        if self.state.has_peer and segment.seq == self._own_syn.seq:
            return
        if not segment.ctl & ACK:
            self._vanish(now)
            self._new_tcb(segment)
            self.happened(Event.OPEN_ACTIVE, now)
        else:
            syn, came = self._answered(segment, now)
            self.happened(Event.REOPEN, came)
            self._vanish(came)
            self._new_tcb(segment)
            self._came_from_listen = True
            self._synchronize(syn)
            self.state = State.LISTEN
            self.happened(Event.SYN, came)

    def _answered(self, segment: Segment, now: int) -> tuple[Segment, int]:
        """The SYN that a SYN,ACK answers, and when it came; one that was not seen is known by its number."""
        if self._syn is not None and segment.ack == self._syn[0].end:
            return self._syn
        return Segment(seq_add(segment.ack, -1), ctl=SYN), now

    def _sent_reset(self, segment: Segment, now: int) -> None:
        """A RST ends a connection, or says that there is none any more, or refuses an ACK of what was never sent."""
        if not self.state.has_peer:
            return
        answer = None if self._heard is None else answer_closed(self._heard)
        if answer is None or (answer.seq, answer.ctl, answer.ack) != (segment.seq, segment.ctl, segment.ack):
            self.happened(Event.ABORT, now)
            return
        steps, before = self._before
        unwanted = TABLE[self.state].get(Event.UNWANTED_TEXT)
        if unwanted is not None and self._heard is not None and self._heard.data:
            self._go(unwanted.next, unwanted, now)
        elif before.handshaking or Event.SYN_ACK in TABLE[before]:
            if self.state is not before:  # the segment seemed to complete the handshake, and did not
                self._take_back(steps, before)
                self._vanish(now)
        else:
            self._take_back(steps, before)
            self._vanish(now)

    def _take_back(self, steps: int, before: State) -> None:
        """What the last segment seemed to do was not done: nobody was there."""
        del self._steps[steps:]
        self.state = before

    def _vanish(self, now: int) -> None:
        """The connection is over, for how long nobody knows."""
        if self.state.has_peer:
            self._go(State.CLOSED, TABLE[self.state].get(Event.TIME_WAIT_TIMEOUT), now)

    def _join(self, segment: Segment, now: int) -> None:
        """The first packets were not seen: this end was ESTABLISHED, or has become CLOSE-WAIT with what came last."""
        self._new_tcb(Segment(seq_add(segment.seq, -1)))
        self._tcb.snd_una = self._tcb.snd_nxt = segment.seq
        first = self._heard if self._heard is not None and self._heard.end == segment.ack else None
        self._receiver.start(Segment(seq_add(first.seq if first else segment.ack, -1)))
        self._go(State.ESTABLISHED, None, now)
        if first is not None:
            self._arrives_otherwise(first, now)

    # What arrives at the end, in the order of 3.10.7

    def received(self, segment: Segment, now: int) -> None:
        """A segment came in."""
        self._heard, self._before = segment, (len(self._steps), self.state)
        if segment.ctl & (SYN | ACK | RST) == SYN:
            self._syn = segment, now
        _ARRIVES.get(self.state, Observer._arrives_otherwise)(self, segment, now)

    def _arrives_in_vain(self, segment: Segment, now: int) -> None:
        """Whether a SYN opened anything is shown by the answer to it."""

    def _arrives_syn_sent(self, segment: Segment, now: int) -> None:
        """3.10.7.3."""
        acknowledges = bool(segment.ctl & ACK)
        if acknowledges and not self._acknowledges_new(segment):
            return
        if segment.ctl & RST:
            if acknowledges:
                self.happened(Event.RST, now)
        elif segment.ctl & SYN:
            self._synchronize(segment)
            if acknowledges:
                self._tcb.snd_una = segment.ack
            self.happened(Event.SYN_ACK if acknowledges else Event.SYN, now)
            if acknowledges:
                self._text_and_fin(_after_syn(segment), now)

    def _synchronize(self, syn: Segment) -> None:
        if syn.wscale is not None and self._own_syn.wscale is not None:
            self._tcb.rcv_shift = self._own_syn.wscale
        self._receiver.start(syn)
        self._tcb.rcv_edge = seq_add(self._tcb.rcv_nxt, self._own_syn.wnd)

    def _arrives_otherwise(self, segment: Segment, now: int) -> None:
        """3.10.7.4."""
        if self.state.handshaking and segment.ctl & SYN and segment.ctl & ACK and segment.seq == self._tcb.irs:
            segment = _after_syn(segment)
        if not self._receiver.acceptable(segment):
            self._arrives_outside(segment, now)
        elif segment.ctl & RST:
            self._rst_step(segment, now)
        elif segment.ctl & SYN:
            if self._may_listen and seq_diff(segment.seq, self._tcb.rcv_nxt) >= 0:
                self.happened(Event.BACK_TO_LISTEN, now)
        elif segment.ctl & ACK and self._ack_step(segment, now):
            self._text_and_fin(segment, now)

    def _arrives_outside(self, segment: Segment, now: int) -> None:
        """Not acceptable. Only the ACK of what repeats old text is heard."""
        if segment.ctl & RST or self.state.handshaking:
            return
        if segment.len and segment.ctl & (SYN | ACK) == ACK and self._receiver.repeats(segment):
            self._ack_step(segment, now)

    def _rst_step(self, segment: Segment, now: int) -> None:
        if self.state.lingers and self.config.time_wait_rst == "ignore":
            return
        if segment.seq == self._tcb.rcv_nxt or self.config.reset_validity == "window":
            self.happened(Event.BACK_TO_LISTEN if self._may_listen else Event.RST, now)

    @property
    def _may_listen(self) -> bool:
        return self._came_from_listen and self.state.handshaking

    def _ack_step(self, segment: Segment, now: int) -> bool:
        tcb = self._tcb
        new = self._acknowledges_new(segment)
        if seq_diff(segment.ack, tcb.snd_nxt) > 0:
            return False
        if new:
            tcb.snd_una = segment.ack
            self.happened(Event.ACK_OF_SYN, now)
            if self._fin_seq is not None and seq_diff(tcb.snd_una, self._fin_seq) > 0:
                self.happened(Event.ACK_OF_FIN, now)
        return True

    def _acknowledges_new(self, segment: Segment) -> bool:
        """SND.UNA < SEG.ACK =< SND.NXT."""
        return 0 < seq_diff(segment.ack, self._tcb.snd_una) <= seq_diff(self._tcb.snd_nxt, self._tcb.snd_una)

    def _text_and_fin(self, segment: Segment, now: int) -> None:
        if self.state.accepts_text:
            self._receiver.arrive(segment)
            self._receiver.read()
            if self._receiver.finished:
                self.happened(Event.FIN, now)


def _after_syn(segment: Segment) -> Segment:
    """What follows the SYN in a segment that has one."""
    return replace(segment, seq=seq_add(segment.seq, 1), ctl=segment.ctl & ~SYN)


#: As in the engine; without a TCB nothing can be told from an arrival alone.
_ARRIVES: dict[State, Callable[[Observer, Segment, int], None]] = {
    State.CLOSED: Observer._arrives_in_vain,
    State.LISTEN: Observer._arrives_in_vain,
    State.SYN_SENT: Observer._arrives_syn_sent,
}
