"""What docs/containment.md says is so: each claim names submissions or tests, and they are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hostile import ALL

from tcpclose.teaching.assignments.containment import containment

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/containment.md").read_text()
ROWS = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ")][1:]


def test_every_claim_is_shown() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("te*/test_*.py"))
    known = {hostile.name for hostile in ALL} | set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))
    shown = [re.findall(r"`([^`]+)`", row[2]) for row in ROWS]
    assert len(shown) == 10
    assert all(shown)
    named = {name for row in shown for name in row} | set(re.findall(r"`(test_\w+)`", PAGE))
    assert not named - known


def test_the_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if not (finding := containment()).works:
        pytest.skip(f"foreign code cannot be contained here: {finding.found}: {finding.mend}")
    monkeypatch.chdir(tmp_path)
    Path("program.py").write_text(
        "import submission\ndef answer(request): return submission.answer(request)\n", encoding="utf-8"
    )
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(example, {})
    assert capsys.readouterr().out == "42\n"
