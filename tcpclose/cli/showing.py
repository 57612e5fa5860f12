"""Commands that show what was run: as charts, and in the terminal."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tcpclose.cli.common import RunName, app, fail


@app.command()
def plot(
    run: RunName,
    chart: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="ladder, machine, states, sequence, or comparison; all of a run by default."),
    ] = None,
    connection: Annotated[
        str | None, typer.Option(metavar="NAME", help="Ladder and machine of this connection only.")
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="png|svg", help="What to write.")] = "png",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Instead of the run's own folder.")] = None,
    many: Annotated[bool, typer.Option("--many", help="RUN is a folder of runs: draw them all against a key.")] = False,
    against: Annotated[
        str, typer.Option(metavar="KEY", help="With --many: a key of the scenario, as --set has it.")
    ] = "",
) -> None:
    """Draw charts of a run; of a comparison, its runs side by side; of many runs, what a setting changes."""
    from tcpclose import charts, plotting

    wanted = chart or list(charts.CHARTS)
    suffix = f".{form.lower()}"
    if unknown := [name for name in wanted if name not in (*charts.CHARTS, "comparison")]:
        fail(f"--chart {unknown[0]}: expected {', '.join(charts.CHARTS)} or comparison", 2)
    if "comparison" in wanted and (len(wanted) > 1 or many):
        fail("--chart comparison is of several runs, so it is drawn alone", 2)
    if suffix not in (".png", ".svg"):
        fail(f"--format {form}: expected png or svg", 2)
    if many != bool(against):
        fail("--many and --against KEY go together: plot --many results/runs --against host.h1.tcp.msl", 2)
    if many and (chart or connection):
        fail("--many: it is one picture of all runs, without --chart or --connection", 2)
    try:
        place = plotting.find_run(run)
        if many:
            typer.echo(plotting.plot_many(place, against, suffix, out))
        elif wanted == ["comparison"] or (chart is None and plotting.is_comparison(place)):
            if connection:
                fail("--connection is for a single run: a comparison shows all connections", 2)
            typer.echo(plotting.plot_comparison(place, suffix, out))
        else:
            for path in plotting.plot_run(place, wanted, suffix, out, connection, partial(typer.echo, err=True)):
                typer.echo(path)
    except plotting.PlotError as error:
        fail(error, 2)


@app.command()
def show(
    run: RunName,
    connection: Annotated[str | None, typer.Option(metavar="NAME", help="Of this connection only.")] = None,
    figure: Annotated[bool, typer.Option("--figure", help="As a figure of the RFC.")] = False,
) -> None:
    """Print a run: how each connection was released, and the ladder; or a figure in the form of RFC 9293's."""
    from tcpclose import plotting
    from tcpclose.terminal.showing import print_figures, print_ladders

    try:
        trace = plotting.load_trace(plotting.find_run(run))
        (print_figures if figure else print_ladders)(trace, connection)
    except ValueError as error:  # PlotError is one
        fail(error, 2)
