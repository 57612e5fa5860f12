"""Two hosts that talk, and two that should not: one on their segment, one behind a router.

    h1 -----+
            s1 ---- r1 ---- far
    h2 -----+  10.0.1  10.0.2
            |
          near

On 10.0.1, h1 is at .1, h2 at .2, near at .66 and r1 at .254; far is 10.0.2.66. r1 lets through whatever source address
far claims to have.

With Mininet alone: mn --custom topologies/attacker.py --topo attacker --switch lxbr --controller none
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mininet.node import Node
from mininet.topo import Topo


class Router(Node):
    """A node that forwards. `routes` are pairs of a prefix and the way there: "via ADDRESS", or with " metric N"."""

    def config(self, routes: Iterable[tuple[str, str]] = (), **params: Any) -> dict[str, Any]:
        done: dict[str, Any] = super().config(**params)
        self.cmd("echo 1 >/proc/sys/net/ipv4/ip_forward")
        for prefix, way in routes:
            self.cmd(f"ip route add {prefix} {way}")
        return done


class Attacker(Topo):
    """All links are alike: `delay` with its unit, `bw` in Mbit/s, `loss` in percent, `queue` in frames."""

    def build(
        self, delay: str = "10ms", bw: float | None = None, loss: float | None = None, queue: int | None = None
    ) -> None:
        link = {"delay": delay, "bw": bw, "loss": loss, "max_queue_size": queue}
        switch = self.addSwitch("s1")
        r1 = self.addHost("r1", cls=Router, ip=None)
        for name, number in (("h1", 1), ("h2", 2), ("near", 66)):
            host = self.addHost(name, ip=f"10.0.1.{number}/24", defaultRoute="via 10.0.1.254")
            self.addLink(host, switch, **link)
        self.addLink(switch, r1, params2={"ip": "10.0.1.254/24"}, **link)
        far = self.addHost("far", ip="10.0.2.66/24", defaultRoute="via 10.0.2.254")
        self.addLink(far, r1, params2={"ip": "10.0.2.254/24"}, **link)


topos = {"attacker": Attacker}
