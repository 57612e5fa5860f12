"""A segment with the pair of sockets that names its connection (RFC 9293, 3.3.1): what a `Stack` takes and gives."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from tcpclose.protocol.segment import Segment


class Endpoint(NamedTuple):
    """The RFC's *socket*: an address in text form, `"10.0.0.1"` or `"fd00::1"`, and a port, 0 to 65535."""

    address: str
    port: int

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """The inverse of `str`: `"10.0.0.1:80"`, `"[fd00::1]:80"` (RFC 5952, 6).

        Raises `ValueError` when the text is not of that form.
        """
        host, _, port = text.rpartition(":")
        address = host[1:-1] if host[:1] + host[-1:] == "[]" else host
        try:
            bracketed = address != host
            if (ip_address(address).version == 6) != bracketed or not (port.isdecimal() and int(port) <= 0xFFFF):
                raise ValueError(text)
        except ValueError:
            raise ValueError(f"expected ADDRESS:PORT such as 10.0.0.1:80 or [fd00::1]:80, got {text!r}") from None
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
