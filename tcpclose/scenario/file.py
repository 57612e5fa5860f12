"""The one description of an experiment: a TOML file, read once, checked, units resolved.

`Scenario.load` is the only way from the file into the program. The names of the fields below are the keys of the
file, unknown keys are refused, and whatever is wrong is said in one `ScenarioError`. Numbers inside are whole
microseconds, octets and bit/s. `Scenario.dump` writes the resolved scenario, every default spelled out; it loads
to an equal one.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import Field, StrictInt, ValidationError, field_validator, model_validator

from tcpclose import units
from tcpclose.protocol.config import SECOND, TcpConfig
from tcpclose.scenario.errors import ScenarioError, guess
from tcpclose.scenario.faults import Fault, Injection
from tcpclose.scenario.links import Link
from tcpclose.scenario.messages import explain
from tcpclose.scenario.overrides import override
from tcpclose.scenario.steps import Step
from tcpclose.scenario.tables import DEFAULT_HOST, Connection, Host, Middlebox
from tcpclose.scenario.values import Duration, Name, Table, between
from tcpclose.written import read_written, reason


class Scenario(Table):
    """The whole file. `host` has an entry for each host that takes part, named in the file or not."""

    title: str = ""
    #: A file of `topologies/` by its name, or "FILE.py:NAME", relative to the scenario's file.
    topology: str
    seed: StrictInt = 1
    #: With 6, all addresses are those of IPv6 that stand for the topology's.
    ip_version: Literal[4, 6] = 4
    #: The hard end, in microseconds.
    duration: Annotated[Duration, between(1, None, units.write_duration)]
    topology_args: dict[str, Any] = Field(default_factory=dict)
    host: dict[Name, Host] = Field(default_factory=dict)
    link: dict[Name, Link] = Field(default_factory=dict)
    #: A middlebox that is not named here forwards everything.
    middlebox: dict[Name, Middlebox] = Field(default_factory=dict)
    connection: dict[Name, Connection] = Field(default_factory=dict)
    step: tuple[Step, ...] = ()

    @classmethod
    def load(cls, path: Path | str, overrides: Sequence[str] = ()) -> Self:
        """Read a file. An override is `KEY=VALUE` with the key's full name, "host.h1.tcp.user_timeout=5s".

        Steps are counted from 1, as in messages: "step.3.at=2s". The value is TOML where it reads as such and text
        otherwise; an empty one takes the key away. Raises `ScenarioError`.
        """
        try:
            text = read_written(Path(path))
        except (OSError, ValueError) as error:
            raise ScenarioError([f"cannot be read: {reason(error)}"], str(path)) from None
        return cls.parse(text, overrides, source=str(path), folder=Path(path).parent)

    @classmethod
    def parse(
        cls, text: str, overrides: Sequence[str] = (), *, source: str = "scenario", folder: Path = Path()
    ) -> Self:
        """As `load`, from the text; `folder` is where a relative topology file is looked for."""
        try:
            data = tomllib.loads(text)
            for assignment in overrides:
                override(data, assignment)
            if isinstance(name := data.get("topology"), str) and ".py:" in name:
                data["topology"] = str((folder / name).absolute())
            return cls.model_validate(data)
        except ValidationError as error:
            raise ScenarioError([explain(details, cls) for details in error.errors()], source) from None
        except ScenarioError as error:
            raise ScenarioError(error.problems, source) from None
        except (ValueError, RecursionError) as error:  # what tomllib raises
            raise ScenarioError([f"not TOML: {error}"], source) from None

    def dump(self) -> str:
        """The resolved scenario as TOML: everything that has a default is written out."""
        return tomli_w.dumps(self.tables())

    def tables(self) -> dict[str, Any]:
        """The resolved scenario as its file has it: keys, and values as people write them."""
        steps = [step.model_dump(exclude_unset=True) for step in self.step]
        return {**self.model_dump(exclude_none=True, exclude={"step"}), "step": steps}

    def settings(self, host: str) -> Host:
        """What the scenario says about a host of the topology, the defaults when it says nothing."""
        return self.host.get(host, DEFAULT_HOST)

    def tcp_config(self, host: str) -> TcpConfig:
        """The settings of a host's TCP: its profile and what overrides it."""
        return self.settings(host).tcp

    def link_settings(self) -> dict[str, dict[str, Any]]:
        """What the file says about links, as `Network.override` takes it."""
        return {name: link.plan() for name, link in self.link.items()}

    def middlebox_settings(self) -> dict[str, dict[str, Any]]:
        """What the file says about middleboxes, by the names of the fields of `MiddleboxSettings`."""
        return {name: {key: value for key, value in box if value is not None} for name, box in self.middlebox.items()}

    @field_validator("connection")
    @classmethod
    def _number_clients(cls, connections: dict[str, Connection]) -> dict[str, Connection]:
        return {
            name: connection.model_copy(update={"client_port": connection.client_port or 40001 + place % 25535})
            for place, (name, connection) in enumerate(connections.items())
        }

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [*self._connection_problems(), *self._fate_problems(), *self._step_problems()]
        if problems:
            raise ScenarioError(problems)
        for _, name in self._hosts_used():
            self.host.setdefault(name, DEFAULT_HOST)
        return self

    def _connection_problems(self) -> Iterator[str]:
        taken: dict[tuple[tuple[str, int], tuple[str, int]], str] = {}
        for name, connection in self.connection.items():
            where = f"connection.{name}"
            if connection.client == connection.server:
                yield f"{where}: client and server are both {connection.client}"
            if (other := taken.setdefault(connection.ends, name)) != name:
                yield f"{where}: the same hosts and ports as connection {other}"
            for (host, port), iss in zip(connection.ends, ("client_iss", "server_iss"), strict=True):
                if port in self.settings(host).kernel_ports:
                    yield f"{where}: port {port} is left to the kernel of {host} (kernel_ports)"
                if getattr(connection, iss) is not None and self.settings(host).stack == "linux":
                    yield f'{where}: {iss} cannot be honoured, {host} has stack = "linux"'

    def _fate_problems(self) -> Iterator[str]:
        for name, link in self.link.items():
            for fate in link.fates:
                if fate.connection and fate.connection not in self.connection:
                    hint = guess(fate.connection, self.connection, "connections")
                    yield f"link.{name}.{fate.action}: there is no connection {fate.connection}; {hint}"

    def _step_problems(self) -> Iterator[str]:
        for number, step in enumerate(self.step, 1):
            if step.connection:
                yield from self._end_problems(f"step {number}: connection", step.host, step.connection)
            if step.fault:
                yield from self._fault_problems(f"step {number}", step.fault)
            if step.when:
                yield from self._end_problems(f"step {number}: when", step.when.host, step.when.connection)
            if step.at is not None and (last := step.at + (step.repeat - 1) * step.every) > self.duration:
                late, end = units.write_duration(last), units.write_duration(self.duration)
                yield f"step {number}: it happens at {late}, after the end (duration = {json.dumps(end)})"
            settings = self.settings(step.host)
            if step.call == "listen" and step.port in settings.kernel_ports:
                yield f"step {number}: port {step.port} is left to the kernel of {step.host} (kernel_ports)"
            if step.linger is not None and settings.stack == "linux" and step.linger % SECOND:
                yield f"step {number}: linger = {json.dumps(units.write_duration(step.linger))}: Linux counts seconds"
            if step.call == "receive" and settings.receive == "auto":
                yield f'step {number}: {step.host} takes text by itself; set host.{step.host}.receive = "manual"'

    def _fault_problems(self, where: str, fault: Fault) -> Iterator[str]:
        if isinstance(fault, Injection):
            yield from self._end_problems(f"{where}: source", fault.source, fault.connection)
            numbers = f"{fault.seq} {fault.ack}"
            ends = {name: self.settings(name).stack for name, _ in self._ends_of(fault.connection)}
            if "window" in numbers and "linux" in ends.values():
                yield f'{where}: nobody tells the window scale of a host with stack = "linux": say a number instead'
        elif fault.not_on_linux and self.settings(fault.target).stack == "linux":
            yield f'{where}: {fault.kind} cannot strike {fault.target}, which has stack = "linux": {fault.not_on_linux}'

    def _ends_of(self, name: str) -> tuple[tuple[str, int], ...]:
        return self.connection[name].ends if name in self.connection else ()

    def _end_problems(self, where: str, host: str, name: str) -> Iterator[str]:
        connection = self.connection.get(name)
        if connection is None:
            yield f"{where}: there is no connection {name}; {guess(name, self.connection, 'connections')}"
        elif host not in (connection.client, connection.server):
            yield f"{where}: {host} is no end of {name}, which joins {connection.client} and {connection.server}"

    def check_against(self, names: Mapping[str, Collection[str]], source: str = "scenario") -> None:
        """Compare names with those of the topology, which come by what they are: "host", "link", "router" ...

        Raises `ScenarioError` for each that it does not have.
        """
        problems: dict[tuple[str, str], str] = {}  # one for each name, the first place where it stands
        for where, kind, name in self._names_used():
            if name not in names[kind]:
                hint = guess(name, names[kind], "middleboxes" if kind == "middlebox" else f"{kind}s")
                problems.setdefault((kind, name), f"{where}: there is no {kind} {name} in {self.topology}; {hint}")
        if problems:
            raise ScenarioError(list(problems.values()), source)

    def _names_used(self) -> Iterator[tuple[str, str, str]]:
        """Where a name of the topology stands, what it must be there, and the name."""
        yield from ((where, "host", name) for where, name in self._hosts_used())
        yield from ((f"link.{name}", "link", name) for name in self.link)
        yield from ((f"middlebox.{name}", "middlebox", name) for name in self.middlebox)
        yield from (used for used in self._named_by_faults() if used[1] != "host")

    def _named_by_faults(self) -> Iterator[tuple[str, str, str]]:
        for number, step in enumerate(self.step, 1):
            for key, kind, name in step.fault.names() if step.fault else ():
                yield f"step {number}: {key}", kind, name

    def _hosts_used(self) -> Iterator[tuple[str, str]]:
        for name, connection in self.connection.items():
            yield f"connection.{name}.client", connection.client
            yield f"connection.{name}.server", connection.server
        yield from ((f"step {number}: host", step.host) for number, step in enumerate(self.step, 1) if step.host)
        yield from ((where, name) for where, kind, name in self._named_by_faults() if kind == "host")
        for name, link in self.link.items():
            yield from ((f"link.{name}.{key}", host) for key, host in link.hosts())
        yield from ((f"host.{name}", name) for name in self.host)
