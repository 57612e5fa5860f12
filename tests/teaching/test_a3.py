"""Assignment A3: every broken stack can be killed, no right one is accused by right scripts, and grades follow."""

from __future__ import annotations

import itertools
import random
import zipfile

import pytest
from a3_scripts import HEAD, SCRIPTS, solution
from typer.testing import CliRunner

from tcpclose.cli import app
from tcpclose.teaching.assignments import a3
from tcpclose.teaching.assignments.alterations import ALTERATIONS, combine, drawn
from tcpclose.teaching.assignments.grades import SubmissionError
from tcpclose.teaching.assignments.mutants import VISIBLE, mutants_of
from tcpclose.teaching.assignments.scripts import MOST_SCRIPTS, ScriptSet, read, understand

STUDENTS = [f"s{n}" for n in range(12)]
VARIANTS = [
    some
    for some in itertools.combinations(VISIBLE, 3)
    if not any(one.excluded_by(other) for one, other in itertools.combinations(some, 2))
]
#: So many that every alteration is there; all of them are for patient people.
SAMPLE = random.Random("a3").sample(VARIANTS, 12)


def script_set(texts) -> ScriptSet:
    return ScriptSet({name: understand(text, name) for name, text in texts.items()})


def names_of(student: str) -> set[str]:
    return {one.name for one in drawn("a3", student, VISIBLE)}


def graded(texts, student: str, public: bool = False):
    return a3.grade(script_set(texts), student, public)


def scores(grade) -> dict[str, float]:
    return {one.name: one.score for one in grade.criteria}


# The mutants


def check(chosen) -> None:
    mutants = mutants_of(chosen)
    assert len(mutants) >= 50
    assert len({one.name for one in mutants}) == len(mutants)
    played = a3.play_all(combine(*chosen), script_set(solution({one.name for one in chosen})), mutants)
    assert played.remarks == []
    assert [one.name for one in mutants if one.name not in played.kills] == []


@pytest.mark.parametrize("chosen", SAMPLE, ids=lambda some: "+".join(one.name for one in some))
def test_right_scripts_kill_every_broken_stack_and_accuse_none(chosen):
    check(chosen)


@pytest.mark.slow
@pytest.mark.parametrize("chosen", VARIANTS, ids=lambda some: "+".join(one.name for one in some))
def test_so_it_is_in_every_variant(chosen):
    check(chosen)


def test_the_sample_has_every_alteration_that_can_be_seen():
    assert {one for some in SAMPLE for one in some} == set(VISIBLE)
    assert {one.name for one in ALTERATIONS} - {one.name for one in VISIBLE} == {"last-ack-at-the-call"}


# The points


@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.slow
def test_right_scripts_have_all_points_and_those_given_none(student):
    whole = graded(solution(names_of(student)), student)
    assert (whole.score, whole.points, whole.remarks) == (100, 100, ())
    given = {name: text for name, text in a3.ASSIGNMENT.files(student).items() if name.endswith(".pkt")}
    assert len(given) == 2
    baseline = graded(given, student)
    assert (baseline.score, baseline.remarks) == (0, ())
    assert graded({}, student).score == 0


@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.slow
def test_scripts_for_the_unaltered_machine_have_nothing_for_the_alterations(student):
    grade = graded(solution(set()), student)
    assert {scores(grade)[name] for name in names_of(student)} == {0}
    assert grade.score <= 40
    assert grade.remarks


def test_half_of_the_scripts_have_some_of_the_points_and_always_the_same():
    texts = dict(list(solution(names_of("s1")).items())[::2])
    grade = graded(texts, "s1")
    assert 10 < grade.score < 90
    assert grade == graded(dict(reversed(texts.items())), "s1") == graded(texts, "s1")
    assert any("broken stacks pass all your scripts" in note for one in grade.criteria for note in one.notes)


#: Without these scripts all of a criterion's points are lost, or some.
NEEDED = {
    "closing by FIN": ["hole"],
    "TIME-WAIT": ["two_msl"],
    "ABORT and RST": ["unread"],
    "timeouts and ICMP": ["keepalive"],
}


@pytest.mark.parametrize("criterion", NEEDED)
def test_each_criterion_can_be_lost_by_itself(criterion):
    texts = solution(names_of("s1"))
    for name in NEEDED[criterion]:
        del texts[f"{name}.pkt"]
    grade = graded(texts, "s1")
    missed = {one.name for one in grade.criteria if not one.met}
    assert missed == {criterion, "right stacks pass"}


@pytest.mark.parametrize("student", STUDENTS[:6])
@pytest.mark.slow
def test_each_alteration_can_be_lost_by_itself(student):
    """Scripts that are right with it or without it show nothing of it."""
    for name in names_of(student):
        right, other = solution(names_of(student)), solution(names_of(student) - {name})
        grade = graded({script: text for script, text in right.items() if other[script] == text}, student)
        lost = {one for one in names_of(student) if scores(grade)[one] == 0}
        assert name in lost
        assert any("as the RFC has it" in note for one in grade.criteria if one.name == name for note in one.notes)


def test_who_accuses_a_right_stack_is_told_where_and_loses_by_it():
    texts = solution(names_of("s1"))
    whole = "+.1 < P. 1:11(10) ack 1 win 32792\n+0 > . 1:1(0) ack 11\n"
    grade = graded({**texts, "hasty.pkt": HEAD + whole}, "s1")
    assert scores(grade)["right stacks pass"] == 9  # two of five delay their ACKs
    assert grade.score == 94
    (remark,) = grade.remarks
    assert remark.startswith(
        "hasty.pkt does not count: it accuses a right stack, one that delays ACKs. hasty.pkt:9:1: "
    )
    assert "late" in remark
    grade = graded({"wrong.pkt": HEAD + "+.1 read(4, ..., 10) = 7\n"}, "s1")
    assert grade.score == 0
    assert len(grade.criteria[-1].notes) == 5


def test_public_grading_names_its_broken_stacks_and_says_nothing_of_the_others():
    given = graded({}, "s1", public=True)
    assert [one.name for one in given.criteria] == [*NEEDED, "right stacks pass"]
    assert "1 of 1 broken stacks pass all your scripts: a FIN is not acknowledged" in given.criteria[0].notes
    assert graded(solution(names_of("s1")), "s1", public=True).score == given.points == 55


def test_the_example_of_the_handout_kills():
    text = a3.handout("s1").partition("```\n")[2].partition("```")[0]
    grade = graded({"abort.pkt": HEAD + text}, "s1", public=True)
    assert scores(grade)["ABORT and RST"] == 12
    assert not grade.remarks


# What is handed in


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0 `touch /tmp/x`\n", "line 1: write packets and calls only"),
        ("`touch /tmp/x`\n" + HEAD, "it has options or commands"),
        ("--local_ip=nowhere\n" + HEAD, "it has options or commands"),
        ("0 %{ open('/tmp/x', 'w') }%\n", "line 1: write packets and calls only"),
        (HEAD + "+30000 close(4) = 0\n", "line 8: your scripts last longer than 20000 s by now"),
        (HEAD + "+10000000000000 close(4) = 0\n", "line 8: the number 10000000000... is too large"),
        (HEAD + "* > . 1:1(0) ack 1\n" * 80, "line 74: your scripts last longer"),
        (HEAD + "+0 close(4) = 0\n" * 300, "307 events"),
        (HEAD + "+0 write(4, ..., 9999999999) = 1\n", "line 8: there are more than 50000 octets"),
        (HEAD + "+0 writev(4, [{..., 60000}], 1) = 1\n", "line 8: there are more than 50000 octets"),
        (HEAD + "+0 < . 1:1000000001(1000000000) ack 1 win 9\n", "line 8: there are more than 50000 octets"),
        ("0 socket(" + "[" * 5000, "expected values that lie less deep in one another"),
        ("0 sokcet 3\n", "x.pkt:1:10: expected '(' behind sokcet"),
        ("", "x.pkt:1:1: expected"),
        (HEAD + "+0 < udp\n", "udp packets"),
        (HEAD + "+0 setsockopt(4, SOL_TCP, TCP_MD5SIG, ..., 4) = 0\n", "MD5 signatures (line 8) is beyond this TCP"),
    ],
)
def test_a_script_that_cannot_be_played_is_named_and_the_others_count(tmp_path, text, reason):
    (tmp_path / "x.pkt").write_text(text)
    (tmp_path / "y.pkt").write_text(HEAD)
    submission = read(tmp_path)
    assert list(submission.scripts) == ["y.pkt"]
    (remark,) = submission.remarks
    assert remark.startswith("x.pkt does not count: ")
    assert reason in remark


@pytest.mark.parametrize(
    "line",
    [
        "+0 fcntl(4, F_SETFL) = 0",
        "+0 close(99) = 0",
        "+0 setsockopt(4, SOL_SOCKET) = 0",
        "+0 poll(4, 1, 0) = 1",
        "+0 epoll_ctl(4, EPOLL_CTL_ADD, 4, 5) = 0",
        "+0 setsockopt(4, SOL_SOCKET, SO_LINGER, 5, 8) = 0",
        "+0 setsockopt(4, SOL_TCP, TCP_MAXSEG, [0], 4) = 0",
        "+0 frobnicate(4) = 0",
        "+0 accept(3, ..., ...) = 4",
        "+0 < icmp unreachable code_999 [1:1(0)]",
        "+0 > icmp unreachable",
        "+0 < . 1:1(0) ack 1 win 99999",
        "+0 < . 1:1(0) ack 1 win 9 <sack 1:2:3>",
        "+0 < . 1:1(0) ack 1 win 9 <TS val 9999999999 ecr 7>",
        "+0 < S 4294967295:4294967295(0) win 0 <wscale 99>",
        "+0 < S 9999999999:9999999999(0) ack 9999999999 win 0",
        "+0 < . 1:1(0) ack 1 win 9 <mss 99999999>",
        "+0 connect(4, ..., ...) = 0",
        "+0 bind() = 0",
        "+0 sendmsg(4, {msg_iov(1)=[{5}]}, 0) = 5",
        "+0...3000 read(4, ..., 1) = 1",
    ],
)
def test_whatever_stands_in_a_script_it_is_judged_in_words(tmp_path, line):
    (tmp_path / "x.pkt").write_text(HEAD + line + "\n")
    grade = a3.grade(read(tmp_path), "s1", public=True)
    assert grade.score == 0
    assert all(remark.startswith("x.pkt does not count: ") for remark in grade.remarks)


def test_limits_hold_for_all_scripts_together(tmp_path):
    for n in range(5):
        (tmp_path / f"{n}.pkt").write_text(HEAD + "+0 write(4, ..., 12000) = 12000\n+3000 close(4) = 0\n")
    submission = read(tmp_path)
    assert list(submission.scripts) == ["0.pkt", "1.pkt", "2.pkt", "3.pkt"]
    assert submission.remarks == ["4.pkt does not count: line 8: there are more than 50000 octets of text by now"]


def test_odd_files(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "ä \n.pkt").write_text("// student:  s7 \n" + HEAD)
    (tmp_path / "notes.txt").write_text("no script")
    (tmp_path / "latin.pkt").write_bytes(b"// \xe4")
    (tmp_path / "long.pkt").write_text("//" + "x" * 20_000)
    submission = read(tmp_path)
    assert (list(submission.scripts), submission.student) == (["sub/ä \\n.pkt"], "s7")
    assert submission.remarks == [
        "latin.pkt does not count: octet 3 is not UTF-8; save it as UTF-8",
        "long.pkt does not count: it has more than 16384 octets",
    ]
    (tmp_path / "link.pkt").symlink_to("/etc/passwd")
    with pytest.raises(SubmissionError, match="is a symbolic link"):
        read(tmp_path)


def test_one_file_and_too_many(tmp_path):
    for n in range(MOST_SCRIPTS + 1):
        (tmp_path / f"{n}.pkt").write_text(HEAD)
    assert list(read(tmp_path / "0.pkt").scripts) == ["0.pkt"]
    with pytest.raises(SubmissionError, match="hand in up to 50"):
        read(tmp_path)
    with pytest.raises(SubmissionError, match="No such file"):
        read(tmp_path / "none")
    with pytest.raises(SubmissionError, match="whose variant is it"):
        a3.grade(ScriptSet())


# The commands


def test_an_archive_is_graded_as_its_folder(tmp_path):
    packed = tmp_path / "mine.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in solution(names_of("s7")).items():
            archive.writestr(f"scripts/{name}", text)
    told = call("grade", "a3", packed, "--student", "s7")
    assert told.exit_code == 0
    assert "100 of 100 points" in told.stdout


def call(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_student_gets_a_folder_that_says_no_solution(tmp_path):
    assert call("assignment", "export", "a3", "--student", "s7", tmp_path).exit_code == 0
    made = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert made == ["README.md", "scripts/accepting.pkt", "scripts/connecting.pkt"]
    text = (tmp_path / "README.md").read_text()
    assert all(one.instead in text for one in drawn("a3", "s7", VISIBLE))
    assert "**s7**" in text
    assert not {"{student}", "{alterations}"} & set(text.split())
    expected = {
        line for body in SCRIPTS.values() for line in body.splitlines() if line.startswith("+") and " > " in line
    }
    told = "".join(path.read_text() for path in tmp_path.rglob("*.*"))
    assert {line for line in expected if line in told} <= {
        "+0 > . 1:1(0) ack 1",
        "+0 > R. 1:1(0) ack 1",
        "+0 > S. 0:0(0) ack 1 <...>",
        "+0 > S 0:0(0) <...>",
    }
    for where in (tmp_path, tmp_path / "scripts"):
        graded = call("grade", "a3", where)
        assert graded.exit_code == 0
        assert "0 of 100 points" in graded.stdout
