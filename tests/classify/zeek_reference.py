"""conn_state and history by their rules, one after the other: slow, plain, and nothing but the rules.

What `classify` answers at two million packets a second must be equal to this, row by row. Names are those of the
rules: originator and responder, INACTIVE, PARTIAL, CLOSED. Nothing here is taken from `tcpclose.classify`.

Sequence numbers are counted from an endpoint's first one, and unwrapped: plain integers that go on behind 2**32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum, auto

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SECOND = 1_000_000_000
TOO_LARGE_JUMP = 2**20
INITIAL_WINDOW = 16_384

# fmt: off
LIKELY_SERVER_PORTS = frozenset([
    21, 22, 25, 53, 79, 80, 81, 88, 135, 139, 143, 389, 443, 445, 465, 502, 514, 563, 585, 587, 614, 631, 636, 989, 990,
    992, 993, 995, 1080, 1434, 1883, 2811, 3128, 3268, 3306, 3389, 5222, 5223, 5269, 5432, 6379, 6666, 6667, 6668, 6669,
    8000, 8080, 8888, 20000,
])
# fmt: on
PATIENT_PORTS = {21, 22, 23, 513}

ATTEMPT, CLOSE_DELAY, LINGER, SESSION_TIMER = 5 * SECOND, 5 * SECOND, 5 * SECOND, 6 * SECOND
IDLE_IN_HANDSHAKE, IDLE, IDLE_PATIENT = 60 * SECOND, 300 * SECOND, 3600 * SECOND


class State(Enum):
    INACTIVE = auto()
    SYN_SENT = auto()
    SYN_ACK_SENT = auto()
    PARTIAL = auto()
    ESTABLISHED = auto()
    CLOSED = auto()
    RESET = auto()


INACTIVE, SYN_SENT, SYN_ACK_SENT, PARTIAL, ESTABLISHED, CLOSED, RESET = State
HANDSHAKE = {INACTIVE, SYN_SENT, SYN_ACK_SENT}

End = tuple[str, int]


@dataclass(frozen=True)
class Packet:
    """A TCP packet. `bad`: its checksum is wrong; `broken`: its header is impossible; `cut`: captured in part."""

    number: int
    time: int
    src: End
    dst: End
    flags: int
    seq: int = 0
    ack: int = 0
    length: int = 0
    window: int = 1000
    bad: bool = False
    broken: bool = False
    cut: bool = False

    @property
    def pure_syn(self) -> bool:
        return bool(self.flags & SYN) and not self.flags & ACK

    @property
    def size(self) -> int:
        """In sequence numbers. Payload of a RST is not part of the stream."""
        payload = 0 if self.flags & RST else self.length
        return payload + bool(self.flags & SYN) + bool(self.flags & FIN)


@dataclass(frozen=True)
class Row:
    """What is told of a connection. `number`: its first packet."""

    number: int
    orig: End
    resp: End
    start: int
    duration: int | None
    orig_bytes: int | None
    resp_bytes: int | None
    conn_state: str
    history: str


def signed(difference: int) -> int:
    """A difference of sequence numbers, the short way around."""
    return (difference + 2**31) % 2**32 - 2**31


@dataclass(eq=False)
class Endpoint:
    state: State = INACTIVE
    before: State = INACTIVE  # the state before this one
    closed: bool = False  # a FIN or RST of it was processed, and nothing of it was pending
    start: int | None = None  # its initial sequence number, of which `high` and all below count
    high: int = 0  # the highest end of what it sent
    acked: int = 0  # the highest acknowledgment of it
    fin: int | None = None  # where its last FIN was
    contiguous: int = 1  # everything before was seen, or acknowledged
    seen: list[tuple[int, int]] = field(default_factory=list)  # text beyond that, from and to
    skips: bool = False  # too much stood beyond a hole of which nothing was ever acknowledged
    letters: dict[str, int | None] = field(default_factory=dict)  # slot of history -> the first relative number
    counts: dict[str, int] = field(default_factory=dict)  # letter that counts events -> how many

    def enter(self, state: State) -> None:
        if state is not self.state:
            self.before, self.state = self.state, state

    def begin(self, start: int, high: int) -> None:
        self.start, self.high, self.acked = start % 2**32, high, 0

    def relative(self, seq: int, near: int) -> int:
        assert self.start is not None
        return near + signed(seq - self.start - near)

    def size(self, peer: Endpoint) -> int:
        octets = max(self.high, self.acked)
        if self.before is SYN_SENT and self.state is RESET and peer.state is INACTIVE and self.acked not in (0, 1):
            return 0  # a half-open connection was discovered: that ACK was for the one before
        octets -= octets > 0  # the SYN
        return octets - (octets > 0 and self.fin is not None)

    @property
    def has_stream(self) -> bool:
        """It is ESTABLISHED, or was when it closed."""
        return self.state is ESTABLISHED or (self.state is CLOSED and self.before is ESTABLISHED)

    def advance(self) -> None:
        """What was seen and follows without a hole is delivered."""
        for begin, to in sorted(self.seen):
            if begin <= self.contiguous:
                self.contiguous = max(self.contiguous, to)
        self.seen = [(begin, to) for begin, to in self.seen if to > self.contiguous]
        beyond = {octet for begin, to in self.seen for octet in range(begin, to)}
        if self.acked <= 1 and len(beyond) > INITIAL_WINDOW:
            self.skips, self.seen = True, []


class Connection:
    """One entry: from the first packet of its tuple until it is removed."""

    def __init__(self, packet: Packet, ports: frozenset[int]) -> None:
        self.number, self.first, self.last = packet.number, packet.time, packet.time
        self.ends = [packet.src, packet.dst]  # originator, responder
        self.orig, self.resp = Endpoint(), Endpoint()
        self.history = ""
        self.attempt: int | None = None  # when the originator asked
        self.delete: int | None = None  # when it is removed, as all is over
        self.check = packet.time + LINGER
        self.deferred = False  # a side closed while something of it was pending, and that is still to be looked at
        self.beyond_handshake = False
        self.was_established = False
        if not packet.pure_syn and packet.src[1] in ports:
            both = packet.dst[1] in ports
            if not both or (not packet.flags & SYN and packet.src[1] < packet.dst[1]):
                self.flip()

    # ---- who is who

    def flip(self) -> None:
        self.ends.reverse()
        self.orig, self.resp = self.resp, self.orig
        self.history += "^"

    def sides(self, packet: Packet) -> tuple[Endpoint, Endpoint]:
        """The sender and its peer."""
        return (self.orig, self.resp) if packet.src == self.ends[0] else (self.resp, self.orig)

    def is_reversed_handshake(self, packet: Packet) -> bool:
        """The SYN that the SYN-ACK before it answers (2c)."""
        sender, peer = self.sides(packet)
        answered = sender is self.resp and sender.state is INACTIVE and peer.state is SYN_ACK_SENT
        return packet.pure_syn and answered and packet.seq == sender.start

    def is_reused_by(self, packet: Packet) -> bool:
        """Does this packet of the same tuple begin a new connection (2, "Reuse")?"""
        if not packet.flags & SYN or self.is_reversed_handshake(packet):
            return False
        if packet.flags & ACK and self.orig.state is not INACTIVE:
            return False
        if self.orig.closed or self.resp.closed:
            return True
        return packet.seq != self.orig.start

    # ---- when it ends

    def is_removed(self, now: int) -> bool:
        """Has one of its timers removed it?"""
        idle = IDLE if self.beyond_handshake else IDLE_IN_HANDSHAKE
        if self.was_established and self.ends[1][1] in PATIENT_PORTS:
            idle = IDLE_PATIENT
        times = [self.last + idle]
        if self.delete is not None:
            times.append(self.delete)
        if self.attempt is not None and self.orig.state in (SYN_SENT, SYN_ACK_SENT) and self.resp.state is INACTIVE:
            times.append(self.attempt + ATTEMPT)
        return now >= min(times) or self.is_given_up(now)

    def is_given_up(self, now: int) -> bool:
        """The check every six seconds of a connection of which one side has closed."""
        if now < self.check:
            return False
        self.check = now + SESSION_TIMER
        states = {self.orig.state, self.resp.state}
        closed = self.orig.closed or self.resp.closed
        return closed and now > self.last + LINGER and (states == {CLOSED} or bool(states & {RESET, INACTIVE}))

    # ---- a packet

    def process(self, packet: Packet) -> None:
        if packet.broken:
            return
        sender, peer = self.sides(packet)
        if packet.bad:
            self.count("C", sender)
            return
        if self.history == "H" and not packet.flags & (SYN | FIN | RST) and (packet.length or packet.flags & ACK):
            self.flip()  # 2b
            self.history = "^h"
            self.resp.enter(ESTABLISHED)  # SYN_ACK_SENT is a state of originators
            sender, peer = self.sides(packet)
        if not (self.orig.closed and self.resp.closed):
            self.last = packet.time
        self.begin_sequences(packet, sender, peer)
        self.letters_of(packet, sender, peer)
        start = sender.relative(packet.seq, sender.high)
        self.numbers(packet, sender, start + packet.size)
        closes = self.move(packet, sender, peer)
        if packet.flags & ACK and not packet.flags & RST:  # the acknowledgment of a RST is not believed
            self.acknowledged(packet, sender, peer)
        self.text(packet, sender, start + bool(packet.flags & SYN))
        self.close(sender, peer, closes)
        states = {self.orig.state, self.resp.state}
        self.beyond_handshake |= not states <= HANDSHAKE
        self.was_established |= states == {ESTABLISHED}

    def begin_sequences(self, packet: Packet, sender: Endpoint, peer: Endpoint) -> None:
        """Initial numbers: as if there had been a SYN where none was seen. A SYN with another number is believed.

        An end that was never heard begins at every acknowledgment.
        """
        syn = packet.flags & SYN
        resurrected = sender.state is RESET and sender.before is INACTIVE
        if sender.state is INACTIVE:
            sender.begin(packet.seq if syn else packet.seq - 1, packet.size if syn else 1)
        elif syn and packet.seq != sender.start and (sender.state not in (CLOSED, RESET) or resurrected):
            sender.begin(packet.seq, 0)
        if packet.flags & ACK and not packet.flags & RST and peer.state is INACTIVE:
            peer.begin(packet.ack - 1, 0)

    # ---- history (6)

    def letter(self, letter: str, sender: Endpoint) -> None:
        self.history += letter if sender is self.orig else letter.lower()

    def once(self, letter: str, sender: Endpoint, slot: str = "", relative: int | None = None) -> None:
        """The first time; and again when the relative sequence number differs from that of the first time."""
        slot = slot or letter
        if slot not in sender.letters or sender.letters[slot] != relative:
            self.letter(letter, sender)
        sender.letters.setdefault(slot, relative)

    def count(self, letter: str, sender: Endpoint) -> None:
        """At the 1st, 10th, 100th ... event."""
        sender.counts[letter] = number = sender.counts.get(letter, 0) + 1
        if str(number).strip("0") == "1":
            self.letter(letter, sender)

    def letters_of(self, packet: Packet, sender: Endpoint, peer: Endpoint) -> None:
        flags, relative = packet.flags, sender.relative(packet.seq, sender.high)
        of_three = [flag for flag in (SYN, FIN, RST) if flags & flag]
        if len(of_three) > 1:
            self.once("I" if flags & FIN and flags & RST else "Q", sender)
        elif flags & SYN:
            self.once("H" if flags & ACK else "S", sender, "S", relative)
        elif flags & FIN:
            self.once("F", sender, "F", relative + packet.length)
        elif flags & RST:
            self.once("R", sender, "R", relative)
        elif packet.length:
            self.once("D", sender)
        elif flags & ACK:
            self.once("A", sender)
        if packet.window == 0 and not flags & RST and sender.state is not RESET and peer.state is not CLOSED:
            self.count("W", sender)

    # ---- sequence numbers (7)

    def numbers(self, packet: Packet, sender: Endpoint, end: int) -> None:
        """Seven, and T. Numbers of SYN and RST that jump are not believed, nor any after a RST."""
        if packet.flags & FIN:
            sender.fin = end - 1
        if packet.flags & (SYN | RST) and abs(end - sender.high) > TOO_LARGE_JUMP:
            return
        if packet.flags & FIN and sender.high == 1:
            sender.high = end % 2**32  # the text between SYN and FIN may be more than 2 GB
        elif sender.state is RESET:
            return
        elif end > sender.high:
            sender.high = end
        elif packet.length:
            self.count("T", sender)

    def text(self, packet: Packet, sender: Endpoint, begin: int) -> None:
        """Text that was captured in part was not seen."""
        if packet.length and not packet.flags & RST and not packet.cut and not sender.skips:
            if begin >= 0:
                sender.seen.append((begin, begin + packet.length))
            sender.advance()

    def acknowledged(self, packet: Packet, sender: Endpoint, peer: Endpoint) -> None:
        ack = peer.relative(packet.ack, peer.acked)
        if packet.ack or ack - peer.acked <= TOO_LARGE_JUMP:  # else more likely broken than large
            peer.acked = max(peer.acked, ack)
        if peer.fin is not None:
            ack = min(ack, peer.fin)
        if ack <= peer.contiguous or peer.skips:
            return
        while peer.contiguous < ack:
            if sender.has_stream and peer.has_stream:
                self.count("G", peer)
            peer.contiguous = min([ack, *(begin for begin, _ in peer.seen)])
            peer.advance()

    # ---- states (4)

    def move(self, packet: Packet, sender: Endpoint, peer: Endpoint) -> bool:
        """The states after the packet; whether it closes the sender's side."""
        flags = packet.flags
        if sender.state is INACTIVE:
            self.from_inactive(packet, sender, peer)
            return bool(flags & (FIN | RST))
        if sender.state in (SYN_SENT, SYN_ACK_SENT):
            if flags & FIN:
                sender.enter(CLOSED)
            if flags & RST:
                sender.enter(RESET)
            return bool(flags & (FIN | RST))
        if sender.state in (ESTABLISHED, PARTIAL):
            if packet.pure_syn and sender.state is PARTIAL and peer.state is INACTIVE:
                sender.enter(SYN_SENT)
            if flags & FIN and not flags & RST:
                sender.enter(CLOSED)
                if peer.state is RESET and peer.before is CLOSED:
                    peer.enter(CLOSED)
            if flags & RST:
                sender.enter(RESET)
            return bool(flags & (FIN | RST))
        if sender.state is CLOSED and flags & RST and peer.state is not CLOSED:
            sender.enter(RESET)
            return True
        return False

    def from_inactive(self, packet: Packet, sender: Endpoint, peer: Endpoint) -> None:
        flags = packet.flags
        if flags & SYN:
            if self.is_reversed_handshake(packet):
                self.flip()  # 2c
                sender.enter(ESTABLISHED)
                peer.enter(ESTABLISHED)
            elif sender is self.orig:
                sender.enter(SYN_ACK_SENT if flags & ACK else SYN_SENT)
                self.attempt = packet.time
            else:
                sender.enter(ESTABLISHED)
                if peer.state is SYN_SENT:
                    peer.enter(ESTABLISHED)
            self.was_established |= sender.state is peer.state is ESTABLISHED
        if flags & FIN:
            sender.enter(CLOSED)
        if flags & RST:
            sender.enter(RESET)
        if not flags & (SYN | FIN | RST):
            empty_ack = flags & ACK and not packet.length
            if sender is self.resp and peer.state is SYN_SENT and empty_ack:
                pass
            elif flags & ACK and peer.state is ESTABLISHED:
                sender.enter(ESTABLISHED)
            else:
                sender.enter(PARTIAL)

    def close(self, end: Endpoint, peer: Endpoint, closes: bool) -> None:
        """A FIN or RST counts when nothing is pending: all was delivered, or after a RST nobody waits for it.

        What was put off is looked at when the same end sends again, but only until the other one closes.
        """
        put_off = self.deferred and end.state in (CLOSED, RESET) and not end.closed
        if not closes and not put_off:
            return
        self.deferred = end.contiguous + 1 < end.high and not end.skips and RESET not in (end.state, peer.state)
        if self.deferred or end.closed:
            return
        end.closed = True
        if end.state is RESET or peer.closed or peer.state is INACTIVE:
            self.delete = min(self.last + CLOSE_DELAY, self.delete or self.last + CLOSE_DELAY)

    # ---- the row

    @property
    def sizes(self) -> tuple[int, int]:
        return self.orig.size(self.resp), self.resp.size(self.orig)

    def conn_state(self) -> str:
        orig, resp = self.orig.state, self.resp.state
        orig_inactive, resp_inactive = (state in (INACTIVE, PARTIAL) for state in (orig, resp))
        if resp is RESET:
            if orig in (SYN_SENT, SYN_ACK_SENT) or (orig is RESET and not any(self.sizes)):
                return "REJ"
            return "RSTRH" if orig_inactive else "RSTR"
        if orig is RESET:
            if not resp_inactive:
                return "RSTO"
            return "RSTOS0" if self.is_syn_then_reset() else "OTH"
        if orig is CLOSED and resp is CLOSED:
            return "SF"
        if orig is CLOSED:
            return "SH" if resp_inactive else "S2"
        if resp is CLOSED:
            return "SHR" if orig_inactive else "S3"
        if orig is SYN_SENT and resp is INACTIVE:
            return "S0"
        return "S1" if orig is ESTABLISHED and resp is ESTABLISHED else "OTH"

    def is_syn_then_reset(self) -> bool:
        letters = self.history.removeprefix("^")
        before, reset, _ = letters.partition("R")
        return letters.startswith("S") and bool(reset) and not set("HAFGIQ") & set(before)

    def row(self) -> Row:
        duration = self.last - self.first if self.last > self.first else None
        sizes = self.sizes if duration else (None, None)
        return Row(self.number, *self.ends, self.first, duration, *sizes, self.conn_state(), self.history)


def rows(
    packets: Iterable[Packet], ports: frozenset[int] = LIKELY_SERVER_PORTS, ignore_checksums: bool = False
) -> list[Row]:
    """The rows of all connections, by the number of their first packet."""
    return sorted(_rows(packets, ports, ignore_checksums), key=lambda row: row.number)


def _rows(packets: Iterable[Packet], ports: frozenset[int], ignore_checksums: bool) -> Iterator[Row]:
    entries: dict[frozenset[End], Connection] = {}
    clock = 0
    for packet in packets:
        clock = max(clock, packet.time)  # it never goes back
        for key, entry in list(entries.items()):
            if entry.is_removed(clock):
                yield entries.pop(key).row()
        if ignore_checksums:
            packet = replace(packet, bad=False)
        key = frozenset((packet.src, packet.dst))
        if key in entries and entries[key].is_reused_by(packet):
            yield entries.pop(key).row()
        if key not in entries:
            entries[key] = Connection(packet, ports)
        entries[key].process(packet)
    yield from (entry.row() for entry in entries.values())
