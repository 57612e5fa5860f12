"""A host behind a middlebox, and a host a router further: what m1 sends by itself has come a shorter way than h2's.

    h1 ------------- m1 ------------- r1 ------------- h2
       10.0.1 (inside)  10.0.12 (outside)   10.0.2

Hosts are at .1 of their subnet, m1 is at 10.0.1.254 and 10.0.12.1, r1 at 10.0.12.2 and 10.0.2.254. What m1 does with
connections is the scenario's to say, `[middlebox.m1]`; Mininet alone, and a scenario that says nothing, have it forward
everything.

With Mininet alone: mn --custom topologies/guarded.py --topo guarded --switch lxbr --controller none
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


class Guarded(Topo):
    """All links are alike: `delay` with its unit, `bw` in Mbit/s, `loss` in percent, `queue` in frames."""

    def build(
        self, delay: str = "10ms", bw: float | None = None, loss: float | None = None, queue: int | None = None
    ) -> None:
        link = {"delay": delay, "bw": bw, "loss": loss, "max_queue_size": queue}
        h1 = self.addHost("h1", ip="10.0.1.1/24", defaultRoute="via 10.0.1.254")
        h2 = self.addHost("h2", ip="10.0.2.1/24", defaultRoute="via 10.0.2.254")
        m1 = self.addHost("m1", cls=Router, ip=None, outside="m1-eth1", routes=[("10.0.2.0/24", "via 10.0.12.2")])
        r1 = self.addHost("r1", cls=Router, ip=None, routes=[("10.0.1.0/24", "via 10.0.12.1")])
        self.addLink(h1, m1, params2={"ip": "10.0.1.254/24"}, **link)
        self.addLink(m1, r1, params1={"ip": "10.0.12.1/24"}, params2={"ip": "10.0.12.2/24"}, **link)
        self.addLink(h2, r1, params2={"ip": "10.0.2.254/24"}, **link)


topos = {"guarded": Guarded}
