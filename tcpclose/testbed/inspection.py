"""Middleboxes in the relay: frames in, and what a `middlebox.Middlebox` makes of them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tcpclose.network.middlebox import Middlebox, MiddleboxSettings
from tcpclose.wire import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    Malformed,
    decode_ethernet,
    decode_icmp,
    decode_tcp,
    encode_tcp,
    ethernet_header,
)
from tcpclose.wire.ip import ICMPS, TCP, peek
from tcpclose.wire.translate import translate, translate_error

_ETHERNET = 14  # octets


@dataclass(frozen=True)
class Box:
    """A middlebox whose `outside`, an interface with `address`, is at the `side` (0 or 1) of a link."""

    outside: str
    side: int
    address: str
    settings: MiddleboxSettings

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**fields, "settings": MiddleboxSettings(**fields["settings"])})


class FrameBox:
    """A running middlebox. What is neither TCP nor an ICMP error about it passes."""

    def __init__(self, box: Box) -> None:
        self._box = Middlebox(box.settings, box.address)
        self.forget = self._box.forget

    def inspect(self, frame: bytes, outward: bool, now: int) -> tuple[bytes | None, bytes | None]:
        """What passes of a frame on its way out, or in, and the frame that goes back."""
        ethernet = decode_ethernet(frame)
        packet = bytes(ethernet.payload)
        if ethernet.ethertype not in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
            return frame, None
        protocol, _ = peek(packet)
        if protocol in ICMPS:
            return self._inspect_error(frame, packet, outward, now), None
        if protocol != TCP:
            return frame, None
        valid = True
        try:
            datagram = decode_tcp(packet).datagram
        except Malformed as error:
            if error.datagram is None:  # damaged on the way, which is the receiver's to find out
                return frame, None
            datagram, valid = error.datagram, False
        onward, answer = self._box.inspect(datagram, outward, now, valid)
        header = ethernet_header(ethernet.source, ethernet.destination, ethernet.ethertype)
        return (
            frame[:_ETHERNET] + translate(packet, *onward) if onward else None,
            header + encode_tcp(answer, 0) if answer else None,
        )

    def _inspect_error(self, frame: bytes, packet: bytes, outward: bool, now: int) -> bytes | None:
        try:
            error = decode_icmp(packet)
        except Malformed:
            return frame
        if error is None:
            return frame
        passed = self._box.inspect_error(error, outward, now)
        if passed is None:
            return None
        ends = passed.local, passed.remote
        return frame[:_ETHERNET] + translate_error(packet, passed.reporter, passed.local.address, *ends)
