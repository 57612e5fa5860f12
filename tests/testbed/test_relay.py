"""The relay: it does to real frames what `links.Line` says, and reports what it does to segments."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from inside import InBox

from tcpclose.links import Deed, Line, LinkSettings, Parties, direction, link_random, read_fate
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.segment import ACK, FIN, Segment
from tcpclose.testbed.relay import Joint, Relay, RelayError
from tcpclose.wire import Malformed, decode_ethernet, decode_tcp, encode_tcp, ethernet_header

pytestmark = pytest.mark.testbed

PAIR = """
ip link add h1-eth0 type veth peer name relay-a
ip link add h2-eth0 type veth peer name relay-b
for name in h1-eth0 h2-eth0 relay-a relay-b; do
    echo 1 >/proc/sys/net/ipv6/conf/$name/disable_ipv6
    ip link set $name arp off up
done
"""


ENDS = Endpoint("10.0.0.1", 40001), Endpoint("10.0.0.2", 80)
PARTIES = Parties({"10.0.0.1": "h1", "10.0.0.2": "h2"}, {frozenset(ENDS): "c1"})


@contextmanager
def pair(
    settings: LinkSettings, back: LinkSettings | None = None, **fates: str
) -> Iterator[tuple[Relay, socket.socket, socket.socket]]:
    """A relay between two interfaces, and packet sockets on these."""
    subprocess.run(["sh", "-ec", PAIR], check=True)
    first, second = (socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(2))
    for end, name in ((first, "h1-eth0"), (second, "h2-eth0")):
        end.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
        end.bind((name, 3))
        end.settimeout(5)
    rules: Any = fates
    read = tuple(read_fate(text, action) for action, text in rules.items())
    joint = Joint("h1-h2", ("h1", "h2"), ("relay-a", "relay-b"), (settings, back or settings), read)
    relay = Relay(7, [joint], PARTIES)
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
    return [number(frame) for frame in takes(end, pause)]


def segment(text: bytes, ctl: int = ACK, back: bool = False) -> bytes:
    """An Ethernet frame with a real TCP segment between h1 and h2."""
    src, dst = reversed(ENDS) if back else ENDS
    octets = encode_tcp(Datagram(src, dst, Segment(100, 300, ctl, 1000, text)), 1)
    return ethernet_header("02:00:00:00:00:02", "02:00:00:00:00:01") + octets


def takes(end: socket.socket, pause: float = 0.3) -> list[bytes]:
    """The frames that come until nothing has come for `pause` seconds."""
    end.settimeout(pause)
    frames = []
    with contextlib.suppress(TimeoutError):
        while True:
            frames.append(end.recv(2000))
    return frames


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
            line: Line[int] = Line(settings, link_random(7, "h1-h2", way), lambda frame, place: frame)
            lost = [count for count in range(200) if line.offer(count, 74, 0)]
            for count in range(200):
                sender.send(frame(count))
            assert take(receiver) == [count for count in range(200) if count not in lost]
            reports = relay.reports()
            assert [number(report.frame) for report in reports] == lost
            assert {(report.link, report.deed) for report in reports} == {("h1-h2", Deed("loss"))}
            assert all(0 <= now() - report.t < 60_000_000 for report in reports)


def a_rate_lets_frames_queue_and_lose() -> None:
    with pair(LinkSettings(rate=74 * 8 * 100, queue=10)) as (relay, first, second):  # a frame takes 10 ms
        start = now()
        for count in range(15):
            first.send(frame(count))
        assert take(second) == list(range(10))
        assert now() - start >= 100_000
        assert {(number(report.frame), report.deed.what) for report in relay.reports()} == {
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
        assert {(number(report.frame), report.deed.what) for report in relay.reports()} == {
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
        assert [(number(report.frame), report.deed.what) for report in relay.reports()] == [(1, "silent")]


def errors_are_told() -> None:
    with pair(LinkSettings()) as (relay, _, _):
        for fault, target in (("link_sideways", "h1-h2"), ("link_down", "h1-h3"), ("silent", "h3")):
            with pytest.raises(RelayError, match=fault):
                relay.fault(fault, target)
        with pytest.raises(RelayError, match="interface gone: No such device"):
            Relay(1, [Joint("a-b", ("a", "b"), ("gone", "relay-b"), (LinkSettings(), LinkSettings()))] * 1000)
        relay._process.kill()
        with pytest.raises(RelayError, match=r"the relay has ended \(exit status -9\)"):
            relay.fault("link_down", "h1-h2")


def a_relay_that_hangs_is_told_and_ended() -> None:
    module = sys.modules[Relay.__module__]
    with pair(LinkSettings()) as (relay, _, _):
        module._PATIENCE = 0.2
        relay._control.settimeout(0.2)
        os.kill(relay._process.pid, signal.SIGSTOP)
        with pytest.raises(RelayError, match="the relay has not answered for 0 s"):
            relay.overruns()
        relay.close()
        assert relay._process.returncode == -signal.SIGKILL


def nobody_need_read_the_reports() -> None:
    with pair(LinkSettings(loss=1)) as (relay, first, _):
        for count in range(3000):
            first.send(frame(count))
            if count % 100 == 0:
                time.sleep(0.005)
        relay.fault("link_down", "h1-h2")  # answered, though nobody has read thousands of reports
        numbers: list[int] = []
        deadline = time.monotonic() + 20
        while len(numbers) < (taken := 3000 - sum(relay.overruns().values())) and time.monotonic() < deadline:
            numbers += [number(report.frame) for report in relay.reports()]
        assert numbers == sorted(set(numbers))
        assert len(numbers) == taken > 1000


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


def each_direction_has_its_own_settings() -> None:
    with pair(LinkSettings(delay=100_000), LinkSettings(mtu=100)) as (_, first, second):
        sent = now()
        second.send(frame(1))
        second.send(bytes(115))
        first.send(frame(2))
        assert takes(first, 0.05) == [frame(1)]
        assert take(second) == [2]
        assert now() - sent >= 100_000


def chance_meets_the_frames_that_the_seed_gives() -> None:
    """Each in a box of its own would take longer: the options of the whole line at once, one direction."""
    settings = LinkSettings(loss=0.1, duplicate=0.2, reorder=0.2, reorder_by=20_000, corrupt=0.2)
    line: Line[int] = Line(settings, link_random(7, "h1-h2", "h1>h2"), lambda frame, place: -1)
    frames = [segment(b"%03d" % count) for count in range(100)]
    deeds = [line.offer(count, len(frames[count]), 0) for count in range(100)]
    expected = line.due(0) + line.due(20_000)
    with pair(settings) as (relay, first, second):
        for octets in frames:
            first.send(octets)
        whole, damaged = [], 0
        for octets in takes(second):
            if octets in frames:
                whole.append(frames.index(octets))
            else:
                damaged += 1
                with pytest.raises(Malformed, match="bad TCP checksum"):
                    decode_tcp(decode_ethernet(octets).payload)
        assert sorted(whole) == sorted(count for count in expected if count >= 0)
        assert damaged == expected.count(-1) > 5
        assert whole != sorted(whole)
        told = [(report.frame, report.deed) for report in relay.reports()]
        assert told == [(frames[count], deed) for count in range(100) for deed in deeds[count]]


def fates_strike_the_segments_that_they_name() -> None:
    fates = {"drop": "FIN from h1, first", "hold": "segment containing 'wait' for 200ms", "duplicate": "only ACK to h1"}
    with pair(LinkSettings(), **fates, corrupt="segment on c1 with data, 2nd") as (relay, first, second):
        fin, wait, plain = segment(b"", FIN | ACK), segment(b"please wait"), segment(b"text")
        start = now()
        for octets in (wait, fin, frame(1), fin, plain):
            first.send(octets)
        *at_once, broken, last = takes(second)
        assert (at_once, last) == ([frame(1), fin], wait)
        assert now() - start >= 200_000
        assert len(broken) == len(plain)
        with pytest.raises(Malformed, match="bad TCP checksum"):
            decode_tcp(decode_ethernet(broken).payload)
        back = segment(b"", ACK, back=True)
        second.send(back)
        assert takes(first) == [back, back]
        assert [(report.frame, *report.deed) for report in relay.reports()] == [
            (wait, "hold", "segment containing 'wait' for 200ms, all"),
            (fin, "fate", "FIN from h1, first"),
            (plain, "corrupt", "segment on c1 with data, second"),
            (back, "duplicate", "only ACK to h1, all"),
        ]


def a_cut_loses_what_is_held_too() -> None:
    with pair(LinkSettings(delay=10_000), hold="FIN for 60s") as (relay, first, second):
        fin = segment(b"", FIN | ACK)
        first.send(fin)
        assert takes(second, 0.1) == []
        relay.fault("link_down", "h1-h2")
        assert [report.deed.what for report in relay.reports()] == ["hold", "down"]


@pytest.mark.parametrize(
    "what",
    [
        frames_arrive_whole_in_order_and_not_before_the_delay,
        the_fate_is_the_one_that_the_seed_gives,
        a_rate_lets_frames_queue_and_lose,
        a_cut_loses_what_is_in_flight,
        a_silent_host_hears_but_is_not_heard,
        errors_are_told,
        a_relay_that_hangs_is_told_and_ended,
        nobody_need_read_the_reports,
        frames_that_come_too_fast_are_counted,
        each_direction_has_its_own_settings,
        chance_meets_the_frames_that_the_seed_gives,
        fates_strike_the_segments_that_they_name,
        a_cut_loses_what_is_held_too,
    ],
)
@pytest.mark.slow
def test_relay(in_box: InBox, what: Callable[[], None]):
    in_box(what)
