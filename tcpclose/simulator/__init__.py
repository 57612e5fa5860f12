"""A run in virtual time: the loop (`simulator.py`), the network between hosts (`fabric.py`), frail hosts."""

from tcpclose.simulator.simulator import check_simulable, simulate

__all__ = ["check_simulable", "simulate"]
