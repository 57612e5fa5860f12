"""Bugs of timers: a peer that says nothing, a user who is gone, an acknowledgment or a segment that waits."""

from __future__ import annotations

from mutants.mutant import Patch, instead, mutant
from tcpclose.protocol.acknowledging import Acknowledger
from tcpclose.protocol.connection import ACTIONS, Connection, Timer
from tcpclose.protocol.fsm import Do, Event
from tcpclose.protocol.keepalive import Keepalive
from tcpclose.protocol.segment import ACK, Segment, seq_add
from tcpclose.protocol.sending import Sender


def nothing(*arguments: object) -> None:
    """In place of something."""


@mutant("FIN-WAIT-2 of a user who is gone stays for ever: a server is filled by clients that never close")
def fin_wait_2_is_never_reaped(patch: Patch) -> None:
    patch.setattr(Connection, "_start_fin_wait_2", nothing)
    patch.setitem(ACTIONS, Do.START_FIN_WAIT_2, nothing)


@mutant("a figure cannot tell what a timer sent from an answer that comes late, on a busy host")
def timers_expire_untold(patch: Patch) -> None:
    @instead(patch, Connection, "news")
    def discreet(original, self):
        return [what for what in original(self) if not isinstance(what, Timer)]


@mutant("a dead peer is asked for ever, and the connection stays")
def keepalive_never_gives_up(patch: Patch) -> None:
    patch.setattr(Keepalive, "exhausted", lambda self, config: False)


@mutant("MUST-29: a single probe without an answer proves nothing")
def keepalive_gives_up_after_one_probe(patch: Patch) -> None:
    patch.setattr(Keepalive, "exhausted", lambda self, config: self.probes > 0)


@mutant("MUST-26: what is in flight asks the same, and has a timer of its own")
def keepalive_probes_while_text_is_outstanding(patch: Patch) -> None:
    @instead(patch, Connection, "_keepalive_timeout")
    def always(original, self, now):
        if self.keepalive.exhausted(self.config):
            self._post(Event.KEEPALIVE_TIMEOUT, now)
        else:
            self.keepalive.probed(self.config, now)
            self._send(Segment(seq_add(self.tcb.snd_nxt, -1), ctl=ACK), now)


@mutant("a peer that speaks is asked all the same")
def traffic_does_not_put_keepalive_off(patch: Patch) -> None:
    @instead(patch, Keepalive, "heard")
    def stubborn(original, self, config, now):
        if not hasattr(self, "at"):
            original(self, config, now)


@mutant("the peer is not told that it was given up, and goes on believing")
def keepalive_ends_without_a_reset(patch: Patch) -> None:
    patch.setitem(ACTIONS, Do.SEND_KEEPALIVE_RESET, nothing)


@mutant("MUST-20: whoever asks for R2 waits for the user timeout nonetheless")
def r2_is_ignored(patch: Patch) -> None:
    @instead(patch, Connection, "_retransmission_timeout")
    def forgetful(original, self, now):
        self.retransmissions = 0
        original(self, now)


@mutant("a peer that answers probes of its closed window is given up as if it were dead")
def r2_counts_answered_probes(patch: Patch) -> None:
    @instead(patch, Connection, "_ack_step")
    def unmoved(original, self, segment, now):
        before = self.retransmissions
        verdict = original(self, segment, now)
        if segment.ack == self.tcb.snd_una and self.tcb.snd_wnd == 0:
            self.retransmissions = before
        return verdict


@mutant("an acknowledgment that waits for company waits for ever: the peer repeats what has arrived")
def a_delayed_ack_never_fires(patch: Patch) -> None:
    @instead(patch, Acknowledger, "acknowledge_text")
    def asleep(original, self, octets, now):
        original(self, octets, now)
        self.at = None


@mutant("after one quick answer every ACK waits for the next: a peer with nothing but text is slow for ever")
def a_conversation_has_no_end(patch: Patch) -> None:
    @instead(patch, Acknowledger, "expire")
    def going_on(original, self):
        self.due = True


@mutant("a FIN is acknowledged only if the user closes: a peer that is half-closed repeats it for ever")
def a_delayed_ack_of_a_fin_never_fires(patch: Patch) -> None:
    send = ACTIONS[Do.SEND_ACK_OF_FIN]

    def asleep(self, now):
        send(self, now)
        self.acknowledger.at = None

    patch.setitem(ACTIONS, Do.SEND_ACK_OF_FIN, asleep)


@mutant("the FIN waits like a small segment: a close takes a round trip longer for nothing")
def nagle_holds_the_fin(patch: Patch) -> None:
    @instead(patch, Sender, "next_segment")
    def hold(original, self, now, *rest, **named):
        if self.config.nagle and self.fin_queued and self.outstanding:
            return None
        return original(self, now, *rest, **named)


@mutant("TCP_CORK is heard and means nothing")
def a_cork_does_not_hold(patch: Patch) -> None:
    patch.setattr(Connection, "set_cork", nothing)


@mutant("a linger time that is over changes nothing, whatever the setting says")
def an_expired_linger_time_is_ignored(patch: Patch) -> None:
    patch.setattr(Connection, "linger_expires", nothing)


@mutant("RFC 5482: the longer user timeout of the peer is not adopted, and its pauses break the connection")
def the_user_timeout_option_is_not_heard(patch: Patch) -> None:
    patch.setattr(Sender, "adopt_user_timeout", nothing)


@mutant("RFC 5482, 6: a peer, or an attacker, sets our user timeout to a second or to days")
def the_user_timeout_option_has_no_limits(patch: Patch) -> None:
    patch.setattr(Sender, "adopt_user_timeout", Sender.set_user_timeout)
