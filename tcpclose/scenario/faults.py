"""What can befall a network: one model for each kind of fault. In the file, its keys stand beside those of the step.

What a fault does is told where it strikes: `simulator/` and `testbed/` each know every kind, or refuse it before the
run starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, StrictInt, field_validator, model_validator

from tcpclose.links import ETHERNET_MTU
from tcpclose.protocol.segment import ACK, MODULUS, parse_ctl
from tcpclose.scenario.values import Duration, Name, Size, Table, between

#: Names of the topology, by what they must be there.
HostName = Annotated[Name, "host"]
LinkName = Annotated[Name, "link"]
RouterName = Annotated[Name, "router"]
#: What forwards: a switch or a router.
NodeName = Annotated[Name, "node"]
MiddleboxName = Annotated[Name, "middlebox"]


Limited = Annotated[StrictInt, between(0, None)]

#: Segments that one injection may send: more at once would be lost in a real network card.
MOST_FORGED = 1000
Guesses = Annotated[StrictInt, between(1, MOST_FORGED)]

_NUMBER = re.compile(r"(next|window|iss) *(?:([+-]) *(\d+))?")


def _read_number(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MODULUS:
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return value
    raise ValueError('expected a number from 0 to 4294967295, or "next", "window" or "iss" with + or - octets')


def split_number(text: str) -> tuple[str, int]:
    """ "window-1" is ("window", -1)."""
    match = _NUMBER.fullmatch(text)
    assert match is not None
    return match[1], int(f"{match[2]}{match[3]}") if match[2] else 0


Number = Annotated[int | str, BeforeValidator(_read_number)]


class Fault(Table):
    """What all faults have. `kind` is the key `fault` of the step."""

    #: Why it cannot strike a host with `stack = "linux"`; empty when it can.
    not_on_linux: ClassVar[str] = ""

    kind: str

    @property
    def target(self) -> str:
        """What it strikes: the first name that it is given."""
        return next((name for _, _, name in self.names()), "")

    def names(self) -> Iterator[tuple[str, str, str]]:
        """The names of the topology that it uses: key, what it must be ("host", "link", "router" ...), name."""
        for key, field in type(self).model_fields.items():
            for mark in field.metadata:
                if isinstance(mark, str) and (name := getattr(self, key)):
                    yield key, mark, name

    @property
    def detail(self) -> str:
        """What the trace says besides its kind and what it strikes."""
        return ""


class Cut(Fault):
    """A link loses whatever is on it, both ways, until it is up again. Carrier stays: nobody is told."""

    kind: Literal["link_down", "link_up"]
    link: LinkName


class Silent(Fault):
    """A host is not heard ("out": what it says is lost at once), hears nothing ("in": lost as it arrives), or both."""

    kind: Literal["silent"]
    host: HostName
    way: Literal["out", "in", "both"] = "out"

    @property
    def detail(self) -> str:
        return "" if self.way == "out" else {"in": "hears nothing", "both": "both ways"}[self.way]


class Speaking(Fault):
    """The end of `silent`, whichever way it was: the host is heard and hears."""

    kind: Literal["speaking"]
    host: HostName


class Crash(Fault):
    """A host is off at once: no word on the wire, and nobody there for what arrives. All that it knew is gone."""

    not_on_linux = "the kernel tells the peer with a FIN or a RST when the process is gone"

    kind: Literal["crash"]
    host: HostName


class Reboot(Fault):
    """A host is on again, with an empty table: it knows no connection, and nobody listens. If it was on, it goes off
    first; it is on again `down` later.
    """

    not_on_linux = Crash.not_on_linux

    kind: Literal["reboot"]
    host: HostName
    down: Duration = 0


class Pause(Fault):
    """The process of a host stops. What arrives waits, and so do timers and the user, until it resumes."""

    not_on_linux = "its TCP would go on answering while the process sleeps"

    kind: Literal["pause", "resume"]
    host: HostName


class Limit(Fault):
    """A host has so much room from now on. What it cannot keep is reset; 0 takes a limit away, as in `TcpConfig`.

    With a `backlog`, users who listen accept nothing any more, and so many complete connections may wait for them.
    """

    not_on_linux = "its limits are sysctls, which are set before the run"

    kind: Literal["limit"]
    host: HostName
    max_connections: Limited | None = None
    max_half_open: Limited | None = None
    max_orphans: Limited | None = None
    max_memory: Annotated[Size, between(0, None)] | None = None
    overload: Literal["drop", "reset"] | None = None
    backlog: Limited | None = None

    @property
    def changes(self) -> dict[str, int | str]:
        """What is said: settings by their names in `TcpConfig`, and `backlog`."""
        return {key: value for key, value in self if key not in ("kind", "host") and value is not None}

    @property
    def detail(self) -> str:
        return ", ".join(f"{key} {value}" for key, value in self.changes.items())

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.changes:
            known = [key for key in type(self).model_fields if key not in ("kind", "host")]
            raise ValueError(f"limit needs at least one of {', '.join(known)}")
        return self


class Injection(Fault):
    """A host sends segments in the name of `source`, one end of a connection, to the other end.

    A number is absolute, or counted from what the path has seen: "next" is the first that the direction has not sent,
    "window" the first beyond the window that its receiver offers, "iss" that of its SYN; "next+10", "window-1".
    """

    kind: Literal["inject"]
    host: HostName
    connection: Name
    source: HostName
    ctl: str
    seq: Number
    #: By default "next" of the other direction, when the ACK bit is set.
    ack: Number | None = None
    wnd: Annotated[StrictInt, between(0, 65535)] = 65535
    text: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    #: What is wrong with the header.
    wrong: Literal["checksum", "data offset", "option length", "reserved bits"] | None = None
    #: So many segments, each with a sequence number `step` further than the last.
    guesses: Guesses = 1
    step: Annotated[StrictInt, between(1, MODULUS - 1)] = 1
    #: Each of them so often.
    count: Guesses = 1

    @property
    def detail(self) -> str:
        many = self.guesses * self.count
        return (
            f"{f'{many} x ' if many > 1 else ''}{self.ctl or 'no control bit'} as {self.source} on {self.connection}"
            f"{f', wrong {self.wrong}' if self.wrong else ''}"
        )

    @field_validator("ctl")
    @classmethod
    def _control_bits(cls, text: str) -> str:
        parse_ctl(text)
        return text

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.ack is not None and not parse_ctl(self.ctl) & ACK:
            raise ValueError("`ack` counts only with ACK in `ctl`")
        if self.guesses * self.count > MOST_FORGED:
            raise ValueError(f"inject sends at most {MOST_FORGED} segments at a time; use `repeat` and `every`")
        return self


class Carrier(Fault):
    """A link is cut, and both its ends know: their interfaces have no carrier, routers take other routes."""

    kind: Literal["carrier_down", "carrier_up"]
    link: LinkName


class Power(Fault):
    """A switch or router is off: its links have no carrier. A middlebox forgets its connections."""

    kind: Literal["power_off", "power_on"]
    node: NodeName


class Withdrawal(Fault):
    """A router has no route to a host any more, and says so with the ICMP error of that code, or says nothing."""

    kind: Literal["unreachable"]
    router: RouterName
    to: HostName
    code: Literal["net", "host", "admin", "silent"] = "net"

    @property
    def detail(self) -> str:
        return self.code

    @property
    def target(self) -> str:
        """Both names."""
        return f"{self.router} to {self.to}"


class Return(Fault):
    """The end of `unreachable`."""

    kind: Literal["reachable"]
    router: RouterName
    to: HostName

    @property
    def target(self) -> str:
        """Both names."""
        return f"{self.router} to {self.to}"


class Narrowing(Fault):
    """A link between routers takes no longer packets than `mtu` octets: routers say "fragmentation needed"."""

    kind: Literal["mtu"]
    link: LinkName
    mtu: Annotated[Size, between(68, ETHERNET_MTU)]

    @property
    def detail(self) -> str:
        return f"{self.mtu} octets"


class Forgetting(Fault):
    """A middlebox loses its table of connections, as after a restart."""

    kind: Literal["forget"]
    middlebox: MiddleboxName


#: What befalls the network between hosts.
NetworkFault = Carrier | Power | Withdrawal | Return | Narrowing | Forgetting

#: What befalls hosts.
HostFault = Crash | Reboot | Pause | Limit | Injection

AnyFault = Annotated[Cut | Silent | Speaking | HostFault | NetworkFault, Field(discriminator="kind")]
