"""The agent's loop, with a driver that does nothing."""

from __future__ import annotations

import socket
import threading

import pytest

from tcpclose.runs import LABS
from tcpclose.testbed import agent
from tcpclose.testbed.channel import Channel


class Idle:
    """A driver on whose host nothing happens; it remembers the calls."""

    def __init__(self):
        self.performed = []

    def perform(self, step, now):
        self.performed.append(step.call)

    def readers(self):
        return ()

    writers = events = readers

    def next_timeout(self):
        return None

    def quiet(self):
        return True

    def send(self, now):
        assert now > -60_000_000

    def texts(self, now):
        return []


@pytest.mark.parametrize("together", [True, False])
def test_a_step_that_comes_with_the_start_is_not_lost(monkeypatch, together):
    idle = Idle()
    monkeypatch.setattr(agent, "_driver", lambda *_: idle)
    ours, theirs = socket.socketpair()
    ours.settimeout(30)  # an agent that fails says nothing: do not wait for it for ever
    conductor = Channel(ours)
    hello = {"scenario": str(LABS / "demo" / "scenario.toml"), "host": "h2", "addresses": {}, "boot": 0}
    running = threading.Thread(target=agent.Agent(Channel(theirs), hello).run)
    if together:
        conductor.tell(start=1)
        conductor.tell(step=0)
    running.start()
    if not together:
        conductor.tell(start=1)
        conductor.tell(step=0)
    conductor.tell(stop=True)
    heard = []
    while {"stopped": True} not in heard:
        heard += conductor.hear()
    ours.close()
    running.join(timeout=5)
    assert not running.is_alive()
    assert idle.performed == ["listen"]
