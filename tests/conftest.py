"""What every test relies on."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from peers import Played

os.environ["MPLBACKEND"] = "Agg"  # no test needs a screen, nor does a program that a test starts

HERE = Path(__file__).parent

# A busy machine is no failure.
settings.register_profile("lab", deadline=None)
settings.load_profile("lab")


def pytest_addoption(parser):
    parser.addoption("--vm", action="store_true", help="the labs in a virtual machine that is made for it")


def pytest_ignore_collect(collection_path, config):
    """The tests of the virtual machine are run when asked for."""
    return True if collection_path.name == "vm" and not config.getoption("--vm") else None


def pytest_collection_modifyitems(items):
    """What is slow, or about something else than TCP, passes no new lines; to count them would double its time."""
    for item in items:
        if item.get_closest_marker("slow") or item.path.parent != HERE:
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(params=[(100, 300), (2**32 - 1, 2**32 - 4)], ids=["iss=100", "wrapping"])
def play(request):
    """Makes a connection whose peer is the test; keyword arguments are settings."""
    iss, irs = request.param
    return lambda **settings: Played(iss, irs, **settings)
