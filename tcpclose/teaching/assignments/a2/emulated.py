"""A submission as the TCP of an emulated host: real segments, a real clock, and Linux's TCP for a peer.

The box stays with the grader, which answers for it while the run goes on. What a right submission does is simulated;
what a clock may change is not looked at: times, repetitions, and who was first where both were free.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread

from tcpclose.protocol.fsm import Cause, Table
from tcpclose.protocol.segment import ACK, FIN, PSH, RST, SYN, Segment, format_ctl, seq_diff
from tcpclose.scenario import Scenario
from tcpclose.simulator import simulate
from tcpclose.teaching.assignments.a2.foreign import Ask, ForeignStack, bounded
from tcpclose.teaching.assignments.a2.right import Right
from tcpclose.teaching.assignments.containment import Misbehaved, Raised
from tcpclose.teaching.assignments.grades import SubmissionError
from tcpclose.testbed.channel import Channel
from tcpclose.testbed.emulate import EmulationError, emulate
from tcpclose.topology import Network, load_network
from tcpclose.trace.events import Change, End, Trace
from tcpclose.wire import Malformed, decode_ethernet, decode_tcp, read_pcap

_ATTEMPTS = 2  # of a run that the machine has failed

#: A right one is done after three seconds. 2 MSL outlast the first repetitions of a peer's FIN, so that nothing depends
#: on which is over first.
_TEXT = """
topology = "two_hosts"
duration = "15s"
host.h1.tcp = {{ msl = "600ms" }}
host.h2 = {{ {peer} }}
connection.c1 = {{ client = "{client}", server = "{server}", port = 80 }}
"""
_LINUX, _OURS = 'stack = "linux"', 'tcp = { rto_min = "300ms" }'


@dataclass(frozen=True)
class Emulated:
    """A run with the submission on h1. Steps are written "MOMENT: HOST CALL", text is 100 octets."""

    name: str
    linux: bool
    client: str
    steps: tuple[str, ...]

    def scenario(self, simulated: bool) -> Scenario:
        """A kernel can only be emulated; in the simulator our own TCP is in its place."""
        peer = _LINUX if self.linux and not simulated else _OURS
        server = "h2" if self.client == "h1" else "h1"
        text = _TEXT.format(peer=peer, client=self.client, server=server)
        return Scenario.parse(text + "".join(map(_step, self.steps)))


#: After each step there is time for all that comes of it.
_TALK = ("h1.c1 sees CONNECTED: h1 send", "h2.c1 received 100: h2 send")
EMULATED = (
    Emulated(
        *("it closes first, against our TCP", False, "h1"),
        ("0s: h2 listen", "100ms: h1 open", *_TALK, "h1.c1 received 100: h1 close", "h2.c1 sees EOF: h2 close"),
    ),
    Emulated(
        *("Linux opens, and closes first", True, "h2"),
        ("0s: h1 listen", "100ms: h2 open", *_TALK, "h1.c1 received 100: h2 close", "h1.c1 sees EOF: h1 close"),
    ),
    Emulated(
        *("it aborts, against Linux", True, "h1"),
        ("0s: h2 listen", "100ms: h1 open", *_TALK, "h1.c1 received 100: h1 abort"),
    ),
    Emulated("Linux opens, and nobody listens", True, "h2", ("100ms: h2 open",)),
)


def _step(line: str) -> str:
    moment, host, call = line.replace(": ", " : ").rsplit(" ", 2)
    moment = moment.removesuffix(" :")
    when = f'at = "{moment}"' if moment[0].isdigit() else f'when = "{moment}"\nafter = "200ms"'
    what = "port = 80" if call == "listen" else 'connection = "c1"' + ("\nbytes = 100" if call == "send" else "")
    return f'[[step]]\n{when}\nhost = "{host}"\ncall = "{call}"\n{what}\n'


def fault(case: Emulated, table: Table, ask: Ask) -> str | None:
    """What is wrong with the engine behind `ask` on an emulated host, or None.

    Raises what `ask` raises, and `SubmissionError` when there can be no run.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return _difference(_emulated(case, ask), _simulated(case, table))
        except EmulationError as error:
            if attempt == _ATTEMPTS - 1:
                raise SubmissionError(f"no run on Mininet: {error}") from None
    return None


# ---- Both worlds


def _emulated(case: Emulated, ask: Ask) -> Seen:
    scenario = case.scenario(simulated=False)
    with tempfile.TemporaryDirectory(prefix="tcpclose-") as name:
        folder = Path(name)
        (folder / "scenario.toml").write_text(scenario.dump(), "utf-8")
        engine = _Answers(folder / "engine", ask)
        programs = {"h1": ("tcpclose.teaching.assignments.a2.agent", str(folder / "engine"))}
        try:
            with engine:
                trace = emulate(folder, programs=programs)
        except EmulationError:
            if engine.fault is None:
                raise
        if engine.fault is not None:
            raise engine.fault
        return Seen.of(trace, folder, load_network(scenario))


def _simulated(case: Emulated, table: Table) -> Seen:
    scenario = case.scenario(simulated=True)
    network = load_network(scenario)
    with tempfile.TemporaryDirectory(prefix="tcpclose-") as name:
        make = partial(ForeignStack, Right(table).answer)
        trace = simulate(scenario, network, Path(name), stacks={"h1": make})
        return Seen.of(trace, Path(name), network)


#: What nobody has called.
_NOBODYS = ("new", "segment", "time", "unreachable", "invalid_header")


class _Answers:
    """Answers the agent on the host by `ask`, until the run is over. `fault` is why it stopped before that."""

    def __init__(self, path: Path, ask: Ask) -> None:
        self.fault: Misbehaved | None = None
        self._ask = bounded(ask)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._thread = Thread(target=self._serve)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """The agent is gone, or never came."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the run is over
            stream, _ = self._listener.accept()
            with stream:
                self._answer_all(Channel(stream))

    def _answer_all(self, channel: Channel) -> None:
        try:
            while not channel.closed:
                for request in channel.hear():
                    reply = self._ask(request)
                    if reply["refused"] is not None and request["do"] in _NOBODYS:
                        raise Raised(f"refuses what is no call of its user: {reply['refused']}")
                    channel.tell(**reply)
        except Misbehaved as error:
            self.fault = error


# ---- What counts


@dataclass(frozen=True)
class Seen:
    """What a run shows of h1: each FIN and RST once, with numbers from both SYNs on."""

    released: tuple[str, ...]
    acknowledged: int
    states: tuple[str, ...]
    peer_told: tuple[str, ...]

    @classmethod
    def of(cls, trace: Trace, folder: Path, network: Network) -> Seen:
        """Of a trace, and the capture beside it."""
        released, acknowledged = _released(folder, network)
        states = [change.new for change in trace.of(Change) if change.host == "h1"]
        abrupt = [end.cause for end in trace.of(End) if end.host == "h2" and end.cause != str(Cause.GRACEFUL)]
        return cls(released, acknowledged, tuple(_once(states)), tuple(abrupt))


def _once(states: list[str]) -> Iterator[str]:
    return (state for was, state in zip(["", *states], states, strict=False) if state != was)


def _difference(seen: Seen, right: Seen) -> str | None:
    if seen.released != right.released:
        return f"sends other FINs and RSTs than it should: {'; '.join(seen.released) or 'none'}"
    if seen.acknowledged != right.acknowledged:
        return f"acknowledges {seen.acknowledged} sequence numbers of its peer, which is wrong"
    if seen.states != right.states:
        return f"goes through other states than it should: {', '.join(seen.states) or 'none'}"
    if seen.peer_told != right.peer_told:
        return f"its peer's user is not told what it should: {', '.join(seen.peer_told) or 'no error'}"
    return None


def _released(folder: Path, network: Network) -> tuple[tuple[str, ...], int]:
    """FINs and RSTs that h1 put on the wire, and how many numbers it has acknowledged."""
    zero = {"h1": 0, "h2": 0}
    found: dict[tuple[int, int], str] = {}
    most = 0
    for host, segment in _captured(folder, network):
        if segment.ctl & SYN:
            zero[host] = segment.seq
        if host == "h2":
            continue
        seq = seq_diff(segment.seq, zero["h1"])
        ack = seq_diff(segment.ack, zero["h2"]) if segment.ctl & ACK else None
        most = max(most, ack or 0)
        if kind := segment.ctl & (FIN | RST):
            shown = f"SEQ={seq} CTL={format_ctl(segment.ctl & ~PSH)}" + ("" if ack is None else f" ACK={ack}")
            found.setdefault((kind, seq), shown)
    return tuple(found.values()), most


def _captured(folder: Path, network: Network) -> Iterator[tuple[str, Segment]]:
    """Who sent which segment, as h1's interface had them."""
    for _, octets in read_pcap(folder / "h1-eth0.pcap"):
        with contextlib.suppress(Malformed):  # it is no TCP
            datagram = decode_tcp(decode_ethernet(octets).payload).datagram
            ours = datagram.src.address == network.own_addresses["h1"]
            yield "h1" if ours else "h2", datagram.segment
