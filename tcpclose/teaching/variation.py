"""What is otherwise for each student. Every draw has a stream of its own, from the student's ID, the lab and a purpose.

So anybody who knows the ID can draw again, and a question that is added to a lab changes no other.
"""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Mapping
from typing import Any

from tcpclose.teaching.questions import Range


def normal_id(student: str) -> str:
    """As IDs are compared: case and blanks around do not count, nor how a file system writes an accent."""
    return unicodedata.normalize("NFC", student).strip().casefold()


def stream(lab: str, student: str, purpose: str) -> random.Random:
    """The random stream of a purpose."""
    return random.Random(f"{lab}/{normal_id(student)}/{purpose}")


def draw(lab: str, student: str, vary: Mapping[str, Range | tuple[Any, ...]]) -> tuple[str, ...]:
    """The overrides of a student's scenario, `KEY=VALUE`; none without an ID: then the lab is as its handout says."""
    if not normal_id(student):
        return ()
    overrides = []
    for key, choice in vary.items():
        chance = stream(lab, student, key)
        value = chance.randint(choice.least, choice.most) if isinstance(choice, Range) else chance.choice(choice)
        overrides.append(f"{key}={json.dumps(value)}")
    return tuple(overrides)
