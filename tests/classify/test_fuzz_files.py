"""Octets of any kind into the readers; `fuzz_files.py` does the same by the million."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import fuzz_files
import pytest
import zoo
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st


def test_mutated_captures() -> None:
    found = fuzz_files.fuzz(10_000, seed=7)
    assert min(found[end] for end in ("whole", "refused", "damaged")) >= 10


STARTS = [
    b"",
    b"\x1f\x8b",
    b"\x1f\x8b\x08\0",
    b"\x28\xb5\x2f\xfd",
    struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 0, 1),
    struct.pack(">IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, 101),
    struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28),
    struct.pack("<IIIHHqIIIHHII", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28, 1, 20, 101, 0, 0, 20),
]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=300), ignore=st.booleans())
@example(start=STARTS[0], rest=b"", ignore=False)
def test_any_octets(tmp_path: Path, start: bytes, rest: bytes, ignore: bool) -> None:
    path = tmp_path / "capture"
    path.write_bytes(start + rest)
    fuzz_files.examine(path, ignore)


def test_compiled_code_reads_the_same_of_mutated_packets(tmp_path: Path, read_as_big) -> None:
    rng, frames = random.Random(5), list(zoo.everything())
    wrong = [(link, fuzz_files.mutated(rng, octets)) for _ in range(30) for link, octets in frames]
    path = tmp_path / "capture"
    path.write_bytes(zoo.pcapng(wrong))
    for ignore in (False, True):
        read_as_big(False)
        plain = zoo.read(path, ignore)
        read_as_big(True)
        for one, other in zip(plain, zoo.read(path, ignore), strict=True):
            assert zoo.listed(one) == zoo.listed(other)


@pytest.mark.slow
def test_more_mutated_captures() -> None:
    fuzz_files.fuzz(200_000, seed=8)
