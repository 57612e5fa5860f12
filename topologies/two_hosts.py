"""Two hosts and a switch: the smallest network in which a peer can be out of reach.

    h1 ----- s1 ----- h2
       10 ms    10 ms

With Mininet alone: mn --custom topologies/two_hosts.py --topo two_hosts --switch lxbr --controller none
"""

from __future__ import annotations

from mininet.topo import Topo


class TwoHosts(Topo):
    """Both links are alike: `delay` with its unit, `bw` in Mbit/s, `loss` in percent, `queue` in frames."""

    def build(
        self, delay: str = "10ms", bw: float | None = None, loss: float | None = None, queue: int | None = None
    ) -> None:
        switch = self.addSwitch("s1")
        for name in ("h1", "h2"):
            self.addLink(self.addHost(name), switch, delay=delay, bw=bw, loss=loss, max_queue_size=queue)


topos = {"two_hosts": TwoHosts}
