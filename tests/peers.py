"""What the protocol tests share: one connection with a peer played by hand, and two connections with a bad link."""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from tcpclose.protocol.config import PROFILES, SECOND, TcpConfig
from tcpclose.protocol.connection import Connection, Notice, Signal, TcpError, Timer
from tcpclose.protocol.fsm import Cause, Row, State
from tcpclose.protocol.segment import ACK, PSH, Segment, format_segment, parse_segment, seq_add

#: As in the RFC's figures, texts of tests number our side from 100 and the peer's from 300.
OURS, THEIRS = 100, 300
OUR_ACK = "<SEQ=101><ACK=301><CTL=ACK>"
OUR_FIN = "<SEQ=101><ACK=301><CTL=FIN,ACK>"
THEIR_ACK = "<SEQ=301><ACK=101><CTL=ACK>"


def refused(words: str) -> Any:
    """Expects that a call is refused with exactly these words."""
    return pytest.raises(TcpError, match=f"^{re.escape(words)}$")


class Played:
    """A connection whose peer is the test. Whatever the true numbers, tests read as if ISS were 100 and IRS 300."""

    def __init__(self, iss: int = OURS, irs: int = THEIRS, wnd: int = 65535, **settings: object) -> None:
        profile = PROFILES[str(settings.pop("profile", "rfc9293"))]
        self.config = replace(profile, **{"msl": 5 * SECOND, "mss": 1000, **settings})  # type: ignore[arg-type]
        self.connection = Connection(self.config, iss)
        self.iss, self.irs = iss - OURS, irs - THEIRS
        self.now = 0
        self.wnd = wnd
        self.timestamps: tuple[int, int] | None = None
        self.rows: list[Row] = []
        self.signals: list[Signal] = []
        self.timers: list[Timer] = []
        self.last = Segment(0)

    # What the peer does

    def hear(self, text: str, wnd: int | None = None, data: bytes | None = None, **options: Any) -> None:
        """A segment of the peer arrives, in the form of the figures; `wnd` and `timestamps` stay until said anew.

        Other options are fields of `Segment`; `mss` is 1000 unless said.
        """
        segment = parse_segment(text)
        self.wnd = self.wnd if wnd is None else wnd
        self.timestamps = options.setdefault("timestamps", self.timestamps)
        segment = replace(segment, seq=seq_add(segment.seq, self.irs), wnd=self.wnd, **{"mss": 1000, **options})
        if segment.ctl & ACK:
            segment.ack = seq_add(segment.ack, self.iss)
        if data is not None:
            segment.data = data
        self.connection.segment_arrives(segment, self.now)

    # What the connection does

    def sent(self) -> list[str]:
        """The segments that left since the last look, PSH aside."""
        segments = self.connection.segments_to_send()
        self.last = segments[-1] if segments else self.last
        return [format_segment(replace(s, ctl=s.ctl & ~PSH), self.iss, self.irs) for s in segments]

    def sends(self, *texts: str) -> None:
        """Exactly these segments left since the last look, then nothing."""
        assert self.sent() == list(texts)

    def news(self) -> None:
        for what in self.connection.news():
            {Row: self.rows, Signal: self.signals, Timer: self.timers}[type(what)].append(what)

    def told(self, *expected: str) -> None:
        """Exactly these messages went to the user since the last look, as "TEXT 3", "EOF"."""
        self.news()
        texts = [f"{signal.notice.value} {signal.detail}".strip() for signal in self.signals]
        self.signals = []
        assert texts == list(expected)

    @property
    def state(self) -> str:
        return str(self.connection.state)

    # Time, in seconds

    def due(self) -> float | None:
        """When the next timer expires."""
        at = self.connection.next_timeout()
        return None if at is None else at / SECOND

    def at(self, seconds: float) -> None:
        """Let the clock run to `seconds`, timers included."""
        until = round(seconds * SECOND)
        while (at := self.connection.next_timeout()) is not None and at <= until:
            self.now = max(self.now, at)
            self.connection.timeout(self.now)
        self.now = until

    def sends_at(self, seconds: float, *texts: str) -> None:
        """Nothing leaves until `seconds`, and then exactly these segments."""
        self.at(seconds - 1 / SECOND)
        self.sends()
        self.at(seconds)
        self.sends(*texts)

    # User calls

    def open(self, passive: bool = False) -> None:
        self.connection.open(self.now, passive)

    def send(self, text: bytes | int) -> None:
        self.connection.send(bytes(text), self.now)

    def receive(self, octets: int | None = None) -> bytes:
        return self.connection.receive(self.now, octets)

    def close(self) -> None:
        self.connection.close(self.now)

    def abort(self) -> None:
        self.connection.abort(self.now)

    # Reaching a state

    def reach(self, state: str) -> Played:
        """Play to a state by the shortest way, then forget what was sent and told on it."""
        way: dict[str, tuple[Callable[[], None], ...]] = {
            "CLOSED": (),
            "LISTEN": (lambda: self.open(passive=True),),
            "SYN-SENT": (self.open,),
            "SYN-RECEIVED": (lambda: self.reach("LISTEN"), lambda: self.hear("<SEQ=300><CTL=SYN>")),
            "ESTABLISHED": (lambda: self.reach("SYN-SENT"), lambda: self.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>")),
            "FIN-WAIT-1": (lambda: self.reach("ESTABLISHED"), self.close),
            "FIN-WAIT-2": (lambda: self.reach("FIN-WAIT-1"), lambda: self.hear("<SEQ=301><ACK=102><CTL=ACK>")),
            "CLOSE-WAIT": (lambda: self.reach("ESTABLISHED"), lambda: self.hear("<SEQ=301><ACK=101><CTL=FIN,ACK>")),
            "CLOSING": (lambda: self.reach("FIN-WAIT-1"), lambda: self.hear("<SEQ=301><ACK=101><CTL=FIN,ACK>")),
            "LAST-ACK": (lambda: self.reach("CLOSE-WAIT"), self.close),
            "TIME-WAIT": (lambda: self.reach("FIN-WAIT-2"), lambda: self.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>")),
        }
        for step in way[state]:
            step()
        assert self.state == state
        self.connection.segments_to_send()
        self.connection.news()
        return self


class End:
    """One end of a `World`: a connection, what its user gave and got, and why it ended."""

    def __init__(self, config: TcpConfig, iss: int) -> None:
        self.connection = Connection(config, iss)
        self.given = bytearray()
        self.got = bytearray()
        self.connected = False
        self.cause: Cause | None = None

    @property
    def state(self) -> State:
        return self.connection.state

    def send(self, octets: int, now: int) -> None:
        text = bytes((len(self.given) + i) % 251 for i in range(octets))
        self.connection.send(text, now)
        self.given += text

    def receive(self, octets: int | None, now: int) -> None:
        self.got += self.connection.receive(now, octets)


#: What may befall a segment: after which delays, in microseconds, copies of it arrive.
FATES: dict[str, tuple[int, ...]] = {
    "lost": (),
    "twice": (10_000, 10_000),
    "late": (35_000,),
    "very late": (1_500_000,),
    "twice, late": (10_000, 2_500_000),
}


class World:
    """Two connections and the segments between them. `faults` says what befalls the n-th segment (see `FATES`)."""

    def __init__(
        self, configs: tuple[TcpConfig, TcpConfig], isses: tuple[int, int], faults: Iterable[tuple[int, str]] = ()
    ) -> None:
        self.ends = tuple(End(config, iss) for config, iss in zip(configs, isses, strict=True))
        self.now = 0
        self.delay = 10_000
        self.faults = dict(faults)
        self.flying: list[tuple[int, int, int, Segment]] = []  # (arrival, ordinal, to whom, segment)
        self.diary: list[tuple[int, int, Callable[[], None]]] = []  # (time, ordinal, what a user will do)
        self.launched = 0
        self.ordinal = itertools.count()

    def collect(self, who: int) -> list[Segment]:
        """Put what an end sends on the link, and note what its user is told."""
        end = self.ends[who]
        segments = end.connection.segments_to_send()
        for segment in segments:
            for delay in FATES.get(self.faults.get(self.launched, ""), (self.delay,)):
                heapq.heappush(self.flying, (self.now + delay, next(self.ordinal), 1 - who, segment))
            self.launched += 1
        for what in end.connection.news():
            if isinstance(what, Signal):
                end.connected |= what.notice is Notice.CONNECTED
            elif isinstance(what, Row) and what.cause is not None:
                end.cause = what.cause
        return segments

    def call(self, who: int, call: Callable[[], None]) -> bool:
        """A user calls its TCP; True unless it is refused."""
        try:
            call()
        except TcpError:
            return False
        finally:
            self.collect(who)
        return True

    def arrive(self, who: int, segment: Segment) -> list[Segment]:
        """A segment reaches an end. Returns what that end sends at once."""
        self.ends[who].connection.segment_arrives(segment, self.now)
        return self.collect(who)

    def later(self, delay: int, what: Callable[[], None]) -> None:
        heapq.heappush(self.diary, (self.now + delay, next(self.ordinal), what))

    def step(self) -> bool:
        """Go to the next arrival, timer or diary entry; False when there is none."""
        timers = [(at, who) for who in (0, 1) if (at := self.ends[who].connection.next_timeout()) is not None]
        times = [queue[0][0] for queue in (self.flying, self.diary) if queue] + [at for at, _ in timers]
        if not times:
            return False
        self.now = max(self.now, min(times))
        if self.flying and self.flying[0][0] <= self.now:
            _, _, who, segment = heapq.heappop(self.flying)
            self.arrive(who, segment)
        elif self.diary and self.diary[0][0] <= self.now:
            heapq.heappop(self.diary)[2]()
        else:
            for at, who in timers:
                if at <= self.now:
                    self.expire(who)
        return True

    def expire(self, who: int) -> None:
        """The next timer of an end expires, if one runs; afterwards none of the past is left."""
        connection = self.ends[who].connection
        at = connection.next_timeout()
        if at is not None:
            self.now = max(self.now, at)
            connection.timeout(self.now)
            self.collect(who)
            after = connection.next_timeout()
            assert after is None or after > self.now
