"""What a TCP tells of its timers: one that only sends is told by its name, one of the machine by its row."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from peers import OUR_FIN, Played

from tcpclose.protocol.connection import Timer
from tcpclose.protocol.fsm import Event


def played(**settings: object) -> Played:
    return Played(**settings).reach("ESTABLISHED")  # type: ignore[arg-type]


def waiting_for_an_ack() -> Played:
    p = played()
    p.close()
    return p


def waiting_for_news_of_a_loss() -> Played:
    p = Played(sack=True, loss_probe=True)
    p.open()
    p.hear("<SEQ=300><ACK=101><CTL=SYN,ACK>", sack_permitted=True)
    p.close()
    p.sent()
    return p


def waiting_for_company() -> Played:
    p = played()
    p.connection.set_cork(True, 0)
    p.send(5)
    return p


def waiting_to_acknowledge() -> Played:
    p = played(delayed_ack=40_000)
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=5>")
    return p


def waiting_for_a_sign_of_life() -> Played:
    return played(keepalive=True)


@pytest.mark.parametrize(
    ("waiting", "timer"),
    [
        (waiting_for_an_ack, Timer.RETRANSMISSION),
        (waiting_for_news_of_a_loss, Timer.LOSS_PROBE),
        (waiting_for_company, Timer.OVERRIDE),
        (waiting_to_acknowledge, Timer.DELAYED_ACK),
        (waiting_for_a_sign_of_life, Timer.KEEPALIVE),
    ],
)
def test_a_timer_that_sends_is_told(waiting: Callable[[], Played], timer: Timer) -> None:
    p = waiting()
    p.sent()
    p.news()
    assert p.timers == []
    due = p.due()
    assert due is not None
    p.at(due)
    p.news()
    assert p.timers == [timer]
    assert len(p.sent()) == 1


def test_what_an_arrival_sends_was_sent_by_no_timer() -> None:
    p = played()
    p.hear("<SEQ=301><ACK=101><CTL=ACK><DATA=5>")
    p.sends("<SEQ=101><ACK=306><CTL=ACK>")
    p.news()
    assert p.timers == []


def test_a_keepalive_that_has_nothing_to_ask_is_not_told() -> None:
    p = played(keepalive=True, keepalive_idle=500_000, keepalive_interval=500_000)
    p.close()
    p.sends(OUR_FIN)
    p.at(0.9)
    p.news()
    p.sends()
    assert p.timers == []


def test_where_a_timer_ends_the_connection_its_row_tells_it() -> None:
    p = played(keepalive=True, keepalive_count=1, keepalive_idle=1_000_000, keepalive_interval=1_000_000)
    p.at(2.5)
    p.news()
    assert p.timers == [Timer.KEEPALIVE]
    assert [row.event for row in p.rows][-1] is Event.KEEPALIVE_TIMEOUT
    p = played(r2=1)
    p.close()
    p.at(60)
    p.news()
    assert p.timers == [Timer.RETRANSMISSION]
    assert [row.event for row in p.rows][-1] is Event.RETRANSMISSION_LIMIT
