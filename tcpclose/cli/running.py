"""Commands that run scenarios, and list and compare what was run."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from tcpclose.cli.common import app, fail, print_json, print_table

if TYPE_CHECKING:
    from tcpclose.comparison import Outcome
    from tcpclose.comparison import Table as ComparisonTable
    from tcpclose.runs import World
    from tcpclose.scenario import Scenario
    from tcpclose.trace.events import Event, Trace

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


def _variation(lab: str, student: str) -> tuple[str, ...]:
    """What of a lab is otherwise for a student."""
    if not student:
        return ()
    from tcpclose.scenario import ScenarioError
    from tcpclose.teaching.labs import find_lab

    try:
        return find_lab(lab).overrides(student)
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
    from tcpclose import comparison, runs
    from tcpclose.scenario import ScenarioError
    from tcpclose.topology import TopologyError

    overrides = [*(override or []), *([f"seed={seed}"] if seed is not None else [])]
    try:
        path = runs.find_scenario(scenario)
        plan = comparison.plan_comparison(path, overrides, mininet=_choose_world(None) == "mininet")
        folder = runs.new_folder(f"{runs.label_of(path)}-compare", out)
        typer.echo(f"{len(plan)} runs, side by side: {', '.join(variant.name for variant in plan)}", err=True)
        outcomes = comparison.run_comparison(plan, folder)
    except (ScenarioError, TopologyError, runs.FolderError) as error:
        fail(error, 2)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    tables = comparison.compare(outcomes)
    if as_json:
        print_json(comparison.as_record(outcomes, tables))
    else:
        _print_comparison(outcomes, tables, folder)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _print_comparison(outcomes: Sequence[Outcome], tables: Sequence[ComparisonTable], folder: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for compared in tables:
        table = Table(title=compared.connection, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("")
        for outcome in outcomes:
            table.add_column(outcome.variant.name, min_width=11)
        host = ""
        for row in compared.rows:
            if row.host != host:
                host = row.host
                table.add_section()
                table.add_row(Text(host, "bold"))
            marked = (Text(cell.text + " !", "bold yellow") if cell.differs else Text(cell.text) for cell in row.cells)
            table.add_row(f"  {row.what}" if host else row.what, *marked)
        console.print(table)
    for line in _comparison_notes(outcomes):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"{folder}/", style="bold", soft_wrap=True)


def _comparison_notes(outcomes: Sequence[Outcome]) -> Iterator[str]:
    first = next((outcome.variant.name for outcome in outcomes if outcome.trace is not None), "")
    yield f"Seconds from the start of the run at which a state was entered, - where it was not; ! differs from {first}."
    yield "own is our TCP, linux the kernel's, as CLIENT/SERVER. A run does not wait for the end of Linux's TIME-WAIT."
    left_out = sorted({key for outcome in outcomes for key in outcome.variant.left_out})
    if left_out:
        yield f"Left out where the stack cannot honour it: {', '.join(left_out)}."
    yield from (f"{outcome.variant.name} failed: {outcome.error}" for outcome in outcomes if outcome.error)


def _run(
    name: str, world: str | None, seed: int | None, overrides: list[str], out: Path | None, command_line: bool = False
) -> None:
    from tcpclose import runs
    from tcpclose.scenario import Scenario, ScenarioError
    from tcpclose.simulator import check_simulable
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
        with _signals_interrupt(), _progress(scenario, chosen, not command_line) as watch:
            trace = runs.execute(scenario, network, chosen, folder, watch, command_line)
        charts = runs.draw(trace, folder)
        _report(scenario, trace, folder, charts)
    except (ScenarioError, TopologyError, runs.FolderError) as error:
        fail(error, 2)
    except runs.RunError as error:
        fail(error, 1)
    except KeyboardInterrupt as error:
        fail("interrupted", 128 + (error.args[0] if error.args else signal.SIGINT))
    except OSError as error:  # of standard output
        fail(error.strerror, 1)


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


@contextmanager
def _progress(scenario: Scenario, world: World, wanted: bool) -> Iterator[Callable[[Event], None]]:
    """A bar of the run's time and the last event worth a word, on a terminal; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    title, last = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[last]}", markup=False)
    columns = (title, BarColumn(24), TimeElapsedColumn(), last)
    with Progress(
        *columns, console=Console(stderr=True), transient=True, disable=not (wanted and sys.stderr.isatty())
    ) as bar:
        task = bar.add_task(scenario.title or world, total=scenario.duration, last="building the network")

        def watch(event: Event) -> None:
            bar.update(task, completed=event.t)
            if words := _words(event):
                bar.update(task, last=words)

        yield watch


def _words(event: Event) -> str:
    from tcpclose.trace.events import Change, End, FaultTaken

    match event:
        case Change(old=old, new=new) if old != new:
            return f"{event.host}.{event.connection} {new}"
        case End():
            return f"{event.host}.{event.connection} ended: {event.cause}"
        case FaultTaken():
            return f"{event.fault} {event.target} {event.detail}".rstrip()
    return ""


def _report(scenario: Scenario, trace: Trace, folder: Path, charts: list[Path]) -> None:
    from rich.console import Console

    from tcpclose import runs

    console = Console()
    console.print(_release_table(scenario, trace))
    for complaint in runs.complaints(scenario, trace):
        console.print(complaint, style="yellow", markup=False, highlight=False, soft_wrap=True)
    captures = sorted(path.name for path in folder.glob("*.pcap"))
    files = ["scenario.toml", "trace.jsonl", *captures, *(path.name for path in charts)]
    console.print(f"{folder}/", style="bold", soft_wrap=True, highlight=False)
    console.print(f"  {'  '.join(files)}", soft_wrap=True, highlight=False)
    name = folder.name if folder.parent == runs.RUNS else folder
    console.print(
        f"  tcpclose report {name}  makes a page that plays it", soft_wrap=True, highlight=False, markup=False
    )


def _release_table(scenario: Scenario, trace: Trace) -> Any:
    """A row for each connection (how, by whom, in what time), and one for each end of it (cause, states passed)."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from tcpclose.trace.reading import releases

    title = Text(scenario.title) if scenario.title else None
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    for column in ("connection\n  end", "how\n  cause", "closed first by, time to release\n  states passed"):
        table.add_column(column, overflow="fold")
    for release in releases(trace):
        words = f"{release.first} ({release.action})" if release.first else "nobody"
        if release.duration is not None:
            words += f", {release.duration / 1e6:.3f} s"
        again = f" #{release.incarnation}" if release.incarnation > 1 else ""
        table.add_row(f"{release.connection}{again}", release.how or "open", words, style="bold")
        for host in dict.fromkeys([*release.states, *release.causes]):
            table.add_row(f"  {host}", f"  {release.outcome(host)}", " ".join(release.states.get(host, ())))
        table.add_section()
    return table
