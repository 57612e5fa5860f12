"""How true and how fast the links of the testbed are: `python -m benchmarks.links`, in a box of its own.

Two kernels talk through the relay, and beside it over a bare pair of interfaces, in the same run: round trips of `ping`
against the delay that was ordered, the share of datagrams lost against the loss that was ordered, TCP's throughput, and
small datagrams a second. Offloads are off, as in every network of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, quantiles

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import machine
from tcpclose.links import LinkSettings
from tcpclose.testbed.box import box_command, why_no_box
from tcpclose.testbed.relay import Joint, Relay

RELAYED, BARE = "10.0.0", "10.1.0"
PORT = 5000
PIECE = bytes(65536)
SMALL = bytes(18)  # the shortest frame there is

_SETUP = """
for host in h1 h2; do ip netns add $host; done
ip link add relay-a type veth peer name relayed netns h1
ip link add relay-b type veth peer name relayed netns h2
ip -n h1 link add bare type veth peer name bare netns h2
for end in relay-a relay-b; do
    echo 1 >/proc/sys/net/ipv6/conf/$end/disable_ipv6
    ethtool -K $end rx off tx off sg off tso off gso off gro off >/dev/null
    ip link set $end arp off up
done
for number in 1 2; do
    host=h$number peer=$((3 - number))
    ip netns exec $host sysctl -q net.ipv6.conf.all.disable_ipv6=1 net.ipv4.ping_group_range='0 0'
    for name in relayed bare; do
        net=$([ $name = bare ] && echo 1 || echo 0)
        ip netns exec $host ethtool -K $name rx off tx off sg off tso off gso off gro off >/dev/null
        ip -n $host link set $name address 02:00:00:00:0$net:0$number up
        ip -n $host address add 10.$net.0.$number/24 dev $name
        ip -n $host neigh replace 10.$net.0.$peer lladdr 02:00:00:00:0$net:0$peer dev $name nud permanent
    done
done
"""


# ---- Who talks


def _on(host: str, *argv: str) -> list[str]:
    return ["ip", "netns", "exec", host, *argv]


@contextmanager
def _end(host: str, role: str, *args: str) -> Iterator[subprocess.Popen[str]]:
    """One of `ROLES` at work on a host, until the context is left."""
    command = _on(host, sys.executable, "-m", "benchmarks.links", "--role", role, *args)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _sink_stream() -> None:
    """Take one TCP connection's text; octets and seconds."""
    with socket.create_server(("", PORT)) as server:
        print("ready", flush=True)
        server.settimeout(5)
        connection = server.accept()[0]
    connection.settimeout(5)
    octets, start = 0, time.monotonic()
    while text := connection.recv(len(PIECE)):
        octets += len(text)
    print(octets, time.monotonic() - start, flush=True)


def _send_stream(address: str, seconds: str) -> None:
    with socket.create_connection((address, PORT)) as connection:
        end = time.monotonic() + float(seconds)
        while time.monotonic() < end:
            connection.sendall(PIECE)


def _sink_datagrams() -> None:
    """Take datagrams until none has come for half a second; how many, and the seconds from first to last."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.setsockopt(socket.SOL_SOCKET, 33, 1 << 25)  # SO_RCVBUFFORCE
        sink.bind(("", PORT))
        print("ready", flush=True)
        sink.settimeout(5)
        sink.recv(100)
        sink.settimeout(0.5)
        count, start, last = 1, time.monotonic(), time.monotonic()
        try:
            while sink.recv(100):
                count += 1
                last = time.monotonic() if count % 64 == 0 else last
        except TimeoutError:
            print(count, last - start, flush=True)


def _send_datagrams(address: str, count: str, burst: str) -> None:
    """`burst` datagrams each millisecond; 0 sends all at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
        source.connect((address, PORT))
        for number in range(int(count)):
            source.send(SMALL)
            if int(burst) and number % int(burst) == 0:
                time.sleep(0.001)


ROLES: dict[str, Callable[..., None]] = {
    "sink-stream": _sink_stream,
    "send-stream": _send_stream,
    "sink-datagrams": _sink_datagrams,
    "send-datagrams": _send_datagrams,
}


# ---- What is measured


@contextmanager
def relay(settings: LinkSettings) -> Iterator[Relay]:
    """A relay between the two hosts."""
    running = Relay(1, [Joint("h1-h2", ("h1", "h2"), ("relay-a", "relay-b"), (settings, settings))])
    try:
        yield running
    finally:
        running.close()


def round_trips(net: str, count: int, nominal: float) -> dict[str, float]:
    """Milliseconds that `count` pings took more than `nominal`: the mean and the 99th percentile."""
    command = _on("h1", "ping", "-n", "-i", "0.01", "-c", str(count), f"{net}.2")
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    errors = [float(found) - nominal for found in re.findall(r"time=([\d.]+) ms", said)]
    return {"mean error, ms": mean(errors), "p99 error, ms": quantiles(errors, n=100)[98]}


def share_lost(net: str, count: int) -> float:
    """The share of datagrams that did not arrive, ten a millisecond at most."""
    arrived, _ = _flow("sink-datagrams", "send-datagrams", f"{net}.2", str(count), "10")
    return 1 - arrived / count


def datagrams(net: str, count: int) -> float:
    """Small datagrams a second that arrive when they are sent as fast as can be."""
    amount, seconds = _flow("sink-datagrams", "send-datagrams", f"{net}.2", str(count), "0")
    return amount / seconds


def megabits(net: str, seconds: float) -> float:
    """Mbit/s of text in one TCP connection."""
    octets, taken = _flow("sink-stream", "send-stream", f"{net}.2", str(seconds))
    return octets / taken * 8 / 1e6


def _flow(sink: str, source: str, *args: str) -> tuple[float, float]:
    """What the sink has taken, and in how many seconds."""
    with _end("h2", sink) as receiver:
        assert receiver.stdout is not None
        receiver.stdout.readline()
        with _end("h1", source, *args):
            amount, seconds = receiver.stdout.readline().split()  # fails when it gave up, and said why
    return float(amount), float(seconds)


def measure(scale: float) -> dict[str, dict[str, float]]:
    """All figures; only inside a box. `scale` makes it all shorter, or longer."""
    subprocess.run(["sh", "-ec", _SETUP], check=True)
    count, seconds, many = max(20, round(500 * scale)), 2 * scale, max(500, round(200_000 * scale))
    results: dict[str, dict[str, float]] = {"RTT, bare": round_trips(BARE, count, 0)}
    for nominal in (0, 1, 10, 100):
        with relay(LinkSettings(delay=nominal * 500)):
            results[f"RTT, {nominal} ms"] = round_trips(RELAYED, count, nominal)
    for share in (0.01, 0.1):
        with relay(LinkSettings(loss=share)):
            lost = share_lost(RELAYED, many // 4)
            deviation = (share * (1 - share) / (many // 4)) ** 0.5
            results[f"loss, {share:.0%}"] = {"share": lost, "standard deviations off": (lost - share) / deviation}
    results["TCP, bare"] = {"Mbit/s": megabits(BARE, seconds)}
    results["datagrams, bare"] = {"a second": datagrams(BARE, many)}
    for nominal in (0, 10):
        with relay(LinkSettings(delay=nominal * 500)) as running:
            results[f"TCP, {nominal} ms"] = {"Mbit/s": megabits(RELAYED, seconds)}
            results[f"datagrams, {nominal} ms"] = {"a second": datagrams(RELAYED, many)}
            running.reports()
    for name, result in results.items():
        kind = name.split(",")[0]
        if kind in ("TCP", "datagrams"):
            unit, value = next(iter(result.items()))
            result["of bare"] = value / results[f"{kind}, bare"][unit]
    return results


# ---- What is told


def table(results: dict[str, dict[str, float]]) -> Table:
    """The figures for people."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("", "", "", "", ""):
        shown.add_column(column, justify="right" if shown.columns else "left", no_wrap=True)
    for name, result in results.items():
        cells = [text for unit, value in result.items() for text in (f"{value:,.4g}", unit)]
        shown.add_row(name, *cells)
    return shown


def run(scale: float) -> dict[str, object]:
    """`measure` in a box of its own. Raises `RuntimeError` where there can be none."""
    if reason := why_no_box():
        raise RuntimeError(reason)
    command = box_command([sys.executable, "-m", "benchmarks.links", "--inside", "--scale", str(scale)])
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    load = os.getloadavg()[0]  # these are seconds by the wall: with others at work on the machine they tell little
    return {"machine": machine() | {"load": load}, "results": json.loads(said.splitlines()[-1])}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.links", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="make all of them shorter or longer")
    parser.add_argument("--json", type=Path, default=Path("results/runs/bench-links.json"), metavar="FILE")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        ROLES[options.role[0]](*options.role[1:])
    elif options.inside:
        print(json.dumps(measure(options.scale)))
    else:
        report = run(options.scale)
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n")
        results = report["results"]
        assert isinstance(results, dict)
        console = Console(width=max(Console().width, 100))
        console.print(table(results))
        console.print(f"{report['machine']}", style="dim", soft_wrap=True, highlight=False)
        console.print(options.json, soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
