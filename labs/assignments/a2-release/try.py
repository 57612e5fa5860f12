"""Plays paths that all variants share: `python3 try.py`. The first one in which release.py does otherwise is shown."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FUNCTIONS = (
    *("close", "abort", "fin_leaves", "fin_arrives", "fin_acknowledged", "reset_arrives", "answer_closed"),
    *("time_wait_timeout", "fin_wait_2_timeout", "user_timeout", "unreachable", "invalid_header"),
)


def main() -> int:
    """Play all; 1 when something is wrong."""
    import release

    if missing := [name for name in FUNCTIONS if not hasattr(release, name)]:
        print("release.py has no", ", ".join(missing))
        return 1
    sys.modules["submission"] = release
    from serve import answer

    paths = json.loads((HERE / "paths.json").read_text("utf-8"))
    for number, path in enumerate(paths, 1):
        replies = []
        try:
            for step in path["steps"]:
                replies.append(answer(step))
        except Exception:
            traceback.print_exc()
        if [visible(reply) for reply in replies] != path["right"]:
            print(f"path {number} of {len(paths)}: {path['shows']}\n")
            show(path["steps"], replies, path["right"])
            return 1
    print(f"all {len(paths)} paths are right; your changes are not among them")
    return 0


def visible(reply: dict[str, Any]) -> dict[str, Any]:
    """What counts of a reply."""
    segments = [{name: segment[name] for name in ("seq", "ack", "ctl", "text")} for segment in reply["segments"]]
    return {"segments": segments} | {name: reply[name] for name in ("told", "refused", "state")}


def show(steps: list[dict[str, Any]], replies: list[Any], right: list[Any]) -> None:
    """What happened, a line each, up to what is wrong."""
    for step, reply, expected in zip(steps, replies, right, strict=False):
        print("happens: ", {name: value for name, value in step.items() if name != "settings"})
        print("yours:   ", visible(reply))
        if visible(reply) != expected:
            print("expected:", expected)
            return


if __name__ == "__main__":
    sys.exit(main())
