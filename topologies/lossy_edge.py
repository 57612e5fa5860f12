"""A host at the end of a bad link, as by radio, behind it a good and long one.

    h1 ~~~~~ s1 ---------- s2 ----- h2
       2 ms      20 ms        1 ms
       5 % lost

With Mininet alone: mn --custom topologies/lossy_edge.py --topo lossy_edge --switch lxbr --controller none
"""

from __future__ import annotations

from mininet.topo import Topo


class LossyEdge(Topo):
    """`loss` (percent) is that of the edge, `delay` that of the long link."""

    def build(self, loss: float = 5, delay: str = "20ms") -> None:
        h1, h2 = self.addHost("h1"), self.addHost("h2")
        s1, s2 = self.addSwitch("s1"), self.addSwitch("s2")
        self.addLink(h1, s1, delay="2ms", loss=loss)
        self.addLink(s1, s2, delay=delay)
        self.addLink(h2, s2, delay="1ms")


topos = {"lossy_edge": LossyEdge}
