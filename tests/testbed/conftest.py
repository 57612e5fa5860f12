"""Tests that need boxes run their bodies inside of them, as root and as an ordinary user."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from inside import AS_NOBODY, ROOT, InBox, call, why_not_as_nobody

from tcpclose.testbed.box import box_command, why_no_box

pytest.register_assert_rewrite("parity")


@pytest.fixture(autouse=True)
def _boxes_work(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("testbed") and (reason := why_no_box()):
        pytest.skip(reason)


@pytest.fixture(scope="session")
def box() -> None:
    """For fixtures that outlive a test: skip where no box can be made."""
    if reason := why_no_box():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def tshark_or_skip() -> None:
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed")


@pytest.fixture(params=["root", "user"])
def prefix(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What to put before a command so that it is run by root, and by an ordinary user."""
    root = os.geteuid() == 0
    if request.param == "root" and not root:
        pytest.skip("not root")
    if request.param == "user" and root:
        if reason := why_not_as_nobody():
            pytest.skip(f"as an ordinary user: {reason}")
        return AS_NOBODY
    return ()


@pytest.fixture
def in_box(prefix: tuple[str, ...]) -> InBox:
    """Calls a function of the test's file inside a box, and returns what it printed."""

    def run(function: Callable[..., Any], *args: object) -> str:
        command = [*prefix, *box_command(call(function, *args))]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "HOME": "/tmp"}, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
