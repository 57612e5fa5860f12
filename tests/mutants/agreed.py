"""Bugs of what two hosts agree upon, and of what one host has: options, limits, listeners, sockets."""

from __future__ import annotations

from mutants.mutant import Patch, instead, mutant
from mutants.silence import nothing
from tcpclose.protocol import stack as stack_module
from tcpclose.protocol.connection import Connection
from tcpclose.protocol.scoreboard import Scoreboard
from tcpclose.protocol.segment import ECT_0, PSH, RST
from tcpclose.protocol.sending import Sender
from tcpclose.protocol.sockets import Socket
from tcpclose.protocol.stack import Listener, Stack
from tcpclose.protocol.timestamps import Timestamps

# Options


@mutant("RFC 7323, 5: text of a former turn of the numbers is taken for new")
def paws_is_off(patch: Patch) -> None:
    patch.setattr(Connection, "_timely", lambda self, segment, now: True)


@mutant("RFC 7323, 5.2: a RST whose timestamp is old is dropped, and a half-open connection stays")
def paws_is_applied_to_resets(patch: Patch) -> None:
    @instead(patch, Connection, "_sequence_step")
    def strict(original, self, segment, now):
        if segment.ctl & RST and self.timestamps is not None and segment.timestamps is not None:
            return self._timely(segment, now) and original(self, segment, now)
        return original(self, segment, now)


@mutant("RFC 7323, 4.3: what is echoed is always the timestamp of the SYN, and round trips grow and grow")
def the_timestamp_echoed_is_never_renewed(patch: Patch) -> None:
    patch.setattr(Timestamps, "heard", nothing)


@mutant("RFC 7323, 2.2: the window of a SYN is not scaled; more is sent than the peer has room for")
def the_window_of_a_syn_is_scaled(patch: Patch) -> None:
    @instead(patch, Connection, "_synchronize")
    def scaled(original, self, segment, now):
        original(self, segment, now)
        self.tcb.snd_wnd <<= self.tcb.snd_shift


@mutant("RFC 2018: a report of what was never sent, and it will never be sent")
def sack_of_unsent_text_is_believed(patch: Patch) -> None:
    @instead(patch, Scoreboard, "update")
    def gullible(original, self, blocks):
        for left, right in blocks:
            self._add(left, right)
        return bool(blocks)


@mutant("RFC 2018, 8: a peer may drop what it has reported; without it the connection never gets on")
def sack_is_believed_after_a_timeout(patch: Patch) -> None:
    patch.setattr(Scoreboard, "clear", nothing)


# Users and sockets


@mutant("3.6.1: text is lost, and the peer is told that all went well")
def no_reset_for_text_unread(patch: Patch) -> None:
    @instead(patch, Connection, "release")
    def careless(original, self, now):
        self.receiver.read()
        original(self, now)


@mutant("3.6.1, SHLD-3: text for nobody is acknowledged, and the peer sends on")
def text_for_a_user_who_is_gone_is_taken(patch: Patch) -> None:
    @instead(patch, Connection, "_text_and_fin")
    def deaf(original, self, segment, now):
        orphaned, self.orphaned = self.orphaned, False
        original(self, segment, now)
        self.orphaned = orphaned


@mutant("SO_LINGER with a time of zero is the way to ABORT; who asks for it gets TIME-WAIT")
def linger_zero_sends_a_fin(patch: Patch) -> None:
    @instead(patch, Socket, "close")
    def gentle(original, self, now):
        if self._options["SO_LINGER"] == (True, 0):
            self._options["SO_LINGER"] = (False, 0)
        original(self, now)


@mutant("a user who has said SHUT_RD reads on")
def shutdown_of_reading_means_nothing(patch: Patch) -> None:
    patch.setattr(Connection, "stop_reading", nothing)


# Hosts


@mutant("the peers of connections that nobody will ever accept wait for an answer")
def the_close_of_a_listener_leaves_what_it_had(patch: Patch) -> None:
    @instead(patch, Stack, "close_listener")
    def alone(original, self, port, now):
        if self.listening.get(port) is None:
            original(self, port, now)
        del self.listening[port]


@mutant("a listener takes more connections than its user can accept")
def the_backlog_is_never_full(patch: Patch) -> None:
    patch.setattr(Listener, "full", False)


@mutant("RFC 4987: SYNs from nowhere take all memory")
def newcomers_have_no_limit(patch: Patch) -> None:
    patch.setattr(Stack, "_lack", nothing)


@mutant("connections whose user is gone take all memory")
def orphans_have_no_limit(patch: Patch) -> None:
    @instead(patch, Stack, "_limit")
    def generous(original, self, *arguments):
        self._orphans.clear()
        original(self, *arguments)


@mutant("a server never hears of clients that were reset while they waited for it")
def a_connection_reset_in_the_queue_is_forgotten(patch: Patch) -> None:
    @instead(patch, Stack, "_let_go")
    def forgets(original, self, pair, connection):
        original(self, pair, connection)
        self.lost.pop(pair, None)
        for listener in self.listening.values():
            listener.queue.pop(pair, None)


@mutant("a user who objects to waiting is not heard while the socket is corked")
def nodelay_does_not_push(patch: Patch) -> None:
    patch.setattr(Stack, "push", nothing)


@mutant("RFC 7661: an application that sends little gets a window that it has never tried")
def use_of_the_window_is_not_watched(patch: Patch) -> None:
    @instead(patch, Sender, "_note_use")
    def always_used(original, self):
        self.most_used = self.cwnd


@mutant("PSH in the middle of nowhere: the peer's user is woken for every segment")
def every_full_segment_has_psh(patch: Patch) -> None:
    patch.setattr(Sender, "_second_of_two", lambda self, start, now: PSH)


@mutant("3.6.1, MAY-2: an old duplicate SYN opens a connection in place of TIME-WAIT")
def any_syn_reopens_time_wait(patch: Patch) -> None:
    patch.setattr(stack_module, "may_reopen", lambda old, syn: True)


@mutant("3.6.1, MAY-2: the new connection uses numbers of the old one")
def a_reopened_connection_starts_where_the_old_one_was(patch: Patch) -> None:
    patch.setattr(stack_module, "next_iss", lambda old, iss: iss)


@mutant("RFC 3168, 6.1.5: what is sent again may be marked, so that its loss would not show")
def all_text_may_be_marked(patch: Patch) -> None:
    @instead(patch, Sender, "sent")
    def always(original, self, segment, now):
        original(self, segment, now)
        if self.ecn and segment.data:
            segment.ecn = ECT_0


@mutant("RFC 3168, 6.1.3: one ACK that is lost, and the sender never hears that a router is congested")
def a_mark_is_echoed_once(patch: Patch) -> None:
    @instead(patch, Connection, "_send")
    def forget(original, self, segment, now):
        original(self, segment, now)
        self.receiver.congested = False


@mutant("RFC 3168, 6.1.2: the window collapses, since every ACK of a round trip halves it")
def every_echo_counts(patch: Patch) -> None:
    @instead(patch, Sender, "congestion_echoed")
    def again(original, self):
        self.reduced_until = self.tcb.snd_una
        original(self)
