"""The command `classify`: what it prints, where it writes, and how it says what is wrong."""

from __future__ import annotations

import csv
import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import zoo
from captures import merged, script, write
from scapy.all import TCP
from typer.testing import CliRunner

from tcpclose.classify import classify, ladder
from tcpclose.classify.filtering import FilterError, parse_filter
from tcpclose.cli import app

OPEN = ">S <S. >. "
RUN = CliRunner()
COMMAND = [sys.executable, "-m", "tcpclose", "classify"]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A graceful release, a reset by the server, a refused connection."""
    scripts = (OPEN + ">P9. <. >F. <. <F. >.", OPEN + ">P9. <R.", ">S <R.z")
    many = [script(words, client=("10.0.0.1", 40000 + n), server=("10.0.0.2", 443)) for n, words in enumerate(scripts)]
    return write(merged(*many), tmp_path / "three.pcap")


def run(*arguments: object) -> tuple[int, str, str]:
    done = RUN.invoke(app, ["classify", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.stdout, done.stderr


def test_table(capture: Path) -> None:
    status, out, _ = run(capture)
    lines = out.splitlines()
    assert status == 0
    assert len(lines) == 4
    assert lines[0].split()[:4] == ["number", "connection", "seconds", "octets"]
    assert lines[2].split("  ")[0] == "2"
    assert "10.0.0.1:40001 > 10.0.0.2:443" in lines[2]
    assert "unread data (medium)" in lines[2]


def test_json_and_csv_say_the_same(capture: Path, tmp_path: Path) -> None:
    _, out, _ = run(capture, "--format", "json")
    objects = [json.loads(line) for line in out.splitlines()]
    assert [one["kind"] for one in objects] == ["graceful", "reset", "refused"]
    run(capture, "--format", "csv", "--out", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    as_text = [
        {key: " ".join(map(str, v)) if key == "evidence" else "" if v is None else str(v) for key, v in one.items()}
        for one in objects
    ]
    assert rows == as_text


def test_parquet(capture: Path, tmp_path: Path) -> None:
    from pyarrow import parquet

    assert run(capture, capture, "--format", "parquet", "--out", tmp_path / "out.parquet")[0] == 0
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table["history"].to_pylist() == [one.history for one in classify(capture)] * 2
    assert table["file"].to_pylist() == [str(capture)] * 6


def test_rows_of_several_files_have_their_names(capture: Path, tmp_path: Path) -> None:
    odd = capture.rename(os.fsdecode(os.fsencode(tmp_path) + b'/a "b", \xff.pcap'))
    other = write(script(">S <R.z"), tmp_path / "other.pcap")
    names = [f'{tmp_path}/a "b", \ufffd.pcap'] * 3 + [str(other)]
    _, out, _ = run(odd, other, "--format", "json")
    assert [json.loads(line)["file"] for line in out.splitlines()] == names
    run(odd, other, "--format", "csv", "--out", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == names
    assert rows[1]["evidence"] == " ".join(map(str, classify(odd).column("evidence")[1]))
    assert rows[2]["duration"] == str(classify(odd).column("duration")[2])
    _, out, _ = run(odd, other, "--summary", "--format", "json")
    assert [json.loads(line)["file"] for line in out.splitlines()] == [names[0], names[3]]


def test_summary(capture: Path) -> None:
    _, out, _ = run(capture, "--summary")
    assert out.startswith("3 connections\n")
    assert "  graceful                                  1   33.3%" in out
    _, out, _ = run(capture, "--summary", "--format", "json")
    assert json.loads(out)["server_port"] == {"443": 3}


def test_several_files_are_told_apart(capture: Path) -> None:
    _, out, _ = run(capture, capture, "--filter", "kind == refused")
    assert out.splitlines()[0] == out.splitlines()[3] == str(capture)


def test_standard_input(capture: Path) -> None:
    done = subprocess.run([*COMMAND, "-"], stdin=capture.open("rb"), capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout == run(capture)[1]


@pytest.mark.parametrize(
    ("expression", "numbers"),
    [
        ("kind == reset", [2]),
        ("kind=reset or kind=refused", [2, 3]),
        ("not (kind == reset) and dport == 443", [1, 3]),
        ("cause has data", [2]),
        ('cause == "unread data"', [2]),
        ("duration > 50ms", [1]),
        ("duration <= 0.05s", [2, 3]),
        ("orig_bytes >= 9 and src has 10.0.0", [1, 2]),
        ("release_time != none", [1, 2, 3]),
        ("release_time > 0", [1]),
        ("cause == none", [1]),
        ("reset_by != none", [2, 3]),
        ("evidence has 10", [2]),
        ("evidence has 1", []),
        ("number < 3", [1, 2]),
    ],
)
def test_filter(expression: str, numbers: list[int], capture: Path) -> None:
    assert classify(capture).where(parse_filter(expression)).column("number") == numbers


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("colour == red", "expected a column (number, src,"),
        ("kind reset", "expected == != < <= > >= or has, not 'reset'"),
        ("dport == https", "expected a number for dport, not 'https'"),
        ("duration > 1m", "expected a number for duration, which may be a time as 1.5s or 300ms, not '1m'"),
        ("evidence > 5", "expected has and the number of a packet, not '>'"),
        ("kind == rest", "expected for kind one of graceful, three-segment, simultaneous, half-closed, reset,"),
        ("cause == 'no connection'", "peer silent, not 'no connection'"),
        ("kind == reset reset", "expected and, or, or the end, not 'reset'"),
        ("(kind == reset", "expected ), not the end"),
        ("kind ==", "expected a value, not the end"),
        ('kind == "reset', "cannot read on at"),
    ],
)
def test_a_filter_that_cannot_be_read(expression: str, complaint: str, capture: Path) -> None:
    with pytest.raises(FilterError):
        parse_filter(expression)
    status, _, err = run(capture, "--filter", expression)
    assert status == 2
    assert complaint in err


def test_the_ladder_of_one_connection(capture: Path, tmp_path: Path) -> None:
    status, out, _ = run(capture, "--connection", 2, "--chart", tmp_path / "ladder.svg")
    assert status == 0
    assert "unread data: medium confidence, from packets 12, 10" in out
    assert "SYN-SENT    --> <SEQ=100><CTL=SYN>                   --> SYN-RECEIVED" in out
    assert "<-- <SEQ=301><ACK=110><CTL=RST,ACK>" in out
    assert (tmp_path / "ladder.svg").read_text().startswith("<?xml")


def test_wrong_checksums_all_over_are_told_with_what_helps(tmp_path: Path, capture: Path) -> None:
    """Captures of what a machine with checksum offload sends, or of a loopback, look like this."""
    packets = [replace(packet, bad=True) for packet in script(OPEN + "<F. >. >F. <.")]
    offloaded = write(packets, tmp_path / "offloaded.pcap")
    status, out, err = run(offloaded)
    assert status == 0
    assert "graceful" not in out
    assert "have packets with a wrong checksum" in err
    assert "try -C" in err
    status, out, err = run(offloaded, "-C")
    assert "graceful" in out
    assert err == ""
    assert "checksum" not in run(capture)[2]


def test_the_ladder_says_what_an_end_did_to_send_its_reset(tmp_path: Path) -> None:
    """Not every RST with an ACK is an ABORT; and what a middlebox sends changes nothing at the end that it names."""
    probes = script(OPEN + ">P9. <. 60s >. 60s >. 60s >. 60s >R.")
    probes[5:8] = [replace(packet, seq=packet.seq - 1) for packet in probes[5:8]]
    for name, packets, line in (
        ("keepalive", probes, "(Keepalive)\n    CLOSED      --> <SEQ=110><ACK=301><CTL=RST,ACK>      --> CLOSED"),
        ("unread", script(OPEN + ">P9. <R."), "(Close)\n    CLOSED      <-- <SEQ=301><ACK=110><CTL=RST,ACK>"),
        (
            "injected",
            script(OPEN + "<R. <P9. >R"),
            "5.  CLOSED      <-- <SEQ=301><ACK=101><CTL=RST,ACK>      <-- ESTABLISHED",
        ),
    ):
        _, out, _ = run(write(packets, tmp_path / f"{name}.pcap"), "--connection", 1)
        assert line in out, out
        assert "(Abort)" not in out


def test_what_was_sent_in_vain_has_not_arrived_and_what_was_acknowledged_before_has(tmp_path: Path) -> None:
    packets = script(OPEN + "<P9. >. >P5. 300ms >P5.~ 600ms >P5.~ 1.2s >P5.~")
    _, out, _ = run(write(packets, tmp_path / "vain.pcap"), "--connection", 1)
    assert "ESTABLISHED --> <SEQ=101><ACK=310><CTL=ACK>          --> ESTABLISHED" in out
    assert out.count("<DATA=5>  XXX ESTABLISHED") == 3
    assert out.count("<DATA=5>  ... ESTABLISHED") == 1


def test_a_long_ladder_has_the_release_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    packets = script(OPEN + ">P9. <. " * ladder.MOST + ">F. <. <F. >.")
    _, out, _ = run(write(packets, tmp_path / "long.pcap"), "--connection", 1)
    assert "the first 1,000 packets and the last 1,000\n" in out
    assert out.count("<SEQ=") == ladder.MOST
    assert out.count("(Close)") == 2
    assert "TIME-WAIT" in out.splitlines()[-1]


def test_what_was_captured_twice_is_told(tmp_path: Path) -> None:
    packets = script(OPEN + ">P9. <. >F. <. <F. >.")
    again = [replace(packet, time=packet.time + 50_000) for packet in packets]
    path = write(sorted(packets + again, key=lambda packet: packet.time), tmp_path / "any.pcap")
    status, out, err = run(path)
    assert (status, "graceful" in out) == (0, True)
    assert "any.pcap: 1 of 1 connections have packets that were captured twice" in err


def test_headers_that_were_cut_off_are_told_and_are_not_invalid(tmp_path: Path) -> None:
    """A SYN has more options than other segments: 64 octets were once enough for those."""
    packets = (
        zoo.ipv4(TCP(sport=1, dport=80, flags="S", seq=9, options=[("MSS", 1460)])),
        zoo.ipv4(TCP(sport=80, dport=1, flags="RA", ack=10), src="192.0.2.200", dst="10.0.0.1"),
    )
    path = tmp_path / "cut.pcap"
    path.write_bytes(zoo.pcap([(zoo.RAW, bytes(packet)) for packet in packets], snaplen=41))
    status, out, err = run(path)
    assert (status, "refused (medium)" in out) == (0, True)
    assert "cut.pcap: 1 of 1 connections have packets that were cut inside their TCP header" in err


def test_what_is_sent_again_is_sent_by_the_timer_and_by_no_user(tmp_path: Path) -> None:
    packets = script(OPEN + ">P5. 300ms >P5.~ 600ms >P5.~ 1.2s >P5.~ 2s >R.")
    _, out, _ = run(write(packets, tmp_path / "again.pcap"), "--connection", 1, "--chart", tmp_path / "ladder.svg")
    assert out.count("<DATA=5>") == 4
    assert out.count("(RTO)") == 4  # the last one gives up
    assert "(Abort)" not in out
    assert "(Send" not in out
    drawn = (tmp_path / "ladder.svg").read_text()
    assert drawn.count("Send 5") == 1
    assert "not released" not in drawn
    assert "c1 — orig retransmission limit" in drawn


def test_the_ladder_of_a_simultaneous_close(tmp_path: Path) -> None:
    """Nobody's FIN arrives before the other was sent, though they were captured one after the other."""
    packets = script(OPEN + ">F. <P5. >. <F. >. <.")
    late = [replace(packet, ack=101) if packet.ack == 102 and n < 7 else packet for n, packet in enumerate(packets)]
    _, out, _ = run(write(late, tmp_path / "crossing.pcap"), "--connection", 1)
    assert "simultaneous; closed first by orig" in out
    assert (
        out.partition("ESTABLISHED\n5.  (Close)\n")[2].rstrip()
        == """\
    FIN-WAIT-1  --> <SEQ=101><ACK=301><CTL=FIN,ACK>      ... ESTABLISHED
6.  FIN-WAIT-1  <-- <SEQ=301><ACK=101><CTL=ACK><DATA=5>  <-- ESTABLISHED
7.  FIN-WAIT-1  --> <SEQ=102><ACK=306><CTL=ACK>          ... ESTABLISHED
8.                                                           (Close)
    CLOSING     <-- <SEQ=306><ACK=101><CTL=FIN,ACK>      <-- FIN-WAIT-1
9.  CLOSING     ... <SEQ=101><ACK=301><CTL=FIN,ACK>      --> CLOSING
10. CLOSING     ... <SEQ=102><ACK=306><CTL=ACK>          --> CLOSING
11. CLOSING     --> <SEQ=102><ACK=307><CTL=ACK>          --> TIME-WAIT
12. TIME-WAIT   <-- <SEQ=307><ACK=102><CTL=ACK>          <-- TIME-WAIT"""
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--format", "xml"], "--format xml: expected table, json, csv or parquet"),
        (["--format", "parquet"], "--format parquet: it is written to a file, which --out names"),
        (["--chart", "x.svg"], "--chart: it is of one connection, which --connection N names"),
        (["--connection", "7"], "--connection 7: none begins with that packet"),
        (["--server-ports", "80,http"], "--server-ports 80,http: expected ports and ranges"),
        (["--server-ports", "90-80"], "not '90-80'"),
        (["--summary", "--format", "csv"], "--summary: it is a table or json, not csv"),
        (["--connection", "2", "--filter", "kind == reset"], "--connection: it is one ladder, without --format"),
        (["--out", "/nowhere/x"], "/nowhere/x: No such file or directory"),
    ],
)
def test_complaints(arguments: list[str], complaint: str, capture: Path) -> None:
    status, _, err = run(capture, *arguments)
    assert status == 2
    assert complaint in err
    assert len(err.splitlines()) == 1


def test_what_is_no_capture(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing of the kind")
    for name in ("notes.txt", "missing.pcap"):
        status, out, err = run(tmp_path / name)
        assert (status, out, len(err.splitlines())) == (2, "", 1)
        assert name in err


def test_a_damaged_capture_is_told_as_far_as_it_goes(capture: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture.read_bytes()[:-1])
    status, out, err = run(cut)
    assert status == 1
    assert len(out.splitlines()) == 4
    assert "the file ends inside a packet" in err


def test_server_ports_tell_who_is_the_responder(tmp_path: Path) -> None:
    path = write(script("<P9. >.", server=("10.0.0.2", 7777)), tmp_path / "midstream.pcap")
    assert "10.0.0.2:7777 > 10.0.0.1:40000" in run(path)[1]
    assert "10.0.0.1:40000 > 10.0.0.2:7777" in run(path, "--server-ports", "80,7000-8000")[1]


def test_a_reader_who_has_seen_enough(tmp_path: Path) -> None:
    many = [script(">S", client=("10.0.0.1", 1024 + n)) for n in range(4000)]
    path = write(merged(*many), tmp_path / "many.pcap")
    command = f"{shlex.join([*COMMAND, str(path)])} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.slow
def test_that_it_compiles_is_said_to_who_waits(capture: Path, terminal: bool) -> None:
    script = (
        f"import sys; sys.stderr.isatty = lambda: {terminal}; from tcpclose.classify import files; "
        "files._WORTH_LOADING = files._WORTH_COMPILING = 0; files.at_hand = lambda kernel: False; "
        "from tcpclose.cli import app; app()"
    )
    done = subprocess.run([sys.executable, "-c", script, "classify", str(capture)], capture_output=True, text=True)
    assert done.returncode == 0
    assert ("compiling" in done.stderr) == terminal
    assert terminal or not done.stderr
