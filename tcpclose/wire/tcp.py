"""The TCP header (RFC 9293, 3.1) and its options (3.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct

from ..protocol.datagram import Datagram, Endpoint
from ..protocol.options import SACK_BLOCK, SIZES, Kind, Layout, arrange
from ..protocol.segment import Segment
from .ip import TCP, address_octets, decode_ip, encode_ip
from .octets import Malformed, Octets, checksum, word_sum

#: ports, sequence and acknowledgment number, data offset, control bits, window, checksum, urgent pointer
_HEADER = Struct("!HHIIBBHHH")
_MSS_OPTION = Struct("!BBH")
_WSCALE_OPTION = Struct("!BBB")
_TIMESTAMPS_OPTION = Struct("!BBII")
_SACK_EDGES = Struct("!II")
_MINUTES = 0x8000  # the granularity bit of RFC 5482, 3.1: minutes instead of seconds
_RESERVED = 0x0F  # beside the data offset


@dataclass(slots=True)
class Packet:
    """A datagram with what its IP header says besides: identification (0 for IPv6) and time to live."""

    datagram: Datagram
    ident: int
    ttl: int


def encode_tcp(datagram: Datagram, ident: int, ttl: int = 64, layout: Layout = "linux") -> bytes:
    """The datagram as an IP packet of the version that its addresses are of; `layout` is that of options.

    `ident`, 0 to 65535, is the identification of an IPv4 packet, which has DF set; IPv6 has none.
    Raises `ValueError` when the text is too long for one packet. Fields must be in their ranges.
    """
    src, dst, segment = datagram
    source, destination = address_octets(src.address), address_octets(dst.address)
    options = encode_options(segment, layout)
    length = _HEADER.size + len(options)
    # The data offset counts 4-octet words in the high half of its octet: length / 4 * 16.
    header = _HEADER.pack(
        src.port,
        dst.port,
        segment.seq,
        segment.ack,
        length << 2 | segment.ctl >> 8,
        segment.ctl & 0xFF,
        segment.wnd,
        0,
        segment.up,
    )
    length += len(segment.data)
    pseudo = word_sum(source + destination) + TCP + length
    sum_ = checksum(pseudo + word_sum(header + options) + word_sum(segment.data))
    octets = b"%b%b%b%b%b" % (header[:16], sum_.to_bytes(2, "big"), header[18:], options, segment.data)
    return encode_ip(source, destination, TCP, octets, ident, ttl, ecn=segment.ecn)


def decode_tcp(octets: Octets) -> Packet:
    """Read an IP packet that carries a segment. Raises `Malformed`, and nothing else, whatever the octets.

    The checksum is verified before anything else of the segment is believed, so that the reasons "data offset" and
    "option length" tell of a peer that built the header wrongly, never of damage on the way, which is "bad TCP
    checksum". These two errors have the datagram, without text and options. Unknown options (MUST-6) are ignored;
    reserved bits (3.1) stand above the control bits in `Segment.ctl`, for the stack to ignore.
    """
    ip = decode_ip(octets)
    payload = ip.payload
    if ip.protocol != TCP:
        raise Malformed("not TCP")
    if len(payload) < _HEADER.size:
        raise Malformed("truncated")
    if (ip.pseudo + word_sum(payload)) % 0xFFFF:
        raise Malformed("bad TCP checksum")
    src, dst, seq, ack, offset, ctl, wnd, _, up = _HEADER.unpack_from(payload)
    start = (offset >> 4) * 4
    segment = Segment(seq, ack, ctl | (offset & _RESERVED) << 8, wnd, up=up, ecn=ip.ecn)
    datagram = Datagram(Endpoint(ip.source, src), Endpoint(ip.destination, dst), segment)
    if not _HEADER.size <= start <= len(payload):
        raise Malformed("data offset", datagram)
    if start > _HEADER.size:
        try:
            _decode_options(payload[_HEADER.size : start], segment)
        except Malformed as error:
            raise Malformed(error.reason, datagram) from None
    segment.data = bytes(payload[start:])
    return Packet(datagram, ip.ident, ip.ttl)


def encode_options(segment: Segment, layout: Layout) -> bytes:
    """The segment's options, in whole words of 4 octets."""
    return b"".join(_ENCODE[kind](segment) for kind in arrange(segment, layout))


def _encode_sack(segment: Segment) -> bytes:
    size = SIZES[Kind.SACK] + SACK_BLOCK * len(segment.sack)
    return bytes((Kind.SACK, size)) + b"".join(_SACK_EDGES.pack(*block) for block in segment.sack)


def _encode_user_timeout(segment: Segment) -> bytes:
    seconds = segment.user_timeout or 0
    value = seconds if seconds < _MINUTES else min(seconds // 60, _MINUTES - 1) | _MINUTES
    return _MSS_OPTION.pack(Kind.USER_TIMEOUT, _MSS_OPTION.size, value)


_ENCODE: dict[Kind, Callable[[Segment], bytes]] = {
    Kind.END: lambda segment: b"\0",
    Kind.NOP: lambda segment: b"\1",
    Kind.MSS: lambda segment: _MSS_OPTION.pack(Kind.MSS, _MSS_OPTION.size, segment.mss),
    Kind.WSCALE: lambda segment: _WSCALE_OPTION.pack(Kind.WSCALE, _WSCALE_OPTION.size, segment.wscale),
    Kind.SACK_PERMITTED: lambda segment: bytes((Kind.SACK_PERMITTED, 2)),
    Kind.SACK: _encode_sack,
    Kind.TIMESTAMPS: lambda segment: _TIMESTAMPS_OPTION.pack(
        Kind.TIMESTAMPS, _TIMESTAMPS_OPTION.size, *(segment.timestamps or ())
    ),
    Kind.USER_TIMEOUT: _encode_user_timeout,
}


def _decode_options(options: Octets, segment: Segment) -> None:
    """Read the options into `segment`; unknown ones are ignored (MUST-6).

    Raises `Malformed` for an illegal length (MUST-7).
    """
    at = 0
    while at < len(options) and (kind := options[at]) != Kind.END:
        if kind == Kind.NOP:
            at += 1
            continue
        size = options[at + 1] if at + 1 < len(options) else 0
        if size < 2 or at + size > len(options):
            raise Malformed("option length")
        if kind in SIZES and size != SIZES[Kind(kind)] and not (kind == Kind.SACK and size % SACK_BLOCK == 2):
            raise Malformed("option length")
        _decode_option(kind, options[at : at + size], segment)
        at += size


def _decode_option(kind: int, option: Octets, segment: Segment) -> None:
    if kind == Kind.TIMESTAMPS:
        _, _, value, echo = _TIMESTAMPS_OPTION.unpack(option)
        segment.timestamps = (value, echo)
    elif kind == Kind.SACK:
        segment.sack = tuple(_SACK_EDGES.iter_unpack(option[2:]))
    elif kind == Kind.MSS:
        segment.mss = _MSS_OPTION.unpack(option)[2]
    elif kind == Kind.WSCALE:
        segment.wscale = option[2]
    elif kind == Kind.SACK_PERMITTED:
        segment.sack_permitted = True
    elif kind == Kind.USER_TIMEOUT:
        value = _MSS_OPTION.unpack(option)[2]
        segment.user_timeout = (value - _MINUTES) * 60 if value & _MINUTES else value
