"""Situations of connection release that stacks are tested for, seen from the network: ours in Linux's guise.

The device is a host with sockets, its numbers start at 100; the peer is played by hand, its numbers start at 300.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from netted import fails, state
from stacked import HERE, Hosted

from tcpclose.protocol.config import SECOND
from tcpclose.protocol.datagram import Endpoint, Pair
from tcpclose.protocol.sockets import Socket, Sockets

SYN_ACK = "<SEQ=100><ACK=301><CTL=SYN,ACK>"
OUR_ACK = "<SEQ=101><ACK=301><CTL=ACK>"
OUR_FIN = "<SEQ=101><ACK=301><CTL=FIN,ACK>"


class Device(Hosted):
    """A host with Linux's settings and a listening socket."""

    def __init__(self, backlog: int = 10, **settings: Any) -> None:
        super().__init__(**{"profile": "linux", "delayed_ack": 0, **settings})
        self.options = {"mss": 1000}
        self.sockets = Sockets(self.stack, HERE.address)
        self.listener = self.sockets.socket()
        self.listener.bind(HERE.port)
        self.listener.listen(backlog)

    def accepted(self, n: int = 0) -> Socket:
        """ESTABLISHED by the peer, with a socket."""
        self.established(n)
        return self.listener.accept(self.now)

    def connecting(self) -> Socket:
        """A socket whose SYN has left, for peer 0."""
        socket = self.sockets.socket()
        self.listener.close(self.now)
        socket.bind(HERE.port)
        with fails("EINPROGRESS"):
            socket.connect(self.pair().remote, self.now)
        self.sends("<SEQ=100><CTL=SYN>")
        return socket

    def answers(self, text: str, **options: Any) -> list[str]:
        """What the device sends at once when the segment comes."""
        self.stack.datagrams_to_send()
        self.hear(text, **options)
        return [str(datagram.segment).replace("PSH,", "") for datagram in self.stack.datagrams_to_send()]

    @property
    def is_gone(self) -> bool:
        """An ACK is answered by a RST."""
        return self.answers("<SEQ=301><ACK=777><CTL=ACK>") == ["<SEQ=777><CTL=RST>"]


@pytest.fixture
def device() -> Device:
    return Device()


# 1 to 3: opening and its errors


@pytest.mark.parametrize(("linger2", "gone"), [(1, True), (None, False)])
def test_fin_wait_2_timeout(device, linger2, gone):
    socket = device.accepted()
    if linger2:
        socket.set_option("TCP_LINGER2", linger2, 0)
    socket.close(0)
    device.sends(OUR_FIN)
    device.hear("<SEQ=301><ACK=102><CTL=ACK>")
    device.at(5 if linger2 else 10)
    assert device.answers("<SEQ=301><ACK=102><CTL=ACK>") == (["<SEQ=102><CTL=RST>"] if gone else [])


@pytest.mark.parametrize("ack", [100, 102])
def test_a_wrong_ack_in_syn_received(device, ack):
    assert device.answers("<SEQ=300><CTL=SYN>") == [SYN_ACK]
    assert device.answers(f"<SEQ=301><ACK={ack}><CTL=ACK>") == [f"<SEQ={ack}><CTL=RST>"]
    assert device.answers("<SEQ=301><ACK=101><CTL=ACK>") == []
    assert state(device.listener.accept(0)) == "ESTABLISHED"


ERRNOS = {
    "ENETUNREACH": (0, 6, 9, 11),
    "EHOSTUNREACH": (1, 10, 12, 13, 14, 15),
    "ENOPROTOOPT": (2,),
    "ECONNREFUSED": (3,),
    "EOPNOTSUPP": (5,),
    "EHOSTDOWN": (7,),
    "ENONET": (8,),
}


@pytest.mark.parametrize(("code", "errno"), [(code, errno) for errno, codes in ERRNOS.items() for code in codes])
def test_an_icmp_error_in_syn_sent(device, code, errno):
    """3 and 10: the attempt ends at once, with the error of the code."""
    socket = device.connecting()
    assert socket.option("SO_ERROR") is None
    device.stack.icmp_arrives(device.pair(), 100, 3, code, 0)
    assert (socket.option("SO_ERROR"), socket.option("SO_ERROR")) == (errno, None)
    assert device.is_gone


@pytest.mark.parametrize(("code", "errno"), [(0, "ENETUNREACH"), (3, "ECONNREFUSED")])
def test_an_icmp_error_explains_a_later_user_timeout(device, code, errno):
    socket = device.accepted()
    socket.set_option("TCP_USER_TIMEOUT", 50, 0)
    socket.write(b"x", 0)
    device.stack.icmp_arrives(device.pair(), 101, 3, code, 0)
    assert state(socket) == "ESTABLISHED"
    device.at(0.5)
    with fails(errno):
        socket.write(b"x", device.now)


# 4 to 6: what leaves when


def test_corked_text_leaves_in_full_segments(device):
    socket = device.accepted()
    socket.set_option("TCP_CORK", True, 0)
    for octets in (11, 11, 1001):
        socket.write(bytes(octets), 0)
    device.sends(f"{OUR_ACK}<DATA=1000>")
    device.hear("<SEQ=301><ACK=1101><CTL=ACK>")
    device.at(0.2)
    device.sends("<SEQ=1101><ACK=301><CTL=ACK><DATA=23>")


@pytest.mark.parametrize(
    ("peer", "then", "answers"),
    [
        ("<SEQ=301><ACK=102><CTL=FIN,ACK>", "CLOSING", ["<SEQ=103><ACK=302><CTL=ACK>"]),
        ("<SEQ=301><ACK=102><CTL=ACK>", "FIN-WAIT-1", []),
    ],
    ids=["FIN", "ACK"],
)
def test_a_fin_is_repeated(device, peer, then, answers):
    socket = device.accepted()
    socket.write(b"x", 0)
    device.at(0.01)
    device.hear("<SEQ=301><ACK=102><CTL=ACK>")  # the round trip is known
    device.stack.datagrams_to_send()
    socket.shutdown("WR", device.now)
    device.sends("<SEQ=102><ACK=301><CTL=FIN,ACK>")
    assert device.answers(peer) == answers
    assert state(socket) == then
    device.at(1)
    assert str(device.stack.datagrams_to_send()[0].segment).startswith("<SEQ=102>")


def test_the_window_of_the_last_handshake_segment_counts(device):
    device.hear("<SEQ=300><CTL=SYN>", wnd=0)
    device.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=32768)
    device.stack.datagrams_to_send()
    device.listener.accept(0).write(bytes(11), 0)
    device.sends(f"{OUR_ACK}<DATA=11>")


# 8: SO_LINGER


def test_linger_of_zero_is_a_reset(device):
    socket = device.accepted()
    socket.set_option("SO_LINGER", (True, 0), 0)
    socket.close(0)
    device.sends("<SEQ=101><ACK=301><CTL=RST,ACK>")


def test_linger_of_zero_after_shutdown(device):
    socket = device.accepted()
    socket.set_option("SO_LINGER", (True, 0), 0)
    socket.shutdown("RDWR", 0)
    device.sends(OUR_FIN)
    socket.close(0)
    device.sends("<SEQ=102><ACK=301><CTL=RST,ACK>")


@pytest.mark.parametrize("text", [b"", b"x"])
@pytest.mark.parametrize("shutdown", [False, True])
def test_a_lingering_close_waits_no_longer_than_it_is_told(device, text, shutdown):
    socket = device.accepted()
    socket.write(text, 0)
    socket.set_option("SO_LINGER", (True, 3), 0)
    if shutdown:
        socket.shutdown("WR", 0)
    with fails("EAGAIN"):
        socket.close(0)
    assert socket.linger_until == 3 * SECOND
    device.at(2.9)
    with fails("EAGAIN"):
        socket.close(device.now)
    device.at(3)
    socket.close(device.now)
    assert any("FIN" in str(datagram.segment) for datagram in device.stack.datagrams_to_send())


def test_close_without_linger_and_without_a_connection_is_immediate(device):
    device.accepted().close(0)
    device.sends(OUR_FIN)
    unconnected = device.sockets.socket()
    unconnected.set_option("SO_LINGER", (True, 3), 0)
    unconnected.close(0)


# 9 and 11: listeners


def test_a_backlog_that_is_full():
    device = Device(backlog=2)
    for n in range(4):
        device.half_open(n)
    for n in range(4):
        device.hear("<SEQ=301><ACK=101><CTL=ACK>", n)  # two find room
    assert [device.state(n) for n in range(4)] == ["ESTABLISHED"] * 2 + ["SYN-RECEIVED"] * 2
    assert device.answers("<SEQ=301><ACK=101><CTL=ACK>", n=5) == ["<SEQ=101><CTL=RST>"]  # of nobody
    assert device.answers("<SEQ=300><CTL=SYN>", n=6) == []
    device.at(1)
    assert {str(d.segment) for d in device.stack.datagrams_to_send()} == {SYN_ACK}  # asks for the ACK once more
    for _ in range(2):
        device.listener.accept(device.now).close(device.now)
    device.stack.datagrams_to_send()
    device.hear("<SEQ=301><ACK=101><CTL=ACK>", 2)
    assert [device.state(n) for n in (2, 3)] == ["ESTABLISHED", "SYN-RECEIVED"]
    device.listener.shutdown("RD", device.now)
    device.sends("<SEQ=101><ACK=301><CTL=RST,ACK>", n=2)
    assert [device.state(n) for n in (2, 3)] == ["CLOSED", "CLOSED"]


# 12 and 23: segments that are not acceptable

SYNS = ("SYN", "SYN,ACK")


@pytest.mark.parametrize("off", [0, 1, 2])
@pytest.mark.parametrize("what", ["SYN", "SYN,ACK", "ACK", "ACK><DATA=11"])
def test_outside_the_window(what, off):
    """A bare ACK at the very edge passes; the rest is answered, what has no text once in 500 ms."""
    device = Device(rcv_buffer=1000)
    device.accepted()
    ack = "" if what == "SYN" else "<ACK=101>"
    text = f"<SEQ={1301 + off}>{ack}<CTL={what}>"
    silent = what == "ACK" and off == 0
    assert device.answers(text) == ([] if silent else [OUR_ACK])
    assert device.answers(text) == ([OUR_ACK] if "DATA" in what else [])
    device.at(0.5)
    assert device.answers(text) == ([] if silent else [OUR_ACK])


@pytest.mark.parametrize("off", [0, 1, 2])
@pytest.mark.parametrize("what", SYNS)
def test_a_syn_outside_the_window_in_closing(what, off):
    device = Device(rcv_buffer=1000)
    device.accepted().shutdown("WR", 0)
    device.hear("<SEQ=301><ACK=101><CTL=FIN,ACK>")
    assert device.state() == "CLOSING"
    ack = "" if what == "SYN" else "<ACK=101>"
    assert device.answers(f"<SEQ={1302 + off}>{ack}<CTL={what}>") == ["<SEQ=102><ACK=302><CTL=ACK>"]


@pytest.mark.parametrize("off", [0, 1, 2])
def test_text_behind_the_window_or_acknowledging_the_unsent(off):
    device = Device(rcv_buffer=1000)
    socket = device.accepted()
    assert device.answers(f"<SEQ={1301 + off}><ACK=101><CTL=ACK><DATA=11>") == [OUR_ACK]
    taken = device.answers(f"<SEQ=301><ACK={101 + off}><CTL=ACK><DATA=11>")
    assert taken == ["<SEQ=101><ACK=312><CTL=ACK>"] if off == 0 else [OUR_ACK]
    if off == 0:
        assert socket.read(20, 0) == bytes(11)


@pytest.mark.parametrize("way", ["FIN-WAIT-2", "TIME-WAIT"])
@pytest.mark.parametrize("off", [1, 2])
def test_what_is_not_acceptable_late_in_life(way, off):
    device = Device(rcv_buffer=1000)
    device.accepted().shutdown("WR", 0)
    device.hear("<SEQ=301><ACK=102><CTL=ACK>")
    if way == "TIME-WAIT":
        device.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")
    assert device.state() == way
    nxt = 302 if way == "TIME-WAIT" else 301
    ours = f"<SEQ=102><ACK={nxt}><CTL=ACK>"
    assert device.answers(f"<SEQ={1300 + off + 1}><ACK=102><CTL=ACK><DATA=11>") == [ours]
    device.at(1)
    assert device.answers(f"<SEQ={nxt}><ACK={102 + off}><CTL=ACK>") == [ours]


def test_after_close_wait_text_is_reset(device):
    socket = device.accepted()
    device.hear("<SEQ=301><ACK=101><CTL=FIN,ACK>")
    assert state(socket) == "CLOSE-WAIT"
    socket.close(0)
    device.sends("<SEQ=101><ACK=302><CTL=ACK>", "<SEQ=101><ACK=302><CTL=FIN,ACK>")
    device.hear("<SEQ=302><ACK=102><CTL=ACK>")
    assert device.answers("<SEQ=302><ACK=102><CTL=ACK><DATA=11>") == ["<SEQ=102><CTL=RST>"]


# 13: PAWS


def test_paws():
    device = Device()
    device.options["timestamps"] = (7000, 0)
    device.accepted()
    device.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=5>", timestamps=(7100, 0))
    device.sends("<SEQ=101><ACK=306><CTL=ACK>")
    before = device.last.timestamps
    device.hear("<SEQ=306><ACK=101><CTL=ACK><DATA=5>", timestamps=(7000, 0))
    device.sends("<SEQ=101><ACK=306><CTL=ACK>")
    assert before == device.last.timestamps
    assert before[1] == 7100


# 14, 20, 21: before a connection is complete


def test_send_and_receive_in_syn_sent_wait_for_the_handshake(device):
    socket = device.connecting()
    for call in (lambda: socket.write(b"x", 0), lambda: socket.read(1, 0)):
        with fails("EAGAIN"):
            call()
    device.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>")
    device.sends(OUR_ACK)
    assert socket.write(b"x", 0) == 1
    device.sends(f"{OUR_ACK}<DATA=1>")
    device.hear("<SEQ=301><ACK=102><CTL=ACK><DATA=2>")
    assert socket.read(9, 0) == bytes(2)


@pytest.mark.parametrize("call", [lambda socket: socket.write(b"x", 0), lambda socket: socket.read(1, 0)])
def test_send_and_receive_in_syn_sent_are_refused(device, call):
    socket = device.connecting()
    device.hear("<SEQ=0><ACK=101><CTL=RST,ACK>")
    with fails("ECONNREFUSED"):
        call(socket)
    assert state(socket) == "CLOSED"
    assert device.is_gone


def test_a_reset_in_a_simultaneous_open(device):
    socket = device.connecting()
    assert device.answers("<SEQ=300><CTL=SYN>") == [SYN_ACK]
    device.hear("<SEQ=301><CTL=RST>")
    assert state(socket) == "CLOSED"
    assert device.is_gone


def test_a_reset_in_syn_received(device):
    device.half_open().hear("<SEQ=301><CTL=RST>")
    assert device.is_gone


def test_a_reset_in_time_wait(device):
    device.accepted().close(0)
    device.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")
    assert device.state() == "TIME-WAIT"
    device.hear("<SEQ=302><CTL=RST>")
    assert device.is_gone


# 16 to 18: buffers and retransmission


def test_what_finds_no_room_is_dropped(device):
    device.listener.set_option("SO_RCVBUF", 4096, 0)
    socket = device.accepted()
    for start in range(301, 301 + 4097, 1400):
        octets = min(1400, 301 + 4097 - start)
        device.hear(f"<SEQ={start}><ACK=101><CTL=ACK><DATA={octets}>")
    assert len(socket.read(9999, 0)) < 4097
    with fails("EAGAIN"):
        socket.read(1, 0)


def test_an_unacknowledged_segment_is_repeated_at_doubling_times(device):
    socket = device.accepted()
    socket.write(b"x", 0)
    device.sends(f"{OUR_ACK}<DATA=1>")
    at = 0.0
    for _ in range(5):
        rto = socket.option("TCP_INFO")["tcpi_rto"] / SECOND
        device.at(at + rto - 0.001)
        device.sends()
        at += rto
        device.at(at)
        device.sends(f"{OUR_ACK}<DATA=1>")
    assert socket.option("TCP_INFO")["tcpi_retransmits"] == 5


@pytest.mark.parametrize(("window", "first"), [(6, 6), (11, 11), (12, 11)])
def test_a_write_and_the_window(device, window, first):
    socket = device.accepted()
    socket.set_option("TCP_NODELAY", True, 0)
    device.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=window)
    socket.write(bytes(11), 0)
    if first < 11:
        device.sends()
        device.at(0.2)  # what the window cuts short waits a little for a wider one
    device.sends(f"{OUR_ACK}<DATA={first}>")
    left = 11 - first
    answer = device.answers(f"<SEQ=301><ACK={101 + first}><CTL=ACK><DATA=3>", wnd=window)
    assert answer == [f"<SEQ={101 + first}><ACK=304><CTL=ACK>{f'<DATA={left}>' if left else ''}"]


# 24 and 29: the user timeout


@pytest.mark.parametrize("text", [True, False], ids=["text", "FIN"])
@pytest.mark.parametrize(("timeout", "ack_at", "gone"), [(0, 3, False), (5000, 4, False), (5000, 7, True)])
def test_the_user_timeout(device, text, timeout, ack_at, gone):
    socket = device.accepted()
    socket.set_option("TCP_USER_TIMEOUT", timeout, 0)
    if text:
        socket.write(b"x", 0)
    else:
        socket.close(0)
    device.at(ack_at)
    assert device.answers("<SEQ=301><ACK=102><CTL=ACK>") == (["<SEQ=102><CTL=RST>"] if gone else [])


def test_the_user_timeout_of_probes_that_nobody_answers(device):
    socket = device.accepted()
    device.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=0)
    socket.write(b"x", 0)
    interval = socket.option("TCP_INFO")["tcpi_rto"]
    device.at(interval / SECOND)
    assert len(device.stack.datagrams_to_send()) == 1
    socket.set_option("TCP_USER_TIMEOUT", interval // 1000, device.now)
    device.at(8 * interval / SECOND)
    assert device.is_gone


# 25 to 28: windows that close


def test_a_window_that_closes_behind_two_segments(device):
    socket = device.accepted()
    socket.set_option("TCP_NODELAY", True, 0)
    for _ in range(2):
        socket.write(bytes(11), 0)
    device.sends(f"{OUR_ACK}<DATA=11>", "<SEQ=112><ACK=301><CTL=ACK><DATA=11>")
    device.hear("<SEQ=301><ACK=123><CTL=ACK>", wnd=0)
    socket.write(bytes(11), 0)
    device.sends()
    device.at(1)
    (probe,) = {str(d.segment) for d in device.stack.datagrams_to_send()}
    assert probe in ("<SEQ=123><ACK=301><CTL=ACK><DATA=1>", "<SEQ=122><ACK=301><CTL=ACK>")


def test_a_closed_window_of_ours_opens_in_one_step():
    """Less than a segment's room is not worth telling (3.8.6.2.2)."""
    device = Device(rcv_buffer=4000)
    socket = device.accepted()
    for start in range(301, 4301, 1000):
        device.hear(f"<SEQ={start}><ACK=101><CTL=ACK><DATA=1000>")
    device.sends(*(f"<SEQ=101><ACK={ack}><CTL=ACK>" for ack in range(1301, 4302, 1000)))
    assert device.last.wnd == 0
    socket.read(999, 0)
    device.sends()
    socket.read(1, 0)
    device.sends("<SEQ=101><ACK=4301><CTL=ACK>")
    assert device.last.wnd == 1000


def test_probes_come_at_doubling_times_as_long_as_they_are_answered(device):
    socket = device.accepted()
    device.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=0)
    device.at(2)
    device.sends()  # nothing waits, so nothing is asked
    socket.write(bytes(11), device.now)
    device.sends()
    times = []
    while len(times) < 5:
        device.at((device.stack.next_timeout() or 0) / SECOND)
        if device.stack.datagrams_to_send():
            times.append(device.now)
            device.hear("<SEQ=301><ACK=101><CTL=ACK>", wnd=0)
    gaps = [b - a for a, b in pairwise(times)]
    assert all(b >= 2 * a for a, b in pairwise(gaps))
    assert device.answers("<SEQ=301><ACK=101><CTL=ACK>") == [f"{OUR_ACK}<DATA=11>"]


def test_a_probe_of_the_peer_is_answered(device):
    device.accepted()
    assert device.answers("<SEQ=300><ACK=101><CTL=ACK>") == [OUR_ACK]


def test_the_peer_of_a_connect_is_who_answers(device):
    socket = device.connecting()
    stranger = Pair(HERE, Endpoint("192.0.2.9", 1000))
    device.stack.icmp_arrives(stranger, 100, 3, 3, 0)
    assert state(socket) == "SYN-SENT"
