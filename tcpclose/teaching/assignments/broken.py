"""Engines with one thing wrong each, for the mutants that no row and no setting can make."""

from __future__ import annotations

from dataclasses import replace

from tcpclose.protocol.connection import Connection
from tcpclose.protocol.datagram import Pair
from tcpclose.protocol.fsm import Event
from tcpclose.protocol.segment import ACK, FIN, RST, SYN, Segment, seq_add, seq_diff
from tcpclose.protocol.stack import Stack


class FinNotAcknowledged(Connection):
    """No ACK for a FIN."""

    __slots__ = ()

    def _text_and_fin(self, segment: Segment, now: int) -> None:
        super()._text_and_fin(segment, now)
        if self.receiver.finished:
            self.acknowledger.due = False


class FinWithoutNumber(Connection):
    """RCV.NXT stays at the FIN."""

    __slots__ = ()

    def _text_and_fin(self, segment: Segment, now: int) -> None:
        before = self.receiver.finished
        super()._text_and_fin(segment, now)
        if self.receiver.finished and not before:
            self.tcb.rcv_nxt = seq_add(self.tcb.rcv_nxt, -1)


class EofNotTold(Connection):
    """A FIN moves the machine, and the user reads on."""

    __slots__ = ()

    def _text_and_fin(self, segment: Segment, now: int) -> None:
        super()._text_and_fin(segment, now)
        if not self.state.accepts_text:
            self.receiver.finished = False


class RepeatedFinUnheard(Connection):
    """A FIN that was taken before gets no answer."""

    __slots__ = ()

    def _sequence_step(self, segment: Segment, now: int) -> bool:
        if segment.ctl & FIN and self.receiver.finished and not self.state.lingers:
            return False
        return super()._sequence_step(segment, now)


class NoTextAfterClose(Connection):
    """Text after our CLOSE is neither taken nor acknowledged."""

    __slots__ = ()

    def _text_and_fin(self, segment: Segment, now: int) -> None:
        if not (segment.data and self.sender.fin_queued):
            super()._text_and_fin(segment, now)


class FinHidesAck(Connection):
    """The fifth step is left out for a FIN."""

    __slots__ = ()

    def _ack_step(self, segment: Segment, now: int) -> bool:
        hides = segment.ctl & FIN and self.sender.fin_queued and not self.receiver.finished
        return True if hides else super()._ack_step(segment, now)


class FinOvertakes(Connection):
    """A FIN closes over a hole."""

    __slots__ = ()

    def _text_and_fin(self, segment: Segment, now: int) -> None:
        if segment.ctl & FIN and self.state.accepts_text:
            self.tcb.rcv_nxt = segment.seq
        super()._text_and_fin(segment, now)


class TextBesideFin(Connection):
    """The text of a segment with FIN is lost."""

    __slots__ = ()

    def _text_and_fin(self, segment: Segment, now: int) -> None:
        before = len(self.receiver.text)
        super()._text_and_fin(segment, now)
        if segment.ctl & FIN:
            del self.receiver.text[before:]


class CloseDropsText(Connection):
    """What was not sent yet is dropped."""

    __slots__ = ()

    def half_close(self, now: int) -> None:
        sent = max(seq_diff(self.tcb.snd_nxt, self.sender.base), 0)
        del self.sender.text[sent:]
        super().half_close(now)


class AnyAckOfFin(Connection):
    """An ACK that is old will do."""

    __slots__ = ()

    def _ack_step(self, segment: Segment, now: int) -> bool:
        good = super()._ack_step(segment, now)
        if self.sender.fin_queued and self.receiver.finished:
            self._post(Event.ACK_OF_FIN, now)
        return good


class AckBeyond(Connection):
    """An ACK beyond SND.NXT counts as one of SND.NXT."""

    __slots__ = ()

    def _ack_step(self, segment: Segment, now: int) -> bool:
        if self.sender.fin_queued and seq_diff(segment.ack, self.tcb.snd_nxt) > 0:
            segment.ack = self.tcb.snd_nxt
        return super()._ack_step(segment, now)


class BareFin(Connection):
    """A FIN leaves without ACK."""

    __slots__ = ()

    def segments_to_send(self) -> list[Segment]:
        segments = super().segments_to_send()
        for segment in segments:
            if segment.ctl & FIN:
                segment.ctl &= ~ACK
        return segments


class AnyAckRestarts(Connection):
    """Every ACK in TIME-WAIT starts the 2 MSL."""

    __slots__ = ()

    def _ack_step(self, segment: Segment, now: int) -> bool:
        if self.state.lingers:
            self._start_2msl(now)
        return super()._ack_step(segment, now)


class ResetInThePast(Connection):
    """A RST has SND.UNA in place of SND.NXT."""

    __slots__ = ()

    def segments_to_send(self) -> list[Segment]:
        segments = super().segments_to_send()
        for segment in segments:
            if segment.ctl & RST and segment.ctl & ACK:
                segment.seq = self.tcb.snd_una
        return segments


class ResetOutside(Connection):
    """A RST need not be acceptable."""

    __slots__ = ()

    def _sequence_step(self, segment: Segment, now: int) -> bool:
        return bool(segment.ctl & RST) or super()._sequence_step(segment, now)


class ResetTakesText(Connection):
    """Nothing can be read after a RST."""

    __slots__ = ()

    def _rst_step(self, segment: Segment, now: int) -> None:
        super()._rst_step(segment, now)
        if self.cause is not None:
            self.receiver.read()


class FinNotRepeated(Connection):
    """The retransmission timer does nothing for a FIN alone."""

    __slots__ = ()

    def _retransmission_timeout(self, now: int) -> None:
        if self.sender.fin_queued and not self.sender.text:
            self.sender.rto_at = None
        else:
            super()._retransmission_timeout(now)


class NoBackoff(Connection):
    """The timeout stays as it is."""

    __slots__ = ()

    def _retransmission_timeout(self, now: int) -> None:
        rto = self.sender.rto
        super()._retransmission_timeout(now)
        if self.cause is None and self.sender.fin_queued:
            self.sender.rto, self.sender.rto_at = rto, now + rto


class NoUserTimeout(Connection):
    """The user timer expires in silence, and nothing happens."""

    __slots__ = ()

    def timeout(self, now: int) -> None:
        if self.sender.user_at is not None and self.sender.user_at <= now:
            self.sender.user_at = None
        super().timeout(now)


class FinWait2ForEver(Connection):
    """The timer of FIN-WAIT-2 expires, and nothing happens."""

    __slots__ = ()

    def timeout(self, now: int) -> None:
        if self.fin_wait_2_at is not None and self.fin_wait_2_at <= now:
            self.fin_wait_2_at = None
        super().timeout(now)


class FinWait2OfUsers(Connection):
    """The timer of FIN-WAIT-2 runs for users who have not gone."""

    __slots__ = ()

    def _post(self, event: Event, now: int) -> None:
        super()._post(event, now)
        if self.state.awaits_fin and self.fin_wait_2_at is None:
            self.fin_wait_2_at = now + self.config.fin_wait_2_timeout


class SoftErrorEnds(Connection):
    """All ICMP errors are hard."""

    __slots__ = ()

    def icmp_arrives(self, hard: bool, detail: str, now: int) -> None:
        super().icmp_arrives(True, detail, now)


class KeepaliveForEver(Connection):
    """It begins anew when it should give up."""

    __slots__ = ()

    def _keepalive_timeout(self, now: int) -> None:
        assert self.keepalive is not None
        if self.keepalive.exhausted(self.config):
            self.keepalive.heard(self.config, now)
        super()._keepalive_timeout(now)


def _listens(connection: Connection) -> bool:
    """Is this a listener that a segment of nobody has come to?"""
    return not connection.state.has_peer and connection.cause is None


class ListenerMute(Connection):
    """A listener gives no RST."""

    __slots__ = ()

    def segment_arrives(self, segment: Segment, now: int) -> None:
        super().segment_arrives(segment, now)
        if _listens(self):
            self._segments.clear()


class StrayUnanswered(Stack):
    """What belongs to no connection gets no answer, unless it is a SYN."""

    def _refuse(self, pair: Pair, segment: Segment, why: str) -> None:
        if segment.ctl & SYN:
            super()._refuse(pair, segment, why)


class ListenerResetAnswered(Connection):
    """A listener answers a RST by a RST."""

    __slots__ = ()

    def segment_arrives(self, segment: Segment, now: int) -> None:
        super().segment_arrives(segment, now)
        if _listens(self) and segment.ctl & RST:
            self._segments.append(Segment(segment.ack, ctl=RST))


class ResetAnswered(Stack):
    """Even a RST gets an answer."""

    def _refuse(self, pair: Pair, segment: Segment, why: str) -> None:
        super()._refuse(pair, replace(segment, ctl=segment.ctl & ~RST), why)


class ListenerStrayZero(Connection):
    """The RST of a listener has number 0."""

    __slots__ = ()

    def segment_arrives(self, segment: Segment, now: int) -> None:
        super().segment_arrives(segment, now)
        if _listens(self):
            for reset in self._segments:
                reset.seq = 0


class StrayZero(Stack):
    """The number of the RST is not that which the stray segment acknowledges."""

    def _refuse(self, pair: Pair, segment: Segment, why: str) -> None:
        super()._refuse(pair, replace(segment, ack=0), why)
