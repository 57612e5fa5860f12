"""The quiz: one question after the other, left and taken up again."""

from __future__ import annotations

import errno

import pytest
from typer.testing import CliRunner

from tcpclose.cli import app
from tcpclose.teaching import progress
from tcpclose.teaching.labs import find_lab
from tcpclose.teaching.quiz import Quiz
from tcpclose.teaching.sheets import read_sheet

FOUR = find_lab("01-four-way-close")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Nobody's own progress."""
    for function in (progress.attempts, progress.keep, Quiz.__init__):
        monkeypatch.setattr(function, "__defaults__", (*function.__defaults__[:-1], tmp_path))
    return tmp_path


def quiz(*lines, student=""):
    """What is said when somebody types these lines, and then no more."""
    said, typed = [], iter(lines)

    def hear(prompt):
        said.append(prompt)
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    Quiz(FOUR, student, said.append, hear).run()
    return said


def right(student=""):
    """What is to be typed to have all right, question by question."""
    return [[part.answer.right or "Because." for part in asked.parts] for asked in FOUR.asked(student)]


def test_all_right():
    said = quiz(*(text for texts in right() for text in texts))
    assert said.count("right") == sum(map(len, right())) - 1
    assert said[-1] == "10 of 10 questions are right: 19 of 19 points, and 3 that your instructor gives."
    assert quiz()[0] == "01-four-way-close: four-way close. 11 questions, 11 done."


def test_a_wrong_answer_may_be_tried_again_and_hints_come_one_by_one():
    said = quiz("", "h2", "?", "?", "h1", "q")
    told = said[said.index("Which host waits in TIME-WAIT?") :]
    assert told[:11] == [
        "Which host waits in TIME-WAIT?",
        "Write h1, h2, both or neither.",
        "> ",
        "not h2",
        "> ",
        "Who sends the last segment, and cannot know whether it arrives?",
        "> ",
        "there are no more hints",
        "> ",
        "right",
        "\nwaiting (2 points, RFC 9293, 3.4.2)",
    ]
    assert said[-1] == "1 of 10 questions are right: 1 of 19 points, and 3 that your instructor gives."
    kept = progress.attempts("01-four-way-close", "")
    assert kept == {"waits": progress.Attempt(given={"": "h1"}, tries=2, hints=1)}


def test_a_quiz_goes_on_where_it_was_left():
    quiz("FIN-WAIT-1", "2000", "q")
    said = quiz("5000", "q")
    assert [line for line in said if line.endswith("> ")] == ["3 (ACK)> ", "4 (CTL)> "]
    quiz("", "h1", "q")
    said = quiz("FIN,ACK", "q")
    assert said[0].endswith("11 questions, 1 done.")
    assert [line for line in said if line.endswith("> ")] == ["4 (CTL)> ", "5 (state)> "]


def test_free_text_is_kept_and_not_asked_again():
    quiz(*[""] * 10, "It could not know.")
    assert progress.attempts("01-four-way-close", "")["consumes"].given == {"": "It could not know."}
    assert not any(line.startswith("\nconsumes") for line in quiz(*[""] * 10))


def test_students_do_not_mix():
    quiz("", "h1", "q", student="s1")
    assert quiz("q", student=" S1 ")[0].endswith("11 questions, 1 done.")
    assert quiz("q", student="s2")[0].endswith("11 questions.")
    assert any("connection.c1.client_iss=" in line for line in quiz("q", student="s2"))


def test_damaged_progress_is_told(place):
    (place / "01-four-way-close.json").write_text('{"": {"waits": 5}}')
    done = CliRunner().invoke(app, ["quiz", "01"])
    assert done.exit_code == 2
    assert "01-four-way-close.json cannot be read: it is damaged; remove it to begin anew" in done.output


def test_damaged_progress_does_not_hide_the_labs(place):
    (place / "01-four-way-close.json").write_bytes(b"\xff")
    done = CliRunner().invoke(app, ["labs"])
    assert done.exit_code == 0
    path = place / "01-four-way-close.json"
    assert done.stderr == f"tcpclose: {path} cannot be read: it is damaged; remove it to begin anew\n"
    table = " ".join(done.stdout.split())
    assert "01-four-way-close 30 min 19 points damaged four-way close " in table
    assert "02-half-close 35 min" in table


def test_progress_that_cannot_be_kept_is_told(place, monkeypatch):
    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(progress, "write_whole", full)
    done = CliRunner().invoke(app, ["quiz", "01"], input="FIN-WAIT-1\n")
    assert done.exit_code == 2
    assert "01-four-way-close.json cannot be written: No space left on device" in done.output


def test_the_commands():
    runner = CliRunner()
    done = runner.invoke(app, ["quiz", "01"], input="\nh1\nq\n")
    assert done.exit_code == 0
    assert (
        done.output.splitlines()[-1] == "1 of 10 questions are right: 1 of 19 points, and 3 that your instructor gives."
    )
    listed = " ".join(runner.invoke(app, ["labs"]).output.split())
    assert "01-four-way-close 30 min 19 points 1 of 11 four-way close" in listed
    sheet = read_sheet(runner.invoke(app, ["sheet", "01", "--quiz"]).output)
    assert sheet.answers["waits"] == {"": "h1"}
    assert sheet.answers["figure"]["1"] == ""
    assert "exclude each other" in runner.invoke(app, ["sheet", "01", "--quiz", "--answers"]).output


def test_a_terminal_of_another_encoding():
    done = CliRunner().invoke(app, ["quiz", "01"], input=b"F\xfcnf\nq\n")
    assert done.exit_code == 0
    assert "F\ufffdnf is no state" in done.output


def test_a_handout_in_the_terminal():
    done = CliRunner().invoke(app, ["lab", "11"])
    assert done.exit_code == 0
    assert "Lab 11: link failure" in done.output
    assert "./lab run 11-link-failure --set host.h1.tcp.user_timeout=20s" in done.output
    assert CliRunner().invoke(app, ["lab", "nosuch"]).exit_code == 2


def test_the_words_of_a_quiz_fit_into_the_terminal(monkeypatch):
    """What is drawn is as wide as it is."""
    monkeypatch.setenv("COLUMNS", "72")
    done = CliRunner().invoke(app, ["quiz", "01"], input="\n" * 40)
    prose = [line.rpartition("> ")[2] for line in done.output.splitlines() if not line.startswith("    ")]
    assert 60 < max(map(len, prose)) <= 72
