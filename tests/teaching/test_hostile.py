"""Each hostile submission is contained, and its author is told in words; nothing of it is left."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import ALL, FRIENDLY, SECRET, Hostile

from tcpclose.teaching.assignments.containment import Contained, Limits, Misbehaved, containment

QUICK: dict[str, Any] = {"answer_seconds": 5.0, "memory": 128 << 20, "printed": 1 << 16, "line": 1 << 16}


@pytest.fixture(scope="module", autouse=True)
def _contained() -> None:
    if not (finding := containment()).works:
        pytest.skip(f"foreign code cannot be contained here: {finding.found}: {finding.mend}")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that anybody may read and write, were it not for the walls, with a program and the solution."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        (folder / "solution.py").write_text(SECRET)
        (folder / "program.py").write_text(
            "import submission\nsubmission.answer\ndef answer(request): return submission.answer(request)\n"
        )
        yield folder


@pytest.fixture(scope="module")
def neighbour(place: Path) -> Iterator[Contained]:
    """Somebody else's submission, which is being graded meanwhile."""
    with Contained(place / "program.py", FRIENDLY.encode()) as box:
        yield box


def machine(place: Path) -> list[object]:
    """What must stay as it was: mounts, our descriptors and children, and files."""
    children = [Path(f"/proc/self/task/{task}/children").read_text() for task in os.listdir("/proc/self/task")]
    files = [(path, path.read_bytes()) for path in sorted(place.iterdir())]
    return [Path("/proc/self/mountinfo").read_text(), len(os.listdir("/proc/self/fd")), children, files]


def inhabitants() -> dict[str, str]:
    """Processes and where they live; without the dead, whom the machine's first process buries when it likes."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found[pid] = os.readlink(f"/proc/{pid}/ns/pid")
        except OSError:  # gone, or of somebody else
            continue
    return found


def namespaces_of_children() -> set[str]:
    """Where the processes live that our children started."""
    ways, seen = [str(os.getpid())], set()
    everybody = inhabitants()
    while ways:
        pid = ways.pop()
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            ways += file.read_text().split()
        seen |= {everybody[pid]} if pid in everybody else set()
    return seen - {everybody[str(os.getpid())]}


def nobody_lives_in(homes: set[str]) -> bool:
    """But for our children. The kernel may need a moment to take back all that the dead had."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if (homes - namespaces_of_children()).isdisjoint(inhabitants().values()):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("hostile", ALL, ids=lambda hostile: hostile.name)
@pytest.mark.slow
def test_it_is_contained(hostile: Hostile, place: Path, neighbour: Contained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCPCLOSE_SOLUTION", SECRET)
    code = hostile.code if isinstance(hostile.code, bytes) else hostile.code.encode()
    limits = Limits(**{**QUICK, **hostile.limits})
    before, reason, said, answers, homes = machine(place), "", "", [], set[str]()
    try:
        with Contained(place / "program.py", code, limits=limits) as box:
            homes = namespaces_of_children()
            for _ in range(3):
                answers.append(box.ask({"solution": str(place / "solution.py"), "grader": os.getpid()}))
    except Misbehaved as misbehaved:
        reason, said = misbehaved.reason, misbehaved.said
    if hostile.reason:
        assert re.fullmatch(hostile.reason, reason), reason
        assert all(answer == hostile.answer for answer in answers)
    else:
        assert (reason, answers) == ("", [hostile.answer] * 3)
    assert SECRET not in reason + said
    assert all(letter.isprintable() or letter == "\n" for letter in reason + said)
    assert len(said) <= 2000
    assert machine(place) == before
    assert nobody_lives_in(homes)
    assert neighbour.ask("still there?") == "friendly"


def test_there_are_many_and_each_has_a_name() -> None:
    assert len({hostile.name for hostile in ALL}) == len(ALL) >= 30
