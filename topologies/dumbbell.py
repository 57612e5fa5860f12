"""Pairs of hosts that share a bottleneck, `pairs` of them; those on the left are a1, a2 ..., on the right b1, b2 ...

    a1 ----+                                       +---- b1
           s1 ------- r1 ============= r2 ------- s2
    a2 ----+   10.0.1       10.0.2        10.0.3   +---- b2

The host with number n is at .n of its subnet.

With Mininet alone: mn --custom topologies/dumbbell.py --topo dumbbell --switch lxbr --controller none
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


class Dumbbell(Topo):
    """`delay` and `bw` (Mbit/s), `loss` (percent) and `queue` (frames) are those of the bottleneck between the routers.

    The other links take 1 ms and have no limit.
    """

    def build(
        self,
        pairs: int = 2,
        delay: str = "10ms",
        bw: float = 10,
        loss: float | None = None,
        queue: int | None = None,
    ) -> None:
        r1 = self.addHost("r1", cls=Router, ip=None, routes=[("10.0.3.0/24", "via 10.0.2.2")])
        r2 = self.addHost("r2", cls=Router, ip=None, routes=[("10.0.1.0/24", "via 10.0.2.1")])
        for side, subnet, switch, router in (("a", "10.0.1", "s1", r1), ("b", "10.0.3", "s2", r2)):
            self.addSwitch(switch)
            self.addLink(switch, router, params2={"ip": f"{subnet}.254/24"}, delay="1ms")
            for number in range(1, pairs + 1):
                host = self.addHost(f"{side}{number}", ip=f"{subnet}.{number}/24", defaultRoute=f"via {subnet}.254")
                self.addLink(host, switch, delay="1ms")
        ends = {"params1": {"ip": "10.0.2.1/24"}, "params2": {"ip": "10.0.2.2/24"}}
        self.addLink(r1, r2, delay=delay, bw=bw, loss=loss, max_queue_size=queue, **ends)


topos = {"dumbbell": Dumbbell}
