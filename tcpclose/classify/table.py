"""Open connections: a hash table from two sockets to a row of integers, and what rows lend out.

Plain integers in arrays, for kernels (`compiled.py`). A connection's row holds what `rules.py` must remember; the two
ends of it stand in the row one after the other, the sender of the first packet first.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np

from .compiled import inner, kernel
from .packets import Packets

#: Columns of a row. The two sockets A and B: A sent the first packet. PORTS is A's port * 65,536 + B's.
NEXT, HASH, A_HI, A_LO, B_HI, B_LO, PORTS = range(7)
#: First packet, its time, the last time by the rules, and the time of the last packet.
NUMBER, START, LAST, LATEST = range(7, 11)
#: Which end is the originator: 0 for A, 1 for B.
ORIGINATOR = 11
#: Letters of history: the last ones, how many these are, the chunk before FORMER, and the automaton of RSTOS0.
LETTERS, LETTER_COUNT, CHUNK, SYN_THEN_RST = range(12, 16)
#: Timers: when they fire; IDLE is how long nothing may happen.
ATTEMPT, DELETE, CHECK, IDLE = range(16, 20)
#: Why the row is dead; where the connection may be called established (for the patient ports).
DEATH, ESTABLISHED_ONCE = range(20, 22)
#: Events for our own verdict: how many were noted, which need not be noted again, first and last of the release.
EVENTS, MARKS, RELEASE_FIRST, RELEASE_LAST, LAST_SIDE = range(22, 27)
#: The word of letters before the last; whether an end's closing was put off, as something of it was pending.
FORMER, PUT_OFF = range(27, 29)
#: Who sent the last text, 0 for nobody; number and code of a last packet that is no event; what is wrong with packets.
LAST_TEXT, UNNOTED, FLAWS = range(29, 32)
#: Where the columns of an end begin: A's here, B's `END` further.
ENDS = 32

#: Columns of an end. States, and whether the rules have seen it close.
STATE, BEFORE, CLOSED_SEEN = range(3)
#: Sequence numbers, counted from START_SEQ, which is None until BEGUN.
BEGUN, START_SEQ, HIGH, ACKED, FIN_END, FINS = range(3, 9)
#: History: letters that were written, and the numbers of the first SYN, FIN and RST.
ONCE, FIRST_SYN, FIRST_FIN, FIRST_RST = range(9, 13)
#: Events that are counted: bad checksums, retransmissions, zero windows, gaps.
COUNT_C, COUNT_T, COUNT_W, COUNT_G = range(13, 17)
#: Reassembly: all before REASSEMBLED is there, or given up; a chain of blocks beyond it, their octets and number.
REASSEMBLED, BLOCKS, HELD, HELD_BLOCKS, SKIPS = range(17, 22)
#: For our own verdict.
PACKETS, TTLS, IP_IDS, UNANSWERED, PROBES, SAID_END, SAID_ACK, HEARD, FIN_ACKED, SPECIAL, SHUT = range(22, 33)
END = 33
WIDTH = ENDS + 2 * END

#: Bits of FLAWS: some were captured twice; of some not even the header was captured.
DOUBLED, CUT_SHORT = 1, 2

#: Events noted of a connection, at most; when there are more, the first ones and the last ones stay.
MOST_EVENTS = 16

NEVER = 1 << 62

Int64 = Annotated[Any, np.int64]


class Table(NamedTuple):
    """The arrays. What is free stands in a stack, and TOPS says how high each is."""

    buckets: Int64
    rows: Int64
    codes: Int64
    numbers: Int64
    #: Blocks of text beyond a hole: from, to, the next one.
    blocks: Int64
    #: Full words of letters: the word, and the chunk before.
    chunks: Int64
    free_rows: Int64
    free_blocks: Int64
    free_chunks: Int64
    #: Rows that died and wait to be told.
    dead: Int64
    tops: Int64


#: Places in `Table.tops`.
FREE_ROWS, FREE_BLOCKS, FREE_CHUNKS, DEAD = range(4)

_31 = (1 << 31) - 1


@inner
def end_hash(high: int, low: int, port: int) -> int:
    """31 bits from a socket; all steps stay below 2**63."""
    mixed = (low & _31) ^ ((low >> 31) & _31) ^ ((high & _31) * 7 & _31) ^ ((high >> 31) & _31)
    mixed = (mixed + port * 40503) & _31
    mixed = (mixed * 1540483477) & 0x3FFFFFFFFFFFFFFF
    return (mixed ^ mixed >> 29) & _31


@inner
def find(table: Table, packets: Packets, i: int, hashed: int) -> int:
    """The row of the connection that a packet belongs to, or -1."""
    rows = table.rows
    row = table.buckets[hashed % len(table.buckets)]
    straight = packets.sport[i] * 65536 + packets.dport[i]
    crossed = packets.dport[i] * 65536 + packets.sport[i]
    while row >= 0:
        if rows[row, HASH] == hashed:
            if (
                rows[row, PORTS] == straight
                and rows[row, A_LO] == packets.src_lo[i]
                and rows[row, B_LO] == packets.dst_lo[i]
                and rows[row, A_HI] == packets.src_hi[i]
                and rows[row, B_HI] == packets.dst_hi[i]
            ):
                return int(row)
            if (
                rows[row, PORTS] == crossed
                and rows[row, A_LO] == packets.dst_lo[i]
                and rows[row, B_LO] == packets.src_lo[i]
                and rows[row, A_HI] == packets.dst_hi[i]
                and rows[row, B_HI] == packets.src_hi[i]
            ):
                return int(row)
        row = rows[row, NEXT]
    return -1


@inner
def open_row(table: Table, packets: Packets, i: int, hashed: int) -> int:
    """A new row for the first packet of a connection. There must be a free one."""
    rows = table.rows
    table.tops[FREE_ROWS] -= 1
    row = table.free_rows[table.tops[FREE_ROWS]]
    for column in range(WIDTH):
        rows[row, column] = 0
    bucket = hashed % len(table.buckets)
    rows[row, NEXT] = table.buckets[bucket]
    table.buckets[bucket] = row
    rows[row, HASH] = hashed
    rows[row, A_HI], rows[row, A_LO] = packets.src_hi[i], packets.src_lo[i]
    rows[row, B_HI], rows[row, B_LO] = packets.dst_hi[i], packets.dst_lo[i]
    rows[row, PORTS] = packets.sport[i] * 65536 + packets.dport[i]
    rows[row, NUMBER] = packets.number[i]
    rows[row, START] = rows[row, LAST] = rows[row, LATEST] = packets.time[i]
    rows[row, CHUNK] = -1
    rows[row, ATTEMPT] = rows[row, DELETE] = NEVER
    rows[row, ENDS + REASSEMBLED] = rows[row, ENDS + END + REASSEMBLED] = 1
    rows[row, ENDS + BLOCKS] = rows[row, ENDS + END + BLOCKS] = -1
    rows[row, LAST_SIDE] = -1
    return int(row)


@inner
def side_of(rows: Any, row: int, packets: Packets, i: int) -> int:
    """Where the columns of the sender are."""
    from_a = (
        rows[row, PORTS] >> 16 == packets.sport[i]
        and rows[row, A_LO] == packets.src_lo[i]
        and rows[row, A_HI] == packets.src_hi[i]
    )
    return ENDS if from_a else ENDS + END


@kernel
def close_row(table: Table, row: int, why: int) -> None:
    """Take the row out of the table, and let it wait to be told."""
    rows = table.rows
    bucket = rows[row, HASH] % len(table.buckets)
    if table.buckets[bucket] == row:
        table.buckets[bucket] = rows[row, NEXT]
    else:
        before = table.buckets[bucket]
        while rows[before, NEXT] != row:
            before = rows[before, NEXT]
        rows[before, NEXT] = rows[row, NEXT]
    rows[row, DEATH] = why
    for base in (ENDS, ENDS + END):
        give_up_blocks(table, row, base)
    table.dead[table.tops[DEAD]] = row
    table.tops[DEAD] += 1


@kernel
def give_up_blocks(table: Table, row: int, base: int) -> None:
    """Forget the text beyond a hole."""
    block = table.rows[row, base + BLOCKS]
    while block >= 0:
        table.free_blocks[table.tops[FREE_BLOCKS]] = block
        table.tops[FREE_BLOCKS] += 1
        block = table.blocks[block, 2]
    table.rows[row, base + BLOCKS] = -1
    table.rows[row, base + HELD] = table.rows[row, base + HELD_BLOCKS] = 0


@kernel
def rehash(table: Table) -> None:
    """Chain the rows anew, after the number of buckets has changed; `dead` names the rows that are in use."""
    for bucket in range(len(table.buckets)):
        table.buckets[bucket] = -1
    for place in range(table.tops[DEAD]):
        row = table.dead[place]
        bucket = table.rows[row, HASH] % len(table.buckets)
        table.rows[row, NEXT] = table.buckets[bucket]
        table.buckets[bucket] = row
    table.tops[DEAD] = 0


def new_table(rows: int) -> Table:
    """An empty table with room for so many open connections."""
    spare = max(64, rows // 4)
    table = Table(
        buckets=np.full(rows, -1, np.int64),
        rows=np.zeros((rows, WIDTH), np.int64),
        codes=np.zeros((rows, MOST_EVENTS), np.int64),
        numbers=np.zeros((rows, MOST_EVENTS), np.int64),
        blocks=np.zeros((spare, 3), np.int64),
        chunks=np.zeros((spare, 2), np.int64),
        free_rows=np.arange(rows)[::-1].copy(),
        free_blocks=np.arange(spare)[::-1].copy(),
        free_chunks=np.arange(spare)[::-1].copy(),
        dead=np.zeros(rows, np.int64),
        tops=np.array([rows, spare, spare, 0]),
    )
    return table


def grown(table: Table, rows: bool, blocks: bool, chunks: bool) -> Table:
    """The table with twice the room for what is asked for. No dead row may wait."""
    assert table.tops[DEAD] == 0
    changed: dict[str, Any] = {}
    tops = table.tops.copy()
    if rows:
        size = len(table.rows)
        in_use = np.setdiff1d(np.arange(size), table.free_rows[: tops[FREE_ROWS]])
        for name in ("rows", "codes", "numbers"):
            changed[name] = _doubled(getattr(table, name))
        changed["buckets"] = np.empty(2 * size, np.int64)
        changed["dead"] = np.zeros(2 * size, np.int64)
        changed["dead"][: len(in_use)] = in_use
        changed["free_rows"] = _more_free(table.free_rows, tops, FREE_ROWS, size)
        tops[DEAD] = len(in_use)
    for wanted, name, top in ((blocks, "blocks", FREE_BLOCKS), (chunks, "chunks", FREE_CHUNKS)):
        if wanted:
            size = len(getattr(table, name))
            changed[name] = _doubled(getattr(table, name))
            changed[f"free_{name}"] = _more_free(getattr(table, f"free_{name}"), tops, top, size)
    return table._replace(tops=tops, **changed)


def _doubled(array: Any) -> Any:
    larger = np.zeros((2 * len(array), *array.shape[1:]), np.int64)
    larger[: len(array)] = array
    return larger


def _more_free(stack: Any, tops: Any, top: int, size: int) -> Any:
    larger = np.zeros(2 * size, np.int64)
    larger[: tops[top]] = stack[: tops[top]]
    larger[tops[top] : tops[top] + size] = np.arange(size, 2 * size)
    tops[top] += size
    return larger
