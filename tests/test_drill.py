"""Our own packetdrill scripts, by the profile that they are about: each must pass as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tcpclose.drill.collection import find_scripts
from tcpclose.drill.parser import parse
from tcpclose.drill.printer import print_script
from tcpclose.drill.runner import Wishes, run_text

SCRIPTS = Path(__file__).parent / "drill"
ALL = find_scripts([SCRIPTS])


@pytest.mark.parametrize("path", ALL, ids=[str(path.relative_to(SCRIPTS)) for path in ALL])
def test_script(path):
    text = path.read_text()
    verdict = run_text(text, path.name, Wishes(profile=path.relative_to(SCRIPTS).parts[0]))
    assert (verdict.outcome, verdict.message) == ("passed", ""), "\n".join([verdict.message, *verdict.log])
    assert not verdict.unknown
    script = parse(text)
    assert parse(print_script(script)) == script
