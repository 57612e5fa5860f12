"""Reassembly of IP datagrams from fragments (RFC 791, 3.2; RFC 8200, 4.5). Fragments are rare: this is plain Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import pack

from .frames import half, past_extensions

#: Octets that unfinished datagrams may hold, and how many of them: beyond that the oldest is given up.
_OCTETS, _DATAGRAMS = 8 * 1024 * 1024, 4096
_LONGEST = 65_535
#: What fragments are counted in.
_UNIT = 8


@dataclass(slots=True)
class _Datagram:
    #: IP header of the fragment that begins the datagram.
    header: bytes = b""
    payload: bytearray = field(default_factory=bytearray)
    #: 1 for every unit of the payload that is there.
    there: bytearray = field(default_factory=bytearray)
    #: Octets of the whole payload, once its last fragment has come.
    length: int = 0

    def add(self, offset: int, piece: bytes, more: bool) -> None:
        """Where fragments overlap, what came first stays."""
        unit, units = offset // _UNIT, -(-len(piece) // _UNIT)
        missing = unit + units - len(self.there)
        if missing > 0:
            self.there += bytes(missing)
            self.payload += bytes(missing * _UNIT)
        if not any(self.there[unit : unit + units]):
            self.there[unit : unit + units] = b"\1" * units
            self.payload[offset : offset + len(piece)] = piece
        else:
            for i in range(units):
                if not self.there[unit + i]:
                    self.there[unit + i] = 1
                    new = piece[i * _UNIT : (i + 1) * _UNIT]
                    self.payload[offset + i * _UNIT : offset + i * _UNIT + len(new)] = new
        if not more and not self.length:
            self.length = offset + len(piece)

    @property
    def complete(self) -> bool:
        units = -(-self.length // _UNIT)
        return 0 < units <= len(self.there) and self.there.find(0, 0, units) < 0


@dataclass(slots=True)
class Reassembly:
    """Datagrams of which some fragments have come, by addresses, protocol and identification; the oldest first."""

    _waiting: dict[bytes, _Datagram] = field(default_factory=dict)
    _held: int = 0

    def add(self, packet: bytes) -> bytes | None:
        """Add a fragment that was captured whole: the datagram that it completes, as an IP packet of its own."""
        ipv6 = packet[0] >> 4 == 6
        if ipv6:
            _, at, target = past_extensions(packet, packet[6], 40, len(packet))
            place, body = half(packet, at + 2), at + 8
            addresses = packet[8:24] + (packet[target : target + 16] if target else packet[24:40])
            header, name = packet[:4] + packet[at : at + 1] + packet[7:8] + addresses, packet[at + 4 : at + 8]
            offset, more = place & 0xFFF8, bool(place & 1)
        else:
            place, body = half(packet, 6), (packet[0] & 0xF) * 4
            header, name = packet[:body], packet[4:6] + packet[9:10]
            addresses = packet[12:20]
            offset, more = (place & 0x1FFF) * _UNIT, bool(place & 0x2000)
        piece = packet[body:]
        if not piece or (more and len(piece) % _UNIT) or len(header) + offset + len(piece) > _LONGEST:
            return None
        key = addresses + name
        datagram = self._waiting.setdefault(key, _Datagram())
        self._held -= len(datagram.payload)
        datagram.add(offset, piece, more)
        if offset == 0 and not datagram.header:
            datagram.header = header
        if datagram.complete and datagram.header:
            del self._waiting[key]
            return _whole(datagram, ipv6)
        self._held += len(datagram.payload)
        while self._held > _OCTETS or len(self._waiting) > _DATAGRAMS:
            self._held -= len(self._waiting.pop(next(iter(self._waiting))).payload)
        return None


def _whole(datagram: _Datagram, ipv6: bool) -> bytes:
    payload = datagram.payload[: datagram.length]
    header = datagram.header
    if ipv6:
        # Version and flow, length, protocol, hop limit, addresses: its extension headers have done their work.
        return header[:4] + pack(">H", len(payload)) + header[4:] + payload
    header = (
        header[:2]
        + pack(">H", len(header) + len(payload))
        + header[4:6]
        + bytes(2)
        + header[8:10]
        + bytes(2)
        + header[12:]
    )
    total = sum(half(header, i) for i in range(0, len(header), 2))
    return header[:10] + pack(">H", 0xFFFF - total % 0xFFFF) + header[12:] + payload
