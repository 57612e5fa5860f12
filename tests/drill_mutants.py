"""Scripts with one numeral or one flag changed. A script that says what it means fails when it is changed.

Where it does not, `UNOBSERVABLE` must have the reason: a rule for each class, in the words of packetdrill's run-time
rules or of the protocol.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from tcpclose.drill.dialect import Profile
from tcpclose.drill.printer import print_event, print_script
from tcpclose.drill.runner import Wishes, run_text
from tcpclose.drill.script import (
    Array,
    Call,
    Code,
    Command,
    Either,
    Entry,
    Event,
    Icmp,
    Option,
    Packet,
    Script,
    Struct,
    Time,
)

_FLAGS = "SFRP."
_NUMERAL = re.compile(r"(?<![\w.-])\d+\b")  # in a command or an assertion, but no part of a name
_LEAST_SHIFT = (
    10_000  # microseconds: beyond the least tolerance, and half as much again as was written is beyond 12.5 %
)


class Mutant(NamedTuple):
    """A script with a change: `what` it was that was `old`, and the event as it was before."""

    script: Script
    index: int
    event: Event
    what: str
    old: Any

    @property
    def action(self) -> Any:
        """Of the event, as it was."""
        return self.event.action

    def __str__(self) -> str:
        return f"{self.what} in {print_event(self.event)}  ->  {print_event(self.script.events[self.index])}"


def mutants(script: Script) -> Iterator[Mutant]:
    """All changes of a script, one at a time."""
    for index, event in enumerate(script.events):
        for what, old, changed in _of_event(event):
            events = (*script.events[:index], changed, *script.events[index + 1 :])
            yield Mutant(replace(script, events=events), index, event, what, old)
    for number in _NUMERAL.finditer(script.first):
        first = replace(script, first=_counted_up(script.first, number))
        yield Mutant(first, -1, Event(Time("any"), Command(script.first)), "numeral", number[0])


def _of_event(event: Event) -> Iterator[tuple[str, Any, Event]]:
    time = event.time
    if time.form != "any" and not time.blocks:
        later = time.at + max(_LEAST_SHIFT, time.at // 2)
        yield "time", time.at, replace(event, time=replace(time, at=later, until=time.until and time.until + later))
    elif time.until is not None:
        longer = time.until + max(_LEAST_SHIFT, (time.until - time.at) // 2)
        yield "end of the call", time.until, replace(event, time=replace(time, until=longer))
    for what, old, action in _OF_ACTION[type(event.action)](event.action):
        yield what, old, replace(event, action=action)


Changes = Iterator[tuple[str, Any, Any]]


def _of_packet(packet: Packet) -> Changes:
    for flag in _FLAGS:
        flags = "".join(f for f in _FLAGS if (f in packet.flags) != (f == flag)) or "-"
        yield f"flag {flag}", packet.flags, replace(packet, flags=flags)
    for name in ("seq", "length", "ack", "win", "urg"):
        if (old := getattr(packet, name)) is not None:
            yield name, old, replace(packet, **{name: (old + 1) % 2**32})
    options = packet.options or ()
    for place, option in enumerate(options):
        if not packet.inbound:
            yield "options", option, replace(packet, options=(*options[:place], *options[place + 1 :]))
        for which, number in enumerate(option.numbers):
            numbers = (*option.numbers[:which], number + 1, *option.numbers[which + 1 :])
            changed = (*options[:place], Option(option.kind, numbers), *options[place + 1 :])
            name = f"{option.kind} {('val', 'ecr')[which]}" if option.kind == "TS" else option.kind
            yield name, number, replace(packet, options=changed)


def _of_icmp(icmp: Icmp) -> Changes:
    if icmp.quoted is not None:
        seq, length = icmp.quoted
        yield "quoted seq", seq, replace(icmp, quoted=(seq + 1, length))
        yield "quoted length", length, replace(icmp, quoted=(seq, length + 1))


def _of_call(call: Call) -> Changes:
    for place, argument in enumerate(call.arguments):
        for old, changed in _of_value(argument):
            arguments = (*call.arguments[:place], changed, *call.arguments[place + 1 :])
            yield f"argument {place + 1}", old, replace(call, arguments=arguments)
    for old, changed in _of_value(call.result):
        yield "result", old, replace(call, result=changed)
    if call.errno:
        other = "EBADF" if call.errno == "EFAULT" else "EFAULT"
        yield "errno", call.errno, replace(call, errno=other)


def _of_value(value: Any) -> Iterator[tuple[int, Any]]:
    match value:
        case int():
            yield value, _more(value)
        case Array(members) | Either(members) | Struct(members):
            for place, member in enumerate(members):
                for old, changed in _of_value(member):
                    yield old, type(value)((*members[:place], changed, *members[place + 1 :]))
        case Entry(inner):
            for old, changed in _of_value(inner):
                yield old, replace(value, value=changed)


def _of_text(action: Command | Code) -> Changes:
    for number in _NUMERAL.finditer(action.text):
        yield "numeral", number[0], replace(action, text=_counted_up(action.text, number))


def _more(number: int) -> int:
    """Half as much again, so that durations differ by more than any tolerance; at least one more."""
    return number + max(1, number // 2)


def _counted_up(text: str, number: re.Match[str]) -> str:
    return f"{text[: number.start()]}{_more(int(number[0]))}{text[number.end() :]}"


_OF_ACTION: dict[type, Callable[[Any], Changes]] = {
    Packet: _of_packet,
    Icmp: _of_icmp,
    Call: _of_call,
    Command: _of_text,
    Code: _of_text,
}


def survives(mutant: Mutant, profile: Profile) -> bool:
    """Does nobody notice?"""
    return run_text(print_script(mutant.script), "mutant", Wishes(profile=profile)).outcome == "passed"


def _answer(mutant: Mutant) -> Packet | None:
    """The packet that an event is answered by, whatever calls and questions come between."""
    later = (event.action for event in mutant.script.events[mutant.index + 1 :])
    following = next((action for action in later if isinstance(action, Packet | Icmp)), None)
    return following if isinstance(following, Packet) and not following.inbound else None


def _by_nobody(mutant: Mutant) -> bool:
    """Is the answer that of a connection that does not exist, a RST without ACK?"""
    answer = _answer(mutant)
    return answer is not None and answer.flags == "R"


def _repeats(mutant: Mutant) -> bool:
    """Is the answer an ACK of nothing new: of what was acknowledged before, or had come before?"""
    answer = _answer(mutant)
    if answer is None or answer.flags != ".":
        return False
    before = _packets(mutant.script.events[: mutant.index], inbound=False)
    come = max((p.seq + p.length + len(set(p.flags) & set("SF")) for p in _before(mutant)), default=0)
    return bool(before) and answer.ack in (before[-1].ack, come)


def _only_repeats(mutant: Mutant) -> bool:
    """Is nothing said any more but the ACK that was said before?"""
    before = _packets(mutant.script.events[: mutant.index], inbound=False)
    later = _packets(mutant.script.events[mutant.index + 1 :], inbound=False)
    return bool(before) and bool(later) and all((p.flags, p.ack) == (".", before[-1].ack) for p in later)


def _packets(events: tuple[Event, ...], inbound: bool) -> list[Packet]:
    return [e.action for e in events if isinstance(e.action, Packet) and e.action.inbound == inbound]


def _before(mutant: Mutant) -> list[Packet]:
    """What the peer has sent before."""
    return _packets(mutant.script.events[: mutant.index], inbound=True)


def _later(mutant: Mutant) -> list[Packet]:
    """What the peer sends later."""
    return _packets(mutant.script.events[mutant.index + 1 :], inbound=True)


def _nothing_sent_later(mutant: Mutant) -> bool:
    """Does the connection send nothing more that the script expects?"""
    return all(packet.flags == "R" for packet in _packets(mutant.script.events[mutant.index + 1 :], inbound=False))


def _acknowledges_text(mutant: Mutant) -> bool:
    """Is there text, and an ACK alone?"""
    sent = _packets(mutant.script.events[mutant.index + 1 :], inbound=False)
    return any(p.length for p in _later(mutant)) and any(p.flags == "." for p in sent)


def _inbound(mutant: Mutant, *whats: str) -> bool:
    action = mutant.action
    return isinstance(action, Packet) and action.inbound and mutant.what in whats


def _outbound(mutant: Mutant, *whats: str) -> bool:
    action = mutant.action
    return isinstance(action, Packet) and not action.inbound and mutant.what in whats


def _call(mutant: Mutant, names: str, what: str) -> bool:
    action = mutant.action
    return isinstance(action, Call) and action.name in names.split() and mutant.what == what


def _setting(mutant: Mutant) -> bool:
    return mutant.what == "numeral" or (
        _call(mutant, "setsockopt getsockopt", "argument 4") or _call(mutant, "ioctl", "argument 3")
    )


def _unused(mutant: Mutant) -> bool:
    """Is a descriptor never used again?"""
    later = (event.action for event in mutant.script.events[mutant.index + 1 :])
    return not any(isinstance(a, Call) and a.arguments and a.arguments[0] == mutant.old for a in later)


_NUMBERS = ("seq", "length", "ack")
_CONTROL = tuple(f"flag {flag}" for flag in _FLAGS)

#: Why a change is not noticed, and of which changes that is true.
UNOBSERVABLE: dict[str, Callable[[Mutant], bool]] = {
    "a stimulus may come a little later: what follows is timed from when it came (run-time rule 1)": lambda m: (
        m.what == "time" and not _outbound(m, "time")
    ),
    "PSH means nothing to the receiver of a segment (3.9.1.2)": lambda m: _inbound(m, "flag P"),
    "a window, an MSS or a shift count may be larger where it limits nothing": lambda m: _inbound(
        m, "win", "mss", "wscale"
    ),
    "a timestamp may be later (RFC 7323, 5.3)": lambda m: _inbound(m, "TS val"),
    "TSecr is never compared, TSval only with --tcp_ts_tick_usecs, and not exactly (run-time rule 11)": lambda m: (
        _outbound(m, "TS val", "TS ecr")
    ),
    "our SYN gives the numbers their beginning, and no other number follows (run-time rule 8)": lambda m: (
        _outbound(m, "seq") and "S" in m.action.flags
    ),
    "where there is no connection, only the ACK number counts (3.10.7.1)": lambda m: (
        _by_nobody(m) and _inbound(m, "seq", "length", *_CONTROL)
    ),
    "text and FIN on a SYN are left for the peer to send again (3.10.7.2)": lambda m: (
        _inbound(m, "length", "flag F") and "S" in m.action.flags
    ),
    "a segment without text may stand anywhere in the window (3.10.7.4 first)": lambda m: (
        _inbound(m, "seq") and not m.action.length
    ),
    "what is sent after the last expectation is not looked at (run-time rule 7)": lambda m: (
        _nothing_sent_later(m) and _inbound(m, *_NUMBERS, *_CONTROL)
    ),
    "what is old, in doubt or not acceptable is answered by the same ACK, whatever it is (3.10.7.4 first)": lambda m: (
        _repeats(m) and _inbound(m, *_NUMBERS, *_CONTROL)
    ),
    "a RST that does not count may be dropped for another reason (3.10.7.3, RFC 1337, RFC 5961 7)": lambda m: (
        _inbound(m, *_NUMBERS, *_CONTROL) and "R" in m.action.flags and not _nothing_sent_later(m)
    ),
    "no challenge ACK leaves within the limit, whatever is not acceptable (RFC 5961 7)": lambda m: (
        _inbound(m, *_CONTROL) and _answer(m) is None and not m.action.length and _only_repeats(m)
    ),
    "a SYN counts with ACK or without it in a synchronized state (3.10.7.4 fourth)": lambda m: (
        _inbound(m, "flag .") and "S" in m.action.flags and bool(_before(m))
    ),
    "an ACK may be lost when a later one says as much (3.10.7.4 fifth)": lambda m: (
        _inbound(m, "flag .", "ack") and any((p.ack or 0) >= (m.action.ack or 0) for p in _later(m))
    ),
    "what lies beyond the peer's FIN is not looked at (3.10.7.4 seventh)": lambda m: (
        _inbound(m, "length", "flag F") and any("F" in p.flags for p in _before(m))
    ),
    "text that nobody reads is answered alike, however much it is (3.6.1)": lambda m: (
        _inbound(m, "seq", "length", "flag F") and (answer := _answer(m)) is not None and answer.flags == "R."
    ),
    "text beyond the window is not taken (3.10.7.4 first)": lambda m: (
        _inbound(m, "length") and (answer := _answer(m)) is not None and answer.win == 0
    ),
    "a switch is on with any number but 0": lambda m: _setting(m) and m.old in (1, "1"),
    "a limit that is not reached may be further away": lambda m: (
        (_call(m, "setsockopt", "argument 4") and m.action.arguments[2].name in _LIMITS)
        or (m.what == "numeral" and "tcp_fin_timeout=" in m.action.text)
    ),
    "nothing is acknowledged that could be delayed": lambda m: (
        m.what == "numeral" and "delayed_ack=" in m.action.text and not _acknowledges_text(m)
    ),
    "a FIN may come earlier, and again (3.10.7.4 eighth)": lambda m: (
        _inbound(m, "flag F") and any("F" in p.flags and p.seq == m.action.seq for p in _later(m))
    ),
    "a segment without ACK is dropped, whatever it is (3.10.7.4 fifth)": lambda m: (
        _inbound(m, *_NUMBERS, *_CONTROL) and not set(m.action.flags) & set("SR.")
    ),
    "the length of an option's value is known": lambda m: _call(m, "setsockopt", "argument 5"),
    "a read may ask for more than there is": lambda m: (
        _call(m, "read recv recvfrom", "argument 3") or _call(m, "readv", "argument 2")
    ),
    "what fails, or is done by halves, is so with other arguments, too": lambda m: (
        m.what.startswith("argument") and (m.action.result == -1 or m.old > m.action.result > 0)
    ),
    "how many entries an array has is seen, and nothing waits when it need not": lambda m: (
        _call(m, "poll", "argument 2")
        or _call(m, "poll readv writev epoll_wait", "argument 3")
        or _call(m, "epoll_wait", "argument 4")
    ),
    "a flag is known by its name": lambda m: (
        _call(m, "sendmsg recvmsg", "argument 2")
        or _call(m, "sendmsg recvmsg fcntl", "argument 3")
        or _call(m, "send sendto recvfrom", "argument 4")
    ),
    "the size of epoll's table means nothing": lambda m: _call(m, "epoll_create", "argument 1"),
    "any descriptor that is not open has POLLNVAL, whatever is asked": lambda m: (
        _call(m, "poll", "argument 1") and m.action.result == 2
    ),
    "an assertion may hold for other numbers": lambda m: (
        isinstance(m.action, Code) and any(word in m.action.text for word in ("max(", "min("))
    ),
    "a backlog that is never full": lambda m: _call(m, "listen", "argument 2"),
    "a descriptor that is never used": lambda m: _call(m, "accept socket", "result") and _unused(m),
    "ICMP quotes any number in flight, of any length (RFC 5927, 4.1), or is not heeded": lambda m: (
        m.what in ("quoted seq", "quoted length")
    ),
}
_LIMITS = ("SO_LINGER", "TCP_USER_TIMEOUT", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_DEFER_ACCEPT", "SO_RCVTIMEO")


def reason(mutant: Mutant) -> str | None:
    """Why nobody need notice."""
    return next((words for words, holds in UNOBSERVABLE.items() if holds(mutant)), None)
