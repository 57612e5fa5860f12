"""The text of a script: what `parser.py` reads."""

from __future__ import annotations

from decimal import Decimal

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


def print_script(script: Script) -> str:
    """The inverse of `parse`."""
    lines = [f"--{name}={value}" if value else f"--{name}" for name, value in script.options]
    lines += [f"`{script.first}`"] if script.first else []
    lines += [print_event(event) for event in script.events]
    lines += [f"`{script.last}`"] if script.last else []
    return "\n".join(lines) + "\n"


def print_event(event: Event) -> str:
    return f"{print_time(event.time)} {print_action(event.action)}"


def seconds(us: int) -> str:
    """Microseconds as seconds, as short as they go but for three decimals."""
    text = f"{Decimal(us) / 1_000_000:.6f}"
    return text[:-3] if text.endswith("000") else text


def print_time(time: Time) -> str:
    if time.form == "any":
        return "*"
    sign = "+" if time.form == "relative" else ""
    text = f"{sign}{seconds(time.at)}"
    if time.until is None:
        return text
    return f"{text}...{seconds(time.until)}" if time.blocks else f"{text}~{sign}{seconds(time.until)}"


def print_action(action: Action) -> str:
    match action:
        case Packet():
            return print_packet(action)
        case Icmp():
            return _print_icmp(action)
        case Command(text):
            return f"`{text}`"
        case Code(text):
            return f"%{{{text}}}%"
        case Call():
            return print_call(action)


def print_packet(packet: Packet) -> str:
    words = ["<" if packet.inbound else ">"]
    words += [f"[{packet.ecn}]"] if packet.ecn else []
    words += [packet.flags, f"{packet.seq}:{packet.seq + packet.length}({packet.length})"]
    for name, number in (("ack", packet.ack), ("win", packet.win), ("urg", packet.urg)):
        words += [] if number is None else [f"{name} {number}"]
    if packet.options is None:
        words.append("<...>")
    elif packet.options:
        words.append(f"<{','.join(map(print_option, packet.options))}>")
    return " ".join(words)


def print_option(option: Option) -> str:
    numbers = option.numbers
    if option.kind == "TS":
        return f"TS val {numbers[0]} ecr {numbers[1]}"
    if option.kind == "sack":
        return " ".join(["sack", *(f"{left}:{right}" for left, right in zip(numbers[::2], numbers[1::2], strict=True))])
    return " ".join([option.kind, *map(str, numbers), *([option.text] if option.text else [])])


def _print_icmp(icmp: Icmp) -> str:
    words = ["<" if icmp.inbound else ">", "icmp", icmp.type]
    words += [icmp.code] if icmp.code else []
    words += [] if icmp.mtu is None else [f"mtu {icmp.mtu}"]
    if icmp.quoted is not None:
        seq, length = icmp.quoted
        words.append(f"[{seq}:{seq + length}({length})]")
    return " ".join(words)


def print_call(call: Call) -> str:
    text = f"{call.name}({', '.join(map(print_value, call.arguments))}) = {print_value(call.result)}"
    text += f" {call.errno}" if call.errno else ""
    return text + (f" ({call.note})" if call.note else "")


def print_value(value: Value) -> str:
    match value:
        case int():
            return str(value)
        case Word(name):
            return name
        case Text(text):
            return f'"{text}"'
        case Gap():
            return "..."
        case Either(parts):
            return "|".join(map(print_value, parts))
        case Array(items):
            return f"[{', '.join(map(print_value, items))}]"
        case Struct(entries):
            return f"{{{', '.join(map(_print_entry, entries))}}}"
        case Function(name, arguments):
            return f"{name}({', '.join(map(print_value, arguments))})"


def _print_entry(entry: Entry) -> str:
    size = "" if entry.size is None else f"({print_value(entry.size)})"
    return f"{entry.name}{size}={print_value(entry.value)}" if entry.name else print_value(entry.value)
