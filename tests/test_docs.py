"""What the pages in docs/ show can be had."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from tcpclose.links import LOSSES, read_fate
from tcpclose.links.fates import Action
from tcpclose.scenario import Connection, Host, Scenario, Step
from tcpclose.scenario.faults import AnyFault
from tcpclose.scenario.links import Link
from tcpclose.scenario.tables import Middlebox
from tcpclose.topology import load_network

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "links.md").read_text()
SCENARIOS = (DOCS / "scenarios.md").read_text()
HEAD = """
topology = "two_hosts"
duration = "1s"
connection.c1 = { client = "h1", server = "h2", port = 80 }
"""

BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=["chance", "fates"])
def test_the_examples_can_be_run(block: str) -> None:
    load_network(Scenario.parse(HEAD + block))


def test_every_key_is_shown() -> None:
    shown = {key for block in BLOCKS for key in re.findall(r"^(\w+) = ", block, re.MULTILINE)}
    assert shown == Link.model_fields.keys() - {"to"}


def test_every_part_of_a_fate_is_one() -> None:
    rows = dict(re.findall(r"^\| (what|who|text|how long|which) \| (.*) \|$", PAGE, re.MULTILINE))
    for part in re.findall("`([^`]+)`", rows["what"]):
        assert read_fate(part, "drop")
    for part in re.findall("`([^`]+)`", rows["who"] + rows["text"]):
        assert read_fate(f"FIN {part}", "drop")
    for part in re.findall("`([^`]+)`", rows["which"]):
        assert read_fate(f"FIN, {part}", "drop")


def test_every_reason_is_told() -> None:
    assert all(f"`{reason}`" in PAGE for reason in (*LOSSES, "reorder", *get_args(Action)) if reason != "drop")


# docs/scenarios.md

TABLES = re.findall(r"```toml\n(.*?)```", SCENARIOS, re.DOTALL)


def test_the_example_of_a_scenario_can_be_run() -> None:
    head, middlebox, steps, fault = TABLES
    load_network(Scenario.parse(head + steps + fault))
    load_network(Scenario.parse(HEAD.replace("two_hosts", "middlebox") + middlebox))


@pytest.mark.parametrize("table", [Scenario, Host, Connection, Middlebox, Step], ids=lambda table: table.__name__)
def test_every_key_of_a_scenario_is_shown(table: type[BaseModel]) -> None:
    shown = set(re.findall(r"(?:^|[{\[.,`] *)(\w+)(?: =|[`.\]])", "\n".join(TABLES) + SCENARIOS, re.MULTILINE))
    assert table.model_fields.keys() - shown == set()


def test_every_fault_is_told_with_its_keys() -> None:
    told: dict[str, str] = {}
    for kinds, keys in re.findall(r"^\| (`.*?) \| (.*?) \|", SCENARIOS, re.MULTILINE):
        told |= dict.fromkeys(re.findall(r"`(\w+)`", kinds), keys)
    has: dict[str, set[str]] = {}
    for model in get_args(get_args(AnyFault)[0]):
        kinds, *_ = (get_args(model.model_fields["kind"].annotation),)
        has |= dict.fromkeys(kinds, model.model_fields.keys() - {"kind"})
    assert told.keys() == has.keys()
    for kind, keys in has.items():
        assert keys <= set(re.findall(r"`(\w+)`", told[kind])), kind
