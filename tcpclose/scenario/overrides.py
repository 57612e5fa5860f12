"""`--set KEY=VALUE`: keys of a scenario overridden from the command line."""

from __future__ import annotations

import tomllib
from typing import Any

from tcpclose.scenario.errors import ScenarioError


def override(data: dict[str, Any], assignment: str) -> None:
    """Put one `KEY=VALUE` into the file's data. Raises `ScenarioError`."""
    key, equals, text = (part.strip() for part in assignment.partition("="))
    if not (key and equals):
        raise ScenarioError([f"--set {assignment}: expected KEY=VALUE"])
    *path, last = key.split(".")
    table: Any = data
    for part in path:
        if isinstance(table, list) and part.isdecimal() and 0 < int(part) <= len(table):
            table = table[int(part) - 1]
        elif isinstance(table, list):
            raise ScenarioError([f"--set {assignment}: {part} is no number from 1 to {len(table)}"])
        elif isinstance(table, dict):
            table = table.setdefault(part, {})
    if not isinstance(table, dict):
        raise ScenarioError([f"--set {assignment}: {'.'.join(path)} is not a table"])
    if text:
        table[last] = _toml_value(text)
    else:
        table.pop(last, None)


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
