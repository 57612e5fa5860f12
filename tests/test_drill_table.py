"""Every state x arrival x place in the window x rules, as generated scripts, and the states without a window."""

from __future__ import annotations

import arrivals
import pytest
from arrivals import Case, Windowless

from tcpclose.drill.collection import complaint
from tcpclose.drill.runner import Wishes, run_text


def passes(text: str, profile: str) -> None:
    verdict = run_text(text, "table", Wishes(profile=profile))
    assert verdict.outcome == "passed", f"{complaint(verdict)}\n{text}"


@pytest.mark.parametrize("case", arrivals.cases(), ids=str)
def test_an_arrival_is_answered_as_the_table_says(case: Case) -> None:
    passes(arrivals.script(case), arrivals.STACKS[case.stack].profile)


@pytest.mark.parametrize("case", arrivals.windowless(), ids=str)
def test_without_a_window_numbers_do_not_count(case: Windowless) -> None:
    passes(arrivals.windowless_script(case), "rfc9293")


def test_every_rule_decides_something() -> None:
    assert arrivals.rows_in_use() == arrivals.all_rules()


def test_every_arrival_is_judged_in_every_state() -> None:
    assert {(case.state, case.arrival) for case in arrivals.windowless()} == {
        (state, arrival) for state in ("LISTEN", "SYN-SENT", "CLOSED") for arrival in arrivals.ARRIVALS
    }
