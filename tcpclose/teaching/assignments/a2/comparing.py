"""What a submission did otherwise than a right one, in words, and as a figure of how it came to that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tcpclose.protocol.config import SECOND
from tcpclose.protocol.fsm import State
from tcpclose.teaching.assignments.a2.right import Reply, Request, read
from tcpclose.trace.figure import Arrow, Line, format_figure

#: What to say of a part of a reply that is another, in the order in which it is said. Windows are the tiny engine's
#: own, and so are timers: what counts is when something happens.
_PARTS = (
    ("refused", "refuses what it should do, or does what it should refuse"),
    ("state", "is in another state than it should be"),
    ("told", "tells its user something else than it should"),
)


#: What is no call of a user.
_HAPPENS = {"unreachable": "hard ICMP error", "invalid_header": "an invalid header arrives"}


def visible(reply: Reply) -> Reply:
    """What counts of a reply."""
    segments = [{name: segment[name] for name in ("seq", "ack", "ctl", "text")} for segment in reply["segments"]]
    return {"segments": segments} | {part: reply[part] for part, _ in _PARTS}


def difference(got: Reply, want: Reply) -> str | None:
    """What is wrong with a reply, without what would be right; None when nothing is."""
    seen, due = visible(got), visible(want)
    if seen["segments"] != due["segments"]:
        return _of_segments(len(seen["segments"]), len(due["segments"]))
    return next((words for part, words in _PARTS if seen[part] != due[part]), None)


def first_difference(got: Sequence[Reply], want: Sequence[Reply]) -> tuple[int, str] | None:
    """At which step of a path something is wrong, and what."""
    for index, (reply, right) in enumerate(zip(got, want, strict=True)):
        if words := difference(reply, right):
            return index, words
    return None


def _of_segments(sent: int, due: int) -> str:
    if sent == due:
        return "sends a segment that is wrong: SEQ, ACK, CTL or text"
    if not sent:
        return "sends nothing, and should"
    return "sends what it should not" if sent > due else "does not send all that it should"


def draw(steps: Sequence[Request], replies: Sequence[Reply], fault: str) -> str:
    """The path as a figure, the submission on the left; what happens in the last step is at fault."""
    lines = list(_lines(steps, replies))
    for number, line in enumerate(lines, 1):
        line.number = number
    return f"{format_figure(lines).rstrip()}\n    here it {fault}"


def _lines(steps: Sequence[Request], replies: Sequence[Reply]) -> Iterator[Line]:
    was, before = 0, [("A", State.CLOSED)]
    for index, (step, reply) in enumerate(zip(steps, replies, strict=True), 1):
        state, now = [("A", State(reply["state"]))], step.get("now", 0)
        if step["do"] == "time" and state == before and not reply["segments"] and index < len(steps):
            continue
        if now > was:
            yield Line(0, notes=[("A", f"{(now - was) / SECOND:g} s later")], states=before)
        was, before = now, state
        if step["do"] == "segment":
            yield Line(0, arrow=Arrow("B", read(step), True, True, False, False), states=state)
        elif step["do"] in _HAPPENS:
            yield Line(0, notes=[("A", _HAPPENS[step["do"]])], states=state)
        elif step["do"] not in ("new", "time"):
            yield Line(0, calls=[("A", _call(step))], states=state)
        for segment in reply["segments"]:
            yield Line(0, arrow=Arrow("A", read(segment), True, True, False, False), states=state)


def _call(step: Request) -> str:
    do: str = step["do"]
    words = {"open": "listen" if step.get("passive") else "open", "send": f"send {len(step.get('text', ''))}"}
    return words.get(do, do)
