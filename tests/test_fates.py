"""Fates: what is read is what is written, and each strikes the segments that it describes and no others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpclose.links import Fate, FateBook, FateError, Order, Parties, read_fate
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.segment import ACK, FIN, RST, SYN, Segment, parse_segment

H1, H2, H3 = Endpoint("10.0.0.1", 40001), Endpoint("10.0.0.2", 80), Endpoint("10.0.0.3", 40002)
PARTIES = Parties(
    {"10.0.0.1": "h1", "10.0.0.2": "h2", "10.0.0.3": "h3"}, {frozenset((H1, H2)): "c1", frozenset((H3, H2)): "c-2"}
)

names = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
whiches = st.one_of(
    st.just((1, None)), st.integers(1, 200).map(lambda n: (n, n)), st.integers(1, 200).map(lambda n: (1, n))
)


@st.composite
def rules(draw: st.DrawFn) -> Fate:
    action: Any = draw(st.sampled_from(["drop", "hold", "duplicate", "corrupt"]))
    first, last = draw(whiches)
    what = draw(
        st.one_of(
            st.just({}),
            st.sampled_from([{"ack_of": FIN}, {"ack_of": SYN}]),
            st.fixed_dictionaries({"ctl": st.integers(1, 255), "only": st.booleans()}),
        )
    )
    return Fate(
        action,
        **what,
        source=draw(st.just("") | names),
        target=draw(st.just("") | names),
        connection=draw(st.just("") | names),
        data=draw(st.sampled_from([None, True, False])),
        containing=draw(st.text(max_size=20)),
        hold=draw(st.integers(1, 10**8)) if action == "hold" else 0,
        first=first,
        last=last,
    )


@given(rules())
def test_what_is_written_is_read(fate: Fate):
    assert read_fate(str(fate), fate.action) == fate


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("FIN from h2, first", "FIN from h2, first"),
        ("RST", "RST, all"),
        ("ACK  of FIN ,2 times", "ACK of FIN, 2 times"),
        ("segment, 1 times", "segment, first"),
        ("FIN+ACK to h1 without data, 1st", "FIN+ACK to h1 without data, first"),
        ("only ACK on c-2, 21st", "only ACK on c-2, 21st"),
        ("segment with data, 12th", "segment with data, 12th"),
        ("segment containing 'it\\'s, here', once", "segment containing 'it\\'s, here', first"),
    ],
)
def test_a_rule_has_one_form(text: str, written: str):
    assert str(read_fate(text, "drop")) == written


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "column 1: expected control bits such as FIN or SYN\\+ACK, .* not the end"),
        ("FYN", "column 1: expected control bits such as FIN or SYN\\+ACK, .* not FYN"),
        ("only", "column 5: expected control bits"),
        ("ACK of RST", "column 8: expected FIN or SYN, not RST"),
        ("FIN form h2", 'column 5: expected from, to, on, .* or ", " and which of them, not form'),
        ("FIN from", "column 9: expected the name of a host, not the end"),
        ("FIN on ,", "column 8: expected the name of a connection, not ,"),
        ("FIN from h1 from h2", "column 13: expected `from` only once"),
        ("FIN with data without data", "column 15: expected `with` only once"),
        ("FIN with text", "column 10: expected data, not text"),
        ("FIN containing GET", "column 16: expected a text in single quotes, not GET"),
        ("FIN containing 'GET", "column 16: expected a text in single quotes, not '"),
        ("FIN containing ''", "column 16: expected a text in single quotes"),
        ("FIN for 3", "column 9: expected a duration such as 300ms, not 3"),
        ("FIN for 0s", "column 9: expected a duration such as 300ms, not 0s"),
        ("FIN for 3s", "column 11: expected `for` with `hold` only"),
        ("FIN,", 'column 5: expected "first", "second", "3rd" .*, not the end'),
        ("FIN, 2st", 'column 6: expected "first", .*, not 2st'),
        ("FIN, 2", 'column 6: expected "first", .*, not 2'),
        ("FIN, first one", "column 12: expected the end, not one"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, words: str):
    with pytest.raises(FateError, match=f"^{words}"):
        read_fate(text, "drop")


def test_a_hold_says_how_long():
    assert read_fate("FIN from h1 for 300ms", "hold").hold == 300_000
    with pytest.raises(FateError, match='column 4: expected "for" and how long, such as 300ms, not the end'):
        read_fate("FIN", "hold")


@given(st.text())
def test_whatever_the_text_the_error_is_ours(text: str):
    try:
        fate = read_fate(text, "drop")
    except FateError:
        return
    assert read_fate(str(fate), "drop") == fate


# ---- Which segments


def segment(text: str, data: bytes = b"") -> Segment:
    made = parse_segment(text)
    made.data = data or made.data
    return made


@pytest.mark.parametrize(
    ("rule", "struck"),
    [
        ("segment", {"syn", "text", "push", "ack", "fin", "other", "reset"}),
        ("FIN", {"fin"}),
        ("SYN+ACK", set()),
        ("RST", {"reset"}),
        ("ACK", {"text", "push", "ack", "fin", "other"}),
        ("only ACK", {"text", "push", "ack", "other"}),
        ("only ACK without data", {"ack"}),
        ("only SYN", {"syn"}),
        ("segment from h2", {"ack", "fin"}),
        ("segment to h2", {"syn", "text", "push", "other", "reset"}),
        ("segment on c-2", {"other"}),
        ("segment on c1 with data", {"text", "push"}),
        ("segment containing 'GET /'", {"push", "other"}),
        ("ACK to h1 from h2 containing 'x'", set()),
    ],
)
def test_a_rule_strikes_what_it_describes(rule: str, struck: set[str]):
    offered = {
        "syn": Datagram(H1, H2, segment("<SEQ=1><CTL=SYN>")),
        "text": Datagram(H1, H2, segment("<SEQ=2><ACK=1><CTL=ACK>", b"hello")),
        "push": Datagram(H1, H2, segment("<SEQ=7><ACK=1><CTL=PSH,ACK>", b"GET / HTTP/1.0")),
        "ack": Datagram(H2, H1, segment("<SEQ=1><ACK=7><CTL=ACK>")),
        "fin": Datagram(H2, H1, segment("<SEQ=1><ACK=7><CTL=FIN,ACK>")),
        "other": Datagram(H3, H2, segment("<SEQ=1><ACK=7><CTL=ACK>", b"GET /")),
        "reset": Datagram(H3._replace(port=1), H2, segment("<SEQ=1><CTL=RST>")),
    }
    book = FateBook([read_fate(rule, "drop")], PARTIES)
    assert {name for name, datagram in offered.items() if book.judge(datagram)} == struck


def test_reserved_bits_do_not_matter():
    book = FateBook([read_fate("only RST", "drop")], PARTIES)
    assert book.judge(Datagram(H1, H2, Segment(1, 0, RST | 0x100)))


@pytest.mark.parametrize(
    ("which", "struck"),
    [("first", [1]), ("second", [2]), ("3rd", [3]), ("once", [1]), ("2 times", [1, 2]), ("all", [1, 2, 3, 4, 5])],
)
def test_which_of_them(which: str, struck: list[int]):
    book = FateBook([read_fate(f"FIN, {which}", "drop")], PARTIES)
    plain, fin = (Datagram(H1, H2, Segment(1, 0, ctl)) for ctl in (ACK, FIN | ACK))
    seen = []
    for number in range(1, 6):
        assert not book.judge(plain)
        if book.judge(fin):
            seen.append(number)
    assert seen == struck


def test_an_order_says_what_to_do_and_by_which_rule():
    book = FateBook([read_fate("FIN for 3s", "hold"), read_fate("segment, once", "duplicate")], PARTIES)
    assert book.judge(Datagram(H1, H2, Segment(1, 0, FIN))) == [
        Order("hold", "FIN for 3s, all", 3_000_000),
        Order("duplicate", "segment, first"),
    ]


# ---- Memory


def judge(book: FateBook, *offered: tuple[Endpoint, Endpoint, str]) -> list[bool]:
    return [bool(book.judge(Datagram(src, dst, segment(text)))) for src, dst, text in offered]


@pytest.mark.parametrize("iss", [100, 2**32 - 1])
def test_the_ack_of_a_fin_is_known_by_the_fin(iss: int):
    fin, behind = iss, (iss + 1) % 2**32
    book = FateBook([read_fate("ACK of FIN", "drop")], PARTIES)
    assert judge(
        book,
        (H2, H1, f"<SEQ=300><ACK={behind}><CTL=ACK>"),  # no FIN was seen
        (H1, H2, f"<SEQ={fin}><ACK=300><CTL=FIN,ACK>"),
        (H2, H1, f"<SEQ=300><ACK={fin}><CTL=ACK>"),  # of what came before
        (H2, H3, f"<SEQ=300><ACK={behind}><CTL=ACK>"),  # another connection
        (H2, H1, f"<SEQ=300><ACK={behind}><CTL=ACK>"),
        (H1, H2, f"<SEQ={fin}><ACK=300><CTL=FIN,ACK>"),  # sent again
        (H2, H1, f"<SEQ=300><ACK={behind}><CTL=FIN,ACK>"),  # the other FIN acknowledges it too
        (H1, H2, f"<SEQ={behind}><ACK=301><CTL=ACK>"),
        (H2, H1, "<SEQ=300><CTL=RST>"),  # acknowledges nothing
    ) == [False, False, False, False, True, False, True, True, False]


def test_a_new_incarnation_is_not_taken_for_the_old():
    book = FateBook([read_fate("ACK of FIN", "drop"), read_fate("ACK of SYN", "duplicate")], PARTIES)
    judge(book, (H1, H2, "<SEQ=100><ACK=300><CTL=FIN,ACK>"), (H1, H2, "<SEQ=500><CTL=SYN>"))
    acknowledgment = Datagram(H2, H1, segment("<SEQ=900><ACK=501><CTL=SYN,ACK>"))
    assert [order.action for order in book.judge(acknowledgment)] == ["duplicate"]
