"""When what has arrived is acknowledged: at once, or a little later in the hope of company (RFC 9293, 3.8.6.3)."""

from __future__ import annotations

from tcpclose.protocol.addresses import IPV4_MSS
from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.options import TIMESTAMPS_LENGTH
from tcpclose.protocol.segment import Segment, seq_diff
from tcpclose.protocol.tcb import Tcb


class Acknowledger:
    """The ACK that one connection owes. Whatever leaves carries it."""

    __slots__ = ("at", "config", "converses", "due", "full", "quick", "tcb", "text_at", "waiting")

    def __init__(self, tcb: Tcb, config: TcpConfig) -> None:
        self.tcb = tcb
        self.config = config
        self.due = False  # it leaves now, alone if need be
        self.at: int | None = None  # when one that is delayed is due
        self.quick = config.quick_acks  # so many segments more are acknowledged at once
        self.full = IPV4_MSS  # text of a full segment: the most that the peer has shown, or what everyone may send
        self.waiting = 0  # segments with text whose ACK is delayed
        self.text_at: int | None = None  # when text came last, where it matters
        self.converses = False  # the user answers what it gets (`interactive_acks`)

    @property
    def unacknowledged(self) -> int:
        """How many sequence numbers the peer has not been told of."""
        return seq_diff(self.tcb.rcv_nxt, self.tcb.last_ack_sent)

    @property
    def fin_may_wait(self) -> bool:
        """`delayed_fin_ack`: where there was text, the user may be about to CLOSE."""
        return self.config.delayed_fin_ack and self.text_at is not None

    def text_comes(self, pause: int, now: int) -> None:
        """Text came in order. After a `pause` the peer begins slowly, and needs quick ACKs again."""
        if self.text_at is not None and now - self.text_at > pause:
            self.quick = self.config.quick_acks
        self.text_at = now
        self.waiting += 1

    def acknowledge_text(self, octets: int, now: int) -> None:
        """Every second full segment at once (SHLD-19), others a little later (SHLD-18)."""
        self.full = max(self.full, min(octets, self.config.mss))
        if self.quick and not self.converses:
            self.quick -= 1
            self.due = True
        elif self.unacknowledged >= 2 * self.full:
            self.due = True
        else:
            self._wait(now)

    def acknowledge_fin(self, now: int) -> None:
        """If the user closes soon, our FIN can carry the ACK. Linux lets no full segment wait before it."""
        linux, full = self.config.interactive_acks, self.config.mss - TIMESTAMPS_LENGTH
        if self.fin_may_wait and not self.due and not (linux and self.unacknowledged > full):
            self.converses = linux
            self._wait(now)
        else:
            self.due = True

    def _wait(self, now: int) -> None:
        if self.at is None:
            self.at = now + self.config.delayed_ack

    def repeated(self) -> None:
        """What was taken before came again: our ACK was lost, or late."""
        self.quick, self.converses = self.config.quick_acks, False

    def expire(self) -> None:
        """No company came in time."""
        self.due = True
        self.converses = False

    def read(self, everything: bool) -> None:
        """The user has read, and has nothing to answer by now (`interactive_acks`)."""
        if self.at is None or not self.config.interactive_acks:
            return
        enough = everything and (self.waiting > 1 or not self.converses)
        self.due = self.due or enough or self.unacknowledged > self.full

    def sent(self, segment: Segment, now: int) -> None:
        """A segment leaves, and the ACK with it. Text that follows the peer's soon is an answer."""
        self.due = False
        if self.text_at is not None:
            if segment.data and now - self.text_at < self.config.delayed_ack:
                self.converses = self.config.interactive_acks
            self.at, self.waiting = None, 0
