"""What all the codecs share: the error they raise and the Internet checksum (RFC 1071)."""

from __future__ import annotations

from typing import TypeAlias

from ..protocol.datagram import Datagram

Octets: TypeAlias = bytes | bytearray | memoryview


class Malformed(ValueError):
    """Octets that are not what they should be; `reason` says how in a few fixed words, fit for counting.

    `datagram` is there when a TCP header with a right checksum is wrong: endpoints, SEQ, ACK and CTL can be told.
    """

    def __init__(self, reason: str, datagram: Datagram | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.datagram = datagram


def word_sum(octets: Octets) -> int:
    """The 16-bit words of `octets` added up modulo 65535, an odd last octet padded with zero.

    2**16 is 1 modulo 65535, so the octets read as one big number leave the same remainder as the sum of their words: no
    loop over words. Headers with a right checksum inside sum to 0.
    """
    total = int.from_bytes(octets, "big") % 0xFFFF
    return total << 8 if len(octets) & 1 else total


def checksum(total: int) -> int:
    """The checksum field that brings a `total` of words, the field itself counted as 0, to 0 modulo 65535."""
    return -total % 0xFFFF
