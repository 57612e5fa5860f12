"""A tiny TCP: one connection that opens, carries text both ways, sends again what was lost, and cannot end.

How a connection ends is your part. Where it comes to that, the functions of `release.py` are called with the TCB and
the time; they decide on states, FINs, RSTs and what the user is told. All else is here: calls and segments are taken
in the order of RFC 9293, 3.10, whose sections the comments name.

Left out, to be short: options, congestion control, delayed acknowledgments, Nagle, closed windows, measured round
trips, and text beyond a hole, which the peer sends again. Times are whole microseconds, numbers are modulo 2**32.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from types import ModuleType

FIN, SYN, RST, ACK = 1, 2, 4, 16


def add(number: int, octets: int) -> int:
    """The sequence number that lies so many octets further (3.4)."""
    return (number + octets) % 2**32


def diff(one: int, other: int) -> int:
    """How far `one` lies behind `other`; less than 0 when it lies before it (3.4)."""
    return (one - other + 2**31) % 2**32 - 2**31


class State(Enum):
    """The states of 3.3.2."""

    CLOSED = "CLOSED"
    LISTEN = "LISTEN"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"


#: Where a SEND is taken, where text and FIN may leave, and where those of the peer are taken.
TAKES_SEND = {State.SYN_SENT, State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSE_WAIT}
TRANSMITS = {State.ESTABLISHED, State.FIN_WAIT_1, State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK}
RECEIVES = {State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2}


class Cause(Enum):
    """Why a connection ended: what the user is told."""

    GRACEFUL = "graceful"
    ABORTED = "aborted"
    RESET_BY_PEER = "reset by peer"
    REFUSED = "refused"
    USER_TIMEOUT = "user timeout"
    UNREACHABLE = "unreachable"
    INVALID_HEADER = "invalid header"
    LINGER_EXPIRED = "linger expired"
    NOT_OPENED = "not opened"


class TcpError(Exception):
    """A call of the user is refused, in the words of 3.10."""


@dataclass(slots=True)
class Segment:
    """SEG.SEQ, SEG.ACK (it means nothing without the bit ACK), the control bits, SEG.WND and the text."""

    seq: int
    ack: int = 0
    ctl: int = 0
    wnd: int = 0
    text: bytes = b""

    @property
    def len(self) -> int:
        """SEG.LEN: the sequence numbers that it consumes. SYN and FIN have one each."""
        return len(self.text) + bool(self.ctl & SYN) + bool(self.ctl & FIN)

    @property
    def end(self) -> int:
        """The sequence number behind the last one that it consumes."""
        return add(self.seq, self.len)


@dataclass(frozen=True)
class Settings:
    """What may be set. `fin_wait_2_timeout` 0 is for ever."""

    msl: int = 120_000_000
    user_timeout: int = 300_000_000
    fin_wait_2_timeout: int = 0
    rto_initial: int = 1_000_000
    rto_max: int = 60_000_000
    mss: int = 536
    window: int = 65535
    reset_ack: bool = True  # a RST that ends a connection carries ACK
    timeout_reset: bool = True  # the user timeout sends a RST


@dataclass(slots=True, eq=False)
class Tcb:
    """The Transmission Control Block (3.3.1), and what your functions may do with it. It has no other attributes."""

    settings: Settings
    iss: int
    state: State = State.CLOSED
    snd_una: int = 0
    snd_nxt: int = 0
    snd_wnd: int = 0
    max_snd_wnd: int = 0
    snd_wl1: int = 0
    snd_wl2: int = 0
    irs: int | None = None  # until the peer's SYN comes
    rcv_nxt: int = 0
    # The timers: when they expire, or None.
    retransmit_at: int | None = None
    user_timeout_at: int | None = None
    fin_wait_2_at: int | None = None
    time_wait_at: int | None = None
    ack_due: bool = False  # an ACK leaves when all is done, alone or with what leaves anyway
    # What follows is for this file.
    text: bytes = b""  # of the user, not acknowledged or not sent yet
    text_seq: int = 0  # where it begins
    next_seq: int = 0  # what is to be sent next: SND.NXT, or less after a timeout
    fin_queued: bool = False
    close_waits: bool = False  # for ESTABLISHED
    passive: bool = False  # it came from LISTEN
    rto: int = 0
    segments: list[Segment] = field(default_factory=list)  # that leave
    told: list[tuple[str, str]] = field(default_factory=list)  # the user, what and the detail

    def __post_init__(self) -> None:
        self.snd_una = self.snd_nxt = self.next_seq = self.iss
        self.text_seq = add(self.iss, 1)
        self.rto = self.settings.rto_initial

    def queue_fin(self) -> None:
        """Our FIN is to go out behind the text of the user. When it does, `fin_leaves` is called."""
        self.fin_queued = True

    def send(self, segment: Segment) -> None:
        """Send this segment just as it is."""
        self.segments.append(segment)

    def tell(self, what: str, detail: str = "") -> None:
        """Tell the user: CONNECTED, TEXT with the text, or EOF. An end is told by `end`."""
        self.told.append((what, detail))

    def stop_timers(self) -> None:
        """All four."""
        self.retransmit_at = self.user_timeout_at = self.fin_wait_2_at = self.time_wait_at = None

    def end(self, cause: Cause) -> None:
        """CLOSED: nothing is sent or awaited any more, and the user is told why."""
        self.state = State.CLOSED
        self.stop_timers()
        self.ack_due = False
        self.tell("CLOSED", cause.value)


class Connection:
    """One connection of a TCP. `release` is your module."""

    __slots__ = ("release", "tcb")

    def __init__(self, settings: Settings, iss: int, release: ModuleType) -> None:
        self.release = release
        self.tcb = Tcb(settings, iss)

    # Calls of the user, 3.10.1 to 3.10.5

    def open(self, passive: bool, now: int) -> None:
        """OPEN."""
        if self.tcb.state is State.CLOSED:
            self._create_tcb()
        elif passive or self.tcb.state is not State.LISTEN:
            raise TcpError("error: connection already exists")
        if passive:
            self.tcb.state = State.LISTEN
        else:
            self._open_actively(now)

    def send(self, text: bytes, now: int) -> None:
        """SEND. Before ESTABLISHED text is queued; in LISTEN the OPEN becomes an active one."""
        tcb = self.tcb
        self._must_exist()
        if tcb.state is State.LISTEN:
            self._open_actively(now)
        elif tcb.state not in TAKES_SEND or tcb.fin_queued or tcb.close_waits:
            raise TcpError("error: connection closing")
        tcb.text += text
        self._transmit(now)

    def close(self, now: int) -> None:
        """CLOSE. In SYN-RECEIVED, with text in the queue, it is put off until ESTABLISHED."""
        self._must_exist()
        if self.tcb.state is State.SYN_RECEIVED and self.tcb.text:
            self.tcb.close_waits, self.tcb.passive = True, False
            return
        self.release.close(self.tcb, now)
        self._transmit(now)

    def abort(self, now: int) -> None:
        """ABORT."""
        self._must_exist()
        self.release.abort(self.tcb, now)

    # What happens besides: timeouts (3.10.8), ICMP (3.9.2.2), headers that nobody understands (3.5.2)

    def next_timeout(self) -> int | None:
        """When the next timer expires."""
        tcb = self.tcb
        timers = (tcb.retransmit_at, tcb.user_timeout_at, tcb.fin_wait_2_at, tcb.time_wait_at)
        return min((at for at in timers if at is not None), default=None)

    def time_passes(self, now: int) -> None:
        """Handle the timers that have expired. Each has been stopped when its function is called."""
        tcb = self.tcb
        if tcb.time_wait_at is not None and tcb.time_wait_at <= now:
            tcb.time_wait_at = None
            self.release.time_wait_timeout(tcb, now)
        if tcb.fin_wait_2_at is not None and tcb.fin_wait_2_at <= now:
            tcb.fin_wait_2_at = None
            self.release.fin_wait_2_timeout(tcb, now)
        if tcb.user_timeout_at is not None and tcb.user_timeout_at <= now:
            tcb.user_timeout_at = None
            self.release.user_timeout(tcb, now)
        if tcb.retransmit_at is not None and tcb.retransmit_at <= now:
            self._retransmit(now)

    def unreachable(self, now: int) -> None:
        """ICMP says that the peer cannot be reached, and that waiting does not help."""
        if self.tcb.state not in (State.CLOSED, State.LISTEN):
            self.release.unreachable(self.tcb, now)

    def invalid_header(self, now: int) -> None:
        """A segment with an invalid header arrives."""
        if self.tcb.state not in (State.CLOSED, State.LISTEN):
            self.release.invalid_header(self.tcb, now)

    # SEGMENT ARRIVES, 3.10.7

    def segment_arrives(self, segment: Segment, now: int) -> None:
        """3.10.7. Its checksum is right."""
        match self.tcb.state:
            case State.CLOSED:
                self._answer_closed(segment)
            case State.LISTEN:
                self._arrives_listen(segment, now)
            case State.SYN_SENT:
                self._arrives_syn_sent(segment, now)
            case _:
                self._arrives_otherwise(segment, now)
        self._transmit(now)

    def _answer_closed(self, segment: Segment) -> None:
        """3.10.7.1; before ESTABLISHED an ACK of what was never sent is treated in the same way (3.5.2 group 2)."""
        answer = self.release.answer_closed(segment)
        if answer is not None:
            self.tcb.send(answer)

    def _arrives_listen(self, segment: Segment, now: int) -> None:
        """3.10.7.2."""
        if segment.ctl & (RST | ACK):
            self._answer_closed(segment)
        elif segment.ctl & SYN:
            self.tcb.passive = True
            self._synchronize(segment)
            self.tcb.state = State.SYN_RECEIVED
            self._send_syn(now)

    def _arrives_syn_sent(self, segment: Segment, now: int) -> None:
        """3.10.7.3. Of a SYN with text the text is taken only if it acknowledges our SYN."""
        tcb, ack = self.tcb, bool(segment.ctl & ACK)
        if ack and not self._acknowledges_new(segment):
            self._answer_closed(segment)
        elif segment.ctl & RST:
            if ack:
                self.release.reset_arrives(tcb, segment, now)
        elif segment.ctl & SYN:
            self._synchronize(segment)
            if not ack:
                tcb.state = State.SYN_RECEIVED
                self._send_syn(now)
                return
            self._advance_una(segment.ack, now)
            tcb.state = State.ESTABLISHED
            tcb.tell("CONNECTED")
            tcb.ack_due = True
            self._text_and_fin(_behind_syn(segment), now)

    def _arrives_otherwise(self, segment: Segment, now: int) -> None:
        """3.10.7.4: sequence, RST, SYN, ACK, text, FIN."""
        tcb = self.tcb
        if tcb.state is State.SYN_RECEIVED and segment.ctl & SYN and segment.ctl & ACK and segment.seq == tcb.irs:
            segment = _behind_syn(segment)  # simultaneous open, figure 7: its SYN is known, what counts is the ACK
        may_listen = tcb.passive and tcb.state is State.SYN_RECEIVED
        if not self._acceptable(segment):
            self._not_acceptable(segment, now)
        elif segment.ctl & RST:
            if segment.seq != tcb.rcv_nxt:
                tcb.ack_due = True  # RFC 5961, 3.2: a challenge, "is this you?"
            elif may_listen:
                self._listen_again()
            else:
                self.release.reset_arrives(tcb, segment, now)
        elif segment.ctl & SYN:
            if may_listen and diff(segment.seq, tcb.rcv_nxt) >= 0:
                self._listen_again()
            else:
                tcb.ack_due = True  # RFC 5961, 4.2: a challenge
        elif segment.ctl & ACK and self._ack_step(segment, now):
            self._text_and_fin(segment, now)

    def _acceptable(self, segment: Segment) -> bool:
        """First: does any part of it lie in the window? (table 6)"""
        ahead = diff(segment.seq, self.tcb.rcv_nxt)
        return -(segment.len or 1) < ahead < self.tcb.settings.window

    def _not_acceptable(self, segment: Segment, now: int) -> None:
        """An ACK tells the peer where we are. A FIN that TIME-WAIT has seen before is the one thing that counts."""
        tcb = self.tcb
        behind = diff(segment.end, tcb.rcv_nxt)
        if segment.ctl & RST:
            return
        if tcb.state is State.TIME_WAIT and segment.ctl & (FIN | SYN) == FIN and behind == 0:
            self.release.fin_arrives(tcb, now)
            return
        tcb.ack_due = True
        repeated = segment.len > 0 and not segment.ctl & SYN and -tcb.settings.window <= behind <= 0
        if repeated and segment.ctl & ACK and tcb.state is not State.SYN_RECEIVED:
            self._ack_step(segment, now)  # old is its text; two peers that both repeat must hear each other's ACK

    def _ack_step(self, segment: Segment, now: int) -> bool:
        """Fifth: False when the segment is to be dropped."""
        tcb = self.tcb
        if tcb.state is State.SYN_RECEIVED and not self._acknowledges_new(segment):
            self._answer_closed(segment)
            return False
        ahead = diff(segment.ack, tcb.snd_una)
        if not -tcb.max_snd_wnd <= ahead <= diff(tcb.snd_nxt, tcb.snd_una):
            tcb.ack_due = True  # RFC 5961, 5.2: a challenge
            return False
        of_syn = tcb.snd_una == tcb.iss
        if ahead > 0:
            self._advance_una(segment.ack, now)
        if ahead >= 0:
            self._take_window(segment)
        if ahead > 0 and of_syn and tcb.state is State.SYN_RECEIVED:
            tcb.state = State.ESTABLISHED
            tcb.tell("CONNECTED")
            if tcb.close_waits:
                self.release.close(tcb, now)
        if ahead > 0 and diff(segment.ack, add(tcb.text_seq, len(tcb.text))) > 0:
            self.release.fin_acknowledged(tcb, now)
        return True

    def _text_and_fin(self, segment: Segment, now: int) -> None:
        """Seventh and eighth. What begins beyond a hole is acknowledged only: the peer will send it again."""
        tcb = self.tcb
        if tcb.state not in RECEIVES:
            return
        known = diff(tcb.rcv_nxt, segment.seq)
        if known < 0:
            tcb.ack_due |= segment.len > 0
            return
        if text := segment.text[known:]:
            tcb.rcv_nxt = add(tcb.rcv_nxt, len(text))
            tcb.ack_due = True
            tcb.tell("TEXT", text.decode("latin-1"))
        if segment.ctl & FIN:
            self.release.fin_arrives(tcb, now)

    # The parts of it

    def _must_exist(self) -> None:
        if self.tcb.state is State.CLOSED:
            raise TcpError("error: connection does not exist")

    def _create_tcb(self) -> None:
        self.tcb = Tcb(self.tcb.settings, self.tcb.iss)

    def _listen_again(self) -> None:
        """The handshake of a passive OPEN has failed: it waits for another peer."""
        self._create_tcb()
        self.tcb.state = State.LISTEN

    def _open_actively(self, now: int) -> None:
        self.tcb.state = State.SYN_SENT
        self._send_syn(now)

    def _synchronize(self, segment: Segment) -> None:
        """The peer's SYN gives IRS and the window."""
        tcb = self.tcb
        tcb.irs, tcb.rcv_nxt = segment.seq, add(segment.seq, 1)
        tcb.snd_wnd = tcb.max_snd_wnd = segment.wnd
        tcb.snd_wl1, tcb.snd_wl2 = segment.seq, segment.ack

    def _acknowledges_new(self, segment: Segment) -> bool:
        """SND.UNA < SEG.ACK =< SND.NXT."""
        return 0 < diff(segment.ack, self.tcb.snd_una) <= diff(self.tcb.snd_nxt, self.tcb.snd_una)

    def _advance_una(self, ack: int, now: int) -> None:
        """What is acknowledged leaves the queue; the timers begin anew for what is left (RFC 6298, 5.2 and 5.3)."""
        tcb = self.tcb
        tcb.snd_una = ack
        octets = min(diff(ack, tcb.text_seq), len(tcb.text))
        tcb.text, tcb.text_seq = tcb.text[octets:], add(tcb.text_seq, octets)
        if diff(ack, tcb.next_seq) > 0:
            tcb.next_seq = ack
        tcb.rto = tcb.settings.rto_initial
        tcb.retransmit_at = tcb.user_timeout_at = None
        if tcb.snd_una != tcb.snd_nxt:
            self._start_timers(now)

    def _take_window(self, segment: Segment) -> None:
        """SND.WND, from the newest segment."""
        tcb = self.tcb
        newer = diff(segment.seq, tcb.snd_wl1)
        if newer > 0 or (newer == 0 and diff(segment.ack, tcb.snd_wl2) >= 0):
            tcb.snd_wnd, tcb.snd_wl1, tcb.snd_wl2 = segment.wnd, segment.seq, segment.ack
            tcb.max_snd_wnd = max(tcb.max_snd_wnd, segment.wnd)

    def _start_timers(self, now: int) -> None:
        """Something waits for its acknowledgment."""
        tcb = self.tcb
        if tcb.retransmit_at is None:
            tcb.retransmit_at = now + tcb.rto
        if tcb.user_timeout_at is None:
            tcb.user_timeout_at = now + tcb.settings.user_timeout

    # Sending

    def _retransmit(self, now: int) -> None:
        """All that is not acknowledged leaves again; the next timeout takes twice as long (RFC 6298, 5.4 to 5.6)."""
        tcb = self.tcb
        tcb.rto = min(2 * tcb.rto, tcb.settings.rto_max)
        tcb.retransmit_at = now + tcb.rto
        if tcb.snd_una == tcb.iss:
            self._send_syn(now)
        tcb.next_seq = tcb.text_seq
        self._transmit(now)

    def _send_syn(self, now: int) -> None:
        """SYN, or SYN,ACK once the peer's SYN is known."""
        tcb = self.tcb
        segment = Segment(tcb.iss, ctl=SYN, wnd=tcb.settings.window)
        if tcb.irs is not None:
            segment.ctl, segment.ack = SYN | ACK, tcb.rcv_nxt
        self._account_for(segment, now)
        tcb.send(segment)

    def _transmit(self, now: int) -> None:
        """Send what the peer's window lets out; if an ACK is due and nothing has carried it, send it alone."""
        tcb = self.tcb
        while tcb.state in TRANSMITS and self._send_next(now):
            pass
        if tcb.ack_due:
            self._send_with_ack(Segment(tcb.snd_nxt))

    def _send_next(self, now: int) -> bool:
        """Send the next segment of text; the last one takes the FIN with it. False when there is no more to send."""
        tcb = self.tcb
        sent = diff(tcb.next_seq, tcb.text_seq)
        waiting = len(tcb.text) - sent  # less than 0: the FIN has left
        usable = tcb.snd_wnd - sent
        size = max(0, min(waiting, usable, tcb.settings.mss))
        fin = tcb.fin_queued and size == waiting and usable > size
        if not (size or fin):
            return False
        segment = Segment(tcb.next_seq, text=tcb.text[sent : sent + size])
        if fin:
            self.release.fin_leaves(tcb, segment, now)
        self._account_for(segment, now)
        self._send_with_ack(segment)
        return not fin

    def _account_for(self, segment: Segment, now: int) -> None:
        """SYN and text move SND.NXT here; the FIN's number is the business of `fin_leaves`."""
        tcb = self.tcb
        tcb.next_seq = segment.end
        behind = add(segment.seq, len(segment.text) + bool(segment.ctl & SYN))
        if diff(behind, tcb.snd_nxt) > 0:
            tcb.snd_nxt = behind
        self._start_timers(now)

    def _send_with_ack(self, segment: Segment) -> None:
        tcb = self.tcb
        segment.ctl |= ACK
        segment.ack, segment.wnd = tcb.rcv_nxt, tcb.settings.window
        tcb.ack_due = False
        tcb.send(segment)


def _behind_syn(segment: Segment) -> Segment:
    """The rest of a segment whose SYN has been taken."""
    return Segment(add(segment.seq, 1), segment.ack, segment.ctl & ~SYN, segment.wnd, segment.text)
