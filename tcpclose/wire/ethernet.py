"""The Ethernet II header."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from .octets import Malformed, Octets

ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x0800, 0x86DD

_HEADER = Struct("!6s6sH")


class Frame(NamedTuple):
    """A frame's header, addresses as `"00:00:00:00:00:01"`, and its payload, padding included."""

    destination: str
    source: str
    ethertype: int
    payload: Octets


def ethernet_header(destination: str, source: str, ethertype: int = ETHERTYPE_IPV4) -> bytes:
    """The 14 octets before the payload. Raises `ValueError` for a text that is no address."""
    return _HEADER.pack(_octets(destination), _octets(source), ethertype)


def decode_ethernet(octets: Octets) -> Frame:
    """Read a frame without its check sequence, as packet sockets and captures have it. Raises `Malformed`."""
    if len(octets) < _HEADER.size:
        raise Malformed("truncated")
    destination, source, ethertype = _HEADER.unpack_from(octets)
    return Frame(destination.hex(":"), source.hex(":"), ethertype, octets[_HEADER.size :])


def _octets(address: str) -> bytes:
    octets = bytes.fromhex(address.replace(":", ""))
    if len(octets) != 6:
        raise ValueError(f"expected an Ethernet address such as 00:00:00:00:00:01, got {address!r}")
    return octets
