"""Grades to show: all kinds of them, with text in them that tries to be more than text."""

from __future__ import annotations

from dataclasses import replace

from tcpclose.teaching.assignments.grades import Criterion, Grade, tidy
from tcpclose.teaching.results import Graded, plain

FIGURE = """the shortest path that fails:
    TCP Peer A                                           TCP Peer B
1.  ESTABLISHED                                          ESTABLISHED
2.  (Close)
    FIN-WAIT-1  --> <SEQ=100><ACK=300><CTL=FIN,ACK>  --> CLOSE-WAIT"""
HOSTILE = (
    "<script>alert(1)</script>",
    "</li></ul></main><img src=x onerror=alert(1)>",
    "\x1b[31mred\x1b]0;title\x07",
    "[bold]no markup[/bold] :smile:",
    "x" * 100_000,
    "many\n" * 10_000,
    "a\u202eb\u200bc\x00d\x85e\ufeff\udc80",
    "=HYPERLINK(1)",
    "&lt;b&gt; \" ' `",
    "\r\noverwritten\rme",
    "{{TITLE}} %s {0}",
)
SOME = tidy(
    Grade(
        "a2",
        "s1",
        (
            Criterion("figures", 20, 7.5, "3.6, 3.10.7.4 eighth", (FIGURE, *HOSTILE)),
            Criterion("drill scripts", 10, 10, "3.6"),
            Criterion("model checker", 20, 0, "", ("no answer",)),
        ),
        HOSTILE,
    )
)
FULL = replace(SOME, criteria=SOME.criteria[1:2], remarks=())
BELOW = replace(SOME, criteria=(Criterion("accuses right stacks", 10, -4, "3.6"),), remarks=())
PROBLEM = Graded("a<b>.py", problem=plain("a<b>.py: \x1b[31m<script>"))
ALL = [Graded("a<b>.py", SOME), Graded("full.py", FULL), Graded("below.py", BELOW), PROBLEM]
