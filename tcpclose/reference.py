"""What every lab gives in the simulator, kept in `results/reference/` so that a change of it is seen.

summary.json    how each connection was released, and what each end did
figure.txt      each connection as a figure of RFC 9293
ladder.svg  states.svg

`results/README.md` shows them all. The same octets come out each time: its scenario decides a run in the simulator, and
pictures tell neither when nor with what they were made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tcpclose.runs import LABS, ROOT, complaints, write_whole
from tcpclose.scenario import Scenario
from tcpclose.simulator import simulate
from tcpclose.topology import load_network
from tcpclose.trace.drawing import draw
from tcpclose.trace.events import Text, Trace
from tcpclose.trace.figure import format_figure
from tcpclose.trace.flights import connections, flights
from tcpclose.trace.releases import releases
from tcpclose.trace.spans import outages

REFERENCE = ROOT / "results" / "reference"
GALLERY = ROOT / "results" / "README.md"


def scenarios() -> Iterator[tuple[str, Path]]:
    """The labs and the demonstration: name and scenario of each."""
    return ((path.parent.name, path) for path in sorted(LABS.glob("*/scenario.toml")))


def make(path: Path, folder: Path) -> None:
    """Run a scenario in the simulator and leave all of the above in a folder."""
    from tcpclose.charts import draw_ladder, draw_states

    scenario = Scenario.load(path)
    trace = simulate(scenario, load_network(scenario, str(path)))
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "summary.json", json.dumps(summarise(scenario, trace), indent=2) + "\n")
    write_whole(folder / "figure.txt", figures(trace))
    draw_ladder(trace, folder / "ladder.svg")
    draw_states(trace, folder / "states.svg")


def summarise(scenario: Scenario, trace: Trace) -> dict[str, Any]:
    """What a run came to; times in seconds. A connection that was opened again has a release for each time."""
    return {
        "title": scenario.title,
        "releases": [
            {
                "connection": release.connection,
                "incarnation": release.incarnation,
                "how": release.how or "open",
                "first": release.first,
                "action": release.action,
                "time to release": _seconds(release.duration),
                "outcomes": {host: release.outcome(host) for host in [*release.states, *release.causes]},
                "states": {host: list(states) for host, states in release.states.items()},
            }
            for release in releases(trace)
        ],
        "traffic": _traffic(trace),
        "faults": [
            {"name": outage.name, "from": _seconds(outage.start), "to": _seconds(outage.end)}
            for outage in outages(trace)
        ],
        "complaints": complaints(scenario, trace),
    }


def _seconds(time: int | None) -> float | None:
    return None if time is None else time / 1e6


def _traffic(trace: Trace) -> dict[str, dict[str, dict[str, int]]]:
    """By connection and host, what each end has sent, and what its user got."""
    sent = [flight for flight in flights(trace) if flight.sent and not flight.copy]
    traffic: dict[str, dict[str, dict[str, int]]] = {name: {} for name in connections(trace)}
    for text in trace.of(Text):
        mine = [flight for flight in sent if (flight.source, flight.connection) == (text.host, text.connection)]
        told = traffic[text.connection].get(text.host, {"octets sent": 0, "octets received": 0})
        traffic[text.connection][text.host] = {
            "segments": len(mine),
            "retransmissions": sum(flight.retransmission for flight in mine),
            "octets sent": told["octets sent"] + text.sent,
            "octets received": told["octets received"] + text.received,
        }
    return traffic


def figures(trace: Trace) -> str:
    """Each connection as a figure, with the numbers that were on the wire; or why there is none."""
    texts = []
    for name in connections(trace):
        try:
            figure = format_figure(draw(trace, name, absolute=True))
        except ValueError as error:
            figure = f"    {error}\n"
        texts.append(f"Connection {name}\n\n{figure}")
    return "\n\n".join(texts)


def gallery(place: Path = REFERENCE) -> str:
    """`results/README.md`: every picture, and the command that gives it."""
    parts = [
        "# What the labs give\n\n"
        "Runs in the simulator, made by `./lab reference`; CI makes them again and compares every octet. Pictures of\n"
        "a run of yours, on Mininet or with other settings, lie in its folder in `runs/`.\n"
    ]
    for name, path in scenarios():
        summary = json.loads((place / name / "summary.json").read_text(encoding="utf-8"))
        command = "./lab demo" if name == "demo" else f"./lab run {name}"
        told = []
        for release in summary["releases"]:
            who = f", {release['first']} first ({release['action']})" if release["first"] else ""
            told.append(f"* `{release['connection']}`: {release['how']}{who}")
        handout = f"[Handout](../labs/{name}/README.md), " if (path.parent / "README.md").exists() else ""
        here = f"reference/{name}"
        parts.append(
            f"## {name}: {summary['title']}\n\n"
            f"```sh\n{command} --world sim\n```\n\n"
            + "\n".join(told)
            + f"\n\n{handout}[summary]({here}/summary.json), [figure]({here}/figure.txt),"
            f" [states over time]({here}/states.svg)\n\n"
            f"![The ladder of {name}]({here}/ladder.svg)\n"
        )
    return "\n".join(parts)
