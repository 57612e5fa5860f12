"""The command about captures of anybody: `classify`."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from tcpclose.cli.common import app, complain, fail

if TYPE_CHECKING:
    from tcpclose.classify import Releases
    from tcpclose.classify.filtering import Test


@app.command()
def classify(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="pcap or pcapng, also in gzip or zstd; - is standard input.")
    ],
    form: Annotated[
        str, typer.Option("--format", metavar="table|json|csv|parquet", help="json: an object a line.")
    ] = "table",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Instead of standard output.")] = None,
    summary: Annotated[bool, typer.Option("--summary", help="Counts and times instead of connections.")] = False,
    chosen: Annotated[
        str | None, typer.Option("--filter", metavar="EXPRESSION", help="Only these: 'kind == reset and dport == 443'.")
    ] = None,
    connection: Annotated[
        int | None, typer.Option(metavar="N", help="The ladder of the connection that packet N began.")
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --connection: draw it, .svg or .png.")
    ] = None,
    ignore_checksums: Annotated[
        bool, typer.Option("-C", "--ignore-checksums", help="Packets with a wrong checksum count.")
    ] = False,
    server_ports: Annotated[
        str | None, typer.Option(metavar="PORTS", help="Who is the responder where no SYN was seen: 80,443,6666-6669.")
    ] = None,
) -> None:
    """Say how every connection in a capture was released, by whom, and why."""
    _refuse_what_does_not_go_together(form, out, summary, chosen, connection, chart)
    with _rare_collector():
        _say_what_takes_long()
        wanted, ports = _filter(chosen), _ports(server_ports)
        if connection is not None:
            status = _one_connection(files, connection, chart, ignore_checksums, ports)
        else:
            status = _all_connections(files, form, out, summary, wanted, ignore_checksums, ports)
    raise typer.Exit(status)


def _refuse_what_does_not_go_together(
    form: str, out: Path | None, summary: bool, chosen: str | None, connection: int | None, chart: Path | None
) -> None:
    if form not in ("table", "json", "csv", "parquet"):
        fail(f"--format {form}: expected table, json, csv or parquet", 2)
    if form == "parquet" and out is None:
        fail("--format parquet: it is written to a file, which --out names", 2)
    if chart is not None and connection is None:
        fail("--chart: it is of one connection, which --connection N names", 2)
    if summary and form not in ("table", "json"):
        fail(f"--summary: it is a table or json, not {form}", 2)
    if connection is not None and (summary or chosen or out or form != "table"):
        fail("--connection: it is one ladder, without --format, --out, --summary or --filter", 2)


def _all_connections(
    files: list[str],
    form: str,
    out: Path | None,
    summary: bool,
    wanted: Test | None,
    ignore: bool,
    ports: frozenset[int],
) -> int:
    from tcpclose.classify import telling

    results = [(name, _classified(name, ignore, ports)) for name in files]
    chosen = [(name, releases.where(wanted) if wanted else releases) for name, releases in results]
    if summary:
        _tell_summaries(files, chosen, form, out)
    elif form == "parquet":
        assert out is not None
        with _told(out):
            telling.write_parquet(out, [(_column(name, files), releases) for name, releases in chosen])
    else:
        with _output(out) as file:
            for place, (name, releases) in enumerate(chosen):
                if form == "table":
                    if len(chosen) > 1:
                        file.write(f"{name}\n")
                    telling.write_table(file, releases)
                elif form == "json":
                    telling.write_json(file, releases, _column(name, files))
                else:
                    telling.write_csv(file, releases, _column(name, files), head=place == 0)
    damaged = [_warned(name, releases) for name, releases in results]
    return int(any(damaged))


def _warned(name: str, releases: Releases) -> bool:
    """Say on standard error what one should know of a capture; whether it was damaged."""
    wrong = sum("c" in history.lower() for history in releases.column("history"))
    if 2 * wrong > len(releases):
        complain(
            f"{_called(name)}: {wrong} of {len(releases)} connections have packets with a wrong checksum, which do not "
            "count; if it was captured where a network card computes checksums, or on a loopback, try -C"
        )
    if 2 * releases.doubled > len(releases):
        complain(
            f"{_called(name)}: {releases.doubled} of {len(releases)} connections have packets that were captured "
            "twice, as on all interfaces of a router, by a mirror, or in merged files; history and the numbers of "
            "packets count each copy, so what was captured at one place says more"
        )
    if releases.cut:
        complain(
            f"{_called(name)}: {releases.cut} of {len(releases)} connections have packets that were cut inside their "
            "TCP header, which do not count; it takes 128 octets of each packet (tcpdump -s 128)"
        )
    if releases.damage is None:
        return False
    complain(f"{_called(name)}: {releases.damage}")
    return True


def _called(name: str) -> str:
    return "standard input" if name == "-" else name


def _classified(name: str, ignore_checksums: bool, ports: frozenset[int]) -> Releases:
    from tcpclose.classify import NotACapture
    from tcpclose.classify import classify as classify_file

    try:
        return classify_file(name, ignore_checksums=ignore_checksums, server_ports=ports)
    except NotACapture as error:
        fail(f"{_called(name)}: {error}", 2)
    except OSError as error:
        fail(f"{_called(name)}: {error.strerror}", 2)


def _filter(text: str | None) -> Test | None:
    from tcpclose.classify.filtering import FilterError, parse_filter

    try:
        return parse_filter(text) if text else None
    except FilterError as error:
        fail(error, 2)


def _ports(text: str | None) -> frozenset[int]:
    from tcpclose.classify.releases import SERVER_PORTS

    if text is None:
        return SERVER_PORTS
    ports: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers = first.isdecimal() and (last or first).isdecimal()
        if not numbers or not int(first) <= int(last or first) <= 65535:
            fail(f"--server-ports {text}: expected ports and ranges as 80,443,6666-6669, not {part!r}", 2)
        ports |= set(range(int(first), int(last or first) + 1))
    return frozenset(ports)


def _column(name: str, files: list[str]) -> str | None:
    """What tells the connections of several files apart: a name may have octets that are no text."""
    return os.fsencode(name).decode(errors="replace") if len(files) > 1 else None


def _tell_summaries(files: list[str], chosen: list[tuple[str, Releases]], form: str, out: Path | None) -> None:
    from tcpclose.classify import telling

    with _output(out) as file:
        for name, releases in chosen:
            if form == "json":
                import json

                of = {"file": _column(name, files)} if len(files) > 1 else {}
                file.write(json.dumps(of | releases.summary()) + "\n")
                continue
            if len(chosen) > 1:
                file.write(f"{name}\n")
            file.writelines(f"{line}\n" for line in telling.summary_lines(releases.summary()))


def _one_connection(files: list[str], number: int, chart: Path | None, ignore: bool, ports: frozenset[int]) -> int:
    from tcpclose.classify import ladder

    if len(files) != 1:
        fail("--connection: it is of one file", 2)
    if files[0] == "-":
        fail("--connection: the capture is read twice, so it cannot be standard input", 2)
    releases = _classified(files[0], ignore, ports)
    release = next((release for release in releases if release.number == number), None)
    if release is None:
        fail(
            f"--connection {number}: none begins with that packet; the first column of the table says which do",
            2,
        )
    trace = ladder.trace_of(files[0], release, releases, ignore)
    typer.echo(ladder.told(trace, release), nl=False)
    if chart is not None:
        from tcpclose.charts import draw_ladder

        try:
            with _told(chart):
                draw_ladder(trace, chart)
        except ValueError as error:
            fail(error, 2)
        typer.echo(chart)
    return int(_warned(files[0], releases))


def _say_what_takes_long() -> None:
    """Where somebody is waiting."""
    if sys.stderr.isatty():
        logger = logging.getLogger("tcpclose.classify")
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)


@contextmanager
def _rare_collector() -> Iterator[None]:
    """Python's collector finds little here, and looking for it takes a quarter of a second, most of it at the end."""
    before = gc.get_threshold()
    gc.set_threshold(50_000)
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*before)


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    with _told(path), path.open("w", encoding="utf-8") as file:
        yield file


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fail(f"{path}: {error.strerror}", 2)
