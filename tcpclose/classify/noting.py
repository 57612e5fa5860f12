"""What is noted of a connection for our own verdict: few events, each a code of some bits and the number of its packet.

A code says how a packet relates to what both ends had said before, and not its numbers: so the many connections of a
capture have few different stories, and `endings.py` judges each story once. Of text and of acknowledgments that follow
one another only the first of each side is noted, until a SYN, FIN or RST comes.
"""

from __future__ import annotations

from typing import Any

from .compiled import inner, kernel
from .rules import ACK, FIN, RST, SYN, signed
from .table import (
    ACKED,
    BEGUN,
    END,
    ENDS,
    EVENTS,
    FIN_ACKED,
    FINS,
    HEARD,
    HIGH,
    IP_ID,
    LAST_SIDE,
    LATEST,
    MARKS,
    MOST_EVENTS,
    PROBES,
    RELEASE_FIRST,
    RELEASE_LAST,
    SAID_ACK,
    SAID_END,
    START_SEQ,
    TTL,
    UNANSWERED,
)

#: Bits of a code. The control bits FIN, SYN, RST and ACK stand where they stand in the header.
TEXT = 1 << 3
FROM_B = 1 << 5
#: SEG.SEQ beside what the sender had sent before.
SEQ_SHIFT, SEQ_MASK = 6, 7
SEQ_NEXT, SEQ_OLD, SEQ_PROBE, SEQ_AHEAD, SEQ_FIRST = range(5)
#: SEG.ACK beside what the peer had sent before.
ACK_SHIFT, ACK_MASK = 9, 7
ACK_NONE, ACK_ALL, ACK_MORE, ACK_SAME, ACK_BEYOND, ACK_OLD, ACK_FIRST = range(7)
#: Of a RST: for a second or more, nothing had been heard of the connection; of its sender.
PAUSED, QUIET = 1 << 12, 1 << 13
#: It stands at the number that the peer last acknowledged; it has the form of an answer to the peer's last
#: segment (3.10.7.1); its TTL, its IP identification are not like those of the sender's other packets.
EXACT, ANSWER, TTL_UNLIKE, ID_UNLIKE = (1 << bit for bit in range(14, 18))
#: How often the sender had repeated itself, up to 3, while the peer was silent; and whether by probes.
UNANSWERED_SHIFT = 18
PROBED = 1 << 20
#: The last packet before was text of the peer.
AFTER_TEXT = 1 << 21
#: No packet of the connection: an ICMP error about one of the side that FROM_B names; it is a hard one.
ICMP, HARD = 1 << 22, 1 << 23
#: A packet whose header is impossible: nothing else of it is noted.
BROKEN = 1 << 24

#: What may differ in two codes of the same event repeated.
_REPEATED = ~(SEQ_MASK << SEQ_SHIFT | PAUSED | QUIET | 3 << UNANSWERED_SHIFT | PROBED | AFTER_TEXT | ANSWER | EXACT)
#: Events from the beginning that stay, when there are too many.
FIRST_EVENTS = 6
_SECOND = 1_000_000_000


@inner
def relation_of_seq(rows: Any, row: int, e: int, seq: int, size: int, plain: bool) -> int:
    """SEG.SEQ beside what the sender had sent before."""
    if not rows[row, e + BEGUN]:
        return SEQ_FIRST
    high = max(rows[row, e + HIGH], rows[row, e + ACKED])
    ahead = signed(seq - rows[row, e + START_SEQ] - high)
    if ahead == 0:
        return SEQ_NEXT
    if ahead > 0:
        return SEQ_AHEAD
    if plain and ahead == -1 and size <= 1 and high > 1:
        return SEQ_PROBE
    return SEQ_OLD if ahead + size <= 0 else SEQ_NEXT


@inner
def relation_of_ack(rows: Any, row: int, p: int, ack: int) -> int:
    """SEG.ACK beside what the peer had sent before."""
    if not rows[row, p + BEGUN]:
        return ACK_FIRST
    high = max(rows[row, p + HIGH], rows[row, p + ACKED])
    ahead = signed(ack - rows[row, p + START_SEQ] - high)
    if ahead >= 0:
        return ACK_ALL if ahead == 0 else ACK_BEYOND
    more = high + ahead - rows[row, p + ACKED]
    return ACK_MORE if more > 0 else ACK_SAME if more == 0 else ACK_OLD


@kernel
def of_reset(
    rows: Any, row: int, e: int, p: int, flags: int, seq: int, ack: int, time: int, ttl: int, ip_id: int
) -> int:
    """The bits that only a RST has."""
    code = PAUSED if time - rows[row, LATEST] >= _SECOND else 0
    if rows[row, e + HEARD] and time - rows[row, e + HEARD] >= _SECOND:
        code |= QUIET
    heard = rows[row, p + SAID_ACK] - 1
    if seq == heard:
        code |= EXACT
    if flags & ACK:
        if seq == 0 and ack + 1 == rows[row, p + SAID_END]:
            code |= ANSWER
    elif seq == heard:
        code |= ANSWER
    if rows[row, e + TTL] and ttl + 1 != rows[row, e + TTL]:
        code |= TTL_UNLIKE
    before = rows[row, e + IP_ID] - 1
    apart = abs(signed((ip_id - before) << 16)) >> 16
    if before > 0 and ip_id and apart > 4096:
        code |= ID_UNLIKE
    return code


@inner
def describe(rows: Any, row: int, e: int, flags: int, seq: int, ack: int, length: int) -> int:
    """The code of a packet that is about to be processed."""
    p = 2 * ENDS + END - e
    text = length > 0 and not flags & RST
    size = (length if text else 0) + (flags >> 1 & 1) + (flags & 1)
    code = flags & (FIN | SYN | RST | ACK)
    if text:
        code |= TEXT
    if e != ENDS:
        code |= FROM_B
    code |= relation_of_seq(rows, row, e, seq, size, flags & (SYN | FIN | RST) == 0) << SEQ_SHIFT
    if flags & ACK:
        code |= relation_of_ack(rows, row, p, ack) << ACK_SHIFT
    if rows[row, e + UNANSWERED]:
        code |= min(3, rows[row, e + UNANSWERED]) << UNANSWERED_SHIFT
        if rows[row, e + PROBES]:
            code |= PROBED
    if rows[row, LAST_SIDE] == (3 if e == ENDS else 2):
        code |= AFTER_TEXT
    return code


@inner
def note(
    rows: Any, row: int, code: int, flags: int, seq: int, ack: int, length: int, time: int, ttl: int, ip_id: int
) -> bool:
    """Remember what the packet was; whether it is an event to be recorded."""
    b = code >> 5 & 1
    e, p = ENDS + END * b, ENDS + END - END * b
    relation = code >> SEQ_SHIFT & SEQ_MASK
    ends_fin = code >> ACK_SHIFT & ACK_MASK == ACK_ALL and rows[row, p + FINS] > 0 and not rows[row, p + FIN_ACKED]
    if ends_fin and not flags & RST:
        rows[row, p + FIN_ACKED] = 1
    special = flags & (FIN | SYN | RST) != 0
    mark = (1 if code & TEXT else 2) << 2 * b
    event = special or ends_fin or rows[row, MARKS] & mark == 0
    rows[row, MARKS] = 0 if special else rows[row, MARKS] | mark
    if flags & (FIN | RST) and not rows[row, RELEASE_FIRST]:
        rows[row, RELEASE_FIRST] = time
    if rows[row, RELEASE_FIRST] and (special or ends_fin):
        rows[row, RELEASE_LAST] = time
    rows[row, p + UNANSWERED] = 0
    if relation == SEQ_PROBE or (relation == SEQ_OLD and code & (TEXT | SYN | FIN)):
        rows[row, e + UNANSWERED] += 1
        rows[row, e + PROBES] = int(relation == SEQ_PROBE)
    rows[row, LATEST] = rows[row, e + HEARD] = time
    if not flags & RST:
        rows[row, e + SAID_END] = (seq + length + (flags >> 1 & 1) + (flags & 1)) % (1 << 32) + 1
        if flags & ACK:
            rows[row, e + SAID_ACK] = ack + 1
        rows[row, e + TTL], rows[row, e + IP_ID] = ttl + 1, ip_id + 1
        rows[row, LAST_SIDE] = b + (2 if code & TEXT else 0)
    return event


@kernel
def record(rows: Any, codes: Any, numbers: Any, row: int, code: int, number: int) -> None:
    """Append an event. A SYN, FIN or RST that only repeats the one before is none."""
    count = rows[row, EVENTS]
    if code & (FIN | SYN | RST) and count and (codes[row, count - 1] ^ code) & _REPEATED == 0:
        return
    if count == MOST_EVENTS:
        count -= 1
        for place in range(FIRST_EVENTS, count):
            codes[row, place] = codes[row, place + 1]
            numbers[row, place] = numbers[row, place + 1]
    codes[row, count], numbers[row, count] = code, number
    rows[row, EVENTS] = count + 1
