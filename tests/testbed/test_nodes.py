"""Mininet's nodes, made all at once: they are what Mininet's own are, and their shells start when asked for."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from inside import InBox
from mininet.topo import LinearTopo
from test_network import running

from tcpclose.testbed.namespaces import hold, switch_offloads_off
from tcpclose.topology import read_topo

pytestmark = pytest.mark.testbed


def nodes_are_mininets() -> None:
    with running(read_topo(LinearTopo(k=3))) as network:
        net = network.net
        h1, s1 = net.get("h1", "s1")
        assert (h1.shell, s1.shell) == (None, None)
        assert (h1.IP(), h1.MAC()) == ("10.0.0.1", "00:00:00:00:00:01")
        assert h1.cmd("echo $((6 * 7))").strip() == "42"
        assert h1.shell
        assert h1.cmd("ls /sys/class/net").split() == ["h1-eth0", "lo"]
        assert s1.cmd("ls /sys/class/net/s1/brif").split() == ["s1-eth1", "s1-eth2"]
        assert h1.popen(["cat", "/sys/class/net/h1-eth0/carrier"]).communicate(timeout=20)[0] == b"1\n"
        h1.setIP("10.0.0.9/8")
        assert "10.0.0.9" in h1.cmd("ip -4 address")
        h1.setIP("10.0.0.1/8")
        assert net.pingAll() == 0
        h1.sendCmd("sleep 600")
        children = Path(f"/proc/{h1.shell.pid}/task/{h1.shell.pid}/children")
        while not any(Path(f"/proc/{child}/comm").read_text() == "sleep\n" for child in children.read_text().split()):
            time.sleep(0.01)  # a Ctrl-C that comes before the command is lost with it
        h1.sendInt()
        h1.waitOutput()
        assert not h1.waiting
        assert {str(link) for link in net.links} >= {"h1-eth0<->s1-eth1", "s2-eth2<->s1-eth2"}
        net.stop()


def offloads_are_off_everywhere() -> None:
    """As the program ethtool sees it, which is not what switched them off."""
    kinds = r"^(.x-checksumming|scatter-gather|[a-z]+-(?:segmentation|receive)-offload): (on|off)"
    with running(read_topo(LinearTopo(k=2))) as network:
        pids = {name: network.net.get(name[:2]).pid for name in ("h1-eth0", "h2-eth0", "s1-eth1", "s2-eth2")}
        for name in [*pids, "relay-0a", "relay-2b"]:
            inside = ["mnexec", "-a", str(pids.get(name, os.getpid()))]
            said = subprocess.run([*inside, "ethtool", "-k", name], capture_output=True, text=True, check=True).stdout
            found = dict(re.findall(kinds, said, re.MULTILINE))
            assert len(found) >= 6, said
            assert set(found.values()) == {"off"}, said


def namespaces_differ() -> None:
    pids = [*hold(3), os.getpid()]
    for kind in ("net", "mnt"):
        assert len({os.readlink(f"/proc/{pid}/ns/{kind}") for pid in pids}) == 4
    assert hold(0) == []
    with pytest.raises(OSError, match="No such device: 'nosuch'"):
        switch_offloads_off({pids[0]: ["nosuch"]})
    assert os.readlink("/proc/thread-self/ns/net") == os.readlink(f"/proc/{os.getpid()}/ns/net")


@pytest.mark.parametrize("what", [nodes_are_mininets, offloads_are_off_everywhere, namespaces_differ])
@pytest.mark.slow
def test_nodes(in_box: InBox, what: Callable[[], None]):
    in_box(what)
