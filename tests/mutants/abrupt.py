"""Bugs of the abrupt release: RST sent wrongly, believed wrongly, or not at all."""

from __future__ import annotations

from mutants.mutant import Patch, instead, mutant, row
from tcpclose.protocol import connection, stack
from tcpclose.protocol.connection import ACTIONS, Connection
from tcpclose.protocol.fsm import Cause, Do, Event, State
from tcpclose.protocol.segment import ACK, RST, Segment, seq_add
from tcpclose.protocol.stack import Stack


def answer(patch: Patch, new) -> None:
    """Replace what answers a segment of no connection, wherever it is used."""
    for module in (connection, stack):
        original = module.answer_closed
        patch.setattr(module, "answer_closed", lambda segment, original=original: new(original, segment))


@mutant("two hosts without the connection answer each other for ever")
def a_reset_is_answered_by_a_reset(patch: Patch) -> None:
    def always(original, segment):
        return original(Segment(segment.seq, segment.ack, segment.ctl & ~RST, data=segment.data))

    answer(patch, always)


@mutant("the SYN takes a number: a RST that does not acknowledge it is no answer, and the user waits for a timeout")
def a_refusal_does_not_acknowledge_the_syn(patch: Patch) -> None:
    def short(original, segment):
        reset = original(segment)
        if reset is not None and reset.ctl & ACK:
            reset.ack = segment.seq
        return reset

    answer(patch, short)


@mutant("the peer judges a RST by its number; this one only reaches a peer whose RCV.NXT happens to be 0")
def the_reset_of_a_stray_ack_has_number_zero(patch: Patch) -> None:
    def zero(original, segment):
        reset = original(segment)
        return reset and Segment(0, seq_add(segment.seq, segment.len), RST | ACK)

    answer(patch, zero)


@mutant("a stray SYN gets no answer: the user waits for a timeout instead of being refused")
def a_closed_port_is_silent(patch: Patch) -> None:
    answer(patch, lambda original, segment: original(segment) if segment.ctl & ACK else None)


@mutant("SND.UNA instead of SND.NXT: a peer that has the text gets a RST in its past, and stays half-open")
def the_reset_stands_at_snd_una(patch: Patch) -> None:
    send = ACTIONS[Do.SEND_RESET]

    def behind(connection, now):
        send(connection, now)
        connection._segments[-1].seq = connection.tcb.snd_una

    patch.setitem(ACTIONS, Do.SEND_RESET, behind)


@mutant("a user aborts and the peer is never told")
def abort_is_silent(patch: Patch) -> None:
    row(patch, State.ESTABLISHED, Event.ABORT, do=())


@mutant("both directions are closed: the RST can only disturb the next connection of the pair")
def abort_in_time_wait_sends_a_reset(patch: Patch) -> None:
    row(patch, State.TIME_WAIT, Event.ABORT, do=(Do.SEND_RESET,))


@mutant("text that waits is flushed before the RST instead of being dropped")
def abort_sends_the_text_first(patch: Patch) -> None:
    @instead(patch, Connection, "abort")
    def flush(original, self, now):
        self.tcb.snd_wnd = self.sender.cwnd = 1 << 20
        self._transmit(now)
        original(self, now)


@mutant("CVE-2004-0230: one guess in a window of 2**16 numbers ends somebody else's connection")
def a_reset_anywhere_in_the_window_counts(patch: Patch) -> None:
    @instead(patch, Connection, "_rst_step")
    def believe(original, self, segment, now):
        segment.seq = self.tcb.rcv_nxt
        original(self, segment, now)


@mutant("a RST that is not even in the window")
def any_reset_counts(patch: Patch) -> None:
    @instead(patch, Connection, "_sequence_step")
    def believe(original, self, segment, now):
        return bool(segment.ctl & RST) or original(self, segment, now)


@mutant("an old duplicate RST refuses a new connection")
def a_reset_that_acknowledges_nothing_refuses_the_syn(patch: Patch) -> None:
    @instead(patch, Connection, "segment_arrives")
    def believe(original, self, segment, now):
        if self.state is State.SYN_SENT and segment.ctl & RST:
            segment = Segment(segment.seq, self.tcb.snd_nxt, RST | ACK)
        original(self, segment, now)


@mutant("a SYN in the window ends the connection: RFC 5961, section 4")
def a_syn_in_the_window_resets(patch: Patch) -> None:
    @instead(patch, Connection, "_syn_step")
    def reset(original, self, segment, now):
        self._send_reset(now)
        self._post(Event.RST, now)


@mutant("two confused peers acknowledge each other without end (ACK loop)")
def challenges_have_no_limit(patch: Patch) -> None:
    @instead(patch, Connection, "_challenge")
    def always(original, self, now):
        self.acknowledger.due = True


@mutant("an attacker's RST on a half-open connection closes the listener")
def a_reset_in_syn_received_ends_the_listener(patch: Patch) -> None:
    row(patch, State.SYN_RECEIVED, Event.BACK_TO_LISTEN, next=State.CLOSED, do=(), cause=Cause.REFUSED)


@mutant("a RST that arrives after both FINs is told as an error of a good release")
def a_reset_in_time_wait_is_an_error(patch: Patch) -> None:
    row(patch, State.TIME_WAIT, Event.RST, cause=Cause.RESET_BY_PEER)


@mutant("what came in order before the RST was acknowledged: the user may still read it")
def a_reset_takes_away_what_was_received(patch: Patch) -> None:
    @instead(patch, Connection, "_rst_step")
    def flush(original, self, segment, now):
        original(self, segment, now)
        if self.state is State.CLOSED:
            self.receiver.text.clear()


@mutant("RFC 5927: anybody who knows the sockets ends the connection by an ICMP message")
def icmp_about_any_number_is_heeded(patch: Patch) -> None:
    @instead(patch, Stack, "icmp_arrives")
    def gullible(original, self, pair, seq, *rest):
        known = self.connections.get(pair)
        original(self, pair, known.tcb.snd_una if known else seq, *rest)


@mutant("3.9.2.2: host unreachable may pass; only the user timeout may decide")
def a_soft_error_ends_the_connection(patch: Patch) -> None:
    @instead(patch, Connection, "icmp_arrives")
    def hard(original, self, hard, detail, now):
        original(self, True, detail, now)
