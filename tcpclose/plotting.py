"""Which charts there are of what stands on disk: a run, the runs of a comparison, a folder of many runs.

Every message of a `PlotError` is for people.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tcpclose import charts, runs
from tcpclose.trace.events import Trace
from tcpclose.trace.flights import connections

#: Pictures of the machine that one command draws without being asked for a connection.
MACHINES = 12


class PlotError(ValueError):
    """There is nothing to draw, or it cannot be drawn as asked."""


def find_run(name: str) -> Path:
    """A run's folder, a folder of runs, or the file of a trace: a path, or the name of a run in `results/runs`.

    Raises `PlotError`.
    """
    if Path(name).exists():
        return Path(name)
    try:
        return runs.find_run(name)
    except runs.FolderError as error:
        raise PlotError(str(error)) from None


def load_trace(place: Path) -> Trace:
    """The trace of a run's folder, or of a `trace.jsonl`. Raises `PlotError`: a run may have none."""
    try:
        trace = runs.load_trace(place) if place.is_dir() else Trace.load(place)
    except OSError as error:
        raise PlotError(f"{place}: {error.strerror}") from None
    except (runs.FolderError, ValueError) as error:
        raise PlotError(str(error)) from None
    if not len(trace) and not place.is_dir():  # a run may have had no steps
        raise PlotError(f"{place} is empty: a trace has a line for each event")
    return trace


def plot_run(
    place: Path,
    names: Sequence[str],
    suffix: str,
    out: Path | None = None,
    connection: str | None = None,
    tell: Callable[[str], object] = lambda line: None,
) -> Iterator[Path]:
    """Draw charts of one run beside its trace, or into the folder `out`; each path as its file is complete.

    `tell` hears, in a line for people, what is left out. Raises `PlotError`.
    """
    trace = load_trace(place)
    if connection is not None:
        _demand(trace, connection)
    folder = out or (place if place.is_dir() else place.parent)
    for name, path, one in _pictures(trace, names, folder, suffix, connection):
        with _told(path):
            charts.draw(name, trace, path, one)
        yield path
    known = connections(trace)
    if "machine" in names and connection is None and len(known) > MACHINES:
        tell(
            f"the machine is drawn for the first {MACHINES} connections, {known[0]} to {known[MACHINES - 1]}, and not "
            f"for the other {len(known) - MACHINES}: --chart machine --connection NAME draws it for one"
        )


def _demand(trace: Trace, connection: str) -> None:
    """Also where no chart is asked for that is of one connection."""
    from tcpclose.charts.story import names

    try:
        names(trace, [connection])
    except ValueError as error:
        raise PlotError(str(error)) from None


def _pictures(
    trace: Trace, names: Sequence[str], folder: Path, suffix: str, connection: str | None
) -> Iterator[tuple[str, Path, str | None]]:
    """Each chart, its file and the connection that it is of. Where a run has several, their names are in the files'."""
    stems = _stems(connections(trace))
    for name in names:
        if name != "machine" or len(stems) < 2:
            yield name, folder / f"{name}{suffix}", connection
            continue
        for one in list(stems)[:MACHINES] if connection is None else [connection]:
            yield name, folder / f"{name}-{stems[one]}{suffix}", one


def _stems(names: Sequence[str]) -> dict[str, str]:
    """What stands for each name in the name of a file: without odd signs, and numbered where two are alike."""
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"[^\w.-]+", "_", name)
        tries = (f"{plain}-{number}" if number > 1 else plain for number in count(1))
        stems[name] = next(stem for stem in tries if stem not in taken)
        taken.add(stems[name])
    return stems


def is_comparison(place: Path) -> bool:
    """Whether this folder is no run's, but has runs below it."""
    return place.is_dir() and not (place / "run.json").exists() and any(place.glob("*/run.json"))


def plot_comparison(place: Path, suffix: str, out: Path | None = None) -> Path:
    """Draw the runs below a folder, as `compare` leaves them, side by side. Raises `PlotError`."""
    found: dict[str, Trace | None] = {}
    for folder in _below(place):
        found[folder.name] = load_trace(folder) if (folder / "trace.jsonl").exists() else None
    names = sorted(found, key=lambda name: (name != "simulator", name))  # it stands above those measured against it
    return draw_comparison({name: found[name] for name in names}, (out or place) / f"comparison{suffix}")


def draw_comparison(found: dict[str, Trace | None], path: Path) -> Path:
    """Draw runs side by side. Raises `PlotError`."""
    from tcpclose.charts import comparison

    with _told(path):
        comparison.draw_comparison(found, path)
    return path


def plot_many(place: Path, key: str, suffix: str, out: Path | None = None) -> Path:
    """Draw times to release and shares of causes of all complete runs in a folder, against a key of their scenarios.

    Raises `PlotError`.
    """
    from tcpclose.charts import many

    found = []
    for folder in _below(place):
        if not (folder / "trace.jsonl").exists():
            continue
        value = _value(folder / "scenario.toml", key)
        if value is not None:
            found += many.samples(value, load_trace(folder))
    if not found:
        raise PlotError(f"no complete run in {place} has the key {key}; a run's scenario.toml shows all that it has")
    path = (out or place) / f"many-{key}{suffix}"
    with _told(path):
        many.draw_many(found, key, path)
    return path


def _below(place: Path) -> list[Path]:
    if not place.is_dir():
        raise PlotError(f"{place} is no folder of runs")
    found = list(runs.run_folders(place))
    if not found:
        raise PlotError(f"there are no runs in {place}")
    return found


def _value(path: Path, key: str) -> str | None:
    """What a resolved scenario says for a dotted key, steps by their number as in --set."""
    try:
        at: Any = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PlotError(f"{path} cannot be read: {error.strerror if isinstance(error, OSError) else error}") from None
    for part in key.split("."):
        if isinstance(at, list) and part.isdecimal() and 0 < int(part) <= len(at):
            at = at[int(part) - 1]
        elif isinstance(at, dict) and part in at:
            at = at[part]
        else:
            return None
    return None if isinstance(at, dict | list) else str(at)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What goes wrong with a picture, told with its file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise PlotError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise PlotError(str(error)) from None
