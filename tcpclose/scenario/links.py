"""The tables of a scenario that say what links do: `[link.NAME]`, and `[link.NAME.to.NODE]` for one direction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field, ValidationInfo, field_serializer, field_validator

from tcpclose import links, units
from tcpclose.links import Distribution, Fate, read_fate
from tcpclose.scenario.values import Count, Duration, Name, Octets, Rate, Share, Table


class Burst(Table):
    """Loss in bursts (Gilbert-Elliott): the key `burst`. What each value means is told by `links.Burst`."""

    p: Share
    r: Share
    good: Share | None = None
    bad: Share | None = None


class _Keys(Table):
    """What is said here overrides the topology's; None leaves it. What each key means is told by `LinkSettings`."""

    delay: Duration | None = None
    jitter: Duration | None = None
    distribution: Distribution | None = None
    rate: Rate | None = None
    #: Frames that may wait in each direction.
    queue: Count | None = None
    mtu: Octets | None = None
    loss: Share | None = None
    burst: Burst | None = None
    reorder: Share | None = None
    reorder_by: Duration | None = None

    def settings(self) -> dict[str, Any]:
        """By the names of the fields of `LinkSettings`, those that are given."""
        given = {key: getattr(self, key) for key in Way.model_fields}
        if self.burst:
            given["burst"] = links.Burst(**{key: share for key, share in self.burst if share is not None})
        return {key: value for key, value in given.items() if value is not None and not isinstance(value, tuple)}


class Way(_Keys):
    """`[link.NAME.to.NODE]`: one direction."""

    duplicate: Share | None = None
    corrupt: Share | None = None


class Link(_Keys):
    """`[link.NAME]`: both directions alike, but for what differs `to` one of the nodes.

    A key with fates (`links.fates`) takes one text, or an array of them. `duplicate` and `corrupt` are either a share
    of all frames or fates.
    """

    drop: tuple[Fate, ...] = ()
    hold: tuple[Fate, ...] = ()
    duplicate: float | tuple[Fate, ...] | None = None
    corrupt: float | tuple[Fate, ...] | None = None
    to: dict[Name, Way] = Field(default_factory=dict)

    @field_validator("drop", "hold", "duplicate", "corrupt", mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        action: Any = info.field_name
        if action in ("duplicate", "corrupt") and isinstance(value, str) and value.endswith("%"):
            return units.read_share(value)
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError('expected what it is to strike, such as "FIN from h2, first", or an array of such texts')
        return tuple(read_fate(text, action) for text in texts)

    @field_serializer("drop", "hold", "duplicate", "corrupt")
    def _write(self, value: float | tuple[Fate, ...] | None) -> Any:
        if isinstance(value, float):
            return units.write_share(value)
        return None if value is None else [str(fate) for fate in value]

    @property
    def fates(self) -> tuple[Fate, ...]:
        """All of them, in the order of the keys above."""
        lists = (self.drop, self.hold, self.duplicate, self.corrupt)
        return tuple(fate for fates in lists if isinstance(fates, tuple) for fate in fates)

    def plan(self) -> dict[str, Any]:
        """As `Network.override` takes it."""
        more = {"to": {node: way.settings() for node, way in self.to.items()}, "fates": self.fates}
        return self.settings() | {key: value for key, value in more.items() if value}

    def hosts(self) -> Iterator[tuple[str, str]]:
        """The hosts that fates name, and by which key."""
        for fate in self.fates:
            yield from ((fate.action, name) for name in (fate.source, fate.target) if name)
