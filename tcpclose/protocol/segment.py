"""The segment (RFC 9293, 3.1), sequence number arithmetic (3.4), and the text form of the RFC's figures.

A `Segment` carries what the state machine reasons about. Addresses and ports belong to the pair of
sockets that names a connection, so they travel beside it (`datagram.Datagram`), as in 3.10.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))

#: The order in which the RFC's figures name control bits.
_CTL_NAMES = (
    (SYN, "SYN"),
    (FIN, "FIN"),
    (RST, "RST"),
    (PSH, "PSH"),
    (ACK, "ACK"),
    (URG, "URG"),
    (ECE, "ECE"),
    (CWR, "CWR"),
)

#: Values of the ECN field (RFC 3168, 5): the sender takes part, and a router on the way was congested.
ECT_0, CE = 2, 3

MODULUS = 1 << 32
_HALF = 1 << 31


def seq_add(a: int, b: int) -> int:
    """`a + b` modulo 2**32 (3.4); `b` may be negative."""
    return (a + b) % MODULUS


def seq_diff(a: int, b: int) -> int:
    """The signed distance from `b` to `a`: -2**31 <= result < 2**31, positive when `a` comes after `b` (3.4)."""
    return (a - b + _HALF) % MODULUS - _HALF


@dataclass(slots=True)
class Segment:
    """One TCP segment. Numbers are absolute; `data` is the text.

    `ctl` holds the control bits, and above them the four reserved bits (3.1), which a correct stack ignores.

    The rest are options, absent when None, False or empty: `mss` in octets (3.7.1), `wscale` a shift count
    (RFC 7323, 2.2), `timestamps` as (TSval, TSecr) (RFC 7323, 3.2), `sack` blocks as (left edge, right edge)
    (RFC 2018, 3), `user_timeout` in seconds (RFC 5482). `ecn` is a field of the IP header around the segment.
    """

    seq: int
    ack: int = 0
    ctl: int = 0
    wnd: int = 0
    data: bytes = b""
    mss: int | None = None
    up: int = 0
    wscale: int | None = None
    sack_permitted: bool = False
    timestamps: tuple[int, int] | None = None
    sack: tuple[tuple[int, int], ...] = ()
    user_timeout: int | None = None
    ecn: int = 0

    @property
    def len(self) -> int:
        """SEG.LEN: octets of sequence space occupied, SYN and FIN counted (3.4)."""
        return len(self.data) + (1 if self.ctl & SYN else 0) + (1 if self.ctl & FIN else 0)

    @property
    def end(self) -> int:
        """The sequence number after the last one that the segment occupies."""
        return (self.seq + self.len) % MODULUS

    def __str__(self) -> str:
        return format_segment(self)


@cache
def format_ctl(ctl: int) -> str:
    """The names of the control bits, `"FIN,ACK"`; the empty string for none."""
    return ",".join(name for bit, name in _CTL_NAMES if ctl & bit)


def parse_ctl(text: str) -> int:
    """The inverse of `format_ctl`. Raises `ValueError` for a name that is no control bit."""
    bits = {name: bit for bit, name in _CTL_NAMES}
    ctl = 0
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name not in bits:
            raise ValueError(f"{name!r} is no control bit; there are {', '.join(bits)}")
        ctl |= bits[name]
    return ctl


def format_segment(segment: Segment, iss: int = 0, irs: int = 0) -> str:
    """The form of the RFC's figures, `<SEQ=100><ACK=300><CTL=FIN,ACK>`, with numbers relative to `iss` and `irs`.

    ACK is written only when the ACK bit is set, the text as `<DATA=octets>`.
    """
    parts = [f"<SEQ={seq_add(segment.seq, -iss)}>"]
    if segment.ctl & ACK:
        parts.append(f"<ACK={seq_add(segment.ack, -irs)}>")
    parts.append(f"<CTL={format_ctl(segment.ctl)}>")
    if segment.data:
        parts.append(f"<DATA={len(segment.data)}>")
    return "".join(parts)


_FIELD = re.compile(r"<(SEQ|ACK|CTL|DATA)(?:=([^<>]*))?>")


def parse_segment(text: str) -> Segment:
    """Read the text form. `<DATA=n>` stands for n zero octets, a bare `<DATA>` for one.

    Raises `ValueError` when the text is not of that form.
    """
    fields: dict[str, str | None] = {m[1]: m[2] for m in _FIELD.finditer(text)}
    if _FIELD.sub("", text).strip() or fields.get("SEQ") is None or fields.get("CTL") is None:
        raise ValueError(f"expected <SEQ=n>[<ACK=n>]<CTL=names>[<DATA=n>], got {text!r}")
    octets = int(fields["DATA"] or 1) if "DATA" in fields else 0
    segment = Segment(
        int(fields["SEQ"] or ""), int(fields.get("ACK") or 0), parse_ctl(fields["CTL"] or ""), data=bytes(octets)
    )
    if bool(segment.ctl & ACK) != ("ACK" in fields):
        raise ValueError(f"<ACK=n> stands exactly where the ACK bit is set: {text!r}")
    return segment
