"""Two hosts and two routers in a row, so that errors come from the network and not from a host.

    h1 ------- r1 ------- r2 ------- h2
       10.0.1     10.0.2     10.0.3

Hosts are at .1 of their subnet, all links take 10 ms.

With Mininet alone: mn --custom topologies/routed.py --topo routed --switch lxbr --controller none
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


class Routed(Topo):
    """All links are alike: `delay` with its unit, `bw` in Mbit/s, `loss` in percent, `queue` in frames."""

    def build(
        self, delay: str = "10ms", bw: float | None = None, loss: float | None = None, queue: int | None = None
    ) -> None:
        link = {"delay": delay, "bw": bw, "loss": loss, "max_queue_size": queue}
        h1 = self.addHost("h1", ip="10.0.1.1/24", defaultRoute="via 10.0.1.254")
        h2 = self.addHost("h2", ip="10.0.3.1/24", defaultRoute="via 10.0.3.254")
        r1 = self.addHost("r1", cls=Router, ip=None, routes=[("10.0.3.0/24", "via 10.0.2.2")])
        r2 = self.addHost("r2", cls=Router, ip=None, routes=[("10.0.1.0/24", "via 10.0.2.1")])
        self.addLink(h1, r1, params2={"ip": "10.0.1.254/24"}, **link)
        self.addLink(r1, r2, params1={"ip": "10.0.2.1/24"}, params2={"ip": "10.0.2.2/24"}, **link)
        self.addLink(h2, r2, params2={"ip": "10.0.3.254/24"}, **link)


topos = {"routed": Routed}
