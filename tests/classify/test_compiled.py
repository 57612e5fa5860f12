"""Kernels: the same function plain and compiled."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tcpclose.classify import compiled
from tcpclose.classify.compiled import _digest, at_hand, kernel, ready
from tcpclose.classify.packets import Packets, room, rows


@kernel
def doubled(number):
    return 2 * number


@kernel
def fill(packets, octets):
    total = 0
    for i in range(len(packets.seq)):
        packets.seq[i] = doubled(octets[i])
        total += packets.seq[i] + (packets.src_hi[i] & 0xFFFF)
    return total


@pytest.mark.parametrize("fast", [False, True])
def test_both_forms_give_the_same(fast: bool) -> None:
    packets = room(Packets, 3)
    packets.src_hi[:] = 2**64 - 1
    total = ready(fill, fast)(packets, np.array([1, 2, 255], np.uint8))
    assert total == 2 + 4 + 510 + 3 * 0xFFFF
    assert packets.seq.tolist() == [2, 4, 510]


def test_what_was_compiled_is_of_no_use_when_what_it_uses_has_changed() -> None:
    def caller(factor: int, called: str) -> Callable[[int], int]:
        """A kernel as it would be in a module with this constant, beside this kernel."""
        module: dict[str, Any] = {"kernel": kernel, "FACTOR": factor}
        exec(f"@kernel\ndef inside(x): return {called}\n@kernel\ndef outside(x): return FACTOR * inside(x)", module)
        return module["outside"]

    kernels = [caller(2, "x + 1"), caller(2, "x + 2"), caller(3, "x + 1"), caller(3, "-x")]
    assert [ready(one, True)(10) for one in kernels] == [22, 24, 33, -30]
    assert len({_digest(one) for one in kernels}) == 4
    assert _digest(caller(2, "x + 1")) == _digest(kernels[0])


def test_what_was_compiled_in_another_way_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """numba's cache does not ask how its compiler was told to work."""
    before = _digest(fill)
    monkeypatch.setattr(compiled, "_OPTIONS", {"nogil": True})
    assert _digest.__wrapped__(fill) != before


def test_where_nothing_may_be_written_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def tripled(number):
        return 3 * number

    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    assert ready(kernel(tripled), True)(5) == 15
    assert not at_hand(tripled)


def test_what_is_kept_is_at_hand_until_its_file_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    source = tmp_path / "module.py"
    source.write_text("def half(number):\n    return number // 2\n")
    module: dict[str, Any] = {}
    exec(compile(source.read_text(), source, "exec"), module)
    half = kernel(module["half"])
    assert not at_hand(half)
    assert ready(half, True)(5) == 2
    assert at_hand(half)
    later = time.time() + 10
    os.utime(source, (later, later))
    assert not at_hand(half)


def test_the_plain_form_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="invalid value"):
        ready(fill, False)(room(Packets, 1)._replace(seq=np.zeros(1, np.uint8)), np.array([200], np.uint8))


def test_the_plain_form_does_without_numba() -> None:
    script = "import sys; from tcpclose.classify.compiled import _digest, kernel, ready; ready(kernel(abs), False)(1); "
    done = subprocess.run([sys.executable, "-c", script + "assert 'numba' not in sys.modules"], capture_output=True)
    assert done.returncode == 0, done.stderr


def test_rows_of_a_table() -> None:
    packets = room(Packets, 4)
    packets.number[:] = [5, 6, 7, 8]
    assert rows(packets, slice(1, 3)).number.tolist() == [6, 7]
    assert rows(packets, np.array([3, 0])).number.tolist() == [8, 5]
    assert packets.time.dtype == np.int64
    assert packets.dst_lo.dtype == np.uint64
