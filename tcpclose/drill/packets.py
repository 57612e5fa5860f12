"""The connection under test: numbers of the script to live ones and back, and how a packet is compared."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from tcpclose.drill.printer import print_option
from tcpclose.drill.scanner import Unsupported
from tcpclose.drill.script import Option, Packet
from tcpclose.protocol.datagram import Pair
from tcpclose.protocol.options import Kind, Layout, arrange, options_length
from tcpclose.protocol.segment import ACK, CWR, ECE, FIN, MODULUS, PSH, RST, SYN, URG, Segment, seq_add, seq_diff

_FLAGS = {"S": SYN, "F": FIN, "R": RST, "P": PSH, ".": ACK, "U": URG, "E": ECE, "W": CWR, "-": 0}
_ORDER = "SFRP.UEW"
_ECN = ("noecn", "ect1", "ect0", "ce")
_LONGEST_TEXT = 65535 - 20 - 20  # behind the headers of IP and TCP
_EITHER = (("ect01", "ect0"), ("ect01", "ect1"))
_KINDS = {
    Kind.END: "eol",
    Kind.NOP: "nop",
    Kind.MSS: "mss",
    Kind.WSCALE: "wscale",
    Kind.SACK_PERMITTED: "sackOK",
    Kind.SACK: "sack",
    Kind.TIMESTAMPS: "TS",
    Kind.USER_TIMEOUT: "user_timeout",
}
#: What segments must share to be joined to one (13 of the run-time rules); FIN and PSH are the last one's.
_JOINED = SYN | RST | ACK | URG | ECE


class Mismatch(Exception):
    """What happened is not what the script says."""


class Seen(NamedTuple):
    """A segment that our stack has sent, and when."""

    at: int
    pair: Pair
    segment: Segment


class Subject:
    """The connection under test. Its peer's numbers are live as they stand in the script; ours are shifted."""

    def __init__(self, layout: Layout, pair: Pair | None = None) -> None:
        self.layout = layout
        self.pair = pair
        self.shift: int | None = None  # live number minus the script's, known from our SYN on
        self._echoes: dict[int, int] = {}  # TSval in the script -> the live one
        self._clock: tuple[int, int] | None = None  # the first such pair

    # Into our stack

    def inject(self, packet: Packet, scaled: bool = False) -> Segment:
        """The live segment of an inbound packet. `scaled`: TSecr counts from our first TSval on."""
        if packet.length > _LONGEST_TEXT:
            raise Mismatch(f"length {packet.length} does not fit into a packet")
        segment = Segment(packet.seq, ctl=_control(packet.flags), wnd=packet.win or 0, data=bytes(packet.length))
        if segment.wnd > 0xFFFF:
            raise Mismatch(f"win {packet.win} does not fit into 16 bits")
        segment.up = packet.urg or 0
        segment.ecn = _ECN.index(packet.ecn) if packet.ecn in _ECN else 0
        if segment.ctl & ACK:
            segment.ack = self.live(packet.ack or 0)
        for option in packet.options or ():
            self._add_option(segment, option, scaled)
        return segment

    def live(self, number: int) -> int:
        """One of our numbers as it is on the wire."""
        return seq_add(number, self.shift or 0)

    def _add_option(self, segment: Segment, option: Option, scaled: bool) -> None:
        numbers = option.numbers
        match option.kind:
            case "mss":
                segment.mss = numbers[0]
            case "wscale":
                segment.wscale = numbers[0]
            case "sackOK":
                segment.sack_permitted = True
            case "TS":
                segment.timestamps = numbers[0], self._echo(numbers[1], scaled)
            case "sack":
                edges = [self.live(edge) for edge in numbers]
                segment.sack = tuple(zip(edges[::2], edges[1::2], strict=True))
            case "user_timeout":
                segment.user_timeout = numbers[0]
            case "nop" | "eol":
                pass
            case kind:
                raise Unsupported(f"the TCP option {kind}")

    def _echo(self, ecr: int, scaled: bool) -> int:
        if ecr in self._echoes:
            return self._echoes[ecr]
        if scaled and self._clock is not None:
            return (ecr - self._clock[0] + self._clock[1]) % MODULUS
        if ecr == 0:
            return 0
        known = ", ".join(map(str, sorted(self._echoes))) or "none so far"
        raise Mismatch(f"ecr {ecr} is no TSval that was expected before (there are: {known})")

    # Out of our stack

    def outbound(self, segment: Segment, template: Packet | None = None) -> Packet:
        """A live segment in the script's numbers; what the template leaves unsaid is left out here, too."""
        ctl = segment.ctl
        if ctl & SYN and self.shift is None:
            self.shift = seq_diff(segment.seq, 0 if template is None else template.seq) % MODULUS
        wants_window = template is None or template.win is not None
        return Packet(
            inbound=False,
            flags=scripted_flags(ctl),
            seq=seq_add(segment.seq, -(self.shift or 0)),
            length=len(segment.data),
            ack=segment.ack if ctl & ACK else None,
            win=segment.wnd if wants_window else None,
            urg=segment.up if ctl & URG else None,
            options=scripted_options(segment, self.layout),
            ecn=_ECN[segment.ecn] if segment.ecn or (template is not None and template.ecn) else "",
        )

    def compare(self, expected: Packet, got: Packet, tick: int, tolerance: int) -> None:
        """Rules 10 and 11. `tick` is --tcp_ts_tick_usecs, 0 where the value of TS does not count."""
        if _control(expected.flags) != _control(got.flags):
            raise Mismatch(f"flags: expected {expected.flags}, got {got.flags}")
        for name, wanted, there in (
            ("sequence number", expected.seq, got.seq),
            ("length", expected.length, got.length),
            ("ack", expected.ack or 0, got.ack or 0),
            ("win", expected.win, got.win),
            ("urgent pointer", expected.urg or 0, got.urg or 0),
        ):
            if wanted != there:
                raise Mismatch(f"{name}: expected {wanted}, got {there}")
        if expected.ecn not in ("", "nocare", got.ecn) and (expected.ecn, got.ecn) not in _EITHER:
            raise Mismatch(f"ECN: expected {expected.ecn}, got {got.ecn}")
        if expected.options is not None:
            self._compare_options(expected.options, got.options or (), tick, tolerance)

    def _compare_options(
        self, expected: tuple[Option, ...], got: tuple[Option, ...], tick: int, tolerance: int
    ) -> None:
        if [option.kind for option in expected] != [option.kind for option in got]:
            raise Mismatch(f"options: expected {_list(expected)}, got {_list(got)}")
        for wanted, there in zip(expected, got, strict=True):
            if wanted.kind != "TS" and wanted.numbers != there.numbers:
                raise Mismatch(f"option: expected {print_option(wanted)}, got {print_option(there)}")
            if wanted.kind == "TS":
                self._compare_clock(wanted.numbers[0], there.numbers[0], tick, tolerance)

    def _compare_clock(self, wanted: int, live: int, tick: int, tolerance: int) -> None:
        """Note which live TSval the script's stands for, and whether it has ticked as the script says."""
        if self._clock is None:
            self._clock = wanted, live
        there = (self._clock[0] + live - self._clock[1]) % MODULUS
        if tick and abs(seq_diff(there, wanted)) * tick > tolerance:
            raise Mismatch(f"TS val: expected {wanted}, got {there}")
        self._echoes[wanted] = live


def joins(first: Segment, previous: Segment, further: Segment) -> bool:
    """May `further` be joined to what went before (13)? All but the last have the first one's size."""
    return (
        further.seq == previous.end
        and len(previous.data) == len(first.data) >= len(further.data) > 0
        and options_length(further) == options_length(first)
        and not (further.ctl ^ first.ctl) & _JOINED
        and (further.ack, further.wnd) == (first.ack, first.wnd)
    )


def join(segments: list[Segment]) -> Segment:
    """One segment in place of many."""
    first, last = segments[0], segments[-1]
    ends = FIN | PSH
    return replace(first, ctl=first.ctl & ~ends | last.ctl & ends, data=b"".join(segment.data for segment in segments))


def scripted_flags(ctl: int) -> str:
    """Control bits as scripts write them."""
    return "".join(name for name in _ORDER if ctl & _FLAGS[name]) or "-"


def scripted_options(segment: Segment, layout: Layout) -> tuple[Option, ...]:
    """The options of a segment, in the order in which they stand in a header; numbers are as they are there."""
    numbers = {
        Kind.MSS: (segment.mss or 0,),
        Kind.WSCALE: (segment.wscale or 0,),
        Kind.TIMESTAMPS: segment.timestamps or (),
        Kind.SACK: tuple(edge for block in segment.sack for edge in block),
        Kind.USER_TIMEOUT: (segment.user_timeout or 0,),
    }
    return tuple(Option(_KINDS[kind], numbers.get(kind, ())) for kind in arrange(segment, layout))


def _control(flags: str) -> int:
    control = 0
    for flag in flags:
        control |= _FLAGS[flag]
    return control


def _list(options: tuple[Option, ...]) -> str:
    return f"<{','.join(map(print_option, options))}>"
