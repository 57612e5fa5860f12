"""Our own scripts say nothing that could as well be otherwise: each expectation, changed in one place, must fail.

What comes from outside (inbound packets, arguments) may change without effect, and is left alone; so is what the
language does not compare: the clock of timestamps, and the number that a new descriptor gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from test_drill import ALL, SCRIPTS

from tcpclose.drill.parser import parse
from tcpclose.drill.printer import print_event, print_script
from tcpclose.drill.runner import Wishes, run_text
from tcpclose.drill.script import Call, Event, Packet, Script

_MAKES_DESCRIPTORS = ("socket", "accept", "accept4", "epoll_create")


def changed(event: Event) -> Iterator[Event]:
    match event.action:
        case Packet(inbound=False) as packet:
            for other in changed_packets(packet):
                yield replace(event, action=other)
            if event.time.until is None:
                yield replace(event, time=replace(event.time, at=event.time.at * 2 + 500_000))
        case Call(result=int(result)) as call if call.name not in _MAKES_DESCRIPTORS:
            yield replace(event, action=replace(call, result=result + 1))
            if call.errno:
                yield replace(event, action=replace(call, errno="EFAULT"))


def changed_packets(packet: Packet) -> Iterator[Packet]:
    for flag in "SFRP.":
        flags = packet.flags.replace(flag, "") if flag in packet.flags else packet.flags + flag
        yield replace(packet, flags=flags or "-")
    if "S" not in packet.flags:  # the first SYN stands where the script says
        yield replace(packet, seq=packet.seq + 1)
    yield replace(packet, length=packet.length + 1)
    yield replace(packet, ack=(packet.ack or 0) + 1)
    if packet.win is not None:
        yield replace(packet, win=packet.win + 1)
    for index, option in enumerate(packet.options or ()):
        rest = packet.options[:index], packet.options[index + 1 :]
        yield replace(packet, options=rest[0] + rest[1])
        if option.numbers and option.kind != "TS":
            more = replace(option, numbers=(option.numbers[0] + 1, *option.numbers[1:]))
            yield replace(packet, options=(*rest[0], more, *rest[1]))


def mutants(script: Script) -> Iterator[tuple[str, Script]]:
    for index, event in enumerate(script.events):
        for other in changed(event):
            events = (*script.events[:index], other, *script.events[index + 1 :])
            yield f"line {event.place.line}: {print_event(other)}", replace(script, events=events)


@pytest.mark.parametrize("path", ALL, ids=[str(path.relative_to(SCRIPTS)) for path in ALL])
def test_every_expectation_counts(path):
    wishes = Wishes(profile=path.relative_to(SCRIPTS).parts[0])
    found = list(mutants(parse(path.read_text())))
    assert len(found) > 10
    survivors = [what for what, script in found if run_text(print_script(script), "x", wishes).outcome != "failed"]
    assert survivors == []
