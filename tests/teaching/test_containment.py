"""Foreign code is contained: what a box does with friendly code. tests/teaching/test_hostile.py has the other."""

from __future__ import annotations

import os
import re
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcpclose.teaching.assignments import walls
from tcpclose.teaching.assignments.containment import Contained, Limits, Misbehaved, Raised, containment

ECHO = b"def answer(request):\n    return request\n"


@pytest.fixture(scope="session", autouse=True)
def _contained() -> None:
    if not (finding := containment()).works:
        pytest.skip(f"foreign code cannot be contained here: {finding.found}: {finding.mend}")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text("import submission\n\ndef answer(request):\n    return submission.answer(request)\n")
    return path


@pytest.fixture(params=[False, True], ids=["contained", "uncontained"])
def echo(request: pytest.FixtureRequest, program: Path) -> Iterator[Contained]:
    with Contained(program, ECHO, uncontained=request.param) as box:
        yield box


@pytest.mark.parametrize(
    "value",
    [None, True, -(2**63), 2**64 - 1, 0.5, "", "\u00fc \U0001f600 \0", [], {"a": [1, {"b": [[]]}]}, "x" * 200_000],
    ids=lambda value: str(value)[:10].strip("\0"),
)
def test_what_is_asked_is_answered(echo: Contained, value: object) -> None:
    assert echo.ask(value) == value
    assert echo.ask([value]) == [value]


def test_asking_is_quick(echo: Contained) -> None:
    """The model checker asks some thousand times; measured are 30 us, and 30 ms for a box to stand."""
    begun = time.monotonic()
    for number in range(2000):
        assert echo.ask({"number": number}) == {"number": number}
    assert time.monotonic() - begun < 2


def test_what_is_given_can_be_imported(program: Path, tmp_path: Path) -> None:
    given = tmp_path / "engine.py"
    given.write_text("WORD = 'given'\n")
    with Contained(program, b"import engine\ndef answer(request): return engine.WORD", [given]) as box:
        assert box.ask(None) == "given"


def test_boxes_answer_alike_and_remember_nothing(program: Path) -> None:
    """What a submission does by chance, or counts, shows when a new box is asked the same."""
    code = b"asked = []\ndef answer(request):\n    asked.append(1)\n    return [len(asked), list(set(request))]"
    answers = []
    for _ in range(3):
        with Contained(program, code) as box:
            answers.append(box.ask(list("a set of text")))
    assert answers[0] == answers[1] == answers[2]


def test_after_an_exception_it_can_be_asked_again(program: Path) -> None:
    with Contained(program, b"def answer(request):\n    print('so far')\n    return 1 / request\n") as box:
        with pytest.raises(Raised) as caught:
            box.ask(0)
        assert caught.value.reason == "raised ZeroDivisionError: division by zero (line 3)"
        assert caught.value.said.startswith("so far\nTraceback (most recent call last):\n")
        assert "inside.py" not in caught.value.said
        assert box.ask(2) == 0.5


def test_without_the_filter_the_limit_on_processes_holds(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walls, "system_calls", lambda: struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000))  # allows all
    code = "import os, time\ndef answer(request):\n    while os.fork(): pass\n    time.sleep(1000)"
    with (
        Contained(program, code.encode()) as box,
        pytest.raises(Raised, match=r"^raised BlockingIOError: \[Errno 11\]"),
    ):
        box.ask(None)


def test_where_somebody_insists_limits_hold_without_walls(program: Path) -> None:
    limits = Limits(answer_seconds=0.3)
    for code, reason in (
        ("while True: pass", "took more than 0.3 s for one answer: .*"),
        ("def answer(request): return bytearray(1 << 40)", "raised MemoryError .*"),
        ("def answer(request): return 10 ** 100", "answered with a number of more than 64 bits"),
        ("import os\nos.kill(os.getpid(), 11)", "crashed the interpreter .*"),
        (
            "import os\ndef answer(request): raise KeyError(*set(os.environ) - {'PATH', 'LC_CTYPE'})",
            r"raised KeyError: 'PYTHONHASHSEED' \(line 2\)",
        ),
    ):
        with (
            pytest.raises(Misbehaved) as caught,
            Contained(program, code.encode(), limits=limits, uncontained=True) as box,
        ):
            box.ask(None)
        assert re.fullmatch(reason, caught.value.reason), caught.value.reason
    assert not list(Path(tempfile.gettempdir()).glob(f"tcpclose-{os.getpid()}-*"))
