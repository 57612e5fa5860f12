"""What befalls routers, switches and middleboxes of the testbed: routes in kernels, carriers, tables in the relay."""

from __future__ import annotations

import subprocess
import time

from tcpclose.protocol.addresses import is_ipv6
from tcpclose.scenario.faults import Carrier, Forgetting, Narrowing, NetworkFault, Power, Return, Withdrawal
from tcpclose.testbed.network import EmulatedNetwork, NetworkError
from tcpclose.topology.carriers import Carriers

#: What Linux calls a route that leads nowhere, by what its router says of it.
_ROUTES = {"net": "throw", "host": "unreachable", "admin": "prohibit", "silent": "blackhole"}

#: In IPv6 "unreachable" says that of the network, and no route says it of the host: the filter does.
_ROUTES_IPV6 = {**_ROUTES, "net": "unreachable"}
_RULE = "FORWARD -d {0} -j REJECT --reject-with icmp6-addr-unreachable"
_REJECT = f"ip6tables -w -A {_RULE}"
_ACCEPT = f"while ip6tables -w -C {_RULE} 2>/dev/null; do ip6tables -w -D {_RULE}; done"
_UNROUTE = "ip -6 route flush exact {0}/128"

#: A kernel takes note of a carrier some time after it has changed; its routes tell when.
_NOTICED = """
for try in $(seq 300); do
    if {ip} route show dev {name} | grep {option} linkdown; then exit 0; fi
    sleep 0.01
done
echo "{name} does not take note of its carrier" >&2
exit 1
"""


class RouterHands:
    """Each fault is verified: `NetworkError` when it has not taken effect."""

    def __init__(self, network: EmulatedNetwork) -> None:
        self._network = network
        self._carriers = Carriers(network.plan.links.values())

    def strike(self, fault: NetworkFault) -> int:
        """Let a fault take effect; when it did (us, CLOCK_MONOTONIC)."""
        match fault:
            case Carrier():
                return self._change_carriers(fault)
            case Power(node=node):
                if node in self._network.plan.middleboxes:
                    self._forget(node)
                return self._change_carriers(fault)
            case Withdrawal(router=router, to=host, code=code):
                return self._withdraw(router, self._address(host), code)
            case Return(router=router, to=host):
                return self._restore(router, self._address(host))
            case Narrowing(link=link, mtu=mtu):
                return self._narrow(link, mtu)
            case Forgetting(middlebox=node):
                return self._forget(node)

    def _address(self, host: str) -> str:
        return self._network.plan.hosts[host].address

    def _withdraw(self, router: str, address: str, code: str) -> int:
        if not is_ipv6(address):
            return self._order({router: f"route replace {_ROUTES[code]} {address}"})
        if code == "host":  # once the other way of withdrawing it is gone, this one speaks
            return self._run(router, _REJECT.format(address), _UNROUTE.format(address))
        return self._run(router, f"ip -6 route replace {_ROUTES_IPV6[code]} {address}", _ACCEPT.format(address))

    def _restore(self, router: str, address: str) -> int:
        """No error when nothing is withdrawn."""
        if not is_ipv6(address):
            return self._order({router: f"route flush exact {address}/32"})
        return self._run(router, _UNROUTE.format(address), _ACCEPT.format(address))

    def _run(self, router: str, *commands: str) -> int:
        self._network.run(router, "\n".join(commands))
        return _now()

    def _narrow(self, link: str, mtu: int) -> int:
        plan = self._network.plan.links[link]
        ends = zip(plan.ends, plan.interfaces, strict=True)
        return self._order({node: f"link set {name} mtu {mtu}" for node, name in ends})

    def _order(self, orders: dict[str, str]) -> int:
        """An order to `ip` on each node, all at the same time."""
        popen, pipe = self._network.popen, subprocess.PIPE
        running = [popen(node, ["ip", *order.split()], stderr=pipe, text=True) for node, order in orders.items()]
        for (node, order), process in zip(orders.items(), running, strict=True):
            _, words = process.communicate()
            if process.returncode:
                raise NetworkError(f"on {node}, ip {order} failed: {words.strip()}")
        return _now()

    def _forget(self, node: str) -> int:
        return self._network.fault("forget", self._network.plan.routers[node].outside)

    def _change_carriers(self, fault: Carrier | Power) -> int:
        """Then wait until the routers' kernels know."""
        at, plan = _now(), self._network.plan
        ip = f"ip -{plan.ip_version}"
        changed = self._carriers.strike(fault)
        for link, up in changed.items():
            at = self._network.fault("carrier_up" if up else "carrier_down", link)
        for link, up in changed.items():
            for node, name in zip(plan.links[link].ends, plan.links[link].interfaces, strict=True):
                if node not in plan.switches:
                    self._network.run(node, _NOTICED.format(ip=ip, name=name, option="-qv" if up else "-q"))
        return at


def _now() -> int:
    return time.monotonic_ns() // 1_000
