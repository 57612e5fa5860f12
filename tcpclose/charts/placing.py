"""Finding room for labels: boxes that lean with their arrows, and the rule that no two may touch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import cos, hypot, sin

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle around (x, y), turned by `angle` (radians, in a plane whose y runs down)."""

    x: float
    y: float
    width: float
    height: float
    angle: float = 0.0

    @cached_property
    def axes(self) -> tuple[Point, Point]:
        """Unit vectors along and across."""
        return (cos(self.angle), sin(self.angle)), (-sin(self.angle), cos(self.angle))

    @cached_property
    def corners(self) -> list[Point]:
        """The four corners."""
        (ux, uy), (vx, vy) = self.axes
        return [
            (
                self.x + a * self.width / 2 * ux + b * self.height / 2 * vx,
                self.y + a * self.width / 2 * uy + b * self.height / 2 * vy,
            )
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]

    def meets(self, other: Box) -> bool:
        """Whether the two overlap: no axis of either parts them."""
        reach = (hypot(self.width, self.height) + hypot(other.width, other.height)) / 2
        if hypot(self.x - other.x, self.y - other.y) > reach:
            return False
        return not any(_parted(axis, self.corners, other.corners) for axis in (*self.axes, *other.axes))

    def cut_by(self, start: Point, end: Point) -> bool:
        """Whether the line from `start` to `end` runs through the box."""
        length = hypot(end[0] - start[0], end[1] - start[1])
        if length == 0:
            return False
        across = (-(end[1] - start[1]) / length, (end[0] - start[0]) / length)
        return not any(_parted(axis, self.corners, [start, end]) for axis in (*self.axes, across))


def _parted(axis: Point, one: list[Point], other: list[Point]) -> bool:
    here = [x * axis[0] + y * axis[1] for x, y in one]
    there = [x * axis[0] + y * axis[1] for x, y in other]
    return max(here) <= min(there) or max(there) <= min(here)


class Board:
    """What has its place already: boxes that nothing may meet, and lines that are better not crossed."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []
        self.lines: list[tuple[Point, Point]] = []

    def best(self, candidates: Iterable[Box]) -> Box | None:
        """The candidate that meets no box and is cut by fewest lines, which takes its place; None if all meet one."""
        found: Box | None = None
        fewest = len(self.lines) + 1
        for box in candidates:
            if any(box.meets(taken) for taken in self.boxes):
                continue
            cuts = sum(box.cut_by(*line) for line in self.lines)
            if cuts < fewest:
                found, fewest = box, cuts
            if cuts == 0:
                break
        if found:
            self.boxes.append(found)
        return found
