"""One `Stack` and its peers played by hand: what the tests of tables, limits and sockets share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tcpclose.protocol.config import PROFILES, SECOND
from tcpclose.protocol.datagram import Datagram, Endpoint, Pair
from tcpclose.protocol.segment import PSH, Segment, format_segment, parse_segment
from tcpclose.protocol.stack import Row, Stack

HERE = Endpoint("192.0.2.1", 80)


class Hosted:
    """A stack at 192.0.2.1 whose own numbers start at 100. Peer n is 192.0.2.2, port 1000 + n."""

    def __init__(self, **settings: object) -> None:
        profile = PROFILES[str(settings.pop("profile", "rfc9293"))]
        config = replace(profile, **{"msl": 5 * SECOND, "mss": 1000, **settings})  # type: ignore[arg-type]
        self.stack = Stack(config, b"secret", lambda pair: 100)
        self.now = 0
        self.last = Segment(0)
        self.options: dict[str, Any] = {}  # of every segment that arrives, unless it says other ones

    def pair(self, n: int = 0) -> Pair:
        return Pair(HERE, Endpoint("192.0.2.2", 1000 + n))

    def hear(self, text: str, n: int = 0, **options: Any) -> None:
        pair = self.pair(n)
        segment = replace(parse_segment(text), **{"wnd": 65535, **self.options, **options})
        self.stack.segment_arrives(Datagram(pair.remote, pair.local, segment), self.now)

    def sends(self, *texts: str, n: int = 0) -> None:
        """Exactly these segments left since the last look, all to peer n."""
        datagrams = self.stack.datagrams_to_send()
        assert all((d.src, d.dst) == self.pair(n) for d in datagrams)
        self.last = datagrams[-1].segment if datagrams else self.last
        assert [format_segment(replace(d.segment, ctl=d.segment.ctl & ~PSH)) for d in datagrams] == list(texts)

    def state(self, n: int = 0) -> str:
        return str(self.stack.state(self.pair(n)))

    def causes(self) -> list[str]:
        """Why connections ended since the last look."""
        whats = [news.what for news in self.stack.news()]
        return [str(what.cause) for what in whats if isinstance(what, Row) and what.cause]

    def at(self, seconds: float) -> None:
        """Let the clock run to `seconds`, timers included."""
        until = round(seconds * SECOND)
        while (at := self.stack.next_timeout()) is not None and at <= until:
            self.now = max(self.now, at)
            self.stack.timeout(self.now)
        self.now = until

    # Reaching a state

    def half_open(self, n: int = 0) -> Hosted:
        """A SYN arrives at a listener."""
        self.hear("<SEQ=300><CTL=SYN>", n)
        self.stack.datagrams_to_send()
        return self

    def established(self, n: int = 0) -> Hosted:
        self.half_open(n).hear("<SEQ=301><ACK=101><CTL=ACK>", n)
        assert self.state(n) == "ESTABLISHED"
        return self

    def time_wait(self, n: int = 0) -> Hosted:
        """We close first."""
        self.established(n).stack.close(self.pair(n), self.now)
        self.hear("<SEQ=301><ACK=102><CTL=FIN,ACK>", n)
        assert self.state(n) == "TIME-WAIT"
        self.stack.datagrams_to_send()
        self.stack.news()
        return self


def listening(backlog: int | None = None, **settings: object) -> Hosted:
    """A stack that listens at port 80."""
    host = Hosted(**settings)
    host.stack.listen(80, backlog)
    return host
