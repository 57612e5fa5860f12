"""What the Linux kernel can honour of `[host.NAME.tcp]`, and by what it is told. There is no second list.

What stands here is an option of each socket, a sysctl of the host's namespace, or a way to call. Everything else is
refused for a host with `stack = "linux"`, before the run starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tcpclose import units
from tcpclose.protocol.config import MILLISECOND, SECOND

SYSCTL = "net.ipv4."


@dataclass(frozen=True, slots=True)
class Means:
    """How one key reaches the kernel: `name` is a socket option or a sysctl, `unit` what its number counts (us)."""

    name: str
    unit: int = 1
    least: int = 0
    most: int = 2**31 - 1
    #: For a key that is a choice: each value that can be honoured, as the kernel's number.
    choices: Mapping[Any, int] = field(default_factory=dict)
    #: What the kernel says when asked, for each one that it was told.
    factor: int = 1

    def number(self, value: Any) -> int:
        """The kernel's number for `value`. Raises `ValueError` that says what it can be told."""
        if self.choices:
            return self.choices[value]
        if value % self.unit or not self.least <= value // self.unit <= self.most:
            ends = [bound * self.unit for bound in (self.least, self.most)]
            said = [units.write_duration(end) if self.unit > 1 else str(end) for end in ends]
            whole = f", in steps of {units.write_duration(self.unit)}" if self.unit > 1 else ""
            raise ValueError(f"{self.name} takes {said[0]} to {said[1]}{whole}")
        return int(value // self.unit)


_SWITCH = {False: 0, True: 1}

HONOURED = {
    "user_timeout": Means("TCP_USER_TIMEOUT", MILLISECOND, 1),
    "keepalive": Means("SO_KEEPALIVE", choices=_SWITCH),
    "keepalive_idle": Means("TCP_KEEPIDLE", SECOND, 1, 32767),
    "keepalive_interval": Means("TCP_KEEPINTVL", SECOND, 1, 32767),
    "keepalive_count": Means("TCP_KEEPCNT", 1, 1, 127),
    "fin_wait_2_timeout": Means("TCP_LINGER2", SECOND, 1, 120),
    "nagle": Means("TCP_NODELAY", choices={True: 0, False: 1}),
    "mss": Means("TCP_MAXSEG", 1, 88, 32767),
    "syn_r2": Means("TCP_SYNCNT", 1, 1, 127),
    "rcv_buffer": Means("SO_RCVBUF", 1, 1152, factor=2),
    "window_scale": Means(f"{SYSCTL}tcp_window_scaling", choices=_SWITCH),
    "timestamps": Means(f"{SYSCTL}tcp_timestamps", choices=_SWITCH),
    "sack": Means(f"{SYSCTL}tcp_sack", choices=_SWITCH),
    "duplicate_sack": Means(f"{SYSCTL}tcp_dsack", choices=_SWITCH),
    "time_wait_rst": Means(f"{SYSCTL}tcp_rfc1337", choices={"close": 0, "ignore": 1}),
    "half_duplex_close": Means("close() instead of shutdown()", choices=_SWITCH),
}


def linux_problems(told: Mapping[str, Any]) -> list[str]:
    """What of the keys and values of `tcp` Linux cannot honour, one line each, as after "host.NAME.tcp."."""
    problems = []
    refused = [key for key in told if key not in HONOURED]
    if refused:
        problems.append(f'stack = "linux" cannot honour {", ".join(refused)} of `tcp`; it can: {", ".join(HONOURED)}')
    for key in (key for key in told if key in HONOURED):  # in their order, so that it is told alike each time
        try:
            HONOURED[key].number(told[key])
        except ValueError as error:
            problems.append(f'stack = "linux" cannot honour {key}: {error}')
    return problems
