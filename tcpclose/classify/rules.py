"""conn_state and history, one packet after the other: the rules of Zeek (docs/classify.md).

Kernels over the rows of `table.py`. `row` is a connection, `e` the first column of the end that sent the packet, `p`
that of its peer. Sequence numbers are counted from the end's first one and unwrapped. Each step has the name of the
section of the rules that it follows.
"""

from __future__ import annotations

from typing import Any

from .compiled import inner, kernel
from .packets import CHECK_BAD, CHECK_CUT
from .table import (
    ACKED,
    ATTEMPT,
    BEFORE,
    BEGUN,
    BLOCKS,
    CHECK,
    CHUNK,
    CLOSED_SEEN,
    COUNT_C,
    COUNT_G,
    COUNT_T,
    COUNT_W,
    DELETE,
    END,
    ENDS,
    ESTABLISHED_ONCE,
    FIN_END,
    FINS,
    FIRST_FIN,
    FIRST_RST,
    FIRST_SYN,
    FORMER,
    FREE_BLOCKS,
    FREE_CHUNKS,
    HELD,
    HELD_BLOCKS,
    HIGH,
    IDLE,
    LAST,
    LETTER_COUNT,
    LETTERS,
    NEVER,
    ONCE,
    ORIGINATOR,
    PORTS,
    PUT_OFF,
    REASSEMBLED,
    SKIPS,
    START,
    START_SEQ,
    STATE,
    SYN_THEN_RST,
    Table,
    give_up_blocks,
)

FIN, SYN, RST, ACK = 1, 2, 4, 16

#: States of an end (4), in an order that serves comparison: those of the handshake come first.
INACTIVE, SYN_SENT, SYN_ACK_SENT, PARTIAL, ESTABLISHED, CLOSED, RESET = range(7)

SECOND = 1_000_000_000
ATTEMPT_DELAY = CLOSE_DELAY = LINGER = 5 * SECOND
SESSION_TIMER = 6 * SECOND
IDLE_HANDSHAKE, IDLE_TCP, IDLE_PATIENT = 60 * SECOND, 300 * SECOND, 3600 * SECOND
_PATIENT = (21, 22, 23, 513)

_TOO_FAR = 1 << 20
_MASK = (1 << 32) - 1
_HALF = 1 << 31

#: Text beyond a hole that is kept while nothing was acknowledged; and blocks of it, always.
_ABOVE_HOLE, _MOST_BLOCKS = 16_384, 1024

#: Letters as they are kept: 1, twice their place here, and one more for the responder's; "^" has none of its own.
ALPHABET = "SHFRDAIQCTWG^"
L_S, L_H, L_F, L_R, L_D, L_A, L_I, L_Q, L_C, L_T, L_W, L_G, L_FLIP = range(13)
_BITS = 5
#: A word has room for 12; one packet writes 8 at most, when it acknowledges a thousand holes.
_FULL = 4
#: The automaton that finds "^?S" and an R with none of HAFGIQ before it.
SYN_FIRST, SYN_RESET, NO_SYN_RESET = 2, 3, 4


@inner
def signed(difference: int) -> int:
    """A difference of sequence numbers, the short way around."""
    return (difference + _HALF & _MASK) - _HALF


# ---- history (6)


@kernel
def write(rows: Any, row: int, letter: int, responder: int) -> None:
    """Append a letter. There is room for it: `spill` has seen to that."""
    rows[row, LETTERS] |= (1 + 2 * letter + responder) << (_BITS * rows[row, LETTER_COUNT])
    rows[row, LETTER_COUNT] += 1
    state = rows[row, SYN_THEN_RST]
    if state < SYN_FIRST:
        first_flip = state == 0 and letter == L_FLIP
        rows[row, SYN_THEN_RST] = 1 if first_flip else SYN_FIRST if letter == L_S and not responder else NO_SYN_RESET
    elif state == SYN_FIRST and not responder:
        if letter == L_R:
            rows[row, SYN_THEN_RST] = SYN_RESET
        elif letter in (L_H, L_A, L_F, L_G, L_I, L_Q):
            rows[row, SYN_THEN_RST] = NO_SYN_RESET


@kernel
def spill(table: Table, row: int) -> None:
    """Put a word that may not have room for the letters of one more packet away."""
    rows = table.rows
    if rows[row, FORMER]:
        table.tops[FREE_CHUNKS] -= 1
        chunk = table.free_chunks[table.tops[FREE_CHUNKS]]
        table.chunks[chunk, 0], table.chunks[chunk, 1] = rows[row, FORMER], rows[row, CHUNK]
        rows[row, CHUNK] = chunk
    rows[row, FORMER], rows[row, LETTERS], rows[row, LETTER_COUNT] = rows[row, LETTERS], 0, 0


@kernel
def write_once(rows: Any, row: int, e: int, letter: int, slot: int, responder: int) -> bool:
    """A letter whose slot is still free; whether it was."""
    if rows[row, e + ONCE] >> slot & 1:
        return False
    rows[row, e + ONCE] |= 1 << slot
    write(rows, row, letter, responder)
    return True


@kernel
def write_numbered(rows: Any, row: int, e: int, letter: int, slot: int, first: int, number: int, who: int) -> None:
    """A letter that is written again when its number is not that of the first one."""
    if write_once(rows, row, e, letter, slot, who):
        rows[row, e + first] = number
    elif rows[row, e + first] != number:
        write(rows, row, letter, who)


@kernel
def write_counted(rows: Any, row: int, e: int, letter: int, counter: int, responder: int) -> None:
    """A letter for the 1st, 10th, 100th ... event."""
    count = rows[row, e + counter] + 1
    rows[row, e + counter] = count
    while count % 10 == 0:
        count //= 10
    if count == 1:
        write(rows, row, letter, responder)


@kernel
def history(rows: Any, row: int, e: int, p: int, flags: int, seq: int, length: int, window: int, who: int) -> None:
    """The letters of a packet, but for T, C, G and ^."""
    syn, fin, rst = flags & SYN, flags & FIN, flags & RST
    if not flags & (SYN | FIN | RST):
        if length or flags & ACK:
            letter = L_D if length else L_A
            write_once(rows, row, e, letter, letter, who)
    elif (syn and fin) or (syn and rst) or (fin and rst):
        letter = L_I if fin and rst else L_Q
        write_once(rows, row, e, letter, letter, who)
    elif syn:
        write_numbered(rows, row, e, L_H if flags & ACK else L_S, L_S, FIRST_SYN, seq, who)
    else:
        letter, first = (L_F, FIRST_FIN) if fin else (L_R, FIRST_RST)
        write_numbered(rows, row, e, letter, letter, first, seq + length if fin else seq, who)
    if window == 0 and not rst and rows[row, e + STATE] != RESET and rows[row, p + STATE] != CLOSED:
        write_counted(rows, row, e, L_W, COUNT_W, who)


# ---- sequence numbers (7)


@kernel
def begin(rows: Any, row: int, e: int, start: int, high: int) -> None:
    """The end's numbers count from `start`. What was seen of its text stays as it was numbered."""
    rows[row, e + BEGUN] = 1
    rows[row, e + START_SEQ] = start & _MASK
    rows[row, e + HIGH] = high
    rows[row, e + ACKED] = 0


@kernel
def begin_end(rows: Any, row: int, e: int, flags: int, seq: int, size: int) -> None:
    """What its first packet, or a SYN that jumps, says of the sender's initial number."""
    state = rows[row, e + STATE]
    if state == INACTIVE:
        if flags & SYN:
            begin(rows, row, e, seq, size)
        else:  # as if there had been a SYN in front of it
            begin(rows, row, e, seq - 1, 1)
    elif (
        flags & SYN
        and seq != rows[row, e + START_SEQ]
        and (
            state in (SYN_SENT, SYN_ACK_SENT, ESTABLISHED, PARTIAL)
            or (state == RESET and rows[row, e + BEFORE] == INACTIVE)
        )
    ):
        begin(rows, row, e, seq, 0)


@inner
def advance(rows: Any, row: int, e: int, flags: int, end: int, length: int, who: int) -> None:
    """The highest number sent. A RST or SYN that jumps is not believed, nor anything after a RST."""
    ahead = end - rows[row, e + HIGH]
    if flags & (SYN | RST) and (ahead > _TOO_FAR or ahead < -_TOO_FAR):
        return
    if flags & FIN and rows[row, e + HIGH] == 1:
        rows[row, e + HIGH] = end & _MASK  # more than 2 GB, of which only SYN and FIN were seen
    elif rows[row, e + STATE] == RESET:
        return
    elif ahead > 0:
        rows[row, e + HIGH] = end
    elif length:
        write_counted(rows, row, e, L_T, COUNT_T, who)


@inner
def acknowledged(table: Table, row: int, e: int, p: int, ack: int, absolute: int, sender: int) -> None:
    """`e` acknowledged `ack` of `p`. What was never seen before it is a gap, or several."""
    rows, blocks = table.rows, table.blocks
    ahead = ack - rows[row, p + ACKED]
    if ahead > 0 and not (absolute == 0 and ahead > _TOO_FAR):
        rows[row, p + ACKED] = ack
    if rows[row, p + SKIPS]:
        return
    if rows[row, p + FINS] and ack >= rows[row, p + FIN_END]:
        ack = rows[row, p + FIN_END] - 1
    if ack <= rows[row, p + REASSEMBLED]:
        return
    told = has_stream(rows, row, e) and has_stream(rows, row, p)
    while ack > rows[row, p + REASSEMBLED]:
        if told:
            write_counted(rows, row, p, L_G, COUNT_G, 1 - sender)
        block = rows[row, p + BLOCKS]
        rows[row, p + REASSEMBLED] = ack if block < 0 else min(ack, blocks[block, 0])
        deliver(table, row, p)


@inner
def has_stream(rows: Any, row: int, e: int) -> bool:
    """It is ESTABLISHED, or was so when it closed."""
    state = rows[row, e + STATE]
    return bool(state == ESTABLISHED or (state == CLOSED and rows[row, e + BEFORE] == ESTABLISHED))


# ---- reassembly, as far as gaps and pending text need it


@kernel
def text(table: Table, row: int, e: int, start: int, stop: int) -> None:
    """The end's text from `start` to `stop` was seen."""
    rows = table.rows
    if start < 0 or rows[row, e + SKIPS] or stop <= rows[row, e + REASSEMBLED]:
        return
    if start <= rows[row, e + REASSEMBLED]:
        rows[row, e + REASSEMBLED] = stop
        if rows[row, e + BLOCKS] >= 0:
            deliver(table, row, e)
        return
    keep(table, row, e, start, stop)
    unheard = rows[row, e + ACKED] <= 1 and rows[row, e + HELD] > _ABOVE_HOLE
    if unheard or rows[row, e + HELD_BLOCKS] > _MOST_BLOCKS:
        give_up_blocks(table, row, e)
        rows[row, e + SKIPS] = 1


@kernel
def deliver(table: Table, row: int, e: int) -> None:
    """Let go of the blocks that are no longer beyond a hole."""
    rows, blocks = table.rows, table.blocks
    block = rows[row, e + BLOCKS]
    while block >= 0 and blocks[block, 0] <= rows[row, e + REASSEMBLED]:
        rows[row, e + REASSEMBLED] = max(rows[row, e + REASSEMBLED], blocks[block, 1])
        rows[row, e + BLOCKS] = blocks[block, 2]
        drop(table, row, e, block)
        block = rows[row, e + BLOCKS]


@kernel
def drop(table: Table, row: int, e: int, block: int) -> None:
    table.rows[row, e + HELD] -= table.blocks[block, 1] - table.blocks[block, 0]
    table.rows[row, e + HELD_BLOCKS] -= 1
    table.free_blocks[table.tops[FREE_BLOCKS]] = block
    table.tops[FREE_BLOCKS] += 1


@kernel
def keep(table: Table, row: int, e: int, start: int, stop: int) -> None:
    """Put a block into its place in the chain, joined with those that it touches."""
    rows, blocks = table.rows, table.blocks
    before, block = -1, rows[row, e + BLOCKS]
    while block >= 0 and blocks[block, 1] < start:
        before, block = block, blocks[block, 2]
    while block >= 0 and blocks[block, 0] <= stop:
        start, stop = min(start, blocks[block, 0]), max(stop, blocks[block, 1])
        following = blocks[block, 2]
        drop(table, row, e, block)
        block = following
    table.tops[FREE_BLOCKS] -= 1
    new = table.free_blocks[table.tops[FREE_BLOCKS]]
    blocks[new, 0], blocks[new, 1], blocks[new, 2] = start, stop, block
    if before < 0:
        rows[row, e + BLOCKS] = new
    else:
        blocks[before, 2] = new
    rows[row, e + HELD] += stop - start
    rows[row, e + HELD_BLOCKS] += 1


@inner
def pending(rows: Any, row: int, e: int) -> bool:
    """Not all that the end sent was seen or acknowledged; its FIN does not count. After a RST nobody waits for it."""
    if rows[row, ENDS + STATE] == RESET or rows[row, ENDS + END + STATE] == RESET:
        return False
    return bool(not rows[row, e + SKIPS] and rows[row, e + REASSEMBLED] + 1 < rows[row, e + HIGH])


# ---- birth, direction, reuse (2)


@kernel
def guess_direction(rows: Any, row: int, flags: int, is_server: Any) -> None:
    """2a: a packet that is no first SYN, from a port where servers are, is probably a responder's."""
    ports = rows[row, PORTS]
    source, target = ports >> 16, ports & 0xFFFF
    if (
        flags & (SYN | ACK) != SYN
        and is_server[source]
        and (not is_server[target] or (not flags & SYN and source < target))
    ):
        flip(rows, row)


@kernel
def flip(rows: Any, row: int) -> None:
    rows[row, ORIGINATOR] ^= 1
    write(rows, row, L_FLIP, 0)


@kernel
def is_reuse(rows: Any, row: int, e: int, flags: int, seq: int) -> bool:
    """Does this SYN of the same two sockets, from the end `e`, begin a new connection?"""
    o = ENDS + END * rows[row, ORIGINATOR]
    r = 2 * ENDS + END - o
    if flags & ACK and rows[row, o + STATE] != INACTIVE:
        return False
    if rows[row, o + CLOSED_SEEN] or rows[row, r + CLOSED_SEEN]:
        return True
    reversed_handshake = (
        not flags & ACK
        and e == r
        and rows[row, o + STATE] == SYN_ACK_SENT
        and rows[row, r + STATE] == INACTIVE
        and rows[row, r + BEGUN]
        and seq == rows[row, r + START_SEQ]
    )
    return bool(not reversed_handshake and (not rows[row, o + BEGUN] or seq != rows[row, o + START_SEQ]))


# ---- states (4)


@kernel
def enter(rows: Any, row: int, e: int, state: int) -> None:
    """The idle time that is allowed grows with the first transition beyond the handshake."""
    if rows[row, e + STATE] != state:
        rows[row, e + BEFORE] = rows[row, e + STATE]
        rows[row, e + STATE] = state
        if state >= PARTIAL and rows[row, IDLE] == IDLE_HANDSHAKE:
            rows[row, IDLE] = IDLE_TCP
        both = rows[row, ENDS + STATE] == ESTABLISHED and rows[row, ENDS + END + STATE] == ESTABLISHED
        if both and not rows[row, ESTABLISHED_ONCE]:
            rows[row, ESTABLISHED_ONCE] = 1
            ports = rows[row, PORTS]
            if (ports >> 16 if rows[row, ORIGINATOR] else ports & 0xFFFF) in _PATIENT:
                rows[row, IDLE] = IDLE_PATIENT


@kernel
def move(rows: Any, row: int, e: int, p: int, flags: int, seq: int, length: int, time: int, who: int) -> bool:
    """The sender's state after its packet; whether it closed."""
    state = rows[row, e + STATE]
    if state == INACTIVE:
        return move_inactive(rows, row, e, p, flags, seq, length, time, who)
    if state in (SYN_SENT, SYN_ACK_SENT):
        if flags & FIN:
            enter(rows, row, e, CLOSED)
        if flags & RST:
            enter(rows, row, e, RESET)
        return flags & (FIN | RST) != 0
    if state in (ESTABLISHED, PARTIAL):
        if flags & (SYN | ACK) == SYN and state == PARTIAL and rows[row, p + STATE] == INACTIVE:
            enter(rows, row, e, SYN_SENT)
        if flags & FIN and not flags & RST:
            enter(rows, row, e, CLOSED)
            if rows[row, p + STATE] == RESET and rows[row, p + BEFORE] == CLOSED:
                enter(rows, row, p, CLOSED)
        if flags & RST:
            enter(rows, row, e, RESET)
        return flags & (FIN | RST) != 0
    if state == CLOSED and flags & RST and rows[row, p + STATE] != CLOSED:
        enter(rows, row, e, RESET)
        return True
    return False


@kernel
def move_inactive(rows: Any, row: int, e: int, p: int, flags: int, seq: int, length: int, time: int, who: int) -> bool:
    """From INACTIVE."""
    peer = rows[row, p + STATE]
    if flags & SYN:
        if not who:
            enter(rows, row, e, SYN_ACK_SENT if flags & ACK else SYN_SENT)
            rows[row, ATTEMPT] = time + ATTEMPT_DELAY
        else:
            if not flags & ACK and peer == SYN_ACK_SENT and seq == rows[row, e + START_SEQ]:
                flip(rows, row)  # 2c: SYN and SYN-ACK changed places on the way
                enter(rows, row, p, ESTABLISHED)
            enter(rows, row, e, ESTABLISHED)
            if peer == SYN_SENT:
                enter(rows, row, p, ESTABLISHED)
    if flags & FIN:
        enter(rows, row, e, CLOSED)
    if flags & RST:
        enter(rows, row, e, RESET)
    if not flags & (SYN | FIN | RST):
        if flags & ACK and peer == ESTABLISHED:
            enter(rows, row, e, ESTABLISHED)
        elif not (who and flags & ACK and not length and peer == SYN_SENT):
            enter(rows, row, e, PARTIAL)
    return flags & (FIN | RST) != 0


@inner
def closing(rows: Any, row: int, e: int, p: int, closes: bool) -> None:
    """An end has closed once nothing of it is pending. With a RST, or if its peer has or is silent, all is over (3).

    What was put off is looked at when the same end sends again, but only until the other one closes.
    """
    if not closes and not (rows[row, PUT_OFF] and rows[row, e + STATE] >= CLOSED and not rows[row, e + CLOSED_SEEN]):
        return
    rows[row, PUT_OFF] = pending(rows, row, e)
    if rows[row, PUT_OFF] or rows[row, e + CLOSED_SEEN]:
        return
    rows[row, e + CLOSED_SEEN] = 1
    if rows[row, e + STATE] == RESET or rows[row, p + CLOSED_SEEN] or rows[row, p + STATE] == INACTIVE:
        rows[row, DELETE] = min(rows[row, DELETE], rows[row, LAST] + CLOSE_DELAY)


# ---- a packet


@inner
def process(
    table: Table, row: int, e: int, flags: int, seq: int, ack: int, length: int, window: int, time: int, check: int
) -> bool:
    """A packet of the connection, from the end `e`; whether the rules heard it (its checksum may be wrong)."""
    rows = table.rows
    p = 2 * ENDS + END - e
    if rows[row, LETTER_COUNT] > _FULL:
        spill(table, row)
    who = int(e != ENDS + END * rows[row, ORIGINATOR])
    if check == CHECK_BAD:
        write_counted(rows, row, e, L_C, COUNT_C, who)
        return False
    if begins_with_syn_ack(rows, row, flags, length):
        turn_around(rows, row)
        who = 1 - who
    if not (rows[row, e + CLOSED_SEEN] and rows[row, p + CLOSED_SEEN]):
        rows[row, LAST] = time
    # Most packets are text or an ACK between established ends, of which no letter is left to be written.
    eventful = flags & (SYN | FIN | RST) != 0 or rows[row, e + STATE] == INACTIVE
    size = (0 if flags & RST else length) + (flags >> 1 & 1) + (flags & 1)
    if eventful:
        begin_end(rows, row, e, flags, seq, size)
    start = rows[row, e + HIGH] + signed(seq - rows[row, e + START_SEQ] - rows[row, e + HIGH])
    if eventful or window == 0 or not rows[row, e + ONCE] >> (L_D if length else L_A) & 1:
        history(rows, row, e, p, flags, start, length, window, who)
    end = start + size
    if flags & FIN:
        rows[row, e + FINS] += 1
        rows[row, e + FIN_END] = end
    advance(rows, row, e, flags, end, length, who)
    closes = eventful and move(rows, row, e, p, flags, seq, length, time, who)
    if flags & (ACK | RST) == ACK:
        hear_ack(table, row, e, p, ack)
    if length and not flags & RST and check != CHECK_CUT:
        see_text(table, row, e, start + (flags >> 1 & 1), length)
    closing(rows, row, e, p, closes)
    return True


@inner
def hear_ack(table: Table, row: int, e: int, p: int, ack: int) -> None:
    """The end `e` acknowledged what `p` sent before `ack`. An end that was never heard begins right there."""
    rows = table.rows
    if rows[row, p + STATE] == INACTIVE:
        begin(rows, row, p, ack - 1, 0)
    relative = rows[row, p + ACKED] + signed(ack - rows[row, p + START_SEQ] - rows[row, p + ACKED])
    acknowledged(table, row, e, p, relative, ack, int(e != ENDS + END * rows[row, ORIGINATOR]))


@inner
def see_text(table: Table, row: int, e: int, start: int, length: int) -> None:
    """As `text`, and quick where it is what comes next."""
    rows = table.rows
    if start == rows[row, e + REASSEMBLED] and rows[row, e + BLOCKS] < 0 and not rows[row, e + SKIPS]:
        rows[row, e + REASSEMBLED] = start + length
    else:
        text(table, row, e, start, start + length)


@kernel
def turn_around(rows: Any, row: int) -> None:
    """2b: who sent the SYN-ACK was the responder."""
    rows[row, LETTERS] = rows[row, LETTER_COUNT] = 0
    flip(rows, row)
    write(rows, row, L_H, 1)
    enter(rows, row, ENDS + END - END * rows[row, ORIGINATOR], ESTABLISHED)


@inner
def begins_with_syn_ack(rows: Any, row: int, flags: int, length: int) -> bool:
    """2b: nothing but a SYN-ACK was seen, and now an ACK or text: who sent it was the responder."""
    if rows[row, LETTER_COUNT] != 1 or rows[row, FORMER] or rows[row, LETTERS] != 1 + 2 * L_H:
        return False
    return flags & (SYN | FIN | RST) == 0 and (length > 0 or flags & ACK != 0)


# ---- death (3)

AT_END, BY_ATTEMPT, BY_DELETE, BY_CHECK, BY_IDLE, BY_REUSE = range(6)


@kernel
def overdue(rows: Any, row: int, clock: Any, later: Any, place: int, now: int) -> int:
    """The timer that has removed the connection before the packet at `place`, at `now`; or AT_END for none.

    `clock` are the times of the packets of this block, never running back; `later` says for each packet which is the
    first one six seconds after it.
    """
    if now >= rows[row, DELETE]:
        return BY_DELETE
    if now >= rows[row, ATTEMPT]:
        rows[row, ATTEMPT] = NEVER
        o = ENDS + END * rows[row, ORIGINATOR]
        if rows[row, o + STATE] in (SYN_SENT, SYN_ACK_SENT) and rows[row, 2 * ENDS + END - o + STATE] == INACTIVE:
            return BY_ATTEMPT
    if now >= rows[row, CHECK] and place >= 0 and clock[place] >= rows[row, CHECK]:
        low, high = 0, place
        while low < high:
            middle = (low + high) // 2
            if clock[middle] < rows[row, CHECK]:
                low = middle + 1
            else:
                high = middle
        while low <= place:
            if rows[row, LAST] + LINGER < clock[low] and is_given_up(rows, row):
                return BY_CHECK
            rows[row, CHECK] = clock[low] + SESSION_TIMER
            low = later[low]
    return BY_IDLE if now >= rows[row, LAST] + rows[row, IDLE] else AT_END


@kernel
def is_given_up(rows: Any, row: int) -> bool:
    """A side has closed, and both have, or one was reset or is silent."""
    one, other = rows[row, ENDS + STATE], rows[row, ENDS + END + STATE]
    if not (rows[row, ENDS + CLOSED_SEEN] or rows[row, ENDS + END + CLOSED_SEEN]):
        return False
    return bool((one == CLOSED and other == CLOSED) or RESET in (one, other) or INACTIVE in (one, other))


@kernel
def set_timers(rows: Any, row: int) -> None:
    """Of a new connection."""
    rows[row, CHECK] = rows[row, START] + LINGER
    rows[row, IDLE] = IDLE_HANDSHAKE
