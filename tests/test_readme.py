"""What the README says is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    ROOT.glob("labs/*/README.md")
)


def test_the_python_runs_and_says_what_the_demonstration_does():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["graceful", "graceful"],
        ["refused", "abrupt"],
        ["aborted", "abrupt"],
        ["unreachable", "abrupt"],
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_folders_of_the_table_exist():
    named = [
        name for row in re.findall(r"^\| (`.*?) \|", README, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
    ]
    assert len(named) >= 8
    for name in named:
        assert list(ROOT.glob(name)), name


def test_every_folder_of_the_package_stands_in_the_table():
    for package in (ROOT / "tcpclose").glob("*/__init__.py"):
        assert f"| `tcpclose/{package.parent.name}/`" in README.replace("`, `", "` | `"), package.parent.name
