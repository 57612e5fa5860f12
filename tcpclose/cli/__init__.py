"""The commands. Thin: each reads its options, calls the library, and prints what people want to see.

One file for each kind of command; `common` has what they share. `--help` lists them in this order.
"""

from tcpclose.cli import running, showing, reporting, teaching, captures, scripts, tools, assignments  # isort: skip
from tcpclose.cli.common import app

__all__ = ["app", "assignments", "captures", "reporting", "running", "scripts", "showing", "teaching", "tools"]
