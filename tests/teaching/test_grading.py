"""Classes, and what courses' systems are given."""

from __future__ import annotations

import csv
import io
import json

import pytest
import tomli_w
from courses import Feedback, GradescopeResults
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tcpclose.cli import app
from tcpclose.teaching import exports
from tcpclose.teaching.grading import find_sheets, grade
from tcpclose.teaching.labs import find_lab
from tcpclose.teaching.marking import mark_sheet
from tcpclose.teaching.results import Graded, Share, doubles, shares
from tcpclose.teaching.sheets import SheetError, blank, read_sheet, right, write_sheet

FOUR = find_lab("01-four-way-close")
BROKEN = Graded("broken.toml", problem="broken.toml is not TOML: ...")


def graded(text):
    return Graded("answers.toml", mark_sheet(FOUR, read_sheet(text)))


FULL = graded(write_sheet(FOUR, "s1", right))
EMPTY = graded(write_sheet(FOUR, "s2", blank))
HALF = graded('student = "s3"\n[answers]\nwaits = "h1"\nwiats = "h1"\nwaiting = "2"\nconsumes = "=1+1"\n')
ALL = pytest.mark.parametrize("sheet", [FULL, EMPTY, HALF, BROKEN], ids=["full", "empty", "half", "broken"])


def tcpclose(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@ALL
def test_results_are_of_gradescopes_form(sheet):
    results = GradescopeResults.model_validate_json(json.dumps(exports.gradescope(sheet)))
    assert results.score == sheet.score
    assert results.output
    if sheet.result:
        assert sum(test.score for test in results.tests) == pytest.approx(sheet.score)
        assert sum(test.max_score for test in results.tests) == sheet.result.points
        assert all((test.status == "passed") == (test.score == test.max_score) for test in results.tests)


@ALL
def test_feedback_is_of_inginious_form(sheet):
    feedback = Feedback.model_validate_json(json.dumps(exports.inginious(sheet)))
    assert feedback.result == ("success" if sheet is FULL else "failed")
    assert feedback.grade == pytest.approx(100 * sheet.score / 19, abs=0.01)
    assert all(text == "" or text.startswith("::\n\n    ") for _, text in feedback.problems.values())


# ---- CSV


def test_a_line_for_each_sheet():
    rows = list(csv.DictReader(io.StringIO(exports.as_csv([BROKEN, FULL, EMPTY, HALF]))))
    assert [row["score"] for row in rows] == ["", "19", "0", "1"]
    assert [row["waits"] for row in rows] == ["", "1", "0", "1"]
    assert rows[0]["remarks"] == BROKEN.problem
    assert rows[3]["remarks"] == "there is no question wiats; did you mean waits?"
    assert rows[3]["consumes"] == "'=1+1"  # no formula


def test_a_class_that_nobody_could_be_marked_of():
    rows = list(csv.DictReader(io.StringIO(exports.as_csv([BROKEN]))))
    assert [row["file"] for row in rows] == ["broken.toml"]


# ---- Classes


@pytest.fixture
def room(tmp_path):
    """Three sheets, one of which is broken, as a learning platform packs them."""
    for name, sheet in (("ann", right), ("bob", blank)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "answers.toml").write_text(write_sheet(FOUR, name, sheet))
    (tmp_path / "carol.toml").write_text('waits = "h1')
    return tmp_path


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_broken_sheet_keeps_no_other_from_its_marks(room, jobs):
    found = list(grade(FOUR, room, find_sheets(room), jobs))
    assert [(one.file, one.student, one.score) for one in found] == [
        ("ann/answers.toml", "ann", 19),
        ("bob/answers.toml", "bob", 0),
        ("carol.toml", "", 0),
    ]
    assert "carol.toml is not TOML" in found[2].problem


def test_a_class_is_told_about(room):
    (room / "ann2.toml").write_text(write_sheet(FOUR, "Ann"))
    done = tcpclose("mark", "01", "--class", room, "--csv", room / "marks.csv")
    assert done.exit_code == 1
    assert "3 sheets marked, 6.3 of 19 points on average" in done.output
    assert f"not marked: {room / 'carol.toml'} is not TOML" in done.output
    assert "more than one of ann: ann/answers.toml, ann2.toml" in done.output
    assert len((room / "marks.csv").read_text().splitlines()) == 5
    record = json.loads(tcpclose("mark", "01", "--class", room, "--json").output)
    assert [sheet.get("score") for sheet in record["sheets"]] == [19, 0, 0, None]


def test_a_sheet_of_another_lab_is_named(room):
    (room / "dora.toml").write_text('lab = "05-time-wait"\n')
    done = tcpclose("mark", "01", "--class", room)
    assert f"not marked: {room / 'dora.toml'}: this is a sheet of lab 05-time-wait" in done.output


def test_shares_and_doubles():
    assert Share("figure", 0.5, 2) in shares([FULL, EMPTY, BROKEN])
    assert doubles([FULL, EMPTY]) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mark", "01"], "either one sheet or --class DIR"),
        (["mark", "01", "x.toml", "--class", "."], "either one sheet or --class DIR"),
        (["mark", "01", "--class", "EMPTY"], "has no *.toml in it"),
        (["mark", "01", "--class", "NOSUCH"], "is no folder"),
        (["mark", "01", "--class", ".", "--gradescope", "x"], "are for one sheet"),
        (["mark", "12345", "x.toml"], "12345: there is no such file, and no such lab"),
        (["mark", "01", "SHEET", "--csv", "NOSUCH/x.csv"], "x.csv: No such file or directory"),
    ],
)
def test_what_is_asked_for_wrongly_is_told(tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "sheet.toml").write_text(write_sheet(FOUR))
    places = {"EMPTY": "empty", "NOSUCH": "nosuch", "SHEET": "sheet.toml", "NOSUCH/x.csv": "nosuch/x.csv"}
    done = tcpclose(*(tmp_path / places[word] if word in places else word for word in words))
    assert done.exit_code == 2
    assert message in done.output


def test_exports_of_one_sheet(tmp_path):
    (tmp_path / "a.toml").write_text(write_sheet(FOUR, "s1", right))
    files = [word for name in ("gradescope", "inginious", "csv") for word in (f"--{name}", tmp_path / name)]
    assert tcpclose("mark", "01", tmp_path / "a.toml", *files).exit_code == 0
    assert json.loads((tmp_path / "gradescope").read_text()) == exports.gradescope(FULL)
    assert json.loads((tmp_path / "inginious").read_text()) == exports.inginious(FULL)
    assert "a.toml,s1,19,19" in (tmp_path / "csv").read_text()


def test_a_broken_sheet_has_results_too(tmp_path):
    """An autograder that leaves none says "the autograder failed", which is no help to the student."""
    (tmp_path / "a.toml").write_text("waits = h1")
    done = tcpclose("mark", "01", tmp_path / "a.toml", "--gradescope", tmp_path / "results.json")
    assert done.exit_code == 2
    results = GradescopeResults.model_validate_json((tmp_path / "results.json").read_text())
    assert (results.score, "answers stand in quotes" in results.output) == (0, True)


# ---- Whatever is handed in

VALUES = st.recursive(
    st.text(max_size=30)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.booleans()
    | st.dates()
    | st.sampled_from(["FIN,ACK", "2 s", "h1", "a", "abcd", "1,000", "9" * 5000, "1" * 100 + " s"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
IDS = st.sampled_from([question.id for question in FOUR.questions.question]) | st.text(max_size=10)


def test_names_and_sheets_of_a_class_command_no_terminal_and_forge_no_lines(tmp_path):
    (tmp_path / "x\x1b[31m\nb.toml").write_text("x = ")
    done = CliRunner().invoke(app, ["mark", "01", "--class", str(tmp_path), "--csv", str(tmp_path / "marks.csv")])
    assert done.exit_code == 1
    for text in (done.output, (tmp_path / "marks.csv").read_text()):
        assert all(line.isprintable() for line in text.split("\n"))
        assert "x\\x1b[31m\\nb.toml" in text


@settings(max_examples=200)
@given(st.dictionaries(IDS, VALUES, max_size=8))
@pytest.mark.slow
def test_whatever_stands_in_a_sheet_is_marked(answers):
    marked = graded(tomli_w.dumps({"answers": answers})).result
    assert 0 <= marked.score <= marked.points == 19
    assert len(marked.marks) == 11
    assert all(any(key in remark for remark in marked.remarks) for key in answers if key not in FULL_IDS)
    GradescopeResults.model_validate_json(json.dumps(exports.gradescope(Graded("x", marked))))


FULL_IDS = {mark.id for mark in FULL.result.marks}


@given(st.binary(max_size=200))
def test_octets_are_a_sheet_or_no_sheet(tmp_path_factory, octets):
    path = tmp_path_factory.getbasetemp() / "octets.toml"
    path.write_bytes(octets)
    (one,) = grade(FOUR, path.parent, [path], 1)
    assert bool(one.result) != bool(one.problem)


def test_a_sheet_that_names_nobody_has_the_handouts_numbers():
    with pytest.raises(SheetError, match="is no folder"):
        find_sheets(FOUR.folder / "nosuch")
    assert mark_sheet(FOUR, read_sheet('[answers]\nfigure.2 = "2000"')).score > 0
