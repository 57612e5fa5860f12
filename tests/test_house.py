"""The house rules: which part may import which, and the tools that read the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tcpclose"

#: Part -> the parts that it may import, besides itself. `cli` imports anything, and nobody imports it.
MAY_IMPORT = {
    "protocol": "",
    "units": "",
    "aside": "",
    "command": "",
    "processes": "",
    "written": "",
    "wire": "aside protocol",
    "trace": "aside protocol",
    "links": "protocol units",
    "scenario": "links protocol units written",
    "network": "protocol wire",
    "topology": "links network protocol scenario units",
    "timeline": "protocol scenario trace",
    "host": "links protocol scenario timeline trace wire",
    "simulator": "host links network protocol scenario timeline topology trace wire",
    "testbed": "aside command host links network protocol scenario timeline topology trace wire",
    "charts": "aside protocol trace units",
    "replay": "aside charts protocol trace",
    "plotting": "charts runs trace",
    "terminal": "charts comparison protocol scenario trace",
    "manual": "protocol units",
    "verify": "protocol trace",
    "comparison": "protocol runs scenario testbed topology trace",
    "runs": "__version__ aside charts command scenario simulator testbed timeline topology trace",
    "drill": "command processes protocol scenario trace wire written",
    "realdrill": "drill testbed",
    "classify": "aside protocol trace wire",
    "reference": "charts runs scenario simulator topology trace",
    "teaching": "aside drill links processes protocol runs scenario simulator testbed timeline topology trace units"
    " wire verify written",
}

#: Foreign package -> where it may be imported; the tests may import anything, and make their bad packets with Scapy.
KEPT_TO = {
    "matplotlib": ["tcpclose/charts"],
    "numba": ["tcpclose/classify"],
    "pyarrow": ["tcpclose/classify"],
    "mininet": ["tcpclose/testbed/network.py", "tcpclose/testbed/nodes.py", "topologies"],
    "numpy": ["tcpclose/charts", "tcpclose/classify", "tcpclose/verify"],
    "scapy": [],
    "typer": ["tcpclose/cli"],
}

#: The protocol has no clock, no randomness, no files, no sockets and no logging: all of these come from outside.
IMPURE = {"asyncio", "datetime", "io", "logging", "os", "pathlib", "random", "secrets"}
IMPURE |= {"select", "selectors", "signal", "socket", "subprocess", "sys", "threading", "time"}


def imports(source: str, module: str, is_package: bool = False) -> set[str]:
    """The dotted names that `source`, the text of `module`, imports anywhere, relative ones resolved.

    `from a import b` gives both `a` and `a.b`, since b may be a module.
    """
    package = module.split(".") if is_package else module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join(base + ([node.module] if node.module else []))
            found |= {name} | {f"{name}.{alias.name}" for alias in node.names}
    return found


def read_imports(path: Path) -> set[str]:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return imports(path.read_text(), module, path.name == "__init__.py")


def part_of(path: Path) -> str:
    """`tcpclose/wire/tcp.py` belongs to the part `wire`, `tcpclose/runs.py` to `runs`."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def parts_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in read_imports(path) if name.startswith("tcpclose.")}


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def test_the_reader_of_imports_sees_every_form() -> None:
    source = """
import os.path, tcpclose.a
from tcpclose import b
from tcpclose.c.d import e
from . import f
from .g import h
from ..i import j
def late():
    import k
"""
    top = {name.removeprefix("tcpclose.") for name in imports(source, "tcpclose.wire.tcp")}
    assert {"os.path", "a", "b", "c.d", "wire.f", "wire.g", "i", "k"} <= top
    assert "tcpclose.wire.g" in imports("from .g import h", "tcpclose.wire", is_package=True)


def test_arrows_point_one_way() -> None:
    wrong = []
    for path in sources("tcpclose"):
        part = part_of(path)
        if part in ("__init__", "__main__", "cli"):
            continue
        assert part in MAY_IMPORT, f"{part} is new: say in MAY_IMPORT what it may import"
        allowed = {part, *MAY_IMPORT[part].split()}
        wrong += [f"{path.relative_to(ROOT)} imports {other}" for other in parts_imported(path) - allowed]
    assert not wrong


def test_protocol_is_pure() -> None:
    wrong = []
    for path in sources("tcpclose/protocol"):
        tops = {name.split(".")[0] for name in read_imports(path)} - {"tcpclose"}
        wrong += [f"{path.name} imports {top}" for top in tops & IMPURE | tops - sys.stdlib_module_names]
    assert not wrong


def test_foreign_packages_stay_where_they_belong() -> None:
    wrong = []
    for path in sources("tcpclose", "topologies"):
        place = path.relative_to(ROOT)
        for top in {name.split(".")[0] for name in read_imports(path)} & KEPT_TO.keys():
            if not any(place.is_relative_to(allowed) for allowed in KEPT_TO[top]):
                wrong.append(f"{place} imports {top}")
    assert not wrong


def test_topologies_know_nothing_of_ours() -> None:
    """So that `mn --custom` runs them."""
    assert not [path.name for path in sources("topologies") if any("tcpclose" in name for name in read_imports(path))]


def test_help_imports_nothing_heavy() -> None:
    """The first answer must come at once."""
    script = """
import sys
sys.argv = ["tcpclose", "--help"]
from tcpclose.cli import app
try:
    app()
finally:
    print("heavy:", *sorted({"matplotlib", "mininet", "numba", "numpy", "pyarrow", "scapy"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["heavy:"]


#: Files are UTF-8, whatever the user's locale. A rule in preview, whose other rules' previews are none of ours.
ENCODINGS = "ruff check --preview --select PLW1514 tcpclose"


@pytest.mark.parametrize("tool", ["ruff check", ENCODINGS, "ruff format --check", "mypy"])
def test_tools_have_nothing_to_say(tool: str) -> None:
    """Their settings, and what they read, are in pyproject.toml."""
    done = subprocess.run([sys.executable, "-m", *tool.split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
