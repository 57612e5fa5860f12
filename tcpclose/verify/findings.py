"""What must hold of the two ends of a world, and how worlds end."""

from __future__ import annotations

from collections import Counter

from tcpclose.protocol.fsm import Cause, State
from tcpclose.verify.ends import Facts

Pair = tuple[str, str]


def wrong_between(a: Facts, b: Facts) -> str | None:
    """What is wrong with these two ends, whatever is in flight between them."""
    if not (a.given.startswith(b.got) and b.given.startswith(a.got)):
        return "text was delivered that was not sent, or not in order"
    if Cause.GRACEFUL in (a.cause, b.cause) and not (a.given == b.got and b.given == a.got):
        return 'told "graceful", and not all text has arrived'
    return None


class Silence:
    """Worlds in which nothing is in flight: what they end in, and which ends do not know that the other is gone."""

    def __init__(self) -> None:
        self.ended: Counter[Pair] = Counter()
        self.half_open: Counter[Pair] = Counter()
        self.for_ever: Counter[Pair] = Counter()

    def examine(self, facts: tuple[Facts, Facts], goes_on: bool, free: bool) -> str | None:
        """Count such a world; what is wrong with it. `goes_on`: a timer will expire; `free`: a user can still call."""
        pair = (_words(facts[0]), _words(facts[1]))
        closed = [fact.state is State.CLOSED for fact in facts]
        if not free:
            self.ended[pair] += 1
        if any(closed) and any(_may_be_half_open(fact.state) for fact in facts):
            self.half_open[pair] += 1
        if goes_on or all(closed) or not all(fact.done for fact in facts):
            return None
        if any(closed) and any(fact.state.awaits_fin for fact in facts):
            self.for_ever[pair] += 1
            return None
        return "both users have called CLOSE or ABORT, and nothing leads to CLOSED any more"


def _may_be_half_open(state: State) -> bool:
    """An end in this state may not know that the other is gone (3.5.1)."""
    return (state.handshaking or state.synchronized) and not state.lingers


def _words(fact: Facts) -> str:
    return f"{fact.state} ({fact.cause})" if fact.cause else str(fact.state)
