"""State checks of scripts, `sockstat ... | grep STATE` and the like, answered from the state of our own stack."""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections.abc import Iterable

from tcpclose.drill.scanner import Unsupported
from tcpclose.drill.settings import CommandError
from tcpclose.protocol.datagram import Pair
from tcpclose.protocol.fsm import State

#: Program -> how it calls a state that it does not call as the others do.
_SOURCES = {
    "sockstat": {},
    "netstat": {State.SYN_RECEIVED: "SYN_RCVD SYN_RECV", State.FIN_WAIT_1: "FIN_WAIT_1 FIN_WAIT1"},
    "ss": {State.SYN_RECEIVED: "SYN-RECV", State.ESTABLISHED: "ESTAB", State.CLOSED: "UNCONN"},
}
_SOURCES["netstat"][State.FIN_WAIT_2] = "FIN_WAIT_2 FIN_WAIT2"
_SOURCES["sockstat"][State.SYN_RECEIVED] = "SYN_RCVD"

Connections = Iterable[tuple[Pair, State]]


def is_check(command: str) -> bool:
    """Is this a question about states?"""
    words = command.lstrip("! (").split()
    return bool(words) and words[0].rsplit("/", 1)[-1] in _SOURCES


def holds(command: str, connections: Connections) -> bool:
    """Would the command succeed? Raises `CommandError` for a filter that is not understood."""
    negated = command.startswith("!")
    stages = _stages(command.lstrip("! "))
    source = stages[0][0].rsplit("/", 1)[-1]
    if source == "netstat" and any(re.match("-[a-z]*s", word) for word in stages[0]):
        raise Unsupported("a check of something else than states")
    lines = [_line(source, pair, state) for pair, state in connections]
    if source == "ss":
        lines = _selected(stages[0], lines)
    success = True
    for stage in stages[1:]:
        lines, success = _filter(stage, lines)
    return success != negated


def _stages(command: str) -> list[list[str]]:
    """The programs of a pipe, each with its arguments. Where their output goes does not matter."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|<>&")
    lexer.whitespace_split = True
    stages: list[list[str]] = [[]]
    for word in lexer:
        if word == "|":
            stages.append([])
        elif set(word) <= set("<>&"):
            if stages[-1][-1:] in (["1"], ["2"]):
                stages[-1].pop()
            lexer.get_token()
        else:
            stages[-1].append(word)
    return stages


def _line(source: str, pair: Pair, state: State) -> str:
    name = _SOURCES[source].get(state, state.value if source == "ss" else state.value.replace("-", "_"))
    dot = "." if source == "netstat" else ":"
    here, there = (f"{end.address}{dot}{end.port}" for end in pair)
    if source == "ss":
        return f"{name} 0 0 {here} {there}"
    return f"tcp4 0 0 {here} {there} {name}"


def _selected(words: list[str], lines: list[str]) -> list[str]:
    """`ss state NAME`."""
    if "state" in words[:-1]:
        wanted = words[words.index("state") + 1].upper().replace("ESTABLISHED", "ESTAB")
        return [line for line in lines if line.startswith(wanted)]
    return lines


def _filter(words: list[str], lines: list[str]) -> tuple[list[str], bool]:
    match words:
        case ["wc", "-l"]:
            return [str(len(lines))], True
        case ["grep" | "egrep" | "fgrep", *rest]:
            return _grep(rest, lines, fixed=words[0] == "fgrep")
        case ["cat" | "sort" | "uniq" | "head" | "tail", *_]:
            return lines, True
    raise CommandError(f"no such filter of a state check here: {' '.join(words)}")


def _grep(words: list[str], lines: list[str], fixed: bool) -> tuple[list[str], bool]:
    flags = "".join(word[1:] for word in words if fnmatch.fnmatch(word, "-*"))
    patterns = [word for word in words if not word.startswith("-")]
    if len(patterns) != 1 or set(flags) - set("qvciEFwexo"):
        raise CommandError(f"no such grep here: grep {' '.join(words)}")
    pattern = re.escape(patterns[0]) if fixed or "F" in flags else patterns[0].replace(r"\|", "|")
    if "w" in flags:
        pattern = rf"\b(?:{pattern})\b"
    try:
        known = re.compile(pattern, re.IGNORECASE if "i" in flags else 0)
    except re.error:
        raise CommandError(f"no such pattern here: {patterns[0]}") from None
    kept = [line for line in lines if (known.search(line) is None) == ("v" in flags)]
    return ([str(len(kept))] if "c" in flags else kept), bool(kept)
