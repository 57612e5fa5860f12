"""`./lab bench`: a table for people, and the same as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import measure


@dataclass(frozen=True)
class Benchmark:
    """One figure. `aim`: at least, or with `least_is_best` at most; `peer` names another one to compare with."""

    name: str
    run: Callable[[int], float]
    size: int
    unit: str
    aim: float | None = None
    least_is_best: bool = False
    peer: str | None = None


BENCHMARKS = (
    Benchmark("empty loop", measure.loop, 2_000_000, "rounds/s"),
    Benchmark("connections, kernel", measure.connections_kernel, 1_000, "connections/s"),
    Benchmark("connections, direct", measure.connections_direct, 4_000, "connections/s", 10_000, peer="kernel"),
    Benchmark("connections, simulator", measure.connections_simulated, 200, "connections/s", 10_000, peer="direct"),
    Benchmark("segments, one connection", measure.segments, 100_000, "segments/s", 200_000),
    Benchmark("bulk, kernel", measure.bulk_kernel, 200_000_000, "octets/s"),
    Benchmark("bulk, direct", measure.bulk, 50_000_000, "octets/s", peer="kernel"),
    Benchmark("packets, classified", measure.packets_classified, 500_000, "packets/s", 1_000_000),
    Benchmark("packetdrill scripts", measure.scripts, 500, "scripts/s", 200),
    Benchmark("idle connection", measure.idle_octets, 10_000, "octets", 4_000, least_is_best=True),
    Benchmark("TIME-WAIT", measure.time_wait_octets, 10_000, "octets", 300, least_is_best=True),
)


def machine() -> dict[str, object]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processors": os.cpu_count(),
    }


def run(repeat: int = 3, scale: float = 1.0, watch: Callable[[str], None] = lambda name: None) -> dict[str, object]:
    """The best of `repeat` runs of each benchmark. `scale` makes all of them smaller, or larger."""
    results: dict[str, dict[str, object]] = {}
    best: dict[str, float] = {}
    for benchmark in BENCHMARKS:
        watch(benchmark.name)
        size = max(1, round(benchmark.size * scale))
        values = [benchmark.run(size) for _ in range(repeat)]
        value = best[benchmark.name] = min(values) if benchmark.least_is_best else max(values)
        results[benchmark.name] = {"value": value, "unit": benchmark.unit, "size": size, "all": values}
        if benchmark.unit.endswith("/s") and benchmark is not BENCHMARKS[0]:
            results[benchmark.name]["loop rounds for one"] = best["empty loop"] / value
        if benchmark.aim is not None:
            ratio = benchmark.aim / value if benchmark.least_is_best else value / benchmark.aim
            results[benchmark.name] |= {"aim": benchmark.aim, "of the aim": ratio}
        if benchmark.peer is not None:
            peer = f"{benchmark.name.split(',')[0]}, {benchmark.peer}"
            results[benchmark.name] |= {"peer": peer, "of the peer": value / best[peer]}
    return {"machine": machine(), "repeat": repeat, "results": results}


def table(report: dict[str, object]) -> Table:
    """The report for people: how much, against the aim (more than 1 is better than asked), against the peer."""
    results = report["results"]
    assert isinstance(results, dict)
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column, justify in (("", "left"), ("best", "right"), ("", "left"), ("aim", "right"), ("of it", "right")):
        shown.add_column(column, justify=justify, no_wrap=True)
    shown.add_column("compared", no_wrap=True)
    for name, result in results.items():
        aim = f"{result['aim']:,.0f}" if "aim" in result else ""
        ratio = f"{result['of the aim']:.2f}" if "aim" in result else ""
        peer = f"{result['of the peer']:.2f} of {result['peer'].split()[-1]}" if "peer" in result else ""
        shown.add_row(name, f"{result['value']:,.0f}", result["unit"], aim, ratio, peer)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="./lab bench", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="how often each is run; the best counts")
    parser.add_argument("--scale", type=float, default=1.0, help="make all of them larger or smaller")
    parser.add_argument("--json", type=Path, default=Path("results/runs/bench.json"), metavar="FILE")
    options = parser.parse_args()
    console = Console(width=max(Console().width, 100))
    with Console(stderr=True).status("") as status:
        report = run(options.repeat, options.scale, status.update)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=2) + "\n")
    console.print(table(report))
    console.print(f"{machine()}", style="dim", soft_wrap=True, highlight=False)
    console.print(options.json, soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
