"""From a name, or a scenario, to the plan of its network."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

from tcpclose.network.middlebox import MiddleboxSettings
from tcpclose.scenario import Scenario
from tcpclose.scenario.faults import Forgetting, Narrowing
from tcpclose.topology.plan import Network, TopologyError, check_mtu
from tcpclose.topology.reader import read_topo

TOPOLOGIES = Path(__file__).resolve().parents[2] / "topologies"


def load_network(scenario: Scenario, source: str = "scenario") -> Network:
    """The network of a scenario: its topology, with what it says of links, checked against what it names.

    `source` names the scenario in messages. Raises `TopologyError` or `ScenarioError`.
    """
    try:
        network = load_topology(scenario.topology, scenario.topology_args)
        scenario.check_against(network.names(), source)
        for connection in scenario.connection.values():
            network.path(connection.client, connection.server)
            network.path(connection.server, connection.client)
        boxes = {name: MiddleboxSettings(**fields) for name, fields in scenario.middlebox_settings().items()}
        network = replace(network.override(scenario.link_settings()), middleboxes=boxes)
        _check_faults(scenario, network)
        return network.in_ipv6() if scenario.ip_version == 6 else network
    except TopologyError as error:
        raise TopologyError(f"{source}: {error}") from None


def _check_faults(scenario: Scenario, network: Network) -> None:
    for number, step in enumerate(scenario.step, 1):
        match step.fault:
            case Narrowing(link=link, mtu=mtu):
                if scenario.ip_version == 6:
                    check_mtu(f"step {number}: link {link}", mtu)
                for end in network.links[link].ends:
                    if end not in network.routers:
                        raise TopologyError(f"step {number}: link {link} must join two routers, {end} is none")
            case Forgetting(middlebox=name):
                if name not in network.middleboxes:
                    raise TopologyError(
                        f"step {number}: {name} has nothing to forget; give it a table [middlebox.{name}]"
                    )


def load_topology(name: str, args: Mapping[str, Any] | None = None, folder: Path | None = None) -> Network:
    """Read a topology by name: "two_hosts" for `topologies/two_hosts.py`, or "path/file.py:name" relative to `folder`.

    `args` are the parameters of the Topo class. Raises `TopologyError` when there is no such topology, when it cannot
    be made of these parameters, or when it asks for what a run could not honour.
    """
    make = _topo_class(name, folder or Path())
    try:
        topo = make(**(args or {}))
    except Exception as error:  # somebody else's code: whatever goes wrong there is told as the topology's fault
        raise TopologyError(
            f"topology {name} cannot be made of {dict(args or {})}: {error}; its parameters are {_parameters(make)}"
        ) from error
    return read_topo(topo)


def _parameters(make: Callable[..., Any]) -> str:
    """The names of the parameters that `args` may hold: those of a Topo's `build`, or of a function that makes one."""
    return ", ".join(name for name in signature(getattr(make, "build", make)).parameters if name != "self") or "none"


def _topo_class(name: str, folder: Path) -> Callable[..., Any]:
    file, _, key = name.rpartition(":")
    path = folder / file if file else TOPOLOGIES / f"{name}.py"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in TOPOLOGIES.glob("*.py")))
        raise TopologyError(f"there is no topology {name} ({path}); there are {known}, or give path/file.py:name")
    spec = importlib.util.spec_from_file_location(f"topologies.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise TopologyError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise TopologyError(f"{path} cannot be read: {error}") from error
    topos: dict[str, Callable[..., Any]] = getattr(module, "topos", {})
    if key not in topos:
        raise TopologyError(f"{path} has no topology {key}; its `topos` names {', '.join(topos) or 'none'}")
    return topos[key]
