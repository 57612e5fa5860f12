"""Assignment A1: what students are given, and that grades follow behaviour and nothing else."""

from __future__ import annotations

import itertools
import json
import os
import tomllib

import pytest
from typer.testing import CliRunner

from benchmarks.grading import rows_of
from tcpclose.cli import app
from tcpclose.protocol.fsm import TABLE, Event, State
from tcpclose.teaching.assignments import a1
from tcpclose.teaching.assignments.alterations import ALTERATIONS, combine, drawn
from tcpclose.teaching.assignments.grades import SubmissionError
from tcpclose.teaching.assignments.rules import ASKED, ORDERS, read, right_moves, understand

STUDENTS = [f"s{n}" for n in range(40)]


def graded(rows, student: str, public: bool = False):
    submission = understand({"student": student, "row": rows}, "here")
    assert not submission.remarks
    return {one.name: one for one in a1.grade(submission, public=public).criteria}


def total(criteria) -> float:
    return round(sum(one.score for one in criteria.values()), 1)


def faults_of(criteria) -> list[str]:
    """Without those that only say what another fault costs."""
    return [note for one in criteria.values() for note in one.notes if not note.startswith("counts ")]


def solution(student: str) -> list[dict]:
    return rows_of(combine(*drawn("a1", student)))


# The points


@pytest.mark.parametrize("student", STUDENTS)
def test_the_right_rows_have_all_points_and_the_template_none(student):
    assert total(graded(solution(student), student)) == 100
    blank = tomllib.loads(a1.template(student))
    assert blank["student"] == student
    assert total(graded(blank["row"], student)) == 0
    assert total(graded([], student)) == 0
    idle = [{**row, "next": "="} for row in blank["row"]]
    assert total(graded(idle, student)) < 15


@pytest.mark.parametrize("student", STUDENTS)
def test_the_unaltered_machine_has_nothing_for_the_alterations(student):
    criteria = graded(rows_of(TABLE), student)
    chosen = drawn("a1", student)
    assert [criteria[one.name].score for one in chosen] == [0, 0, 0]
    assert total(criteria) <= 40
    assert all(criteria[one.name].notes for one in chosen)


def test_the_students_of_these_tests_have_every_alteration():
    assert {one for student in STUDENTS for one in drawn("a1", student)} == set(ALTERATIONS)


def test_every_alteration_is_asked_for():
    assert all(one.pairs <= set(ASKED) for one in ALTERATIONS)
    words = {do for table in map(combine, ALTERATIONS) for move in right_moves(table).values() for do in move.do}
    assert words == set(ORDERS)


def test_the_example_of_the_handout_is_right_in_every_variant():
    example = tomllib.loads(a1.handout("s1").partition("```toml\n")[2].partition("```")[0])
    ((pair, move),) = understand(example, "handout").moves.items()
    assert all(right_moves(combine(one))[State(pair[0]), pair[1]] == move for one in ALTERATIONS)


@pytest.mark.parametrize("student", STUDENTS[:8])
def test_equivalent_rows_have_all_points(student):
    rows = solution(student)
    assert total(graded(rows[::-1], student)) == 100
    renamed = [dict(row) for row in rows]
    for row, key in itertools.product(renamed, ("state", "next")):
        if row[key] not in ("ESTABLISHED", "SYN-RECEIVED", "CLOSED"):
            row[key] = f"my {row[key]}"
    assert total(graded(renamed, student)) == 100
    groups: dict[str, dict] = {}
    for row in rows:
        following = "=" if row["next"] == row["state"] else row["next"]
        alike = json.dumps([row["event"], following, sorted(row["do"]), row["cause"]])
        groups.setdefault(alike, {**row, "state": [], "next": following})["state"].append(row["state"])
    assert len(groups) < len(rows)
    assert total(graded(list(groups.values()), student)) == 100


def test_a_state_may_be_split_in_two_that_do_the_same():
    rows = solution("s1")
    twins = [{**row, "state": "FIN-WAIT-1B"} for row in rows if row["state"] == "FIN-WAIT-1"]
    other = [
        {**row, "next": "FIN-WAIT-1B"} if row["state"] == "ESTABLISHED" and row["event"] == "CLOSE" else row
        for row in rows
    ]
    assert other != rows
    assert total(graded(other + twins, "s1")) == 100


@pytest.mark.parametrize("student", STUDENTS[:8])
def test_every_fault_costs_something_and_no_other_pair(student):
    rows = solution(student)
    faults = 0
    for index, row in enumerate(rows):
        for change in (
            {"do": ["START_FIN_WAIT_2", "SEND_RESET"]},
            {"cause": "refused"},
            {"next": "ESTABLISHED"},
            {"next": ""},
        ):
            criteria = graded([*rows[:index], {**row, **change}, *rows[index + 1 :]], student)
            notes = faults_of(criteria)
            assert [note.partition(": ")[0] for note in notes] in ([f"{row['state']}, {row['event']}"], [])
            assert (total(criteria) < 100) == bool(notes)
            faults += bool(notes)
    assert faults > 100  # the others are in states that this student's machine never comes to


@pytest.mark.slow
def test_whatever_a_grader_overlooked_some_submission_would_show_it():
    """For each criterion and each part of a row there is a fault that costs points nowhere else."""
    changes = {"next": "ESTABLISHED", "do": ["START_FIN_WAIT_2", "SEND_RESET"], "cause": "refused"}
    alone, criteria = set(), set()
    for student in ("s0", "s2", "s5", "s7", "s10", "s13"):  # together they have every alteration
        rows = solution(student)
        for index, part in itertools.product(range(len(rows)), changes):
            row = {**rows[index], part: changes[part]}
            found = graded([*rows[:index], row, *rows[index + 1 :]], student)
            criteria |= found.keys()
            lost = [one.name for one in found.values() if not one.met]
            alone |= {(lost[0], part)} if len(lost) == 1 else set()
    assert len(criteria) == 3 + len(ALTERATIONS)
    assert alone == set(itertools.product(criteria, changes))


def test_a_wrong_state_is_known_by_what_it_does():
    """CLOSING may be called LAST-ACK only where nobody can tell them apart."""
    merging = {"passive-closer-waits"}
    telling = merging | {"no-closing", "no-half-close"}
    names = {student: {one.name for one in drawn("a1", student)} for student in STUDENTS}
    rows = solution(next(student for student in STUDENTS if merging <= names[student]))
    merged = [{**row, "next": row["next"].replace("CLOSING", "LAST-ACK")} for row in rows if row["state"] != "CLOSING"]
    assert len(merged) < len(rows)
    assert total(graded(merged, next(student for student in STUDENTS if merging <= names[student]))) == 100
    student = next(student for student in STUDENTS if not telling & names[student])
    rows = solution(student)
    at = next(i for i, row in enumerate(rows) if (row["state"], row["event"]) == ("FIN-WAIT-1", str(Event.FIN)))
    rows[at]["next"] = "LAST-ACK"
    assert graded(rows, student)["the graceful release"].notes == (
        "FIN-WAIT-1, FIN arrives: leads to a state that it should not",
    )
    rows[at]["next"] = "NOWHERE"
    assert graded(rows, student)["the graceful release"].notes == (
        "FIN-WAIT-1, FIN arrives: leads to NOWHERE, which has no rows",
    )


def test_a_name_of_ones_own_for_another_state_is_told_by_what_differs():
    student = "s1"
    rows = [row for row in solution(student) if (row["state"], row["event"]) != ("LAST-ACK", "RST arrives")]
    for row, key in itertools.product(rows, ("state", "next")):
        row[key] = "DYING" if row[key] == "LAST-ACK" else row[key]
    criteria = graded(rows, student)
    notes = faults_of(criteria)
    assert notes == ["LAST-ACK, RST arrives: is not answered"]


def test_public_grading_says_nothing_of_the_alterations():
    criteria = graded(solution("s1"), "s1", public=True)
    assert sum(one.points for one in criteria.values()) == total(criteria) == 40


# What is wrong with a file


@pytest.mark.parametrize(
    ("row", "remark"),
    [
        ({"event": "CLOSE"}, "it has no state"),
        ({"state": "CLOSING", "event": "CLOES"}, "'CLOES' is no event"),
        ({"state": "CLOSING"}, "'' is no event"),
        ({"state": "CLOSING", "event": ["CLOSE", "ABORT"]}, "one event is enough"),
        ({"state": "CLOSING", "event": "CLOSE", "next": 7}, "next is to be text between quotes"),
        ({"state": "CLOSING", "event": "CLOSE", "do": ["DANCE"]}, "'DANCE' is no do"),
        ({"state": "CLOSING", "event": "CLOSE", "cause": "boredom"}, "'boredom' is no cause"),
        ({"state": "CLOSING", "event": "CLOSE", "then": "x"}, "'then' means nothing here"),
        ({"state": ["CLOSING", "closing"], "event": "CLOSE", "next": "="}, "there is another for CLOSING, CLOSE"),
        (7, "expected state, event, next, do and cause"),
    ],
)
def test_a_row_that_is_not_understood_is_named_and_the_others_count(row, remark):
    submission = understand({"row": [row, *solution("s1")[:1]], "note": "x"}, "here")
    assert submission.remarks[0] == "'note' means nothing here"
    assert submission.remarks[1].startswith(f"row 1 does not count: {remark}")
    assert (State(solution("s1")[0]["state"]).value, Event(solution("s1")[0]["event"])) in submission.moves


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"student = ", "is not TOML"),
        (b"student = 7", 'student is to be an ID between quotes, as student = "s123"'),
        (b"row = 7", "expected up to 200 rows"),
        (b"[[row]]\n" * 201, "expected up to 200 rows"),
        (b"x = " + b"[" * 60_000, "is nested too deeply"),
        (b"# " + b"x" * 70_000, "more than 65536 octets"),
        (b"x = " + b"9" * 5000, "is not TOML: Exceeds the limit"),
        (b'student = "\xff"', "octet 11 is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_graded_is_refused_in_words(tmp_path, content, problem):
    path = tmp_path / "a1.toml"
    path.write_bytes(content)
    with pytest.raises(SubmissionError, match=problem):
        read(path)


def test_what_is_no_plain_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo.toml")
    (tmp_path / "link.toml").symlink_to("/dev/zero")
    for name, problem in (("fifo", "is no file"), ("link", "is a symbolic link"), ("none", "No such file")):
        with pytest.raises(SubmissionError, match=problem):
            read(tmp_path / f"{name}.toml")


# The commands


def call(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_student_gets_a_folder_that_says_no_solution(tmp_path):
    made = call("assignment", "export", "a1", "--student", "s7", tmp_path / "out")
    assert made.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "a1.toml"]
    text = (tmp_path / "out" / "README.md").read_text()
    assert all(one.instead in text for one in drawn("a1", "s7"))
    assert "**s7**" in text
    assert not {"{student}", "{alterations}", "{orders}", "{causes}"} & set(text.split())
    given = tomllib.loads((tmp_path / "out" / "a1.toml").read_text())["row"]
    assert [(row["state"], row["event"]) for row in given] == [(str(state), str(event)) for state, event in ASKED]
    assert all(not row["next"] and not row["do"] and not row["cause"] for row in given)
    again = call("assignment", "export", "a1", "--student", "s7", tmp_path / "out")
    assert again.exit_code == 2
    assert "is there already" in again.stderr


def test_odd_ids_and_places(tmp_path):
    assert tomllib.loads(a1.template('a"b\\\n'))["student"] == 'a"b\\\n'
    assert "--student needs an ID" in call("assignment", "export", "a1", "--student", " ", tmp_path / "x").stderr
    (tmp_path / "file").touch()
    assert "Not a directory" in call("assignment", "export", "a1", "--student", "s", tmp_path / "file" / "x").stderr
    assert "there is no assignment 'a9'" in call("grade", "a9", "x").stderr


def test_grade_tells_and_counts(tmp_path):
    path = tmp_path / "a1.toml"
    path.write_text(a1.template("s7"))
    told = call("grade", "a1", path)
    assert told.exit_code == 0
    assert "0 of 100 points" in told.stdout
    assert "ESTABLISHED, FIN arrives: is not answered" in told.stdout
    record = json.loads(call("grade", "a1", path, "--json").stdout)
    assert record == json.loads(call("grade", "a1", path, "--json", "--student", "S7 ").stdout.replace('"S7 "', '"s7"'))
    (one,) = record["submissions"]
    assert (one["student"], one["score"], one["points"]) == ("s7", 0, 100)
    assert "0 of 40 points" in call("grade", "a1", path, "--public").stdout


def test_one_bad_file_of_many_is_named_and_the_others_are_graded(tmp_path):
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('student = "s1"\nx = 1')
    bad.write_text("")
    both = call("grade", "a1", good, bad, tmp_path / "none")
    assert both.exit_code == 1
    assert "'x' means nothing here" in both.stdout
    assert "not graded: whose variant is it?" in both.stdout
    assert "No such file" in both.stdout
    assert call("grade", "a1", bad).exit_code == 2


@pytest.mark.slow
def test_what_a_fault_costs_elsewhere_is_said():
    for student in STUDENTS[:8]:
        for index, row in enumerate(solution(student)):
            rows = solution(student)
            rows[index] = {**row, "cause": "refused"}
            for one in graded(rows, student).values():
                assert bool(one.notes) == (one.score < one.points), (student, row, one)
