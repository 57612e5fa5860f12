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
    DOUBLED,
    END,
    ENDS,
    EVENTS,
    FIN_ACKED,
    FINS,
    FLAWS,
    HEARD,
    HIGH,
    IP_IDS,
    LAST_SIDE,
    LAST_TEXT,
    LATEST,
    MARKS,
    MOST_EVENTS,
    PROBES,
    RELEASE_FIRST,
    RELEASE_LAST,
    SAID_ACK,
    SAID_END,
    SHUT,
    SPECIAL,
    START_SEQ,
    TTLS,
    UNANSWERED,
    UNNOTED,
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
#: Of a RST: the last text before was the peer's, be it acknowledged or not; its sender's window was closed.
TEXT_LAST, WINDOW_SHUT = 1 << 25, 1 << 26
#: A code has so many bits. In front of them there is room for the number of its packet.
CODE_BITS = 27

#: What may differ in two codes of the same event repeated.
_REPEATED = ~(
    SEQ_MASK << SEQ_SHIFT
    | (PAUSED | QUIET | EXACT | ANSWER)
    | (3 << UNANSWERED_SHIFT | PROBED)
    | (AFTER_TEXT | TEXT_LAST | WINDOW_SHUT)
)
#: Events from the beginning that stay, when there are too many.
FIRST_EVENTS = 6
_SECOND, _MILLISECOND = 1_000_000_000, 1_000_000
#: No timer of TCP fires so soon: what comes again within this time was captured twice, or fills holes.
_NO_TIMER = _MILLISECOND
#: So much later may the same packet be captured at another place.
_ON_THE_WAY = 100 * _MILLISECOND
#: Identifications of an end that counts them are not further apart.
_STEADY = 4096
#: The TTLs, and the identifications, that an end's packets had last, as many as a row's integer has room for: so wide
#: is one of them, counted from 1, as 0 is none.
_TTL_BITS, _TTLS_MASK = 9, (1 << 54) - 1
_ID_BITS, _ID_MASK = 17, (1 << 17) - 1


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
    if plain and ahead == -1 and size <= 1:
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
    if rows[row, LAST_TEXT] == (2 if e == ENDS else 1):
        code |= TEXT_LAST
    if rows[row, e + SHUT]:
        code |= WINDOW_SHUT
    heard = rows[row, p + SAID_ACK] - 1
    if seq == heard:
        code |= EXACT
    if flags & ACK:
        if seq == 0 and (ack + 1 == rows[row, p + SAID_END] or not (rows[row, p + HEARD] or rows[row, e + HEARD])):
            code |= ANSWER
    elif seq == heard:
        code |= ANSWER
    if rows[row, e + TTLS] and not is_known_ttl(rows, row, e, ttl):
        code |= TTL_UNLIKE
    last, earlier = (rows[row, e + IP_IDS] & _ID_MASK) - 1, (rows[row, e + IP_IDS] >> _ID_BITS) - 1
    if ip_id and last > 0 and earlier > 0 and abs(apart(last, earlier)) <= _STEADY < abs(apart(ip_id, last)):
        code |= ID_UNLIKE
    return code


@inner
def is_known_ttl(rows: Any, row: int, e: int, ttl: int) -> bool:
    """Whether packets of the end had it lately. They may have several: a capture of two places, or two ways."""
    known = rows[row, e + TTLS]
    while known:
        if known & (1 << _TTL_BITS) - 1 == ttl + 1:
            return True
        known >>= _TTL_BITS
    return False


@inner
def apart(ip_id: int, before: int) -> int:
    """How much an identification is behind another one; what is less than none is older."""
    return signed((ip_id - before) << 16) >> 16


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
def is_copy(rows: Any, row: int, e: int, code: int, ack: int, time: int, ip_id: int) -> bool:
    """Whether the packet is one of its sender's last ones, captured once more: sent again, it would be another one."""
    relation = code >> SEQ_SHIFT & SEQ_MASK
    if code & (TEXT | SYN | FIN):
        repeats = relation == SEQ_OLD
    else:
        said = rows[row, e + SAID_ACK]
        repeats = relation <= SEQ_OLD and said > 0 and signed(ack + 1 - said) <= 0
    if code & RST or not rows[row, e + HEARD] or not repeats:
        return False
    since = time - rows[row, e + HEARD]
    before = (rows[row, e + IP_IDS] & _ID_MASK) - 1
    same = ip_id and before > 0 and since < _ON_THE_WAY and -256 < apart(ip_id, before) <= 0
    if (same and code & (TEXT | SYN | FIN)) or (code & (SYN | FIN) and since < _NO_TIMER):
        rows[row, FLAWS] |= DOUBLED
    return bool(same or since < _NO_TIMER)


@inner
def note(
    rows: Any,
    row: int,
    code: int,
    number: int,
    flags: int,
    seq: int,
    ack: int,
    length: int,
    window: int,
    time: int,
    ttl: int,
    ip_id: int,
) -> bool:
    """Remember what the packet was; whether it is an event to be recorded."""
    b = code >> 5 & 1
    e = ENDS + END * b
    if rows[row, e + TTLS] & (1 << _TTL_BITS) - 1 != ttl + 1 and not flags & RST:
        rows[row, e + TTLS] = (rows[row, e + TTLS] << _TTL_BITS & _TTLS_MASK) + ttl + 1
    copied = is_copy(rows, row, e, code, ack, time, ip_id)
    event = not copied and is_event(rows, row, e, code, ack, time)
    rows[row, LATEST] = rows[row, e + HEARD] = time
    if copied:
        return False
    if not event:
        rows[row, UNNOTED] = number << CODE_BITS | code
    if not flags & RST:
        rows[row, e + SAID_END] = (seq + length + (flags >> 1 & 1) + (flags & 1)) % (1 << 32) + 1
        if flags & ACK:
            rows[row, e + SAID_ACK] = ack + 1
        rows[row, e + IP_IDS] = (rows[row, e + IP_IDS] & _ID_MASK) << _ID_BITS | ip_id + 1
        rows[row, e + SHUT] = int(window == 0)
        rows[row, LAST_SIDE] = b + (2 if code & TEXT else 0)
        if code & TEXT:
            rows[row, LAST_TEXT] = b + 1
    return event


@inner
def is_event(rows: Any, row: int, e: int, code: int, ack: int, time: int) -> bool:
    """Whether the packet tells something new; and what it says of the release, and of who is silent."""
    p = 2 * ENDS + END - e
    relation, acknowledges = code >> SEQ_SHIFT & SEQ_MASK, code >> ACK_SHIFT & ACK_MASK
    special = code & (FIN | SYN | RST) != 0
    repeated = special and (rows[row, e + SPECIAL] ^ code) & _REPEATED == 0
    ends_fin = acknowledges == ACK_ALL and rows[row, p + FINS] > 0 and not rows[row, p + FIN_ACKED]
    if ends_fin and not code & RST:
        rows[row, p + FIN_ACKED] = 1
    mark = (1 if code & TEXT else 2) << 2 * (e != ENDS)
    event = ends_fin or (not repeated if special else rows[row, MARKS] & mark == 0)
    if special and not repeated:
        rows[row, e + SPECIAL] = code
        rows[row, MARKS] = 0
    elif not special:
        rows[row, MARKS] |= mark
    if code & (FIN | RST) and not rows[row, RELEASE_FIRST]:
        rows[row, RELEASE_FIRST] = time
    if rows[row, RELEASE_FIRST] and (special or ends_fin):
        rows[row, RELEASE_LAST] = time
    said = rows[row, e + SAID_ACK]
    if acknowledges == ACK_ALL or not code & (TEXT | FIN) or not said or signed(ack + 1 - said) > 0:
        rows[row, p + UNANSWERED] = 0
    later = time - rows[row, e + HEARD] >= _NO_TIMER
    if later and (relation == SEQ_PROBE or (relation == SEQ_OLD and code & (TEXT | SYN | FIN))):
        rows[row, e + UNANSWERED] += 1
        rows[row, e + PROBES] = int(relation == SEQ_PROBE and not rows[row, p + SHUT])  # or it probes the window
    return bool(event)


@inner
def record_trigger(rows: Any, codes: Any, numbers: Any, row: int, code: int) -> None:
    """Before a RST: the packet of the other end that it may answer, or the last that nobody answered, if not noted."""
    before = rows[row, UNNOTED] & (1 << CODE_BITS) - 1
    if before and ((before ^ code) & FROM_B or code >> UNANSWERED_SHIFT & 3 > 1):
        record(rows, codes, numbers, row, before, rows[row, UNNOTED] >> CODE_BITS)


@kernel
def record(rows: Any, codes: Any, numbers: Any, row: int, code: int, number: int) -> None:
    """Append an event. An ICMP error or broken header that only repeats the one before is none."""
    count = rows[row, EVENTS]
    if code & (ICMP | BROKEN) and count and codes[row, count - 1] == code:
        return
    if count == MOST_EVENTS:
        count -= 1
        for place in range(FIRST_EVENTS, count):
            codes[row, place] = codes[row, place + 1]
            numbers[row, place] = numbers[row, place + 1]
    codes[row, count], numbers[row, count] = code, number
    rows[row, EVENTS] = count + 1
    rows[row, UNNOTED] = 0
