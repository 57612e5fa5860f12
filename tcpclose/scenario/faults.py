"""What can befall a network: one model for each kind of fault. In the file, its keys stand beside those of the step.

What a fault does is told where it strikes: `simulator.py` and `testbed/` each know every kind, or refuse it before the
run starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from tcpclose.scenario.values import Name, Table

#: Names of the topology, by what they must be there.
HostName = Annotated[Name, "host"]
LinkName = Annotated[Name, "link"]


class Fault(Table):
    """What all faults have. `kind` is the key `fault` of the step."""

    kind: str

    @property
    def target(self) -> str:
        """What it strikes: the first name that it is given."""
        return next((name for _, _, name in self.names()), "")

    def names(self) -> Iterator[tuple[str, str, str]]:
        """The names of the topology that it uses: key, what it must be ("host", "link"), name."""
        for key, field in type(self).model_fields.items():
            for mark in field.metadata:
                if isinstance(mark, str) and (name := getattr(self, key)):
                    yield key, mark, name


class Cut(Fault):
    """A link loses whatever is on it, both ways, until it is up again. Carrier stays: nobody is told."""

    kind: Literal["link_down", "link_up"]
    link: LinkName


class Silence(Fault):
    """What a host says is lost at once; what it hears is not."""

    kind: Literal["silent", "speaking"]
    host: HostName


AnyFault = Annotated[Cut | Silence, Field(discriminator="kind")]
