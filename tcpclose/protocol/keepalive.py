"""Keepalive (RFC 9293, 3.8.4): probes for a peer that has been silent while there was nothing to send to it."""

from __future__ import annotations

from tcpclose.protocol.config import TcpConfig


class Keepalive:
    """The timer of one connection. `at` is when it expires, in microseconds."""

    __slots__ = ("at", "probes")

    def __init__(self, config: TcpConfig, now: int) -> None:
        self.heard(config, now)

    def heard(self, config: TcpConfig, now: int) -> None:
        """The peer is there: nothing to ask for `keepalive_idle`."""
        self.probes = 0
        self.at = now + config.keepalive_idle

    def exhausted(self, config: TcpConfig) -> bool:
        """As many probes as are allowed were sent, and nobody answered (a single one proves nothing, MUST-29)."""
        return self.probes >= config.keepalive_count

    def probed(self, config: TcpConfig, now: int) -> None:
        self.probes += 1
        self.at = now + config.keepalive_interval
