"""3.7.2 and RFC 1191: what the way carries becomes known by what it could not carry."""

from __future__ import annotations

import pytest
from stacked import Hosted, listening

from tcpclose.protocol.connection import Notice, Signal

TEXT = 2000
FRAGMENTATION_NEEDED = 3, 4


def sending(**settings: object) -> Hosted:
    """Two segments of 1000 octets are on their way, and the FIN behind them."""
    host = listening(**settings)
    host.hear("<SEQ=300><CTL=SYN>", mss=1460, sack_permitted=True)
    host.hear("<SEQ=301><ACK=101><CTL=ACK>")
    host.stack.datagrams_to_send()
    host.stack.send(host.pair(), bytes(TEXT), host.now)
    host.stack.close(host.pair(), host.now)
    host.stack.datagrams_to_send()
    host.stack.news()
    return host


def too_large(host: Hosted, mtu: int, seq: int = 101) -> None:
    host.stack.icmp_arrives(host.pair(), seq, *FRAGMENTATION_NEEDED, host.now, mtu)


def sizes(host: Hosted) -> list[tuple[int, int]]:
    return [(d.segment.seq, len(d.segment.data)) for d in host.stack.datagrams_to_send()]


def told(host: Hosted) -> list[str]:
    whats = [news.what for news in host.stack.news()]
    return [what.detail for what in whats if isinstance(what, Signal) and what.notice is Notice.ERROR]


@pytest.mark.parametrize("sack", [False, True])
def test_what_was_too_large_leaves_again_at_once_in_smaller_segments(sack):
    host = sending(sack=sack)
    too_large(host, 840)
    assert sizes(host) == [(101, 800), (901, 800), (1701, 400)]
    assert told(host) == []
    host.hear("<SEQ=301><ACK=2102><CTL=ACK>")
    assert host.state() == "FIN-WAIT-2"


def test_several_segments_were_too_large_and_one_answer_suffices():
    host = sending()
    too_large(host, 840)
    sizes(host)
    too_large(host, 840, seq=1101)
    assert sizes(host) == []


def test_options_take_their_part():
    host = sending(timestamps=True)
    too_large(host, 840)
    assert sizes(host)[0] == (101, 800)
    host = listening(timestamps=True)
    host.options = {"timestamps": (1, 0)}
    host.hear("<SEQ=300><CTL=SYN>", mss=1460)
    host.hear("<SEQ=301><ACK=101><CTL=ACK>")
    host.stack.send(host.pair(), bytes(TEXT), host.now)
    sizes(host)
    too_large(host, 840)
    assert sizes(host)[0] == (101, 788)


@pytest.mark.parametrize("mtu", [1, 68])
def test_no_way_is_narrower_than_68_octets(mtu):
    host = sending()
    too_large(host, mtu)
    assert sizes(host)[0] == (101, 28)


def test_a_wider_way_changes_nothing():
    host = sending()
    too_large(host, 1400)
    assert sizes(host) == []


def test_what_is_not_in_flight_was_not_ours():
    host = sending()
    too_large(host, 840, seq=50)
    assert sizes(host) == []


def test_a_syn_is_never_too_large():
    host = Hosted()
    host.stack.open(host.pair(), host.now)
    sizes(host)
    too_large(host, 68, seq=100)
    assert sizes(host) == []
    assert host.state() == "SYN-SENT"


@pytest.mark.parametrize(("heeds", "mtu"), [(False, 840), (True, 0)])
def test_else_it_is_a_soft_error(heeds, mtu):
    host = sending(path_mtu_discovery=heeds)
    too_large(host, mtu)
    assert sizes(host) == []
    assert told(host) == ["ICMP type 3 code 4"]
