"""The middlebox by itself: its table, what it answers, and addresses translated in real octets."""

from __future__ import annotations

import pytest

from tcpclose.network.middlebox import Middlebox, MiddleboxSettings, Verdict
from tcpclose.protocol.datagram import Datagram, Endpoint
from tcpclose.protocol.segment import ACK, ECE, FIN, RST, SYN, Segment
from tcpclose.wire import Malformed, decode_icmp, decode_tcp, encode_icmp_error, encode_tcp
from tcpclose.wire.icmp import IcmpError
from tcpclose.wire.translate import translate, translate_error

CLIENT, OTHER, SERVER = Endpoint("10.0.1.1", 40001), Endpoint("10.0.1.2", 40001), Endpoint("10.0.2.1", 80)
PUBLIC = Endpoint("10.0.2.254", 40001)

MINUTE = 60_000_000


def box(**settings) -> Middlebox:
    return Middlebox(MiddleboxSettings(**settings), PUBLIC.address)


def out(box: Middlebox, ctl: int, now: int = 0, src: Endpoint = CLIENT, **more) -> Verdict:
    return box.inspect(Datagram(src, SERVER, Segment(100, 300, ctl)), True, now, **more)


def back(box: Middlebox, ctl: int, now: int = 0, dst: Endpoint = CLIENT, **more) -> Verdict:
    return box.inspect(Datagram(SERVER, dst, Segment(300, 101, ctl)), False, now, **more)


def opened(box: Middlebox, outside: Endpoint = CLIENT) -> None:
    assert out(box, SYN).onward == (outside, SERVER)
    assert back(box, SYN | ACK, dst=outside).onward == (SERVER, CLIENT)
    assert out(box, ACK).onward == (outside, SERVER)


def test_connections_are_opened_from_inside_only():
    firewall = box()
    assert back(firewall, SYN) == Verdict(None)
    assert out(firewall, ACK) == Verdict(None)
    assert out(firewall, SYN | ACK) == Verdict(None)
    opened(firewall)
    assert back(firewall, ACK).onward == (SERVER, CLIENT)


def test_what_is_silent_too_long_is_forgotten():
    firewall = box(idle_timeout=10 * MINUTE)
    opened(firewall)
    assert back(firewall, ACK, 10 * MINUTE - 1).onward
    assert back(firewall, ACK, 20 * MINUTE - 1) == Verdict(None)
    assert out(firewall, ACK, 20 * MINUTE - 1) == Verdict(None)


@pytest.mark.parametrize("last", ["half-open", "reset", "both FINs"])
def test_what_is_not_open_is_forgotten_sooner(last):
    firewall = box(transitory_timeout=MINUTE)
    if last == "half-open":
        assert out(firewall, SYN).onward
    else:
        opened(firewall)
        if last == "reset":
            back(firewall, RST)
        else:
            out(firewall, FIN | ACK)
            assert back(firewall, ACK, 2 * MINUTE).onward  # one FIN is half of a close
            back(firewall, FIN | ACK, 2 * MINUTE)
    assert out(firewall, ACK, 3 * MINUTE) == Verdict(None)


@pytest.mark.parametrize("last", ["reset", "both FINs"])
def test_a_connection_that_is_opened_again_is_as_open_as_a_new_one(last):
    firewall = box(transitory_timeout=MINUTE)
    opened(firewall)
    if last == "reset":
        back(firewall, RST)
    else:
        out(firewall, FIN | ACK)
        back(firewall, FIN | ACK)
    opened(firewall)
    assert out(firewall, ACK, 2 * MINUTE).onward


def test_a_box_that_forgets_drops_or_resets_as_the_other_end_would():
    for answer in "drop", "reset":
        firewall = box(answer=answer)
        opened(firewall)
        firewall.forget()
        verdicts = out(firewall, ACK), back(firewall, ACK)
        if answer == "drop":
            assert verdicts == (Verdict(None), Verdict(None))
        else:
            assert verdicts[0].answer == Datagram(SERVER, CLIENT, Segment(300, ctl=RST))
            assert verdicts[1].answer == Datagram(CLIENT, SERVER, Segment(101, ctl=RST))
            assert out(firewall, RST) == Verdict(None)  # never a RST by a RST
        assert out(firewall, SYN).onward  # and it can be opened anew


@pytest.mark.parametrize(("answer", "seq"), [("pass", None), ("drop", None), ("reset", 300)])
def test_headers_that_it_does_not_like(answer, seq):
    firewall = box(invalid_header=answer)
    opened(firewall)
    for verdict in (out(firewall, ACK, valid=False), out(firewall, ACK | ECE), out(firewall, ACK | 1 << 9)):
        if answer == "pass":
            assert verdict.onward
        else:
            assert verdict.onward is None
            assert (verdict.answer and verdict.answer.segment.seq) == seq


def test_a_syn_with_ecn_is_refused_by_some():
    verdict = out(box(invalid_header="reset"), SYN | ECE)
    assert verdict.answer == Datagram(SERVER, CLIENT, Segment(0, 101, RST | ACK))


def test_addresses_are_translated_and_ports_kept_where_they_are_free():
    nat = box(kind="nat")
    opened(nat, PUBLIC)
    assert out(nat, SYN, src=OTHER).onward == (Endpoint(PUBLIC.address, 40002), SERVER)
    assert back(nat, SYN | ACK, dst=Endpoint(PUBLIC.address, 40002)).onward == (SERVER, OTHER)
    assert back(nat, ACK, dst=PUBLIC).onward == (SERVER, CLIENT)
    assert back(nat, ACK, dst=CLIENT) == Verdict(None)
    assert back(nat, ACK, dst=Endpoint(PUBLIC.address, 40003)) == Verdict(None)


def test_errors_are_told_in_the_words_of_the_other_side():
    nat = box(kind="nat")
    opened(nat, PUBLIC)
    inward = IcmpError(3, 1, "10.0.9.9", PUBLIC, SERVER, 100, 0)
    assert nat.inspect_error(inward, False, 0) == IcmpError(3, 1, "10.0.9.9", CLIENT, SERVER, 100, 0)
    outward = IcmpError(3, 1, "10.0.1.9", SERVER, CLIENT, 300, 0)
    assert nat.inspect_error(outward, True, 0) == IcmpError(3, 1, PUBLIC.address, SERVER, PUBLIC, 300, 0)
    nat.forget()
    assert nat.inspect_error(inward, False, 0) is None
    firewall = box()
    opened(firewall)
    assert firewall.inspect_error(outward, True, 0) == outward


SEGMENT = Segment(100, 300, ACK, data=b"text!", timestamps=(1, 2))


def test_translated_octets_are_those_of_the_translated_segment():
    sent = encode_tcp(Datagram(CLIENT, SERVER, SEGMENT), 7)
    assert translate(sent, PUBLIC, SERVER) == encode_tcp(Datagram(PUBLIC, SERVER, SEGMENT), 7)
    assert translate(translate(sent, PUBLIC, SERVER), CLIENT, SERVER) == sent


def test_a_wrong_checksum_stays_wrong():
    sent = bytearray(encode_tcp(Datagram(CLIENT, SERVER, SEGMENT), 7))
    sent[-1] ^= 1
    with pytest.raises(Malformed, match="bad TCP checksum"):
        decode_tcp(translate(bytes(sent), PUBLIC, SERVER))


def test_an_error_is_translated_with_what_it_quotes():
    quoted = encode_tcp(Datagram(PUBLIC, SERVER, SEGMENT), 7)
    error = encode_icmp_error(3, 4, "10.0.9.9", quoted, 1, mtu=576)
    there = translate_error(error, "10.0.9.9", CLIENT.address, CLIENT, SERVER)
    assert decode_icmp(there) == IcmpError(3, 4, "10.0.9.9", CLIENT, SERVER, 100, 576)
    assert there == encode_icmp_error(3, 4, "10.0.9.9", encode_tcp(Datagram(CLIENT, SERVER, SEGMENT), 7), 1, mtu=576)
