"""Bugs of the graceful release: FIN, half-close, TIME-WAIT."""

from __future__ import annotations

from mutants.mutant import Patch, instead, mutant, row
from tcpclose.protocol.connection import ACTIONS, Connection, Notice
from tcpclose.protocol.fsm import Cause, Do, Event, State
from tcpclose.protocol.receiving import Receiver
from tcpclose.protocol.segment import FIN, Segment, seq_add, seq_diff
from tcpclose.protocol.sending import Sender

# The machine


@mutant("the user of a connection that both have closed is asked to close it once more, and nothing goes on without")
def simultaneous_close_goes_to_close_wait(patch: Patch) -> None:
    row(patch, State.FIN_WAIT_1, Event.FIN, next=State.CLOSE_WAIT)


@mutant("a repeated FIN meets CLOSED and is reset: the peer is told of an error after a good release")
def no_time_wait(patch: Patch) -> None:
    row(patch, State.FIN_WAIT_2, Event.FIN, next=State.CLOSED, do=(Do.SIGNAL_EOF, Do.SEND_ACK), cause=Cause.GRACEFUL)


@mutant("likewise after a simultaneous close, the rarer way that is forgotten more easily")
def no_time_wait_after_closing(patch: Patch) -> None:
    row(patch, State.CLOSING, Event.ACK_OF_FIN, next=State.CLOSED, do=(), cause=Cause.GRACEFUL)


@mutant("TIME-WAIT belongs to who closes first: a busy server would be full of them")
def time_wait_for_the_passive_closer(patch: Patch) -> None:
    row(patch, State.LAST_ACK, Event.ACK_OF_FIN, next=State.TIME_WAIT, do=(Do.START_2MSL,), cause=None)


@mutant("when the last ACK is lost again and again, TIME-WAIT is gone before the peer is content")
def time_wait_is_not_restarted_by_a_fin(patch: Patch) -> None:
    row(patch, State.TIME_WAIT, Event.FIN, do=(Do.SEND_ACK,))


@mutant("the peer in LAST-ACK repeats its FIN until it gives up")
def time_wait_does_not_acknowledge_a_repeated_fin(patch: Patch) -> None:
    row(patch, State.TIME_WAIT, Event.FIN, do=(Do.START_2MSL,))


@mutant("anybody who repeats old segments keeps the pair of sockets occupied for ever")
def time_wait_is_prolonged_by_any_segment(patch: Patch) -> None:
    @instead(patch, Connection, "segment_arrives")
    def prolong(original, self, segment, now):
        original(self, segment, now)
        if self.time_wait_at is not None:
            self.time_wait_at = now + 2 * self.config.msl


@mutant("a segment lives one MSL there, and its answer one MSL back")
def time_wait_lasts_one_msl(patch: Patch) -> None:
    start = ACTIONS[Do.START_2MSL]

    def half(connection, now):
        start(connection, now)
        connection.time_wait_at = now + connection.config.msl

    patch.setitem(ACTIONS, Do.START_2MSL, half)


@mutant("an old duplicate SYN,FIN would be taken for the peer's FIN and prolong TIME-WAIT")
def time_wait_takes_a_syn_fin_for_a_fin(patch: Patch) -> None:
    @instead(patch, Connection, "_sequence_step")
    def careless(original, self, segment, now):
        if self.state is State.TIME_WAIT and segment.ctl & FIN:
            segment = Segment(seq_add(self.tcb.rcv_nxt, -1), segment.ack, segment.ctl & ~2, segment.wnd)
        return original(self, segment, now)


@mutant("a peer in FIN-WAIT-1 or CLOSING whose ACK was lost repeats its FIN until it gives up")
def a_repeated_fin_gets_no_answer(patch: Patch) -> None:
    @instead(patch, Connection, "_sequence_step")
    def silent(original, self, segment, now):
        if segment.ctl & FIN and self.receiver.finished and self.state is not State.TIME_WAIT:
            return False
        return original(self, segment, now)


@mutant("a user who counts ends of file closes twice, or reads the next connection's")
def a_repeated_fin_is_told_again(patch: Patch) -> None:
    @instead(patch, Connection, "_sequence_step")
    def tell(original, self, segment, now):
        if segment.ctl & FIN and self.receiver.finished:
            self._tell(Notice.EOF)
        return original(self, segment, now)


@mutant("ACK before FIN, says 3.10.7.4: otherwise three segments lead to CLOSING, where nothing more comes")
def a_fin_that_acknowledges_ours_is_only_a_fin(patch: Patch) -> None:
    @instead(patch, Connection, "_ack_step")
    def skip(original, self, segment, now):
        return True if segment.ctl & FIN and self.state is State.FIN_WAIT_1 else original(self, segment, now)


@mutant("a program that has said all it has to say hears no answer: half-close does not exist")
def our_close_kills_the_other_direction(patch: Patch) -> None:
    for state in (State.FIN_WAIT_1, State.FIN_WAIT_2):
        assert state.accepts_text
        patch.setattr(state, "accepts_text", False)


@mutant("the peer's close kills ours: CLOSE-WAIT is for sending on as long as the user likes")
def close_wait_refuses_text(patch: Patch) -> None:
    row(patch, State.CLOSE_WAIT, Event.SEND, do=(Do.REFUSE_CLOSING,))


@mutant("a large answer to a half-closed request stops when the window is full")
def reading_after_close_opens_no_window(patch: Patch) -> None:
    @instead(patch, Connection, "receive")
    def read(original, self, now, octets=None):
        return original(self, now, octets) if self.state is State.ESTABLISHED else self.receiver.read(octets)


@mutant("a user who closed during the handshake waits for ever")
def close_in_syn_received_is_forgotten(patch: Patch) -> None:
    row(patch, State.SYN_RECEIVED, Event.ACK_OF_SYN, do=(Do.SIGNAL_CONNECTED,))


@mutant("LAST-ACK before the FIN has left: the ACK of some text closes, and the FIN is never sent")
def last_ack_is_entered_by_the_call(patch: Patch) -> None:
    row(patch, State.CLOSE_WAIT, Event.CLOSE, next=State.LAST_ACK)


# Sending the FIN


@mutant("a retransmission built from the state instead of the queue; the peer never gets our FIN")
def fin_bit_lost_on_retransmission_in_closing(patch: Patch) -> None:
    @instead(patch, Connection, "_retransmit")
    def forget(original, self, now):
        original(self, now)
        if self.state is State.CLOSING:
            self._segments[-1].ctl &= ~FIN


@mutant("text that the user gave before CLOSE is gone, and both sides are told that all went well")
def close_discards_unsent_text(patch: Patch) -> None:
    queue = ACTIONS[Do.QUEUE_FIN]

    def discard(connection, now):
        sender = connection.sender
        del sender.text[max(seq_diff(connection.tcb.snd_nxt, sender.base), 0) :]
        queue(connection, now)

    patch.setitem(ACTIONS, Do.QUEUE_FIN, discard)


@mutant("a retransmission timer that is armed for text only: one lost FIN, and nobody speaks again")
def a_lone_fin_is_not_repeated(patch: Patch) -> None:
    @instead(patch, Sender, "sent")
    def unarmed(original, self, segment, now):
        original(self, segment, now)
        if segment.ctl & FIN and not segment.data:
            self.rto_at = None


@mutant("FIN-WAIT-1 and LAST-ACK towards a dead peer stay for ever (Linux has tcp_orphan_retries for them)")
def user_timeout_never_fires_for_a_lone_fin(patch: Patch) -> None:
    @instead(patch, Sender, "sent")
    def unarmed(original, self, segment, now):
        original(self, segment, now)
        if segment.ctl & FIN and not segment.data:
            self.user_at = None


@mutant('"Failure to back off retransmission timeout" (RFC 2525), here for the FIN')
def no_backoff_for_the_fin(patch: Patch) -> None:
    @instead(patch, Sender, "back_off")
    def steady(original, self, now):
        rto = self.rto
        original(self, now)
        if self.fin_queued and not self.text:
            self.rto, self.rto_at = rto, now + rto


@mutant('"Window probe deadlock" (RFC 2525), here for a FIN behind a closed window')
def a_fin_does_not_probe_a_closed_window(patch: Patch) -> None:
    @instead(patch, Sender, "_watch_window")
    def text_only(original, self, now):
        if self.text:
            original(self, now)


@mutant("the tail of the text is repeated without the FIN that left with it")
def the_repeated_tail_has_no_fin(patch: Patch) -> None:
    @instead(patch, Sender, "forced_segment")
    def bare(original, self, now):
        segment = original(self, now)
        if segment.data:
            segment.ctl &= ~FIN
        return segment


@mutant("timers that nobody stopped: a connection that has ended sends again")
def retransmission_after_closed(patch: Patch) -> None:
    @instead(patch, Sender, "stop")
    def go_on(original, self):
        pass


# Receiving the FIN


@mutant('"Failure to retain above-sequence data" (RFC 2525), at its worst: the FIN closes over a hole')
def a_fin_that_overtakes_text_loses_it(patch: Patch) -> None:
    @instead(patch, Receiver, "arrive")
    def hasty(original, self, segment):
        if segment.ctl & FIN:
            self.tcb.rcv_nxt = segment.seq
        return original(self, segment)


@mutant("the text that came with the FIN is thrown away")
def text_beside_a_fin_is_lost(patch: Patch) -> None:
    @instead(patch, Receiver, "arrive")
    def blind(original, self, segment):
        before = len(self.text)
        octets = original(self, segment)
        if segment.ctl & FIN and self.finished:
            del self.text[before:]
        return octets


@mutant("text behind a FIN is delivered: anybody can append to a stream that has ended")
def text_follows_the_fin(patch: Patch) -> None:
    patch.setattr(State.CLOSE_WAIT, "accepts_text", True)

    @instead(patch, Receiver, "arrive")
    def endless(original, self, segment):
        if self.finished:
            self.text += segment.data
            return len(segment.data)
        return original(self, segment)


@mutant("a full buffer holds up the release, though a FIN needs no room")
def a_fin_waits_for_an_open_window(patch: Patch) -> None:
    @instead(patch, Receiver, "acceptable")
    def full(original, self, segment):
        return not (segment.ctl & FIN and self.window == 0) and original(self, segment)
