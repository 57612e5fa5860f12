"""What is simulated, or emulated, is named by `classify` from its capture alone, as the run's trace tells it.

The states that the trace says are those that `classify` says, but for what no packet shows: that time has passed
(TIME-WAIT and given up attempts end in CLOSED), and at the other end, what was lost on the way to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from faulty import SCENARIOS as FAULTS
from scenarios import scenario, talk

from tcpclose.classify import Release, classify
from tcpclose.runs import LABS, execute, find_scenario
from tcpclose.scenario import Scenario
from tcpclose.simulator import simulate
from tcpclose.testbed.box import why_no_box
from tcpclose.topology import load_network
from tcpclose.trace.events import Sent, Trace
from tcpclose.trace.releases import Release as Told
from tcpclose.trace.releases import releases

QUICK = """
msl = "500ms"
rto_min = "250ms"
rto_initial = "300ms"
user_timeout = "3s"
"""
TABLES = f"[host.h1.tcp]{QUICK}[host.h2.tcp]{QUICK}"
OPEN = ("0s: h2 listen", "0s: h1 open")
TEXT = (*OPEN, "1s: h1 send 2kB")


def quick(*steps: str, tables: str = "", **top: object) -> Scenario:
    return scenario(*steps, tables=TABLES + tables, duration="9s", **top)


def link(**fates: str) -> str:
    return "[link.h1-s1]\n" + "\n".join(f'{key} = "{value}"' for key, value in fates.items())


@dataclass(frozen=True)
class Trip:
    """A scenario, and what `classify` is to say of each connection: kind and cause.

    `seen_at` are the hosts at which the capture is complete. `ends` are those whose states packets can tell.
    """

    scenario: Scenario
    told: tuple[tuple[str, str], ...]
    seen_at: tuple[str, ...] = ("h1", "h2")
    ends: tuple[str, ...] = ("h1", "h2")


def one(scenario: Scenario, kind: str, cause: str = "", **more: tuple[str, ...]) -> Trip:
    return Trip(scenario, ((kind, cause),), **more)


ONLY_H1: dict[str, tuple[str, ...]] = {"seen_at": ("h1",), "ends": ("h1",)}

TRIPS = {
    # ---- graceful
    "client closes first": one(talk(tables=TABLES, duration="9s"), "graceful"),
    "server closes first": one(quick(*TEXT, "2s: h2 close", "h1 sees EOF + 100ms: h1 close"), "graceful"),
    "simultaneous": one(quick(*OPEN, "1s: h1 close", "1s: h2 close"), "simultaneous"),
    "nothing but a release": one(quick(*OPEN, "1s: h1 close", "2s: h2 close"), "graceful"),
    "with text of the half-closed": one(quick(*OPEN, "1s: h1 close", "2s: h2 send 3kB", "3s: h2 close"), "graceful"),
    "FIN lost": one(quick(*TEXT, "2s: h1 close", "5s: h2 close", tables=link(drop="FIN from h1, first")), "graceful"),
    "ACK of FIN lost": one(
        quick(*TEXT, "2s: h1 close", "5s: h2 close", tables=link(drop="ACK of FIN, first")), "graceful", seen_at=("h2",)
    ),
    "text lost": one(
        quick(*TEXT, "3s: h1 close", "5s: h2 close", tables=link(drop="segment with data, first")), "graceful"
    ),
    "everything doubled": one(
        quick(*TEXT, "3s: h1 close", "5s: h2 close", tables=link(duplicate="segment")),
        "graceful",
        "no such connection",  # the last ACK arrives a second time
        seen_at=("h1",),
    ),
    "text corrupt": one(
        quick(*TEXT, "3s: h1 close", "5s: h2 close", tables=link(corrupt="segment with data, first")), "graceful"
    ),
    # ---- not released
    "half-closed": one(quick(*OPEN, "1s: h1 close", "2s: h2 send 3kB"), "half-closed"),
    "open": one(quick(*TEXT), "open"),
    "nobody there": one(quick("0s: link_down h1-s1", *OPEN), "unanswered", **ONLY_H1),
    # ---- RST
    "refused": one(quick("0s: h1 open"), "refused", "refused"),
    "aborted by the client": one(quick(*TEXT, "2s: h1 abort"), "reset", "abort"),
    "aborted by the server": one(quick(*TEXT, "2s: h2 abort"), "reset", "abort"),
    "aborted in FIN-WAIT-2": one(quick(*OPEN, "1s: h1 close", "2s: h1 abort"), "reset", "abort"),
    "aborted in CLOSE-WAIT": one(quick(*OPEN, "1s: h1 close", "2s: h2 abort"), "reset", "abort"),
    "peer gone": one(
        quick(*OPEN, "1s: link_down h2-s1", "2s: h1 send 2kB"), "reset", "retransmission gave up", **ONLY_H1
    ),
    "peer rebooted": one(
        quick(*TEXT, "2s: reboot h2", "4s: h1 send 1kB"), "reset", "stale segment after reboot", ends=("h1",)
    ),
    "no room": Trip(FAULTS["limit-connections"], (("open", ""), ("refused", "refused"))),
    "invalid header": one(FAULTS["wrong data offset, reset"], "reset", "invalid header", seen_at=("h2",)),
}


def expected_states(told: Told, host: str) -> set[str]:
    """As the trace tells them; without the last, which time may have led to."""
    states = told.states.get(host, ())
    expected = {" ".join(states)}
    if states[-2:] == ("TIME-WAIT", "CLOSED") or (len(states) == 2 and told.action == "timeout"):
        expected.add(" ".join(states[:-1]))
    if told.causes.get(host) == "crashed":  # and answered with a RST when it was up again
        expected.add(" ".join((*states, "CLOSED")))
    return expected


def check(trip: Trip, trace: Trace, captures: dict[str, list[Release]]) -> None:
    truth = releases(trace)
    for host in trip.seen_at:
        found = captures[host]
        assert [(one.kind, one.cause) for one in found] == list(trip.told), host
        for release, told in zip(found, truth, strict=True):
            if release.kind != "simultaneous" and told.action in ("close", "abort", "RST", "timeout"):
                assert release.closed_first == (
                    {"h1": "orig", "h2": "resp"}[told.first] if release.closed_first else ""
                )
            states = {"h1": release.orig_states, "h2": release.resp_states}
            for end in trip.ends:
                assert states[end] in expected_states(told, end), (host, end)


@pytest.mark.parametrize("name", TRIPS)
def test_a_simulated_release_is_named(name: str, tmp_path: Path) -> None:
    trip = TRIPS[name]
    trace = simulate(trip.scenario, load_network(trip.scenario), captures=tmp_path)
    check(trip, trace, {host: list(classify(tmp_path / f"{host}-eth0.pcap")) for host in ("h1", "h2")})


# ---- labs: whatever they are about, the client's capture tells how each of its connections was released


def kinds(told: Told) -> set[str]:
    if told.how == "graceful" and not told.open:
        simultaneous = all("CLOSING" in states for states in told.states.values())
        return {"simultaneous"} if simultaneous else {"graceful", "three-segment"}
    if "refused" in told.causes.values():
        return {"refused"}
    if list(told.states.values()) == [("SYN-SENT", "CLOSED")]:
        return {"unanswered"}
    if told.open and told.action != "RST":
        return {"half-closed", "open", "timed out"}
    return {"reset", "timed out", "half-closed"}


def sockets(trace: Trace, connection: str, host: str) -> set[str]:
    return {event.src for event in trace.of(Sent) if (event.connection, event.host) == (connection, host)}


def check_labs(scenario: Scenario, trace: Trace, folder: Path) -> None:
    for told in releases(trace):
        client = scenario.connection[told.connection].client
        own = sockets(trace, told.connection, client)
        found = [one for one in classify(folder / f"{client}-eth0.pcap") if f"{one.src}:{one.sport}" in own]
        assert len(found) >= told.incarnation, told.connection
        release = found[told.incarnation - 1]
        assert release.kind in kinds(told), told
        assert release.orig_states in expected_states(told, client)
        if told.first == client and release.kind not in ("simultaneous", "unanswered"):
            assert release.closed_first == "orig"


LAB_NAMES = sorted(path.parent.name for path in LABS.glob("*/scenario.toml"))


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_the_releases_of_labs_are_named(lab: str, tmp_path: Path) -> None:
    scenario = Scenario.load(find_scenario(lab))
    check_labs(scenario, simulate(scenario, load_network(scenario), captures=tmp_path), tmp_path)


@pytest.mark.slow
@pytest.mark.testbed
@pytest.mark.parametrize(
    ("lab", "overrides"),
    [
        ("01-four-way-close", []),
        ("01-four-way-close", ["host.h2.stack=linux", "connection.c1.server_iss="]),
        ("02-half-close", []),
        ("demo", []),
        ("demo", ["host.h2.stack=linux", "host.h2.tcp="]),
    ],
)
def test_the_releases_of_labs_on_mininet_are_named(lab: str, overrides: list[str], tmp_path: Path) -> None:
    """From what dumpcap captured of a real network."""
    if reason := why_no_box():
        pytest.skip(reason)
    scenario = Scenario.load(find_scenario(lab), overrides)
    trace = execute(scenario, load_network(scenario), "mininet", tmp_path)
    check_labs(scenario, trace, tmp_path)
