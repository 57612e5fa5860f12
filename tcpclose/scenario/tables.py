"""The tables of a scenario that describe what is there: hosts and connections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Annotated, Any, Literal, Self, get_type_hints

from pydantic import (
    BaseModel,
    Field,
    GetPydanticSchema,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    StrictBool,
    StrictInt,
    StrictStr,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import core_schema

from tcpclose import units
from tcpclose.protocol.config import PROFILES, TcpConfig
from tcpclose.scenario.errors import guess
from tcpclose.scenario.linux import linux_problems
from tcpclose.scenario.values import Duration, Name, Port, SequenceNumber, Size, Table, between

SysctlName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


def _tcp_keys() -> type[BaseModel]:
    """The keys of `[host.NAME.tcp]`: the fields of `TcpConfig`, read by their units."""
    hints, keys = get_type_hints(TcpConfig), {}
    for field in fields(TcpConfig):
        kind = {"us": Duration, "octets": Size, bool: StrictBool, int: StrictInt}
        read: Any = kind.get(field.metadata["unit"]) or kind.get(hints[field.name]) or hints[field.name]
        write = units.write_duration if field.metadata["unit"] == "us" else str
        bounds = between(field.metadata["least"], field.metadata["most"], write)
        keys[field.name] = (Annotated[read, bounds] if hints[field.name] is int else read, ...)
    return create_model("TcpKeys", __base__=Table, **keys)  # type: ignore[call-overload, no-any-return]


TcpKeys = _tcp_keys()


def _write_tcp(config: TcpConfig) -> dict[str, Any]:
    return TcpKeys.model_construct(**{key: getattr(config, key) for key in TcpKeys.model_fields}).model_dump()


_TcpTable = Annotated[
    TcpConfig,
    GetPydanticSchema(
        lambda _, handler: core_schema.no_info_after_validator_function(
            lambda keys: TcpConfig(**dict(keys)), handler(TcpKeys)
        )
    ),
    PlainSerializer(_write_tcp),
]


class Host(Table):
    """`[host.NAME]`. `tcp` is complete: the profile, overridden by what the file says."""

    stack: Literal["tcpclose", "linux"] = "tcpclose"
    profile: str = "rfc9293"
    #: "auto": the user takes text as it arrives; "manual": only by `receive` steps.
    receive: Literal["auto", "manual"] = "auto"
    #: Ports that stay with the host's kernel.
    kernel_ports: tuple[Port, ...] = ()
    tcp: _TcpTable = TcpConfig()
    #: Settings of the kernel's TCP by their names below net.ipv4: `tcp_retries2 = 5`.
    sysctl: dict[SysctlName, StrictInt | StrictStr] = Field(default_factory=dict)
    #: Of a Linux host, the keys of `tcp` that the file has: all others are the kernel's business.
    _told: tuple[str, ...] = PrivateAttr(())

    @property
    def told(self) -> dict[str, Any]:
        """What the kernel of a Linux host is told of `tcp`."""
        return {key: getattr(self.tcp, key) for key in self._told}

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, name: str) -> str:
        if name not in PROFILES:
            raise ValueError(f"there is no such profile; {guess(name, PROFILES, 'profiles')}")
        return name

    @model_validator(mode="wrap")
    @classmethod
    def _complete_tcp(cls, table: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(table, dict) or not isinstance(given := table.get("tcp", {}), dict):
            return handler(table)  # the field's own check will say so
        profile = PROFILES.get(str(table.get("profile")), TcpConfig())
        host = handler({**table, "tcp": {**_write_tcp(profile), **given}})
        if host.stack == "linux":
            host._told = tuple(sorted(given))
        if problems := list(host._problems()):
            raise ValueError("; ".join(problems))
        return host

    def _problems(self) -> Iterator[str]:
        if self.stack == "linux":
            yield from linux_problems(self.told)
            if self.profile != "rfc9293":
                yield f'profile = "{self.profile}" is for our own stack; stack = "linux" is what it is'
        elif self.sysctl:
            yield f'`sysctl` is for the kernel\'s TCP, so with stack = "linux" only (here: {", ".join(self.sysctl)})'

    @model_serializer(mode="wrap")
    def _only_what_counts(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        table: dict[str, Any] = handler(self)
        if self.stack == "linux":
            table["tcp"] = {key: value for key, value in table["tcp"].items() if key in self._told}
        return {key: value for key, value in table.items() if key != "sysctl" or value}


DEFAULT_HOST = Host()  # frozen, and not cheap to make


class Connection(Table):
    """`[connection.NAME]`. An initial sequence number that is None comes from the seed and the clock (RFC 6528)."""

    client: Name
    server: Name
    port: Port
    #: By default 40000 and the connection's place in the file, counted from 1; after 65535 again from 40001 on.
    client_port: Port = 0
    client_iss: SequenceNumber | None = None
    server_iss: SequenceNumber | None = None

    @property
    def ends(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Host and port of the client, then of the server."""
        return (self.client, self.client_port), (self.server, self.port)


Lasting = Annotated[Duration, between(1, None, units.write_duration)]


class Middlebox(Table):
    """`[middlebox.NAME]`: what a middlebox of the topology does, the fields of `MiddleboxSettings`; None leaves it."""

    kind: Literal["firewall", "nat"] | None = None
    idle_timeout: Lasting | None = None
    transitory_timeout: Lasting | None = None
    answer: Literal["drop", "reset"] | None = None
    invalid_header: Literal["pass", "drop", "reset"] | None = None
