"""Bugs of numbers and acknowledgments."""

from __future__ import annotations

from mutants.mutant import Patch, instead, mutant
from tcpclose.protocol import connection, receiving, sending
from tcpclose.protocol.connection import Connection
from tcpclose.protocol.fsm import Event, State
from tcpclose.protocol.segment import SYN, Segment, seq_diff
from tcpclose.protocol.sending import Sender


@mutant("comparing numbers as integers: one connection in a few thousand meets the wrap and hangs")
def sequence_arithmetic_without_wrap(patch: Patch) -> None:
    for module in (connection, receiving, sending):
        patch.setattr(module, "seq_diff", lambda a, b: a - b)


@mutant("unsigned differences: what lies behind looks far ahead")
def sequence_arithmetic_without_sign(patch: Patch) -> None:
    for module in (connection, receiving, sending):
        patch.setattr(module, "seq_diff", lambda a, b: (a - b) % 2**32)


@mutant("the peer's ACK of the FIN acknowledges what we never counted")
def a_fin_takes_no_number(patch: Patch) -> None:
    length = property(lambda self: len(self.data) + bool(self.ctl & SYN))
    assert Segment(0, ctl=1).len == 1
    patch.setattr(Segment, "len", length)


@mutant("the ACK of the text before it is taken for the ACK of the FIN: LAST-ACK ends too soon")
def a_fin_is_acknowledged_by_an_ack_that_does_not_cover_it(patch: Patch) -> None:
    patch.setattr(
        Sender, "fin_acknowledged", property(lambda self: self.fin_queued and seq_diff(self.tcb.snd_una, self.end) >= 0)
    )


@mutant("an old duplicate ends the connection while the peer still lacks text and FIN")
def last_ack_is_closed_by_any_ack(patch: Patch) -> None:
    @instead(patch, Connection, "_ack_step")
    def anything(original, self, segment, now):
        if self.state is State.LAST_ACK:
            self._post(Event.ACK_OF_FIN, now)
        return original(self, segment, now)


@mutant("an ACK from the future is believed: blind attackers need one number less (RFC 5961, section 5)")
def an_ack_beyond_snd_nxt_acknowledges_the_fin(patch: Patch) -> None:
    @instead(patch, Connection, "_ack_step")
    def trusting(original, self, segment, now):
        if seq_diff(segment.ack, self.tcb.snd_nxt) > 0:
            segment.ack = self.tcb.snd_nxt
        return original(self, segment, now)


@mutant("an old ACK moves SND.UNA back, and what was acknowledged is sent again")
def an_old_ack_counts(patch: Patch) -> None:
    @instead(patch, Connection, "_ack_step")
    def backwards(original, self, segment, now):
        good = original(self, segment, now)
        if good and seq_diff(segment.ack, self.tcb.snd_una) < 0:
            self.tcb.snd_una = segment.ack
        return good


@mutant("when both sides repeat something at once, neither ever hears the other's ACK")
def the_ack_of_a_repeated_segment_is_not_heard(patch: Patch) -> None:
    patch.setattr(receiving.Receiver, "repeats", lambda self, segment: False)


@mutant("Karn's rule forgotten: the ACK of a repeated FIN or text is measured from the second copy")
def what_was_repeated_is_measured(patch: Patch) -> None:
    @instead(patch, Sender, "sent")
    def measure(original, self, segment, now):
        original(self, segment, now)
        self.timed = self.timed or (segment.end, now)
