"""The one description of an experiment: a TOML file, read once, checked, units resolved.

`Scenario.load` is the only way from the file into the program. The names of the fields below are the keys of the
file, unknown keys are refused, and whatever is wrong is said in one `ScenarioError`. Numbers inside are whole
microseconds, octets and bit/s. `Scenario.dump` writes the resolved scenario, every default spelled out; it loads
to an equal one.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from string import ascii_letters, digits
from typing import Annotated, Any, Literal, Self, get_type_hints

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    PlainSerializer,
    StrictBool,
    StrictInt,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, core_schema

from tcpclose import units
from tcpclose.protocol.config import PROFILES, TcpConfig
from tcpclose.protocol.connection import Notice
from tcpclose.protocol.fsm import Cause, State


class ScenarioError(Exception):
    """What is wrong with a scenario, for people: `problems` has one line each, `source` is the file."""

    def __init__(self, problems: Sequence[str], source: str = "scenario") -> None:
        super().__init__(problems, source)
        self.problems, self.source = tuple(problems), source

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.source}: {self.problems[0]}"
        return "\n  ".join([f"{self.source}: {len(self.problems)} errors", *self.problems])


def _guess(wrong: str, known: Iterable[str], kind: str) -> str:
    """ "did you mean ...?", or all that is known when nothing is near."""
    known = list(known)
    near = difflib.get_close_matches(wrong, known, 1)
    return f"did you mean {near[0]}?" if near else f"{kind}: {', '.join(known) or 'none'}"


# ---- Values


def _between(least: int | None, most: int | None, write: Callable[[int], str] = str) -> AfterValidator:
    def check(value: int) -> int:
        if least is not None and value < least:
            raise ValueError(f"expected at least {write(least)}")
        if most is not None and value > most:
            raise ValueError(f"expected at most {write(most)}")
        return value

    return AfterValidator(check)


Duration = Annotated[int, BeforeValidator(units.read_duration), PlainSerializer(units.write_duration)]
Rate = Annotated[
    int, BeforeValidator(units.read_rate), _between(1, None, units.write_rate), PlainSerializer(units.write_rate)
]
Share = Annotated[float, BeforeValidator(units.read_share), PlainSerializer(units.write_share)]
Size = Annotated[int, BeforeValidator(units.read_size)]
Octets = Annotated[Size, _between(1, None)]
Count = Annotated[StrictInt, _between(1, None)]
Repeat = Annotated[StrictInt, _between(1, 100_000)]
Port = Annotated[StrictInt, _between(1, 65535)]
SequenceNumber = Annotated[StrictInt, _between(0, 2**32 - 1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


def signal_name(name: str) -> str:
    """What `sees` calls a notice or the cause of an end: "reset by peer" is RESET-BY-PEER."""
    return name.upper().replace(" ", "-")


_STATES = tuple(state.value for state in State)
_SIGNALS = tuple(signal_name(signal.value) for signal in (*Notice, *Cause))


@dataclass(frozen=True, slots=True)
class Condition:
    """Something to wait for at one end of a connection: `h1.c1 in ESTABLISHED`, `sees EOF`, `received 10000`.

    A state counts when it is passed through, however briefly. A signal is a notice (3.9.1.3) or the cause of an end;
    CLOSED is any end. Octets are those the user has been told of, in all.
    """

    host: str
    connection: str
    verb: Literal["in", "sees", "received"]
    value: str

    def __str__(self) -> str:
        return f"{self.host}.{self.connection} {self.verb} {self.value}"


_CONDITION = re.compile(r"([\w-]+)\.([\w-]+) +(in|sees|received) +(\S.*?) *")


def read_condition(text: object) -> Condition:
    """Read the text form of a condition. Raises `ValueError` that says what was expected."""
    match = _CONDITION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('expected "HOST.CONNECTION in STATE", "... sees SIGNAL" or "... received OCTETS"')
    host, connection, verb, value = match.groups()
    if verb == "in":
        if value not in _STATES:
            raise ValueError(f"there is no state {value}; {_guess(value, _STATES, 'states')}")
        return Condition(host, connection, "in", value)
    if verb == "sees":
        value = signal_name(value)
        if value not in _SIGNALS:
            raise ValueError(f"there is no signal {value}; {_guess(value, _SIGNALS, 'signals')}")
        return Condition(host, connection, "sees", value)
    octets = units.read_size(int(value) if value.isdecimal() else value)
    if octets < 1:
        raise ValueError("expected at least 1 octet")
    return Condition(host, connection, "received", str(octets))


# ---- Tables of the file


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _tcp_keys() -> type[BaseModel]:
    """The keys of `[host.NAME.tcp]`: the fields of `TcpConfig`, read by their units."""
    hints, keys = get_type_hints(TcpConfig), {}
    for field in fields(TcpConfig):
        kind = {"us": Duration, "octets": Size, bool: StrictBool, int: StrictInt}
        read: Any = kind.get(field.metadata["unit"]) or kind.get(hints[field.name]) or hints[field.name]
        write = units.write_duration if field.metadata["unit"] == "us" else str
        bounds = _between(field.metadata["least"], field.metadata["most"], write)
        keys[field.name] = (Annotated[read, bounds] if hints[field.name] is int else read, ...)
    return create_model("TcpKeys", __base__=_Table, **keys)  # type: ignore[call-overload, no-any-return]


_TcpKeys = _tcp_keys()


def _write_tcp(config: TcpConfig) -> dict[str, Any]:
    return _TcpKeys.model_construct(**asdict(config)).model_dump()


_TcpTable = Annotated[
    TcpConfig,
    GetPydanticSchema(
        lambda _, handler: core_schema.no_info_after_validator_function(
            lambda keys: TcpConfig(**dict(keys)), handler(_TcpKeys)
        )
    ),
    PlainSerializer(_write_tcp),
]


class Host(_Table):
    """`[host.NAME]`. `tcp` is complete: the profile, overridden by what the file says."""

    stack: Literal["tcpclose", "linux"] = "tcpclose"
    profile: str = "rfc9293"
    #: "auto": the user takes text as it arrives; "manual": only by `receive` steps.
    receive: Literal["auto", "manual"] = "auto"
    #: Ports that stay with the host's kernel.
    kernel_ports: tuple[Port, ...] = ()
    tcp: _TcpTable = TcpConfig()

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, name: str) -> str:
        if name not in PROFILES:
            raise ValueError(f"there is no such profile; {_guess(name, PROFILES, 'profiles')}")
        return name

    @model_validator(mode="before")
    @classmethod
    def _complete_tcp(cls, table: Any) -> Any:
        if not isinstance(table, dict) or not isinstance(given := table.get("tcp", {}), dict):
            return table  # the field's own check will say so
        profile = PROFILES.get(str(table.get("profile")), TcpConfig())
        return {**table, "tcp": {**_write_tcp(profile), **given}}

    @model_validator(mode="after")
    def _linux_has_its_own(self) -> Self:
        if self.stack == "linux" and self.tcp != PROFILES[self.profile]:
            raise ValueError('the table `tcp` sets our own stack; stack = "linux" cannot honour it: take it away')
        return self


_DEFAULT_HOST = Host()  # frozen, and not cheap to make


class Link(_Table):
    """`[link.NAME]`: what is said here overrides the topology's; None leaves it."""

    delay: Duration | None = None
    rate: Rate | None = None
    loss: Share | None = None
    #: Frames that may wait in each direction.
    queue: Count | None = None


class Connection(_Table):
    """`[connection.NAME]`. An initial sequence number that is None is drawn from the seed by the world."""

    client: Name
    server: Name
    port: Port
    #: By default 40000 and the connection's place in the file, counted from 1.
    client_port: Port = 0
    client_iss: SequenceNumber | None = None
    server_iss: SequenceNumber | None = None

    @property
    def ends(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Host and port of the client, then of the server."""
        return (self.client, self.client_port), (self.server, self.port)


#: What each call and each fault must be told.
_NEEDS = {
    "listen": {"host", "port"},
    "open": {"host", "connection"},
    "send": {"host", "connection"},
    "receive": {"host", "connection"},
    "close": {"host", "connection"},
    "abort": {"host", "connection"},
    "link_down": {"link"},
    "link_up": {"link"},
    "silent": {"host"},
    "speaking": {"host"},
}
_MAY = {"send": {"bytes", "text"}, "receive": {"bytes"}}


class Step(_Table):
    """`[[step]]`: a user's call or a fault, at a time or when something is seen (then `after` a while).

    Names that a step has no use for are empty. It fires once, or `repeat` times, one `every` while.
    """

    at: Duration | None = None
    when: Annotated[Condition, BeforeValidator(read_condition), PlainSerializer(str)] | None = None
    after: Duration = 0
    repeat: Repeat = 1
    every: Duration = 0

    call: Literal["listen", "open", "send", "receive", "close", "abort"] | None = None
    fault: Literal["link_down", "link_up", "silent", "speaking"] | None = None
    host: Name = ""
    connection: Name = ""
    link: Name = ""
    port: Port = 0
    bytes: Octets | None = None
    text: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        given = self.model_fields_set
        if (self.at is None) == (self.when is None):
            yield "expected either `at` (a time) or `when` (a condition)"
        if "after" in given and self.when is None:
            yield "`after` counts from a `when`"
        if (self.repeat > 1) != (self.every > 0):
            yield "`repeat` (at least 2) and `every` (more than 0s) go together"
        action = self.call or self.fault
        if action is None or (self.call and self.fault):
            yield "expected either `call` or `fault`"
            return
        needs, may = _NEEDS[action], _MAY.get(action, set())
        said = given - {"at", "when", "after", "repeat", "every", "call", "fault"}
        yield from (f"{action} needs `{key}`" for key in sorted(needs - said))
        yield from (f"{action} has no use for `{key}`" for key in sorted(said - needs - may))
        if action == "send" and (self.bytes is None) == (self.text is None):
            yield "send needs either `bytes` or `text`"


_TEXT = (ascii_letters + digits + "\n").encode()


def payload(step: Step) -> bytes:
    """The text of a `send`: what the step says, or `bytes` octets of a pattern that reads well in a capture."""
    if step.text is not None:
        return step.text.encode()
    octets = step.bytes or 0
    return (_TEXT * (octets // len(_TEXT) + 1))[:octets]


class Scenario(_Table):
    """The whole file. `host` has an entry for each host that takes part, named in the file or not."""

    title: str = ""
    #: A file of `topologies/` by its name, or "FILE.py:NAME", relative to the scenario's file.
    topology: str
    seed: StrictInt = 1
    #: The hard end, in microseconds.
    duration: Annotated[Duration, _between(1, None, units.write_duration)]
    topology_args: dict[str, Any] = {}
    host: dict[Name, Host] = {}
    link: dict[Name, Link] = {}
    connection: dict[Name, Connection] = {}
    step: tuple[Step, ...] = ()

    @classmethod
    def load(cls, path: Path | str, overrides: Sequence[str] = ()) -> Self:
        """Read a file. An override is `KEY=VALUE` with the key's full name, "host.h1.tcp.user_timeout=5s".

        Steps are counted from 1, as in messages: "step.3.at=2s". The value is TOML where it reads as such and text
        otherwise; an empty one takes the key away. Raises `ScenarioError`.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise ScenarioError([f"cannot be read: {reason}"], str(path)) from None
        return cls.parse(text, overrides, source=str(path), folder=Path(path).parent)

    @classmethod
    def parse(
        cls, text: str, overrides: Sequence[str] = (), *, source: str = "scenario", folder: Path = Path()
    ) -> Self:
        """As `load`, from the text; `folder` is where a relative topology file is looked for."""
        try:
            data = tomllib.loads(text)
            for override in overrides:
                _override(data, override)
            if isinstance(name := data.get("topology"), str) and ".py:" in name:
                data["topology"] = str((folder / name).absolute())
            return cls.model_validate(data)
        except ValidationError as error:
            raise ScenarioError([_explain(details) for details in error.errors()], source) from None
        except ScenarioError as error:
            raise ScenarioError(error.problems, source) from None
        except (ValueError, RecursionError) as error:  # what tomllib raises
            raise ScenarioError([f"not TOML: {error}"], source) from None

    def dump(self) -> str:
        """The resolved scenario as TOML: everything that has a default is written out."""
        steps = [step.model_dump(exclude_unset=True) for step in self.step]
        return tomli_w.dumps({**self.model_dump(exclude_none=True, exclude={"step"}), "step": steps})

    def settings(self, host: str) -> Host:
        """What the scenario says about a host of the topology, the defaults when it says nothing."""
        return self.host.get(host, _DEFAULT_HOST)

    def tcp_config(self, host: str) -> TcpConfig:
        """The settings of a host's TCP: its profile and what overrides it."""
        return self.settings(host).tcp

    def link_settings(self) -> dict[str, dict[str, int | float]]:
        """What the file says about links, by the names of the fields of `LinkSettings`."""
        return {name: {key: value for key, value in link if value is not None} for name, link in self.link.items()}

    @field_validator("connection")
    @classmethod
    def _number_clients(cls, connections: dict[str, Connection]) -> dict[str, Connection]:
        return {
            name: connection.model_copy(update={"client_port": connection.client_port or 40000 + ordinal})
            for ordinal, (name, connection) in enumerate(connections.items(), 1)
        }

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [*self._connection_problems(), *self._step_problems()]
        if problems:
            raise ScenarioError(problems)
        for _, name in self._hosts_used():
            self.host.setdefault(name, _DEFAULT_HOST)
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

    def _step_problems(self) -> Iterator[str]:
        opened: dict[str, int] = {}
        for number, step in enumerate(self.step, 1):
            if step.call == "open" and (opened.setdefault(step.connection, number) != number or step.repeat > 1):
                yield f"step {number}: {step.connection} is opened a second time; that needs a name of its own"
            if step.connection:
                yield from self._end_problems(f"step {number}: connection", step.host, step.connection)
            if step.when:
                yield from self._end_problems(f"step {number}: when", step.when.host, step.when.connection)
            if step.at is not None and (last := step.at + (step.repeat - 1) * step.every) > self.duration:
                late, end = units.write_duration(last), units.write_duration(self.duration)
                yield f"step {number}: it happens at {late}, after the end (duration = {json.dumps(end)})"
            settings = self.settings(step.host)
            if step.call == "listen" and step.port in settings.kernel_ports:
                yield f"step {number}: port {step.port} is left to the kernel of {step.host} (kernel_ports)"
            if step.call == "receive" and settings.receive == "auto":
                yield f'step {number}: {step.host} takes text by itself; set host.{step.host}.receive = "manual"'

    def _end_problems(self, where: str, host: str, name: str) -> Iterator[str]:
        connection = self.connection.get(name)
        if connection is None:
            yield f"{where}: there is no connection {name}; {_guess(name, self.connection, 'connections')}"
        elif host not in (connection.client, connection.server):
            yield f"{where}: {host} is no end of {name}, which joins {connection.client} and {connection.server}"

    def check_against(self, hosts: Collection[str], links: Collection[str], source: str = "scenario") -> None:
        """Compare names with those of the topology. Raises `ScenarioError` for each that it does not have."""
        problems: dict[tuple[str, str], str] = {}  # one for each name, the first place where it stands
        for (kind, known), used in ((("host", hosts), self._hosts_used()), (("link", links), self._links_used())):
            for where, name in used:
                if name not in known:
                    hint = _guess(name, known, f"{kind}s")
                    problems.setdefault((kind, name), f"{where}: there is no {kind} {name} in {self.topology}; {hint}")
        if problems:
            raise ScenarioError(list(problems.values()), source)

    def _hosts_used(self) -> Iterator[tuple[str, str]]:
        for name, connection in self.connection.items():
            yield f"connection.{name}.client", connection.client
            yield f"connection.{name}.server", connection.server
        yield from ((f"step {number}: host", step.host) for number, step in enumerate(self.step, 1) if step.host)
        yield from ((f"host.{name}", name) for name in self.host)

    def _links_used(self) -> Iterator[tuple[str, str]]:
        yield from ((f"link.{name}", name) for name in self.link)
        yield from ((f"step {number}: link", step.link) for number, step in enumerate(self.step, 1) if step.link)


# ---- Overrides


def _override(data: dict[str, Any], override: str) -> None:
    """Put one `KEY=VALUE` into the file's data. Raises `ScenarioError`."""
    key, equals, text = (part.strip() for part in override.partition("="))
    if not (key and equals):
        raise ScenarioError([f"--set {override}: expected KEY=VALUE"])
    *path, last = key.split(".")
    table: Any = data
    for part in path:
        if isinstance(table, list) and part.isdecimal() and 0 < int(part) <= len(table):
            table = table[int(part) - 1]
        elif isinstance(table, list):
            raise ScenarioError([f"--set {override}: {part} is no number from 1 to {len(table)}"])
        elif isinstance(table, dict):
            table = table.setdefault(part, {})
    if not isinstance(table, dict):
        raise ScenarioError([f"--set {override}: {'.'.join(path)} is not a table"])
    if text:
        table[last] = _toml_value(text)
    else:
        table.pop(last, None)


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


# ---- Messages

_EXPECTED = {
    "bool_type": "expected true or false",
    "dict_type": "expected a table",
    "int_type": "expected a whole number",
    "model_type": "expected a table",
    "string_pattern_mismatch": "expected a name of letters, digits, - and _",
    "string_too_short": "expected text of at least one octet",
    "string_type": "expected text",
    "tuple_type": "expected an array",
}


def _explain(details: ErrorDetails) -> str:
    """One line for people from what pydantic found: the key as the file has it, what was given, what was expected."""
    *place, last = details["loc"]
    kind, key = details["type"], _key_of(details["loc"])
    if kind == "missing":
        return f"{key}: missing"
    if kind == "extra_forbidden":
        return f"{key}: unknown key; {_guess(str(last), _keys_at(place), 'known keys')}"
    if kind == "value_error":
        expected = str(details["ctx"]["error"])
    elif kind == "literal_error":
        expected = f"expected {details['ctx']['expected']}".replace("'", '"')
    elif details["loc"] == ("step",):
        expected = "expected tables that begin with [[step]]"
    else:
        expected = _EXPECTED.get(kind) or details["msg"]
    given = details["input"]
    shown = "" if isinstance(given, dict) else f" = {json.dumps(given, default=str, ensure_ascii=False)}"
    return f"{key}{shown if len(shown) < 80 else ''}: {expected}"


def _key_of(loc: Sequence[str | int]) -> str:
    """ "host.h1.tcp.user_timout", "step 3: when"."""
    head, *rest = [part for part in loc if part != "[key]"]
    if head == "step" and rest:
        head, rest = f"step {int(rest[0]) + 1}", rest[1:]
        return ": ".join(filter(None, (head, ".".join(map(str, rest)))))
    return "".join(f" item {part + 1}" if isinstance(part, int) else f".{part}" for part in (head, *rest))[1:]


def _keys_at(place: Sequence[str | int]) -> Iterable[str]:
    tables: dict[str | int, type[BaseModel]] = {"host": Host, "link": Link, "connection": Connection, "step": Step}
    table = Scenario if not place else _TcpKeys if len(place) > 2 else tables[place[0]]
    return table.model_fields
