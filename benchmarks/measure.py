"""What is measured. Each function does its work once and returns how much of it per second, or octets for each.

Seconds are CPU time of this process, so that other programs on the machine disturb little. Two figures tell how fast
the machine is: an empty loop, and the kernel's own TCP doing the same work over loopback.
"""

from __future__ import annotations

import gc
import socket
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import captures
from tcpclose.classify import classify
from tcpclose.drill.runner import Wishes, run_text
from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.connection import Connection
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.fsm import State
from tcpclose.protocol.segment import ACK, FIN, SYN, Segment
from tcpclose.protocol.stack import Pair, Stack
from tcpclose.scenario import Scenario
from tcpclose.simulator import simulate
from tcpclose.topology import load_network

CONFIG = TcpConfig()
KILOBYTE, PIECE = bytes(1000), bytes(65536)


def per_second(amount: int, work: Callable[[], object]) -> float:
    """`amount` of something, done by `work`: how much of it in a second."""
    gc.collect()
    start = time.process_time_ns()
    work()
    return amount * 1e9 / max(time.process_time_ns() - start, 1)


# The machine


def loop(size: int) -> float:
    """Additions modulo 2**32 a second, in the simplest loop."""

    def work() -> None:
        number = 0
        for step in range(size):
            number = (number + step) % 2**32

    return per_second(size, work)


# Two connections, nothing between them


def pump(one: Connection, other: Connection) -> int:
    """Carry segments to and fro until both are silent; how many there were."""
    carried = 0
    while True:
        there, back = one.segments_to_send(), other.segments_to_send()
        if not there and not back:
            return carried
        carried += len(there) + len(back)
        for segment in there:
            other.segment_arrives(segment, 0)
        for segment in back:
            one.segment_arrives(segment, 0)


def connected() -> tuple[Connection, Connection]:
    """A client and a server, ESTABLISHED."""
    client, server = Connection(CONFIG, 100), Connection(CONFIG, 300)
    server.open(0, passive=True)
    client.open(0)
    pump(client, server)
    return client, server


def whole_connection() -> None:
    """Handshake, a kilobyte each way, and a release in four segments."""
    client, server = connected()
    for end, other in ((client, server), (server, client)):
        end.send(KILOBYTE, 0)
        pump(client, server)
        other.receive(0)
    for end in (client, server):
        end.close(0)
        pump(client, server)
        end.news()
    server.news()
    if (client.state, server.state) != (State.TIME_WAIT, State.CLOSED):
        raise RuntimeError(f"the release led to {client.state} and {server.state}")


def connections_direct(size: int) -> float:
    """Complete connections a second, between two bare `Connection`s."""

    def work() -> None:
        for _ in range(size):
            whole_connection()

    return per_second(size, work)


def bulk(octets: int) -> float:
    """Octets a second from one `Connection` to another, whose user reads at once."""
    client, server = connected()
    pieces = -(-octets // len(PIECE))

    def work() -> None:
        for _ in range(pieces):
            client.send(PIECE, 0)
            while there := client.segments_to_send():
                for segment in there:
                    server.segment_arrives(segment, 0)
                server.receive(0)
                for segment in server.segments_to_send():
                    client.segment_arrives(segment, 0)
            client.news()
            server.news()

    return per_second(pieces * len(PIECE), work)


def segments(size: int) -> float:
    """Segments a second through one `Connection`: full ones arrive in order, and are acknowledged and read."""
    _, server = connected()
    tcb, text = server.tcb, bytes(1460)
    arriving = [Segment(tcb.rcv_nxt + n * len(text), tcb.snd_nxt, ACK, 65535, text) for n in range(size)]

    def work() -> None:
        for segment in arriving:
            server.segment_arrives(segment, 0)
            server.receive(0)
            server.segments_to_send()
            server.news()

    return per_second(size, work)


# A host with many

HERE = Endpoint("192.0.2.1", 80)


def peers(size: int) -> Iterator[Endpoint]:
    for number in range(size):
        yield Endpoint(f"198.51.{number >> 8 & 255}.{number & 255}", 1024 + number % 60000)


def hear(stack: Stack, peer: Endpoint, seq: int, ack: int, ctl: int) -> None:
    stack.segment_arrives(Datagram(peer, HERE, Segment(seq, ack, ctl, 65535)), 0)
    stack.datagrams_to_send()
    stack.news()


def _octets_each(size: int, reach: Callable[[Stack, Endpoint], None]) -> float:
    """Octets of memory for each connection that `reach` takes somewhere, the names of the sockets included."""
    stack = Stack(CONFIG, b"secret", lambda pair: 100)
    stack.listen(HERE.port)
    reach(stack, Endpoint("203.0.113.1", 1))  # what is made only once shall not count
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for peer in peers(size):
        reach(stack, peer)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / size


def _establish(stack: Stack, peer: Endpoint) -> None:
    hear(stack, peer, 300, 0, SYN)
    hear(stack, peer, 301, 101, ACK)


def _close(stack: Stack, peer: Endpoint) -> None:
    _establish(stack, peer)
    stack.close(Pair(HERE, peer), 0)
    hear(stack, peer, 301, 102, ACK)
    hear(stack, peer, 301, 102, ACK | FIN)


def idle_octets(size: int) -> float:
    """Octets for each ESTABLISHED connection that does nothing."""
    return _octets_each(size, _establish)


def time_wait_octets(size: int) -> float:
    """Octets for each connection in TIME-WAIT."""
    return _octets_each(size, _close)


# In the simulator

_HEAD = """
topology = "two_hosts"
duration = "60s"
[[step]]
at = "0s"
host = "h2"
call = "listen"
port = 80
"""
_CONNECTION = """
[connection.{name}]
client = "h1"
server = "h2"
port = 80
client_port = {port}
"""
_STEP = """
[[step]]
when = "{when}"
host = "{host}"
connection = "{name}"
call = "{call}"
"""


def scenario(size: int) -> Scenario:
    """`size` connections, one every millisecond: a kilobyte each way, then both close."""
    text = _HEAD
    for number in range(size):
        name = f"c{number}"
        text += _CONNECTION.format(name=name, port=10000 + number)
        text += _STEP.replace('when = "{when}"', f'at = "{number}ms"').format(host="h1", name=name, call="open")
        for when, host, call in (
            (f"h1.{name} sees CONNECTED", "h1", "send"),
            (f"h2.{name} received 1000", "h2", "send"),
            (f"h1.{name} received 1000", "h1", "close"),
            (f"h2.{name} sees EOF", "h2", "close"),
        ):
            text += _STEP.format(when=when, host=host, name=name, call=call)
            text += "bytes = 1000\n" if call == "send" else ""
    return Scenario.parse(text)


def connections_simulated(size: int) -> float:
    """Complete connections a second in the simulator, trace included, TIME-WAIT cut off by the end of the run."""
    plan = scenario(size)
    network = load_network(plan)
    return per_second(size, lambda: simulate(plan, network))


# The kernel, for comparison


def connections_kernel(size: int) -> float:
    """Complete connections a second through the kernel's TCP over loopback, from this same process."""

    def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for _ in range(size):
                with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as server:
                    for end, other in ((client, server), (server, client)):
                        end.sendall(KILOBYTE)
                        _read(other, len(KILOBYTE))
                    client.shutdown(socket.SHUT_WR)
                    _read(server, 1)
                    server.close()
                    _read(client, 1)

    return per_second(size, work)


def bulk_kernel(octets: int) -> float:
    """Octets a second through the kernel's TCP over loopback, from this same process."""
    pieces = -(-octets // len(PIECE))

    def work() -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()) as client,
            listener.accept()[0] as server,
        ):
            for _ in range(pieces):
                client.sendall(PIECE)
                _read(server, len(PIECE))

    return per_second(pieces * len(PIECE), work)


def _read(end: socket.socket, octets: int) -> None:
    """That many octets, or all up to the end of the stream."""
    while octets > 0 and (text := end.recv(octets)):
        octets -= len(text)


# Captures


def packets_classified(size: int) -> float:
    """Packets a second of a capture with every kind of release; its compiled code is loaded before."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capture.pcap"
        packets = len(captures.generate(path, size))
        classify(path)
        return per_second(packets, lambda: classify(path))


# packetdrill scripts

SCRIPT = """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1460,sackOK,nop,nop,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 8>
+.1 < . 1:1(0) ack 1 win 257
+0 accept(3, ..., ...) = 4
+0 write(4, ..., 1000) = 1000
+0 > P. 1:1001(1000) ack 1
+.1 < . 1:1(0) ack 1001 win 257
+0 close(4) = 0
+0 > F. 1001:1001(0) ack 1
+.1 < F. 1:1(0) ack 1002 win 257
+0 > . 1002:1002(0) ack 2
"""


def scripts(size: int) -> float:
    """Short scripts that are read, run and judged in a second."""

    def work() -> None:
        for _ in range(size):
            verdict = run_text(SCRIPT, "benchmark", Wishes(profile="linux"))
            assert verdict.outcome == "passed", verdict.message

    return per_second(size, work)
