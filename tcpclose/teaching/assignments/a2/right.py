"""What a right A2 does: our own engine with the student's table, asked in the words of the channel.

A request is what happens to a connection, a reply all that it did then. `serve.py` of the assignment takes the same
requests for a submission.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tcpclose.protocol.config import SECOND, TcpConfig
from tcpclose.protocol.connection import Connection
from tcpclose.protocol.fsm import TABLE, Row, Table
from tcpclose.protocol.interface import Notice, TcpError, Timer
from tcpclose.protocol.segment import ACK, PSH, Segment, format_ctl, parse_ctl

Request = Mapping[str, Any]
Reply = dict[str, Any]

#: The tiny engine has neither options nor delays nor a congestion window, and its user reads at once. Where they differ
#: all the same (text beyond a hole, what is sent again early, two full segments in flight, a closed window), `paths`
#: does not go.
CONFIG = TcpConfig(
    challenge_ack_limit=1 << 30,
    delayed_ack=0,
    nagle=False,
    rto_initial=SECOND,
    rto_min=SECOND,
    rto_max=SECOND,
    rto_extra=0,
    user_timeout=3 * SECOND,
    msl=2 * SECOND,
    fin_wait_2_timeout=0,
)

#: What a request "new" may set, with the names of `TcpConfig`; the tiny engine's window is our `rcv_buffer`.
SETTINGS = ("msl", "user_timeout", "fin_wait_2_timeout", "rto_initial", "rto_max", "mss", "reset_ack", "timeout_reset")

#: What a reply tells of the TCB.
TCB = ("snd_una", "snd_nxt", "snd_wnd", "rcv_nxt")

_TOLD = (Notice.CONNECTED, Notice.EOF, Notice.CLOSED)


def new(iss: int, config: TcpConfig = CONFIG) -> Request:
    """The request that begins a connection."""
    settings = {name: getattr(config, name) for name in SETTINGS} | {"window": config.rcv_buffer}
    return {"do": "new", "iss": iss, "settings": settings}


def arrival(segment: Segment, now: int) -> Request:
    """The request that hands in a segment."""
    return {"do": "segment", "now": now} | written(segment)


def written(segment: Segment) -> dict[str, Any]:
    """A segment in the words of the channel; PUSH is not among them."""
    return {
        "seq": segment.seq,
        "ack": segment.ack if segment.ctl & ACK else None,
        "ctl": format_ctl(segment.ctl & ~PSH),
        "wnd": segment.wnd,
        "text": segment.data.decode("latin-1"),
    }


def read(words: Mapping[str, Any]) -> Segment:
    """The reverse of `written`."""
    return Segment(
        words["seq"], words["ack"] or 0, parse_ctl(words["ctl"]), words["wnd"], words["text"].encode("latin-1")
    )


class Right:
    """Answers requests as a right submission does."""

    def __init__(self, table: Table = TABLE) -> None:
        self.fired: list[Row] = []  # by the last request
        self._table = table
        self._connection = Connection(CONFIG, 0, table=table)

    @property
    def synchronized(self) -> bool:
        """Are the peer's numbers known?"""
        return self._connection.state.synchronized or self._connection.state.handshaking

    def play(self, steps: Sequence[Request]) -> list[Reply]:
        """A reply to each."""
        return [self.answer(step) for step in steps]

    def answer(self, request: Request) -> Reply:
        """What one request leads to."""
        refused = None
        try:
            self._do(request)
        except TcpError as error:
            refused = str(error)
        return self._reply(request.get("now", 0), refused)

    def _do(self, request: Request) -> None:
        connection, now = self._connection, request.get("now", 0)
        match request["do"]:
            case "new":
                config = replace(CONFIG, rto_min=request["settings"]["rto_initial"], **_settings(request["settings"]))
                self._connection = Connection(config, request["iss"], table=self._table)
            case "open":
                connection.open(now, request["passive"])
            case "send":
                connection.send(request["text"].encode("latin-1"), now)
            case "close" if connection.config.fin_wait_2_timeout:
                connection.release(now)  # that timer is for users who are gone
            case "close":
                connection.close(now)
            case "abort":
                connection.abort(now)
            case "segment":
                connection.segment_arrives(read(request), now)
            case "time":
                connection.timeout(now)
            case "unreachable":
                connection.icmp_arrives(True, "", now)
            case "invalid_header":
                connection.invalid_header_arrives(now)

    def _reply(self, now: int, refused: str | None) -> Reply:
        connection = self._connection
        text = connection.receive(now).decode("latin-1")
        told: list[list[str]] = []
        self.fired = []
        for signal in connection.news():
            if isinstance(signal, Row):
                self.fired.append(signal)
            elif isinstance(signal, Timer):
                continue
            elif signal.notice is Notice.TEXT:
                octets = int(signal.detail)
                told.append(["TEXT", text[:octets]])
                text = text[octets:]
            elif signal.notice in _TOLD:
                told.append([signal.notice.value, signal.detail])
        return {
            "segments": [written(segment) for segment in connection.segments_to_send()],
            "told": told,
            "refused": refused,
            "state": str(connection.state),
            "timers": {
                "retransmit": connection.sender.rto_at,
                "user_timeout": connection.sender.user_at,
                "fin_wait_2": connection.fin_wait_2_at,
                "time_wait": connection.time_wait_at,
            },
            "tcb": {name: getattr(connection.tcb, name) for name in TCB},
        }


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in SETTINGS} | {"rcv_buffer": settings["window"]}
