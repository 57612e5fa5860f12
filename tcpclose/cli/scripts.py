"""The command about packetdrill scripts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tcpclose.cli.common import app, fail, print_table, with_bar
from tcpclose.cli.results import write

if TYPE_CHECKING:
    from tcpclose.drill.runner import Verdict, Wishes


@app.command()
def drill(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH...", help="Scripts, or folders to search for *.pkt.")
    ] = None,
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
    recorded: Annotated[
        str | None, typer.Option("--from", metavar="RUN", help="Print the script that one --host of a run amounts to.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="With --from.")] = None,
    connection: Annotated[str | None, typer.Option(help="With --from, where the host had several.")] = None,
    against_kernel: Annotated[
        bool, typer.Option("--against-kernel", help="The verdicts of packetdrill itself beside ours, where it is.")
    ] = False,
) -> None:
    """Run packetdrill scripts against our TCP, in virtual time. No shell and no Python of a script is run."""
    from tcpclose.drill import collection
    from tcpclose.drill.runner import Wishes

    if profile not in ("rfc9293", "linux", "bsd", "auto"):
        fail(f"--profile {profile}: expected rfc9293, linux, bsd or auto", 2)
    if recorded is not None:
        if paths:
            fail(f"--from RUN: it prints a script and runs none, so {paths[0]} has no place there", 2)
        _print_recorded(recorded, host, connection)
        return
    if host is not None or connection is not None:
        fail("--host and --connection are for --from RUN", 2)
    if not paths:
        fail("drill: expected scripts or folders, or --from RUN --host NAME", 2)
    symbols = dict(_definition(word) for word in define or [])
    wishes = Wishes(None if profile == "auto" else profile, tolerance_usecs, symbols)  # type: ignore[arg-type]
    try:
        scripts = collection.find_scripts(paths)
    except collection.CollectionError as error:
        fail(error, 2)
    verdicts = list(_played(scripts, wishes, jobs, trace))
    for file, form in ((as_json, "json"), (tap, "tap"), (junit, "junit")):
        if file is not None:
            write(file, partial(collection.FORMATS[form], verdicts))
    if unknown := dict.fromkeys(name for verdict in verdicts for name in verdict.unknown):
        typer.echo(f"sysctls that mean nothing here: {', '.join(unknown)}", err=True)
    if against_kernel:
        verdicts += _run_really(scripts, verdicts, wishes)
    else:
        typer.echo(collection.summary(verdicts))
    if any(verdict.outcome == "failed" for verdict in verdicts):
        raise typer.Exit(1)


def _played(scripts: list[Path], wishes: Wishes, jobs: int, trace: Path | None) -> Iterator[Verdict]:
    """The verdicts as they come. What went wrong is said, and the events are written into the folder `trace`."""
    from tcpclose.drill import collection

    if trace is not None:
        trace.mkdir(parents=True, exist_ok=True)
    for verdict in with_bar(collection.run_all(scripts, wishes, jobs), len(scripts), "drill"):
        if verdict.outcome == "failed":
            typer.echo(collection.complaint(verdict))
        if trace is not None:
            collection.write_trace(verdict, trace)
        yield verdict


def _run_really(scripts: list[Path], ours: list[Verdict], wishes: Wishes) -> list[Verdict]:
    """The verdicts of packetdrill itself, shown beside ours; none where there is no such program."""
    from tcpclose import realdrill
    from tcpclose.drill import collection

    program = realdrill.find_packetdrill()
    if program is None:
        typer.echo(f"--against-kernel is skipped: {realdrill.ABSENT}", err=True)
        typer.echo(collection.summary(ours))
        return []
    run = (realdrill.run_really(path, wishes, program) for path in scripts)
    theirs = list(with_bar(run, len(scripts), "packetdrill"))
    rows = ((o.outcome, t.outcome, f"{o.name}\n{t.message}".strip()) for o, t in zip(ours, theirs, strict=True))
    print_table(("ours", "packetdrill", "script, what packetdrill says"), rows)
    typer.echo(f"ours: {collection.summary(ours)}; packetdrill: {collection.summary(theirs)}")
    return theirs


def _print_recorded(run: str, host: str | None, connection: str | None) -> None:
    from tcpclose import runs
    from tcpclose.drill.calling import Unsayable
    from tcpclose.drill.recorded import Recording
    from tcpclose.scenario import Scenario, ScenarioError

    if host is None:
        fail("--from RUN: expected --host NAME, whose end of a connection is to be told", 2)
    try:
        folder = runs.find_run(run)
        trace = runs.load_trace(folder)
        scenario = Scenario.load(folder / "scenario.toml")
        recording = Recording(scenario, trace, folder, real_time=runs.load_record(folder).world != "sim")
        typer.echo(recording.script(host, connection), nl=False)
    except (runs.FolderError, ScenarioError, Unsayable) as error:
        fail(error, 2)


def _definition(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name.isidentifier():
        fail(f"-D {word}: expected NAME=VALUE", 2)
    return name, value
