"""The sending half of a connection: the queue, what may leave now, and what must be sent again.

Retransmission follows RFC 6298 (timer, backoff, Karn's rule), the congestion window RFC 5681 with the partial
acknowledgments of RFC 6582, or with the scoreboard of RFC 6675 where both ends have SACK. One timer serves for both
retransmission and zero-window probes, since a probe is nothing but the next octet sent, and sent again, against a
closed window (3.8.6.1).
"""

from __future__ import annotations

from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.scoreboard import Scoreboard
from tcpclose.protocol.segment import ACK, CWR, ECT_0, FIN, MODULUS, PSH, Segment, seq_add, seq_diff
from tcpclose.protocol.tcb import Tcb

_RTO_AFTER_LOST_SYN = 3_000_000  # RFC 6298 5.7, in microseconds
_LONGEST_DELAYED_ACK = 200_000  # RFC 8985, 7.2: what is assumed of the peer
_LEAST_WAIT = 2_000
_SMALL_WINDOW = 536  # octets
_LEAST_MSS = 68 - 20  # RFC 791: what any network carries, without the header of TCP
_PROBE_UNMEASURED = 1_000_000


class Sender:
    """Text and FIN for the peer, until acknowledged."""

    def __init__(self, tcb: Tcb, config: TcpConfig, default_mss: int) -> None:
        self.tcb = tcb
        self.config = config
        self.mss = self.agreed_mss = default_mss  # until the peer has announced one (3.7.1, MUST-15)
        self.option_octets = 0
        self.text = bytearray()  # from `base` on: not acknowledged, or not sent
        self.base = seq_add(tcb.iss, 1)
        self.pushes: dict[int, None] = {}  # where the text of each SEND ends, in order
        self.half: tuple[int, int] | None = None  # where the first of two full segments ended, and when it left
        self.syn_acknowledged = False
        self.fin_queued = False
        self.cwnd = 0
        self.most_used, self.used_until = 0, tcb.iss  # of the window since `used_until` was acknowledged
        self.ssthresh = 1 << 30
        self.duplicate_acks = 0
        self.limited = 0  # what limited transmit adds to the congestion window (RFC 3042)
        self.board: Scoreboard | None = None  # where both ends have SACK
        self.recover: int | None = None  # fast recovery lasts until this is acknowledged
        self.resend: int | None = None  # after a timeout: what lies from here to SND.NXT is sent again
        self.srtt: int | None = None
        self.rttvar = 0
        self.rto = config.rto_initial
        self.ecn = False  # both ends take part (RFC 3168)
        self.reduced = False  # the congestion window, which the peer does not know yet
        self.reduced_until = tcb.iss  # once in a round trip is enough
        self.timed: tuple[int, int] | None = None  # (sequence number, time) of the round trip being measured
        self.user_timeout = config.connect_timeout or config.user_timeout
        self.nodelay = not config.nagle
        self.corked = False
        self.small = self.earlier = tcb.iss  # where the last small segment, and what earlier SENDs queued, end
        self.newest = tcb.iss  # where the segment begins that was sent last of all
        self.lost: int | None = None  # after a timeout: all up to here counts as lost
        self.probe_at: int | None = None  # when the last segment is sent again, before its timeout
        self.rto_at: int | None = None
        self.override_at: int | None = None  # when a small segment has waited long enough
        self.user_at: int | None = None

    def start(self, segment: Segment, option_octets: int = 0, sack: bool = False) -> None:
        """The peer's SYN arrived: it announces the MSS and, with our own limits, the initial window (RFC 6928).

        `option_octets` stand in every segment, in the place of text (RFC 6691).
        """
        self.option_octets = option_octets
        self.mss = self.agreed_mss = max(min(segment.mss or self.mss, self.config.mss) - option_octets, 1)
        self.cwnd = self.config.initial_window * self.mss
        self.board = Scoreboard(self.tcb) if sack else None

    def suit_window(self) -> None:
        """The connection opens, or the peer's window was never so large: two segments fit into it (`half_window`)."""
        window = self.tcb.snd_wnd
        if self.config.half_window and window:
            self.tcb.snd_wnd_max = window
            most = window // 2 if window > _SMALL_WINDOW else window
            before, self.mss = self.mss, min(self.agreed_mss, max(most, _LEAST_MSS - self.option_octets))
            self.cwnd = self.cwnd * self.mss // before  # it counts segments

    def narrow(self, mss: int) -> bool:
        """The way takes no more than `mss` octets (RFC 1191, 6.5). True when larger ones are lost, to be sent again.

        That is no congestion: the window stays.
        """
        mss = max(mss - self.option_octets, 1)
        self.agreed_mss = min(self.agreed_mss, mss)
        if mss >= self.mss:
            return False
        self.mss = mss
        self._forget_recovery()
        self.resend = self.tcb.snd_una if self.outstanding else None
        return True

    def queue(self, text: bytes, push: bool = True) -> None:
        """Put text behind what waits already; `push`: the user will not add to it at once (3.9.1.2)."""
        idle = not self.outstanding
        self.text += text
        if idle:
            self.earlier = self.end
        if push and self.config.push != "buffer":
            self.pushes[self.end] = None

    @property
    def end(self) -> int:
        """The sequence number after the last octet of text: where the FIN stands."""
        return (self.base + len(self.text)) % MODULUS

    @property
    def outstanding(self) -> bool:
        """Something was sent and is not acknowledged."""
        return self.tcb.snd_una != self.tcb.snd_nxt

    @property
    def fin_acknowledged(self) -> bool:
        return seq_diff(self.tcb.snd_una, self.end) > 0

    @property
    def unsent(self) -> bool:
        """Text or FIN has never left."""
        return seq_diff(self.end, self.tcb.snd_nxt) + self.fin_queued > 0

    # What may leave

    def next_segment(self, now: int, override: bool = False, room: int | None = None) -> Segment | None:
        """The next segment that both windows permit, lost ones first; None when there is none.

        With `override` it may be a small one that has waited for a larger window (3.8.6.2.1); `room` stands in for
        the congestion window's.
        """
        tcb = self.tcb
        if self.board is not None and room is None:
            if self.recover is not None:
                return self._next_in_recovery(self.board, now)
            if self.resend is not None:  # what the peer has reported since the timeout need not be sent again
                self._resent_to(self.board.unreported(self.resend))
        start = tcb.snd_nxt if self.resend is None else self.resend
        in_flight = seq_diff(start, self.base)  # not the SYN: the window begins behind it
        if room is None:
            room = self.cwnd + self.limited - in_flight
        usable = min(tcb.snd_wnd - in_flight, room)
        waiting = len(self.text) - in_flight  # less than 0: the FIN has left
        size = max(min(self.mss, usable, waiting), 0)
        fin = self.fin_queued and size == waiting and usable > size
        if size == 0 and not fin:
            self._watch_window(now)
            return None
        if size < self.mss and not (fin or override) and self._waits(size, waiting, in_flight, now):
            return None
        return self._emit(start, size, fin, now)

    def _next_in_recovery(self, board: Scoreboard, now: int) -> Segment | None:
        """NextSeg() of RFC 6675, 4, as long as pipe is a segment short of the congestion window (5, step C)."""
        room = self.cwnd - board.pipe(self.mss)
        if room < self.mss:
            return None
        hole = board.hole(self.mss, lost=True)
        if hole is None:
            segment = self.next_segment(now, room=room)
            if segment is not None:
                return segment
            hole = board.hole(self.mss, lost=False)
            if hole is None:
                tail = board.rescue(self.mss)
                return None if tail is None else self._fill(*tail, now)
        segment = self._fill(*hole, now)
        board.high_rxt = segment.end
        return segment

    def _fill(self, left: int, right: int, now: int) -> Segment:
        """Send again from `left` on, no further than `right`."""
        waiting, length = seq_diff(self.end, left), seq_diff(right, left)
        size = min(self.mss, length, waiting)
        return self._emit(left, size, self.fin_queued and size == waiting and size < length, now)

    def _waits(self, size: int, waiting: int, in_flight: int, now: int) -> bool:
        """3.8.6.2.1, and Nagle in 3.7.4: is a small segment better kept until it grows? It has no FIN."""
        if not in_flight and 2 * size >= self.tcb.snd_wnd_max:
            return False  # as much as this peer ever takes
        if size < waiting:
            held = True  # the window cuts it short
        elif self.resend is not None:
            held = False
        else:
            held = self.corked or (in_flight > 0 and not self.nodelay and self._nagle_holds())
        if held and self.override_at is None and (self.corked or not in_flight):
            self.override_at = now + self.config.sws_override  # else an acknowledgment will come and ask again
        return held

    def _nagle_holds(self) -> bool:
        """3.7.4: may what is unacknowledged hold up a small segment?"""
        match self.config.nagle_waits_for:
            case "small":
                return seq_diff(self.small, self.tcb.snd_una) > 0
            case "earlier":
                return self.earlier != self.end  # all of the text was queued when nothing was in flight
        return True

    def forced_segment(self, now: int) -> Segment:
        """The earliest unacknowledged segment, whatever the windows say; else one octet, or the FIN, as a probe."""
        tcb = self.tcb
        waiting = seq_diff(self.end, tcb.snd_una)
        size = min(self.mss, max(tcb.snd_wnd, 1), waiting)
        if self.board is not None and self.board.ranges:
            size = min(size, seq_diff(self.board.ranges[0][0], tcb.snd_una))
        segment = self._emit(tcb.snd_una, size, self.fin_queued and size == waiting, now)
        if self.board is not None:
            self.board.high_rxt = segment.end
        return segment

    def _emit(self, start: int, size: int, fin: bool, now: int) -> Segment:
        offset = seq_diff(start, self.base)
        ctl = ACK | (FIN if fin else 0)
        if size and self._is_pushed(start, size):
            ctl |= PSH
        elif size == self.mss and self.config.push == "burst":
            if 2 * size > self.tcb.snd_wnd_max:
                ctl |= PSH
            elif start == self.tcb.snd_nxt:
                ctl |= self._second_of_two(start, now)
        segment = Segment(start, ctl=ctl, data=bytes(self.text[offset : offset + size]))
        if size < self.mss:
            self.small = segment.end
        self.override_at = None
        self.sent(segment, now)
        return segment

    def _is_pushed(self, start: int, size: int) -> bool:
        """Does the text of a segment end where PSH is due?"""
        if self.config.push == "buffer":
            return seq_add(start, size) == self.end
        return seq_add(start, size) in self.pushes

    def push(self) -> None:
        """All that is queued shall have PSH at its end."""
        self.pushes[self.end] = None

    def _second_of_two(self, start: int, now: int) -> int:
        """PSH for a full segment that leaves at once behind another such."""
        if self.half == (start, now):
            self.half = None
            return PSH
        self.half = seq_add(start, self.mss), now
        return 0

    def sent(self, segment: Segment, now: int) -> None:
        """Account for a segment that leaves: SND.NXT, the timed round trip (Karn), the timers."""
        tcb, end = self.tcb, segment.end
        if segment.seq != tcb.snd_nxt:
            self.timed = None  # Karn: from now on an acknowledgment would be ambiguous
        elif self.timed is None:
            self.timed = (end, now)
        new = seq_diff(end, tcb.snd_nxt) > 0
        if new:
            self.newest, tcb.snd_nxt = segment.seq, end
            if self.ecn and segment.data and tcb.snd_wnd:
                self._mark(segment)
            self._note_use()
        self._resent_to(end)
        if self.rto_at is None:
            self.rto_at = now + self.rto
        if self.user_at is None:
            self.user_at = now + self.user_timeout
        if new:
            self._schedule_probe(now)

    def _mark(self, segment: Segment) -> None:
        """RFC 3168, 6.1.2: routers may mark new text instead of dropping it. Nothing else: its loss would not show."""
        segment.ecn = ECT_0
        if self.reduced:
            segment.ctl |= CWR
            self.reduced = False

    def _note_use(self) -> None:
        """How much of the congestion window is used in this round trip."""
        used = seq_diff(self.tcb.snd_nxt, self.tcb.snd_una)
        if used > self.most_used or seq_diff(self.tcb.snd_una, self.used_until) >= 0:
            self.most_used, self.used_until = used, self.tcb.snd_nxt

    def _schedule_probe(self, now: int) -> None:
        """RFC 8985, 7.2: two round trips, and as long as an ACK of a single segment may be delayed."""
        self.probe_at = None
        if not self.config.loss_probe or self.board is None or not self.syn_acknowledged:
            return
        if self.rto_at is None or self.tcb.snd_wnd == 0 or (self.recover, self.lost) != (None, None):
            return
        alone = seq_diff(self.tcb.snd_nxt, self.tcb.snd_una) <= self.mss
        delay = _LONGEST_DELAYED_ACK if alone else _LEAST_WAIT
        wait = _PROBE_UNMEASURED if self.srtt is None else 2 * self.srtt + delay
        self.probe_at = min(now + wait, self.rto_at)

    def loss_probe(self, now: int) -> Segment:
        """RFC 8985, 7.3: one more segment, in the hope that its ACK shows what was lost. The timeout follows.

        It has new text, or the FIN, if there is some and the peer's window takes it; else it is the last one again.
        """
        tcb, segment = self.tcb, None
        new = min(self.mss, seq_diff(self.end, tcb.snd_nxt))
        if self.unsent and seq_diff(tcb.snd_nxt, tcb.snd_una) + new <= tcb.snd_wnd:
            segment = self.next_segment(now, override=True, room=self.mss + 1)
        if segment is None:
            segment = self._fill(self.newest, tcb.snd_nxt, now)
        self.probe_at, self.rto_at = None, now + self.rto
        return segment

    def window_probe(self, now: int) -> Segment:
        """An empty segment that the peer must find old (`window_probe`)."""
        if self.user_at is None:
            self.user_at = now + self.user_timeout
        return Segment(seq_add(self.tcb.snd_una, -1), ctl=ACK)

    def probe_answered(self, now: int) -> None:
        """The window is still closed: the next empty probe waits from now on."""
        if self.config.window_probe == "empty" and not self.outstanding and self.rto_at is not None:
            self.rto_at = now + self.rto

    def _resent_to(self, seq: int) -> None:
        if self.resend is not None and seq_diff(seq, self.resend) > 0:
            self.resend = seq if seq_diff(self.tcb.snd_nxt, seq) > 0 else None

    def _watch_window(self, now: int) -> None:
        """Something waits, nothing is on its way: only a probe can find out when the window opens (3.8.6.1)."""
        if self.unsent and self.rto_at is None:
            self.rto_at = now + self.rto

    # What comes back

    def acknowledge(self, ack: int, now: int, echoed: int | None = None) -> bool:
        """SND.UNA < SEG.ACK =< SND.NXT arrived. True when the next hole is to be resent at once (RFC 6582).

        `echoed` is the round trip that timestamps tell of; it serves where Karn's rule forbids our own clock.
        """
        tcb = self.tcb
        acked = seq_diff(ack, tcb.snd_una)
        if self.timed is not None and seq_diff(ack, self.timed[0]) >= 0:
            self._measured(now - self.timed[1])
        elif self.timed is None and echoed is not None and echoed <= self.config.rto_max:
            self._measured(echoed)
        elif not self.syn_acknowledged and self.config.rto_initial < min(self.rto, _RTO_AFTER_LOST_SYN):
            self.rto = min(_RTO_AFTER_LOST_SYN, self.config.rto_max)
        tcb.snd_una = ack
        if not self.syn_acknowledged and self.config.connect_timeout:
            self.user_timeout = self.config.user_timeout
        self.syn_acknowledged = True
        text = min(seq_diff(ack, self.base), len(self.text))
        if text > 0:
            del self.text[:text]
            self.base = seq_add(self.base, text)
            while self.pushes and seq_diff(next(iter(self.pushes)), self.base) <= 0:
                del self.pushes[next(iter(self.pushes))]
        self._resent_to(ack)
        if self.board is not None:
            self.board.advance()
        self.duplicate_acks = self.limited = 0
        if self.outstanding:
            self.rto_at, self.user_at = now + self.rto, now + self.user_timeout
        else:
            self.rto_at = self.user_at = None
        if self.lost is not None and seq_diff(ack, self.lost) >= 0:
            self.lost = None
        self._schedule_probe(now)
        return text > 0 and self._grow(acked, ack)

    def _grow(self, acked: int, ack: int) -> bool:
        if self.recover is not None:
            if seq_diff(ack, self.recover) < 0:
                if self.board is not None:
                    return False  # pipe knows what to do
                self.cwnd = max(self.cwnd - acked + self.mss, self.mss)
                return True
            self.recover = None
            self.cwnd = self.ssthresh
        elif self.cwnd < self.ssthresh:
            most = self.config.slow_start_growth * self.mss
            if not self.config.used_window_grows or self.cwnd < 2 * self.most_used:
                self.cwnd += min(acked, most or acked)
        else:
            self.cwnd += max(self.mss * self.mss // self.cwnd, 1)
        return False

    def duplicate(self) -> bool:
        """A duplicate acknowledgment arrived (RFC 5681 2). True when it is the third: resend at once."""
        if not self.outstanding or self.tcb.snd_wnd == 0:  # nothing to acknowledge, or the answer to a probe
            return False
        self.duplicate_acks += 1
        if self.recover is not None:
            if self.board is None:
                self.cwnd += self.mss
        elif self.resend is not None:
            pass  # a timeout has taken over
        elif self.duplicate_acks >= 3 or (self.board is not None and self.board.first_is_lost(self.mss)):
            self._enter_recovery()
            return True
        elif self.config.limited_transmit:
            self.limited += self.mss
        return False

    def _enter_recovery(self) -> None:
        """RFC 5681, 3.2; RFC 6675, 5 step 4."""
        self._halve()
        self.limited = 0
        self.recover = self.tcb.snd_nxt
        if self.board is None:
            self.cwnd = self.ssthresh + 3 * self.mss
        else:
            self.cwnd = self.ssthresh
            self.board.recover()

    def congestion_echoed(self) -> None:
        """RFC 3168, 6.1.2: ECE says that a router has marked our text. That counts like a loss, but nothing is lost."""
        if self.recover is None and self.resend is None and seq_diff(self.tcb.snd_una, self.reduced_until) >= 0:
            self._halve()
            self.cwnd, self.reduced_until = self.ssthresh, self.tcb.snd_nxt

    def window(self, segment: Segment) -> None:
        """3.10.7.4 fifth: take SND.WND from the newest segment."""
        tcb = self.tcb
        newer = seq_diff(segment.seq, tcb.snd_wl1)
        if newer > 0 or (newer == 0 and seq_diff(segment.ack, tcb.snd_wl2) >= 0):
            wnd = segment.wnd << tcb.snd_shift
            if tcb.snd_wnd == 0 < wnd:
                self._window_opened()
            tcb.snd_wnd, tcb.snd_wl1, tcb.snd_wl2 = wnd, segment.seq, segment.ack
            if wnd > tcb.snd_wnd_max:
                tcb.snd_wnd_max = wnd
                self.suit_window()
        if tcb.snd_wnd == 0 and self.config.window_probe == "text":
            # 3.8.6.1, MUST-37: a peer that answers is there; the next probe starts the clock. Linux lets it run on.
            self.user_at = None

    def _window_opened(self) -> None:
        """Probes that found the window closed were thrown away: send them again, with a fresh timer."""
        self.resend = self.base if self.outstanding else None
        self.rto = self._computed_rto()
        self.rto_at = self.probe_at = None
        if not self.outstanding:
            self.user_at = None

    def _measured(self, rtt: int) -> None:
        """RFC 6298 2.2 to 2.4."""
        self.timed = None
        if self.srtt is None:
            self.srtt, self.rttvar = rtt, rtt // 2
        else:
            self.rttvar += (abs(self.srtt - rtt) - self.rttvar) // 4
            self.srtt += (rtt - self.srtt) // 8
        self.rto = self._computed_rto()

    def _computed_rto(self) -> int:
        if self.srtt is None:
            return self.config.rto_initial
        rto = self.srtt + max(self.config.rto_granularity, 4 * self.rttvar) + self.config.rto_extra
        return min(max(rto, self.config.rto_min), self.config.rto_max)

    # Timers

    def adopt_user_timeout(self, told: int) -> None:
        """RFC 5482, 3.1: the peer tells its user timeout, in microseconds; the longer one serves, within limits."""
        config = self.config
        self.set_user_timeout(min(config.user_timeout_most, max(config.user_timeout, told, config.user_timeout_least)))

    def set_user_timeout(self, timeout: int) -> None:
        """Another user timeout, in microseconds; a clock that runs keeps its start."""
        if self.user_at is not None:
            self.user_at += timeout - self.user_timeout
        self.user_timeout = timeout

    def back_off(self, now: int) -> None:
        """The retransmission timer expired: RFC 6298 5.5 to 5.6, RFC 5681 3.1. All in flight counts as lost."""
        if self.tcb.snd_wnd > 0:  # a probe that was refused says nothing of congestion
            if self.resend is None:
                self._halve()
            self.cwnd = self.mss
        self._forget_recovery()
        self.resend = self.tcb.snd_una if self.outstanding else None
        extra = 0 if self.srtt is None else self.config.rto_extra
        self.rto = min((self.rto - extra) * 2 + extra, self.config.rto_max)
        self.rto_at = now + self.rto
        self.probe_at, self.lost = None, self.tcb.snd_nxt

    def _forget_recovery(self) -> None:
        self.recover = None
        self.duplicate_acks = self.limited = 0
        if self.board is not None:
            self.board.clear()

    def stop(self) -> None:
        """Nothing will be sent or awaited any more: queues are flushed."""
        self.rto_at = self.user_at = self.override_at = self.probe_at = None
        self.text.clear()

    def _halve(self) -> None:
        in_flight = seq_diff(self.tcb.snd_nxt, self.tcb.snd_una) - self.limited
        self.ssthresh = max(in_flight // 2, 2 * self.mss)
        self.reduced = self.ecn
