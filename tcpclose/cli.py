"""The commands. Thin: each reads its options, calls the library, and prints what people want to see."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from tcpclose.comparison import Outcome
    from tcpclose.comparison import Table as ComparisonTable
    from tcpclose.runs import World
    from tcpclose.scenario import Scenario
    from tcpclose.trace.events import Event, Trace

app = typer.Typer(
    help="A network lab about one thing: how TCP connections end.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_T = TypeVar("_T")

_Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the scenario: host.h1.tcp.user_timeout=5s"),
]
_World = Annotated[
    str | None, typer.Option("--world", metavar="sim|mininet", help="Default: mininet where this machine can.")
]
_Seed = Annotated[int | None, typer.Option(help="Override the scenario's seed.")]
_Out = Annotated[Path | None, typer.Option(metavar="DIR", help="The run's folder, instead of results/runs/TIME-NAME.")]


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="A TOML file, or the name of a lab.")],
    world: _World = None,
    seed: _Seed = None,
    override: _Overrides = None,
    out: _Out = None,
    command_line: Annotated[
        bool, typer.Option("--cli", help="After the timeline, open Mininet's CLI on the hosts; `exit` ends the run.")
    ] = False,
) -> None:
    """Run a scenario, on Mininet or in the simulator, and draw what happened."""
    _run(scenario, world, seed, override or [], out, command_line)


@app.command()
def demo(world: _World = None, seed: _Seed = None, override: _Overrides = None, out: _Out = None) -> None:
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
        _fail(f"{folder}: there is no such folder", 2)
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
    _print_table(("run", "world", "status", "title, reason"), rows)


@app.command()
def compare(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="A TOML file, or the name of a lab.")],
    seed: _Seed = None,
    override: _Overrides = None,
    out: _Out = None,
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
        _fail(error, 2)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    tables = comparison.compare(outcomes)
    if as_json:
        _print_json(comparison.as_record(outcomes, tables))
    else:
        _print_comparison(outcomes, tables, folder)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _print_json(record: dict[str, Any]) -> None:
    typer.echo(json.dumps(record, indent=2))


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


@app.command()
def fsm(
    dot: Annotated[bool, typer.Option("--dot", help="As a Graphviz graph.")] = False,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="As a picture, .svg or .png.")] = None,
) -> None:
    """Print the state machine, row by row, with the sections of RFC 9293; or draw it."""
    from tcpclose import manual

    if svg is not None:
        _draw_machine(svg)
        return
    if dot:
        typer.echo(manual.machine_dot(), nl=False)
        return
    _print_table(("state", "event", "next", "do", "RFC 9293"), manual.machine_rows())


def _draw_machine(path: Path) -> None:
    from tcpclose.charts.machine import draw_machine

    try:
        draw_machine(path)
    except ValueError as error:
        _fail(error, 2)
    except OSError as error:
        _fail(f"{path}: {error.strerror}", 2)
    typer.echo(path)


@app.command()
def config() -> None:
    """Print the settings of our TCP: default in each profile, section, meaning."""
    from tcpclose import manual
    from tcpclose.protocol.config import PROFILES

    rows = ((name, *values, section, meaning) for name, values, section, meaning in manual.settings())
    _print_table(("setting", *PROFILES, "section", "meaning"), rows)


@app.command()
def check(
    octets: Annotated[int, typer.Option(min=0, help="Octets that each user may send, in one SEND or more.")] = 2,
    losses: Annotated[int, typer.Option(min=0, max=255, help="Segments that may be lost.")] = 1,
    duplicates: Annotated[int, typer.Option(min=0, max=255, help="Segments that may arrive twice.")] = 1,
    faults: Annotated[int, typer.Option(min=0, max=255, help="Segments lost or doubled, in all.")] = 2,
    late: Annotated[
        int | None,
        typer.Option(min=0, max=255, help="Keep the order, but for this many segments; otherwise any order."),
    ] = None,
    hurries: Annotated[
        int, typer.Option(min=0, max=255, help="Timers that may expire although segments are in flight.")
    ] = 0,
    simultaneous_open: Annotated[bool, typer.Option("--simultaneous-open", help="Both OPENs are active.")] = False,
    send_in_listen: Annotated[
        bool, typer.Option("--send-in-listen", help="A SEND in LISTEN opens actively (3.10.2).")
    ] = False,
    seconds: Annotated[float | None, typer.Option("--time", metavar="SECONDS", help="Stop after this time.")] = None,
) -> None:
    """Model-check the running engine: all that two users and a bad network can do, up to a bound."""
    from tcpclose.verify.explore import Bound, Explorer
    from tcpclose.verify.sweep import Sweep, shortest
    from tcpclose.verify.telling import report

    bound = Bound(octets, losses, duplicates, faults, late, hurries, simultaneous_open, send_in_listen, seconds)
    search = Sweep(bound) if late is None and not hurries else Explorer(bound)
    search.run()
    violation = shortest(bound) if search.wrong and isinstance(search, Sweep) else None
    typer.echo(report(search, violation), nl=False)
    if search.wrong:
        raise typer.Exit(1)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Try what this machine can do, and tell what mends each lack. Status 0 when runs on Mininet are possible."""
    from tcpclose.testbed.doctor import can_run, examine

    findings = list(examine())
    possible = can_run(findings)
    if as_json:
        _print_json({"mininet": possible, "findings": [asdict(finding) for finding in findings]})
    else:
        marks = {(True, True): "ok", (True, False): "ok", (False, True): "LACK", (False, False): "lack"}
        rows = (
            (marks[f.works, f.needed], f.name, f.found if f.works else f"{f.found}\n{f.meaning}\nmend: {f.mend}")
            for f in findings
        )
        _print_table(("", "what", "found"), rows)
        typer.echo(f"Runs on Mininet are {'possible' if possible else 'not possible: see each LACK'}.")
    raise typer.Exit(0 if possible else 1)


@app.command()
def drill(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Scripts, or folders to search for *.pkt.")],
    profile: Annotated[
        str, typer.Option(metavar="rfc9293|linux|bsd|auto", help="Whose settings; auto: the script's dialect tells.")
    ] = "auto",
    define: Annotated[
        list[str] | None, typer.Option("-D", metavar="NAME=VALUE", help="Replace a word in all scripts.")
    ] = None,
    tolerance_usecs: Annotated[
        int | None, typer.Option("--tolerance_usecs", min=0, help="Instead of what the scripts say.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = 1,
    as_json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the verdicts as JSON.")] = None,
    tap: Annotated[Path | None, typer.Option("--tap", metavar="FILE", help="Write them as TAP.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write them as JUnit's XML.")] = None,
    trace: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the events of each script there.")] = None,
) -> None:
    """Run packetdrill scripts against our TCP, in virtual time. No shell and no Python of a script is run."""
    from tcpclose.drill import collection
    from tcpclose.drill.runner import Wishes

    if profile not in ("rfc9293", "linux", "bsd", "auto"):
        _fail(f"--profile {profile}: expected rfc9293, linux, bsd or auto", 2)
    symbols = dict(_definition(word) for word in define or [])
    wishes = Wishes(None if profile == "auto" else profile, tolerance_usecs, symbols)  # type: ignore[arg-type]
    try:
        scripts = collection.find_scripts(paths)
        if trace is not None:
            trace.mkdir(parents=True, exist_ok=True)
        verdicts = []
        for verdict in _with_bar(collection.run_all(scripts, wishes, jobs), len(scripts)):
            verdicts.append(verdict)
            if verdict.outcome == "failed":
                typer.echo(collection.complaint(verdict))
            if trace is not None:
                collection.write_trace(verdict, trace)
        for file, form in ((as_json, "json"), (tap, "tap"), (junit, "junit")):
            if file is not None:
                file.write_text(collection.FORMATS[form](verdicts), "utf-8")
    except (collection.CollectionError, OSError) as error:
        _fail(error, 2)
    if unknown := dict.fromkeys(name for verdict in verdicts for name in verdict.unknown):
        typer.echo(f"sysctls that mean nothing here: {', '.join(unknown)}", err=True)
    typer.echo(collection.summary(verdicts))
    if any(verdict.outcome == "failed" for verdict in verdicts):
        raise typer.Exit(1)


def _definition(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name.isidentifier():
        _fail(f"-D {word}: expected NAME=VALUE", 2)
    return name, value


def _with_bar(items: Iterable[_T], total: int) -> Iterator[_T]:
    """A progress bar on a terminal; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import track

    yield from track(
        items, "drill", total, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    )


def _print_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = True  # names are there to be copied
    for row in rows:
        table.add_row(*map(escape, row))
    for column in table.columns:
        # short words stay whole, however narrow the terminal
        column.min_width = min(8, max(len(word) for cell in column.cells for word in [*str(cell).split(), ""]))
    Console().print(table)


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
            _fail("--cli is for hosts that one can log in to: it needs --world mininet", 2)
        if chosen == "sim":
            check_simulable(scenario)
        folder = runs.new_folder(runs.label_of(path), out)
        with _signals_interrupt(), _progress(scenario, chosen, not command_line) as watch:
            trace = runs.execute(scenario, network, chosen, folder, watch, command_line)
        charts = runs.draw(trace, folder)
        _report(scenario, trace, folder, charts)
    except (ScenarioError, TopologyError, runs.FolderError) as error:
        _fail(error, 2)
    except runs.RunError as error:
        _fail(error, 1)
    except KeyboardInterrupt as error:
        _fail("interrupted", 128 + (error.args[0] if error.args else signal.SIGINT))
    except OSError as error:  # of standard output
        _fail(error.strerror, 1)


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
        _fail(f"--world {world}: expected sim or mininet", 2)
    from tcpclose.testbed.box import why_no_box

    reason = why_no_box()
    if reason is not None:
        typer.echo(f"no emulation here, so this is the simulator: {reason}", err=True)
    return "sim" if reason else "mininet"


def _fail(error: object, status: int) -> NoReturn:
    typer.echo(f"tcpclose: {error}", err=True)
    raise typer.Exit(status)


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
        table.add_row(release.connection, release.how or "open", words, style="bold")
        for host in dict.fromkeys([*release.states, *release.causes]):
            table.add_row(f"  {host}", f"  {release.outcome(host)}", " ".join(release.states.get(host, ())))
        table.add_section()
    return table
