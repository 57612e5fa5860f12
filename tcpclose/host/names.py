"""The scenario's names of connections, found by the sockets of their segments."""

from __future__ import annotations

from collections.abc import Mapping

from tcpclose.links import Parties
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.stack import Pair
from tcpclose.scenario import Scenario


class Names:
    """The scenario's names of connections, by the sockets at one host's ends."""

    def __init__(self, scenario: Scenario, host: str, addresses: Mapping[str, str]) -> None:
        self.pairs: dict[str, Pair] = {}
        self.iss: dict[Pair, int | None] = {}
        for name, connection in scenario.connection.items():
            client = Endpoint(addresses[connection.client], connection.client_port)
            server = Endpoint(addresses[connection.server], connection.port)
            if host == connection.client:
                self.pairs[name] = Pair(client, server)
                self.iss[self.pairs[name]] = connection.client_iss
            elif host == connection.server:
                self.pairs[name] = Pair(server, client)
                self.iss[self.pairs[name]] = connection.server_iss
        self._names: dict[tuple[Endpoint, Endpoint], str] = {pair: name for name, pair in self.pairs.items()}

    def of(self, pair: tuple[Endpoint, Endpoint]) -> str:
        """The name of a connection; for one that the scenario does not name its sockets, the same at both ends."""
        return self._names.get(pair) or " ".join(sorted(map(str, pair)))


def parties(scenario: Scenario, addresses: Mapping[str, str]) -> Parties:
    """Hosts and connections as the fates of links know them; `addresses` are those of all hosts, by name."""
    connections = {}
    for name, connection in scenario.connection.items():
        ends = (Endpoint(addresses[host], port) for host, port in connection.ends)
        connections[frozenset(ends)] = name
    return Parties({address: host for host, address in addresses.items()}, connections)


def name_of(datagram: Datagram, names: Mapping[str, Names]) -> str | None:
    """The name of the connection of a segment seen between hosts; `names` are theirs, by address.

    One end may be unknown, where addresses are translated on the way.
    """
    src, dst, _ = datagram
    if src.address in names:
        return names[src.address].of(Pair(src, dst))
    return names[dst.address].of(Pair(dst, src)) if dst.address in names else None
