"""From captured packets of any kind to the columns of TCP: link layers, IP, tunnels, the TCP header, checksums.

Octets are read only below `end`, the end of what was captured; `wire_end` is where the packet ended on the wire.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from .compiled import inner, kernel
from .packets import CHECK_BAD, CHECK_CUT, CHECK_GOOD, HEADER_BAD, HEADER_CUT, IcmpErrors, Int64, Packets
from .records import Records

#: In place of where an IP header is: the link type is not one of ours.
_FOREIGN = -2

#: LINKTYPE_*: how a captured packet begins (https://www.tcpdump.org/linktypes.html).
NULL, ETHERNET, PPP, PPP_HDLC, PPP_ETHER, C_HDLC, LOOP = 0, 1, 9, 50, 51, 104, 108
RAW, LINUX_SLL, IPV4, IPV6, LINUX_SLL2 = 101, 113, 228, 229, 276
#: Raw IP has other numbers in the files of some systems, which wrote DLT_RAW as it is there.
_RAWS = (RAW, IPV4, IPV6, 12, 14)

_VLANS = (0x8100, 0x88A8, 0x9100)
_MPLS = (0x8847, 0x8848)
_ETHER_IPV4, _ETHER_IPV6, _ETHER_BRIDGED, _ETHER_PPPOE = 0x0800, 0x86DD, 0x6558, 0x8864
#: PPP's numbers for IPv4 and IPv6.
_PPP_IPV4, _PPP_IPV6 = 0x0021, 0x0057

_ICMP, _IPIP, _TCP, _UDP, _IPV6, _GRE, _ICMPV6 = 1, 4, 6, 17, 41, 47, 58
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
_EXTENSIONS = (_HOP_BY_HOP, _ROUTING, _AUTHENTICATION, _DESTINATION)
#: Unreachable, source quench, time exceeded, parameter problem; of ICMPv6 also packet too big.
_ICMP_ERRORS, _ICMPV6_ERRORS = (3, 4, 11, 12), (1, 2, 3, 4)
_END_OF_OPTIONS, _NO_OPERATION, _TIMESTAMPS = 0, 1, 8
#: In place of a protocol's number: nothing that we can read; a fragment to be reassembled.
_NOTHING, _PIECE = -1, -2

#: What the octets of a word of this machine count: the one at the even place, the one at the odd.
_WORD = (0x1, 0x100) if sys.byteorder == "little" else (0x100, 0x1)

_VXLAN, _GENEVE = 4789, 6081
#: Tunnels inside tunnels, as deep as we look.
_DEEPEST = 2


class Pieces(NamedTuple):
    """Fragments to be reassembled: the row of their record, and where their IP header and their captured end are."""

    record: Int64
    start: Int64
    end: Int64


@inner
def half(data: Any, at: int) -> int:
    """16 bits in network order."""
    return int(data[at] * 0x100 + data[at + 1])


@inner
def quad(data: Any, at: int) -> int:
    """32 bits in network order."""
    return int(data[at] * 0x1000000 + data[at + 1] * 0x10000 + data[at + 2] * 0x100 + data[at + 3])


@inner
def ones(data: Any, words: Any, at: int, end: int) -> int:
    """The sum of the octets from `at` to `end` as 16-bit words in network order, modulo 0xFFFF (RFC 1071).

    `words` are the same octets as 16-bit integers of this machine, but for an odd one at the end. What is off by one
    octet, or in the other order, is off by a factor of 0x100, which is its own inverse modulo 0xFFFF.
    """
    total = 0
    if at < end:
        # In this form the compiler sees that it can add many at once.
        whole = words[(at + 1) // 2 : end // 2]
        for i in range(len(whole)):
            total += whole[i]
        if at % 2:
            total += data[at] * _WORD[1]
        if end % 2:
            total += data[end - 1] * _WORD[0]
    return int(total * _WORD[1 - at % 2] % 0xFFFF)


@kernel
def find_ip(data: Any, link: int, at: int, end: int) -> int:
    """Where the IP header of a captured packet is, -1 if there is none, or _FOREIGN."""
    if link in _RAWS:
        return at
    if link == ETHERNET:
        return _after_ethertype(data, at + 12, end)
    if link == LINUX_SLL:
        return _after_ethertype(data, at + 14, end)
    if link == LINUX_SLL2:
        # The protocol comes first, and the packet after the rest of its header.
        return _follow(data, half(data, at), at + 20, end) if at + 20 <= end else -1
    if link == C_HDLC:
        return _after_ethertype(data, at + 2, end)
    if link in (NULL, LOOP):
        # A family of addresses, whose number depends on the system: the packet itself tells better.
        return at + 4
    if link == PPP_HDLC and at < end and data[at] in (0x0F, 0x8F):
        # Cisco's framing, in a file that says PPP.
        return _after_ethertype(data, at + 2, end)
    if link in (PPP, PPP_HDLC):
        return _after_ppp(data, at, end)
    if link == PPP_ETHER:
        return _after_ppp(data, at + 6, end)
    return _FOREIGN


@kernel
def _after_ethertype(data: Any, at: int, end: int) -> int:
    return _follow(data, half(data, at), at + 2, end) if at + 2 <= end else -1


@kernel
def _follow(data: Any, ethertype: int, at: int, end: int) -> int:
    """Where the IP header is that an Ethertype before `at` leads to, or -1."""
    while ethertype in _VLANS and at + 4 <= end:
        ethertype = half(data, at + 2)
        at += 4
    if ethertype in (_ETHER_IPV4, _ETHER_IPV6):
        return at
    if ethertype == _ETHER_PPPOE:
        return _after_ppp(data, at + 6, end)
    if ethertype in _MPLS:
        while at + 4 <= end:
            at += 4
            if data[at - 2] & 1:
                return at
    if ethertype <= 1500 and at + 8 <= end and half(data, at) == 0xAAAA and quad(data, at + 2) == 0x03000000:
        # Not a type but a length, of a frame of IEEE 802.2 with a header of SNAP (RFC 1042).
        return at + 8 if half(data, at + 6) in (_ETHER_IPV4, _ETHER_IPV6) else -1
    return -1


@kernel
def _after_ppp(data: Any, at: int, end: int) -> int:
    """Past PPP's framing, where there is some, and its protocol, which may be compressed (RFC 1661, 6.5)."""
    if at + 2 <= end and half(data, at) == 0xFF03:
        at += 2
    if at < end and data[at] in (_PPP_IPV4, _PPP_IPV6):
        return at + 1
    if at + 2 <= end and half(data, at) in (_PPP_IPV4, _PPP_IPV6):
        return at + 2
    return -1


@inner
def _ipv4(data: Any, words: Any, at: int, end: int, wire_end: int, verify: bool) -> tuple[int, int, int]:
    """The protocol of an IPv4 packet, where its payload is, and where that ends on the wire."""
    header = (data[at] & 0xF) * 4
    total = half(data, at + 2)
    if total == 0 and not verify:
        # A segment that the network card was to cut up: nobody has written the length.
        total = end - at
    if header < 20 or total < header or at + header > end or at + total > wire_end:
        return _NOTHING, 0, 0
    if verify and ones(data, words, at, at + header):
        return _NOTHING, 0, 0
    fragment = half(data, at + 6)
    if fragment & 0x3FFF:
        if at + total <= end:
            return _PIECE, at + header, at + total
        if fragment & 0x1FFF:
            return _NOTHING, 0, 0
    return int(data[at + 9]), at + header, at + total


@kernel
def _ipv6(data: Any, at: int, end: int, wire_end: int) -> tuple[int, int, int, int]:
    """As `_ipv4`, and where the address of the destination is."""
    stop = at + 40 + half(data, at + 4)
    if at + 40 > end or stop > wire_end:
        return _NOTHING, 0, 0, 0
    protocol, payload, target = past_extensions(data, int(data[at + 6]), at + 40, min(end, stop))
    if protocol == _FRAGMENT and payload + 8 <= min(end, stop):
        if stop <= end:
            return _PIECE, payload, stop, 0
        if half(data, payload + 2) & 0xFFF8:
            return _NOTHING, 0, 0, 0
        protocol, payload = int(data[payload]), payload + 8
    return protocol, payload, stop, target if target else at + 24


@kernel
def past_extensions(data: Any, protocol: int, at: int, end: int) -> tuple[int, int, int]:
    """The first header that is no extension header of IPv6, or is that of a fragment, and its place.

    Also where the last destination is named, if a routing header of a kind that puts it at the end has not been worked
    off: it is the one that counts for the connection and its checksum (RFC 8200, 8.1). 0 otherwise.
    """
    target = 0
    while protocol in _EXTENSIONS:
        if at + 8 > end:
            return _NOTHING, at, 0
        length = (data[at + 1] + 2) * 4 if protocol == _AUTHENTICATION else (data[at + 1] + 1) * 8
        if at + length > end:
            return _NOTHING, at, 0
        if protocol == _ROUTING and data[at + 2] in (0, 2) and data[at + 3] and length % 16 == 8 and length > 8:
            target = at + length - 16
        protocol = int(data[at])
        at += length
    return protocol, at, target


@kernel
def _inside(data: Any, protocol: int, at: int, end: int) -> int:
    """Where the IP header is that a tunnel's header at `at` leads to, or -1."""
    if protocol in (_IPIP, _IPV6):
        return at
    if protocol == _GRE and at + 4 <= end:
        # RFC 2784 and 2890; no source routes (RFC 1701), and not PPTP's version.
        flags, ethertype = half(data, at), half(data, at + 2)
        if flags & 0x4007:
            return -1
        at += 4 + (flags >> 15 & 1) * 4 + (flags >> 13 & 1) * 4 + (flags >> 12 & 1) * 4
        return (
            _after_ethertype(data, at + 12, end) if ethertype == _ETHER_BRIDGED else _follow(data, ethertype, at, end)
        )
    if protocol == _UDP and at + 16 <= end:
        port = half(data, at + 2)
        if port == _VXLAN and data[at + 8] == 0x08:
            return _after_ethertype(data, at + 16 + 12, end)
        if port == _GENEVE and data[at + 8] >> 6 == 0:
            ethertype, at = half(data, at + 10), at + 16 + (data[at + 8] & 0x3F) * 4
            return (
                _after_ethertype(data, at + 12, end)
                if ethertype == _ETHER_BRIDGED
                else _follow(data, ethertype, at, end)
            )
    return -1


@kernel
def parse(
    data: Any,
    words: Any,
    records: Records,
    count: int,
    verify: bool,
    packets: Packets,
    errors: IcmpErrors,
    pieces: Pieces,
) -> tuple[int, int, int, int]:
    """Fill the tables from the first `count` records: the rows of each, and how many records have a foreign link type.

    `words` are `data` as 16-bit integers. Without `verify` no checksum is looked at.
    """
    rows = quotes = parts = foreign = 0
    for i in range(count):
        end = records.start[i] + records.captured[i]
        stop = records.start[i] + records.wire[i]
        at = find_ip(data, records.link[i], records.start[i], end)
        if at == _FOREIGN:
            foreign += 1
        for _ in range(_DEEPEST + 1):
            if at < 0 or at + 20 > end:
                break
            protocol, payload, stop, source, target = _ip(data, words, at, end, stop, verify)
            end = min(end, stop)
            if protocol == _PIECE:
                pieces.record[parts], pieces.start[parts], pieces.end[parts] = i, at, end
                parts += 1
            elif protocol == _TCP and payload + 20 <= end:
                packets.number[rows], packets.time[rows] = records.number[i], records.time[i]
                _packet(data, words, at, payload, end, stop, source, target, verify, packets, rows)
                rows += 1
            elif protocol in (_ICMP, _ICMPV6):
                errors.number[quotes], errors.time[quotes] = records.number[i], records.time[i]
                whole = verify and end == stop
                if _error(data, words, at, protocol, payload, end, source, target, whole, errors, quotes):
                    quotes += 1
            at = _inside(data, protocol, payload, end)
    return rows, quotes, parts, foreign


@inner
def _ip(data: Any, words: Any, at: int, end: int, stop: int, verify: bool) -> tuple[int, int, int, int, int]:
    """The protocol of an IP packet, where its payload is, where that ends on the wire, and where both addresses are."""
    version = data[at] >> 4
    if version == 4:
        protocol, payload, stop = _ipv4(data, words, at, end, stop, verify)
        return protocol, payload, stop, at + 12, at + 16
    if version == 6:
        protocol, payload, stop, target = _ipv6(data, at, end, stop)
        return protocol, payload, stop, at + 8, target
    return _NOTHING, 0, 0, 0, 0


@inner
def _packet(
    data: Any,
    words: Any,
    at: int,
    payload: int,
    end: int,
    stop: int,
    source: int,
    target: int,
    verify: bool,
    packets: Packets,
    row: int,
) -> None:
    """Fill a row from an IP packet at `at`, of whose TCP segment at `payload` 20 octets are there."""
    version = data[at] >> 4
    packets.ttl[row] = data[at + 8] if version == 4 else data[at + 7]
    packets.ip_id[row] = half(data, at + 4) if version == 4 else 0
    packets.src_hi[row], packets.src_lo[row] = _address(data, source, version)
    packets.dst_hi[row], packets.dst_lo[row] = _address(data, target, version)
    _segment(data, payload, end, stop, packets, row)
    if end < stop and not packets.broken[row]:
        packets.check[row] = CHECK_CUT
    elif verify and not packets.broken[row]:
        wrong = _transport_sum(data, words, version, source, target, _TCP, payload, end)
        packets.check[row] = CHECK_BAD if wrong else CHECK_GOOD


@inner
def _error(
    data: Any,
    words: Any,
    at: int,
    protocol: int,
    payload: int,
    end: int,
    source: int,
    target: int,
    verify: bool,
    errors: IcmpErrors,
    row: int,
) -> bool:
    """Fill a row from an ICMP error in an IP packet at `at`, if it quotes a TCP segment and its checksum is right."""
    version = data[at] >> 4
    if protocol != (_ICMP if version == 4 else _ICMPV6) or not _quote(data, version, payload, end, errors, row):
        return False
    if verify and _transport_sum(data, words, version, source, target, protocol, payload, end):
        return False
    errors.from_hi[row], errors.from_lo[row] = _address(data, source, version)
    return True


@inner
def _address(data: Any, at: int, version: int) -> tuple[int, int]:
    """The halves of an address."""
    if version == 4:
        return 0, 0xFFFF * 2**32 + quad(data, at)
    return quad(data, at) * 2**32 + quad(data, at + 4), quad(data, at + 8) * 2**32 + quad(data, at + 12)


@inner
def _transport_sum(
    data: Any, words: Any, version: int, source: int, target: int, protocol: int, at: int, end: int
) -> int:
    """0 if the checksum of what is from `at` to `end` is right (RFC 9293, 3.1; RFC 792; RFC 4443, 2.3)."""
    total = ones(data, words, at, end)
    if protocol != _ICMP:
        size = 4 if version == 4 else 16
        total += ones(data, words, source, source + size) + ones(data, words, target, target + size)
        total += protocol + end - at
    return total % 0xFFFF


@inner
def _segment(data: Any, at: int, end: int, stop: int, packets: Packets, row: int) -> None:
    """What the TCP header at `at` says, of which 20 octets are there; `check` is left to the caller."""
    packets.sport[row], packets.dport[row] = half(data, at), half(data, at + 2)
    packets.seq[row], packets.ack[row] = quad(data, at + 4), quad(data, at + 8)
    packets.flags[row] = half(data, at + 12) & 0xFFF
    packets.window[row] = half(data, at + 14)
    text = at + (data[at + 12] >> 4) * 4
    if text < at + 20 or text > end:
        packets.broken[row] = HEADER_CUT if at + 20 <= text <= stop else HEADER_BAD
        return
    packets.length[row] = stop - text
    packets.has_ts[row], packets.tsval[row], packets.tsecr[row] = _timestamps(data, at + 20, text)


@inner
def _timestamps(data: Any, at: int, end: int) -> tuple[int, int, int]:
    """Whether the options from `at` to `end` have timestamps, and which (RFC 7323, 3.2)."""
    while at + 1 < end and data[at] != _END_OF_OPTIONS:
        if data[at] == _NO_OPERATION:
            at += 1
        elif data[at] == _TIMESTAMPS and data[at + 1] == 10 and at + 10 <= end:
            return 1, quad(data, at + 2), quad(data, at + 6)
        elif data[at + 1] < 2:
            return 0, 0, 0
        else:
            at += data[at + 1]
    return 0, 0, 0


@kernel
def _quote(data: Any, version: int, at: int, end: int, errors: IcmpErrors, row: int) -> bool:
    """Fill a row from an ICMP error at `at`, if it is one that quotes a TCP segment up to its sequence number."""
    inner = at + 8
    if inner + 20 > end or data[inner] >> 4 != version:
        return False
    if version == 4:
        if data[at] not in _ICMP_ERRORS or data[inner + 9] != _TCP or half(data, inner + 6) & 0x1FFF:
            return False
        source, target, header = inner + 12, inner + 16, inner + (data[inner] & 0xF) * 4
    else:
        if data[at] not in _ICMPV6_ERRORS or inner + 40 > end:
            return False
        source, target = inner + 8, inner + 24
        protocol, header, last = past_extensions(data, int(data[inner + 6]), inner + 40, end)
        target = last if last else target
        if protocol != _TCP:
            return False
    if header + 8 > end:
        return False
    errors.version[row], errors.type[row], errors.code[row] = version, data[at], data[at + 1]
    errors.src_hi[row], errors.src_lo[row] = _address(data, source, version)
    errors.dst_hi[row], errors.dst_lo[row] = _address(data, target, version)
    errors.sport[row], errors.dport[row] = half(data, header), half(data, header + 2)
    errors.seq[row] = quad(data, header + 4)
    return True
