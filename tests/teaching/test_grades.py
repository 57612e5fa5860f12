"""Grades for people and for courses' systems, whatever stands in what was handed in."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import tomli_w
from courses import Feedback, GradescopeResults
from hypothesis import example, given
from hypothesis import strategies as st
from shown_grades import ALL, FIGURE, FULL, PROBLEM, SOME
from typer.testing import CliRunner

from benchmarks.grading import rows_of
from tcpclose.cli import app
from tcpclose.protocol.fsm import TABLE
from tcpclose.teaching import exports
from tcpclose.teaching.assignments import a1
from tcpclose.teaching.assignments.alterations import combine, drawn
from tcpclose.teaching.assignments.grades import Criterion, Grade
from tcpclose.teaching.assignments.handed_in import grade_one
from tcpclose.teaching.assignments.pages import page
from tcpclose.teaching.results import Graded, plain, plain_line

EACH = pytest.mark.parametrize("one", ALL, ids=["some", "full", "below", "problem"])


def tcpclose(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


# ---- Text of students


def test_what_is_shown_commands_nothing():
    texts = [*SOME.criteria[0].notes, *SOME.remarks, PROBLEM.problem]
    for text in texts:
        assert all(char.isprintable() or char == "\n" for char in text)
        assert len(text) < 30_000
        assert max(map(len, text.splitlines())) < 600
        text.encode()
    assert "\\x1b[31mred" in SOME.remarks[2]
    assert SOME.criteria[0].notes[0] == FIGURE
    assert SOME.remarks[4].endswith("... and 99500 more characters")
    assert SOME.remarks[5].endswith("many\n... and 9600 more lines")
    assert SOME.remarks[6] == "a\\u202eb\\u200bc\\x00d\ne\\ufeff\\udc80"


@given(st.text(max_size=40))
@example("\x1e\r")
def test_plain_text_is_plain_whatever_it_was(text):
    shown = plain(text)
    assert all(line.isprintable() for line in shown.split("\n"))
    assert plain(shown) == shown
    assert plain_line(text).isprintable()


def test_a_name_forges_no_lines(tmp_path):
    (tmp_path / "class" / "x\n3 of 3 graded").mkdir(parents=True)
    (tmp_path / "class" / "s1\r\u2028.toml").write_text("")
    for words in (("--class", tmp_path / "class"), (tmp_path / "class" / "s1\r\u2028.toml",)):
        done = tcpclose("grade", "a1", *words)
        assert "Traceback" not in done.output
        assert all(line.isprintable() for line in done.output.split("\n"))
        assert not re.search("^3 of 3", done.output, re.MULTILINE)
    (tmp_path / "a1.toml").write_text('student = "s1\\n100 of 100 points"')
    assert "s1\\n100 of 100" in tcpclose("grade", "a1", tmp_path / "a1.toml").stdout


# ---- Courses' systems


@EACH
def test_results_are_of_gradescopes_form(one):
    results = GradescopeResults.model_validate_json(json.dumps(exports.gradescope(one)))
    assert results.score == one.score
    assert results.output
    if one.result:
        assert [test.name for test in results.tests] == [item.name for item in one.result.items]
        assert sum(test.score for test in results.tests) == one.score
        assert all((test.status == "passed") == (test.score == test.max_score) for test in results.tests)
        assert results.extra_data == {"assignment": "a2", "student": "s1"}
    if one.result is FULL:
        assert results.tests[0].output == "RFC 9293, 3.6"


@EACH
def test_feedback_is_of_inginious_form(one):
    feedback = Feedback.model_validate_json(json.dumps(exports.inginious(one)))
    assert feedback.result == ("success" if one.result is FULL else "failed")
    if one.result is SOME:
        assert feedback.grade == 35
        assert list(feedback.problems) == ["figures", "drill-scripts", "model-checker"]
        assert "        TCP Peer A  " in feedback.problems["figures"][1], "the figure stands in a literal block"


@pytest.mark.parametrize("text", ["=cmd()", "s1;=cmd()", "s1\t@cmd()", "\n=cmd()", ";;+1"])
def test_no_cell_begins_like_a_formula_wherever_cells_are_parted(text):
    (_, row) = csv.reader(io.StringIO(exports.as_csv([Graded(text)])))
    assert not any(cell.startswith(tuple("=+-@")) for cell in re.split("[;\t\n]", row[0]))


def test_a_table_has_no_formulas():
    formula = Grade("a2", "=cmd()", (Criterion("@one", 1, 1, ""),), ("+1", "-1"))
    text = exports.as_csv([Graded("\uff1dx", formula), Graded("-y", problem="@z"), Graded("z", SOME)])
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[1] == ["'\uff1dx", "'=cmd()", "1", "1", "1", "", "", "", "'+1; -1"]
    assert rows[2] == ["'-y", "", "", "", "", "", "", "", "'@z"]
    assert rows[0] == [
        "file",
        "student",
        "score",
        "points",
        "'@one",
        "figures",
        "drill scripts",
        "model checker",
        "remarks",
    ]
    assert rows[3][4:8] == ["", "7.5", "10", "0"]


# ---- Pages


class Read(HTMLParser):
    """All elements and texts of a page; each element that is opened is closed."""

    VOID = frozenset({"meta", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts[self._open[-1] if self._open else ""] = (
            self.texts.get(self._open[-1] if self._open else "", "") + data
        )


@EACH
def test_a_page_shows_students_text_and_runs_nothing_of_it(one):
    read = Read(page("A2: <title>", one))
    tags = {tag for tag, _ in read.elements}
    head, text = {"html", "head", "meta", "title", "style", "body"}, {"main", "p", "h1", "h2", "b", "section", "span"}
    assert tags <= head | text | {"svg", "rect", "ul", "li", "pre"}
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    policy = next(a["content"] for tag, a in read.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert not re.search(r"https?:|url\(|@import", read.texts["style"])
    if one.result is SOME:
        assert "<script>alert(1)</script>" in read.texts["li"]
        assert "\n".join(FIGURE.splitlines()[1:]) in read.texts["pre"]
        assert "Read RFC 9293, 3.6, 3.10.7.4 eighth" in read.texts["p"]
        assert read.texts["h1"] == "17.5 of 50 points"


def test_a_figure_without_words_before_it_keeps_its_first_line():
    bare = FIGURE.partition("\n")[2]
    grade = replace(SOME, criteria=(Criterion("figures", 1, 0, "", (bare,)),), remarks=())
    assert Read(page("A2", Graded("x", grade))).texts["pre"] == bare


# ---- The command


@pytest.fixture
def handed_in(tmp_path) -> Path:
    rows = rows_of(TABLE)
    rows[0] = {**rows[0], "event": "\x1b[2J<script>"}
    (tmp_path / "a1.toml").write_text(tomli_w.dumps({"student": "s1", "row": rows, "<b>\x1b[0m": 1}))
    return tmp_path / "a1.toml"


def test_all_forms_of_one_grade(handed_in, tmp_path):
    names = ("html", "gradescope", "inginious", "csv")
    done = tcpclose("grade", "a1", handed_in, *(word for name in names for word in (f"--{name}", tmp_path / name)))
    assert done.exit_code == 0, done.output
    assert "\x1b[2J" not in done.output
    assert "row 1 does not count: '\\x1b[2J<script>' is no event; the handout lists them" in done.stdout
    assert re.search(r"^ +0 of 20 +\S+ +RFC 9293, 3\.", done.stdout, re.MULTILINE)
    one = grade_one(a1.ASSIGNMENT, handed_in, str(handed_in))
    total = f"{one.score:g} of 100 points"
    assert done.stdout.splitlines()[-1] == total
    assert total in Read((tmp_path / "html").read_text()).texts["h1"]
    results = GradescopeResults.model_validate_json((tmp_path / "gradescope").read_text())
    assert (results.score, len(results.tests)) == (one.score, 6)
    assert Feedback.model_validate_json((tmp_path / "inginious").read_text()).grade == one.score
    assert (tmp_path / "csv").read_text() == exports.as_csv([one])
    record = json.loads(tcpclose("grade", "a1", handed_in, "--json").stdout)
    assert record == json.loads(json.dumps({"assignment": "a1", "submissions": [exports.as_record(one)]}))


def test_a_folder_is_graded_as_the_file_in_it(handed_in):
    told = [tcpclose("grade", "a1", path).stdout.partition("\n")[2] for path in (handed_in, handed_in.parent)]
    assert told[0] == told[1]


def test_what_cannot_be_graded_has_results_and_a_page_too(tmp_path):
    (tmp_path / "a1.toml").write_text("x = ")
    files = ("--gradescope", tmp_path / "results.json", "--html", tmp_path / "page.html")
    done = tcpclose("grade", "a1", tmp_path / "a1.toml", *files)
    assert done.exit_code == 2
    results = GradescopeResults.model_validate_json((tmp_path / "results.json").read_text())
    assert (results.score, "is not TOML" in results.output) == (0, True)
    assert "Not graded" in Read((tmp_path / "page.html").read_text()).texts["h1"]


def test_a_link_in_a_folder_shows_nobody_elses_work(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "yours.toml").write_text(tomli_w.dumps({"row": rows_of(combine(*drawn("a1", "s1")))}))
    (tmp_path / "mine" / "a1.toml").symlink_to(tmp_path / "yours.toml")
    done = tcpclose("grade", "a1", tmp_path / "mine", "--student", "s1")
    assert done.exit_code == 2
    assert "a1.toml: is a symbolic link; hand in the file itself" in done.stderr
