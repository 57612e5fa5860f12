"""Running networks: what Mininet, bridges, relay and kernels make of a plan."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from inside import ROOT, InBox, call, first_line
from mininet.topo import LinearTopo, Topo

from tcpclose.links import Deed
from tcpclose.testbed.box import box_command
from tcpclose.testbed.network import EmulatedNetwork, NetworkError
from tcpclose.testbed.relay import RelayError
from tcpclose.topology import TOPOLOGIES, Network, load_topology, read_topo
from tcpclose.wire.pcap import read_pcap

pytestmark = [pytest.mark.testbed, pytest.mark.slow]


@contextmanager
def running(plan: Network, **settings: Any) -> Iterator[EmulatedNetwork]:
    with tempfile.TemporaryDirectory() as folder, EmulatedNetwork(plan, 1, Path(folder), **settings) as network:
        yield network


@contextmanager
def two_hosts(**settings: Any) -> Iterator[EmulatedNetwork]:
    with running(load_topology("two_hosts"), **settings) as network:
        yield network


def ping(network: EmulatedNetwork, count: int = 1) -> list[float]:
    """The round trip times in milliseconds; none where no answer came within half a second."""
    said = network.net.get("h1").cmd(f"ping -c {count} -i 0.02 -W 0.5 10.0.0.2")
    return [float(time) for time in re.findall(r"time=([\d.]+) ms", said)]


def captured(network: EmulatedNetwork, host: str) -> list[bytes]:
    return [frame for _, frame in read_pcap(network.run_dir / f"{host}-eth0.pcap")]


def connect(network: EmulatedNetwork, port: int, host: str = "h2", address: str = "10.0.0.1") -> str:
    """What the kernel's connect() on a host comes to."""
    code = (
        f"import socket\ntry: socket.create_connection(({address!r}, {port}), 1); print('connected')\n"
        "except OSError as error: print(type(error).__name__)"
    )
    with network.popen(host, [sys.executable, "-I", "-S", "-c", code], stdout=subprocess.PIPE, text=True) as process:
        return process.communicate(timeout=30)[0].strip()


# ---- Each of these runs in a box of its own


def a_ping_takes_four_delays() -> None:
    with two_hosts() as network:
        assert 40 <= min(ping(network, 11)) < 60  # a busy machine makes some of them longer, not all


def a_link_goes_down_and_up() -> None:
    with two_hosts() as network:
        assert ping(network)
        before = time.monotonic_ns() // 1000
        taken = network.fault("link_down", "h2-s1")
        assert before <= taken <= time.monotonic_ns() // 1000
        assert not ping(network)
        carrier = network.net.get("h2").cmd("cat /sys/class/net/h2-eth0/carrier").strip()
        assert carrier == "1"
        network.fault("link_up", "h2-s1")
        assert ping(network)


def a_host_falls_silent_and_speaks_again() -> None:
    with two_hosts() as network:
        network.fault("silent", "h2")
        assert not ping(network)
        network.fault("speaking", "h2")
        assert ping(network)
        network.stop_captures()
        # Six frames of two whole exchanges would be one too many: the answer to the first request left h2 and got lost.
        assert (len(captured(network, "h1")), len(captured(network, "h2"))) == (3, 4)


def captures_are_complete_and_of_pings_only() -> None:
    with two_hosts() as network:
        time.sleep(1)  # idle: neither ARP nor IPv6 nor bridges put anything on the wire
        assert len(ping(network, 20)) == 20
        network.stop_captures()
        for host in ("h1", "h2"):
            frames = captured(network, host)
            assert len(frames) == 40
            assert {(frame[12:14], frame[23]) for frame in frames} == {(b"\x08\x00", 1)}
            assert {frame[:6].hex(":") for frame in frames} == {"00:00:00:00:00:01", "00:00:00:00:00:02"}


def a_silenced_kernel_answers_on_its_ports_only() -> None:
    with two_hosts(kernel_ports={"h1": [22, 23]}, linux_hosts=["h2"]) as network:
        server = "import socket; s = socket.create_server(('', 22)); print('up', flush=True); s.accept()[0].recv(1)"
        pipe = subprocess.PIPE
        with network.popen("h1", [sys.executable, "-I", "-S", "-c", server], stdout=pipe) as process:
            assert first_line(process) == b"up\n"
            assert connect(network, 22) == "connected"
        assert connect(network, 23) == "ConnectionRefusedError"
        assert connect(network, 80) == "TimeoutError"
        assert connect(network, 80, "h1", "10.0.0.2") == "TimeoutError"  # h2 refuses, h1 is deaf to it
        assert connect(network, 80, "h1", "127.0.0.1") == "ConnectionRefusedError"
        assert ping(network)  # and ARP, ping stay with the kernel
        network.stop_captures()
        resets = Counter()
        for frame in captured(network, "h2"):
            if frame[23] == 6 and frame[47] & 4:
                resets[frame[26:30], int.from_bytes(frame[34:36])] += 1
        assert set(resets) == {(b"\x0a\0\0\1", 23), (b"\x0a\0\0\2", 80)}


def lost_segments_are_reported() -> None:
    with two_hosts(linux_hosts=["h1", "h2"]) as network:
        network.fault("link_down", "h1-s1")
        assert network.reports() == []
        assert connect(network, 80) == "TimeoutError"
        assert select.select([network], [], [], 5)[0]
        first = network.reports()[0]
        assert (first.link, first.deed) == ("h1-s1", Deed("down"))
        assert first.frame[26:34] == socket.inet_aton("10.0.0.2") + socket.inet_aton("10.0.0.1")
        assert first.frame[47] == 2  # SYN
        assert network.overruns() == {}


def segments_and_checksums_are_real() -> None:
    """10 kB from kernel to kernel: no frame is longer than the MTU allows, and every TCP checksum is right."""
    with two_hosts(linux_hosts=["h1", "h2"]) as network:
        server = "s = socket.create_server(('', 80)); print('up', flush=True); s.accept()[0].sendall(bytes(10**4))"
        client = "s = socket.create_connection(('10.0.0.1', 80)); print(len(s.recv(10**4, socket.MSG_WAITALL)))"
        server, client = f"import socket; {server}", f"import socket; {client}"
        python = [sys.executable, "-I", "-S", "-c"]
        with network.popen("h1", [*python, server], stdout=subprocess.PIPE) as sender:
            assert first_line(sender) == b"up\n"
            with network.popen("h2", [*python, client], stdout=subprocess.PIPE, text=True) as receiver:
                assert receiver.communicate(timeout=30)[0] == "10000\n"
        network.stop_captures()
        frames = captured(network, "h1")
        assert len(frames) > 10
        for frame in frames:
            length = int.from_bytes(frame[16:18])
            assert length <= 1500
            segment = frame[34 : 14 + length] + bytes(length % 2)
            octets = frame[26:34] + b"\0\6" + (length - 20).to_bytes(2) + segment
            total = sum(int.from_bytes(octets[i : i + 2]) for i in range(0, len(octets), 2))
            assert total % 0xFFFF == 0


def a_narrow_link_is_known_to_linux_and_loses_what_others_send() -> None:
    """A kernel learns the MTU of its own interface; a frame too long for another link is lost there, and reported."""
    plan = load_topology("two_hosts").override({"h2-s1": {"mtu": 600, "to": {"s1": {"mtu": 700}}}})
    with running(plan, linux_hosts=["h2"]) as network:
        mtus = {host: network.net.get(host).cmd(f"cat /sys/class/net/{host}-eth0/mtu").strip() for host in ("h1", "h2")}
        assert mtus == {"h1": "1500", "h2": "700"}
        said = network.net.get("h1").cmd("ping -c 1 -W 1 -s 572 10.0.0.2; ping -c 1 -W 1 -s 573 10.0.0.2")
        assert re.findall(r"(\d) received", said) == ["1", "0"]


def a_wide_link_is_wide_everywhere() -> None:
    plan = load_topology("two_hosts").override({name: {"mtu": 9000} for name in ("h1-s1", "h2-s1")})
    with running(plan, linux_hosts=["h2"]) as network:
        assert "1 received" in network.net.get("h1").cmd("ping -M do -c 1 -W 1 -s 8972 10.0.0.2")


def linux_drops_what_a_link_damages() -> None:
    plan = load_topology("two_hosts").override({"h1-s1": {"corrupt": 1.0}})
    with running(plan, linux_hosts=["h1", "h2"]) as network:
        assert connect(network, 80) == "TimeoutError"
        counters = network.net.get("h1").cmd("nstat -asz TcpInCsumErrors TcpInSegs")
        assert int(re.search(r"TcpInCsumErrors +(\d+)", counters)[1]) >= 1


def two_hosts_joined_directly() -> None:
    class Cable(Topo):  # type: ignore[misc]
        def build(self) -> None:
            self.addLink(self.addHost("h1"), self.addHost("h2"), delay="5ms")

    with running(read_topo(Cable())) as network:
        assert len(ping(network, 3)) == 3


def a_tree_of_switches() -> None:
    with running(read_topo(LinearTopo(k=3, n=2))) as network:
        assert network.net.pingAll() == 0


def routers_forward_and_tell_of_errors() -> None:
    with running(load_topology("routed", {"delay": "1ms"})) as network:
        assert network.net.pingAll() == 0
        h1 = network.net.get("h1")
        assert "10.0.1.254 icmp_seq=1 Time to live exceeded" in h1.cmd("ping -c 1 -t 1 10.0.3.1")
        assert "10.0.1.254 icmp_seq=1 Destination Net Unreachable" in h1.cmd("ping -c 1 10.9.9.9")
        network.stop_captures()
        for router in ("r1", "r2"):
            for interface in network.plan.interfaces(router):
                frames = [frame for _, frame in read_pcap(network.run_dir / f"{interface.name}.pcap")]
                assert {(frame[12:14], frame[23]) for frame in frames} == {(b"\x08\x00", 1)}


def a_carrier_is_lost_and_comes_back() -> None:
    with two_hosts() as network:
        h2 = network.net.get("h2")
        for order, carrier in (("carrier_down", "0"), ("carrier_up", "1")):
            network.fault(order, "h2-s1")
            assert h2.cmd("cat /sys/class/net/h2-eth0/carrier").strip() == carrier
            assert len(ping(network)) == int(carrier)
        with pytest.raises(RelayError, match="there is no fault forget"):  # where there is no middlebox
            network.fault("forget", "m1-eth1")


def wrong_orders_are_told() -> None:
    with pytest.raises(NetworkError, match="there is no host h3"):
        EmulatedNetwork(load_topology("two_hosts"), 1, Path(), linux_hosts=["h3"])
    with pytest.raises(NetworkError, match=r"no capture of h1-eth0: .*No such file or directory"):
        EmulatedNetwork(load_topology("two_hosts"), 1, Path("/nowhere")).__enter__()


def a_kernel_that_cannot_be_silenced_stops_the_run(folder: str) -> None:
    """Here by an iptables that says yes and does nothing."""
    fake = Path(folder) / "iptables"
    fake.write_text("#!/bin/sh\nexit 0\n")
    fake.chmod(0o755)
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    words = "node h1 is not as ordered: '-A INPUT ! -i lo -p tcp -j DROP' is not in"
    with pytest.raises(NetworkError, match=words), two_hosts():
        pass


@pytest.mark.parametrize(
    "what",
    [
        a_ping_takes_four_delays,
        a_link_goes_down_and_up,
        a_host_falls_silent_and_speaks_again,
        captures_are_complete_and_of_pings_only,
        a_silenced_kernel_answers_on_its_ports_only,
        lost_segments_are_reported,
        segments_and_checksums_are_real,
        a_narrow_link_is_known_to_linux_and_loses_what_others_send,
        a_wide_link_is_wide_everywhere,
        linux_drops_what_a_link_damages,
        two_hosts_joined_directly,
        a_tree_of_switches,
        a_carrier_is_lost_and_comes_back,
        routers_forward_and_tell_of_errors,
        wrong_orders_are_told,
    ],
)
def test_network(in_box: InBox, what: Callable[[], None]):
    in_box(what)


def test_a_kernel_that_cannot_be_silenced(in_box: InBox):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        in_box(a_kernel_that_cannot_be_silenced_stops_the_run, folder)


# ---- From outside


def stay() -> None:
    with two_hosts() as network:
        print("up", flush=True)
        while True:
            assert ping(network)


def start(prefix: tuple[str, ...]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*prefix, *box_command(call(stay))],
        cwd=ROOT,
        env={**os.environ, "HOME": "/tmp"},
        stdout=subprocess.PIPE,
        text=True,
    )


def descendants(pid: int) -> set[tuple[int, str]]:
    """(pid, start time) of all processes below one; such a pair is never used again."""
    children: dict[int, set[tuple[int, str]]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
        children.setdefault(int(fields[1]), set()).add((int(stat.parent.name), fields[19]))
    found: set[tuple[int, str]] = set()
    todo = [pid]
    while todo:
        new = children.get(todo.pop(), set())
        found |= new
        todo += [child for child, _ in new]
    return found


def test_networks_of_the_same_names_run_side_by_side_and_kill_9_leaves_nothing(prefix: tuple[str, ...]):
    before = Path("/proc/self/mountinfo").read_text(), sorted(os.listdir("/sys/class/net"))
    with start(prefix) as first, start(prefix) as second:
        assert (first_line(first), first_line(second)) == ("up\n", "up\n")
        ours, others = descendants(first.pid), descendants(second.pid)
        assert min(len(ours), len(others)) >= 7  # pid 1, the command, three shells, the relay, two captures
        first.send_signal(signal.SIGKILL)
        first.wait(timeout=20)
        everybody: set[tuple[int, str]] = set()
        for _ in range(1000):
            everybody = descendants(0)
            if not ours & everybody:
                break
            time.sleep(0.01)
        assert not ours & everybody
        assert len(others & everybody) >= 7
        second.kill()
    assert (Path("/proc/self/mountinfo").read_text(), sorted(os.listdir("/sys/class/net"))) == before


@pytest.mark.parametrize("name", [path.stem for path in TOPOLOGIES.glob("*.py")])
def test_each_topology_serves_plain_mininet(prefix: tuple[str, ...], name: str):
    mn = str(Path(sys.executable).with_name("mn"))
    options = ["--custom", str(TOPOLOGIES / f"{name}.py"), "--topo", f"{name},delay=1ms"]
    options += ["--switch", "lxbr", "--controller", "none", "--test", "pingall"]
    # mn cleans up files in /tmp that may be other people's.
    protect = "mount --bind /tmp /tmp; mount -o remount,bind,ro /tmp"
    command = ["sh", "-ec", f'{protect}; exec "$@"', "mn", sys.executable, mn, *options]
    done = subprocess.run([*prefix, *box_command(command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "*** Results: 0% dropped" in done.stdout + done.stderr
