"""`questions.toml`: what is wrong with one is said, and every kind asks what the run has."""

from __future__ import annotations

import pytest
from lessons import answer, asked, run_of

from tcpclose.scenario import ScenarioError
from tcpclose.teaching.quantities import NotInRun
from tcpclose.teaching.questions import Questions

FOUR = run_of("01-four-way-close")
LINK = run_of("11-link-failure")

WHO = '[[question]]\nid = "who"\nkind = "who"\nwho = "in TIME-WAIT"\ntext = "Who?"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("question = 5", "question = 5: expected an array"),
        ("[[question]", "not TOML: "),
        (WHO.replace('text = "Who?"', ""), "question 1 (who): text: missing"),
        (WHO + "pionts = 2", "question 1 (who): pionts: unknown key; did you mean points?"),
        (WHO + "points = 0", "question 1 (who): points = 0: expected at least 1"),
        (WHO + WHO, "two questions have the id who"),
        (WHO.replace('"who"\nkind', '"Who"\nkind'), 'question 1 (Who): id = "Who"'),
        (WHO.replace('kind = "who"', 'kind = "whom"'), "question 1 (who): there is no kind whom; did you mean who?"),
        (WHO.replace('kind = "who"', ""), "question 1 (who): kind: missing"),
        (WHO.replace("in TIME-WAIT", "in TIME-WIAT"), "there is no state TIME-WIAT; did you mean TIME-WAIT?"),
        (WHO + '[vary]\n"seed" = [1]', "vary.seed: expected at least 2"),
        ("question = [3]", "labs/x/questions.toml: question 1: expected a table"),
        (WHO + '[vary]\n"seed" = { from = 2, to = 1 }', "expected `from` below `to`"),
        ('[[question]]\nid = "a"\nkind = "state-at"\ntext = "x"\nend = "h1"\nmoment = "1s"', 'such as "h1.c1"'),
        (
            '[[question]]\nid = "a"\nkind = "next-state"\ntext = "x"\nstate = "CLOSE"\nevent = "FIN"',
            "there is no such state; did you mean CLOSED?",
        ),
        (
            '[[question]]\nid = "a"\nkind = "next-state"\ntext = "x"\nstate = "CLOSING"\nevent = ["ACK-OF-FINE"]',
            "there is no event ACK-OF-FINE; did you mean ACK-OF-FIN?",
        ),
        (
            '[[question]]\nid = "a"\nkind = "how-long"\ntext = "x"\nfrom = "1s"\nto = "2s"\ntolerance = "ten"',
            'question 1 (a): tolerance = "ten": expected a duration',
        ),
        (
            '[[question]]\nid = "a"\nkind = "choice"\ntext = "x"\noption = [{ text = "y", true_when = "z" }]',
            "question 1 (a): option",
        ),
        ("[vary]", "question: missing"),
    ],
)
def test_what_is_wrong_is_said(text, message):
    with pytest.raises(ScenarioError) as error:
        Questions.parse(text, "labs/x/questions.toml")
    assert str(error.value).startswith("labs/x/questions.toml: ")
    assert message in str(error.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(ScenarioError, match=r"questions\.toml: cannot be read: No such file"):
        Questions.load(tmp_path / "questions.toml")


@pytest.mark.parametrize(
    ("right", "run", "kind", "keys"),
    [
        ("FIN-WAIT-2", FOUR, "next-state", {"state": "FIN-WAIT-1", "event": "ACK-OF-FIN"}),
        ("TIME-WAIT", FOUR, "next-state", {"state": "FIN-WAIT-1", "event": ["ACK-OF-FIN", "FIN"]}),
        ("LAST-ACK", FOUR, "next-state", {"state": "LAST-ACK", "event": "FIN"}),  # ignored
        ("CLOSE-WAIT", FOUR, "state-at", {"end": "h2.c1", "moment": "h1.c1 in FIN-WAIT-2"}),
        ("CLOSED", LINK, "state-at", {"end": "h1.c1", "moment": "7500ms"}),
        ("ESTABLISHED", LINK, "state-at", {"end": "h2.c1", "moment": "7500ms"}),
        ("2 s", FOUR, "how-long", {"from_": "h1.c1 in TIME-WAIT", "to": "h1.c1 in CLOSED"}),
        ("20 ms", FOUR, "how-long", {"from_": "h1.c1 sends FIN", "to": "h2.c1 gets FIN"}),
        ("2000", FOUR, "number", {"of": "seq of h1.c1 sends FIN"}),
        ("h1", FOUR, "who", {"who": "closes first"}),
        ("h1", FOUR, "who", {"who": "in TIME-WAIT"}),
        ("both", FOUR, "who", {"who": "sends FIN"}),
        ("neither", FOUR, "who", {"who": "sends RST"}),
        ("h2", LINK, "who", {"who": "sees RESET-BY-PEER"}),
        ("", FOUR, "explain", {}),
    ],
)
def test_answers_are_computed(right, run, kind, keys):
    assert answer(run, kind, **keys) == right


def shown_answer(question):
    """The option behind the right letter."""
    (part,) = question.parts
    return dict(line.split(") ") for line in question.shown)[part.answer.right]


@pytest.mark.parametrize("student", ["", *"abcdefgh"])
def test_causes_to_choose_from(student):
    question = asked(LINK, "why", student, end="h2.c1")
    assert shown_answer(question) == "reset by peer"
    assert len(set(question.shown)) == 4


@pytest.mark.parametrize("student", ["", *"abcdefgh"])
def test_moments_to_put_in_order(student):
    moments = ["h1.c1 in CLOSED", "h2.c1 in CLOSED", "h1.c1 in TIME-WAIT", "h2.c1 in LAST-ACK"]
    question = asked(FOUR, "order", student, moments=moments)
    letters = dict(line.split(") ") for line in question.shown)
    (part,) = question.parts
    assert [letters[letter] for letter in part.answer.right.split()] == [
        "h2 in LAST-ACK",
        "h1 in TIME-WAIT",
        "h2 in CLOSED",
        "h1 in CLOSED",
    ]
    assert part.answer.right != "a b c d"


OPTIONS = [
    {"text": "the first", "true_when": "h1.c1 sends FIN before h2.c1 sends FIN"},
    {"text": "the second", "true_when": "h2.c1 sends FIN before h1.c1 sends FIN"},
    {"text": "{connection.c1.client_iss}", "true_when": ["h1.c1 sends FIN", "h1.c1 sends RST"]},
]


@pytest.mark.parametrize("student", ["", *"abcdefgh"])
def test_options_to_choose_from(student):
    question = asked(FOUR, "choice", student, option=OPTIONS)
    assert shown_answer(question) == "the first"
    assert {line[3:] for line in question.shown} == {"the first", "the second", "999"}


def test_a_figure_with_blanks():
    question = asked(FOUR, "blanks", blank=["state", "seq", "ack", "ctl"])
    rights = [part.answer.right for part in question.parts]
    assert rights[:5] == ["FIN-WAIT-1", "2000", "5000", "FIN,ACK", "CLOSE-WAIT"]
    assert rights[-2:] == ["CLOSED", "CLOSED"]
    assert [part.key for part in question.parts] == [str(number) for number in range(1, 23)]
    figure = "\n".join(question.shown)
    assert all(f"_{part.key}_" in figure for part in question.parts)
    assert "2000" not in figure
    assert "FIN" not in figure
    assert question.parts[1].answer.judge("1001").note.startswith("1001 is counted from the SYN")
    assert question.parts[2].answer.judge("1").note.startswith("1 is counted from the SYN")


def test_a_figure_with_blanks_does_not_tell_what_a_call_was_answered():
    figure = "\n".join(asked(run_of("05-time-wait"), "blanks", blank=["state"]).shown)
    assert "(2 MSL)" in figure
    assert "error" not in figure
    assert "pen" not in figure  # no line is left of the OPEN that was refused


def test_lines_of_a_figure():
    question = asked(FOUR, "blanks", blank=["ctl"], lines=[2, 4])
    assert [part.answer.right for part in question.parts] == ["SYN", "SYN,ACK", "ACK"]
    whole = asked(FOUR, "blanks", blank=["ctl"], part="all")
    assert [part.answer.right for part in whole.parts][:3] == ["SYN", "SYN,ACK", "ACK"]
    assert len(whole.parts) == 9


def test_the_release_of_a_figure_begins_with_the_user_timeout():
    question = asked(LINK, "blanks", blank=["ctl"])
    assert [part.answer.right for part in question.parts] == ["RST,ACK", "ACK", "RST"]


@pytest.mark.parametrize(
    ("message", "kind", "keys"),
    [
        (
            "h1.c1 in CLOSING: this does not happen in the run",
            "state-at",
            {"end": "h1.c1", "moment": "h1.c1 in CLOSING"},
        ),
        ("h3 is no end of c1", "state-at", {"end": "h3.c1", "moment": "1s"}),
        ("there is no connection c2", "state-at", {"end": "h1.c2", "moment": "1s"}),
        ("1s does not come after 2s", "how-long", {"from_": "2s", "to": "1s"}),
        ("1s and 1000ms happen at the same time", "order", {"moments": ["1s", "1000ms", "2s"]}),
        ("h3.c1 in CLOSED: this does not", "order", {"moments": ["1s", "h3.c1 in CLOSED", "2s"]}),
        ("expected one right option, and there are 2", "choice", {"option": [OPTIONS[0], OPTIONS[0] | {"text": "x"}]}),
        ("expected one right option, and there are 0", "choice", {"option": OPTIONS[1:]}),
        ("there is no connection c9", "blanks", {"blank": ["state"], "connection": "c9"}),
        ("the figure has no such lines", "blanks", {"blank": ["state"], "lines": [50, 60]}),
        ("the figure has nothing to fill", "blanks", {"blank": ["ctl"], "lines": [11, 11]}),
        ("{step.9.bytes}: the scenario says nothing of it", "explain", {"text": "{step.9.bytes}"}),
        ("{host.h1.tcp.sml}: the scenario", "explain", {"text": "x", "hints": ["{host.h1.tcp.sml}"]}),
    ],
)
def test_a_question_that_makes_no_sense_of_a_run_is_named(message, kind, keys):
    with pytest.raises(NotInRun) as error:
        asked(FOUR, kind, **keys)
    assert str(error.value).startswith(f"question q: {message}")


def test_who_asks_of_ends_that_begin_a_release():
    with pytest.raises(NotInRun, match="neither end of c1 begins the release"):
        asked(run_of("01-four-way-close", "step.4.after=60s"), "who", who="closes first")
    with pytest.raises(NotInRun, match=r"h1\.c1 does not end in the run"):
        asked(run_of("01-four-way-close", "step.4.after=60s"), "why", end="h1.c1")


def test_the_scenario_is_quoted():
    question = asked(FOUR, "explain", text="{connection.c1.client_iss}, {step.3.bytes}, {host.h1.tcp.msl}")
    assert question.text == "999, 1000, 1s"
