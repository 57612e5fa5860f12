"""The command that writes the page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tcpclose.cli.common import RunName, app, fail

if TYPE_CHECKING:
    from tcpclose.runs import Record
    from tcpclose.scenario import Scenario

_WORLDS = {"sim": "in the simulator", "mininet": "on Mininet"}


@app.command()
def report(
    run: RunName,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the page there, instead of report.html beside the trace.")
    ] = None,
) -> None:
    """Write a page that plays a run: one file of HTML, which opens in any browser and needs no network."""
    from tcpclose import plotting, runs
    from tcpclose.replay import write_report
    from tcpclose.scenario import Scenario, ScenarioError

    try:
        place = plotting.find_run(run)
        trace = plotting.load_trace(place)
        if place.is_dir():
            scenario = Scenario.load(place / "scenario.toml")
            title, about = scenario.title or place.name, _about(scenario, runs.load_record(place), place)
        else:  # of a file nothing else is known
            title, about = place.name, []
    except (plotting.PlotError, runs.FolderError, ScenarioError) as error:
        fail(error, 2)
    page = out or (place if place.is_dir() else place.parent) / "report.html"
    try:
        write_report(page, trace, title, about)
    except OSError as error:
        fail(f"{page}: {error.strerror}; choose another place with --out", 2)
    typer.echo(page)


def _about(scenario: Scenario, record: Record, folder: Path) -> list[str]:
    """What a reader of the page would ask: where it ran, on what, and where the packets are."""
    kernels = [name for name, host in scenario.host.items() if host.stack == "linux"]
    captures = sorted(path.name for path in folder.glob("*.pcap"))
    return [
        _WORLDS[record.world],
        f"topology {scenario.topology}",
        f"seed {scenario.seed}",
        *([f"Linux's TCP on {', '.join(kernels)}"] if kernels else []),
        *([f"captures {', '.join(captures)}"] if captures else []),
    ]
