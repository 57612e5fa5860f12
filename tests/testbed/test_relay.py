"""The relay: it does to real frames what `links.Line` says, and reports the segments that it loses."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from inside import InBox

from tcpclose.links import Line, LinkSettings, direction, link_random
from tcpclose.testbed.relay import Joint, Relay, RelayError

pytestmark = pytest.mark.testbed

PAIR = """
ip link add h1-eth0 type veth peer name relay-a
ip link add h2-eth0 type veth peer name relay-b
for name in h1-eth0 h2-eth0 relay-a relay-b; do
    echo 1 >/proc/sys/net/ipv6/conf/$name/disable_ipv6
    ip link set $name arp off up
done
"""


def joint(settings: LinkSettings) -> Joint:
    return Joint("h1-h2", ("h1", "h2"), ("relay-a", "relay-b"), settings)


@contextmanager
def pair(settings: LinkSettings) -> Iterator[tuple[Relay, socket.socket, socket.socket]]:
    """A relay between two interfaces, and packet sockets on these."""
    subprocess.run(["sh", "-ec", PAIR], check=True)
    first, second = (socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(2))
    for end, name in ((first, "h1-eth0"), (second, "h2-eth0")):
        end.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
        end.bind((name, 3))
        end.settimeout(5)
    relay = Relay(7, [joint(settings)])
    yield relay, first, second
    relay.close()


def frame(number: int, tcp: bool = True) -> bytes:
    """An Ethernet frame that passes for TCP in IPv4, with a number in it."""
    ethernet = b"\2\0\0\0\0\2" + b"\2\0\0\0\0\1" + b"\x08\x00"
    return ethernet + bytes(9) + (b"\x06" if tcp else b"\x01") + bytes(10) + number.to_bytes(4) + bytes(36)


def number(frame: bytes) -> int:
    return int.from_bytes(frame[34:38])


def take(end: socket.socket, pause: float = 0.3) -> list[int]:
    """The numbers of the frames that come until nothing has come for `pause` seconds."""
    end.settimeout(pause)
    numbers = []
    while True:
        try:
            numbers.append(number(end.recv(2000)))
        except TimeoutError:
            return numbers


def now() -> int:
    return time.monotonic_ns() // 1000


def frames_arrive_whole_in_order_and_not_before_the_delay() -> None:
    with pair(LinkSettings(delay=20_000)) as (_, first, second):
        for sender, receiver in ((first, second), (second, first)):
            sent = now()
            for count in range(50):
                sender.send(frame(count))
            assert [receiver.recv(2000) for _ in range(50)] == [frame(count) for count in range(50)]
            assert now() - sent >= 20_000


def the_fate_is_the_one_that_the_seed_gives() -> None:
    settings = LinkSettings(loss=0.3)
    with pair(settings) as (relay, first, second):
        for sender, receiver, way in ((first, second, direction("h1", "h2")), (second, first, direction("h2", "h1"))):
            line: Line[int] = Line(settings, link_random(7, "h1-h2", way))
            lost = [count for count in range(200) if line.offer(count, 74, 0)]
            for count in range(200):
                sender.send(frame(count))
            assert take(receiver) == [count for count in range(200) if count not in lost]
            reports = relay.losses()
            assert [number(report.frame) for report in reports] == lost
            assert {(report.link, report.reason) for report in reports} == {("h1-h2", "loss")}
            assert all(0 <= now() - report.t < 60_000_000 for report in reports)


def a_rate_lets_frames_queue_and_lose() -> None:
    with pair(LinkSettings(rate=74 * 8 * 100, queue=10)) as (relay, first, second):  # a frame takes 10 ms
        start = now()
        for count in range(15):
            first.send(frame(count))
        assert take(second) == list(range(10))
        assert now() - start >= 100_000
        assert {(number(report.frame), report.reason) for report in relay.losses()} == {
            (count, "queue") for count in range(10, 15)
        }


def a_cut_loses_what_is_in_flight() -> None:
    with pair(LinkSettings(delay=500_000)) as (relay, first, second):
        first.send(frame(1))
        second.send(frame(2))
        first.send(frame(3, tcp=False))
        time.sleep(0.1)
        ordered = now()
        taken = relay.fault("link_down", "h1-h2")
        assert ordered <= taken <= now()
        first.send(frame(4))
        time.sleep(0.1)
        relay.fault("link_up", "h1-h2")
        first.send(frame(5))
        assert take(second, 1) == [5]
        # What is no TCP segment is lost in silence.
        assert {(number(report.frame), report.reason) for report in relay.losses()} == {
            (count, "down") for count in (1, 2, 4)
        }


def a_silent_host_hears_but_is_not_heard() -> None:
    with pair(LinkSettings()) as (relay, first, second):
        relay.fault("silent", "h1")
        first.send(frame(1))
        second.send(frame(2))
        assert take(first) == [2]
        assert take(second) == []
        relay.fault("speaking", "h1")
        first.send(frame(3))
        assert take(second) == [3]
        assert [(number(report.frame), report.reason) for report in relay.losses()] == [(1, "silent")]


def errors_are_told() -> None:
    with pair(LinkSettings()) as (relay, _, _):
        for fault, target in (("link_sideways", "h1-h2"), ("link_down", "h1-h3"), ("silent", "h3")):
            with pytest.raises(RelayError, match=fault):
                relay.fault(fault, target)
        with pytest.raises(RelayError, match="interface gone: No such device"):
            Relay(1, [Joint("a-b", ("a", "b"), ("gone", "relay-b"), LinkSettings())])
        relay._process.kill()
        with pytest.raises(RelayError, match=r"the relay has ended \(exit status -9\)"):
            relay.fault("link_down", "h1-h2")


def nobody_need_read_the_reports() -> None:
    with pair(LinkSettings(loss=1)) as (relay, first, _):
        for count in range(3000):
            first.send(frame(count))
            if count % 100 == 0:
                time.sleep(0.005)
        relay.fault("link_down", "h1-h2")  # answered behind 3000 reports
        assert [number(report.frame) for report in relay.losses()] == list(range(3000))


def frames_that_come_too_fast_are_counted() -> None:
    with pair(LinkSettings()) as (relay, first, second):
        assert relay.overruns() == {}
        os.kill(relay._process.pid, signal.SIGSTOP)
        for count in range(50_000):
            first.send(frame(count))
        os.kill(relay._process.pid, signal.SIGCONT)
        second.settimeout(5)
        second.recv(2000)
        overruns = relay.overruns()
        assert list(overruns) == ["h1>h2"]
        assert relay.overruns() == overruns


@pytest.mark.parametrize(
    "what",
    [
        frames_arrive_whole_in_order_and_not_before_the_delay,
        the_fate_is_the_one_that_the_seed_gives,
        a_rate_lets_frames_queue_and_lose,
        a_cut_loses_what_is_in_flight,
        a_silent_host_hears_but_is_not_heard,
        errors_are_told,
        nobody_need_read_the_reports,
        frames_that_come_too_fast_are_counted,
    ],
)
def test_relay(in_box: InBox, what: Callable[[], None]):
    in_box(what)
