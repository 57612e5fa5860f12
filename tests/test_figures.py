"""Every figure under tests/figures/ is played against two stacks, and drawn again from the trace of what happened."""

import re
from pathlib import Path

import pytest

from tcpclose.trace.drawing import draw
from tcpclose.trace.figure import FigureError, format_figure, parse_figure
from tcpclose.trace.playing import FigurePlayer, play_figure

FOLDER = Path(__file__).parent / "figures"
FIGURES = sorted(FOLDER.rglob("*.txt"))
each_figure = pytest.mark.parametrize("path", FIGURES, ids=lambda path: f"{path.parent.name}/{path.stem}")

#: Figures that are not written as a trace is drawn, and why.
OTHERWISE = {
    "rfc9293": "they keep the wording and the layout of the RFC",
    "time-wait/duplicate-syn-reopens-in-vain.txt": "no event tells that TIME-WAIT, put aside for a SYN, comes back",
}


@each_figure
def test_figure(path):
    play_figure(path.read_text())


@each_figure
def test_a_figure_that_is_printed_reads_the_same(path):
    lines = parse_figure(path.read_text())
    printed = format_figure(lines)
    assert parse_figure(printed) == lines
    assert format_figure(parse_figure(printed)) == printed
    FigurePlayer(parse_figure(printed), play_figure(path.read_text()).config).play()


@each_figure
def test_a_figure_is_drawn_from_what_happened(path):
    text = path.read_text()
    drawn = format_figure(drawn_again(play_figure(text)))
    other = any(str(path.relative_to(FOLDER)).startswith(name) for name in OTHERWISE)
    assert (text[text.index("    TCP Peer A") :] == drawn) is not other, drawn


@pytest.mark.parametrize("path", sorted((FOLDER / "rfc9293").glob("*.txt")), ids=lambda path: path.stem)
def test_drawn_our_way_a_figure_of_the_rfc_happens_again(path):
    played = play_figure(path.read_text())
    drawn = drawn_again(played)
    again = play_figure(format_figure(drawn))
    assert drawn_again(again) == drawn


def drawn_again(played):
    return draw(played.trace, peers=("A", "B"), since=played.began, absolute=True)


def test_all_figures_of_the_rfc_are_here():
    assert [int(path.stem[:2]) for path in FIGURES if path.parent.name == "rfc9293"] == list(range(6, 14))
    assert len(FIGURES) >= 40


def test_a_figure_says_what_is_set():
    header = "    TCP Peer A          TCP Peer B\n1.  CLOSED  CLOSED\n"
    assert play_figure("In short:\n\n    with keepalive = true\n" + header).config.keepalive
    for line, words in [
        ("with keepalive = yes", "with keepalive = yes: "),
        ("with nagl = 1", "nagl"),
    ]:
        with pytest.raises(FigureError, match=words):
            play_figure(f"{line}\n{header}")


def test_an_old_duplicate_does_not_tell_where_a_figure_starts():
    play_figure(
        """
    TCP Peer A                                               TCP Peer B

1.  ESTABLISHED                                              ESTABLISHED
2.  (duplicate) ... <SEQ=50><CTL=SYN>                    --> ESTABLISHED
3.  ESTABLISHED <-- <SEQ=300><ACK=100><CTL=ACK>          <-- ESTABLISHED
4.  (duplicate) ... <SEQ=70><ACK=200><CTL=ACK><DATA=10>  --> ESTABLISHED
5.  ESTABLISHED <-- <SEQ=300><ACK=100><CTL=ACK>          <-- ESTABLISHED
"""
    )
    play_figure(
        """
    TCP Peer A                                               TCP Peer B

1.  ESTABLISHED                                              ESTABLISHED
2.  (duplicate) ... <SEQ=70><ACK=200><CTL=ACK><DATA=10>  --> ESTABLISHED
3.  ESTABLISHED <-- <SEQ=300><ACK=100><CTL=ACK>          <-- ESTABLISHED
"""
    )


def spoiled(text):
    """Each way to change one number, one control bit or one state below the header of a figure."""
    start = text.index("TCP Peer B")
    for match in re.finditer(r"(?<=[=])\d+|FIN,ACK|SYN,ACK|RST|CTL=ACK|FIN-WAIT-1|TIME-WAIT|CLOSE-WAIT|LAST-ACK", text):
        if match.start() > start:
            old = match[0]
            new = str(int(old) + 1) if old.isdigit() else {"CTL=ACK": "CTL=RST,ACK", "RST": "SYN"}.get(old, "CLOSING")
            new = {"FIN,ACK": "ACK", "SYN,ACK": "ACK"}.get(old, new)
            yield text[: match.start()] + new + text[match.end() :]


@pytest.mark.parametrize("name", ["06", "12", "13"])
def test_a_spoiled_figure_is_refused(name):
    text = next(path for path in FIGURES if path.stem.startswith(name)).read_text()
    for variant in spoiled(text):
        with pytest.raises(FigureError):
            play_figure(variant)


def test_a_missing_line_is_refused():
    text = next(path for path in FIGURES if path.stem.startswith("12")).read_text()
    without_last_ack = text[: text.index("5.  TIME-WAIT")]
    with pytest.raises(FigureError, match="also sent <SEQ=101><ACK=301><CTL=ACK>"):
        play_figure(without_last_ack)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1.  ESTABLISHD  ESTABLISHED", "line 2: 'ESTABLISHD' is no state"),
        ("1.  --> <ACK=1><CTL=ACK> -->", "line 2: expected <SEQ=n>"),
        ("1.  --> <SEQ=1><CTL=ACK> -->", "line 2: <ACK=n> stands exactly where the ACK bit is set"),
        ("1.  --> <SEQ=1><ACK=2><CTL=ACK> <--", "line 2: --> with <-- says nothing"),
    ],
)
def test_what_cannot_be_read_is_named(line, message):
    with pytest.raises(FigureError, match=message):
        parse_figure("    TCP Peer A          TCP Peer B\n" + line)
