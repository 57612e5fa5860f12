"""What moves a connection: the TCB, the machine's rows fired on it, and the segments that the rows order.

`timers.py` and `connection.py` build on it: timeouts, user calls and arriving segments are examined there, posted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tcpclose.protocol.acknowledging import Acknowledger
from tcpclose.protocol.addresses import IPV4_MSS
from tcpclose.protocol.config import SECOND, TcpConfig
from tcpclose.protocol.fsm import TABLE, Cause, Do, Event, Row, State, Table
from tcpclose.protocol.interface import Notice, Signal, TcpError, Timer
from tcpclose.protocol.keepalive import Keepalive
from tcpclose.protocol.options import MOST_SACK_BLOCKS, SACK_BLOCK, SACK_PADDED, USER_TIMEOUT_LENGTH, sack_room
from tcpclose.protocol.receiving import Receiver
from tcpclose.protocol.segment import ACK, CWR, ECE, FIN, RST, SYN, Segment
from tcpclose.protocol.sending import Sender
from tcpclose.protocol.tcb import Tcb
from tcpclose.protocol.timestamps import Timestamps, clock


class Machine:
    """A TCB, the state that it is in, and what the rows of the table do to both."""

    __slots__ = (
        "_came_from_listen",
        "_close_deferred",
        "_news",
        "_peer",
        "_reads",
        "_refuses",
        "_segments",
        "_tells_user_timeout",
        "_unwanted_ack",
        "acknowledger",
        "cause",
        "challenges",
        "config",
        "counters",
        "default_mss",
        "fin_wait_2_at",
        "held",
        "iss",
        "keepalive",
        "orphaned",
        "receiver",
        "retransmissions",
        "scheduled",
        "sender",
        "state",
        "table",
        "tcb",
        "time_wait_at",
        "timestamp_offset",
        "timestamps",
    )

    def __init__(
        self,
        config: TcpConfig,
        iss: int,
        timestamp_offset: int = 0,
        counters: Counter[str] | None = None,
        default_mss: int = IPV4_MSS,
        table: Table = TABLE,
    ) -> None:
        self.config = config
        self.table = table
        self.iss = iss
        self.timestamp_offset = timestamp_offset
        self.default_mss = default_mss
        self.counters: Counter[str] = Counter() if counters is None else counters
        self.scheduled: int | None = None  # these two belong to the Stack: the deadline that it has noted,
        self.held = 0  # and the octets of text that it has counted
        self.state = State.CLOSED
        self.cause: Cause | None = None
        self._segments: list[Segment] = []
        self._news: list[Row | Signal | Timer] = []
        self._create_tcb()

    def _create_tcb(self, now: int = 0) -> None:
        self.tcb = Tcb(self.iss)
        self.sender = Sender(self.tcb, self.config, self.default_mss)
        self.receiver = Receiver(self.tcb, self.config)
        self.acknowledger = Acknowledger(self.tcb, self.config)
        self.timestamps: Timestamps | None = None  # agreed upon by both SYNs
        self.time_wait_at: int | None = None
        self._peer: Segment | None = None  # the peer's SYN
        self.fin_wait_2_at: int | None = None
        self.keepalive: Keepalive | None = None
        self.orphaned = False  # the user has given up both directions
        self._reads = True
        self._refuses = False  # once our direction is closed too, text is unwanted (`shutdown_read`)
        self._unwanted_ack = 0  # SEG.ACK of text that nobody will read
        self.retransmissions = 0  # of the earliest unacknowledged segment, and nobody answered
        self._came_from_listen = False
        self._tells_user_timeout = False  # the peer shall know it, by the next segment that has room
        self._close_deferred = False
        self.challenges: tuple[int, int] = (0, 0)  # (end of the interval, challenge ACKs sent in it)

    # The machine

    def _post(self, event: Event, now: int) -> None:
        """Fire the row for `event` in this state; a pair that is IGNORED does nothing."""
        row = self.table[self.state].get(event)
        if row is None:
            return
        self.state = row.next
        self._news.append(row)
        for do in row.do:
            ACTIONS[do](self, now)
        if row.cause is not None:
            self.sender.stop()
            self.time_wait_at = self.fin_wait_2_at = self.keepalive = self.acknowledger.at = None
            self.acknowledger.due = False
            self.cause = row.cause
            self._tell(Notice.CLOSED, row.cause.value)

    def _transmit(self, now: int) -> None:
        """Send what may be sent; if nothing left that carries an ACK which is due, send the ACK alone."""
        sender = self.sender
        if (sender.text or sender.fin_queued) and self.state.sends_text:
            while (segment := sender.next_segment(now)) is not None:
                self._send(segment, now)
        if self.acknowledger.due:
            self._send(Segment(self.tcb.snd_nxt, ctl=ACK), now)

    def _retransmit(self, now: int) -> None:
        """Send the earliest unacknowledged segment again (RFC 6298 5.4)."""
        self.counters["retransmissions"] += 1
        if not self.sender.syn_acknowledged:
            self._send_syn(now)
        else:
            self._send(self.sender.forced_segment(now), now)

    def _send(self, segment: Segment, now: int) -> None:
        """Complete a segment that carries ACK, and pass it on."""
        self.receiver.open_window(self.config.window_steps)
        tcb = self.tcb
        self.acknowledger.sent(segment, now)
        segment.ack = tcb.last_ack_sent = tcb.rcv_nxt
        segment.wnd = self.receiver.offered
        if self.receiver.congested:
            segment.ctl |= ECE
        if self.timestamps is not None:
            segment.timestamps = self.timestamps.stamp(now)
        if (self.receiver.ahead or self.receiver.repeated or self.receiver.fin_ahead) and self.sender.board is not None:
            room = (
                (self.sender.mss - len(segment.data) - SACK_PADDED) // SACK_BLOCK if segment.data else MOST_SACK_BLOCKS
            )
            segment.sack = self.receiver.sack_blocks(min(room, sack_room(segment)))
        if self._tells_user_timeout and not segment.sack and len(segment.data) + USER_TIMEOUT_LENGTH <= self.sender.mss:
            segment.user_timeout = self.config.user_timeout // SECOND or None
            self._tells_user_timeout = False
        self._segments.append(segment)
        if segment.ctl & FIN:
            self._post(Event.FIN_SENT, now)

    def _challenge(self, now: int) -> None:
        """RFC 5961: an ACK that asks the peer "is this you?", limited for each connection (section 7)."""
        until, sent = self.challenges
        if now >= until:
            until, sent = now + self.config.challenge_ack_interval, 0
        if sent < self.config.challenge_ack_limit:
            self.counters["challenge ACKs"] += 1
            self.acknowledger.due = True
            sent += 1
        else:
            self.counters["challenge ACKs withheld"] += 1
        self.challenges = (until, sent)

    def _tell(self, notice: Notice, detail: str = "") -> None:
        self._news.append(Signal(notice, detail))

    def _report(self, error: str) -> None:
        """3.9.1.8: a soft error, for users who want to hear of such."""
        if self.config.soft_errors:
            self._tell(Notice.ERROR, error)

    # Actions

    def _send_syn(self, now: int) -> None:
        """SYN, or SYN,ACK once the peer's SYN is known. Options are offered, and accepted only when offered."""
        config, peer = self.config, self._peer
        limits = None if config.simultaneous_open == "linux" and not self._came_from_listen else peer
        segment = Segment(self.iss, ctl=SYN, mss=config.mss, wnd=min(config.rcv_buffer, 0xFFFF))
        if config.window_scale and (limits is None or limits.wscale is not None):
            segment.wscale = config.scale
        if config.user_timeout_option:
            segment.user_timeout = config.user_timeout // SECOND or None
            self._tells_user_timeout = True  # once more: a peer may have no place to keep a SYN's (RFC 5482, 3)
        segment.sack_permitted = config.sack and (limits is None or limits.sack_permitted)
        if self.timestamps is not None:
            segment.timestamps = self.timestamps.stamp(now)
        elif config.timestamps and limits is None:
            segment.timestamps = clock(now, self.timestamp_offset), 0
        if peer is not None:
            segment.ctl, segment.ack = SYN | ACK | (ECE if self.sender.ecn else 0), self.tcb.rcv_nxt
        elif config.ecn == "active" and not self.retransmissions:  # some middlebox may drop such a SYN
            segment.ctl |= ECE | CWR
        self._segments.append(segment)
        self.sender.sent(segment, now)

    def _send_ack(self, now: int) -> None:
        self.acknowledger.due = True

    def _send_reset(self, now: int) -> None:
        """A RST of an existing connection: SEQ=SND.NXT, ACK=RCV.NXT (`reset_ack`)."""
        reset = Segment(self.tcb.snd_nxt, ctl=RST)
        if self.config.reset_ack:
            reset.ctl, reset.ack = RST | ACK, self.tcb.rcv_nxt
        if self.timestamps is not None:
            tsval, tsecr = self.timestamps.stamp(now)
            reset.timestamps = tsval, tsecr if reset.ctl & ACK else 0  # RFC 7323, 3.2
        self._segments.append(reset)

    def _send_timeout_reset(self, now: int) -> None:
        if self.config.timeout_reset:
            self._send_reset(now)

    def _send_keepalive_reset(self, now: int) -> None:
        if self.config.keepalive_reset:
            self._send_reset(now)

    def _send_unwanted_reset(self, now: int) -> None:
        """SHLD-3. The form "segment" is that of a connection which exists no longer."""
        if self.config.unwanted_text_reset == "segment":
            self._segments.append(Segment(self._unwanted_ack, ctl=RST))
        else:
            self._send_reset(now)

    def _start_keepalive(self, now: int) -> None:
        self.keepalive = Keepalive(self.config, now) if self.config.keepalive else None

    def _start_fin_wait_2(self, now: int) -> None:
        if self.orphaned and self.config.fin_wait_2_timeout and self.state.awaits_fin:
            self.fin_wait_2_at = now + self.config.fin_wait_2_timeout

    def _send_ack_of_fin(self, now: int) -> None:
        self.acknowledger.acknowledge_fin(now)

    def _queue_fin(self, now: int) -> None:
        self.sender.fin_queued = True

    def _close_if_deferred(self, now: int) -> None:
        if self._close_deferred:
            self._post(Event.CLOSE, now)

    def _start_2msl(self, now: int) -> None:
        self.sender.stop()
        self.fin_wait_2_at = self.keepalive = None
        self.time_wait_at = now + 2 * self.config.msl

    def _refuse_no_connection(self, now: int) -> None:
        raise TcpError(Do.REFUSE_NO_CONNECTION.value)

    def _refuse_exists(self, now: int) -> None:
        raise TcpError(Do.REFUSE_EXISTS.value)

    def _refuse_closing(self, now: int) -> None:
        raise TcpError(Do.REFUSE_CLOSING.value)


#: What each name of the table means to the engine. A test holds this complete.
ACTIONS: dict[Do, Callable[[Machine, int], None]] = {
    Do.CREATE_TCB: Machine._create_tcb,
    Do.SEND_SYN: Machine._send_syn,
    Do.SEND_SYN_ACK: Machine._send_syn,
    Do.SEND_ACK: Machine._send_ack,
    Do.SEND_ACK_OF_FIN: Machine._send_ack_of_fin,
    Do.QUEUE_FIN: Machine._queue_fin,
    Do.CLOSE_IF_DEFERRED: Machine._close_if_deferred,
    Do.SEND_RESET: Machine._send_reset,
    Do.SEND_TIMEOUT_RESET: Machine._send_timeout_reset,
    Do.SEND_KEEPALIVE_RESET: Machine._send_keepalive_reset,
    Do.SEND_UNWANTED_RESET: Machine._send_unwanted_reset,
    Do.START_KEEPALIVE: Machine._start_keepalive,
    Do.START_FIN_WAIT_2: Machine._start_fin_wait_2,
    Do.START_2MSL: Machine._start_2msl,
    Do.SIGNAL_CONNECTED: lambda machine, now: machine._tell(Notice.CONNECTED),
    Do.SIGNAL_EOF: lambda machine, now: machine._tell(Notice.EOF),
    Do.REFUSE_NO_CONNECTION: Machine._refuse_no_connection,
    Do.REFUSE_EXISTS: Machine._refuse_exists,
    Do.REFUSE_CLOSING: Machine._refuse_closing,
}
