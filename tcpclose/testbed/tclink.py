"""Links that are Mininet's own TCLink, because the topology says so: what they are told, and if the kernel does it.

Mininet prints what `tc` refuses, and goes on without it. Here what the kernel has is read back, and a delay that is not
there stops the run. Such a link is the kernel's, so nothing is known of what it loses, and no fault can strike it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from tcpclose.links import LinkSettings
from tcpclose.topology import LinkPlan, Network, TopologyError

#: What `tc` rounds by, as a share.
_ROUNDING = 0.01

_RATE = re.compile(r"class htb .* rate (\d+)([KMG]?)bit")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def check(plan: Network, struck: Iterable[tuple[str, str]]) -> None:
    """Raise `TopologyError` for what a TCLink cannot do; `struck` has the relay's faults and their targets."""
    kernels = [link for link in plan.links.values() if link.made_by == "TCLink"]
    for link in kernels:
        for settings in link.both:
            known = LinkSettings(settings.delay, settings.jitter, rate=settings.rate, queue=settings.queue)
            if settings != replace(known, loss=settings.loss) or link.fates:
                raise TopologyError(
                    f"link {link.name} is a TCLink, which has delay, jitter, rate, loss and queue only: "
                    "take the rest away, or let the topology say nothing of TCLink"
                )
        for node in plan.middleboxes:
            if plan.routers[node].outside in link.interfaces:
                raise TopologyError(f"middlebox {node} cannot look into link {link.name}: that is a TCLink")
    for fault, target in struck:
        for link in kernels:
            if target in (link.name, *link.ends):
                raise TopologyError(f"{fault} cannot strike {target}: link {link.name} is a TCLink, all the kernel's")


def parameters(link: LinkPlan) -> dict[str, dict[str, Any]]:
    """Mininet's parameters of both interfaces: each delays what leaves there."""
    return {f"params{side}": _parameters(settings) for side, settings in enumerate(link.both, 1)}


def _parameters(settings: LinkSettings) -> dict[str, Any]:
    given = {
        "delay": settings.delay and f"{settings.delay}us",
        "jitter": settings.jitter and f"{settings.jitter}us",
        "loss": settings.loss * 100,
        "bw": settings.rate and settings.rate / 1e6,
        "max_queue_size": settings.queue,
    }
    return {key: value for key, value in given.items() if value}


def lacks(settings: LinkSettings, qdiscs: str, classes: str) -> str:
    """What of `settings` the kernel does not have, in words; empty when it has all.

    `qdiscs` and `classes` are what `tc -j qdisc show` and `tc class show` say of the interface.
    """
    options = (qdisc["options"] for qdisc in json.loads(qdiscs) if qdisc["kind"] == "netem")
    netem: dict[str, Any] = next(options, {})
    rate = _RATE.search(classes)
    found = {
        "delay": netem.get("delay", {}).get("delay", 0) * 1e6,
        "jitter": netem.get("delay", {}).get("jitter", 0) * 1e6,
        "loss": netem.get("loss-random", {}).get("loss", 0),
        "queue": netem.get("limit", 0),
        "rate": int(rate[1]) * _UNITS[rate[2]] if rate else 0,
    }
    return ", ".join(_differences(settings, found))


def _differences(settings: LinkSettings, found: Mapping[str, float]) -> Iterator[str]:
    for name, value in found.items():
        wanted = getattr(settings, name)
        if wanted and abs(value - wanted) > wanted * _ROUNDING:
            yield f"{name} is {value:g} instead of {wanted:g}"
