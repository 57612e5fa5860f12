"""From the packets of a capture, block by block, to the rows of connections that are over: `Followers`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from . import table as t
from .compiled import inner, kernel, ready
from .dialects import Damage
from .noting import BROKEN, CODE_BITS, FROM_B, HARD, ICMP, describe, note, of_reset, record, record_trigger
from .packets import HEADER_CUT, Block, IcmpErrors, Packets
from .rules import (
    AT_END,
    BY_REUSE,
    RST,
    SESSION_TIMER,
    SYN,
    guess_direction,
    is_reuse,
    overdue,
    process,
    set_timers,
)
from .table import (
    ATTEMPT,
    CHECK,
    CUT_SHORT,
    DEAD,
    DELETE,
    END,
    ENDS,
    FLAWS,
    FREE_BLOCKS,
    FREE_CHUNKS,
    FREE_ROWS,
    IDLE,
    LAST,
    PACKETS,
    PORTS,
    UNNOTED,
    Table,
    close_row,
    end_hash,
    find,
    open_row,
    side_of,
)

#: Rows of a new table; it grows.
_ROWS_SMALL, _ROWS_FAST = 256, 16_384
#: Packets that are followed at a time, at least, while there are more.
_GATHERED = 65_536
#: Which share a connection falls to is told by the upper bits of its hash, since the lower ones choose its bucket.
_FIRST_OF_SHARE = 16
#: Most threads that follow connections.
_MOST_SHARES = 4
#: What one packet may need, at most: blocks, and chunks of letters.
_SPARE = 8

#: Version, type and code of hard errors: protocol and port unreachable (RFC 1122, 4.2.3.9), and their like of ICMPv6.
_HARD = ((4, 3, 2), (4, 3, 3), (6, 1, 4), (6, 1, 1))


@kernel
def follow(
    table: Table,
    packets: Packets,
    errors: IcmpErrors,
    clock: Any,
    later: Any,
    is_server: Any,
    share: int,
    shares: int,
    i: int,
    quote: int,
) -> tuple[int, int]:
    """Take packets and ICMP errors in the order of the capture, from `i` and `quote` on, until room is short.

    Of the connections, those are followed whose hash falls to this share.
    """
    tops = table.tops
    while i < len(packets.number):
        if tops[FREE_ROWS] < 1 or tops[FREE_BLOCKS] < _SPARE or tops[FREE_CHUNKS] < _SPARE:
            break
        hashed = end_hash(packets.src_hi[i], packets.src_lo[i], int(packets.sport[i]))
        hashed ^= end_hash(packets.dst_hi[i], packets.dst_lo[i], int(packets.dport[i]))
        if (hashed >> _FIRST_OF_SHARE) % shares == share:
            while quote < len(errors.number) and errors.number[quote] < packets.number[i]:
                hear_error(table, errors, quote)
                quote += 1
            take(table, packets, i, hashed, clock, later, is_server)
        i += 1
    return i, quote


@inner
def take(table: Table, packets: Packets, i: int, hashed: int, clock: Any, later: Any, is_server: Any) -> None:
    """One packet."""
    rows = table.rows
    flags, seq, check = int(packets.flags[i]), int(packets.seq[i]), int(packets.check[i])
    row = find(table, packets, i, hashed)
    if row >= 0:
        why, now = AT_END, int(clock[i])
        if now >= rows[row, LAST] + rows[row, IDLE] or now >= min(
            rows[row, CHECK], rows[row, DELETE], rows[row, ATTEMPT]
        ):
            why = overdue(rows, row, clock, later, i, now)
        if why == AT_END and flags & SYN:
            why = BY_REUSE if is_reuse(rows, row, side_of(rows, row, packets, i), flags, seq) else AT_END
        if why != AT_END:
            close_row(table, row, why)
            row = -1
    if row < 0:
        row = open_row(table, packets, i, hashed)
        set_timers(rows, row)
        guess_direction(rows, row, flags, is_server)
    e = side_of(rows, row, packets, i)
    if packets.broken[i]:
        if packets.broken[i] == HEADER_CUT:
            rows[row, FLAWS] |= CUT_SHORT
            return
        code = BROKEN | (0 if e == ENDS else FROM_B)
        record(rows, table.codes, table.numbers, row, code, packets.number[i])
        return
    ack, length, time = int(packets.ack[i]), int(packets.length[i]), int(packets.time[i])
    ttl, ip_id = int(packets.ttl[i]), int(packets.ip_id[i])
    rows[row, e + PACKETS] += 1
    code = describe(rows, row, e, flags, seq, ack, length)
    if flags & RST:
        code |= of_reset(rows, row, e, 2 * ENDS + END - e, flags, seq, ack, time, ttl, ip_id)
    window = int(packets.window[i])
    heard = process(table, row, e, flags, seq, ack, length, window, time, check)
    if heard and note(rows, row, code, packets.number[i], flags, seq, ack, length, window, time, ttl, ip_id):
        if flags & RST:
            record_trigger(rows, table.codes, table.numbers, row, code)
        record(rows, table.codes, table.numbers, row, code, packets.number[i])


@kernel
def hear_error(table: Table, errors: IcmpErrors, quote: int) -> None:
    """An ICMP error about a segment is an event of its connection."""
    hashed = end_hash(errors.src_hi[quote], errors.src_lo[quote], int(errors.sport[quote]))
    hashed ^= end_hash(errors.dst_hi[quote], errors.dst_lo[quote], int(errors.dport[quote]))
    row = table.buckets[hashed % len(table.buckets)]
    straight = errors.sport[quote] * 65536 + errors.dport[quote]
    crossed = errors.dport[quote] * 65536 + errors.sport[quote]
    while row >= 0:
        ports, from_a = table.rows[row, PORTS], table.rows[row, t.A_LO] == errors.src_lo[quote]
        if table.rows[row, t.HASH] == hashed and ports == (straight if from_a else crossed):
            kind = (errors.version[quote], errors.type[quote], errors.code[quote])
            hard = HARD if kind in _HARD else 0
            code = ICMP | hard | (0 if from_a else FROM_B)
            record(table.rows, table.codes, table.numbers, row, code, errors.number[quote])
            return
        row = table.rows[row, t.NEXT]


@kernel
def sweep(table: Table, clock: Any, later: Any, now: int) -> None:
    """Remove whom a timer has removed."""
    for bucket in range(len(table.buckets)):
        row = table.buckets[bucket]
        while row >= 0:
            following = table.rows[row, t.NEXT]
            why = overdue(table.rows, row, clock, later, len(clock) - 1, now)
            if why != AT_END:
                close_row(table, row, why)
            row = following


@kernel
def close_all(table: Table) -> None:
    """The capture is over."""
    for bucket in range(len(table.buckets)):
        while table.buckets[bucket] >= 0:
            close_row(table, table.buckets[bucket], AT_END)


@dataclass(slots=True)
class Stretch:
    """Some blocks in one, and the clock of the rules at each packet: packet time, which never goes back."""

    packets: Packets
    errors: IcmpErrors
    clock: Any
    #: For each packet, the place of the first one at which a timer that it starts for SESSION_TIMER has fired.
    later: Any
    #: The time after the last packet, of any kind.
    now: int
    fast: bool


def stretches(blocks: Iterable[Block]) -> Iterator[Stretch]:
    """The same packets in fewer pieces: much is done once for each. What is damaged is told after what is not."""
    waiting: list[Block] = []
    now = count = 0
    damage = None
    try:
        for block in blocks:
            waiting.append(block)
            count += len(block.packets.number)
            if count >= _GATHERED:
                stretch = _joined(waiting, now)
                yield stretch
                waiting, count, now = [], 0, stretch.now
    except Damage as error:
        damage = error
    if waiting:
        yield _joined(waiting, now)
    if damage is not None:
        raise damage


def ahead(stretches: Iterator[Stretch]) -> Iterator[Stretch]:
    """The same; while one is followed the next one is read, in a thread: compiled kernels let others run."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, stretches, None)
        while (stretch := coming.result()) is not None:
            coming = reader.submit(next, stretches, None)
            yield stretch


def _joined(blocks: list[Block], now: int) -> Stretch:
    packets = Packets(*(np.concatenate(columns) for columns in zip(*(b.packets for b in blocks), strict=True)))
    errors = IcmpErrors(*(np.concatenate(columns) for columns in zip(*(b.errors for b in blocks), strict=True)))
    clock = np.maximum.accumulate(np.concatenate([[now], packets.time]))[1:]
    later = np.searchsorted(clock, clock + SESSION_TIMER)
    latest = max([now, *clock[-1:].tolist(), *(block.latest or 0 for block in blocks)])
    return Stretch(_signed(packets), _signed(errors), clock, later, latest, blocks[0].fast)


@dataclass(slots=True)
class Dead:
    """Connections that are over: their rows (`table.py`), events, and the letters before the last ones of each row."""

    rows: Any
    codes: Any
    numbers: Any
    #: By the place in `rows`: the words of letters before the last one.
    earlier: dict[int, list[int]]


class Follower:
    """Follows a share of the connections of a capture. What it holds grows with those that are open."""

    def __init__(self, server_ports: frozenset[int], share: int, shares: int) -> None:
        self._is_server = np.zeros(65536, np.int64)
        self._is_server[list(server_ports)] = 1
        self._share, self._shares = share, shares
        self._table = t.new_table(_ROWS_SMALL)
        self._fast = False

    def feed(self, stretch: Stretch) -> list[Dead]:
        """The connections that end in a stretch."""
        packets, errors, clock, later = stretch.packets, stretch.errors, stretch.clock, stretch.later
        self._fast = stretch.fast
        if self._fast and len(self._table.rows) < _ROWS_FAST and self._table.tops[FREE_ROWS] == len(self._table.rows):
            self._table = t.new_table(_ROWS_FAST)
        go = ready(follow, self._fast)
        dead: list[Dead] = []
        i = quote = 0
        while i < len(packets.number):
            mine = self._is_server, self._share, self._shares
            i, quote = go(self._table, packets, errors, clock, later, *mine, i, quote)
            dead += self._told()
            if i < len(packets.number):
                self._grow()
        hear = ready(hear_error, self._fast)
        for left in range(quote, len(errors.number)):
            hear(self._table, errors, left)
        ready(sweep, self._fast)(self._table, clock, later, stretch.now)
        return dead + list(self._told())

    def finish(self) -> list[Dead]:
        """Those that are open when the capture ends."""
        ready(close_all, self._fast)(self._table)
        return list(self._told())

    def _grow(self) -> None:
        tops, size = self._table.tops, len(self._table.rows)
        rows = tops[FREE_ROWS] < size // 4
        self._table = t.grown(self._table, rows, tops[FREE_BLOCKS] < _SPARE, tops[FREE_CHUNKS] < _SPARE)
        if rows:
            ready(t.rehash, self._fast)(self._table)

    def _told(self) -> Iterator[Dead]:
        table = self._table
        count = int(table.tops[DEAD])
        if not count:
            return
        places = table.dead[:count]
        _note_silence(table, places)
        dead = Dead(table.rows[places], table.codes[places], table.numbers[places], {})
        for place in np.flatnonzero(dead.rows[:, t.CHUNK] >= 0).tolist():
            dead.earlier[place] = self._unchained(int(dead.rows[place, t.CHUNK]))
        free = table.tops[FREE_ROWS]
        table.free_rows[free : free + count] = places
        table.tops[FREE_ROWS] += count
        table.tops[DEAD] = 0
        yield dead

    def _unchained(self, chunk: int) -> list[int]:
        table, words = self._table, []
        while chunk >= 0:
            words.append(int(table.chunks[chunk, 0]))
            table.free_chunks[table.tops[FREE_CHUNKS]] = chunk
            table.tops[FREE_CHUNKS] += 1
            chunk = int(table.chunks[chunk, 1])
        return words[::-1]


class Followers:
    """All connections of a capture, shared out among as many threads as there are processors for them."""

    def __init__(self, server_ports: frozenset[int]) -> None:
        self._server_ports = server_ports
        self._all: list[Follower] = []

    def follow(self, stretches: Iterator[Stretch]) -> Iterator[Dead]:
        """The connections that end while packets come; they are told while the next packets are followed.

        Raises `Damage` behind the last one.
        """
        with ThreadPoolExecutor(_MOST_SHARES) as threads:
            under_way: list[Future[list[Dead]]] = []
            damage = None
            try:
                for stretch in stretches:
                    shares = min(len(os.sched_getaffinity(0)), _MOST_SHARES) if stretch.fast else 1
                    self._all = self._all or [Follower(self._server_ports, share, shares) for share in range(shares)]
                    found = [future.result() for future in under_way]
                    under_way = [threads.submit(follower.feed, stretch) for follower in self._all]
                    yield from chain.from_iterable(found)
            except Damage as error:
                damage = error
            for future in under_way:
                yield from future.result()
            if damage is not None:
                raise damage

    def finish(self) -> Iterator[Dead]:
        """Those that are open when the capture ends."""
        for follower in self._all:
            yield from follower.finish()


def _note_silence(table: Table, places: Any) -> None:
    """The last packet is an event where an end repeated itself and was not answered any more."""
    rows = table.rows
    repeated = np.maximum(rows[places, ENDS + t.UNANSWERED], rows[places, ENDS + END + t.UNANSWERED]) > 1
    last = places[repeated & (rows[places, UNNOTED] != 0) & (rows[places, t.EVENTS] < t.MOST_EVENTS)]
    places_of_last = last, rows[last, t.EVENTS]
    table.codes[places_of_last] = rows[last, UNNOTED] & (1 << CODE_BITS) - 1
    table.numbers[places_of_last] = rows[last, UNNOTED] >> CODE_BITS
    rows[last, t.EVENTS] += 1


def _signed(columns: Any) -> Any:
    """Addresses as signed integers, which kernels can mix with others."""
    changed = {name: getattr(columns, name).view(np.int64) for name in columns._fields if name[-3:] in ("_hi", "_lo")}
    return columns._replace(**changed)
