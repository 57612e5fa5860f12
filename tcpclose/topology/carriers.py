"""Which links have a carrier, in both worlds: one that is cut has none, nor one at whose end the power is off."""

from __future__ import annotations

from collections.abc import Iterable

from tcpclose.scenario.faults import Carrier, Power
from tcpclose.topology.plan import LinkPlan


class Carriers:
    """All have one at first. `dead` are the names of the links that have none."""

    def __init__(self, links: Iterable[LinkPlan]) -> None:
        self._ends = {link.name: frozenset(link.ends) for link in links}
        self._cut: set[str] = set()
        self._off: set[str] = set()
        self.dead: frozenset[str] = frozenset()

    def strike(self, fault: Carrier | Power) -> dict[str, bool]:
        """A fault takes effect. Returns the links for which that makes a difference: whether they have one now."""
        match fault:
            case Carrier(kind="carrier_down", link=link):
                self._cut.add(link)
            case Carrier(link=link):
                self._cut.discard(link)
            case Power(kind="power_off", node=node):
                self._off.add(node)
            case Power(node=node):
                self._off.discard(node)
        before = self.dead
        self.dead = frozenset(link for link, ends in self._ends.items() if link in self._cut or ends & self._off)
        return {link: link not in self.dead for link in self._ends if link in before ^ self.dead}
