"""What docs/teaching.md says is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import typer
from typer.testing import CliRunner

from tcpclose.cli import app
from tcpclose.teaching.assignments.catalogue import TITLES, find
from tcpclose.teaching.assignments.containment import containment
from tcpclose.teaching.assignments.handed_in import MOST_FILES, MOST_OCTETS
from tcpclose.teaching.assignments.workers import PATIENCE
from tcpclose.teaching.moments import read_moment
from tcpclose.teaching.quantities import read_quantity, read_statement
from tcpclose.teaching.questions import AnyQuestion, Option, Question, Questions

PAGE = (Path(__file__).parent.parent.parent / "docs" / "teaching.md").read_text()
COMMANDS = typer.main.get_command(app).commands
KINDS = {get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(get_args(AnyQuestion)[0])}


def rows(head):
    """The first cells of the table with this first column."""
    (table,) = re.findall(rf"^\| {head} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return re.findall(r"^\| `(.*?)` \| (.*) \|$", table, re.MULTILINE)


def keys(model):
    return {field.alias or name for name, field in model.model_fields.items()}


def test_the_example_can_be_read():
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    questions = Questions.parse(example)
    assert [question.kind for question in questions.question] == ["how-long", "choice"]
    assert keys(Question) <= set(re.findall(r"^(\w+) =", example, re.MULTILINE))


def test_every_kind_is_told_with_its_keys():
    told = {kind: set(re.findall(r"`(\w+)`", rest)) for kind, rest in rows("kind")}
    assert told.keys() == KINDS.keys()
    for kind, model in KINDS.items():
        own = keys(model) - keys(Question) - {"kind"}
        assert own <= told[kind] <= own | keys(Option), kind


@pytest.mark.parametrize(
    ("head", "read"), [("moment", read_moment), ("quantity", read_quantity), ("statement", read_statement)]
)
def test_every_form_can_be_read(head, read):
    assert len(rows(head)) >= 4
    for form, more in rows(head):
        read(form)
        for example in re.findall(r"`([\w.]+ (?:sees|in|sends) [^`]+)`", more):
            read(example)


def test_segments_are_described_so():
    described = re.search(r"Segments are described as.*?: (.*?)\. `(.*?)` is the second time", PAGE, re.DOTALL)
    assert described
    examples = re.findall(r"`(.*?)`", described[1])
    assert len(examples) >= 5
    for example in examples:
        read_moment(f"h1.c1 sends {example}")
    assert read_moment(described[2]).number == 2


def test_every_command_is_one():
    commands = re.findall(r"^(?:cd .*? && |\| `)?\./lab ([^`>\\\n]*)", PAGE, re.MULTILINE)
    assert len(commands) >= 10
    for command in commands:
        name, *words = command.split()
        told = COMMANDS[name]
        if isinstance(told, typer.core.TyperGroup):
            told = told.commands[words[0]]
        options = {option for parameter in told.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, command


# Assignments

SECTION = PAGE.partition("## Assignments\n")[2].partition("\n## ")[0]
COMMAND_LINES = re.findall(r"^(?:cd .*? && )?\./lab ([^\\\n]*(?:\\\n.*)?)$", SECTION, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("line", COMMAND_LINES)
def test_every_command_line_about_assignments_can_be_run(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (moodle,) = re.findall(r"^s123,(.*)$", SECTION, re.MULTILINE)
    (listed,) = re.findall(r"^```\n(s123.*?)```", SECTION, re.MULTILINE | re.DOTALL)
    Path("list.csv").write_text(listed)
    Path("students.txt").write_text("s123\ns124\n")
    if "a2" in line and not (finding := containment()).works:
        pytest.skip(f"foreign code cannot be contained here: {finding.found}: {finding.mend}")
    given = {name: text for one in TITLES for name, text in find(one).files("s123").items()}
    submissions = [".", "autograder/submission", *(["handed-in/s123"] if "list.csv" not in line else [])]
    submissions += [f"handed-in/{name}" for name in ([moodle, "submission_42", "s125"] if "list.csv" in line else ())]
    for place in submissions:
        for name, text in given.items():
            (Path(place) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(place) / name).write_text(text)
    Path("autograder/results").mkdir()
    words = line.replace("\\\n", " ").removesuffix("|| true").replace(" /autograder", " autograder").split()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output


def test_every_assignment_is_told_with_what_is_handed_in_and_has_examples():
    told = dict(re.findall(r"^\| (a\d) \| `(.*?)` \|", SECTION, re.MULTILINE))
    assert told == {name: find(name).file for name in TITLES}
    for name in TITLES:
        assert {line.split(name)[0].strip() for line in COMMAND_LINES if name in line.split()} == {
            "grade",
            "assignment export",
        }


def test_every_file_of_a_class_is_told(tmp_path):
    (tmp_path / "class" / "s123").mkdir(parents=True)
    (tmp_path / "class" / "s123" / "a1.toml").write_text(find("a1").files("s123")["a1.toml"])
    assert CliRunner().invoke(app, ["grade", "a1", "--class", str(tmp_path / "class")]).exit_code == 0
    out = tmp_path / "class-grades"
    made = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    told = {
        name for line in re.findall(r"^\| (`.*?) \|", SECTION, re.MULTILINE) for name in re.findall("`(.*?)`", line)
    }
    assert made == told


def test_the_figures_that_are_told_are_those_of_the_code():
    assert f"more than {MOST_FILES} files or {MOST_OCTETS >> 20} MiB" in SECTION
    assert f"longer than {PATIENCE / 60:g} minutes" in SECTION
