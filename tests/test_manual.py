"""What `tcpclose fsm` and `tcpclose config` print is what the engine reads."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import fields

import pytest
from typer.testing import CliRunner

from tcpclose import manual
from tcpclose.cli import app
from tcpclose.protocol.config import PROFILES, TcpConfig
from tcpclose.protocol.fsm import TRANSITIONS, State


def said(*words):
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def test_the_table_has_every_row():
    assert len(list(manual.machine_rows())) == len(TRANSITIONS)
    printed = said("fsm")
    assert "2 MSL timeout" in printed
    assert all(state.value in printed for state in State)


def test_the_graph_is_one_that_graphviz_reads():
    graph = said("fsm", "--dot")
    assert graph.count("->") == len({(row.state, row.next) for row in TRANSITIONS if row.state is not row.next})
    if not shutil.which("dot"):
        pytest.skip("needs Graphviz: apt-get install graphviz (`./lab test` does that where it may)")
    subprocess.run(["dot", "-Tsvg"], input=graph, text=True, check=True, capture_output=True)


def test_every_setting_is_printed_with_its_value_and_section():
    printed = said("config")
    for name, values, section, meaning in manual.settings():
        assert name in printed
        assert len(values) == len(PROFILES)
        assert section
        assert meaning
    assert "rcv_buffer = 65535 octets; linux 64240 octets; bsd 65536 octets  [3.8.6]\n    room for text" in printed
    assert [name for name, *_ in manual.settings()] == [field.name for field in fields(TcpConfig)]
    assert {name: values[0] for name, values, *_ in manual.settings()}["msl"] == "2min"
