"""What `classify` found, told: a table for people, JSON and CSV for programs, Parquet for large ones, a summary."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from tcpclose.aside import aside

from .releases import Release, Releases

#: Most rows of a list in the summary.
_LINES = 15

_HEADS = ("number", "connection", "seconds", "octets", "state", "history", "how", "closed first", "why", "packets")


def write_table(file: TextIO, releases: Iterable[Release]) -> None:
    """For people: the columns that matter most, a line for each connection."""
    rows = [_HEADS, *map(_cells, releases)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    for row in rows:
        file.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


def _cells(release: Release) -> tuple[str, ...]:
    why = f"{release.cause} ({release.confidence})" if release.cause else ""
    octets = "-" if release.orig_bytes is None else f"{release.orig_bytes}/{release.resp_bytes}"
    return (
        str(release.number),
        f"{socket(release.src, release.sport)} > {socket(release.dst, release.dport)}",
        "-" if release.duration is None else f"{release.duration / 1e9:.3f}",
        octets,
        release.conn_state,
        release.history,
        release.kind,
        release.closed_first or "-",
        why,
        ",".join(map(str, release.evidence)),
    )


def socket(address: str, port: int) -> str:
    """An address and a port, as they are written beside each other."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def write_json(file: TextIO, releases: Iterable[Release], name: str | None = None) -> None:
    """An object for each connection, one a line. With a `name`, the file's, it is the first column."""
    of = {} if name is None else {"file": name}
    for release in releases:
        file.write(json.dumps(of | release._asdict()) + "\n")


def write_csv(file: TextIO, releases: Releases, name: str | None = None, head: bool = True) -> None:
    """Comma-separated, with a line of names; what is missing is empty, and evidence is separated by blanks."""
    import pyarrow as pa
    from pyarrow import compute, csv

    table = _table(releases, name)
    evidence = compute.binary_join(table["evidence"].cast(pa.list_(pa.string())), " ")
    table = table.set_column(table.column_names.index("evidence"), "evidence", evidence)
    table = table.set_column(table.column_names.index("start"), "start", table["start"].cast(pa.int64()))
    if head:
        file.write(",".join(table.column_names) + "\n")
    file.flush()
    quoting = "none" if name is None else "needed"  # nothing but the name of a file needs any
    csv.write_csv(table, file.buffer, csv.WriteOptions(include_header=False, quoting_style=quoting))


def _table(releases: Releases, name: str | None) -> Any:
    import pyarrow as pa

    table = releases.to_arrow()
    return table if name is None else table.add_column(0, "file", pa.array([name] * len(releases), pa.string()))


def write_parquet(path: Path, parts: Iterable[tuple[str | None, Releases]]) -> None:
    """A Parquet file; it appears whole or not at all."""
    from pyarrow import parquet

    with aside(path) as unfinished:
        writer = None
        for name, releases in parts:
            table = _table(releases, name)
            writer = writer or parquet.ParquetWriter(unfinished, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()


def summary_lines(summary: dict[str, Any]) -> Iterator[str]:
    """The summary for people."""
    total = summary["connections"]
    yield f"{total:,} connection{'s' if total != 1 else ''}"
    for name, title in (("kind", "how"), ("cause", "why"), ("conn_state", "state"), ("server_port", "server port")):
        counted = summary[name]
        if counted:
            yield ""
            yield title
            for value, count in list(counted.items())[:_LINES]:
                yield f"  {value!s:32} {count:>10,}  {count / total:6.1%}"
            if len(counted) > _LINES:
                yield f"  {len(counted) - _LINES} more"
    if summary["release_time"]:
        yield ""
        yield f"{'seconds to release':34} {'50 %':>10} {'90 %':>10} {'99 %':>10}"
        for kind, times in summary["release_time"].items():
            yield f"  {kind:32} " + " ".join(f"{time / 1e9:>10.3f}" for time in times)
