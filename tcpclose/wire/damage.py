"""What a bad link does to octets."""

from __future__ import annotations

from .ethernet import ETHERTYPE_IPV4, ETHERTYPE_IPV6, decode_ethernet
from .ip import TCP, decode_ip, upper
from .octets import Malformed, word_sum

_ETHERNET = 14


def damage(frame: bytes, place: float) -> bytes:
    """An Ethernet frame with one bit of its TCP segment flipped, `place` from 0 to 1; other frames as they are.

    The checksum shows it: one bit changes the sum of the words by a power of two, which is never a multiple of 65535.
    In a frame that was damaged before, two bits could make up for each other; then the next bit is taken.
    """
    try:
        ethernet = decode_ethernet(frame)
        ip = decode_ip(ethernet.payload)
    except Malformed:
        return frame
    if ethernet.ethertype not in (ETHERTYPE_IPV4, ETHERTYPE_IPV6) or ip.protocol != TCP or not ip.payload:
        return frame
    start = _ETHERNET + upper(ethernet.payload)[1]
    bits = len(ip.payload) * 8
    bit = int(place * bits)
    while True:
        segment = bytearray(ip.payload)
        segment[bit // 8] ^= 0x80 >> bit % 8
        if (ip.pseudo + word_sum(segment)) % 0xFFFF:
            return frame[:start] + bytes(segment) + frame[start + len(segment) :]
        bit = (bit + 1) % bits
