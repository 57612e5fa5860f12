"""Assignment A2: what students are given, that the tiny engine is ours, and that grades follow behaviour only."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import time
import types

import a2_solutions
import pytest
from typer.testing import CliRunner

from tcpclose.cli import app
from tcpclose.protocol.stack import Stack
from tcpclose.teaching.assignments.a2 import ASSIGNMENT, comparing
from tcpclose.teaching.assignments.a2.cases import HOME, figures, scripts
from tcpclose.teaching.assignments.a2.comparing import difference, first_difference, visible
from tcpclose.teaching.assignments.a2.foreign import ForeignStack
from tcpclose.teaching.assignments.a2.paths import paths, walks
from tcpclose.teaching.assignments.a2.right import CONFIG, Right
from tcpclose.teaching.assignments.a2.variant import AMONG, chosen
from tcpclose.teaching.assignments.alterations import combine
from tcpclose.teaching.assignments.classes import grade_class, look_through
from tcpclose.teaching.assignments.containment import containment
from tcpclose.teaching.assignments.grades import How, SubmissionError
from tcpclose.testbed import box
from tcpclose.trace.drawing import draw
from tcpclose.trace.figure import format_figure
from tcpclose.trace.playing import play_figure

#: Together they have every alteration.
STUDENTS = ("s1", "s5", "s7", "s12")

#: What is right in a variant is computed once in a process.
pytestmark = pytest.mark.xdist_group("a2")

contained = pytest.mark.skipif(not containment().works, reason=containment().found)


def graded(tmp_path, text, student="s1", **how):
    path = tmp_path / "release.py"
    path.write_text(text)
    return ASSIGNMENT.grade(path, student, How(**how))


def points(grade):
    return {one.name: one.score for one in grade.criteria}


@pytest.fixture
def tiny(monkeypatch):
    """Answers requests by the tiny engine around a program, in this process: the program is one of ours."""
    monkeypatch.syspath_prepend(str(HOME))

    def load(text):
        submission = types.ModuleType("submission")
        exec(text, submission.__dict__)
        monkeypatch.setitem(sys.modules, "submission", submission)
        return importlib.reload(importlib.import_module("serve")).answer

    yield load
    for name in ("serve", "tiny"):
        sys.modules.pop(name, None)


# The tiny engine


@pytest.mark.parametrize("one", [None, *AMONG], ids=lambda one: one and one.name)
@pytest.mark.slow
def test_the_tiny_engine_with_a_right_release_does_what_ours_does(one, tiny):
    alterations = (one,) if one else ()
    table, answer = combine(*alterations), tiny(a2_solutions.right(alterations))
    for path in [*walks(table, one.name if one else ""), *(paths(table) if one is None else ())]:
        replies = answer({"do": "play", "steps": path})
        assert first_difference(replies, Right(table).play(path)) is None
        assert replies[-1].keys() == Right(table).play(path)[-1].keys()


@pytest.mark.parametrize("case", [*figures(), *scripts()], ids=lambda case: case.name)
def test_every_figure_and_script_holds_for_the_machine_of_the_rfc(case, tiny):
    assert case.play(combine(), None) is None
    assert case.play(combine(), tiny(a2_solutions.right())) is None


def test_an_engine_repeats_by_its_timer_and_the_figure_says_so(tiny):
    text = (HOME / "figures/lost-fin.txt").read_text("utf-8")
    ask = tiny(a2_solutions.right())
    played = play_figure(text, CONFIG, lambda peer, *of: ForeignStack(ask, *of) if peer == "A" else Stack(*of))
    drawn = format_figure(draw(played.trace, peers=("A", "B"), since=played.began, absolute=True))
    assert drawn == text[text.index("    TCP Peer A") :]


# Points


@contained
@pytest.mark.slow
@pytest.mark.parametrize("student", STUDENTS)
def test_the_right_machine_has_all_points_and_the_rfcs_none_for_the_changes(student, tmp_path):
    alterations = chosen(student)
    right = graded(tmp_path, a2_solutions.right(alterations, student), student="")
    assert (right.student, right.score, right.points, right.remarks) == (student, 94, 94, ())
    rfc = graded(tmp_path, a2_solutions.right(), student)
    assert [points(rfc)[one.name] for one in alterations] == [0, 0, 0]
    assert rfc.score <= 46
    template = graded(tmp_path, ASSIGNMENT.files(student)["release.py"], student="")
    assert 0 <= template.score < 8


def test_the_students_of_these_tests_have_every_alteration():
    assert {one for student in STUDENTS for one in chosen(student)} == set(AMONG)


@contained
@pytest.mark.slow
@pytest.mark.parametrize("mistake", a2_solutions.MISTAKES)
def test_every_mistake_costs_points_where_it_is_seen(mistake, tmp_path):
    grade = graded(tmp_path, a2_solutions.mistaken(mistake, chosen("s1")))
    found = next(one for one in grade.criteria if one.name == a2_solutions.MISTAKES[mistake][2])
    assert not found.met
    assert found.notes
    assert 0 < grade.score < 94


# A grader that overlooked something would be noticed


@contained
@pytest.mark.slow
def test_each_criterion_sees_what_no_other_does(tmp_path):
    seen = {}
    for mistake in a2_solutions.ONLY_THERE.values():
        grade = graded(tmp_path, a2_solutions.mistaken(mistake, chosen("s1")))
        (criterion,) = (one.name for one in grade.criteria if not one.met)
        seen[criterion] = mistake
    assert seen == a2_solutions.ONLY_THERE
    assert {one.name for one in grade.criteria} == {*seen, *(one.name for one in chosen("s1"))}


@contained
@pytest.mark.slow
@pytest.mark.parametrize("student", STUDENTS)
def test_an_alteration_that_is_forgotten_costs_more_there_than_elsewhere(student, tmp_path):
    alterations = chosen(student)
    for forgotten in alterations:
        grade = graded(tmp_path, a2_solutions.right(one for one in alterations if one is not forgotten), student)
        lost = {one.name: one.points - one.score for one in grade.criteria}
        assert 2 * lost[forgotten.name] > sum(lost.values())


@contained
@pytest.mark.slow
@pytest.mark.parametrize(("part", "mistake"), a2_solutions.ONLY_BY.items(), ids=a2_solutions.ONLY_BY)
def test_each_part_of_a_reply_shows_what_no_other_does(part, mistake, tmp_path, monkeypatch):
    def met():
        grade = graded(tmp_path, a2_solutions.mistaken(mistake, chosen("s1")))
        return all(one.met for one in grade.criteria if one.name not in ("figures", "scripts with exact times"))

    def without(reply):
        seen = visible(reply)
        segments = [{name: segment[name] for name in segment.keys() - {part}} for segment in seen["segments"]]
        return {**seen, "segments": segments, part: None}

    assert not met()
    monkeypatch.setattr(comparing, "visible", without)
    assert met(), "it is seen in another part as well"


@contained
@pytest.mark.parametrize("slip", ["tcb.rcvnxt", "Segment(0).flags", "tcb.settings.ms1"])
@pytest.mark.slow
def test_a_name_that_is_misspelt_is_told_with_its_line(slip, tmp_path):
    text = a2_solutions.right(chosen("s1")).replace("tcb.rcv_nxt = add(tcb.rcv_nxt, 1)", f"{slip} = 1")
    line = 1 + text.splitlines().index(f"    {slip} = 1")
    notes = next(one for one in graded(tmp_path, text, public=True).criteria if one.name == "figures").notes
    attribute = slip.rpartition(".")[2]
    assert re.search(rf"raised \w+: .*'{attribute}'.* \(line {line}\)", notes[0])


@contained
@pytest.mark.slow
def test_the_same_submission_has_the_same_points_twice(tmp_path):
    text = a2_solutions.right(chosen("s1")).replace("tcb.snd_nxt = segment.end", "pass")
    assert graded(tmp_path, text) == graded(tmp_path, text)


@contained
@pytest.mark.slow
def test_the_shortest_path_that_goes_wrong_comes_back_as_a_figure(tmp_path):
    grade = graded(tmp_path, a2_solutions.right(chosen("s1")).replace("tcb.rcv_nxt, RST | ACK", "tcb.irs, RST | ACK"))
    (note, *_) = next(one for one in grade.criteria if one.name == "the user's calls").notes
    assert note.splitlines()[-1].strip() == "here it sends a segment that is wrong: SEQ, ACK, CTL or text"
    assert "(Abort)" in note
    assert note.count("-->") <= 8
    assert note.startswith("ESTABLISHED, ABORT:\n")


@contained
def test_what_cannot_be_run_has_no_points(tmp_path):
    for text, words in (
        ("def close(tcb, now:\n", "(release.py, line 1)"),
        ("import os\nos._exit(3)\n", "status 3"),
        ("import socket\nsocket.socket()\n", "socket"),
    ):
        grade = graded(tmp_path, text)
        assert (grade.score, grade.points) == (0, 94)
        assert words in " ".join(grade.remarks)


@contained
@pytest.mark.parametrize("function", ["close", "abort", "fin_arrives", "user_timeout", "answer_closed"])
def test_whoever_refuses_loses_points_and_the_grader_goes_on(function, tmp_path):
    text = a2_solutions.right(chosen("s1")).replace(f"def {function}(", f"def right_{function}(")
    text += f'\ndef {function}(*given):\n    raise TcpError("nope")\n'
    assert 0 < graded(tmp_path, text, public=True).score < 18


@contained
def test_so_it_is_when_the_engine_itself_refuses(tmp_path):
    text = a2_solutions.right(chosen("s1")) + (
        "\nimport tiny\ndef refuse(*given):\n    raise TcpError('nope')\n"
        "tiny.Connection.open = tiny.Connection.send = refuse\n"
    )
    assert graded(tmp_path, text, public=True).score < 5


#: What stands behind a right release, and what is said of it. Each has some points, and costs the grader little.
FLOODS = {
    "opens with nothing": (
        "tiny.Connection.open = lambda *given: None",
        "sends nothing while the connection is opened",
    ),
    "always due": ("def passes(self, now): self.tcb.retransmit_at = now", "has always something to do"),
    "due soon": ("def passes(self, now): self.tcb.retransmit_at = now + 1", "has always something to do"),
    "told without end": (
        "def passes(self, now):\n    self.tcb.retransmit_at = now\n    self.tcb.tell('TEXT', 'x' * 60000)",
        "has always something to do",
    ),
    "empty replies": (
        "import json\n_real = json.dumps\n"
        "def many(reply, **how): return _real({**reply, 'value': [{}] * 20000}, **how)\n"
        "def passes(self, now): json.dumps = many",
        "a reply has a wrong form",
    ),
    "a long line": (
        "def passes(self, now): self.tcb.tell('TEXT', 'x' * 65536)",
        "answered with more than 65536 octets",
    ),
}


@contained
@pytest.mark.parametrize(("code", "words"), FLOODS.values(), ids=FLOODS)
@pytest.mark.slow
def test_who_goes_on_for_ever_costs_the_grader_little(code, words, tmp_path):
    text = a2_solutions.right(chosen("s1")) + "\nimport tiny\ndef passes(self, now): pass\n" + code
    begun = time.process_time()
    grade = graded(tmp_path, text + "\ntiny.Connection.time_passes = passes\n", public=True)
    assert time.process_time() - begun < 20
    assert grade.score < 18
    assert any(words in note for one in grade.criteria for note in one.notes)


@contained
def test_what_misbehaves_later_keeps_what_it_has(tmp_path):
    text = a2_solutions.right(chosen("s1")) + (
        "\n_answer, _count = answer_closed, 0\ndef answer_closed(segment):\n    global _count\n    _count += 1\n"
        "    if _count > 50:\n        raise SystemExit\n    return _answer(segment)\n"
    )
    grade = graded(tmp_path, text)
    assert points(grade)["figures"] == 10
    assert 18 <= grade.score < 94


@contained
def test_who_answers_otherwise_the_second_time_is_told_so(tmp_path):
    """Each fourth connection has another ISS. Every drawn path is played twice in a row."""
    text = a2_solutions.right(chosen("s1")) + (
        "\nimport tiny\n_begin, _begun = tiny.Connection.__init__, 0\n"
        "def begin(connection, settings, iss, release):\n    global _begun\n    _begun += 1\n"
        "    _begin(connection, settings, iss + (_begun % 4 == 0), release)\ntiny.Connection.__init__ = begin\n"
    )
    notes = next(one for one in graded(tmp_path, text).criteria if one.name == "long paths, drawn").notes
    assert any("answers otherwise when the same happens a second time" in note for note in notes)


@contained
def test_public_are_the_figures_and_scripts(tmp_path):
    grade = graded(tmp_path, a2_solutions.right(chosen("s1")), public=True)
    assert points(grade) == {"figures": 10, "scripts with exact times": 8}


def test_whose_variant_it_is_must_be_said(tmp_path):
    with pytest.raises(SubmissionError, match="whose variant"):
        graded(tmp_path, "", student="")
    with pytest.raises(SubmissionError, match="No such file"):
        ASSIGNMENT.grade(tmp_path / "none.py", "s1", How())
    with pytest.raises(SubmissionError, match="has more than 65536 octets"):
        graded(tmp_path, "#" * 70_000)


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"\x7fELF\0\0", "is no Python source but a binary file"),
        ("# \ufeffas Windows saves it".encode("utf-16"), "is no Python source: octet 0 is not UTF-8"),
        (b"# f\xfcr mich", "is no Python source: octet 3 is not UTF-8"),
    ],
)
@pytest.mark.slow
def test_what_is_no_python_source_is_named_and_not_run(octets, words, tmp_path):
    path = tmp_path / "class" / "s1" / "mine.py"
    path.parent.mkdir(parents=True)
    path.write_bytes(octets)
    with pytest.raises(SubmissionError, match=re.escape(f"{path}: {words}")):
        ASSIGNMENT.grade(path, "s1", How(uncontained=True))
    (entry,) = look_through(path.parents[1], ASSIGNMENT.file).entries
    (one,) = grade_class(ASSIGNMENT, [entry], tmp_path / "out")
    assert one.problem.startswith(f"s1/mine.py: {words}")


@pytest.mark.slow
def test_every_part_of_a_reply_counts():
    reply = Right().play(paths(combine())[100])[-3]
    segment = {"seq": 1, "ack": 2, "ctl": "ACK", "wnd": 3, "text": ""}
    reply = {**reply, "segments": [segment], "told": [["EOF", ""]]}
    for name, other in (("seq", 2), ("ack", None), ("ctl", "RST"), ("text", "a")):
        assert difference({**reply, "segments": [{**segment, name: other}]}, reply)
    for name, other in (("segments", []), ("told", []), ("refused", "no"), ("state", "LISTEN")):
        assert difference({**reply, name: other}, reply)
    assert difference({**reply, "segments": [{**segment, "wnd": 9}]}, reply) is None


# What a student is given


@pytest.mark.slow
def test_the_folder_of_a_student_runs_alone_and_has_no_solution(tmp_path):
    for name, text in ASSIGNMENT.files("s1").items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert "{" not in ASSIGNMENT.files("s1")["README.md"].replace("{.", "")
    assert all(one.instead.split(":")[0] in ASSIGNMENT.files("s1")["README.md"] for one in chosen("s1"))

    def attempt():
        return subprocess.run(
            [
                sys.executable,
                "-I",
                "-c",
                "import runpy, sys; sys.path.insert(0, '.'); runpy.run_path('try.py', run_name='__main__')",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    assert attempt().returncode == 1
    assert "expected:" in attempt().stdout
    given = "".join(path.read_text() for path in tmp_path.rglob("*.py"))
    for function in ast.parse(a2_solutions.right()).body:
        if isinstance(function, ast.FunctionDef):
            assert ast.unparse(function.body) not in given
    (tmp_path / "release.py").write_text(a2_solutions.right(chosen("s1")))
    assert re.search(r"all \d\d paths are right", attempt().stdout)
    (tmp_path / "release.py").write_text(a2_solutions.right(chosen("s1")).replace("answer_closed", "answer"))
    assert "release.py has no answer_closed" in attempt().stdout


@pytest.mark.slow
def test_a_template_is_whole_for_any_id():
    text = ASSIGNMENT.files('a"b\\é')["release.py"]
    assert ast.parse(text)
    assert 'STUDENT = "a\\"b' in text


# Where nothing contains it


def command(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def no_walls(monkeypatch, tmp_path):
    """A machine without bubblewrap."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_foreign_code_is_not_run_where_nothing_contains_it(no_walls, tmp_path):
    path = tmp_path / "class" / "s1" / "release.py"
    path.parent.mkdir(parents=True)
    path.write_text(f"open({str(tmp_path / 'was-here')!r}, 'w')\n")
    for words in ([path, "--student", "s1"], ["--class", path.parents[1]]):
        done = command("grade", "a2", *words)
        assert done.exit_code == 2
        assert "nothing contains them here: bubblewrap is missing\n" in done.stderr
        assert "what helps: sudo apt-get install --no-install-recommends bubblewrap\n" in done.stderr
        assert "--uncontained" in done.stderr
    assert {one.name for one in tmp_path.iterdir()} == {"bin", "class"}


def test_where_somebody_insists_it_is_graded_all_the_same(no_walls, tmp_path):
    path = tmp_path / "release.py"
    path.write_text(a2_solutions.right(chosen("s1"), "s1"))
    done = command("grade", "a2", path, "--public", "--uncontained")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "18 of 18 points" in done.stdout


def test_what_it_means_to_insist_is_said():
    words = " ".join(command("grade", "--help").stdout.split())
    assert "--uncontained" in words
    assert "programs of strangers" in words
    assert command("grade", "a1", "any.toml", "--uncontained").exit_code == 2


def test_emulated_hosts_are_for_programs_that_are_contained(monkeypatch, tmp_path):
    (tmp_path / "release.py").write_text("")
    assert "are for programs" in command("grade", "a1", "any.toml", "--mininet").stderr
    monkeypatch.setattr(box, "why_no_box", lambda: box.Lack("no namespaces", "get some"))
    for words, reason in (
        (("--uncontained",), "--mininet is for code that is contained"),
        ((), "--mininet: no namespaces: get some" if containment().works else "nothing contains them here"),
    ):
        done = command("grade", "a2", tmp_path / "release.py", "--mininet", *words)
        assert done.exit_code == 2
        assert reason in done.stderr
