"""How fast captures are classified, beside other programs that tell connections: `python -m benchmarks.classify`.

One capture of `benchmarks.captures`, one machine, one program after the other, in turns. A figure is the best time of
a program from its start to its end, and the most memory that it ever had (ru_maxrss). Ours is run once with nothing
compiled, in which the compiler's time is included, and then like the others. Programs that are not installed are named.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import captures
from benchmarks.__main__ import machine

OURS, FIRST = "tcpclose classify", "tcpclose classify, the first time"
TCPCLOSE = (sys.executable, "-m", "tcpclose")
CLASSIFY = (*TCPCLOSE, "classify", "--format", "csv", "{capture}")
AIM, AIM_MEMORY = 1_000_000, 600_000_000  # packets a second at least, octets at most
PATIENCE = 3600.0


@dataclass(frozen=True)
class Peer:
    """A program, or several of which each reads what the one before has written."""

    name: str
    commands: tuple[tuple[str, ...], ...]

    @property
    def missing(self) -> list[str]:
        return [command[0] for command in self.commands if not shutil.which(command[0])]


PEERS = (
    Peer(OURS, (CLASSIFY,)),
    Peer(
        "tshark -T fields",
        (("tshark", "-r", "{capture}", "-T", "fields", "-e", "tcp.stream", "-e", "tcp.completeness"),),
    ),
    Peer("tshark -z conv,tcp", (("tshark", "-r", "{capture}", "-q", "-z", "conv,tcp"),)),
    Peer("tcptrace", (("tcptrace", "-n", "{capture}"),)),
    Peer("argus + ra", (("argus", "-r", "{capture}", "-w", "{folder}/argus"), ("ra", "-n", "-r", "{folder}/argus"))),
    Peer("nfpcapd", (("nfpcapd", "-r", "{capture}", "-l", "{folder}"),)),
)


#: A process remembers how big its parent was, so a small one starts the program.
START = """
import json, os, sys, time
begin = time.monotonic()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
seconds = time.monotonic() - begin
figures = [seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, os.waitstatus_to_exitcode(status)]
with open(os.environ["FIGURES"], "w") as file:
    json.dump(figures, file)
"""


@dataclass(frozen=True)
class Figures:
    """Seconds by the clock and of processors, of all commands; octets of the one that had the most."""

    seconds: float = 0.0
    processor: float = 0.0
    octets: int = 0


def measure(commands: tuple[tuple[str, ...], ...], capture: Path, environment: dict[str, str]) -> Figures:
    """Raises `RuntimeError` when one of them fails."""
    sum_ = Figures()
    with tempfile.TemporaryDirectory(dir=capture.parent) as name:
        folder = Path(name)
        for command in commands:
            words = [word.format(capture=capture, folder=folder) for word in command]
            with open(folder / "said", "wb") as said, open(folder / "complaints", "wb") as complaints:
                subprocess.run(
                    [sys.executable, "-I", "-S", "-c", START, *words],
                    stdout=said,
                    stderr=complaints,
                    env={**environment, "FIGURES": f"{folder}/figures"},
                    timeout=PATIENCE,
                    check=True,
                )
            seconds, processor, octets, status = json.loads((folder / "figures").read_text())
            if status:
                raise RuntimeError(f"{' '.join(words)}: {(folder / 'complaints').read_text()[-1000:]}")
            sum_ = Figures(sum_.seconds + seconds, sum_.processor + processor, max(sum_.octets, octets))
    return sum_


def run(capture: Path, packets: int, repeat: int = 3, peers: tuple[Peer, ...] = PEERS) -> dict[str, object]:
    """The best of `repeat` runs of each; the capture is in the page cache for all of them."""
    results: dict[str, dict[str, object]] = {}
    runs: dict[str, list[Figures]] = {peer.name: [] for peer in peers if not peer.missing}
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        runs[FIRST] = [measure((CLASSIFY,), capture, environment)]
        for _ in range(repeat):
            for peer in peers:
                if not peer.missing:
                    runs[peer.name].append(measure(peer.commands, capture, environment))
    for name, values in runs.items():
        best = min(values, key=lambda figures: figures.seconds)
        results[name] = {
            "packets/s": packets / best.seconds,
            "seconds": best.seconds,
            "seconds of processors": best.processor,
            "octets of memory": max(figures.octets for figures in values),
            "all": [figures.seconds for figures in values],
        }
    ours = results[OURS]
    for result in results.values():
        result["of ours"] = result["packets/s"] / ours["packets/s"]  # type: ignore[operator]
    ours |= {"aim": AIM, "aim of memory": AIM_MEMORY}
    return {
        "machine": machine(),
        "capture": {"packets": packets, "octets": capture.stat().st_size},
        "repeat": repeat,
        "results": results,
        "missing": {peer.name: peer.missing for peer in peers if peer.missing},
    }


def table(report: dict[str, object]) -> Table:
    results, missing = report["results"], report["missing"]
    assert isinstance(results, dict)
    assert isinstance(missing, dict)
    shown = Table("", box=box.SIMPLE_HEAD)
    for column in ("packets/s", "seconds", "of CPU", "MB", "ours is faster by"):
        shown.add_column(column, justify="right", no_wrap=True)
    for name, result in results.items():
        megabytes = f"{result['octets of memory'] / 1e6:,.0f}"
        faster = "" if name in (OURS, FIRST) else f"{1 / result['of ours']:,.1f}"
        shown.add_row(
            name,
            f"{result['packets/s']:,.0f}",
            f"{result['seconds']:.2f}",
            f"{result['seconds of processors']:.2f}",
            megabytes,
            faster,
        )
    for name, programs in missing.items():
        shown.add_row(name, f"not installed: {', '.join(programs)}", style="dim")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=2_000_000)
    parser.add_argument("--repeat", type=int, default=3, help="how often each is run; the best counts")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "capture.pcap"
        captures.generate(capture, options.packets)
        report = run(capture, options.packets, options.repeat)
    console = Console(width=max(Console().width, 100))
    console.print(table(report))
    console.print(f"{report['machine']}", style="dim", soft_wrap=True, highlight=False)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
