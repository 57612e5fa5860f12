"""One scenario with every pairing of stacks, on Mininet and in the simulator: what agrees, and what differs.

    plan = plan_comparison(path)
    outcomes = run_comparison(plan, folder)
    tables = compare(outcomes)

The first outcome that there is, the simulator's as a rule, is what the others are measured against.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from difflib import SequenceMatcher
from itertools import product
from pathlib import Path
from typing import Any

from tcpclose.protocol.config import PROFILES, TcpConfig
from tcpclose.runs import FolderError, RunError, World, execute, interrupting_signal, load_record, load_trace
from tcpclose.scenario import Scenario, ScenarioError
from tcpclose.scenario.linux import linux_problems
from tcpclose.testbed.box import die_with_parent
from tcpclose.topology import load_network
from tcpclose.trace.events import Trace
from tcpclose.trace.releases import Release, first_releases
from tcpclose.trace.spans import Interval, intervals

#: Times differ when they are further apart than this and a twentieth: a machine has other things to do as well.
TOLERANCE = 100_000  # us

_FORK = multiprocessing.get_context("fork")  # what is loaded need not be loaded by each

_STACKS = {"own": "tcpclose", "linux": "linux"}


@dataclass(frozen=True)
class Variant:
    """One run of the comparison. `left_out` are the keys of the file that its stacks cannot honour."""

    name: str
    world: World
    stacks: dict[str, str]
    scenario: Scenario
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of a variant: a trace, or the reason why there is none."""

    variant: Variant
    trace: Trace | None
    error: str = ""


@dataclass(frozen=True)
class Cell:
    """What one run says, for people. It `differs` when the run that the others are measured against says otherwise."""

    text: str
    differs: bool = False


@dataclass(frozen=True)
class Row:
    """One line of the comparison, a cell for each outcome. `host` is empty for what concerns the whole connection."""

    host: str
    what: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """All that is said of one connection."""

    connection: str
    rows: tuple[Row, ...]


# ---- What is run


def plan_comparison(path: Path, overrides: Sequence[str] = (), mininet: bool = True) -> list[Variant]:
    """The runs to make: the simulator, and unless `mininet` is False the four pairings CLIENT/SERVER of stacks.

    Raises `ScenarioError`.
    """
    given = Scenario.load(path, overrides)
    if not given.connection:
        raise ScenarioError(["there is no connection to compare"], str(path))
    clients = {connection.client for connection in given.connection.values()}
    hosts = sorted(clients | {connection.server for connection in given.connection.values()})
    own = _variant(path, overrides, given, "simulator", "sim", dict.fromkeys(hosts, "own"))
    pairings = product(_STACKS, repeat=2) if mininet else ()
    return [
        own,
        *(
            _variant(path, overrides, given, f"{client}/{server}", "mininet", stacks)
            for client, server in pairings
            for stacks in [{host: client if host in clients else server for host in hosts}]
        ),
    ]


def _variant(
    path: Path, overrides: Sequence[str], given: Scenario, name: str, world: World, stacks: dict[str, str]
) -> Variant:
    out = {host: _left_out(given, host, stack) for host, stack in stacks.items()}
    taken = [key for keys in out.values() for key in keys]
    more = [f"host.{host}.stack={_STACKS[stack]}" for host, stack in stacks.items()]
    # A key that stands in the file with the value that it has anyhow must go too.
    more += [
        f"host.{host}.tcp.{field.name}="
        for host, stack in stacks.items()
        if stack == "linux"
        for field in fields(TcpConfig)
        if linux_problems({field.name: getattr(given.tcp_config(host), field.name)})
    ]
    scenario = Scenario.load(path, [*overrides, *more, *(f"{key}=" for key in taken)])
    return Variant(name, world, stacks, scenario, tuple(taken))


def _left_out(given: Scenario, host: str, stack: str) -> list[str]:
    """The keys of a scenario that `stack` on `host` cannot honour."""
    settings = given.settings(host)
    if stack == "own":
        return [f"host.{host}.sysctl"] if settings.sysctl else []
    usual = PROFILES[settings.profile]
    told = {f.name: getattr(settings.tcp, f.name) for f in fields(TcpConfig)}
    changed = {key: value for key, value in told.items() if value != getattr(usual, key)}
    keys = [f"host.{host}.tcp.{key}" for key, value in changed.items() if linux_problems({key: value})]
    keys += [f"host.{host}.profile"] if settings.profile != "rfc9293" else []
    for name, connection in given.connection.items():
        ends = {"client_iss": connection.client, "server_iss": connection.server}
        keys += [
            f"connection.{name}.{key}"
            for key, end in ends.items()
            if end == host and getattr(connection, key) is not None
        ]
    return keys


def run_comparison(plan: Sequence[Variant], folder: Path) -> list[Outcome]:
    """Make all runs, side by side, each in a folder of its own below `folder` and a process of its own.

    A `KeyboardInterrupt` ends each of them in order: its folder says so. Raises what `load_network` does.
    """
    for variant in plan:
        load_network(variant.scenario)  # what is wrong with the topology is wrong with all
    ours = os.getpid()
    processes = [_FORK.Process(target=_run, args=(one, _run_folder(folder, one), ours), daemon=True) for one in plan]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    except KeyboardInterrupt as error:
        for pid in [process.pid for process in processes if process.is_alive() and process.pid is not None]:
            os.kill(pid, interrupting_signal(error))
        for process in processes:
            if process.pid is not None:
                process.join()
        raise
    return [_outcome(variant, _run_folder(folder, variant)) for variant in plan]


def _run_folder(folder: Path, variant: Variant) -> Path:
    """Where, in the folder of a comparison, one of its runs is."""
    return folder / variant.name.replace("/", "-")


def _run(variant: Variant, folder: Path, parent: int) -> None:
    """In a process of its own, which ends with its parent. What a terminal interrupts is the parent."""
    with suppress(RunError, ScenarioError, KeyboardInterrupt):  # the folder says what went wrong
        try:
            os.setpgid(0, 0)
            if die_with_parent(parent):
                folder.mkdir()
                execute(variant.scenario, load_network(variant.scenario), variant.world, folder)
        finally:
            # Who has ended its run is not interrupted while its process ends.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


def is_complete(variant: Variant, folder: Path) -> bool:
    """Has this run of the comparison in `folder` left all that it was to leave?"""
    try:
        return load_record(_run_folder(folder, variant)).status == "complete"
    except FolderError:
        return False


def _outcome(variant: Variant, folder: Path) -> Outcome:
    try:
        record = load_record(folder)
        if record.status == "complete":
            return Outcome(variant, load_trace(folder))
        return Outcome(variant, None, record.reason or record.status)
    except FolderError as error:
        return Outcome(variant, None, str(error))


# ---- What is compared


def compare(outcomes: Sequence[Outcome]) -> list[Table]:
    """A table for each connection, its cells in the order of `outcomes`; one without a trace has empty cells."""
    told = [_Told(outcome.trace) for outcome in outcomes]
    names = dict.fromkeys(name for of in told for name in of.releases)
    return [Table(name, tuple(_rows(name, told))) for name in names]


class _Told:
    """One run, read."""

    def __init__(self, trace: Trace | None) -> None:
        self.releases: dict[str, Release] = {}
        self.passed: dict[tuple[str, str], list[Interval]] = {}
        if trace is not None:
            self.releases = first_releases(trace)
            self.passed = intervals(trace)
        self.empty = trace is None

    def cause(self, host: str, connection: str) -> str:
        release = self.releases.get(connection)
        return release.outcome(host) if release else "-"


def _rows(name: str, told: Sequence[_Told]) -> Iterator[Row]:
    found = [of.releases.get(name) for of in told]
    yield _row("", "how", told, [(release.how or "open") if release else "-" for release in found])
    yield _row("", "closed first by", told, [_first(release) for release in found])
    hosts = dict.fromkeys(host for of in told for host, connection in of.passed if connection == name)
    for host in sorted(hosts):
        passed = [of.passed.get((host, name), []) for of in told]
        order = _merged([[interval.state for interval in one] for one in passed])
        times = [_placed(order, one) for one in passed]
        for place, state in enumerate(order):
            yield _time_row(host, state, told, [one[place] for one in times])
        yield _row(host, "cause", told, [of.cause(host, name) for of in told])


def _first(release: Release | None) -> str:
    return f"{release.first} ({release.action})" if release and release.first else "-"


def _row(host: str, what: str, told: Sequence[_Told], words: list[str]) -> Row:
    measure = next((word for word, of in zip(words, told, strict=True) if not of.empty), "")
    cells = (Cell("") if of.empty else Cell(word, word != measure) for word, of in zip(words, told, strict=True))
    return Row(host, what, tuple(cells))


def _time_row(host: str, what: str, told: Sequence[_Told], times: list[int | None]) -> Row:
    measure = next((time for time, of in zip(times, told, strict=True) if not of.empty), None)
    cells = (
        Cell("") if of.empty else Cell("-" if time is None else f"{time / 1e6:.3f}", _apart(time, measure))
        for time, of in zip(times, told, strict=True)
    )
    return Row(host, what, tuple(cells))


def _apart(time: int | None, measure: int | None) -> bool:
    if time is None or measure is None:
        return time is not measure
    return abs(time - measure) > TOLERANCE + measure // 20


def _merged(sequences: Sequence[list[str]]) -> list[str]:
    """One order of states that holds each of `sequences`."""
    order: list[str] = []
    for sequence in sequences:
        merged: list[str] = []
        for _, left, right, start, end in SequenceMatcher(None, order, sequence, autojunk=False).get_opcodes():
            merged += order[left:right] or sequence[start:end]
            if order[left:right] and order[left:right] != sequence[start:end]:
                merged += sequence[start:end]
        order = merged
    return order


def _placed(order: list[str], passed: list[Interval]) -> list[int | None]:
    """When each state of `order` was entered; None for those that this end did not pass."""
    left = list(passed)
    return [left.pop(0).start if left and left[0].state == state else None for state in order]


# ---- For programs


def as_record(outcomes: Sequence[Outcome], tables: Sequence[Table]) -> dict[str, Any]:
    """All of it as JSON has it. Times are microseconds from the start of each run."""
    return {
        "runs": [_run_record(outcome) for outcome in outcomes],
        "differences": [
            {
                "connection": table.connection,
                "host": row.host or None,
                "what": row.what,
                "run": outcome.variant.name,
                "expected": next(cell.text for cell in row.cells if cell.text),
                "found": cell.text,
            }
            for table in tables
            for row in table.rows
            for outcome, cell in zip(outcomes, row.cells, strict=True)
            if cell.differs
        ],
    }


def _run_record(outcome: Outcome) -> dict[str, Any]:
    variant, told = outcome.variant, _Told(outcome.trace)
    return {
        "name": variant.name,
        "world": variant.world,
        "stacks": variant.stacks,
        "left_out": list(variant.left_out),
        "error": outcome.error or None,
        "connections": {
            name: {
                "how": release.how,
                "first": release.first,
                "action": release.action,
                "duration": release.duration,
                "ends": {
                    host: {
                        "cause": told.cause(host, name),
                        "states": [
                            {"state": i.state, "t": i.start, "source": i.entered.source or "machine"} for i in passed
                        ],
                    }
                    for (host, connection), passed in told.passed.items()
                    if connection == name
                },
            }
            for name, release in told.releases.items()
        },
    }
