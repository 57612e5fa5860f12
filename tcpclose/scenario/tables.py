"""The tables of a scenario that describe what is there: hosts, links, connections."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Annotated, Any, Literal, Self, get_type_hints

from pydantic import (
    BaseModel,
    GetPydanticSchema,
    PlainSerializer,
    StrictBool,
    StrictInt,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import core_schema

from tcpclose import units
from tcpclose.protocol.config import PROFILES, TcpConfig
from tcpclose.scenario.errors import guess
from tcpclose.scenario.values import Count, Duration, Name, Port, Rate, SequenceNumber, Share, Size, Table, between


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
    return TcpKeys.model_construct(**asdict(config)).model_dump()


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

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, name: str) -> str:
        if name not in PROFILES:
            raise ValueError(f"there is no such profile; {guess(name, PROFILES, 'profiles')}")
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


DEFAULT_HOST = Host()  # frozen, and not cheap to make


class Link(Table):
    """`[link.NAME]`: what is said here overrides the topology's; None leaves it."""

    delay: Duration | None = None
    rate: Rate | None = None
    loss: Share | None = None
    #: Frames that may wait in each direction.
    queue: Count | None = None


class Connection(Table):
    """`[connection.NAME]`. An initial sequence number that is None comes from the seed and the clock (RFC 6528)."""

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
