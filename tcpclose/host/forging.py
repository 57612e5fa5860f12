"""Forged segments: what somebody on the path knows of a connection, and the octets that he makes of it.

Pure, and the same for all worlds: events of the trace go in, packets come out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tcpclose.host.names import Names
from tcpclose.protocol.addresses import is_ipv6
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.segment import ACK, FIN, SYN, Segment, parse_ctl, seq_add, seq_diff
from tcpclose.scenario import Scenario, ScenarioError
from tcpclose.scenario.faults import Injection, split_number
from tcpclose.trace.events import Event, Sent, segment_fields
from tcpclose.wire import encode_tcp
from tcpclose.wire.ip import TCP, address_octets, encode_ip, header_size
from tcpclose.wire.octets import checksum, word_sum

_TTL = 64
_LAST_IDENT = 0xFFFF
_RESERVED = 0x0F
_OFFSET_AT, _CHECKSUM_AT = 12, slice(16, 18)
_TOO_SHORT = 4  # words of 4 octets: the header has at least 5


@dataclass
class _Seen:
    """What one direction of a connection has shown: its first number, the next one, and the last ACK and window."""

    iss: int | None = None
    next: int | None = None
    ack: int | None = None
    wnd: int = 0

    def look(self, event: Sent) -> None:
        bits = parse_ctl(event.ctl)
        end = seq_add(event.seq, event.len + bool(bits & SYN) + bool(bits & FIN))
        if bits & SYN:
            self.iss = self.next = None
        if self.iss is None:
            self.iss = event.seq
        if self.next is None or seq_diff(end, self.next) > 0:
            self.next = end
        if bits & ACK:
            self.ack, self.wnd = event.ack, event.wnd


@dataclass(frozen=True)
class Forged:
    """One forged segment: its octets from the IP header on, and the event that tells of it."""

    datagram: Datagram
    ident: int
    packet: bytes


@dataclass
class Forger:
    """Watches a run, and forges what a fault orders. `addresses` are those of all hosts, by name."""

    scenario: Scenario
    addresses: Mapping[str, str]
    _seen: dict[tuple[str, str], _Seen] = field(default_factory=dict)  # by connection and the host that speaks
    _ident: int = _LAST_IDENT + 1

    @property
    def curious(self) -> bool:
        """There is something to forge in this run, so that `observe` is worth its time."""
        return any(isinstance(step.fault, Injection) for step in self.scenario.step)

    def observe(self, event: Event) -> None:
        """Learn from what the ends send; what is forged teaches nothing."""
        if isinstance(event, Sent) and event.connection in self.scenario.connection:
            host = event.host
            if Endpoint.parse(event.src).address == self.addresses[host]:
                self._seen.setdefault((event.connection, host), _Seen()).look(event)

    def forge(self, fault: Injection) -> Iterator[Forged]:
        """The segments of a fault. Raises `ScenarioError` when it counts from what nobody has seen."""
        source, target = self._ends(fault)
        bits = parse_ctl(fault.ctl)
        ours, theirs = fault.source, self._peer(fault)
        seq = self._number(fault, "seq", fault.seq, ours, theirs)
        ack = self._number(fault, "ack", "next" if fault.ack is None else fault.ack, theirs, ours) if bits & ACK else 0
        text = (fault.text or "").encode()
        for guess in range(fault.guesses):
            for _ in range(fault.count):
                segment = Segment(seq_add(seq, guess * fault.step), ack, bits, fault.wnd, text)
                datagram = Datagram(source, target, segment)
                ident = self._identification(source)
                yield Forged(datagram, ident, packet_octets(datagram, ident, fault.wrong))

    def _identification(self, source: Endpoint) -> int:
        """Downwards, as no stack does: they are told apart. IPv6 has none."""
        if is_ipv6(source.address):
            return 0
        self._ident = self._ident - 1 or _LAST_IDENT
        return self._ident

    def sent(self, fault: Injection, forged: Forged, now: int) -> Sent:
        """The event of the trace: the host sent it, whoever it says it is from."""
        fields = segment_fields(forged.datagram, fault.connection, forged.ident)
        return Sent(t=now, host=fault.host, **fields)

    def _peer(self, fault: Injection) -> str:
        connection = self.scenario.connection[fault.connection]
        return connection.server if fault.source == connection.client else connection.client

    def _ends(self, fault: Injection) -> tuple[Endpoint, Endpoint]:
        pair = Names(self.scenario, fault.source, self.addresses).pairs[fault.connection]
        return pair.local, pair.remote

    def _number(self, fault: Injection, key: str, given: int | str, speaker: str, listener: str) -> int:
        """A sequence number of the direction from `speaker` to `listener`."""
        if isinstance(given, int):
            return given
        base, distance = split_number(given)
        seen = self._seen.get((fault.connection, speaker), _Seen())
        heard = self._seen.get((fault.connection, listener), _Seen())
        edge = None if heard.ack is None else seq_add(heard.ack, heard.wnd << self._scale(speaker, listener))
        number = {"next": seen.next, "iss": seen.iss, "window": edge}[base]
        if number is None:
            raise ScenarioError(
                [f"inject on {fault.connection}: {key} = {given!r} counts from what has not been seen yet"]
            )
        return seq_add(number, distance)

    def _scale(self, speaker: str, listener: str) -> int:
        configs = [self.scenario.tcp_config(name) for name in (listener, speaker)]
        return configs[0].scale if all(config.window_scale for config in configs) else 0


def packet_octets(datagram: Datagram, ident: int, wrong: str | None = None) -> bytes:
    """The segment as an IP packet; what is `wrong` with its header is covered by a right checksum."""
    packet = encode_tcp(datagram, ident)
    if wrong is None:
        return packet
    tcp = bytearray(packet[header_size(datagram.src.address) :])
    match wrong:
        case "reserved bits":
            tcp[_OFFSET_AT] |= _RESERVED
        case "data offset":
            tcp[_OFFSET_AT] = _TOO_SHORT << 4
        case "option length":  # an MSS option of no octets
            tcp[20:20] = b"\2\0\1\1"
            tcp[_OFFSET_AT] += 1 << 4
    source, destination = address_octets(datagram.src.address), address_octets(datagram.dst.address)
    tcp[_CHECKSUM_AT] = bytes(2)
    sum_ = checksum(word_sum(source + destination) + TCP + len(tcp) + word_sum(tcp))
    if wrong == "checksum":
        sum_ ^= 0x0101
    tcp[_CHECKSUM_AT] = sum_.to_bytes(2, "big")
    return encode_ip(source, destination, TCP, bytes(tcp), ident, _TTL)
