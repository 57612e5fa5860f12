"""What pydantic found wrong, in words for people: the key as the file has it, what was given, what was expected."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from tcpclose.protocol.config import TcpConfig
from tcpclose.scenario.errors import guess
from tcpclose.scenario.tables import TcpKeys

_EXPECTED = {
    "bool_type": "expected true or false",
    "dict_type": "expected a table",
    "int_type": "expected a whole number",
    "model_attributes_type": "expected the name of a fault",
    "model_type": "expected a table",
    "string_pattern_mismatch": "expected a name of letters, digits, - and _",
    "string_too_short": "expected text of at least one octet",
    "string_type": "expected text",
    "tuple_type": "expected an array",
}


def explain(details: ErrorDetails, root: type[BaseModel]) -> str:
    """One line for people from what pydantic found while it read a `root`."""
    *place, last = details["loc"]
    kind, key = details["type"], _key_of(details["loc"])
    fault = _fault_at(place)
    if kind == "missing":
        return f"{_key_of(place[:2])}: {fault} needs `{last}`" if fault else f"{key}: missing"
    if kind == "extra_forbidden":
        hint = guess(str(last), keys_at(root, place), "known keys")
        return (
            f"{_key_of(place[:2])}: {fault} has no use for `{last}`; {hint}" if fault else f"{key}: unknown key; {hint}"
        )
    if kind == "union_tag_invalid":
        tags = details["ctx"]["expected_tags"].replace("'", "").split(", ")
        return f"{key}: there is no fault {details['ctx']['tag']}; {guess(details['ctx']['tag'], tags, 'faults')}"
    if details["loc"] == ("step",):
        return f"{key}{given(details)}: expected tables that begin with [[step]]"
    return f"{key}{given(details)}: {expected(details)}"


def given(details: ErrorDetails) -> str:
    """What stands in the file, " = 5", where that is short."""
    value = details["input"]
    shown = "" if isinstance(value, dict) else f" = {json.dumps(value, default=str, ensure_ascii=False)}"
    return shown if len(shown) < 80 else ""


def expected(details: ErrorDetails) -> str:
    """What should stand there."""
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    if details["type"] == "literal_error":
        return f"expected {details['ctx']['expected']}".replace("'", '"')
    return _EXPECTED.get(details["type"]) or details["msg"]


def _fault_at(place: Sequence[str | int]) -> str | None:
    """The fault whose keys stand at `place`: ("step", 0, "fault", "link_down")."""
    return str(place[3]) if len(place) > 3 and place[0] == "step" and place[2] == "fault" else None


def _key_of(loc: Sequence[str | int]) -> str:
    """ "host.h1.tcp.user_timout", "step 3: when"."""
    head, *rest = [part for part in loc if part != "[key]"]
    if head == "step" and rest:
        head, rest = f"step {int(rest[0]) + 1}", rest[1:]
        if len(rest) > 1 and rest[0] == "fault":
            rest = rest[2:]  # a fault's keys stand beside the step's
        return ": ".join(filter(None, (head, ".".join(map(str, rest)))))
    return "".join(f" item {part + 1}" if isinstance(part, int) else f".{part}" for part in (head, *rest))[1:]


def keys_at(root: type[BaseModel], place: Sequence[str | int]) -> Iterable[str]:
    """The keys of the table at `place`; its other parts are the names of tables, or the kind of a fault."""
    models = [root]
    for part in place:
        if part in models[0].model_fields:
            models = list(_models_in(models[0].model_fields[str(part)].annotation))
        models = [model for model in models if part in _kinds_of(model)] or models
    fields = models[0].model_fields
    return [field.alias or key for key, field in fields.items() if key != "kind"]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if annotation is TcpConfig:
        yield TcpKeys
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _kinds_of(model: type[BaseModel]) -> tuple[str, ...]:
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()
