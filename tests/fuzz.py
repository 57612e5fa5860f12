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

from tcpclose.protocol.config import MILLISECOND, SECOND, TcpConfig
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
        self.config = self._config()
        self.stack = Stack(self.config, lambda pair: self.rng.choice([0, 2**31 - 2, 2**32 - 3, 1000]))
        self.stack.listen(_LISTENER.port)
        self.now = 0
        self.heard: deque[Segment] = deque([Segment(0)], maxlen=50)
        self.hears: Datagram | None = None

    def _config(self) -> TcpConfig:
        pick = self.rng.choice
        return TcpConfig(
            mss=pick([1, 536, 1460]),
            rcv_buffer=pick([1, 1000, 65535]),
            snd_buffer=20_000,
            initial_window=pick([1, 10]),
            msl=pick([0, 30 * SECOND, 120 * SECOND]),
            user_timeout=pick([SECOND, 300 * SECOND]),
            timeout_reset=pick([True, False]),
            reset_ack=pick([True, False]),
            reset_validity=pick(["exact", "window"]),
            syn_validity=pick(["challenge", "window"]),
            challenge_ack_limit=pick([0, 10]),
            time_wait_rst=pick(["close", "ignore"]),
        )

    def run(self, segments: int) -> None:
        for _ in range(segments):
            if self.rng.random() < 0.35:
                self._user()
            if self.rng.random() < 0.05:
                self._pass_time()
            self._hear(self._pair())
        for pair in list(self.stack.connections):
            self.stack.abort(pair, self.now)
        self._take()
        if self.stack.connections or self.stack.next_timeout() is not None:
            raise Failure("something outlives the ABORT of all connections")

    def _pair(self) -> Pair:
        """Mostly one that has a connection: there is more to find than where nothing is known."""
        known = list(self.stack.connections)
        return self.rng.choice(known if known and self.rng.random() < 0.85 else _PAIRS)

    def _user(self) -> None:
        stack, pair = self.stack, self._pair()
        known = self.stack.connections.get(pair)
        calls: list[Callable[[], object]] = [
            lambda: stack.send(pair, bytes(self.rng.choice([1, 10, 5000])), self.now),
            lambda: stack.receive(pair, self.now, self.rng.choice([None, 1, 1000])),
            lambda: stack.close(pair, self.now),
            lambda: stack.abort(pair, self.now),
        ]
        try:
            if known is None and pair.local.port >= 2000:
                stack.open(pair, self.now)
            else:
                self.rng.choices(calls, [10, 10, 10, 1])[0]()
        except TcpError:
            pass  # the TCP may refuse any call
        self._take()

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
        connection = self.stack.connections.get(pair)
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
        connection = self.stack.connections.get(pair)
        segment = Segment(0, 0, rng.choice(_CTL), rng.choice(_WINDOWS), bytes(rng.choice(_TEXTS)), rng.choice(_MSS))
        if connection is None:
            segment.seq = rng.choice([0, 300, MODULUS - 2])
            segment.ctl = SYN if rng.random() < 0.7 else segment.ctl
            return segment
        tcb = connection.tcb
        segment.seq, segment.ack = tcb.rcv_nxt, rng.choice([tcb.snd_nxt, tcb.snd_una])
        if connection.state is State.SYN_SENT and rng.random() < 0.7:
            segment.ctl, segment.ack = rng.choice([SYN | ACK, SYN | ACK, SYN]), tcb.snd_nxt
        elif connection.state is State.TIME_WAIT and rng.random() < 0.5:
            segment.seq = seq_add(tcb.rcv_nxt, -1)  # the peer's FIN again
        return segment

    def _mutated(self, segment: Segment) -> Segment:
        rng = self.rng
        changed = replace(segment)
        for what in rng.sample(["seq", "ack", "ctl", "wnd", "text", "mss"], rng.choice([1, 1, 2, 3])):
            match what:
                case "seq":
                    changed.seq = seq_add(segment.seq, rng.choice(_NEAR) + rng.randint(-2, 2))
                case "ack":
                    changed.ack = seq_add(segment.ack, rng.choice(_NEAR) + rng.randint(-2, 2))
                case "ctl":
                    changed.ctl ^= 1 << rng.randrange(8)
                case "wnd":
                    changed.wnd = rng.getrandbits(16)
                case "text":
                    changed.data = bytes(rng.randint(0, 70_000))
                case "mss":
                    changed.mss = rng.getrandbits(16)
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
