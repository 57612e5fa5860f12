"""The reference says what the sentences of the rules say. Each row here is one of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from captures import CLIENT, SERVER, merged, script
from zeek_reference import SECOND, rows

OPEN = ">S <S. >. "

#: script of the capture, conn_state of each row, and its history
SENTENCES = [
    # ---- the states in one line each
    (OPEN + ">P9. <. >F. <F. >.", "SF ShADaFf"),
    (">S", "S0 S"),
    (OPEN, "S1 ShA"),
    (OPEN + ">F. <.", "S2 ShAFa"),
    (OPEN + "<F. >.", "S3 ShAf"),
    (">S <R.z", "REJ Sr"),
    (OPEN + ">R", "RSTO ShAR"),
    (OPEN + "<R", "RSTR ShAr"),
    (">S >R", "RSTOS0 SR"),
    ("(>S) <S. (>.) <R", "OTH HR"),  # nobody knows that it was the responder's
    (">S 1s >F", "SH SF"),
    ("<P9. >.", "OTH Da"),
    # ---- 2. birth, direction, reuse
    ("<S. 1s <P9.", "OTH ^hd"),
    ("<S. >. >F. <F.", "SF ^hAFf"),
    ("(>S) <S. >S~ >. <.", "S1 Hs^Aa"),
    (">S <R.z again >S <R.z again >S <R.z", "REJ Sr, REJ Sr, REJ Sr"),
    (">S >S~ >S~ <S.", "S1 Sh"),
    (OPEN + "again >S", "S1 ShA, S0 S"),
    (OPEN + ">R >S~ <S.", "RSTO ShAR, S1 Sh"),
    (">S! >S~!", "OTH C, OTH C"),
    (OPEN + "again >S!", "S1 ShA, OTH C"),
    (">S >S~!", "S0 SC"),
    (OPEN + "(>P9.) >P9. >F. again >S", "S2 ShADF, S0 S"),
    # ---- 3. death
    (">S 4.999s >.", "S0 SA"),
    (">S 5s >.", "S0 S, OTH A"),
    (">S 1s >P9. 4s >F.", "S0 SD, SH F"),
    (">S <S. 5s >.", "S1 ShA"),
    (OPEN + ">F. <F. 4.9s >.", "SF ShAFf"),
    (OPEN + ">F. <F. 5s >.", "SF ShAFf, OTH A"),
    (OPEN + "<R 4s <. 4s <.", "RSTR ShAra, OTH A"),
    (OPEN + ">F. >R 5s <.", "RSTO ShAFRa"),
    (OPEN + ">F. >R 6s <.", "RSTO ShAFR, OTH A"),
    (OPEN + ">F. 299s <F.", "SF ShAFf"),
    (OPEN + "299s >P9. 299s <.", "S1 ShADa"),
    (OPEN + "300s >P9.", "S1 ShA, OTH D"),
    (">.! 59s >.~!", "OTH C"),
    (">.! 60s >.~!", "OTH C, OTH C"),
    # ---- 4. endpoint states
    (">S <S <.", "S0 S, S0 SA"),
    (">S <. <S. >.", "S1 SahA"),
    (">S <P9. <S.", "OTH Sdh"),
    (">S <S. >F >R <F", "SF ShFRf"),
    (">S <S. >F <F >R", "SF ShFfR"),
    (">P9. <P9. >F. <F.", "SF DdFf"),
    # ---- 5. what the documentation's table does not tell
    (">S <R.z >R", "REJ SrR"),
    (OPEN + ">P9. <R >R", "RSTR ShADrR"),
    (OPEN + ">P9. <. >R <R", "RSTR ShADaRr"),
    (OPEN + ">F. >R", "RSTO ShAFR"),
    (OPEN + ">F. >R <F.", "SF ShAFRf"),
    (OPEN + ">F. <R", "RSTR ShAFr"),
    (OPEN + ">R <F.", "RSTO ShARf"),
    (">P9. <. >F.", "SH DaF"),
    (">P9. <. <F.", "SHR Daf"),
    (">P9. <. <R", "RSTRH Dar"),
    (">P9. <. >R", "OTH DaR"),
    (">S <S.", "S1 Sh"),
    (">S <S. >R", "RSTO ShR"),
    (">S <R.z <S.~ >. >P9. <.", "REJ SrhADa"),
    (">S <. >R", "RSTOS0 SaR"),
    (OPEN + ">F. <F.", "SF ShAFf"),
    # ---- 6. history
    (">SF", "SH Q"),
    (OPEN + ">FR.", "RSTO ShAI"),
    (OPEN + ">SR", "S1 ShA, OTH Q"),
    (OPEN + ">F9.", "S2 ShAF"),
    (OPEN + ">R9.", "RSTO ShART"),
    (">S9 <S9. >.", "S1 SThtA"),
    (OPEN + ">F. >F. >F.~", "S2 ShAFFF"),
    (OPEN + ">P9. " + ">P9.~ " * 10, "S1 ShADTT"),
    (OPEN + "<.0 " * 9, "S1 ShAaw"),
    (OPEN + "<.0 " * 10, "S1 ShAaww"),
    (">S <S.0 >R.0 >.0", "RSTO ShwRA"),
    (OPEN + ">F. <.0", "S2 ShAFa"),
    (OPEN + "(>P9.) <.", "S1 ShAaG"),
    (OPEN + "(>P9.) >P9. <.", "S1 ShADaG"),
    (OPEN + "(>P9.) >P9. " * 10 + "<.", "S1 ShADaGG"),
    (OPEN + "(<P9.) >. " * 10, "S1 ShAgg"),
    (OPEN + "(>P9.) >F. <F. >.", "SF ShAFfG"),
    (">S <S. (>.) (>P9.) (<P9.) >F. <F.", "SF ShFgfG"),
    (OPEN + "(>P9.) (>F.) <F. >.", "S3 ShAfG"),
    (">P9. (>P9.) <.", "OTH Da"),
    (OPEN + ">P9.! >P9.~ <.", "S1 ShACDa"),
    (OPEN + ">P9.? >P9.~ <.", "S1 ShADa"),
    (OPEN + ">P9. >P9. <. >F. <F. >.", "SF ShADaFf"),
]


@pytest.mark.parametrize(("words", "told"), SENTENCES)
@pytest.mark.parametrize("isns", [(100, 300), (2**32 - 1, 2**32 - 5)], ids=["", "wrapping"])
def test_sentences(words: str, told: str, isns: tuple[int, int]) -> None:
    found = rows(script(words, isns=isns))
    assert ", ".join(f"{row.conn_state} {row.history}" for row in found) == told


@pytest.mark.parametrize(
    ("source", "destination", "words", "flipped"),
    [
        (40000, 443, ">S", False),
        (443, 40000, ">S", False),
        (443, 40000, ">.", True),
        (443, 40000, ">S.", True),
        (40000, 443, ">.", False),
        (80, 443, ">.", True),
        (443, 80, ">.", False),
        (80, 443, ">S.", False),
        (9999, 40000, ">.", False),
    ],
)
def test_likely_server_ports_tell_the_originator(source: int, destination: int, words: str, flipped: bool) -> None:
    ends = ("10.0.0.1", source), ("10.0.0.2", destination)
    (row,) = rows(script(words, *ends))
    assert (row.orig, row.resp) == (ends[::-1] if flipped else ends)
    assert row.history.startswith("^") == flipped


@pytest.mark.parametrize("port", [21, 22, 23, 513])
def test_some_ports_are_patient_once_established(port: int) -> None:
    server = (SERVER[0], port)
    assert len(rows(script(OPEN + "3599s >P9.", server=server))) == 1
    assert len(rows(script(OPEN + "3600s >P9.", server=server))) == 2
    assert len(rows(script(">P9. <P9. 300s >P9.", server=server))) == 2


#: script, octets of the originator and of the responder
BYTES = [
    (OPEN + ">P9. <P20. >F. <F.", (9, 20)),
    (OPEN + ">P9. >P9.~ <.", (9, 0)),
    (OPEN + "(>P9.) <.", (9, 0)),
    (">P9. <P20.", (9, 20)),
    (">P9. <P20. >F. <F.", (9, 20)),
    (OPEN + "(>P9.) >F. <.", (9, 0)),
    (OPEN + ">R9.", (0, 0)),
    (OPEN + ">P9. >R.+", (9, 0)),
    (OPEN + "(>P9.) <R.", (0, 0)),
    (">S9 >P9.", (18, 0)),
    (">S (<S.) >. (<P20.) >. >F.", (0, 0)),
    ("<P9. (>P9.) <. (>P9.) <.", (9, 0)),
]


@pytest.mark.parametrize(("words", "told"), BYTES)
@pytest.mark.parametrize("isns", [(100, 300), (2**32 - 1, 2**32 - 5)], ids=["", "wrapping"])
def test_octets(words: str, told: tuple[int, int], isns: tuple[int, int]) -> None:
    (row,) = rows(script(words, isns=isns))
    assert (row.orig_bytes, row.resp_bytes) == told


def test_more_than_four_gigabytes() -> None:
    """Sequence numbers that went around several times."""
    packets = script(OPEN + ">P60000. <. " * 100)
    for number, packet in enumerate(packets[3:]):
        seq = 101 + number // 2 * 2**30
        place = {"seq": seq % 2**32} if packet.src == CLIENT else {"ack": (seq + 60000) % 2**32}
        packets[number + 3] = replace(packet, **place)
    (row,) = rows(packets)
    assert row.orig_bytes == 99 * 2**30 + 60000


def test_duration_is_frozen_when_both_sides_have_closed() -> None:
    (row,) = rows(script(OPEN + "1s >F. <F. 2s >.", step=0))
    assert row.duration == SECOND
    (row,) = rows(script(OPEN + "1s >F. <. 2s <.", step=0))
    assert row.duration == 3 * SECOND


@pytest.mark.parametrize(("words", "seconds"), [("<.", 3), ("<. >.", 1), (">P9.~", 1)])
def test_a_closing_that_was_put_off_waits_for_the_same_end(words: str, seconds: int) -> None:
    """Nine octets were pending at the FIN; the other end closes before or after the first one sends again."""
    packets = script(OPEN + f"1s (>P9.) >F. {words} <F. 2s >.", step=0)
    packets = [replace(packet, seq=101) if packet.length else packet for packet in packets]
    (row,) = rows(packets)
    assert row.duration == seconds * SECOND


def test_a_duration_of_nothing_is_unset_and_octets_with_it() -> None:
    (row,) = rows(script(OPEN + ">P9.", step=0))
    assert (row.duration, row.orig_bytes, row.resp_bytes) == (None, None, None)


def test_so_is_a_negative_duration() -> None:
    packets = script(OPEN + ">P9.")
    (row,) = rows([*packets[:3], replace(packets[3], time=packets[0].time - SECOND)])
    assert (row.duration, row.orig_bytes, row.resp_bytes) == (None, None, None)


def test_a_timer_fires_when_any_connection_reaches_its_time() -> None:
    """Times that go backwards show it: the entry is gone although its own packets never reached the time."""
    first = script(">S 1s >.")
    other = script(">S", ("10.0.0.3", 50000), start=first[0].time + 5 * SECOND)
    assert len(rows([first[0], first[1]])) == 1
    assert [row.history for row in rows([first[0], other[0], first[1]])] == ["S", "S", "A"]
    assert len(rows(merged(first, other))) == 2


def test_bad_checksums_count_unless_ignored() -> None:
    packets = script(">S! <S. >.")
    assert rows(packets)[0].history == "C"
    assert [row.history for row in rows(packets, ignore_checksums=True)] == ["ShA"]
