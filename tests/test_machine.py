"""The table of the machine: complete, bound, cited, and every row of it alive."""

from __future__ import annotations

import ast
import contextlib
import inspect
import itertools
import re
from collections import Counter

import pytest
from peers import Played

from tcpclose.protocol import connection, machine
from tcpclose.protocol.config import SECOND
from tcpclose.protocol.connection import ACTIONS, TcpError
from tcpclose.protocol.fsm import IGNORED, TABLE, TRANSITIONS, Cause, Do, Event, State

# Complete


def test_every_pair_of_state_and_event_stands_exactly_once():
    pairs = Counter((entry.state, entry.event) for entry in (*TRANSITIONS, *IGNORED))
    assert pairs == Counter(itertools.product(State, Event))


def test_the_table_holds_the_rows():
    assert {row for rows in TABLE.values() for row in rows.values()} == set(TRANSITIONS)


def test_every_do_is_bound_and_ordered_by_a_row():
    assert set(ACTIONS) == set(Do)
    assert {do for row in TRANSITIONS for do in row.do} == set(Do)


def test_a_cause_stands_where_a_connection_ends_and_nowhere_else():
    for row in TRANSITIONS:
        ends = row.next is State.CLOSED and row.state is not State.CLOSED
        assert (row.cause is not None) == ends, row
    assert {row.cause for row in TRANSITIONS} - {None} == set(Cause)


def test_every_row_cites_a_section_and_every_ignored_pair_a_reason():
    steps = "( (first|second|third|fourth|fifth|sixth|seventh|eighth))?"
    assert all(re.fullmatch(rf"3\.\d+(\.\d+)*{steps}", row.rfc) for row in TRANSITIONS)
    assert all(len(pair.why.split()) >= 2 for pair in IGNORED)


# Sound


def test_a_refused_call_changes_nothing():
    for row in TRANSITIONS:
        if any(do.name.startswith("REFUSE") for do in row.do):
            assert len(row.do) == 1
            assert row.next is row.state


def test_no_call_and_no_segment_leads_back_except_to_listen_and_closed():
    """The life of a connection is a straight one: 3.3.2, figure 5."""
    order = [
        *("CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "CLOSE-WAIT"),
        *("FIN-WAIT-2", "CLOSING", "LAST-ACK", "TIME-WAIT"),
    ]
    for row in TRANSITIONS:
        forward = order.index(str(row.next)) >= order.index(str(row.state))
        assert forward or row.next is State.CLOSED or row.event is Event.BACK_TO_LISTEN


def reachable(start: State) -> set[State]:
    found, ahead = set(), [start]
    while ahead:
        state = ahead.pop()
        if state not in found:
            found.add(state)
            ahead += [row.next for row in TABLE[state].values()]
    return found


@pytest.mark.parametrize("state", State, ids=str)
def test_from_closed_to_every_state_and_from_every_state_to_closed(state):
    assert state in reachable(State.CLOSED)
    assert State.CLOSED in reachable(state)


def test_what_each_state_permits():
    def states(trait: str) -> str:
        return " ".join(str(state) for state in State if getattr(state, trait))

    assert states("accepts_text") == "ESTABLISHED FIN-WAIT-1 FIN-WAIT-2"
    assert states("sends_text") == "ESTABLISHED FIN-WAIT-1 CLOSE-WAIT CLOSING LAST-ACK"
    assert states("lingers") == "TIME-WAIT"
    assert states("handshaking") == "SYN-RECEIVED"
    assert states("idles") == "ESTABLISHED FIN-WAIT-2 CLOSE-WAIT"
    assert states("awaits_fin") == "FIN-WAIT-2"


def test_the_engine_names_a_state_only_to_begin_and_to_choose_the_procedure():
    """3.10.7 has one procedure for each of three states; everything else is asked of the table."""
    tree = ast.parse(inspect.getsource(connection) + inspect.getsource(machine))
    named = Counter(
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "State"
    )
    assert named == {"CLOSED": 2, "LISTEN": 1, "SYN_SENT": 1}
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare) and "State" in ast.unparse(node)]
    assert not compared


# Alive: every row fires


def fire(play: Played, event: Event) -> None:
    """Make the event happen to a connection that is in a state where it can."""
    tcb = play.connection.tcb
    seq, ack = tcb.rcv_nxt - play.irs, tcb.snd_una - play.iss
    at_fin = tcb.snd_nxt - play.iss
    match event:
        case Event.OPEN_PASSIVE | Event.OPEN_ACTIVE:
            play.open(passive=event is Event.OPEN_PASSIVE)
        case Event.SEND:
            play.send(1)
        case Event.CLOSE | Event.FIN_SENT:
            play.close()
        case Event.ABORT:
            play.abort()
        case Event.SYN:
            play.hear("<SEQ=300><CTL=SYN>")
        case Event.SYN_ACK:
            play.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>")
        case Event.ACK_OF_SYN | Event.ACK_OF_FIN:
            play.hear(f"<SEQ={seq}><ACK={at_fin}><CTL=ACK>")
        case Event.FIN:
            repeated = play.connection.state.lingers
            play.hear(f"<SEQ={seq - repeated}><ACK={ack}><CTL=FIN,ACK>")
        case Event.RST | Event.BACK_TO_LISTEN:
            play.hear(f"<SEQ={max(seq, 0)}><ACK={at_fin}><CTL=RST,ACK>")
        case Event.UNREACHABLE:
            play.connection.icmp_arrives(True, "port unreachable", play.now)
        case Event.USER_TIMEOUT:
            if play.connection.state in (State.ESTABLISHED, State.CLOSE_WAIT):
                play.send(1)
            play.at(300)
        case Event.TIME_WAIT_TIMEOUT:
            play.at(10)
        case Event.CLOSE_UNREAD:
            play.connection.release(play.now)
        case Event.UNWANTED_TEXT:
            play.connection.release(play.now)
            play.hear(f"<SEQ={seq}><ACK={ack}><CTL=ACK><DATA=1>")
        case Event.RETRANSMISSION_LIMIT:
            play.connection.configure(play.now, r2=1, syn_r2=1)
            if play.connection.state in (State.ESTABLISHED, State.CLOSE_WAIT):
                play.send(1)
            play.at(10)
        case Event.KEEPALIVE_TIMEOUT:
            play.connection.configure(play.now, keepalive=True, keepalive_count=1)
            play.at(8000)
        case Event.FIN_WAIT_2_TIMEOUT:
            play.connection.configure(play.now, fin_wait_2_timeout=SECOND)
            play.connection.release(play.now)
            play.at(1)
        case Event.LINGER_TIMEOUT:
            play.connection.configure(play.now, linger_expired="reset")
            play.connection.linger_expires(play.now)
        case Event.LISTENER_CLOSED:
            play.connection.listener_closed(play.now)
        case Event.INVALID_HEADER:
            play.connection.invalid_header_arrives(play.now)
        case Event.NO_RESOURCES:
            play.connection.resources_needed(play.now)
        case Event.REOPEN:
            play.connection.reopened(play.now)


def reach_with_text(play: Played, state: str) -> None:
    """As `Played.reach`, with three octets that the user has not read."""
    play.reach("ESTABLISHED").hear("<SEQ=301><ACK=101><CTL=ACK><DATA=3>")
    if state in ("CLOSE-WAIT", "LAST-ACK"):
        play.hear("<SEQ=304><ACK=101><CTL=FIN,ACK>")
    if state not in ("ESTABLISHED", "CLOSE-WAIT"):
        play.close()
    if state == "FIN-WAIT-2":
        play.hear("<SEQ=304><ACK=102><CTL=ACK>")
    if state == "CLOSING":
        play.hear("<SEQ=304><ACK=101><CTL=FIN,ACK>")
    assert play.state == state


@pytest.mark.parametrize("row", TRANSITIONS, ids=lambda row: f"{row.state}-{row.event.name}")
def test_every_row_fires(row):
    play = Played()
    if (row.state, row.event) == (State.SYN_RECEIVED, Event.RST):  # refused: only after an active OPEN
        play.reach("SYN-SENT").hear("<SEQ=300><CTL=SYN>")
    elif row.event is Event.CLOSE_UNREAD:
        reach_with_text(play, str(row.state))
    else:
        play.reach(str(row.state))
    refused = any(do.name.startswith("REFUSE") for do in row.do)
    with pytest.raises(TcpError, match=re.escape(row.do[0].value)) if refused else contextlib.nullcontext():
        fire(play, row.event)
    play.news()
    assert row in play.rows
    assert play.state == str(play.rows[-1].next)
    assert play.connection.cause is row.cause
