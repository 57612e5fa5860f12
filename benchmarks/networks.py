"""How fast networks come and go: `python -m benchmarks.networks`, each network in a box of its own.

Linear topologies, by ours and by plain Mininet (Linux bridges, no controller, plain links) in turn. Ours has more to
do: links through the relay, silenced kernels, offloads off, a capture at every host, all of it verified. A figure is
the time from the first order until nothing is left, a ping from one end to the other included: for Mininet with its own
`stop()`, for ours with the death of the box.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import machine
from tcpclose.testbed.box import box_command, why_no_box

SIZES = (2, 10, 50, 100)
AIMS = {50: 5.0, 100: 5.0}  # times faster than plain Mininet
PATIENCE = 600.0


def plain(hosts: int) -> None:
    """Mininet as it comes, in the box in which we are."""
    from mininet.net import Mininet
    from mininet.nodelib import LinuxBridge
    from mininet.topo import LinearTopo

    Mininet.inited = True  # else it changes settings of the whole machine
    begin = time.monotonic()
    net = Mininet(LinearTopo(k=hosts), switch=LinuxBridge, controller=None)
    net.start()
    up = time.monotonic()
    check(net, hosts)
    net.stop()
    print(begin, up)


def ours(hosts: int) -> None:
    from mininet.topo import LinearTopo

    from tcpclose.testbed.network import EmulatedNetwork
    from tcpclose.topology import read_topo

    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        with EmulatedNetwork(read_topo(LinearTopo(k=hosts)), 1, Path(folder)) as network:
            up = time.monotonic()
            check(network.net, hosts)
    print(begin, up)


def check(net: object, hosts: int) -> None:
    said = net.get("h1").cmd(f"ping -c 1 -W 20 10.0.0.{hosts}")  # type: ignore[attr-defined]
    if " 0% packet loss" not in said:
        raise RuntimeError(said)


def measure(maker: str, hosts: int) -> tuple[float, float]:
    """Seconds until the network was up, and until it was gone."""
    command = box_command([sys.executable, "-m", "benchmarks.networks", maker, str(hosts)])
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=PATIENCE)
    end = time.monotonic()
    begin, up = map(float, done.stdout.split())
    return up - begin, end - begin


def run(sizes: tuple[int, ...] = SIZES, repeat: int = 3) -> dict[str, object]:
    """The best of `repeat` runs of each."""
    results = {}
    for hosts in sizes:
        times = {maker: [measure(maker, hosts) for _ in range(repeat)] for maker in ("plain", "ours")}
        best = {maker: min(values, key=lambda value: value[1]) for maker, values in times.items()}
        results[str(hosts)] = {
            **{maker: {"up": round(up, 3), "all": round(all_, 3)} for maker, (up, all_) in best.items()},
            "ratio": round(best["plain"][1] / best["ours"][1], 2),
            "aim": AIMS.get(hosts),
        }
    return {"machine": {**machine(), "load": os.getloadavg()[0]}, "hosts": results}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--json", type=Path, metavar="FILE")
    words = parser.parse_args()
    if reason := why_no_box():
        sys.exit(str(reason))
    record = run(tuple(words.sizes), words.repeat)
    table = Table("hosts", "Mininet up", "all", "ours up", "all", "times faster", "aim", box=box.SIMPLE_HEAD)
    for hosts, result in record["hosts"].items():  # type: ignore[attr-defined]
        seconds = [f"{result[maker][what]:.2f} s" for maker in ("plain", "ours") for what in ("up", "all")]
        table.add_row(hosts, *seconds, f"{result['ratio']:.1f}", str(result["aim"] or ""))
    Console().print(table)
    if words.json:
        words.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ("plain", "ours"):
        {"plain": plain, "ours": ours}[sys.argv[1]](int(sys.argv[2]))
    else:
        main()
