"""Two ends of a connection, and a third host on the same switch."""

from __future__ import annotations

from mininet.topo import Topo


class ThreeHosts(Topo):
    """h1, h2 and h3 around s1."""

    def build(self, delay: str = "10ms") -> None:
        switch = self.addSwitch("s1")
        for name in ("h1", "h2", "h3"):
            self.addLink(self.addHost(name), switch, delay=delay)


topos = {"three_hosts": ThreeHosts}
