"""What an arriving segment is answered with, as a table of rules in our own words, and scripts that show it.

A case is a state, an arrival, the place of its sequence number in the receive window, and the rules that a stack keeps.
`expected` looks it up in `RULES`, where the first row that fits decides; `script` plays to the state, lets the segment
arrive, and asks for the answer, for the state afterwards, and, by one octet of old text, that nothing else was sent.
Nothing here is computed by the engine.
"""

from __future__ import annotations

from typing import NamedTuple

ARRIVALS = {
    "SYN": "S",
    "SYN-ACK": "S.",
    "SYN-FIN": "SF",
    "ACK": ".",
    "FIN-ACK": "F.",
    "FIN": "F",
    "RST": "R",
    "RST-ACK": "R.",
}
PLACES = ("left-1", "left", "middle", "right", "right+1")


class Stack(NamedTuple):
    """Whose rules are kept: the profile, commands, and the window; whether all of it is offered again after a FIN."""

    profile: str
    commands: str
    window: int
    reopens: bool = False


STACKS = {
    "RFC-5961": Stack("rfc9293", "", 65535),
    "RFC-793": Stack("rfc9293", "`sysctl net.inet.tcp.insecure_rst=1; sysctl net.inet.tcp.insecure_syn=1`", 65535),
    "linux": Stack("linux", "`sysctl tcpclose.handshake_syn=forget`", 64240),  # a RST with a number of no script
    "bsd": Stack("bsd", "", 65535, reopens=True),
}

#: A segment in a synchronized state, or in SYN-RECEIVED. `same` is the state in which it found the connection, `gone`
#: that of no connection. `ACK` repeats RCV.NXT, `ACK of FIN` is one more. Sections without a name are of RFC 9293.
RULES = """
states              | arrivals              | places            | stacks       | answer     | then        | why

# 3.10.7.4, first: in TIME-WAIT Linux and BSD know of no window.
TIME-WAIT           | RST RST-ACK           | middle right right+1 | linux     | nothing    | same        | Linux: but a RST at RCV.NXT ends it
TIME-WAIT           | FIN                   | *                 | bsd          | nothing    | same        | BSD: without ACK, nothing is looked at
TIME-WAIT           | ACK                   | left              | linux bsd    | nothing    | same        | what may be the last ACK of old
TIME-WAIT           | ACK FIN FIN-ACK       | *                 | linux bsd    | ACK        | same        | and anything else is asked back

# First: what lies outside the window is answered by an ACK, and a RST there by nothing. Some exceptions.
SYN-RECEIVED        | SYN-ACK               | left-1            | linux        | ACK        | same        | Linux: where we listened, no SYN of ours crosses it
SYN-RECEIVED*       | SYN-ACK               | left-1            | linux        | ACK        | ESTABLISHED | 3.5, figure 7; Linux acknowledges the SYN again
CLOSE-WAIT CLOSING LAST-ACK | RST RST-ACK   | left-1            | linux        | nothing    | gone        | Linux: an abort that does not count the FIN before it
SYN-RECEIVED*       | SYN-ACK               | left-1            | *            | nothing    | ESTABLISHED | 3.5, figure 7: this SYN is known, its ACK counts
*                   | RST RST-ACK           | right+1           | linux        | ACK        | same        | Linux: without length, the edge counts as inside
*                   | ACK                   | right+1           | linux bsd    | as inside  | as inside   | there and in BSD, unless it is a RST
*                   | RST RST-ACK           | left-1 right+1    | *            | nothing    | same        | 3.10.7.4 first: drop it in silence
SYN-RECEIVED        | FIN                   | left-1 right+1    | linux        | ACK        | same        | Linux: before there is a socket, this comes first
*                   | FIN                   | left-1 right+1    | linux        | nothing    | same        | Linux: without ACK, nothing is looked at
SYN-RECEIVED        | SYN SYN-FIN           | left-1            | linux        | SYN-ACK    | same        | the SYN comes again, so does its answer
SYN-RECEIVED        | SYN SYN-FIN           | *                 | bsd          | SYN-ACK    | same        | BSD: so it does for any SYN
SYN-RECEIVED        | RST-ACK               | *                 | bsd          | nothing    | same        | BSD: no RST for our SYN,ACK can carry ACK
*                   | SYN-FIN               | left-1            | *            | ACK        | same        | two numbers, the second inside: an old SYN
*                   | *                     | left-1 right+1    | *            | ACK        | same        | 3.10.7.4 first: "send an acknowledgment"

# Second: the RST. From here on the number is in the window.
TIME-WAIT           | RST RST-ACK           | *                 | bsd          | nothing    | same        | RFC 1337: no RST ends TIME-WAIT
*                   | RST RST-ACK           | left              | *            | nothing    | gone        | RFC 5961 3.2: at RCV.NXT exactly
*                   | RST RST-ACK           | *                 | RFC-793      | nothing    | gone        | RFC 793 3.4: anywhere in the window
*                   | RST RST-ACK           | *                 | *            | ACK        | same        | RFC 5961 3.2: challenge ACK

# Fourth: the SYN. With a FIN it is a SYN, too.
SYN-RECEIVED        | SYN SYN-ACK SYN-FIN   | *                 | *            | nothing    | gone        | 3.10.7.4 fourth: back to LISTEN
*                   | SYN SYN-ACK SYN-FIN   | *                 | RFC-793      | RST        | gone        | RFC 793 3.9: an error in the window
*                   | SYN SYN-ACK SYN-FIN   | *                 | *            | ACK        | same        | RFC 5961 4.2: challenge ACK

# Fifth: what has no ACK is dropped; the ACK of our SYN completes the handshake.
*                   | FIN                   | *                 | *            | nothing    | same        | 3.10.7.4 fifth: "if the ACK bit is off"
SYN-RECEIVED*       | ACK                   | *                 | *            | nothing    | ESTABLISHED | 3.10.7.4 fifth
*                   | ACK                   | *                 | *            | nothing    | same        | 3.10.7.4 fifth: a duplicate

# Eighth: the FIN, at RCV.NXT or behind a hole. The peer has only one, so that another is beyond all it can say.
CLOSE-WAIT CLOSING LAST-ACK TIME-WAIT | FIN-ACK | *               | *            | nothing    | same        | 3.10.7.4 seventh, eighth
SYN-RECEIVED* ESTABLISHED | FIN-ACK         | left              | *            | ACK of FIN | CLOSE-WAIT  | 3.10.7.4 eighth
FIN-WAIT-1          | FIN-ACK               | left              | *            | ACK of FIN | CLOSING     | 3.10.7.4 eighth: ours is not acknowledged
FIN-WAIT-2          | FIN-ACK               | left              | *            | ACK of FIN | TIME-WAIT   | 3.10.7.4 eighth
SYN-RECEIVED*       | FIN-ACK               | middle right      | *            | ACK        | ESTABLISHED | 3.10.7.4 fifth; the FIN waits behind a hole
ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 | FIN-ACK | middle right      | *            | ACK        | same        | RFC 5681 4.2: at once, behind a hole
"""  # noqa: E501


#: Where there is no window: any number will do, only that of an ACK counts: ours are 0 for the SYN, then 1.
WINDOWLESS = """
state    | arrivals            | acks    | answer                          | then         | why

LISTEN   | SYN SYN-FIN         | -       | S. 0:0(0) ack SEQ+1             | SYN-RECEIVED | 3.10.7.2 third; the FIN is left for later
LISTEN   | SYN-ACK ACK FIN-ACK | 0 1 7   | R ACK:ACK(0)                    | LISTEN       | 3.10.7.2 second
LISTEN   | RST FIN             | -       | nothing                         | LISTEN       | 3.10.7.2 first, and fourth
LISTEN   | RST-ACK             | 0 1 7   | nothing                         | LISTEN       | 3.10.7.2 first

SYN-SENT | SYN-ACK ACK FIN-ACK | 0 2     | R ACK:ACK(0)                    | SYN-SENT     | 3.10.7.3 first: of what was not sent
SYN-SENT | SYN-ACK             | 1       | . 1:1(0) ack SEQ+1              | ESTABLISHED  | 3.10.7.3 fourth
SYN-SENT | SYN SYN-FIN         | -       | S. 0:0(0) ack SEQ+1             | SYN-RECEIVED | 3.10.7.3 fourth: simultaneous open
SYN-SENT | RST-ACK             | 1       | nothing                         | gone         | 3.10.7.3 second: refused
SYN-SENT | RST-ACK             | 0 2     | nothing                         | SYN-SENT     | 3.10.7.3 first
SYN-SENT | RST FIN             | -       | nothing                         | SYN-SENT     | 3.10.7.3 second, and fifth
SYN-SENT | ACK FIN-ACK         | 1       | nothing                         | SYN-SENT     | 3.10.7.3 fifth: neither SYN nor RST

CLOSED   | SYN-ACK ACK FIN-ACK | 0 1 7   | R ACK:ACK(0)                    | gone         | 3.10.7.1
CLOSED   | SYN FIN             | -       | R. 0:0(0) ack SEQ+1             | gone         | 3.10.7.1: each has one number
CLOSED   | SYN-FIN             | -       | R. 0:0(0) ack SEQ+2             | gone         | 3.10.7.1: these are two
CLOSED   | RST                 | -       | nothing                         | gone         | 3.10.7.1: never a RST by a RST
CLOSED   | RST-ACK             | 0 1 7   | nothing                         | gone         | 3.10.7.1
"""  # noqa: E501
NUMBERS = (0, 1, 2**31, 2**32 - 2, 2**32 - 1)


class Reached(NamedTuple):
    """How a state is reached, and the numbers there: RCV.NXT, SND.UNA, SND.NXT, and what our arrivals acknowledge."""

    steps: str
    rcv_nxt: int = 1
    snd_una: int = 1
    snd_nxt: int = 1


_LISTENS = """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
"""
_CALLED = f"""\
{_LISTENS}+0 < S 0:0(0) win 4000 <mss 1460>
+0 > S. 0:0(0) ack 1 win WINDOW <mss 1460>
"""
_CALLS = """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS
+0 > S 0:0(0) win WINDOW <...>
"""
_OPEN = f"""\
{_CALLED}+.01 < . 1:1(0) ack 1 win 4000
+0 accept(3, ..., ...) = 4
+0 close(3) = 0
"""
_FIN_LEAVES = "+.01 shutdown(4, SHUT_WR) = 0\n+0 > F. 1:1(0) ack 1\n"
_FIN_ACKNOWLEDGED = "+.01 < . 1:1(0) ack 2 win 4000\n"
_FIN_COMES = "+.01 < F. 1:1(0) ack 1 win 4000\n+0 > . 1:1(0) ack 2\n"

STATES = {
    "SYN-RECEIVED": Reached(_CALLED, snd_una=1),
    "SYN-RECEIVED from SYN-SENT": Reached(f"{_CALLS}+.01 < S 0:0(0) win 4000 <mss 1460>\n+0 > S. 0:0(0) ack 1 <...>\n"),
    "ESTABLISHED": Reached(_OPEN),
    "FIN-WAIT-1": Reached(_OPEN + _FIN_LEAVES, snd_nxt=2),
    "FIN-WAIT-2": Reached(_OPEN + _FIN_LEAVES + _FIN_ACKNOWLEDGED, snd_una=2, snd_nxt=2),
    "CLOSE-WAIT": Reached(_OPEN + _FIN_COMES, rcv_nxt=2),
    "CLOSING": Reached(
        f"{_OPEN}{_FIN_LEAVES}+.01 < F. 1:1(0) ack 1 win 4000\n+0 > . 2:2(0) ack 2\n", rcv_nxt=2, snd_nxt=2
    ),
    "LAST-ACK": Reached(
        f"{_OPEN}{_FIN_COMES}+.01 shutdown(4, SHUT_WR) = 0\n+0 > F. 1:1(0) ack 2\n", rcv_nxt=2, snd_nxt=2
    ),
    "TIME-WAIT": Reached(
        f"{_OPEN}{_FIN_LEAVES}{_FIN_ACKNOWLEDGED}+.01 < F. 1:1(0) ack 2 win 4000\n+0 > . 2:2(0) ack 2\n",
        rcv_nxt=2,
        snd_una=2,
        snd_nxt=2,
    ),
}


class Case(NamedTuple):
    """One cell of the table."""

    state: str
    arrival: str
    place: str
    stack: str

    def __str__(self) -> str:
        return f"{self.state}, {self.arrival} at {self.place}, {self.stack}".replace(" ", "_")


class Rule(NamedTuple):
    """One row of the table."""

    states: str
    arrivals: str
    places: str
    stacks: str
    answer: str
    then: str
    why: str

    def fits(self, case: Case) -> bool:
        """Do all four of its conditions hold?"""
        return (
            self._has(self.states, case.state)
            and self._has(self.arrivals, case.arrival)
            and self._has(self.places, case.place)
            and self._has(self.stacks, case.stack)
        )

    @staticmethod
    def _has(names: str, name: str) -> bool:
        return any(
            entry in ("*", name) or (entry.endswith("*") and name.startswith(entry[:-1])) for entry in names.split()
        )


def rows(text: str) -> list[list[str]]:
    """The rows of a table in text; its first line is the heading, and # begins a comment."""
    lines = [line for line in text.strip().splitlines()[1:] if line and not line.startswith("#")]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


_RULES = [Rule(*row) for row in rows(RULES)]


def rule_of(case: Case) -> Rule:
    """The first row that fits."""
    rule = next(rule for rule in _RULES if rule.fits(case))
    return rule if rule.answer != "as inside" else rule_of(case._replace(place="right"))


def cases() -> list[Case]:
    """All of them."""
    return [
        Case(state, arrival, place, stack)
        for state in STATES
        for arrival in ARRIVALS
        for place in PLACES
        for stack in STACKS
    ]


def rows_in_use() -> set[Rule]:
    """The rows that decide some case."""
    return {next(rule for rule in _RULES if rule.fits(case)) for case in cases()}


def all_rules() -> set[Rule]:
    return set(_RULES)


def place_of(place: str, reached: Reached, stack: Stack) -> int:
    """The number of a place. The right edge is the last number that we have offered."""
    right = stack.window + (reached.rcv_nxt - 1 if stack.reopens else 0)  # the window of our SYN began at 1
    return {
        "left-1": reached.rcv_nxt - 1,
        "left": reached.rcv_nxt,
        "middle": stack.window // 2,
        "right": right,
        "right+1": right + 1,
    }[place]


def inbound(arrival: str, seq: int, ack: int) -> str:
    """A segment of the peer, without text. Its ACK counts where there is one."""
    flags = ARRIVALS[arrival]
    acknowledges = f"ack {ack} " if "." in flags else ""
    return f"+.01 < {flags} {seq}:{seq}(0) {acknowledges}win 4000\n"


def in_state(state: str, profile: str) -> str:
    """Asks for the state."""
    if profile == "linux" and state == "TIME-WAIT":
        return "+0 `ss -tan | grep TIME-WAIT`\n"  # its sockets know nothing of their TIME-WAIT
    if profile == "bsd":
        return f"+0 %{{ assert tcpi_state == TCPS_{_BSD_NAMES.get(state, state.replace('-', '_'))} }}%\n"
    return f"+0 %{{ assert tcpi_state == TCP_{_LINUX_NAMES.get(state, state.replace('-', '_'))} }}%\n"


_LINUX_NAMES = {
    "SYN-RECEIVED": "SYN_RECV",
    "FIN-WAIT-1": "FIN_WAIT1",
    "FIN-WAIT-2": "FIN_WAIT2",
    "gone": "CLOSE",
}
_BSD_NAMES = {"gone": "CLOSED"}


def script(case: Case) -> str:
    """The case as a script."""
    stack, rule, reached = STACKS[case.stack], rule_of(case), STATES[case.state]
    rcv_nxt, nxt = reached.rcv_nxt, reached.snd_nxt
    before = case.state.removesuffix(" from SYN-SENT")
    after = before if rule.then == "same" else rule.then
    acknowledged = rcv_nxt + (rule.answer == "ACK of FIN")
    answer = {
        "nothing": "",
        "RST": f"+0 > R. {nxt}:{nxt}(0) ack {rcv_nxt}\n",
        "SYN-ACK": "+0 > S. 0:0(0) ack 1 <...>\n",
    }.get(rule.answer, f"+0 > . {nxt}:{nxt}(0) ack {acknowledged}\n")
    old = f"+.01 < . {rcv_nxt - 1}:{rcv_nxt}(1) ack {reached.snd_una} win 4000\n"
    una = reached.snd_una
    nothing_else = f"+0 > R {una}:{una}(0)\n" if after == "gone" else f"+0 > . {nxt}:{nxt}(0) ack {acknowledged}\n"
    return "".join(
        [
            f"// {rule.why}\n{stack.commands}\n",
            reached.steps.replace("WINDOW", str(stack.window)),
            in_state(before, stack.profile),
            inbound(case.arrival, place_of(case.place, reached, stack), una),
            answer,
            in_state(after, stack.profile),
            old,
            nothing_else,
        ]
    )


class Windowless(NamedTuple):
    """A cell of that table."""

    state: str
    arrival: str
    seq: int
    ack: int | None
    answer: str
    then: str
    why: str

    def __str__(self) -> str:
        return f"{self.state},_{self.arrival}_of_{self.seq},_ack_{self.ack}"


def windowless() -> list[Windowless]:
    """All of its cells."""
    return [
        Windowless(state, arrival, seq, ack, answer, then, why)
        for state, names, acks, answer, then, why in rows(WINDOWLESS)
        for arrival in names.split()
        for ack in (None if number == "-" else int(number) for number in acks.split())
        for seq in NUMBERS
    ]


#: What shows that nothing else was sent in a state: a segment, and the one answer that it has there.
_ASKED = {
    "LISTEN": ("< . {seq}:{seq}(0) ack 9 win 4000", "> R 9:9(0)"),
    "gone": ("< . {seq}:{seq}(0) ack 9 win 4000", "> R 9:9(0)"),
    "SYN-SENT": ("< . {next}:{next}(0) ack 2 win 4000", "> R 2:2(0)"),
    "SYN-RECEIVED": ("< . {next}:{next}(0) ack 2 win 4000", "> R 2:2(0)"),
    "ESTABLISHED": ("< . {seq}:{next}(1) ack 1 win 4000", "> . 1:1(0) ack {next}"),
}
_BEGUN = {"LISTEN": _LISTENS, "SYN-SENT": _CALLS.replace("WINDOW", "65535"), "CLOSED": ""}


def windowless_script(case: Windowless) -> str:
    """The case as a script."""
    seq, ack, after = case.seq, case.ack or 0, (case.seq + 1) % 2**32
    answer = case.answer.replace("ACK", str(ack)).replace("SEQ+1", str(after)).replace("SEQ+2", str((seq + 2) % 2**32))
    asked, told = (line.format(seq=seq, next=after) for line in _ASKED[case.then])
    return "".join(
        [
            f"// {case.why}\n{_BEGUN[case.state]}",
            inbound(case.arrival, seq, ack),
            "" if answer == "nothing" else f"+0 > {answer} <...>\n",
            in_state("gone" if case.then == "LISTEN" else case.then, "rfc9293"),
            f"+.01 {asked}\n+0 {told}\n",
        ]
    )
