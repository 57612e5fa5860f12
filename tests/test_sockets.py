"""The POSIX view: two hosts whose sockets talk to each other, and what their calls say."""

from __future__ import annotations

import pytest
from netted import CLIENT, SERVER, Net, fails, state

from tcpclose.protocol.config import SECOND
from tcpclose.protocol.datagram import Datagram, Endpoint, Pair
from tcpclose.protocol.segment import Segment


@pytest.fixture
def net() -> Net:
    return Net()


# Connecting


def test_connect_is_in_progress_until_it_is_done(net):
    client = net.begin()
    with fails("EALREADY"):
        client.connect(SERVER, 0)
    with fails("EAGAIN"):
        client.write(b"x", 0)
    with fails("EAGAIN"):
        client.read(1, 0)
    with fails("ENOTCONN"):
        client.shutdown("WR", 0)
    with fails("EAGAIN"):
        net.listener.accept(0)
    net.run()
    with fails("EISCONN"):
        client.connect(SERVER, 0)
    assert state(net.listener.accept(0)) == state(client) == "ESTABLISHED"
    assert (net.listener.option("SO_ACCEPTCONN"), state(net.listener)) == (True, "LISTEN")


def test_connect_is_refused(net):
    client = net.client.socket()
    with fails("EINPROGRESS"):
        client.connect(Endpoint(SERVER.address, 81), 0)
    net.run()
    with fails("ECONNREFUSED"):
        client.connect(SERVER, 0)
    with fails("ECONNABORTED"):
        client.connect(SERVER, 0)


def test_so_error_tells_once(net):
    net.cut = True
    client = net.begin()
    client.set_option("TCP_SYNCNT", 2, 0)
    net.at(7)
    assert client.option("SO_ERROR") == "ETIMEDOUT"
    assert client.option("SO_ERROR") is None


@pytest.mark.parametrize(
    ("code", "errno", "when"),
    [(0, "ENETUNREACH", 5), (1, "EHOSTUNREACH", 5), (8, "ENONET", 5), (3, "ECONNREFUSED", 0), (4, "ETIMEDOUT", 5)],
)
def test_icmp_explains_why_a_connect_failed(net, code, errno, when):
    """A soft error is remembered until the user timeout (RFC 5461), a hard one ends the attempt at once."""
    net.cut = True
    client = net.client.socket()
    client.set_option("TCP_USER_TIMEOUT", 5000, 0)
    with fails("EINPROGRESS"):
        client.connect(SERVER, 0)
    net.client.stack.icmp_arrives(Pair(Endpoint(CLIENT, 49152), SERVER), 100, 3, code, 0)
    net.at(when)
    assert client.option("SO_ERROR") == errno


def test_a_port_is_taken_once(net):
    other = net.server.socket()
    with fails("EADDRINUSE"):
        other.bind(80)
    other.bind(81)
    with fails("EINVAL"):
        other.bind(82)
    other.close(0)
    net.server.socket().bind(81)


def test_a_port_is_taken_while_a_connection_of_it_is_in_time_wait(net):
    client, server = net.pair()
    server.close(0)
    net.run()
    client.close(0)
    net.run()
    net.listener.close(0)
    again = net.server.socket()
    with fails("EADDRINUSE"):
        again.bind(80)
    again.set_option("SO_REUSEADDR", True, 0)
    again.bind(80)


def test_ports_of_clients_differ_and_run_out(net):
    first, second = net.begin(), net.begin()
    assert len(net.client.stack.connections) == 2
    first.close(0)
    second.close(0)
    net.client.bound |= set(range(49152, 65536))
    with fails("EADDRNOTAVAIL"):
        net.client.socket().connect(SERVER, 0)


def test_a_port_is_taken_while_a_connection_of_it_lives_whose_user_is_gone(net):
    client, _ = net.pair()
    client.close(0)
    net.run()
    again = net.client.socket()
    with fails("EADDRINUSE"):
        again.bind(49152)
    again.set_option("SO_REUSEADDR", True, 0)
    again.bind(49152)


def test_a_client_connects_again_at_once(net):
    client, server = net.pair()
    client.close(0)
    net.run()
    server.close(0)
    net.run()
    assert state(net.pair()[0]) == "ESTABLISHED"  # from another port: that one is in TIME-WAIT


def test_a_port_of_clients_serves_again(net):
    first, _ = net.begin(), net.begin()
    net.client.bound |= set(range(49154, 65536))
    first.close(0)
    assert state(net.begin()) == "SYN-SENT"


def test_a_pair_that_exists_cannot_be_connected_again(net):
    client, server = net.pair()
    client.close(0)
    net.run()
    server.close(0)
    net.run()
    again = net.client.socket()
    again.set_option("SO_REUSEADDR", True, 0)
    again.bind(49152)
    with fails("EADDRNOTAVAIL"):
        again.connect(SERVER, 0)


def test_calls_that_make_no_sense(net):
    fresh = net.client.socket()
    for call in (lambda: fresh.read(1, 0), lambda: fresh.write(b"", 0), lambda: fresh.shutdown("WR", 0)):
        with fails("ENOTCONN"):
            call()
    with fails("EINVAL"):
        fresh.accept(0)
    assert state(fresh) == "CLOSED"
    with fails("EINVAL"):
        net.listener.connect(SERVER, 0)
    client, _ = net.pair()
    with fails("EINVAL"):
        client.listen(1)
    fresh.close(0)
    with fails("EBADF"):
        fresh.read(1, 0)


def test_listen_without_bind_takes_a_port_and_twice_changes_nothing(net):
    listener = net.server.socket()
    listener.listen(1)
    listener.listen(1)
    assert 49152 in net.server.stack.listening


# Text


def test_text_goes_both_ways(net):
    client, server = net.pair()
    assert client.write(b"question", 0) == 8
    assert server.write(b"answer", 0) == 6
    net.run()
    assert (server.read(100, 0), client.read(3, 0), client.read(3, 0)) == (b"question", b"ans", b"wer")
    with fails("EAGAIN"):
        client.read(1, 0)


def test_a_full_send_buffer_takes_a_part_and_then_nothing(net):
    client, _ = net.pair()
    client.set_option("SO_SNDBUF", 100, 0)
    assert client.write(bytes(150), 0) == 100
    with fails("EAGAIN"):
        client.write(b"x", 0)
    assert client.write(b"", 0) == 0


def test_without_memory_for_text():
    net = Net(max_memory=10)
    client, _ = net.pair()
    with fails("ENOBUFS"):
        client.write(bytes(11), 0)


# Half-close and close


def test_shutdown_of_writing_is_a_half_close(net):
    client, server = net.pair()
    client.shutdown("WR", 0)
    client.shutdown("WR", 0)
    net.run()
    assert server.read(1, 0) == b""
    with fails("EPIPE"):
        client.write(b"x", 0)
    server.write(b"still here", 0)
    net.run()
    assert client.read(100, 0) == b"still here"
    server.close(0)
    net.run()
    assert client.read(1, 0) == b""
    assert net.causes(net.server) == ["graceful"]
    with fails("EPIPE"):
        client.write(b"x", 0)
    client.close(0)


def test_shutdown_of_reading_tells_the_peer_nothing(net):
    client, server = net.pair()
    client.shutdown("RD", 0)
    assert client.read(1, 0) == b""
    server.write(b"lost", 0)
    net.run()
    assert client.read(4, 0) == b""
    assert (state(client), state(server)) == ("ESTABLISHED", "ESTABLISHED")
    client.shutdown("RDWR", 0)
    net.run()
    assert state(client) == "FIN-WAIT-2"


def test_close_with_text_unread_is_a_reset(net):
    client, server = net.pair()
    server.write(b"abc", 0)
    net.run()
    client.close(0)
    net.run()
    assert net.wire[-1] == "<SEQ=101><ACK=304><CTL=RST,ACK>"
    assert net.causes(net.client) == ["unread data"]
    with fails("ECONNRESET"):
        server.read(1, 0)
    assert server.read(1, 0) == b""
    with fails("EPIPE"):
        server.write(b"x", 0)


def test_text_for_a_closed_socket_is_a_reset(net):
    client, server = net.pair()
    client.close(0)
    net.run()
    server.write(b"abc", 0)
    net.run()
    assert net.wire[-1] == "<SEQ=102><ACK=301><CTL=RST,ACK>"
    with fails("ECONNRESET"):
        server.write(b"x", 0)


def test_text_that_came_before_a_reset_can_be_read(net):
    client, server = net.pair()
    client.write(b"abc", 0)
    net.run()
    client.set_option("SO_LINGER", (True, 0), 0)
    client.close(0)
    net.run()
    assert net.wire[-1] == "<SEQ=104><ACK=301><CTL=RST,ACK>"
    assert server.read(9, 0) == b"abc"
    with fails("ECONNRESET"):
        server.read(9, 0)


def test_close_in_fin_wait_2_and_tcp_linger2(net):
    client, server = net.pair()
    client.set_option("TCP_LINGER2", 3, 0)
    client.close(0)
    net.at(2.9)
    assert net.causes(net.client) == []
    net.at(3)
    assert net.causes(net.client) == ["linger expired"]
    server.write(b"x", net.now)
    net.run()
    assert net.wire[-1] == "<SEQ=102><CTL=RST>"


# SO_LINGER


def test_close_that_lingers_waits_for_the_ack_of_the_fin(net):
    client, server = net.pair()
    client.set_option("SO_LINGER", (True, 3), 0)
    assert client.option("SO_LINGER") == (True, 3)
    client.write(b"abc", 0)
    with fails("EAGAIN"):
        client.close(0)
    assert client.linger_until == 3 * SECOND
    net.run()
    client.close(0)
    assert server.read(9, 0) == b"abc"
    assert net.client.stack.state(Pair(Endpoint(CLIENT, 49152), SERVER)).value == "FIN-WAIT-2"


@pytest.mark.parametrize(("setting", "causes"), [("continue", []), ("reset", ["linger expired"])])
def test_when_the_time_to_linger_is_over(setting, causes):
    net = Net(linger_expired=setting)
    client, _ = net.pair()
    client.set_option("SO_LINGER", (True, 3), 0)
    net.cut = True
    with fails("EAGAIN"):
        client.close(0)
    net.at(2.9)
    with fails("EAGAIN"):
        client.close(net.now)
    net.at(3)
    client.close(net.now)
    assert net.causes(net.client) == causes


@pytest.mark.parametrize("linger", [(True, 0), (True, 5), (False, 0)])
def test_close_before_there_is_a_connection_never_waits(net, linger):
    net.client.socket().close(0)
    client = net.begin()
    client.set_option("SO_LINGER", linger, 0)
    client.close(0)
    assert net.client.stack.connections == {}


# Listeners


@pytest.mark.parametrize("call", ["close", "shutdown"])
def test_a_listener_that_closes_resets_what_nobody_has_accepted(net, call):
    waiting = net.begin()
    net.run()
    net.listener.close(0) if call == "close" else net.listener.shutdown("RD", 0)
    net.run()
    with fails("ECONNRESET"):
        waiting.read(1, 0)
    with fails("EINVAL" if call == "shutdown" else "EBADF"):
        net.listener.accept(0)


# Options


def test_options_of_a_listener_are_inherited(net):
    net.listener.set_option("TCP_KEEPIDLE", 10, 0)
    net.listener.set_option("SO_KEEPALIVE", 1, 0)
    _, server = net.pair()
    assert (server.option("SO_KEEPALIVE"), server.option("TCP_KEEPIDLE")) == (True, 10)
    net.at(10)
    assert net.wire == ["<SEQ=300><ACK=101><CTL=ACK>", "<SEQ=101><ACK=301><CTL=ACK>"]


DATA = "<SEQ={}><ACK=301><CTL=PSH,ACK><DATA=1>"


def test_nagle_holds_a_small_segment_back_and_nodelay_does_not():
    """3.7.4: MUST-17 lets the user turn it off, at any time."""
    net = Net(nagle=True)
    client, _ = net.pair()
    net.cut = True
    client.write(b"a", 0)
    client.write(b"b", 0)
    net.run()
    assert net.wire == [DATA.format(101)]
    client.set_option("TCP_NODELAY", 1, 0)
    net.run()
    assert net.wire == [DATA.format(101), DATA.format(102)]
    assert client.option("TCP_NODELAY") == 1


def test_a_corked_socket_waits_until_it_is_uncorked(net):
    client, server = net.pair()
    client.set_option("TCP_CORK", 1, 0)
    client.write(b"a", 0)
    client.write(b"b", 0)
    net.run()
    assert net.wire == []
    client.set_option("TCP_CORK", 0, 0)
    net.run()
    assert server.read(10, 0) == b"ab"


def test_nodelay_set_before_connect_is_inherited_by_the_connection():
    net = Net(nagle=True)
    net.listener.set_option("TCP_NODELAY", 1, 0)
    _, server = net.pair()
    net.cut = True
    server.write(b"a", 0)
    server.write(b"b", 0)
    net.run()
    assert len(net.wire) == 2


def test_keepalive_finds_that_the_peer_is_gone(net):
    client, _ = net.pair()
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 3), ("SO_KEEPALIVE", True)):
        client.set_option(name, value, 0)
    net.cut = True
    net.at(12.5)
    assert client.option("TCP_INFO")["tcpi_probes"] == 3
    net.at(13)
    with fails("ETIMEDOUT"):
        client.read(1, net.now)


def test_the_user_timeout_is_in_milliseconds_and_zero_is_the_default(net):
    client, _ = net.pair()
    client.set_option("TCP_USER_TIMEOUT", 1500, 0)
    client.set_option("TCP_USER_TIMEOUT", 0, 0)
    assert client.option("TCP_USER_TIMEOUT") == 0
    client.set_option("TCP_USER_TIMEOUT", 1500, 0)
    net.cut = True
    client.write(b"x", 0)
    net.at(1.5)
    with fails("ETIMEDOUT"):
        client.write(b"x", net.now)


def test_values_out_of_bounds(net):
    client, _ = net.pair()
    client.set_option("SO_RCVBUF", 1 << 30, 0)
    assert client.option("SO_RCVBUF") == 1 << 30
    for name, value in (("TCP_KEEPCNT", 0), ("TCP_MAXSEG", 1 << 20)):
        with fails("EINVAL"):
            client.set_option(name, value, 0)
    for call in (lambda: client.option("SO_NONE"), lambda: client.set_option("SO_NONE", 1, 0)):
        with fails("ENOPROTOOPT"):
            call()


def test_tcp_info(net):
    client, _ = net.pair()
    net.cut = True
    client.write(bytes(2000), 0)
    net.at(1)
    info = client.option("TCP_INFO")
    assert (info["tcpi_retransmits"], info["tcpi_unacked"], info["tcpi_snd_cwnd"]) == (1, 2, 1)
    assert (info["tcpi_rto"], info["tcpi_snd_mss"]) == (2 * SECOND, 1460)


def test_the_ends_that_others_bring_about():
    net = Net(invalid_header="reset")
    client, server = net.pair()
    pair = Pair(Endpoint(CLIENT, 49152), SERVER)
    net.client.stack.segment_arrives(Datagram(pair.remote, pair.local, Segment(301, 101, 0x110)), 0)
    with fails("ECONNABORTED"):
        client.read(1, 0)
    net.run()
    assert server.option("SO_ERROR") == "ECONNRESET"


# poll, ioctl, peeking


def test_what_poll_says_of_a_connection(net):
    fresh = net.client.socket()
    assert fresh.poll() == {"OUT", "HUP"}
    client = net.begin()
    assert client.poll() == set()
    net.run()
    assert net.listener.poll() == {"IN"}
    server = net.listener.accept(net.now)
    assert net.listener.poll() == set()
    assert client.poll() == {"OUT"}
    server.write(b"text", net.now)
    net.run()
    assert client.poll() == {"IN", "OUT"}
    server.shutdown("WR", net.now)
    net.run()
    assert client.poll() == {"IN", "OUT", "RDHUP"}
    assert server.poll() == {"OUT"}
    client.read(9, net.now)
    client.close(net.now)
    net.run()
    assert server.poll() == {"IN", "OUT", "RDHUP", "HUP"}


def test_what_poll_says_when_all_is_shut_or_reset(net):
    client, server = net.pair()
    client.shutdown("RDWR", net.now)
    assert client.poll() == {"IN", "OUT", "RDHUP", "HUP"}
    server.set_option("SO_LINGER", (True, 0), net.now)
    server.close(net.now)
    net.run()
    assert client.poll() == {"ERR", "IN", "OUT", "RDHUP", "HUP"}


def test_no_room_for_more_text(net):
    client, _ = net.pair()
    client.set_option("SO_SNDBUF", 10, net.now)
    net.cut = True
    client.write(bytes(10), net.now)
    assert client.poll() == set()


def test_what_is_queued(net):
    with fails("EINVAL"):
        net.listener.queued("SIOCINQ")
    with fails("EINVAL"):
        net.client.socket().queued("SIOCINQ")
    client, server = net.pair()
    client.write(bytes(100), net.now)
    assert (client.queued("SIOCOUTQ"), client.queued("SIOCOUTQNSD")) == (100, 0)
    net.run()
    assert (client.queued("FIONWRITE"), server.queued("FIONREAD")) == (0, 100)


def test_peeking_leaves_the_text(net):
    client, server = net.pair()
    client.write(b"text", net.now)
    net.run()
    assert [server.peek(2), server.peek(9), server.read(9, net.now)] == [b"te", b"text", b"text"]
    assert server.pair is not None


@pytest.mark.parametrize(
    ("told", "errno"), [("always", "ECONNRESET"), ("not_after_fin", "EPIPE"), ("to_readers", "EPIPE")]
)
def test_a_reset_behind_the_fin(told, errno):
    net = Net(reset_told=told)
    client, server = net.pair()
    server.shutdown("WR", net.now)
    net.run()
    server.set_option("SO_LINGER", (True, 0), net.now)
    server.close(net.now)
    net.run()
    with fails(errno):
        client.write(b"x", net.now)
    assert client.option("SO_ERROR") == ("ECONNRESET" if told == "to_readers" else None)


# What stacks do otherwise


@pytest.mark.parametrize(("rule", "told"), [("tell", "ECONNRESET"), ("forget", None)])
def test_a_connection_that_was_reset_before_it_was_accepted(rule, told):
    net = Net(reset_in_queue=rule)
    client = net.begin()
    net.run()
    client.set_option("SO_LINGER", (True, 0), 0)
    client.close(0)
    net.run()
    if told is None:
        with fails("EAGAIN"):
            net.listener.accept(0)
        return
    server = net.listener.accept(0)
    assert state(server) == "CLOSED"
    assert "ERR" in server.poll()
    with fails(told):
        server.read(1, 0)
    assert server.read(1, 0) == b""
    with fails("EPIPE"):
        server.write(b"x", 0)
    server.close(0)
    with fails("EAGAIN"):
        net.listener.accept(0)


def test_a_listener_that_closes_forgets_those_who_were_reset():
    net = Net(reset_in_queue="tell")
    lost, kept = net.begin(), net.begin()
    net.run()
    lost.set_option("SO_LINGER", (True, 0), 0)
    lost.close(0)
    net.run()
    net.wire.clear()
    net.listener.close(0)
    net.run()
    assert (len(net.wire), state(kept)) == (1, "CLOSED")
    assert net.server.stack.lost == {}


def test_who_connects_anew_takes_the_place_of_its_connection_that_was_reset():
    net = Net(reset_in_queue="tell")
    for linger in ((True, 0), (False, 0)):
        client = net.client.socket()
        client.set_option("SO_LINGER", linger, 0)
        client.bind(40000)
        with fails("EINPROGRESS"):
            client.connect(SERVER, net.now)
        net.run()
        if linger[0]:
            client.close(0)
            net.run()
    assert net.server.stack.lost == {}
    net.listener.close(0)
    net.run()
    assert state(client) == "CLOSED"


@pytest.mark.parametrize(("rule", "told", "shift"), [("doubled", 2, 0), ("as asked", 1, 7)])
def test_buffers_are_told_as_they_were_set_or_doubled(rule, told, shift):
    net = Net(socket_buffers=rule, window_scale=True, window_shift=7)
    net.listener.set_option("SO_RCVBUF", 10_000, 0)
    net.listener.set_option("SO_SNDBUF", 20_000, 0)
    client, server = net.pair()
    for socket in (net.listener, server):
        assert socket.option("SO_RCVBUF") == told * 10_000
        assert socket.option("SO_SNDBUF") == told * 20_000
    assert client.option("SO_RCVBUF") == 65535
    connection = net.server.stack.find(server.pair)
    assert connection.tcb.rcv_shift == shift
    server.set_option("SO_RCVBUF", 300_000, 0)
    assert connection.config.window_shift == shift  # it has been announced


def test_no_delay_lets_out_what_a_cork_holds(net):
    client, _ = net.pair()
    client.set_option("TCP_CORK", True, 0)
    client.write(b"x", 0)
    net.run()
    assert net.wire == []
    client.set_option("TCP_NODELAY", False, 0)
    net.run()
    assert net.wire == []
    client.set_option("TCP_NODELAY", True, 0)
    client.set_option("TCP_NODELAY", True, 0)
    net.run()
    assert net.wire == ["<SEQ=101><ACK=301><CTL=PSH,ACK><DATA=1>", "<SEQ=301><ACK=102><CTL=ACK>"]
