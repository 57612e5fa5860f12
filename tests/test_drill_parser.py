"""The language of packetdrill: what is read, what is printed, and what is said of a mistake."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpclose.drill.parser import parse
from tcpclose.drill.printer import print_script
from tcpclose.drill.scanner import ScriptError, Unsupported
from tcpclose.drill.script import (
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
    Word,
)

NUMBERS = st.integers(0, 2**32 - 1)
NAMES = st.from_regex(r"[a-z]\w{0,8}", fullmatch=True)
WORDS = st.builds(Word, st.from_regex(r"[A-Za-z_]\w{0,8}", fullmatch=True))
WITHIN = st.text(st.characters(codec="ascii", exclude_characters='`"%(){}\n\r*/'), max_size=8)
LEAVES = st.one_of(NUMBERS, st.just(-1), WORDS, st.builds(Text, WITHIN), st.just(Gap()))


def tuples(items, least=0):
    return st.lists(items, min_size=least, max_size=3).map(tuple)


VALUES = st.recursive(
    LEAVES,
    lambda values: st.one_of(
        st.builds(Array, tuples(values)),
        st.builds(Either, tuples(LEAVES, 2)),
        st.builds(Function, NAMES, tuples(values)),
        st.builds(
            Struct,
            tuples(st.builds(Entry, values) | st.builds(Entry, values, NAMES, st.none() | LEAVES)),
        ),
    ),
    max_leaves=6,
)
OPTIONS = st.one_of(
    st.sampled_from([Option("nop"), Option("eol"), Option("sackOK")]),
    st.builds(lambda n: Option("mss", (n,)), NUMBERS),
    st.builds(lambda n: Option("wscale", (n,)), NUMBERS),
    st.builds(lambda a, b: Option("TS", (a, b)), NUMBERS, NUMBERS),
    st.lists(NUMBERS, min_size=2, max_size=6)
    .filter(lambda edges: len(edges) % 2 == 0)
    .map(lambda edges: Option("sack", tuple(edges))),
    st.builds(lambda text: Option("FO", text=text), st.from_regex("[0-9a-f]{1,8}", fullmatch=True)),
)
FLAGS = st.one_of(st.just("-"), st.lists(st.sampled_from("SFRP.UEW"), min_size=1, unique=True).map("".join))
OPTIONAL = st.none() | NUMBERS
LENGTHS = st.integers(0, 70000)


@st.composite
def packets(draw):
    inbound = draw(st.booleans())
    options = draw(tuples(OPTIONS) if inbound else st.none() | tuples(OPTIONS))
    win = draw(NUMBERS if inbound else OPTIONAL)
    ecn = draw(st.sampled_from(["", "ect0", "ect1", "noecn", "ce"]))
    ack, urg = draw(OPTIONAL), draw(OPTIONAL)
    return Packet(inbound, draw(FLAGS), draw(NUMBERS), draw(LENGTHS), ack, win, urg, options, ecn)


ICMP = st.builds(
    Icmp,
    st.booleans(),
    st.just("unreachable"),
    st.sampled_from(["", "host_unreachable", "code_7"]),
    OPTIONAL,
    st.none() | st.tuples(NUMBERS, LENGTHS),
)
ERRNOS = st.sampled_from(["", "EAGAIN", "EINPROGRESS"])
CALLS = st.builds(Call, NAMES, tuples(VALUES), VALUES, ERRNOS, WITHIN.map(str.strip))
INSTANTS = st.integers(0, 10**10)


@st.composite
def events(draw):
    at = draw(INSTANTS)
    form = draw(st.sampled_from(["absolute", "relative", "any"]))
    action = draw(packets() | ICMP | CALLS | st.builds(Command, WITHIN) | st.builds(Code, WITHIN))
    if form == "any":
        return Event(Time("any"), action)
    until = draw(st.none() | st.integers(at, 10**10))
    blocks = until is not None and isinstance(action, Call) and draw(st.booleans())
    return Event(Time(form, at, until, blocks), action)


SCRIPTS = st.builds(
    Script,
    tuples(st.tuples(NAMES, st.sampled_from(["", "1", "ipv4"]))),
    tuples(events(), 1),
    WITHIN,
    WITHIN,
)


@given(SCRIPTS)
def test_what_is_printed_is_read_again(script):
    assert parse(print_script(script)) == script


def event(text: str) -> Event:
    (found,) = parse(text).events
    return found


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("0", Time("absolute", 0)),
        ("1.5", Time("absolute", 1_500_000)),
        (".25", Time("absolute", 250_000)),
        ("+.01", Time("relative", 10_000)),
        ("+0.000001", Time("relative", 1)),
        ("*", Time("any")),
        ("0~1", Time("absolute", 0, 1_000_000)),
        ("+0~+.2", Time("relative", 0, 200_000)),
        ("0...1", Time("absolute", 0, 1_000_000, True)),
        ("+0...0.200", Time("relative", 0, 200_000, True)),
        ("+.1 ... .2", Time("relative", 100_000, 200_000, True)),
    ],
)
def test_times(text, time):
    assert event(f"{text} close(3) = 0").time == time


def test_comments_and_line_breaks_are_free():
    text = "/* what\nthis is */ +0 // now\n  write(4,\n ..., /* octets */ 1000) = 1000 // all\n"
    assert event(text).action == Call("write", (4, Gap(), 1000), 1000)


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ("< S 0:0(0) win 1", Packet(True, "S", 0, 0, win=1)),
        ("> S. 0:0(0) ack 1 <...>", Packet(False, "S.", 0, 0, 1, options=None)),
        ("> - 1:1(0)", Packet(False, "-", 1, 0)),
        ("> . 1:1(0) ack 2", Packet(False, ".", 1, 0, 2)),
        ("< [ce] PE. 1:11(10) ack 1 win 9 urg 3", Packet(True, "PE.", 1, 10, 1, 9, 3, (), "ce")),
        ("> R 4294967295:0(1)", Packet(False, "R", 2**32 - 1, 1)),
    ],
)
def test_packets(text, packet):
    assert event(f"0 {text}").action == packet


def test_options_of_a_packet():
    text = "<mss 1460, nop, nop,sackOK,TS val 1 ecr 0,wscale 7,sack 1:2 3:4,eol,FO aa>"
    assert event(f"0 > S 0:0(0) {text}").action.options == (
        Option("mss", (1460,)),
        Option("nop"),
        Option("nop"),
        Option("sackOK"),
        Option("TS", (1, 0)),
        Option("wscale", (7,)),
        Option("sack", (1, 2, 3, 4)),
        Option("eol"),
        Option("FO", text="aa"),
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0x1F", 31),
        ("-1", -1),
        ("O_RDWR | O_NONBLOCK", Either((Word("O_RDWR"), Word("O_NONBLOCK")))),
        ('"reno"', Text("reno")),
        ("{sa_family = AF_INET}", Struct((Entry(Word("AF_INET"), "sa_family"),))),
        ("{..., 10}", Struct((Entry(Gap()), Entry(10)))),
        ("{msg_iov(2)=[]}", Struct((Entry(Array(()), "msg_iov", 2),))),
        ("htons(80)", Function("htons", (80,))),
        ("&sin6_addr", Word("sin6_addr")),
    ],
)
def test_arguments(text, value):
    assert event(f"0 f({text}) = 0").action.arguments == (value,)


def test_comments_of_all_kinds():
    text = "#!/usr/bin/env packetdrill\n// one\n0 /* two\n2 */ close(3) # three\n = 0 // close(4) = 0"
    assert parse(text).events == (Event(Time("absolute"), Call("close", (3,), 0)),)


def test_results():
    call = event("0 fcntl(3, F_GETFL) = 0x02 (flags O_RDWR)").action
    assert (call.result, call.errno, call.note) == (2, "", "flags O_RDWR")
    call = event("0 connect(3) = -1 EINPROGRESS (Operation now in progress)").action
    assert (call.result, call.errno, call.note) == (-1, "EINPROGRESS", "Operation now in progress")


def test_words_are_replaced():
    script = parse("0 f(NAME, $NAME, ${NAME}, OTHERNAME) = 0", symbols={"NAME": "7"})
    assert script.events[0].action.arguments == (7, 7, 7, Word("OTHERNAME"))


def test_commands_and_code():
    script = parse("`first`\n0 `second`\n+0 %{ assert True }%\n`last`")
    assert (script.first, script.last) == ("first", "last")
    assert [e.action for e in script.events] == [Command("second"), Code(" assert True ")]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "1:1", "expected an event, found the end of the script"),
        ("0 close(3) 0", "1:12", "expected '=' and the result behind a call, found '0'"),
        ("\n\n0 < S 0:0(0) ack", "3:17", "expected an acknowledgment number, found the end of the script"),
        ("0 < S 0:0(0)", "1:13", "expected 'win' and a window: an inbound packet must have one"),
        ("0 < S 0:0(0) win 1 <...>", "1:20", "expected options: <...> is for outbound packets"),
        ("0 > S 0:5(0)", "1:7", "expected 0:0(0) or another length, found '0'"),
        ("0 > Q 0:0(0)", "1:5", "expected TCP flags such as S, F., P. or -, found 'Q'"),
        ("0 > S 0:0(0) <mss x>", "1:19", "expected a number, found 'x'"),
        ("0 > S 0:0(0) <mss 1 nop>", "1:21", "expected ',' or '>' behind an option, found 'nop'"),
        ("+0~1 close(3) = 0", "1:1", "expected both ends of a range relative, or both absolute"),
        ("1...0 close(3) = 0", "1:1", "expected an end that is not before the start"),
        ("0...1 > S 0:0(0)", "1:7", "expected a call behind a time with ..."),
        ("when close(3) = 0", "1:1", "expected a time: seconds, +seconds or *, found 'when'"),
        ("0 f(1 2) = 0", "1:7", "expected ',' or ')', found '2'"),
        ("0 close(99999999999999999999999)", "1:9", "expected a number of no more than 20 digits"),
        ("10000000.1 close(3)", "1:1", "expected a time: seconds, +seconds or *, no more than 10000000"),
        ("0 > S 0:0(0) <sack 1>", "1:21", "expected ':' between the edges of a block"),
        ("0 > S 0:0(0) <sack 1:2 nop>", "1:24", "expected the edge of a block"),
        ("0 `a`\n`b`\n0 `c`", "3:1", "expected nothing behind the last command"),
    ],
)
def test_a_mistake_is_told_with_its_place(text, place, message):
    with pytest.raises(ScriptError) as error:
        parse(text, "x.pkt")
    first, *shown = str(error.value).split("\n")
    assert first.startswith(f"x.pkt:{place}: {message}")
    assert shown[-1].index("^") - 4 == int(place.split(":")[1]) - 1


def test_values_in_values_in_values_are_told():
    with pytest.raises(ScriptError, match="expected values that lie less deep in one another"):
        parse("0 f(" + "[" * 5000)


@pytest.mark.parametrize("text", ["0 > udp (100)", "0 > ipv4 1.1.1.1 > 2.2.2.2: . 1:1(0)", "0 > SA 0:0(0)"])
def test_other_protocols_are_named(text):
    with pytest.raises(Unsupported):
        parse(text)
