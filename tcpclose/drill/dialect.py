"""What a script is about: which stack it was written for, and whether it needs what we do not have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal

from tcpclose.drill.script import Array, Call, Command, Either, Event, Function, Packet, Script, Struct, Value, Word
from tcpclose.drill.settings import PROFILE, CommandError
from tcpclose.protocol.config import PROFILES, SECOND, TcpConfig

Profile = Literal["rfc9293", "linux", "bsd"]

#: Beginning of a symbol -> what a script that has it is about.
_FOREIGN_WORDS = {
    "MSG_FASTOPEN": "TCP Fast Open",
    "TCP_FASTOPEN": "TCP Fast Open",
    "MSG_ZEROCOPY": "zero copy",
    "SO_ZEROCOPY": "zero copy",
    "TCP_ZEROCOPY": "zero copy",
    "TCP_MD5SIG": "MD5 signatures",
    "TCP_AO_": "authentication options",
    "IPPROTO_MPTCP": "Multipath TCP",
    "TCP_REPAIR": "repair mode",
    "TCP_ULP": "upper layer protocols",
    "PSP": "PSP",
    "MSG_OOB": "urgent data",
    "MSG_ERRQUEUE": "the queue of a socket's errors",
    "SOF_TIMESTAMPING": "time stamps of packets",
    "MSG_EOR": "records in a stream",
    "SOCK_DGRAM": "UDP",
    "IPPROTO_UDP": "UDP",
    "IPPROTO_SCTP": "SCTP",
    "SOCK_SEQPACKET": "SCTP",
}
#: The same for TCP options.
_FOREIGN_OPTIONS = {
    "FO": "TCP Fast Open",
    "exp-fastopen": "TCP Fast Open",
    "md5": "MD5 signatures",
    "mp": "Multipath TCP",
    "dss": "Multipath TCP",
    "add_addr": "Multipath TCP",
    "rm_addr": "Multipath TCP",
    "tcp-ao": "authentication options",
    "ECN": "accurate ECN",
}


#: What the hosts of the public scripts have, besides the profile: no user timeout, only a limit of retransmissions.
_NEVER = 365 * 24 * 3600 * SECOND
_HOSTS: dict[Profile, dict[str, Any]] = {
    "rfc9293": {},
    "linux": {"user_timeout": _NEVER},
    "bsd": {"user_timeout": _NEVER, "r2": 12},
}


def host_config(profile: Profile) -> TcpConfig:
    """What a host of scripts is set to before a script sets anything."""
    return replace(PROFILES[profile], **_HOSTS[profile])


def foreign(script: Script) -> str | None:
    """Why a script cannot be judged here; None when it can."""
    for event in script.events:
        match event.action:
            case Packet() as packet:
                reason = _what(_FOREIGN_OPTIONS, (option.kind for option in packet.options or ()))
            case Call() as call:
                reason = _what(_FOREIGN_WORDS, words(call))
            case _:
                reason = None
        if reason is not None:
            return f"{reason} (line {event.place.line})"
    return None


def _what(beginnings: dict[str, str], words: Iterable[str]) -> str | None:
    """What the first word is about that begins with one of these."""
    return next((what for word in words for start, what in beginnings.items() if word.startswith(start)), None)


def words(call: Call) -> Iterator[str]:
    """All symbols among the arguments of a call."""
    pending: list[Value] = [*call.arguments]
    while pending:
        match pending.pop():
            case Word(name):
                yield name
            case Either(parts):
                pending += parts
            case Array(items):
                pending += items
            case Struct(entries):
                pending += [entry.value for entry in entries]
            case Function(_, arguments):
                pending += arguments


def profile_of(script: Script) -> Profile:
    """The stack that a script speaks of: by its own word, its commands, the options of its first SYN, its window."""
    if (said := re.search(rf"{re.escape(PROFILE)}=(\w+)", script.first)) is not None:
        if said[1] not in PROFILES:
            raise CommandError(f"{said[0]}: expected one of {', '.join(PROFILES)}")
        return said[1]  # type: ignore[return-value]  # mypy does not narrow str to Literal
    texts = [script.first, *(e.action.text for e in script.events if isinstance(e.action, Command))]
    text = "\n".join(texts)
    if any(word in text for word in ("net.inet.", "kldload", "sockstat", "kern.")):
        return "bsd"
    if any(word in text for word in ("net.ipv4", "/proc/sys", "defaults.sh", "tc qdisc")):
        return "linux"
    for event in script.events:
        profile = _profile_of_syn(event)
        if profile is not None:
            return profile
    return "linux"


def _profile_of_syn(event: Event) -> Profile | None:
    packet = event.action
    if not isinstance(packet, Packet) or packet.inbound or "S" not in packet.flags:
        return None
    kinds = [option.kind for option in packet.options or () if option.kind not in ("nop", "eol")]
    if "wscale" in kinds and kinds[-1] != "wscale":
        return "bsd"
    if "sackOK" in kinds and kinds[-1] == "wscale":
        return "linux"
    padded = [option.kind for option in packet.options or ()]
    if padded[-3:] == ["sackOK", "eol", "eol"] or packet.win == 65535:
        return "bsd"
    return "linux"
