"""Situations of release, seen from inside one connection, that the tests by subject do not have."""

from __future__ import annotations

import pytest
from netted import SERVER, Net, fails
from peers import Played

from tcpclose.protocol.datagram import Datagram
from tcpclose.protocol.segment import parse_segment


@pytest.mark.parametrize(("state", "fin"), [("ESTABLISHED", "FIN-WAIT-1"), ("CLOSE-WAIT", "LAST-ACK")])
def test_a_small_window_lets_the_text_out_piece_by_piece_and_the_fin_last(state, fin):
    p = Played(wnd=3).reach(state)
    p.send(8)
    p.close()
    rcv_nxt = p.connection.tcb.rcv_nxt
    for start, octets in ((101, 3), (104, 3), (107, 2)):
        control = "FIN,ACK" if octets == 2 else "ACK"
        p.sends(f"<SEQ={start}><ACK={rcv_nxt}><CTL={control}><DATA={octets}>")
        p.hear(f"<SEQ={rcv_nxt}><ACK={start + octets}><CTL=ACK>")
    assert p.state == fin
    p.sends()


@pytest.mark.parametrize("hole", [False, True])
def test_whether_a_reset_cuts_the_text_short(hole):
    """With text missing, the user hears of an error and not of the end of the text."""
    net = Net()
    client, server = net.pair()
    fin = "<SEQ=304><ACK=101><CTL=FIN,ACK><DATA=3>" if hole else "<SEQ=301><ACK=101><CTL=FIN,ACK><DATA=3>"
    for text in (fin, f"<SEQ={301 if hole else 305}><CTL=RST>"):
        segment = parse_segment(text)
        segment.wnd = 65535
        net.client.stack.segment_arrives(Datagram(SERVER, client._the_pair.local, segment), 0)
    if not hole:
        assert client.read(9, 0) == bytes(3)
    with fails("ECONNRESET"):
        client.read(9, 0)
    assert client.read(9, 0) == b""
    assert server.option("SO_ERROR") is None


def test_reading_in_time_wait_sends_no_window_update():
    p = Played(rcv_buffer=1000).reach("ESTABLISHED")
    p.close()
    p.sent()
    p.hear("<SEQ=301><ACK=102><CTL=FIN,ACK><DATA=999>")
    p.sends("<SEQ=102><ACK=1301><CTL=ACK>")
    assert p.state == "TIME-WAIT"
    assert len(p.receive()) == 999
    p.sends()
