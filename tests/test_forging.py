"""Forged segments: the octets, against Scapy's, and the numbers that somebody on the path knows."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP

from tcpclose.host.forging import Forger, packet_octets
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.segment import ACK, PSH, Segment
from tcpclose.scenario import Scenario, ScenarioError
from tcpclose.scenario.faults import Injection
from tcpclose.trace.events import Sent
from tcpclose.wire import Malformed, decode_tcp

ADDRESSES = {"h1": "10.0.0.1", "h2": "10.0.0.2", "h3": "10.0.0.3"}
DATAGRAM = Datagram(
    Endpoint("10.0.0.1", 40001), Endpoint("10.0.0.2", 80), Segment(1000, 2000, ACK | PSH, 512, b"Hello")
)
FIELDS = {"sport": 40001, "dport": 80, "seq": 1000, "ack": 2000, "flags": "PA", "window": 512}


def scapy(**wrong: object) -> bytes:
    ip = IP(src="10.0.0.1", dst="10.0.0.2", id=7, ttl=64, flags="DF")
    return bytes(ip / TCP(**FIELDS, **wrong) / b"Hello")


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (None, scapy()),
        ("reserved bits", scapy(reserved=7).replace(b"\x5e\x18\x02\x00", b"\x5f\x18\x02\x00")),
        ("data offset", scapy(dataofs=4)),
        ("option length", scapy(dataofs=6, options=[(2, b"")]).replace(b"\2\2\0\0", b"\2\0\1\1")),
    ],
)
def test_the_octets_are_those_of_scapy(wrong, expected):
    """Scapy writes neither the fourth reserved bit nor an option that says it has no octets: these are put in."""
    octets = packet_octets(DATAGRAM, 7, wrong)
    assert octets[:36] + octets[38:] == expected[:36] + expected[38:]
    read = IP(octets)
    told = read[TCP].chksum
    del read[TCP].chksum
    if wrong is None:  # the sum over what Scapy reads
        assert IP(bytes(read))[TCP].chksum == told


@pytest.mark.parametrize("wrong", ["data offset", "option length"])
def test_a_wrong_header_has_a_right_checksum(wrong):
    with pytest.raises(Malformed, match=wrong) as caught:
        decode_tcp(packet_octets(DATAGRAM, 7, wrong))
    assert caught.value.datagram is not None


def test_a_wrong_checksum_is_all_that_is_wrong():
    octets, right = packet_octets(DATAGRAM, 7, "checksum"), packet_octets(DATAGRAM, 7)
    assert octets[:36] + octets[38:] == right[:36] + right[38:]
    with pytest.raises(Malformed, match="bad TCP checksum"):
        decode_tcp(octets)


def test_reserved_bits_stand_above_the_control_bits():
    packet = decode_tcp(packet_octets(DATAGRAM, 7, "reserved bits"))
    assert packet.datagram.segment.ctl == 0xF00 | ACK | PSH


# ---- Numbers

TEXT = """
topology = "two_hosts"
duration = "9s"
connection.c1 = {client = "h1", server = "h2", port = 80}
[[step]]
at = "1s"
fault = "inject"
host = "h3"
connection = "c1"
source = "h1"
ctl = "RST"
seq = 0
"""


def seen(host, ctl, seq, ack=0, length=0, wnd=1000, src=None):
    ends = ["10.0.0.1:40001", "10.0.0.2:80"]
    src, dst = ends if (src or host) == "h1" else reversed(ends)
    return Sent(t=0, host=host, connection="c1", id=1, src=src, dst=dst, seq=seq, ack=ack, ctl=ctl, len=length, wnd=wnd)


def forger(*overrides, talk=True) -> Forger:
    watching = Forger(Scenario.parse(TEXT, overrides), ADDRESSES)
    if talk:
        watching.observe(seen("h1", "SYN", 2**32 - 2))
        watching.observe(seen("h2", "SYN,ACK", 500, 2**32 - 1))
        watching.observe(seen("h1", "ACK", 2**32 - 1, 501))
        watching.observe(seen("h1", "PSH,ACK", 2**32 - 1, 501, length=10))
        watching.observe(seen("h2", "FIN,ACK", 501, 9, wnd=990))
    return watching


def forge(watching, **keys):
    said = {"kind": "inject", "host": "h3", "connection": "c1", "source": "h1", "ctl": "RST", "seq": "next"}
    return [forged.datagram.segment for forged in watching.forge(Injection(**{**said, **keys}))]


@pytest.mark.parametrize(
    ("source", "number", "expected"),
    [
        ("h1", "next", 9),
        ("h1", "next+10", 19),
        ("h1", "next - 10", 2**32 - 1),
        ("h1", "iss", 2**32 - 2),
        ("h1", "window", 999),
        ("h1", "window-1", 998),
        ("h1", 4711, 4711),
        ("h2", "next", 502),  # its FIN counts
        ("h2", "iss", 500),
        ("h2", "window", 1501),
    ],
)
def test_numbers_count_from_what_was_seen(source, number, expected):
    assert forge(forger(), source=source, seq=number)[0].seq == expected


def test_the_acknowledgment_is_what_the_other_end_would_like():
    assert forge(forger(), ctl="FIN,ACK")[0].ack == 502
    assert forge(forger(), ctl="FIN,ACK", ack="iss+1")[0].ack == 501
    assert forge(forger(), ctl="RST")[0].ack == 0


def test_guesses_go_over_a_range_and_each_is_sent_so_often():
    segments = forge(forger(), seq=2**32 - 1, guesses=3, step=100, count=2)
    assert [segment.seq for segment in segments] == [2**32 - 1, 2**32 - 1, 99, 99, 199, 199]


def test_what_is_forged_and_what_is_sent_again_teaches_nothing():
    watching = forger()
    watching.observe(seen("h3", "PSH,ACK", 9, 502, length=100, src="h1"))
    watching.observe(seen("h1", "PSH,ACK", 2**32 - 1, 501, length=10))
    assert forge(watching)[0].seq == 9


def test_a_new_incarnation_begins_anew():
    watching = forger()
    watching.observe(seen("h1", "SYN", 7000))
    assert forge(watching)[0].seq == 7001


def test_the_window_is_scaled_as_the_ends_agreed():
    scaled = [f"host.{host}.tcp.{key}" for host in ("h1", "h2") for key in ("window_scale=true", "window_shift=2")]
    assert forge(forger(*scaled), seq="window")[0].seq == 9 + (990 << 2)
    assert forge(forger(*scaled[:2]), seq="window")[0].seq == 9 + 990


@pytest.mark.parametrize("number", ["next", "iss+1", "window"])
def test_what_nobody_has_seen_cannot_be_counted_from(number):
    with pytest.raises(ScenarioError, match="counts from what has not been seen yet"):
        forge(forger(talk=False), seq=number)


def test_only_where_something_is_forged_does_anybody_watch():
    assert forger().curious
    assert not Forger(Scenario.parse(TEXT.split("[[step]]")[0]), ADDRESSES).curious


def test_each_has_an_identification_of_its_own():
    watching = forger()
    fault = Injection(kind="inject", host="h3", connection="c1", source="h1", ctl="RST", seq=1, guesses=1000)
    idents = [forged.ident for forged in watching.forge(fault)]
    assert len(set(idents)) == 1000
    assert decode_tcp(next(watching.forge(fault)).packet).ident not in idents
