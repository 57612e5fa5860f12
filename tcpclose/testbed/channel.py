"""JSON lines over a socket or pipe, between the conductor of a run and its agents."""

from __future__ import annotations

import json
import socket
from typing import Any

#: The line by which the conductor says that from now on somebody sits at the command line.
COMMAND_LINE = '{"command_line": true}\n'


class Channel:
    """One end of a stream socket that carries one JSON object a line."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self._rest = b""
        self.closed = False

    def tell(self, **message: Any) -> None:
        """Send one message. Raises `OSError` when the other end is gone."""
        self.stream.sendall(json.dumps(message).encode() + b"\n")

    def hear(self) -> list[dict[str, Any]]:
        """Wait for octets and return the messages that are complete; `closed` when the other end is gone."""
        octets = self.stream.recv(1 << 16)
        self.closed = not octets
        *lines, self._rest = (self._rest + octets).split(b"\n")
        return [json.loads(line) for line in lines]
