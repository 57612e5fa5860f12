"""Mutated captures, by the hundred thousand, into the readers.

    python tests/classify/fuzz_files.py --records 1000000 --seed 1

Most are nearly right: a file that is wrong everywhere is refused at once. It looks for exceptions that are not ours,
for files that take long, for rows that cannot be, and for memory that grows. The plain form of the readers is tried,
which refuses to look at octets that are not there. What fails is left behind in a file, whose name is told.
"""

from __future__ import annotations

import argparse
import gzip
import random
import resource
import struct
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow
import zoo

from tcpclose.classify.files import Damage, NotACapture, blocks
from tcpclose.classify.packets import Block

#: A file that takes longer, in seconds of this process, counts as a hang.
LONGEST = 2.0
#: Memory, in KiB, that may be added after the first tenth. libzstd may ask for 128 MiB for what a header claims.
GROWTH = 256 * 1024

OCTETS = [*range(9), 11, 12, 15, 16, 17, 19, 20, 41, 43, 44, 47, 51, 58, 60, 0x45, 0x4F, 0x60, 127, 128, 254, 255]
HALVES = [0, 20, 39, 40, 60, 0x800, 0x86DD, 0x8100, 0x8864, 0x1FFF, 0x2000, 0xFFFF]
WORDS = [0, 1, 20, 60, 2**16, 2**18, 2**31, 2**32 - 1]


def mutated(rng: random.Random, octets: bytes) -> bytes:
    """With one change, mostly small."""
    out = bytearray(octets)
    place = rng.randrange(len(out) + 1)
    kind = rng.randrange(10)
    if kind < 3 and place < len(out):
        out[place] = rng.choice(OCTETS)
    elif kind < 5 and place < len(out):
        out[place] ^= 1 << rng.randrange(8)
    elif kind == 5:
        out[place : place + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(WORDS))
    elif kind == 6:
        out[place : place + 2] = struct.pack(">H", rng.choice(HALVES))
    elif kind == 7:
        del out[place : place + rng.choice([1, 4, 8, 40])]
    elif kind == 8:
        out[place:place] = rng.randbytes(rng.choice([1, 4, 8, 40]))
    else:
        del out[place:]
    return bytes(out)


def capture(rng: random.Random, kinds: list[list[zoo.Frame]]) -> tuple[bytes, int]:
    """A mutated file, and how many of its records were mutated, or 1 where its own octets were."""
    frames = [frame for _ in range(rng.choice([1, 2, 30])) for frame in rng.choice(kinds)]
    changed = 1
    if rng.random() < 0.7:
        changed = len(frames)
        frames = [(link, mutated(rng, octets)) for link, octets in frames]
        frames = [(rng.choice(zoo.LINKS) if rng.random() < 0.02 else link, octets) for link, octets in frames]
    if rng.random() < 0.5:
        octets = zoo.pcapng(frames, big=rng.random() < 0.3)
    else:
        magic = rng.choice([0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34])
        octets = zoo.pcap(frames, rng.random() < 0.3, magic, rng.choice([262_144, 262_144, 54, 80]))
    if changed == 1:
        for _ in range(rng.choice([1, 1, 2, 5])):
            octets = mutated(rng, octets)
    if rng.random() < 0.05:
        octets = compressed(rng, octets)
    return octets, changed


def compressed(rng: random.Random, octets: bytes) -> bytes:
    if rng.random() < 0.5:
        out = gzip.compress(octets, 1)
    else:
        sink = pyarrow.BufferOutputStream()
        with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(octets)
        out = sink.getvalue().to_pybytes()
    return mutated(rng, out)


def examine(path: Path, ignore_checksums: bool) -> str:
    """Read a file, and say in a word how that ended."""
    size, number, end, words = path.stat().st_size, 0, "whole", ""
    began = time.process_time()
    try:
        for block in blocks(path, ignore_checksums):
            check(block, number)
            number += block.records
    except NotACapture as error:
        end, words = "refused", str(error)
    except Damage as damage:
        end, words = "damaged", str(damage)
    assert time.process_time() - began < LONGEST, "took too long"
    assert "\n" not in words
    assert number == 0 or end != "refused"
    # A record is no shorter than its header, if nothing is compressed.
    assert number <= size // 16 or path.read_bytes().startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd"))
    return end


def check(block: Block, before: int) -> None:
    """What is true of every block."""
    for table in (block.packets, block.errors):
        numbers = table.number.tolist()
        assert numbers == sorted(numbers)
        assert all(before < number <= before + block.records for number in numbers)
        assert {len(column) for column in table} == {len(numbers)}
    packets = block.packets
    assert all(0 <= length < 2**18 for length in packets.length.tolist())
    assert set(packets.check.tolist()) <= {0, 1, 2, 3}
    assert not (packets.check[packets.broken > 0]).any()
    assert block.latest is not None
    assert block.latest >= max(packets.time.tolist(), default=block.latest)
    assert 0 <= block.foreign <= block.records


def fuzz(records: int, seed: int) -> Counter[str]:
    """Mutate so many records or files; how they ended."""
    kinds = [*zoo.layers().values(), zoo.icmp_errors()]
    found: Counter[str] = Counter()
    memory = None
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "capture")
        while found["records"] < records:
            octets, changed = capture(rng, kinds)
            path.write_bytes(octets)
            try:
                found[examine(path, rng.random() < 0.3)] += 1
            except BaseException:
                Path("fuzz-failure").write_bytes(octets)
                print("seed", seed, "after", found, "left in fuzz-failure")
                raise
            found["records"] += changed
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if memory is None and found["records"] >= records // 10:
                memory = used
            assert used < (memory or used) + GROWTH, "memory grows"
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    start = time.monotonic()
    result = fuzz(given.records, given.seed)
    print(dict(result), f"{time.monotonic() - start:.0f} s")
