"""Every figure under tests/figures/ is played against two stacks."""

import re
from pathlib import Path

import pytest

from tcpclose.trace.figure import FigureError, format_figure, parse_figure, play_figure

FIGURES = sorted((Path(__file__).parent / "figures").rglob("*.txt"))


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_figure(path):
    play_figure(path.read_text())


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_a_figure_that_is_printed_reads_the_same(path):
    lines = parse_figure(path.read_text())
    printed = format_figure(lines)
    assert parse_figure(printed) == lines
    assert format_figure(parse_figure(printed)) == printed
    play_figure(printed)


def test_all_figures_of_the_rfc_are_here():
    assert {int(path.stem[:2]) for path in FIGURES if path.stem[:2].isdigit()} >= set(range(6, 14))


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
