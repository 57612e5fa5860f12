"""Hosts of a run, the same in all worlds: a stack and its user (`host.py`), and what befalls them.

names.py     the scenario's names of connections
users.py     what users do, as the trace has it
faults.py    power, crashes, pauses, limits: what each means
forging.py   what somebody on the path makes of what he has seen
"""

from tcpclose.host.host import Host, MakesStack
from tcpclose.host.names import Names, name_of, parties
from tcpclose.host.users import Ledger, call_event

__all__ = ["Host", "Ledger", "MakesStack", "Names", "call_event", "name_of", "parties"]
