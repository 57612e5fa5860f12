"""What students are given of A2: the handout, the template, the tiny engine, and what one can try without us."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from tcpclose.protocol.fsm import TABLE
from tcpclose.teaching.assignments.a2.cases import HOME
from tcpclose.teaching.assignments.a2.comparing import first_difference, visible
from tcpclose.teaching.assignments.a2.paths import Path, paths
from tcpclose.teaching.assignments.a2.right import Right
from tcpclose.teaching.assignments.a2.variant import AMONG, chosen
from tcpclose.teaching.assignments.alterations import combine, told

_GIVEN = ("tiny.py", "serve.py", "try.py", "figures/*.txt", "scripts/*.pkt")


def files(student: str) -> dict[str, str]:
    """Whole texts by name; none of them says how a connection ends in the student's variant."""
    found = sorted(path for pattern in _GIVEN for path in HOME.glob(pattern))
    given = {str(path.relative_to(HOME)): path.read_text("utf-8") for path in found}
    template = (HOME / "release.py").read_text("utf-8").replace('"{student}"', json.dumps(student, ensure_ascii=False))
    return {"README.md": handout(student), "release.py": template, **given, "paths.json": _public()}


def handout(student: str) -> str:
    """README.md of the assignment, with the student's alterations."""
    text = (HOME / "README.md").read_text("utf-8")
    return text.replace("{student}", student).replace("{alterations}", told(chosen(student)))


@cache
def _public() -> str:
    """Paths that are the same in every variant, each the shortest that shows a row of the table."""
    shown: dict[str, Path] = {}
    for path in sorted(paths(TABLE), key=len):
        right = Right()
        last = right.play(path)[-1]
        for row in right.fired:
            shown.setdefault(f"{row.state}, {row.event}", path)
        if not right.fired and last["state"] == "CLOSED":  # a stranger's segment, with its answer or without
            shown.setdefault(f"CLOSED, {path[-1].get('ctl', path[-1]['do'])} arrives", path)
    return json.dumps([_entry(what, path) for what, path in shown.items() if _common(path)], indent=0) + "\n"


def _common(path: Path) -> bool:
    right = Right().play(path)
    return not any(first_difference(Right(combine(one)).play(path), right) for one in AMONG)


def _entry(shows: str, path: Path) -> dict[str, Any]:
    return {"shows": shows, "steps": path, "right": [visible(reply) for reply in Right().play(path)]}
