"""The TCP header (RFC 9293, 3.1) and its options (3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from ..protocol.datagram import Datagram, Endpoint
from ..protocol.segment import Segment
from .ipv4 import DONT_FRAGMENT, TCP, address_octets, decode_ipv4, encode_ipv4
from .octets import Malformed, Octets, checksum, word_sum

#: ports, sequence and acknowledgment number, data offset, control bits, window, checksum, urgent pointer
_HEADER = Struct("!HHIIBBHHH")
_END, _NO_OPERATION, _MSS = 0, 1, 2
_MSS_OPTION = Struct("!BBH")
_RESERVED = 0x0F  # beside the data offset


@dataclass(slots=True)
class Packet:
    """A datagram with what its IP header says besides: identification and time to live."""

    datagram: Datagram
    ident: int
    ttl: int


def encode_tcp(datagram: Datagram, ident: int, ttl: int = 64) -> bytes:
    """The datagram as an IPv4 packet with DF set; `ident` is its identification, 0 to 65535.

    Raises `ValueError` when the text is too long for one packet. Fields must be in their ranges.
    """
    src, dst, segment = datagram
    source, destination = address_octets(src.address), address_octets(dst.address)
    options = b"" if segment.mss is None else _MSS_OPTION.pack(_MSS, _MSS_OPTION.size, segment.mss)
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
    return encode_ipv4(source, destination, TCP, octets, ident, ttl, DONT_FRAGMENT)


def decode_tcp(octets: Octets) -> Packet:
    """Read an IP packet that carries a segment. Raises `Malformed`, and nothing else, whatever the octets.

    The checksum is verified before anything else of the segment is believed, so that the reasons "data offset" and
    "option length" tell of a peer that built the header wrongly, never of damage on the way, which is "bad TCP
    checksum". These two errors have the datagram, without text and options. Unknown options (MUST-6) are ignored;
    reserved bits (3.1) stand above the control bits in `Segment.ctl`, for the stack to ignore.
    """
    ip = decode_ipv4(octets)
    payload = ip.payload
    if ip.protocol != TCP:
        raise Malformed("not TCP")
    if len(payload) < _HEADER.size:
        raise Malformed("truncated")
    if (ip.pseudo + word_sum(payload)) % 0xFFFF:
        raise Malformed("bad TCP checksum")
    src, dst, seq, ack, offset, ctl, wnd, _, up = _HEADER.unpack_from(payload)
    start = (offset >> 4) * 4
    segment = Segment(seq, ack, ctl | (offset & _RESERVED) << 8, wnd, up=up)
    datagram = Datagram(Endpoint(ip.source, src), Endpoint(ip.destination, dst), segment)
    if not _HEADER.size <= start <= len(payload):
        raise Malformed("data offset", datagram)
    if start > _HEADER.size:
        try:
            segment.mss = _mss_option(payload[_HEADER.size : start])
        except Malformed as error:
            raise Malformed(error.reason, datagram) from None
    segment.data = bytes(payload[start:])
    return Packet(datagram, ip.ident, ip.ttl)


def _mss_option(options: Octets) -> int | None:
    """The value of the MSS option (3.7.1), None without one. Raises `Malformed` for an illegal length (MUST-7)."""
    mss = None
    at = 0
    while at < len(options) and (kind := options[at]) != _END:
        if kind == _NO_OPERATION:
            at += 1
            continue
        size = options[at + 1] if at + 1 < len(options) else 0
        if size < 2 or at + size > len(options) or (kind == _MSS and size != _MSS_OPTION.size):
            raise Malformed("option length")
        if kind == _MSS:
            mss = _MSS_OPTION.unpack_from(options, at)[2]
        at += size
    return mss
