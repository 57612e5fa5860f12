"""Plays one script against our stack, in virtual time, and judges: the run-time rules of packetdrill.

Nothing waits. Between two events the clock jumps from one timer of the stack to the next, so that times are exact and a
script that takes minutes is judged in milliseconds. The stack is a `protocol.Stack` behind its POSIX view.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any, NamedTuple

from tcpclose.drill import asserts, checks, settings
from tcpclose.drill.calls import Blocked, Calls, Running
from tcpclose.drill.dialect import Profile, foreign, host_config, profile_of
from tcpclose.drill.icmp import numbers_of
from tcpclose.drill.packets import Mismatch, Seen, Subject, join, joins
from tcpclose.drill.parser import parse
from tcpclose.drill.printer import print_action, print_event, print_packet, seconds
from tcpclose.drill.scanner import ScriptError, Unsupported
from tcpclose.drill.script import Call, Code, Command, Event, Icmp, Packet, Place, Script
from tcpclose.drill.settings import CommandError
from tcpclose.protocol.config import SECOND
from tcpclose.protocol.datagram import Datagram, Endpoint, Pair
from tcpclose.protocol.fsm import State
from tcpclose.protocol.interface import TcpError
from tcpclose.protocol.sockets import Socket, Sockets
from tcpclose.protocol.stack import Stack

_TOLERANCE = 4_000  # microseconds
_PART = 8  # 12.5 % of the time since the event before
_PATIENCE = 2 * SECOND  # how long after its time an expected packet is waited for
_ANY_TIME = 300 * SECOND  # and one that may come at any time
_CALL_PATIENCE = 3 * SECOND  # how long the next call waits for one that still blocks
_FIRST_REMOTE_PORT = 49152

_LARGEST_MSS = 65495  # as far as TCP goes; the MTU says less
_ADDRESSES = {"ipv4": ("192.168.0.1", "192.0.2.1"), "ipv6": ("fd3d:fa7b:d17d::1", "2001:db8::1")}
_ADDRESSES["ipv4-mapped-ipv6"] = _ADDRESSES["ipv4"]  # the packets are the same


#: Makes the stack that is judged, of the arguments that `Stack` takes.
MakesStack = Callable[..., Stack]


@dataclass(frozen=True)
class Wishes:
    """What the command line says. None leaves it to the script."""

    profile: Profile | None = None
    tolerance_usecs: int | None = None
    symbols: Mapping[str, str] = field(default_factory=dict)


class Verdict(NamedTuple):
    """What came of a script: "passed", "failed" or "skipped", why, where, the last events, and unknown sysctls."""

    name: str
    outcome: str
    message: str = ""
    place: Place | None = None
    log: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def run_text(text: str, name: str, wishes: Wishes | None = None, make: MakesStack = Stack) -> Verdict:
    """Read, play and judge a script. `make` may make another stack than ours, with another machine for example."""
    wishes = wishes or Wishes()
    try:
        script = parse(text, name, wishes.symbols)
        reason = foreign(script)
    except ScriptError as error:
        return Verdict(name, "failed", str(error))
    except Unsupported as error:
        return Verdict(name, "skipped", str(error))
    if reason is not None:
        return Verdict(name, "skipped", reason)
    return run_script(script, name, wishes, make)


def run_script(script: Script, name: str, wishes: Wishes, make: MakesStack = Stack) -> Verdict:
    """Play and judge a script that was read, and is not foreign."""
    try:
        run = Run(script, name, wishes, make)
    except CommandError as error:
        return Verdict(name, "failed", f"{name}:1:1: {error}")
    try:
        run.play()
    except Unsupported as error:
        return Verdict(name, "skipped", f"{error} (line {run.place.line})", run.place)
    except (Mismatch, CommandError) as error:
        message = f"{name}:{run.place.line}:{run.place.column}: {error}"
        run.log_unexpected()
        return Verdict(name, "failed", message, run.place, tuple(run.log), tuple(run.unknown))
    return Verdict(name, "passed", log=tuple(run.log), unknown=tuple(run.unknown))


class Run:
    """One script being played. `now` is microseconds since its start."""

    def __init__(self, script: Script, name: str, wishes: Wishes, make: MakesStack) -> None:
        self.script = script
        self.name = name
        options = dict(script.options)
        self.profile = wishes.profile or profile_of(script)
        self.bsd = self.profile == "bsd"
        self.tolerance = _whole(options, "tolerance_usecs", _TOLERANCE)
        if wishes.tolerance_usecs is not None:
            self.tolerance = wishes.tolerance_usecs
        self.tick = _whole(options, "tcp_ts_tick_usecs", 0)
        self.strict = "strict_segments" in options
        self.scaled = "tcp_ts_ecr_scaled" in options
        self.bind_port = _whole(options, "bind_port", 8080, most=0xFFFF)
        local, remote = _addresses(options)
        self.remote = Endpoint(remote, _whole(options, "connect_port", 8080, most=0xFFFF))
        mtu = _whole(options, "mtu", 1500)
        config = host_config(self.profile)
        if "mtu" in options:  # --mss is about how packets are handed in
            config = replace(config, mss=_LARGEST_MSS)
        self.stack = make(config, b"drill", mtu=lambda address: mtu)
        self.sockets = Sockets(self.stack, local)
        self.calls = Calls(self)
        self.now = 0
        self.before = 0  # the script's time of the event before
        self.place = Place(1, 1)
        self.log: list[str] = []
        self.unknown: dict[str, None] = {}
        self._subject = Subject(self.stack.config.option_layout)
        self._tested: Socket | None = None
        self._sent: list[Seen] = []
        self._running: tuple[Running, Event, int, int] | None = None  # a call that blocks: when it began, must end
        self._failure: tuple[Place, Mismatch] | None = None  # of that call, while other things happened
        self._snapshots: list[tuple[Place, str, dict[str, Any]]] = []
        self._next_port = _FIRST_REMOTE_PORT

    # The course of a script

    def play(self) -> None:
        """Raises `Mismatch` where something else happens than the script says, `self.place` tells where."""
        self.place = self.script.first_place
        self._shell(self.script.first)
        for event in self.script.events:
            self.place = event.place
            self._event(event)
        self._await_call(self._running[3] if self._running else 0)
        self.place = self.script.last_place
        self._shell(self.script.last)
        for place, code, info in self._snapshots:
            self.place = place
            asserts.judge(code, info)

    def _event(self, event: Event) -> None:
        time, anchor = event.time, self.now if event.time.form == "relative" else 0
        at, until = anchor + time.at, anchor + (time.at if time.until is None else time.until)
        if time.form == "any":
            at = until = self.now
        if isinstance(event.action, Packet | Icmp) and not event.action.inbound:
            self._expect(event, at, at if time.blocks else until)
        else:
            self._wait(at)
            self._check_time(event, at, at if time.blocks else until, self.now, "this was to happen")
            self._act(event, at, until)
        self.before = at

    def _act(self, event: Event, at: int, until: int) -> None:
        match event.action:
            case Packet() as packet:
                self._inject(packet)
            case Icmp() as icmp:
                self._inject_icmp(icmp)
            case Call() as call:
                self._call(event, call, at, until)
            case Command(text):
                self._shell(text)
            case Code(text):
                asserts.read(text)
                self._snapshots.append((event.place, text, self._info(self._subject.pair)))

    def _check_time(self, event: Event, at: int, until: int, real: int, what: str) -> None:
        """Rule 2."""
        if event.time.form == "any":
            return
        tolerance = max(self.tolerance, (at - self.before) // _PART)
        if at - tolerance <= real <= until + tolerance:
            return
        due = f"at {seconds(at)}" if at == until else f"from {seconds(at)} to {seconds(until)}"
        off = f"{seconds(at - real)} s early" if real < at else f"{seconds(real - until)} s late"
        raise Mismatch(f"time: {what} {due} (+-{seconds(tolerance)}), it was {seconds(real)}: {off}")

    # The clock

    def _wait(self, until: int) -> None:
        self._advance(until - 1, lambda: False)  # what the script does at that time comes before timers
        self.now = max(self.now, until)
        self._raise_failure()

    def _advance(self, until: int, enough: Callable[[], bool]) -> None:
        """Let timers expire in their order, up to `until` or until it is enough."""
        self._settle()
        while not enough():
            at = self._next_deadline()
            if at is None or at > until:
                self.now = max(self.now, until)
                return
            self.now = max(self.now, at)
            self.stack.timeout(self.now)
            self._settle()

    def _next_deadline(self) -> int | None:
        deadlines = [self.stack.next_timeout()]
        if self._running is not None:
            running, _, _, end = self._running
            deadlines += [at for at in (running.wakes(), end) if at is None or at > self.now]
        return min((at for at in deadlines if at is not None), default=None)

    def _settle(self) -> None:
        """Take what the stack sends, and see whether a call that blocks is finished."""
        self._take_sent()
        if self._running is not None:
            running, event, _, end = self._running
            try:
                running.attempt()
            except Blocked:
                return
            except Mismatch as mismatch:
                self._failure = event.place, mismatch
            self._running = None
            self._take_sent()
            self._log(self.now, f"{print_action(event.action)} returns")
            try:
                self._check_end(running.began, end)
            except Mismatch as mismatch:
                self._failure = self._failure or (event.place, mismatch)

    def _take_sent(self) -> None:
        for src, dst, segment in self.stack.datagrams_to_send():
            seen = Seen(self.now, Pair(src, dst), segment)
            self._sent.append(seen)
        self.sockets.update()
        if len(self._sent) > 100_000:
            raise Mismatch("our stack sends without end")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self.place, mismatch = self._failure
            raise mismatch

    def _check_end(self, began: int, end: int) -> None:
        """Rule 4: an eighth of the time that the call may take."""
        tolerance = max(self.tolerance, (end - began) // _PART)
        if abs(self.now - end) > tolerance:
            late = "late" if self.now > end else "early"
            off = seconds(abs(self.now - end))
            message = f"the call was to return at {seconds(end)} (+-{seconds(tolerance)})"
            raise Mismatch(f"time: {message}, it was {seconds(self.now)}: {off} s {late}")

    def log_unexpected(self) -> None:
        """What else our stack has sent on the connection under test."""
        for seen in self._sent:
            if seen.pair == self._subject.pair:
                self._log(seen.at, f"{print_packet(self._subject.outbound(seen.segment))}  (not compared)")

    def _log(self, at: int, what: str) -> None:
        self.log.append(f"{seconds(at):>9} {what}")

    # Packets

    def under_test(self, socket: Socket) -> None:
        """Rule 5."""
        self._tested = socket
        self._subject = Subject(self.stack.config.option_layout)

    def _inject(self, packet: Packet) -> None:
        pair = self._pair_for_inbound()
        segment = self._subject.inject(packet, self.scaled)
        self._log(self.now, print_packet(packet))
        self.stack.segment_arrives(Datagram(pair.remote, pair.local, segment), self.now)
        self._settle()
        self._raise_failure()

    def _pair_for_inbound(self) -> Pair:
        """Rules 5 and 6."""
        if self._subject.pair is None:
            local = Endpoint(self.sockets.address, self.bind_port)
            self._subject.pair = Pair(local, Endpoint(self.remote.address, self._next_port))
            self._next_port += 1
        return self._subject.pair

    def _inject_icmp(self, icmp: Icmp) -> None:
        type, code = numbers_of(icmp)
        pair = self._pair_for_inbound()
        self._log(self.now, print_action(icmp))
        seq = self._subject.live(icmp.quoted[0]) if icmp.quoted is not None else self._oldest(pair)
        self.stack.icmp_arrives(pair, seq, type, code, self.now, icmp.mtu or 0)
        self._settle()

    def _oldest(self, pair: Pair) -> int:
        connection = self.stack.find(pair)
        return 0 if connection is None else connection.tcb.snd_una

    def _expect(self, event: Event, at: int, until: int) -> None:
        """Rules 3, 10 and 13: the next packet of the connection under test must be this one, at this time."""
        packet = event.action
        if isinstance(packet, Icmp):
            raise Unsupported("ICMP that our stack is expected to send")
        assert isinstance(packet, Packet)
        patience = self.now + _ANY_TIME if event.time.form == "any" else max(until, self.now) + _PATIENCE
        parts = [self._next_sent(packet, patience, "")]
        while not self.strict and 0 < sum(len(part.segment.data) for part in parts) < packet.length:
            so_far = print_packet(self._subject.outbound(join([part.segment for part in parts]), packet))
            further = self._next_sent(packet, patience, f" behind {so_far}")
            if not joins(parts[0].segment, parts[-1].segment, further.segment):
                got = print_packet(self._subject.outbound(further.segment, packet))
                raise Mismatch(f"{so_far} cannot be joined with {got}\n    expected: {print_packet(packet)}")
            parts.append(further)
        came = parts[-1].at
        got_packet = self._subject.outbound(join([part.segment for part in parts]), packet)
        self._log(came, print_packet(got_packet))
        try:
            self._subject.compare(packet, got_packet, self.tick, self.tolerance)
            self._check_time(event, at, until, came, "the packet was to come")
        except Mismatch as mismatch:
            lines = f"\n    expected: {print_event(event)}\n    got:      {seconds(came)} {print_packet(got_packet)}"
            raise Mismatch(f"{mismatch}{lines}") from None

    def _next_sent(self, packet: Packet, patience: int, where: str) -> Seen:
        self._advance(patience, self._has_sent)
        if not self._has_sent():
            self._raise_failure()
            raise Mismatch(f"missing: nothing came until {seconds(self.now)}{where}, expected {print_packet(packet)}")
        return self._sent.pop(0)

    def _has_sent(self) -> bool:
        """Is there a packet of the connection under test? Those of others are passed over."""
        if self._subject.pair is None and self._tested is not None:
            self._subject.pair = self._tested.pair
        while self._sent and self._sent[0].pair != self._subject.pair:
            del self._sent[0]
        return bool(self._sent)

    # Calls

    def _call(self, event: Event, call: Call, at: int, until: int) -> None:
        self._await_call(self.now + _CALL_PATIENCE)
        running = Running(self.calls, call, at)
        try:
            running.attempt()
        except Blocked:
            self._take_sent()
            if not event.time.blocks:
                raise Mismatch(f"the call would block: {print_action(call)}") from None
            self._running = running, event, at, until
            self._log(self.now, f"{print_action(call)} blocks")
        except TcpError as error:
            raise Mismatch(f"{print_action(call)}: {error}") from None
        else:
            self._log(self.now, print_action(call))
            self._settle()
            if event.time.blocks:
                self._check_end(at, until)
        if self._tested is not None and self._tested.pair is not None and self._subject.pair is None:
            self._subject.pair = self._tested.pair

    def _await_call(self, until: int) -> None:
        """Only one call at a time may block."""
        if self._running is not None:
            event, end = self._running[1], self._running[3]
            self._advance(max(until, end + self.tolerance), lambda: self._running is None)
            if self._running is not None:
                self.place = event.place
                raise Mismatch(f"time: the call was to return at {seconds(end)}, it has not until {seconds(self.now)}")
        self._raise_failure()

    # Commands and questions

    def _shell(self, text: str) -> None:
        for alternatives in settings.statements(text):
            failed = [next((command for command in row if not self._succeeds(command)), None) for row in alternatives]
            if None not in failed:
                states = ", ".join(str(state) for _, state in self._connections()) or "no connection"
                raise Mismatch(f"check failed: `{failed[-1]}` (there is: {states})")

    def _succeeds(self, command: str) -> bool:
        """Only a question about states can fail, or a command that is not known."""
        pairs = settings.assignments(command)
        if pairs is not None:
            self._set(pairs)
        elif checks.is_check(command):
            return checks.holds(command, self._connections())
        elif not settings.ignored(command):
            raise CommandError(f"no such command here: {command}")
        return True

    def _set(self, pairs: list[tuple[str, str]]) -> None:
        """All settings of a command at once: some are right only together."""
        wanted: dict[str, Any] = {}
        for name, value in pairs:
            changes = settings.changes(name, value)
            if changes is None:
                self.unknown[name] = None
            else:
                settings.check_bounds(name, changes)
                wanted |= changes
        if wanted:
            try:
                self.stack.reconfigure(self.now, **wanted)
            except ValueError as error:
                raise CommandError(f"sysctl {' '.join(map('='.join, pairs))}: {error}") from None
        self._settle()

    def _connections(self) -> list[tuple[Pair, State]]:
        found = [(pair, connection.state) for pair, connection in self.stack.connections.items()]
        pair = self._subject.pair
        if pair is not None and pair in self.stack.time_wait:
            found.append((pair, State.TIME_WAIT))
        here = self.sockets.address
        nobody = Endpoint("::" if ":" in here else "0.0.0.0", 0)
        return found + [(Pair(Endpoint(here, port), nobody), State.LISTEN) for port in self.stack.listening]

    def _info(self, pair: Pair | None) -> dict[str, Any]:
        """TCP_INFO of a connection, now."""
        from tcpclose.drill.info import tcp_info

        self._settle()
        return tcp_info(None if pair is None else self.stack.find(pair), self.profile)

    def tcp_info(self, socket: Socket) -> dict[str, Any]:
        return self._info(socket.pair)


def _addresses(options: Mapping[str, str]) -> tuple[str, str]:
    """The host's and its peer's."""
    version = options.get("ip_version", "ipv4")
    if version not in _ADDRESSES:
        raise CommandError(f"--ip_version: expected one of {', '.join(_ADDRESSES)}, found {version!r}")
    found = []
    for name, default in zip(("local_ip", "remote_ip"), _ADDRESSES[version], strict=True):
        address = options.get(name, default).split("/")[0]
        try:
            found.append(ip_address(address))
        except ValueError:
            raise CommandError(f"--{name}: expected an address, found {address!r}") from None
    if found[0].version != found[1].version:
        raise CommandError(
            f"expected addresses of one version, found {found[0]} and {found[1]}: is --ip_version missing?"
        )
    return str(found[0]), str(found[1])


def _whole(options: Mapping[str, str], name: str, default: int, most: int = 1 << 31) -> int:
    value = options.get(name, str(default))
    if re.fullmatch("[0-9]{1,10}", value) is None or int(value) > most:
        raise CommandError(f"--{name}: expected a number up to {most}, found {value!r}")
    return int(value)
