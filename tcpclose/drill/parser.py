"""The grammar of packetdrill scripts, by recursive descent: each method is one rule, its docstring the form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeVar

from tcpclose.drill.scanner import Scanner
from tcpclose.drill.script import (
    Action,
    Array,
    Call,
    Code,
    Command,
    Either,
    Entry,
    Event,
    Function,
    Gap,
    Icmp,
    Option,
    Packet,
    Script,
    Struct,
    Text,
    Time,
    Value,
    Word,
)

_T = TypeVar("_T")

_SECONDS = r"\d+(?:\.(?!\.)\d*)?|\.\d+"
_INTEGER = r"-?(?:0[xX][0-9a-fA-F]+|\d+)"
_LONGEST = 10_000_000  # seconds: some timers tick all the while
_DIGITS = 20
_WHOLE = r"0[xX][0-9a-fA-F]+|\d+"
_NAME = r"[A-Za-z_]\w*"
_FLAGS = r"[SFRPEWUA0-7.]*[SFRPEWUA.][0-7]?(?![\w.])|-(?!\w)"
_ENCAPSULATED = r"(ipv4|ipv6|mpls|gre|udp|sctp)\b"
_ECN = r"\[\s*(ect0|ect1|noecn|ce|ect01|nocare)\s*\]"
_OTHER_FIELDS = r"\[[^\]\n]*\]|\([^)\n]*\)"

#: Option -> how many numbers follow it.
_PLAIN_OPTIONS = {"nop": 0, "eol": 0, "sackOK": 0, "mss": 1, "wscale": 1, "user_timeout": 1}


def parse(text: str, name: str = "script", symbols: Mapping[str, str] | None = None) -> Script:
    """Read a script; `symbols` are words to be replaced before. Raises `ScriptError`, or `Unsupported`."""
    parser = _Parser(substitute(text, symbols or {}), name)
    try:
        return parser.script()
    except RecursionError:
        raise parser.error("expected values that lie less deep in one another") from None


def substitute(text: str, symbols: Mapping[str, str]) -> str:
    """Replace whole words, `$NAME` and `${NAME}`."""
    if not symbols:
        return text
    names = "|".join(map(re.escape, symbols))
    pattern = rf"\$\{{({names})\}}|\$({names})\b|(?<![\w$])({names})\b"
    return re.sub(pattern, lambda match: symbols[match[match.lastindex or 0]], text)


class _Parser(Scanner):
    def script(self) -> Script:
        """[options] [`command`] event+ [`command`]"""
        options: list[tuple[str, str]] = []
        while (option := self.take(r"--([A-Za-z_]\w*(?:=[^\s]*)?)")) is not None:
            name, _, value = option.partition("=")
            options.append((name, value))
        first_place, first = self.place(), self.take(r"`([^`]*)`") or ""
        events: list[Event] = []
        last, last_place = "", self.place()
        while not self.finished:
            if events and self.look("`"):
                last_place, last = self.place(), self.need(r"`([^`]*)`", "a command")
                if not self.finished:
                    raise self.error("expected nothing behind the last command")
                break
            events.append(self.event())
        if not events:
            raise self.error("expected an event")
        return Script(tuple(options), tuple(events), first, last, first_place, last_place)

    def event(self) -> Event:
        """time action"""
        place = self.place()
        time = self.time()
        return Event(time, self.action(time), place)

    def time(self) -> Time:
        """* | [+]t | [+]a~[+]b | [+]a...b"""
        if self.accept("*"):
            return Time("any")
        start, relative = self.pos, self.accept("+")
        at = self.seconds("a time: seconds, +seconds or *" if not relative else "seconds")
        until, blocks = None, False
        if self.accept("~"):
            if self.accept("+") != relative:
                raise self.error("expected both ends of a range relative, or both absolute", start)
            until = self.seconds("the end of the range in seconds")
        elif self.accept("..."):
            self.accept("+")
            blocks, until = True, self.seconds("when the call ends, in seconds")
        if until is not None and until < at:
            raise self.error("expected an end that is not before the start", start)
        return Time("relative" if relative else "absolute", at, until, blocks)

    def seconds(self, what: str) -> int:
        start, seconds = self.pos, Decimal(self.need(_SECONDS, what))
        if seconds > _LONGEST:
            raise self.error(f"expected {what}, no more than {_LONGEST}", start)
        return round(seconds * 1_000_000)

    def integer(self, pattern: str, what: str) -> int:
        start, number = self.pos, self.need(pattern, what)
        if len(number) > _DIGITS:
            raise self.error(f"expected {what} of no more than {_DIGITS} digits", start)
        return int(number, 16 if "x" in number.lower() else 10)

    def action(self, time: Time) -> Action:
        """packet | call | `command` | %{ code }%"""
        start = self.pos
        if self.look("<", ">"):
            action: Action = self.packet()
        elif (command := self.take(r"`([^`]*)`")) is not None:
            action = Command(command)
        elif (code := self.take(r"%\{(.*?)\}%")) is not None:
            action = Code(code)
        else:
            action = self.call()
        if time.blocks and not isinstance(action, Call):
            raise self.error("expected a call behind a time with ...", start)
        return action

    # Packets

    def packet(self) -> Packet | Icmp:
        """(<|>) [ecn] (icmp... | flags seq [ack] [win] [urg] [options])"""
        inbound = self.accept("<")
        if not inbound:
            self.accept(">")
        if self.take(r"icmp(?![\w])|icmpv6(?!\w)") is not None:
            return self.icmp(inbound)
        if (protocol := self.take(_ENCAPSULATED)) is not None:
            raise self.unsupported(f"{protocol} packets")
        ecn = self.take(_ECN) or ""
        if (fields := self.take(_OTHER_FIELDS)) is not None:
            raise self.unsupported(f"fields of the IP header: {fields}")
        flags = self.need(_FLAGS, "TCP flags such as S, F., P. or -")
        if re.search("[A0-7]", flags):
            raise self.unsupported("accurate ECN")
        seq, length = self.range()
        ack = self.number("an acknowledgment number") if self.take(r"ack\b") else None
        win = self.number("a window") if self.take(r"win\b") else None
        urg = self.number("an urgent pointer") if self.take(r"urg\b") else None
        if inbound and win is None:
            raise self.error("expected 'win' and a window: an inbound packet must have one")
        start = self.pos
        options = self.options() if self.accept("<") else ()
        if inbound and options is None:
            raise self.error("expected options: <...> is for outbound packets", start)
        return Packet(inbound, flags, seq, length, ack, win, urg, options, ecn)

    def range(self) -> tuple[int, int]:
        """seq:end(length)"""
        start = self.pos
        seq = self.number("a sequence number")
        self.expect(":", "behind the first sequence number")
        end = self.number("a sequence number")
        self.expect("(", "before the length")
        length = self.number("a length")
        self.expect(")", "behind the length")
        if (seq + length) % (1 << 32) != end % (1 << 32):
            raise self.error(f"expected {seq}:{seq + length}({length}) or another length", start)
        return seq, length

    def options(self) -> tuple[Option, ...] | None:
        """...> | option, option>"""
        if self.accept("..."):
            self.expect(">", "behind the options")
            return None
        options: list[Option] = []
        while not self.accept(">"):
            if options:
                self.expect(",", "or '>' behind an option")
            options.append(self.option())
        return tuple(options)

    def option(self) -> Option:
        """mss n | wscale n | user_timeout n | nop | eol | sackOK | TS val n ecr n | sack a:b c:d | any other"""
        kind = self.need(r"[A-Za-z][\w-]*", "an option such as mss, nop, wscale, sackOK, TS or sack")
        if kind in _PLAIN_OPTIONS:
            return Option(kind, tuple(self.number() for _ in range(_PLAIN_OPTIONS[kind])))
        if kind == "TS":
            self.expect("val", "behind TS")
            val = self.number()
            self.expect("ecr", "behind the value of TS")
            return Option("TS", (val, self.number()))
        if kind == "sack":
            edges: list[int] = []
            while not self.look(",", ">"):
                edges.append(self.number("the edge of a block"))
                self.expect(":", "between the edges of a block")
                edges.append(self.number("the edge of a block"))
            return Option("sack", tuple(edges))
        return Option(kind, text=(self.take(r"[^,>]+") or "").strip())

    def number(self, what: str = "a number") -> int:
        return self.integer(_WHOLE, what)

    def icmp(self, inbound: bool) -> Icmp:
        """icmp type [code] [mtu n] [[seq:end(length)]]"""
        type = self.need(_NAME, "a type of ICMP such as unreachable")
        code = self.take(r"(?!mtu\b)[a-z]\w*") or ""
        mtu = self.number() if self.take(r"mtu\b") else None
        quoted = None
        if self.accept("["):
            self.take(r"[SFRPEWU.]+(?=\s)|-(?=\s)")
            quoted = self.range()
            self.expect("]", "behind the segment that is quoted")
        return Icmp(inbound, type, code, mtu, quoted)

    # Calls

    def call(self) -> Call:
        """name(arguments) = result [errno] [(note)]"""
        name = self.need(_NAME, "a packet, a call, a command in backticks or %{")
        self.expect("(", f"behind {name}")
        arguments = self.items(")", self.value)
        self.expect("=", "and the result behind a call")
        result = self.value()
        errno = self.take(r"[A-Z][A-Z0-9]*(?![\w(=])") or ""
        note = self.take(r"\(([^)\n]*)\)") or ""
        return Call(name, arguments, result, errno, note)

    def items(self, end: str, item: Callable[[], _T]) -> tuple[_T, ...]:
        items: list[_T] = []
        while not self.accept(end):
            if items:
                self.expect(",", f"or {end!r}")
            items.append(item())
        return tuple(items)

    def value(self) -> Value:
        """part | part|part|..."""
        parts = [self.part()]
        while self.accept("|"):
            parts.append(self.part())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def part(self) -> Value:
        """... | number | "text" | [values] | {entries} | [&]name | name(values)"""
        if self.accept("..."):
            return Gap()
        if self.comes(_INTEGER):
            return self.integer(_INTEGER, "a number")
        if (text := self.take(r'"([^"\n]*)"')) is not None:
            return Text(text)
        if self.accept("["):
            return Array(self.items("]", self.value))
        if self.accept("{"):
            return Struct(self.items("}", self.entry))
        if (name := self.take(rf"({_NAME})\(")) is not None:  # behind a blank it would be a note
            return Function(name, self.items(")", self.value))
        self.accept("&")  # where the address that is meant goes, as in inet_pton(AF_INET6, "::1", &sin6_addr)
        return Word(self.need(_NAME, "a value"))

    def entry(self) -> Entry:
        """[name [(size)] =] value"""
        name = self.take(rf"({_NAME})(?=\s*(?:\([^()]*\)\s*)?=)")
        if name is None:
            return Entry(self.value())
        size = None
        if self.accept("("):
            size = self.value()
            self.expect(")", "behind the size")
        self.expect("=", f"behind {name}")
        return Entry(self.value(), name, size)
