"""Sheets: written, read, and marked."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from tcpclose.cli import app
from tcpclose.runs import LABS
from tcpclose.scenario import ScenarioError
from tcpclose.teaching.labs import find_lab
from tcpclose.teaching.marking import mark_sheet
from tcpclose.teaching.sheets import SheetError, load_sheet, read_sheet, right, write_sheet
from tcpclose.written import MOST_OCTETS

FOUR = find_lab("01-four-way-close")
HEAD = 'lab = "01-four-way-close"\n[answers]\n'


def tcpclose(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def marks(text, student=""):
    return {mark.id: mark for mark in mark_sheet(FOUR, read_sheet(text), student).marks}


@pytest.mark.parametrize("lines", [HEAD + 'waits = "h1"', 'waits = "h1"', '[answers]\nwaits = ["h1"]'])
def test_what_does_not_matter_is_forgiven(lines):
    assert marks(lines)["waits"].right


def test_numbers_need_no_quotes_and_blanks_may_be_an_array():
    assert marks(HEAD + "fin-ack = 2001")["fin-ack"].right
    assert marks(HEAD + "figure.2 = 2000")["figure"].score == pytest.approx(7 / 22, abs=0.005)
    assert marks(HEAD + 'figure = ["FIN-WAIT-1", 2000, 5000]')["figure"].score == pytest.approx(21 / 22, abs=0.005)
    assert marks(HEAD + 'order = ["a", "b", "c", "d"]')["order"].notes[0].startswith("of 3 neighbours")


def test_what_means_nothing_is_named_and_nothing_is_lost():
    marked = mark_sheet(FOUR, read_sheet(HEAD + 'wiats = "h2"\nwaits = "h1"\nfigure.23 = "CLOSED"'))
    assert marked.remarks == ("there is no question wiats; did you mean waits?", "figure has no blank 23")
    assert marked.score == 1


def test_what_is_wrong_is_said_without_what_is_right():
    marked = marks(HEAD + 'waiting = "2"\nfigure.1 = "CLOSED"\nfigure.2 = "1001"\norder = ""')
    assert marked["waiting"].notes == ("2 of what? Write the unit: us, ms, s or min",)
    assert marked["figure"].notes == (
        "1 (state): not CLOSED",
        "2 (SEQ): 1001 is counted from the SYN: what is the number on the wire?",
        "20 of 22 are empty",
    )
    assert marked["order"].notes == ("no answer",)


def test_free_text_is_kept_for_the_instructor():
    mark = marks(HEAD + 'consumes = """\nIt could not know\nwhether it arrived."""')["consumes"]
    assert (mark.by_hand, mark.score, mark.points) == (True, 0, 3)
    assert mark.given == {"": "It could not know\nwhether it arrived."}
    assert mark.notes == ("kept for the instructor",)
    long = marks(HEAD + f'consumes = "{"x" * 10_000}"\nwaits = "{"x" * 10_000}"')
    assert long["consumes"].notes == ("kept for the instructor",)
    assert long["waits"].notes == ("this is too long for an answer",)


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (b'waits = "h1', "sheet.toml is not TOML: "),
        (b"waits = h1\n", "answers stand in quotes, one line each"),
        (b'waits = "h1"\nwaits = "h2"\n[answers]', "Cannot overwrite a value (at line 2"),
        ("waits = 'h1'".encode("utf-16"), "octet 0 is not UTF-8; save it as UTF-8"),
        (b"answers = 5", "`answers` is a table: write [answers]"),
        (b"x = " + b"[" * 100_000, "sheet.toml is not TOML: "),
        (b"x = " + b"9" * 5_000, "sheet.toml is not TOML: "),
        (b"#" * (MOST_OCTETS + 1), "it has more than 4194304 octets"),
        (b'lab = "02-half-close"', "this is a sheet of lab 02-half-close, not of 01-four-way-close"),
        (b'student = "a\\nb"', "'a\\nb' is no student's ID"),
        (None, "sheet.toml cannot be read: No such file or directory"),
    ],
)
def test_a_sheet_that_cannot_be_read_is_told_with_status_2(tmp_path, octets, message):
    if octets is not None:
        (tmp_path / "sheet.toml").write_bytes(octets)
    done = tcpclose("mark", "01", tmp_path / "sheet.toml")
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output


def test_a_sheet_saved_by_notepad_is_read(tmp_path):
    (tmp_path / "sheet.toml").write_bytes(b"\xef\xbb\xbf" + b'[answers]\r\nwaits = "h1"\r\n')
    assert load_sheet(tmp_path / "sheet.toml").answers == {"waits": {"": "h1"}}


def test_a_sheet_belongs_to_one_student():
    sheet = read_sheet(write_sheet(FOUR, "s1", right))
    assert mark_sheet(FOUR, sheet).score == mark_sheet(FOUR, sheet, " S1 ").score == mark_sheet(FOUR, sheet).points
    with pytest.raises(SheetError, match="this is the sheet of student s1, not of s2"):
        mark_sheet(FOUR, sheet, "s2")


def test_answers_of_another_student_do_not_help():
    mine, yours = (read_sheet(write_sheet(FOUR, student, right)).answers for student in ("s1", "s2"))
    assert mine["figure"]["2"] != yours["figure"]["2"]
    stolen = re.sub('student = "s1"', 'student = "s2"', write_sheet(FOUR, "s1", right))
    assert mark_sheet(FOUR, read_sheet(stolen)).score < mark_sheet(FOUR, read_sheet(stolen)).points


def test_a_student_is_the_same_however_the_id_is_written():
    assert FOUR.overrides("S 1") == FOUR.overrides(" s 1 ") != FOUR.overrides("s 2")
    assert FOUR.overrides("") == ()


def test_the_commands(tmp_path):
    blank = tcpclose("sheet", "01", "--student", "s1")
    filled = tcpclose("sheet", "01", "--student", "s1", "--answers")
    assert (blank.exit_code, filled.exit_code) == (0, 0)
    (tmp_path / "blank.toml").write_text(blank.output)
    (tmp_path / "filled.toml").write_text(filled.output)
    told = [tcpclose("mark", "01", tmp_path / f"{name}.toml").output.splitlines()[-1] for name in ("blank", "filled")]
    assert told == [f"{score} of 19 points, and 3 that your instructor gives" for score in (0, 19)]
    assert '"score": 19.0' in tcpclose("mark", "01", tmp_path / "filled.toml", "--json").output


@pytest.mark.parametrize("name", ["01", FOUR.folder, FOUR.folder / "scenario.toml"])
@pytest.mark.slow
def test_a_run_of_a_student_is_the_one_that_is_asked_about(name, tmp_path):
    done = tcpclose("run", name, "--student", "s1", "--world", "sim", "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    (iss,) = (line for line in FOUR.overrides("s1") if line.startswith("connection.c1.client_iss="))
    assert f"client_iss = {iss.partition('=')[2]}" in (tmp_path / "run" / "scenario.toml").read_text()
    refused = tcpclose("run", "labs/demo", "--student", "s1", "--world", "sim")
    assert refused.exit_code == 2
    assert "labs/demo: it asks no questions; the labs that do are 01-four-way-close, " in refused.output


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("0", "0: it may be any of 01-four-way-close, 02-"),
        ("99", "99: there is no such file, and no such lab; the labs are 01-"),
        ("demo", "demo: it asks no questions; the labs that do are 01-four-way-close, "),
        ("", "no such lab; the labs are 01-"),
    ],
)
def test_a_lab_is_found_as_its_scenario_is(name, words):
    with pytest.raises(ScenarioError) as refused:
        find_lab(name)
    assert words in str(refused.value)
    assert find_lab("11") == find_lab("11-link-failure") == find_lab(str(LABS / "11-link-failure"))


@pytest.mark.parametrize(
    ("lab", "line"),
    [
        ("05-time-wait", "# Write one letter, a or b.\n"),
        ("05-time-wait", "# Write one letter, a to c.\n"),
        ("07-no-such-connection", "# Write a number as it is on the wire, not counted from the SYN; control bits"),
    ],
)
def test_a_sheet_says_once_what_is_to_be_written(lab, line):
    assert line in write_sheet(find_lab(lab))
