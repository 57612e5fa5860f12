"""Classes: whose each submission is, what becomes of it, and that nothing that happens to one costs another."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from html import escape
from pathlib import Path

import pytest
from odd_graders import ODD
from typer.testing import CliRunner

from benchmarks.grading import rows_of, write_class
from tcpclose.cli import app
from tcpclose.teaching.assignments import catalogue, classes
from tcpclose.teaching.assignments.alterations import drawn
from tcpclose.teaching.assignments.classes import file_name, grade_class, look_through
from tcpclose.teaching.assignments.grades import How, SubmissionError
from tcpclose.teaching.assignments.handed_in import MOST_FILES, MOST_OCTETS, digest, files, locate
from tcpclose.teaching.assignments.students import ClassError, Student, read_students
from tcpclose.teaching.assignments.summary import Summary, histogram, write_summary
from tcpclose.teaching.results import Graded

TCPCLOSE = [sys.executable, "-m", "tcpclose"]


def tcpclose(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def odd_class(place: Path, **texts: str) -> Path:
    for student, text in texts.items():
        (place / "class" / student).mkdir(parents=True)
        (place / "class" / student / "odd.txt").write_text(text)
    return place / "class"


def graded(folder: Path, out: Path, **more) -> dict[str, Graded]:
    return {one.file: one for one in grade_class(ODD, look_through(folder, ODD.file).entries, out, **more)}


# ---- What costs one submission costs no other

FATES = {
    "killed": "its grading was killed; perhaps it needs too much memory",
    "aborts": "its grading died of SIGABRT",
    "exits": "its grading ended with status 3",
    "leaves": "its grading ended with status 4",
    "raises": "its grading failed with KeyError: 'what?'",
    "recurses": "its grading failed with RecursionError: maximum recursion depth exceeded",
    "refused": "is nothing",
    "pickles": "its grading",
}


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.slow
def test_a_submission_that_ends_its_process_costs_itself_only(tmp_path, jobs):
    good = {f"good{number}": str(number) for number in range(10)}
    folder = odd_class(tmp_path, **good, **{fate: fate for fate in FATES})
    found = graded(folder, tmp_path / "out", jobs=jobs)
    assert found.keys() == good.keys() | FATES.keys()
    assert {name: found[name].score for name in good} == {name: float(text) for name, text in good.items()}
    for fate, reason in FATES.items():
        assert re.sub(r"/odd\.txt", "", found[fate].problem).startswith(f"{fate}: {reason}")
    kept = {path.stem for path in (tmp_path / "out").iterdir()}
    assert kept == good.keys() | {"refused"}, "what was bad luck is tried again"


@pytest.mark.slow
def test_a_submission_that_takes_too_long_is_not_waited_for(tmp_path):
    found = graded(odd_class(tmp_path, a="sleeps", b="sleeps"), tmp_path / "out", jobs=1, patience=1)
    assert [one.problem for one in found.values()] == [f"{name}: it took longer than 1 seconds" for name in "ab"]


def test_when_the_grades_are_not_wanted_any_more_the_workers_end(tmp_path):
    folder = odd_class(tmp_path, a="1", b="sleeps", c="sleeps")
    found = grade_class(ODD, look_through(folder, ODD.file).entries, tmp_path / "out", jobs=2)
    assert next(found).file == "a"
    before = time.monotonic()
    found.close()
    assert time.monotonic() - before < 60


# ---- Going on


@pytest.mark.slow
def test_a_second_run_grades_only_what_is_new_or_changed(tmp_path, monkeypatch):
    folder = odd_class(tmp_path, a="1", b="2", c="3", d="4")
    out = tmp_path / "out"
    first = graded(folder, out)
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}

    def again(**more) -> set[str]:
        """Who was graded anew."""
        found = graded(folder, out, **more)
        assert found["c"].result.score == 3
        now = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
        new = {Path(name).stem for name in now if now[name] != times.get(name)}
        times.update(now)
        return new

    assert graded(folder, out) == first
    assert again() == set()
    (folder / "b" / "odd.txt").write_text("7")
    shutil.copytree(folder / "a", folder / "e")
    (out / "a.json").write_text('{"key": ')
    assert again() == {"a", "b", "e"}
    damaged = json.loads((out / "d.json").read_text())
    (out / "d.json").write_text(json.dumps(damaged | {"criteria": "none"}))
    assert again() == {"d"}
    assert again(how=How(public=True)) == {"a", "b", "c", "d", "e"}, "other criteria"
    assert again(how=How(uncontained=True)) == {"a", "b", "c", "d", "e"}, "by other means"
    assert again(how=How(uncontained=True)) == set()
    assert again(how=How(emulate=True)) == {"a", "b", "c", "d", "e"}, "by other means"
    monkeypatch.setattr(classes, "graders", lambda: "another version")
    assert again(how=How(public=True)) == {"a", "b", "c", "d", "e"}


def test_the_version_of_the_graders_is_that_of_their_sources(monkeypatch, tmp_path):
    before = classes.graders.__wrapped__()
    assert before == classes.graders.__wrapped__()
    (tmp_path / "assignments").mkdir()
    (tmp_path / "assignments" / "mutants.toml").write_text("a")
    monkeypatch.setattr(classes, "LABS", tmp_path)
    other = classes.graders.__wrapped__()
    assert other != before
    (tmp_path / "assignments" / "mutants.toml").write_text("b")
    assert classes.graders.__wrapped__() not in (before, other)


def marked_processes(mark: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"MARK={mark}\0".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # it has ended, or is not ours
            continue
    return found


@pytest.mark.slow
def test_a_run_that_is_killed_loses_what_was_running_and_goes_on(tmp_path):
    write_class("a1", tmp_path / "class", 200)
    out = tmp_path / "grades"
    words = [*TCPCLOSE, "grade", "a1", "--class", str(tmp_path / "class"), "--out"]
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    process = subprocess.Popen([*words, str(out)], stdout=subprocess.DEVNULL, env={**os.environ, "MARK": mark})
    deadline = time.monotonic() + 60
    while not (out / "grades").is_dir() or len(list((out / "grades").glob("*.json"))) < 20:
        assert process.poll() is None, "it was over before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in (out / "grades").glob("*.json")}
    assert 20 <= len(kept) < 200
    assert not (out / "index.html").exists()
    assert all(json.loads(path.read_text())["key"] for path in kept), "each is whole"
    while marked_processes(mark):  # workers end by themselves
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert subprocess.run([*words, str(out)], capture_output=True).returncode == 1
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "none was graded again"
    assert subprocess.run([*words, str(tmp_path / "fresh")], capture_output=True).returncode == 1
    for name in ("summary.json", "class.csv", "index.html"):
        assert (out / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()
    assert len(list((out / "pages").iterdir())) == 200


# ---- Whose it is


def test_submissions_are_folders_and_files_that_are_named_by_their_students(tmp_path):
    for name in ("s1/a1.toml", "s2/mine.toml", "s4/deep/er/a1.toml", "s5/a.toml", "s5/b.toml", "s6/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"x = {name!r}")
    (tmp_path / "s3.toml").write_text("")
    (tmp_path / "readme.md").write_text("")
    (tmp_path / ".DS_Store").write_text("")
    (tmp_path / "__MACOSX").mkdir()
    room = look_through(tmp_path, "a1.toml")
    assert room.passed_over == ("readme.md",)
    found = {entry.name: entry for entry in room.entries}
    assert {name: entry.student for name, entry in found.items()} == {
        "s1": "s1",
        "s2": "s2",
        "s3.toml": "s3",
        "s4": "s4",
        "s5": "s5",
        "s6": "s6",
    }
    assert found["s4"].digest == digest(tmp_path / "s4/deep/er/a1.toml")
    assert found["s5"].problem == "s5: which file is it? None is named a1.toml: a.toml, b.toml"
    assert found["s6"].problem == "s6: has no a1.toml in it"


def test_a_list_says_whose_a_submission_is_and_who_handed_in_nothing(tmp_path):
    packed = "Doe Jane_1234567_assignsubmission_file_"
    for name in (packed, "submission_42", "s3", "stranger"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "odd.txt").write_text("1")
    unlisted = {entry.name: entry.problem for entry in look_through(tmp_path, "odd.txt").entries}
    assert "Moodle or Gradescope named it so" in unlisted[packed]
    assert "Moodle or Gradescope named it so" in unlisted["submission_42"]
    assert unlisted["s3"] == unlisted["stranger"] == ""
    (tmp_path / "list.csv").write_text(f"# ID, name\ns1,{packed}\ns2,Submission_42\ns3\n\ns4\n")
    room = look_through(tmp_path, "odd.txt", read_students(tmp_path / "list.csv"))
    assert {entry.name: entry.student for entry in room.entries if not entry.problem} == {
        packed: "s1",
        "submission_42": "s2",
        "s3": "s3",
    }
    assert [entry.problem for entry in room.entries if entry.problem] == [
        "stranger: is of nobody on the list of students"
    ]
    assert room.missing == ("s4",)


def test_an_accent_is_the_same_however_the_file_system_writes_it(tmp_path):
    (tmp_path / "rene\u0301").mkdir()  # as macOS packs it
    (tmp_path / "rene\u0301" / "odd.txt").write_text("1")
    (entry,) = look_through(tmp_path, "odd.txt", [Student("ren\u00e9", "ren\u00e9")]).entries
    assert entry.student == "ren\u00e9"
    assert not entry.problem
    a1 = catalogue.find("a1")
    one, other = (a1.files(name)["README.md"] for name in ("rene\u0301", "ren\u00e9"))
    assert one.split("**", 2)[2] == other.split("**", 2)[2]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (b"s1\na/b", "line 2: 'a/b' cannot name a folder"),
        (b"..", "line 1: '..' cannot name a folder"),
        (b'""', "line 1: '' cannot name a folder"),
        (b".hidden", "cannot name a folder"),
        (b"-rf", "cannot name a folder"),
        (b"a\x00b", "cannot name a folder"),
        ("a\u202eb".encode(), "cannot name a folder"),
        (b"x" * 65, "cannot name a folder"),
        (b"dot.", "cannot name a folder"),
        (b"s1\n# who\nS1 ", "line 3: S1 is there twice"),
        (b"s1,a,b", "line 1: expected ID or ID,NAME"),
        (b"\n# nobody\n", "nobody is on this list"),
        (b"s1\xff", "octet 2 is not UTF-8"),
        (None, "No such file"),
    ],
)
def test_a_list_that_is_odd_is_refused_before_anything_is_done(tmp_path, lines, problem):
    path = tmp_path / "list.txt"
    if lines is not None:
        path.write_bytes(lines)
    with pytest.raises(ClassError, match=re.escape(problem)):
        read_students(path)
    done = tcpclose("assignment", "export", "a1", tmp_path / "out", "--students", path)
    assert done.exit_code == 2
    assert problem in done.stderr
    assert not (tmp_path / "out").exists()


def test_names_that_no_id_is(tmp_path):
    for name in (b"s\xff.txt", b"\x1b[31mred.txt", b"x" * 100 + b".txt"):
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_text("1")
    found = graded(tmp_path, tmp_path / "out")
    assert all("is no student's ID" in one.problem for one in found.values())
    assert "\\x1b[31mred.txt" in found


# ---- What was handed in


def test_links_devices_and_floods_are_refused(tmp_path):
    (tmp_path / "secret.txt").write_text("5")
    folder = odd_class(tmp_path, good="1")
    for name in ("link", "inner", "fifo", "many", "large", "device"):
        (folder / name).mkdir()
    (folder / "link" / "odd.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "inner" / "odd.txt").mkdir()
    (folder / "inner" / "odd.txt" / "more").symlink_to("/")
    (folder / "outer").symlink_to(folder / "good")
    os.mkfifo(folder / "fifo" / "odd.txt")
    for number in range(MOST_FILES + 1):
        (folder / "many" / f"{number}.txt").touch()
    with (folder / "large" / "odd.txt").open("wb") as file:
        file.truncate(MOST_OCTETS + 1)
    (folder / "device" / "odd.txt").symlink_to("/dev/zero")
    found = graded(folder, tmp_path / "out")
    assert found.pop("good").score == 1
    assert {name: one.problem for name, one in found.items()} == {
        "link": "link/odd.txt: is a symbolic link; hand in the file itself",
        "inner": "inner/odd.txt/more: is a symbolic link; hand in the file itself",
        "outer": "outer: is a symbolic link; hand in the file itself",
        "fifo": "fifo/odd.txt: is no file",
        "many": f"many: has more than {MOST_FILES} files",
        "large": "large/odd.txt: has more than 32 MiB",
        "device": "device/odd.txt: is a symbolic link; hand in the file itself",
    }


def test_folders_without_end_are_refused(tmp_path):
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1500):  # far beyond the longest path
            os.mkdir("deep")
            os.chdir("deep")
    finally:
        os.chdir(here)
    with pytest.raises(SubmissionError, match="File name too long"):
        files(tmp_path)
    subprocess.run(["rm", "-rf", tmp_path / "deep"], check=True)  # Python would not come to the end of it either


def test_a_folder_is_handed_in_where_the_assignment_wants_one(tmp_path):
    (tmp_path / "a.pkt").write_text("")
    assert locate(tmp_path, "scripts") == tmp_path
    (tmp_path / "scripts").mkdir()
    assert locate(tmp_path, "scripts") == tmp_path / "scripts"
    assert look_through(tmp_path, "scripts").passed_over == ("a.pkt",)


def test_what_cannot_be_read_is_named(tmp_path, monkeypatch):
    folder = odd_class(tmp_path, a="1", b="2")
    read = Path.read_bytes

    def refused(path: Path) -> bytes:  # by a mode, root would not be
        if path.parent.name == "a":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    found = graded(folder, tmp_path / "out")
    assert found["a"].problem == "a/odd.txt: Permission denied"
    assert found["b"].score == 2


def test_names_of_files_are_fit_for_any_system():
    assert file_name("s1.toml", ".json") == "s1.toml.json"
    odd = ["a\\x1b", ".x", "a/b", "", "é" * 150, "a:b"]
    assert all(len(file_name(name, ".json")) == 21 for name in odd)
    assert len({file_name(name, "") for name in odd}) == len(odd)


# ---- The summary


def test_what_a_class_has_reached_is_told(tmp_path):
    scores = {"a": "0", "b": "0.9", "c": "1", "d": "5", "e": "9.99", "f": "10", "A": "10", "g": "refused"}
    folder = odd_class(tmp_path, **scores)
    room = look_through(folder, ODD.file, [Student(name, name) for name in ("a", "h")])
    assert {entry.name for entry in room.entries if not entry.problem} == {"a", "A"}
    room = look_through(folder, ODD.file)
    found = {one.file: one for one in grade_class(ODD, room.entries, tmp_path / "out")}
    summary = Summary("Odd", [found[entry.name] for entry in room.entries], room)
    assert [count for _, count in summary.distribution] == [2, 1, 0, 0, 0, 1, 0, 0, 0, 3]
    assert summary.distribution[0][0] == "0 to 9 %"
    assert summary.distribution[-1][0] == "90 to 100 %"
    assert summary.figures == {"mean": 5.3, "median": 5.0}
    assert summary.missed == [("one", pytest.approx(36.89 / 70), 7)]
    assert summary.problems == ["g/odd.txt: is nothing"]
    assert summary.notices == ["more than one of a: A, a", "the same, octet for octet: A, f"]
    lines = histogram(summary.distribution, 9)
    assert lines[0].split() == ["0", "to", "9", "%", "2", "█" * 6]
    assert lines[2].split() == ["20", "to", "29", "%", "0"]
    write_summary(tmp_path / "told", summary)
    record = json.loads((tmp_path / "told" / "summary.json").read_text())
    assert record["graded"] == 7
    assert record["reached"] == {"one": {"share": 0.527, "submissions": 7}}
    assert record["distribution"]["90 to 100 %"] == 3
    assert [one["file"] for one in record["submissions"]] == [entry.name for entry in room.entries]
    rows = list(csv.DictReader((tmp_path / "told" / "class.csv").open()))
    assert {row["file"]: row["one"] for row in rows} == {**scores, "g": ""}


def test_what_was_missed_says_how_many_had_it(tmp_path):
    """Not everybody has each alteration: of one that two have had, 50 % says little."""
    write_class("a1", tmp_path / "class", 6)
    had = Counter(one.name for number in range(6) for one in drawn("a1", f"s{number}"))
    assert len(set(had.values())) > 1
    done = tcpclose("grade", "a1", "--class", tmp_path / "class")
    record = json.loads((tmp_path / "class-grades" / "summary.json").read_text())["reached"]
    page = (tmp_path / "class-grades" / "index.html").read_text()
    for name, submissions in (had | Counter({"the user's calls": 6})).items():
        assert record[name]["submissions"] == submissions
        assert re.search(rf"^ {name} +\d+% +{submissions} *$", done.stdout, re.MULTILINE)
        assert re.search(rf"<td>{escape(name)}</td><td>\d+%</td><td>{submissions}</td>", page)


def test_nobody_could_be_graded(tmp_path):
    folder = odd_class(tmp_path, a="refused")
    room = look_through(folder, ODD.file)
    summary = Summary("Odd", list(grade_class(ODD, room.entries, tmp_path / "out")), room)
    assert summary.figures == {}
    assert "0 of 1 graded" in write_summary(tmp_path / "told", summary).read_text()


# ---- The commands


def test_every_assignment_can_be_sent_to_a_worker():
    import pickle

    for name in catalogue.TITLES:
        assert pickle.loads(pickle.dumps(catalogue.find(name).grade)) is catalogue.find(name).grade


@pytest.mark.slow
def test_from_the_list_of_students_to_their_grades(tmp_path):
    (tmp_path / "students.txt").write_text("s1\ns2\nrené\n")
    made = tcpclose("assignment", "export", "a1", tmp_path / "out", "--students", tmp_path / "students.txt")
    assert made.exit_code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"s1", "s2", "rené"}
    assert 'student = "s2"' in (tmp_path / "out" / "s2" / "a1.toml").read_text()
    again = tcpclose("assignment", "export", "a1", tmp_path / "out", "--students", tmp_path / "students.txt")
    assert (again.exit_code, "s1 is there already" in again.stderr) == (2, True)
    done = tcpclose("grade", "a1", "--class", tmp_path / "out", "--csv", tmp_path / "my.csv")
    assert done.exit_code == 0, done.output
    assert "3 of 3 graded, mean 0, median 0" in done.stdout
    assert "the graceful release" in done.stdout
    names = {"index.html", "summary.json", "class.csv", "pages", "grades"}
    assert {path.name for path in (tmp_path / "out-grades").iterdir()} == names
    assert (tmp_path / "my.csv").read_text() == (tmp_path / "out-grades" / "class.csv").read_text()
    assert {path.name for path in (tmp_path / "out-grades" / "pages").iterdir()} == {"s1.html", "s2.html", "rené.html"}


def test_the_name_decides_and_a_file_that_says_otherwise_is_told(tmp_path):
    write_class("a1", tmp_path / "class", 2)
    (tmp_path / "class" / "s1").rename(tmp_path / "class" / "s7")
    done = tcpclose("grade", "a1", "--class", tmp_path / "class", "--json")
    assert done.exit_code == 0
    record = {one["file"]: one for one in json.loads(done.stdout)["submissions"]}
    assert record["s0"]["score"] == 100
    assert record["s0"]["remarks"] == []
    assert record["s7"]["score"] < 100
    assert record["s7"]["remarks"] == ["the file says that it is of s1; graded is the variant of s7"]


@pytest.mark.parametrize(("said", "remarks"), [("s7", 1), (" S1 ", 0), ("", 0)])
def test_every_assignment_names_who_hands_in_anothers_work(said, remarks, tmp_path):
    (tmp_path / "release.py").write_text(f'STUDENT = "{said}"\n')
    (tmp_path / "a1.toml").write_text(f'student = "{said}"\n')
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "x.pkt").write_text(f"// student: {said}\n")
    for name in catalogue.TITLES:
        assignment = catalogue.find(name)
        grade = assignment.grade(tmp_path / assignment.file, "s1", How(public=True, uncontained=True))
        told = f"the file says that it is of {said.strip()}; graded is the variant of s1"
        assert grade.remarks.count(told) == remarks, name


@pytest.mark.slow
def test_one_that_cannot_be_graded_makes_the_status_1(tmp_path):
    write_class("a1", tmp_path / "class", 1)
    (tmp_path / "class" / "s9.toml").write_bytes(b'student = "\xff"')
    done = tcpclose("grade", "a1", "--class", tmp_path / "class", "--out", tmp_path / "new" / "out")
    assert done.exit_code == 1
    assert "1 of 2 graded, mean 100, median 100" in done.stdout
    assert "not graded: s9.toml: octet 11 is not UTF-8" in done.stdout
    shown = (tmp_path / "new" / "out" / "pages" / "s9.toml.html").read_text()
    assert "<title>s9, " in shown
    assert str(tmp_path) not in shown


def test_assignments_are_listed():
    done = tcpclose("assignment", "list")
    assert done.exit_code == 0
    assert all(name in done.stdout for name in catalogue.TITLES)
    assert "a1.toml" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("grade a1", "either what was handed in or --class DIR"),
        ("grade a1 x.toml --class CLASS", "either what was handed in or --class DIR"),
        ("grade a1 --class CLASS --student s1", "are for one submission"),
        ("grade a1 --class CLASS --html x", "are for one submission"),
        ("grade a1 CLASS/s0 CLASS/s1 --gradescope x", "are for one submission"),
        ("grade a1 CLASS/s0 --out x", "are for --class DIR"),
        ("grade a1 CLASS/s0 --students x", "are for --class DIR"),
        ("grade a1 --class NOSUCH", "nosuch: No such file or directory"),
        ("grade a1 --class EMPTY", "empty: has no submissions in it; expected a folder or a *.toml for each student"),
        ("grade a1 --class FILE", "file: Not a directory"),
        ("grade a1 --class CLASS --out CLASS/out", "is in the class's folder"),
        ("grade a1 --class CLASS --out FILE", "file/grades: Not a directory"),
        ("grade a1 --class CLASS --students NOSUCH", "nosuch: No such file or directory"),
        ("grade a1 CLASS/s0 --html NOSUCH/x", "nosuch/x: No such file or directory"),
        ("grade a1 --class CLASS --csv NOSUCH/x", "nosuch/x: No such file or directory"),
        ("grade a1 NOSUCH", "nosuch: No such file or directory"),
        ("grade a1 EMPTY", "empty: has no a1.toml in it"),
        ("grade a9 --class CLASS", "there is no assignment 'a9'"),
        ("assignment export a1 EMPTY", "--student needs an ID, as s123; or a class --students FILE"),
        ("assignment export a1 EMPTY --student s1 --students FILE", "--student needs an ID"),
    ],
)
def test_what_is_asked_for_wrongly_is_told(tmp_path, words, message):
    write_class("a1", tmp_path / "class", 2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    places = ("CLASS", "EMPTY", "FILE", "NOSUCH")
    done = tcpclose(
        *(
            str(tmp_path / word.replace(word.split("/")[0], word.split("/")[0].lower()))
            if word.startswith(places)
            else word
            for word in words.split()
        )
    )
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.slow
def test_a_disk_that_is_full_is_told_and_what_was_graded_is_kept(tmp_path):
    write_class("a1", tmp_path / "class", 30)
    words = [*TCPCLOSE, "grade", "a1", "--class", str(tmp_path / "class"), "--out", str(tmp_path / "out")]
    done = subprocess.run(["sh", "-c", 'ulimit -f 2; exec "$@"', "sh", *words], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    kept = list((tmp_path / "out" / "grades").iterdir())
    assert all(json.loads(path.read_text())["key"] for path in kept), "none is half written"
    assert subprocess.run(words, capture_output=True).returncode == 1
    assert len(list((tmp_path / "out" / "grades").iterdir())) == 30


def test_rows_of_the_benchmark_are_those_of_a_machine():
    from tcpclose.protocol.fsm import TABLE

    assert {
        "state": "ESTABLISHED",
        "event": "CLOSE",
        "next": "FIN-WAIT-1",
        "do": ["QUEUE_FIN"],
        "cause": "",
    } in rows_of(TABLE)
