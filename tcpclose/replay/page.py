"""The page: one file of HTML with the run, the style and the scripts in it, and a policy that forbids all else."""

from __future__ import annotations

import hashlib
import html
import json
import re
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tcpclose.aside import aside
from tcpclose.replay.arrangement import diagram
from tcpclose.replay.record import connections_of, outages_of
from tcpclose.trace.events import Trace

_SOURCES = Path(__file__).parent
#: In the order in which they build on each other. They share one scope, as scripts of a page do.
SCRIPTS = ("svg", "film", "machine", "ladder", "wire", "overview", "details", "player")


def write_report(path: Path, trace: Trace, title: str, about: Sequence[str] = ()) -> None:
    """Write the page of a run. `about` is what else to say of it, in a few words each."""
    with aside(path) as unfinished:
        unfinished.write_text(page(trace, title, about), encoding="utf-8")


def page(trace: Trace, title: str, about: Sequence[str] = ()) -> str:
    """The page as text. Nothing of the run is taken for HTML or for a script, whatever it says."""
    connections, left_out = connections_of(trace)
    run: dict[str, Any] = {
        "title": title,
        "about": list(about),
        "diagram": diagram(),
        "outages": outages_of(trace),
        "connections": connections,
        "leftOut": left_out,
    }
    style = _source("page.css")
    scripts = [_source(f"{name}.js") for name in SCRIPTS]
    parts = {
        "POLICY": _policy(style, scripts),
        "TITLE": html.escape(title),
        "STYLE": f"<style>{style}</style>",
        "RUN": f'<script type="application/json" id="run">{_inert(run)}</script>',
        "SCRIPTS": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    # In one go, so that nothing that is put in is searched for the next mark.
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], _source("page.html"))


def _source(name: str) -> str:
    return (_SOURCES / name).read_text(encoding="utf-8")


def _inert(data: object) -> str:
    """JSON that cannot end the element it stands in, nor begin a comment there."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _policy(style: str, scripts: list[str]) -> str:
    """Only the style and scripts that stand here, no image but a blank one, no connection to anywhere."""
    allowed = " ".join(_digest(script) for script in scripts)
    return (
        f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
