"""What a listening socket hands down to its connections, and how long it waits for text."""

from __future__ import annotations

import pytest
from netted import CLIENT, SERVER, Net, fails, state

from tcpclose.protocol.config import SECOND
from tcpclose.protocol.connection import TcpError
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.segment import FIN, Segment, format_segment, parse_segment
from tcpclose.protocol.sockets import Sockets
from tcpclose.protocol.stack import TcpConfig

PEER = Endpoint(CLIENT, 2000)


class Heard:
    """A listening host, and a peer played by hand."""

    def __init__(self, **options: int) -> None:
        self.net = Net()
        self.host: Sockets = self.net.server
        for name, value in options.items():
            self.net.listener.set_option(name, value, 0)

    def hear(self, text: str, seconds: float = 0) -> None:
        segment = parse_segment(text)
        segment.wnd = 65535
        self.host.stack.segment_arrives(Datagram(PEER, SERVER, segment), round(seconds * SECOND))

    def sent(self) -> list[Segment]:
        return [datagram.segment for datagram in self.host.stack.datagrams_to_send()]

    def sends(self, *texts: str) -> None:
        assert [format_segment(segment) for segment in self.sent()] == list(texts)


def test_so_rcvbuf_of_a_listener_is_the_window_of_its_syn_ack():
    heard = Heard(SO_RCVBUF=5000)
    heard.hear("<SEQ=300><CTL=SYN>")
    assert [segment.wnd for segment in heard.sent()] == [5000]
    heard.net.listener.set_option("SO_RCVBUF", 7000, 0)  # of connections that come later
    heard.hear("<SEQ=300><CTL=SYN>")
    assert [segment.wnd for segment in heard.sent()] == [5000]
    heard.hear("<SEQ=301><ACK=301><CTL=ACK>")
    assert heard.net.listener.accept(0).option("SO_RCVBUF") == 5000


def test_options_set_before_listening_count_too():
    net = Net()
    late = net.server.socket()
    late.bind(81)
    late.set_option("SO_RCVBUF", 3000, 0)
    late.listen(1)
    assert net.server.stack.listening[81].config.rcv_buffer == 3000


def test_who_does_not_listen_has_no_settings():
    with pytest.raises(TcpError, match="connection does not exist"):
        Net().server.stack.configure_listener(81, rcv_buffer=1)


# Deferred accept

SYN_ACK = "<SEQ=300><ACK=301><CTL=SYN,ACK>"


def deferred() -> Heard:
    """A handshake whose last ACK has come to a listener that wants text within 5 s."""
    heard = Heard(TCP_DEFER_ACCEPT=5)
    heard.hear("<SEQ=300><CTL=SYN>")
    heard.sends(SYN_ACK)
    heard.hear("<SEQ=301><ACK=301><CTL=ACK>")
    heard.sends()
    assert heard.host.stack.accept(SERVER.port) is None
    assert heard.host.stack.statistics()["dropped: accept deferred"] == 1
    return heard


@pytest.mark.parametrize("first", ["<SEQ=301><ACK=301><CTL=ACK><DATA=3>", "<SEQ=301><ACK=301><CTL=FIN,ACK>"])
def test_text_or_a_fin_completes_a_deferred_handshake(first):
    heard = deferred()
    heard.hear(first, 2)
    assert len(heard.sent()) == 1
    socket = heard.net.listener.accept(2 * SECOND)
    assert socket.read(10, 2 * SECOND) == (b"" if parse_segment(first).ctl & FIN else bytes(3))


def test_when_the_time_is_over_the_syn_ack_is_repeated_and_its_ack_counts():
    heard = deferred()
    heard.net.now = 0
    assert heard.host.stack.next_timeout() == 5 * SECOND
    heard.host.stack.timeout(5 * SECOND)
    heard.sends(SYN_ACK)
    heard.hear("<SEQ=301><ACK=301><CTL=ACK>", 5.1)
    assert heard.host.stack.accept(SERVER.port) is not None


def test_a_reset_ends_a_deferred_handshake():
    heard = deferred()
    heard.hear("<SEQ=301><CTL=RST>")
    assert heard.host.stack.connections == {}


def test_other_listeners_do_not_wait():
    heard = Heard()
    assert TcpConfig().defer_accept == heard.net.listener.option("TCP_DEFER_ACCEPT") == 0
    heard.hear("<SEQ=300><CTL=SYN>")
    heard.hear("<SEQ=301><ACK=301><CTL=ACK>")
    assert state(heard.net.listener.accept(0)) == "ESTABLISHED"
    with fails("EAGAIN"):
        heard.net.listener.accept(0)
