"""A segment with the pair of sockets that names its connection (RFC 9293, 3.3.1): what a `Stack` takes and gives."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from .segment import Segment


class Endpoint(NamedTuple):
    """The RFC's *socket*: an address in text form, `"10.0.0.1"`, and a port, 0 to 65535."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """The inverse of `str`: `"10.0.0.1:80"`. Raises `ValueError` when the text is not of that form."""
        address, _, port = text.rpartition(":")
        try:
            ip_address(address)
            if not (port.isdecimal() and int(port) <= 0xFFFF):
                raise ValueError(port)
        except ValueError:
            raise ValueError(f"expected ADDRESS:PORT such as 10.0.0.1:80, got {text!r}") from None
        return cls(address, int(port))


class Pair(NamedTuple):
    """The pair of sockets that names a connection (3.3.1)."""

    local: Endpoint
    remote: Endpoint

    def __str__(self) -> str:
        return f"{self.local} > {self.remote}"


class Datagram(NamedTuple):
    """One segment on its way from `src` to `dst`."""

    src: Endpoint
    dst: Endpoint
    segment: Segment
