"""The Transmission Control Block: the variables of 3.3.1, under the RFC's names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Tcb:
    """Sequence variables of one connection. All are absolute numbers modulo 2**32, windows are octets."""

    iss: int
    snd_una: int = 0
    snd_nxt: int = 0
    snd_wnd: int = 0
    snd_wl1: int = 0
    snd_wl2: int = 0
    #: The largest window the peer ever offered: MAX.SND.WND of RFC 5961, section 5.
    snd_wnd_max: int = 0
    irs: int = 0
    rcv_nxt: int = 0
    #: The right edge of the window we offered: RCV.NXT + RCV.WND. It never moves left (3.8.6).
    rcv_edge: int = 0
    #: Last.ACK.sent of RFC 7323: the newest RCV.NXT that the peer was told.
    last_ack_sent: int = 0
    #: Snd.Wind.Shift and Rcv.Wind.Shift of RFC 7323: how many bits the windows of segments are short of.
    snd_shift: int = 0
    rcv_shift: int = 0

    def __post_init__(self) -> None:
        self.snd_una = self.snd_nxt = self.iss
