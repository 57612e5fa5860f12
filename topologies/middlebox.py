"""A middlebox between two hosts: a router that looks into what passes its outside, a firewall or an address translator.

    h1 ------------- m1 ------------- h2
       10.0.1 (inside)  10.0.2 (outside)

Hosts are at .1, m1 at .254 of both subnets. What m1 does with connections is the scenario's to say, `[middlebox.m1]`;
Mininet alone, and a scenario that says nothing, have it forward everything.

With Mininet alone: mn --custom topologies/middlebox.py --topo middlebox --switch lxbr --controller none
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


class Middlebox(Topo):
    """All links are alike: `delay` with its unit, `bw` in Mbit/s, `loss` in percent, `queue` in frames."""

    def build(
        self, delay: str = "10ms", bw: float | None = None, loss: float | None = None, queue: int | None = None
    ) -> None:
        link = {"delay": delay, "bw": bw, "loss": loss, "max_queue_size": queue}
        h1 = self.addHost("h1", ip="10.0.1.1/24", defaultRoute="via 10.0.1.254")
        h2 = self.addHost("h2", ip="10.0.2.1/24", defaultRoute="via 10.0.2.254")
        m1 = self.addHost("m1", cls=Router, ip=None, outside="m1-eth1")
        self.addLink(h1, m1, params2={"ip": "10.0.1.254/24"}, **link)
        self.addLink(h2, m1, params2={"ip": "10.0.2.254/24"}, **link)


topos = {"middlebox": Middlebox}
