"""When steps happen: at their time, or once what they wait for is seen."""

from __future__ import annotations

import pytest

from tcpclose.scenario import Scenario, Step
from tcpclose.timeline import Timeline
from tcpclose.trace.events import Call, Change, End, Event, Told

HEAD = """
topology = "two_hosts"
duration = "10s"
connection.c1 = { client = "h1", server = "h2", port = 80 }
connection.c2 = { client = "h1", server = "h2", port = 81 }
"""


def timeline(*steps: str) -> Timeline:
    """A timeline of steps that are written as the inside of a TOML table; `text` tells them apart."""
    return Timeline(Scenario.parse(HEAD + "".join(f"[[step]]\n{step}\n" for step in steps)))


def send(when: str, text: str, host: str = "h1") -> str:
    return f'{when}\nhost = "{host}"\nconnection = "c1"\ncall = "send"\ntext = "{text}"'


def texts(steps: list[Step]) -> list[str | None]:
    return [step.text for step in steps]


def change(new: str, *, t: int = 0, host: str = "h1", connection: str = "c1") -> Change:
    return Change(t=t, host=host, connection=connection, old="CLOSED", new=new, event="x", rfc="x")


def told(signal: str, detail: str = "", *, t: int = 0, host: str = "h1") -> Told:
    return Told(t=t, host=host, connection="c1", signal=signal, detail=detail)


def end(cause: str, *, t: int = 0) -> End:
    return End(t=t, host="h1", connection="c1", cause=cause, rfc="x")


def test_steps_come_at_their_time_in_order() -> None:
    line = timeline(send('at = "2s"', "c"), send('at = "1s"', "a"), send('at = "1s"', "b"))
    assert line.next_time() == 1_000_000
    assert line.due(999_999) == []
    assert texts(line.due(1_000_000)) == ["a", "b"]
    assert line.next_time() == 2_000_000
    assert texts(line.due(5_000_000)) == ["c"]
    assert line.next_time() is None
    assert line.due(10_000_000) == []


def test_repeat() -> None:
    line = timeline(send('at = "1s"\nrepeat = 3\nevery = "100ms"', "a"), send('at = "1150ms"', "b"))
    assert texts(line.due(1_000_000)) == ["a"]
    assert line.next_time() == 1_100_000
    assert texts(line.due(1_400_000)) == ["a", "b", "a"]
    assert line.next_time() is None


def test_a_triggered_step_repeats_from_its_first_time() -> None:
    line = timeline(send('when = "h1.c1 sees EOF"\nafter = "1s"\nrepeat = 2\nevery = "1s"', "a"))
    assert line.next_time() is None
    line.observe(told("EOF", t=500_000))
    assert line.next_time() == 1_500_000
    assert texts(line.due(1_500_000)) == ["a"]
    assert line.next_time() == 2_500_000
    assert texts(line.due(2_500_000)) == ["a"]
    assert line.next_time() is None


def test_without_after_a_step_is_due_at_once() -> None:
    line = timeline(send('when = "h1.c1 in ESTABLISHED"', "a"))
    assert texts(line.observe(change("ESTABLISHED", t=40_000))) == ["a"]
    assert texts(line.due(40_000)) == ["a"]


@pytest.mark.parametrize(
    ("condition", "event"),
    [
        ("in FIN-WAIT-2", change("FIN-WAIT-2")),
        ("sees CONNECTED", told("CONNECTED")),
        ("sees EOF", told("EOF")),
        ("sees SENT", told("SENT")),
        ("sees ERROR", told("ERROR", "host unreachable")),
        ("sees CLOSED", end("graceful")),
        ("sees CLOSED", end("reset by peer")),
        ("sees RESET-BY-PEER", end("reset by peer")),
        ("sees user timeout", end("user timeout")),
        ("received 10kB", told("TEXT", "10000")),
    ],
)
def test_conditions(condition: str, event: Event) -> None:
    line = timeline(send(f'when = "h1.c1 {condition}"', "a"))
    for other in (change("SYN-SENT"), told("TEXT", "9999"), end("aborted")):
        if condition not in ("sees CLOSED", "received 10kB"):
            assert line.observe(other) == []
    assert texts(line.observe(event)) == ["a"]
    assert line.observe(event) == []  # once only
    assert texts(line.due(0)) == ["a"]


def test_what_is_seen_a_second_time_has_a_number() -> None:
    line = timeline(send('when = "h1.c1 in SYN-SENT #2"', "b"), send('when = "h1.c1 in SYN-SENT"', "a"))
    assert texts(line.observe(change("SYN-SENT"))) == ["a"]
    stays = Change(t=0, host="h1", connection="c1", old="SYN-SENT", new="SYN-SENT", event="SEND", rfc="3.10.2")
    assert line.observe(stays) == []  # it was entered once
    assert texts(line.observe(change("SYN-SENT"))) == ["b"]
    assert [str(step.when) for _, step, _ in timeline(send('when = "h1.c1 sees EOF #3"', "c")).left()] == [
        "h1.c1 sees EOF #3"
    ]


def test_other_ends_do_not_count() -> None:
    line = timeline(send('when = "h1.c1 in ESTABLISHED"', "a"))
    assert line.observe(change("ESTABLISHED", host="h2")) == []
    assert line.observe(change("ESTABLISHED", connection="c2")) == []
    assert line.observe(Call(t=0, host="h1", connection="c1", call="open")) == []


def test_received_octets_add_up() -> None:
    line = timeline(send('when = "h2.c1 received 10000"', "a"), send('when = "h2.c1 received 10001"', "b"))
    assert line.observe(told("TEXT", "6000", host="h2")) == []
    assert line.observe(told("TEXT", "5000", host="h1")) == []
    assert texts(line.observe(told("TEXT", "4000", host="h2"))) == ["a"]
    assert texts(line.observe(told("TEXT", "1", host="h2"))) == ["b"]


def test_several_steps_of_one_event_come_in_the_order_of_the_file() -> None:
    line = timeline(
        send('when = "h1.c1 sees EOF"\nafter = "1us"', "b"), *(send('when = "h1.c1 sees EOF"', x) for x in "ac")
    )
    assert texts(line.observe(told("EOF", t=7))) == ["b", "a", "c"]
    assert texts(line.due(7)) == ["a", "c"]
    assert texts(line.due(8)) == ["b"]


def test_watched_are_the_conditions_that_strike_a_fault_at_once() -> None:
    line = timeline(
        'when = "h1.c1 in FIN-WAIT-2"\nfault = "link_down"\nlink = "h1-s1"',
        'when = "h1.c1 sees EOF"\nafter = "1s"\nfault = "link_up"\nlink = "h1-s1"',
        'when = "h2.c1 sees EOF"\nfault = "silent"\nhost = "h2"',
        send('when = "h1.c1 in ESTABLISHED"', "a"),
    )
    assert {str(condition) for condition in line.watched("h1")} == {"h1.c1 in FIN-WAIT-2"}
    assert {str(condition) for condition in line.watched("h2")} == {"h2.c1 sees EOF"}
    (step,) = line.observe(change("FIN-WAIT-2"))
    assert step.fault is not None
    assert step.fault.kind == "link_down"
    assert line.watched("h1") == frozenset()
