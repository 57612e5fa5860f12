"""Commands that run scenarios, and list and compare what was run."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from tcpclose.cli.common import app, fail, print_json, print_table
from tcpclose.command import COMMAND

if TYPE_CHECKING:
    from tcpclose.comparison import Outcome, Variant
    from tcpclose.runs import World
    from tcpclose.scenario import Scenario
    from tcpclose.trace.events import Trace

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the scenario: host.h1.tcp.user_timeout=5s"),
]
WorldOption = Annotated[
    str | None, typer.Option("--world", metavar="sim|mininet", help="Default: mininet where this machine can.")
]
Seed = Annotated[int | None, typer.Option(help="Override the scenario's seed.")]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="The run's folder, instead of results/runs/TIME-NAME.")]


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="A TOML file, or the name of a lab.")],
    world: WorldOption = None,
    seed: Seed = None,
    override: Overrides = None,
    student: Annotated[str, typer.Option(metavar="ID", help="A lab as this student has it.")] = "",
    out: Out = None,
    command_line: Annotated[
        bool, typer.Option("--cli", help="After the timeline, open Mininet's CLI on the hosts; `exit` ends the run.")
    ] = False,
) -> None:
    """Run a scenario, on Mininet or in the simulator, and draw what happened."""
    _run(scenario, world, seed, [*_variation(scenario, student), *(override or [])], out, command_line)


def _variation(scenario: str, student: str) -> tuple[str, ...]:
    """What of a lab is otherwise for a student."""
    if not student:
        return ()
    from tcpclose.scenario import ScenarioError
    from tcpclose.teaching.labs import find_lab

    try:
        return find_lab(scenario).overrides(student)
    except ScenarioError as error:
        fail(error, 2)


@app.command()
def demo(world: WorldOption = None, seed: Seed = None, override: Overrides = None, out: Out = None) -> None:
    """Run the demonstration: four connections, released in four ways."""
    _run("demo", world, seed, override or [], out)


@app.command("runs")
def list_runs(
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="Instead of results/runs.")] = None,
) -> None:
    """List the runs that were made: world, how each ended or that it goes on, title."""
    from tcpclose import runs
    from tcpclose.scenario import Scenario, ScenarioError

    place = folder or runs.RUNS
    if folder is not None and not folder.is_dir():
        fail(f"{folder}: there is no such folder", 2)
    rows = []
    above = place
    for path in runs.run_folders(place):
        if path.parent not in (place, above):
            above = path.parent
            rows.append((f"{above.name}/", "", "", ""))
        name = path.name if path.parent == place else f"  {path.name}"
        try:
            record = runs.load_record(path)
            title = Scenario.load(path / "scenario.toml").title
        except (runs.FolderError, ScenarioError) as error:
            rows.append((name, "", "damaged", str(error)))
            continue
        rows.append((name, record.world, record.status, f"{title}\n{record.reason}".strip()))
    if not rows:
        typer.echo(f"no runs in {place}/")
        return
    print_table(("run", "world", "status", "title, reason"), rows)


@app.command()
def compare(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="A TOML file, or the name of a lab.")],
    seed: Seed = None,
    override: Overrides = None,
    out: Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Run a scenario with our TCP and Linux's in every pairing, and in the simulator, and show what differs."""
    from tcpclose import comparison, plotting, runs
    from tcpclose.scenario import ScenarioError
    from tcpclose.terminal.tables import print_comparison
    from tcpclose.topology import TopologyError

    overrides = [*(override or []), *([f"seed={seed}"] if seed is not None else [])]
    try:
        path = runs.find_scenario(scenario)
        plan = comparison.plan_comparison(path, overrides, mininet=_choose_world(None) == "mininet")
        folder = runs.new_folder(f"{runs.label_of(path)}-compare", out)
        typer.echo(f"{len(plan)} runs, side by side: {', '.join(variant.name for variant in plan)}", err=True)
        outcomes = _run_all(plan, folder)
        plotting.draw_comparison({one.variant.name: one.trace for one in outcomes}, folder / "comparison.png")
    except (ScenarioError, TopologyError, runs.FolderError, plotting.PlotError) as error:
        fail(error, 2)
    except KeyboardInterrupt as error:
        _interrupted(error)
    tables = comparison.compare(outcomes)
    if as_json:
        print_json(comparison.as_record(outcomes, tables))
    else:
        print_comparison(outcomes, tables, folder)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _run_all(plan: Sequence[Variant], folder: Path) -> list[Outcome]:
    from tcpclose import comparison

    try:
        with _signals_interrupt():
            return comparison.run_comparison(plan, folder)
    except KeyboardInterrupt as error:
        done = [variant.name for variant in plan if comparison.is_complete(variant, folder)]
        _interrupted(error, f"; complete in {folder}: {', '.join(done) or 'none'}")


def _run(
    name: str, world: str | None, seed: int | None, overrides: list[str], out: Path | None, command_line: bool = False
) -> None:
    from tcpclose import runs
    from tcpclose.scenario import Scenario, ScenarioError
    from tcpclose.simulator import check_simulable
    from tcpclose.terminal.live import followed
    from tcpclose.topology import TopologyError, load_network

    if seed is not None:
        overrides = [*overrides, f"seed={seed}"]
    try:
        path = runs.find_scenario(name)
        scenario = Scenario.load(path, overrides)
        network = load_network(scenario, str(path))
        chosen = _choose_world(world)
        if chosen == "sim" and command_line:
            fail("--cli is for hosts that one can log in to: it needs --world mininet", 2)
        if chosen == "sim":
            check_simulable(scenario)
        folder = runs.new_folder(runs.label_of(path), out)
        with _signals_interrupt(), followed(scenario, chosen, not command_line) as watch:
            trace = runs.execute(scenario, network, chosen, folder, watch, command_line)
        charts = runs.draw(trace, folder)
        _report(scenario, trace, folder, charts)
    except (ScenarioError, TopologyError, runs.FolderError) as error:
        fail(error, 2)
    except runs.RunError as error:
        fail(error, 1)
    except KeyboardInterrupt as error:
        _interrupted(error)


def _interrupted(error: KeyboardInterrupt, more: str = "") -> NoReturn:
    from tcpclose.runs import interrupting_signal

    fail(f"interrupted{more}", 128 + interrupting_signal(error))


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end a run as Ctrl-C does: in order, and its folder says so."""

    def interrupt(number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt(number)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _choose_world(world: str | None) -> World:
    """What was asked for; else Mininet where this machine can run it, and one line that says why not."""
    if world in ("sim", "mininet"):
        return world  # type: ignore[return-value]  # mypy does not narrow str to Literal
    if world is not None:
        fail(f"--world {world}: expected sim or mininet", 2)
    from tcpclose.testbed.box import why_no_box

    reason = why_no_box()
    if reason is not None:
        typer.echo(f"no emulation here, so this is the simulator: {reason}", err=True)
    return "sim" if reason else "mininet"


def _report(scenario: Scenario, trace: Trace, folder: Path, charts: list[Path]) -> None:
    from tcpclose import runs
    from tcpclose.terminal.console import console
    from tcpclose.terminal.tables import release_table

    terminal = console()
    terminal.print(release_table(trace, scenario.title))
    late = runs.delay(scenario, trace)
    for complaint in [*runs.complaints(scenario, trace), *([late] if late else [])]:
        terminal.print(complaint, style="yellow", soft_wrap=True)
    captures = sorted(path.name for path in folder.glob("*.pcap"))
    files = ["scenario.toml", "trace.jsonl", *captures, *(path.name for path in charts)]
    terminal.print(f"{folder}/", style="bold", soft_wrap=True)
    terminal.print(f"  {'  '.join(files)}", soft_wrap=True)
    name = folder.name if folder.parent == runs.RUNS else folder
    terminal.print(f"  {COMMAND} report {name}  makes a page that plays it", soft_wrap=True)
