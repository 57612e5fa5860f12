"""The options of a segment (3.2): which there are, and how stacks arrange them.

The RFCs leave order and padding open, and both are a stack's fingerprint, so they are a setting
(`TcpConfig.option_layout`). A `Segment` knows what its options say, never where they stand.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Literal

from tcpclose.protocol.segment import Segment

Layout = Literal["linux", "bsd"]


class Kind(IntEnum):
    """Option kinds, by their number on the wire."""

    END = 0  # 3.2
    NOP = 1  # 3.2
    MSS = 2  # 3.2
    WSCALE = 3  # RFC 7323, 2.2
    SACK_PERMITTED = 4  # RFC 2018, 2
    SACK = 5  # RFC 2018, 3
    TIMESTAMPS = 8  # RFC 7323, 3.2
    USER_TIMEOUT = 28  # RFC 5482, 3.1


#: Octets of each option; SACK grows by 8 for each block.
SIZES = {
    Kind.END: 1,
    Kind.NOP: 1,
    Kind.MSS: 4,
    Kind.WSCALE: 3,
    Kind.SACK_PERMITTED: 2,
    Kind.SACK: 2,
    Kind.TIMESTAMPS: 10,
    Kind.USER_TIMEOUT: 4,
}
SACK_BLOCK = 8
TIMESTAMPS_LENGTH = 12  # with the padding that every layout gives them
USER_TIMEOUT_LENGTH = SIZES[Kind.USER_TIMEOUT]
SACK_PADDED = 4  # likewise, before the blocks
MOST_SACK_BLOCKS = 4
_SPACE = 40  # octets of options that the data offset has room for

#: In the place of the two NOPs that timestamps need; where there are no timestamps, NOPs come first.
_BEFORE_TIMESTAMPS = (0, 0)

#: The order of each layout, and where an option may start, modulo 4 octets: NOPs fill the gaps.
_ORDERS: dict[Layout, tuple[tuple[Kind, tuple[int, ...]], ...]] = {
    "linux": (
        (Kind.MSS, (0,)),
        (Kind.SACK_PERMITTED, _BEFORE_TIMESTAMPS),
        (Kind.TIMESTAMPS, (2,)),
        (Kind.WSCALE, (1,)),
        (Kind.USER_TIMEOUT, (0,)),
        (Kind.SACK, (2,)),
    ),
    "bsd": (
        (Kind.MSS, (0,)),
        (Kind.WSCALE, (1,)),
        (Kind.SACK_PERMITTED, (0, 2)),
        (Kind.TIMESTAMPS, (2,)),
        (Kind.USER_TIMEOUT, (0,)),
        (Kind.SACK, (2,)),
    ),
}


def mss_of_mtu(mtu: int, version: Literal[4, 6] = 4) -> int:
    """The MSS to announce on a link that carries packets of `mtu` octets, without options (3.7.1, RFC 6691).

    Raises `ValueError` when that leaves no room for text.
    """
    headers = {4: 20, 6: 40}[version] + 20
    if mtu <= headers:
        raise ValueError(f"an MTU of {mtu} octets leaves no room behind {headers} octets of headers")
    return min(mtu - headers, 0xFFFF)


def arrange(segment: Segment, layout: Layout) -> tuple[Kind, ...]:
    """The kinds of the segment's options in the order of `layout`, with its padding. Whole words of 4 octets."""
    return _arrange(_present(segment), layout)


def options_length(segment: Segment) -> int:
    """The octets that the segment's options take, padding included: the same in every layout."""
    present = _present(segment)
    return _length(present, len(segment.sack)) if present else 0


def sack_room(segment: Segment) -> int:
    """How many SACK blocks still fit beside the segment's other options (RFC 2018, 3)."""
    return (_SPACE - options_length(segment) - SACK_PADDED) // SACK_BLOCK


def _present(segment: Segment) -> int:
    """The options that stand in the segment, as a set of bits."""
    present = 0 if segment.timestamps is None else 1 << Kind.TIMESTAMPS
    if segment.sack:
        present |= 1 << Kind.SACK
    if segment.mss is not None:
        present |= 1 << Kind.MSS
    if segment.wscale is not None:
        present |= 1 << Kind.WSCALE
    if segment.sack_permitted:
        present |= 1 << Kind.SACK_PERMITTED
    if segment.user_timeout is not None:
        present |= 1 << Kind.USER_TIMEOUT
    return present


@cache
def _length(present: int, blocks: int) -> int:
    return sum(SIZES[kind] for kind in _arrange(present, "linux")) + SACK_BLOCK * blocks


@cache
def _arrange(present: int, layout: Layout) -> tuple[Kind, ...]:
    kinds: list[Kind] = []
    length = 0
    for kind, starts in _ORDERS[layout]:
        if not present & (1 << kind):
            continue
        if starts == _BEFORE_TIMESTAMPS and not present & (1 << Kind.TIMESTAMPS):
            starts = (2,)
        while length % 4 not in starts:
            kinds.append(Kind.NOP)
            length += 1
        kinds.append(kind)
        length += SIZES[kind]
    return (*kinds, *[Kind.END] * (-length % 4))
