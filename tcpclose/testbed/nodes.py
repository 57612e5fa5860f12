"""Mininet's nodes and links, made all at once.

Mininet starts a shell for every node and orders everything through it, one round trip after the other: nearly all of
its time. Here a node gets its shell with the first command that somebody types, `Topo`, `net.get`, `cmd` and the CLI
work as they do, and what the network needs is collected as lines for one `ip -batch`.
"""

from __future__ import annotations

import os
from typing import Any

from mininet.link import Intf, Link
from mininet.node import Host
from mininet.nodelib import LinuxBridge


class _ShellLater:
    """A node whose namespaces exist, held by the process `pid`; its shell starts when there is a command for it."""

    shell: Any
    pid: int
    params: dict[str, Any]
    inNamespace: bool

    def startShell(self, mnopts: str | None = None) -> None:
        """Called by `Node.__init__`."""
        self.pid = self.params.get("pid", os.getpid())

    def _have_shell(self) -> None:
        if not self.shell:
            self.inNamespace, inside = False, self.inNamespace  # it shall enter a namespace, not make one
            super().startShell(f"-cda{self.pid}")  # type: ignore[misc]
            self.inNamespace = inside

    def sendCmd(self, *args: Any, **kwargs: Any) -> None:
        self._have_shell()
        super().sendCmd(*args, **kwargs)  # type: ignore[misc]

    def cmd(self, *args: Any, **kwargs: Any) -> str:
        self._have_shell()
        said: str = super().cmd(*args, **kwargs)  # type: ignore[misc]
        return said


class LabHost(_ShellLater, Host):  # type: ignore[misc]  # Mininet has no types
    """A host or router of Mininet in the namespaces of the process `pid`."""


class LabBridge(_ShellLater, LinuxBridge):  # type: ignore[misc]
    """A Linux bridge of Mininet, in the box itself."""

    def __init__(self, name: str, **params: Any) -> None:
        # To Mininet it is in a namespace until now, else it would be given `lo`, by a command.
        super().__init__(name, **{**params, "inNamespace": True})
        self.inNamespace, self.controlIntf = False, None


def command_line(net: Any) -> None:
    """Mininet's own, at standard input and output, until its user leaves it."""
    from mininet.cli import CLI

    CLI(net)


class _LabIntf(Intf):  # type: ignore[misc]
    """An interface that is made and configured by the lines of its link and its node."""

    def config(self, ip: str | None = None, **_: Any) -> dict[str, Any]:
        if ip:
            self.ip, self.prefixLen = ip.split("/")
        return {}


class RelayLink(Link):  # type: ignore[misc]
    """A Mininet link of two veth pairs, one for each node, whose inner ends are the relay's.

    `lines` is where the orders go that make it.
    """

    def __init__(self, node1: Any, node2: Any, inner: tuple[str, str], lines: list[str], **params: Any) -> None:
        self._inner, self._lines = inner, lines
        super().__init__(node1, node2, **{**params, "intf": _LabIntf})

    def makeIntfPair(
        self, intfname1: str, intfname2: str, addr1: str, addr2: str, node1: Any, node2: Any, **_: Any
    ) -> None:
        """Called by `Link.__init__` to make the interfaces."""
        outer = (intfname1, addr1, node1), (intfname2, addr2, node2)
        for inner, (name, mac, node) in zip(self._inner, outer, strict=True):
            peer = f"type veth peer name {name} address {mac} netns {node.pid}"
            self._lines.append(f"link add {inner} arp off up {peer}")
