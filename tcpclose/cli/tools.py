"""Commands about our TCP itself, and about the machine that it runs on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tcpclose.cli.common import app, fail, print_json, print_table


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
    print_table(("state", "event", "next", "do", "RFC 9293"), manual.machine_rows())


def _draw_machine(path: Path) -> None:
    from tcpclose.charts.machine import draw_machine

    try:
        draw_machine(path)
    except ValueError as error:
        fail(error, 2)
    except OSError as error:
        fail(f"{path}: {error.strerror}", 2)
    typer.echo(path)


@app.command()
def config() -> None:
    """Print the settings of our TCP: default, other values in the profiles, section, meaning."""
    from rich.padding import Padding
    from rich.text import Text

    from tcpclose import manual
    from tcpclose.protocol.config import PROFILES
    from tcpclose.terminal.console import console

    terminal = console()
    for name, values, section, meaning in manual.settings():
        differing = [
            f"{profile} {value}" for profile, value in zip(PROFILES, values, strict=True) if value != values[0]
        ]
        told = "; ".join([values[0], *differing])
        terminal.print(Text.assemble((name, "bold"), f" = {told}", (f"  [{section}]", "dim")))
        terminal.print(Padding(Text(meaning), (0, 0, 0, 4), expand=False))


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
    seconds: Annotated[
        float | None, typer.Option("--time", min=0, metavar="SECONDS", help="Stop after this time.")
    ] = None,
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
    from tcpclose.teaching.assignments.containment import CHECK
    from tcpclose.testbed.doctor import CHECKS, can_run, examine

    findings = list(examine((*CHECKS, CHECK)))
    possible = can_run(findings)
    if as_json:
        print_json({"mininet": possible, "findings": [asdict(finding) for finding in findings]})
    else:
        marks = {(True, True): "ok", (True, False): "ok", (False, True): "LACK", (False, False): "lack"}
        rows = (
            (marks[f.works, f.needed], f.name, f.found if f.works else f"{f.found}\n{f.meaning}\nmend: {f.mend}")
            for f in findings
        )
        print_table(("", "what", "found"), rows)
        typer.echo(f"Runs on Mininet are {'possible' if possible else 'not possible: see each LACK'}.")
    raise typer.Exit(0 if possible else 1)
