"""A run's folder: the resolved scenario before anything starts, the trace when all is over, the captures, the charts.

scenario.toml    everything that was ordered, every default spelled out
run.json         world, version, and status: "running", "complete" or "failed" with the reason; of a complete run the
                 captures' time of the trace's zero, in microseconds since 1970 (0 in virtual time)
trace.jsonl      appears when the run is complete
h1-eth0.pcap     one capture for each interface of a host or router
ladder.png  states.png
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tcpclose import __version__
from tcpclose.scenario import Scenario, ScenarioError
from tcpclose.timeline import Timeline
from tcpclose.topology import Network
from tcpclose.trace.events import DISAGREEMENT, Call, Change, Disturbed, Event, Lost, Trace

World = Literal["sim", "mininet"]

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "results" / "runs"
LABS = ROOT / "labs"


class RunError(RuntimeError):
    """A run that cannot be made or was not completed; the message is for people."""


class FolderError(RunError):
    """The folder that was asked for cannot be a run's."""


def find_scenario(name: str) -> Path:
    """The file of a scenario: a path, or the name of a lab (`labs/NAME/scenario.toml`).

    Raises `ScenarioError` when there is neither.
    """
    for path in (Path(name), Path(name) / "scenario.toml", LABS / name / "scenario.toml"):
        if path.exists() and not path.is_dir():
            return path
    labs = ", ".join(sorted(path.parent.name for path in LABS.glob("*/scenario.toml")))
    raise ScenarioError([f"there is no such file, and no such lab; the labs are {labs}"], name)


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
            raise FolderError(f"{out}: {error.strerror}") from None
        if any(out.iterdir()):
            raise FolderError(f"{out} is not empty; a run needs a folder of its own")
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


def execute(
    scenario: Scenario,
    network: Network,
    world: World,
    folder: Path,
    watch: Callable[[Event], None] | None = None,
) -> Trace:
    """Run `scenario` in a world and leave everything but the charts in `folder`.

    Raises `RunError`, and `ScenarioError` for what that world cannot do; `run.json` then says "failed".
    """
    try:
        write_whole(folder / "scenario.toml", scenario.dump())
        _write_status(folder, world, "running")
        trace = _run_in(world, scenario, network, folder, watch)
        trace.save(folder / "trace.jsonl")
        _write_status(folder, world, "complete", zero=trace.zero)
    except BaseException as error:
        with contextlib.suppress(OSError):  # on a full disk there is no room even for this
            _write_status(folder, world, "failed", reason=str(error) or type(error).__name__)
        if isinstance(error, OSError):
            raise RunError(f"{folder}: {error.strerror}") from None
        raise
    return trace


def _run_in(
    world: World, scenario: Scenario, network: Network, folder: Path, watch: Callable[[Event], None] | None
) -> Trace:
    if world == "sim":
        from tcpclose.simulator import simulate

        return simulate(scenario, network, captures=folder, watch=watch)
    from tcpclose.testbed.emulate import EmulationError, emulate

    try:
        return emulate(folder, watch)
    except EmulationError as error:
        raise RunError(str(error)) from None


def draw(trace: Trace, folder: Path) -> list[Path]:
    """The charts of a run; their paths. Raises `RunError`."""
    from tcpclose.charts import draw_ladder, draw_states

    paths = [folder / "ladder.png", folder / "states.png"]
    try:
        draw_ladder(trace, paths[0])
        draw_states(trace, paths[1])
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
        f"step {number} did not happen: it " + (f"waits for {step.when}" if step.when else "comes too late")
        for number, step in timeline.left()
    ]
    return [*refused, *contradicted, *idle, *late]


def write_whole(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    aside = path.with_name(path.name + ".part")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _write_status(folder: Path, world: World, status: str, **more: str | int) -> None:
    record = {"world": world, "version": __version__, "status": status, **more}
    write_whole(folder / "run.json", json.dumps(record, indent=2) + "\n")
