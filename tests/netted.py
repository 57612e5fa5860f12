"""Two hosts whose sockets talk to each other over a wire without delay: what the tests of sockets share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tcpclose.protocol.config import PROFILES, SECOND
from tcpclose.protocol.datagram import Endpoint
from tcpclose.protocol.sockets import Socket, SocketError, Sockets
from tcpclose.protocol.stack import Row, Stack

SERVER = Endpoint("192.0.2.1", 80)
CLIENT = "192.0.2.2"


class Net:
    """A server and a client host, and a wire without delay that can be cut."""

    def __init__(self, backlog: int = 5, **settings: object) -> None:
        profile = PROFILES[str(settings.pop("profile", "rfc9293"))]
        config = replace(profile, **{"msl": 5 * SECOND, "r1": 0, **settings})
        self.server = Sockets(Stack(config, b"secret", lambda pair: 300), SERVER.address)
        self.client = Sockets(Stack(config, b"secret", lambda pair: 100), CLIENT)
        self.now = 0
        self.wire: list[str] = []
        self.cut = False
        self.listener = self.server.socket()
        self.listener.bind(SERVER.port)
        self.listener.listen(backlog)

    def run(self) -> None:
        """Until nothing is on the wire."""
        hosts = {SERVER.address: self.server, CLIENT: self.client}
        while datagrams := [d for host in hosts.values() for d in host.stack.datagrams_to_send()]:
            for datagram in datagrams:
                self.wire.append(str(datagram.segment))
                if not self.cut:
                    hosts[datagram.dst.address].stack.segment_arrives(datagram, self.now)

    def at(self, seconds: float) -> None:
        until = round(seconds * SECOND)
        self.run()
        while times := [at for h in (self.server, self.client) if (at := h.stack.next_timeout()) is not None]:
            if min(times) > until:
                break
            self.now = max(self.now, min(times))
            self.server.stack.timeout(self.now)
            self.client.stack.timeout(self.now)
            self.run()
        self.now = until

    def begin(self) -> Socket:
        """A client socket that is connecting."""
        socket = self.client.socket()
        with fails("EINPROGRESS"):
            socket.connect(SERVER, self.now)
        return socket

    def pair(self) -> tuple[Socket, Socket]:
        """A client's and a server's socket, connected."""
        client = self.begin()
        self.run()
        server = self.listener.accept(self.now)
        self.wire.clear()
        return client, server

    def causes(self, host: Sockets) -> list[str]:
        return [str(item.what.cause) for item in host.news() if isinstance(item.what, Row) and item.what.cause]


def fails(errno: str):
    return pytest.raises(SocketError, match=f"^{errno}$")


def state(socket: Socket) -> str:
    return socket.option("TCP_INFO")["tcpi_state"]
