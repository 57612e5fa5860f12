"""What a scenario may say of a host whose TCP is Linux's, and of lingering, which both stacks can."""

from __future__ import annotations

import socket
from dataclasses import fields

import pytest

from tcpclose.protocol.config import TcpConfig
from tcpclose.scenario import Scenario, ScenarioError
from tcpclose.scenario.linux import HONOURED, SYSCTL
from tcpclose.simulator import simulate
from tcpclose.topology import load_network
from tcpclose.trace.events import End, Sent

HEAD = """
topology = "two_hosts"
duration = "20s"
[connection.c1]
client = "h1"
server = "h2"
port = 80
"""
LINUX = HEAD + '[host.h2]\nstack = "linux"\n'


def test_every_key_that_is_honoured_is_one_and_reaches_the_kernel_somehow():
    assert HONOURED.keys() <= {field.name for field in fields(TcpConfig)}
    for means in HONOURED.values():
        assert hasattr(socket, means.name) or means.name.startswith((SYSCTL, "close()"))


def test_only_what_the_file_says_is_told():
    """Also when it is the default: Linux has other defaults."""
    scenario = Scenario.parse(LINUX + 'tcp.user_timeout = "5min"\ntcp.nagle = false\nsysctl.tcp_retries2 = 5')
    assert scenario.settings("h2").told == {"user_timeout": 300_000_000, "nagle": False}
    assert scenario.settings("h2").sysctl == {"tcp_retries2": 5}
    assert Scenario.parse(scenario.dump()) == scenario
    assert Scenario.parse(scenario.dump()).settings("h2").told == scenario.settings("h2").told
    assert Scenario.parse(LINUX).settings("h2").told == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            LINUX + 'tcp.msl = "1s"\ntcp.r1 = 2',
            'host.h2: stack = "linux" cannot honour msl, r1 of `tcp`; it can: user_',
        ),
        (
            LINUX + 'tcp.keepalive_idle = "1500ms"',
            'host.h2: stack = "linux" cannot honour keepalive_idle: TCP_KEEPIDLE takes 1s to 32767s, in steps of 1s',
        ),
        (
            LINUX + "tcp.mss = 20",
            'host.h2: stack = "linux" cannot honour mss: TCP_MAXSEG takes 88 to 32767',
        ),
        (LINUX + "tcp.syn_r2 = 0", 'host.h2: stack = "linux" cannot honour syn_r2: TCP_SYNCNT takes 1 to 127'),
        (LINUX + 'profile = "bsd"', 'host.h2: profile = "bsd" is for our own stack; stack = "linux" is what it is'),
        (
            HEAD + "[host.h2.sysctl]\ntcp_retries2 = 5",
            'host.h2: `sysctl` is for the kernel\'s TCP, so with stack = "linux" only (here: tcp_retries2)',
        ),
        (LINUX + 'sysctl."../../x" = 5', "host.h2.sysctl"),
        (LINUX + "sysctl.tcp_sack = true", "host.h2.sysctl.tcp_sack"),
        (
            LINUX + '[[step]]\nat = "1s"\ncall = "close"\nhost = "h2"\nconnection = "c1"\nlinger = "1500ms"',
            'step 1: linger = "1500ms": Linux counts seconds',
        ),
        (
            HEAD + '[[step]]\nat = "1s"\ncall = "close"\nhost = "h2"\nconnection = "c1"\nlinger = "0s"',
            "step 1: to linger for 0s is the call `abort`",
        ),
        (
            HEAD + '[[step]]\nat = "1s"\ncall = "abort"\nhost = "h2"\nconnection = "c1"\nlinger = "1s"',
            "step 1: abort has no use for `linger`",
        ),
    ],
)
def test_refused(text, message):
    with pytest.raises(ScenarioError) as caught:
        Scenario.parse(text, source="x.toml")
    assert str(caught.value).replace("x.toml: 2 errors\n  ", "x.toml: ").startswith(f"x.toml: {message}")


LINGER = """
[host.h1.tcp]
linger_expired = "{expired}"
[[step]]
at = "0s"
host = "h2"
call = "listen"
port = 80
[[step]]
at = "100ms"
host = "h1"
connection = "c1"
call = "open"
[[step]]
at = "1s"
{fault}
[[step]]
at = "2s"
host = "h1"
connection = "c1"
call = "close"
linger = "3s"
"""
UNHEARD = 'fault = "link_down"\nlink = "h1-s1"'
HEARD = 'fault = "link_up"\nlink = "h1-s1"'


def released(expired, fault):
    scenario = Scenario.parse(HEAD + LINGER.format(expired=expired, fault=fault))
    trace = simulate(scenario, load_network(scenario))
    return [(end.t, end.cause) for end in trace.of(End) if end.host == "h1"], trace.of(Sent)


def test_lingering_ends_by_a_reset_or_is_given_up():
    ends, sent = released("reset", UNHEARD)
    assert ends == [(5_000_000, "linger expired")]
    assert "RST" in sent[-1].ctl
    ends, sent = released("continue", UNHEARD)
    assert ends == []
    assert "FIN" in sent[-1].ctl
    assert sent[-1].t > 5_000_000


def test_lingering_is_over_when_the_fin_is_acknowledged():
    ends, sent = released("reset", HEARD)
    assert ends == []  # h2 does not close: FIN-WAIT-2 lasts
    assert not [segment for segment in sent if "RST" in segment.ctl]
