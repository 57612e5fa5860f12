"""ICMP errors by the names that scripts use."""

from __future__ import annotations

from tcpclose.drill.packets import Mismatch
from tcpclose.drill.scanner import Unsupported
from tcpclose.drill.script import Icmp

#: Type -> its number and those of its codes.
_TYPES: dict[str, tuple[int, dict[str, int]]] = {
    "unreachable": (
        3,
        {
            "net_unreachable": 0, "net": 0, "host_unreachable": 1, "host": 1, "protocol_unreachable": 2, "protocol": 2,
            "port_unreachable": 3, "port": 3, "frag_needed": 4, "source_route_failed": 5, "srcfail": 5,
            "net_unknown": 6, "host_unknown": 7, "source_host_isolated": 8, "isolated": 8, "net_prohibited": 9,
            "host_prohibited": 10, "net_unreachable_for_tos": 11, "net_tos": 11, "host_unreachable_for_tos": 12,
            "host_tos": 12, "packet_filtered": 13, "filter": 13, "filter_prohib": 13, "precedence_violation": 14,
            "precedence_cutoff": 15,
        },
    ),
    "source_quench": (4, {}),
    "time_exceeded": (11, {"ttl_exceeded": 0, "exceeded_ttl": 0, "exceeded_fragtime": 1, "frag_time": 1}),
    "parameter_problem": (12, {"pointer": 0, "required_option_absent": 1, "length": 2}),
}  # fmt: skip


def numbers_of(icmp: Icmp) -> tuple[int, int]:
    """Type and code."""
    if icmp.type not in _TYPES:
        raise Unsupported(f"ICMP {icmp.type}")
    type, codes = _TYPES[icmp.type]
    name = icmp.code
    if name.startswith("code_") and name[5:].isdecimal():
        return type, int(name[5:])
    if name and name not in codes:
        raise Mismatch(f"no code {name!r} of ICMP {icmp.type}: there are {', '.join(codes)} and code_N")
    return type, codes[name] if name else 0


def names_of(type: int, code: int) -> tuple[str, str]:
    """The inverse, for every error that can be read: a type by its name, a code by its number, or nothing for 0."""
    name = next(name for name, (number, _) in _TYPES.items() if number == type)
    return name, f"code_{code}" if code else ""
