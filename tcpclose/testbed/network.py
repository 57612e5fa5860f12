"""From the plan of a network to running Mininet hosts, bridges and links; only inside a box (`box.py`).

Mininet's own classes make hosts and switches. Links are ours: every one leads through the relay, so that it can be cut.
Mininet warns and goes on where the kernel refuses, so what was ordered is verified after the start.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mininet.link import Link
from mininet.net import Mininet
from mininet.node import Host
from mininet.nodelib import LinuxBridge

from tcpclose.testbed.relay import Joint, LostFrame, Relay
from tcpclose.topology import Interface, Network

#: Offloads hide what is on the wire: segments joined or not yet cut, checksums not yet computed.
_OFFLOADS = {
    "rx": "rx-checksumming",
    "tx": "tx-checksumming",
    "sg": "scatter-gather",
    "tso": "tcp-segmentation-offload",
    "gso": "generic-segmentation-offload",
    "gro": "generic-receive-offload",
}

#: IPv6 would put frames of its own on the wire (router solicitations, multicast reports).
_NO_IPV6 = "for all in /proc/sys/net/ipv6/conf/*/disable_ipv6; do [ ! -e $all ] || echo 1 >$all; done"


class NetworkError(RuntimeError):
    """The network is not what was ordered; the message is for people."""


class RelayLink(Link):  # type: ignore[misc]  # Mininet has no types
    """A Mininet link of two veth pairs, one for each node, whose inner ends are the relay's."""

    def __init__(self, node1: Any, node2: Any, inner: tuple[str, str], **params: Any) -> None:
        self._inner = inner
        super().__init__(node1, node2, **params)

    def makeIntfPair(  # noqa: N802
        self, intfname1: str, intfname2: str, addr1: str, addr2: str, node1: Any, node2: Any, **_: Any
    ) -> None:
        """Called by `Link.__init__` to make the interfaces."""
        for inner, name, mac, node in zip(
            self._inner, (intfname1, intfname2), (addr1, addr2), (node1, node2), strict=True
        ):
            _shell(
                f"ip link add {inner} type veth peer name {name} address {mac} netns {node.pid}\n"
                f"ip link set {inner} arp off up"
            )


class _Net(Mininet):  # type: ignore[misc]
    inited = True  # Mininet.init would raise limits of the whole machine and change TCP's sysctls


class EmulatedNetwork:
    """A running network: Mininet hosts, Linux bridges, links through the relay, a capture of every host interface.

    The kernel of a host drops all TCP but that of its `kernel_ports` (destination ports, for either role), so that a TCP
    of ours can own the rest; kernels of `linux_hosts` are left alone. Captures are `run_dir`/INTERFACE.pcap. Leaving the
    context ends captures and relay; hosts and switches end with the box. Raises `NetworkError` or `RelayError` when the
    network is not as ordered.
    """

    def __init__(
        self,
        plan: Network,
        seed: int,
        run_dir: Path,
        kernel_ports: Mapping[str, Collection[int]] | None = None,
        linux_hosts: Collection[str] = (),
    ) -> None:
        self.plan = plan
        self.seed = seed
        self.run_dir = run_dir
        self._kernel_ports = kernel_ports or {}
        self._linux_hosts = linux_hosts
        self._captures: dict[str, subprocess.Popen[str]] = {}
        for host in (*self._kernel_ports, *linux_hosts):
            if host not in plan.hosts:
                raise NetworkError(f"there is no host {host}")

    def __enter__(self) -> Self:
        _shell(_NO_IPV6)
        self.net = _Net(host=Host, switch=LinuxBridge, link=RelayLink, controller=None)
        for name, interface in self.plan.hosts.items():
            self.net.addHost(name, ip=f"{interface.address}/{interface.prefix}")
        for name in self.plan.switches:
            self.net.addSwitch(name)
        joints = list(self._add_links())
        self.net.build()
        self.net.start()
        for host in self.plan.hosts:
            self._prepare_host(host)
        self._prepare_switches(joints)
        self._relay = Relay(self.seed, joints)
        try:
            self._start_captures()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop_captures()
        finally:
            self._relay.close()

    # ---- While it runs

    def popen(self, host: str, argv: Sequence[str], **kwargs: Any) -> subprocess.Popen[Any]:
        """Start a process in the namespaces of a host, in a session of its own; `kwargs` are those of `Popen`."""
        return subprocess.Popen(self._on(host, argv), **kwargs)

    def fault(self, name: str, target: str) -> int:
        """Let a fault of `relay.FAULTS` strike a link or a host; when it took effect (us, CLOCK_MONOTONIC)."""
        return self._relay.fault(name, target)

    def losses(self) -> list[LostFrame]:
        """The TCP segments that links lost since the last call."""
        return self._relay.losses()

    def overruns(self) -> dict[str, int]:
        """Frames lost because this machine was too slow, by direction; a run with any did not go as ordered."""
        return self._relay.overruns()

    def fileno(self) -> int:
        """Readable when `losses` has something new, for `select`."""
        return self._relay.fileno()

    # ---- Building

    def _add_links(self) -> Iterator[Joint]:
        for number, link in enumerate(self.plan.links.values()):
            inner = (f"relay-{number}a", f"relay-{number}b")  # a node's name has no "-"
            macs = [
                self.plan.hosts[end].mac if end in self.plan.hosts else f"02:00:00:{number >> 8:02x}:{number & 255:02x}:0{side}"
                for side, end in enumerate(link.ends)
            ]
            self.net.addLink(
                *link.ends, port1=link.ports[0], port2=link.ports[1], addr1=macs[0], addr2=macs[1], inner=inner
            )
            yield Joint(link.name, link.ends, inner, link.settings)

    def _prepare_host(self, host: str) -> None:
        own = self.plan.hosts[host]
        script = [_NO_IPV6, _offloads_off(own.name)]
        # Entries that never expire: no ARP exchange gets in the way of a run, or is lost with a link.
        neighbours = [other for name, other in self.plan.hosts.items() if name != host]
        script += [f"ip neigh replace {other.address} lladdr {other.mac} dev {own.name} nud permanent" for other in neighbours]
        # A packet socket hears a segment before INPUT does, so this silences the kernel without making us deaf.
        rules = [] if host in self._linux_hosts else self._rules(host)
        script += [f"iptables -w {rule}" for rule in rules]
        script += [f"ip -4 -o address show dev {own.name}", "ip neigh show nud permanent", "iptables -w -S INPUT"]
        seen = _shell("\n".join(script), self._on(host, []))
        wanted = [f"inet {own.address}/{own.prefix} ", *rules]
        wanted += [f"{other.address} dev {own.name} lladdr {other.mac} PERMANENT" for other in neighbours]
        for words in wanted:
            if words not in seen:
                raise NetworkError(f"host {host} is not as ordered: {words!r} is not in {seen!r}")

    def _rules(self, host: str) -> list[str]:
        ports = sorted(self._kernel_ports.get(host, ()))
        kept = [f"-A INPUT ! -i lo -p tcp -m tcp --dport {port} -j ACCEPT" for port in ports]
        return [*kept, "-A INPUT ! -i lo -p tcp -j DROP"]

    def _prepare_switches(self, joints: Sequence[Joint]) -> None:
        """The relay's ends and the bridges; all of them live in the box itself."""
        for inner in (name for joint in joints for name in joint.interfaces):
            _shell(_offloads_off(inner))
        for switch in self.plan.switches:
            ports = [name for link in self.plan.links.values() for node, name in zip(link.ends, link.interfaces, strict=True) if node == switch]
            for port in ports:
                _shell(_offloads_off(port))
            bridged = {path.name for path in Path(f"/sys/class/net/{switch}/brif").glob("*")}
            if bridged != set(ports):
                raise NetworkError(f"switch {switch} joins {sorted(bridged)} instead of {sorted(ports)}")

    def _on(self, host: str, argv: Sequence[str]) -> list[str]:
        return ["mnexec", "-da", str(self.net.get(host).pid), *argv]

    # ---- Captures: by a program that is not ours, as the witness

    def _start_captures(self) -> None:
        for host, interface in self.plan.hosts.items():
            file = self.run_dir / f"{interface.name}.pcap"
            command = ["dumpcap", "-q", "-P", "-i", interface.name, "-w", str(file)]
            self._captures[interface.name] = self.popen(
                host, command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
            )
        for name, process in self._captures.items():
            said = ""
            assert process.stderr is not None
            for line in process.stderr:
                said += line
                if line.startswith("File:"):
                    break
            else:
                raise NetworkError(f"no capture of {name}: {' '.join(said.split())}")

    def stop_captures(self) -> None:
        """End all captures; their files are complete then. Raises `NetworkError` when a capture lost frames."""
