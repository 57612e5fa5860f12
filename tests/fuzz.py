"""Random and mutated segments, by the million, into a stack whose connections are in every state.

    python -m tests.fuzz --segments 2000000 --seed 1

The peer sees our variables, so that most of what it sends is nearly right: a segment that is wrong everywhere never
gets past the first check. It looks for exceptions, for segments that take long, for a RST that answers a RST, and for
memory that stays behind when all connections are gone. What fails names the seed and the round that repeat it.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, get_args, get_origin, get_type_hints

from tcpclose.protocol.config import MILLISECOND, PROFILES, SECOND, TcpConfig
from tcpclose.protocol.connection import TcpError
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.fsm import State
from tcpclose.protocol.segment import ACK, FIN, MODULUS, PSH, RST, SYN, Segment, seq_add
from tcpclose.protocol.stack import Pair, Stack

#: One round: a fresh stack with settings of its own, this many segments, then all connections are aborted.
ROUND = 10_000
#: A segment that takes longer, in seconds of this process, counts as a hang.
LONGEST = 1.0
#: Blocks of memory that may stay behind a round: caches of the interpreter fill up slowly.
SLACK = 2_000

_LISTENER, _CLOSED_PORT = Endpoint("192.0.2.1", 80), Endpoint("192.0.2.1", 81)
_PAIRS = [Pair(_LISTENER, Endpoint("192.0.2.2", port)) for port in range(1000, 1024)]
_PAIRS += [Pair(Endpoint("192.0.2.1", port), Endpoint("192.0.2.3", 80)) for port in range(2000, 2024)]
_PAIRS += [Pair(_CLOSED_PORT, Endpoint("192.0.2.4", 1000))]

_NEAR = [-(2**31), -65536, -1460, -2, -1, 0, 1, 2, 1460, 65534, 65535, 65536, 2**31 - 1]
_CTL = [ACK] * 30 + [ACK | FIN] * 12 + [ACK | PSH, SYN, SYN | ACK] * 3 + [RST, RST | ACK, FIN, SYN | FIN, 0]
_WINDOWS = [65535] * 6 + [0, 1, 1000]
_TEXTS = [0] * 5 + [1, 3, 100, 1460, 3000]
_MSS = [None, 1460, 1460, 536, 65535, 1, 0]

#: Numbers to try, by setting. Settings that are a choice of words, or yes and no, are all tried.
_NUMBERS: dict[str, list[int]] = {
    "mss": [1, 536, 1460],
    "rcv_buffer": [1, 1000, 65535, 1 << 20],
    "snd_buffer": [20_000],
    "initial_window": [1, 10],
    "window_shift": [0, 7, 14],
    "delayed_ack": [0, 40 * MILLISECOND],
    "quick_acks": [0, 3],
    "msl": [0, 30 * SECOND, 120 * SECOND],
    "user_timeout": [SECOND, 300 * SECOND],
    "user_timeout_least": [1, 100 * SECOND],
    "r1": [0, 3],
    "r2": [0, 1, 15],
    "syn_r2": [0, 1, 6],
    "keepalive_idle": [SECOND, 7200 * SECOND],
    "keepalive_count": [1, 9],
    "fin_wait_2_timeout": [0, 60 * SECOND],
    "rto_min": [30 * MILLISECOND, SECOND],
    "challenge_ack_limit": [0, 1, 10],
    "time_wait_limit": [0, 0, 2],
    "max_connections": [0, 0, 0, 20],
    "max_half_open": [0, 0, 0, 2],
    "max_orphans": [0, 0, 2],
    "max_memory": [0, 0, 50_000],
    "defer_accept": [0, 0, 0, SECOND],
}


def settings(rng: random.Random) -> TcpConfig:
    """A profile of which about half of the settings are drawn anew."""
    choices: dict[str, Any] = dict(_NUMBERS)
    for name, hint in get_type_hints(TcpConfig).items():
        if hint is bool:
            choices[name] = [True, False]
        elif get_origin(hint) is not None:
            choices[name] = get_args(hint)
    changes = {name: rng.choice(values) for name, values in choices.items() if rng.random() < 0.5}
    return replace(PROFILES[rng.choice(list(PROFILES))], **{"snd_buffer": 20_000, **changes})


@dataclass
class Report:
    """What was seen."""

    segments: int = 0
    answers: int = 0
    most_answers: int = 0
    longest: float = 0.0
    states: Counter[State] = field(default_factory=Counter)
    blocks: list[int] = field(default_factory=list)


class Failure(Exception):
    """Something that must not happen, and how to repeat it."""


class Round:
    """One stack and a peer that means it no good."""

    def __init__(self, seed: str, report: Report) -> None:
        self.rng = random.Random(seed)
        self.report = report
        self.config = settings(self.rng)
        self.stack = Stack(self.config, b"fuzz", lambda pair: self.rng.choice([0, 2**31 - 2, 2**32 - 3, 1000]))
        self.stack.listen(_LISTENER.port, self.rng.choice([None, None, 1, 50]))
        self.now = 0
        self.heard: deque[Segment] = deque([Segment(0)], maxlen=50)
        self.hears: Datagram | None = None

    def run(self, segments: int) -> None:
        for _ in range(segments):
            if self.rng.random() < 0.35:
                self._user()
            if self.rng.random() < 0.05:
                self._pass_time()
            self._hear(self._pair())
        for pair in _PAIRS * 2:  # behind a handshake that reopened it, TIME-WAIT may come to light again
            if self.stack.find(pair) is not None:
                self.stack.abort(pair, self.now)
        self._take()
        if self.stack.connections or self.stack.next_timeout() is not None:
            raise Failure("something outlives the ABORT of all connections")

    def _pair(self) -> Pair:
        """Mostly one that has a connection: there is more to find than where nothing is known."""
        pair = self.rng.choice(_PAIRS)
        while self.stack.find(pair) is None and self.rng.random() < 0.95:
            pair = self.rng.choice(_PAIRS)
        return pair

    def _user(self) -> None:
        stack, pair = self.stack, self._pair()
        known = self.stack.find(pair)
        listener = stack.listening[_LISTENER.port]
        if pair.local == _LISTENER and listener.backlog is not None:  # before ACCEPT a connection has no user
            if known is not None and known.state.handshaking:
                return
            while pair in listener.queue:
                stack.accept(_LISTENER.port)
        calls: list[Callable[[], object]] = [
            lambda: stack.send(pair, bytes(self.rng.choice([1, 10, 5000])), self.now),
            lambda: stack.receive(pair, self.now, self.rng.choice([None, 1, 1000])),
            lambda: stack.close(pair, self.now),
            lambda: stack.half_close(pair, self.now),
            lambda: stack.release(pair, self.now),
            lambda: stack.set_cork(pair, self.rng.random() < 0.5, self.now),
            lambda: stack.set_nodelay(pair, self.rng.random() < 0.5, self.now),
            lambda: stack.configure(pair, self.now, user_timeout=self.rng.choice([SECOND, 100 * SECOND])),
            lambda: stack.linger_expires(pair, self.now),
            lambda: stack.abort(pair, self.now),
            lambda: stack.accept(_LISTENER.port),
            self._listen_again,
        ]
        try:
            if known is None and pair.local.port >= 2000:
                stack.open(pair, self.now)
            else:
                self.rng.choices(calls, [30, 30, 30, 3, 3, 5, 5, 5, 1, 3, 30, 1])[0]()
        except TcpError:
            pass  # the TCP may refuse any call
        self._take()

    def _listen_again(self) -> None:
        self.stack.close_listener(_LISTENER.port, self.now)
        self.stack.listen(_LISTENER.port, self.rng.choice([None, 1, 50]))

    def _pass_time(self) -> None:
        self.now += self.rng.choices([1, 10 * MILLISECOND, SECOND, 3 * SECOND, 400 * SECOND], [5, 5, 5, 5, 1])[0]
        self.stack.timeout(self.now)
        self._take()

    def _take(self) -> list[Segment]:
        self.stack.news()
        segments = [datagram.segment for datagram in self.stack.datagrams_to_send()]
        self.heard.extend(segments[-5:])
        return segments

    def _hear(self, pair: Pair) -> None:
        segment = self._segment(pair)
        self.hears = Datagram(pair.remote, pair.local, segment)
        self.report.states[self._state(pair)] += 1
        start = time.process_time()
        self.stack.segment_arrives(self.hears, self.now)
        taken = time.process_time() - start
        answers = self._take()
        self.report.segments += 1
        self.report.answers += len(answers)
        self.report.most_answers = max(self.report.most_answers, len(answers))
        self.report.longest = max(self.report.longest, taken)
        if taken > LONGEST:
            raise Failure(f"took {taken:.1f} s")
        if segment.ctl & RST and any(answer.ctl & RST for answer in answers):
            raise Failure("a RST is answered by a RST")

    def _state(self, pair: Pair) -> State:
        connection = self.stack.find(pair)
        if connection is not None:
            return connection.state
        return State.LISTEN if pair.local == _LISTENER else State.CLOSED

    def _segment(self, pair: Pair) -> Segment:
        rng = self.rng
        kind = rng.random()
        if kind < 0.05:
            return Segment(rng.getrandbits(32), rng.getrandbits(32), rng.getrandbits(8), rng.getrandbits(16))
        segment = replace(rng.choice(self.heard)) if kind < 0.15 else self._next(pair)
        self.heard.append(segment)
        return self._mutated(segment) if kind < 0.45 else segment

    def _next(self, pair: Pair) -> Segment:
        """What a peer would send next: right numbers, and control bits that fit the state more often than not."""
        rng = self.rng
        connection = self.stack.find(pair)
        segment = Segment(0, 0, rng.choice(_CTL), rng.choice(_WINDOWS), bytes(rng.choice(_TEXTS)), rng.choice(_MSS))
        if segment.ctl & SYN or rng.random() < 0.1:
            segment.wscale, segment.sack_permitted = rng.choice([None, 0, 7, 14, 255]), rng.random() < 0.7
            segment.user_timeout = rng.choice([None, None, 0, 1, 600])
        if rng.random() < 0.7:
            segment.timestamps = (self.now // MILLISECOND) % MODULUS, rng.choice([0, self.now // MILLISECOND])
        if connection is None:
            segment.seq = rng.choice([0, 300, MODULUS - 2])
            segment.ctl = SYN if rng.random() < 0.7 else segment.ctl
            return segment
        tcb = connection.tcb
        segment.seq, segment.ack = tcb.rcv_nxt, rng.choice([tcb.snd_nxt, tcb.snd_una])
        if rng.random() < 0.2:
            edges = sorted(rng.randint(0, 20_000) for _ in range(2 * rng.randint(1, 4)))
            blocks = zip(edges[::2], edges[1::2], strict=True)
            segment.sack = tuple((seq_add(tcb.snd_una, a), seq_add(tcb.snd_una, b)) for a, b in blocks)
        if connection.state is State.SYN_SENT and rng.random() < 0.7:
            segment.ctl, segment.ack = rng.choice([SYN | ACK, SYN | ACK, SYN]), tcb.snd_nxt
        elif connection.state is State.TIME_WAIT and rng.random() < 0.5:
            segment.seq = seq_add(tcb.rcv_nxt, -1)  # the peer's FIN again
        return segment

    def _mutated(self, segment: Segment) -> Segment:
        rng = self.rng
        changed = replace(segment)
        for what in rng.sample(
            ["seq", "ack", "ctl", "wnd", "text", "mss", "timestamps", "sack"], rng.choice([1, 1, 2, 3])
        ):
            match what:
                case "seq":
                    changed.seq = seq_add(segment.seq, rng.choice(_NEAR) + rng.randint(-2, 2))
                case "ack":
                    changed.ack = seq_add(segment.ack, rng.choice(_NEAR) + rng.randint(-2, 2))
                case "ctl":
                    changed.ctl ^= 1 << rng.randrange(12)
                case "wnd":
                    changed.wnd = rng.getrandbits(16)
                case "text":
                    changed.data = bytes(rng.randint(0, 70_000))
                case "mss":
                    changed.mss = rng.getrandbits(16)
                case "timestamps":
                    stamps = rng.getrandbits(32), rng.getrandbits(32)
                    changed.timestamps = rng.choice([None, stamps])
                case "sack":
                    changed.sack = tuple((rng.getrandbits(32), rng.getrandbits(32)) for _ in range(rng.randint(0, 4)))
        return changed


def fuzz(segments: int, seed: int, watch: Callable[[Report], None] = lambda report: None) -> Report:
    """Throw `segments` segments, in rounds. Raises `Failure` with what repeats it."""
    report = Report()
    for number in range(-(-segments // ROUND)):
        play = Round(f"{seed}/{number}", report)
        try:
            play.run(min(ROUND, segments - report.segments))
        except Exception as error:
            raise Failure(f"seed {seed}, round {number}, {play.config}, {play.hears}: {error!r}") from error
        del play
        gc.collect()
        report.blocks.append(sys.getallocatedblocks())
        warm = report.blocks[min(2, number)]
        if report.blocks[-1] > warm + SLACK:
            raise Failure(f"seed {seed}, round {number}: {report.blocks[-1] - warm} blocks of memory stayed behind")
        watch(report)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.perf_counter()
    report = fuzz(options.segments, options.seed, lambda now: print(f"\r{now.segments:,}", end="", file=sys.stderr))
    seconds = time.perf_counter() - start
    print(f"\n{report.segments:,} segments in {seconds:.0f} s, {report.answers:,} answers, no failure")
    print(f"most answers to one segment {report.most_answers}, longest {report.longest * 1e3:.1f} ms")
    print(f"blocks of memory after the first rounds {report.blocks[:3]}, after the last {report.blocks[-1]}")
    print(f"peak of resident memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")
    for state in State:
        print(f"{report.states[state]:>12,}  {state}")


if __name__ == "__main__":
    main()
