"""Our own verdict: a short capture for every kind of release, and for every cause of a RST."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from captures import CLIENT, FIN, RST, SERVER, SYN, octets, script, write
from scapy.all import ICMP, IP
from zeek_reference import Packet

from tcpclose.classify import Release, classify, endings
from tcpclose.classify.endings import KINDS
from tcpclose.wire.pcap import RAW, PcapWriter

OPEN = ">S <S. >. "
SERVING, CALLING = "SYN-RECEIVED ESTABLISHED", "SYN-SENT ESTABLISHED"
ACTIVE, PASSIVE = "FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT", "CLOSE-WAIT LAST-ACK CLOSED"

#: script, kind, closed first by, states of the originator and of the responder
RELEASES = [
    (OPEN + ">F. <. <F. >.", "graceful", "orig", f"{CALLING} {ACTIVE}", f"{SERVING} {PASSIVE}"),
    (OPEN + "<F. >. >F. <.", "graceful", "resp", f"{CALLING} {PASSIVE}", f"{SERVING} {ACTIVE}"),
    (OPEN + ">F. <. <P9. >. <F. >.", "graceful", "orig", f"{CALLING} {ACTIVE}", f"{SERVING} {PASSIVE}"),
    (OPEN + ">F. <F. >.", "three-segment", "orig", f"{CALLING} FIN-WAIT-1 TIME-WAIT", f"{SERVING} {PASSIVE}"),
    (OPEN + ">F. <.", "half-closed", "orig", f"{CALLING} FIN-WAIT-1 FIN-WAIT-2", f"{SERVING} CLOSE-WAIT"),
    (OPEN + ">P9. <R.", "reset", "resp", f"{CALLING} CLOSED", f"{SERVING} CLOSED"),
    (">S <R.z", "refused", "resp", "SYN-SENT CLOSED", ""),
    (">S <S. >R", "handshake failed", "orig", f"{CALLING} CLOSED", "SYN-RECEIVED LISTEN"),
    (">S 1s >S~ 2s >S~", "unanswered", "", "SYN-SENT", ""),
    (OPEN + ">P9. 1s >P9.~ 2s >P9.~ 4s >P9.~", "timed out", "", CALLING, SERVING),
    (OPEN + ">F. 1s >F.~ 2s >F.~ 4s >F.~", "timed out", "orig", f"{CALLING} FIN-WAIT-1", SERVING),
    (OPEN + ">P9. <.", "open", "", CALLING, SERVING),
    (">S (<S.) >. >P9. (<P9.) >. >F. (<F.) >.", "one-sided", "orig", f"{CALLING} FIN-WAIT-1", ""),
    (">S (<S.) >. >P9. 500ms >P9.~ 1s >P9.~ 2s >P9.~", "one-sided", "", CALLING, ""),
    ("(>S) <S. (>.) (>P9.) <. <P9. (>F.) <F.", "one-sided", "resp", "", f"{SERVING} FIN-WAIT-1"),
    (">S (<S.) >. >P9. >R.", "reset", "orig", f"{CALLING} CLOSED", ""),
    ("(>S) <R.z", "refused", "orig", "", ""),
    (">P9. 1s >P9.~ 2s >P9.~ 4s >P9.~", "timed out", "", "ESTABLISHED", ""),
    (">P9. <.", "midstream", "", "ESTABLISHED", "ESTABLISHED"),
    (">P9. <. >F. <. <F. >.", "graceful", "orig", f"ESTABLISHED {ACTIVE}", f"ESTABLISHED {PASSIVE}"),
]

#: script, who sent the RST, cause, confidence, packets that show it
CAUSES = [
    (">S <R.z", "resp", "refused", "high", (2, 1)),
    ("<P9. >R", "resp", "no such connection", "high", (2, 1)),
    (">S <S. >R", "orig", "no such connection", "medium", (3, 2)),
    (OPEN + ">F. <F. >. <R", "resp", "no such connection", "high", (7, 6, 4, 5)),
    (OPEN + "30s <P9. >R", "orig", "stale segment after reboot", "medium", (5, 4)),
    (OPEN + "<P9. >. 30s <P9. >R", "orig", "stale segment after reboot", "medium", (7, 6)),
    (OPEN + "<P9. >. <P9. 400ms <P9.~ 800ms <P9.~ >R", "orig", "stale segment after reboot", "medium", (9, 8)),
    (OPEN + "30s <P9. >. <P9. >R", "orig", "no such connection", "medium", (7, 6)),
    (">S <S. 1s <S.~ >R", "orig", "no such connection", "medium", (4, 3)),
    (OPEN + ">R.", "orig", "abort", "high", (4,)),
    (OPEN + ">P9. <. 2s >R.", "orig", "abort", "high", (6,)),
    (OPEN + ">P9. <. 2s <R.", "resp", "abort", "low", (6, 4)),
    (OPEN + ">P9. <. <P9. 2s <R.", "resp", "abort", "medium", (7,)),
    (OPEN + ">P9. <.0 <R.", "resp", "unread data", "high", (6,)),
    ("<P9. >. >R.", "resp", "abort", "low", (3, 1)),
    (">. <. >R.", "orig", "abort", "low", (3,)),
    (OPEN + ">R", "orig", "abort", "low", (4,)),
    (OPEN + ">F. <. 60s >R.", "orig", "abort", "medium", (6,)),
    (OPEN + "<P9. >.0 5s <.- 5s <.- 9s <.- 17s <R.", "resp", "retransmission gave up", "high", (9, 8)),
    (">P9. <. <P9. <R.", "resp", "abort", "medium", (4,)),
    (">S (<S.) >. >P9. >R.", "orig", "abort", "low", (4,)),
    (">S (<S.) >. >P9. 500ms >P9.~ 1s >P9.~ 2s >P9.~ 1s >R.", "orig", "abort", "low", (7,)),
    (">S (<S.) >. (<P9.) >R", "orig", "no such connection", "low", (3,)),
    ("(>S) <R.z", "orig", "refused", "medium", (1,)),
    (OPEN + ">P9. <R.", "resp", "unread data", "medium", (5, 4)),
    (OPEN + "<P9. >. >F. <. <P9. >R", "orig", "data after close", "high", (9, 6, 8)),
    (OPEN + ">P9. 1s >P9.~ 2s >P9.~ 4s >P9.~ 8s >R.", "orig", "retransmission gave up", "high", (8, 7)),
    (OPEN + ">P9.? <R.", "resp", "invalid header", "medium", (5, 4)),
    (OPEN + "<R. <P9. >.", "resp", "injected", "medium", (4, 5)),
    (OPEN + "<R.+", "resp", "sequence number not exact", "medium", (4,)),
]


def one(packets: list[Packet], path: Path) -> Release:
    [release] = classify(write(packets, path / "one.pcap"))
    return release


@pytest.mark.parametrize(("words", "kind", "first", "orig", "resp"), RELEASES)
def test_release(words: str, kind: str, first: str, orig: str, resp: str, tmp_path: Path) -> None:
    release = one(script(words), tmp_path)
    told = (release.kind, release.closed_first, release.orig_states, release.resp_states)
    assert told == (kind, first, orig, resp)


@pytest.mark.parametrize(("words", "who", "cause", "confidence", "evidence"), CAUSES)
def test_cause(words: str, who: str, cause: str, confidence: str, evidence: tuple[int, ...], tmp_path: Path) -> None:
    release = one(script(words), tmp_path)
    told = (release.reset_by, release.cause, release.confidence, release.evidence[: len(evidence)])
    assert told == (who, cause, confidence, evidence)


def test_every_kind_has_a_case() -> None:
    assert {kind for _, kind, *_ in RELEASES} | {"simultaneous"} == set(KINDS)


def test_every_cause_that_the_scripts_have_is_one_of_those_that_are_named() -> None:
    assert {cause for _, _, cause, *_ in CAUSES} < set(endings.CAUSES)


def test_fins_that_cross_are_a_simultaneous_close(tmp_path: Path) -> None:
    packets = script(OPEN + ">F. <F. >. <.")
    packets[4] = replace(packets[4], ack=packets[4].ack - 1)
    release = one(packets, tmp_path)
    assert release.kind == "simultaneous"
    assert release.orig_states == f"{CALLING} FIN-WAIT-1 CLOSING TIME-WAIT"
    assert release.resp_states == f"{SERVING} FIN-WAIT-1 CLOSING TIME-WAIT"


def test_a_half_open_connection_is_discovered_by_the_ack_of_what_is_long_past(tmp_path: Path) -> None:
    """RFC 9293, 3.5.1, figure 9: a host has forgotten the connection, and opens it anew."""
    first, second, third = script(">S <. >R")
    forgotten = replace(second, seq=7000, ack=5000)
    packets = [first, forgotten, replace(third, seq=5000)]
    release = one(packets, tmp_path)
    assert classify(captured(packets, tmp_path / "twice.pcap", (0, 0), (20_000, 1))).column("cause") == [release.cause]
    assert (release.cause, release.confidence, release.evidence[:3]) == (
        "half-open connection discovered",
        "high",
        (3, 1, 2),
    )


@pytest.mark.parametrize("before", [OPEN + ">P9. <. ", OPEN, "<P9. >. "])
def test_probes_without_an_answer_are_a_keepalive_that_gave_up(before: str, tmp_path: Path) -> None:
    packets = script(before + "60s >. 60s >. 60s >. 60s >R.")
    packets[-4:-1] = [replace(packet, seq=packet.seq - 1) for packet in packets[-4:-1]]
    assert one(packets, tmp_path).cause == "keepalive gave up"


@pytest.mark.parametrize("last", [">P9.", ">F."])
def test_who_gave_up_in_silence_is_found_out_when_the_peer_is_heard_again(last: str, tmp_path: Path) -> None:
    """Linux gives up without a RST. The peer has heard nothing, and repeats its FIN against each RST that is lost."""
    packets = script(OPEN + f"{last} 1s {last}~ 2s {last}~ 4s {last}~ 30s <F. >R " + "400ms <F.~ >R " * 9)
    deaf = [replace(packet, ack=101) if packet.src == SERVER and n > 1 else packet for n, packet in enumerate(packets)]
    resets = [replace(packet, seq=101) if packet.flags & RST else packet for packet in deaf]
    release = one(resets, tmp_path)
    assert (release.kind, release.closed_first) == ("reset", "orig" if last == ">F." else "resp")
    assert (release.cause, release.confidence, release.evidence) == ("retransmission gave up", "high", (9, 8))


def test_segments_sent_again_to_fill_holes_are_no_timer_that_gave_up(tmp_path: Path) -> None:
    packets = script(OPEN + ">P9. >P9. >P9. 30ms >P9.~ >P9.~ >P9.~ >R.", step=10_000)
    assert one(packets, tmp_path).cause == "abort"


def captured(packets: list[Packet], path: Path, *places: tuple[int, int]) -> Path:
    """A capture of several places in one: how many nanoseconds late, and how many hops further, the server's way."""
    frames = []
    for packet in packets:
        for late, hops in places:
            frame = IP(octets(packet))
            frame.ttl -= hops if packet.src == CLIENT else places[-1][1] - hops
            del frame.chksum
            time = packet.time + (late if packet.src == CLIENT else places[-1][0] - late)
            frames.append((time, bytes(frame)))
    with PcapWriter(path, RAW) as writer:
        for time, octets_ in sorted(frames):
            writer.write(time, octets_)
    return path


@pytest.mark.parametrize("words", [words for words, *_ in RELEASES + CAUSES])
@pytest.mark.parametrize("late", [20_000, 3_000_000])
def test_what_was_captured_at_two_places_is_judged_as_what_was_captured_at_one(
    late: int, words: str, tmp_path: Path
) -> None:
    packets = script(words)
    [twice] = found = classify(captured(packets, tmp_path / "twice.pcap", (0, 0), (late, 1)))
    [once] = alone = classify(captured(packets, tmp_path / "once.pcap", (0, 0)))
    for name in ("kind", "closed_first", "orig_states", "resp_states", "reset_by", "cause", "confidence"):
        assert getattr(twice, name) == getattr(once, name), name
    tells = any(packet.length or packet.flags & (SYN | FIN) for packet in packets)
    assert (found.doubled, alone.doubled) == (tells, 0)


def test_a_reset_with_another_ttl_is_not_of_the_end_that_it_names(tmp_path: Path) -> None:
    packets = script(OPEN + ">P9. <R. <P9.")
    frames = [IP(octets(packet)) for packet in packets]
    frames[4].ttl -= 7
    path = tmp_path / "ttl.pcap"
    with PcapWriter(path, RAW) as writer:
        for packet, frame in zip(packets, frames, strict=True):
            del frame.chksum
            writer.write(packet.time, bytes(frame))
    [release] = classify(path)
    assert (release.cause, release.confidence, release.evidence[:2]) == ("middlebox suspected", "high", (5, 6))


def test_an_icmp_error_explains_why_nothing_came(tmp_path: Path) -> None:
    syn, again = script(">S 1s >S~")
    error = IP(src="192.0.2.1", dst=syn.src[0]) / ICMP(type=3, code=3) / IP(octets(syn))[IP]
    path = tmp_path / "icmp.pcap"
    with PcapWriter(path, RAW) as writer:
        writer.write(syn.time, octets(syn))
        writer.write(syn.time + 1, bytes(error))
        writer.write(again.time, octets(again))
    [release] = classify(path)
    assert (release.kind, release.cause, release.confidence, release.evidence[:1]) == (
        "unanswered",
        "unreachable",
        "high",
        (2,),
    )


def test_a_long_story_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    """Of text that goes on and on little is noted."""
    release = one(script(OPEN + ">P9. <P9. " * 40 + ">F. <F. >."), tmp_path)
    assert release.kind == "three-segment"
    assert release.orig_packets + release.resp_packets == len(script(OPEN + ">P9. <P9. " * 40 + ">F. <F. >."))


def test_of_a_story_that_is_too_long_the_beginning_and_the_end_are_noted(tmp_path: Path) -> None:
    release = one(script(OPEN + ">R. <R. " * 20), tmp_path)
    assert (release.kind, release.reset_by, release.evidence[0]) == ("reset", "orig", 4)
