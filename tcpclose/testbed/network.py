"""From the plan of a network to running Mininet hosts, bridges and links; only inside a box (`box.py`).

Mininet's own classes make hosts and switches. Links are ours: every one leads through the relay, so that it can be cut.
Mininet warns and goes on where the kernel refuses, so what was ordered is verified after the start.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mininet.link import TCLink
from mininet.net import Mininet

from tcpclose.aside import aside, part
from tcpclose.links import ETHERNET_MTU, Parties
from tcpclose.network.forwarding import Route
from tcpclose.protocol.addresses import is_ipv6
from tcpclose.testbed import tclink
from tcpclose.testbed.inspection import Box
from tcpclose.testbed.namespaces import hold, switch_offloads_off
from tcpclose.testbed.nodes import LabBridge, LabHost, RelayLink
from tcpclose.testbed.relay import Joint, Relay, Report
from tcpclose.topology import Interface, LinkPlan, Network, port_mac
from tcpclose.wire import Malformed, read_pcap

Mininet.inited = True  # else it raises limits of the whole machine and changes TCP's sysctls

#: IPv6 and bridges would put frames of their own on the wire: router solicitations, multicast reports.
_NO_CHATTER = """
echo 0 >/proc/sys/net/ipv4/igmp_link_local_mcast_reports
for setting in /proc/sys/net/ipv6/conf/*/disable_ipv6; do
    [ ! -e $setting ] || echo 1 >$setting
done
"""

#: Routers do as they are told and say nothing unasked: no redirects, no doubts about sources. Errors are not limited
#: but for those of routes that lead nowhere, see `forwarding.Credit`.
_FORWARD = """
cd /proc/sys/net/ipv4
echo 1 >ip_forward
echo 0 >icmp_ratemask
for node in conf/*; do
    echo 0 >$node/send_redirects
    echo 0 >$node/rp_filter
    echo 1 >$node/ignore_routes_with_linkdown
done
"""

_NO_GROUPS = "-A OUTPUT -d ff00::/8 -j DROP"

#: IPv6 with the addresses that are ordered and no others, at once. Multicast reports cannot be switched off: they are
#: kept from leaving.
_IPV6 = f"""
for node in /proc/sys/net/ipv6/conf/*; do
    echo 1 >$node/addr_gen_mode
    echo 0 >$node/accept_dad
done
ip6tables -w {_NO_GROUPS}
echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6
"""

#: As `_FORWARD`. There are no redirects: they would need link-local addresses.
_FORWARD_IPV6 = """
cd /proc/sys/net/ipv6
echo 1000 >icmp/ratelimit
echo 1 >icmp/ratemask
for node in conf/*; do
    echo 1 >$node/forwarding
    echo 1 >$node/ignore_routes_with_linkdown
done
"""
_IPV6_METRIC = 1024  # what Linux gives a route without one

_INPUT = "-A INPUT ! -i lo -p tcp"

#: dumpcap reads a frame up to 250 ms after its arrival (CAP_READ_TIMEOUT), and stops at once when told to.
_CAPTURE_DELAY = 0.5
_CAPTURED = re.compile(r"Packets captured: (\d+)")
_DROPPED = re.compile(r"received/dropped on interface .*: \d+/(\d+) ")
_PATIENCE = 30.0  # s that a program may take that should answer at once


class NetworkError(RuntimeError):
    """The network is not what was ordered; the message is for people."""


def _shell(script: str, prefix: Sequence[str] = ()) -> str:
    done = subprocess.run([*prefix, "sh", "-ec", script], capture_output=True, text=True)
    if done.returncode:
        raise NetworkError(" ".join((done.stderr or script).split()))
    return done.stdout


def _lines(command: str, lines: Sequence[str]) -> str:
    """A command of a shell, and what it reads."""
    return "\n".join([f"{command} <<END", *lines, "END"])


def _batch(lines: Sequence[str]) -> None:
    """Let `ip` do many things in the box itself, in one go."""
    _shell(_lines("ip -batch -", lines))


def _hear(process: subprocess.Popen[str], word: str) -> str:
    """What a process says on its standard error up to `word`, to its end, or to the end of our patience."""
    assert process.stderr is not None
    said, deadline = b"", time.monotonic() + _PATIENCE
    while word.encode() not in said:
        if not select.select([process.stderr], [], [], max(deadline - time.monotonic(), 0))[0]:
            said += b"nothing more"
            break
        if not (octets := os.read(process.stderr.fileno(), 4096)):
            break
        said += octets
    return " ".join(said.decode(errors="replace").split())


def _route(route: Route) -> str:
    """A route as `ip route` reads and shows it."""
    prefix = "default" if route.prefix in ("0.0.0.0/0", "::/0") else route.prefix
    number = route.metric + (_IPV6_METRIC if is_ipv6(route.via) else 0)
    metric = f" metric {number}" if number else ""
    return f"{prefix} via {route.via} dev {route.interface}{metric}"


class EmulatedNetwork:
    """A running network: Mininet hosts and routers, Linux bridges, links through the relay, captures at interfaces.

    The kernel of a host drops all TCP except to its `kernel_ports`, so that a TCP of ours can own the rest; the kernels
    of `linux_hosts` and routers are left alone. `parties` are who is who in the fates of links. Captures are
    `run_dir`/INTERFACE.pcap. `net` is Mininet's own object. Leaving the context ends captures and relay; nodes end with
    the box, so one box holds one network. Raises `NetworkError` or `RelayError` when the network is not as ordered.
    """

    def __init__(
        self,
        plan: Network,
        seed: int,
        run_dir: Path,
        kernel_ports: Mapping[str, Collection[int]] | None = None,
        linux_hosts: Collection[str] = (),
        parties: Parties | None = None,
    ) -> None:
        self.plan = plan
        self._ipv6 = plan.ip_version == 6
        self.seed = seed
        self.run_dir = run_dir
        self._kernel_ports = kernel_ports or {}
        self._linux_hosts = linux_hosts
        self._parties = parties
        self._captures: dict[str, subprocess.Popen[str]] = {}
        for host in (*self._kernel_ports, *linux_hosts):
            if host not in plan.hosts:
                raise NetworkError(f"there is no host {host}")

    def __enter__(self) -> Self:
        _shell(_NO_CHATTER)
        self.net = Mininet(host=LabHost, switch=LabBridge, link=RelayLink, controller=None)
        nodes = [*self.plan.hosts, *self.plan.routers]
        for name, pid in zip(nodes, hold(len(nodes)), strict=True):
            self.net.addHost(name, pid=pid, ip=None)  # addresses are those of interfaces
        for name in self.plan.switches:
            self.net.addSwitch(name)
        lines = [f"link add {name} up type bridge" for name in self.plan.switches]
        joints = list(self._add_links(lines))
        _batch(lines)
        self.net.built = True
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # the work is done by programs, one beside the other
            list(pool.map(self._prepare_host, self.plan.hosts))
            list(pool.map(self._prepare_router, self.plan.routers))
        self._prepare_switches(joints)
        self._switch_offloads_off(joints)
        self._check_tclinks()
        self._relay = Relay(self.seed, joints, self._parties)
        self._start_captures()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop_captures()
        except NetworkError:
            if error is None:  # else the first error is the one to tell
                raise
        finally:
            self._relay.close()

    # ---- While it runs

    def popen(self, host: str, argv: Sequence[str], **kwargs: Any) -> subprocess.Popen[Any]:
        """Start a process in the namespaces of a host, in a session of its own; `kwargs` are those of `Popen`."""
        return subprocess.Popen(self._on(host, argv), **kwargs)

    def fault(self, name: str, target: str, way: str = "out") -> int:
        """Let a fault of `relay.FAULTS` strike a link or a host; when it took effect (us, CLOCK_MONOTONIC)."""
        return self._relay.fault(name, target, way)

    def run(self, node: str, script: str) -> str:
        """What a shell on a host or router prints. Raises `NetworkError` when the script fails."""
        return _shell(script, self._on(node, []))

    def reports(self) -> list[Report]:
        """The TCP segments that links lost since the last call, or to which they did something else."""
        return self._relay.reports()

    def overruns(self) -> dict[str, int]:
        """Frames lost because this machine was too slow, by direction; a run with any did not go as ordered."""
        return self._relay.overruns()

    def fileno(self) -> int:
        """Readable when `reports` has something new, for `select`."""
        return self._relay.fileno()

    # ---- Building

    def _add_links(self, lines: list[str]) -> Iterator[Joint]:
        """Let Mininet know of the links; the orders that make them go to `lines`."""
        places = {place.name: place for _, place in self.plan.owners.values()}
        for number, link in enumerate(self.plan.links.values()):
            inner = (f"relay-{number}a", f"relay-{number}b")  # a node's name has no "-"
            ours = link.made_by == "relay"
            params: dict[str, Any] = {"inner": inner, "lines": lines}
            if not ours:
                params = {"cls": TCLink, **tclink.parameters(link)}
            for side, port in enumerate(link.ports):
                place = places.get(link.interfaces[side])
                params[f"port{side + 1}"] = port
                params[f"addr{side + 1}"] = place.mac if place else port_mac(number, side)
            self.net.addLink(*link.ends, **params)
            if ours:
                yield Joint(link.name, link.ends, inner, link.both, link.fates, self._box_at(link))

    def _box_at(self, link: LinkPlan) -> Box | None:
        for node, settings in self.plan.middleboxes.items():
            for place in self.plan.interfaces(node):
                if place.link == link.name and place.name == self.plan.routers[node].outside:
                    return Box(place.name, link.ends.index(node), place.address, settings)
        return None

    def _prepare_host(self, host: str) -> None:
        # A packet socket hears a segment before INPUT does: this silences the kernel and does not make us deaf.
        ports = sorted(self._kernel_ports.get(host, ()))
        rules = [f"{_INPUT} -m tcp --dport {port} -j ACCEPT" for port in ports] + [f"{_INPUT} -j DROP"]
        if host in self._linux_hosts:
            rules = []
        commands = []
        if rules:
            tables = "ip6tables" if self._ipv6 else "iptables"
            commands = [_lines(f"{tables}-restore -w -n", ["*filter", *rules, "COMMIT"]), f"{tables} -w -S INPUT"]
        self._prepare(host, commands, rules)

    def _prepare_router(self, router: str) -> None:
        forward, setting = (_FORWARD_IPV6, "ipv6/conf/all/forwarding") if self._ipv6 else (_FORWARD, "ipv4/ip_forward")
        self._prepare(router, [forward, f"cat /proc/sys/net/{setting}"], ["1\n"])

    def _prepare(self, node: str, commands: Sequence[str], wanted: Sequence[str]) -> None:
        """What hosts and routers have in common, then `commands`, which must print the words `wanted`."""
        own = self.plan.interfaces(node)
        # Kernels are told; hosts of ours do as they are told themselves, and the link loses what is too long for it.
        told = node in self._linux_hosts or node in self.plan.routers
        inet, broadcast = ("inet6", "") if self._ipv6 else ("inet", "broadcast +")
        lines = ["link set lo up"]
        for place in own:
            known = self.net.get(node).nameToIntf[place.name]
            known.ip, known.prefixLen = place.address, place.prefix
            lines.append(f"link set {place.name} mtu {self.plan.mtu(place) if told else self._widest} up")
            lines.append(f"address replace {place.address}/{place.prefix} {broadcast} dev {place.name}")
        # Neighbours never expire, so that no ARP exchange gets in the way of a run, or is lost with a link.
        others = [(other, place.name) for place in own for other in self._neighbours(place)]
        lines += [f"neigh replace {other.address} lladdr {other.mac} dev {at} nud permanent" for other, at in others]
        routes = [_route(route) for route in self.plan.routes[node] if route.via]
        lines += [f"route replace {route}" for route in routes]
        lines += ["address show", "neigh show nud permanent", "route show"]
        ordered = _lines(f"ip -{self.plan.ip_version} -oneline -batch -", lines)
        script = [_NO_CHATTER, _IPV6 if self._ipv6 else "", ordered, *commands]
        seen = _shell("\n".join(script), self._on(node, []))
        wanted = [*wanted, *routes]
        wanted += [f"{place.name}    {inet} {place.address}/{place.prefix} " for place in own]
        wanted += [f"{other.address} dev {at} lladdr {other.mac} PERMANENT" for other, at in others]
        for words in wanted:
            if words not in seen:
                raise NetworkError(f"node {node} is not as ordered: {words!r} is not in {seen!r}")

    def _neighbours(self, place: Interface) -> list[Interface]:
        reached = self.plan.reach(place)
        return [other for _, other in self.plan.owners.values() if other.name in reached]

    def _prepare_switches(self, joints: Sequence[Joint]) -> None:
        """The switches and the relay's ends, which all live in the box itself."""
        # As wide as the widest link: what is too long for a narrower one is lost by the relay, which says so.
        mtu = self._widest
        lines = [f"link set {name} mtu {mtu}" for joint in joints for name in joint.interfaces if mtu != ETHERNET_MTU]
        lines += [
            f"link set {name} mtu {mtu} up master {switch}"
            for switch in self.plan.switches
            for name in self._ports(switch)
        ]
        _batch(lines)
        for switch in self.plan.switches:
            bridged = {path.name for path in Path(f"/sys/class/net/{switch}/brif").glob("*")}
            ports = set(self._ports(switch))
            if bridged != ports:
                raise NetworkError(f"switch {switch} joins {sorted(bridged)} instead of {sorted(ports)}")

    def _ports(self, node: str) -> list[str]:
        ends = ((link.ends, link.interfaces) for link in self.plan.links.values())
        return [name for both, names in ends for end, name in zip(both, names, strict=True) if end == node]

    def _switch_offloads_off(self, joints: Sequence[Joint]) -> None:
        interfaces = {self.net.get(node).pid: self._ports(node) for node in (*self.plan.hosts, *self.plan.routers)}
        interfaces[os.getpid()] = [name for joint in joints for name in joint.interfaces]
        for switch in self.plan.switches:
            interfaces[os.getpid()] += self._ports(switch)
        try:
            switch_offloads_off(interfaces)
        except OSError as error:
            raise NetworkError(f"interface {error.filename}: {error.strerror}") from None

    def _check_tclinks(self) -> None:
        for link in self.plan.links.values():
            if link.made_by == "TCLink":
                for node, name, settings in zip(link.ends, link.interfaces, link.both, strict=True):
                    qdiscs, classes = (
                        _shell(f"tc {what} show dev {name}", self._on(node, [])) for what in ("-j qdisc", "class")
                    )
                    if lack := tclink.lacks(settings, qdiscs, classes):
                        raise NetworkError(
                            f"link {link.name}: this kernel does not do what its TCLink asks of {name}: {lack}; "
                            "without cls=TCLink our own relay does it"
                        )

    @property
    def _widest(self) -> int:
        return max(ETHERNET_MTU, *(settings.mtu for link in self.plan.links.values() for settings in link.both))

    def _on(self, host: str, argv: Sequence[str]) -> list[str]:
        return ["mnexec", "-da", str(self.net.get(host).pid), *argv]

    # ---- Captures, by a program that is not ours: it is the witness

    def _start_captures(self) -> None:
        for node, interface in self.plan.owners.values():
            command = ["dumpcap", "-q", "-P", "-i", interface.name, "-w", str(part(self._capture_file(interface.name)))]
            self._captures[interface.name] = self.popen(node, command, stderr=subprocess.PIPE, text=True)
        for name, process in self._captures.items():
            said = _hear(process, "File:")  # from then on it captures
            if "File:" not in said:
                raise NetworkError(f"no capture of {name}: {said}")

    def stop_captures(self) -> None:
        """End the captures: their files are complete then. Raises `NetworkError` when one is not."""
        captures, self._captures = self._captures, {}
        time.sleep(_CAPTURE_DELAY if captures else 0)
        for process in captures.values():
            process.send_signal(signal.SIGINT)
        for name, process in captures.items():
            try:
                _, said = process.communicate(timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise NetworkError(f"the capture of {name} does not end") from None
            dropped, captured = _DROPPED.search(said), _CAPTURED.search(said)
            if process.returncode or dropped is None or captured is None or dropped[1] != "0":
                words = f"dumpcap ended with status {process.returncode} {said}"
                raise NetworkError(f"the capture of {name} is not complete: {' '.join(words.split())}")
            with aside(self._capture_file(name)) as unfinished:
                self._check_capture(name, unfinished, int(captured[1]))
                unfinished.chmod(0o644)  # as the other files of a run, also when it was made by root

    def _check_capture(self, name: str, file: Path, captured: int) -> None:
        """dumpcap is content on a full disk: count what it has written."""
        try:
            written = sum(1 for _ in read_pcap(file))
        except Malformed:
            written = -1
        if written != captured:
            raise NetworkError(f"the capture of {name} is cut short: is the disk full?")

    def _capture_file(self, interface: str) -> Path:
        return self.run_dir / f"{interface}.pcap"
