"""When Linux acknowledges, and the profile `linux` likewise: at once, or 40 ms later in the hope of company."""

from __future__ import annotations

import pytest
from scenarios import scenario

from tcpclose import runs
from tcpclose.topology import load_network
from tcpclose.trace.events import Received, Sent

pytestmark = [pytest.mark.testbed, pytest.mark.slow]

BETWEEN = 25_000  # microseconds: what is more has waited, what is less has not, even on a busy machine

LINKS = '[link.h1-s1]\ndelay = "1ms"\n[link.h2-s1]\ndelay = "1ms"\n'
OPEN = ("0s: h2 listen", "50ms: h1 open")
TEXT = "h1 sees CONNECTED: h1 send 100"
CLOSE = ("h1 sees CONNECTED + 300ms: h1 close", "h2 sees EOF + 300ms: h2 close")
ANSWER = ("h2 received 100: h2 send 100", "h1 received 100 + 20ms: h1 send 100")


@pytest.mark.parametrize(
    ("steps", "waits"),
    [
        pytest.param(CLOSE, False, id="a FIN alone"),
        pytest.param((TEXT, *CLOSE), True, id="a FIN after text"),
        pytest.param((TEXT, "h1 sees CONNECTED + 20ms: h1 send 100"), False, id="text after text"),
        pytest.param((TEXT, *ANSWER), True, id="text after an answer"),
    ],
)
@pytest.mark.parametrize(("world", "tcp"), [("sim", 'profile = "linux"'), ("mininet", 'stack = "linux"')])
def test_the_last_of_the_client_is_acknowledged_later_or_at_once(box, tmp_path, steps, waits, world, tcp):
    plan = scenario(*OPEN, *steps, tables=LINKS + f"[host.h2]\n{tcp}", duration="2s")
    trace = runs.execute(plan, load_network(plan), world, tmp_path)
    last = [event for event in trace.of(Sent) if event.host == "h1" and (event.len or "FIN" in event.ctl)][-1]
    end = (last.seq + last.len + ("FIN" in last.ctl)) % 2**32
    answer = next(event for event in trace.of(Received) if event.host == "h1" and event.ack == end)
    assert (answer.t - last.t > BETWEEN) == waits, answer.t - last.t
