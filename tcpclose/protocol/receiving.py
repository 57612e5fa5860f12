"""The receiving half of a connection: acceptability, reassembly, the window that is offered (3.8.6, 3.10.7.4)."""

from __future__ import annotations

from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.segment import CE, CWR, FIN, MODULUS, RST, Segment, seq_add, seq_diff
from tcpclose.protocol.tcb import Tcb

_LEAST_MSS = 536  # 3.7.1: what everyone may send


class Receiver:
    """Text from the peer, put in order, until the user reads it."""

    def __init__(self, tcb: Tcb, config: TcpConfig) -> None:
        self.tcb = tcb
        self.config = config
        self.buffer = config.rcv_buffer
        self._whole = 1  # the buffer is a multiple of this (`whole_segments`)
        self.text = bytearray()
        self.ahead: list[tuple[int, bytes]] = []  # text beyond a hole, by sequence number
        self.repeated: tuple[int, int] | None = None  # text that came twice, and was not reported yet
        self._newest: list[int] = []  # where the pieces of `ahead` start, the one that grew last first
        self.congested = False  # text came through a congested router, which the peer has not heard (RFC 3168)
        self.fin_seq: int | None = None  # where the peer's FIN stands, once seen
        self.fin_ahead = False  # it is beyond a hole, and is to be reported (`sack_fin`)
        self.finished = False  # the FIN has been reached: nothing more will come

    def start(self, segment: Segment) -> None:
        """The peer's SYN arrived: its number is IRS, text starts one later (3.4.1)."""
        self.tcb.irs = segment.seq
        self.tcb.rcv_nxt = seq_add(segment.seq, 1)
        self.tcb.last_ack_sent = self.tcb.rcv_nxt
        if self.config.whole_segments:
            self._whole = min(segment.mss or _LEAST_MSS, self.config.mss)
        self.configure(self.config)
        self.tcb.rcv_edge = seq_add(self.tcb.rcv_nxt, min(self.buffer, 0xFFFF << self.tcb.rcv_shift))

    def configure(self, config: TcpConfig) -> None:
        """Other settings from now on. A window that was offered is not taken back (3.8.6)."""
        self.config = config
        self.buffer = -(-config.rcv_buffer // self._whole) * self._whole

    @property
    def window(self) -> int:
        """RCV.WND in octets: what the peer was last allowed to send."""
        return (self.tcb.rcv_edge - self.tcb.rcv_nxt) % MODULUS

    @property
    def offered(self) -> int:
        """SEG.WND: the window as a segment says it, in units of 2**Rcv.Wind.Shift octets (RFC 7323, 2.3)."""
        return (self.tcb.rcv_edge - self.tcb.rcv_nxt) % MODULUS >> self.tcb.rcv_shift

    def open_window(self, steps: bool = True) -> bool:
        """Offer room that the user made by reading, in steps worth offering (3.8.6.2.2). True when the edge moved.

        Without `steps` a segment that leaves anyway offers all there is, or nothing where that is little.
        """
        most = 0xFFFF << self.tcb.rcv_shift
        if steps:
            room = min(self.buffer, most)
            least = min(self.config.mss, room // 2)
            gain = room - len(self.text) - self.window
        else:
            room = min(self.buffer - len(self.text), most)
            least = 0 if room >= min(self.config.mss, self.buffer // 4) else room + 1
            gain = room - self.window
        if gain <= 0 or gain < least:
            return False
        self.tcb.rcv_edge = seq_add(self.tcb.rcv_edge, gain)
        return True

    def acceptable(self, segment: Segment) -> bool:
        """3.10.7.4 first, table 6: does any part of the segment lie in the window?

        Two cases go beyond the letter of the table. A segment that covers the window and sticks out at both ends
        is trimmed. For a closed window there is the "special allowance" for ACK and RST: of a probe whose text is
        refused, and of bare segments one further, where that probe has taken the peer's SND.NXT. It also lets the
        FIN in, which needs no room, so that a full buffer cannot hold up the release.
        """
        start, length = seq_diff(segment.seq, self.tcb.rcv_nxt), segment.len
        limit = self.window or (1 if length else 2)
        if start < limit:
            return start + (length or 1) > 0
        edge = self.config.window_edge
        return start == limit and not length and (edge == "inside" or (edge != "outside" and not segment.ctl & RST))

    def repeats(self, segment: Segment) -> bool:
        """All text of the segment, and its FIN, were taken before: the peer does not know yet."""
        return -self.config.rcv_buffer <= seq_diff(segment.end, self.tcb.rcv_nxt) <= 0

    def arrive(self, segment: Segment) -> int:
        """3.10.7.4 seventh and eighth: take text and FIN of an acceptable segment.

        Returns how many octets of text became readable. `finished` turns True when the FIN is reached in order.
        """
        room = seq_diff(self.tcb.rcv_edge, segment.seq)
        if segment.ctl & FIN and self.fin_seq is None and len(segment.data) <= max(room, 0):
            self.fin_seq = seq_add(segment.seq, len(segment.data))
            self.fin_ahead = self.config.sack_fin
            self._newest.insert(0, self.fin_seq)
        text = segment.data[: max(room, 0)]
        before = len(self.text)
        if text:
            self._insert(segment.seq, text)
        if self.fin_seq == self.tcb.rcv_nxt:
            self.finished, self.fin_ahead = True, False
            if self.config.sack_fin:
                self.repeated = None
            self.tcb.rcv_nxt = seq_add(self.tcb.rcv_nxt, 1)
            if seq_diff(self.tcb.rcv_nxt, self.tcb.rcv_edge) > 0:
                self.tcb.rcv_edge = self.tcb.rcv_nxt
        return len(self.text) - before

    def sack_blocks(self, most: int) -> tuple[tuple[int, int], ...]:
        """Up to `most` blocks of text beyond a hole; the first one holds the segment that came last (RFC 2018, 4)."""
        ends = {seq: seq_add(seq, len(text)) for seq, text in self.ahead}
        if self.fin_ahead and self.fin_seq is not None:
            last = next((seq for seq, end in ends.items() if end == self.fin_seq), self.fin_seq)
            ends[last] = seq_add(self.fin_seq, 1)
        self._newest = [seq for seq in self._newest if seq in ends]
        blocks = [(seq, ends[seq]) for seq in self._newest]
        if self.repeated is not None:
            blocks.insert(0, self.repeated)
            self.repeated = None
        return tuple(blocks[: max(most, 0)])

    def note_repeated(self, segment: Segment) -> None:
        """RFC 2883, 4: remember which of the segment's text is here already, for the first block of the next ACK."""
        left = segment.seq
        right = segment.end if self.config.sack_fin else seq_add(left, len(segment.data))
        for start, end in ((seq_add(left, -1), self.tcb.rcv_nxt), *((s, seq_add(s, len(t))) for s, t in self.ahead)):
            first = left if seq_diff(left, start) > 0 else start
            last = right if seq_diff(right, end) < 0 else end
            if seq_diff(last, first) > 0:
                self.repeated = (first, last)
                return

    def note_congestion(self, segment: Segment) -> bool:
        """RFC 3168, 6.1.3: a mark is echoed on all that we send, until CWR answers. True when that is news."""
        before = self.congested
        if segment.ctl & CWR:
            self.congested = False
        if segment.ecn == CE:
            self.congested = True
        return self.congested != before or bool(segment.ctl & CWR)

    def read(self, octets: int | None = None) -> bytes:
        """Give the user up to `octets` octets (all, when None) of the text in order."""
        taken = bytes(self.text if octets is None else self.text[:octets])
        del self.text[: len(taken)]
        return taken

    def _insert(self, seq: int, text: bytes) -> None:
        gap = seq_diff(seq, self.tcb.rcv_nxt)
        if gap > 0:
            self._hold(seq, text)
            return
        self._append(text[-gap:])  # what came before is there already
        while self.ahead and (gap := seq_diff(self.ahead[0][0], self.tcb.rcv_nxt)) <= 0:
            self._append(self.ahead.pop(0)[1][-gap:])

    def _hold(self, seq: int, text: bytes) -> None:
        """Keep text beyond a hole, joined with all it touches: no octet is held twice."""
        apart = []
        for held_seq, held in self.ahead:
            offset = seq_diff(held_seq, seq)
            if offset > len(text) or offset + len(held) < 0:
                apart.append((held_seq, held))
            elif offset >= 0:
                text += held[len(text) - offset :]
            else:
                seq, text = held_seq, held + text[offset + len(held) :]
        self._newest = [seq, *(other for other in self._newest if other != seq)]
        self.ahead = sorted([*apart, (seq, text)], key=lambda piece: seq_diff(piece[0], self.tcb.rcv_nxt))

    def _append(self, text: bytes) -> None:
        """Text that starts at RCV.NXT."""
        if self.fin_seq is not None:
            text = text[: seq_diff(self.fin_seq, self.tcb.rcv_nxt)]  # nothing can follow a FIN
        self.text += text
        self.tcb.rcv_nxt = seq_add(self.tcb.rcv_nxt, len(text))
