"""What the code knows about itself, for people: the machine as table or graph, the settings with their sections.

Everything here is read from `fsm.py` and `config.py`, so that it cannot say anything else than the engine does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from tcpclose import units
from tcpclose.protocol.config import PROFILES, TcpConfig
from tcpclose.protocol.fsm import TRANSITIONS, Row, State


def machine_rows() -> Iterator[tuple[str, str, str, str, str]]:
    """State, event, next state, what is done, section: one tuple a row, states in the order of 3.3.2."""
    for state in State:
        for row in (row for row in TRANSITIONS if row.state is state):
            done = [do.value for do in row.do]
            if row.cause is not None:
                done.append(f"ended: {row.cause}")
            yield row.state.value, row.event.value, row.next.value, "; ".join(done), row.rfc


def machine_dot() -> str:
    """The machine as a Graphviz graph: `tcpclose fsm --dot | dot -Tsvg`. Rows that keep the state are left out."""
    lines = [
        "digraph tcp {",
        "  node [shape=box, style=rounded, fontname=Helvetica];",
        "  edge [fontname=Helvetica, fontsize=9];",
    ]
    lines += [f'  "{state}";' for state in State]
    edges: dict[tuple[State, State], list[Row]] = {}
    for row in TRANSITIONS:
        if row.state is not row.next:
            edges.setdefault((row.state, row.next), []).append(row)
    for (state, following), rows in edges.items():
        label = "\\n".join(f"{row.event.value} ({row.rfc})" for row in rows)
        lines.append(f'  "{state}" -> "{following}" [label="{label}"];')
    return "\n".join([*lines, "}", ""])


def settings() -> Iterator[tuple[str, list[str], str, str]]:
    """Name, value in each of `PROFILES`, section, meaning: one tuple a field of `TcpConfig`."""
    for field in fields(TcpConfig):
        unit = field.metadata["unit"]
        values = [_value(getattr(profile, field.name), unit) for profile in PROFILES.values()]
        yield field.name, values, field.metadata["rfc"], field.metadata["doc"]


def _value(value: object, unit: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if unit == "us" and isinstance(value, int):
        return units.write_duration(value)
    return f"{value} {unit}".strip() if unit != "count" else str(value)
