"""The one description of an experiment: a TOML file, read once (`file.py`), and what may stand in it."""

from tcpclose.scenario.errors import ScenarioError
from tcpclose.scenario.faults import Fault
from tcpclose.scenario.file import Scenario
from tcpclose.scenario.links import Link
from tcpclose.scenario.steps import Step, payload
from tcpclose.scenario.tables import Connection, Host
from tcpclose.scenario.values import Condition, read_condition, signal_name

__all__ = [
    "Condition",
    "Connection",
    "Fault",
    "Host",
    "Link",
    "Scenario",
    "ScenarioError",
    "Step",
    "payload",
    "read_condition",
    "signal_name",
]
