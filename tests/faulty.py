"""Scenarios in which a fault strikes a host: one connection from h1 to h2, and h3 on the same switch."""

from __future__ import annotations

import json
from pathlib import Path

from tcpclose.scenario import Scenario

TOPOLOGY = f"{Path(__file__).with_name('three_hosts.py')}:three_hosts"

HEAD = f"""
topology = "{TOPOLOGY}"
duration = "%s"
[host.h1.tcp]
msl = "250ms"
rto_min = "250ms"
rto_initial = "300ms"
user_timeout = "1500ms"
[host.h2.tcp]
msl = "250ms"
rto_min = "250ms"
rto_initial = "300ms"
user_timeout = "1500ms"
[connection.c1]
client = "h1"
server = "h2"
port = 80
"""

#: h1 opens, says something, closes; h2 closes too.
STEPS = {
    "listen": 'at = "0s"\nhost = "h2"\ncall = "listen"\nport = 80',
    "open": 'at = "100ms"\nhost = "h1"\nconnection = "c1"\ncall = "open"',
    "send": 'when = "h1.c1 in ESTABLISHED"\nafter = "100ms"\nhost = "h1"\nconnection = "c1"\ncall = "send"\n'
    'bytes = "3kB"',
    "close": 'when = "h1.c1 sees SENT"\nafter = "100ms"\nhost = "h1"\nconnection = "c1"\ncall = "close"',
    "answer": 'when = "h2.c1 sees EOF"\nafter = "100ms"\nhost = "h2"\nconnection = "c1"\ncall = "close"',
}


def scenario(
    *steps: str, duration: str = "5s", extra: str = "", without: tuple[str, ...] = (), settings: tuple[str, ...] = ()
) -> Scenario:
    """The usual steps and others; a later step of the same time or condition comes after."""
    usual = [text for name, text in STEPS.items() if name not in without]
    text = HEAD % duration + extra + "".join(f"[[step]]\n{text}\n" for text in [*usual, *steps])
    return Scenario.parse(text, settings)


def fault(when: str, kind: str, **keys: object) -> str:
    """A step: `when` is a time or a condition."""
    return _step(when, fault=kind, **keys)


def call(when: str, host: str, call: str, **keys: object) -> str:
    """As `fault`."""
    return _step(when, host=host, call=call, **keys)


def _step(when: str, **keys: object) -> str:
    said = {"when" if " " in when else "at": when, **keys}
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in said.items())


LISTEN_AGAIN = call("2s", "h2", "listen", port=80)

#: What the worlds must agree upon, by name.
SCENARIOS = {
    "silent-out": scenario(fault("h2.c1 in CLOSE-WAIT", "silent", host="h2")),
    "silent-in": scenario(
        fault("h1.c1 in FIN-WAIT-1", "silent", host="h2", way="in"),
        fault("h1.c1 in FIN-WAIT-1", "speaking", host="h2", after="500ms"),
    ),
    "silent-both": scenario(fault("h1.c1 in FIN-WAIT-1", "silent", host="h1", way="both")),
    "crash": scenario(fault("h2.c1 in CLOSE-WAIT", "crash", host="h2")),
    "crash-at": scenario(fault("600ms", "crash", host="h2"), without=("close", "answer")),
    "reboot": scenario(
        fault("h2.c1 in CLOSE-WAIT", "reboot", host="h2"),
        LISTEN_AGAIN,
        call("2100ms", "h1", "open", connection="c2"),
        call("2500ms", "h1", "abort", connection="c2"),
        extra='[connection.c2]\nclient = "h1"\nserver = "h2"\nport = 80\n',
    ),
    "reboot-down": scenario(
        fault("h2.c1 received 3000", "reboot", host="h2", down="500ms"), without=("close", "answer")
    ),
    "pause": scenario(
        fault("h2.c1 in CLOSE-WAIT", "pause", host="h2"),
        fault("h2.c1 in CLOSE-WAIT", "resume", host="h2", after="400ms"),
    ),
    "pause-late": scenario(
        fault("h1.c1 in FIN-WAIT-2", "pause", host="h1"),
        fault("h1.c1 in FIN-WAIT-2", "resume", host="h1", after="550ms"),
    ),
    "limit-memory": scenario(
        fault("h2.c1 received 3000", "limit", host="h2", max_memory=1000),
        extra='[host.h2]\nreceive = "manual"\n',
        without=("close", "answer"),
    ),
    "limit-connections": scenario(
        fault("0s", "limit", host="h2", max_connections=1, overload="reset"),
        call("500ms", "h1", "open", connection="c2"),
        extra='[connection.c2]\nclient = "h1"\nserver = "h2"\nport = 80\n',
        without=("close", "answer"),
    ),
    "forged-rst": scenario(
        fault("h1.c1 sees SENT", "inject", host="h3", connection="c1", source="h1", ctl="RST", seq="next"),
        without=("close", "answer"),
    ),
    "forged-rst-blind": scenario(
        fault(
            "h1.c1 sees SENT",
            "inject",
            host="h3",
            connection="c1",
            source="h1",
            ctl="RST",
            seq="next-2500",
            step=1000,
            guesses=6,
        ),
        without=("close", "answer"),
    ),
    "forged-syn": scenario(
        fault("h1.c1 sees SENT", "inject", host="h3", connection="c1", source="h1", ctl="SYN", seq="iss+7"),
        without=("close", "answer"),
    ),
    "forged-fin": scenario(
        fault("h1.c1 sees SENT", "inject", host="h3", connection="c1", source="h1", ctl="FIN,ACK", seq="next"),
        # When the war of ACKs is over: with its close amid the war, real time would decide what comes first.
        call("h2.c1 sees EOF", "h2", "close", connection="c1", after="600ms"),
        without=("close", "answer"),
    ),
    "forged-text": scenario(
        fault(
            "h1.c1 sees SENT",
            "inject",
            host="h3",
            connection="c1",
            source="h2",
            ctl="PSH,ACK",
            seq="next+10",
            text="Hello",
        ),
    ),
} | {
    f"wrong {wrong}, {answer}": scenario(
        fault("h1.c1 sees SENT", "inject", host="h3", connection="c1", source="h1", ctl="ACK", seq="next", wrong=wrong),
        without=("close", "answer"),
        settings=(f"host.h2.tcp.invalid_header={answer}",),
    )
    for wrong in ("checksum", "data offset", "option length", "reserved bits")
    for answer in ("drop", "reset")
}
