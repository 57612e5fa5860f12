"""One connection: user calls (3.10.1 to 3.10.5) and SEGMENT ARRIVES (3.10.7); its timeouts (3.10.8) are in `timers.py`.

No I/O and no clock. Calls, segments and the time go in; segments, news and the next deadline come out:

    connection = Connection(TcpConfig(), iss=100)
    connection.open(now=0)
    connection.segments_to_send()   # [<SEQ=100><CTL=SYN>]
    connection.segment_arrives(segment, now)
    connection.next_timeout()       # when to call timeout(now), or None
    connection.news()               # rows of the machine that fired, signals to the user, timers that only sent

What a state may do and where an event leads stands in `fsm.py`; this module examines segments in the
RFC's order and posts events to the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tcpclose.protocol.config import SECOND
from tcpclose.protocol.fsm import Do, Event, Row, State
from tcpclose.protocol.interface import INSUFFICIENT, Notice, Signal, TcpError, Timer
from tcpclose.protocol.machine import ACTIONS
from tcpclose.protocol.options import TIMESTAMPS_LENGTH
from tcpclose.protocol.segment import ACK, CWR, ECE, FIN, RST, SYN, Segment, seq_add, seq_diff
from tcpclose.protocol.timers import Timers
from tcpclose.protocol.timestamps import Timestamps

_MOST_SHIFT = 14  # RFC 7323, 2.3
_KEEPALIVE = {"keepalive", "keepalive_idle", "keepalive_interval"}  # settings whose change starts its clock anew

__all__ = ["ACTIONS", "Connection", "Notice", "Signal", "TcpError", "Timer", "answer_closed"]


def answer_closed(segment: Segment) -> Segment | None:
    """3.10.7.1: what a segment for a connection that does not exist is answered with. Never a RST by a RST."""
    if segment.ctl & RST:
        return None
    if segment.ctl & ACK:
        return Segment(segment.ack, ctl=RST)
    return Segment(0, segment.end, RST | ACK)


class Connection(Timers):
    """A TCB and what moves it. `config` is read once, `iss` comes from outside (3.4.1), `now` is microseconds.

    `timestamp_offset` is where the clock of its timestamps starts (RFC 7323, 5.4), likewise from outside. `counters`
    counts by name what is sent again, dropped or asked back; a Stack shares one among its connections. `table` is
    the machine that it follows: the RFC's, unless an assignment or a test has another.
    Raises `TcpError` from user calls only; whatever segment arrives, nothing is raised.
    """

    __slots__ = ()

    # User calls, 3.10.1 to 3.10.5

    def open(self, now: int, passive: bool = False) -> None:
        """OPEN. A connection that has ended can be opened again, with the same ISS."""
        self._post(Event.OPEN_PASSIVE if passive else Event.OPEN_ACTIVE, now)
        self.cause = None

    def send(self, text: bytes, now: int, push: bool = True) -> None:
        """SEND: queue text; it leaves as the windows permit, before ESTABLISHED it waits. `push` is the PUSH flag."""
        if len(self.sender.text) + len(text) > self.config.snd_buffer:
            raise TcpError(INSUFFICIENT)
        self._post(Event.SEND, now)
        if self.sender.fin_queued or self._close_deferred:  # CLOSE was called, and the state does not show it yet
            raise TcpError(Do.REFUSE_CLOSING.value)
        self.sender.queue(text, push)
        self._transmit(now)

    def receive(self, now: int, octets: int | None = None) -> bytes:
        """RECEIVE: up to `octets` octets (all, when None) that have arrived in order; empty when there are none."""
        text = self.receiver.read(octets)
        if text:
            self.acknowledger.read(everything=not self.receiver.text)
        if self.state.accepts_text and self.receiver.offered << self.tcb.rcv_shift < self.config.mss:
            self.acknowledger.due |= self.receiver.open_window()  # the peer may be waiting for this news
        if self.acknowledger.due:
            self._transmit(now)
        return text

    def close(self, now: int) -> None:
        """CLOSE: "I have no more to send". Queued text leaves first, the other direction stays open (3.6)."""
        if self.config.half_duplex_close:
            self.release(now)
        else:
            self.half_close(now)

    def release(self, now: int) -> None:
        """The half-duplex CLOSE of 3.6.1 (MAY-1): nothing will be read any more either. It may follow a CLOSE.

        Text that is unread, and text that still comes, is answered by a RST, so that the peer learns of the loss.
        """
        if self.receiver.read() and Event.CLOSE_UNREAD in self.table[self.state]:
            self._post(Event.CLOSE_UNREAD, now)
            return
        half_closed = self.sender.fin_queued or self.state.lingers
        if self.orphaned or not half_closed:
            self.half_close(now)
        self.orphaned = True
        self._start_fin_wait_2(now)

    def half_close(self, now: int) -> None:
        """CLOSE as the RFC has it, whatever `half_duplex_close` says."""
        if self.state.handshaking and self.sender.text:
            self._close_deferred = True
            self._came_from_listen = False  # whoever has said CLOSE does not wait for another peer
            return
        self._post(Event.CLOSE, now)
        self._transmit(now)

    def set_nodelay(self, on: bool, now: int) -> None:
        """Whether small segments leave at once, whatever is unacknowledged (3.7.4, MUST-17)."""
        self.sender.nodelay = on
        self._transmit(now)

    def set_cork(self, on: bool, now: int) -> None:
        """While corked, only full segments leave, and small ones after `sws_override`; CLOSE uncorks."""
        self.sender.corked = on
        self._transmit(now)

    def push(self, now: int) -> None:
        """What waits for company leaves now."""
        if self.sender.unsent and self.state.sends_text:
            self._override(now)

    def abort(self, now: int) -> None:
        """ABORT: drop everything, tell the peer by a RST where one is due."""
        self._post(Event.ABORT, now)

    def stop_reading(self) -> None:
        """The user reads no more, and says nothing of it to the peer: what comes is acknowledged (`shutdown_read`)."""
        if self.config.shutdown_read == "discard":
            self._reads = False
            self.receiver.read()
        else:
            self._refuses = True

    def linger_expires(self, now: int) -> None:
        """The user has waited long enough for CLOSE to be completed (`linger_expired`)."""
        if self.config.linger_expired == "reset":
            self._post(Event.LINGER_TIMEOUT, now)

    def configure(self, now: int, **changes: object) -> None:
        """Other settings for this connection alone: the parameters of OPEN (3.9.1.1), changed at any time."""
        old, new = self.config, replace(self.config, **changes)  # type: ignore[arg-type]
        self.config = self.sender.config = self.acknowledger.config = new
        self.receiver.configure(new)
        changed = {key for key in changes if getattr(new, key) != getattr(old, key)}
        if "user_timeout" in changed:
            self.sender.set_user_timeout(new.user_timeout)
            self._tells_user_timeout = new.user_timeout_option
        if self.state.idles and changed & _KEEPALIVE:
            self._start_keepalive(now)
        if "fin_wait_2_timeout" in changed:
            self._start_fin_wait_2(now)

    # What the driver takes out and brings in

    def segments_to_send(self) -> list[Segment]:
        """Segments that were formed since the last call."""
        segments, self._segments = self._segments, []
        return segments

    def news(self) -> list[Row | Signal | Timer]:
        """Rows that fired, signals to the user and timers that sent something since the last call, in order."""
        news, self._news = self._news, []
        return news

    @property
    def opening(self) -> bool:
        """The peer has not acknowledged our SYN."""
        return not self.sender.syn_acknowledged

    @property
    def octets(self) -> int:
        """How much text is held here, for the peer and for the user."""
        receiver = self.receiver
        return len(self.sender.text) + len(receiver.text) + sum(len(text) for _, text in receiver.ahead)

    def icmp_arrives(self, hard: bool, detail: str, now: int) -> None:
        """3.9.2.2: a hard error ends the connection (SHLD-26), a soft one is only told to the user (SHLD-25)."""
        if hard:
            self._tell(Notice.ERROR, detail)
            self._post(Event.UNREACHABLE, now)
        else:
            self._report(detail)

    def path_narrows(self, mss: int, now: int) -> None:
        """3.7.2: a segment was too large for some link on its way, which takes `mss` octets at most."""
        if self.sender.syn_acknowledged and self.sender.narrow(mss):
            self.counters["path MTU lowered"] += 1
            self._transmit(now)

    def invalid_header_arrives(self, now: int) -> None:
        """An implementation that RFC 3360 warns of: it does not examine such a segment any further."""
        self._post(Event.INVALID_HEADER, now)

    def resources_needed(self, now: int) -> None:
        """This connection is to go, so that others can stay (3.5.2)."""
        self._post(Event.NO_RESOURCES, now)

    def put_off(self, until: int) -> None:
        """Our SYN has arrived, and its ACK counts only from `until` on: then is the time to repeat the SYN."""
        self.sender.rto_at = until

    def reopened(self, now: int) -> None:
        """A new connection takes the place of this one before its 2 MSL are over (3.6.1, MAY-2)."""
        self._post(Event.REOPEN, now)

    def linger_again(self, now: int) -> None:
        """What seemed to be a new connection was an old duplicate: the 2 MSL begin anew (3.6.1, MAY-2)."""
        self._start_2msl(now)

    def listener_closed(self, now: int) -> None:
        """Nobody will accept this connection: what is complete is aborted, what is not vanishes."""
        self._post(Event.LISTENER_CLOSED if self.state.handshaking else Event.ABORT, now)

    # SEGMENT ARRIVES, 3.10.7

    def segment_arrives(self, segment: Segment, now: int) -> None:
        """3.10.7. `segment` belongs to this connection and its checksum is right."""
        _ARRIVES.get(self.state, Connection._arrives_otherwise)(self, segment, now)
        self._transmit(now)

    def _arrives_closed(self, segment: Segment, now: int) -> None:
        """3.10.7.1."""
        reset = answer_closed(segment)
        if reset is not None:
            self._segments.append(reset)

    def _arrives_listen(self, segment: Segment, now: int) -> None:
        """3.10.7.2. Text on a SYN is left for the peer to send again."""
        if segment.ctl & RST:
            return
        if segment.ctl & ACK:
            self._segments.append(Segment(segment.ack, ctl=RST))
        elif segment.ctl & SYN and not (segment.ctl & FIN and self.config.syn_fin == "drop"):
            self._came_from_listen = True
            self._synchronize(segment, now)
            self._post(Event.SYN, now)

    def _arrives_syn_sent(self, segment: Segment, now: int) -> None:
        """3.10.7.3."""
        acknowledges = bool(segment.ctl & ACK)
        if acknowledges and not self._acknowledges_new(segment):
            if not segment.ctl & RST:
                self._segments.append(Segment(segment.ack, ctl=RST))
            if self.config.syn_again and not self.retransmissions:
                self.sender.rto_at = now + self.config.syn_again  # an old connection may stand in its way
        elif segment.ctl & RST:
            if acknowledges:
                self._post(Event.RST, now)
        elif segment.ctl & SYN:
            self._synchronize(segment, now)
            if acknowledges:
                echoed = None if self.timestamps is None else self.timestamps.round_trip(segment, now)
                self.sender.acknowledge(segment.ack, now, echoed)
                self.sender.suit_window()
            self._post(Event.SYN_ACK if acknowledges else Event.SYN, now)
            if self.state.accepts_text and segment.len > 1:  # there is more than the SYN
                rest = replace(segment, seq=seq_add(segment.seq, 1), ctl=segment.ctl & ~SYN)
                self._text_and_fin(rest, now)

    def _synchronize(self, segment: Segment, now: int) -> None:
        """The peer's SYN gives IRS, the window and the MSS, and shows which options both ends have."""
        tcb, option_octets = self.tcb, 0
        self._peer = segment
        if self.config.window_scale and segment.wscale is not None:
            tcb.snd_shift, tcb.rcv_shift = min(segment.wscale, _MOST_SHIFT), self.config.scale
        if self.config.timestamps and segment.timestamps is not None:
            self.timestamps = Timestamps(self.timestamp_offset, segment.timestamps[0], now)
            option_octets = TIMESTAMPS_LENGTH
        if segment.user_timeout is not None:
            self._user_timeout_option(segment)
        self.receiver.start(segment)
        self.sender.start(segment, option_octets, self.config.sack and segment.sack_permitted)
        asks, has = segment.ctl & (ECE | CWR), self.config.ecn
        self.sender.ecn = (asks == ECE and has == "active") if segment.ctl & ACK else asks == ECE | CWR and has != "off"
        tcb.snd_wnd, tcb.snd_wl1, tcb.snd_wl2 = segment.wnd, segment.seq, segment.ack
        tcb.snd_wnd_max = segment.wnd

    def _arrives_otherwise(self, segment: Segment, now: int) -> None:
        """3.10.7.4, its eight steps in order. Security (third) and urgent pointer (sixth) have no effect here."""
        if not segment.ctl & (ACK | RST | SYN) and self._insists_on_ack:
            self.counters["dropped: no ACK"] += 1
            return
        if segment.ctl & (ACK | RST | SYN) == SYN and self._may_listen and self._repeats_for(segment):
            self._retransmit(now)
            return
        crossed = False
        if self.state.handshaking and segment.ctl & SYN and segment.ctl & ACK and self._knows_syn(segment):
            # Simultaneous open: the SYN is known already, what counts is its ACK (3.5, figure 7).
            # The window of a SYN is not scaled (RFC 7323, 2.2), so it is from now on counted like the others.
            crossed = self.config.simultaneous_open == "linux"
            wnd = segment.wnd >> self.tcb.snd_shift
            segment = replace(segment, seq=seq_add(segment.seq, 1), ctl=segment.ctl & ~SYN, wnd=wnd)
        elif segment.ctl & RST and self._aborts_at_fin(segment):
            segment = replace(segment, seq=self.tcb.rcv_nxt)
        if not self._sequence_step(segment, now):
            return
        if segment.user_timeout is not None:
            self._user_timeout_option(segment)
        if self.keepalive is not None:
            self.keepalive.heard(self.config, now)
        if segment.ctl & RST:
            self._rst_step(segment, now)
        elif segment.ctl & SYN:
            self._syn_step(segment, now)
        elif segment.ctl & ACK and self._ack_step(segment, now):
            self._text_and_fin(segment, now)
            self.acknowledger.due |= crossed

    def _sequence_step(self, segment: Segment, now: int) -> bool:
        """First: is the segment acceptable?"""
        if self.timestamps is not None and not segment.ctl & RST and not self._timely(segment, now):
            return False
        if self._follows_a_fin(segment) if self.state.lingers else self.receiver.acceptable(segment):
            if self.timestamps is not None and not segment.ctl & RST and not self._acknowledges_wrong(segment):
                self.timestamps.heard(segment, self.tcb.last_ack_sent, now)
            return True
        if segment.ctl & RST:
            self.counters["dropped: RST not acceptable"] += 1
            return False
        self.counters["dropped: not acceptable"] += 1
        if self.state.lingers and segment.ctl & (SYN | FIN) == FIN and segment.end == self.tcb.rcv_nxt:
            self._post(Event.FIN, now)  # the peer repeats its FIN: our last ACK was lost
        elif segment.len and not segment.ctl & SYN:
            self.acknowledger.due = True
            self._note_repeated(segment)
            repeats = self.receiver.repeats(segment)
            if repeats:
                self.acknowledger.repeated()
            if repeats and segment.ctl & ACK and not self.state.handshaking:
                # What is old here is the text. Its ACK must be heard, or else two peers that both repeat
                # something would never learn of each other's progress (draft-gont-tcpm-tcp-seq-validation).
                self._ack_step(segment, now)
        else:
            self._challenge(now)  # without a limit, two confused peers could acknowledge each other for ever
        return False

    def _knows_syn(self, syn: Segment) -> bool:
        """Is it the peer's SYN once more? Linux asks only where we have sent one of our own accord."""
        return syn.seq == self.tcb.irs and not (self._may_listen and self.config.simultaneous_open == "linux")

    def _follows_a_fin(self, segment: Segment) -> bool:
        """In TIME-WAIT nothing new can come, so that a window serves for old segments only (`time_wait_window`)."""
        if self.config.time_wait_window == "closed":
            return segment.seq == self.tcb.rcv_nxt and bool(segment.ctl & RST or not segment.len)
        return self.receiver.acceptable(segment)

    def _aborts_at_fin(self, reset: Segment) -> bool:
        """Has the peer closed, and then aborted, without counting its FIN (`reset_at_fin`)?"""
        repeated = self.receiver.finished and reset.seq == self.receiver.fin_seq
        return repeated and self.config.reset_at_fin and not self.state.lingers

    def _timely(self, segment: Segment, now: int) -> bool:
        """RFC 7323, 5.3 R1, before all else: an old segment is acknowledged and dropped. No RST is ever old (5.2).

        A SYN without timestamps comes from a peer that has forgotten everything, and is judged by the fourth step.
        """
        assert self.timestamps is not None
        if segment.timestamps is None:
            return self.config.missing_timestamps == "accept" or bool(segment.ctl & SYN)
        if not self.timestamps.old(segment.timestamps[0], now):
            return True
        if segment.data:
            self.acknowledger.due = True
        else:
            self._challenge(now)  # two ends that find each other old must not go on for ever
        return False

    def _user_timeout_option(self, segment: Segment) -> None:
        """RFC 5482; 0 is reserved and means nothing."""
        if self.config.user_timeout_option and segment.user_timeout:
            self.sender.adopt_user_timeout(segment.user_timeout * SECOND)

    def _rst_step(self, segment: Segment, now: int) -> None:
        """Second: a RST at RCV.NXT counts, one elsewhere in the window is questioned (RFC 5961, 3.2)."""
        if self.state.lingers and self.config.time_wait_rst == "ignore":
            self.counters["dropped: RST in TIME-WAIT"] += 1
            return  # RFC 1337
        if segment.ctl & ACK and self._may_listen and self.config.handshake_reset == "bare":
            self.counters["dropped: RST with ACK for our SYN,ACK"] += 1
        elif segment.seq != self.tcb.rcv_nxt and self.config.reset_validity == "exact":
            self._challenge(now)
        else:
            self._post(Event.BACK_TO_LISTEN if self._may_listen else Event.RST, now)

    def _syn_step(self, segment: Segment, now: int) -> None:
        """Fourth: a SYN in the window is an old duplicate, a restarted peer, or an attack (RFC 5961, 4.2).

        When only its text reaches into the window, the SYN itself is a repeated one and starts nothing.
        """
        in_window = seq_diff(segment.seq, self.tcb.rcv_nxt) >= 0
        if in_window and self._may_listen:
            if self.config.handshake_syn == "reset" and (reset := answer_closed(segment)) is not None:
                self._segments.append(reset)
            self._post(Event.BACK_TO_LISTEN, now)
        elif not in_window or self.config.syn_validity == "challenge":
            self._challenge(now)
        else:
            self._send_reset(now)
            self._post(Event.RST, now)

    def _repeats_for(self, syn: Segment) -> bool:
        """Is our SYN,ACK sent again for a SYN that comes while it is unacknowledged?"""
        rule = self.config.repeated_syn
        return rule == "repeat_to_any" or (rule == "repeat" and syn.seq == self.tcb.irs)

    @property
    def _insists_on_ack(self) -> bool:
        """Is what has none dropped before all else? Before and after a connection has a user, stacks look otherwise."""
        rule = self.config.without_ack
        return rule == "first_in_time_wait" if self.state.lingers else rule == "first" and not self._may_listen

    def _acknowledges_wrong(self, segment: Segment) -> bool:
        """In SYN-RECEIVED, all but our SYN; later, what was never sent, or is too long ago (RFC 5961, 5.2)."""
        if not segment.ctl & ACK:
            return False
        if self.state.handshaking:
            return not self._acknowledges_new(segment)
        ahead = seq_diff(segment.ack, self.tcb.snd_una)
        return not -self.tcb.snd_wnd_max <= ahead <= seq_diff(self.tcb.snd_nxt, self.tcb.snd_una)

    def _ack_step(self, segment: Segment, now: int) -> bool:
        """Fifth: False when the segment is to be dropped."""
        tcb = self.tcb
        if self._acknowledges_wrong(segment):
            if self.state.handshaking:
                self._segments.append(Segment(segment.ack, ctl=RST))
            else:
                self.counters["dropped: ACK out of range"] += 1
                self._challenge(now)
            return False
        ahead = seq_diff(segment.ack, tcb.snd_una)
        if segment.ctl & ECE and self.sender.ecn and ahead >= 0:
            self.sender.congestion_echoed()
        board = self.sender.board
        reported = board is not None and bool(segment.sack) and board.update(segment.sack)
        if ahead > 0:
            self._acknowledged(segment, now)
        elif ahead == 0:
            if tcb.snd_wnd == 0:
                self.retransmissions = 0  # the probes of a closed window are answered (MUST-37)
            duplicate = reported if board is not None else not segment.data and self._is_duplicate(segment)
            self.sender.window(segment)
            if tcb.snd_wnd == 0:
                self.sender.probe_answered(now)
            if duplicate and self.sender.duplicate():
                self._retransmit(now)
        return True

    def _is_duplicate(self, segment: Segment) -> bool:
        """RFC 5681, 2, of a segment without text that acknowledges SND.UNA once more. With SACK, RFC 6675 asks less."""
        return segment.wnd << self.tcb.snd_shift == self.tcb.snd_wnd and not segment.ctl & FIN

    def _acknowledges_new(self, segment: Segment) -> bool:
        """SND.UNA < SEG.ACK =< SND.NXT."""
        return 0 < seq_diff(segment.ack, self.tcb.snd_una) <= seq_diff(self.tcb.snd_nxt, self.tcb.snd_una)

    def _acknowledged(self, segment: Segment, now: int) -> None:
        self.retransmissions = 0
        of_syn, had_text = not self.sender.syn_acknowledged, bool(self.sender.text)
        echoed = None if self.timestamps is None else self.timestamps.round_trip(segment, now)
        hole = self.sender.acknowledge(segment.ack, now, echoed)
        self.sender.window(segment)
        if of_syn:
            self.sender.suit_window()
            self._post(Event.ACK_OF_SYN, now)
        if had_text and not self.sender.text:
            self._tell(Notice.SENT)
        if self.sender.fin_acknowledged:
            self._post(Event.ACK_OF_FIN, now)
        elif hole:
            self._retransmit(now)

    def _text_and_fin(self, segment: Segment, now: int) -> None:
        """Seventh and eighth."""
        if not self.state.accepts_text:
            return
        unwanted = self.orphaned or (self._refuses and Event.UNWANTED_TEXT in self.table[self.state])
        if unwanted and seq_diff(seq_add(segment.seq, len(segment.data)), self.tcb.rcv_nxt) > 0:
            self._unwanted_ack = segment.ack
            self._post(Event.UNWANTED_TEXT, now)
            return
        receiver = self.receiver
        orderly = not receiver.ahead
        if not orderly or segment.seq != self.tcb.rcv_nxt:
            self._note_repeated(segment)
        octets = receiver.arrive(segment)
        if not self._reads:
            receiver.read()
        elif octets:
            self._tell(Notice.TEXT, str(octets))
        delayed, length = self.config.delayed_ack, segment.len
        if octets and delayed:
            self.acknowledger.text_comes(self.sender.rto, now)
        last = receiver.finished and segment.ctl & FIN  # nothing was missing before it
        if delayed and orderly and 0 < octets == length and not receiver.finished:
            self.acknowledger.acknowledge_text(octets, now)
        elif length and not (orderly and last and self.acknowledger.fin_may_wait):
            self.acknowledger.due = True  # at once for a FIN, beyond a hole, and when one is filled (RFC 5681, 4.2)
        if self.sender.ecn and segment.data and receiver.note_congestion(segment):
            self.acknowledger.due = True
        if receiver.finished:
            self._post(Event.FIN, now)

    def _note_repeated(self, segment: Segment) -> None:
        if self.config.duplicate_sack and self.sender.board is not None:
            self.receiver.note_repeated(segment)


#: 3.10.7 has four procedures; all other states share the fourth.
_ARRIVES: dict[State, Callable[[Connection, Segment, int], None]] = {
    State.CLOSED: Connection._arrives_closed,
    State.LISTEN: Connection._arrives_listen,
    State.SYN_SENT: Connection._arrives_syn_sent,
}
