"""The kernel's TCP seen from outside: packets and `sock_diag` are made up here, so that they may contradict."""

from __future__ import annotations

import struct
import time

import pytest

from tcpclose import runs
from tcpclose.host import Names
from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.fsm import Event
from tcpclose.protocol.segment import parse_segment
from tcpclose.protocol.stack import Pair
from tcpclose.scenario import Scenario
from tcpclose.testbed import watch as module
from tcpclose.testbed.watch import Watch
from tcpclose.trace.events import Change, End, Received, Sent, Trace
from tcpclose.wire import encode_tcp

SCENARIO = Scenario.parse("""
topology = "two_hosts"
duration = "9s"
[connection.c1]
client = "h1"
server = "h2"
port = 80
""")
ADDRESSES = {"h1": "10.0.0.1", "h2": "10.0.0.2"}
HERE, THERE = Endpoint("10.0.0.1", 40001), Endpoint("10.0.0.2", 80)
OPENED = "><SEQ=9><CTL=SYN> <<SEQ=49><ACK=10><CTL=SYN,ACK> ><SEQ=10><ACK=50><CTL=ACK>"
ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, TIME_WAIT = 1, 4, 5, 6  # as the kernel numbers them


class Kernel:
    """A wire and a `sock_diag`, both at the test's command."""

    def __init__(self):
        self.packets, self.state = [], 0

    def heard(self, lines):
        for line in lines.split():
            segment = parse_segment(line[1:])
            segment.wnd = 1000
            src, dst = (HERE, THERE) if line[0] == ">" else (THERE, HERE)
            self.packets.append((4 if line[0] == ">" else 0, encode_tcp(Datagram(src, dst, segment), 1)))

    def recvmsg(self, *_):
        if not self.packets:
            raise BlockingIOError
        outgoing, octets = self.packets.pop(0)
        stamp = struct.pack("qq", *divmod(time.time_ns(), 1_000_000_000))
        return octets, [(1, 35, stamp)], 0, ("h1-eth0", 0x0800, outgoing)

    def get_sock_stats(self, family):
        ends = {"idiag_src": HERE.address, "idiag_sport": HERE.port, "idiag_dst": THERE.address, "idiag_dport": 80}
        return [{**ends, "idiag_state": self.state}] if self.state else []

    def bind(self, *_): ...
    def setblocking(self, *_): ...
    def setsockopt(self, *_): ...


@pytest.fixture
def kernel(monkeypatch):
    made = Kernel()
    monkeypatch.setattr(module.socket, "socket", lambda *_: made)
    monkeypatch.setattr(module, "DiagSocket", lambda: made)
    return made


@pytest.fixture
def watch(kernel):
    watch = Watch("h1", Names(SCENARIO, "h1", ADDRESSES), ADDRESSES["h1"], TcpConfig(), lambda pair: None)
    kernel.heard(OPENED)
    kernel.state = ESTABLISHED
    watch.look(1000)
    return watch


def changes(watch):
    return [(c.new, c.event, c.source) for c in watch.events() if isinstance(c, Change)]


def test_the_kernel_confirms_the_state_that_it_was_seen_in(watch):
    events = watch.events()
    assert [type(event) for event in events] == [Sent, Received, Sent, Change, Change]
    assert [(c.new, c.source) for c in events[3:]] == [
        ("SYN-SENT", "packets"),  # over before anybody could ask
        ("ESTABLISHED", "packets, sock_diag"),
    ]
    assert {event.connection for event in events} == {"c1"}


def test_a_call_is_known_before_its_segment(watch, kernel):
    watch.events()
    watch.called(Pair(HERE, THERE), Event.CLOSE, 2000)
    kernel.heard("><SEQ=10><ACK=50><CTL=FIN,ACK>")
    kernel.state = FIN_WAIT_1
    watch.look(2100)
    assert changes(watch) == [("FIN-WAIT-1", "CLOSE", "call, sock_diag")]


def test_the_kernel_is_believed_when_it_says_the_same_twice(watch, kernel):
    """Once may be a packet that is about to be read."""
    watch.events()
    kernel.state = FIN_WAIT_2  # nobody has sent a FIN
    watch.look(2000)
    assert changes(watch) == []
    kernel.state = ESTABLISHED
    watch.look(3000)
    kernel.state = FIN_WAIT_2
    watch.look(4000)
    assert changes(watch) == []
    watch.look(5000)
    events = watch.events()
    assert [(c.old, c.new, c.event, c.source) for c in events] == [
        ("ESTABLISHED", "FIN-WAIT-2", "disagreement", "sock_diag")
    ]
    assert runs.complaints(SCENARIO, Trace(events)) == [
        "h1 c1: ESTABLISHED by its packets, but FIN-WAIT-2 by its kernel"
    ]
    watch.look(6000)
    assert watch.events() == []


def test_an_end_in_silence(watch, kernel):
    """TIME-WAIT is over when the kernel knows nothing of it any more."""
    kernel.heard("><SEQ=10><ACK=50><CTL=FIN,ACK> <<SEQ=50><ACK=11><CTL=FIN,ACK> ><SEQ=11><ACK=51><CTL=ACK>")
    kernel.state = TIME_WAIT
    watch.look(2000)
    assert watch.quiet
    assert watch.next_look is not None
    watch.events()
    kernel.state = 0
    watch.look(3000)
    watch.look(4000)
    change, end = watch.events()
    assert (change.t, change.event, change.source) == (4000, "TIME_WAIT_TIMEOUT", "sock_diag")
    assert isinstance(end, End)
    assert end.cause == "graceful"
    assert watch.next_look is None


def test_a_reset_that_was_sent_is_explained_by_what_the_user_was_told(kernel):
    told = {Pair(HERE, THERE): Event.KEEPALIVE_TIMEOUT}
    watch = Watch("h1", Names(SCENARIO, "h1", ADDRESSES), ADDRESSES["h1"], TcpConfig(), told.get)
    kernel.heard(f"{OPENED} ><SEQ=10><ACK=50><CTL=RST,ACK>")
    watch.look(1000)
    *_, change, end = watch.events()
    assert (change.new, change.event) == ("CLOSED", "KEEPALIVE_TIMEOUT")
    assert end.cause == "keepalive failed"
