"""Drives a connection of `tiny.py`, with your functions in it, by requests: what happens, and what it did then.

`answer` takes a request as the grader sends it, and `try.py` too.
"""

from __future__ import annotations

from typing import Any

import submission
from tiny import ACK, FIN, RST, SYN, Connection, Segment, Settings, TcpError

BITS = {"SYN": SYN, "FIN": FIN, "RST": RST, "ACK": ACK}

connection = Connection(Settings(), 0, submission)


def answer(request: dict[str, Any]) -> Any:
    """A reply to one request, or to each step of a whole path."""
    if request["do"] == "play":
        return [answer(step) for step in request["steps"]]
    refused = None
    try:
        handle(request)
    except TcpError as error:
        refused = str(error)
    tcb = connection.tcb
    segments, tcb.segments = [written(segment) for segment in tcb.segments], []
    told, tcb.told = [list(what) for what in tcb.told], []
    return {
        "segments": segments,
        "told": told,
        "refused": refused,
        "state": tcb.state.value,
        "timers": {
            "retransmit": tcb.retransmit_at,
            "user_timeout": tcb.user_timeout_at,
            "fin_wait_2": tcb.fin_wait_2_at,
            "time_wait": tcb.time_wait_at,
        },
        "tcb": {name: getattr(tcb, name) for name in ("snd_una", "snd_nxt", "snd_wnd", "rcv_nxt")},
    }


def handle(request: dict[str, Any]) -> None:
    """Let happen what a request says."""
    global connection
    now = request.get("now", 0)
    match request["do"]:
        case "new":
            connection = Connection(Settings(**request["settings"]), request["iss"], submission)
        case "open":
            connection.open(request["passive"], now)
        case "send":
            connection.send(request["text"].encode("latin-1"), now)
        case "close":
            connection.close(now)
        case "abort":
            connection.abort(now)
        case "segment":
            connection.segment_arrives(read(request), now)
        case "time":
            connection.time_passes(now)
        case "unreachable":
            connection.unreachable(now)
        case "invalid_header":
            connection.invalid_header(now)


def read(words: dict[str, Any]) -> Segment:
    """A segment from the words of a request."""
    ctl = sum(bit for name, bit in BITS.items() if name in words["ctl"].split(","))
    return Segment(words["seq"], words["ack"] or 0, ctl, words["wnd"], words["text"].encode("latin-1"))


def written(segment: Segment) -> dict[str, Any]:
    """The reverse."""
    ctl = ",".join(name for name, bit in BITS.items() if segment.ctl & bit)
    ack = segment.ack if segment.ctl & ACK else None
    return {"seq": segment.seq, "ack": ack, "ctl": ctl, "wnd": segment.wnd, "text": segment.text.decode("latin-1")}
