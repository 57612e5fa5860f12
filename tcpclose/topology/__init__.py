"""Topologies: plans of networks (`plan.py`), read from Mininet's `Topo` objects (`reader.py`), found by their names."""

from tcpclose.topology.loading import TOPOLOGIES, load_network, load_topology
from tcpclose.topology.plan import Hops, Interface, LinkPlan, Network, Router, TopologyError, port_mac
from tcpclose.topology.reader import read_topo

__all__ = [
    "TOPOLOGIES",
    "Hops",
    "Interface",
    "LinkPlan",
    "Network",
    "Router",
    "TopologyError",
    "load_network",
    "load_topology",
    "port_mac",
    "read_topo",
]
