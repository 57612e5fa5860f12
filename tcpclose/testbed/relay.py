"""The relay: all links of an emulated network, in user space.

A link is two veth pairs whose inner ends meet here: frames that come in at one end wait in a `links.Line` and go out at
the other. That gives delay, rate and loss on any kernel, as root or not, and exactly as the simulator has them.

One process (`python -m tcpclose.testbed.relay FD`) serves all links of a network. `Relay` is the object that starts and
commands it. They exchange JSON messages over a socket pair that keeps message borders:

    first     {"joint": {...}}                                  for each link
    then      {"seed": 1, "parties": {...}}                     answered {"ready": true}
    order     {"order": "link_down", "target": "h1-s1"}         answered {"t": us} when it has taken effect
    order     {"order": "silent", "target": "h1", "way": "in"}  the same; "speaking", "off" and "on" without a way
    order     {"order": "carrier_down", "target": "h1-s1"}      the same; both ends of the link lose their carrier
    order     {"order": "forget", "target": "m1-eth1"}          the same, for the middlebox with its outside there
    order     {"order": "overruns"}                             answered {"overruns": {"h1>s1": frames}}
    report    {"deed": what, "rule": text, "link": name, "t": us, "frame": hex}, at any time, for each TCP segment that
              a link lost, or to which it did something else (`links.Deed`)
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import select
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from tcpclose.links import Burst, Deed, Fate, FateBook, Line, LinkSettings, Order, Parties, direction, link_random
from tcpclose.protocol.datagram import Endpoint
from tcpclose.testbed.inspection import Box, FrameBox
from tcpclose.testbed.linux import (
    ETH_P_ALL,
    PACKET_IGNORE_OUTGOING,
    PACKET_QDISC_BYPASS,
    PACKET_STATISTICS,
    SOL_PACKET,
    sleep_exactly,
)
from tcpclose.wire import Malformed, damage, decode_ethernet, decode_tcp

#: What can be ordered of a link, of all links of a host (silent to on), or of a middlebox (forget). One that is "off"
#: hears nothing.
FAULTS = ("link_down", "link_up", "carrier_down", "carrier_up", "silent", "speaking", "off", "on", "forget")

#: The octet of a frame with IPv4 or IPv6 that says what protocol is above.
_PROTOCOL_AT = {b"\x08\x00": 23, b"\x86\xdd": 20}

_SO_RCVBUFFORCE = 33
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

_RECEIVE_BUFFER = 4 << 20  # octets; the frames of a moment in which the machine is busy elsewhere
_BATCH = 32  # frames taken from one end before the others, and what is due, have their turn
_LARGEST_FRAME = 65550
_CLOSERS = 64
_LARGEST_MESSAGE = 1 << 20
_PATIENCE = 30.0  # s for an answer, or for the end


class RelayError(RuntimeError):
    """The relay could not be had, has died, or refused an order; the message is for people."""


@dataclass(frozen=True)
class Joint:
    """A link as the relay sees it: its name, the nodes it joins, and the interface that leads to each.

    `settings` are those of the direction from the first node to the second, then of that back.
    """

    link: str
    ends: tuple[str, str]
    interfaces: tuple[str, str]
    settings: tuple[LinkSettings, LinkSettings]
    fates: tuple[Fate, ...] = ()
    box: Box | None = None


@dataclass(frozen=True)
class Report:
    """What `link` did at `t` (us, CLOCK_MONOTONIC) to an Ethernet `frame` with a TCP segment, as it was before."""

    t: int
    link: str
    deed: Deed
    frame: bytes


def _read_joint(written: dict[str, Any]) -> Joint:
    """The inverse of `asdict`, through JSON."""
    both = [LinkSettings(**way | {"burst": way["burst"] and Burst(**way["burst"])}) for way in written["settings"]]
    fates = tuple(Fate(**fate) for fate in written["fates"])
    box = written["box"] and Box.read(written["box"])
    return Joint(**written | {"settings": tuple(both), "fates": fates, "box": box})


def _write_parties(parties: Parties, named: Collection[str]) -> dict[str, Any]:
    """All hosts, and the connections that are `named` by some fate."""
    connections = [(name, *map(str, ends)) for ends, name in parties.connections.items() if name in named]
    return {"hosts": dict(parties.hosts), "connections": connections}


def _read_parties(written: dict[str, Any]) -> Parties:
    connections = {frozenset(map(Endpoint.parse, ends)): name for name, *ends in written["connections"]}
    return Parties(written["hosts"], connections)


# ---- The side of the one who commands


class Relay:
    """A running relay. Raises `RelayError` from any method once the process is gone."""

    def __init__(self, seed: int, joints: Iterable[Joint], parties: Parties | None = None) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_PATIENCE)
        self._reports: list[Report] = []
        with theirs:
            command = [sys.executable, "-m", __name__, str(theirs.fileno())]
            # In a session of its own: Ctrl-C is for the one who commands.
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True)
        named = set()
        for joint in joints:  # one by one: a message has a largest size, a network has none
            self._tell({"joint": asdict(joint)})
            named |= {fate.connection for fate in joint.fates}
        self._ask({"seed": seed, "parties": _write_parties(parties or Parties(), named)})

    def fileno(self) -> int:
        """Readable when `reports` has something new, for `select`."""
        return self._control.fileno()

    def fault(self, name: str, target: str, way: str = "out") -> int:
        """Let a fault of `FAULTS` strike a link or host; when it took effect (us, CLOCK_MONOTONIC)."""
        taken: int = self._ask({"order": name, "target": target, "way": way})["t"]
        return taken

    def overruns(self) -> dict[str, int]:
        """By direction, the frames that came faster than this machine could relay them: lost, and not ordered to be."""
        overruns: dict[str, int] = self._ask({"order": "overruns"})["overruns"]
        return overruns

    def reports(self) -> list[Report]:
        """What has been reported since the last call."""
        while select.select([self._control], [], [], 0)[0]:
            self._take()
        reports, self._reports = self._reports, []
        return reports

    def close(self) -> None:
        """End the relay, and so all links."""
        self._control.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):  # a relay that is gone is told by `_take`
            self._control.send(json.dumps(message).encode())

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        self._tell(message)
        while (answer := self._take()) is None:
            pass
        if "error" in answer:
            raise RelayError(answer["error"])
        return answer

    def _take(self) -> dict[str, Any] | None:
        """Wait for one message: the answer to an order, or None when it was a report, which is kept."""
        try:
            octets = self._control.recv(_LARGEST_MESSAGE)
        except TimeoutError:
            raise RelayError(f"the relay has not answered for {_PATIENCE:.0f} s") from None
        except ConnectionResetError:  # as the end of the file: the relay is gone
            octets = b""
        if not octets:
            raise RelayError(f"the relay has ended (exit status {self._process.wait()})")
        message: dict[str, Any] = json.loads(octets)
        if "deed" not in message:
            return message
        deed, frame = Deed(message["deed"], message["rule"]), bytes.fromhex(message["frame"])
        self._reports.append(Report(message["t"], message["link"], deed, frame))
        return None


# ---- The process


def _now() -> int:
    return time.monotonic_ns() // 1_000


def _open(interface: str) -> socket.socket:
    """A packet socket on an interface that hears what arrives there, and only that."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    end.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    try:
        end.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except PermissionError:  # an ordinary user on an older kernel gets what the system allows
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    try:
        end.bind((interface, ETH_P_ALL))
    except OSError as error:
        raise RelayError(f"interface {interface}: {error.strerror}") from error
    return end


def _carries_tcp(frame: bytes) -> bool:
    at = _PROTOCOL_AT.get(frame[12:14])
    return at is not None and frame[at : at + 1] == b"\x06"


def _set_up(interface: str, up: bool) -> None:
    """An end of ours that is down takes the carrier from the other end of the pair."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", interface.encode(), 0)
        _, flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))
        flags = flags | _IFF_UP if up else flags & ~_IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", interface.encode(), flags))


class _Lane:
    """One direction of a link: where its frames come in, the line they take, where they go out."""

    def __init__(
        self,
        seed: int,
        joint: Joint,
        sender: int,
        entry: socket.socket,
        exit: socket.socket,
        fates: FateBook | None,
    ) -> None:
        self.link, self.sender, self.receiver = joint.link, joint.ends[sender], joint.ends[1 - sender]
        self.name = direction(self.sender, self.receiver)
        self.line: Line[bytes] = Line(joint.settings[sender], link_random(seed, joint.link, self.name), damage)
        self.fates = fates
        self.receive, self.send = entry.recv, exit.send
        self.entry, self.exit = entry, exit
        self.interfaces = joint.interfaces
        self.overruns = 0

    def count_overruns(self) -> int:
        """The kernel's count starts anew whenever it is read."""
        _packets, dropped = struct.unpack("II", self.entry.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self.overruns += dropped
        return self.overruns

    def offer(self, frame: bytes, now: int) -> tuple[Deed, ...]:
        """As `Line.offer`. Only where there are fates is a frame looked into; damaged segments have none."""
        orders: Iterable[Order] = ()
        if self.fates is not None:
            with contextlib.suppress(Malformed):
                orders = self.fates.judge(decode_tcp(decode_ethernet(frame).payload).datagram)
        return self.line.offer(frame, len(frame), now, orders)


class _Process:
    """The loop: frames in, frames out when they are due, orders in between."""

    def __init__(self, control: socket.socket, seed: int, joints: Iterable[Joint], parties: Parties) -> None:
        self._control = control
        self._unsent: deque[bytes] = deque()
        self._lanes: dict[socket.socket, _Lane] = {}
        self._busy: set[_Lane] = set()  # the lanes with frames under way
        self._boxes: dict[str, FrameBox] = {}
        self._outward: dict[_Lane, FrameBox] = {}  # the lane at whose beginning each box stands
        self._inward: dict[_Lane, FrameBox] = {}  # and that at whose end
        for joint in joints:
            first, second = (_open(interface) for interface in joint.interfaces)
            fates = FateBook(joint.fates, parties) if joint.fates else None
            self._lanes[first] = _Lane(seed, joint, 0, first, second, fates)
            self._lanes[second] = _Lane(seed, joint, 1, second, first, fates)
            if joint.box is not None:
                box = FrameBox(joint.box)
                self._boxes[joint.box.outside] = box
                self._outward[self._lanes[(first, second)[joint.box.side]]] = box
                self._inward[self._lanes[(second, first)[joint.box.side]]] = box
        self._tell({"ready": True})

    def run(self) -> None:
        """Relay until the other side of the control socket is closed."""
        sources: list[socket.socket] = [self._control, *self._lanes]
        while True:
            pause = None
            if self._busy:
                due = min(lane.line.next_due() or 0 for lane in self._busy)
                pause = max(0, due - _now()) / 1_000_000
            readable, writable, _ = select.select(sources, [self._control] if self._unsent else [], [], pause)
            self._deliver()
            for source in readable:
                if source is not self._control:
                    self._accept(self._lanes[source])
                elif not self._obey():
                    return
            self._deliver()  # a link without delay need not wait for another round
            if writable:
                self._flush()

    def close(self) -> None:
        """Close all ends side by side: for each, the kernel waits until no processor can be reading it any more."""
        with ThreadPoolExecutor(_CLOSERS) as pool:
            list(pool.map(socket.socket.close, self._lanes))

    def _deliver(self) -> None:
        now = _now()
        for lane in list(self._busy):
            for frame in lane.line.due(now):
                if reason := lane.line.loss_on_arrival:
                    self._report(Deed(reason), lane, frame, now)
                elif lane in self._inward:
                    self._let_in(lane, frame, now)
                else:
                    lane.send(frame)
            if lane.line.next_due() is None:
                self._busy.discard(lane)

    def _accept(self, lane: _Lane) -> None:
        for _ in range(_BATCH):
            try:
                frame = lane.receive(_LARGEST_FRAME, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENETDOWN:
                    raise
                break  # an end without carrier says so once
            if lane in self._outward:
                self._let_out(lane, frame, _now())
            else:
                self._offer(lane, frame, _now())
        if lane.line.next_due() is not None:
            self._busy.add(lane)

    def _offer(self, lane: _Lane, frame: bytes, now: int) -> None:
        for deed in lane.offer(frame, now):
            self._report(deed, lane, frame, now)

    # -- Middleboxes

    def _let_out(self, lane: _Lane, frame: bytes, now: int) -> None:
        passed, answer = self._outward[lane].inspect(frame, True, now)
        if passed is None:
            self._report(Deed("middlebox"), lane, frame, now)
        else:
            self._offer(lane, passed, now)
        if answer is not None:
            lane.entry.send(answer)

    def _let_in(self, lane: _Lane, frame: bytes, now: int) -> None:
        passed, answer = self._inward[lane].inspect(frame, False, now)
        if passed is None:
            self._report(Deed("middlebox"), lane, frame, now)
        else:
            lane.send(passed)
        if answer is not None:
            back = self._lanes[lane.exit]
            self._offer(back, answer, now)
            self._busy.add(back)

    # -- Orders and reports

    def _obey(self) -> bool:
        octets = self._control.recv(_LARGEST_MESSAGE)
        if octets:
            message = json.loads(octets)
            if message["order"] == "overruns":
                counts = {lane.name: lane.count_overruns() for lane in self._lanes.values()}
                self._tell({"overruns": {name: count for name, count in counts.items() if count}})
            else:
                self._strike(message["order"], message["target"], message["way"])
        return bool(octets)

    def _strike(self, fault: str, target: str, way: str) -> None:
        if fault == "forget" and target in self._boxes:
            self._boxes[target].forget()
            return self._tell({"t": _now()})

        def of_host(lane: _Lane) -> bool:
            return target in (lane.sender, lane.receiver)

        def silence(lane: _Lane) -> None:
            lane.line.silence(way if fault == "silent" else None, lane.sender == target, lane.receiver == target)

        def attend(lane: _Lane) -> None:
            if lane.receiver == target:
                lane.line.unattended = fault == "off"

        strikes: dict[str, tuple[Callable[[_Lane], bool], Callable[[_Lane], None]]] = {
            "link_down": (lambda lane: lane.link == target, self._cut),
            "link_up": (lambda lane: lane.link == target, lambda lane: lane.line.restore()),
            "carrier_down": (lambda lane: lane.link == target, self._unplug),
            "carrier_up": (lambda lane: lane.link == target, self._plug),
            "silent": (of_host, silence),
            "speaking": (of_host, silence),
            "off": (of_host, attend),
            "on": (of_host, attend),
        }
        if fault not in strikes:
            return self._tell({"error": f"there is no fault {fault}; there are {', '.join(strikes)}"})
        is_struck, strike = strikes[fault]
        struck = [lane for lane in self._lanes.values() if is_struck(lane)]
        if not struck:
            return self._tell({"error": f"{fault}: there is no {target}"})
        for lane in struck:
            strike(lane)
        self._tell({"t": _now()})

    def _cut(self, lane: _Lane) -> None:
        now = _now()
        for frame in lane.line.cut():
            self._report(Deed("down"), lane, frame, now)
        self._busy.discard(lane)

    def _unplug(self, lane: _Lane) -> None:
        """Both ends first: what is still offered then vanishes, as in a socket without a cable."""
        for interface in lane.interfaces:
            _set_up(interface, False)
        self._cut(lane)

    def _plug(self, lane: _Lane) -> None:
        for interface in lane.interfaces:
            _set_up(interface, True)
        lane.line.restore()

    def _report(self, deed: Deed, lane: _Lane, frame: bytes, now: int) -> None:
        if _carries_tcp(frame):
            told = {"deed": deed.what, "rule": deed.rule, "link": lane.link, "t": now}
            self._tell(told | {"frame": frame.hex()})

    def _tell(self, message: dict[str, Any]) -> None:
        self._unsent.append(json.dumps(message).encode())
        self._flush()

    def _flush(self) -> None:
        """Send what the socket takes without waiting: a slow reader of reports shall not stop the links."""
        while self._unsent:
            try:
                self._control.send(self._unsent[0], socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            self._unsent.popleft()


def _main(descriptor: int) -> None:
    with socket.socket(fileno=descriptor) as control:
        joints = []
        while "joint" in (start := json.loads(control.recv(_LARGEST_MESSAGE))):
            joints.append(_read_joint(start["joint"]))
        parties = _read_parties(start["parties"])
        sleep_exactly()
        try:
            process = _Process(control, start["seed"], joints, parties)
            with contextlib.suppress(ConnectionError):  # nobody commands us any more: done
                process.run()
            process.close()
        except RelayError as error:
            control.send(json.dumps({"error": str(error)}).encode())


if __name__ == "__main__":
    _main(int(sys.argv[1]))
