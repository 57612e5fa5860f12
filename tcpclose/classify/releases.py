"""`classify(path)`: every connection of a capture, how it was released, by whom, and why.

    from tcpclose.classify import classify

    releases = classify("capture.pcap")
    for release in releases:
        print(release.number, release.src, release.dst, release.kind, release.cause)
    releases.to_arrow()                      # a pyarrow.Table
    releases.summary()["kind"]               # {"graceful": 12, "reset": 3}

`stream(path)` gives the same, part by part as connections end, for captures that are larger than memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from . import table as t
from .endings import MOST_EVIDENCE, Ending, Standing, judge
from .files import Damage, blocks
from .following import Dead, Followers, ahead, stretches
from .rules import ALPHABET, CLOSED, ESTABLISHED, INACTIVE, PARTIAL, RESET, SYN_ACK_SENT, SYN_RESET, SYN_SENT

#: Where servers listen, for 2a of the rules: the ports of the protocols that Zeek knows by default.
# fmt: off
SERVER_PORTS = frozenset([
    21, 22, 25, 53, 79, 80, 81, 88, 135, 139, 143, 389, 443, 445, 465, 502, 514, 563, 585, 587, 614, 631, 636, 989, 990,
    992, 993, 995, 1080, 1434, 1883, 2811, 3128, 3268, 3306, 3389, 5222, 5223, 5269, 5432, 6379, 6666, 6667, 6668, 6669,
    8000, 8080, 8888, 20000,
])
# fmt: on

#: In place of a number that there is none of.
_NONE = -1


class Release(NamedTuple):
    """One connection. src is the originator. Times are nanoseconds, `start` since 1970."""

    #: Its first packet, counted from 1.
    number: int
    src: str
    sport: int
    dst: str
    dport: int
    start: int
    #: By the rules of `conn_state`, as are the octets; None where those leave it unset.
    duration: int | None
    orig_bytes: int | None
    resp_bytes: int | None
    conn_state: str
    history: str
    #: Our verdict: see docs/classify.md.
    kind: str
    #: "orig", "resp" or "".
    closed_first: str
    #: The states that each end passed, separated by blanks.
    orig_states: str
    resp_states: str
    #: "orig", "resp" or "": whose address the first RST has.
    reset_by: str
    cause: str
    #: Of the cause: "high", "medium" or "low".
    confidence: str
    #: Numbers of the packets that show it.
    evidence: tuple[int, ...]
    orig_packets: int
    resp_packets: int
    #: From the first FIN or RST to the last packet of the release; None without.
    release_time: int | None


#: Columns that are kept as they are, and may lack a number.
_NUMBERS = (
    "number",
    "sport",
    "dport",
    "start",
    "duration",
    "orig_bytes",
    "resp_bytes",
    "orig_packets",
    "resp_packets",
    "release_time",
)
#: What Arrow is to take for them, unless 64 bits.
_KINDS = {"start": "time", "sport": "uint16", "dport": "uint16"}
_SIDES = ("orig", "resp", "")


@dataclass(slots=True)
class _Part:
    """Some connections, column by column. `ending` and `originator` index what is judged once for many."""

    numbers: dict[str, Any]
    addresses: dict[str, Any]
    conn_state: Any
    history: Any
    ending: Any
    flipped: Any
    evidence: Any
    flaws: Any

    def __len__(self) -> int:
        return len(self.conn_state)

    def chosen(self, which: Any) -> _Part:
        return _Part(
            {name: column[which] for name, column in self.numbers.items()},
            {name: column[which] for name, column in self.addresses.items()},
            self.conn_state[which],
            self.history[which],
            self.ending[which],
            self.flipped[which],
            self.evidence[which],
            self.flaws[which],
        )


def _joined(parts: list[_Part]) -> _Part:
    def together(columns: list[Any]) -> Any:
        return np.concatenate(columns)

    first = parts[0]
    return _Part(
        {name: together([part.numbers[name] for part in parts]) for name in first.numbers},
        {name: together([part.addresses[name] for part in parts]) for name in first.addresses},
        together([part.conn_state for part in parts]),
        together([part.history for part in parts]),
        together([part.ending for part in parts]),
        together([part.flipped for part in parts]),
        together([part.evidence for part in parts]),
        together([part.flaws for part in parts]),
    )


class Releases:
    """Connections, in the order of their first packets. Iterating gives `Release` after `Release`."""

    #: The names of the columns, which are those of `Release`.
    columns: tuple[str, ...] = Release._fields

    def __init__(self, part: _Part | None, endings: list[Ending], damage: Damage | None = None) -> None:
        self._part = part
        self._endings = endings
        #: What was wrong with the file, after which nothing more could be read; or None.
        self.damage = damage

    def __len__(self) -> int:
        return 0 if self._part is None else len(self._part)

    def __repr__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in _counted(self.column("kind")).items())
        return f"<Releases: {kinds or 'none'}>"

    def __iter__(self) -> Iterator[Release]:
        return map(Release._make, zip(*(self.column(name) for name in self.columns), strict=True))

    @property
    def doubled(self) -> int:
        """How many connections have packets that were captured twice: at several places, whose captures are in one."""
        return self._with(t.DOUBLED)

    @property
    def cut(self) -> int:
        """How many connections have packets whose TCP header was not captured as a whole, which do not count."""
        return self._with(t.CUT_SHORT)

    def _with(self, flaw: int) -> int:
        return 0 if self._part is None else int(np.count_nonzero(self._part.flaws & flaw))

    def column(self, name: str) -> list[Any]:
        """One column as a list, None where there is no value. Raises `KeyError`."""
        if name not in self.columns:
            raise KeyError(f"no column {name!r}; there are {', '.join(self.columns)}")
        part = self._part
        if part is None:
            return []
        if name in _NUMBERS:
            return [None if value == _NONE else value for value in part.numbers[name].tolist()]
        if name in ("src", "dst"):
            return _texts(part.addresses[f"{name}_hi"], part.addresses[f"{name}_lo"])
        if name == "conn_state":
            return [CONN_STATES[code] for code in part.conn_state.tolist()]
        if name == "history":
            return list(part.history.tolist())
        if name == "evidence":
            return [tuple(number for number in row if number != _NONE) for row in part.evidence.tolist()]
        told = [_from_endings(name, ending) for ending in self._endings]
        pairs = zip(part.ending.tolist(), part.flipped.tolist(), strict=True)
        return [told[ending][flipped] for ending, flipped in pairs]

    def where(self, wanted: Callable[[Release], bool]) -> Releases:
        """Those connections of which `wanted` is true."""
        if self._part is None:
            return self
        which = np.fromiter((wanted(release) for release in self), bool, len(self))
        return Releases(self._part.chosen(which), self._endings, self.damage)

    def to_arrow(self) -> Any:
        """A `pyarrow.Table`. Times are numbers of nanoseconds, `start` a timestamp."""
        import pyarrow as pa

        return pa.table({name: self._arrow(name) for name in self.columns})

    def _arrow(self, name: str) -> Any:
        """One column for Arrow: what many connections have in common is made once, and told apart by its place."""
        import pyarrow as pa

        part = self._part
        if name in _NUMBERS:
            kind = _KINDS.get(name, "int64")
            numbers = np.zeros(0, np.int64) if part is None else part.numbers[name]
            return pa.array(numbers, mask=numbers == _NONE).cast(pa.timestamp("ns") if kind == "time" else kind)
        if part is None:
            return pa.array([], pa.list_(pa.int64()) if name == "evidence" else pa.string())
        if name == "evidence":
            there = part.evidence != _NONE
            offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
            return pa.ListArray.from_arrays(offsets, pa.array(part.evidence[there]))
        if name in ("src", "dst"):
            pairs = np.stack([part.addresses[f"{name}_hi"], part.addresses[f"{name}_lo"]], axis=1)
            octets = pa.py_buffer(np.ascontiguousarray(pairs))
            coded = pa.Array.from_buffers(pa.binary(16), len(pairs), [None, octets]).dictionary_encode()
            different = np.frombuffer(b"".join(coded.dictionary.to_pylist()), pairs.dtype).reshape(-1, 2)
            return pa.array(_texts(*different.T)).take(coded.indices)
        if name == "conn_state":
            return pa.array(CONN_STATES).take(pa.array(part.conn_state))
        if name == "history":
            return pa.array(part.history, pa.string())
        told = [text for ending in self._endings for text in _from_endings(name, ending)]
        return pa.array(told, pa.string()).take(pa.array(part.ending * 2 + part.flipped))

    def summary(self) -> dict[str, Any]:
        """How many connections there are by kind, cause, conn_state and server port, and the times to release.

        "release_time" maps a kind to its 50th, 90th and 99th percentile, in nanoseconds.
        """
        times: dict[str, list[int]] = {}
        for kind, took in zip(self.column("kind"), self.column("release_time"), strict=True):
            if took is not None:
                times.setdefault(kind, []).append(took)
        return {
            "connections": len(self),
            "kind": _counted(self.column("kind")),
            "cause": _counted(cause for cause in self.column("cause") if cause),
            "conn_state": _counted(self.column("conn_state")),
            "server_port": _counted(self.column("dport")),
            "release_time": {
                kind: [int(np.percentile(took, share)) for share in (50, 90, 99)] for kind, took in times.items()
            },
        }


def _counted(values: Iterable[Any]) -> dict[Any, int]:
    from collections import Counter

    return dict(Counter(values).most_common())


def classify(
    path: str | PathLike[str],
    *,
    ignore_checksums: bool = False,
    server_ports: frozenset[int] = SERVER_PORTS,
) -> Releases:
    """How every connection in the capture at `path` ("-" for standard input) was released.

    The capture may be pcap or pcapng, also in gzip or zstd. Packets with a wrong checksum do not count, unless
    `ignore_checksums`. `server_ports` tell who is the responder where the beginning was not seen.

    Raises `OSError`, and `NotACapture`. A damaged file gives what stands before the damage: see `Releases.damage`.
    """
    parts: list[_Part] = []
    damage = None
    reader = _Reader(server_ports)
    try:
        parts.extend(reader.parts(path, ignore_checksums))
    except _Damaged as error:
        damage = error.damage
        parts.extend(error.parts)
    if not parts:
        return Releases(None, reader.endings, damage)
    whole = _joined(parts)
    return Releases(whole.chosen(np.argsort(whole.numbers["number"], kind="stable")), reader.endings, damage)


def stream(
    path: str | PathLike[str],
    *,
    ignore_checksums: bool = False,
    server_ports: frozenset[int] = SERVER_PORTS,
) -> Iterator[Releases]:
    """As `classify`, but part by part: connections come when they are over, so memory grows only with those open.

    Raises `Damage` after the last part, where the file is damaged.
    """
    reader = _Reader(server_ports)
    try:
        for part in reader.parts(path, ignore_checksums):
            yield Releases(part, reader.endings)
    except _Damaged as error:
        for part in error.parts:
            yield Releases(part, reader.endings)
        raise error.damage from None


class _Damaged(Exception):
    """The capture ends early; and the connections that were open then."""

    def __init__(self, damage: Damage, parts: list[_Part]) -> None:
        self.damage, self.parts = damage, parts


@dataclass(slots=True)
class _Reader:
    """From the dead rows of `Followers` to columns."""

    server_ports: frozenset[int]
    endings: list[Ending] = field(default_factory=list)
    _known: dict[bytes, int] = field(default_factory=dict)
    _words: dict[int, str] = field(default_factory=dict)

    def parts(self, path: str | PathLike[str], ignore_checksums: bool) -> Iterator[_Part]:
        followers = Followers(self.server_ports)
        try:
            yield from map(self._part, followers.follow(ahead(stretches(blocks(path, ignore_checksums)))))
        except Damage as damage:
            raise _Damaged(damage, [self._part(dead) for dead in followers.finish()]) from None
        yield from map(self._part, followers.finish())

    def _part(self, dead: Dead) -> _Part:
        rows = dead.rows
        flipped = rows[:, t.ORIGINATOR]
        orig, resp = _ends(rows)
        sizes = _size(orig, resp), _size(resp, orig)
        duration = rows[:, t.LAST] - rows[:, t.START]
        unset = duration <= 0
        releasing = rows[:, t.RELEASE_FIRST] != 0
        ports = np.stack([rows[:, t.PORTS] >> 16, rows[:, t.PORTS] & 0xFFFF])
        everyone = np.arange(len(rows))
        numbers = {
            "number": rows[:, t.NUMBER],
            "sport": ports[flipped, everyone],
            "dport": ports[1 - flipped, everyone],
            "start": rows[:, t.START],
            "duration": np.where(unset, _NONE, duration),
            "orig_bytes": np.where(unset, _NONE, sizes[0]),
            "resp_bytes": np.where(unset, _NONE, sizes[1]),
            "orig_packets": orig[:, t.PACKETS],
            "resp_packets": resp[:, t.PACKETS],
            "release_time": np.where(releasing, rows[:, t.RELEASE_LAST] - rows[:, t.RELEASE_FIRST], _NONE),
        }
        straight = (("src_hi", t.A_HI), ("src_lo", t.A_LO), ("dst_hi", t.B_HI), ("dst_lo", t.B_LO))
        crossed = {t.A_HI: t.B_HI, t.A_LO: t.B_LO, t.B_HI: t.A_HI, t.B_LO: t.A_LO}
        addresses = {
            name: np.where(flipped == 0, rows[:, column], rows[:, crossed[column]]) for name, column in straight
        }
        ending, evidence = self._judged(dead)
        return _Part(
            {name: np.ascontiguousarray(column) for name, column in numbers.items()},
            addresses,
            _conn_state(rows, orig, resp, sizes),
            self._history(dead),
            ending,
            flipped.astype(np.int8),
            evidence,
            rows[:, t.FLAWS].astype(np.int8),
        )

    def _history(self, dead: Dead) -> Any:
        history = self._texts(dead.rows[:, t.LETTERS])
        if np.any(dead.rows[:, t.FORMER]):
            history = self._texts(dead.rows[:, t.FORMER]) + history
        for place, earlier in dead.earlier.items():
            history[place] = "".join(map(self._word, earlier)) + history[place]
        return history

    def _texts(self, column: Any) -> Any:
        words, places = np.unique(column, return_inverse=True)
        return np.array([self._word(word) for word in words.tolist()], object)[places]

    def _word(self, word: int) -> str:
        text = self._words.get(word)
        if text is None:
            letters = []
            rest = word
            while rest:
                letter, responder = divmod((rest & 31) - 1, 2)
                letters.append(ALPHABET[letter].lower() if responder else ALPHABET[letter])
                rest >>= 5
            text = self._words[word] = "".join(letters)
        return text

    def _judged(self, dead: Dead) -> tuple[Any, Any]:
        """The place of each row's ending in `endings`, and the numbers of the packets that show it."""
        stories = np.concatenate([_standing(dead.rows)[:, None], _cleared(dead)], axis=1)
        hashed = (stories.view(np.uint64) * _WEIGHTS).sum(axis=1, dtype=np.uint64)
        hashed ^= hashed >> np.uint64(29)
        _, firsts, places = np.unique(hashed, return_index=True, return_inverse=True)
        found = np.array([self._ending(dead, stories, first) for first in firsts.tolist()], np.int64)
        ending = found[places]
        for place in np.flatnonzero((stories[firsts][places] != stories).any(axis=1)).tolist():  # another of that name
            ending[place] = self._ending(dead, stories, place)
        shown = np.full((len(self.endings), MOST_EVIDENCE), _NONE, np.int64)
        for known in np.unique(ending).tolist():
            evidence = self.endings[known].evidence
            shown[known, : len(evidence)] = evidence
        wanted = shown[ending]
        numbers = np.take_along_axis(dead.numbers, np.maximum(wanted, 0), axis=1)
        return ending, np.where(wanted == _NONE, _NONE, numbers)

    def _ending(self, dead: Dead, stories: Any, place: int) -> int:
        """The place in `endings` of what a story means."""
        name = stories[place].tobytes()
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = len(self.endings)
            count = int(dead.rows[place, t.EVENTS])
            standing = _read_standing(int(stories[place, 0]))
            self.endings.append(judge(dead.codes[place, :count].tolist(), standing))
        return known


#: Odd and unlike: a story's name is the sum of its codes times these, modulo 2**64.
_WEIGHTS = np.array([pow(0x9E3779B97F4A7C15, n + 1, 1 << 64) for n in range(t.MOST_EVENTS + 1)], np.uint64)


def _ends(rows: Any) -> tuple[Any, Any]:
    """The columns of the originators, and of the responders."""
    a, b = rows[:, t.ENDS : t.ENDS + t.END], rows[:, t.ENDS + t.END :]
    flipped = (rows[:, t.ORIGINATOR] == 1)[:, None]
    return np.where(flipped, b, a), np.where(flipped, a, b)


def _size(end: Any, peer: Any) -> Any:
    """Octets of an end (7): up to the highest that it sent or that was acknowledged, without SYN and FIN."""
    size = np.maximum(end[:, t.HIGH], end[:, t.ACKED])
    size = size - (size != 0)
    size = size - ((size != 0) & (end[:, t.FINS] > 0))
    # A half-open connection is discovered: SYN, an ACK of something else, RST.
    discovered = (
        (end[:, t.BEFORE] == SYN_SENT)
        & (end[:, t.STATE] == RESET)
        & (peer[:, t.STATE] == INACTIVE)
        & (end[:, t.ACKED] != 0)
        & (end[:, t.ACKED] != 1)
    )
    return np.where(discovered, 0, size)


def _standing(rows: Any) -> Any:
    """Packed, so that it is part of the story's name."""
    a, b = t.ENDS, t.ENDS + t.END
    return (
        np.minimum(rows[:, a + t.UNANSWERED], 3)
        | np.minimum(rows[:, b + t.UNANSWERED], 3) << 2
        | (rows[:, a + t.PROBES] != 0) << 4
        | (rows[:, b + t.PROBES] != 0) << 5
        | (rows[:, t.DEATH] != 0) << 6
    )


def _read_standing(packed: int) -> Standing:
    return Standing((packed & 3, packed >> 2 & 3), (bool(packed & 16), bool(packed & 32)), removed=bool(packed & 64))


def _cleared(dead: Dead) -> Any:
    """The codes; what the table has behind the last event is left from others."""
    behind = np.arange(t.MOST_EVENTS) >= dead.rows[:, t.EVENTS][:, None]
    return np.where(behind, -1, dead.codes)


def _from_endings(name: str, ending: Ending) -> tuple[str, str]:
    """A column of an ending, where A is the originator and where B is."""
    if name in ("kind", "cause", "confidence"):
        text: str = getattr(ending, name)
        return text, text
    if name in ("orig_states", "resp_states"):
        one, other = ending.states if name == "orig_states" else ending.states[::-1]
        return one, other
    side: int | None = getattr(ending, name)
    return ("", "") if side is None else (_SIDES[side], _SIDES[1 - side])


# ---- conn_state (5)

CONN_STATES = ("REJ", "RSTRH", "RSTR", "RSTOS0", "RSTO", "SF", "SH", "S2", "SHR", "S3", "S0", "S1", "OTH")


def _conn_state(rows: Any, orig: Any, resp: Any, sizes: tuple[Any, Any]) -> Any:
    """For each row, the place in CONN_STATES: the first rule that matches."""
    o, r = orig[:, t.STATE], resp[:, t.STATE]
    o_inactive, r_inactive = (o == INACTIVE) | (o == PARTIAL), (r == INACTIVE) | (r == PARTIAL)
    empty = (sizes[0] == 0) & (sizes[1] == 0)
    cases = {
        "REJ": (r == RESET) & ((o == SYN_SENT) | (o == SYN_ACK_SENT) | ((o == RESET) & empty)),
        "RSTRH": (r == RESET) & o_inactive,
        "RSTR": r == RESET,
        "RSTO": (o == RESET) & ~r_inactive,
        "RSTOS0": (o == RESET) & (rows[:, t.SYN_THEN_RST] == SYN_RESET),
        "OTH": o == RESET,
        "SF": (o == CLOSED) & (r == CLOSED),
        "SH": (o == CLOSED) & r_inactive,
        "S2": o == CLOSED,
        "SHR": (r == CLOSED) & o_inactive,
        "S3": r == CLOSED,
        "S0": (o == SYN_SENT) & (r == INACTIVE),
        "S1": (o == ESTABLISHED) & (r == ESTABLISHED),
    }
    codes = [CONN_STATES.index(name) for name in cases]
    return np.select(list(cases.values()), codes, CONN_STATES.index("OTH"))


def _texts(high: Any, low: Any) -> list[str]:
    """Addresses as people write them."""
    known: dict[tuple[int, int], str] = {}
    texts = []
    for pair in zip(high.tolist(), low.tolist(), strict=True):
        text = known.get(pair)
        if text is None:
            address = IPv6Address((pair[0] & _64) << 64 | pair[1] & _64)
            text = known[pair] = str(_v4(address) or address)
        texts.append(text)
    return texts


_64 = (1 << 64) - 1


def _v4(address: IPv6Address) -> IPv4Address | None:
    return address.ipv4_mapped
