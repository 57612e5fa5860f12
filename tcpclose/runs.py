"""A run's folder: the resolved scenario before anything starts, the trace when all is over, the captures, the charts.

scenario.toml    everything that was ordered, every default spelled out
run.json         world, version, and status: "running", "complete", or "failed" or "interrupted" with the reason; of a
                 complete run the captures' time of the trace's zero, in microseconds since 1970 (0 in virtual time)
trace.jsonl      appears when the run is complete
h1-eth0.pcap     one capture for each interface of a host or router
ladder.png  states.png  sequence.png

Each file appears when it is complete. A run that was killed leaves one that says "running": `load_record`
knows better.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from tcpclose import __version__
from tcpclose.aside import SUFFIX, aside
from tcpclose.command import COMMAND
from tcpclose.scenario import Scenario, ScenarioError
from tcpclose.timeline import Timeline
from tcpclose.topology import Network
from tcpclose.trace.events import DISAGREEMENT, Call, Change, Disturbed, Event, Lost, Trace

#: So late, a call may change what a run shows (microseconds).
LATE = 100_000

World = Literal["sim", "mininet"]
Status = Literal["running", "complete", "failed", "interrupted"]

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "results" / "runs"
LABS = ROOT / "labs"


class RunError(RuntimeError):
    """A run that cannot be made or was not completed; the message is for people."""


class FolderError(RunError):
    """The folder that was asked for cannot be a run's."""


def find_scenario(name: str) -> Path:
    """The file of a scenario: a path, or a lab by its name, or as much of the beginning as is enough.

    Raises `ScenarioError` when there is neither.
    """
    for path in (Path(name), Path(name) / "scenario.toml", LABS / name / "scenario.toml"):
        if path.exists() and not path.is_dir():
            return path
    labs = {path.parent.name: path for path in sorted(LABS.glob("*/scenario.toml"))}
    begun = [path for lab, path in labs.items() if name and lab.startswith(name)]
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise ScenarioError([f"it may be any of {', '.join(path.parent.name for path in begun)}"], name)
    what = "this folder has no scenario.toml, and there is" if Path(name).is_dir() else "there is no such file, and"
    raise ScenarioError([f"{what} no such lab; the labs are {', '.join(labs)}"], name)


def label_of(path: Path) -> str:
    """What a run of this file is called: the lab's name, or the file's."""
    return path.parent.name if path.name == "scenario.toml" else path.stem


def new_folder(label: str, out: Path | None = None) -> Path:
    """Make the folder of a new run: `out`, which must be empty or new, or `results/runs/TIME-LABEL`.

    Raises `FolderError`; nothing that was recorded before is touched.
    """
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = "it is a file" if out.is_file() else error.strerror
            raise FolderError(f"{out} cannot be a run's folder: {what}; choose another place with --out") from None
        if any(out.iterdir()):
            raise FolderError(f"{out} is not empty{_whose(out)}; a run needs a folder of its own")
        return out
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for number in range(1, 1000):
        folder = RUNS / (f"{stamp}-{label}" + (f"-{number}" if number > 1 else ""))
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise FolderError(f"{folder}: {error.strerror}; choose another place with --out") from None
        return folder
    raise FolderError(f"{RUNS} has a thousand runs of this second")


def run_folders(place: Path) -> Iterator[Path]:
    """The folders of runs in `place`, by name. A comparison keeps each of its runs in a folder below its own."""
    for folder in sorted(place.glob("*/")):
        below = sorted(path.parent for path in folder.glob("*/run.json"))
        yield from [folder] if (folder / "run.json").exists() or not below else below


def find_run(name: str) -> Path:
    """The folder of a run: a path, or its name in `results/runs` as `runs` lists it. Raises `FolderError`."""
    for folder in (Path(name), RUNS / name):
        if (folder / "run.json").exists():
            return folder
    if Path(name).exists():
        raise FolderError(f"{Path(name)} is no run's folder: it has no run.json")
    raise FolderError(f"there is no run {name!r}, neither as a folder nor in {RUNS}; `{COMMAND} runs` lists them")


def load_trace(folder: Path) -> Trace:
    """The trace that a run left. Raises `FolderError` when it left none, or a damaged one."""
    record = load_record(folder)
    if record.status != "complete":
        how = f"{record.status}: {record.reason}" if record.reason else record.status
        raise FolderError(f"{folder}: the run is not complete ({how}), and leaves its trace when it is")
    try:
        trace = Trace.load(folder / "trace.jsonl")
    except OSError as error:
        raise FolderError(f"{folder / 'trace.jsonl'} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise FolderError(str(error)) from None
    trace.zero = record.zero
    return trace


def _whose(folder: Path) -> str:
    try:
        return f" (its run: {load_record(folder).status})"
    except FolderError:
        return ""


def execute(
    scenario: Scenario,
    network: Network,
    world: World,
    folder: Path,
    watch: Callable[[Event], None] | None = None,
    command_line: bool = False,
) -> Trace:
    """Run `scenario` in a world and leave everything but the charts in `folder`.

    `command_line` is for Mininet: its CLI opens after the timeline, and the run ends when its user leaves.

    Raises `RunError`, and `ScenarioError` for what that world cannot do; `run.json` then says so.
    """
    with _held(folder):
        try:
            write_whole(folder / "scenario.toml", scenario.dump())
            _write_status(folder, world, "running")
            trace = _run_in(world, scenario, network, folder, watch, command_line)
            trace.save(folder / "trace.jsonl")
            _write_status(folder, world, "complete", zero=trace.zero)
        except BaseException as error:
            for unfinished in folder.glob(f"*{SUFFIX}"):  # that also makes room on a full disk
                unfinished.unlink(missing_ok=True)
            status: Status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            with contextlib.suppress(OSError):  # then the record says "running", and `load_record` knows better
                _write_status(folder, world, status, reason=_reason(error))
            if isinstance(error, OSError):
                raise RunError(f"{folder}: {error.strerror}") from None
            raise
    return trace


def interrupting_signal(error: KeyboardInterrupt) -> signal.Signals:
    """Python raises it for SIGINT; who raises it for another signal names that."""
    return signal.Signals(error.args[0] if error.args else signal.SIGINT)


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return interrupting_signal(error).name
    return str(error) or type(error).__name__


# ---- Is it over, and how did it end?


@dataclass(frozen=True)
class Record:
    """What `run.json` says, or would say if its run had lived to write it."""

    world: World
    version: str
    status: Status
    reason: str = ""
    zero: int = 0


def load_record(folder: Path) -> Record:
    """How the run of a folder ended, or that it goes on. Raises `FolderError` when there is no run."""
    try:
        record = TypeAdapter(Record).validate_json((folder / "run.json").read_bytes())
    except FileNotFoundError:
        raise FolderError(f"{folder} is no run's folder: it has no run.json") from None
    except (OSError, ValidationError) as error:
        why = error.strerror if isinstance(error, OSError) else f"it is damaged: {error.errors()[0]['msg']}"
        raise FolderError(f"{folder / 'run.json'} cannot be read: {why}") from None
    if record.status == "running" and not _is_held(folder):
        return replace(record, status="interrupted", reason="its process was killed")
    return record


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The folder is locked while its run goes on. However the process dies, the kernel lets go."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a network file system may have no such lock
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _is_held(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _run_in(
    world: World,
    scenario: Scenario,
    network: Network,
    folder: Path,
    watch: Callable[[Event], None] | None,
    command_line: bool,
) -> Trace:
    if world == "sim":
        from tcpclose.simulator import simulate

        return simulate(scenario, network, captures=folder, watch=watch)
    from tcpclose.testbed.emulate import EmulationError, emulate

    try:
        return emulate(folder, watch, command_line)
    except EmulationError as error:
        raise RunError(str(error)) from None


def draw(trace: Trace, folder: Path) -> list[Path]:
    """The charts that every run gets; their paths. Raises `RunError`."""
    from tcpclose import charts

    paths = [folder / f"{name}.png" for name in ("ladder", "states", "sequence")]
    try:
        for path in paths:
            charts.draw(path.stem, trace, path)
    except OSError as error:
        raise RunError(f"{folder}: {error.strerror}") from None
    return paths


def complaints(scenario: Scenario, trace: Trace) -> list[str]:
    """What was ordered and did not happen.

    Calls that a TCP refused, fates that struck no segment, steps whose time or condition never came. And what is in
    doubt: states in which a kernel was, and to which its packets do not lead.
    """
    refused = [
        f"{call.host} {call.connection or call.port}: {call.call} was refused: {call.error}"
        for call in trace.of(Call)
        if call.error
    ]
    contradicted = [
        f"{change.host} {change.connection}: {change.old} by its packets, but {change.new} by its kernel"
        for change in trace.of(Change)
        if change.event == DISAGREEMENT
    ]
    struck = {(event.link, event.rule) for event in trace if isinstance(event, Lost | Disturbed)}
    idle = [
        f"link {name}: {fate.action} has struck no segment: {fate}"
        for name, link in scenario.link.items()
        for fate in link.fates
        if (name, str(fate)) not in struck
    ]
    timeline = Timeline(scenario)
    for event in trace:
        timeline.observe(event)
    timeline.due(scenario.duration)
    late = [
        f"step {number} did not happen: it "
        + (f"waits for {step.when}" if due is None else f"comes at {due / 1e6:g} s, when the run is over")
        for number, step, due in timeline.left()
    ]
    return [*refused, *contradicted, *idle, *late]


def delay(scenario: Scenario, trace: Trace) -> str | None:
    """What to know when a call came much later than ordered: it may meet what it was to come before."""
    if any(step.fault and step.fault.kind == "pause" for step in scenario.step):
        return None  # then late calls were ordered
    made: dict[tuple[str, str | None, str], list[int]] = {}
    for call in trace.of(Call):
        made.setdefault((call.host, call.connection, call.call), []).append(call.t)
    waits = [
        (next(t for t in times if t >= step.at) - step.at, number)
        for number, step in enumerate(scenario.step, 1)
        if step.at is not None
        and step.call
        and (times := made.get((step.host, step.connection or None, step.call), []))
        and times[-1] >= step.at
    ]
    longest, number = max(waits, default=(0, 0))
    if longest < LATE:
        return None
    return f"step {number} happened {longest / 1e6:.2f} s late: this machine was too busy to show what was ordered"


def write_whole(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    with aside(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _write_status(folder: Path, world: World, status: Status, **more: str | int) -> None:
    record = {"world": world, "version": __version__, "status": status, **more}
    write_whole(folder / "run.json", json.dumps(record, indent=2) + "\n")
