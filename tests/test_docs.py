"""What the pages in docs/ show can be had."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from tcpclose.links import LOSSES, read_fate
from tcpclose.links.fates import Action
from tcpclose.scenario import Scenario
from tcpclose.scenario.links import Link
from tcpclose.topology import load_network

PAGE = (Path(__file__).parent.parent / "docs" / "links.md").read_text()
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
