"""The settings of a host that scripts change by commands, in both dialects, as settings of ours. No shell is run."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

from tcpclose.command import COMMAND
from tcpclose.drill.scanner import Unsupported
from tcpclose.protocol.config import MILLISECOND, SECOND, TcpConfig
from tcpclose.protocol.sockets import BOUNDS

Changes = dict[str, Any]


def _times(field: str, unit: int = 1) -> Callable[[str], Changes]:
    return lambda value: {field: int(value) * unit}


def _switch(field: str, on: Any = True, off: Any = False) -> Callable[[str], Changes]:
    return lambda value: {field: on if int(value) else off}


def _invalid_rate(value: str) -> Changes:
    """Linux: milliseconds between two challenge ACKs of a connection; 0 is no limit."""
    wait = int(value) * MILLISECOND
    return {"challenge_ack_limit": 1 if wait else 1 << 30, "challenge_ack_interval": wait or SECOND}


def _global_rate(value: str) -> Changes:
    """Linux: challenge ACKs of the whole host in a second; one connection has a limit of its own, but 0 is none."""
    return {} if int(value) else {"challenge_ack_limit": 0}


def _read_memory(value: str) -> Changes:
    """Linux: least, default and most. The most decides upon the shift count of the window scale option."""
    _, default, most = map(int, value.split())
    return {"window_shift": min(max(most.bit_length() - 16, 0), 14)} if most >= default else {}


def _rfc1323(value: str) -> Changes:
    """BSD: 1 both options, 2 window scale only, 3 timestamps only."""
    return {"window_scale": int(value) in (1, 2), "timestamps": int(value) in (1, 3)}


def _ecn(value: str) -> Changes:
    """Off, we ask for it, or only the peer does."""
    if int(value) > 2:
        raise Unsupported("accurate ECN")
    return {"ecn": ("off", "active", "passive")[int(value)]}


#: sysctl -> what it means for `TcpConfig`.
LINUX: dict[str, Callable[[str], Changes]] = {
    "tcp_initcwnd": _times("initial_window"),  # no sysctl: of a route
    "tcp_retries1": _times("r1"),
    "tcp_retries2": _times("r2"),
    "tcp_syn_retries": _times("syn_r2"),
    "tcp_synack_retries": _times("syn_ack_r2"),
    "tcp_fin_timeout": _times("fin_wait_2_timeout", SECOND),
    "tcp_keepalive_time": _times("keepalive_idle", SECOND),
    "tcp_keepalive_intvl": _times("keepalive_interval", SECOND),
    "tcp_keepalive_probes": _times("keepalive_count"),
    "tcp_rfc1337": _switch("time_wait_rst", "ignore", "close"),
    "tcp_timestamps": _switch("timestamps"),
    "tcp_sack": _switch("sack"),
    "tcp_dsack": _switch("duplicate_sack"),
    "tcp_window_scaling": _switch("window_scale"),
    "tcp_ecn": _ecn,
    "tcp_challenge_ack_limit": _global_rate,
    "tcp_invalid_ratelimit": _invalid_rate,
    "tcp_abort_on_overflow": _switch("overload", "reset", "drop"),
    "tcp_max_orphans": _times("max_orphans"),
    "tcp_max_tw_buckets": _times("time_wait_limit"),
    "tcp_rmem": _read_memory,
    "tcp_early_retrans": lambda value: {"loss_probe": int(value) >= 3},
    "tcp_rto_min_us": _times("rto_min"),
    "tcp_rto_max_ms": _times("rto_max", MILLISECOND),
}
BSD: dict[str, Callable[[str], Changes]] = {
    "insecure_rst": _switch("reset_validity", "window", "exact"),
    "insecure_syn": _switch("syn_validity", "window", "challenge"),
    "rfc1323": _rfc1323,
    "sack.enable": _switch("sack"),
    "ecn.enable": _ecn,
    "delayed_ack": _switch("delayed_ack", 40 * MILLISECOND, 0),
    "delacktime": _times("delayed_ack", MILLISECOND),
    "msl": _times("msl", MILLISECOND),
    "finwait2_timeout": _times("fin_wait_2_timeout", MILLISECOND),
    "keepinit": _times("connect_timeout", MILLISECOND),
    "syncache.rexmtlimit": _times("syn_ack_r2"),
    "keepidle": _times("keepalive_idle", MILLISECOND),
    "keepintvl": _times("keepalive_interval", MILLISECOND),
    "keepcnt": _times("keepalive_count"),
    "always_keepalive": _switch("keepalive"),
    "ack_war_cnt": _times("challenge_ack_limit"),
    "ack_war_timewindow": _times("challenge_ack_interval", MILLISECOND),
    "recvspace": _times("rcv_buffer"),
    "sendspace": _times("snd_buffer"),
    "initcwnd_segments": _times("initial_window"),
    "rexmit_initial": _times("rto_initial", MILLISECOND),
    "rexmit_min": _times("rto_min", MILLISECOND),
    "rexmit_slop": _times("rto_extra", MILLISECOND),
    "rfc3042": _switch("limited_transmit"),
    "tolerate_missing_ts": _switch("missing_timestamps", "accept", "drop"),
    "maxtcptw": _times("time_wait_limit"),
    "retries": _times("r2"),
}

#: Settings that change nothing which this TCP does: memory, congestion control, offloading, other protocols.
_NO_MATTER = re.compile(
    r"""net\.(core|mptcp|link|isr)\..* | vm\..* | kern(el)?\..* | net\.inet6?\.(ip6?|icmp6?|udp|sctp|raw)\..*
    | net\.ipv[46]\.(ip_|icmp|route|neigh|conf|fib|udp).*
    | net\.ipv4\.tcp_(w?mem|no_(metrics|ssthresh).*|early_retrans|recovery|congestion_control|allowed_con.*|min_.*
      |autocorking|syncookies|max_syn_backlog|limit_output.*|moderate_rcvbuf|slow_start.*|adv_win_scale|app_win
      |shrink_window|notsent_lowat|pacing_.*|frto.*|reordering|max_reordering|thin_.*|tso_.*|tw_.*|orphan_retries
      |mtu_.*|base_mss|probe_.*|workaround.*|stdurg|retrans_collapse|fack|fwmark.*|l3mdev.*|comp_.*|fastopen.*
      |syn_linear.*|low_latency|early_demux|migrate_req|plb_.*|child_.*|backlog.*|reflect_tos)
    | net\.inet\.tcp\.(hostcache\..*|syncookies.*|functions_.*|cc\..*|path_mtu.*|pmtud.*|reass\..*|tso|abc.*|do_.*
      |per_cpu.*|log.*|blackhole.*|drop_syn.*|nolocal.*|rfc(3390|3465|6675.*)|fastopen\..*|syncache\..*|mssdflt|minmss|v6.*
      |(recv|send)buf_.*|rexmit_(slop|drop.*)|icmp_may_rst|isn_.*|soreceive.*|rack\..*|bbr\..*|lro\..*|bb\..*
      |use_.*|initial_.*|persm..|progress.*|fast_finwait.*|tcbhashsize|udp_.*|newcwnd|hpts.*
      |stats|sack\.(?!enable).*|switch_.*|nolocaltimewait|split_.*|map_.*|backoff_.*|ecn\.(?!enable).*|insecure_ack)
    """,
    re.VERBOSE,
)

#: Commands that do nothing for us: firewalls, routes, interfaces, queues, modules, pauses, and words for people.
_IGNORED = re.compile(
    r"""(sudo\s+)?(/s?bin/|/usr/s?bin/)?
    (ip6?tables|nft|ip|ifconfig|tc|route|ethtool|modprobe|kldload|kldunload|kldstat|sleep|true|:|echo|export|cd|set|rm|arp|ndp
     |dmesg|cat|printf|test|ls|pwd|logger
     |pfctl|ipfw|killall|sync|date|uname|ulimit|nstat|\[|unset|trap|exit|chmod|mkdir)(?![\w.-])
    """,
    re.VERBOSE,
)
_DROPS = re.compile(
    r"""\btc\b.*(limit\ 0|netem) | \bifconfig\ \S+\ (inet6?\ )?(down|[\d.:]+[/\ \d]*$)
    | \bip\b.*\b(down|blackhole|unreachable|prohibit)\b
    | \b(iptables|ip6tables|nft|pfctl|ipfw)\b.*(DROP|REJECT|deny|block)
    """,
    re.VERBOSE,
)
_COUNTS = re.compile(r"\|\s*(e?grep|awk|wc)\b")
_SCRIPTS = re.compile(
    r"(source\s+|\.\s+|(ba)?sh\s+)?[\w./${}-]*"
    r"(defaults|common|setup|cleanup|checksum\w*|sysctl_restore_[\w${}]*)\.sh\b.*"
)


#: Where all settings of ours stand, by their own names and in their own units, for those no dialect has a sysctl for.
OURS = "tcpclose."
PROFILE = OURS + "profile"
_TYPES = get_type_hints(TcpConfig)


_INITIAL_WINDOW = re.compile(r"\bip\b.*\broute\b.*\binitcwnd (\d+)")
_PRODUCT = re.compile(r"\$\(\((\s*\d+\s*(?:\*\s*\d+\s*)*)\)\)")


class CommandError(Exception):
    """A command that nothing here answers to."""


def statements(text: str) -> Iterator[list[list[str]]]:
    """What a text for the shell asks for, one thing after the other: alternatives (||) of commands in a row (&&).

    Products such as `$((15*1024))` are multiplied.
    """
    joined = _PRODUCT.sub(_multiplied, re.sub(r"\\\n", " ", text))
    for statement in re.split(r"\n|;", re.sub(r"#[^\n]*", "", joined)):
        alternatives = [
            [command.strip() for command in alternative.split("&&")] for alternative in statement.split("||")
        ]
        if alternatives != [[""]]:
            yield alternatives


def commands(text: str) -> Iterator[str]:
    """All single commands of a text for the shell."""
    for alternatives in statements(text):
        for row in alternatives:
            yield from row


def _multiplied(product: re.Match[str]) -> str:
    return str(math.prod(int(factor) for factor in product[1].split("*")))


def assignments(command: str) -> list[tuple[str, str]] | None:
    """The sysctls that a command sets, by their dotted names; None when it is no such command."""
    words = _words(command)
    if not words:
        return None
    if words[0] == "echo" and ">" in words:
        where = words.index(">")
        into = _dotted("".join(words[where + 1 : where + 2]))
        return [(into, " ".join(words[1:where]))] if into.startswith("net.") else None
    if (window := _INITIAL_WINDOW.search(command)) is not None:
        return [("net.ipv4.tcp_initcwnd", window[1])]
    if words[0].rsplit("/", 1)[-1] not in ("sysctl", "set_sysctls.py"):
        return None
    pairs = []
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if equals:
            pairs.append((_dotted(name), value))
    return pairs


def _words(command: str) -> list[str]:
    try:
        lexer = shlex.shlex(command, posix=True, punctuation_chars=">|<&")
        lexer.whitespace_split = True
        return list(lexer)
    except ValueError:
        raise CommandError(f"a command with an open quote: {command}") from None


def _dotted(name: str) -> str:
    return name.removeprefix("/proc/sys/").replace("/", ".").strip()


def changes(name: str, value: str) -> Changes | None:
    """What a sysctl means for us: nothing is an empty dictionary, None a name that is not known."""
    if name.startswith(OURS):
        return {} if name == PROFILE else _our_change(name, value.strip())
    last = name.rsplit(".", 1)[-1]
    table = LINUX.get(last) if name.startswith("net.ipv4.") else None
    if name.startswith("net.inet.tcp."):
        table = BSD.get(name.removeprefix("net.inet.tcp."))
    if table is not None:
        try:
            return table(value.strip())
        except ValueError:
            raise CommandError(f"sysctl {name}: expected a number, found {value!r}") from None
    return {} if _NO_MATTER.match(name) else None


def _our_change(name: str, value: str) -> Changes:
    """A field of `TcpConfig`; a switch is 0 or 1."""
    field = name.removeprefix(OURS)
    kind = _TYPES.get(field)
    if kind is None:
        raise CommandError(f"sysctl {name}: there is no such setting; `{COMMAND} config` lists them")
    if kind in (int, bool) and not value.isdecimal():
        raise CommandError(f"sysctl {name}: expected a number, found {value!r}")
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise CommandError(f"sysctl {name}: expected one of {', '.join(get_args(kind))}, found {value!r}")
    return {field: kind(value) if kind is int else value == "1" if kind is bool else value}


def check_bounds(name: str, wanted: Changes) -> None:
    """Raises `CommandError` for a number that no host can be set to."""
    for field, value in wanted.items():
        least, most = BOUNDS[field]
        if type(value) is int and ((least is not None and value < least) or (most is not None and value > most)):
            raise CommandError(f"sysctl {name}: {field} cannot be {value}: {_bounds(least, most)}")


def _bounds(least: int | None, most: int | None) -> str:
    low = "" if least is None else f"at least {least}"
    high = "" if most is None else f"at most {most}"
    return f"it is {low}{', ' if low and high else ''}{high}"


def command(profile: str, wanted: Changes) -> str:
    """The command that gives a host of `profile` these settings: by the dialect's own sysctls as far as they reach."""
    tables = {"linux": ("net.ipv4.", LINUX), "bsd": ("net.inet.tcp.", BSD)}
    prefix, table = tables.get(profile, ("", {}))
    words = [f"{PROFILE}={profile}"]
    for field, value in wanted.items():
        said = [f"{name}={text}" for name, means in table.items() if (text := _text(means, field, value)) is not None]
        words.append(prefix + said[0] if said else f"{OURS}{field}={int(value) if isinstance(value, bool) else value}")
    return f"sysctl -q -w {' '.join(words)}"


def _text(means: Callable[[str], Changes], field: str, value: Any) -> str | None:
    """What a sysctl must be set to, so that it means this and nothing else."""
    numbers = {1, 0, 3, *((value, value // MILLISECOND, value // SECOND) if type(value) is int else ())}
    for text in map(str, sorted(numbers)):
        try:
            if means(text) == {field: value}:
                return text
        except (ValueError, Unsupported):
            continue
    return None


def ignored(command: str) -> bool:
    """Has this command no meaning for us? Raises `Unsupported` for one that changes the network."""
    if _DROPS.search(command):
        raise Unsupported("a network that drops packets by a command")
    if _COUNTS.search(command):
        raise Unsupported("a check of something else than states")
    return _IGNORED.match(command) is not None or _SCRIPTS.fullmatch(command) is not None
