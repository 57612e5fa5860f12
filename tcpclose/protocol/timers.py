"""Timeouts (3.10.8): which timers of a connection run, and what is done when each expires."""

from __future__ import annotations

from tcpclose.protocol.fsm import Event
from tcpclose.protocol.interface import Timer
from tcpclose.protocol.machine import Machine
from tcpclose.protocol.segment import ACK, Segment, seq_add


class Timers(Machine):
    """The part of a connection that time moves. Its driver asks when that will be, and calls it then."""

    __slots__ = ()

    def next_timeout(self) -> int | None:
        """When `timeout` is to be called, in microseconds; None when no timer runs."""
        sender = self.sender
        timers = (
            sender.rto_at,
            sender.user_at,
            sender.override_at,
            sender.probe_at,
            self.time_wait_at,
            self.fin_wait_2_at,
            self.acknowledger.at,
        )
        earliest = None if self.keepalive is None else self.keepalive.at
        for at in timers:
            if at is not None and (earliest is None or at < earliest):
                earliest = at
        return earliest

    def timeout(self, now: int) -> None:
        """3.10.8, 3.8.3 and 3.8.4: handle every timer that has expired by `now`."""
        if self.time_wait_at is not None and self.time_wait_at <= now:
            self._post(Event.TIME_WAIT_TIMEOUT, now)
        if self.fin_wait_2_at is not None and self.fin_wait_2_at <= now:
            self._post(Event.FIN_WAIT_2_TIMEOUT, now)
        if self.sender.user_at is not None and self.sender.user_at <= now:
            self._post(Event.USER_TIMEOUT, now)
        if self.sender.probe_at is not None and self.sender.probe_at <= now:
            self.counters["loss probes"] += 1
            self._news.append(Timer.LOSS_PROBE)
            self._send(self.sender.loss_probe(now), now)
        if self.sender.rto_at is not None and self.sender.rto_at <= now:
            self._retransmission_timeout(now)
        if self.sender.override_at is not None and self.sender.override_at <= now:
            self._news.append(Timer.OVERRIDE)
            self.sender.push()
            self._override(now)
        if self.acknowledger.at is not None and self.acknowledger.at <= now:
            self._news.append(Timer.DELAYED_ACK)
            self.acknowledger.expire()
            self._transmit(now)
        if self.keepalive is not None and self.keepalive.at <= now:
            self._keepalive_timeout(now)

    def _override(self, now: int) -> None:
        """3.8.6.2.1: a small segment has waited long enough."""
        self.sender.override_at = None
        if (segment := self.sender.next_segment(now, override=True)) is not None:
            self._send(segment, now)
        self._transmit(now)

    def _retransmission_timeout(self, now: int) -> None:
        """RFC 6298 5.4 to 5.6, until there were too many in a row (3.8.3, MUST-20)."""
        self.retransmissions += 1
        limit = self.config.r2 if self.sender.syn_acknowledged else self.config.syn_r2
        if self._may_listen:
            limit = self.config.syn_ack_r2 or limit
        if 0 < limit < self.retransmissions:
            self._post(Event.RETRANSMISSION_LIMIT, now)
            return
        self._news.append(Timer.RETRANSMISSION)
        if self.retransmissions == self.config.r1:
            self._report(f"{self.config.r1} retransmissions")  # SHLD-9
        self.sender.back_off(now)
        if self.config.window_probe == "empty" and not (self.tcb.snd_wnd or self.sender.outstanding):
            self._send(self.sender.window_probe(now), now)
        else:
            self._retransmit(now)
        self._transmit(now)

    def _keepalive_timeout(self, now: int) -> None:
        """A probe repeats the last number before SND.NXT: it can only be answered by an ACK (or RST)."""
        assert self.keepalive is not None
        if self.sender.outstanding or self.sender.unsent or not self.state.idles:
            self.keepalive.heard(self.config, now)  # MUST-26: never while the other timers ask the same
        elif self.keepalive.exhausted(self.config):
            self._post(Event.KEEPALIVE_TIMEOUT, now)
        else:
            self.keepalive.probed(self.config, now)
            self.counters["keepalive probes"] += 1
            self._news.append(Timer.KEEPALIVE)
            garbage = b"\0" if self.config.keepalive_garbage else b""
            self._send(Segment(seq_add(self.tcb.snd_nxt, -1), ctl=ACK, data=garbage), now)

    @property
    def _may_listen(self) -> bool:
        """A connection that came from LISTEN returns there if its handshake fails."""
        return self._came_from_listen and self.state.handshaking
